//! From a key to its successor: SIGCOMM 2001, section 4.3 and figure 4.
//!
//! ```text
//! iterative   n -> a: Next   a -> n: Closer   n -> b: Next   b -> n: Owner
//! recursive   n -> a: Route  a -> n: Taken    a -> b: Route  b -> a: Taken   b -> n: Found
//! ```
//! A node answers with the owner when the key lies between it and its next successor, and otherwise
//! names those that it knows nearest before the key. An asker goes only to nodes nearer than the one
//! that named them, and round one that does not answer.

use std::time::Duration;

use bytes::Bytes;
use nigh_base::{Address, Key, machine::Context};

use super::{
    Node, Routing, Standing, Timer,
    message::{Body, Message},
    request::For,
    walk::{Candidate, HOPS_MAX, Walk},
};
use crate::locate::{
    Contact, Event, Failure, Ticket,
    codec::CONTACTS_MAX,
    holdings::{Offer, Putting},
    pending::Pending,
};

/// Nodes named in one answer: the next, and who may stand in for it.
const ALTERNATES: usize = 3;
/// As many are named at least to who asks for the key of a node.
const OWNERS_MIN: usize = 2;
/// Lookups of one node at once; more are refused.
const LOOKUPS_MAX: usize = 256;
/// Of them, those that may be under way when one more begins that only gives away what is held.
const MENDING_MAX: usize = LOOKUPS_MAX / 2;
/// So often a lookup that has run dry begins anew.
const RESTARTS: u32 = 2;
/// Holders that are tried for a value.
const HOLDERS_MAX: usize = 4;
/// How long a recursive lookup may take: so many waits for one answer, within these bounds.
const RECURSIVE_WAITS: u32 = 8;
const RECURSIVE_MIN: Duration = Duration::from_secs(2);
const RECURSIVE_MAX: Duration = Duration::from_secs(10);
/// How long an iterative one may. Sixteen ways in that are all silent are asked twice in 48 s.
const WALK_MAX: Duration = Duration::from_secs(60);

/// What a lookup is for.
#[derive(Clone, Debug, Hash)]
pub(super) enum Purpose {
    Caller(Ticket),
    Join,
    Finger(u32),
    /// The next successor, as seen from elsewhere.
    Audit,
    Put(Box<Putting>),
    Get(Ticket),
    /// A value whose owner does not seem to hold it.
    Mend,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Lookup {
    key: Key,
    purpose: Purpose,
    /// How the asker itself goes; none unless it does.
    walk: Option<Box<Walk>>,
    /// Whether others pass it on, so that no step of it is waited for.
    passed_on: bool,
    /// Once the owner is known: those to be asked for the value, the next last.
    holders: Vec<Contact>,
    /// Whether one of them has answered, though not with the value.
    heard: bool,
    /// Whether one of them has not: it may have the value.
    missed: bool,
}

impl Lookup {
    fn walk(&mut self) -> &mut Walk {
        self.walk.get_or_insert_with(|| Box::new(Walk::new(false)))
    }
}

/// A lookup of another node that this one passes on.
#[derive(Clone, Debug, Hash)]
pub(super) struct Passing {
    lookup: u64,
    key: Key,
    origin: Option<Address>,
    hops: u8,
    tried: Vec<Contact>,
}

impl Passing {
    /// Whether it is one of this node.
    pub(super) const fn is_own(&self) -> bool {
        self.origin.is_none()
    }
}

/// The lookups of a node.
pub(super) type Lookups = Pending<Lookup>;

impl Lookups {
    pub(super) fn check(&self) {
        assert!(self.len() <= LOOKUPS_MAX, "too many lookups");
        self.iter().filter_map(|lookup| lookup.walk.as_ref()).for_each(|walk| walk.check());
    }
}

impl Node {
    /// The owner of `key` and those behind it, if this node knows. Behind a node whose own key is
    /// asked for there is one at least: it may be that node which asks, having come back.
    pub(super) fn owners(&self, key: Key) -> Option<Vec<Contact>> {
        let count = usize::from(self.settings.copies).max(self.settings.proximity);
        let named = |first: Key| if first == key { count.max(OWNERS_MIN) } else { count };
        let behind = self.successors.iter().copied();
        if self.successors.cover(self.distance(key), self.frame()) && key != self.me.key {
            return Some(behind.take(named(self.successors[0].key)).collect());
        }
        let count = named(self.me.key).min(CONTACTS_MAX);
        let own = || std::iter::once(self.me).chain(behind).take(count).collect();
        self.owns(key).then(own)
    }

