//! The connections to the origin: pooled, several at once, HTTP/1.1 or HTTP/2, in clear or over
//! verified TLS. One pool a core, so that nothing is shared and nothing is locked.

mod stream;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header};
use hyper::{
    body::{Body as _, Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
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

use self::stream::{Heard, Stream, Transport};
use crate::{
    body::{Progress, RequestBody},
    executor::Local,
    forward_proxy::Egress,
    siblings::Watch,
};

/// Bytes of all bodies of an HTTP/2 connection that nobody has wanted yet: those whose clients read slowly
/// must not hold up the others, which are up to sixty-four of the longest windows here.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Where the origin is, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// HTTP/1 connections at once, a core, tunnels not counted. Requests above it wait for one, as
    /// long as for a first byte.
    pub connections: usize,
    /// Bytes of a response's head.
    pub head_bytes: usize,
    /// The name that its certificate is held to, if that is not the host.
    pub certified_as: Option<String>,
    /// Bytes of a body that HTTP/2 brings before somebody wants them.
    pub stream_window: u32,
    /// How often an HTTP/2 connection on which something is awaited is asked whether its other end is
    /// still there, which that has as long to say; `None` for never.
    pub ping: Option<Duration>,
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
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let well_formed = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.contains(['[', ']']),
        };
        if !well_formed {
            return Err(not_url());
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or_else(|| scheme.default_port());
        Ok(Self { port, ..Self::of(scheme, bare) })
    }

    /// The origin at a host's own port, with default limits; an IPv6 address has no brackets.
    pub fn of(scheme: Scheme, host: &str) -> Self {
        Self {
            scheme,
            host: host.to_owned(),
            port: scheme.default_port(),
            keep_host: false,
            http2_prior_knowledge: false,
            connect_limit: Duration::from_secs(5),
            first_byte_limit: Duration::from_secs(30),
            idle_limit: Duration::from_secs(30),
            keep_alive: Duration::from_secs(50),
            connections: 1024,
            head_bytes: 64 * 1024,
            certified_as: None,
            stream_window: 1 << 20,
            ping: None,
        }
    }

    /// Scheme and authority.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
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
    /// Kept connections, the newest last; with those in use never more than the limit.
    idle: RefCell<VecDeque<Idle>>,
    shared: RefCell<Option<http2::SendRequest<RequestBody>>>,
    /// Held while an HTTP/2 connection is being made, so that a burst makes one and not hundreds.
    connecting: tokio::sync::Mutex<()>,
    speaks_http2: Cell<bool>,
    /// One for each HTTP/1 connection in use. A kept one holds none: whoever waits for a permit finds
    /// it among the kept ones.
    permits: Arc<Semaphore>,
    /// Who connects in our place, where the client chose the origin.
    egress: Option<Rc<Egress>>,
    /// The near ends of connections to come.
    #[cfg(test)]
    dials: RefCell<VecDeque<tokio::io::DuplexStream>>,
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

/// An HTTP/1 connection.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<RequestBody>,
    heard: Heard,
}

/// A response whose body brings its connection back to the pool.
#[derive(Debug)]
pub struct Fetched {
    /// The head.
    pub head: http::response::Parts,
    body: Incoming,
    lease: Option<Lease>,
    idle_limit: Duration,
    /// Who looks whether its end is still there, where another one could give the rest.
    watch: Option<Box<Watch>>,
}

/// A connection in use.
#[derive(Debug)]
struct Lease {
    connection: Connection,
    permit: OwnedSemaphorePermit,
    origin: Rc<Origin>,
}

/// Why a request to the origin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// The connection failed, or there was none, and not a byte of a response came.
    pub(crate) unheard: bool,
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        failed.failure
    }
}

/// The same, and the request if it may be sent again to the same origin.
#[derive(Debug)]
struct Broken {
    failed: Failed,
    again: Option<Box<Request<RequestBody>>>,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { failed: Failed { failure, unheard: false }, again: None }
    }
}

