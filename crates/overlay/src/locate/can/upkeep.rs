//! What keeps zones true while nodes come and go. Section 2.3 of the paper.
//!
//! In each round all neighbours are asked how they stand. The question says how this node stands, so that whoever
//! hears something new asks back. A zone whose owner is gone goes to the neighbour that has the least: each waits
//! the longer the more it has, and then takes what is nobody's yet. What lies beside a zone and is
//! nobody's, though nobody is known to have gone from there, is looked for; if nobody is found it is taken in
//! the same way. So a hole is filled from its border, also where several neighbours have gone at once.

use std::{collections::BTreeSet, time::Duration};

use nigh_base::{Address, Time};

use super::{
    Can, NEIGHBOURS_MAX, Node,
    claims::Neighbour,
    message::{Errand, NAMED_MAX, Named, Way, Words},
    zone::{self, Zone, entry},
};
use crate::locate::{
    Contact,
    codec::Nonce,
    node::{
        For,
        geometry::{Cx, Peer},
        message::Body,
    },
};

/// Who has as much as a node that is gone waits so long before it takes its zone; who has twice as much, twice as
/// long. That is time to hear of others who have less.
const TAKE_OVER: Duration = Duration::from_secs(1);
/// But not longer than so many times that, nor shorter than that part of it.
const TAKE_OVER_MOST: u64 = 4;
const TAKE_OVER_LEAST: u64 = 4;
/// Zones of nodes that are gone, at once.
const VACANCIES_MAX: usize = 64;
/// Holes beside the zones of this node that are looked after at once.
const GAPS_MAX: usize = 8;
/// For so many rounds the owner of a hole is looked for.
const GAP_ROUNDS: u32 = 3;
/// Nodes that are asked at once whether they are neighbours.
const MEETINGS_MAX: usize = 32;
/// After so many nodes that were named, asked and are no neighbours no more are asked until the next round.
const APART_MAX: usize = 64;
/// A node without a zone in some reality, and without anybody who could give it one, takes all of it after so many
/// rounds.
const HOMELESS_ROUNDS: u32 = 8;

/// A zone that was a node's who is gone, or that nobody seems to have.
#[derive(Clone, Debug, Hash)]
pub(super) struct Vacancy {
    /// Whose it was, if that is known.
    pub(super) of: Option<Contact>,
    pub(super) zone: Zone,
    /// Who was around its owner.
    pub(super) named: Vec<Named>,
    /// When this node takes it.
    pub(super) due: Time,
}

/// A piece of the space beside a zone of this node that nobody is known to have.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Gap {
    zone: Zone,
    /// How many rounds it is there.
    rounds: u32,
}

/// Nodes that were asked whether they are neighbours, and are not, though others name them: nodes that know each
/// other's zones of long ago would name each other again and again.
#[derive(Debug, Default, Hash)]
pub(super) struct Apart {
    /// What this node had then.
    from: Vec<Zone>,
    nodes: Vec<Contact>,
}

impl Apart {
    fn remember(&mut self, node: Contact, from: &[Zone]) {
        if self.from != from {
            *self = Self { from: from.to_vec(), nodes: Vec::new() };
        }
        if self.nodes.len() < APART_MAX && !self.nodes.contains(&node) {
            self.nodes.push(node);
        }
    }

    fn has(&self, node: Contact, from: &[Zone]) -> bool {
        self.from == from && (self.nodes.len() == APART_MAX || self.nodes.contains(&node))
    }
}

pub(super) fn check(can: &Can) {
    assert!(can.apart.nodes.len() <= APART_MAX, "too many are remembered");
    assert!(can.vacancies.len() <= VACANCIES_MAX, "too many vacancies");
    assert!(can.gaps.len() <= GAPS_MAX, "too many gaps");
    assert!(can.meetings <= MEETINGS_MAX, "too many meetings");
}

impl Node {
    /// One round of upkeep.
    pub(super) fn look_after_zones(&mut self, cx: &mut Cx<'_, Can>) {
        self.take_back(cx);
        let can = &mut self.geometry;
        can.apart = Apart::default();
        let neighbours = &can.neighbours;
        can.promised
            .retain(|(key, zone)| neighbours.get(key).is_some_and(|it| it.right.contains(zone)));
        can.homeless = if can.homeless_in().is_empty() { 0 } else { can.homeless + 1 };
        if can.homeless > HOMELESS_ROUNDS {
            can.begin_alone();
        }
        self.seek_zone(cx);
        self.ask_all(cx);
        self.look_after_gaps(cx);
        self.relieve(cx);
    }

