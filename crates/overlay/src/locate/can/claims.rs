//! Whose is which zone, as far as a node knows.
//!
//! Nodes say themselves which zones they have. Where the words of two contradict each other, because one of
//! them does not know yet that the other has taken over, or because it lies, the zone is that of the one
//! whose point of entry, in the first reality its key, is nearer to it by XOR: all who hear both decide
//! alike, without asking anybody else. Three may contradict each other so that each is better than the next:
//! such a circle is broken at the lowest key. The paper leaves open what happens then.

use std::{collections::BTreeMap, iter};

use nigh_base::{Key, Time};

use super::{
    Can, NEIGHBOURS_MAX, ZONES_MAX,
    message::Named,
    place, upkeep,
    zone::{self, Zone, entry},
};
use crate::locate::{Contact, node::geometry::Peer};

/// A node with a zone beside one of this node's, and what it has said last.
#[derive(Clone, Debug, Hash)]
pub(super) struct Neighbour {
    pub(super) peer: Peer,
    /// Its zones, as it says.
    pub(super) zones: Vec<Zone>,
    /// Of them, those to which nobody has a better claim.
    pub(super) right: Vec<Zone>,
    /// Who is around them, as it says.
    pub(super) others: Vec<Named>,
    /// When it was asked for that.
    pub(super) asked: Time,
}

/// Whether `one` has a better claim to what the two zones have in common than `other`.
pub(super) fn is_better(one: (Key, Zone), other: (Key, Zone)) -> bool {
    let common = if one.1.includes(other.1) { other.1 } else { one.1 };
    let distance = |key: Key| entry(key, common.reality()).xor(common.first());
    distance(one.0) < distance(other.0)
}

/// Whether two that are not of one node have anything in common.
fn clash(one: (Key, Zone), other: (Key, Zone)) -> bool {
    one.0 != other.0 && one.1.overlaps(other.1)
}

/// Of claims in order of which each is worse than another: who goes from each to one that is better comes to circles; the
/// lowest of each, unless it contradicts a lower one. What two have in common is another zone for each two of three,
/// so there may be such circles.
fn lowest_in_circles(open: &[(Key, Zone)]) -> Vec<(Key, Zone)> {
    let better = |one: (Key, Zone)| {
        open.iter().position(|&it| clash(one, it) && is_better(it, one)).expect("each is worse")
    };
    let next: Vec<usize> = open.iter().map(|&it| better(it)).collect();
    // From where each was come to first.
    let mut from: Vec<Option<usize>> = vec![None; open.len()];
    let mut lowest = Vec::new();
    for begin in 0..open.len() {
        let mut at = begin;
        while from[at].is_none() {
            from[at] = Some(begin);
            at = next[at];
        }
        if from[at] == Some(begin) {
            let circle = iter::successors(Some(next[at]), |&it| (it != at).then(|| next[it]));
            lowest.extend(circle.min());
        }
    }
    lowest.sort_unstable();
    let mut right: Vec<(Key, Zone)> = Vec::new();
    for it in lowest.into_iter().map(|it| open[it]) {
        if !right.iter().any(|&other| clash(it, other)) {
            right.push(it);
        }
    }
    right
}

/// What these zones are of the space of a reality.
fn volume(zones: &[Zone], reality: u8) -> u64 {
    zones.iter().filter(|it| it.reality() == reality).map(|it| it.volume()).sum()
}

impl Can {
    /// Whether `key` lies in a zone of this node in that reality, or in one that it has just given away.
    pub(super) fn has(&self, key: Key, reality: u8) -> bool {
        let given = self.given.iter().map(|it| it.zone);
        self.zones.iter().copied().chain(given).any(|it| it.reality() == reality && it.has(key))
    }

    /// The same in whichever reality.
    pub(super) fn has_in_any(&self, key: Key) -> bool {
        (0..self.realities).any(|it| self.has(key, it))
    }

    /// The realities in which this node has no zone.
    pub(super) fn homeless_in(&self) -> Vec<u8> {
        (0..self.realities).filter(|&reality| !self.is_at_home(reality)).collect()
    }

    /// All of those realities is its own in which it has no zone and knows nobody who has one.
    pub(super) fn begin_alone(&mut self) {
        for reality in self.homeless_in() {
            let is_in_it = |it: &Zone| it.reality() == reality;
            if !self.neighbours.values().any(|it| it.right.iter().any(is_in_it)) {
                self.zones.push(Zone::WHOLE.in_reality(reality));
            }
        }
        self.settle();
    }

    pub(super) fn is_at_home(&self, reality: u8) -> bool {
        self.zones.iter().any(|it| it.reality() == reality)
    }

    /// Its part of the space of that reality, of [`zone::VOLUME`].
    pub(super) fn volume(&self, reality: u8) -> u64 {
        volume(&self.zones, reality)
    }

    /// All zones that are somebody's.
    pub(super) fn claims(&self) -> impl Iterator<Item = Zone> {
        let given = self.given.iter().map(|it| it.zone);
        let others = self.neighbours.values().flat_map(|it| &it.right).copied();
        self.zones.iter().copied().chain(given).chain(others)
    }

    /// Whether a zone is beside one of this node's, or contradicts it. To a node without any zone all are.
    pub(super) fn touches(&self, zone: Zone) -> bool {
        self.zones.is_empty() || self.is_beside(zone)
    }

    /// The same, where a node without any zone is beside none.
    pub(super) fn is_beside(&self, zone: Zone) -> bool {
        self.zones.iter().any(|&mine| self.meet(mine, zone))
    }

