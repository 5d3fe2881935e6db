//! The connections to the origin: pooled, several at once, HTTP/1.1 or HTTP/2, in clear or over
//! verified TLS. One pool a core, so that nothing is shared and nothing is locked.

mod stream;

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::{
    body::{Body as _, Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::TokioIo;
use nigh_cache::{
    flight::{Failure, Interim},
    key::Scheme,
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tracing::{debug, warn};

use self::stream::Stream;
use crate::{body::RequestBody, executor::Local};

/// Where the origin is, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Keep the client's Host instead of sending the origin's.
    pub keep_host: bool,
    /// HTTP/2 without asking (prior knowledge); over TLS it is negotiated anyway.
    pub http2_prior_knowledge: bool,
    /// Time to connect, TLS included.
    pub connect_limit: Duration,
    /// Time from the last byte of the request to the first of the response.
    pub first_byte_limit: Duration,
    /// Time between two reads of a body.
    pub idle_limit: Duration,
    /// How long an unused connection is kept. Shorter than most origins' own limit, so that we
    /// seldom write into one that they are closing.
    pub keep_alive: Duration,
    /// Connections at once, a core. Requests above it wait for one.
    pub connections: usize,
    /// Bytes of a response's head.
    pub head_bytes: usize,
}

/// Why a text names no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not a URI.
    #[error("`{0}` is no URL: write http://HOST[:PORT] or https://HOST[:PORT]")]
    NotUrl(String),
    /// Neither http nor https.
    #[error("`{0}` has no scheme that an origin speaks: write http:// or https://")]
    Scheme(String),
    /// It has a path, which would have to be joined to the request's.
    #[error("`{0}` has a path: the origin is a host; requests bring their own paths")]
    Path(String),
}

impl Settings {
    /// The origin that a URL names, with default limits.
    ///
    /// # Errors
    /// If it is no `http` or `https` URL, or has a path.
    pub fn parse(url: &str) -> Result<Self, OriginError> {
        let not_url = || OriginError::NotUrl(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| not_url())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(OriginError::Scheme(url.to_owned())),
        };
        if uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(OriginError::Path(url.to_owned()));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(not_url)?;
        Ok(Self {
            scheme,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or_else(|| scheme.default_port()),
            keep_host: false,
            http2_prior_knowledge: false,
            connect_limit: Duration::from_secs(5),
            first_byte_limit: Duration::from_secs(30),
            idle_limit: Duration::from_secs(30),
            keep_alive: Duration::from_secs(50),
            connections: 1024,
            head_bytes: 64 * 1024,
        })
    }

    /// The authority as it stands in Host.
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

/// One core's connections to an origin.
pub struct Origin {
    settings: Settings,
    authority: HeaderValue,
    tls: Option<tokio_rustls::TlsConnector>,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Option<http2::SendRequest<RequestBody>>>,
    /// Held while an HTTP/2 connection is being made, so that a burst makes one and not hundreds.
    connecting: tokio::sync::Mutex<()>,
    speaks_http2: Cell<bool>,
    permits: Arc<Semaphore>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// An HTTP/1 connection; while it exists, it counts against the limit.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<RequestBody>,
    _permit: OwnedSemaphorePermit,
}

/// A response whose body brings its connection back to the pool.
#[derive(Debug)]
pub struct Fetched {
    /// The head.
    pub head: http::response::Parts,
    body: Incoming,
    lease: Option<Lease>,
    idle_limit: Duration,
}

#[derive(Debug)]
struct Lease {
    connection: Connection,
    origin: Rc<Origin>,
}

/// Why a request to the origin failed, and whether it may be sent again.
#[derive(Debug)]
struct Broken {
    failure: Failure,
    /// Nothing of it reached the origin, or it did on a connection that was closing.
    unsent: Option<Request<RequestBody>>,
}

impl Origin {
    /// A pool without connections. `tls` is needed when the scheme is https.
    pub fn new(settings: Settings, tls: Option<Arc<rustls::ClientConfig>>) -> Rc<Self> {
        let authority =
            HeaderValue::try_from(settings.authority()).expect("a host is visible ASCII");
        Rc::new(Self {
            authority,
            tls: tls.map(tokio_rustls::TlsConnector::from),
            idle: RefCell::default(),
            shared: RefCell::default(),
            connecting: tokio::sync::Mutex::default(),
            speaks_http2: Cell::new(settings.http2_prior_knowledge),
            permits: Arc::new(Semaphore::new(settings.connections)),
            settings,
        })
    }

    /// The origin's own authority.
    pub fn authority(&self) -> &str {
        self.authority.to_str().expect("a host is visible ASCII")
    }

    /// What Host the origin is asked for; `None` where the client's is kept.
    pub fn host(&self) -> Option<&HeaderValue> {
        (!self.settings.keep_host).then_some(&self.authority)
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// A request that failed on a kept connection which the origin had closed meanwhile is sent
    /// once more on a new one, if nothing can have come of it (RFC 9112, section 9.3.1).
    ///
    /// # Errors
    /// The failure, which is always the origin's.
    pub(crate) async fn send(
        self: &Rc<Self>,
        mut request: Request<RequestBody>,
        interim: Option<mpsc::Sender<Interim>>,
    ) -> Result<Fetched, Failure> {
        let progress = request.body().progress();
        if let Some(interim) = interim {
            hyper::ext::on_informational(&mut request, move |response| {
                let fields = Arc::new(response.headers().clone());
                // What does not fit the queue goes unheard: nobody must act on an interim response.
                let _ = interim.try_send(Interim { status: response.status(), fields });
            });
        }
        let mut retry = true;
        loop {
            let again = retry.then(|| copy_if_repeatable(&request)).flatten();
            let sent = self.send_once(request, progress.as_deref());
            match sent.await {
                Ok(fetched) => return Ok(fetched),
                Err(Broken { failure: Failure::Closed, unsent }) if retry => {
                    let Some(next) = unsent.or(again) else { return Err(Failure::Closed) };
                    request = next;
                    retry = false;
                }
                Err(broken) => return Err(broken.failure),
            }
        }
    }

    async fn send_once(
        self: &Rc<Self>,
        mut request: Request<RequestBody>,
        progress: Option<&Cell<Instant>>,
    ) -> Result<Fetched, Broken> {
        let upgrade = request.headers().contains_key(http::header::UPGRADE);
        if self.speaks_http2.get() && !upgrade {
            return self.send_http2(request, progress).await;
        }
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => match self.connect(upgrade).await {
                Ok(Some(connection)) => connection,
                Ok(None) => return self.send_http2(request, progress).await,
                Err(failure) => return Err(Broken { failure, unsent: None }),
            },
        };
        *request.version_mut() = Version::HTTP_11;
        let sending = connection.sender.try_send_request(request);
        let response = match self.within_limit(sending, progress).await? {
            Ok(response) => response,
            Err(mut error) => {
                let unsent = error.take_message();
                return Err(Broken { failure: failure_of(error.error()), unsent });
            }
        };
        let (head, body) = response.into_parts();
        let lease = Some(Lease { connection, origin: Rc::clone(self) });
        let mut fetched = Fetched { head, body, lease, idle_limit: self.settings.idle_limit };
        if fetched.body.is_end_stream() {
            fetched.give_back();
        }
        Ok(fetched)
    }

    async fn send_http2(
        self: &Rc<Self>,
        mut request: Request<RequestBody>,
        progress: Option<&Cell<Instant>>,
    ) -> Result<Fetched, Broken> {
        let failed = |failure| Broken { failure, unsent: None };
        let mut sender = self.shared_connection().await.map_err(failed)?;
        *request.version_mut() = Version::HTTP_2;
        // RFC 9113, section 8.3.1: the authority travels in :authority, not in Host.
        let host = request.headers_mut().remove(http::header::HOST);
        let authority = host.as_ref().unwrap_or(&self.authority);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::builder()
            .scheme(self.settings.scheme.as_str())
            .authority(authority.as_bytes())
            .path_and_query(path)
            .build()
            .map_err(|_| failed(Failure::Garbage))?;
        let sending = sender.try_send_request(request);
        match self.within_limit(sending, progress).await? {
            Ok(response) => {
                let (head, body) = response.into_parts();
                Ok(Fetched { head, body, lease: None, idle_limit: self.settings.idle_limit })
            }
            Err(mut error) => {
                let unsent = error.take_message();
                Err(Broken { failure: failure_of(error.error()), unsent })
            }
        }
    }

    /// Waits for `sending` until the first-byte limit has passed since the request last moved.
    async fn within_limit<T>(
        &self,
        sending: impl Future<Output = T>,
        progress: Option<&Cell<Instant>>,
    ) -> Result<T, Broken> {
        let limit = self.settings.first_byte_limit;
        let mut sending = std::pin::pin!(sending);
        let mut deadline = Instant::now() + limit;
        loop {
            match tokio::time::timeout_at(deadline.into(), &mut sending).await {
                Ok(done) => return Ok(done),
                Err(_) => match progress.map(|progress| progress.get() + limit) {
                    Some(later) if later > deadline => deadline = later,
                    _ => return Err(Broken { failure: Failure::TimedOut, unsent: None }),
                },
            }
        }
    }

    /// The newest kept connection that still works; older ones are dropped on the way.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, since }) = idle.pop() {
            if since.elapsed() > self.settings.keep_alive {
                // The rest is older still.
                idle.clear();
                return None;
            }
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Makes a connection; `None` if it turned out to speak HTTP/2, which is kept for all.
    async fn connect(self: &Rc<Self>, http1_only: bool) -> Result<Option<Connection>, Failure> {
        let limit = self.settings.connect_limit;
        let permit = timeout(limit, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            warn!(
                connections = self.settings.connections,
                "every connection to the origin is in use"
            );
            return Err(Failure::TimedOut);
        };
        let connecting = self.open(http1_only);
        let (stream, http2) = timeout(limit, connecting).await.map_err(|_| Failure::TimedOut)??;
        if http2 {
            self.speaks_http2.set(true);
            self.share(stream).await?;
            return Ok(None);
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.settings.head_bytes.max(16 * 1024))
            .preserve_header_case(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failure_of(&error))?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "a connection to the origin ended");
            }
        });
        Ok(Some(Connection { sender, _permit: permit }))
    }

    async fn shared_connection(
        self: &Rc<Self>,
    ) -> Result<http2::SendRequest<RequestBody>, Failure> {
        let usable = || self.shared.borrow().as_ref().filter(|sender| !sender.is_closed()).cloned();
        if let Some(sender) = usable() {
            return Ok(sender);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(sender) = usable() {
            return Ok(sender);
        }
        let opening = timeout(self.settings.connect_limit, self.open(false)).await;
        let (stream, http2) = opening.map_err(|_| Failure::TimedOut)??;
        if !http2 {
            // It spoke HTTP/2 before and does not any more; the next request asks afresh.
            self.speaks_http2.set(self.settings.http2_prior_knowledge);
            return Err(Failure::Closed);
        }
        self.share(stream).await
    }

    async fn share(&self, stream: Stream) -> Result<http2::SendRequest<RequestBody>, Failure> {
        let (sender, connection) = http2::Builder::new(Local)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_header_list_size(u32::try_from(self.settings.head_bytes).unwrap_or(u32::MAX))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failure_of(&error))?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                debug!(%error, "the HTTP/2 connection to the origin ended");
            }
        });
        *self.shared.borrow_mut() = Some(sender.clone());
        Ok(sender)
    }

    /// Opens a stream to the origin; says whether it is to speak HTTP/2.
    async fn open(&self, http1_only: bool) -> Result<(Stream, bool), Failure> {
        let unreachable = |error: std::io::Error| {
            warn!(%error, host = self.settings.host, port = self.settings.port, "no connection to the origin");
            Failure::Unreachable
        };
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((self.settings.host.as_str(), self.settings.port))
                .await
                .map_err(unreachable)?
                .collect();
        let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let Some(tls) = &self.tls else {
            return Ok((Stream::Clear(tcp), self.settings.http2_prior_knowledge && !http1_only));
        };
        let name = rustls::pki_types::ServerName::try_from(self.settings.host.clone())
            .map_err(|_| Failure::Unreachable)?;
        let mut tls = tls.clone();
        if http1_only {
            let mut config = rustls::ClientConfig::clone(tls.config());
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            tls = Arc::new(config).into();
        }
        let stream = tls.connect(name, tcp).await.map_err(unreachable)?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Stream::Tls(Box::new(stream)), http2))
    }
}

