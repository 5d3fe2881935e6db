//! How often each key was asked for of late, for far more keys than are held.
//!
//! Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (ACM TOS
//! 13:4, 2017), section 3: a count-min sketch of four-bit counters with conservative increments,
//! behind a doorkeeper that swallows the first request for each key, all halved after every ten
//! requests for each slot. The four counters of a key lie in one cache line. Six bytes a slot.

/// The largest count: four bits.
const COUNT_MAX: u64 = 15;
/// Counters of one key.
const ROWS: u32 = 4;
/// Slots for each block of 128 counters.
const SLOTS_PER_BLOCK: usize = 16;
/// Words of the doorkeeper for each block.
const DOOR_WORDS: usize = 4;
/// Requests between two agings, for each slot (section 3.3's sample size).
const SAMPLE_PER_SLOT: usize = 10;
/// A small store ages no sooner than one of so many slots.
const SAMPLE_SLOTS_MIN: usize = 64;

/// Approximate counts of keys, which are known by their fingerprints.
#[derive(Debug)]
pub(super) struct Sketch {
    blocks: Vec<[u64; 8]>,
    door: Vec<u64>,
    /// Requests since the last aging, plus half of those before.
    counted: usize,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { blocks: vec![[0; 8]], door: vec![0; DOOR_WORDS], counted: 0 }
    }
}

impl Sketch {
    /// Counts one request, on behalf of a store that holds `slots`: the tables grow with it, and
    /// what was counted before stays known.
    pub(super) fn count(&mut self, print: u32, slots: usize) {
        if slots > self.blocks.len() * SLOTS_PER_BLOCK {
            self.blocks = self.blocks.iter().flat_map(|&block| [block, block]).collect();
            self.door = self.door.iter().flat_map(|&word| [word, word]).collect();
        }
        self.counted += 1;
        if self.counted >= SAMPLE_PER_SLOT * slots.max(SAMPLE_SLOTS_MIN) {
            self.age();
        }
        let (word, bits) = self.door_place(print);
        if self.door[word] & bits != bits {
            self.door[word] |= bits;
            return;
        }
        let lowest = self.lowest(print);
        if lowest == COUNT_MAX {
            return;
        }
        let at = place(print, self.blocks.len());
        let block = &mut self.blocks[at];
        for (word, shift) in cells(print) {
            if block[word] >> shift & COUNT_MAX == lowest {
                block[word] += 1 << shift;
            }
        }
    }

    /// How often `print` was counted: rather too often than too seldom, and 16 at most.
    pub(super) fn estimate(&self, print: u32) -> u64 {
        let (word, bits) = self.door_place(print);
        self.lowest(print) + u64::from(self.door[word] & bits == bits)
    }

    fn lowest(&self, print: u32) -> u64 {
        let block = &self.blocks[place(print, self.blocks.len())];
        let counts = cells(print).map(|(word, shift)| block[word] >> shift & COUNT_MAX);
        counts.min().expect("a key has counters")
    }

    /// Two bits of one word.
    fn door_place(&self, print: u32) -> (usize, u64) {
        let mixed = u64::from(print).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (place(print, self.door.len()), 1 << (mixed >> 58) | 1 << (mixed >> 52 & 63))
    }

    fn age(&mut self) {
        for word in self.blocks.iter_mut().flatten() {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
        self.door.fill(0);
        self.counted /= 2;
    }

    /// Bytes of memory taken.
    pub(super) fn footprint(&self) -> usize {
        super::footprint_of(&self.blocks) + super::footprint_of(&self.door)
    }
}

/// Upper bits choose the place, so when a table doubles, a key's two candidates are copies.
pub(super) fn place(print: u32, len: usize) -> usize {
    usize::try_from((u64::from(print) * len as u64) >> 32).expect("below a usize")
}

/// Where in its block the counters of a key are: word and shift, two words a row.
fn cells(print: u32) -> impl Iterator<Item = (usize, u32)> {
    let mixed = u64::from(print).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (0..ROWS).map(move |row| {
        let at = mixed >> (row * 5) & 31;
        let word = usize::from(at >= 16) + row as usize * 2;
        (word, u32::try_from(at % 16).expect("below 16") * 4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> u32 {
        super::super::print_of(n + 1)
    }

    #[test]
    fn a_count_is_never_too_low_before_aging() {
        let mut sketch = Sketch::default();
        for n in 0..100 {
            (0..n % 9).for_each(|_| sketch.count(key(n), 100));
        }
        assert!((0..100).all(|n| sketch.estimate(key(n)) >= n % 9));
        let excess: u64 = (0..100).map(|n| sketch.estimate(key(n)) - n % 9).sum();
        assert!(excess <= 10, "{excess} too many in all");
    }

    #[test]
    fn counts_stop_at_their_end() {
        let mut sketch = Sketch::default();
        (0..100).for_each(|_| sketch.count(key(1), 1_000));
        assert_eq!(sketch.estimate(key(1)), COUNT_MAX + 1);
    }

    #[test]
    fn counts_are_halved_after_ten_requests_for_each_slot() {
        let mut sketch = Sketch::default();
        (0..11).for_each(|_| sketch.count(key(1), 64));
        (0..640).for_each(|_| sketch.count(key(2), 64));
        assert_eq!(sketch.estimate(key(1)), 5);
    }

    #[test]
    fn a_sketch_that_grows_forgets_nothing() {
        let mut sketch = Sketch::default();
        (0..5).for_each(|_| sketch.count(key(1), 1));
        let before = sketch.footprint();
        (2..200).for_each(|n| sketch.count(key(n), 100_000));
        assert!(sketch.footprint() > before);
        assert!(sketch.estimate(key(1)) >= 5);
    }
}
