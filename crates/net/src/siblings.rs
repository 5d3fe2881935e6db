//! The other edges of the cluster, as one core asks them: who owns what, who fails and is left out for a
//! while, and whose certificates are believed. `docs/cluster.md` says how a request travels.

mod ask;
mod members;

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};

pub use self::members::{CAPACITY_MAX, MEMBERS_MAX, Member, Members};
pub(crate) use self::{ask::Siblings, members::hash_of};

/// What edges speak to each other, by ALPN.
const PROTOCOL: &[u8] = b"h2";

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

/// The name in the certificate of a cluster's edge.
pub fn server_name(edge: &str, cluster: &str) -> String {
    format!("{edge}.{cluster}.nigh.internal")
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
