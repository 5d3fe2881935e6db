//! Zones that change hands. Section 2.2 of the paper: who joins gets half of the zone in which its point lies.
//!
//! ```text
//! j -> o: Split     o -> j: Offer    a zone, and a secret number; o still has it
//! j -> o: Take      o -> j: Yours    with that number: now it is j's
//! j -> all around: State             they ask back, and know it
//! ```
//! Each question is asked again until it is answered, and has the same answer each time: as long as `o` has not
//! heard of `j` with the zone, it offers the same again. If it does not hear of it for long, it asks; if that is in
//! vain too, `j` is gone, and the zone is `o`'s again. While one zone is offered no other is.

use std::time::Duration;

use nigh_base::{Address, Key, Time};

use super::{
    Can, Node, ZONES_MAX,
    message::{Errand, Gift, NAMED_MAX, Named, Words},
    zone::{Zone, entry},
};
use crate::locate::{
    Contact,
    codec::Nonce,
    node::{For, geometry::Cx, message::Body},
};

/// How long an offer stands: a few round trips. Meanwhile others are told to come again.
const OFFER: Duration = Duration::from_secs(3);
/// Who has not been heard of for so long with the zone that it took is asked, and is gone if it is not heard of for as
/// long again.
const GIVEN: Duration = Duration::from_secs(5);
/// Who goes on asking for the zone, but never has it as a member, is gone after so long.
const GIVEN_MOST: Duration = Duration::from_secs(30);
/// Zones at once of whose takers nothing has been heard.
const GIVEN_MAX: usize = 8;
/// Zones at once that others have said are to be this node's.
const PROMISED_MAX: usize = 16;

/// A zone that a node may take, or has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Promise {
    pub(super) to: Contact,
    pub(super) zone: Zone,
    token: Nonce,
    pub(super) until: Time,
    /// Of one that was taken: the latest that this may become.
    most: Time,
    /// Whether its taker, who was not heard of, was asked.
    is_asked: bool,
}

impl Promise {
    fn offer(to: Contact, zone: Zone, token: Nonce, now: Time) -> Self {
        let until = now.after(OFFER);
        Self { to, zone, token, until, most: until, is_asked: false }
    }

    /// Whether it may still be taken.
    pub(super) fn is_open(&self, now: Time) -> bool {
        self.until > now
    }

    /// Its taker was heard, though not as a member with the zone.
    fn renew(&mut self, now: Time) {
        (self.until, self.is_asked) = (now.after(GIVEN).min(self.most), false);
    }
}

pub(super) fn check(can: &Can) {
    assert!(can.given.len() <= GIVEN_MAX, "too many gifts");
    assert!(can.promised.len() <= PROMISED_MAX, "too many promises");
}

impl Node {
    /// Asks a node for a zone in that reality: half of its own, or only a whole one, of several.
    pub(super) fn ask_for_zone(
        &mut self,
        of: Contact,
        reality: u8,
        whole: bool,
        cx: &mut Cx<'_, Can>,
    ) -> bool {
        let key = self.contact().key;
        let body = |nonce| Body::Own(Words::Split { nonce, key, reality, whole });
        self.ask(of, For::Own(Errand::Split { reality, whole }), body, cx)
    }

    /// A node wants a zone in that reality.
    pub(super) fn offer(
        &mut self,
        to: Contact,
        nonce: Nonce,
        reality: u8,
        whole: bool,
        cx: &mut Cx<'_, Can>,
    ) {
        let me = self.contact();
        let known = self.geometry.neighbours.get(&to.key).map(|it| it.peer.contact);
        let twin = known.filter(|it| *it != to).or_else(|| (to.key == me.key).then_some(me));
        let named = match twin {
            Some(contact) => vec![Named { contact, zone: Zone::WHOLE }],
            None => Vec::new(),
        };
        let gift = match twin {
            Some(twin) => {
                self.suspect(twin, cx);
                None
            }
            None => self.promise(to, reality, whole, cx),
        };
        let named = gift.map_or(named, |gift| self.geometry.around(gift.zone));
        self.say(to.address, Body::Own(Words::Offer { nonce, gift, named }), cx);
    }

    /// What a node may have, if anything.
    fn promise(
        &mut self,
        to: Contact,
        reality: u8,
        whole: bool,
        cx: &mut Cx<'_, Can>,
    ) -> Option<Gift> {
        let can = &mut self.geometry;
        let gift = |it: &Promise| Gift { token: it.token, zone: it.zone };
        let is_its = |it: &Promise| it.to == to && it.zone.reality() == reality;
        if let Some(again) = can.given.iter_mut().find(|it| is_its(it)) {
            again.renew(cx.now);
            return Some(gift(again));
        }
        if let Some(promise) = can.offered.as_ref().filter(|it| it.is_open(cx.now)) {
            let is_still = can.zones.iter().any(|it| it.includes(promise.zone));
            return (is_its(promise) && is_still).then(|| gift(promise));
        }
        if can.given.len() == GIVEN_MAX {
            return None;
        }
        let zone = can.to_spare(to.key, reality, whole)?;
        let token = cx.secrets.number();
        let promise = Promise::offer(to, zone, token, cx.now);
        can.offered = Some(promise);
        Some(gift(&promise))
    }

