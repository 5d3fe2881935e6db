//! Bounded loads: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018.
//!
//! An edge takes a request only while it has less than its fair share of all, times a factor. Where
//! the owner has that much, the next in the key's order takes it: a hot object has one home, then
//! two, then more, always the same ones, and nobody is asked for more than the factor allows.
//!
//! *Load* is what an edge does now and another could do instead: requests under way. Any unit serves
//! in which all edges count and a request is about one. What others have is heard by gossip and thus
//! is a little old: an edge may exceed the bound by what was sent to it in the meantime.

use super::{Edges, Error, Placement};

/// Above so many fair shares the bound holds nobody back: a mistake at the keyboard.
pub const SPILL_ABOVE_MAX: f64 = 1000.0;

/// When a request goes to the next in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spill {
    /// In thousandths, so that all machines come to the same, to the last request.
    above: u32,
}

const THOUSAND: u32 = 1000;

impl Spill {
    /// A quarter more than its share: as much as the fullest of a hundred edges has anyway.
    pub const DEFAULT: Self = Self { above: 1250 };

    /// Spills where an edge has more than `factor` times its fair share; thousandths count.
    ///
    /// # Errors
    /// If it is not above 1 (then nobody might have room) or above [`SPILL_ABOVE_MAX`].
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was checked to lie between 1,000 and 1,000,000"
    )]
    pub fn above(factor: f64) -> Result<Self, Error> {
        let thousandths = (factor * f64::from(THOUSAND)).round();
        let allowed = thousandths > f64::from(THOUSAND) && factor <= SPILL_ABOVE_MAX;
        if allowed {
            Ok(Self { above: thousandths as u32 })
        } else {
            Err(Error::SpillAbove { asked: factor })
        }
    }

    /// The factor.
    pub fn factor(self) -> f64 {
        f64::from(self.above) / f64::from(THOUSAND)
    }

    /// Who should serve one request more: the first in the key's order that has room. None only if
    /// there are no edges. It costs a look-up while the owner has room, and a walk down the order
    /// where not.
    ///
    /// Somebody always has room: if each edge had the factor times its share of all requests, this
    /// one counted, all together would have more than there are.
    ///
    /// # Panics
    /// If `loads` are those of more or fewer edges than are placed.
    pub fn choose(self, placement: &impl Placement, hash: u64, loads: &Loads) -> Option<usize> {
        let edges = placement.edges();
        assert_eq!(edges.len(), loads.of.len(), "each edge has a load");
        let owner = placement.owner(hash)?;
        if self.has_room(edges, loads, owner) {
            return Some(owner);
        }
        placement.order(hash).find(|&edge| self.has_room(edges, loads, edge))
    }

    /// Whether an edge may take one request more: it has less than the factor times its fair share,
    /// rounded up, of all requests with this one. In whole numbers, and without a division.
    fn has_room(self, edges: &Edges, loads: &Loads, edge: usize) -> bool {
        let capacity = edges.as_slice()[edge].capacity.percent();
        let has = u128::from(loads.of[edge]) * u128::from(edges.percent_in_all());
        let may = (u128::from(loads.in_all) + 1) * u128::from(capacity);
        has * u128::from(THOUSAND) < may * u128::from(self.above)
    }
}

/// How much each edge does now, and all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loads {
    of: Vec<u64>,
    in_all: u64,
}

impl Loads {
    /// Nobody does anything.
    pub fn new(edges: &Edges) -> Self {
        Self { of: vec![0; edges.len()], in_all: 0 }
    }

    /// What an edge does.
    pub fn of(&self, edge: usize) -> u64 {
        self.of[edge]
    }

    /// What all do.
    pub const fn in_all(&self) -> u64 {
        self.in_all
    }

    /// An edge does so much now, as it said. What strangers claim does not overflow.
    pub fn set(&mut self, edge: usize, load: u64) {
        let others = self.in_all - self.of[edge];
        self.of[edge] = load.min(u64::MAX - others);
        self.in_all = others + self.of[edge];
    }

    /// An edge has begun with one request more.
    pub fn begin(&mut self, edge: usize) {
        self.set(edge, self.of[edge].saturating_add(1));
    }

    /// An edge is done with one request.
    pub fn end(&mut self, edge: usize) {
        self.set(edge, self.of[edge].saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
