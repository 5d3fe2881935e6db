//! Where the admin API listens: an address, or a socket in the file system that only its owner may
//! open.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net as unix,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::guard::Via;
use crate::settings::AdminAddress;

/// Connections at once: people, scrapers and listeners to events, not clients.
const CONNECTIONS_MAX: usize = 256;

/// How long a head may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a head: a purge may name many URLs.
const HEAD_MAX: usize = 64 * 1024;

/// How long accepting pauses after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// A place where the admin API can be served; a socket's file goes with it.
#[derive(Debug)]
pub(crate) struct Bound {
    address: AdminAddress,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    /// And which file it is.
    Unix(unix::UnixListener, (u64, u64)),
}

impl Bound {
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

impl Drop for Bound {
    fn drop(&mut self) {
        // Another edge may have taken the name over.
        if let (AdminAddress::Unix(path), Socket::Unix(_, file)) = (&self.address, &self.socket)
            && identity(path).ok() == Some(*file)
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Opens a socket that nobody is served at yet.
pub(super) fn bind(address: &AdminAddress) -> io::Result<Bound> {
    match address {
        AdminAddress::Tcp(address) => {
            let socket = std::net::TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let address = AdminAddress::Tcp(socket.local_addr()?);
            Ok(Bound { address, socket: Socket::Tcp(socket) })
        }
        AdminAddress::Unix(path) => {
            let (socket, file) = bind_unix(path)?;
            socket.set_nonblocking(true)?;
            Ok(Bound { address: address.clone(), socket: Socket::Unix(socket, file) })
        }
    }
}

/// Serves the router there from now on.
pub(super) fn serve(bound: &Bound, router: impl FnOnce(Via) -> Router) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    match &bound.socket {
        Socket::Tcp(socket) => {
            let listener = TcpListener::from_std(socket.try_clone()?)?;
            tokio::spawn(accept_tcp(listener, router(Via::Tcp), room));
        }
        Socket::Unix(socket, _) => {
            let listener = UnixListener::from_std(socket.try_clone()?)?;
            tokio::spawn(accept_unix(listener, router(Via::Unix), room));
        }
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

async fn accept_tcp(listener: TcpListener, router: Router, room: Arc<Semaphore>) {
    loop {
        let place = place(&room).await;
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, router.clone(), place))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn accept_unix(listener: UnixListener, router: Router, room: Arc<Semaphore>) {
    loop {
        let place = place(&room).await;
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, router.clone(), place))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn place(room: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(room).acquire_owned().await.expect("nobody closes it")
}

async fn converse<S>(stream: S, router: Router, _place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // A peer that breaks off harms itself alone.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
}
