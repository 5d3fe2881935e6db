//! What is to happen, in order: a calendar queue. R. Brown, "Calendar queues", CACM 31(10), 1988.
//!
//! Time is cut into days of about a millisecond. What is due on a later day is thrown unsorted onto
//! that day's heap; a day is sorted when it begins. So an entry costs one push and a share of one
//! sort, however many there are, where a binary heap of a million entries misses the processor's
//! cache at each of its twenty levels.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

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

/// A host that wants to be woken. Each has one at most, so that it needs no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm {
    pub(crate) at: Time,
    pub(crate) to: u32,
}

/// What a queue holds.
pub(crate) trait Due {
    type Place: Copy + Ord;
    /// Where it stands among all others.
    fn place(&self) -> Self::Place;
    fn at(&self) -> Time;
}

impl<T> Due for Entry<T> {
    type Place = Place;

    fn place(&self) -> Place {
        self.place
    }

    fn at(&self) -> Time {
        self.place.at
    }
}

impl Due for Alarm {
    type Place = Self;

    fn place(&self) -> Self {
        *self
    }

    fn at(&self) -> Time {
        self.at
    }
}

/// In a heap the earliest is the greatest.
#[derive(Debug)]
pub(crate) struct Reversed<D>(pub(crate) D);

impl<D: Due> PartialEq for Reversed<D> {
    fn eq(&self, other: &Self) -> bool {
        self.0.place() == other.0.place()
    }
}

impl<D: Due> Eq for Reversed<D> {}

impl<D: Due> PartialOrd for Reversed<D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<D: Due> Ord for Reversed<D> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.place().cmp(&self.0.place())
    }
}

/// Entries by place.
#[derive(Debug)]
pub(crate) struct Queue<D: Due> {
    today: u64,
    /// What was due today when it began; latest first, once it has been sorted.
    current: Vec<D>,
    is_sorted: bool,
    /// What has been added to today, or to a day that is over, since.
    added: BinaryHeap<Reversed<D>>,
    ring: Vec<Vec<D>>,
    /// A bit for each day of the ring that has entries.
    busy: [u64; RING / 64],
    later: BTreeMap<u64, Vec<D>>,
    /// Room of days that are over, for days to come: only so many are ever full at once.
    spare: Vec<Vec<D>>,
    length: usize,
}

/// Room that is kept for days to come, in days.
const SPARE: usize = 48;

impl<D: Due> Queue<D> {
    pub(crate) fn new() -> Self {
        Self {
            today: 0,
            current: Vec::new(),
            is_sorted: true,
            added: BinaryHeap::new(),
            ring: (0..RING).map(|_| Vec::new()).collect(),
            busy: [0; RING / 64],
            later: BTreeMap::new(),
            spare: Vec::new(),
            length: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn push(&mut self, entry: D) {
        self.length += 1;
        let day = day_of(entry.at());
        if day <= self.today {
            self.added.push(Reversed(entry));
        } else if day - self.today < RING as u64 {
            let slot = slot_of(day);
            self.busy[slot / 64] |= 1 << (slot % 64);
            let entries = &mut self.ring[slot];
            if entries.capacity() == 0
                && let Some(spare) = self.spare.pop()
            {
                *entries = spare;
            }
            entries.push(entry);
        } else {
            self.later.entry(day).or_default().push(entry);
        }
    }

    /// Where the first entry stands.
    pub(crate) fn first(&mut self) -> Option<D::Place> {
        if self.current.is_empty() && self.added.is_empty() {
            let day = self.next_day()?;
            self.begin(day);
        }
        if !self.is_sorted {
            self.current.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.place()));
            self.is_sorted = true;
        }
        let (current, added) = (self.current.last(), self.added.peek());
        match (current.map(Due::place), added.map(|entry| entry.0.place())) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes the first entry.
    pub(crate) fn pop(&mut self) -> Option<D> {
        let first = self.first()?;
        self.length -= 1;
        match self.current.last() {
            Some(entry) if entry.place() == first => self.current.pop(),
            _ => self.added.pop().map(|entry| entry.0),
        }
    }

    /// Takes all that is due before `end`, in no order: days that end before are not sorted.
    pub(crate) fn drain_before(&mut self, end: Time, mut take: impl FnMut(D)) {
        let mut taken = 0;
        while self.added.peek().is_some_and(|entry| entry.0.at() < end) {
            if let Some(Reversed(entry)) = self.added.pop() {
                taken += 1;
                take(entry);
            }
        }
        loop {
            if (self.today + 1) << DAY_BITS <= end.nanos() {
                taken += self.current.len();
                self.current.drain(..).for_each(&mut take);
                self.is_sorted = true;
            } else {
                taken +=
                    self.current.extract_if(.., |entry| entry.at() < end).map(&mut take).count();
            }
            match self.next_day() {
                Some(day) if self.current.is_empty() && day << DAY_BITS < end.nanos() => {
                    self.begin(day);
                }
                _ => break,
            }
        }
        self.length -= taken;
    }

    /// The next day that has entries.
    fn next_day(&self) -> Option<u64> {
        let later = || self.later.first_key_value().map(|(&day, _)| day);
        self.next_busy().or_else(later)
    }

    /// Goes on to a day, when what was due before is gone.
    fn begin(&mut self, day: u64) {
        self.today = day;
        let slot = slot_of(day);
        let over = std::mem::replace(&mut self.current, std::mem::take(&mut self.ring[slot]));
        if over.capacity() > 0 && self.spare.len() < SPARE {
            self.spare.push(over);
        }
        self.is_sorted = false;
        self.busy[slot / 64] &= !(1 << (slot % 64));
        // Days that the ring reaches now move into it, today's among them.
        while let Some(entry) = self.later.first_entry() {
            let day = *entry.key();
            if day - self.today >= RING as u64 {
                break;
            }
            let mut entries = entry.remove();
            if day == self.today {
                self.current.append(&mut entries);
            } else {
                let slot = slot_of(day);
                self.busy[slot / 64] |= 1 << (slot % 64);
                self.ring[slot].append(&mut entries);
            }
        }
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
                    let Some(popped) = queue.pop() else { break };
                    let (place, number) = list.pop_first().unwrap();
                    assert_eq!((popped.place, popped.what), (place, number), "seed {seed}");
                    now = place.at.nanos();
                }
                assert_eq!(queue.len(), list.len());
            }
            while let Some((place, _)) = list.pop_first() {
                assert_eq!(queue.first(), Some(place));
                assert_eq!(queue.pop().unwrap().place, place);
            }
            assert!(queue.pop().is_none() && queue.first().is_none());
        }
    }

    #[test]
    fn draining_takes_what_popping_would() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let [mut drained, mut popped] = [Queue::new(), Queue::new()];
            let (mut now, mut number) = (0, 0);
            for _ in 0..100 {
                for _ in 0..rng.below(30) {
                    number += 1;
                    let at = now + rng.next_u64() % (1 << rng.below(40));
                    drained.push(entry(at, number));
                    popped.push(entry(at, number));
                }
                now += rng.next_u64() % (1 << rng.below(36));
                let end = Time::from_nanos(now);
                let (mut one, mut other) = (Vec::new(), Vec::new());
                drained.drain_before(end, |entry| one.push(entry.place));
                while popped.first().is_some_and(|place| place.at < end) {
                    other.extend(popped.pop().map(|entry| entry.place));
                }
                one.sort_unstable();
                assert_eq!(one, other, "seed {seed}");
                assert_eq!((drained.len(), drained.first()), (popped.len(), popped.first()));
            }
        }
    }
}
