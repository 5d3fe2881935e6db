//! Greedy dual, size and frequency: the worth of an object is how often it is asked for, per size.
//!
//! Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy"
//! (HP Labs, HPL-98-69, 1998): an object is due at `L + worth`, the smallest due leaves, and `L`
//! becomes its due, which ages everybody else at no cost. What is different here was measured on
//! web and block traces (docs/eviction.md):
//!
//! - **worth = frequency² / size^(2/3)**. Dividing by the whole size keeps too few large objects
//!   and costs bytes; squaring rewards who was asked for again, over one-hit wonders.
//! - **A ghost.** Who comes back soon after its eviction enters as if asked for four times.
//! - **Copies cost little.** Greedy dual multiplies worth by what it costs to bring an object again. Of
//!   what another cache answers for, that is a hop and not a fetch: copies beyond a small share of the
//!   store have a 64th of the worth, and the ghost does not know them.
//! - **Hits only count.** A hit increments one byte; the due is worked out anew when the slot comes
//!   up for eviction, as a clock does, and what was counted before then loses a quarter.
//! - **No heap.** Worth is rounded to half powers of two, one list for each (the idea of CAMP,
//!   Ghandeharizadeh and others, Middleware 2014, section 2). `L` never falls, so each list is in
//!   order of due by itself, and the victim is at the head of one of at most 49 lists.
//!
//! Twenty bytes a slot, and the ghost's. A victim is found in the time to look at the heads.

use super::{
    Policy, Slot, footprint_of,
    ghost::Ghost,
    links::{Links, List},
    print_of,
};
use std::num::NonZeroU32;

/// Grades of worth, half a power of two apart: size spans 24 doublings and two thirds of that
/// count, frequency spans four and twice that counts.
const GRADES: usize = 49;
/// The dues of the lowest grade are this far from `L`; those of the highest 2^28, so that dues may
/// wrap around 32 bits and still compare.
const LOWEST_WORTH: u32 = 16;
/// Smaller and larger objects count as 64 B and 1 GiB (in quarters of a doubling).
const SIZE_QUARTERS: std::ops::RangeInclusive<u8> = 24..=120;
/// Frequency is counted in quarters, up to 15 3/4: beyond that, old fame keeps new objects out.
const FREQUENCY_MAX: u8 = 63;
/// Hits counted between two judgements.
const PENDING_MAX: u8 = 15;
/// The frequency of a newcomer.
const NEW: u8 = 4;
/// Of one who came while the store had room, and so displaced nobody.
const EARLY: u8 = 8;
/// Of one whom the ghost remembers.
const RETURNED: u8 = 16;
/// How much less worth a copy has, in sixths of a doubling, when copies have more than their share. A hop
/// in one place takes a tenth of a millisecond, a fetch from an origin many times that. Were copies always
/// worth as much as what came from the origin, they would take so much room that edges which act as one
/// cache would ask the origin a quarter more often than one cache does (docs/performance.md).
const COPY_SIXTHS: u8 = 36;
/// Up to this part of the capacity, copies have all their worth: those that are in great demand stay, though
/// room is needed all the time.
const COPY_PART: u64 = 64;
/// The ghost remembers this many times the capacity.
const GHOST_LENGTHS: u64 = 2;

/// Evicts the least worth for its size, judged by hits of late.
#[derive(Debug)]
pub struct Gdsf {
    links: Links,
    nodes: Vec<Node>,
    grades: [List; GRADES],
    /// The due of the oldest of each grade, where there is one.
    heads: [u32; GRADES],
    /// A bit for each grade that has slots.
    occupied: u64,
    /// `L`: the due of the last victim.
    floor: u32,
    held: usize,
    /// Bytes of the copies that are held, about, and those that have all their worth.
    copy_bytes: u64,
    copy_share: u64,
    ghost: Ghost,
    evicted: bool,
    /// Twelve times the binary logarithm of a frequency.
    logarithms: [u8; FREQUENCY_MAX as usize + 1],
}