impl Broken {
    /// There was no connection.
    const fn unconnected(failure: Failure) -> Self {
        Self { failed: Failed { failure, unheard: true }, again: None }
    }
}

impl Origin {
    /// A pool without connections. `tls` is needed when the scheme is https.
    pub fn new(settings: Settings, tls: Option<Arc<rustls::ClientConfig>>) -> Rc<Self> {
        Self::reached(settings, tls, None)
    }

    /// A pool in clear whose connections are made through `egress`.
    pub(crate) fn through(settings: Settings, egress: Rc<Egress>) -> Rc<Self> {
        Self::reached(settings, None, Some(egress))
    }

    fn reached(
        settings: Settings,
        tls: Option<Arc<rustls::ClientConfig>>,
        egress: Option<Rc<Egress>>,
    ) -> Rc<Self> {
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
            egress,
            #[cfg(test)]
            dials: RefCell::default(),
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

    /// Whether there is an HTTP/2 connection: a request that is sent now waits for no handshake.
    pub(crate) fn is_connected(&self) -> bool {
        self.shared.borrow().as_ref().is_some_and(|sender| !sender.is_closed())
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// A request that failed on a kept connection which the origin had closed meanwhile is sent
    /// once more on a new one, if nothing can have come of it (RFC 9112, section 9.3.1). One that
    /// failed on a new connection did not fail for the connection's age, and is not repeated.
    ///
    /// # Errors
    /// The failure, which is the origin's or the request body's.
    pub(crate) async fn send(
        self: &Rc<Self>,
        mut request: Request<RequestBody>,
        interim: Option<mpsc::Sender<Interim>>,
    ) -> Result<Fetched, Failed> {
        let heard = |failure| Failed { failure, unheard: false };
        let progress = request.body().progress();
        let upgrade = request.headers().contains_key(header::UPGRADE);
        if let Some(interim) = interim {
            hyper::ext::on_informational(&mut request, move |response| {
                let fields = Arc::new(response.headers().clone());
                // What does not fit the queue goes unheard: nobody must act on an interim response.
                let _ = interim.try_send(Interim { status: response.status(), fields });
            });
        }
        let mut sent = self.send_once(request, progress.as_deref(), Reuse::Kept).await;
        if let Err(Broken { again: Some(again), .. }) = sent {
            sent = self.send_once(*again, progress.as_deref(), Reuse::No).await;
        }
        match sent {
            Ok(mut fetched) => {
                check(&mut fetched.head, upgrade).map_err(heard)?;
                if fetched.body.is_end_stream() {
                    fetched.give_back();
                }
                Ok(fetched)
            }
            // Whatever the origin made of it: the request never was a whole one.
            Err(_) if progress.is_some_and(|progress| progress.broken().is_some()) => {
                Err(heard(Failure::RequestBroken))
            }
            Err(broken) => Err(broken.failed),
        }
    }

    async fn send_once(
        self: &Rc<Self>,
        mut request: Request<RequestBody>,
        progress: Option<&Progress>,
        reuse: Reuse,
    ) -> Result<Fetched, Broken> {
        let upgrade = request.headers().contains_key(header::UPGRADE);
        if self.speaks_http2.get() && !upgrade {
            return self.send_http2(request, progress, reuse).await;
        }
        let permit = self.permit().await?;
        let kept = if reuse == Reuse::Kept { self.take_idle() } else { None };
        let is_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => match self.connect(upgrade).await.map_err(Broken::unconnected)? {
                Some(connection) => connection,
                None => {
                    drop(permit);
                    return self.send_http2(request, progress, Reuse::No).await;
                }
            },
        };
        *request.version_mut() = Version::HTTP_11;
        frame(&mut request);
        let copy = if is_kept { copy_if_repeatable(&request) } else { None };
        connection.heard.forget();
        let sending = connection.sender.try_send_request(request);
        match self.within_limit(sending, progress).await? {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let lease = Some(Lease { connection, permit, origin: Rc::clone(self) });
                let idle_limit = self.settings.idle_limit;
                Ok(Fetched { head, body, lease, idle_limit, watch: None })
            }
            Err(mut error) => {
                let failure = failure_of(error.error());
                let unheard = failure == Failure::Closed && !connection.heard.anything();
                let old = is_kept && unheard;
                let again = error.take_message().or(copy).filter(|_| old).map(Box::new);
                Err(Broken { failed: Failed { failure, unheard }, again })
            }
        }
    }

