//! Closed forms for full networks: the share of ways that fail when a share q of all nodes has failed,
//! and the two ends of a way have not.
//!
//! - Tree: a way of h hops passes h - 1 nodes, each of which must live: (1-q)^(h-1).
//! - Hypercube: m hops before its end a way has m nodes to choose from, all as near as each other, and
//!   no two steps share a node: the product of (1 - q^m) for m from 2 to h, since the last is the target.
//!
//! In both, h is the number of bits in which the ends differ, which for two nodes at random is binomial.
//!
//! - Ring and xor: what is left after a hop decides how likely the rest is, so that the share of ways
//!   that succeed is worked out for every distance from the small ones up. This takes every neighbour
//!   that is tried for one that was never tried before. It holds if links fail. If nodes do, those just
//!   before the target are tried from several sides, and who was dead for one is dead for the next: more
//!   ways fail.
//!
//! Kong, Bridgewater and Roychowdhury analyse these systems one by one in "A General Framework for
//! Scalability and Performance Analysis of DHT Routing Systems" (arXiv cs/0603112, 2006); the recurrences
//! here are our own.

/// The share of ways that fail, in a full tree of 2^`bits` nodes.
pub(super) fn tree(bits: u32, q: f64) -> f64 {
    1.0 - over_differing_bits(bits, |differing| (1.0 - q).powi(exponent(differing - 1)))
}

/// The same of a hypercube.
pub(super) fn hypercube(bits: u32, q: f64) -> f64 {
    1.0 - over_differing_bits(bits, |differing| {
        (2..=differing).map(|left| 1.0 - q.powi(exponent(left))).product()
    })
}

fn exponent(bits: u32) -> i32 {
    i32::try_from(bits).expect("places have few bits")
}

/// The mean over all pairs of two nodes, of which `binomial` of `bits` differ in so many bits.
fn over_differing_bits(bits: u32, of: impl Fn(u32) -> f64) -> f64 {
    let (mut pairs, mut sum, mut all) = (1.0, 0.0, 0.0);
    for differing in 1..=bits {
        pairs *= f64::from(bits + 1 - differing) / f64::from(differing);
        sum += pairs * of(differing);
        all += pairs;
    }
    sum / all
}

/// The share of ways that fail in a full xor network of 2^`bits` nodes whose links fail. Of the bits in
/// which a node and the target differ it corrects the uppermost whose neighbour is there, and the bits
/// below that become any.
pub(super) fn xor(bits: u32, q: f64) -> f64 {
    let mut reached = Reached::new();
    for distance in 1..1usize << bits {
        let (mut untried, mut share) = (1.0, 0.0);
        for bit in (0..=distance.ilog2()).rev().filter(|bit| distance >> bit & 1 == 1) {
            let least = distance >> (bit + 1) << (bit + 1);
            let (found, there) = reached.hop(least, 1 << bit, 1 << bit, q);
            share += untried * found;
            untried *= 1.0 - there;
        }
        reached.push(share);
    }
    reached.failed()
}

/// The same of a ring whose fingers lie at random from 2^i to 2^(i+1) ahead. The farthest that is there
/// and does not pass the target is the next.
pub(super) fn ring(bits: u32, q: f64) -> f64 {
    let mut reached = Reached::new();
    for distance in 1..1usize << bits {
        let (mut untried, mut share) = (1.0, 0.0);
        for doubling in (0..=distance.ilog2()).rev() {
            let span = 1usize << doubling;
            let farthest = distance.min(2 * span - 1);
            let (found, there) = reached.hop(distance - farthest, farthest + 1 - span, span, q);
            share += untried * found;
            untried *= 1.0 - there;
        }
        reached.push(share);
    }
    reached.failed()
}

/// The shares of ways that reach the target, by distance, and the sums of all before each.
struct Reached {
    shares: Vec<f64>,
    sums: Vec<f64>,
}

impl Reached {
    /// Whoever is at the target has reached it.
    fn new() -> Self {
        Self { shares: vec![1.0], sums: vec![0.0, 1.0] }
    }

    fn push(&mut self, share: f64) {
        self.sums.push(self.sums[self.sums.len() - 1] + share);
        self.shares.push(share);
    }

    /// A link that leads to any of `among` places alike, of which `count` are of use, and leave
    /// distances from `least` on: how likely it leads on to the target, and how likely it can be taken
    /// at all. The target lives.
    fn hop(&self, least: usize, count: usize, among: usize, q: f64) -> (f64, f64) {
        let (mut found, mut there) = (self.sums[least + count] - self.sums[least], float(count));
        let at_target = if least == 0 { 1.0 } else { 0.0 };
        found = at_target + (1.0 - q) * (found - at_target);
        there = at_target + (1.0 - q) * (there - at_target);
        (found / float(among), there / float(among))
    }

    /// The mean over all other nodes.
    fn failed(&self) -> f64 {
        let others = self.shares.len() - 1;
        1.0 - (self.sums[others + 1] - self.sums[1]) / float(others)
    }
}

#[expect(clippy::cast_precision_loss, reason = "networks have far fewer nodes than 2^53")]
const fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_fails_among_the_living() {
        for form in [tree, hypercube, xor, ring] {
            assert!(form(8, 0.0).abs() < 1e-12);
        }
    }

    #[test]
    fn four_nodes_are_as_worked_out_by_hand() {
        // Two of three targets are one hop away. The third is two bits away: a tree passes one node, a
        // cube one of two.
        let q = 0.25;
        assert!((tree(2, q) - q / 3.0).abs() < 1e-12);
        assert!((hypercube(2, q) - q * q / 3.0).abs() < 1e-12);
        // Under xor, two bits away, half of the nodes know the target; the others know its neighbour,
        // and one that differs from them in the lower bit; from there half of the nodes know the target,
        // and the others its neighbour. One bit away, in the upper one, half know the target, and the
        // others its neighbour alone.
        let upper = q / 2.0;
        let both = q / 2.0 * (q + (1.0 - q) * upper);
        assert!((xor(2, q) - (upper + both) / 3.0).abs() < 1e-12);
        // On a ring, the far finger is 2 ahead in half of the nodes and 3 in the others, and the near
        // one is the next node. What is 2 ahead is found by the next node too, if that lives; what is 3
        // ahead by way of the node 2 ahead or the next one.
        let two = 0.5 * q;
        let three = 0.5 * q * (q + (1.0 - q) * two);
        assert!((ring(2, q) - (two + three) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn more_dead_nodes_fail_more_ways() {
        for form in [tree, hypercube, xor, ring] {
            let shares: Vec<f64> =
                (0..10).map(|tenths| form(10, f64::from(tenths) / 10.0)).collect();
            assert!(shares.is_sorted(), "{shares:?}");
        }
    }
}
