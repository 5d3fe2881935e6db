//! What a policy knows about a slot beyond its place in a list: eight bytes.
//!
//! A fingerprint of the key and one word for size, queue and hits. The
//! size is a small float: exact below 16 MiB, above that rounded by less than one part in eight
//! million. A sum of such sizes never drifts, since what is taken off is what was added.
//!
//! ```text
//! 31 30 | 29 28 | 27 .. 24 | 23 ...... 0
//! queue | hits  | shift    | mantissa        size = mantissa << shift
//! ```

use super::Slot;

const MANTISSA_BITS: u32 = 24;
const SHIFT_MAX: u64 = 15;
const SIZE_MASK: u32 = (1 << 28) - 1;
const HITS_SHIFT: u32 = 28;
const QUEUE_SHIFT: u32 = 30;
/// Hits are counted up to here.
pub(super) const HITS_MAX: u32 = 3;

/// The facts of every slot, indexed by slot. Those of a slot that is not held are stale.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<Fact>);

/// The facts of one slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fact {
    /// The key's fingerprint.
    pub(super) print: u32,
    word: u32,
}

impl Facts {
    /// Writes down a newcomer, without hits, in queue 0.
    pub(super) fn set(&mut self, slot: Slot, print: u32, bytes: u64) -> Fact {
        if self.0.len() <= slot.index() {
            self.0.resize(slot.index() + 1, Fact::default());
        }
        let fact = Fact { print, word: pack(bytes) };
        self.0[slot.index()] = fact;
        fact
    }

    /// Bytes of memory taken.
    pub(super) fn footprint(&self) -> usize {
        super::footprint_of(&self.0)
    }

    /// The facts of `slot`.
    pub(super) fn of(&self, slot: Slot) -> Fact {
        self.0[slot.index()]
    }

    /// The facts of `slot`, to be changed.
    pub(super) fn of_mut(&mut self, slot: Slot) -> &mut Fact {
        &mut self.0[slot.index()]
    }
}

impl Fact {
    /// The size in bytes.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.word & ((1 << MANTISSA_BITS) - 1)) << (self.word >> MANTISSA_BITS & 0xf)
    }

    /// Which of up to four queues.
    pub(super) fn queue(self) -> usize {
        (self.word >> QUEUE_SHIFT) as usize
    }

    /// Hits counted, at most [`HITS_MAX`].
    pub(super) fn hits(self) -> u32 {
        self.word >> HITS_SHIFT & HITS_MAX
    }

    pub(super) fn set_bytes(&mut self, bytes: u64) {
        self.word = self.word & !SIZE_MASK | pack(bytes);
    }

    pub(super) fn set_queue(&mut self, queue: usize) {
        let queue = u32::try_from(queue).expect("below 4");
        self.word = self.word & !(3 << QUEUE_SHIFT) | queue << QUEUE_SHIFT;
    }

    pub(super) fn set_hits(&mut self, hits: u32) {
        self.word = self.word & !(HITS_MAX << HITS_SHIFT) | hits << HITS_SHIFT;
    }
}

/// Rounds down, and stops at 512 GiB.
fn pack(bytes: u64) -> u32 {
    let used = u64::from(u64::BITS - bytes.leading_zeros());
    let shift = used.saturating_sub(u64::from(MANTISSA_BITS)).min(SHIFT_MAX);
    let mantissa = (bytes >> shift).min((1 << MANTISSA_BITS) - 1);
    u32::try_from(shift << MANTISSA_BITS | mantissa).expect("28 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: u64) -> u64 {
        Facts::default().set(Slot(0), 0, bytes).bytes()
    }

    #[test]
    fn sizes_below_16_mib_are_exact() {
        for bytes in [0, 1, 4095, 65_537, (1 << 24) - 1] {
            assert_eq!(kept(bytes), bytes);
        }
    }

    #[test]
    fn larger_sizes_lose_less_than_one_part_in_eight_million() {
        for bytes in [(1 << 24) + 1, (1 << 30) + 12_345, (1 << 38) + 7_654_321] {
            assert!(bytes - kept(bytes) <= bytes >> 23, "{bytes} became {}", kept(bytes));
        }
    }

    #[test]
    fn a_size_beyond_the_format_stops_at_its_end() {
        assert_eq!(kept(u64::MAX), ((1 << 24) - 1) << 15);
    }

    #[test]
    fn the_parts_of_the_word_do_not_disturb_each_other() {
        let mut facts = Facts::default();
        facts.set(Slot(2), 7, 1 << 20);
        let fact = facts.of_mut(Slot(2));
        fact.set_hits(3);
        fact.set_queue(2);
        fact.set_bytes(5);
        assert_eq!((fact.print, fact.bytes(), fact.queue(), fact.hits()), (7, 5, 2, 3));
    }
}
