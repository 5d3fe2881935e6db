//! TLS on both sides: the certificate that clients see, and the roots that origins are held to.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::warn;

/// What is offered by ALPN, best first. RFC 7301.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no usable PEM.
    #[error("there is no {what} in PEM form")]
    Pem {
        /// What was looked for.
        what: &'static str,
    },
    /// The certificate and the key do not belong together.
    #[error("the certificate and its key do not fit")]
    Mismatch(#[source] rustls::Error),
    /// No self-signed certificate could be made.
    #[error("cannot make a self-signed certificate")]
    SelfSigned(#[from] rcgen::Error),
    /// The machine trusts nobody, so no origin can be verified.
    #[error(
        "no root certificates were found on this machine: install the package ca-certificates, or \
         name a file of roots"
    )]
    NoRoots,
}

/// The certificates in `pem`, in their order; one at least.
///
/// # Errors
/// If there is none, or one of them is malformed.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.ok().filter(|chain| !chain.is_empty());
    found.ok_or(TlsError::Pem { what: "certificate" })
}

/// The first private key in `pem`. Nothing repeats it.
///
/// # Errors
/// If there is none.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::Pem { what: "private key" })
}

/// A certificate with its key, ready to be shown to clients.
pub type Certified = Arc<CertifiedKey>;

/// A certificate with its chain, leaf first, and its key.
///
/// # Errors
/// If they do not belong together.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Certified, TlsError> {
    certify(chain, key).map_err(TlsError::Mismatch)
}

/// The certificate that clients see: new connections see what it is then.
#[derive(Debug)]
pub struct Presented(RwLock<Certified>);

impl Presented {
    /// This one for now.
    pub fn new(certified: Certified) -> Arc<Self> {
        Arc::new(Self(RwLock::new(certified)))
    }

    /// From now on, new connections see this one; says whether it is another.
    pub fn exchange(&self, certified: Certified) -> bool {
        let before = std::mem::replace(&mut *self.0.write(), certified);
        before.cert != self.0.read().cert
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Certified> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// A server configuration that shows what is presented.
pub fn server(presented: Arc<Presented>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(presented);
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Arc::new(config)
}

/// A fresh certificate for `localhost`, 127.0.0.1 and ::1 that nobody else vouches for.
///
/// # Errors
/// If none can be made.
pub fn self_signed() -> Result<Certified, TlsError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certified = certify(vec![made.cert.der().clone()], key.into());
    Ok(certified.expect("a certificate and the key it was made with fit"))
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Certified, rustls::Error> {
    let provider = CryptoProvider::get_default().expect("the program installs one first of all");
    CertifiedKey::from_der(chain, key, provider).map(Arc::new)
}

/// A client configuration for origins: this machine's roots, and those in `extra`; and the certificate
/// that is shown to origins that ask for one, as [`certified`] takes it.
///
/// # Errors
/// If certificate and key do not belong together, or there are no roots at all.
pub fn client(
    extra: Vec<CertificateDer<'static>>,
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = machine_roots();
    roots.add_parsable_certificates(extra);
    let mut config = under(roots, shown)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}

/// Those whom this machine trusts.
pub(crate) fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        warn!(%error, "some of this machine's root certificates cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    roots
}

/// A client configuration with these roots, and the certificate that is shown.
///
/// # Errors
/// If certificate and key do not belong together, or there are no roots at all.
pub(crate) fn under(
    roots: RootCertStore,
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, TlsError> {
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match shown {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(TlsError::Mismatch),
    }
}
