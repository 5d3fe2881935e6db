//! Least recently used: every hit moves its object to the safe end. Eight bytes a slot.
//!
//! The yardstick: nobody's best choice (one scan empties it), but everybody's reference.

use super::{
    Policy, Slot,
    links::{Links, List},
};

/// Evicts whoever was not asked for the longest.
#[derive(Debug, Default)]
pub struct Lru {
    links: Links,
    queue: List,
}

impl Policy for Lru {
    fn insert(&mut self, slot: Slot, _hash: u64, _bytes: u64) {
        self.links.push(&mut self.queue, slot);
    }

    fn hit(&mut self, slot: Slot) {
        self.links.refresh(&mut self.queue, slot);
    }

    fn resize(&mut self, _slot: Slot, _bytes: u64) {}

    fn remove(&mut self, slot: Slot) {
        self.links.unlink(&mut self.queue, slot);
    }

    fn victim(&mut self) -> Option<Slot> {
        let slot = self.queue.oldest()?;
        self.remove(slot);
        Some(slot)
    }

    fn footprint(&self) -> usize {
        self.links.footprint()
    }
}