    /// The nodes that are known nearest before `key`, the nearest first.
    pub(super) fn preceding(&self, key: Key) -> [Option<Contact>; ALTERNATES] {
        let limit = self.distance(key);
        let before = |contact: &Contact| self.distance(contact.key) < limit;
        let mut nearest: [Option<Contact>; ALTERNATES] = [None; ALTERNATES];
        let successors = self.successors.iter().rev().copied().filter(before).take(ALTERNATES);
        let fingers = self.fingers.before(limit).filter(before).take(2 * ALTERNATES);
        for contact in fingers.chain(successors) {
            let distance = self.distance(contact.key);
            let place = nearest
                .iter()
                .position(|other| other.is_none_or(|other| self.distance(other.key) <= distance));
            if let Some(place) = place
                && nearest[place].is_none_or(|other| other.key != contact.key)
            {
                nearest[place..].rotate_right(1);
                nearest[place] = Some(contact);
            }
        }
        nearest
    }

    /// The node that is known nearest before `key`, except `tried`.
    fn nearest_before(&self, key: Key, tried: &[Contact]) -> Option<Contact> {
        let limit = self.distance(key);
        let fits = |it: &Contact| self.distance(it.key) < limit && !tried.contains(it);
        let finger = self.fingers.before(limit).find(fits);
        // Behind the last successor the fingers know better.
        let beyond = |it: &Contact| self.successors.end_before(self.distance(it.key), self.frame());
        match finger {
            Some(finger) if beyond(&finger) => Some(finger),
            finger => {
                let successor = self.successors.iter().rev().copied().find(fits);
                let distance = |it: &Contact| self.distance(it.key);
                finger.into_iter().chain(successor).max_by_key(distance)
            }
        }
    }

    /// Begins a lookup.
    pub(super) fn look_up(
        &mut self,
        key: Key,
        purpose: Purpose,
        trace: bool,
        cx: &mut Context<'_, Self>,
    ) {
        let key = self.settings.circle.wrap(key);
        if self.standing == Standing::Outside {
            return self.give_up(purpose, Failure::Outside, cx);
        }
        let passed_on = self.standing == Standing::Member
            && self.settings.routing != Routing::Iterative
            && !trace;
        let walk = (!passed_on).then(|| Box::new(Walk::new(trace)));
        let Some(id) = self.begin(key, purpose, walk, cx) else { return };
        if self.standing == Standing::Member
            && let Some(contacts) = self.owners(key)
        {
            let hops = u32::from(contacts.first() != Some(&self.me));
            return self.complete(id, contacts, hops, cx);
        }
        if passed_on {
            let wait = (self.rtt.wait(0) * RECURSIVE_WAITS).clamp(RECURSIVE_MIN, RECURSIVE_MAX);
            self.timers.set(Timer::Lookup(id), cx.now.after(wait));
            self.pass_on(id, key, None, 0, &[], cx);
            return;
        }
        self.seed(id);
        self.set_out(id, cx);
    }

    /// Looks up who owns a key by now, to give it what is held under it, if there is room: nobody waits for it, and
    /// strangers may have caused it.
    pub(super) fn look_for_owner(&mut self, key: Key, cx: &mut Context<'_, Self>) {
        if self.lookups.len() < MENDING_MAX {
            self.look_up(key, Purpose::Mend, false, cx);
        }
    }

