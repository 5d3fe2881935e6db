//! What an edge is made of, wherever it was said: in flags (`nigh edge`) or in a file (`nigh run`).
//! The file is described in docs/settings.md.

mod admin;
mod clients;
mod cluster;
mod compression;
mod control;
mod difference;
mod document;
mod file;
mod flags;
mod forward;
mod mistake;
mod named;
mod protection;
mod shared;
mod shown;
mod sites;

use std::{path::PathBuf, time::Duration};

use nigh_base::ByteSize;
use nigh_cache::{evict, slices::Slicing};
use nigh_edge::{
    client,
    site::{Host, Rules},
    upstream::Probe,
};
use nigh_net::{access_log, disk, origin};

use crate::cli::ListenAddress;

pub(crate) use admin::AdminAddress;
pub(crate) use clients::min_rate;
pub(crate) use cluster::{Cluster, Other, edge_at, qualified, reached};
pub(crate) use control::{Etcd, Kept, etcd_in, etcd_text};
pub(crate) use difference::{Difference, waiting};
pub(crate) use file::{FILE_MAX, Unusable, buffers, parse, read};
pub(crate) use forward::Forward;
pub(crate) use mistake::Mistake;
pub(crate) use named::{PEM_MAX, SECRET_MAX, Secret, read_text};
pub(crate) use protection::SigningKeys;
pub(crate) use shared::{sections, shared};
pub(crate) use shown::{name_of, shown};

/// Everything that can be set. Where a value exists, it can be used, as far as that can be known
/// without the machine: whether a file is there shows when it is opened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) node: Node,
    pub(crate) cache: Cache,
    /// `None` where nobody listens for https, or a certificate for localhost is to be made.
    pub(crate) tls: Option<Tls>,
    pub(crate) limits: Limits,
    /// `None` where requests for other hosts than the sites' are refused.
    pub(crate) forward: Option<Forward>,
    /// `None` where this edge is alone.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) sites: Vec<Site>,
}

impl Settings {
    /// Its cluster, if an edge that runs with `started` can go over to the edges in it: the cluster is the
    /// same one, as are its place in it and the parent.
    pub(crate) fn takes_members(&self, started: &Self) -> Option<&Cluster> {
        let (is, was) = (self.cluster.as_ref()?, started.cluster.as_ref()?);
        let parent = |cluster: &Cluster| cluster.parent.as_ref().map(|parent| parent.name.clone());
        let is_same = (&is.name, &is.own, is.is_listed) == (&was.name, &was.own, was.is_listed);
        (is_same && parent(is) == parent(was)).then_some(is)
    }
}

/// This process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) listen: Vec<ListenAddress>,
    pub(crate) admin: Option<AdminAddress>,
    /// What is asked for at the admin address, if anything.
    pub(crate) admin_token: Option<Secret>,
    /// Whom the process becomes once its ports are open.
    pub(crate) user: Option<String>,
    /// `None` for the user's own.
    pub(crate) group: Option<String>,
    /// `None` for one a core.
    pub(crate) workers: Option<u16>,
    pub(crate) access_log: Option<PathBuf>,
    pub(crate) log_format: access_log::Format,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: "nigh".to_owned(),
            listen: vec![ListenAddress::default()],
            admin: None,
            admin_token: None,
            user: None,
            group: None,
            workers: None,
            access_log: None,
            log_format: access_log::Format::Combined,
        }
    }
}

/// What is kept, and where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cache {
    pub(crate) memory: ByteSize,
    /// `None` for an eighth of the memory.
    pub(crate) max_object: Option<ByteSize>,
    /// What is kept in slices, if anything.
    pub(crate) slicing: Option<Slicing>,
    pub(crate) eviction: evict::Kind,
    /// What lies beneath the memory, if anything.
    pub(crate) disk: Option<disk::Settings>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(256),
            max_object: None,
            slicing: Some(Slicing::default()),
            eviction: evict::Kind::default(),
            disk: None,
        }
    }
}

/// What clients see over https, or origins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: Secret,
}

/// What one client may take.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) max_head: ByteSize,
    pub(crate) max_target: ByteSize,
    pub(crate) max_fields: u16,
    pub(crate) max_body: Option<ByteSize>,
    pub(crate) max_connections: usize,
    pub(crate) head_time: Duration,
    pub(crate) idle_time: Duration,
    pub(crate) stall_time: Duration,
    /// Bytes a second; 0 for none.
    pub(crate) min_rate: u64,
    pub(crate) drain_time: Duration,
    /// Of all buffers, and of what passes through unkept.
    pub(crate) buffers: ByteSize,
    pub(crate) per_client: client::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head: ByteSize::kib(64),
            max_target: ByteSize::kib(16),
            max_fields: 100,
            max_body: None,
            max_connections: 10_000,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            stall_time: Duration::from_secs(60),
            min_rate: 256,
            drain_time: Duration::from_secs(30),
            buffers: ByteSize::mib(512),
            per_client: client::Limits::default(),
        }
    }
}

/// One site.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Site {
    pub(crate) hosts: Vec<Host>,
    pub(crate) origins: Vec<Origin>,
    /// Trusted for the origins, besides this machine's roots.
    pub(crate) origin_ca: Option<PathBuf>,
    /// Shown to the origins that ask for a certificate.
    pub(crate) shown: Option<Tls>,
    pub(crate) probe: Option<Probe>,
    /// Without the keys of signed URLs.
    pub(crate) rules: Rules,
    /// Where those lie, by the places of their rules.
    pub(crate) signing: Vec<(usize, SigningKeys)>,
}

/// One of a site's origins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    pub(crate) settings: origin::Settings,
    pub(crate) weight: u32,
}

impl Site {
    /// One for every host, before one origin.
    pub(crate) fn for_every_host(settings: origin::Settings) -> Self {
        Self {
            hosts: vec![Host::Any],
            origins: vec![Origin { settings, weight: 1 }],
            origin_ca: None,
            shown: None,
            probe: None,
            rules: Rules::default(),
            signing: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