/// What is known of one slot beside its links.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    due: u32,
    /// By what the ghost will know it; `None` for a copy.
    print: Option<NonZeroU32>,
    /// Quarters of hits, as of the last judgement.
    frequency: u8,
    /// Hits since then.
    pending: u8,
    /// Quarters of doublings of a byte.
    size: u8,
    grade: u8,
}

impl Node {
    /// Its bytes, about, if it is a copy.
    fn copy_bytes(&self) -> u64 {
        if self.print.is_none() { bytes_of(self.size) } else { 0 }
    }
}

impl Gdsf {
    /// For a store of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        Self {
            links: Links::default(),
            nodes: Vec::new(),
            grades: std::array::from_fn(|_| List::default()),
            heads: [0; GRADES],
            occupied: 0,
            floor: 0,
            held: 0,
            copy_bytes: 0,
            copy_share: capacity / COPY_PART,
            ghost: Ghost::new(capacity.saturating_mul(GHOST_LENGTHS)),
            evicted: false,
            logarithms: std::array::from_fn(twelve_logarithms),
        }
    }

    /// Takes a newcomer in.
    fn enter(&mut self, slot: Slot, print: Option<NonZeroU32>, frequency: u8, bytes: u64) {
        if self.nodes.len() <= slot.index() {
            self.nodes.resize(slot.index() + 1, Node::default());
        }
        let size = quarters(bytes);
        self.nodes[slot.index()] = Node { print, frequency, size, ..Node::default() };
        self.rank(slot);
    }

    /// Puts an unlinked slot where its frequency and size say.
    fn rank(&mut self, slot: Slot) {
        let node = &mut self.nodes[slot.index()];
        let size = node.size.clamp(*SIZE_QUARTERS.start(), *SIZE_QUARTERS.end());
        let smallness = SIZE_QUARTERS.end() - size;
        // In sixths of a doubling of worth: 2 log f - 2/3 log s is 12 log f - 4 log s of them.
        let sixths = self.logarithms[usize::from(node.frequency)] + smallness;
        self.copy_bytes += node.copy_bytes();
        let is_too_many = node.print.is_none() && self.copy_bytes > self.copy_share;
        let less = if is_too_many { COPY_SIXTHS } else { 0 };
        let sixths = sixths.saturating_sub(less);
        node.grade = (sixths + 1) / 3;
        node.due = self.floor.wrapping_add(worth(node.grade));
        let grade = usize::from(node.grade);
        if self.occupied & 1 << grade == 0 {
            self.occupied |= 1 << grade;
            self.heads[grade] = node.due;
        }
        self.links.push(&mut self.grades[grade], slot);
        self.held += 1;
    }

    /// The occupied grade whose head is due first.
    fn first_due(&self) -> Option<usize> {
        let mut first = None;
        let mut rest = self.occupied;
        while rest != 0 {
            let grade = rest.trailing_zeros() as usize;
            let due = self.heads[grade].wrapping_sub(self.floor);
            if first.is_none_or(|(earliest, _)| due < earliest) {
                first = Some((due, grade));
            }
            rest &= rest - 1;
        }
        first.map(|(_, grade)| grade)
    }
}

impl Policy for Gdsf {
    fn insert(&mut self, slot: Slot, hash: u64, bytes: u64) {
        let print = NonZeroU32::new(print_of(hash)).unwrap_or(NonZeroU32::MIN);
        let frequency = match (self.ghost.take(print.get()), self.evicted) {
            (true, _) => RETURNED,
            (false, true) => NEW,
            (false, false) => EARLY,
        };
        self.enter(slot, Some(print), frequency, bytes);
    }

    fn insert_copy(&mut self, slot: Slot, _hash: u64, bytes: u64) {
        self.enter(slot, None, NEW, bytes);
    }

    fn hit(&mut self, slot: Slot) {
        let pending = &mut self.nodes[slot.index()].pending;
        *pending = (*pending + 1).min(PENDING_MAX);
    }

