//! Control state: the small map from names to values on which all edges agree, behind one trait.
//!
//! Settings, members, revoked certificates and purges lie here. A [`Transaction`] is made as
//! a whole or not at all, and gets a [`Revision`]; whoever watches sees each of them once and in
//! order. What hangs on a [`Lease`] goes when its holder is silent for too long.
//!
//! The rules stand in [`model::State`], which is pure. [`twin::Twin`] is that state in memory, for
//! simulations and tests; the engines that last (`redb`, etcd) are in `nigh_net::control`. What all
//! of them promise is in `docs/control.md`, and `conformance` holds them to it.
//!
//! ```
//! use nigh_base::Time;
//! use nigh_cluster::control::{
//!     Change, Condition, Key, Prefix, Revision, Transaction, Value,
//!     model::{Bounds, State},
//! };
//!
//! let mut state = State::new(Bounds::default());
//! let key = Key::new("edges/ams1").unwrap();
//! let put = Change::Put { value: Value::new("192.0.2.1:8443*1").unwrap(), lease: None };
//! let first = Transaction::new([(key.clone(), Condition::Absent)], [(key.clone(), put)]).unwrap();
//! let revision = state.commit(&first, Time::START).unwrap();
//! assert_eq!(state.get(&key).unwrap().revision, revision);
//! assert!(state.commit(&first, Time::START).is_err(), "it is no longer absent");
//! let seen = state.next(&Prefix::ALL, Revision::NONE).unwrap();
//! assert_eq!(seen.commit.unwrap().changes[0].0, key);
//! ```

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod local;
pub mod model;
mod names;
mod transaction;
pub mod twin;

use std::{error, fmt, future::Future, pin::Pin, sync::Arc};

pub use names::{Fault, KEY_MAX, Key, Prefix, TTL_MAX, TTL_MIN, Ttl, VALUE_MAX, Value};
pub use transaction::{Change, Condition, OPERATIONS_MAX, TRANSACTION_BYTES_MAX, Transaction};

/// What an engine answers, later. Boxed, so that a caller can hold any engine: control state is
/// asked a few times a second at most, and an allocation is nothing beside a sync or a round trip.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Control state, whichever engine keeps it; held as `Arc<dyn Control>`.
///
/// No method needs a certain runtime. A future that is dropped may leave its work done.
pub trait Control: fmt::Debug + Send + Sync {
    /// The entry under `key`, if there is one, at least as new as every commit that was answered
    /// before this call.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Denied`], [`Error::Damaged`].
    fn get<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>>;

    /// All entries below `prefix` as they are at one revision, and which that is: a watch after it
    /// misses nothing.
    ///
    /// # Errors
    /// As [`Control::get`].
    fn list<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Listing>;

    /// Makes all changes of `transaction` if all its conditions hold, and none otherwise. When it
    /// answers, they are durable, and every later read has them.
    ///
    /// The revision is that of this commit; where nothing changed (all it deletes is absent), no
    /// commit was made, and it is the latest.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::LeaseLost`], [`Error::Full`]: nothing was changed.
    /// [`Error::Unavailable`]: it may have been made all the same; with conditions, the same
    /// transaction can be tried again and is not made twice. Others as [`Control::get`].
    fn commit(&self, transaction: Transaction) -> Answer<'_, Revision>;

    /// Every commit after `after` that touches `prefix`.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::Ahead`], [`Error::Full`]; others as [`Control::get`]. Where an
    /// engine learns it later, the first [`Watch::next`] says it.
    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Answer<'a, Box<dyn Watch>>;

    /// A lease that ends when it is not kept alive for its time. The time granted may be longer
    /// than what was asked for.
    ///
    /// # Errors
    /// [`Error::Full`]; others as [`Control::get`].
    fn grant(&self, ttl: Ttl) -> Answer<'_, Lease>;

    /// Starts the time of a lease anew.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it has ended; others as [`Control::get`].
    fn keep_alive(&self, lease: LeaseId) -> Answer<'_, ()>;

