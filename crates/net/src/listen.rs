//! Listening: one socket a core on the same port, so that the kernel spreads connections and no core
//! waits for another; and what happens when there is no room for one more.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use nigh_cache::key::Scheme;
use nigh_edge::client::Network;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{debug, warn};

use crate::{
    buffers,
    clients::Guest,
    cluster::tls::Trust,
    forward_proxy::{self, Mode, Redirected},
    serve_http1::{self, Client, Ended, Sibling},
    serve_http2,
    service::{Service, Whose},
};

/// Connections that the kernel holds for us until they are accepted.
const BACKLOG: i32 = 4096;

/// The share of all connections, and of their buffers, that is kept free by closing those that wait, as
/// nginx does: one in so many.
const KEPT_FREE: usize = 16;

/// How long accepting pauses when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// The client's address on connections that the edge makes to itself.
const INWARD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How often such a pause is told of.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Opens a socket that other cores' sockets share the port of.
///
/// # Errors
/// If the address is in use, not this machine's, or not allowed.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // `[::]` is for both families, as everywhere.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Opens a socket for redirected clients: for one family only, so that the kernel says where they were
/// going; with [`Mode::Tproxy`], also for connections to others' addresses.
///
/// # Errors
/// As [`bind`]; and if this process may not do that (it takes `CAP_NET_ADMIN`).
pub fn bind_redirected(to: Redirected) -> io::Result<std::net::TcpListener> {
    let Redirected { address, mode } = to;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    match (mode, address) {
        (Mode::Redirect, _) => {}
        (Mode::Tproxy, SocketAddr::V4(_)) => socket.set_ip_transparent_v4(true)?,
        (Mode::Tproxy, SocketAddr::V6(_)) => socket.set_ip_transparent_v6(true)?,
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What those who come in through a socket speak.
#[derive(Clone)]
pub enum Door {
    /// HTTP in clear.
    Clear,
    /// HTTP over TLS.
    Tls(TlsAcceptor),
    /// What they would have spoken to whom they were going to.
    Redirected(Mode),
    /// HTTP/2 over TLS that both ends show certificates for: other edges of the cluster.
    Siblings(TlsAcceptor, Arc<[Arc<Trust>]>),
}

impl Door {
    pub(crate) const fn whose(&self) -> Whose {
        match self {
            Self::Clear | Self::Tls(_) | Self::Redirected(_) => Whose::Client,
            Self::Siblings(..) => Whose::Sibling,
        }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Clear => "Clear",
            Self::Tls(_) => "Tls",
            Self::Redirected(_) => "Redirected",
            Self::Siblings(..) => "Siblings",
        })
    }
}

/// Fails if anybody listens there already: sharing a port is for the cores of one edge, and two edges
/// would otherwise share it without a word.
///
/// # Errors
/// As [`bind`].
pub fn assert_free(address: SocketAddr) -> io::Result<()> {
    assert_free_of(address, false)
}

/// The same for one family only, as [`bind_redirected`] binds.
///
/// # Errors
/// As [`bind`].
pub fn assert_redirected_free(address: SocketAddr) -> io::Result<()> {
    assert_free_of(address, true)
}

fn assert_free_of(address: SocketAddr, only_v6: bool) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())
}

/// Connections that are open, over all cores.
#[derive(Clone, Debug, Default)]
pub struct Open(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    clients: AtomicUsize,
    siblings: AtomicUsize,
}

impl Open {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.clients() + self.0.siblings.load(Ordering::Relaxed)
    }

    /// Those of them that are clients', and no other edges'.
    pub fn clients(&self) -> usize {
        self.0.clients.load(Ordering::Relaxed)
    }

    fn of(&self, whose: Whose) -> &AtomicUsize {
        match whose {
            Whose::Client => &self.0.clients,
            Whose::Sibling => &self.0.siblings,
        }
    }

    fn enter(&self, whose: Whose) -> Entered {
        self.of(whose).fetch_add(1, Ordering::Relaxed);
        Entered(self.clone(), whose)
    }
}

