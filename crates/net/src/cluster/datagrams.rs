//! Datagrams between the edges of a cluster: QUIC's (RFC 9221), under mutual TLS.
//!
//! One endpoint a process, and a connection to each edge that is spoken to, which is made when there is
//! something to send and ends when nothing is sent for [`IDLE`]. A datagram may be lost, as on UDP. What
//! UDP does not give: who sent it is known by certificate and not by what a packet says; strangers get
//! nothing, nor do edges that were revoked; and what was recorded and is sent again arrives once, since
//! a connection takes each packet number once (RFC 9000, section 12.3), and nothing is sent before the
//! handshake has ended (no 0-RTT).
//!
//! A member that is let in can still say what it likes, about others too: what is in a datagram is for
//! the machine to judge.

mod book;
mod peers;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use nigh_base::Address;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use tokio::{sync::mpsc, time::timeout};

pub use book::{Book, BookFull};

use self::peers::{Peers, Received};
use super::{
    credentials::Shown,
    registry::MEMBERS_MAX,
    tls::{self, Trust},
};

/// What an endpoint is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where datagrams are taken, over UDP. Port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Who is believed.
    pub trust: Arc<Trust>,
    /// What is shown to others.
    pub shown: Arc<Shown>,
    /// Who belongs, and where they are. Who is not in it is not heard.
    pub book: Arc<Book>,
}

/// What an endpoint has counted.
#[derive(Debug, Default)]
pub struct Counters {
    lost_out: AtomicU64,
    lost_in: AtomicU64,
    refused: AtomicU64,
    dialled: AtomicU64,
}

/// What the counters stood at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that were not sent: nobody there, too many in wait, no way through.
    pub lost_out: u64,
    /// Datagrams that came and were thrown away: too many in wait, too long, or by somebody who is not
    /// believed any more.
    pub lost_in: u64,
    /// Connections that were not let in: strangers, revoked edges, and too many at once.
    pub refused: u64,
    /// Connections that were begun from here.
    pub dialled: u64,
}

impl Counters {
    /// Reads them, one after the other.
    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            lost_out: read(&self.lost_out),
            lost_in: read(&self.lost_in),
            refused: read(&self.refused),
            dialled: read(&self.dialled),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nobody in the book has this address.
    #[error("no edge of the cluster has this address")]
    Nobody,
    /// It is longer than [`DATAGRAM_MAX`].
    #[error("a datagram has at most {DATAGRAM_MAX} bytes")]
    TooLong,
    /// The connection cannot carry it now: it is ending, its way carries less, or too many wait.
    #[error("the datagram was lost on its way out")]
    Lost,
}

/// An endpoint. Dropping it closes all connections.
#[derive(Debug)]
pub struct Datagrams {
    address: SocketAddr,
    peers: Arc<Peers>,
    received: mpsc::Receiver<Received>,
    /// What [`Datagrams::readable`] has seen.
    held: Option<Received>,
}