    fn resize(&mut self, slot: Slot, bytes: u64) {
        let node = &mut self.nodes[slot.index()];
        self.copy_bytes -= node.copy_bytes();
        node.size = quarters(bytes);
        self.copy_bytes += node.copy_bytes();
    }

    fn remove(&mut self, slot: Slot) {
        self.copy_bytes -= self.nodes[slot.index()].copy_bytes();
        let grade = usize::from(self.nodes[slot.index()].grade);
        self.links.unlink(&mut self.grades[grade], slot);
        match self.grades[grade].oldest() {
            Some(oldest) => self.heads[grade] = self.nodes[oldest.index()].due,
            None => self.occupied &= !(1 << grade),
        }
        self.held -= 1;
    }

    fn victim(&mut self) -> Option<Slot> {
        self.evicted = true;
        // Ends: a slot that goes round again has no hits left to count.
        loop {
            let slot = self.grades[self.first_due()?].oldest()?;
            self.remove(slot);
            let node = &mut self.nodes[slot.index()];
            self.floor = node.due;
            if node.pending == 0 {
                if let Some(print) = node.print {
                    self.ghost.remember(print.get(), bytes_of(node.size), self.held + 1);
                }
                return Some(slot);
            }
            let kept = node.frequency - node.frequency / 4;
            node.frequency = (kept + node.pending * 4).min(FREQUENCY_MAX);
            node.pending = 0;
            self.rank(slot);
        }
    }

    fn footprint(&self) -> usize {
        self.links.footprint() + footprint_of(&self.nodes) + self.ghost.footprint()
    }
}

/// The distance from `L` of a due of this grade: doubles every second grade.
fn worth(grade: u8) -> u32 {
    // 181/128 is the square root of two, but for one part in ten thousand.
    let eighths = if grade.is_multiple_of(2) { LOWEST_WORTH * 8 } else { LOWEST_WORTH / 16 * 181 };
    (eighths << (grade / 2)) / 8
}

/// Four times the binary logarithm, rounded down.
fn quarters(bytes: u64) -> u8 {
    let bytes = bytes.max(1);
    let whole = bytes.ilog2();
    // The leading 17 bits, against 2^16 times the quarter powers of two.
    let lead = if whole > 16 { bytes >> (whole - 16) } else { bytes << (16 - whole) };
    let quarter = [77_936, 92_682, 110_218].iter().filter(|&&power| lead >= power).count();
    u8::try_from(whole as usize * 4 + quarter).expect("at most 4 * 63 + 3")
}

