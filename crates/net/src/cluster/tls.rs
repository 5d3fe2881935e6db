//! Mutual TLS under a cluster's own authority: who is believed, and the configurations that hold both
//! sides to it.
//!
//! TLS 1.3 alone, no early data, no resumption: every connection shows its certificates and is judged
//! anew, so that nothing can be replayed and no revoked edge returns on an old session.

use std::{collections::BTreeMap, fmt, slice, sync::Arc, time::Duration};

use nigh_base::Wall;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    time_provider::TimeProvider,
    version::TLS13,
};
use tokio::{sync::watch, time::sleep};

use super::{
    authority::Fingerprint,
    credentials::{Credentials, Shown},
    identity::{Identity, IdentityError, JoinId},
    name::Name,
    registry::MEMBERS_MAX,
};
use crate::clock;

/// Revocations that are known at once, at most: sixteen of each edge that may belong. Beyond, those go whose
/// certificates end first.
pub const REVOKED_MAX: usize = 16 * MEMBERS_MAX;

/// Joins whose certificates count no more, and until when that has to be known: the last of them has ended
/// by then.
pub type Revoked = BTreeMap<JoinId, Wall>;

/// Where certificates are held against the time: the machine's clock, or one that a test sets.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Wall + Send + Sync>);

impl Clock {
    /// The machine's.
    pub fn machine() -> Self {
        Self::new(clock::now)
    }

    /// One of the caller's own.
    pub fn new(now: impl Fn() -> Wall + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    pub fn now(&self) -> Wall {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.now().secs())))
    }
}

/// Whom an edge believes: the certificates of one authority, but for those that were revoked. Shared by
/// all configurations that are made with it.
#[derive(Debug)]
pub struct Trust {
    cluster: Name,
    roots: Arc<RootCertStore>,
    clock: Clock,
    revoked: watch::Sender<Revoked>,
}

/// Why a certificate counts for nothing, although the authority has signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It is none of an edge.
    #[error("the certificate is none of an edge")]
    Identity(#[from] IdentityError),
    /// It was revoked.
    #[error("the certificate was revoked")]
    Revoked,
    /// It has ended, or has not begun.
    #[error("the certificate is not good at this time")]
    Time,
}

impl Trust {
    /// Trust in what `authority` signs for edges of `cluster`.
    ///
    /// # Errors
    /// If `authority` is no certificate of an authority.
    pub fn new(
        cluster: Name,
        authority: CertificateDer<'static>,
        clock: Clock,
    ) -> Result<Arc<Self>, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let (revoked, _) = watch::channel(Revoked::new());
        Ok(Arc::new(Self { cluster, roots: Arc::new(roots), clock, revoked }))
    }

    /// Trust in the authority that has signed these.
    ///
    /// # Errors
    /// As [`Trust::new`].
    pub fn of(credentials: &Credentials, clock: Clock) -> Result<Arc<Self>, Error> {
        Self::new(credentials.cluster().clone(), credentials.authority().clone(), clock)
    }

    /// The cluster's name.
    pub const fn cluster(&self) -> &Name {
        &self.cluster
    }

    /// The clock that certificates are held against.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// From now on, certificates that come of these joins count for nothing. Handshakes fail at once;
    /// who has connections hears of it through [`Trust::changes`]. It is never taken back: who tells of
    /// revocations may lose them, and an edge that was put out is not in again by that. So they only grow,
    /// up to [`REVOKED_MAX`], and until their times are over. Says how many are new.
    pub fn revoke(&self, joins: &Revoked) -> usize {
        let now = self.clock.now();
        let mut count = 0;
        self.revoked.send_if_modified(|known| {
            let joins = joins.iter().filter(|(_, until)| now <= **until);
            for (join, until) in joins {
                if known.insert(*join, *until).is_none() {
                    count += 1;
                }
            }
            if count > 0 {
                known.retain(|_, until| now <= *until);
            }
            let over = known.len().saturating_sub(REVOKED_MAX);
            if over > 0 {
                let mut ends: Vec<_> = known.iter().map(|(join, until)| (*until, *join)).collect();
                ends.sort_unstable();
                for (_, join) in ends.iter().take(over) {
                    known.remove(join);
                }
            }
            count > 0
        });
        count
    }

    /// Changes whenever connections that exist have to be judged again.
    pub fn changes(&self) -> watch::Receiver<Revoked> {
        self.revoked.subscribe()
    }

    /// Waits until who has shown this certificate is believed no more: it was revoked, or has ended.
    pub async fn lost(&self, identity: &Identity) {
        let mut changes = self.changes();
        let ends = sleep(identity.ends.since(self.clock.now()));
        tokio::pin!(ends);
        // Judged after the subscription, so that no change falls between.
        while self.judge(identity).is_ok() {
            tokio::select! {
                changed = changes.changed() => changed.expect("the sender is in here"),
                // Its last second is good to its end (RFC 5280, section 4.1.2.5).
                () = &mut ends => return,
            }
        }
    }

    /// Whether who has shown this certificate is believed now. It takes a lookup and no allocation, so
    /// that every use of a connection can ask.
    ///
    /// # Errors
    /// If not.
    pub fn judge(&self, identity: &Identity) -> Result<(), Distrust> {
        self.judge_at(identity, self.clock.now())
    }

    fn judge_at(&self, identity: &Identity, now: Wall) -> Result<(), Distrust> {
        if self.revoked.borrow().contains_key(&identity.serial.join()) {
            return Err(Distrust::Revoked);
        }
        if identity.is_current(now) { Ok(()) } else { Err(Distrust::Time) }
    }

    /// Who is at the other end of a connection that TLS has let through: out of the certificates that
    /// were shown, leaf first.
    ///
    /// # Errors
    /// If nobody was shown, or who was is not believed any more.
    pub fn peer(&self, shown: &[CertificateDer<'_>]) -> Result<Identity, Distrust> {
        let leaf = shown.first().ok_or(IdentityError::Malformed)?;
        let identity = Identity::read(leaf, &self.cluster)?;
        self.judge(&identity)?;
        Ok(identity)
    }

    /// What TLS is told of a certificate whose chain it has verified.
    fn confirm(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let judged = Identity::read(leaf, &self.cluster)
            .map_err(Distrust::from)
            .and_then(|identity| self.judge_at(&identity, Wall::from_secs(now.as_secs())));
        judged.map_err(|distrust| {
            let why = match distrust {
                Distrust::Revoked => rustls::CertificateError::Revoked,
                Distrust::Time => rustls::CertificateError::Expired,
                Distrust::Identity(_) => rustls::CertificateError::ApplicationVerificationFailure,
            };
            Error::InvalidCertificate(why)
        })
    }
}

