//! The imaginary node that a lookup follows. The graph is that of all 2^160 keys: from each there is an edge
//! to those that have its digits but the first, and any digit behind. Whoever lies last before an imaginary
//! node stands for it. Section 2 of the paper for the graph, 3.1 and 3.2 for who stands for whom.

use nigh_base::Key;

/// An imaginary node, and how far from the key it is in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Imaginary {
    /// Its place on the circle.
    pub key: Key,
    /// So many digits of the key are still to be put behind it.
    pub left: u8,
}

/// The most digits that a key has.
const fn digits_max(bits: u32) -> u32 {
    Key::BITS / bits
}

impl Imaginary {
    /// Of the imaginary nodes behind `me`, up to `reach` away, the one with the fewest digits left; of those
    /// the first. With a reach of 2^160 / N these are about as many as N has. None if there is not even one
    /// with all digits left.
    ///
    /// Section 3.2 of the paper: a node chooses, among those that it stands for, one whose last digits are
    /// the first of the key already.
    pub fn begin(me: Key, reach: Key, target: Key, bits: u32) -> Option<Self> {
        (0..=digits_max(bits)).find_map(|left| {
            let (down, next) = (left * bits, me.plus(Key::from(1)));
            // The first place behind `me` that ends with what the key begins with.
            let ahead = target.shifted_down(down).minus(next).low(Key::BITS - down);
            let key = next.plus(ahead);
            let left = u8::try_from(left).expect("a key has 160 digits at most");
            (key.minus(me) <= reach).then_some(Self { key, left })
        })
    }

    /// Whether it leads to `target`: what it has of its digits must be right.
    pub fn leads_to(self, target: Key, bits: u32) -> bool {
        let left = u32::from(self.left);
        left <= digits_max(bits)
            && self.key.low(Key::BITS - left * bits) == target.shifted_down(left * bits)
    }

    /// The next on the way to `target`, a digit nearer; none if it is there.
    #[must_use]
    pub fn next(self, target: Key, bits: u32) -> Option<Self> {
        let left = self.left.checked_sub(1)?;
        let behind = target.shifted_down(u32::from(left) * bits).low(bits);
        Some(Self { key: self.key.shifted_up(bits).plus(behind), left })
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::{
        Rng,
        space::{clockwise::Circle, de_bruijn},
    };

    use super::*;

    #[test]
    fn a_way_begins_near_the_node_and_ends_at_the_key_after_as_many_steps_as_were_said() {
        let mut rng = Rng::new(1);
        for bits in 1..=4 {
            for round in 0..500 {
                let [me, target] = [1, 2].map(|_| Key::of(&rng.next_u64().to_be_bytes()));
                let reach = Key::power(159 - round % 40);
                let begun = Imaginary::begin(me, reach, target, bits).unwrap();
                assert!(begun.key != me && begun.key.minus(me) <= reach);
                assert!(u32::from(begun.left) <= (round % 40 + 1).div_ceil(bits));
                let (mut at, mut steps) = (begun, 0);
                while let Some(next) = at.next(target, bits) {
                    assert!(next.leads_to(target, bits));
                    (at, steps) = (next, steps + 1);
                }
                assert_eq!((at.key, steps), (target, begun.left));
            }
        }
    }

    #[test]
    fn none_nearer_is_within_reach() {
        let mut rng = Rng::new(2);
        let (me, reach) = (Key::from(1000), Key::from(40));
        for _ in 0..500 {
            let target = Key::from(rng.below(1 << 12)).shifted_up(148);
            let begun = Imaginary::begin(me, reach, target, 2).unwrap();
            // One by one: who ends with so many first digits of the key?
            let ends =
                |key: Key, left: u32| key.low(160 - 2 * left) == target.shifted_down(2 * left);
            let best = (0..=80).find_map(|left| {
                let fits = (1001..=1040).map(Key::from).find(|&key| ends(key, left));
                fits.map(|key| Imaginary { key, left: u8::try_from(left).unwrap() })
            });
            assert_eq!(Some(begun), best);
        }
        assert_eq!(Imaginary::begin(me, Key::default(), Key::MAX, 2), None);
    }

    #[test]
    fn what_does_not_lead_to_the_key_is_recognised() {
        let target = Key::of(b"key");
        let begun = Imaginary::begin(Key::of(b"me"), Key::power(150), target, 4).unwrap();
        assert!(begun.leads_to(target, 4));
        assert!(!begun.leads_to(target.xor(Key::power(158)), 4));
        for left in [0, 41, 255] {
            assert!(!Imaginary { left, ..begun }.leads_to(target, 4), "{left}");
        }
    }

    #[test]
    fn a_step_is_an_edge_of_the_de_bruijn_graph() {
        let target = Key::of(b"key");
        for bits in [1, 2, 4] {
            let all = u8::try_from(160 / bits).unwrap();
            let mut at = Imaginary { key: Key::of(b"me"), left: all };
            for step in 0..u32::from(all) {
                let edge = de_bruijn::step(Circle::WHOLE, at.key, target, bits, step);
                at = at.next(target, bits).unwrap();
                assert_eq!(at.key, edge);
            }
            assert_eq!(at.key, target);
        }
    }
}
