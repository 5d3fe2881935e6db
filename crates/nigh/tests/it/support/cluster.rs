//! Edges of one cluster, with an authority of their own, on this machine's loopback network.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use http::Request;
use nigh_net::{
    clock,
    cluster::{authority, credentials::Credentials, identity::JoinId},
    entropy::OsSecrets,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{
    Directory, Edge, Origin, SettingsFile,
    h2::{self, Got},
};

/// Who vouches for the edges of a cluster.
pub(crate) struct Authority(authority::Authority);

impl Authority {
    /// That of the cluster of this name.
    pub(crate) fn of(cluster: &str) -> Self {
        let cluster = cluster.parse().expect("a name");
        let made = authority::Authority::create(cluster, clock::now(), &mut OsSecrets::new());
        Self(made.expect("an authority"))
    }

    /// What an edge of this name has that has joined.
    pub(crate) fn certify(&self, name: &str) -> Credentials {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let request = CertificateParams::default().serialize_request(&key).expect("a request");
        let (request, mut secrets) = (request.pem().expect("text"), OsSecrets::new());
        let (name, join) = (name.parse().expect("a name"), JoinId::draw(&mut secrets));
        let leaf = self.0.issue(&name, &request, join, clock::now(), &mut secrets);
        let authority = self.0.certificate().clone();
        let made = Credentials::new(self.0.cluster(), key, leaf.expect("a certificate"), authority);
        made.expect("they belong together")
    }
}

/// A running cluster; those of its edges that were not killed.
pub(crate) struct Cluster {
    pub(crate) edges: Vec<Edge>,
    /// Where they come in to each other, in the same order at first.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) authority: Authority,
    files: Vec<SettingsFile>,
    _directory: Directory,
}

impl Cluster {
    /// So many edges before `origin`, called `eu-1` and so on; `lines` are more of each one's settings. All
    /// know that all are there.
    #[track_caller]
    pub(crate) fn start(name: &str, origin: &Origin, count: usize, lines: &str) -> Self {
        let mut cluster = Self::listed(name, origin, count, lines);
        (0..count).for_each(|_| cluster.start_next());
        cluster
    }

    /// The same, none of which was started yet.
    pub(crate) fn listed(name: &str, origin: &Origin, count: usize, lines: &str) -> Self {
        let addresses = addresses(count);
        let site = format!("[[site]]\nhost = \"*\"\norigin = \"{}\"\n{lines}", origin.url());
        let authority = Authority::of("eu");
        let directory = Directory::new(name);
        let listed = addresses.iter().enumerate();
        let listed = listed.map(|(at, address)| format!("\"eu-{}={address}\"", at + 1));
        let listed = listed.collect::<Vec<_>>().join(", ");
        let folder = directory.argument();
        let file = |(at, address): (usize, &SocketAddr)| {
            let edge = format!("eu-{}", at + 1);
            let joined = directory.0.join(&edge);
            fs::create_dir_all(&joined).expect("a temporary directory can be made");
            let write = |name: &str, text: String| {
                fs::write(joined.join(name), text).expect("a temporary file can be written");
            };
            write("authority.pem", authority.0.certificate_pem());
            write("edge.pem", authority.certify(&edge).to_pem());
            SettingsFile::saying(&format!(
                "[node]\nname = \"{edge}\"\nlisten = \"http://127.0.0.1:0\"\nworkers = 2\n\
                 admin = \"127.0.0.1:0\"\n[cache]\nslice = \"64KiB\"\nslice_above = \"256KiB\"\n\
                 [cluster.eu]\nedges = [{listed}]\nlisten = \"{address}\"\n\
                 dir = \"{folder}/{edge}\"\n{site}"
            ))
        };
        let files: Vec<_> = addresses.iter().enumerate().map(file).collect();
        Self { edges: Vec::new(), addresses, authority, files, _directory: directory }
    }

    /// Starts the next edge that was listed, and waits until all know that it is there.
    #[track_caller]
    pub(crate) fn start_next(&mut self) {
        self.edges.push(Edge::of(&self.files[self.edges.len()]));
        let count = self.edges.len();
        for edge in &self.edges {
            edge.status_until(|status| {
                let edges = status["cluster"]["edges"].as_array().expect("it is in a cluster");
                edges.iter().filter(|it| it["state"] == "up" && it["on_ring"] == true).count()
                    == count
            });
        }
    }

    /// Has an edge's settings say something else; it does not know yet.
    pub(crate) fn rewrite(&self, edge: usize, change: impl FnOnce(&str) -> String) {
        let file = &self.files[edge];
        let text = fs::read_to_string(&file.path).expect("it is there");
        file.rewrite(&change(&text));
    }

    /// Kills an edge, and starts it with the settings that it has now.
    #[track_caller]
    pub(crate) fn restart(&mut self, edge: usize) {
        // The one that was there goes first: they have the same addresses.
        drop(self.edges.remove(edge));
        self.edges.insert(edge, Edge::of(&self.files[edge]));
    }

    /// The sum over all edges of what `/metrics` says of this.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.edges.iter().map(|edge| edge.metric(name)).sum()
    }

    /// What somebody gets who comes in as an edge does, and shows this; `None` if it is nothing.
    pub(crate) fn ask_as(
        &self,
        edge: usize,
        shown: Option<&Credentials>,
        request: Request<h2::Content>,
    ) -> Option<Got> {
        let config = h2::tls_showing(shown.map(|made| {
            let pem = made.to_pem();
            let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
            (chain.expect("certificates"), key.expect("a key"))
        }));
        h2::ask_over(self.addresses[edge], Arc::new(config), request)
    }
}

/// Addresses that nobody else has: of loopback networks, one for each process, and with a port for each
/// cluster in it. The edges have to know each other's before the first of them listens.
fn addresses(count: usize) -> Vec<SocketAddr> {
    static PORT: AtomicU16 = AtomicU16::new(20_000);
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    let [.., upper, lower] = std::process::id().to_be_bytes();
    let host =
        |at: usize| Ipv4Addr::new(127, 64 + upper % 128, lower, u8::try_from(at + 1).expect("few"));
    (0..count).map(|at| (host(at), port).into()).collect()
}