/// The side that is connected to, which wants a certificate of whoever connects, by any of these.
///
/// # Panics
/// If it trusts nobody.
pub fn server(trusts: &[Arc<Trust>], shown: &Arc<Shown>, protocols: &[&[u8]]) -> ServerConfig {
    server_for(trusts, shown, protocols, Strangers::Refused)
}

/// The side that connects, and shows its certificate.
pub fn client(trust: &Arc<Trust>, shown: &Arc<Shown>, protocols: &[&[u8]]) -> ClientConfig {
    let verifier = EdgeVerifier {
        inner: WebPkiServerVerifier::builder_with_provider(Arc::clone(&trust.roots), provider())
            .build()
            .expect("there is a root"),
        trust: Arc::clone(trust),
    };
    let mut config = client_builder(trust.clock.clone())
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::clone(shown) as _);
    finish(&mut config, protocols);
    config
}

/// The side where edges join: who has no certificate yet may connect, and is told apart by having shown
/// none. Who shows one is held to it as elsewhere.
pub(super) fn join_server(trust: &Arc<Trust>, shown: &Arc<Shown>) -> ServerConfig {
    server_for(slice::from_ref(trust), shown, &[JOIN_PROTOCOL], Strangers::LetIn)
}

/// The side that joins: it has no certificate, and believes the authority that its token names.
pub(super) fn join_client(cluster: &Name, fingerprint: Fingerprint, clock: Clock) -> ClientConfig {
    let verifier = PinnedVerifier { cluster: cluster.clone(), fingerprint };
    let mut config = client_builder(clock)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    finish(&mut config, &[JOIN_PROTOCOL]);
    config
}

/// What joining and renewing speak.
pub(super) const JOIN_PROTOCOL: &[u8] = b"http/1.1";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strangers {
    Refused,
    LetIn,
}

fn server_for(
    trusts: &[Arc<Trust>],
    shown: &Arc<Shown>,
    protocols: &[&[u8]],
    strangers: Strangers,
) -> ServerConfig {
    let judge = |trust: &Arc<Trust>| {
        let roots = Arc::clone(&trust.roots);
        let inner = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .clear_root_hint_subjects();
        let inner = match strangers {
            Strangers::Refused => inner,
            Strangers::LetIn => inner.allow_unauthenticated(),
        };
        (inner.build().expect("there is a root"), Arc::clone(trust))
    };
    let verifier = ClientVerifier(trusts.iter().map(judge).collect());
    let clock = trusts.first().expect("somebody is trusted").clock.clone();
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(clock))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::clone(shown) as _);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

fn client_builder(clock: Clock) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_details(provider(), Arc::new(clock))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
}

fn finish(config: &mut ClientConfig, protocols: &[&[u8]]) {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// Holds who connects to one of the authorities, and then to its cluster's name and to what was revoked
/// there: an authority vouches for edges of its own cluster alone.
#[derive(Debug)]
struct ClientVerifier(Vec<(Arc<dyn ClientCertVerifier>, Arc<Trust>)>);

impl ClientVerifier {
    /// What all of them have in common.
    fn any(&self) -> &dyn ClientCertVerifier {
        &*self.0[0].0
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.any().client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.any().root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut why = Error::General("nobody is trusted".to_owned());
        for (inner, trust) in &self.0 {
            let verified = inner.verify_client_cert(leaf, others, now);
            match verified.and_then(|verified| trust.confirm(leaf, now).map(|()| verified)) {
                Ok(verified) => return Ok(verified),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any().verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any().verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any().supported_verify_schemes()
    }
}

/// Holds who is connected to to the authority, to the name that was dialled, and to what was revoked.
#[derive(Debug)]
struct EdgeVerifier {
    inner: Arc<WebPkiServerVerifier>,
    trust: Arc<Trust>,
}

impl ServerCertVerifier for EdgeVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(leaf, others, name, ocsp, now)?;
        self.trust.confirm(leaf, now)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Holds who is connected to to the one authority with a fingerprint, whose certificate has to come
/// along; and to the authority's own name, which no edge has.
#[derive(Debug)]
struct PinnedVerifier {
    cluster: Name,
    fingerprint: Fingerprint,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_pinned = |it: &&CertificateDer<'_>| Fingerprint::of(it) == self.fingerprint;
        let authority = others.iter().find(is_pinned);
        let unknown = Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let authority = authority.ok_or(unknown)?.clone().into_owned();
        let now_at = Wall::from_secs(now.as_secs());
        let trust = Trust::new(self.cluster.clone(), authority, Clock::new(move || now_at))?;
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&trust.roots), provider());
        let inner = inner.build().expect("there is a root");
        EdgeVerifier { inner, trust }.verify_server_cert(leaf, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signature, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signature, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}