impl Fetched {
    /// The next part of the body; `None` at its end.
    ///
    /// # Errors
    /// If it broke off, or paused longer than the limit.
    pub async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Failure> {
        let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut self.body).poll_frame(cx));
        match timeout(self.idle_limit, next).await {
            Err(_) => Err(Failure::TimedOut),
            Ok(Some(Err(_))) => Err(Failure::Closed),
            Ok(Some(Ok(frame))) => Ok(Some(frame)),
            Ok(None) => {
                self.give_back();
                Ok(None)
            }
        }
    }

    /// Whether the body is over, so that nothing need be waited for.
    pub fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The length of the body, where it was said.
    pub fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// What the connection becomes after 101.
    pub fn into_upgrade(self) -> hyper::upgrade::OnUpgrade {
        hyper::upgrade::on(Response::from_parts(self.head, self.body))
    }

    fn give_back(&mut self) {
        let Some(Lease { mut connection, origin }) = self.lease.take() else { return };
        if connection.sender.is_ready() {
            origin.idle.borrow_mut().push(Idle { connection, since: Instant::now() });
        } else if !connection.sender.is_closed() {
            // The connection's task has a last word to say before it can be used again.
            tokio::task::spawn_local(async move {
                if connection.sender.ready().await.is_ok() {
                    origin.idle.borrow_mut().push(Idle { connection, since: Instant::now() });
                }
            });
        }
    }
}

/// A copy of a request that may be sent twice without harm: safe, and without a body.
fn copy_if_repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !request.method().is_safe() || !request.body().is_empty() {
        return None;
    }
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

fn failure_of(error: &hyper::Error) -> Failure {
    debug!(?error, "the origin failed a request");
    if error.is_parse() || error.is_parse_too_large() {
        Failure::Garbage
    } else if error.is_user() {
        Failure::RequestBroken
    } else {
        Failure::Closed
    }
}
