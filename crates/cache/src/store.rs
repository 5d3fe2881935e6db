//! The memory store: which responses are held, and what happens when there is no room.
//!
//! Shards, each a mutex over a table from key to slot, a slab of slots, and a policy that knows slots
//! only. Variants of one key are a chain of slots. A shard's lock is held for a lookup or for one
//! insertion, never while bytes are freed or copied. One account holds the ceiling for all shards:
//! whatever is charged to it, was charged before it was allocated.

mod beneath;
mod listing;
mod slices;
mod sweep;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use hashbrown::HashTable;
use nigh_base::{ByteSize, Wall};
use parking_lot::Mutex;

use crate::{
    account::{Account, Charge},
    common::{CommonFields, Shared},
    disk::Queue,
    evict::{self, Evictor, Policy as _, Slot},
    fields::Fields,
    flight::{Flight, Reader},
    key::Key,
    object::Object,
    pilot::{self, Pilot},
    purge::{self, Purges, Rule, Verdict},
    slices::Slicing,
    storable::WhyNot,
    vary,
};

pub use listing::Position;
pub use sweep::{SWEPT, Sweep};

/// Shards of a store at most: enough that two cores seldom meet.
const SHARDS_MAX: u64 = 16;

/// A shard has no less than this, but for a store's only one. Each chooses by itself who leaves: among a
/// few dozen objects that would often be one that is worth more than what the next shard keeps.
const SHARD_BYTES_MIN: u64 = 4 << 20;

/// Variants of one key; storing one more replaces the oldest, so that a header field under a
/// stranger's control cannot fill the store with copies of one page.
pub const VARIANTS_MAX: usize = 16;

/// Objects thrown out for one that comes in, at most; when that is not enough, it stays out.
const EVICTIONS_MAX: usize = 4096;

/// Keys about which the store remembers why their last response was not kept.
const REFUSALS: usize = 1 << 14;

/// How a store is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes it may use, metadata and bodies in flight included.
    pub ceiling: ByteSize,
    /// The longest body that is kept.
    pub object_max: ByteSize,
    /// Who leaves first.
    pub policy: evict::Kind,
    /// What is kept in slices, if anything.
    pub slicing: Option<Slicing>,
    /// Secret: keys the hashes, so that strangers cannot aim at one chain.
    pub seed: u64,
}

impl Settings {
    /// A store of `ceiling` bytes, with the default policy and objects up to an eighth of it.
    pub fn new(ceiling: ByteSize, seed: u64) -> Self {
        let object_max = ByteSize::new(ceiling.bytes() / 8);
        let slicing = Some(Slicing::default());
        Self { ceiling, object_max, policy: evict::Kind::default(), slicing, seed }
    }
}

/// What a store has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Objects held.
    pub objects: u64,
    /// Bytes charged, in flight included.
    pub used: u64,
    /// Bytes it may use.
    pub ceiling: u64,
    /// Objects inserted since the start.
    pub inserted: u64,
    /// Objects that left for want of room.
    pub evicted: u64,
    /// Objects removed by invalidation or replaced.
    pub removed: u64,
    /// Responses that were not kept, or not to the end, for want of room.
    pub refused: u64,
}

/// A byte-bounded store of responses, for every core.
#[derive(Debug)]
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    account: Arc<Account>,
    common: CommonFields,
    settings: Settings,
    /// Why the last response of some keys was not kept: the key's tag, and the reason in the lowest
    /// byte. Lossy on purpose: a collision costs one collapse that did not happen.
    refusals: Box<[AtomicU64]>,
    inserted: AtomicU64,
    evicted: AtomicU64,
    removed: AtomicU64,
    refused: AtomicU64,
    /// Where the search for room in other shards goes on.
    hand: AtomicUsize,
    /// What is beneath it, if anything.
    disk: OnceLock<Arc<Queue>>,
    purges: Arc<Purges>,
}

#[derive(Debug)]
struct Shard {
    table: HashTable<Slot>,
    cells: Vec<Cell>,
    free: Option<u32>,
    held: u64,
    policy: Evictor,
    board: HashTable<Boarded>,
    seed: u64,
}

/// A flight in progress, under its key.
#[derive(Debug)]
struct Boarded {
    hash: u64,
    key: Box<[u8]>,
    /// The selecting values of who may join; `None` if nobody may.
    selecting: Option<Box<[u8]>>,
    flight: Arc<Flight>,
    course: Course,
    /// The newest purge rule when it began.
    purged_up_to: u32,
}

