//! A node that has taken over zones of others finds nodes for them, so that each has one again: the paper's
//! background zone reassignment.
//!
//! If a neighbour has the other half of one of its zones, that one is given the zone, and has one that is twice
//! as large instead of its half. Else there are two halves of one zone beside the node's smallest zone: the
//! smallest zone there has such an other half. Of their owners one takes the zone, and gives its former one
//! to the other. At no time is a zone nobody's.

use super::{
    Can, Node,
    claims::Neighbour,
    message::{Errand, Named, Words},
    zone::Zone,
};
use crate::locate::{
    Contact,
    node::{For, geometry::Cx, message::Body},
};

/// Nodes that are asked one after the other for two halves.
const SEARCH_MAX: u8 = 16;

impl Node {
    /// Gives a zone away, if this node has several, or looks for somebody who may take one.
    pub(super) fn relieve(&mut self, cx: &mut Cx<'_, Can>) {
        let rounds = self.rounds() as usize;
        let can = &mut self.geometry;
        can.offered = can.offered.filter(|it| it.is_open(cx.now));
        if can.offered.is_some() || !can.given.is_empty() {
            return;
        }
        // One reality after the other: what cannot be done in one must not keep the others waiting.
        let crowded: Vec<u8> = (0..can.realities).filter(|&it| can.count(it) > 1).collect();
        if crowded.is_empty() {
            return;
        }
        let crowded = crowded[rounds % crowded.len()];
        if let Some((to, zone)) = can.half_of_another(crowded) {
            return self.give(to, zone, cx);
        }
        let zones = can.zones.iter().filter(|it| it.reality() == crowded);
        let smallest = zones.max_by_key(|it| it.depth());
        let Some(inside) = smallest.and_then(|it| it.sibling()) else { return };
        let mut named: Vec<Named> =
            can.neighbours.values().flat_map(|it| &it.others).copied().collect();
        named.extend(
            can.neighbours.values().flat_map(|it| {
                it.right.iter().map(|&zone| Named { contact: it.peer.contact, zone })
            }),
        );
        self.look_for_halves(inside, SEARCH_MAX, None, named, cx);
    }

    /// Finds two halves among these, or asks the one with the smallest zone for others.
    fn look_for_halves(
        &mut self,
        inside: Zone,
        left: u8,
        last: Option<Zone>,
        mut named: Vec<Named>,
        cx: &mut Cx<'_, Can>,
    ) {
        let me = self.contact();
        named.sort_unstable_by_key(|it| (it.contact, it.zone));
        named.dedup();
        if let Some(to) = halves(&named, inside, me) {
            return self.say(
                to.address,
                Body::Own(Words::Relieve { reality: inside.reality() }),
                cx,
            );
        }
        let is_deeper = |it: &&Named| {
            let depth = last.map_or(0, Zone::depth);
            inside.includes(it.zone) && it.contact != me && it.zone.depth() > depth
        };
        let deepest = named.iter().filter(is_deeper).max_by_key(|it| it.zone.depth());
        if let Some(next) = deepest.copied().filter(|_| left > 0) {
            let zones = self.geometry.zones.clone();
            let errand = Errand::Search(inside, left - 1);
            let body = |nonce| Body::Own(Words::State { nonce, zones });
            self.ask(next.contact, For::Own(errand), body, cx);
        }
    }

    /// One that was asked for halves has said who is around it.
    pub(super) fn search_on(
        &mut self,
        inside: Zone,
        left: u8,
        by: Contact,
        zones: &[Zone],
        mut named: Vec<Named>,
        cx: &mut Cx<'_, Can>,
    ) {
        let last =
            zones.iter().copied().filter(|it| inside.includes(*it)).max_by_key(|it| it.depth());
        named.extend(zones.iter().map(|&zone| Named { contact: by, zone }));
        if self.geometry.count(inside.reality()) > 1 {
            self.look_for_halves(inside, left, last, named, cx);
        }
    }

    /// A node with several zones in a reality asks this one to take one of them. That is done if this node can give
    /// its own to whoever has the other half.
    pub(super) fn relieve_another(&mut self, other: Contact, reality: u8, cx: &mut Cx<'_, Can>) {
        let can = &self.geometry;
        let has_one = can.count(reality) == 1;
        if has_one && can.half_of_another(reality).is_some() && self.may_be(other, cx) {
            self.ask_for_zone(other, reality, true, cx);
        }
    }
}

/// The owner of one of two halves in `inside`, whose only zone that is.
fn halves(named: &[Named], inside: Zone, me: Contact) -> Option<Contact> {
    let is_only = |it: &Named| {
        let same = |other: &&Named| {
            other.contact == it.contact && other.zone.reality() == it.zone.reality()
        };
        named.iter().filter(same).count() == 1
    };
    let has_other = |it: &Named| {
        let sibling = it.zone.sibling();
        named.iter().any(|other| Some(other.zone) == sibling && other.contact != it.contact)
    };
    let fits =
        |it: &&Named| inside.includes(it.zone) && it.contact != me && is_only(it) && has_other(it);
    named.iter().filter(fits).max_by_key(|it| it.zone.depth()).map(|it| it.contact)
}

/// How many of these lie in a reality.
fn count(zones: &[Zone], reality: u8) -> usize {
    zones.iter().filter(|it| it.reality() == reality).count()
}

impl Can {
    /// How many zones this node has in a reality.
    fn count(&self, reality: u8) -> usize {
        count(&self.zones, reality)
    }

    /// A neighbour that has the other half of one of this node's zones in a reality, and that one. It will have no
    /// more zones than before. If both have several, the one with the lower key gives.
    fn half_of_another(&self, reality: u8) -> Option<(Contact, Zone)> {
        let gives_to = |it: &Neighbour| {
            let has_one = |zones| count(zones, reality) == 1;
            has_one(&self.zones) || has_one(&it.zones) || self.me.key < it.peer.contact.key
        };
        self.zones.iter().filter(|it| it.reality() == reality).find_map(|&zone| {
            let sibling = zone.sibling()?;
            let has_it = |it: &&Neighbour| it.right.contains(&sibling) && gives_to(it);
            let other = self.neighbours.values().find(has_it)?;
            Some((other.peer.contact, zone))
        })
    }
}
