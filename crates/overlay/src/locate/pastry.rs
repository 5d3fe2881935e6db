//! Pastry: keys and nodes on one circle, read as strings of digits; a key belongs to the node that is
//! numerically nearest.
//!
//! Rowstron, Druschel, "Pastry: scalable, decentralized object location, and routing for large-scale
//! peer-to-peer systems", Middleware 2001; with Bamboo's upkeep: Rhea, Geels, Roscoe, Kubiatowicz,
//! "Handling churn in a DHT", USENIX 2004. What was changed, and every timer and limit:
//! docs/pastry.md. The leaf set is the [circle]'s, the rest of a node every
//! [node]'s.
//!
//! ```text
//! table    the routing table: far nodes by shared digits
//! route    the next node on the way to a key, and what keeps the table true
//! message  what is said about rows of the table
//! settled  a node as it is when all has settled, for simulations
//! ```

pub mod fuzz;
pub mod message;
mod route;
pub mod settled;
mod table;

use nigh_base::{Key, space::prefix::Digits};

pub use self::table::Table;

use super::{
    Contact,
    circle::{self, Circle},
    node::{
        self,
        geometry::{Bare, Geometry as _},
    },
};

/// How a node behaves. All nodes of an overlay have the same `digit_bits`; the rest is each node's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How it looks after its leaf set: the paper's L leaves, and what every overlay is told.
    pub circle: circle::Settings,
    /// Bits of a digit: the paper's b, 1, 2 or 4. More make lookups shorter and tables longer.
    pub digit_bits: u32,
    /// Whether a cell of the table goes to the node with the shortest round trip; else to the first.
    pub locality: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { circle: circle::Settings::default(), digit_bits: 4, locality: true }
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
    fn digits(&self) -> Digits {
        assert!(matches!(self.digit_bits, 1 | 2 | 4), "a digit has 1, 2 or 4 bits");
        Digits::new(self.digit_bits)
    }
}

/// What a node of Pastry has of its own.
pub type Geometry = Circle<Table>;

/// One node of Pastry, as a machine.
pub type Node = node::Node<Geometry>;

impl Node {
    /// The next node on the way to `key`; none if this one is the nearest to it, as far as it knows.
    pub fn next(&self, key: Key) -> Option<Contact> {
        Geometry::next_hop(self, key, Bare, &[]).map(|step| step.contact)
    }

    /// The node in the cell of its routing table in which `key` belongs.
    pub fn cell(&self, key: Key) -> Option<Contact> {
        self.geometry.far.at(key).map(|peer| peer.contact)
    }

    /// How many cells of its routing table are filled.
    pub const fn cells(&self) -> usize {
        self.geometry.far.len()
    }
}

#[cfg(test)]
mod tests;