    async fn send_http2(
        self: &Rc<Self>,
        mut request: Request<RequestBody>,
        progress: Option<&Progress>,
        reuse: Reuse,
    ) -> Result<Fetched, Broken> {
        let shared = self.shared_connection().await;
        let (mut sender, kept) = shared.map_err(Broken::unconnected)?;
        let is_kept = kept && reuse == Reuse::Kept;
        let copy = if is_kept { copy_if_repeatable(&request) } else { None };
        *request.version_mut() = Version::HTTP_2;
        // RFC 9113, section 8.3.1: the authority travels in :authority, not in Host.
        let host = request.headers_mut().remove(header::HOST);
        let authority = host.as_ref().unwrap_or(&self.authority);
        let target = request.uri().clone();
        let path = target.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::builder()
            .scheme(self.settings.scheme.as_str())
            .authority(authority.as_bytes())
            .path_and_query(path)
            .build()
            .map_err(|_| Failure::Garbage)?;
        let sending = sender.try_send_request(request);
        match self.within_limit(sending, progress).await? {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let idle_limit = self.settings.idle_limit;
                Ok(Fetched { head, body, lease: None, idle_limit, watch: None })
            }
            Err(mut error) => {
                let failure = failure_of(error.error());
                // The connection's own task may have to run before it is known to be closed.
                tokio::task::yield_now().await;
                let old = is_kept && failure == Failure::Closed && sender.is_closed();
                let unsent = error.take_message().map(|mut request| {
                    *request.uri_mut() = target;
                    if let Some(host) = host {
                        request.headers_mut().insert(header::HOST, host);
                    }
                    request
                });
                // On a connection that others share, only what was never sent is known to be unheard.
                let failed = Failed { failure, unheard: unsent.is_some() };
                Err(Broken { failed, again: unsent.or(copy).filter(|_| old).map(Box::new) })
            }
        }
    }

    /// Waits for `sending` until the first-byte limit has passed since the request last moved.
    async fn within_limit<T>(
        &self,
        sending: impl Future<Output = T>,
        progress: Option<&Progress>,
    ) -> Result<T, Broken> {
        let limit = self.settings.first_byte_limit;
        let mut sending = std::pin::pin!(sending);
        let mut deadline = Instant::now() + limit;
        loop {
            match tokio::time::timeout_at(deadline.into(), &mut sending).await {
                Ok(done) => return Ok(done),
                Err(_) => match progress.map(|progress| progress.moved().into_std() + limit) {
                    Some(later) if later > deadline => deadline = later,
                    _ => return Err(Failure::TimedOut.into()),
                },
            }
        }
    }

    /// Whether more connections are free than in use, once `more` requests have taken theirs.
    pub(crate) fn has_many_connections(&self, more: usize) -> bool {
        self.permits.available_permits().saturating_sub(more) * 2 > self.settings.connections
    }

    /// Leave to use one connection, when one of those in use is given back if need be.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        match timeout(self.settings.first_byte_limit, permit).await {
            Ok(permit) => Ok(permit.expect("the semaphore is never closed")),
            Err(_) => {
                let connections = self.settings.connections;
                warn!(connections, "every connection to the origin is in use");
                Err(Failure::TimedOut)
            }
        }
    }

    /// The newest kept connection that still works; older ones are dropped on the way.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, since }) = idle.pop_back() {
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

    /// Keeps a connection that is ready for another request.
    fn keep(&self, connection: Connection) {
        let Settings { keep_alive, connections, .. } = self.settings;
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        while let Some(oldest) = idle.front()
            && (idle.len() >= connections || now.duration_since(oldest.since) > keep_alive)
        {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since: now });
    }

    /// Makes a connection; `None` if it turned out to speak HTTP/2, which is kept for all. The caller
    /// holds a permit.
    async fn connect(self: &Rc<Self>, http1_only: bool) -> Result<Option<Connection>, Failure> {
        let limit = self.settings.connect_limit;
        // Kept ones that were passed over make room.
        let room = self.permits.available_permits();
        let surplus = self.idle.borrow().len().saturating_sub(room);
        self.idle.borrow_mut().drain(..surplus);
        let connecting = self.open(http1_only);
        let (stream, http2) = timeout(limit, connecting).await.map_err(|_| Failure::TimedOut)??;
        if http2 {
            self.speaks_http2.set(true);
            self.share(stream).await?;
            return Ok(None);
        }
        let heard = stream.heard();
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
        Ok(Some(Connection { sender, heard }))
    }

    /// The HTTP/2 connection, and whether it was there already.
    async fn shared_connection(
        self: &Rc<Self>,
    ) -> Result<(http2::SendRequest<RequestBody>, bool), Failure> {
        let usable = || self.shared.borrow().as_ref().filter(|sender| !sender.is_closed()).cloned();
        if let Some(sender) = usable() {
            return Ok((sender, true));
        }
        let _connecting = self.connecting.lock().await;
        if let Some(sender) = usable() {
            return Ok((sender, false));
        }
        let opening = timeout(self.settings.connect_limit, self.open(false)).await;
        let (stream, http2) = opening.map_err(|_| Failure::TimedOut)??;
        if !http2 {
            // It spoke HTTP/2 before and does not any more; the next request asks afresh.
            self.speaks_http2.set(self.settings.http2_prior_knowledge);
            return Err(Failure::Closed);
        }
        Ok((self.share(stream).await?, false))
    }

    async fn share(&self, stream: Stream) -> Result<http2::SendRequest<RequestBody>, Failure> {
        let mut builder = http2::Builder::new(Local);
        if let Some(ping) = self.settings.ping {
            builder.timer(TokioTimer::new()).keep_alive_interval(ping).keep_alive_timeout(ping);
        }
        let (sender, connection) = builder
            .initial_stream_window_size(self.settings.stream_window)
            .initial_connection_window_size(CONNECTION_WINDOW)
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
        #[cfg(test)]
        if let Some(near) = self.dials.borrow_mut().pop_front() {
            return Ok((Stream::new(Transport::Memory(near)), self.settings.http2_prior_knowledge));
        }
        if let Some(egress) = &self.egress {
            let tcp = egress.connect(&self.settings.host, self.settings.port).await?;
            return Ok((Stream::new(Transport::Clear(tcp)), false));
        }
        let unreachable = |error: std::io::Error| {
            // It may be an edge that is asked in the origin's stead.
            warn!(%error, host = self.settings.host, port = self.settings.port, "no connection");
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
            let http2 = self.settings.http2_prior_knowledge && !http1_only;
            return Ok((Stream::new(Transport::Clear(tcp)), http2));
        };
        let name = self.settings.certified_as.as_ref().unwrap_or(&self.settings.host);
        let name = rustls::pki_types::ServerName::try_from(name.clone())
            .map_err(|_| Failure::Unreachable)?;
        let mut tls = tls.clone();
        if http1_only {
            let mut config = rustls::ClientConfig::clone(tls.config());
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            tls = Arc::new(config).into();
        }
        let stream = tls.connect(name, tcp).await.map_err(unreachable)?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Stream::new(Transport::Tls(Box::new(stream))), http2))
    }
}

