//! The straw man of every lecture on consistent hashing: edges are numbered, and a key belongs to its
//! hash modulo their number. Where that one has too much to do, the key is hashed again with another
//! salt.
//!
//! One edge more or less, and nearly every key belongs to somebody else. It knows no capacities. For
//! comparison.

use super::{Edges, Placement, distinct::Distinct, key::mixed};

/// Salts that are tried. Who is left then comes in the order of the names, so that each edge comes.
const SALTS: u64 = 64;

/// Edges under numbers.
#[derive(Clone, Debug)]
pub struct Modulo {
    edges: Edges,
}

impl Modulo {
    /// These edges, numbered by their names.
    pub const fn new(edges: Edges) -> Self {
        Self { edges }
    }
}

impl Placement for Modulo {
    fn edges(&self) -> &Edges {
        &self.edges
    }

    fn order(&self, hash: u64) -> impl Iterator<Item = usize> {
        let count = self.edges.len() as u64;
        let number = move |hash: u64| {
            let number = hash.checked_rem(count)?;
            Some(u16::try_from(number).expect("edges have numbers of 16 bits"))
        };
        let salted = (1..SALTS).filter_map(move |salt| number(mixed(hash ^ mixed(salt))));
        let rest = (0..=u16::MAX).take(self.edges.len());
        Distinct::new(number(hash).into_iter().chain(salted).chain(rest), self.edges.len())
    }
}
