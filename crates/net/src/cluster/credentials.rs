//! What an edge has of its cluster: its key, its certificate, and the authority's.

use std::{fmt, sync::Arc};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::watch;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    authority::{self, Fingerprint},
    identity::{Identity, IdentityError},
    name::Name,
};

/// A key, the certificate for it, and the certificate of the authority that signed it.
pub struct Credentials {
    key: KeyPair,
    leaf: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    cluster: Name,
    identity: Identity,
}

/// Why there are no credentials in a file or an answer.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A part is missing.
    #[error("there is no {what} in PEM form")]
    Pem {
        /// Which.
        what: &'static str,
    },
    /// The key is none of P-256.
    #[error("the key is none of P-256")]
    Key(#[from] rcgen::Error),
    /// The key is not the certificate's.
    #[error("the certificate and its key do not fit")]
    Mismatch,
    /// The authority's certificate names no cluster.
    #[error("the second certificate is none of a cluster's authority")]
    Authority,
    /// The certificate is none of an edge.
    #[error("the first certificate is none of an edge")]
    Identity(#[from] IdentityError),
}

impl Credentials {
    /// Puts together what belongs together.
    ///
    /// # Errors
    /// If it does not. Whether the authority has signed the certificate is not looked at: those whom
    /// it is shown to will.
    pub fn new(
        cluster: &Name,
        key: KeyPair,
        leaf: CertificateDer<'static>,
        authority: CertificateDer<'static>,
    ) -> Result<Self, CredentialsError> {
        let identity = Identity::read(&leaf, cluster)?;
        let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| IdentityError::Malformed)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(CredentialsError::Mismatch);
        }
        Ok(Self { key, leaf, authority, cluster: cluster.clone(), identity })
    }

    /// Reads what [`Credentials::to_pem`] has written.
    ///
    /// # Errors
    /// If a part is missing, or they do not belong together.
    pub fn from_pem(pem: &str) -> Result<Self, CredentialsError> {
        let missing = |what| CredentialsError::Pem { what };
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| missing("private key"))?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)?;
        let [leaf, authority] = chain(pem)?;
        let (_, parsed) =
            X509Certificate::from_der(&authority).map_err(|_| CredentialsError::Authority)?;
        let organization = parsed.subject().iter_organization().next();
        let cluster = organization.and_then(|name| name.as_str().ok()?.parse().ok());
        let cluster = cluster.ok_or(CredentialsError::Authority)?;
        Self::new(&cluster, key, leaf, authority)
    }

    /// All of it in one text, so that a file of it is exchanged as a whole: the key, the edge's
    /// certificate, the authority's.
    pub fn to_pem(&self) -> String {
        self.key.serialize_pem() + &self.chain_pem()
    }

    /// The two certificates.
    pub fn chain_pem(&self) -> String {
        authority::certificate_pem(&self.leaf) + &authority::certificate_pem(&self.authority)
    }

    /// The authority's certificate.
    pub fn authority_pem(&self) -> String {
        authority::certificate_pem(&self.authority)
    }

    /// Who shows these.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The cluster that they are good in.
    pub const fn cluster(&self) -> &Name {
        &self.cluster
    }

    /// The certificate of the authority.
    pub const fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// What tells the authority from others.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    fn certified(&self) -> Result<CertifiedKey, rustls::Error> {
        let chain = vec![self.leaf.clone(), self.authority.clone()];
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der()).into();
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
    }
}

/// Says nothing of the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// An edge's certificate and the authority's, as they stand in `pem`.
pub(super) fn chain(pem: &str) -> Result<[CertificateDer<'static>; 2], CredentialsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.ok().and_then(|chain| chain.try_into().ok());
    chain.ok_or(CredentialsError::Pem { what: "pair of certificates" })
}

/// A key that has no certificate yet. It never leaves this machine.
pub(super) struct NewKey(KeyPair);

impl NewKey {
    pub(super) fn make() -> Result<Self, rcgen::Error> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self)
    }

    /// The request for a certificate, in PEM. It names nobody: who it is for is said beside it.
    pub(super) fn request(&self) -> Result<String, rcgen::Error> {
        CertificateParams::default().serialize_request(&self.0)?.pem()
    }

    pub(super) fn with(
        self,
        cluster: &Name,
        [leaf, authority]: [CertificateDer<'static>; 2],
    ) -> Result<Credentials, CredentialsError> {
        Credentials::new(cluster, self.0, leaf, authority)
    }
}

/// The credentials that are shown now: new connections, of either side, see what they are then.
#[derive(Debug)]
pub struct Shown(watch::Sender<Arc<CertifiedKey>>);

impl Shown {
    /// These for now.
    ///
    /// # Panics
    /// If the key cannot sign, which those in [`Credentials`] can.
    pub fn new(credentials: &Credentials) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(signing(credentials))))
    }

    /// These from now on.
    ///
    /// # Panics
    /// As [`Shown::new`].
    pub fn exchange(&self, credentials: &Credentials) {
        self.0.send_replace(signing(credentials));
    }

    /// Changes whenever others are shown: connections that were made with the former ones end with those.
    pub fn changes(&self) -> watch::Receiver<Arc<CertifiedKey>> {
        self.0.subscribe()
    }
}

fn signing(credentials: &Credentials) -> Arc<CertifiedKey> {
    Arc::new(credentials.certified().expect("a key of P-256 signs, and was seen to fit"))
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.borrow()))
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.borrow()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