/// Whom a flight waits for, where caches share their load and ask each other.
///
/// Two of them might wait for each other otherwise: so what one asks another for joins no flight of that
/// one's that may be waiting for a third, or for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The origin, or what surely does not wait for this cache.
    Onward,
    /// Another cache, which may be waiting for this one.
    Across,
}

impl Course {
    /// Whether who goes this way may wait for a flight that goes the `other` one.
    fn joins(self, other: Self) -> bool {
        self == Self::Across || other == Self::Onward
    }
}

/// A slot: an object and the next variant of its key, or a link in the list of free slots.
#[derive(Debug, Default)]
struct Cell {
    object: Option<Object>,
    next: Option<Link>,
}

/// The number of a slot, kept apart from zero so that an absent one costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(std::num::NonZeroU32);

impl Link {
    fn to(slot: u32) -> Self {
        Self(std::num::NonZeroU32::new(!slot).expect("fewer than 2^32 - 1 slots"))
    }

    const fn slot(self) -> u32 {
        !self.0.get()
    }
}

/// Whether the asker is the one who fetches.
#[derive(Debug)]
pub enum Boarding {
    /// Nobody fetches this yet: the asker does, and others may join.
    First(Reader, Pilot),
    /// It is being fetched.
    Later(Reader),
    /// It has just been stored: since the asker looked, another one's fetch has landed.
    Stored(Object),
}

impl Store {
    /// An empty store.
    pub fn new(settings: Settings) -> Arc<Self> {
        let ceiling = settings.ceiling.bytes();
        let shards = (ceiling / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let share = ceiling / shards;
        let shard = |_| {
            Mutex::new(Shard {
                table: HashTable::new(),
                cells: Vec::new(),
                free: None,
                held: 0,
                policy: Evictor::new(settings.policy, share),
                board: HashTable::new(),
                seed: settings.seed,
            })
        };
        Arc::new(Self {
            shards: (0..shards).map(shard).collect(),
            account: Account::new(ceiling, settings.seed),
            common: CommonFields::new(settings.seed),
            refusals: (0..REFUSALS).map(|_| AtomicU64::new(0)).collect(),
            inserted: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            hand: AtomicUsize::new(0),
            disk: OnceLock::new(),
            purges: Arc::default(),
            settings,
        })
    }

    /// The longest body that is kept, in bytes.
    pub const fn object_max(&self) -> u64 {
        self.settings.object_max.bytes()
    }

    /// Whether memory holds something for `key`. It does not count as asking for it.
    pub fn holds(&self, key: Key<'_>) -> bool {
        self.shard(key).lock().chain(key).next().is_some()
    }

    /// Whether a flight brings something for `key`.
    pub fn is_on_its_way(&self, key: Key<'_>) -> bool {
        let shard = self.shard(key).lock();
        shard.board.iter_hash(key.hash).any(|boarded| *boarded.key == *key.bytes)
    }

    /// Bytes that it may use.
    pub fn ceiling(&self) -> u64 {
        self.account.ceiling()
    }

    /// The key that `bytes` spell, for this store.
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key::new(bytes, self.settings.seed)
    }

    /// The stored response to a request with these fields: the variant that they select.
    ///
    /// `scratch` is left holding the values that selected. Allocates nothing once it has grown.
    pub fn find(
        &self,
        key: Key<'_>,
        fields: &impl Fields,
        scratch: &mut Vec<u8>,
    ) -> Option<Object> {
        let mut shard = self.shard(key).lock();
        let (slot, object) = shard.select(key, fields, scratch)?;
        let object = object.clone();
        shard.policy.hit(Slot(slot));
        drop(shard);
        let object = self.unless_purged(key, object)?;
        if self.disk.get().is_some_and(|disk| disk.asked_again(&object)) {
            self.hold_against_removals(key, &object);
        }
        Some(object)
    }

    /// The rules about what is to be forgotten.
    pub const fn purges(&self) -> &Arc<Purges> {
        &self.purges
    }

    /// What the purge rules leave of an object that was found: nothing, or a stale one instead.
    fn unless_purged(&self, key: Key<'_>, object: Object) -> Option<Object> {
        let since = object.purged_up_to();
        if since >= self.purges.newest() {
            return Some(object);
        }
        let (verdict, newest) = self.purges.judge(since, object.key(), &object.fields());
        match verdict {
            Verdict::Keep => {
                object.was_held_against(newest);
                Some(object)
            }
            // As it lies on the disk it is under the same rule, and will be read as what it is then.
            Verdict::Stale(_) if self.is_read_as_purged(&object) => {
                self.take_out(key, &object);
                None
            }
            Verdict::Stale(at) => self.make_stale(key, &object, at, newest),
            Verdict::Gone => {
                self.outdate(key, &object);
                None
            }
        }
    }

