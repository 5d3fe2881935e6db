//! The authority's side.

use std::{convert::Infallible, fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::{
    super::{
        authority::{Authority, AuthorityError, REQUEST_MAX, certificate_pem},
        credentials::{Credentials, Shown},
        identity::{Identity, JoinId},
        name::Name,
        registry::{Member, Refusal, Registry},
        tls::{self, Clock, Trust},
        token::Token,
    },
    HEAD_MAX, JOIN, PATIENCE, RENEW,
};
use crate::entropy::OsSecrets;

/// An authority that answers who joins and who renews.
pub struct JoinServer<R> {
    authority: Authority,
    registry: R,
    trust: Arc<Trust>,
    own: Mutex<Credentials>,
    shown: Arc<Shown>,
    acceptor: TlsAcceptor,
}

impl<R: Registry> JoinServer<R> {
    /// An authority with what it remembers. Its own certificate lives in memory and is renewed there.
    ///
    /// # Errors
    /// If the authority has ended.
    ///
    /// # Panics
    /// Never: the authority's certificate is one.
    pub fn new(
        authority: Authority,
        registry: R,
        clock: Clock,
    ) -> Result<Arc<Self>, AuthorityError> {
        let own = authority.own_credentials(clock.now(), &mut OsSecrets::new())?;
        let trust = Trust::of(&own, clock).expect("the authority has a certificate of one");
        let shown = Shown::new(&own);
        let acceptor = TlsAcceptor::from(Arc::new(tls::join_server(&trust, &shown)));
        Ok(Arc::new(Self { authority, registry, trust, own: Mutex::new(own), shown, acceptor }))
    }

    /// Whom it believes when a certificate is to be renewed.
    pub const fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Serves for ever, `CONNECTIONS` at once; others wait in the kernel's queue.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    debug!(%error, "a connection was not accepted");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            self.stay_current();
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                match timeout(PATIENCE, server.talk(stream)).await {
                    Ok(Ok(())) => {}
                    // Who breaks off, or is no edge, harms itself alone.
                    Ok(Err(error)) => debug!(%error, "who wanted to join broke off"),
                    Err(_) => debug!("who wanted to join took too long"),
                }
                drop(place);
            });
        }
    }

    /// Renews the certificate under which it answers itself.
    fn stay_current(&self) {
        let now = self.trust.clock().now();
        let mut own = self.own.lock();
        if !own.identity().is_to_renew(now) {
            return;
        }
        match self.authority.own_credentials(now, &mut OsSecrets::new()) {
            Ok(made) => {
                self.shown.exchange(&made);
                *own = made;
            }
            Err(error) => warn!(%error, "the authority cannot renew its own certificate"),
        }
    }

    async fn talk(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let stream = self.acceptor.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let peer = shown.map(|shown| self.trust.peer(shown));
        let peer = peer.transpose().map_err(io::Error::other)?;
        let service = hyper::service::service_fn(move |request| {
            let (server, peer) = (Arc::clone(self), peer.clone());
            async move { Ok::<_, Infallible>(response(server.answer(peer, request).await)) }
        });
        let talking = hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(HEAD_MAX)
            .serve_connection(TokioIo::new(stream), service);
        talking.await.map_err(io::Error::other)
    }

    /// The certificates that are handed out, in PEM.
    async fn answer(
        &self,
        peer: Option<Identity>,
        request: Request<Incoming>,
    ) -> Result<String, Denial> {
        let (head, body) = request.into_parts();
        let is_join = match head.uri.path() {
            JOIN => true,
            RENEW => false,
            _ => return Err(Denial::NotFound),
        };
        if head.method != Method::POST {
            return Err(Denial::Method);
        }
        if is_join {
            let token = shown_token(&head.headers)?;
            let name = head.uri.query().and_then(|query| query.strip_prefix("name="));
            let name = name.and_then(|name| name.parse().ok()).ok_or(Denial::Name)?;
            self.join(&token, name, &text(body).await?).await
        } else {
            let peer = peer.ok_or(Denial::NoCertificate)?;
            self.renew(&peer, &text(body).await?).await
        }
    }

    async fn join(&self, token: &Token, name: Name, request: &str) -> Result<String, Denial> {
        if token.cluster != *self.authority.cluster()
            || token.fingerprint != self.authority.fingerprint()
        {
            return Err(Denial::OtherCluster);
        }
        if name == Name::of_authority() {
            return Err(Denial::Name);
        }
        let now = self.trust.clock().now();
        let join = JoinId::draw(&mut OsSecrets::new());
        // Signed before the token is taken, so that a bad request costs none; handed out after.
        let (leaf, identity) = self.issue(&name, request, join)?;
        let member = Member { name: name.clone(), join, ends: identity.ends };
        self.registry.admit(token, member, now).await?;
        info!(edge = %name, join = %join, token = %token.id, "an edge joined");
        Ok(self.chain(&leaf))
    }

    async fn renew(&self, peer: &Identity, request: &str) -> Result<String, Denial> {
        if peer.name == Name::of_authority() {
            return Err(Denial::Name);
        }
        let now = self.trust.clock().now();
        let (leaf, identity) = self.issue(&peer.name, request, peer.serial.join())?;
        self.registry.renew(peer, identity.ends, now).await?;
        debug!(edge = %peer.name, "an edge renewed its certificate");
        Ok(self.chain(&leaf))
    }

    fn issue(
        &self,
        name: &Name,
        request: &str,
        join: JoinId,
    ) -> Result<(CertificateDer<'static>, Identity), Denial> {
        let (now, mut secrets) = (self.trust.clock().now(), OsSecrets::new());
        let leaf = self.authority.issue(name, request, join, now, &mut secrets)?;
        let identity = Identity::read(&leaf, self.authority.cluster())
            .expect("the authority makes certificates of edges");
        Ok((leaf, identity))
    }

    fn chain(&self, leaf: &CertificateDer<'_>) -> String {
        certificate_pem(leaf) + &self.authority.certificate_pem()
    }
}

