//! The other edges of the cluster, as one core asks them: who owns what, who fails and is left out for a
//! while, and whose certificates are believed. `docs/cluster.md` says how a request travels.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use http::Request;
use nigh_cache::{flight::Interim, key::Scheme};
use nigh_cluster::{
    hashing::{self, Ring},
    hot::Marks,
};
use nigh_edge::{hop, upstream::Upstream as Turns};
use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    body::RequestBody,
    clock::Monotonic,
    counters::Counters,
    origin::{self, Fetched, Origin, copy_if_idempotent},
};

/// What edges speak to each other, by ALPN.
const PROTOCOL: &[u8] = b"h2";

/// Edges of one cluster: so many has [`Turns`].
pub const MEMBERS_MAX: usize = nigh_edge::upstream::ORIGINS_MAX;

/// Time to connect to a sibling. It is near, and if it is not there, its successor is.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Time to the head of its answer. Longer than an origin usually has: the sibling waits for that.
const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(40);

/// How often a sibling is asked whether it is still there while an answer is awaited, and how long it has
/// to say so.
const PING: Duration = Duration::from_secs(2);

/// An edge of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where its siblings come in.
    pub address: SocketAddr,
    /// Its share of the keys, beside the others'.
    pub capacity: u32,
}

/// The edges of a cluster and who of them owns what; shared by all cores, and never changed.
#[derive(Debug)]
pub struct Members {
    cluster: String,
    /// By name.
    list: Vec<Member>,
    own: usize,
    ring: Ring,
    /// Which of the others' objects are in demand here.
    marks: Mutex<Marks>,
    clock: Monotonic,
}

/// How this edge is reached by its siblings, and shows itself to them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called.
    pub name: String,
    /// Where they come in.
    pub listen: SocketAddr,
    /// What they see there.
    pub server: Arc<ServerConfig>,
    /// What they are shown.
    pub client: Arc<ClientConfig>,
}

/// Why edges cannot trust each other.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The authority's certificates are none, or none of them can vouch for anybody.
    #[error("nobody can be verified by these certificates of the cluster's authority")]
    Authority(#[source] rustls::server::VerifierBuilderError),
    /// The certificate and the key do not belong together.
    #[error("the certificate and its key do not fit")]
    Mismatch(#[source] rustls::Error),
    /// Nobody would believe the certificate.
    #[error("the certificate is not for `{name}`")]
    Name {
        /// What it would have to be for.
        name: String,
        /// What it says instead.
        source: rustls::Error,
    },
}

impl Members {
    /// The edges of `cluster`, of which the one called `own` is this one.
    ///
    /// # Panics
    /// If it is not among them, or they are more than [`MEMBERS_MAX`]: whoever reads settings refuses
    /// that.
    pub fn new(cluster: &str, own: &str, mut list: Vec<Member>) -> Arc<Self> {
        assert!(list.len() <= MEMBERS_MAX, "a cluster has at most {MEMBERS_MAX} edges");
        list.sort_by(|one, other| one.name.cmp(&other.name));
        let at = list.iter().position(|member| member.name == own).expect("it is one of them");
        let ring = Ring::new(list.iter().map(|member| (member.name.as_str(), member.capacity)));
        let (cluster, marks, clock) = (cluster.to_owned(), Mutex::default(), Monotonic::start());
        Arc::new(Self { cluster, list, own: at, ring, marks, clock })
    }

    /// The names of the edges that should serve what is stored under `key`, its owner first.
    pub fn order(&self, key: &[u8]) -> impl Iterator<Item = &str> {
        self.ring.order(hash_of(key, 0)).map(|at| self.list[at].name.as_str())
    }

    /// This edge's name.
    pub(crate) fn own(&self) -> &str {
        &self.list[self.own].name
    }

    /// Whether an edge of this name is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|member| member.name == name)
    }

    /// Whether a certificate that the cluster's authority vouches for is that of one of them.
    pub(crate) fn believes(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
        self.list.iter().any(|member| {
            let name = ServerName::try_from(server_name(&member.name, &self.cluster));
            name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        })
    }

    /// Marks that something of another edge's is asked for; whether it is in demand.
    pub(crate) fn is_hot(&self, hash: u64) -> bool {
        self.marks.lock().is_hot(hash, self.clock.now())
    }
}

/// The name in the certificate of a cluster's edge.
pub fn server_name(edge: &str, cluster: &str) -> String {
    format!("{edge}.{cluster}.nigh.internal")
}

/// Where an object lies among the edges, or a slice of it. The first slice is where the object is.
pub(crate) fn hash_of(key: &[u8], slice: u64) -> u64 {
    match slice {
        0 => hashing::key_hash(key),
        // No URI has a space.
        later => hashing::key_hash(&[key, b" ", later.to_string().as_bytes()].concat()),
    }
}

