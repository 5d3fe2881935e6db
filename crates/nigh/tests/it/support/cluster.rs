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
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, ExtendedKeyUsagePurpose,
    IsCa, KeyPair,
};
use rustls::pki_types::PrivateKeyDer;

use super::{
    Directory, Edge, Origin, SettingsFile,
    h2::{self, Got},
};

/// Who vouches for the edges of a cluster.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// A certificate for this name.
    pub(crate) fn certify(&self, name: &str) -> CertifiedKey<KeyPair> {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        let purposes = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.extended_key_usages = purposes.into();
        let signing_key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&signing_key, &self.0).expect("a certificate");
        CertifiedKey { cert, signing_key }
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
    /// So many edges before `origin`, called `eu-1` and so on; `lines` are more of each one's settings.
    #[track_caller]
    pub(crate) fn start(name: &str, origin: &Origin, count: usize, lines: &str) -> Self {
        let addresses = addresses(count);
        let site = format!("[[site]]\nhost = \"*\"\norigin = \"{}\"\n{lines}", origin.url());
        let authority = Authority::new();
        let directory = Directory::new(name);
        fs::create_dir_all(&directory.0).expect("a temporary directory can be made");
        let write = |name: &str, text: String| {
            fs::write(directory.0.join(name), text).expect("a temporary file can be written");
        };
        write("ca.pem", authority.0.pem());
        let listed = addresses.iter().enumerate();
        let listed = listed.map(|(at, address)| format!("\"eu-{}={address}\"", at + 1));
        let listed = listed.collect::<Vec<_>>().join(", ");
        let folder = directory.argument();
        let file = |(at, address): (usize, &SocketAddr)| {
            let edge = format!("eu-{}", at + 1);
            let made = authority.certify(&format!("{edge}.eu.nigh.internal"));
            write(&format!("{edge}.pem"), made.cert.pem());
            write(&format!("{edge}.key"), made.signing_key.serialize_pem());
            SettingsFile::saying(&format!(
                "[node]\nname = \"{edge}\"\nlisten = \"http://127.0.0.1:0\"\nworkers = 2\n\
                 admin = \"127.0.0.1:0\"\n[cache]\nslice = \"64KiB\"\nslice_above = \"256KiB\"\n\
                 [cluster.eu]\nedges = [{listed}]\nlisten = \"{address}\"\nca = \"{folder}/ca.pem\"\n\
                 cert = \"{folder}/{edge}.pem\"\nkey = \"{folder}/{edge}.key\"\n{site}"
            ))
        };
        let files: Vec<_> = addresses.iter().enumerate().map(file).collect();
        let edges = files.iter().map(Edge::of).collect();
        Self { edges, addresses, authority, files, _directory: directory }
    }

    /// Has an edge's settings say something else; it does not know yet.
    pub(crate) fn rewrite(&self, edge: usize, change: impl FnOnce(&str) -> String) {
        let file = &self.files[edge];
        let text = fs::read_to_string(&file.path).expect("it is there");
        file.rewrite(&change(&text));
    }

    /// Where an edge's settings are.
    pub(crate) fn file(&self, edge: usize) -> &str {
        self.files[edge].argument()
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
        shown: Option<&CertifiedKey<KeyPair>>,
        request: Request<h2::Content>,
    ) -> Option<Got> {
        let config = h2::tls_showing(shown.map(|made| {
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
            (vec![made.cert.der().clone()], key)
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