struct Entered(Open, Whose);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.of(self.1).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts and serves until the task is dropped.
///
/// Where room gets short, connections that have waited longest for their clients are closed. At the
/// limit of connections, or out of file descriptors, where that does not help, it pauses: clients stay
/// in the kernel's queue, and nothing spins.
pub async fn accept(listener: TcpListener, door: Door, service: Rc<Service>, open: Open) {
    let cost = buffers::CONNECTION
        + if matches!(door, Door::Tls(_) | Door::Siblings(..)) { buffers::TLS } else { 0 };
    let mut told: Option<tokio::time::Instant> = None;
    loop {
        // Each listener may see the last place free at once: the limit is exceeded by their number at
        // most.
        if open.count() >= service.limits().connections {
            wait_for_room(
                &listener,
                &service,
                &mut told,
                "as many connections as allowed are open",
            )
            .await;
            continue;
        }
        if !service.shared().buffers.has_room(cost) {
            wait_for_room(
                &listener,
                &service,
                &mut told,
                "all buffers together are at their ceiling",
            )
            .await;
            continue;
        }
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_out_of_descriptors(&error) => {
                let why = "no file descriptors are left: raise `ulimit -n`";
                wait_for_room(&listener, &service, &mut told, why).await;
                continue;
            }
            // The client was gone before it was accepted (accept(2)): the next one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                pause(&service, &mut told, "the listening socket fails").await;
                continue;
            }
        };
        let clients = service.shared().clients.as_ref();
        // Siblings ask for many clients, each of which was held to its limits where it came in.
        let clients = clients.filter(|_| door.whose() == Whose::Client);
        let Ok(guest) = clients.map_or(Ok(None), |clients| clients.open(address.ip())) else {
            service.counters().connection_limited();
            continue;
        };
        let Some(reserved) = service.reserve(cost) else { continue };
        let entered = open.enter(door.whose());
        service.counters().accepted();
        service.has_found_room();
        if is_short(&service, &open) {
            service.make_room();
        }
        let (door, service) = (door.clone(), Rc::clone(&service));
        tokio::task::spawn_local(async move {
            let network = guest.as_ref().map(Guest::network);
            serve(stream, address, network, door, &service).await;
            service.counters().closed();
            drop((entered, guest, reserved));
        });
    }
}

/// Serves a connection that the edge makes to itself, as if it had come in by `scheme`, until it ends.
pub(crate) async fn serve_inward(
    stream: DuplexStream,
    scheme: Scheme,
    service: Rc<Service>,
    open: Open,
) {
    let Some(_reserved) = service.reserve(buffers::CONNECTION) else { return };
    let entered = open.enter(Whose::Client);
    let client = Client::new(INWARD, scheme);
    drop(serve_http1::serve(stream, client, service).await);
    drop(entered);
}

/// Whether there is little room left for connections or their buffers, once those have ended that were
/// told to: many come in before the first of them does.
fn is_short(service: &Service, open: &Open) -> bool {
    let (connections, account) = (service.limits().connections, &service.shared().buffers);
    let leaving = service.leaving();
    let kept_free = account.ceiling() / KEPT_FREE as u64;
    open.count().saturating_sub(leaving) > connections - connections / KEPT_FREE
        || !account.has_room(kept_free.saturating_sub(leaving as u64 * buffers::CONNECTION))
}

/// Waits until there may be room again: if somebody wants to come in, no longer than it takes to close
/// connections that wait, if there are any.
async fn wait_for_room(
    listener: &TcpListener,
    service: &Service,
    told: &mut Option<tokio::time::Instant>,
    why: &str,
) {
    // Those that were told to end do so when it is their turn, unless they cannot write.
    let leaving = service.leaving();
    if leaving > 0 {
        tokio::task::yield_now().await;
        if service.leaving() < leaving {
            return;
        }
    }
    if !is_wanted(listener) {
        // Nobody is kept waiting, so there is nothing to tell.
        return tokio::time::sleep(PAUSE).await;
    }
    if service.ask_for_room() > 0 {
        return tokio::task::yield_now().await;
    }
    pause(service, told, why).await;
}