    /// Begins a lookup at another node, whatever this one knows.
    pub(super) fn look_up_from(
        &mut self,
        from: Contact,
        key: Key,
        purpose: Purpose,
        cx: &mut Context<'_, Self>,
    ) {
        let mut walk = Walk::new(false);
        walk.restarts = RESTARTS;
        walk.begin(vec![Candidate::new(Some(from.key), from.address)]);
        let Some(id) = self.begin(key, purpose, Some(Box::new(walk)), cx) else { return };
        self.set_out(id, cx);
    }

    fn begin(
        &mut self,
        key: Key,
        purpose: Purpose,
        walk: Option<Box<Walk>>,
        cx: &mut Context<'_, Self>,
    ) -> Option<u64> {
        if self.lookups.len() >= LOOKUPS_MAX {
            self.give_up(purpose, Failure::Busy, cx);
            return None;
        }
        let id = cx.secrets.number();
        let lookup = Lookup {
            key,
            purpose,
            passed_on: walk.is_none(),
            walk,
            holders: Vec::new(),
            heard: false,
            missed: false,
        };
        self.lookups.push(id, Box::new(lookup));
        Some(id)
    }

    /// Puts those whom this node knows before a lookup.
    fn seed(&mut self, id: u64) {
        let Some(key) = self.lookups.get(id).map(|lookup| lookup.key) else { return };
        let mut known: Vec<Candidate> = if self.standing == Standing::Member {
            let nearest = self.preceding(key).into_iter().flatten();
            nearest.map(|it| Candidate::new(Some(it.key), it.address)).collect()
        } else {
            let via = self.more.as_ref().map_or(&[][..], |more| &more.via);
            via.iter().map(|&address| Candidate::new(None, address)).collect()
        };
        known.reverse();
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.walk().begin(known);
        }
    }

    /// Begins to go itself.
    fn set_out(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        self.timers.set(Timer::Lookup(id), cx.now.after(WALK_MAX));
        self.step(id, cx);
    }

    /// Asks the next node.
    fn step(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        loop {
            let circle = self.settings.circle;
            let Some(lookup) = self.lookups.get_mut(id) else { return };
            let target = lookup.key;
            let walk = lookup.walk();
            if walk.hops >= HOPS_MAX {
                return self.lookup_failed(id, Failure::Unreachable, cx);
            }
            let Some(candidate) = walk.next(circle, target) else {
                if walk.restarts >= RESTARTS {
                    return self.lookup_failed(id, Failure::Unreachable, cx);
                }
                walk.restarts += 1;
                self.seed(id);
                if self.lookups.get_mut(id).is_some_and(|lookup| !lookup.walk().has_candidates()) {
                    return self.lookup_failed(id, Failure::Unreachable, cx);
                }
                continue;
            };
            let question = |nonce| Body::Next { nonce, key: target };
            let Candidate { key, address, misses, .. } = candidate;
            if !self.ask_at(key, address, misses, For::Lookup(id), question, cx) {
                return self.lookup_failed(id, Failure::Busy, cx);
            }
            return;
        }
    }

    /// A node has named nodes that are nearer.
    pub(super) fn stepped(
        &mut self,
        id: u64,
        asked: Option<Key>,
        address: Address,
        round_trip: Duration,
        contacts: &[Contact],
        cx: &mut Context<'_, Self>,
    ) {
        let (circle, me) = (self.settings.circle, self.me.key);
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let target = lookup.key;
        let walk = lookup.walk();
        walk.answered(address, round_trip);
        walk.named(asked, contacts, circle, target, me);
        self.step(id, cx);
    }