    /// Ends a lease now: what hangs on it is deleted, in one commit.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it has ended already; others as [`Control::get`].
    fn revoke(&self, lease: LeaseId) -> Answer<'_, ()>;
}

/// The commits that touch a prefix, one by one.
pub trait Watch: fmt::Debug + Send {
    /// The next commit, with those of its changes that lie below the prefix; waits until there is
    /// one. No commit is left out, none comes twice, and revisions only grow. A future that is
    /// dropped takes nothing with it.
    ///
    /// # Errors
    /// [`Error::Compacted`] and [`Error::Ahead`] end the watch: list, and watch anew. After
    /// [`Error::Unavailable`] the next call goes on where this one was; the engine pauses by itself.
    fn next(&mut self) -> Answer<'_, Commit>;
}

/// How many commits there have been; a later commit has a greater one. Engines that others use
/// too leave numbers out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first commit.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a lease; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// A lease as it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// How long it lasts without being kept alive.
    pub ttl: Ttl,
}

/// What lies under a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// As it was put.
    pub value: Value,
    /// The commit that put it.
    pub revision: Revision,
    /// The lease that it hangs on.
    pub lease: Option<LeaseId>,
}

/// The entries below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// In the order of their keys.
    pub entries: Vec<(Key, Entry)>,
    /// The latest commit that they show.
    pub revision: Revision,
}

/// One step of the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Its number.
    pub revision: Revision,
    /// What it changed, in the order of the keys, each once.
    pub changes: Vec<(Key, Change)>,
}

/// Why control state did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A condition does not hold. The caller reads anew and decides anew.
    #[error("another change came first")]
    Conflict,
    /// The engine cannot be asked. Trying again may help; a commit may have been made.
    #[error("control state cannot be reached now")]
    Unavailable {
        /// What the engine says, if it says something.
        source: Option<Source>,
    },
    /// What came after the watcher's revision is no longer kept. The watcher lists anew.
    #[error("the history after this revision is gone")]
    Compacted,
    /// The watcher has seen more than there is: the state was set back, as from an old copy. The
    /// watcher lists anew.
    #[error("control state is at revision {latest}, behind what was seen of it")]
    Ahead {
        /// The latest commit that there is.
        latest: Revision,
    },
    /// The lease has ended. Its holder asks for another one.
    #[error("the lease has ended")]
    LeaseLost,
    /// There is no room. Somebody has to delete something, or the operator to give more room.
    #[error("control state has no room for more {what}")]
    Full {
        /// What reached its bound.
        what: Bound,
    },
    /// The engine does not let us. The operator gives us the right to, or other credentials.
    #[error("control state refuses us")]
    Denied {
        /// What the engine says.
        source: Source,
    },
    /// The engine holds what we have not written. The operator looks at its disk, and brings back a
    /// copy.
    #[error("control state is damaged where it is kept")]
    Damaged {
        /// What is wrong.
        source: Source,
    },
}

/// The cause of an error, from an engine's library.
pub type Source = Arc<dyn error::Error + Send + Sync>;

impl Error {
    /// [`Error::Unavailable`], for this reason.
    pub fn unavailable(source: impl error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable { source: Some(Arc::new(source)) }
    }

    /// [`Error::Damaged`], for this reason.
    pub fn damaged(source: impl error::Error + Send + Sync + 'static) -> Self {
        Self::Damaged { source: Arc::new(source) }
    }

    /// Whether a watch that ends so begins anew with a list.
    pub const fn asks_to_list(&self) -> bool {
        matches!(self, Self::Compacted | Self::Ahead { .. })
    }
}

/// What control state has only so much room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// [`model::Bounds::keys`].
    Keys,
    /// [`model::Bounds::bytes`], or what an etcd has by its `--quota-backend-bytes`.
    Bytes,
    /// [`model::Bounds::leases`].
    Leases,
    /// Watches that are open at a time.
    Watches,
    /// Commits that wait for their turn.
    Commits,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "keys",
            Self::Bytes => "bytes",
            Self::Leases => "leases",
            Self::Watches => "watches",
            Self::Commits => "commits at a time",
        })
    }
}
