//! The other edges of the cluster, as one core asks them: who owns what, and who fails and is left out for
//! a while. Whose certificates are believed is [`Trust`]'s matter. `docs/cluster.md` says how a request
//! travels.

mod ask;
mod members;

use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, ServerConfig};

pub use self::members::{CAPACITY_MAX, MEMBERS_MAX, Member, Members, Standing};
pub(crate) use self::{
    ask::{Siblings, Telling, Watch},
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
    /// Whom this edge believes who comes in there: its own cluster's, and then those of whom it is the
    /// parent.
    pub(crate) guests: Arc<[Arc<Trust>]>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    /// The same for edges of the parent.
    pub(crate) parent: Option<Parent>,
}

/// How edges of the parent are connected to, and which of them are believed.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) trust: Arc<Trust>,
}

impl Settings {
    /// The edge `name`, which believes what `trust` does and shows `shown`, both of which may change while
    /// it runs. It asks edges of `parent`, and is asked by edges of `children`.
    pub fn new(
        (name, listen): (Name, SocketAddr),
        (trust, shown): (Arc<Trust>, Arc<Shown>),
        parent: Option<&Arc<Trust>>,
        children: impl IntoIterator<Item = Arc<Trust>>,
    ) -> Self {
        let guests: Arc<[_]> = [Arc::clone(&trust)].into_iter().chain(children).collect();
        let server = Arc::new(tls::server(&guests, &shown, &[PROTOCOL]));
        let to = |trust: &Arc<Trust>| Arc::new(tls::client(trust, &shown, &[PROTOCOL]));
        let client = to(&trust);
        let parent = parent.map(|trust| Parent { client: to(trust), trust: Arc::clone(trust) });
        Self { name, listen, trust, shown, guests, server, client, parent }
    }

    /// Trust in each cluster whose edges this one talks to: its own, its children, and its parent.
    pub fn trusts(&self) -> impl Iterator<Item = &Arc<Trust>> {
        self.guests.iter().chain(self.parent.as_ref().map(|parent| &parent.trust))
    }
}