    /// A node has named the owner.
    pub(super) fn arrived(
        &mut self,
        id: u64,
        asked: Option<Key>,
        address: Address,
        round_trip: Duration,
        contacts: Vec<Contact>,
        cx: &mut Context<'_, Self>,
    ) {
        let circle = self.settings.circle;
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let target = lookup.key;
        let walk = lookup.walk();
        walk.answered(address, round_trip);
        let Some(&first) = contacts.first() else { return self.step(id, cx) };
        // Who names itself is the owner, and was counted already.
        let itself = asked == Some(first.key);
        let hops = walk.hops + u32::from(!itself);
        if !itself {
            walk.ends_at(first, circle.distance(first.key, target));
        }
        self.complete(id, contacts, hops, cx);
    }

    /// A node has not answered.
    pub(super) fn step_failed(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.walk().missed();
        self.step(id, cx);
    }

    /// Passes a lookup on, or answers it. `tried` have not taken it. False if there is no room for that.
    pub(super) fn pass_on(
        &mut self,
        lookup: u64,
        key: Key,
        origin: Option<Address>,
        hops: u8,
        tried: &[Contact],
        cx: &mut Context<'_, Self>,
    ) -> bool {
        if let Some(origin) = origin
            && let Some(contacts) = self.owners(key)
        {
            let hops = hops.saturating_add((contacts.first() != Some(&self.me)).into());
            cx.send(origin, Message { to: None, body: Body::Found { lookup, hops, contacts } });
            return true;
        }
        let next = self.nearest_before(key, tried);
        // Without anybody left, or on a way without end, the asker will notice.
        let Some(next) = next.filter(|_| u32::from(hops) < HOPS_MAX) else { return true };
        let hops = hops + 1;
        if self.settings.routing == Routing::Blind {
            let body = Body::Route { nonce: 0, lookup, key, origin, hops };
            cx.send(next.address, Message { to: Some(next.key), body });
            return true;
        }
        let tried = [tried, &[next]].concat();
        let passing = Passing { lookup, key, origin, hops: hops - 1, tried };
        let what = For::Pass(Box::new(passing));
        self.ask(next, what, |nonce| Body::Route { nonce, lookup, key, origin, hops }, cx)
    }

    /// Who should have passed a lookup on did not take it.
    pub(super) fn pass_again(&mut self, passing: Passing, cx: &mut Context<'_, Self>) {
        let Passing { lookup, key, origin, hops, tried } = passing;
        self.pass_on(lookup, key, origin, hops, &tried, cx);
    }

    /// The answer to a recursive lookup.
    pub(super) fn found(
        &mut self,
        id: u64,
        hops: u8,
        contacts: Vec<Contact>,
        cx: &mut Context<'_, Self>,
    ) {
        let waiting = self.lookups.get(id).is_some_and(|lookup| lookup.passed_on);
        if waiting && !contacts.is_empty() {
            self.complete(id, contacts, hops.into(), cx);
        }
    }

    /// A recursive lookup has not been answered: this node goes itself. An iterative one has taken too long.
    pub(super) fn lookup_overdue(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        if !lookup.passed_on {
            return self.lookup_failed(id, Failure::Unreachable, cx);
        }
        lookup.passed_on = false;
        self.seed(id);
        self.set_out(id, cx);
    }

    /// The owner is known.
    fn complete(&mut self, id: u64, contacts: Vec<Contact>, hops: u32, cx: &mut Context<'_, Self>) {
        self.timers.clear(Timer::Lookup(id));
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.passed_on = false;
        if let Purpose::Put(_) | Purpose::Get(_) = lookup.purpose {
            lookup.holders = contacts;
            lookup.holders.truncate(HOLDERS_MAX);
            lookup.holders.reverse();
            return self.next_holder(id, cx);
        }
        let Some(lookup) = self.lookups.take(id) else { return };
        match lookup.purpose {
            Purpose::Caller(ticket) => {
                let route = lookup.walk.and_then(|walk| walk.route).unwrap_or_default();
                let key = lookup.key;
                cx.tell(Event::Located { ticket, key, holders: contacts, hops, route });
            }
            Purpose::Join => self.join_found(&contacts, cx),
            Purpose::Finger(exponent) => self.finger_found(exponent, &contacts, cx),
            Purpose::Audit => self.audited(&contacts, cx),
            Purpose::Mend => self.mend(lookup.key, &contacts, cx),
            Purpose::Put(_) | Purpose::Get(_) => unreachable!("they go on above"),
        }
    }

