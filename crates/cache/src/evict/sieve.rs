//! SIEVE: one queue that hits never reorder, and a hand that sweeps it from old to new.
//!
//! Zhang and others, "SIEVE is Simpler than LRU" (NSDI 2024), section 3. A hit sets one bit. The
//! hand spares who was hit since it last came by, clears the mark, and evicts the first it finds
//! without one; newcomers enter behind it, so those that nobody asks for again leave soon. Eight
//! bytes and one bit a slot.

use super::{
    Policy, Slot,
    links::{Links, List},
};

/// Evicts the first that was not hit since the hand last passed.
#[derive(Debug, Default)]
pub struct Sieve {
    links: Links,
    queue: List,
    /// One bit a slot: hit since the hand passed.
    visited: Vec<u64>,
    /// Whom the hand judges next; none: the oldest.
    hand: Option<Slot>,
}

impl Sieve {
    /// Clears the mark of `slot` and says whether it stood.
    fn spare(&mut self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        let stood = self.visited[word] & bit != 0;
        self.visited[word] &= !bit;
        stood
    }
}

impl Policy for Sieve {
    fn insert(&mut self, slot: Slot, _hash: u64, _bytes: u64) {
        self.links.push(&mut self.queue, slot);
        let (word, bit) = place(slot);
        if self.visited.len() <= word {
            self.visited.resize(word + 1, 0);
        }
        self.visited[word] &= !bit;
    }

    fn hit(&mut self, slot: Slot) {
        debug_assert!(self.links.holds(slot), "only a held slot is hit");
        let (word, bit) = place(slot);
        self.visited[word] |= bit;
    }

    fn resize(&mut self, _slot: Slot, _bytes: u64) {}

    fn remove(&mut self, slot: Slot) {
        if self.hand == Some(slot) {
            self.hand = self.links.newer(slot);
        }
        self.links.unlink(&mut self.queue, slot);
    }

    fn victim(&mut self) -> Option<Slot> {
        // Ends: each step clears a mark, and nobody sets one meanwhile.
        let mut slot = self.hand.or_else(|| self.queue.oldest())?;
        while self.spare(slot) {
            slot = self.links.newer(slot).or_else(|| self.queue.oldest())?;
        }
        self.hand = Some(slot);
        self.remove(slot);
        Some(slot)
    }

    fn footprint(&self) -> usize {
        self.links.footprint() + super::footprint_of(&self.visited)
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.index() / 64, 1 << (slot.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(slots: u32) -> Sieve {
        let mut sieve = Sieve::default();
        (0..slots).for_each(|n| sieve.insert(Slot(n), 0, 1));
        sieve
    }

    #[test]
    fn the_hand_stays_where_it_was_and_spares_each_once() {
        let mut sieve = of(4);
        [0, 1].into_iter().for_each(|n| sieve.hit(Slot(n)));
        assert_eq!(sieve.victim(), Some(Slot(2)), "0 and 1 are spared");
        sieve.insert(Slot(2), 0, 1);
        assert_eq!(sieve.victim(), Some(Slot(3)), "the hand goes on towards the newest");
        assert_eq!(sieve.victim(), Some(Slot(2)), "a newcomer that nobody asked for goes");
        assert_eq!(sieve.victim(), Some(Slot(0)), "and round again");
    }

    #[test]
    fn the_hand_survives_the_removal_of_whom_it_points_at() {
        let mut sieve = of(3);
        assert_eq!(sieve.victim(), Some(Slot(0)));
        sieve.remove(Slot(1));
        assert_eq!(sieve.victim(), Some(Slot(2)));
        assert_eq!(sieve.victim(), None);
    }
}
