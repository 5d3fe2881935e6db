//! Highest random weight: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates",
//! IEEE/ACM Transactions on Networking 6(1), 1998.
//!
//! Every edge draws a score for the key, and the highest serves. Nothing is stored, the spread is
//! perfect, and only the share of who comes or goes moves; but a look-up asks every edge. For
//! comparison.

use super::{
    Edges, Placement,
    key::{key_hash, mixed},
};

/// Edges that draw scores.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    edges: Edges,
    hashes: Vec<u64>,
}

impl Rendezvous {
    /// These edges.
    pub fn new(edges: Edges) -> Self {
        let hashes = edges.as_slice().iter().map(|edge| key_hash(edge.name.as_bytes())).collect();
        Self { edges, hashes }
    }

    /// The score of an edge for a key. It is the highest of all in proportion to the capacity
    /// (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005): capacity over an
    /// exponential variable.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds exactly")]
    fn score(&self, edge: usize, hash: u64) -> f64 {
        let drawn = mixed(self.hashes[edge] ^ hash) >> 11;
        let unit = (drawn as f64 + 0.5) / (1u64 << 53) as f64;
        f64::from(self.edges.as_slice()[edge].capacity.percent()) / -libm::log(unit)
    }
}

impl Placement for Rendezvous {
    fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Asks every edge.
    fn owner(&self, hash: u64) -> Option<usize> {
        let scores = (0..self.edges.len()).map(|edge| (self.score(edge, hash), edge));
        // Of equal scores the first by name counts.
        let higher = |a: (f64, usize), b: (f64, usize)| if b.0 > a.0 { b } else { a };
        scores.reduce(higher).map(|(_, edge)| edge)
    }

    /// Asks every edge and sorts all.
    fn order(&self, hash: u64) -> impl Iterator<Item = usize> {
        let mut scores: Vec<(f64, usize)> =
            (0..self.edges.len()).map(|edge| (self.score(edge, hash), edge)).collect();
        scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scores.into_iter().map(|(_, edge)| edge)
    }
}
