//! What waits for the log's writer: objects that were asked for again, and what is gone.
//!
//! The store tells the queue what happens; whoever owns the log takes the work from it, in order.
//! What is gone is not found any more from the moment the queue knows of it.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
};

use nigh_base::machine::DiskError;
use parking_lot::Mutex;

use super::{Beneath, Index, Log, Place, Storage, record};
use crate::{object::Object, purge::Rule};

/// Bytes of objects that may wait, which bounds how far the writer may be behind.
const OBJECTS_MAX: u64 = 64 * 1024 * 1024;
/// The part of the memory that they may keep from leaving.
const OBJECTS_PART: u64 = 8;
/// Removals that may wait; beyond that, everything is removed rather than one forgotten.
const REMOVALS_MAX: usize = 1 << 16;
/// Marks of keys that were fetched of late: four megabytes, for about a million keys.
const SEEN: usize = 1 << 20;

/// Bytes that an object counts which waits: of a body on the disk those that are to be copied.
fn held(object: &Object) -> u64 {
    object.charged() + object.beneath().map_or(0, Beneath::length)
}

/// Work for the writer.
enum Work {
    /// An object, and whether something older lies there in its place.
    Write(Object, bool),
    Key(Box<[u8]>),
    Variant(Box<[u8]>, Box<[u8]>),
    All,
    Purge(u32, Rule, Done),
    Sync(Done),
}

/// Hears what became of what was to be durable.
type Done = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    bytes: u64,
    /// Keys of which something is to be removed, by hash, and how often.
    removals: BTreeMap<u64, usize>,
    all: usize,
    /// Pieces of work whose end somebody waits for.
    awaited: usize,
    /// A piece of work is being done: what it writes is not in the index yet.
    busy: bool,
    closed: bool,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("work", &self.work.len()).finish_non_exhaustive()
    }
}

/// The way from the store to the log.
#[derive(Debug)]
pub struct Queue {
    index: Arc<Index>,
    waiting: Mutex<Waiting>,
    writer: Waker,
    /// Keys that were fetched of late, by a mark: only what is fetched again is worth a write.
    /// Lossy on purpose: a collision costs one write too many or one too few.
    seen: Box<[AtomicU32]>,
    /// Whether all that lay there at the start is in the index.
    found: AtomicBool,
    /// Bytes of objects that may wait.
    room: AtomicU64,
    dropped: AtomicU64,
}

impl Queue {
    /// A queue for the log that fills `index`. Whoever writes is woken when there is work.
    pub fn new(index: Arc<Index>, writer: Waker) -> Self {
        Self {
            index,
            waiting: Mutex::default(),
            writer,
            seen: (0..SEEN).map(|_| AtomicU32::new(0)).collect(),
            found: AtomicBool::new(false),
            room: AtomicU64::new(OBJECTS_MAX),
            dropped: AtomicU64::new(0),
        }
    }

    /// It lies beneath a memory of so many bytes.
    pub(crate) fn beneath(&self, memory: u64) {
        self.room.store(OBJECTS_MAX.min(memory / OBJECTS_PART), Ordering::Relaxed);
    }

    /// Where the variants of `key` lie, the newest first.
    pub fn find(&self, key: &[u8]) -> Vec<Place> {
        if !self.index.has(key) {
            return Vec::new();
        }
        let waiting = self.waiting.lock();
        if waiting.all > 0 || waiting.removals.contains_key(&self.index.hash(key)) {
            return Vec::new();
        }
        drop(waiting);
        self.index.find(key)
    }

    /// Whether a record is still where it was found, and nobody has removed it.
    pub(crate) fn holds(&self, place: &Place) -> bool {
        let waiting = self.waiting.lock();
        let removed = waiting.all > 0 || waiting.removals.contains_key(&place.hash());
        !removed && self.index.holds(place)
    }

    /// The index behind it.
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Objects that were not written because the writer was too far behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// An object was asked for again; whether it waits to be written from now on.
    #[must_use]
    pub(crate) fn asked_again(&self, object: &Object) -> bool {
        object.mark_kept() && {
            let waits = self.write(object, false);
            if !waits {
                object.unmark_kept();
            }
            waits
        }
    }

    /// An object was stored, in place of an older one if there was one; perhaps it was `asked_again`
    /// for before. Whether it waits to be written from now on.
    #[must_use]
    pub(crate) fn landed(&self, object: &Object, asked_again: bool) -> bool {
        let hash = self.index.hash(object.key());
        let replaces = self.index.has_variant(hash, record::selecting_hash(object.selecting()));
        let wanted = self.was_seen(hash) || asked_again || replaces;
        let wanted = wanted && !object.terms().is_copy();
        if wanted && object.is_whole() && object.mark_kept() {
            if self.write(object, replaces) {
                return true;
            }
            object.unmark_kept();
        }
        if replaces {
            self.variant_gone(object.key(), object.selecting());
        }
        false
    }

    fn was_seen(&self, hash: u64) -> bool {
        let slot = &self.seen[usize::try_from(hash % SEEN as u64).expect("a small number")];
        let mark = u32::try_from(hash >> 32).expect("the upper half") | 1;
        slot.swap(mark, Ordering::Relaxed) == mark
    }