    /// Takes a value to the next holder, or asks it for one.
    fn next_holder(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let key = lookup.key;
        let Some(holder) = lookup.holders.pop() else {
            let Lookup { heard, missed, .. } = *lookup;
            let Some(lookup) = self.lookups.take(id) else { return };
            return match (lookup.purpose, heard) {
                (Purpose::Get(ticket), true) if !missed => {
                    cx.tell(Event::Value { ticket, value: None });
                }
                (purpose @ Purpose::Put(_), true) => self.give_up(purpose, Failure::Full, cx),
                (purpose, _) => self.give_up(purpose, Failure::Unreachable, cx),
            };
        };
        let own = holder.key == self.me.key;
        match lookup.purpose.clone() {
            Purpose::Put(putting) if own => self.store_own(id, key, *putting, cx),
            Purpose::Put(putting) => {
                let Putting { value, lifetime, .. } = *putting;
                let copies = self.settings.copies;
                let offer = Box::new(Offer { key, stamp: 0, lifetime, value });
                let body = |nonce| Body::Store { nonce, copies, offer };
                if !self.ask(holder, For::Store(id), body, cx) {
                    self.lookup_failed(id, Failure::Busy, cx);
                }
            }
            _ if own => {
                let value = self.held_value(key, cx.now);
                self.fetched(id, value, cx);
            }
            _ => {
                if !self.ask(holder, For::Fetch(id), |nonce| Body::Fetch { nonce, key }, cx) {
                    self.lookup_failed(id, Failure::Busy, cx);
                }
            }
        }
    }

    /// A holder has the value.
    pub(super) fn stored(&mut self, id: u64, copies: u8, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.take(id) else { return };
        if let Purpose::Put(putting) = lookup.purpose
            && let Some(ticket) = putting.ticket
        {
            cx.tell(Event::Stored { ticket, copies });
        }
    }

    /// A holder has no room.
    pub(super) fn not_stored(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.heard = true;
        }
        self.next_holder(id, cx);
    }

    /// A holder has said what it holds.
    pub(super) fn fetched(&mut self, id: u64, value: Option<Bytes>, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.heard = true;
        if value.is_none() {
            return self.next_holder(id, cx);
        }
        let Some(lookup) = self.lookups.take(id) else { return };
        if let Purpose::Get(ticket) = lookup.purpose {
            cx.tell(Event::Value { ticket, value });
        }
    }

    /// A holder has not answered.
    pub(super) fn holder_missed(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.missed = true;
        }
        self.next_holder(id, cx);
    }

    fn lookup_failed(&mut self, id: u64, why: Failure, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.take(id) else { return };
        self.timers.clear(Timer::Lookup(id));
        self.give_up(lookup.purpose, why, cx);
    }

    fn give_up(&mut self, purpose: Purpose, why: Failure, cx: &mut Context<'_, Self>) {
        let ticket = match purpose {
            Purpose::Caller(ticket) | Purpose::Get(ticket) => Some(ticket),
            Purpose::Put(putting) => putting.ticket,
            Purpose::Join => return self.join_failed(why, cx),
            // The next round tries again.
            Purpose::Finger(_) | Purpose::Audit | Purpose::Mend => None,
        };
        if let Some(ticket) = ticket {
            cx.tell(Event::Failed { ticket, why });
        }
    }

    /// How many lookups are under way.
    pub fn pending_lookups(&self) -> usize {
        self.lookups.len()
    }
}
