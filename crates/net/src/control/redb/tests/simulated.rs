//! The database on a simulated disk, and what a state holds in a form that can be compared.

use std::{io, path::PathBuf, sync::Arc};

use nigh_base::{Time, machine::DiskError};
use nigh_cluster::control::{
    Commit, Listing, Prefix, Revision,
    model::{Bounds, State},
};
use nigh_sim::disk::Disk;
use parking_lot::Mutex;
use redb::{DatabaseError, StorageBackend, StorageError};

use super::super::durable::{Durable, OpenError, builder, fill};

pub(super) const FILE: &str = "control";
/// What it is called while it is made.
const NEW: &str = "control.new";
/// Room for the file, which has some MiB at least.
pub(super) const CAPACITY: u64 = 64 << 20;
/// A short history, so that it is cut often.
pub(super) const BOUNDS: Bounds =
    Bounds { keys: 100, bytes: 1 << 20, leases: 10, history_commits: 5, history_bytes: 1 << 20 };

/// A disk with an engine on it; clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct Plugged(pub(super) Arc<Mutex<Disk>>);

/// A file of it.
#[derive(Debug)]
struct Opened {
    disk: Plugged,
    name: &'static str,
}

impl Plugged {
    pub(super) fn new(disk: Disk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(super) fn open(&self) -> Result<Durable, OpenError> {
        let disk = self.clone();
        let open = move || {
            disk.make()?;
            builder().create_with_backend(disk.opened(FILE))
        };
        Durable::open_on(PathBuf::from(FILE), Box::new(open), BOUNDS, Time::START)
    }

    /// Makes the file if there is none, in the steps in which the engine does.
    fn make(&self) -> Result<(), DatabaseError> {
        let names = self.0.lock().names();
        if names.iter().any(|name| name == FILE) {
            return Ok(());
        }
        let steps = |steps: fn(&mut Disk) -> Result<(), DiskError>| {
            self.with(steps).map_err(|error| DatabaseError::Storage(StorageError::Io(error)))
        };
        if names.iter().any(|name| name == NEW) {
            steps(|disk| disk.remove(NEW))?;
        }
        steps(|disk| disk.write_at(NEW, 0, &[]))?;
        fill(builder().create_with_backend(self.opened(NEW))?)
            .map_err(|error| DatabaseError::Storage(StorageError::Io(io::Error::other(error))))?;
        steps(|disk| {
            disk.sync(NEW)?;
            disk.rename(NEW, FILE)?;
            disk.sync_directory()
        })
    }

    fn opened(&self, name: &'static str) -> Opened {
        Opened { disk: self.clone(), name }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Disk) -> Result<T, DiskError>) -> io::Result<T> {
        work(&mut self.0.lock()).map_err(io::Error::other)
    }
}

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        self.disk.with(|disk| disk.length(self.name))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.disk.with(|disk| disk.read_at(self.name, offset, out.len()))?;
        if bytes.len() < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.copy_from_slice(&bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.with(|disk| disk.truncate(self.name, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.with(|disk| disk.sync(self.name))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.with(|disk| disk.write_at(self.name, offset, data))
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
