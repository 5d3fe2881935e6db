//! The connections of an endpoint: at most one each way with each edge.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use nigh_base::Address;
use parking_lot::Mutex;
use quinn::{Connecting, Connection, Endpoint, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tracing::debug;

use super::{
    Book, Counters, DATAGRAM_MAX, HANDSHAKE_TIME, HANDSHAKES, PEERS, QUEUE, RECEIVED_OF_ONE,
    SendError, count,
};
use crate::cluster::{identity::Identity, name::Name, tls::Trust};

/// A datagram that waits for the machine.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) from: Arc<Identity>,
    pub(super) bytes: Bytes,
    /// Its place among those of its connection.
    _place: OwnedSemaphorePermit,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) endpoint: Endpoint,
    pub(super) counters: Counters,
    trust: Arc<Trust>,
    book: Arc<Book>,
    open: Mutex<BTreeMap<Name, Peer>>,
    received: mpsc::Sender<Received>,
}

/// The connections with one edge. Two edges that call each other at the same moment have one each way;
/// mostly there is one.
#[derive(Debug, Default)]
struct Peer {
    dialled: Option<Line>,
    accepted: Option<Line>,
    /// Which of them was made last.
    newest: Side,
    /// What waits for the connection that is being dialled.
    waiting: Option<VecDeque<Bytes>>,
}

/// A connection, and who is at its other end.
#[derive(Clone, Debug)]
struct Line {
    connection: Connection,
    identity: Arc<Identity>,
}

/// From which side a connection was begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Dialled,
    Accepted,
}

impl Peer {
    const fn line(&mut self, side: Side) -> &mut Option<Line> {
        match side {
            Side::Dialled => &mut self.dialled,
            Side::Accepted => &mut self.accepted,
        }
    }

    const fn is_unused(&self) -> bool {
        self.dialled.is_none() && self.accepted.is_none() && self.waiting.is_none()
    }
}

impl Peers {
    pub(super) fn begin(
        endpoint: Endpoint,
        trust: Arc<Trust>,
        book: Arc<Book>,
        received: mpsc::Sender<Received>,
    ) -> Arc<Self> {
        let (counters, open) = (Counters::default(), Mutex::default());
        let peers = Arc::new(Self { endpoint, counters, trust, book, open, received });
        tokio::spawn(Arc::clone(&peers).accept());
        peers
    }

    /// Ends everything: the tasks of connections, and of accepting, end with them.
    pub(super) fn close(&self) {
        self.endpoint.close(DONE, b"");
    }

    /// Where an edge is that is still believed.
    pub(super) fn address_of(&self, identity: &Identity) -> Option<Address> {
        self.trust.judge(identity).ok()?;
        self.book.address(&identity.name)
    }

    pub(super) fn send(self: &Arc<Self>, to: Address, message: &[u8]) -> Result<(), SendError> {
        if message.len() > DATAGRAM_MAX {
            return Err(SendError::TooLong);
        }
        let name = self.book.name(to).ok_or(SendError::Nobody)?;
        let message = Bytes::copy_from_slice(message);
        let mut open = self.open.lock();
        if !open.contains_key(&name) && open.len() >= PEERS {
            return Err(SendError::Lost);
        }
        let peer = open.entry(name.clone()).or_default();
        // The newest goes first: who was restarted does not know of an older one, which is only known to
        // be dead when it was idle for long.
        let lines = match peer.newest {
            Side::Dialled => [&peer.dialled, &peer.accepted],
            Side::Accepted => [&peer.accepted, &peer.dialled],
        };
        for line in lines.into_iter().flatten() {
            if self.trust.judge(&line.identity).is_ok() {
                return line.connection.send_datagram(message).map_err(|_| SendError::Lost);
            }
        }
        if let Some(waiting) = &mut peer.waiting {
            if waiting.len() >= QUEUE {
                waiting.pop_front();
                count(&self.counters.lost_out);
            }
            waiting.push_back(message);
            return Ok(());
        }
        peer.waiting = Some(VecDeque::from([message]));
        drop(open);
        count(&self.counters.dialled);
        tokio::spawn(Arc::clone(self).dial(name, to));
        Ok(())
    }

