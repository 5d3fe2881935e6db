//! TLS on both sides: the certificate that clients see, and the roots that origins are held to.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

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
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no usable PEM.
    #[error("{path} holds no {what} in PEM form")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A variable is not set, or holds no usable PEM.
    #[error("the variable {name} holds no private key in PEM form")]
    Variable {
        /// Which.
        name: String,
    },
    /// The certificate and the key do not belong together.
    #[error("the certificate in {path} and its key do not fit")]
    Mismatch {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
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

/// Where a private key lies, in PEM. It is read when it is needed, and nothing repeats it.
#[derive(Clone, Copy, Debug)]
pub enum PrivateKey<'a> {
    /// In a file.
    File(&'a Path),
    /// In the environment's variable of this name.
    Variable(&'a str),
}

impl PrivateKey<'_> {
    fn read(self) -> Result<PrivateKeyDer<'static>, TlsError> {
        match self {
            Self::File(path) => PrivateKeyDer::from_pem_reader(open(path)?)
                .map_err(|_| TlsError::Pem { path: path.to_owned(), what: "private key" }),
            Self::Variable(name) => std::env::var(name)
                .ok()
                .and_then(|pem| PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok())
                .ok_or_else(|| TlsError::Variable { name: name.to_owned() }),
        }
    }
}

/// A certificate with its key, ready to be shown to clients.
pub type Certified = Arc<CertifiedKey>;

/// A certificate from a PEM file with the chain, leaf first, and its key.
///
/// # Errors
/// If a file or a variable cannot be read or used.
pub fn certified(certificate: &Path, key: PrivateKey<'_>) -> Result<Certified, TlsError> {
    let chain = certificates(certificate)?;
    certify(chain, key.read()?)
        .map_err(|source| TlsError::Mismatch { path: certificate.to_owned(), source })
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
/// that is shown to origins that ask for one, as [`server`] takes it.
///
/// # Errors
/// If a file or a variable cannot be read or used, or there are no roots at all.
pub fn client(
    extra: Option<&Path>,
    shown: Option<(&Path, PrivateKey<'_>)>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        warn!(%error, "some of this machine's root certificates cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra {
        roots.add_parsable_certificates(certificates(path)?);
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, key.read()?)
            .map_err(|source| TlsError::Mismatch { path: certificate.to_owned(), source })?,
    };
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::Pem { path: path.to_owned(), what: "certificate" };
    let found: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(open(path)?).collect();
    found.ok().filter(|chain| !chain.is_empty()).ok_or_else(none)
}

fn open(path: &Path) -> Result<BufReader<File>, TlsError> {
    let read = |source| TlsError::Read { path: path.to_owned(), source };
    File::open(path).map(BufReader::new).map_err(read)
}
