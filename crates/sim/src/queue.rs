//! What is to happen, in order: a calendar queue. R. Brown, "Calendar queues", CACM 31(10), 1988.
//!
//! Time is cut into days of about a millisecond. What is due on a later day is thrown unsorted onto
//! that day's heap; a day is sorted when it begins. So an entry costs one push and a share of one
//! sort, however many there are, where a binary heap of a million entries misses the processor's
//! cache at each of its twenty levels.

use std::collections::{BTreeMap, BinaryHeap};
use std::cmp::Ordering;

use nigh_base::Time;

/// A day has 2^20 nanoseconds.
const DAY_BITS: u32 = 20;
/// So many days from today on have a place in the ring; later ones wait in a tree.
const RING: usize = 1024;

/// Where an entry stands among all others: first by time, and at one time in an order that does not
/// depend on how hosts are dealt out to threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) at: Time,
    pub(crate) to: u32,
    pub(crate) from: u32,
    /// Counts what `from` has caused: no two entries have one place.
    pub(crate) number: u32,
}

/// Something that is to happen, and where it stands.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) place: Place,
    pub(crate) what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest, as `BinaryHeap` wants it.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.place.cmp(&self.place)
    }
}

/// Entries by place.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    today: u64,
    /// What was due today when it began, latest first.
    sorted: Vec<Entry<T>>,
    /// What has been added to today, or to a day that is over, since.
    added: BinaryHeap<Entry<T>>,
    ring: Vec<Vec<Entry<T>>>,
    /// A bit for each day of the ring that has entries.
    busy: [u64; RING / 64],
    later: BTreeMap<u64, Vec<Entry<T>>>,
    length: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            today: 0,
            sorted: Vec::new(),
            added: BinaryHeap::new(),
            ring: (0..RING).map(|_| Vec::new()).collect(),
            busy: [0; RING / 64],
            later: BTreeMap::new(),
            length: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn push(&mut self, entry: Entry<T>) {
        self.length += 1;
        let day = day_of(entry.place.at);
        if day <= self.today {
            self.added.push(entry);
        } else if day - self.today < RING as u64 {
            let slot = slot_of(day);
            self.busy[slot / 64] |= 1 << (slot % 64);
            self.ring[slot].push(entry);
        } else {
            self.later.entry(day).or_default().push(entry);
        }
    }

    /// When the first entry is due.
    pub(crate) fn next_at(&mut self) -> Option<Time> {
        self.first().map(|place| place.at)
    }

    /// Takes the first entry if it is due before `end`.
    pub(crate) fn pop_before(&mut self, end: Time) -> Option<Entry<T>> {
        let first = self.first().filter(|place| place.at < end)?;
        self.length -= 1;
        match self.sorted.last() {
            Some(entry) if entry.place == first => self.sorted.pop(),
            _ => self.added.pop(),
        }
    }

    fn first(&mut self) -> Option<Place> {
        if self.sorted.is_empty() && self.added.is_empty() && !self.begin_next_day() {
            return None;
        }
        let (sorted, added) = (self.sorted.last(), self.added.peek());
        match (sorted.map(|entry| entry.place), added.map(|entry| entry.place)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Goes on to the next day that has entries; false if there is none.
    fn begin_next_day(&mut self) -> bool {
        let in_ring = self.next_busy();
        let Some(day) = in_ring.or_else(|| self.later.first_key_value().map(|(&day, _)| day)) else {
            return false;
        };
        self.today = day;
        let slot = slot_of(day);
        std::mem::swap(&mut self.sorted, &mut self.ring[slot]);
        self.busy[slot / 64] &= !(1 << (slot % 64));
        // Days that the ring reaches now move into it, today's among them.
        while let Some(entry) = self.later.first_entry() {
            let day = *entry.key();
            if day - self.today >= RING as u64 {
                break;
            }
            let mut entries = entry.remove();
            if day == self.today {
                self.sorted.append(&mut entries);
            } else {
                let slot = slot_of(day);
                self.busy[slot / 64] |= 1 << (slot % 64);
                self.ring[slot].append(&mut entries);
            }
        }
        self.sorted.sort_unstable();
        true
    }

    /// The next day after today whose place in the ring has entries.
    fn next_busy(&self) -> Option<u64> {
        let start = slot_of(self.today + 1);
        let words = self.busy.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.busy[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + RING - start) % RING;
                return Some(self.today + 1 + ahead as u64);
            }
        }
        None
    }
}

fn day_of(at: Time) -> u64 {
    at.nanos() >> DAY_BITS
}

fn slot_of(day: u64) -> usize {
    usize::try_from(day % RING as u64).expect("below the ring's length")
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;

    fn entry(at: u64, number: u32) -> Entry<u32> {
        let place = Place { at: Time::from_nanos(at), to: number % 3, from: 0, number };
        Entry { place, what: number }
    }

    #[test]
    fn entries_come_in_the_order_of_a_sorted_list_whatever_is_added_in_between() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let (mut queue, mut list, mut now) = (Queue::new(), BTreeMap::new(), 0);
            for number in 0..2000 {
                // From this instant to weeks ahead, so that all three places are used.
                let ahead = rng.next_u64() >> rng.below(50).clamp(14, 63);
                let entry = entry(now + ahead % (1 << 50), number);
                list.insert(entry.place, number);
                queue.push(entry);
                while rng.one_in(2) {
                    let Some(popped) = queue.pop_before(Time::from_nanos(u64::MAX)) else { break };
                    let (place, number) = list.pop_first().unwrap();
                    assert_eq!((popped.place, popped.what), (place, number), "seed {seed}");
                    now = place.at.nanos();
                }
                assert_eq!(queue.len(), list.len());
            }
            while let Some((place, _)) = list.pop_first() {
                assert_eq!(queue.next_at(), Some(place.at));
                assert_eq!(queue.pop_before(place.at.after(std::time::Duration::from_nanos(1))).unwrap().place, place);
            }
            assert_eq!(queue.next_at(), None);
        }
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mut queue = Queue::new();
        queue.push(entry(5_000_000, 1));
        assert!(queue.pop_before(Time::from_nanos(5_000_000)).is_none());
        queue.push(entry(10, 2));
        assert_eq!(queue.pop_before(Time::from_nanos(11)).unwrap().what, 2);
        assert_eq!(queue.pop_before(Time::from_nanos(5_000_001)).unwrap().what, 1);
    }
}
