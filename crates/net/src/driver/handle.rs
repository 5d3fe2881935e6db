//! What a caller gives a driver and holds of it.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use nigh_base::Machine;
use tokio::sync::mpsc;

use super::Counters;

/// What a driver is set up with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where datagrams and links are taken, both on one port. Port 0 lets the system choose one, and
    /// `[::]` is for both families.
    pub listen: SocketAddr,
    /// Where slots lie. It is made if it is missing, and no two drivers may share it. Without one,
    /// every save and load fails.
    pub slots: Option<PathBuf>,
    /// The seed of the machine's own numbers: `entropy::seed()`, unless a run is to be repeated.
    pub seed: u64,
}

/// What a caller holds of a running driver.
#[derive(Debug)]
pub struct Handle<C, E> {
    /// Commands to the machine, of which [`COMMANDS`] wait. When all senders are dropped, what waits
    /// is still handled, and then the driver stops.
    pub commands: mpsc::Sender<C>,
    /// What the machine tells. At [`EVENTS`] unread ones the driver waits and the machine stands
    /// still, so that no event is lost: who does not read events must not wait for room for a
    /// command, or for the driver to stop. Who wants none drops this.
    pub events: mpsc::Receiver<E>,
    /// Where it can be reached, with the port that it got.
    pub address: SocketAddr,
    /// What it has done so far.
    pub counters: Arc<Counters>,
}

/// The handle of a driver that runs a `T`.
pub type HandleOf<T> = Handle<<T as Machine>::Command, <T as Machine>::Event>;

/// Why a driver cannot begin. All of it is for the operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is in use, not this machine's, or not allowed.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The directory of the slots cannot be made or opened.
    #[error("cannot keep anything in {path}")]
    Slots {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another driver has it.
    #[error("{path} is in use by another driver")]
    SlotsInUse {
        /// Which.
        path: PathBuf,
    },
    /// The file of the recording cannot be made, or is there already.
    #[error("cannot record to {path}")]
    Record {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Commands that wait for the machine: as many as callers of one node ask at once. Who sends more
/// waits.
pub const COMMANDS: usize = 256;
/// Events that wait for the caller: a few for every command that waits, so that a caller who is busy
/// for a moment does not stop the machine.
pub const EVENTS: usize = 1024;