    /// Adds a purge rule: from now on it concerns all that is stored, or was asked for before.
    /// Returns its number, and the rule as it is to be written to a disk.
    pub fn purge(&self, rule: Rule) -> (u32, Rule) {
        let added = self.purges.add(rule);
        // Nobody joins a fetch any more that began before.
        for shard in &self.shards {
            for boarded in &mut shard.lock().board {
                if added.1.may_concern(&boarded.key) {
                    boarded.selecting = None;
                }
            }
        }
        added
    }

    /// Purges all variants of one key; says how many there were. With a time, they become stale then
    /// instead of leaving.
    pub fn purge_key(&self, key: Key<'_>, soft: Option<Wall>) -> usize {
        let Some(at) = soft else { return self.remove(key) };
        let variants = self.variants(key);
        // What lies on the disk is as it was; those that are stale now are written in its place.
        if let Some(disk) = self.disk.get() {
            disk.key_gone(key.bytes);
        }
        for object in &variants {
            self.make_stale(key, object, at, object.purged_up_to());
        }
        variants.len()
    }

    /// Puts a stale object in the place of `object`, or nothing if there is no room.
    fn make_stale(&self, key: Key<'_>, object: &Object, at: Wall, held: u32) -> Option<Object> {
        let terms = object.terms().outdated(at, purge::SOFT_WINDOW);
        let stale = pilot::renew(self, object, &object.fields().to_map(), terms, held);
        match &stale {
            Some(stale) => self.replace(key, object, stale.clone()),
            None => self.outdate(key, object),
        }
        stale
    }

    /// Every variant stored under a key, for people who ask.
    pub fn variants(&self, key: Key<'_>) -> Vec<Object> {
        let chain: Vec<Object> = {
            let shard = self.shard(key).lock();
            shard.chain(key).map(|(_, object)| object.clone()).collect()
        };
        chain.into_iter().filter_map(|object| self.unless_purged(key, object)).collect()
    }

    /// Joins the flight for `key` and the selecting values, or starts one on this `course`. Where the last response
    /// could not be shared, waiting would be in vain: the asker starts one of its own.
    /// `known` is the whole response that the asker found stored and cannot use; parts are of no use
    /// to anyone who boards.
    pub fn board(
        self: &Arc<Self>,
        key: Key<'_>,
        selecting: &[u8],
        known: Option<&Object>,
        course: Course,
    ) -> Boarding {
        let alone = self.refusal(key).is_some_and(WhyNot::is_lasting);
        let mut shard = self.shard(key).lock();
        let landed = shard
            .chain(key)
            .map(|(_, object)| object)
            .find(|object| object.selecting() == selecting)
            .filter(|object| object.purged_up_to() >= self.purges.newest())
            .filter(|object| object.is_whole() && !known.is_some_and(|known| known.is(object)))
            .cloned();
        if let Some(object) = landed {
            return Boarding::Stored(object);
        }
        if !alone {
            let joined = shard
                .board
                .iter_hash(key.hash)
                .find(|held| {
                    *held.key == *key.bytes
                        && held.selecting.as_deref() == Some(selecting)
                        && course.joins(held.course)
                })
                .and_then(|held| held.flight.board());
            if let Some(reader) = joined {
                return Boarding::Later(reader);
            }
        }
        let (reader, pilot) = self.start(&mut shard, key, (!alone).then_some(selecting), course);
        Boarding::First(reader, pilot)
    }

    /// Starts a flight that nobody can join.
    pub fn fly_alone(self: &Arc<Self>, key: Key<'_>) -> (Reader, Pilot) {
        self.start(&mut self.shard(key).lock(), key, None, Course::Onward)
    }

    /// Every flight stands on the board from its first moment, so that an invalidation finds it.
    fn start(
        self: &Arc<Self>,
        shard: &mut Shard,
        key: Key<'_>,
        selecting: Option<&[u8]>,
        course: Course,
    ) -> (Reader, Pilot) {
        let (flight, reader) = Flight::new();
        let purged_up_to = self.purges.newest();
        let boarded = Boarded {
            hash: key.hash,
            key: key.bytes.into(),
            selecting: selecting.map(Into::into),
            flight: Arc::clone(&flight),
            course,
            purged_up_to,
        };
        shard.board.insert_unique(key.hash, boarded, |boarded| boarded.hash);
        let joinable = selecting.is_some();
        (reader, Pilot::new(flight, Arc::clone(self), key.bytes, (joinable, course), purged_up_to))
    }