impl Datagrams {
    /// Opens the endpoint.
    ///
    /// # Errors
    /// If the address cannot be had.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub fn bind(settings: Settings) -> io::Result<Self> {
        let Settings { listen, trust, shown, book } = settings;
        let transport = Arc::new(transport());
        let server =
            QuicServerConfig::try_from(tls::server(slice::from_ref(&trust), &shown, &[PROTOCOL]));
        let server = server.expect("the provider has QUIC's first cipher suite");
        let mut server = ServerConfig::with_crypto(Arc::new(server));
        server.transport_config(Arc::clone(&transport));
        // Edges do not move, and who is believed at one address is not sent to another.
        server.migration(false);
        server.max_incoming(HANDSHAKES);
        let client = QuicClientConfig::try_from(tls::client(&trust, &shown, &[PROTOCOL]));
        let client = client.expect("the provider has QUIC's first cipher suite");
        let mut client = ClientConfig::new(Arc::new(client));
        client.transport_config(transport);
        let socket = UdpSocket::bind(listen)?;
        let runtime = Arc::new(TokioRuntime);
        let mut endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime)?;
        endpoint.set_default_client_config(client);
        let address = endpoint.local_addr()?;
        let (sender, received) = mpsc::channel(RECEIVED);
        let peers = Peers::begin(endpoint, trust, book, sender);
        Ok(Self { address, peers, received, held: None })
    }

    /// Where it can be reached, with the port that it got.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted so far.
    pub fn counters(&self) -> &Counters {
        &self.peers.counters
    }

    /// Sends a datagram to whom the book has at `to`. What is sent before the connection is made waits,
    /// [`QUEUE`] of them, and then the oldest are lost.
    ///
    /// # Errors
    /// If it is known to be lost. No error does not say that it arrives.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn send(&self, to: Address, message: &[u8]) -> Result<(), SendError> {
        let sent = self.peers.send(to, message);
        if sent.is_err() {
            count(&self.peers.counters.lost_out);
        }
        sent
    }

    /// Waits until [`Datagrams::try_receive`] may have something. Nothing is lost if this is dropped.
    pub async fn readable(&mut self) {
        if self.held.is_none() {
            self.held = self.received.recv().await;
        }
    }

    /// The next datagram, with the address that the book has for whom it is from: none if there is none
    /// now. Who was revoked, or left the book, since it came is not heard.
    pub fn try_receive(&mut self) -> Option<(Address, Bytes)> {
        while let Some(next) = self.held.take().or_else(|| self.received.try_recv().ok()) {
            let from = self.peers.address_of(&next.from);
            match from {
                Some(from) => return Some((from, next.bytes)),
                None => count(&self.peers.counters.lost_in),
            }
        }
        None
    }

    /// Closes all connections, and waits until the others have been told, for [`CLOSING`] at most.
    pub async fn close(self) {
        self.peers.close();
        drop(timeout(CLOSING, self.peers.endpoint.wait_idle()).await);
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.peers.close();
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let none = VarInt::from_u32(0);
    let idle = IdleTimeout::try_from(IDLE).expect("it is far below 2^62 milliseconds");
    transport
        .max_concurrent_bidi_streams(none)
        .max_concurrent_uni_streams(none)
        .max_idle_timeout(Some(idle))
        .initial_mtu(PACKET)
        .datagram_receive_buffer_size(Some(BUFFER_BYTES))
        .datagram_send_buffer_size(BUFFER_BYTES);
    transport
}

/// What both sides have to speak. RFC 7301.
const PROTOCOL: &[u8] = b"nigh-datagrams/1";

/// Bytes of the longest datagram.
pub const DATAGRAM_MAX: usize = 1200;

/// Bytes of a UDP datagram that carries one: with at most 38 of QUIC's. Ethernet carries that, and so
/// does a tunnel of 1,280 with IPv4 in it; through IPv6 in such a tunnel only shorter ones come.
const PACKET: u16 = 1238;

/// A connection on which nothing came or went for so long is closed.
pub const IDLE: Duration = Duration::from_secs(30);

/// Datagrams that wait for a connection to one edge.
pub const QUEUE: usize = 32;

/// Datagrams of all edges that wait for the machine: 1.2 MiB at most.
pub const RECEIVED: usize = 1024;

/// Datagrams of one connection that wait for the machine: who floods it keeps out itself alone.
pub const RECEIVED_OF_ONE: usize = 64;

/// Edges that are connected with, at once: all that there may be.
pub const PEERS: usize = MEMBERS_MAX;

/// Handshakes of others, at once. Who makes one has shown that it receives at its address, so that
/// nobody takes these places under addresses of others.
pub const HANDSHAKES: usize = 64;

/// How long a handshake may take.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// How long closing may take.
pub const CLOSING: Duration = Duration::from_secs(1);

/// Bytes that wait in one connection, each way: 50 of the longest. At the limit the oldest are lost.
const BUFFER_BYTES: usize = 64 * 1024;
