//! `[forward]`: the settings of a forward proxy, and the proxy that they make. docs/forward.md.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use nigh_base::ByteSize;
use nigh_edge::{
    forward_proxy::{Destination, Ports, Rules, pac},
    network::Network,
};
use nigh_net::forward_proxy::{self as proxy, Proxy, Redirected, Users};

use super::{document::Section, file::beside, named};
use crate::cli::{self, duration};

/// Bytes of the longest file of users: some ten thousand.
const USERS_FILE_MAX: ByteSize = ByteSize::mib(1);

/// Elements of one list: each connection is held against them one by one.
const LIST_MAX: usize = 1000;

/// A forward proxy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Forward {
    /// `None` for loopback and private networks.
    pub(crate) clients: Option<Vec<Network>>,
    pub(crate) allow: Vec<Network>,
    pub(crate) deny: Vec<Destination>,
    pub(crate) connect_ports: Vec<Ports>,
    pub(crate) http_ports: Vec<Ports>,
    /// `None` asks nobody for a password.
    pub(crate) users: Option<PathBuf>,
    pub(crate) max_tunnels: usize,
    pub(crate) tunnel_idle: Duration,
    pub(crate) tunnel_time: Duration,
    pub(crate) connect_time: Duration,
    /// `None` for private networks.
    pub(crate) no_proxy: Option<Vec<pac::Exception>>,
    pub(crate) transparent: Vec<Redirected>,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            clients: None,
            allow: Vec::new(),
            deny: Vec::new(),
            connect_ports: Ports::CONNECT.into(),
            http_ports: Ports::HTTP.into(),
            users: None,
            max_tunnels: 4096,
            tunnel_idle: Duration::from_secs(10 * 60),
            tunnel_time: Duration::from_secs(24 * 3600),
            connect_time: Duration::from_secs(10),
            no_proxy: None,
            transparent: Vec::new(),
        }
    }
}

impl From<&cli::ForwardFlags> for Forward {
    fn from(flags: &cli::ForwardFlags) -> Self {
        let default = Self::default();
        let given = |ports: &Vec<Ports>| Some(ports.clone()).filter(|ports| !ports.is_empty());
        Self {
            clients: Some(flags.proxy_clients.clone()).filter(|clients| !clients.is_empty()),
            allow: flags.proxy_allow.clone(),
            deny: flags.proxy_deny.clone(),
            connect_ports: given(&flags.connect_port).unwrap_or(default.connect_ports),
            http_ports: given(&flags.http_port).unwrap_or(default.http_ports),
            users: flags.proxy_users.clone(),
            transparent: flags.transparent.clone(),
            ..default
        }
    }
}

impl Forward {
    /// The proxy that they make.
    ///
    /// # Errors
    /// If the file of users cannot be read.
    pub(crate) fn proxy(&self) -> anyhow::Result<Arc<Proxy>> {
        let users = self.users.as_deref().map(users).transpose()?;
        Ok(Proxy::new(proxy::Settings {
            rules: self.rules(),
            users,
            tunnels: self.max_tunnels,
            tunnel_idle: self.tunnel_idle,
            tunnel_time: self.tunnel_time,
            connect_time: self.connect_time,
            exceptions: self.no_proxy.clone().unwrap_or_else(pac::private),
            redirected: self.transparent.clone(),
        }))
    }

    /// Whether everyone who can reach it is served.
    pub(crate) fn is_open(&self) -> bool {
        self.users.is_none() && self.rules().is_open()
    }

    fn rules(&self) -> Rules {
        let Self { clients, allow, deny, connect_ports, http_ports, .. } = self.clone();
        Rules::new(clients, allow, deny, connect_ports, http_ports)
    }
}

fn users(path: &Path) -> anyhow::Result<Users> {
    let text = named::read_text(path, USERS_FILE_MAX).context("forward.users")?;
    Users::parse(&text).with_context(|| format!("forward.users: {} names no users", path.display()))
}

/// Reads the section, if it is there.
pub(super) fn read(mut section: Section<'_>, folder: &Path) -> Option<Forward> {
    let default = Forward::default();
    let tunnels = section.number("max_tunnels", 1..=1_000_000);
    let forward = Forward {
        clients: listed(&mut section, "clients"),
        allow: listed(&mut section, "allow").unwrap_or_default(),
        deny: listed(&mut section, "deny").unwrap_or_default(),
        connect_ports: ports(&mut section, "connect_ports").unwrap_or(default.connect_ports),
        http_ports: ports(&mut section, "http_ports").unwrap_or(default.http_ports),
        users: section.parsed("users", beside(folder)),
        max_tunnels: tunnels.and_then(|count| count.try_into().ok()).unwrap_or(default.max_tunnels),
        tunnel_idle: section.parsed("tunnel_idle", duration).unwrap_or(default.tunnel_idle),
        tunnel_time: section.parsed("tunnel_time", duration).unwrap_or(default.tunnel_time),
        connect_time: section.parsed("connect_time", duration).unwrap_or(default.connect_time),
        no_proxy: listed(&mut section, "no_proxy"),
        transparent: section.list("transparent", cli::redirected).unwrap_or_default(),
    };
    let is_there = section.is_there();
    section.finish();
    Some(forward).filter(|_| is_there)
}

fn listed<T>(section: &mut Section<'_>, key: &'static str) -> Option<Vec<T>>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let list = section.list(key, T::from_str)?;
    report_long(section, key, list.len());
    Some(list)
}

fn ports(section: &mut Section<'_>, key: &'static str) -> Option<Vec<Ports>> {
    let list = section.scalars(key, Ports::from_str)?;
    report_long(section, key, list.len());
    Some(list)
}

fn report_long(section: &Section<'_>, key: &'static str, length: usize) {
    if length > LIST_MAX {
        section.mistake(key, format!("`{key}` lists at most {LIST_MAX}"));
    }
}