    /// Takes a flight off the board: nobody can join it any more.
    pub(crate) fn take_off(&self, key: Key<'_>, flight: &Arc<Flight>) {
        let mut shard = self.shard(key).lock();
        if let Ok(boarded) =
            shard.board.find_entry(key.hash, |boarded| Arc::ptr_eq(&boarded.flight, flight))
        {
            boarded.remove();
        }
    }

    /// Remembers whether the last response of `key` was kept, or why not.
    ///
    /// What the request itself forbade says nothing about the next one.
    pub(crate) fn note_stored(&self, key: Key<'_>, stored: Result<(), WhyNot>) {
        let (slot, tag) = self.refusal_slot(key);
        let noted = slot.load(Ordering::Relaxed);
        match stored {
            Err(why) if why.is_the_requests() => {}
            Err(why) => slot.store(tag | (u64::from(why as u8) + 1), Ordering::Relaxed),
            Ok(()) if noted & !0xff == tag => slot.store(0, Ordering::Relaxed),
            Ok(()) => {}
        }
    }

    /// Why the last response of `key` was not kept; `None` if it was, or nothing is known.
    pub fn refusal(&self, key: Key<'_>) -> Option<WhyNot> {
        let (slot, tag) = self.refusal_slot(key);
        let noted = slot.load(Ordering::Relaxed);
        let reason = usize::try_from(noted & 0xff).ok()?.checked_sub(1)?;
        WhyNot::ALL.get(reason).copied().filter(|_| noted & !0xff == tag)
    }

    fn refusal_slot(&self, key: Key<'_>) -> (&AtomicU64, u64) {
        let index = usize::try_from(key.hash % REFUSALS as u64).expect("a small number");
        (&self.refusals[index], key.hash & !0xff)
    }

    /// The shared copy of packed fields that other objects have too.
    pub(crate) fn share(&self, packed: &[u8]) -> Option<Shared> {
        self.common.share(packed, &self.account)
    }

