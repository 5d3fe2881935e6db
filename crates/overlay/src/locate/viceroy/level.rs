//! How many levels there are, and on which of them a node is: one of log2 N, drawn, where N is what the node
//! makes of how densely its leaves lie. PODC 2002, section 4.1, where it is the distance to the next node.

use nigh_base::Rng;

use super::{
    Geometry,
    links::{Butterfly, LEVELS_MAX},
};
use crate::locate::node::Node;

/// How many nodes there are, if they lie everywhere as densely as here: `gaps` between them take `arc` of the
/// 2^64 of a circle.
pub(super) fn estimate(gaps: usize, arc: u64) -> u64 {
    let nodes = ((gaps as u128) << 64) / u128::from(arc.max(1));
    u64::try_from(nodes).unwrap_or(u64::MAX)
}

impl Butterfly {
    /// Fits the level to an overlay of so many nodes; says whether it is another now.
    ///
    /// There is one level more when there are a quarter more nodes than it takes, and one less when there are a
    /// fifth fewer, so that a node in between does not go to and fro. A new level draws its part from the
    /// others: each node goes there with the same chance. Of a level that is not there any more each node
    /// draws another. So all levels are as likely at any time, and few nodes move.
    pub(super) fn fit(&mut self, nodes: u64, rng: &mut Rng) -> bool {
        let before = self.level;
        while self.levels < LEVELS_MAX && nodes / 5 >= 1 << (self.levels + 1) >> 2 {
            self.levels += 1;
            if rng.below(self.levels.into()) == 0 {
                self.level = self.levels;
            }
        }
        while self.levels > 1 && nodes.saturating_mul(5) < 4 << self.levels {
            self.levels -= 1;
            if self.level > self.levels {
                let drawn = rng.below(self.levels.into());
                self.level = 1 + u8::try_from(drawn).expect("there are few levels");
            }
        }
        self.level != before
    }
}

impl Node<Geometry> {
    /// How many nodes there are, as far as this one can tell from its leaves.
    pub(super) fn nodes(&self) -> u64 {
        let leaves = &self.geometry.leaves;
        let known = leaves.contacts().count();
        let ends = leaves.above().next_back().zip(leaves.below().next_back());
        match ends.filter(|_| !leaves.are_all()) {
            Some((last, first)) => {
                let gaps = self.geometry.leaves.above().count() + leaves.below().count();
                estimate(gaps, last.key.minus(first.key).top())
            }
            None => known as u64 + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::Key;

    use super::*;

    fn drawn(sizes: &[u64], seed: u64) -> Butterfly {
        let mut rng = Rng::new(seed);
        let mut butterfly = Butterfly::new(Key::of(b"me"));
        for &nodes in sizes {
            butterfly.fit(nodes, &mut rng);
            butterfly.check();
        }
        butterfly
    }

    #[test]
    fn there_are_as_many_levels_as_the_overlay_has_doublings() {
        for (nodes, levels) in [(1, 1), (4, 1), (5, 2), (20, 4), (1_000, 9), (1_280, 10)] {
            assert_eq!(drawn(&[nodes], 1).levels, levels, "{nodes} nodes");
        }
        assert_eq!(drawn(&[u64::MAX], 1).levels, LEVELS_MAX);
        // In between nothing changes.
        for nodes in [820, 1_024, 1_279, 2_000, 2_559] {
            assert_eq!(drawn(&[1_280, nodes], 1).levels, 10, "{nodes} nodes");
        }
        assert_eq!(drawn(&[1_280, 818], 1).levels, 9);
    }

    #[test]
    fn each_level_is_as_likely_as_any_other_however_the_overlay_has_grown() {
        for sizes in
            [vec![1_280], vec![20, 100, 1_280], vec![100_000, 1_280], vec![10, 5_000, 3, 1_280]]
        {
            let mut counts = [0u32; 10];
            for seed in 0..10_000 {
                let butterfly = drawn(&sizes, seed);
                // A level is lost only when a fifth is missing.
                counts[usize::from(butterfly.level - 1)] += 1;
            }
            // Four standard deviations of a count that is 1000 in the mean.
            let is_near = |count: &u32| count.abs_diff(1_000) < 120;
            assert!(counts.iter().all(is_near), "{sizes:?}: {counts:?}");
        }
    }

    #[test]
    fn few_nodes_move_when_there_is_a_level_more() {
        let moved = (0..2_000).filter(|&seed| {
            let mut rng = Rng::new(seed);
            let mut butterfly = Butterfly::new(Key::of(b"me"));
            butterfly.fit(1_280, &mut rng);
            butterfly.fit(2_560, &mut rng)
        });
        let moved = moved.count();
        assert!((130..235).contains(&moved), "{moved} of 2,000, and an eleventh is right");
    }

    #[test]
    fn the_number_of_nodes_is_seen_from_how_densely_they_lie() {
        assert_eq!(estimate(16, 1 << 60), 256);
        assert_eq!(estimate(0, 1 << 60), 0);
        assert_eq!(estimate(16, 0), u64::MAX);
    }
}
