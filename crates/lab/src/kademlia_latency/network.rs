//! Where nodes lie, how far apart they are, and whom each knows.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use nigh_base::Rng;
use nigh_sim::{HostId, Latency};

use super::{BUCKET, CANDIDATES};

/// Which nodes are in a bucket, of those that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbours {
    /// Any, drawn.
    Any,
    /// The nearest by round trip of [`CANDIDATES`] for each place.
    Near,
}

/// A settled network. Nodes are numbers in the order of their places in the key space.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) neighbours: Neighbours,
    places: Vec<u32>,
    /// Which host each node runs on.
    hosts: Vec<HostId>,
    latency: Latency,
    /// For each node, for each number of bits that others share with it: whom it knows of them.
    buckets: Vec<Vec<Vec<u32>>>,
}

/// A place in a key space of 32 bits: enough to tell the nodes apart.
pub(super) fn place(rng: &mut Rng) -> u32 {
    u32::try_from(rng.below(1 << u32::BITS)).expect("below 2^32")
}

impl Network {
    pub(super) fn new(
        nodes: usize,
        neighbours: Neighbours,
        latency: &Latency,
        rng: &mut Rng,
    ) -> Self {
        let mut drawn = BTreeSet::new();
        while drawn.len() < nodes {
            drawn.insert(place(rng));
        }
        let places: Vec<u32> = drawn.into_iter().collect();
        let mut hosts: Vec<HostId> = (0..number(nodes)).map(HostId).collect();
        // Who is near in the key space is anywhere.
        rng.shuffle(&mut hosts);
        let buckets = Vec::new();
        let mut network = Self { neighbours, places, hosts, latency: latency.clone(), buckets };
        network.buckets = (0..nodes).map(|node| network.table(node, rng)).collect();
        network
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn place(&self, node: usize) -> u32 {
        self.places[node]
    }

    /// One way.
    pub(super) fn between(&self, one: usize, other: usize) -> Duration {
        self.latency.between(self.hosts[one], self.hosts[other])
    }

    /// The nodes that share the first `bits` bits with `place`.
    fn sharing(&self, place: u32, bits: u32) -> Range<usize> {
        let rest = u32::MAX.checked_shr(bits).unwrap_or(0);
        let begin = self.places.partition_point(|it| *it < place & !rest);
        let end = self.places.partition_point(|it| *it <= place | rest);
        begin..end
    }

    /// The node nearest to `target` by XOR.
    pub(super) fn owner(&self, target: u32) -> usize {
        let bits = (0..=u32::BITS).rev().find(|bits| !self.sharing(target, *bits).is_empty());
        let nearest = self.sharing(target, bits.unwrap_or(0));
        nearest.min_by_key(|it| self.places[*it] ^ target).expect("there are nodes")
    }

    /// The buckets of a node, as far as anybody is in them.
    fn table(&self, node: usize, rng: &mut Rng) -> Vec<Vec<u32>> {
        let mut buckets = Vec::new();
        for bits in 0..u32::BITS {
            if self.sharing(self.places[node], bits).len() == 1 {
                break;
            }
            let others = self.places[node] ^ 1 << (u32::BITS - 1 - bits);
            buckets.push(self.bucket(node, self.sharing(others, bits + 1), rng));
        }
        buckets
    }

    fn bucket(&self, node: usize, fitting: Range<usize>, rng: &mut Rng) -> Vec<u32> {
        let wanted = match self.neighbours {
            Neighbours::Any => BUCKET,
            Neighbours::Near => BUCKET * CANDIDATES,
        };
        let mut chosen: Vec<usize> = if fitting.len() <= wanted {
            fitting.collect()
        } else {
            let mut drawn = BTreeSet::new();
            while drawn.len() < wanted {
                drawn.insert(fitting.start + rng.index(fitting.len()));
            }
            drawn.into_iter().collect()
        };
        if self.neighbours == Neighbours::Near {
            chosen.sort_by_key(|&it| self.between(node, it));
        }
        chosen.truncate(BUCKET);
        chosen.into_iter().map(number).collect()
    }

    /// The bucket of `node` in which those lie that share more bits with `target` than it does; none if
    /// nobody else shares as many as it.
    pub(super) fn towards(&self, node: usize, target: u32) -> &[u32] {
        let bits = (self.places[node] ^ target).leading_zeros();
        self.buckets[node].get(bits as usize).map_or(&[], Vec::as_slice)
    }

    /// Up to `count` of those whom `node` knows, the nearest to `target` by XOR first.
    pub(super) fn nearest(&self, node: usize, target: u32, count: usize) -> Vec<usize> {
        let known = self.buckets[node].iter().flatten();
        let mut known: Vec<usize> = known.map(|&it| it as usize).collect();
        known.sort_unstable_by_key(|it| self.places[*it] ^ target);
        known.truncate(count);
        known
    }
}

fn number(node: usize) -> u32 {
    u32::try_from(node).expect("nodes are fewer than places")
}
