//! The other edges of the cluster, as one core asks them: who owns what, and who fails and is left out for
//! a while. Whose certificates are believed is [`Trust`]'s matter. `docs/cluster.md` says how a request
//! travels.

mod ask;
mod members;

use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, ServerConfig};

pub use self::members::{CAPACITY_MAX, MEMBERS_MAX, Member, Members, Standing};
pub(crate) use self::{
    ask::Siblings,
    members::{UnderWay, hash_of},
};
use crate::cluster::{
    credentials::Shown,
    name::Name,
    tls::{self, Trust},
};

/// What edges speak to each other, by ALPN.
const PROTOCOL: &[u8] = b"h2";

/// How this edge is reached by its siblings, and shows itself to them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called.
    pub name: Name,
    /// Where they come in.
    pub listen: SocketAddr,
    /// Whom it believes.
    pub trust: Arc<Trust>,
    /// What it shows to them.
    pub shown: Arc<Shown>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl Settings {
    /// The edge `name`, which believes what `trust` does and shows `shown`, both of which may change while
    /// it runs.
    pub fn new(name: Name, listen: SocketAddr, trust: Arc<Trust>, shown: Arc<Shown>) -> Self {
        let server = Arc::new(tls::server(&trust, &shown, &[PROTOCOL]));
        let client = Arc::new(tls::client(&trust, &shown, &[PROTOCOL]));
        Self { name, listen, trust, shown, server, client }
    }
}
