//! Where the admin API listens: an address, or a socket in the file system that only its owner may
//! open.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net as unix,
        },
    },
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use nigh_net::inherited::Inherited;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use super::{guard::Via, patient::Patient};
use crate::settings::AdminAddress;

/// Connections at once: people, scrapers and listeners to events, not clients.
const CONNECTIONS_MAX: usize = 256;

/// How long a head may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a head: a purge may name many URLs.
const HEAD_MAX: usize = 64 * 1024;

/// How long what was asked may take to be answered once another process is to answer here: longer than
/// a head and its content may take to come.
const FINISH_LIMIT: Duration = Duration::from_secs(20);

/// How long accepting pauses after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// A place where the admin API can be served; a socket's file goes with it.
#[derive(Debug)]
pub(crate) struct Bound {
    address: AdminAddress,
    socket: Socket,
    /// Which file it is, if it goes with this.
    file: Option<(u64, u64)>,
    phase: watch::Sender<Phase>,
    /// Places for connections.
    room: Arc<Semaphore>,
}

/// How far an address is on its way to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It is answered here.
    Open,
    /// What was asked is answered, and nothing more.
    Finishing,
    /// Nothing is.
    Closed,
}

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    Unix(unix::UnixListener),
    Closed,
}

impl Bound {
    fn new(address: AdminAddress, socket: Socket, file: Option<(u64, u64)>) -> Self {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { address, socket, file, phase: watch::Sender::new(Phase::Open), room }
    }

    /// Where, with the port that was chosen.
    pub(crate) fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// The same, if it has a port.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        match self.address {
            AdminAddress::Tcp(address) => Some(address),
            AdminAddress::Unix(_) => None,
        }
    }
}

