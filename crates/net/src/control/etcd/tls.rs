//! TLS to an etcd: whom we believe, what we show, and why no connection comes about. The client tries its
//! members again and again without saying why, so after a request without an answer a handshake with
//! each of them finds out.

use std::{fmt, io, sync::Arc, time::Duration};

use etcd_client::{Identity, TlsOptions};
use http::Uri;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore, pki_types::ServerName,
};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;

use super::SettingsError;
use crate::tls::{self, TlsError};

/// How long a member may take for a handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(2);

/// How long it may take to say that it does not like what was shown: in TLS 1.3, it does so behind the
/// handshake.
const REFUSAL_MAX: Duration = Duration::from_millis(300);

/// How we and the etcd trust each other, all as PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities under which the etcd's stands, instead of those that this machine
    /// trusts.
    pub authority: Option<Vec<u8>>,
    /// What we show to it.
    pub shown: Option<Shown>,
}

/// A certificate, and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// The certificate, and those between it and its authority.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

/// Keys are not shown.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The same for one half of it.
impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl Tls {
    /// What the client wants to have, and with what handshakes are tried.
    pub(super) fn prepare(&self) -> Result<(TlsOptions, Arc<ClientConfig>), SettingsError> {
        let roots = match &self.authority {
            None => tls::machine_roots(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                let found = tls::certificates(pem).map_err(SettingsError::Authority)?;
                roots.add_parsable_certificates(found);
                roots
            }
        };
        let mut options = TlsOptions::new().trust_anchors(roots.roots.iter().cloned());
        let mut shown = None;
        if let Some(Shown { certificate, key }) = &self.shown {
            let chain = tls::certificates(certificate).map_err(SettingsError::Shown)?;
            shown = Some((chain, tls::private_key(key).map_err(SettingsError::Shown)?));
            options = options.identity(Identity::from_pem(certificate, key));
        }
        let config = tls::under(roots, shown).map_err(|error| match error {
            TlsError::NoRoots => SettingsError::Authority(error),
            error => SettingsError::Shown(error),
        })?;
        Ok((options, Arc::new(config)))
    }
}

/// Why a member cannot be asked over TLS. The operator mends it.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// Nobody listens there, or it is not reached.
    #[error("cannot connect to {member}")]
    Connect {
        /// Its address.
        member: String,
        /// Why.
        source: io::Error,
    },
    /// It says nothing.
    #[error("{member} does not answer")]
    Silent {
        /// Its address.
        member: String,
    },
    /// What it says is no TLS, or it hangs up on hearing some.
    #[error("{member} does not speak TLS, as it seems: etcd:// is for those that do not")]
    Plain {
        /// Its address.
        member: String,
    },
    /// Its certificate is somebody else's.
    #[error("the certificate of {member} is under none of the authorities that are believed here")]
    Stranger {
        /// Its address.
        member: String,
    },
    /// It wants to see one of ours.
    #[error("{member} asks for a certificate of ours, and none is named")]
    Asks {
        /// Its address.
        member: String,
    },
    /// It does not believe ours.
    #[error("{member} does not take our certificate")]
    Refuses {
        /// Its address.
        member: String,
        /// What it says.
        source: rustls::Error,
    },
    /// Something else.
    #[error("TLS with {member} fails")]
    Handshake {
        /// Its address.
        member: String,
        /// Why.
        source: io::Error,
    },
}

impl Unreachable {
    /// Whether other certificates, on this side or the other, would mend it.
    pub(super) const fn is_of_certificates(&self) -> bool {
        match self {
            Self::Stranger { .. }
            | Self::Asks { .. }
            | Self::Refuses { .. }
            | Self::Handshake { .. } => true,
            Self::Connect { .. } | Self::Silent { .. } | Self::Plain { .. } => false,
        }
    }
}

/// Tries handshakes.
#[derive(Debug)]
pub(super) struct Probe {
    config: Arc<ClientConfig>,
    /// Whether that shows a certificate.
    shows: bool,
    members: Vec<Uri>,
}

impl Probe {
    /// Of the members at these URLs; one that cannot be read was refused before.
    pub(super) fn new(config: Arc<ClientConfig>, urls: &[String]) -> Self {
        let members = urls.iter().filter_map(|url| url.parse().ok()).collect();
        Self { shows: config.client_auth_cert_resolver.has_certs(), config, members }
    }

    /// Why they cannot be asked: what one says of certificates, rather than that another is not there.
    /// `None` if one can be.
    pub(super) async fn why(self: Arc<Self>) -> Option<Unreachable> {
        let mut asking = JoinSet::new();
        for number in 0..self.members.len() {
            let probe = Arc::clone(&self);
            asking.spawn(async move { (number, probe.shake_hands(&probe.members[number]).await) });
        }
        let mut found = Vec::new();
        while let Some(Ok((number, shaken))) = asking.join_next().await {
            match shaken {
                Ok(()) => return None,
                Err(why) => found.push((!why.is_of_certificates(), number, why)),
            }
        }
        let first = found.into_iter().min_by_key(|(is_other, number, _)| (*is_other, *number));
        first.map(|(.., why)| why)
    }

    async fn shake_hands(&self, uri: &Uri) -> Result<(), Unreachable> {
        let member = uri.authority().map(ToString::to_string).unwrap_or_default();
        let silent = || Unreachable::Silent { member: member.clone() };
        let failed = |error| explain(member.clone(), error, self.shows);
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| failed(io::Error::other(error)))?;
        let connecting = timeout(HANDSHAKE_MAX, TcpStream::connect(&member)).await;
        let stream = connecting.map_err(|_| silent())?;
        let stream =
            stream.map_err(|source| Unreachable::Connect { member: member.clone(), source })?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let shaking = timeout(HANDSHAKE_MAX, connector.connect(name, stream)).await;
        let mut stream = shaking.map_err(|_| silent())?.map_err(failed)?;
        match timeout(REFUSAL_MAX, stream.read_u8()).await {
            // What else it does is no matter of TLS.
            Err(_) | Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Ok(Err(error)) => Err(failed(error)),
        }
    }
}

fn explain(member: String, error: io::Error, shows: bool) -> Unreachable {
    use rustls::Error;

    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned();
    match of_tls {
        Some(Error::InvalidMessage(_)) => Unreachable::Plain { member },
        // One that was made anew under the name of one that is believed signs otherwise.
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => Unreachable::Stranger { member },
        // Some say so where they were shown none, some say that it is bad.
        Some(Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate,
        )) if !shows => Unreachable::Asks { member },
        Some(
            source @ Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::DecryptError,
            ),
        ) => Unreachable::Refuses { member, source },
        None if error.kind() == io::ErrorKind::UnexpectedEof => Unreachable::Plain { member },
        _ => Unreachable::Handshake { member, source: error },
    }
}
