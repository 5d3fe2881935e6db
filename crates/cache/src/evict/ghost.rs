//! Whom we evicted lately: fingerprints without objects, so that one who comes back is known.
//!
//! S3-FIFO's ghost queue as its paper advises to build it (Yang and others, "FIFO Queues are All
//! You Need for Cache Eviction", SOSP 2023, section 4.2): no queue at all, but a table of small
//! buckets. An entry is a fingerprint and the time it was put in, and it is void once it is older
//! than the ghost is long. Time is counted in bytes evicted, so the ghost is sized in bytes too.
//! Two fingerprints in one bucket agree by chance once in 2^32.

/// Entries of a bucket: one cache line.
const BUCKET: usize = 8;
/// A ghost's length in ticks of its clock: fine enough to order evictions, and a void entry comes
/// back to life by wrap-around only after 256 lengths.
const LENGTH_TICKS: u64 = 1 << 24;

/// A bounded memory of fingerprints.
#[derive(Debug)]
pub(super) struct Ghost {
    buckets: Vec<[Entry; BUCKET]>,
    /// Bytes evicted so far.
    clock: u64,
    /// For how many bytes evicted an entry holds.
    length: u64,
    tick_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Zero: empty.
    print: u32,
    /// When it came, in ticks.
    tick: u32,
}

impl Ghost {
    /// A ghost that remembers the last `length` bytes evicted.
    pub(super) fn new(length: u64) -> Self {
        let tick_bytes = length.div_ceil(LENGTH_TICKS).max(1);
        Self { buckets: vec![Default::default()], clock: 0, length, tick_bytes }
    }

    /// Remembers one who leaves. The table doubles when a valid entry would be overwritten, but
    /// never beyond two entries for each of the `held` slots.
    pub(super) fn remember(&mut self, print: u32, bytes: u64, held: usize) {
        self.clock = self.clock.wrapping_add(bytes.max(1));
        let print = print.max(1);
        let (mut place, overwritten) = self.most_void(print);
        if self.lives(overwritten) && self.buckets.len() * BUCKET <= held {
            self.double();
            (place, _) = self.most_void(print);
        }
        let (bucket, tick) = (self.bucket(print), self.tick());
        self.buckets[bucket][place] = Entry { print, tick };
    }

    /// Forgets `print`, and says whether it was remembered.
    pub(super) fn take(&mut self, print: u32) -> bool {
        let print = print.max(1);
        let bucket = self.bucket(print);
        let known = self.buckets[bucket].iter_mut().find(|entry| entry.print == print);
        let known = known.map(std::mem::take);
        known.is_some_and(|entry| self.lives(entry))
    }

    fn lives(&self, entry: Entry) -> bool {
        entry.print != 0
            && u64::from(self.tick().wrapping_sub(entry.tick)) * self.tick_bytes <= self.length
    }

    /// The place to overwrite in the bucket of `print`: its own, an empty one, or the oldest.
    fn most_void(&self, print: u32) -> (usize, Entry) {
        let now = self.tick();
        let rank =
            |entry: &Entry| (entry.print == print, entry.print == 0, now.wrapping_sub(entry.tick));
        let entries = self.buckets[self.bucket(print)].iter().copied().enumerate();
        entries.max_by_key(|(_, entry)| rank(entry)).expect("a bucket has entries")
    }

    fn bucket(&self, print: u32) -> usize {
        super::sketch::place(print, self.buckets.len())
    }

    /// Upper bits choose the bucket, so each one falls apart into two neighbours.
    fn double(&mut self) {
        let doubled = vec![Default::default(); self.buckets.len() * 2];
        let before = std::mem::replace(&mut self.buckets, doubled);
        for entry in before.into_iter().flatten().filter(|entry| entry.print != 0) {
            let bucket = self.bucket(entry.print);
            let free = self.buckets[bucket].iter_mut().find(|entry| entry.print == 0);
            *free.expect("what came from one bucket fits into one") = entry;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the clock wraps by design")]
    fn tick(&self) -> u32 {
        (self.clock / self.tick_bytes) as u32
    }

    /// Bytes of memory taken.
    pub(super) fn footprint(&self) -> usize {
        super::footprint_of(&self.buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_within_the_length_is_known_once() {
        let mut ghost = Ghost::new(100);
        ghost.remember(5, 60, 64);
        assert!(ghost.take(5));
        assert!(!ghost.take(5));
    }

    #[test]
    fn who_left_longer_ago_is_forgotten() {
        let mut ghost = Ghost::new(100);
        ghost.remember(5, 60, 64);
        ghost.remember(6, 60, 64);
        ghost.remember(7, 60, 64);
        assert!(!ghost.take(5));
        assert!(ghost.take(6));
    }

    #[test]
    fn the_table_grows_while_its_entries_live_and_no_further_than_the_slots() {
        let mut ghost = Ghost::new(u64::MAX);
        let prints: Vec<u32> = (1..=10_000).map(super::super::print_of).collect();
        prints.iter().for_each(|&print| ghost.remember(print, 1, 10_000));
        let entries = ghost.buckets.len() * BUCKET;
        assert!((10_000..=20_000).contains(&entries), "{entries}");
        let known = prints.iter().filter(|&&print| ghost.take(print)).count();
        assert!(known > 9_000, "{known} of 10000");
    }
}
