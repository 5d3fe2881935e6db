//! The leaf set: the nodes whose keys are nearest, half of them on each side. It decides who owns a
//! key, and keeps the circle together. Rowstron, Druschel, Middleware 2001, section 2.1.

use std::time::Duration;

use nigh_base::Key;

use crate::locate::{Contact, node::geometry::Peer};

/// How far apart two keys are on the circle, the short way round.
pub(crate) fn distance(a: Key, b: Key) -> Key {
    a.minus(b).min(b.minus(a))
}

/// Orders keys by how near they are to `target`; of two that are equally near the lower is nearer.
pub(crate) fn nearness(key: Key, target: Key) -> (Key, Key) {
    (distance(key, target), key)
}

/// The nodes of `known` that are not among `named`, the leaf set of `by`, though they lie nearer to it
/// than the farthest of it.
pub(crate) fn missing(
    known: impl Iterator<Item = Contact>,
    by: Contact,
    named: &[Contact],
) -> Vec<Contact> {
    let half = named.len() / 2;
    let is_near = |key: Key, distance: &dyn Fn(Key) -> Key| {
        named.iter().filter(|it| distance(it.key) < distance(key)).count() < half
    };
    let should_be = |it: &Contact| {
        is_near(it.key, &|key| key.minus(by.key)) || is_near(it.key, &|key| by.key.minus(key))
    };
    let is_named = |it: &Contact| *it == by || named.iter().any(|other| other.key == it.key);
    known.filter(|it| !is_named(it) && should_be(it)).collect()
}

/// The nearest nodes on each side, the nearest first. In a network of fewer nodes than it has places
/// a node may stand on both sides.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Leaves {
    me: Key,
    /// L / 2.
    half: usize,
    above: Vec<Peer>,
    below: Vec<Peer>,
}

impl Leaves {
    pub(crate) const fn new(me: Key, half: usize) -> Self {
        Self { me, half, above: Vec::new(), below: Vec::new() }
    }

