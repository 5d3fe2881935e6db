//! The edge's side.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    super::{
        authority::Fingerprint,
        credentials::{self, Credentials, CredentialsError, NewKey, Shown},
        name::Name,
        tls::{self, Clock, Trust},
        token::{JoinAddress, Token},
    },
    ANSWER_MAX, HEAD_MAX, JOIN, PATIENCE, RENEW,
};

/// Why an edge did not get a certificate.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nobody answers there. Trying again may help.
    #[error("nobody answers at {address}")]
    Unreachable {
        /// Where.
        address: JoinAddress,
        /// Why.
        source: io::Error,
    },
    /// Who answers there is not the cluster's authority, or does not believe us.
    #[error("no trust between this machine and {address}")]
    Untrusted {
        /// Where.
        address: JoinAddress,
        /// Why.
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("the answer of {address} broke off")]
    BrokenOff {
        /// Where.
        address: JoinAddress,
        /// Why.
        source: hyper::Error,
    },
    /// The authority says no, and why.
    #[error("the authority refuses: {said}")]
    Refused {
        /// Its words.
        said: String,
    },
    /// What came is longer than it may be, or no text.
    #[error("the answer of {address} is none of an authority")]
    Answer {
        /// Where.
        address: JoinAddress,
    },
    /// What came are not the certificates that were asked for.
    #[error("the certificates that came are not those that were asked for")]
    Certificates(#[source] CredentialsError),
    /// The authority has put another name, another cluster or another authority into them.
    #[error("the certificate that came is another edge's")]
    OtherName,
    /// No key can be made.
    #[error("cannot make a key")]
    Key(#[from] rcgen::Error),
}

impl JoinError {
    /// Whether another address may do better.
    const fn is_of_place(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Untrusted { .. } | Self::BrokenOff { .. })
    }
}

/// Joins the cluster that `token` names, as the edge `name`: makes a key and gets a certificate for it.
///
/// # Errors
/// If the authority cannot be reached or refuses. The token may have been used up even so, if the
/// answer was lost.
///
/// # Panics
/// Outside a tokio runtime with I/O and time.
pub async fn join(token: &Token, name: &Name, clock: &Clock) -> Result<Credentials, JoinError> {
    let config = Arc::new(tls::join_client(&token.cluster, token.fingerprint, clock.clone()));
    let mut shown = HeaderValue::try_from(format!("Bearer {}", token.text()))
        .expect("a token has letters, digits and signs");
    shown.set_sensitive(true);
    let asked = Asked { path: format!("{JOIN}?name={name}"), token: Some(shown) };
    let expected = Expected { cluster: &token.cluster, name, authority: token.fingerprint };
    ask_all(&token.addresses, &config, &asked, &expected).await
}

/// Exchanges a certificate, while it is good, for a fresh one with a key of its own.
///
/// # Errors
/// If the authority cannot be reached or refuses; the old certificate is as good as it was.
///
/// # Panics
/// Outside a tokio runtime with I/O and time; and if the authority's certificate in `credentials` is
/// none.
pub async fn renew(
    credentials: &Credentials,
    addresses: &[JoinAddress],
    clock: &Clock,
) -> Result<Credentials, JoinError> {
    let trust = Trust::of(credentials, clock.clone()).expect("it is an authority's");
    let shown = Shown::new(credentials);
    let config = Arc::new(tls::client(&trust, &shown, &[tls::JOIN_PROTOCOL]));
    let asked = Asked { path: RENEW.to_owned(), token: None };
    let expected = Expected {
        cluster: credentials.cluster(),
        name: &credentials.identity().name,
        authority: credentials.fingerprint(),
    };
    ask_all(addresses, &config, &asked, &expected).await
}

struct Asked {
    path: String,
    token: Option<HeaderValue>,
}

/// What must stand in the certificates that come.
struct Expected<'a> {
    cluster: &'a Name,
    name: &'a Name,
    authority: Fingerprint,
}

async fn ask_all(
    addresses: &[JoinAddress],
    config: &Arc<ClientConfig>,
    asked: &Asked,
    expected: &Expected<'_>,
) -> Result<Credentials, JoinError> {
    let key = NewKey::make()?;
    let request = key.request()?;
    let mut failure = None;
    for address in addresses {
        let asking = ask(address, config, asked, expected.cluster, request.clone());
        let answer = match timeout(PATIENCE, asking).await {
            Ok(answer) => answer,
            Err(late) => {
                Err(JoinError::Unreachable { address: address.clone(), source: late.into() })
            }
        };
        match answer {
            Ok(pem) => return accept(key, &pem, expected),
            Err(error) if error.is_of_place() => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(failure.expect("there is an address, and it has failed"))
}

async fn ask(
    address: &JoinAddress,
    config: &Arc<ClientConfig>,
    asked: &Asked,
    cluster: &Name,
    request: String,
) -> Result<String, JoinError> {
    let authority = Name::of_authority().within(cluster);
    let server = ServerName::try_from(authority.clone()).expect("names are labels of domains");
    let stream = TcpStream::connect(address.as_str())
        .await
        .map_err(|source| JoinError::Unreachable { address: address.clone(), source })?;
    let stream = TlsConnector::from(Arc::clone(config))
        .connect(server, stream)
        .await
        .map_err(|source| JoinError::Untrusted { address: address.clone(), source })?;
    let broken = |source| JoinError::BrokenOff { address: address.clone(), source };
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driver = tokio::spawn(connection);
    let mut message = Request::new(Full::<Bytes>::from(request));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = asked.path.parse().expect("a path and a name");
    let host = HeaderValue::try_from(authority).expect("names are labels of domains");
    message.headers_mut().insert(header::HOST, host);
    if let Some(token) = &asked.token {
        message.headers_mut().insert(header::AUTHORIZATION, token.clone());
    }
    let (head, body) = sender.send_request(message).await.map_err(broken)?.into_parts();
    let content = Limited::new(body, ANSWER_MAX).collect().await;
    driver.abort();
    let text = content.ok().and_then(|content| String::from_utf8(content.to_bytes().into()).ok());
    let text = text.ok_or_else(|| JoinError::Answer { address: address.clone() })?;
    match head.status {
        StatusCode::OK => Ok(text),
        // It goes to a terminal.
        _ => Err(JoinError::Refused { said: text.trim().replace(char::is_control, " ") }),
    }
}

fn accept(key: NewKey, pem: &str, expected: &Expected<'_>) -> Result<Credentials, JoinError> {
    let chain = credentials::chain(pem).map_err(JoinError::Certificates)?;
    let got = key.with(expected.cluster, chain).map_err(JoinError::Certificates)?;
    let is_asked_for =
        got.identity().name == *expected.name && got.fingerprint() == expected.authority;
    if is_asked_for { Ok(got) } else { Err(JoinError::OtherName) }
}
