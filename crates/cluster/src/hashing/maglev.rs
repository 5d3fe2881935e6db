//! Maglev hashing: Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer",
//! NSDI 2016, section 3.4.
//!
//! Edges take turns in filling a table, each along its own permutation of the slots. A look-up is one
//! read, and all edges have nearly the same number of slots; but a change also moves some keys among
//! edges that stay. For comparison.

use super::{
    Edges, Placement,
    distinct::Distinct,
    key::{key_hash, mixed, scaled},
};

/// How many slots there are: a prime, and the same before and after a change, or all keys move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// For up to some hundred edges: 65,537, as in the paper.
    Small,
    /// For up to some thousand edges: 655,373, as in the paper.
    Large,
}

impl Slots {
    const fn count(self) -> usize {
        match self {
            Self::Small => 65_537,
            Self::Large => 655_373,
        }
    }
}

/// Edges in a table.
#[derive(Clone, Debug)]
pub struct Maglev {
    edges: Edges,
    /// Whose each slot is; empty if there are no edges.
    slots: Vec<u16>,
}

impl Maglev {
    /// The table of these edges. Each slot is filled once, after a few tries: some milliseconds.
    pub fn new(edges: Edges, slots: Slots) -> Self {
        let slots = if edges.is_empty() { Vec::new() } else { filled(&edges, slots.count()) };
        Self { edges, slots }
    }

    /// Bytes that a look-up may have to reach.
    pub const fn bytes(&self) -> usize {
        size_of_val(self.slots.as_slice())
    }
}

impl Placement for Maglev {
    fn edges(&self) -> &Edges {
        &self.edges
    }

    fn owner(&self, hash: u64) -> Option<usize> {
        self.slots.get(scaled(hash, self.slots.len())).map(|&edge| edge.into())
    }

    /// The paper has no order; ours is that of the slots from the key's on, then by name those that
    /// found no slot because there are fewer slots than turns.
    fn order(&self, hash: u64) -> impl Iterator<Item = usize> {
        let from = scaled(hash, self.slots.len());
        let around = self.slots[from..].iter().chain(&self.slots[..from]).copied();
        Distinct::new(around.chain(numbers(&self.edges)), self.edges.len())
    }
}

fn numbers(edges: &Edges) -> impl Iterator<Item = u16> {
    (0..=u16::MAX).take(edges.len())
}

/// A mark that no edge has while there is a free slot: it is set as often as there are slots.
const FREE: u32 = u32::MAX;

/// Fills `count` slots, a turn of all edges after the other. An edge of half the largest capacity
/// takes every other turn.
fn filled(edges: &Edges, count: usize) -> Vec<u16> {
    struct Turns {
        /// The slot that is tried next.
        slot: usize,
        /// How far on the one after it is. The count is a prime, so all slots are passed.
        skip: usize,
        percent: u16,
        /// What was not enough for a turn yet.
        credit: u16,
    }
    let largest = edges.as_slice().iter().map(|edge| edge.capacity.percent()).max();
    let largest = largest.expect("there are edges");
    let mut turns: Vec<Turns> = edges
        .as_slice()
        .iter()
        .map(|edge| {
            let hash = key_hash(edge.name.as_bytes());
            let skip = 1 + scaled(mixed(hash), count - 1);
            let percent = edge.capacity.percent();
            Turns { slot: scaled(hash, count), skip, percent, credit: 0 }
        })
        .collect();
    let mut slots = vec![FREE; count];
    let mut free = count;
    loop {
        for (turn, number) in turns.iter_mut().zip(0..) {
            turn.credit += turn.percent;
            if turn.credit < largest {
                continue;
            }
            turn.credit -= largest;
            while slots[turn.slot] != FREE {
                turn.slot = (turn.slot + turn.skip) % count;
            }
            slots[turn.slot] = number;
            free -= 1;
            if free == 0 {
                let whose = |slot| u16::try_from(slot).expect("edges have numbers of 16 bits");
                return slots.into_iter().map(whose).collect();
            }
        }
    }
}