    /// If there is a reality in which this node has no zone: whoever has the one in which it comes in may give it
    /// half. Of several one after the other, so that one that cannot be had keeps no other waiting.
    pub(super) fn seek_zone(&mut self, cx: &mut Cx<'_, Can>) {
        let homeless_in = self.geometry.homeless_in();
        if !homeless_in.is_empty() {
            let reality = homeless_in[self.rounds() as usize % homeless_in.len()];
            let way = Way { reality, ..Way::default() };
            self.look_near(entry(self.contact().key, reality), way, cx);
        }
    }

    /// Asks all neighbours how they stand. Whoever has not answered the last time yet is not asked again: an answer
    /// may take longer than a round.
    fn ask_all(&mut self, cx: &mut Cx<'_, Can>) {
        let all = self.geometry.neighbours.values().map(|it| it.peer.contact);
        let all: Vec<Contact> = all.filter(|it| !self.is_asking(it.address)).collect();
        all.into_iter().for_each(|it| self.ask_state(it, Errand::State(cx.now), cx));
    }

    /// Tells all neighbours how this node stands now, and asks how they do.
    pub(super) fn tell_all(&mut self, cx: &mut Cx<'_, Can>) {
        let all: Vec<Contact> =
            self.geometry.neighbours.values().map(|it| it.peer.contact).collect();
        all.into_iter().for_each(|it| self.ask_state(it, Errand::State(cx.now), cx));
    }

    pub(super) fn ask_state(&mut self, of: Contact, errand: Errand, cx: &mut Cx<'_, Can>) {
        let zones = self.geometry.zones.clone();
        self.ask(of, For::Own(errand), |nonce| Body::Own(Words::State { nonce, zones }), cx);
    }

    /// Asks a node of which another speaks whether it is a neighbour.
    pub(super) fn get_to_know(&mut self, contact: Contact, cx: &mut Cx<'_, Can>) {
        if self.may_be(contact, cx) {
            self.ask_whether_beside(contact, cx);
        }
    }

    /// Asks a node that may be a neighbour, and may have been lost a moment ago, whether it is one.
    fn ask_whether_beside(&mut self, contact: Contact, cx: &mut Cx<'_, Can>) {
        if self.is_me(contact) || self.is_asking(contact.address) {
            return;
        }
        if self.geometry.neighbours.contains_key(&contact.key) {
            return self.ask_state(contact, Errand::State(cx.now), cx);
        }
        if self.geometry.meetings < MEETINGS_MAX {
            let zones = self.geometry.zones.clone();
            let body = |nonce| Body::Own(Words::State { nonce, zones });
            let is_asked = self.ask(contact, For::Own(Errand::Meet(cx.now)), body, cx);
            self.geometry.meetings += usize::from(is_asked);
        }
    }

    /// Somebody asks how this node stands, and says how it does itself. If that is new, it is asked: what it has
    /// said may be forged.
    pub(super) fn tell_state(
        &mut self,
        to: Address,
        sender: Option<Contact>,
        nonce: Nonce,
        zones: &[Zone],
        cx: &mut Cx<'_, Can>,
    ) {
        let mut named = self.geometry.all_named();
        if named.len() > NAMED_MAX {
            let first = cx.rng.index(named.len());
            named.rotate_left(first);
            named.truncate(NAMED_MAX);
        }
        let mine = self.geometry.zones.clone();
        self.say(to, Body::Own(Words::StateIs { nonce, zones: mine, named }), cx);
        let Some(sender) = sender else { return };
        let can = &self.geometry;
        let is_news = match can.neighbours.get(&sender.key) {
            Some(known) => known.zones != zones,
            None => {
                zones.iter().any(|&it| can.touches(it))
                    || can.given.iter().any(|it| it.to == sender)
            }
        };
        if is_news {
            self.ask_whether_beside(sender, cx);
        }
    }

    /// A node has said how it stands.
    pub(super) fn state_is(
        &mut self,
        by: Contact,
        asked: Time,
        mut zones: Vec<Zone>,
        mut named: Vec<Named>,
        cx: &mut Cx<'_, Can>,
    ) {
        // In a reality that this overlay has not, nobody would contradict it.
        let realities = self.geometry.realities;
        zones.retain(|it| it.reality() < realities);
        named.retain(|it| it.zone.reality() < realities);
        let are_apart =
            zones.iter().enumerate().all(|(at, a)| zones[..at].iter().all(|b| !a.overlaps(*b)));
        if !self.is_member() || by.key == self.contact().key || !are_apart {
            return;
        }
        let can = &mut self.geometry;
        let old = can.neighbours.get(&by.key);
        if old.is_some_and(|it| it.peer.contact != by || it.asked > asked) {
            return;
        }
        let (before, mine) = (old_right(can, by), can.zones.clone());
        let is_neighbour = zones.iter().any(|&it| can.touches(it));
        let is_new = !can.neighbours.contains_key(&by.key);
        let has_changed = can.neighbours.get(&by.key).is_none_or(|it| it.zones != zones);
        if !is_neighbour {
            can.neighbours.remove(&by.key);
            can.apart.remember(by, &can.zones);
        } else if !is_new || can.neighbours.len() < NEIGHBOURS_MAX {
            let it = can.neighbours.entry(by.key).or_insert_with(|| Neighbour::new(by));
            (it.zones, it.others, it.asked) = (zones.clone(), named.clone(), asked);
        }
        if has_changed {
            can.settle();
        }
        can.has_arrived(by, &zones);
        self.after_news(by, &before, &mine, has_changed, cx);
        self.hear_of(&named, cx);
    }