impl Fetched {
    /// The next part of the body; `None` at its end.
    ///
    /// # Errors
    /// If it broke off, or paused longer than the limit. [`Failure::GivenUp`] if whoever gives it stands
    /// still: it may go on all the same, for somebody who waits.
    pub async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Failure> {
        let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut self.body).poll_frame(cx));
        let next = timeout(self.idle_limit, next);
        let next = match &self.watch {
            None => next.await,
            Some(watch) => tokio::select! {
                biased;
                next = next => next,
                () = watch.stands_still() => return Err(Failure::GivenUp),
            },
        };
        match next {
            Err(_) => Err(Failure::TimedOut),
            Ok(Some(Err(_))) => Err(Failure::Closed),
            Ok(Some(Ok(frame))) => Ok(Some(frame)),
            Ok(None) => {
                self.give_back();
                Ok(None)
            }
        }
    }

    /// The same, given up if its end stands still.
    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// From here on, its end is waited for even if it stands still.
    pub(crate) fn unwatch(&mut self) {
        self.watch = None;
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
        let Some(Lease { mut connection, permit, origin }) = self.lease.take() else { return };
        if connection.sender.is_ready() {
            // Kept first: whoever gets the permit looks among the kept ones.
            origin.keep(connection);
            drop(permit);
        } else if !connection.sender.is_closed() {
            // The connection's task has a last word to say before it can be used again, and the rest
            // of the request may still be on its way.
            let limit = self.idle_limit;
            tokio::task::spawn_local(async move {
                if let Ok(Ok(())) = timeout(limit, connection.sender.ready()).await {
                    origin.keep(connection);
                }
                drop(permit);
            });
        }
    }
}

