//! S3-FIFO: three queues that hits never reorder; the small one filters out one-hit wonders.
//!
//! Yang and others, "FIFO Queues are All You Need for Cache Eviction" (SOSP 2023), section 4.1,
//! with every queue sized in bytes. Sixteen bytes a slot, and the ghost's.
//!
//! ```text
//! newcomer -> small (10 %) -- hit twice --> main (90 %) -> unhit: evicted
//!    |            '-- else: evicted          ^     '-> hit: once more round, one hit less
//!    '- known to the ghost ------------------'
//! ```

use super::{
    Policy, Slot,
    facts::{Facts, HITS_MAX},
    ghost::Ghost,
    links::{Links, List},
    print_of,
};

const SMALL: usize = 0;
const MAIN: usize = 1;
/// The small queue holds one part in so many of the bytes (section 4.1: 10 %).
const SMALL_PART: u64 = 10;
/// Hits that lead from the small queue to the main one.
const PROMOTED_AT: u32 = 2;

/// Filters newcomers by a small queue, and keeps the rest by second chances.
#[derive(Debug)]
pub struct S3Fifo {
    links: Links,
    facts: Facts,
    queues: [List; 2],
    bytes: [u64; 2],
    held: usize,
    ghost: Ghost,
    capacity: u64,
    evicted: bool,
}

impl S3Fifo {
    /// For a store of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        Self {
            links: Links::default(),
            facts: Facts::default(),
            queues: Default::default(),
            bytes: [0; 2],
            held: 0,
            ghost: Ghost::new(capacity - capacity / SMALL_PART),
            capacity,
            evicted: false,
        }
    }

    /// Puts an unlinked slot at the end of `queue`.
    fn enter(&mut self, slot: Slot, queue: usize) {
        let fact = self.facts.of_mut(slot);
        fact.set_queue(queue);
        self.bytes[queue] += fact.bytes();
        self.links.push(&mut self.queues[queue], slot);
        self.held += 1;
    }

    /// The oldest of the small queue goes on to the main one, or out.
    fn judge_newcomer(&mut self, slot: Slot) -> Option<Slot> {
        let fact = self.facts.of(slot);
        self.remove(slot);
        if fact.hits() >= PROMOTED_AT {
            self.facts.of_mut(slot).set_hits(0);
            self.enter(slot, MAIN);
            return None;
        }
        self.ghost.remember(fact.print, fact.bytes(), self.held + 1);
        Some(slot)
    }

    /// The oldest of the main queue goes round once more, or out.
    fn judge_resident(&mut self, slot: Slot) -> Option<Slot> {
        let fact = self.facts.of_mut(slot);
        if let Some(fewer) = fact.hits().checked_sub(1) {
            fact.set_hits(fewer);
            self.links.refresh(&mut self.queues[MAIN], slot);
            return None;
        }
        self.remove(slot);
        Some(slot)
    }
}

impl Policy for S3Fifo {
    fn insert(&mut self, slot: Slot, hash: u64, bytes: u64) {
        let print = print_of(hash);
        self.facts.set(slot, print, bytes);
        // While the store fills for the first time, the main queue takes what the small one cannot.
        let overflows =
            !self.evicted && self.bytes[SMALL].saturating_add(bytes) > self.capacity / SMALL_PART;
        let known = self.ghost.take(print);
        self.enter(slot, if known || overflows { MAIN } else { SMALL });
    }

    fn hit(&mut self, slot: Slot) {
        let fact = self.facts.of_mut(slot);
        fact.set_hits((fact.hits() + 1).min(HITS_MAX));
    }

    fn resize(&mut self, slot: Slot, bytes: u64) {
        let fact = self.facts.of_mut(slot);
        let total = &mut self.bytes[fact.queue()];
        *total -= fact.bytes();
        fact.set_bytes(bytes);
        *total += fact.bytes();
    }

    fn remove(&mut self, slot: Slot) {
        let fact = self.facts.of(slot);
        self.links.unlink(&mut self.queues[fact.queue()], slot);
        self.bytes[fact.queue()] -= fact.bytes();
        self.held -= 1;
    }

    fn victim(&mut self) -> Option<Slot> {
        self.evicted = true;
        // Of what is held, not of the capacity: the store spends some on bodies in flight.
        let small_target = (self.bytes[SMALL] + self.bytes[MAIN]).min(self.capacity) / SMALL_PART;
        // Ends: each turn moves a slot out of the small queue or takes a hit off one in the main.
        loop {
            let (newcomer, resident) = (self.queues[SMALL].oldest(), self.queues[MAIN].oldest());
            let judged = match (newcomer, resident) {
                (Some(slot), None) => self.judge_newcomer(slot),
                (Some(slot), _) if self.bytes[SMALL] > small_target => self.judge_newcomer(slot),
                (_, Some(slot)) => self.judge_resident(slot),
                (None, None) => return None,
            };
            if judged.is_some() {
                return judged;
            }
        }
    }

    fn footprint(&self) -> usize {
        self.links.footprint() + self.facts.footprint() + self.ghost.footprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty slots of one byte each: 0, 1 and 2 in the small queue, the rest in the main one.
    fn full() -> S3Fifo {
        let mut s3 = S3Fifo::new(20);
        (0..20).for_each(|n| s3.insert(Slot(n), u64::from(n), 1));
        assert_eq!(s3.victim(), Some(Slot(2)), "the oldest of the main queue: it overflows");
        s3.insert(Slot(2), 2, 1);
        s3
    }

    #[test]
    fn newcomers_that_nobody_asks_for_leave_before_residents() {
        let mut s3 = full();
        for hash in 1_000..1_050 {
            let victim = s3.victim().unwrap();
            assert!(victim.0 < 3, "{victim:?} is a resident");
            s3.insert(victim, hash, 1);
        }
    }

    #[test]
    fn one_who_is_hit_twice_in_the_small_queue_moves_to_the_main_one() {
        let mut s3 = full();
        (0..PROMOTED_AT).for_each(|_| s3.hit(Slot(0)));
        s3.victim();
        assert_eq!(s3.facts.of(Slot(0)).queue(), MAIN);
    }

    #[test]
    fn one_whom_the_ghost_knows_enters_the_main_queue() {
        let mut s3 = full();
        assert_eq!(s3.victim(), Some(Slot(0)));
        s3.insert(Slot(0), 0, 1);
        assert_eq!(s3.facts.of(Slot(0)).queue(), MAIN);
    }
}