    /// False if it should be tried again.
    fn write(&self, object: &Object, replaces: bool) -> bool {
        if record::length_of(object).is_none() {
            return true;
        }
        let mut waiting = self.waiting.lock();
        // One may always wait, however large it is.
        let bytes = waiting.bytes + held(object);
        let is_full = waiting.bytes > 0 && bytes > self.room.load(Ordering::Relaxed);
        if waiting.closed || is_full {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        waiting.bytes = bytes;
        if replaces {
            *waiting.removals.entry(self.index.hash(object.key())).or_default() += 1;
        }
        waiting.work.push_back(Work::Write(object.clone(), replaces));
        drop(waiting);
        self.writer.wake_by_ref();
        true
    }

    /// All variants of a key are gone.
    pub(crate) fn key_gone(&self, key: &[u8]) {
        self.gone(key, || Work::Key(key.into()));
    }

    /// One variant is gone.
    pub(crate) fn variant_gone(&self, key: &[u8], selecting: &[u8]) {
        self.gone(key, || Work::Variant(key.into(), selecting.into()));
    }

    fn gone(&self, key: &[u8], work: impl FnOnce() -> Work) {
        let hash = self.index.hash(key);
        let mut waiting = self.waiting.lock();
        // What is neither there nor on its way need not be removed.
        let found = self.found.load(Ordering::Acquire);
        let is_idle = waiting.work.is_empty() && !waiting.busy;
        if found && is_idle && !self.index.has(key) {
            return;
        }
        if waiting.removals.len() < REMOVALS_MAX {
            *waiting.removals.entry(hash).or_default() += 1;
            waiting.work.push_back(work());
        } else {
            waiting.all += 1;
            waiting.bytes = 0;
            waiting.removals.clear();
            waiting.work.retain(|work| matches!(work, Work::Purge(..) | Work::Sync(_)));
            waiting.work.push_back(Work::All);
        }
        drop(waiting);
        self.writer.wake_by_ref();
    }

    /// No more work comes.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.writer.wake_by_ref();
    }

    /// A purge rule is to be written; `done` hears when it is durable, or why it is not. It is dropped
    /// without a word if the queue is closed.
    pub fn purge(
        &self,
        number: u32,
        rule: Rule,
        done: impl FnOnce(Result<(), DiskError>) + Send + 'static,
    ) {
        self.await_for(Work::Purge(number, rule, Box::new(done)));
    }

    /// `done` hears when all that was said before is durable, or why it is not; as in [`Self::purge`].
    pub fn sync(&self, done: impl FnOnce(Result<(), DiskError>) + Send + 'static) {
        self.await_for(Work::Sync(Box::new(done)));
    }

    fn await_for(&self, work: Work) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            // Nobody does it any more; who waits learns that by its end.
            return;
        }
        waiting.awaited += 1;
        waiting.work.push_back(work);
        drop(waiting);
        self.writer.wake_by_ref();
    }

    /// The oldest segment that may hold something; none if there is nothing on the disk.
    pub(crate) fn oldest(&self) -> Option<u32> {
        if self.found.load(Ordering::Acquire) { self.index.oldest() } else { Some(0) }
    }

    /// Whether somebody waits for the end of a piece of work, or of all.
    pub fn is_awaited(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.awaited > 0 || waiting.closed
    }

    /// Whether no more work comes.
    pub fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().work.is_empty()
    }

    /// Has `log` do the next piece of work; false if there is none.
    ///
    /// # Errors
    /// If the disk fails. The piece is done with all the same: what was to be written is not, and
    /// what was to be removed is forgotten, but may be found again after a restart.
    pub fn work<S: Storage>(&self, log: &mut Log<S>) -> Result<bool, DiskError> {
        let work = {
            let mut waiting = self.waiting.lock();
            let Some(work) = waiting.work.pop_front() else { return Ok(false) };
            waiting.busy = matches!(work, Work::Write(..));
            work
        };
        let work = match work {
            Work::Purge(number, rule, done) => {
                let written = log.purge(number, rule);
                self.waiting.lock().awaited -= 1;
                done(written);
                return written.map(|()| true);
            }
            Work::Sync(done) => {
                let synced = log.sync();
                self.waiting.lock().awaited -= 1;
                done(synced);
                return synced.map(|()| true);
            }
            other => other,
        };
        let done = match &work {
            Work::Write(object, _) => log.append(object).map(|_| ()),
            Work::Key(key) => log.remove(key),
            Work::Variant(key, selecting) => log.remove_variant(key, selecting),
            Work::All => log.remove_all(),
            Work::Purge(..) | Work::Sync(_) => unreachable!("they were done above"),
        };
        let mut waiting = self.waiting.lock();
        waiting.busy = false;
        let gone = match &work {
            Work::Write(object, replaces) => {
                waiting.bytes = waiting.bytes.saturating_sub(held(object));
                if done.is_err() {
                    object.unmark_kept();
                }
                replaces.then_some(object.key())
            }
            Work::Key(key) | Work::Variant(key, _) => Some(&**key),
            Work::All => {
                waiting.all -= 1;
                None
            }
            Work::Purge(..) | Work::Sync(_) => None,
        };
        if let Some(key) = gone
            && let Entry::Occupied(mut count) = waiting.removals.entry(self.index.hash(key))
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        done.map(|()| true)
    }

    /// All that lay there at the start is in the index now.
    pub fn all_found(&self) {
        self.found.store(true, Ordering::Release);
    }
}