    /// The claims of a neighbour have changed, perhaps.
    fn after_news(
        &mut self,
        by: Contact,
        before: &[Zone],
        mine: &[Zone],
        has_changed: bool,
        cx: &mut Cx<'_, Can>,
    ) {
        let can = &self.geometry;
        let after = old_right(can, by);
        let gained = after.iter().any(|it| !zone::rest(*it, before.iter().copied()).is_empty());
        let (lost, homeless_in) = (can.zones != mine, can.homeless_in());
        if gained {
            self.give_its_own(by, cx);
        }
        if has_changed {
            // Whoever it contradicts may not know yet, or know better.
            let can = &self.geometry;
            let said: &[Zone] = can.neighbours.get(&by.key).map_or(&[], |it| &it.zones);
            let contradicts =
                |it: &Neighbour| it.zones.iter().any(|a| said.iter().any(|b| a.overlaps(*b)));
            let others = can.neighbours.values().filter(|it| it.peer.contact != by);
            let others: Vec<Contact> =
                others.filter(|it| contradicts(it)).map(|it| it.peer.contact).collect();
            others.into_iter().for_each(|it| self.ask_state(it, Errand::State(cx.now), cx));
        }
        if lost {
            self.tell_all(cx);
        }
        if lost && let Some(&reality) = homeless_in.first() {
            self.ask_for_zone(by, reality, false, cx);
        }
    }

    /// A neighbour has named others: those who may be neighbours of this node as well are asked. Not while it has no
    /// zone, so that all may be, or no room for more: it would go on asking whoever is named.
    fn hear_of(&mut self, named: &[Named], cx: &mut Cx<'_, Can>) {
        let can = &self.geometry;
        if can.zones.is_empty() || can.neighbours.len() == NEIGHBOURS_MAX {
            return;
        }
        for it in named {
            let can = &self.geometry;
            let is_known = can.neighbours.contains_key(&it.contact.key)
                || can.apart.has(it.contact, &can.zones);
            if !is_known && it.contact != self.contact() && can.touches(it.zone) {
                self.get_to_know(it.contact, cx);
            }
        }
    }

    /// A neighbour is gone; says whether it was one.
    pub(super) fn lose_neighbour(&mut self, contact: Contact, cx: &mut Cx<'_, Can>) -> bool {
        let can = &mut self.geometry;
        if can.neighbours.get(&contact.key).is_none_or(|it| it.peer.contact != contact) {
            return false;
        }
        let Some(gone) = can.neighbours.remove(&contact.key) else { return false };
        can.settle();
        if !self.is_member() {
            return true;
        }
        for &zone in &gone.right {
            let can = &mut self.geometry;
            let is_promised = can.promised.contains(&(contact.key, zone));
            let wait = if is_promised { Duration::ZERO } else { can.wait_for(zone) };
            let named = gone.others.clone();
            can.add_vacancy(Vacancy { of: Some(contact), zone, named, due: cx.now.after(wait) });
        }
        // Others have to know soon, so that the one who has the least takes it.
        let me = self.contact();
        let others: BTreeSet<Address> = gone.others.iter().map(|it| it.contact.address).collect();
        for to in others.into_iter().filter(|it| *it != me.address) {
            self.say(to, Body::Own(Words::Gone(contact.key)), cx);
        }
        self.take_over(cx);
        true
    }

    /// Takes the zones of nodes that are gone whose time has come, if nobody else has taken them.
    pub(super) fn take_over(&mut self, cx: &mut Cx<'_, Can>) {
        let can = &mut self.geometry;
        let (due, later): (Vec<Vacancy>, _) =
            can.vacancies.drain(..).partition(|it: &Vacancy| it.due <= cx.now);
        can.vacancies = later;
        let mut others = Vec::new();
        for vacancy in due {
            let claims: Vec<Zone> = can.claims().collect();
            let left = zone::rest(vacancy.zone, claims.into_iter());
            let before = can.zones.len();
            for piece in left {
                if can.is_beside(piece) && can.has_room_for(piece) {
                    can.zones.push(piece);
                }
            }
            if can.zones.len() > before {
                can.settle();
                others.extend(vacancy.named.iter().map(|it| it.contact));
            }
        }
        self.wake_for_zones();
        if !others.is_empty() {
            self.tell_all(cx);
            others.into_iter().for_each(|it| self.get_to_know(it, cx));
        }
    }