/// About the middle of the sizes that have so many quarters.
fn bytes_of(quarters: u8) -> u64 {
    const SIXTEENTHS: [u64; 4] = [17, 21, 25, 29];
    let whole = quarters / 4;
    let part = SIXTEENTHS[usize::from(quarters % 4)];
    if whole < 4 { part << whole >> 4 } else { part << (whole - 4) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the logarithm of a number from 1 to 16 is from 0 to 4"
)]
fn twelve_logarithms(quarters: usize) -> u8 {
    let frequency = f64::from(u8::try_from(quarters).unwrap_or(u8::MAX)) / 4.0;
    (12.0 * frequency.max(1.0).log2()).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_nobody_asked_for_again_the_larger_goes() {
        let mut gdsf = Gdsf::new(1 << 30);
        gdsf.insert(Slot(0), 1, 1 << 10);
        gdsf.insert(Slot(1), 2, 1 << 20);
        assert_eq!(gdsf.victim(), Some(Slot(1)));
    }

    #[test]
    fn a_large_object_outlives_a_small_one_if_asked_for_often_enough() {
        let mut gdsf = Gdsf::new(1 << 30);
        gdsf.insert(Slot(0), 1, 1 << 10);
        gdsf.insert(Slot(1), 2, 1 << 13);
        (0..9).for_each(|_| gdsf.hit(Slot(1)));
        assert_eq!(gdsf.victim(), Some(Slot(0)));
    }

    #[test]
    fn fame_fades_while_others_come_and_go() {
        let mut gdsf = Gdsf::new(64);
        gdsf.insert(Slot(0), 0, 1);
        (0..100).for_each(|_| gdsf.hit(Slot(0)));
        gdsf.insert(Slot(1), 1, 1);
        let gone = (2..2_000).find(|&hash| {
            let victim = gdsf.victim().unwrap();
            gdsf.insert(victim, hash, 1);
            victim == Slot(0)
        });
        assert!(gone.is_some_and(|turn| turn > 20), "{gone:?}");
    }

    #[test]
    fn one_who_comes_back_soon_outranks_the_newcomers() {
        let mut gdsf = Gdsf::new(2);
        gdsf.insert(Slot(0), 7, 1);
        gdsf.insert(Slot(1), 8, 1);
        assert_eq!(gdsf.victim(), Some(Slot(0)));
        gdsf.insert(Slot(0), 7, 1);
        assert_eq!(gdsf.victim(), Some(Slot(1)));
        gdsf.insert(Slot(1), 9, 1);
        assert_eq!(gdsf.victim(), Some(Slot(1)), "nobody knows 9");
    }

    #[test]
    fn a_copy_leaves_before_what_came_from_the_origin_unless_it_is_asked_for_far_more_often() {
        for (hits, leaves) in [(1, Slot(1)), (15, Slot(0))] {
            let mut gdsf = Gdsf::new(1 << 14);
            gdsf.insert(Slot(0), 1, 1 << 14);
            gdsf.insert_copy(Slot(1), 2, 1 << 10);
            (0..hits).for_each(|_| gdsf.hit(Slot(1)));
            assert_eq!(gdsf.victim(), Some(leaves), "{hits} hits");
        }
    }

    #[test]
    fn a_few_copies_have_all_their_worth() {
        let mut gdsf = Gdsf::new(1 << 20);
        gdsf.insert(Slot(0), 1, 1 << 14);
        let copies = || 1..40;
        copies().for_each(|n| gdsf.insert_copy(Slot(n), u64::from(n), 1 << 10));
        // A 64th of the store has room for fifteen, which count for a little more than they have.
        let left: Vec<u32> = std::iter::from_fn(|| gdsf.victim().map(|slot| slot.0)).collect();
        let place = left.iter().position(|slot| *slot == 0);
        assert_eq!(place, Some(24), "{left:?}");
        assert_eq!(gdsf.copy_bytes, 0);
    }

    #[test]
    fn the_ghost_does_not_know_copies() {
        let mut gdsf = Gdsf::new(2);
        gdsf.insert_copy(Slot(0), 7, 1);
        assert_eq!(gdsf.victim(), Some(Slot(0)));
        gdsf.insert(Slot(0), 7, 1);
        assert_eq!(gdsf.nodes[0].frequency, NEW);
    }

    #[test]
    fn worth_doubles_every_second_grade_and_dues_still_compare_at_the_top() {
        let top = u8::try_from(GRADES - 1).unwrap();
        assert_eq!([0, 2, 3, top].map(worth), [16, 32, 45, 1 << 28]);
        assert!((0..top).all(|grade| worth(grade) < worth(grade + 1)));
    }

    #[test]
    fn the_highest_grade_is_that_of_a_small_famous_object() {
        let mut gdsf = Gdsf::new(1);
        let print = Some(NonZeroU32::MIN);
        gdsf.nodes.push(Node { print, frequency: FREQUENCY_MAX, size: 0, ..Node::default() });
        gdsf.rank(Slot(0));
        assert_eq!(usize::from(gdsf.nodes[0].grade), GRADES - 1);
    }

    #[test]
    fn sizes_are_known_to_a_quarter_of_a_doubling() {
        assert_eq!([0, 1, 2, 3, 1 << 10, u64::MAX].map(quarters), [0, 0, 4, 6, 40, 255]);
        for bytes in [100, 1_000, 1 << 20, 3 << 30] {
            let about = bytes_of(quarters(bytes));
            assert!(about.abs_diff(bytes) * 7 <= bytes, "{bytes} became {about}");
        }
        assert_eq!(bytes_of(quarters(1)), 1);
    }
}
