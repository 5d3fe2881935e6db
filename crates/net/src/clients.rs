//! Limits of client networks (`nigh_edge::client`) on real clocks, for all cores.

use std::{net::IpAddr, sync::Arc, time::Duration};

use nigh_edge::client::{Limits, Network, Table, retry_after};

use crate::{clock::Monotonic, entropy};

/// What client networks take, and what they may.
#[derive(Debug)]
pub struct Clients {
    table: Table,
    clock: Monotonic,
}

/// A connection that its client's network may have; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    clients: Arc<Clients>,
    network: Network,
}

impl Clients {
    /// `None` if nothing is limited.
    pub(crate) fn new(limits: &Limits) -> Option<Arc<Self>> {
        let table = limits.are_set().then(|| Table::new(limits.clone(), entropy::seed()))?;
        Some(Arc::new(Self { table, clock: Monotonic::start() }))
    }

    /// How often a network was let through because there was no place for it.
    pub fn uncounted(&self) -> u64 {
        self.table.uncounted()
    }

    /// A connection of a client that is limited; `None` if it is not.
    ///
    /// # Errors
    /// If its network has as many as it may.
    pub(crate) fn open(self: &Arc<Self>, address: IpAddr) -> Result<Option<Guest>, TooMany> {
        let Some(network) = self.table.network(address) else { return Ok(None) };
        if !self.table.open(network) {
            return Err(TooMany);
        }
        Ok(Some(Guest { clients: Arc::clone(self), network }))
    }

    /// A request.
    ///
    /// # Errors
    /// If it is one too many: the seconds after which its client may come again.
    pub(crate) fn request(&self, network: Network) -> Result<(), u32> {
        self.table.request(network, self.clock.now()).map_err(retry_after)
    }

    /// How fast a network may be written to; `None` if that is not limited.
    pub(crate) fn pace(self: &Arc<Self>, network: Network) -> Option<Pace> {
        let piece = self.table.piece()?;
        Some(Pace { clients: Arc::clone(self), network, piece })
    }
}

/// A network has as many connections as it may.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Guest {
    /// The network that it counts for.
    pub(crate) fn network(&self) -> Network {
        self.network
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.clients.table.close(self.network);
    }
}

/// How fast a client may be written to: in pieces, each of which waits for its turn among those of
/// all connections of its network.
#[derive(Debug)]
pub(crate) struct Pace {
    clients: Arc<Clients>,
    network: Network,
    piece: usize,
}

impl Pace {
    /// Bytes that one turn is for at most.
    pub(crate) const fn piece(&self) -> usize {
        self.piece
    }

    /// Takes a turn for so many bytes; says how long to wait for it.
    pub(crate) fn reserve(&self, bytes: usize) -> Duration {
        self.clients.table.reserve(self.network, bytes, self.clients.clock.now())
    }

    /// So many bytes of a turn were not written.
    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.clients.table.give_back(self.network, bytes);
        }
    }
}