    /// Charges `bytes`, throwing out objects if need be; `None` if that does not make room.
    pub(crate) fn charge(&self, key: Key<'_>, bytes: u64) -> Option<Charge> {
        if let Some(charge) = self.account.charge(bytes) {
            return Some(charge);
        }
        if bytes <= self.account.ceiling() {
            let mut left = EVICTIONS_MAX;
            // First where the newcomer will live, then round the other shards.
            let home = self.shard_of(key);
            for step in 0..=self.shards.len() {
                let index = match step {
                    0 => home,
                    _ => self.hand.fetch_add(1, Ordering::Relaxed) % self.shards.len(),
                };
                while left > 0 {
                    let Some(evicted) = self.shards[index].lock().evict() else { break };
                    drop(evicted);
                    left -= 1;
                    self.evicted.fetch_add(1, Ordering::Relaxed);
                    if let Some(charge) = self.account.charge(bytes) {
                        return Some(charge);
                    }
                }
            }
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Puts an object in, in place of the variant that has the same selecting values. Perhaps it was
    /// `asked_again` for while it was on its way.
    pub(crate) fn insert(&self, key: Key<'_>, object: Object, asked_again: bool) {
        let replaced = self.shard(key).lock().insert(key, object.clone());
        self.inserted.fetch_add(1, Ordering::Relaxed);
        self.removed.fetch_add(replaced.len() as u64, Ordering::Relaxed);
        self.free_slices(&replaced, Some(&object));
        if self.disk.get().is_some_and(|disk| disk.landed(&object, asked_again)) {
            self.hold_against_removals(key, &object);
        }
    }

    /// Puts an object in, unless a variant with the same selecting values is there: that one is newer.
    pub(crate) fn insert_absent(&self, key: Key<'_>, object: Object) -> Object {
        let mut shard = self.shard(key).lock();
        let there = shard.chain(key).find(|(_, held)| held.selecting() == object.selecting());
        if let Some((_, there)) = there {
            return there.clone();
        }
        let replaced = shard.insert(key, object.clone());
        drop((shard, replaced));
        self.inserted.fetch_add(1, Ordering::Relaxed);
        object
    }

    /// Puts `new` where `old` is; nothing if somebody else has replaced or removed it meanwhile.
    pub(crate) fn replace(&self, key: Key<'_>, old: &Object, new: Object) {
        if self.exchange(key, old, new.clone())
            && self.disk.get().is_some_and(|disk| disk.landed(&new, false))
        {
            self.hold_against_removals(key, &new);
        }
    }

    /// As [`Self::replace`], with what the disk holds or need not hold: it is not told. False if
    /// nothing was done.
    pub(crate) fn exchange(&self, key: Key<'_>, old: &Object, new: Object) -> bool {
        let replaced = {
            let mut shard = self.shard(key).lock();
            let still = shard.chain(key).any(|(_, held)| held.is(old));
            still.then(|| shard.insert(key, new))
        };
        replaced.is_some()
    }

    /// Makes a stored response stale, so that it is validated before it is used again; nothing if
    /// it is not there any more.
    pub fn outdate(&self, key: Key<'_>, object: &Object) {
        if let Some(disk) = self.disk.get() {
            disk.variant_gone(object.key(), object.selecting());
        }
        self.take_out(key, object);
    }

    /// Takes an object out of the memory alone; nothing if it is not there any more.
    pub(crate) fn take_out(&self, key: Key<'_>, object: &Object) {
        let removed = {
            let mut shard = self.shard(key).lock();
            let slot = shard.chain(key).find(|(_, held)| held.is(object)).map(|(slot, _)| slot);
            slot.and_then(|slot| shard.remove(slot))
        };
        self.removed.fetch_add(u64::from(removed.is_some()), Ordering::Relaxed);
        self.free_slices(removed.as_slice(), None);
    }

    /// Removes every variant of a key; says how many there were. What is on its way for it is not
    /// stored either.
    pub fn remove(&self, key: Key<'_>) -> usize {
        self.remove_before(key, None)
    }

    /// As [`Self::remove`], because of the answer that `by` brings: that answer itself is newer.
    pub fn invalidate(&self, key: Key<'_>, by: &Pilot) -> usize {
        self.remove_before(key, Some(by))
    }

    fn remove_before(&self, key: Key<'_>, by: Option<&Pilot>) -> usize {
        // First on the disk: whoever has just read it there looks again when it is in memory.
        if let Some(disk) = self.disk.get() {
            disk.key_gone(key.bytes);
        }
        let removed = {
            let mut shard = self.shard(key).lock();
            for boarded in shard.board.iter_hash_mut(key.hash) {
                let is_newer = by.is_some_and(|pilot| pilot.flies(&boarded.flight));
                if *boarded.key == *key.bytes && !is_newer {
                    boarded.selecting = None;
                    boarded.flight.spoil();
                }
            }
            shard.remove_all(key)
        };
        self.removed.fetch_add(removed.len() as u64, Ordering::Relaxed);
        self.free_slices(&removed, None);
        removed.len()
    }

    /// What it holds and has done. The numbers are read one after another, not at one instant.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            objects: self.shards.iter().map(|shard| shard.lock().held).sum(),
            used: self.account.used(),
            ceiling: self.account.ceiling(),
            inserted: self.inserted.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            removed: self.removed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn shard(&self, key: Key<'_>) -> &Mutex<Shard> {
        &self.shards[self.shard_of(key)]
    }

    /// The table inside a shard uses the low bits of the hash for places and the highest for tags.
    fn shard_of(&self, key: Key<'_>) -> usize {
        usize::try_from((key.hash >> 40) % self.shards.len() as u64).expect("a small number")
    }
}

impl Shard {
    /// The variants of a key with their slots, newest first.
    fn chain(&self, key: Key<'_>) -> impl Iterator<Item = (u32, &Object)> {
        let first = self
            .table
            .find(key.hash, |slot| self.object(slot.0).key() == key.bytes)
            .map(|slot| Link::to(slot.0));
        std::iter::successors(first, |link| self.cells[link.slot() as usize].next)
            .map(|link| (link.slot(), self.object(link.slot())))
    }

    fn select(
        &self,
        key: Key<'_>,
        fields: &impl Fields,
        scratch: &mut Vec<u8>,
    ) -> Option<(u32, &Object)> {
        scratch.clear();
        self.chain(key).find(|(_, object)| {
            if !object.vary().is_empty() {
                vary::selecting(object.vary(), fields, scratch);
                return object.selecting() == scratch.as_slice();
            }
            scratch.clear();
            true
        })
    }

    /// The keys that begin with `prefix`.
    fn keys_below(&self, prefix: &[u8]) -> Vec<Box<[u8]>> {
        let objects = self.cells.iter().filter_map(|cell| cell.object.as_ref());
        let keys = objects.map(Object::key).filter(|key| key.starts_with(prefix));
        keys.map(Into::into).collect()
    }

    fn object(&self, slot: u32) -> &Object {
        self.cells[slot as usize].object.as_ref().expect("a slot in the table holds an object")
    }

    fn insert(&mut self, key: Key<'_>, object: Object) -> Vec<Object> {
        let same =
            |held: &Object| held.vary() == object.vary() && held.selecting() == object.selecting();
        let chain: Vec<(u32, bool)> =
            self.chain(key).map(|(slot, held)| (slot, same(held))).collect();
        let mut leaving: Vec<u32> =
            chain.iter().filter(|(_, same)| *same).map(|&(slot, _)| slot).collect();
        if chain.len() - leaving.len() >= VARIANTS_MAX {
            leaving.extend(chain.last().map(|&(slot, _)| slot));
        }
        let replaced = leaving.iter().filter_map(|&slot| self.remove(slot)).collect();

        let (charged, is_copy) = (object.charged(), object.terms().is_copy());
        let slot = self.claim(object);
        let first = self.table.find_mut(key.hash, |held| {
            let held = self.cells[held.0 as usize].object.as_ref();
            held.is_some_and(|held| held.key() == key.bytes)
        });
        match first {
            Some(first) => {
                self.cells[slot as usize].next = Some(Link::to(first.0));
                first.0 = slot;
            }
            None => {
                let (cells, seed) = (&self.cells, self.seed);
                self.table.insert_unique(key.hash, Slot(slot), |held| {
                    let object = cells[held.0 as usize].object.as_ref();
                    Key::new(object.expect("a slot in the table holds an object").key(), seed).hash
                });
            }
        }
        self.held += 1;
        match is_copy {
            true => self.policy.insert_copy(Slot(slot), key.hash, charged),
            false => self.policy.insert(Slot(slot), key.hash, charged),
        }
        replaced
    }

    /// Puts an object into a free slot.
    fn claim(&mut self, object: Object) -> u32 {
        let cell = Cell { object: Some(object), next: None };
        if let Some(slot) = self.free {
            self.free = self.cells[slot as usize].next.map(Link::slot);
            self.cells[slot as usize] = cell;
            return slot;
        }
        self.cells.push(cell);
        u32::try_from(self.cells.len() - 1).expect("fewer than 2^32 - 1 slots")
    }

    /// Lets the policy choose who leaves.
    fn evict(&mut self) -> Option<Object> {
        let slot = self.policy.victim()?.0;
        self.unlink(slot)
    }

    /// Removes the object in a slot, and tells the policy.
    fn remove(&mut self, slot: u32) -> Option<Object> {
        self.policy.remove(Slot(slot));
        self.unlink(slot)
    }

    fn remove_all(&mut self, key: Key<'_>) -> Vec<Object> {
        let slots: Vec<u32> = self.chain(key).map(|(slot, _)| slot).collect();
        slots.into_iter().filter_map(|slot| self.remove(slot)).collect()
    }

    /// Takes a slot out of its key's chain and out of the table, if it was the last.
    fn unlink(&mut self, slot: u32) -> Option<Object> {
        let cell = std::mem::take(&mut self.cells[slot as usize]);
        let object = cell.object?;
        let hash = Key::new(object.key(), self.seed).hash;
        // The chain's first slot is the one in the table; it is looked up by key, and the leaving
        // object's cell is empty already, so compare by slot there.
        let cells = &self.cells;
        let first = self.table.find_entry(hash, |held| {
            held.0 == slot
                || cells[held.0 as usize].object.as_ref().is_some_and(|o| o.key() == object.key())
        });
        if let Ok(mut first) = first {
            if first.get().0 == slot {
                match cell.next {
                    Some(next) => first.get_mut().0 = next.slot(),
                    None => drop(first.remove()),
                }
            } else {
                let mut at = first.get().0;
                while let Some(next) = self.cells[at as usize].next {
                    if next.slot() == slot {
                        self.cells[at as usize].next = cell.next;
                        break;
                    }
                    at = next.slot();
                }
            }
        }
        self.cells[slot as usize].next = self.free.map(Link::to);
        self.free = Some(slot);
        self.held -= 1;
        Some(object)
    }
}

#[cfg(test)]
mod tests;
