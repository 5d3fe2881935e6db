//! The flags of `nigh edge` as settings: one site, for every host, or a forward proxy.

use std::path::PathBuf;

use nigh_cache::{key::Scheme, slices::Slicing};
use nigh_edge::client;
use nigh_net::{disk, origin};

use super::{Cache, Forward, Limits, Node, Secret, Settings, Site, Tls};
use crate::cli;

impl From<&cli::Edge> for Settings {
    fn from(flags: &cli::Edge) -> Self {
        let cli::Edge { to, origin, limits, .. } = flags;
        let shown = origin.origin_cert.clone().zip(origin.origin_key.clone());
        let site = to.as_ref().map(|to| Site {
            origin_ca: origin.origin_ca.clone(),
            shown: shown.map(of_files),
            ..Site::for_every_host(origin::Settings {
                keep_host: origin.keep_host,
                http2_prior_knowledge: origin.origin_http2 && to.scheme == Scheme::Http,
                connect_limit: origin.origin_connect,
                first_byte_limit: origin.origin_first_byte,
                idle_limit: origin.origin_idle,
                connections: origin.origin_connections,
                ..to.clone()
            })
        });
        let tls = flags.tls_cert.clone().zip(flags.tls_key.clone());
        Self {
            node: Node {
                listen: flags.listen.clone(),
                admin: flags.admin.clone(),
                admin_token: flags.admin_token_file.clone().map(Secret::File),
                workers: flags.workers,
                access_log: flags.access_log.clone(),
                log_format: flags.log_format,
                ..Node::default()
            },
            cache: Cache {
                memory: flags.memory,
                max_object: flags.max_object,
                slicing: flags.slice.0.map(|size| Slicing { size, above: flags.slice_above }),
                eviction: flags.eviction,
                disk: flags
                    .disk
                    .clone()
                    .zip(flags.disk_size)
                    .map(|(path, size)| disk::Settings { path, size }),
            },
            tls: tls.map(of_files),
            limits: Limits {
                max_head: limits.max_head,
                max_target: limits.max_target,
                max_fields: limits.max_fields,
                max_body: limits.max_body,
                max_connections: limits.max_connections,
                head_time: limits.head_time,
                idle_time: limits.idle_time,
                stall_time: limits.stall_time,
                min_rate: limits.min_rate,
                drain_time: limits.drain_time,
                buffers: limits.buffers,
                per_client: client::Limits::default(),
            },
            forward: flags.forward.forward.then(|| Forward::from(&flags.forward)),
            cluster: None,
            sites: site.into_iter().collect(),
        }
    }
}

fn of_files((certificate, key): (PathBuf, PathBuf)) -> Tls {
    Tls { certificate, key: Secret::File(key) }
}
