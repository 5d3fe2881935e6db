//! Where the variants of a key lie on the disk.

use std::collections::BTreeMap;

use parking_lot::{Mutex, RwLock};
use twox_hash::XxHash3_64;

use super::{
    Beneath,
    record::{self, ALIGN, Frame, Record},
    segment::Entry,
    table::{Hashed, Table},
};
use crate::{object::INLINE_MAX, purge::Mark, store::VARIANTS_MAX};

/// Shards: enough that cores seldom meet.
const SHARDS: usize = 64;
/// Hashes fall into so many classes of equal shares, and a shard has some of them.
const CLASSES: u64 = 1 << 16;
/// Hits that are counted, in the two highest bits of an entry's length.
const HITS_MAX: u32 = 3;
const HITS_SHIFT: u32 = 30;
/// Records up to this many bytes are read at once: nearly all whose body is in no pieces. Of a longer
/// one, so many bytes are read first as nearly always hold all before the body.
const READ_WHOLE: usize = INLINE_MAX + READ_FRONT;
const READ_FRONT: usize = 4096;
/// The longest record, in units of eight bytes.
pub(super) const LENGTH_MAX: u32 = (1 << HITS_SHIFT) - 1;

/// An entry of the index: 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Held {
    hash: u64,
    segment: u32,
    offset: u32,
    /// With the hits.
    length: u32,
    selecting: u32,
}

impl Held {
    const fn hits(&self) -> u32 {
        self.length >> HITS_SHIFT
    }

    const fn hit(&mut self) {
        if self.hits() < HITS_MAX {
            self.length += 1 << HITS_SHIFT;
        }
    }
}

impl Hashed for Held {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which segment.
    pub segment: u32,
    /// From which byte on.
    pub offset: u64,
    /// How many bytes.
    pub length: usize,
    hash: u64,
    salt: u64,
}

impl Place {
    /// Its offset as entries have it.
    fn units(&self) -> u32 {
        u32::try_from(self.offset / ALIGN as u64).expect("within a segment")
    }

    /// Where it stands, for purge rules.
    pub(crate) const fn mark(&self) -> Mark {
        (self.segment, self.offset)
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn new(segment: u32, entry: &Entry, salt: u64) -> Self {
        let Entry { hash, .. } = *entry;
        Self { segment, offset: entry.start(), length: entry.bytes(), hash, salt }
    }

    /// The place of a record that is read by itself.
    pub(super) const fn of_record(frame: Frame, length: usize) -> Self {
        Self { segment: 0, offset: frame.offset, length, hash: 0, salt: frame.salt }
    }

    pub(super) const fn frame(&self) -> Frame {
        Frame { salt: self.salt, offset: self.offset }
    }

    /// How many bytes are to be read first.
    pub const fn front(&self) -> usize {
        if self.length <= READ_WHOLE { self.length } else { READ_FRONT }
    }

    /// How many bytes [`Store::restore`] needs, of a record that begins with `bytes`; `None` if they
    /// are not what was written.
    ///
    /// [`Store::restore`]: crate::store::Store::restore
    pub fn needed(&self, bytes: &[u8]) -> Option<usize> {
        record::needed(bytes, self.frame()).filter(|&needed| needed <= self.length)
    }

    /// The response that was read there; `None` if the bytes are not those that were written.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8]) -> Option<Record<'a>> {
        Record::read(bytes, self)
    }
}

/// The index, for every core.
///
/// Hashes are alike in all of a table, so its pieces would be divided at about the same time, and the
/// index be half empty a little later. So the shares of the shards are unequal: each has 2^(1/64)
/// times the hashes of the one before it, the last nearly twice those of the first (as in Martin's
/// spiral storage). However many entries there are, pieces then stand between half full and full in
/// all degrees, and an entry takes about the same: 41 bytes, of 24 and a byte of control at a load
/// of 7/16 to 7/8.
#[derive(Debug)]
pub struct Index {
    shards: Box<[Mutex<Table<Held>>]>,
    /// The salts of the segments that are known.
    salts: RwLock<BTreeMap<u32, u64>>,
    seed: u64,
}