impl Bound {
    /// The socket once more, to be handed over.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            Socket::Tcp(socket) => Ok(socket.try_clone()?.into()),
            Socket::Unix(socket) => Ok(socket.try_clone()?.into()),
            Socket::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Accepts nothing more, and waits until what was asked is answered: for [`FINISH_LIMIT`]. False if
    /// that was not enough.
    pub(crate) async fn finish(&self) -> bool {
        self.phase.send_replace(Phase::Finishing);
        // Each connection has one, and whoever accepts has one at hand.
        let all = self.room.acquire_many(u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX));
        tokio::time::timeout(FINISH_LIMIT, all).await.is_ok()
    }

    /// Whether nothing is accepted here any more.
    pub(crate) fn is_finishing(&self) -> bool {
        *self.phase.borrow() == Phase::Finishing
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.phase.send_replace(Phase::Closed);
    }

    /// Leaves it to another process that was given it. The socket's file stays if that listens there,
    /// and goes if it does not.
    pub(crate) fn leave(mut self) {
        self.socket = Socket::Closed;
        if let AdminAddress::Unix(path) = &self.address
            && unix::UnixStream::connect(path).is_ok()
        {
            self.file = None;
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Another edge may have taken the name over.
        if let AdminAddress::Unix(path) = &self.address
            && self.file.is_some()
            && identity(path).ok() == self.file
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// The socket of `address` that somebody else has opened, if it is among `sockets`.
pub(super) fn inherited(
    address: &AdminAddress,
    sockets: &mut Inherited,
) -> io::Result<Option<Bound>> {
    match address {
        AdminAddress::Tcp(address) => {
            let Some(socket) = sockets.take("admin", *address).pop() else { return Ok(None) };
            let address = AdminAddress::Tcp(socket.local_addr()?);
            Ok(Some(Bound::new(address, Socket::Tcp(socket), None)))
        }
        AdminAddress::Unix(path) => {
            // Without its file nobody finds it any more.
            let Ok(file) = identity(path) else { return Ok(None) };
            let Some(socket) = sockets.take_unix(|bound| was_bound_for(bound, path)) else {
                return Ok(None);
            };
            Ok(Some(Bound::new(address.clone(), Socket::Unix(socket), Some(file))))
        }
    }
}

/// Whether a socket that was bound to this path is found at `path`: it was, or that is its other name.
fn was_bound_for(bound: &Path, path: &Path) -> bool {
    let (bound, path) = (bound.as_os_str().as_bytes(), path.as_os_str().as_bytes());
    match bound.strip_prefix(path) {
        Some([]) => true,
        Some([b'.', id @ ..]) => !id.is_empty() && id.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Opens a socket that nobody is served at yet.
pub(super) fn bind(address: &AdminAddress) -> io::Result<Bound> {
    match address {
        AdminAddress::Tcp(address) => {
            let socket = std::net::TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let address = AdminAddress::Tcp(socket.local_addr()?);
            Ok(Bound::new(address, Socket::Tcp(socket), None))
        }
        AdminAddress::Unix(path) => {
            let (socket, file) = bind_unix(path)?;
            socket.set_nonblocking(true)?;
            Ok(Bound::new(address.clone(), Socket::Unix(socket), Some(file)))
        }
    }
}

/// Serves the router there from now on.
pub(super) fn serve(bound: &Bound, router: impl FnOnce(Via) -> Router) -> io::Result<()> {
    bound.phase.send_replace(Phase::Open);
    let serving = |via| Serving {
        router: router(via),
        room: Arc::clone(&bound.room),
        phase: bound.phase.subscribe(),
    };
    match &bound.socket {
        Socket::Tcp(socket) => {
            let listener = TcpListener::from_std(socket.try_clone()?)?;
            tokio::spawn(serving(Via::Tcp).accept_tcp(listener));
        }
        Socket::Unix(socket) => {
            let listener = UnixListener::from_std(socket.try_clone()?)?;
            tokio::spawn(serving(Via::Unix).accept_unix(listener));
        }
        Socket::Closed => return Err(io::ErrorKind::NotConnected.into()),
    }
    Ok(())
}

/// A socket at `path` that only its owner may open. What another edge has left there is replaced; one
/// that somebody answers at is not.
fn bind_unix(path: &Path) -> io::Result<(unix::UnixListener, (u64, u64))> {
    if let Ok(held) = fs::symlink_metadata(path) {
        if !held.file_type().is_socket() {
            return Err(io::Error::other("there is a file of this name that is no socket"));
        }
        if unix::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody answers there"));
        }
    }
    // Made under another name, so that nobody can connect before the permissions are right.
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let _ = fs::remove_file(&beside);
    let socket = unix::UnixListener::bind(&beside)?;
    let name = || {
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&beside, path)?;
        identity(path)
    };
    let file = name().inspect_err(|_| drop(fs::remove_file(&beside)))?;
    Ok((socket, file))
}

/// Which file a name stands for.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// An address that is answered.
#[derive(Clone)]
struct Serving {
    router: Router,
    room: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
}

impl Serving {
    async fn accept_tcp(self, listener: TcpListener) {
        while let Some((place, accepted)) = self.next(|| listener.accept()).await {
            match accepted {
                Ok((stream, _)) => drop(tokio::spawn(self.clone().converse(stream, place))),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn accept_unix(self, listener: UnixListener) {
        while let Some((place, accepted)) = self.next(|| listener.accept()).await {
            match accepted {
                Ok((stream, _)) => drop(tokio::spawn(self.clone().converse(stream, place))),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// The next connection, with its place; `None` if there is to be no other.
    async fn next<A: Future>(
        &self,
        accept: impl Fn() -> A,
    ) -> Option<(OwnedSemaphorePermit, A::Output)> {
        let mut phase = self.phase.clone();
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase >= Phase::Finishing) => None,
            next = async {
                let place = Arc::clone(&self.room).acquire_owned().await;
                (place.expect("nobody closes it"), accept().await)
            } => Some(next),
        }
    }

    async fn converse<S>(self, stream: S, _place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(Patient::new(stream, PATIENCE));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(HEAD_MAX)
                .serve_connection(stream, TowerToHyperService::new(self.router))
        );
        let (mut finishing, mut closed) = (self.phase.clone(), self.phase);
        tokio::select! {
            // A peer that breaks off harms itself alone.
            _ = connection.as_mut() => return,
            _ = closed.wait_for(|phase| *phase == Phase::Closed) => return,
            _ = finishing.wait_for(|phase| *phase >= Phase::Finishing) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            _ = closed.wait_for(|phase| *phase == Phase::Closed) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_by_either_of_its_names() {
        let path = Path::new("/run/nigh.sock");
        for (bound, is_it) in [
            ("/run/nigh.sock", true),
            ("/run/nigh.sock.17", true),
            ("/run/nigh.sock.", false),
            ("/run/nigh.sock.a", false),
            ("/run/nigh.socket", false),
            ("/run/other.sock", false),
        ] {
            assert_eq!(was_bound_for(Path::new(bound), path), is_it, "{bound}");
        }
    }
}
