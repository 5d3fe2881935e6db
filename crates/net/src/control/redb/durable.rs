//! The state in memory with its file beneath: every step is in the file before it is seen.

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use nigh_base::Time;
use nigh_cluster::control::{
    Error, Lease, LeaseId, Revision, Transaction, Ttl,
    local::Local,
    model::{Bounds, State, Step},
};
use parking_lot::Mutex;
use redb::{Database, DatabaseError};

use super::tables::{self, ReadError};

/// Memory for pages of the file. Nothing is read from it but once, when it is opened.
const CACHE_BYTES: usize = 8 << 20;

/// Why a file cannot be used for control state.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be made, read or written.
    #[error("{} cannot be used for control state", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: redb::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process: one alone keeps control state", path.display())]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// It holds something else than what was written.
    #[error("{} is damaged or no control state: bring back a copy, or begin anew without it", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        source: ReadError,
    },
}

/// Opens the database, each time it is needed anew.
type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// A state that lasts. Its methods wait for the disk.
pub(super) struct Durable {
    local: Local,
    bounds: Bounds,
    path: PathBuf,
    open: Opener,
    /// Held over each change, so that plans and steps alternate.
    file: Mutex<Place>,
}

/// What there is of the file.
enum Place {
    Open(Database),
    /// Writing has failed, and what reached the disk is not known.
    InDoubt,
    /// For good.
    Closed,
}

impl Durable {
    /// The state in the file at `path`, which is made if there is none.
    pub(super) fn open(path: PathBuf, bounds: Bounds, now: Time) -> Result<Self, OpenError> {
        let is_new = !path.exists();
        let to_open = path.clone();
        let open = move || builder().create(&to_open);
        let durable = Self::open_on(path, Box::new(open), bounds, now)?;
        if is_new {
            // Else a power cut could take the file's name, and all commits with it.
            sync_directory(&durable.path).map_err(|error| OpenError::Unusable {
                path: durable.path.clone(),
                source: redb::Error::Io(error),
            })?;
        }
        Ok(durable)
    }

    /// The same on whatever `open` opens, which is called `path` in errors.
    pub(super) fn open_on(
        path: PathBuf,
        open: Opener,
        bounds: Bounds,
        now: Time,
    ) -> Result<Self, OpenError> {
        let (database, state) = read(&open, bounds, now).map_err(|error| located(error, &path))?;
        let file = Mutex::new(Place::Open(database));
        Ok(Self { local: Local::new(state), bounds, path, open, file })
    }

    /// What is in memory.
    pub(super) const fn local(&self) -> &Local {
        &self.local
    }

    pub(super) fn commit(&self, transaction: &Transaction, now: Time) -> Result<Revision, Error> {
        self.change(now, |state| {
            let step = state.plan(transaction, now)?;
            let latest =
                step.commit.as_ref().map_or_else(|| state.revision(), |commit| commit.revision);
            Ok((latest, Some(step)))
        })
    }

    pub(super) fn grant(&self, ttl: Ttl, now: Time) -> Result<Lease, Error> {
        self.change(now, |state| state.plan_grant(ttl).map(|(lease, step)| (lease, Some(step))))
    }

    pub(super) fn revoke(&self, lease: LeaseId, now: Time) -> Result<(), Error> {
        self.change(now, |state| Ok(((), Some(state.plan_revoke(lease)?))))
    }

    /// Ends one lease whose time is over, if there is one.
    pub(super) fn lapse(&self, now: Time) -> Result<(), Error> {
        self.change(now, |state| Ok(((), state.plan_lapse(now))))
    }

    pub(super) fn close(&self) {
        *self.file.lock() = Place::Closed;
    }

    /// Plans, writes, and applies what was written.
    fn change<T>(
        &self,
        now: Time,
        plan: impl FnOnce(&State) -> Result<(T, Option<Step>), Error>,
    ) -> Result<T, Error> {
        let mut file = self.file.lock();
        let database = self.database(&mut file, now)?;
        let (answer, step) = self.local.ask(plan)?;
        let Some(step) = step.filter(Step::changes) else { return Ok(answer) };
        if let Err(error) = tables::write(database, &step) {
            *file = Place::InDoubt;
            return Err(Error::unavailable(error));
        }
        self.local.apply(step, now);
        Ok(answer)
    }

    /// The database, opened and read anew where it is in doubt.
    fn database<'a>(&self, file: &'a mut Place, now: Time) -> Result<&'a Database, Error> {
        if matches!(file, Place::InDoubt) {
            let (database, state) = read(&self.open, self.bounds, now).map_err(|error| {
                match located(error, &self.path) {
                    error @ OpenError::Damaged { .. } => Error::damaged(error),
                    error => Error::unavailable(error),
                }
            })?;
            self.local.replace(state);
            *file = Place::Open(database);
        }
        match file {
            Place::Open(database) => Ok(database),
            Place::InDoubt | Place::Closed => Err(Error::Unavailable { source: None }),
        }
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, local, .. } = self;
        f.debug_struct("Durable").field("path", path).field("local", local).finish()
    }
}

/// How the file is opened: every page is checked, for all are read anyway.
pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn read(open: &Opener, bounds: Bounds, now: Time) -> Result<(Database, State), ReadError> {
    let database = open().map_err(|error| ReadError::Redb(error.into()))?;
    let saved = tables::read(&database)?;
    let state = State::restore(bounds, saved, now)?;
    Ok((database, state))
}

fn located(error: ReadError, path: &Path) -> OpenError {
    let path = path.to_owned();
    match error {
        ReadError::Redb(redb::Error::DatabaseAlreadyOpen) => OpenError::Locked { path },
        ReadError::Redb(redb::Error::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            OpenError::Unusable { path, source: redb::Error::Io(error) }
        }
        source => OpenError::Damaged { path, source },
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
