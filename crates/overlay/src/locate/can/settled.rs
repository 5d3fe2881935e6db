//! A space as it is when all has settled: what joins lead to, worked out at once.
//!
//! Simulations of many nodes begin here: 10^5 joins would only repeat what a hundred show.

use std::{collections::BTreeMap, sync::Arc};

use nigh_base::{Key, Time};

use super::{
    Node, Settings,
    claims::Neighbour,
    message::{NAMED_MAX, Named},
    zone::{DEPTH_MAX, Space, Zone, entry},
};
use crate::locate::Contact;

/// All nodes of an overlay, each with one zone in each reality.
#[derive(Clone, Debug)]
pub struct Settled {
    settings: Arc<Settings>,
    /// In the order of their zones.
    owners: Vec<(Zone, Contact)>,
    places: BTreeMap<Key, Vec<usize>>,
}

/// The zones of nodes that join one after the other, each by the zone in which its key lies: the half in which
/// the key lies is its own. In the first reality.
///
/// # Panics
/// If a zone would have to be halved that is as small as zones get.
pub fn zones(keys: impl Iterator<Item = Key>) -> Vec<(Zone, usize)> {
    let mut owners: BTreeMap<Zone, usize> = BTreeMap::new();
    for (number, key) in keys.enumerate() {
        if number == 0 {
            owners.insert(Zone::WHOLE, 0);
            continue;
        }
        let (zone, owner) = at(&owners, key);
        owners.remove(&zone);
        let [lower, upper] = zone.halves().expect("zones are larger than that");
        let (own, others) = if lower.has(key) { (lower, upper) } else { (upper, lower) };
        owners.insert(own, number);
        owners.insert(others, owner);
    }
    owners.into_iter().collect()
}

fn at(owners: &BTreeMap<Zone, usize>, key: Key) -> (Zone, usize) {
    let point = Zone::around(key, DEPTH_MAX);
    let (&zone, &owner) = owners.range(..=point).next_back().expect("all is owned");
    (zone, owner)
}

impl Settled {
    /// The overlay of these nodes, which joined in this order.
    ///
    /// # Panics
    /// If two have one key, or there is none.
    pub fn new(settings: Arc<Settings>, contacts: &[Contact]) -> Self {
        assert!(!contacts.is_empty(), "an overlay has a node");
        let mut owners: Vec<(Zone, Contact)> = Vec::new();
        for reality in 0..settings.realities {
            let zones = zones(contacts.iter().map(|it| entry(it.key, reality)));
            let owned =
                |(zone, number): (Zone, usize)| (zone.in_reality(reality), contacts[number]);
            owners.extend(zones.into_iter().map(owned));
        }
        let mut places: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for (place, (_, it)) in owners.iter().enumerate() {
            places.entry(it.key).or_default().push(place);
        }
        assert_eq!(places.len(), contacts.len(), "two nodes have one key");
        Self { settings, owners, places }
    }

    /// Its nodes and their zones, in the order of these.
    pub fn owners(&self) -> &[(Zone, Contact)] {
        &self.owners
    }

    /// Who has the zone in which `key` lies, in the first reality.
    pub fn owner(&self, key: Key) -> Contact {
        self.owners[place(&self.owners, Zone::around(key, DEPTH_MAX))].1
    }

    fn named(&self, place: usize) -> Named {
        let (zone, contact) = self.owners[place];
        Named { contact, zone }
    }

    /// The machine of one of its nodes, whose first round comes at `first_round`.
    ///
    /// # Panics
    /// If `me` is no node of the overlay.
    pub fn node(&self, me: Contact, first_round: Time) -> Node {
        let mut node = Node::settled(me, Arc::clone(&self.settings), first_round);
        let space = Space::new(self.settings.dimensions);
        let zones_of = |key: &Key| self.places.get(key).expect("a node of this overlay");
        let around = |key: &Key| {
            let all = zones_of(key).iter();
            let all = all.flat_map(|&at| beside(space, &self.owners, at));
            all.map(|place| self.named(place)).collect::<Vec<_>>()
        };
        node.geometry.zones = zones_of(&me.key).iter().map(|&at| self.owners[at].0).collect();
        for Named { contact, .. } in around(&me.key) {
            let mut it = Neighbour::new(contact);
            it.zones = zones_of(&contact.key).iter().map(|&at| self.owners[at].0).collect();
            it.others = around(&contact.key);
            it.others.truncate(NAMED_MAX);
            node.geometry.neighbours.insert(contact.key, it);
        }
        node.geometry.settle();
        node
    }
}

/// The place of the zone that includes `point`, one of the smallest there are, among all in their order.
fn place<T>(owners: &[(Zone, T)], point: Zone) -> usize {
    owners.partition_point(|(zone, _)| *zone <= point) - 1
}

/// The places of the neighbours of a zone, among all zones of all spaces in their order.
pub fn beside<T>(space: Space, owners: &[(Zone, T)], at: usize) -> Vec<usize> {
    let mut found = Vec::new();
    space.around(owners[at].0, |piece| {
        let point = Zone::around(piece.first(), DEPTH_MAX).in_reality(piece.reality());
        let place = place(owners, point);
        let owner = owners[place].0;
        if owner.includes(piece) {
            found.push(place);
            return false;
        }
        true
    });
    found.sort_unstable();
    found.dedup();
    found
}