    /// A node has offered a zone in that reality, or has none to offer.
    pub(super) fn is_offered(
        &mut self,
        by: Contact,
        (reality, whole): (u8, bool),
        gift: Option<Gift>,
        named: Vec<Named>,
        cx: &mut Cx<'_, Can>,
    ) {
        let key = self.contact().key;
        let can = &self.geometry;
        // Whoever has got one meanwhile wants no half of another.
        let has_room = gift.is_none_or(|it| can.has_room_for(it.zone));
        let is_wanted = has_room && (whole || !can.is_at_home(reality));
        match gift {
            Some(gift) if is_wanted && gift.zone.reality() == reality => {
                self.take_gift(by, gift, named, cx);
            }
            None if named.iter().any(|it| it.contact.key == key) => {
                let mut others: Vec<Contact> = named.into_iter().map(|it| it.contact).collect();
                others.insert(0, by);
                self.take_place(others, cx);
            }
            _ => self.join_again(cx),
        }
    }

    fn take_gift(&mut self, of: Contact, gift: Gift, named: Vec<Named>, cx: &mut Cx<'_, Can>) {
        let Gift { token, zone } = gift;
        let body = |nonce| Body::Own(Words::Take { nonce, token });
        if !self.ask(of, For::Own(Errand::Take(zone, named)), body, cx) {
            self.join_again(cx);
        }
    }

    /// Somebody takes what it was offered.
    pub(super) fn hand_over(
        &mut self,
        to: Address,
        nonce: Nonce,
        token: Nonce,
        cx: &mut Cx<'_, Can>,
    ) {
        let can = &mut self.geometry;
        let is_it = |it: &Promise| it.token == token && it.to.address == to;
        let again = can.given.iter_mut().find(|it| is_it(it));
        let mut zone = again.map(|it| {
            it.renew(cx.now);
            it.zone
        });
        if zone.is_none()
            && let Some(promise) = can.offered.filter(is_it)
        {
            can.offered = None;
            if can.give_up(promise.zone) {
                zone = Some(promise.zone);
                let (until, most) = (cx.now.after(GIVEN), cx.now.after(GIVEN_MOST));
                can.given.push(Promise { until, most, ..promise });
                can.settle();
                self.wake_for_zones();
            }
        }
        self.say(to, Body::Own(Words::Yours { nonce, zone }), cx);
    }

    /// A zone is this node's.
    pub(super) fn has_taken(
        &mut self,
        by: Contact,
        zone: Zone,
        named: &[Named],
        cx: &mut Cx<'_, Can>,
    ) {
        let can = &mut self.geometry;
        if can.zones.iter().any(|it| it.overlaps(zone)) || !can.has_room_for(zone) {
            return;
        }
        // Whoever had it before may not have said since that it has not any more. It is asked now.
        for it in can.neighbours.values_mut() {
            it.zones = it.zones.iter().flat_map(|had| had.without(zone)).collect();
        }
        can.zones.push(zone);
        can.settle();
        let mut others: Vec<Contact> = vec![by];
        others.extend(named.iter().map(|it| it.contact));
        if self.is_member() {
            self.tell_all(cx);
            others.into_iter().for_each(|it| self.get_to_know(it, cx));
            self.seek_zone(cx);
        } else {
            self.take_place(others, cx);
        }
    }

    /// A neighbour says that one of its zones is to be this node's: it may be leaving, or have too many. Who
    /// seems to say so is asked for the zone.
    pub(super) fn is_given(&mut self, from: Address, gift: Gift, cx: &mut Cx<'_, Can>) {
        let can = &mut self.geometry;
        let has = |zones: &[Zone]| zones.contains(&gift.zone);
        let mut all = can.neighbours.values();
        let giver = all.find(|it| it.peer.contact.address == from && has(&it.right));
        if let Some(giver) = giver.map(|it| it.peer.contact) {
            if !can.has_room_for(gift.zone) {
                return;
            }
            let promise = (giver.key, gift.zone);
            if can.promised.len() < PROMISED_MAX && !can.promised.contains(&promise) {
                can.promised.push(promise);
            }
            return self.take_gift(giver, gift, Vec::new(), cx);
        }
        // It has gone already.
        let left = |of: Option<Contact>| of.is_some_and(|it| it.address == from);
        let vacancies = can.vacancies.iter_mut();
        vacancies.filter(|it| left(it.of) && it.zone == gift.zone).for_each(|it| it.due = cx.now);
        self.take_over(cx);
    }

