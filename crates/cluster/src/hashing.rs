//! Who serves what: from the hash of a key to the edges that should serve it, in order.
//!
//! One contract, [`Placement`], and what keeps it: [`Ring`] (consistent hashing) is what nigh serves
//! by. [`Rendezvous`], [`Maglev`] and [`Modulo`] stand beside it for comparison. [`Spill`] goes down
//! the order of any of them when the first has too much to do.
//!
//! Hashes leave the process: edges of different versions and machines have to agree without asking.
//! So a placement depends on the names and capacities of its edges alone, never on the order in which
//! they came, and the hashes are pinned by test vectors.

mod distinct;
mod edges;
mod key;
mod maglev;
mod modulo;
mod rendezvous;
mod ring;
mod spill;

pub use edges::{Capacity, EDGES_MAX, Edge, Edges, Error, NAME_BYTES_MAX, POINTS_MAX};
pub use key::{key_hash, point_hash};
pub use maglev::{Maglev, Slots};
pub use modulo::Modulo;
pub use rendezvous::Rendezvous;
pub use ring::{POINTS, Ring};
pub use spill::{Loads, SPILL_ABOVE_MAX, Spill};

/// For the hash of each key, the edges in the order in which they should serve it.
///
/// An edge is a number: its place in [`Placement::edges`]. Every edge comes once in every order, and
/// the same edges give the same orders, whoever works them out. A placement never changes: another
/// set of edges is another placement.
pub trait Placement {
    /// The edges, by name.
    fn edges(&self) -> &Edges;

    /// Who should serve the key first: the first of its order. None if there are no edges.
    fn owner(&self, hash: u64) -> Option<usize> {
        self.order(hash).next()
    }

    /// All edges, the owner first, then whom to ask in its place, and so on.
    fn order(&self, hash: u64) -> impl Iterator<Item = usize>;
}

#[cfg(test)]
mod tests;
