//! The nodes around k times a node's key: the first of them lies before that point, or at it, and stands for
//! the imaginary nodes to which this node's have edges; those behind it do as well, where many nodes lie
//! between. Those before it are backups: a way through them is a little longer. Sections 3.1 and 4 of the
//! paper.

use std::time::Duration;

use nigh_base::Key;

use super::Settings;
use crate::locate::{Contact, node::geometry::Peer};

/// The pointers of a node, and their backups.
#[derive(Clone, Debug, Hash)]
pub struct Pointers {
    me: Key,
    /// k times the node's key.
    point: Key,
    /// At most so many at the point or before it.
    before: usize,
    /// And behind it.
    behind: usize,
    /// Clockwise, from the first behind the point round to the last before it.
    peers: Vec<Peer>,
}

impl Pointers {
    pub(super) const fn new(me: Key, settings: &Settings) -> Self {
        let bits = settings.degree_bits;
        Self {
            me,
            point: me.shifted_up(bits),
            before: settings.backups + 1,
            behind: (1 << bits) - 1,
            peers: Vec::new(),
        }
    }

    /// k times the node's key.
    pub(super) const fn point(&self) -> Key {
        self.point
    }

    pub(super) const fn len(&self) -> usize {
        self.peers.len()
    }

    /// How many there may be on each side of the point.
    pub(super) const fn room(&self) -> [usize; 2] {
        [self.before, self.behind]
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Peer> {
        self.peers.iter()
    }

    /// Backups, then pointers, as they lie on the circle.
    pub(super) fn in_order(&self) -> impl Iterator<Item = Contact> {
        // Who is farther behind the point than before it lies before it.
        let split = self.peers.partition_point(|it| {
            it.contact.key.minus(self.point) <= self.point.minus(it.contact.key)
                && it.contact.key != self.point
        });
        let (behind, before) = self.peers.split_at(split);
        before.iter().chain(behind).map(|peer| peer.contact)
    }

    /// The one that lies last before the point, or at it.
    pub(super) fn first(&self) -> Option<Contact> {
        self.peers.last().map(|peer| peer.contact)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Peer> {
        self.peers.iter().find(|it| it.contact.key == key)
    }

    /// How far behind the point a key lies; the point itself is the last of all.
    fn order(&self, key: Key) -> Key {
        key.minus(self.point).minus(Key::from(1))
    }

    fn place(&self, key: Key) -> usize {
        self.peers.partition_point(|it| self.order(it.contact.key) < self.order(key))
    }

    /// Whether a node with that key would have a place.
    pub(super) fn would_take(&self, key: Key) -> bool {
        let has_room = self.peers.len() < self.before + self.behind;
        key != self.me && self.get(key).is_none() && (has_room || self.place(key) != self.behind)
    }

    /// Takes a node in where it is among the nearest on its side.
    pub(super) fn take(&mut self, peer: Peer) {
        if self.would_take(peer.contact.key) {
            self.peers.insert(self.place(peer.contact.key), peer);
            if self.peers.len() > self.before + self.behind {
                // The farthest from the point, of both sides.
                self.peers.remove(self.behind);
            }
        }
    }

    /// Takes a node out; says whether it was there.
    pub(super) fn remove(&mut self, contact: Contact) -> bool {
        let before = self.peers.len();
        self.peers.retain(|it| it.contact != contact);
        self.peers.len() < before
    }

    /// An answer of a node took so long.
    pub(super) fn measured(&mut self, contact: Contact, round_trip: Duration) {
        let peers = self.peers.iter_mut();
        peers.filter(|it| it.contact == contact).for_each(|it| it.rtt.measured(round_trip));
    }

    /// Panics if they are out of order or too many.
    pub(super) fn check(&self) {
        assert!(self.peers.len() <= self.before + self.behind, "too many pointers");
        let is_sorted =
            self.peers.is_sorted_by(|a, b| self.order(a.contact.key) < self.order(b.contact.key));
        assert!(is_sorted, "pointers out of order: {:?}", self.peers);
        assert!(self.peers.iter().all(|it| it.contact.key != self.me), "a pointer to itself");
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::{Address, Rng};

    use super::*;

    #[test]
    fn each_side_has_the_nearest_of_all_that_were_taken() {
        let mut rng = Rng::new(1);
        for (count, bits, backups) in [(0, 1, 0), (5, 2, 3), (40, 1, 4), (40, 4, 8), (40, 3, 0)] {
            let settings = Settings { degree_bits: bits, backups, ..Settings::default() };
            let mut pointers = Pointers::new(Key::of(b"me"), &settings);
            let point = pointers.point();
            // One of them at the point itself: it counts as one before it.
            let drawn = (1..count).map(|_| Key::of(&rng.next_u64().to_be_bytes()));
            let mut keys: Vec<Key> = drawn.chain((count > 0).then_some(point)).collect();
            for &key in &keys {
                let address = Address::v4([10, 0, 0, 1], 4000);
                pointers.take(Peer::unmeasured(Contact { key, address }));
                pointers.check();
            }
            keys.sort_by_key(|it| it.minus(point).minus(Key::from(1)));
            let [before, behind] = pointers.room();
            assert_eq!((before, behind), (backups + 1, (1 << bits) - 1));
            if keys.len() > before + behind {
                keys.drain(behind..keys.len() - before);
            }
            let taken: Vec<Key> = pointers.iter().map(|it| it.contact.key).collect();
            assert_eq!(taken, keys);
            assert_eq!(pointers.first().map(|it| it.key), (count > 0).then_some(point));
            assert!(!pointers.would_take(Key::of(b"me")));
        }
    }
}