    /// Gives a zone to a neighbour, if it wants it.
    pub(super) fn give(&mut self, to: Contact, zone: Zone, cx: &mut Cx<'_, Can>) {
        let token = cx.secrets.number();
        let promise = Promise::offer(to, zone, token, cx.now);
        self.geometry.offered = Some(promise);
        self.say(to.address, Body::Own(Words::Give(Gift { token, zone })), cx);
    }

    /// This node goes: each of its zones is to be that of the first who comes after it. Whoever is told asks,
    /// and hears that this node is gone.
    pub(super) fn bequeath(&mut self, cx: &mut Cx<'_, Can>) {
        for zone in self.geometry.zones.clone() {
            let heirs = self.geometry.heirs(zone, self.contact(), &[]);
            heirs.into_iter().take(1).for_each(|it| self.give(it, zone, cx));
        }
    }

    /// Takers of zones that were not heard of are asked: each side may have missed the other's first words, and know
    /// nobody else. If that was in vain the zones are this node's again, if they are nobody's.
    pub(super) fn take_back(&mut self, cx: &mut Cx<'_, Can>) {
        let can = &mut self.geometry;
        let before = can.zones.len();
        let (over, mut given): (Vec<Promise>, Vec<Promise>) =
            can.given.drain(..).partition(|it| it.until <= cx.now);
        let (over, doubtful): (Vec<Promise>, Vec<Promise>) =
            over.into_iter().partition(|it| it.is_asked);
        let until = cx.now.after(GIVEN);
        given.extend(doubtful.iter().map(|it| Promise { until, is_asked: true, ..*it }));
        can.given = given;
        for it in over {
            let is_free = !can.claims().any(|other| other.overlaps(it.zone));
            if is_free && can.has_room_for(it.zone) {
                can.zones.push(it.zone);
                can.zones.sort_unstable();
            }
        }
        if can.zones.len() > before {
            can.settle();
            self.tell_all(cx);
        }
        doubtful.into_iter().for_each(|it| self.ask_state(it.to, Errand::State(cx.now), cx));
    }
}

impl Can {
    /// Of a reality, the smallest of several zones; or the half of the only one that is nearer to where the node of
    /// that key comes in.
    fn to_spare(&self, key: Key, reality: u8, whole: bool) -> Option<Zone> {
        let zones: Vec<Zone> =
            self.zones.iter().copied().filter(|it| it.reality() == reality).collect();
        if zones.len() > 1 {
            return zones.into_iter().max_by_key(|it| it.depth());
        }
        let halves = zones.first().filter(|_| !whole)?.halves()?;
        halves.into_iter().min_by_key(|it| it.first().xor(entry(key, reality)))
    }

    /// Takes `zone` out of the zones of this node; false if it does not lie in them.
    fn give_up(&mut self, zone: Zone) -> bool {
        let Some(place) = self.zones.iter().position(|it| it.includes(zone)) else { return false };
        let whole = self.zones.remove(place);
        self.zones.extend(whole.without(zone));
        self.zones.sort_unstable();
        true
    }

    /// Who is around `zone`, as far as this node knows.
    fn around(&self, zone: Zone) -> Vec<Named> {
        let mine = self.zones.iter().flat_map(|it| it.without(zone));
        let mut named: Vec<Named> = mine.map(|zone| Named { contact: self.me, zone }).collect();
        for it in self.neighbours.values() {
            let contact = it.peer.contact;
            let beside = it.right.iter().filter(|&&other| self.meet(other, zone));
            named.extend(beside.map(|&zone| Named { contact, zone }));
        }
        named.truncate(NAMED_MAX);
        named
    }

    /// A node was heard of with its zones: what was given to it is its. So is what was given to another, if this one
    /// has it by right.
    pub(super) fn has_arrived(&mut self, contact: Contact, zones: &[Zone]) {
        let right = self.neighbours.get(&contact.key).map_or(&[][..], |it| &it.right);
        self.given.retain(|it| {
            let has_it = it.to == contact && zones.iter().any(|zone| zone.overlaps(it.zone));
            !has_it && !right.iter().any(|zone| zone.includes(it.zone))
        });
    }

    /// Whether this node can take one more zone, which may make one with its other half.
    pub(super) fn has_room_for(&self, zone: Zone) -> bool {
        let completes = zone.sibling().is_some_and(|it| self.zones.contains(&it));
        self.zones.len() < ZONES_MAX || completes
    }
}
