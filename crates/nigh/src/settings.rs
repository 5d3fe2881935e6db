//! What an edge is made of, wherever it was said: in flags (`nigh edge`) or in a file (`nigh run`).
//! The file is described in docs/settings.md.

mod clients;
mod document;
mod file;
mod flags;
mod mistake;
mod sites;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use nigh_base::ByteSize;
use nigh_cache::evict;
use nigh_edge::{
    client,
    site::{Host, Rules},
    upstream::Probe,
};
use nigh_net::{access_log, disk, origin};

use crate::cli::ListenAddress;

pub(crate) use clients::min_rate;
pub(crate) use file::{Unusable, buffers, read};
pub(crate) use mistake::Mistake;

/// Everything that can be set. Where a value exists, it can be used, as far as that can be known
/// without the machine: whether a file is there shows when it is opened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) node: Node,
    pub(crate) cache: Cache,
    /// `None` where nobody listens for https, or a certificate for localhost is to be made.
    pub(crate) tls: Option<Tls>,
    pub(crate) limits: Limits,
    pub(crate) sites: Vec<Site>,
}

/// This process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) listen: Vec<ListenAddress>,
    pub(crate) admin: Option<SocketAddr>,
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
    pub(crate) eviction: evict::Kind,
    /// What lies beneath the memory, if anything.
    pub(crate) disk: Option<disk::Settings>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(256),
            max_object: None,
            eviction: evict::Kind::default(),
            disk: None,
        }
    }
}

/// What clients see over https.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: Secret,
}

/// Where a secret lies; it is never part of the settings themselves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Secret {
    File(PathBuf),
    /// The variable of this name holds it.
    Environment(String),
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
    pub(crate) probe: Option<Probe>,
    pub(crate) rules: Rules,
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
            probe: None,
            rules: Rules::default(),
        }
    }
}

impl Settings {
    /// The sections whose difference from `other` only a start makes good.
    pub(crate) fn fixed_differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("[node]", self.node != other.node),
            ("[cache]", self.cache != other.cache),
            ("[tls]", self.tls != other.tls),
            ("[limits]", self.limits != other.limits),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
    }
}

#[cfg(test)]
mod tests;