    /// Wakes this node when the first zone is to be taken, or its taker asked, or it is taken back.
    pub(super) fn wake_for_zones(&mut self) {
        let can = &self.geometry;
        let given = can.given.iter().map(|it| it.until);
        if let Some(next) = can.vacancies.iter().map(|it| it.due).chain(given).min() {
            self.wake_own(next);
        }
    }

    /// Looks for the owners of what lies beside the zones of this node; what has none is to be taken.
    fn look_after_gaps(&mut self, cx: &mut Cx<'_, Can>) {
        let found = self.geometry.find_gaps();
        for Gap { zone, rounds } in found {
            let can = &mut self.geometry;
            if rounds > GAP_ROUNDS && can.neighbours.len() < NEIGHBOURS_MAX {
                let due = cx.now.after(can.wait_for(zone));
                can.add_vacancy(Vacancy { of: None, zone, named: Vec::new(), due });
                continue;
            }
            let mut named = can.neighbours.values().flat_map(|it| &it.others);
            let is_it = |it: &&Named| {
                it.zone.overlaps(zone) && !can.neighbours.contains_key(&it.contact.key)
            };
            match named.find(is_it).map(|it| it.contact) {
                Some(contact) if self.may_be(contact, cx) => self.get_to_know(contact, cx),
                _ => {
                    let way = Way { reality: zone.reality(), ..Way::default() };
                    self.look_near(zone.first(), way, cx);
                }
            }
        }
        self.take_over(cx);
    }
}

/// What a node has by right, as far as this one knows.
fn old_right(can: &Can, of: Contact) -> Vec<Zone> {
    can.neighbours.get(&of.key).map_or_else(Vec::new, |it| it.right.clone())
}

impl Neighbour {
    pub(super) fn new(contact: Contact) -> Self {
        let peer = Peer::unmeasured(contact);
        let (zones, right, others) = (Vec::new(), Vec::new(), Vec::new());
        Self { peer, zones, right, others, asked: Time::START }
    }
}

impl Can {
    /// All neighbours, each with each of its zones.
    fn all_named(&self) -> Vec<Named> {
        let all = self.neighbours.values();
        let named = |it: &Neighbour| {
            let contact = it.peer.contact;
            it.right.iter().map(|&zone| Named { contact, zone }).collect::<Vec<_>>()
        };
        all.flat_map(named).collect()
    }

    /// How long this node waits before it takes a zone: the longer, the more it has itself.
    fn wait_for(&self, zone: Zone) -> Duration {
        let mine = self.volume(zone.reality());
        let part = u128::from(mine) * 1000 / u128::from(zone.volume());
        let most = u128::from(TAKE_OVER_MOST) * 1000;
        let thousandths = part.clamp(1000 / u128::from(TAKE_OVER_LEAST), most);
        TAKE_OVER / 1000 * u32::try_from(thousandths).expect("it has a limit")
    }

    fn add_vacancy(&mut self, vacancy: Vacancy) {
        let is_known = self.vacancies.iter().any(|it| it.zone.includes(vacancy.zone));
        if !is_known && self.vacancies.len() < VACANCIES_MAX && self.touches(vacancy.zone) {
            self.vacancies.push(vacancy);
        }
    }

    /// Holes beside the zones of this node, and for how many rounds each is there.
    fn find_gaps(&mut self) -> Vec<Gap> {
        let vacant = self.vacancies.iter().map(|it| it.zone);
        let claims: Vec<Zone> = self.claims().chain(vacant).collect();
        // What completes a zone first: that may be taken however many zones this node has.
        let is_free = |it: &Zone| !claims.iter().any(|claim| claim.overlaps(*it));
        let mut found: Vec<Zone> = self.zones.iter().filter_map(|it| it.sibling()).collect();
        found.retain(is_free);
        let around = self.zones.iter().flat_map(|&it| self.space.gaps(it, &claims, GAPS_MAX));
        let mut around: Vec<Zone> = around.filter(|it| !found.contains(it)).collect();
        around.sort_unstable();
        around.dedup();
        found.extend(around);
        found.truncate(GAPS_MAX);
        let rounds = |zone: Zone| {
            let before = self.gaps.iter().find(|it| it.zone.overlaps(zone));
            before.map_or(1, |it| it.rounds + 1)
        };
        self.gaps = found.into_iter().map(|zone| Gap { zone, rounds: rounds(zone) }).collect();
        self.gaps.clone()
    }
}
