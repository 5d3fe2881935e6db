//! Viceroy: a butterfly on a circle. Whatever the number of nodes, each has seven links: the two next to it,
//! and five that depend on its level.
//!
//! Malkhi, Naor, Ratajczak, "Viceroy: a scalable and dynamic emulation of the butterfly", PODC 2002. What
//! was changed, and every timer and limit: docs/viceroy.md. The leaf set is the [circle]'s, the
//! rest of a node every [node]'s.
//!
//! ```text
//! links    the five links of a node, its level, and what it knows of others' levels
//! level    how many levels there are, and on which of them a node is
//! route    the next node on the way to a key: up, down, and about
//! seek     what finds the links and keeps them true
//! message  what is said about levels, and what a lookup carries
//! settled  a node as it is when all has settled, for simulations
//! ```

pub mod fuzz;
mod level;
mod links;
pub mod message;
mod route;
mod seek;
pub mod settled;

pub use self::links::{Butterfly, Kind};

use super::{
    Contact,
    circle::{self, Circle},
    node,
};

/// How a node behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How it looks after its leaf set, and what every overlay is told.
    pub circle: circle::Settings,
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

/// What a node of Viceroy has of its own.
pub type Geometry = Circle<Butterfly>;

/// One node of Viceroy, as a machine.
pub type Node = node::Node<Geometry>;

impl Node {
    /// On which level it is, the uppermost being 1.
    pub const fn level(&self) -> u8 {
        self.geometry.far.level()
    }

    /// One of its links beside those to its leaves.
    pub fn link(&self, kind: Kind) -> Option<Contact> {
        self.geometry.far.link(kind)
    }
}

#[cfg(test)]
mod tests;