/// Both sides of the trust between the edges of a cluster, TLS 1.3 alone: whom this edge lets in, and how
/// it shows itself. `name` is its own, as [`server_name`] writes it.
///
/// # Errors
/// If the authority is none, certificate and key do not fit, or the certificate is not for `name`.
pub fn trust(
    authority: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
    name: &str,
) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authority);
    let roots = Arc::new(roots);
    let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots)).build();
    let verifier = verifier.map_err(TrustError::Authority)?;
    let is_for = |leaf: &CertificateDer<'_>| {
        let wanted = ServerName::try_from(name.to_owned());
        let wanted = wanted.map_err(|_| rustls::Error::General("it is no name".to_owned()))?;
        verify_server_name(&ParsedCertificate::try_from(leaf)?, &wanted)
    };
    let named = |source| TrustError::Name { name: name.to_owned(), source };
    chain.first().map_or(Ok(()), is_for).map_err(named)?;
    let mut server = ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(TrustError::Mismatch)?;
    let mut client = ClientConfig::builder_with_protocol_versions(&[&TLS13])
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key.clone_key())
        .map_err(TrustError::Mismatch)?;
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    client.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok((Arc::new(server), Arc::new(client)))
}

/// One core's connections to its siblings, and how it sees them.
#[derive(Debug)]
pub(crate) struct Siblings {
    members: Arc<Members>,
    /// `None` in this edge's own place.
    origins: Vec<Option<Rc<Origin>>>,
    turns: RefCell<Turns>,
}

impl Siblings {
    /// Connections to `members`, none of them open. Those that `before` had too go on, with what is known
    /// of their ends.
    pub(crate) fn new(
        members: Arc<Members>,
        client: &Arc<ClientConfig>,
        before: Option<&Self>,
    ) -> Rc<Self> {
        let known = |member: &Member| {
            let before = before?;
            let at = before
                .members
                .list
                .iter()
                .position(|it| it.name == member.name && it.address == member.address)?;
            before.origins[at].clone()
        };
        let reach = |(at, member): (usize, &Member)| {
            let dial = || Origin::new(dial(member, &members.cluster), Some(Arc::clone(client)));
            (at != members.own).then(|| known(member).unwrap_or_else(dial))
        };
        let origins = members.list.iter().enumerate().map(reach).collect();
        let turns = RefCell::new(Turns::new(&vec![1; members.list.len()]));
        Rc::new(Self { members, origins, turns })
    }

    pub(crate) const fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// Whether this edge is the first that should serve what has this hash.
    pub(crate) fn owns(&self, hash: u64) -> bool {
        self.members.ring.order(hash).next() == Some(self.members.own)
    }

    /// Asks the owner of `hash`, and those after it if it fails; `None` if it is for this edge to ask the
    /// origin, because it is the owner's successor, or nobody is left.
    pub(crate) async fn ask(
        &self,
        hash: u64,
        request: &Request<RequestBody>,
        interim: Option<mpsc::Sender<Interim>>,
        counters: &Counters,
    ) -> Option<Fetched> {
        for at in self.members.ring.order(hash) {
            // This edge itself has none.
            let origin = self.origins[at].as_ref()?;
            if !self.turns.borrow().is_available(at, self.members.clock.now()) {
                continue;
            }
            let copy = copy_if_idempotent(request)?;
            counters.sibling_request();
            match origin.send(copy, interim.clone()).await {
                Ok(fetched) if is_declined(&fetched) => counters.sibling_failure(),
                Ok(fetched) => {
                    self.turns.borrow_mut().succeeded(at);
                    counters.sibling_answer();
                    return Some(fetched);
                }
                // Whatever it heard of the request: asking for it twice does no harm.
                Err(_) => {
                    counters.sibling_failure();
                    self.failed(at);
                }
            }
        }
        None
    }

    fn failed(&self, at: usize) {
        let out = self.turns.borrow_mut().failed(at, self.members.clock.now());
        if let Some(out) = out {
            let edge = &self.members.list[at].name;
            warn!(edge, secs = out.as_secs(), "an edge of the cluster fails: left out for a while");
        }
    }
}

/// Whether a sibling says that another edge is to be asked.
fn is_declined(fetched: &Fetched) -> bool {
    fetched.head.headers.get(hop::NAME).is_some_and(|said| said == hop::DECLINED)
}

/// How a sibling is reached: at an address, under another name.
fn dial(member: &Member, cluster: &str) -> origin::Settings {
    origin::Settings {
        port: member.address.port(),
        keep_host: true,
        http2_prior_knowledge: true,
        connect_limit: CONNECT_LIMIT,
        first_byte_limit: FIRST_BYTE_LIMIT,
        certified_as: Some(server_name(&member.name, cluster)),
        ping: Some(PING),
        ..origin::Settings::of(Scheme::Https, &member.address.ip().to_string())
    }
}