    /// Makes the connection that somebody has something for.
    async fn dial(self: Arc<Self>, name: Name, to: Address) {
        let domain = name.within(self.trust.cluster());
        let line = match self.endpoint.connect(to.into(), &domain) {
            Ok(connecting) => self.finish(connecting).await,
            Err(error) => {
                debug!(%error, %name, "an edge cannot be called");
                None
            }
        };
        let waiting = {
            let mut open = self.open.lock();
            let peer = open.entry(name.clone()).or_default();
            let waiting = peer.waiting.take().unwrap_or_default();
            if line.is_some() {
                peer.dialled.clone_from(&line);
                peer.newest = Side::Dialled;
            } else if peer.is_unused() {
                open.remove(&name);
            }
            waiting
        };
        let Some(line) = line else {
            waiting.iter().for_each(|_| count(&self.counters.lost_out));
            return;
        };
        for message in waiting {
            if line.connection.send_datagram(message).is_err() {
                count(&self.counters.lost_out);
            }
        }
        self.carry(line, Side::Dialled).await;
    }

    async fn accept(self: Arc<Self>) {
        let places = Arc::new(Semaphore::new(HANDSHAKES));
        while let Some(incoming) = self.endpoint.accept().await {
            if !incoming.remote_address_validated() {
                // It costs us one packet and no memory, and the next one shows that whoever sent this
                // receives there. RFC 9000, section 8.1.2.
                drop(incoming.retry());
                continue;
            }
            let place = Arc::clone(&places).try_acquire_owned();
            let (Ok(place), Ok(connecting)) = (place, incoming.accept()) else {
                count(&self.counters.refused);
                continue;
            };
            let peers = Arc::clone(&self);
            tokio::spawn(async move {
                let line = peers.finish(connecting).await;
                drop(place);
                match line.filter(|line| peers.let_in(line)) {
                    Some(line) => peers.carry(line, Side::Accepted).await,
                    None => count(&peers.counters.refused),
                }
            });
        }
    }

    /// Finishes a handshake; none if there is nobody whom we believe.
    async fn finish(&self, connecting: Connecting) -> Option<Line> {
        let connection = match timeout(HANDSHAKE_TIME, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                debug!(%error, "no connection between edges");
                return None;
            }
            Err(_) => return None,
        };
        let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        let identity = self.trust.peer(&shown).ok();
        if identity.is_none() {
            connection.close(NOT_BELIEVED, b"");
        }
        Some(Line { connection, identity: Arc::new(identity?) })
    }

    /// Notes a connection of somebody who belongs. It takes the place of an older one, which somebody
    /// has left who was started anew.
    fn let_in(&self, line: &Line) -> bool {
        let name = &line.identity.name;
        let mut open = self.open.lock();
        let has_place = open.contains_key(name) || open.len() < PEERS;
        if self.book.address(name).is_none() || !has_place {
            drop(open);
            line.connection.close(NOT_BELIEVED, b"");
            return false;
        }
        let peer = open.entry(name.clone()).or_default();
        peer.newest = Side::Accepted;
        let older = peer.accepted.replace(line.clone());
        drop(open);
        if let Some(older) = older {
            older.connection.close(DONE, b"");
        }
        true
    }

    /// Takes what comes until the connection ends, or who is at its other end is not believed any more.
    async fn carry(&self, line: Line, side: Side) {
        let Line { connection, identity } = &line;
        let places = Arc::new(Semaphore::new(RECEIVED_OF_ONE));
        // The certificate that a connection was made with may have been exchanged, and it ends with it
        // even so: the next connection is made with the new one.
        let lost = self.trust.lost(identity);
        tokio::pin!(lost);
        loop {
            select! {
                datagram = connection.read_datagram() => match datagram {
                    Ok(bytes) => self.take(identity, bytes, &places),
                    Err(error) => {
                        debug!(%error, edge = %identity.name, "a connection between edges ended");
                        break;
                    }
                },
                () = &mut lost => break,
            }
        }
        connection.close(NOT_BELIEVED, b"");
        self.forget(&line, side);
    }

    fn take(&self, from: &Arc<Identity>, bytes: Bytes, places: &Arc<Semaphore>) {
        let place = Arc::clone(places).try_acquire_owned().ok();
        let place = place.filter(|_| bytes.len() <= DATAGRAM_MAX);
        let received = place.map(|_place| Received { from: Arc::clone(from), bytes, _place });
        if received.is_none_or(|received| self.received.try_send(received).is_err()) {
            count(&self.counters.lost_in);
        }
    }

    fn forget(&self, line: &Line, side: Side) {
        let name = &line.identity.name;
        let mut open = self.open.lock();
        let Some(peer) = open.get_mut(name) else { return };
        let held = peer.line(side);
        let id = |line: &Line| line.connection.stable_id();
        if held.as_ref().is_some_and(|held| id(held) == id(line)) {
            *held = None;
        }
        if peer.is_unused() {
            open.remove(name);
        }
    }
}

/// Why a connection is closed: nobody wants anything of it any more.
const DONE: VarInt = VarInt::from_u32(0);

/// Who is at its other end is not, or no longer, believed.
const NOT_BELIEVED: VarInt = VarInt::from_u32(1);
