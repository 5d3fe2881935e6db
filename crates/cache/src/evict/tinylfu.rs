//! W-TinyLFU: a newcomer stays only if it is asked for more than those whom it would displace.
//!
//! Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (ACM TOS
//! 13:4, 2017), section 4, and for sizes their "Lightweight Robust Size Aware Cache Management"
//! (2021), whose aggregated victims (AV) these are. Sixteen bytes a slot, and the sketch's.
//!
//! ```text
//! newcomer -> window (10 %, LRU) -- wins the contest --> probation -- hit --> protected (80 %)
//!                  '-- loses it: evicted                  '- oldest: evicted  <---'
//! ```

use super::{
    Policy, Slot,
    facts::Facts,
    links::{Links, List},
    print_of,
    sketch::Sketch,
};

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;
/// The window is one part in so many. The paper's 1 % favours frequency; on web traces newcomers
/// need longer to show what they are (docs/eviction.md).
const WINDOW_PART: u64 = 10;
/// The protected queue's part of what is not the window, in fifths.
const PROTECTED_FIFTHS: u64 = 4;
/// How many victims a candidate is weighed against, at most: bounds the time under the lock.
const RIVALS_MAX: usize = 64;

/// Admits by frequency, evicts by recency in two classes.
#[derive(Debug)]
pub struct TinyLfu {
    links: Links,
    facts: Facts,
    queues: [List; 3],
    bytes: [u64; 3],
    held: usize,
    sketch: Sketch,
    capacity: u64,
    /// The bytes held when someone last had to leave: the store spends some on bodies in flight.
    full_at: u64,
}

impl TinyLfu {
    /// For a store of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        Self {
            links: Links::default(),
            facts: Facts::default(),
            queues: Default::default(),
            bytes: [0; 3],
            held: 0,
            sketch: Sketch::default(),
            capacity,
            full_at: capacity,
        }
    }

    fn enter(&mut self, slot: Slot, queue: usize) {
        let fact = self.facts.of_mut(slot);
        fact.set_queue(queue);
        self.bytes[queue] += fact.bytes();
        self.links.push(&mut self.queues[queue], slot);
    }

    fn leave(&mut self, slot: Slot) {
        let fact = self.facts.of(slot);
        self.links.unlink(&mut self.queues[fact.queue()], slot);
        self.bytes[fact.queue()] -= fact.bytes();
    }

    fn window_target(&self) -> u64 {
        self.full_at / WINDOW_PART
    }

    /// While the main part has room, the window's oldest need not fight for it.
    fn overflow(&mut self) {
        let room = self.full_at - self.window_target();
        while self.bytes[WINDOW] > self.window_target()
            && let Some(oldest) = self.queues[WINDOW].oldest()
            && self.bytes[PROBATION] + self.bytes[PROTECTED] + self.facts.of(oldest).bytes() <= room
        {
            self.leave(oldest);
            self.enter(oldest, PROBATION);
        }
    }

    /// Whether `candidate` is asked for more than all those together who would make room for it.
    fn wins(&self, candidate: Slot) -> bool {
        let candidate = self.facts.of(candidate);
        let frequency = self.sketch.estimate(candidate.print);
        let (mut against, mut freed) = (0, 0);
        for rival in self.rivals().take(RIVALS_MAX) {
            let rival = self.facts.of(rival);
            against += self.sketch.estimate(rival.print);
            freed += rival.bytes();
            if against >= frequency || freed >= candidate.bytes() {
                break;
            }
        }
        frequency > against
    }

    /// The main part's slots in the order in which they would leave.
    fn rivals(&self) -> impl Iterator<Item = Slot> {
        [PROBATION, PROTECTED].into_iter().flat_map(|queue| {
            std::iter::successors(self.queues[queue].oldest(), |&slot| self.links.newer(slot))
        })
    }
}

impl Policy for TinyLfu {
    fn insert(&mut self, slot: Slot, hash: u64, bytes: u64) {
        let print = print_of(hash);
        self.held += 1;
        self.sketch.count(print, self.held);
        self.facts.set(slot, print, bytes);
        self.enter(slot, WINDOW);
        self.overflow();
    }

    fn hit(&mut self, slot: Slot) {
        let fact = self.facts.of(slot);
        self.sketch.count(fact.print, self.held);
        if fact.queue() != PROBATION {
            self.links.refresh(&mut self.queues[fact.queue()], slot);
            return;
        }
        self.leave(slot);
        self.enter(slot, PROTECTED);
        let target = (self.full_at - self.window_target()) / 5 * PROTECTED_FIFTHS;
        while self.bytes[PROTECTED] > target
            && let Some(oldest) = self.queues[PROTECTED].oldest()
        {
            self.leave(oldest);
            self.enter(oldest, PROBATION);
        }
    }

    fn resize(&mut self, slot: Slot, bytes: u64) {
        let fact = self.facts.of_mut(slot);
        let total = &mut self.bytes[fact.queue()];
        *total -= fact.bytes();
        fact.set_bytes(bytes);
        *total += fact.bytes();
    }

    fn remove(&mut self, slot: Slot) {
        self.leave(slot);
        self.held -= 1;
    }

    fn victim(&mut self) -> Option<Slot> {
        self.full_at = self.capacity.min(self.bytes.iter().sum());
        let candidate = self.queues[WINDOW].oldest();
        let rival = self.rivals().next();
        let victim = match (candidate, rival) {
            (Some(candidate), Some(rival)) if self.bytes[WINDOW] > self.window_target() => {
                if self.wins(candidate) {
                    self.leave(candidate);
                    self.enter(candidate, PROBATION);
                    rival
                } else {
                    candidate
                }
            }
            (candidate, rival) => rival.or(candidate)?,
        };
        self.remove(victim);
        Some(victim)
    }

    fn footprint(&self) -> usize {
        self.links.footprint() + self.facts.footprint() + self.sketch.footprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten slots of one byte each: nine in probation, one in the window.
    fn full() -> TinyLfu {
        let mut lfu = TinyLfu::new(10);
        (0..10).for_each(|n| lfu.insert(Slot(n), u64::from(n), 1));
        lfu
    }

    #[test]
    fn a_newcomer_that_is_asked_for_no_more_than_the_rest_is_turned_away() {
        let mut lfu = full();
        lfu.insert(Slot(10), 10, 1);
        assert_eq!(lfu.victim(), Some(Slot(9)), "the older of the window's two");
        lfu.insert(Slot(9), 11, 1);
        assert_eq!(lfu.victim(), Some(Slot(10)));
    }

    #[test]
    fn a_newcomer_that_is_asked_for_more_displaces_the_oldest() {
        let mut lfu = full();
        (0..3).for_each(|_| lfu.hit(Slot(9)));
        lfu.insert(Slot(10), 10, 1);
        assert_eq!(lfu.victim(), Some(Slot(0)));
    }

    #[test]
    fn a_large_candidate_must_outweigh_all_whom_it_would_displace() {
        let mut lfu = full();
        lfu.insert(Slot(10), 10, 5);
        (0..2).for_each(|_| lfu.hit(Slot(10)));
        assert_eq!(lfu.victim(), Some(Slot(9)), "the window's oldest");
        assert_eq!(lfu.victim(), Some(Slot(10)), "three requests for it, five for its rivals");
    }
}