impl<R> fmt::Debug for JoinServer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinServer").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// Why a certificate is not handed out, as the asker is told.
#[derive(Debug, thiserror::Error)]
enum Denial {
    #[error("there is nothing here but {JOIN} and {RENEW}")]
    NotFound,
    #[error("send POST")]
    Method,
    #[error("show a token: Authorization: Bearer nigh1-...")]
    NoToken,
    #[error("the token is of another cluster, or of one that had this name before")]
    OtherCluster,
    #[error("show the certificate that is to be renewed")]
    NoCertificate,
    #[error(
        "say ?name=EDGE: 1 to 63 lower-case letters, digits and hyphens, and not the authority's name"
    )]
    Name,
    #[error("a request for a certificate has at most {REQUEST_MAX} bytes of text")]
    Content,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Denial {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoToken | Self::NoCertificate => StatusCode::UNAUTHORIZED,
            Self::Refused(Refusal::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(Refusal::NameTaken) => StatusCode::CONFLICT,
            Self::Refused(_) | Self::OtherCluster => StatusCode::FORBIDDEN,
            Self::Authority(AuthorityError::Request | AuthorityError::Key)
            | Self::Name
            | Self::Content => StatusCode::BAD_REQUEST,
            Self::Authority(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

fn response(answer: Result<String, Denial>) -> Response<Full<Bytes>> {
    let (status, kind, content) = match answer {
        Ok(chain) => (StatusCode::OK, "application/pem-certificate-chain", chain),
        Err(denial) => {
            // Of what went wrong within, the one who asks learns that it did.
            if denial.status().is_server_error() {
                let error: &dyn std::error::Error = &denial;
                warn!(error, "an edge could not be given a certificate");
            } else {
                debug!(%denial, "an edge was refused");
            }
            (denial.status(), "text/plain", format!("{denial}\n"))
        }
    };
    let mut response = Response::new(Full::from(content));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn shown_token(fields: &HeaderMap) -> Result<Token, Denial> {
    let shown = fields.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = shown.and_then(|value| value.split_once(' ')).ok_or(Denial::NoToken)?;
    let token = token.parse().ok().filter(|_| scheme.eq_ignore_ascii_case("bearer"));
    token.ok_or(Denial::NoToken)
}

async fn text(body: Incoming) -> Result<String, Denial> {
    let content = Limited::new(body, REQUEST_MAX).collect().await.map_err(|_| Denial::Content)?;
    String::from_utf8(content.to_bytes().into()).map_err(|_| Denial::Content)
}

/// Connections at once. Whoever can reach the address can take these places for [`PATIENCE`] each, and
/// nothing else.
const CONNECTIONS: usize = 64;

/// How long accepting pauses when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