    /// Each node once: all above, and those below that do not stand above as well.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        let only_below =
            |it: &&Peer| !self.above.iter().any(|other| other.contact.key == it.contact.key);
        self.above.iter().chain(self.below.iter().filter(only_below))
    }

    pub(crate) fn contacts(&self) -> impl Iterator<Item = Contact> {
        self.iter().map(|peer| peer.contact)
    }

    /// Those behind this node, clockwise, the nearest first.
    pub(crate) fn above(&self) -> impl DoubleEndedIterator<Item = Contact> {
        self.above.iter().map(|peer| peer.contact)
    }

    /// Those before this node, the nearest first.
    pub(crate) fn below(&self) -> impl DoubleEndedIterator<Item = Contact> {
        self.below.iter().map(|peer| peer.contact)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Peer> {
        self.above.iter().chain(&self.below).find(|peer| peer.contact.key == key)
    }

    /// The next node on each side.
    pub(crate) fn next(&self) -> [Option<Contact>; 2] {
        [self.above.first(), self.below.first()].map(|it| it.map(|peer| peer.contact))
    }

    /// The farthest node on the side on which `key` lies.
    pub(crate) fn far_end(&self, key: Key) -> Option<Contact> {
        let is_above = key.minus(self.me) <= self.me.minus(key);
        let side = if is_above { &self.above } else { &self.below };
        side.last().map(|peer| peer.contact)
    }

    /// Whether there are so few nodes that this one knows all of them, as far as it can tell: then each is on both
    /// sides, and there is room. A side that has lost a leaf has room too, but not the nodes of the other.
    pub(crate) fn are_all(&self) -> bool {
        let is_below = |it: &Peer| self.below.iter().any(|other| other.contact == it.contact);
        self.above.len() < self.half
            && self.above.len() == self.below.len()
            && self.above.iter().all(is_below)
    }

    /// Whether `key` lies between the farthest leaves of both sides.
    pub(crate) fn cover(&self, key: Key) -> bool {
        let within = |last: Option<&Peer>, distance: &dyn Fn(Key) -> Key| {
            last.is_some_and(|last| distance(key) <= distance(last.contact.key))
        };
        within(self.above.last(), &|it| it.minus(self.me))
            || within(self.below.last(), &|it| self.me.minus(it))
    }

    /// Whether a node with that key would have a place.
    pub(crate) fn would_take(&self, key: Key) -> bool {
        let on = |side: &[Peer], distance: &dyn Fn(Key) -> Key| {
            let is_nearer = |last: &Peer| distance(key) < distance(last.contact.key);
            side.len() < self.half || side.last().is_some_and(is_nearer)
        };
        key != self.me
            && self.get(key).is_none()
            && (on(&self.above, &|it| it.minus(self.me))
                || on(&self.below, &|it| self.me.minus(it)))
    }

    /// Takes a node in where it is among the nearest; says whether it was new. One that is known comes to stand on the
    /// other side as well if that has lost everybody: few are left, and nobody would name others for it.
    pub(crate) fn take(&mut self, peer: Peer) -> bool {
        let (key, me, half) = (peer.contact.key, self.me, self.half);
        if self.get(key).is_some() {
            let empty = [&mut self.above, &mut self.below].into_iter().filter(|it| it.is_empty());
            empty.for_each(|side| side.push(peer));
            return false;
        }
        if !self.would_take(key) {
            return false;
        }
        let insert = |side: &mut Vec<Peer>, distance: &dyn Fn(Key) -> Key| {
            let place = side.partition_point(|it| distance(it.contact.key) < distance(key));
            if place < half {
                side.truncate(half - 1);
                side.insert(place, peer);
            }
        };
        insert(&mut self.above, &|it| it.minus(me));
        insert(&mut self.below, &|it| me.minus(it));
        true
    }

    /// Takes a node out; says whether it was there.
    pub(crate) fn remove(&mut self, contact: Contact) -> bool {
        let before = self.above.len() + self.below.len();
        self.above.retain(|peer| peer.contact != contact);
        self.below.retain(|peer| peer.contact != contact);
        self.above.len() + self.below.len() < before
    }

    /// An answer of a node took so long.
    pub(crate) fn measured(&mut self, contact: Contact, round_trip: Duration) {
        let peers = self.above.iter_mut().chain(&mut self.below);
        peers.filter(|it| it.contact == contact).for_each(|it| it.rtt.measured(round_trip));
    }

    /// Panics if a side is out of order or too long.
    pub(crate) fn check(&self) {
        let check = |side: &[Peer], distance: &dyn Fn(Key) -> Key| {
            assert!(side.len() <= self.half, "too many leaves");
            let is_sorted =
                side.is_sorted_by(|a, b| distance(a.contact.key) < distance(b.contact.key));
            assert!(is_sorted, "leaves out of order: {side:?}");
            assert!(side.iter().all(|it| it.contact.key != self.me), "a leaf of itself");
        };
        check(&self.above, &|it| it.minus(self.me));
        check(&self.below, &|it| self.me.minus(it));
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::{Address, Rng, Rtt};

    use super::*;

    fn peer(key: Key) -> Peer {
        let address = Address::v4([10, 0, 0, 1], 4000);
        Peer { contact: Contact { key, address }, rtt: Rtt::default() }
    }

    #[test]
    fn each_side_has_the_nearest_of_all_that_were_taken() {
        let mut rng = Rng::new(1);
        for count in [0, 1, 3, 7, 8, 9, 40] {
            let me = Key::of(b"me");
            let mut leaves = Leaves::new(me, 4);
            let mut keys: Vec<Key> = (0..count)
                .map(|_| Key::of(&rng.next_u64().to_be_bytes()))
                .inspect(|&key| {
                    leaves.take(peer(key));
                    leaves.check();
                })
                .collect();
            let side = |side: &[Peer]| side.iter().map(|it| it.contact.key).collect::<Vec<_>>();
            keys.sort_by_key(|it| it.minus(me));
            assert_eq!(side(&leaves.above), keys[..keys.len().min(4)]);
            keys.reverse();
            assert_eq!(side(&leaves.below), keys[..keys.len().min(4)]);
            assert_eq!(leaves.are_all(), count < 4);
            assert_eq!(leaves.iter().count(), count.min(8));
            // Who is missed makes no large network small.
            for key in keys.iter().rev().take(3) {
                leaves.remove(peer(*key).contact);
                assert_eq!(leaves.are_all(), count < 4, "{count}");
            }
        }
    }

    #[test]
    fn a_side_that_has_lost_everybody_takes_one_of_the_other() {
        let mut leaves = Leaves::new(Key::from(100), 2);
        for key in [70, 80, 90, 110, 120, 130] {
            leaves.take(peer(Key::from(key)));
        }
        for key in [110, 120] {
            assert!(!leaves.take(peer(Key::from(90))));
            assert!(!leaves.above().any(|it| it.key == Key::from(90)));
            leaves.remove(peer(Key::from(key)).contact);
        }
        assert!(!leaves.take(peer(Key::from(90))), "it is not new");
        leaves.check();
        let [above, below] = leaves.next().map(|it| it.map(|it| it.key));
        assert_eq!((above, below), (Some(Key::from(90)), Some(Key::from(90))));
        assert!((0..=200).all(|key| leaves.cover(Key::from(key))));
    }

    #[test]
    fn all_between_the_farthest_leaves_is_covered_and_nothing_else() {
        let mut leaves = Leaves::new(Key::from(100), 2);
        for key in [90, 80, 110, 130, 200] {
            leaves.take(peer(Key::from(key)));
        }
        for key in 0..250 {
            assert_eq!(leaves.cover(Key::from(key)), (80..=130).contains(&key), "{key}");
        }
        assert_eq!(leaves.far_end(Key::from(105)).map(|it| it.key), Some(Key::from(130)));
        assert_eq!(leaves.far_end(Key::MAX).map(|it| it.key), Some(Key::from(80)));
    }

    #[test]
    fn a_leaf_that_another_should_name_and_does_not_is_missing() {
        let contact = |key: u64| peer(Key::from(key)).contact;
        let mut leaves = Leaves::new(Key::from(100), 3);
        for key in [90, 80, 70, 110, 120, 130] {
            leaves.take(peer(Key::from(key)));
        }
        let missing = |named: &[u64]| {
            let named: Vec<Contact> = named.iter().map(|&key| contact(key)).collect();
            let missing = missing(leaves.contacts(), contact(110), &named);
            missing.into_iter().map(|it| it.key).collect::<Vec<_>>()
        };
        // 70 lies beyond what 110 knows below itself.
        assert_eq!(missing(&[100, 90, 80, 120, 130, 140]), []);
        assert_eq!(missing(&[100, 90, 75, 120, 140, 150]), [130, 80].map(Key::from));
        assert_eq!(missing(&[]), []);
    }

    #[test]
    fn of_two_keys_equally_near_the_lower_is_nearer() {
        let near = |key: u64| nearness(Key::from(key), Key::from(10));
        assert!(near(9) < near(11) && near(11) < near(8));
        assert_eq!(distance(Key::MAX, Key::from(1)), Key::from(2));
    }
}
