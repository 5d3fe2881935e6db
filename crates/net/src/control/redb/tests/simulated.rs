//! The database on a simulated disk, and what a state holds in a form that can be compared.

use std::{io, path::PathBuf, sync::Arc};

use nigh_base::{Time, machine::DiskError};
use nigh_cluster::control::{
    Commit, Listing, Prefix, Revision,
    model::{Bounds, State},
};
use nigh_sim::disk::Disk;
use parking_lot::Mutex;
use redb::StorageBackend;

use super::super::durable::{Durable, OpenError, builder};

pub(super) const FILE: &str = "control";
/// Room for the file, which has some MiB at least.
pub(super) const CAPACITY: u64 = 64 << 20;
/// A short history, so that it is cut often.
pub(super) const BOUNDS: Bounds =
    Bounds { keys: 100, bytes: 1 << 20, leases: 10, history_commits: 5, history_bytes: 1 << 20 };

/// A disk with an engine on it; clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct Plugged(pub(super) Arc<Mutex<Disk>>);

impl Plugged {
    pub(super) fn new(disk: Disk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(super) fn open(&self) -> Result<Durable, OpenError> {
        let disk = self.clone();
        let open = move || {
            disk.make().map_err(redb::StorageError::Io)?;
            builder().create_with_backend(disk.clone())
        };
        Durable::open_on(PathBuf::from(FILE), Box::new(open), BOUNDS, Time::START)
    }

    /// The file, with its name durable: the engine sees to that on real disks.
    fn make(&self) -> io::Result<()> {
        let mut disk = self.0.lock();
        if !disk.names().iter().any(|name| name == FILE) {
            disk.write_at(FILE, 0, &[]).map_err(io::Error::other)?;
            disk.sync_directory().map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Disk) -> Result<T, DiskError>) -> io::Result<T> {
        work(&mut self.0.lock()).map_err(io::Error::other)
    }
}

impl StorageBackend for Plugged {
    fn len(&self) -> io::Result<u64> {
        self.with(|disk| disk.length(FILE))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.with(|disk| disk.read_at(FILE, offset, out.len()))?;
        if bytes.len() < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.copy_from_slice(&bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|disk| disk.truncate(FILE, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|disk| disk.sync(FILE))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|disk| disk.write_at(FILE, offset, data))
    }
}

/// What lies there, and the history as far as it is kept.
pub(super) type Content = (Listing, Vec<Commit>);

pub(super) fn content(state: &State) -> Content {
    let latest = state.revision();
    let mut after = Revision::NONE;
    while state.next(&Prefix::ALL, after).is_err() {
        after.0 += 1;
    }
    let mut history = Vec::new();
    while after < latest {
        let seen = state.next(&Prefix::ALL, after).unwrap();
        history.extend(seen.commit);
        after = seen.after;
    }
    (state.list(&Prefix::ALL), history)
}