/// Whether a request may go out on a connection that others used before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    Kept,
    No,
}

/// Says how an HTTP/1 request is framed, where hyper would say it otherwise. Fields that frame come
/// from here alone.
fn frame(request: &mut Request<RequestBody>) {
    let length = request.body().size_hint().exact();
    if request.body().is_empty() {
        // RFC 9110, section 8.6: where content would mean something, its absence is said.
        if matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        return;
    }
    // hyper takes a GET of unknown length for one without content, and sends trailers behind chunks
    // only, those that Trailer announces.
    let announced = request.headers().contains_key(header::TRAILER);
    if length.is_none() || announced && request.body().may_have_trailers() {
        let fields = request.headers_mut();
        fields.remove(header::CONTENT_LENGTH);
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Checks what hyper lets pass, and removes what must not be believed.
fn check(head: &mut http::response::Parts, upgrade: bool) -> Result<(), Failure> {
    // RFC 9110, section 15.2.2: nobody switches to a protocol that was not asked for.
    if head.status.is_informational() && !upgrade {
        return Err(Failure::Garbage);
    }
    if !is_framing_clear(&head.headers) {
        debug!("the origin's Transfer-Encoding can be read in two ways");
        return Err(Failure::Garbage);
    }
    if head.headers.contains_key(header::TRANSFER_ENCODING) {
        // RFC 9112, section 6.3: it is overridden, and not passed on.
        head.headers.remove(header::CONTENT_LENGTH);
    }
    Ok(())
}

/// Whether every reader finds the same end of a response with this Transfer-Encoding: chunked and
/// nothing else, or nothing that could be taken for chunked.
///
/// A coding that nobody knows, without chunked, is no such danger: the content ends with the
/// connection (RFC 9112, section 6.3), which is never used again, and the field goes no further.
fn is_framing_clear(fields: &HeaderMap) -> bool {
    let mut lines = fields.get_all(header::TRANSFER_ENCODING).iter();
    let exact = |line: &HeaderValue| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(only), None) if exact(only) => true,
        _ => {
            let mut lines = fields.get_all(header::TRANSFER_ENCODING).iter();
            !lines.any(|line| {
                line.as_bytes().to_ascii_lowercase().windows(7).any(|w| w == b"chunked")
            })
        }
    }
}

/// A copy of a request that may be sent twice to one origin without harm: safe, and without a body.
fn copy_if_repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    copy_if_idempotent(request).filter(|request| request.method().is_safe())
}

/// A copy of a request that may be sent to another origin: idempotent, and without a body.
pub(crate) fn copy_if_idempotent(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !request.method().is_idempotent() || !request.body().is_empty() {
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
    if error.is_parse() {
        Failure::Garbage
    } else if error.is_user() {
        Failure::RequestBroken
    } else {
        Failure::Closed
    }
}
