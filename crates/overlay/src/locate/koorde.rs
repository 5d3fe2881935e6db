//! Koorde: a de Bruijn graph on a circle. A node needs few links, and their number may be chosen: with two a
//! way has about log2 N of them, with k about log2 N / log2 k.
//!
//! Kaashoek, Karger, "Koorde: a simple degree-optimal distributed hash table", IPTPS 2003. What was changed,
//! and every timer and limit: docs/koorde.md. The leaf set is the [circle]'s, the rest of a
//! node every [node]'s.
//!
//! ```text
//! imaginary  the imaginary node that a lookup follows through the de Bruijn graph
//! pointers   the nodes around k times the own key, which stand for the imaginary ones there
//! route      the next node on the way to a key, and what keeps the pointers true
//! message    what a lookup carries
//! settled    a node as it is when all has settled, for simulations
//! ```

pub mod fuzz;
pub mod imaginary;
pub mod message;
mod pointers;
mod route;
pub mod settled;

pub use self::pointers::Pointers;

use super::{
    Contact,
    circle::{self, Circle},
    node,
};

/// The most bits of a digit: 16 pointers, which two leaf sets name.
const DEGREE_BITS_MAX: u32 = 4;
/// The most backups.
const BACKUPS_MAX: usize = 16;

/// How a node behaves. All nodes of an overlay have the same `degree_bits`; the rest is each node's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How it looks after its leaf set, and what every overlay is told.
    pub circle: circle::Settings,
    /// The degree k of the de Bruijn graph is two to the power of this: 1 to 4. It is how many pointers a
    /// node has, and how many bits of the key each of them resolves.
    pub degree_bits: u32,
    /// How many nodes before the first pointer are known, in case that pointers are gone: 0 to 16.
    pub backups: usize,
}

/// Eight pointers and eight backups: one leaf set names them all.
impl Default for Settings {
    fn default() -> Self {
        Self { circle: circle::Settings::default(), degree_bits: 3, backups: 8 }
    }
}

impl AsRef<circle::Settings> for Settings {
    fn as_ref(&self) -> &circle::Settings {
        &self.circle
    }
}

impl AsRef<node::Settings> for Settings {
    fn as_ref(&self) -> &node::Settings {
        &self.circle.node
    }
}

impl Settings {
    /// Holds that the numbers fit together.
    ///
    /// # Panics
    /// If they do not; the message says which.
    fn check(&self) {
        let has_degree = (1..=DEGREE_BITS_MAX).contains(&self.degree_bits);
        assert!(has_degree, "a degree of 2, 4, 8 or 16");
        assert!(self.backups <= BACKUPS_MAX, "16 backups at most");
    }
}

/// What a node of Koorde has of its own.
pub type Geometry = Circle<Pointers>;

/// One node of Koorde, as a machine.
pub type Node = node::Node<Geometry>;

impl Node {
    /// Those whom it knows around k times its key: backups, then the pointers, in the order of the circle.
    pub fn pointers(&self) -> Vec<Contact> {
        self.geometry.far.in_order().collect()
    }
}

#[cfg(test)]
mod tests;
