//! One link: the task that dials it and moves its bytes, both ways.
//!
//! It reads from the socket only when the driver has room for what it reads, so a machine that is
//! slower than its peer slows the peer down, by TCP's own window.

use std::{
    cell::RefCell,
    future::pending,
    io,
    net::{IpAddr, Shutdown, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use nigh_base::{Address, machine::Link};
use socket2::SockRef;
use tokio::{
    join,
    net::{TcpSocket, TcpStream},
    select,
    sync::mpsc,
    time::timeout,
};
use tracing::debug;

use super::{
    counters::{Counters, add},
    links::LinkEvent,
    queue::{Order, SendQueue},
};

/// What a link's task has.
pub(super) struct Line {
    pub(super) link: Link,
    pub(super) queue: Arc<SendQueue>,
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) counters: Arc<Counters>,
}

/// What ended the moving of bytes.
enum Ended {
    /// The peer has closed, or the way to it is broken.
    Reading,
    /// All was sent that the machine sent before it closed, or the peer takes no more.
    Writing,
    /// The driver said so.
    Ordered,
}

impl Line {
    /// Dials `peer` and carries the link until it ends.
    pub(super) async fn dial(self, peer: Address, source: Option<IpAddr>) {
        let stream = select! {
            connected = timeout(CONNECT_TIME, connect(peer.into(), source)) => {
                connected.map_err(io::Error::from).flatten()
            }
            () = self.is_pointless() => Err(io::ErrorKind::Interrupted.into()),
        };
        match stream {
            Ok(stream) => {
                self.tell(LinkEvent::Opened { link: self.link, peer }).await;
                self.carry(stream).await;
            }
            Err(error) => {
                debug!(%error, %peer, "a link was not made");
                self.tell(LinkEvent::Closed { link: self.link }).await;
            }
        }
    }

    /// Moves bytes until the link ends, and says so. The driver passes that on unless the machine
    /// has closed the link.
    pub(super) async fn carry(self, stream: TcpStream) {
        // Machines put together what belongs together, and wait for answers.
        drop(stream.set_nodelay(true));
        {
            let (mut reading, mut writing) = (pin!(self.read(&stream)), pin!(self.write(&stream)));
            let ended = select! {
                () = &mut reading => Ended::Reading,
                () = &mut writing => Ended::Writing,
                _ = self.queue.order() => Ended::Ordered,
            };
            // Whatever does not end in time is cut off.
            drop(match (ended, self.queue.ordered()) {
                (Ended::Reading, _) | (_, Some(Order::Break)) => Ok(()),
                (Ended::Writing, Some(Order::Leave)) => timeout(CLOSE_TIME, discard(&stream)).await,
                (_, Some(Order::Leave)) => {
                    timeout(CLOSE_TIME, async { join!(writing, discard(&stream)) }).await.map(drop)
                }
                // What the peer sent before it stopped reading is still to be had.
                (_, None) => timeout(CLOSE_TIME, reading).await,
            });
        }
        drop(stream);
        self.tell(LinkEvent::Closed { link: self.link }).await;
    }

    async fn read(&self, stream: &TcpStream) {
        while stream.readable().await.is_ok() {
            let Ok(room) = self.events.reserve().await else {
                // The driver stops. It says how the link is to end.
                return pending().await;
            };
            match read_some(stream) {
                Ok(bytes) if bytes.is_empty() => return,
                Ok(bytes) => {
                    add(&self.counters.link_bytes_in, bytes.len() as u64);
                    room.send(LinkEvent::Received { link: self.link, bytes });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return debug!(%error, link = self.link.0, "a link broke"),
            }
        }
    }

    /// Writes what is queued. Behind the last of it, when the machine has closed the link, the peer
    /// is told that no more comes.
    async fn write(&self, stream: &TcpStream) {
        while let Some(mut piece) = self.queue.piece().await {
            while piece.has_remaining() {
                let written = match stream.writable().await {
                    Ok(()) => stream.try_write(&piece),
                    Err(error) => Err(error),
                };
                match written {
                    Ok(count) => {
                        add(&self.counters.link_bytes_out, count as u64);
                        piece.advance(count);
                        if self.queue.sent(count) {
                            self.tell(LinkEvent::Drained { link: self.link }).await;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return debug!(%error, link = self.link.0, "a link broke"),
                }
            }
        }
        drop(SockRef::from(stream).shutdown(Shutdown::Write));
    }

    /// Waits until the machine closes the link with nothing in its queue.
    async fn is_pointless(&self) {
        let order = self.queue.order().await;
        if order == Order::Leave && !self.queue.is_empty() {
            // The time for dialling bounds this.
            pending().await
        }
    }

    async fn tell(&self, event: LinkEvent) {
        // A driver that stops wants to know nothing more.
        drop(self.events.send(event).await);
    }
}

async fn connect(peer: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source.filter(|source| source.is_ipv4() == peer.is_ipv4()) {
        socket.bind((source, 0).into())?;
    }
    socket.connect(peer).await
}

/// Reads until the peer has closed too: a socket that is closed with something unread resets the
/// link, and the peer may lose what was sent last (RFC 2525, section 2.17).
async fn discard(stream: &TcpStream) {
    while stream.readable().await.is_ok() {
        match read_some(stream) {
            Ok(bytes) if bytes.is_empty() => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// What is there, as much of it as one input may hold; nothing at the end.
fn read_some(stream: &TcpStream) -> io::Result<Bytes> {
    thread_local! {
        /// One for all links of a thread, so that links which are quiet take no room.
        static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; RECEIVED_BYTES].into());
    }
    BUFFER.with_borrow_mut(|buffer| {
        stream.try_read(buffer).map(|count| Bytes::copy_from_slice(&buffer[..count]))
    })
}

/// The most of a link that one input holds: large enough that a system call is little beside it.
const RECEIVED_BYTES: usize = 64 * 1024;
/// How long a peer may take to answer when it is dialled: three tries of TCP's (RFC 6298: after
/// one second, and after two more).
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long a link that the machine has closed may take for what was sent before.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(10);