    /// Whether two zones are neighbours or have something in common.
    pub(super) fn meet(&self, a: Zone, b: Zone) -> bool {
        let are_beside = || self.space.are_neighbours(&self.space.sides(a), &self.space.sides(b));
        a.reality() == b.reality() && (a.overlaps(b) || are_beside())
    }

    /// Works out which claims are right, after any of them has changed: first those that are better than all
    /// that contradict them, then those that only worse ones contradict, and so on; where there is none such,
    /// but a circle, the lowest in it. Of its own zones this node keeps what is right.
    fn judge(&mut self) {
        loop {
            let me = self.me.key;
            let mut open: Vec<(Key, Zone)> = self.zones.iter().map(|&zone| (me, zone)).collect();
            for (&key, it) in &self.neighbours {
                open.extend(it.zones.iter().map(|&zone| (key, zone)));
            }
            open.sort_unstable();
            let mut right: Vec<(Key, Zone)> = Vec::new();
            while !open.is_empty() {
                let is_best = |it: &(Key, Zone)| {
                    open.iter().all(|&other| !clash(*it, other) || is_better(*it, other))
                };
                let best: Vec<_> = open.iter().copied().filter(is_best).collect();
                right.extend(if best.is_empty() { lowest_in_circles(&open) } else { best });
                open.retain(|it| !right.contains(it));
                open.retain(|&it| !right.iter().any(|&other| clash(it, other)));
            }
            for (&key, it) in &mut self.neighbours {
                it.right = it.zones.clone();
                it.right.retain(|&zone| right.contains(&(key, zone)));
            }
            let of_others = right.iter().filter(|it| it.0 != me).map(|it| it.1);
            let mut kept = Vec::new();
            for &mine in &self.zones {
                kept.extend(zone::rest(mine, of_others.clone()));
            }
            zone::merge(&mut kept);
            if kept == self.zones {
                return;
            }
            self.zones = kept;
        }
    }

    /// Zones have changed: each is seen to be whose it is, and those who are no neighbours any more are forgotten.
    pub(super) fn settle(&mut self) {
        zone::merge(&mut self.zones);
        self.judge();
        if self.zones.len() > ZONES_MAX {
            self.zones.sort_by_key(|it| it.depth());
            self.zones.truncate(ZONES_MAX);
            self.zones.sort_unstable();
        }
        let mut neighbours = std::mem::take(&mut self.neighbours);
        neighbours.retain(|_, it| it.zones.iter().any(|&zone| self.touches(zone)));
        self.neighbours = neighbours;
    }

    /// Those who come after the owner of `zone`, the first first: who can put it together with its own zone to
    /// one, then who has the least; of several the one with the lowest key. `named` says who is
    /// around it, as its owner has told; if that is this node, its neighbours are.
    pub(super) fn heirs(&self, zone: Zone, owner: Contact, named: &[Named]) -> Vec<Contact> {
        let mut around: BTreeMap<Key, (Contact, Vec<Zone>)> = BTreeMap::new();
        for it in named {
            let (_, zones) = around.entry(it.contact.key).or_insert((it.contact, Vec::new()));
            zones.push(it.zone);
        }
        // What this node knows itself is newer.
        for it in self.neighbours.values() {
            around.insert(it.peer.contact.key, (it.peer.contact, it.right.clone()));
        }
        around.insert(self.me.key, (self.me, self.zones.clone()));
        around.remove(&owner.key);
        let is_beside = |zones: &[Zone]| zones.iter().any(|&it| self.meet(it, zone));
        let rank = |zones: &[Zone]| {
            let mut near = zones.iter().filter(|it| it.reality() == zone.reality());
            let is_half = near.next().copied() == zone.sibling() && near.next().is_none();
            (!is_half, volume(zones, zone.reality()))
        };
        let mut heirs: Vec<_> = around
            .into_values()
            .filter(|(_, zones)| is_beside(zones))
            .map(|(contact, zones)| (rank(&zones), contact))
            .collect();
        heirs.sort_unstable();
        heirs.into_iter().map(|(_, contact)| contact).collect()
    }

    pub(super) fn check(&self) {
        assert!(self.zones.len() <= ZONES_MAX, "too many zones");
        let are_apart = self.zones.windows(2).all(|it| !it[0].overlaps(it[1]));
        assert!(self.zones.is_sorted() && are_apart, "zones that overlap: {:?}", self.zones);
        let are_merged = self.zones.windows(2).all(|it| it[0].sibling() != Some(it[1]));
        assert!(are_merged, "halves that belong together: {:?}", self.zones);
        assert!(self.neighbours.len() <= NEIGHBOURS_MAX, "too many neighbours");
        for (key, it) in &self.neighbours {
            assert_eq!(*key, it.peer.contact.key);
            assert!(*key != self.me.key, "a neighbour of itself");
            assert!(it.zones.iter().any(|&zone| self.touches(zone)), "no neighbour: {it:?}");
        }
        let mut right: Vec<Zone> = self.claims().collect();
        right.sort_unstable();
        let given: Vec<Zone> = self.given.iter().map(|it| it.zone).collect();
        let is_clash =
            |it: &&[Zone]| it[0].overlaps(it[1]) && !given.iter().any(|gift| gift.overlaps(it[1]));
        assert_eq!(right.windows(2).find(is_clash), None, "two are right about one zone");
        place::check(self);
        upkeep::check(self);
    }
}
