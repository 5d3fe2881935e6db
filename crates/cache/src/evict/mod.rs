//! Who leaves when the store is full: eviction policies behind one trait, aware of size.
//!
//! The store's shard owns a slab of objects; a policy knows their places in it ([`Slot`]), and
//! keeps a few bytes for each in tables of its own, parallel to the slab: no allocation for an
//! entry, no pointer into an object. `docs/eviction.md` compares the policies on real traces.
//!
//! ```text
//! miss -> while it would not fit: victim() -> insert(slot)      hit -> hit(slot)
//! purged or replaced -> remove(slot)        grown or shrunk in place -> resize(slot)
//! ```
//!
//! Room is made *before* a newcomer enters, so one that was turned away by admission is simply the
//! next victim. `victim` works at any fill, for a store also spends its bytes on bodies in flight.
//!
//! ```
//! use nigh_cache::evict::{Evictor, Kind, Policy, Slot};
//! let mut evictor = Evictor::new(Kind::default(), 64 << 20);
//! evictor.insert(Slot(0), 0x1234, 1_000);
//! evictor.insert(Slot(1), 0x5678, 1_000_000);
//! evictor.hit(Slot(0));
//! assert_eq!(evictor.victim(), Some(Slot(1)));
//! ```

mod facts;
mod gdsf;
mod ghost;
mod links;
mod lru;
mod s3fifo;
mod sieve;
mod sketch;
#[cfg(test)]
mod tests;
mod tinylfu;

pub use self::{gdsf::Gdsf, lru::Lru, s3fifo::S3Fifo, sieve::Sieve, tinylfu::TinyLfu};

use std::{fmt, str::FromStr};

/// A place in a shard's slab. Numbers are dense: a policy's tables are as long as the highest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// The place as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Chooses who leaves. Every call takes constant time, amortised.
///
/// # Panics
/// `insert` panics on a slot that is held, `remove` on one that is not; `hit` and `resize` on such
/// a slot may panic or go unnoticed, but disturb no other.
pub trait Policy: fmt::Debug + Send {
    /// A newcomer of `bytes`. `hash` is its key's, well mixed and unknown to strangers (keyed):
    /// who comes back after eviction is known by it.
    fn insert(&mut self, slot: Slot, hash: u64, bytes: u64);

    /// A newcomer for which another cache answers, so that it costs less to bring again. A policy that
    /// knows no costs takes it for any other.
    fn insert_copy(&mut self, slot: Slot, hash: u64, bytes: u64) {
        self.insert(slot, hash, bytes);
    }

    /// It was asked for and served. Runs under the shard's lock on the hit path.
    fn hit(&mut self, slot: Slot);

    /// Its size has changed to `bytes`.
    fn resize(&mut self, slot: Slot, bytes: u64);

    /// It left for a reason that is none of the policy's (purged, replaced).
    fn remove(&mut self, slot: Slot);

    /// Picks who leaves now, and forgets it; `None` if nothing is held.
    fn victim(&mut self) -> Option<Slot>;

    /// Bytes of memory that the policy's tables take now.
    fn footprint(&self) -> usize;
}

/// The policies, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Least recently used.
    Lru,
    /// One queue and a sweeping hand.
    Sieve,
    /// A small queue, a main queue and a ghost.
    S3Fifo,
    /// Admission by frequency.
    TinyLfu,
    /// Frequency over size, aged: the one that wins on the traces.
    #[default]
    Gdsf,
}

impl Kind {
    /// Every policy.
    pub const ALL: [Self; 5] = [Self::Lru, Self::Sieve, Self::S3Fifo, Self::TinyLfu, Self::Gdsf];

    const fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Sieve => "sieve",
            Self::S3Fifo => "s3-fifo",
            Self::TinyLfu => "w-tinylfu",
            Self::Gdsf => "gdsf",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No policy has this name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no eviction policy: use lru, sieve, s3-fifo, w-tinylfu or gdsf")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let unknown = || UnknownKind(text.to_owned());
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(unknown)
    }
}

/// A policy chosen at run time, called without a table of functions.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each shard, and a hit follows no pointer")]
pub enum Evictor {
    /// See [`Lru`].
    Lru(Lru),
    /// See [`Sieve`].
    Sieve(Sieve),
    /// See [`S3Fifo`].
    S3Fifo(S3Fifo),
    /// See [`TinyLfu`].
    TinyLfu(TinyLfu),
    /// See [`Gdsf`].
    Gdsf(Gdsf),
}

impl Evictor {
    /// The policy `kind` for a shard of `capacity` bytes.
    pub fn new(kind: Kind, capacity: u64) -> Self {
        match kind {
            Kind::Lru => Self::Lru(Lru::default()),
            Kind::Sieve => Self::Sieve(Sieve::default()),
            Kind::S3Fifo => Self::S3Fifo(S3Fifo::new(capacity)),
            Kind::TinyLfu => Self::TinyLfu(TinyLfu::new(capacity)),
            Kind::Gdsf => Self::Gdsf(Gdsf::new(capacity)),
        }
    }
}

macro_rules! each {
    ($evictor:expr, $policy:ident => $call:expr) => {
        match $evictor {
            Evictor::Lru($policy) => $call,
            Evictor::Sieve($policy) => $call,
            Evictor::S3Fifo($policy) => $call,
            Evictor::TinyLfu($policy) => $call,
            Evictor::Gdsf($policy) => $call,
        }
    };
}

impl Policy for Evictor {
    fn insert(&mut self, slot: Slot, hash: u64, bytes: u64) {
        each!(self, policy => policy.insert(slot, hash, bytes));
    }

    fn insert_copy(&mut self, slot: Slot, hash: u64, bytes: u64) {
        each!(self, policy => policy.insert_copy(slot, hash, bytes));
    }

    fn hit(&mut self, slot: Slot) {
        each!(self, policy => policy.hit(slot));
    }

    fn resize(&mut self, slot: Slot, bytes: u64) {
        each!(self, policy => policy.resize(slot, bytes));
    }

    fn remove(&mut self, slot: Slot) {
        each!(self, policy => policy.remove(slot));
    }

    fn victim(&mut self) -> Option<Slot> {
        each!(self, policy => policy.victim())
    }

    fn footprint(&self) -> usize {
        each!(self, policy => policy.footprint())
    }
}

/// A key's fingerprint: all bits of the hash take part, for the keys of a shard share some.
fn print_of(hash: u64) -> u32 {
    u32::try_from(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).expect("half of 64 bits")
}

/// Bytes of memory that a table takes.
fn footprint_of<T>(table: &Vec<T>) -> usize {
    table.capacity() * size_of::<T>()
}