/// Whether a connection waits to be accepted.
fn is_wanted(listener: &TcpListener) -> bool {
    let mut looked = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut looked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

async fn pause(service: &Service, told: &mut Option<tokio::time::Instant>, why: &str) {
    service.counters().paused();
    if told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
        *told = Some(tokio::time::Instant::now());
        warn!("accepting pauses: {why}");
    }
    tokio::time::sleep(PAUSE).await;
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    network: Option<Network>,
    door: Door,
    service: &Rc<Service>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        return debug!(%error, "a connection ended at once");
    }
    let tls = match door {
        Door::Redirected(mode) => {
            return forward_proxy::serve_redirected(stream, address, network, mode, service).await;
        }
        Door::Siblings(tls, trust) => {
            return serve_sibling(stream, address, &tls, &trust, service).await;
        }
        Door::Clear => None,
        Door::Tls(tls) => Some(tls),
    };
    let service = Rc::clone(service);
    let Some(tls) = tls else {
        let client = Client { network, ..Client::new(address, Scheme::Http) };
        match serve_http1::serve(stream, client, Rc::clone(&service)).await {
            Ended::Http2(stream, read) => {
                serve_http2::serve(Rewound { read, at: 0, stream }, client, None, service).await;
            }
            // With nothing to linger for, closing is a reset. Over TLS the missing close_notify says it.
            Ended::Broken(stream) => {
                drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
            }
            Ended::Closed => {}
        }
        return;
    };
    let client = Client { network, ..Client::new(address, Scheme::Https) };
    match shake_hands(&tls, stream, Whose::Client, &service).await {
        Some(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            serve_http2::serve(stream, client, None, service).await;
        }
        Some(Ok(stream)) => {
            // A client that says HTTP/2 without having negotiated it gets what it speaks.
            if let Ended::Http2(stream, read) =
                serve_http1::serve(stream, client, Rc::clone(&service)).await
            {
                serve_http2::serve(Rewound { read, at: 0, stream }, client, None, service).await;
            }
        }
        Some(Err(error)) => {
            service.counters().tls_failed();
            debug!(%error, %address, "a TLS handshake failed");
        }
        None => service.counters().tls_failed(),
    }
}

/// Serves another edge of the cluster, if the certificate that it shows is one of theirs: that the
/// authority vouches for it was held in the handshake.
async fn serve_sibling(
    stream: TcpStream,
    address: SocketAddr,
    tls: &TlsAcceptor,
    guests: &[Arc<Trust>],
    service: &Rc<Service>,
) {
    let siblings = service.siblings();
    let shaken = shake_hands(tls, stream, Whose::Sibling, service).await.and_then(Result::ok);
    let known = shaken.and_then(|stream| {
        let tls = &stream.get_ref().1;
        let shown = tls.peer_certificates()?;
        let peers = guests.iter().zip(0..);
        let mut peers = peers.filter_map(|(trust, at)| Some((trust, at, trust.peer(shown).ok()?)));
        let (trust, at, identity) = peers.next()?;
        let is_child = at > 0;
        let is_one =
            siblings.as_ref().is_some_and(|them| is_child || them.members().believes(&identity));
        (is_one && tls.alpn_protocol() == Some(b"h2"))
            .then_some((stream, trust, identity, is_child))
    });
    let Some((stream, trust, identity, is_child)) = known else {
        debug!(%address, "somebody who is no edge of the cluster wanted to come in as one");
        return service.counters().tls_failed();
    };
    let sibling = Some(Sibling { is_child, ..Sibling::default() });
    let client = Client { sibling, ..Client::new(address, Scheme::Https) };
    let certified = Some(identity.name.clone());
    tokio::select! {
        () = serve_http2::serve(stream, client, certified, Rc::clone(service)) => {}
        () = trust.lost(&identity) => debug!(%address, edge = %identity.name, "an edge is not believed any more"),
    }
}

/// Waits for a TLS handshake: as long as for a head, and not once the draining has begun.
async fn shake_hands(
    tls: &TlsAcceptor,
    stream: TcpStream,
    whose: Whose,
    service: &Rc<Service>,
) -> Option<io::Result<TlsStream<TcpStream>>> {
    let place = service.place(whose);
    let mut shaking = pin!(tokio::time::timeout(service.limits().head_time, tls.accept(stream)));
    poll_fn(|cx| match shaking.as_mut().poll(cx) {
        Poll::Pending if place.is_over(cx) => Poll::Ready(None),
        shaken => shaken.map(Result::ok),
    })
    .await
}

use rewound::Rewound;

mod rewound {
    //! A stream whose first bytes were read already, and are read again.

    use std::{
        io,
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    pub(super) struct Rewound<S> {
        pub(super) read: Vec<u8>,
        pub(super) at: usize,
        pub(super) stream: S,
    }

    impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let this = self.get_mut();
            if this.at < this.read.len() {
                let count = buffer.remaining().min(this.read.len() - this.at);
                buffer.put_slice(&this.read[this.at..this.at + count]);
                this.at += count;
                return Poll::Ready(Ok(()));
            }
            Pin::new(&mut this.stream).poll_read(cx, buffer)
        }
    }

    impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
        }

        fn is_write_vectored(&self) -> bool {
            self.stream.is_write_vectored()
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().stream).poll_flush(cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
        }
    }
}
