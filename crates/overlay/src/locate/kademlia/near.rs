//! What a node holds for others, by how near to the node it lies. When there is too much, what lies farthest
//! goes: that is what others hold, or ought to. Nobody has all the room: each host has a part of it.

use std::collections::{BTreeMap, BTreeSet};

use nigh_base::Key;

use super::host::Host;

/// How much is held at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// In all.
    pub(super) all: usize,
    /// Of one host.
    pub(super) of_host: usize,
}

#[derive(Clone, Debug, Hash)]
struct Kept<T> {
    by: Host,
    it: T,
}

/// Things that are held under keys. Putting, finding and dropping one take time in proportion to the logarithm
/// of their number.
#[derive(Clone, Debug, Hash)]
pub(super) struct Near<T> {
    me: Key,
    /// By the distance of the key from this node.
    kept: BTreeMap<Key, Kept<T>>,
    /// The distances of what each host has put.
    hosts: BTreeMap<Host, BTreeSet<Key>>,
}

impl<T> Near<T> {
    pub(super) const fn new(me: Key) -> Self {
        Self { me, kept: BTreeMap::new(), hosts: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        self.kept.get(&key.xor(self.me)).map(|kept| &kept.it)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.kept.get_mut(&key.xor(self.me)).map(|kept| &mut kept.it)
    }

    /// All of it with its keys, the nearest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.kept.iter().map(|(gap, kept)| (gap.xor(self.me), &kept.it))
    }

    /// The same, but it begins at that distance and goes round.
    pub(super) fn from(&self, gap: Key) -> impl Iterator<Item = (Key, &T)> {
        let (behind, before) = (self.kept.range(gap..), self.kept.range(..gap));
        behind.chain(before).map(|(gap, kept)| (gap.xor(self.me), &kept.it))
    }

    /// How far from this node a key lies.
    pub(super) const fn gap(&self, key: Key) -> Key {
        key.xor(self.me)
    }

    /// Holds what a host has put under a key, in the place of what was there. False if there is no room: all
    /// that is held, or all that this host has put, lies nearer.
    pub(super) fn put(&mut self, key: Key, by: Host, it: T, room: Room) -> bool {
        let gap = self.gap(key);
        let old = self.kept.get(&gap).map(|kept| kept.by);
        if old != Some(by) {
            let of_host = self.hosts.get(&by).filter(|gaps| gaps.len() >= room.of_host);
            if !self.is_nearer(gap, of_host.and_then(BTreeSet::last).copied()) {
                return false;
            }
        }
        if old.is_none() && self.kept.len() >= room.all {
            let last = self.kept.last_key_value().map(|(&gap, _)| gap);
            if !self.is_nearer(gap, last) {
                return false;
            }
        }
        self.take(gap);
        self.kept.insert(gap, Kept { by, it });
        self.hosts.entry(by).or_default().insert(gap);
        true
    }

    /// Whether there is room at that distance, once what is `last` has gone, if that has to.
    fn is_nearer(&mut self, gap: Key, last: Option<Key>) -> bool {
        match last {
            Some(last) if last < gap => false,
            Some(last) => {
                self.take(last);
                true
            }
            None => true,
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.take(self.gap(key));
    }

    fn take(&mut self, gap: Key) {
        let Some(Kept { by, .. }) = self.kept.remove(&gap) else { return };
        if let Some(gaps) = self.hosts.get_mut(&by) {
            gaps.remove(&gap);
            if gaps.is_empty() {
                self.hosts.remove(&by);
            }
        }
    }

    /// Drops what is not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        let gone: Vec<Key> =
            self.kept.iter().filter(|it| !stays(&it.1.it)).map(|(&gap, _)| gap).collect();
        gone.into_iter().for_each(|gap| self.take(gap));
    }

    /// This node has another id now.
    pub(super) fn moved(&mut self, me: Key) {
        let turned = self.me.xor(me);
        self.me = me;
        let kept = std::mem::take(&mut self.kept);
        self.kept = kept.into_iter().map(|(gap, it)| (gap.xor(turned), it)).collect();
        for gaps in self.hosts.values_mut() {
            *gaps = gaps.iter().map(|gap| gap.xor(turned)).collect();
        }
    }

    /// What holds at every moment.
    pub(super) fn check(&self, room: Room) {
        assert!(self.kept.len() <= room.all, "too much is held");
        assert!(self.hosts.values().all(|it| it.len() <= room.of_host), "too much of a host");
        let of_hosts: usize = self.hosts.values().map(BTreeSet::len).sum();
        assert_eq!(of_hosts, self.kept.len(), "it is miscounted who has put what");
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::Address;

    use super::*;

    const ROOM: Room = Room { all: 8, of_host: 3 };

    fn host(number: u8) -> Host {
        Host::of(Address::v4([192, 0, 2, number], 1))
    }

    fn put(near: &mut Near<u64>, number: u64, by: u8) -> bool {
        let is_held = near.put(Key::from(number), host(by), number, ROOM);
        near.check(ROOM);
        is_held
    }

    fn held(near: &Near<u64>) -> Vec<u64> {
        near.iter().map(|(_, it)| *it).collect()
    }

    #[test]
    fn of_too_much_what_lies_farthest_goes() {
        let mut near = Near::new(Key::from(0));
        for number in 1..=8 {
            assert!(put(&mut near, 10 * number, u8::try_from(number).unwrap()));
        }
        assert!(!put(&mut near, 90, 9), "it would be the farthest itself");
        assert!(put(&mut near, 5, 9));
        assert_eq!(held(&near), [5, 10, 20, 30, 40, 50, 60, 70]);
    }

    #[test]
    fn a_host_has_its_part_and_no_more() {
        let mut near = Near::new(Key::from(0));
        for number in [40, 30, 20, 50, 10] {
            put(&mut near, number, 1);
        }
        assert!(put(&mut near, 90, 2));
        assert_eq!(held(&near), [10, 20, 30, 90]);
        // What another has put becomes its own only if it has room for that.
        assert!(!put(&mut near, 90, 1));
        assert!(put(&mut near, 10, 2));
        assert!(put(&mut near, 25, 1));
        assert_eq!(held(&near), [10, 20, 25, 30, 90]);
        near.retain(|it| *it < 30);
        near.check(ROOM);
        assert_eq!(held(&near), [10, 20, 25]);
    }

    #[test]
    fn after_a_change_of_the_id_the_same_is_held_and_other_things_are_near() {
        let mut near = Near::new(Key::from(0));
        for number in [1, 2, 6] {
            put(&mut near, number, 1);
        }
        near.moved(Key::from(7));
        near.check(ROOM);
        assert_eq!(held(&near), [6, 2, 1]);
        assert_eq!(near.get(Key::from(2)), Some(&2));
        assert!(put(&mut near, 5, 1));
        assert_eq!(held(&near), [6, 5, 2]);
    }
}