impl Index {
    /// An empty index of hashes with `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, salts: RwLock::default(), seed }
    }

    /// The hash of a key, the same after a restart.
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        XxHash3_64::oneshot_with_seed(self.seed, key)
    }

    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    fn shard(&self, hash: u64) -> &Mutex<Table<Held>> {
        &self.shards[shard(hash)]
    }

    /// How many records it knows.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something may lie under `key`.
    pub fn has(&self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        self.shard(hash).lock().of(hash).find(hash, |held| held.hash == hash).is_some()
    }

    /// Where the variants of `key` lie, the newest first, and counts a hit for each.
    pub fn find(&self, key: &[u8]) -> Vec<Place> {
        let hash = self.hash(key);
        let mut held = Vec::new();
        for it in
            self.shard(hash).lock().of_mut(hash).iter_hash_mut(hash).filter(|it| it.hash == hash)
        {
            it.hit();
            held.push(*it);
        }
        held.sort_unstable_by_key(|it| std::cmp::Reverse((it.segment, it.offset)));
        let salts = self.salts.read();
        let place = |it: Held| {
            Some(Place {
                segment: it.segment,
                offset: u64::from(it.offset) * ALIGN as u64,
                length: (it.length & LENGTH_MAX) as usize * ALIGN,
                hash,
                salt: *salts.get(&it.segment)?,
            })
        };
        held.into_iter().filter_map(place).collect()
    }

    /// Forgets what lies at `place`: it could not be read. False if it did not know it any more.
    pub fn forget(&self, place: &Place) -> bool {
        self.take(place.hash, place.segment, place.units())
    }

    /// A body that lies beneath is read: that is a hit of the record that it is from, wherever that
    /// lies by now.
    pub fn was_read(&self, beneath: &Beneath) {
        let hash = beneath.place().hash;
        let same = |held: &Held| held.hash == hash && held.selecting == beneath.selecting();
        if let Some(held) = self.shard(hash).lock().of_mut(hash).find_mut(hash, same) {
            held.hit();
        }
    }

    /// Whether it still knows what lies at `place`.
    pub fn holds(&self, place: &Place) -> bool {
        let same = |held: &Held| (held.segment, held.offset) == (place.segment, place.units());
        self.shard(place.hash).lock().of(place.hash).find(place.hash, same).is_some()
    }

    /// Forgets all variants of `key`, or the one that has these selecting values; says whether there
    /// was any.
    pub(super) fn remove(&self, hash: u64, selecting: Option<u32>) -> bool {
        let mut shard = self.shard(hash).lock();
        let mut removed = false;
        let gone =
            |held: &Held| held.hash == hash && selecting.is_none_or(|it| held.selecting == it);
        while let Ok(held) = shard.of_mut(hash).find_entry(hash, gone) {
            held.remove();
            removed = true;
        }
        removed
    }

    /// Whether a variant with these selecting values is known.
    pub(super) fn has_variant(&self, hash: u64, selecting: u32) -> bool {
        let same = |held: &Held| held.hash == hash && held.selecting == selecting;
        self.shard(hash).lock().of(hash).find(hash, same).is_some()
    }

    /// Takes in a record that is newer than all.
    pub(super) fn insert(&self, segment: u32, entry: &Entry) {
        let mut shard = self.shard(entry.hash).lock();
        let same = |held: &Held| held.hash == entry.hash && held.selecting == entry.selecting;
        let held = held(segment, entry);
        if let Some(old) = shard.of_mut(entry.hash).find_mut(entry.hash, same) {
            *old = held;
            return;
        }
        let variants =
            shard.of(entry.hash).iter_hash(entry.hash).filter(|it| it.hash == entry.hash);
        let oldest = variants.clone().min_by_key(|it| (it.segment, it.offset)).copied();
        if variants.count() >= VARIANTS_MAX
            && let Some(oldest) = oldest
            && let Ok(oldest) = shard.of_mut(entry.hash).find_entry(entry.hash, |it| {
                (it.segment, it.offset) == (oldest.segment, oldest.offset)
            })
        {
            oldest.remove();
        }
        shard.insert(held);
    }

    /// Takes in a record that is older than all, unless a newer one stands for it.
    pub(super) fn insert_older(&self, segment: u32, entry: &Entry) {
        let mut shard = self.shard(entry.hash).lock();
        let variants =
            || shard.of(entry.hash).iter_hash(entry.hash).filter(|held| held.hash == entry.hash);
        if variants().count() < VARIANTS_MAX
            && variants().all(|held| held.selecting != entry.selecting)
        {
            shard.insert(held(segment, entry));
        }
    }

    /// The hits of a record, if it is known and not replaced.
    pub(super) fn hits(&self, segment: u32, entry: &Entry) -> Option<u32> {
        let shard = self.shard(entry.hash).lock();
        let same = |held: &Held| (held.segment, held.offset) == (segment, entry.offset);
        shard.of(entry.hash).find(entry.hash, same).map(Held::hits)
    }

    /// Forgets one record; false if it did not know it.
    pub(super) fn take(&self, hash: u64, segment: u32, offset: u32) -> bool {
        let mut shard = self.shard(hash).lock();
        let same = |held: &Held| (held.segment, held.offset) == (segment, offset);
        shard.of_mut(hash).find_entry(hash, same).map(|held| held.remove()).is_ok()
    }

    /// A segment's records can be read from now on.
    pub(super) fn open(&self, segment: u32, salt: u64) {
        self.salts.write().insert(segment, salt);
    }

    pub(super) fn salt(&self, segment: u32) -> Option<u64> {
        self.salts.read().get(&segment).copied()
    }

    /// The oldest segment whose records can be read.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.salts.read().keys().next().copied()
    }

    /// A segment is no more; `everywhere` looks for its records in all of the index.
    pub(super) fn close(&self, segment: u32, everywhere: bool) {
        self.salts.write().remove(&segment);
        if everywhere {
            self.shards.iter().for_each(|shard| shard.lock().retain(|it| it.segment != segment));
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.shards.iter().for_each(|shard| *shard.lock() = Table::default());
    }
}

/// The shard of a hash: shard `i` begins at the share `2^(i / SHARDS) - 1` of the classes. Their bits
/// are neither those that a table chooses its bucket by nor those that it keeps beside it.
fn shard(hash: u64) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "16 bits")]
    let share = ((hash >> 40) % CLASSES) as f32 / CLASSES as f32;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to SHARDS")]
    let shard = ((1.0 + share).log2() * SHARDS as f32) as usize;
    shard.min(SHARDS - 1)
}

fn held(segment: u32, entry: &Entry) -> Held {
    debug_assert!(entry.length <= LENGTH_MAX, "a record is as long as a segment at most");
    let Entry { hash, offset, length, selecting, .. } = *entry;
    Held { hash, segment, offset, length, selecting }
}

#[cfg(test)]
impl Index {
    /// Takes in something with this hash.
    pub(super) fn insert_for_tests(&self, hash: u64) {
        let it = Held { hash, segment: 1, offset: 0, length: 1, selecting: 0 };
        self.shard(hash).lock().insert(it);
    }

    /// Bytes of its tables.
    pub(super) fn allocated(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().allocated()).sum()
    }
}
