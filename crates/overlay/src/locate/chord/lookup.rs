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
    message::{Body, CONTACTS_MAX, Message, Offer},
    request::For,
};
use crate::locate::{Contact, Event, Failure, Hop, Ticket};

/// Nodes named in one answer: the next, and who may stand in for it.
const ALTERNATES: usize = 3;
/// Lookups of one node at once; more are refused.
const LOOKUPS_MAX: usize = 256;
/// Nodes that a lookup has yet to ask; the farthest are forgotten.
const CANDIDATES_MAX: usize = 16;
/// A way is given up after so many nodes: in a ring without fingers it visits all of them.
const HOPS_MAX: u32 = 200;
/// So often a node is asked for the next in one lookup.
const MISSES_MAX: u32 = 3;
/// So often a lookup that has run dry begins anew.
const RESTARTS: u32 = 2;
/// Holders that are tried for a value, beside the first.
const HOLDERS_MAX: usize = 4;
/// How long a recursive lookup may take: so many waits for one answer, within these bounds.
const RECURSIVE_WAITS: u32 = 8;
const RECURSIVE_MIN: Duration = Duration::from_secs(2);

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

/// A value on its way to its holders; without a ticket, put again by itself.
#[derive(Clone, Debug, Hash)]
pub(super) struct Putting {
    pub(super) ticket: Option<Ticket>,
    pub(super) value: Bytes,
    pub(super) lifetime: Duration,
}

#[derive(Clone, Debug, Hash)]
struct Candidate {
    key: Option<Key>,
    address: Address,
    named_by: Option<u32>,
    /// How often it was asked and did not answer.
    misses: u32,
}

#[derive(Clone, Debug, Hash)]
struct Lookup {
    key: Key,
    purpose: Purpose,
    /// The nearest before the key last.
    candidates: Vec<Candidate>,
    /// Those who were asked and did not answer: asked again when nobody else is left, since a
    /// datagram may have been lost.
    missed: Vec<Candidate>,
    /// Who is being asked.
    asking: Option<Candidate>,
    /// How far before the key the nearest lies that has answered: whoever lies farther is not asked
    /// any more, unless it was named before. Otherwise those on the way would be named again and
    /// again while the one behind them does not answer.
    reached: Option<Key>,
    hops: u32,
    restarts: u32,
    /// Whether others pass it on, so that no step of it is waited for.
    passed_on: bool,
    route: Option<Vec<Hop>>,
    /// Once the owner is known: those to be asked for the value, the next last.
    holders: Vec<Contact>,
    heard: bool,
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

/// The lookups of a node, by secret number.
#[derive(Debug, Default, Hash)]
pub(super) struct Lookups(Vec<(u64, Box<Lookup>)>);

impl Lookups {
    fn get(&mut self, id: u64) -> Option<&mut Lookup> {
        self.0.iter_mut().find(|(other, _)| *other == id).map(|(_, lookup)| &mut **lookup)
    }

    fn take(&mut self, id: u64) -> Option<Box<Lookup>> {
        let place = self.0.iter().position(|(other, _)| *other == id)?;
        Some(self.0.swap_remove(place).1)
    }

    pub(super) fn check(&self) {
        assert!(self.0.len() <= LOOKUPS_MAX, "too many lookups");
        for (_, lookup) in &self.0 {
            assert!(lookup.candidates.len() <= CANDIDATES_MAX, "too many candidates");
            assert!(lookup.hops <= HOPS_MAX, "a way without end");
        }
    }
}

impl Node {
    /// The owner of `key` and those behind it, if this node knows.
    pub(super) fn owners(&self, key: Key) -> Option<Vec<Contact>> {
        let count = usize::from(self.settings.copies).max(self.settings.proximity);
        let behind = self.successors.iter().copied();
        if self.successors.cover(self.distance(key), self.frame()) && key != self.me.key {
            return Some(behind.take(count).collect());
        }
        let count = count.min(CONTACTS_MAX);
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
        let Some(id) = self.begin(key, purpose, trace, passed_on, cx) else { return };
        if self.standing == Standing::Member
            && let Some(contacts) = self.owners(key)
        {
            let hops = u32::from(contacts.first() != Some(&self.me));
            return self.complete(id, contacts, hops, cx);
        }
        if passed_on {
            let wait = self.rtt.wait(0) * RECURSIVE_WAITS;
            self.timers.set(Timer::Lookup(id), cx.now.after(wait.max(RECURSIVE_MIN)));
            return self.pass_on(id, key, None, 0, &[], cx);
        }
        self.seed(id);
        self.step(id, cx);
    }

    /// Begins a lookup at another node, whatever this one knows.
    pub(super) fn look_up_from(
        &mut self,
        from: Contact,
        key: Key,
        purpose: Purpose,
        cx: &mut Context<'_, Self>,
    ) {
        let Some(id) = self.begin(key, purpose, false, false, cx) else { return };
        if let Some(lookup) = self.lookups.get(id) {
            let (key, address) = (Some(from.key), from.address);
            lookup.candidates.push(Candidate { key, address, named_by: None, misses: 0 });
            lookup.restarts = RESTARTS;
        }
        self.step(id, cx);
    }

    fn begin(
        &mut self,
        key: Key,
        purpose: Purpose,
        trace: bool,
        passed_on: bool,
        cx: &mut Context<'_, Self>,
    ) -> Option<u64> {
        if self.lookups.0.len() >= LOOKUPS_MAX {
            self.give_up(purpose, Failure::Busy, cx);
            return None;
        }
        let id = cx.secrets.number();
        let lookup = Lookup {
            key,
            purpose,
            candidates: Vec::new(),
            missed: Vec::new(),
            asking: None,
            reached: None,
            hops: 0,
            restarts: 0,
            passed_on,
            route: trace.then(Vec::new),
            holders: Vec::new(),
            heard: false,
        };
        let lookups = &mut self.lookups.0;
        if lookups.len() == lookups.capacity() {
            // As with questions: mostly one at a time.
            lookups.reserve_exact(1 + lookups.len() / 2);
        }
        lookups.push((id, Box::new(lookup)));
        Some(id)
    }

    /// Puts those whom this node knows before a lookup.
    fn seed(&mut self, id: u64) {
        let Some(key) = self.lookups.get(id).map(|lookup| lookup.key) else { return };
        let candidate = |key, address| Candidate { key, address, named_by: None, misses: 0 };
        let mut known: Vec<Candidate> = if self.standing == Standing::Member {
            let nearest = self.preceding(key).into_iter().flatten();
            nearest.map(|it| candidate(Some(it.key), it.address)).collect()
        } else {
            let via = self.more.as_ref().map_or(&[][..], |more| &more.via);
            via.iter().map(|&address| candidate(None, address)).collect()
        };
        known.reverse();
        if let Some(lookup) = self.lookups.get(id) {
            lookup.candidates = known;
            lookup.missed.clear();
            lookup.reached = None;
        }
    }

    /// Asks the next node.
    fn step(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        loop {
            let circle = self.settings.circle;
            let Some(lookup) = self.lookups.get(id) else { return };
            if lookup.hops >= HOPS_MAX {
                return self.lookup_failed(id, Failure::Unreachable, cx);
            }
            let Some(candidate) = lookup.next_candidate() else {
                if lookup.restarts >= RESTARTS {
                    return self.lookup_failed(id, Failure::Unreachable, cx);
                }
                lookup.restarts += 1;
                self.seed(id);
                if self.lookups.get(id).is_some_and(|lookup| lookup.candidates.is_empty()) {
                    return self.lookup_failed(id, Failure::Unreachable, cx);
                }
                continue;
            };
            let target = lookup.key;
            if let Some(route) = &mut lookup.route {
                route.push(Hop {
                    key: candidate.key,
                    address: candidate.address,
                    round_trip: None,
                    named_by: candidate.named_by,
                    gap: candidate.key.map(|key| circle.distance(key, target)),
                });
            }
            let question = |nonce| Body::Next { nonce, key: target };
            lookup.asking = Some(candidate.clone());
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
        let Some(lookup) = self.lookups.get(id) else { return };
        lookup.answered(address, round_trip);
        let (key, named_by) = (lookup.key, lookup.last_hop());
        let gap = |from: Key| circle.distance(from, key);
        let reached = lookup.reached.into_iter().chain(asked.map(gap)).min();
        lookup.reached = reached;
        for contact in contacts {
            let nearer = reached.is_none_or(|reached| gap(contact.key) < reached);
            let mut known = lookup.candidates.iter().chain(&lookup.missed);
            // Several nodes of one host share its address.
            let known = known.any(|it| {
                it.address == contact.address && it.key.is_none_or(|key| key == contact.key)
            });
            if !nearer || known || contact.key == me {
                continue;
            }
            let (key, address) = (Some(contact.key), contact.address);
            let candidate = Candidate { key, address, named_by, misses: 0 };
            let place = lookup
                .candidates
                .partition_point(|it| it.key.is_none_or(|other| gap(other) > gap(contact.key)));
            lookup.candidates.insert(place, candidate);
            if lookup.candidates.len() > CANDIDATES_MAX {
                lookup.candidates.remove(0);
            }
        }
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
        let Some(lookup) = self.lookups.get(id) else { return };
        lookup.answered(address, round_trip);
        let Some(first) = contacts.first() else { return self.step(id, cx) };
        // Who names itself is the owner, and was counted already.
        let itself = asked == Some(first.key);
        let (hops, target) = (lookup.hops + u32::from(!itself), lookup.key);
        let named_by = lookup.last_hop();
        if let Some(route) = &mut lookup.route
            && !itself
        {
            let circle = self.settings.circle;
            route.push(Hop {
                key: Some(first.key),
                address: first.address,
                round_trip: None,
                named_by,
                gap: Some(circle.distance(first.key, target)),
            });
        }
        self.complete(id, contacts, hops, cx);
    }

    /// A node has not answered.
    pub(super) fn step_failed(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get(id) else { return };
        if let Some(mut asked) = lookup.asking.take() {
            asked.misses += 1;
            // The latest missed is the nearest before the key.
            if lookup.missed.len() < CANDIDATES_MAX {
                lookup.missed.push(asked);
            }
        }
        self.step(id, cx);
    }

    /// Passes a lookup on, or answers it. `tried` have not taken it.
    pub(super) fn pass_on(
        &mut self,
        lookup: u64,
        key: Key,
        origin: Option<Address>,
        hops: u8,
        tried: &[Contact],
        cx: &mut Context<'_, Self>,
    ) {
        if let Some(origin) = origin
            && let Some(contacts) = self.owners(key)
        {
            let hops = hops.saturating_add((contacts.first() != Some(&self.me)).into());
            return cx
                .send(origin, Message { to: None, body: Body::Found { lookup, hops, contacts } });
        }
        let next = self.nearest_before(key, tried);
        // Without anybody left, or on a way without end, the asker will notice.
        let Some(next) = next.filter(|_| u32::from(hops) < HOPS_MAX) else { return };
        let hops = hops + 1;
        if self.settings.routing == Routing::Blind {
            let body = Body::Route { nonce: 0, lookup, key, origin, hops };
            return cx.send(next.address, Message { to: Some(next.key), body });
        }
        let tried = [tried, &[next]].concat();
        let passing = Passing { lookup, key, origin, hops: hops - 1, tried };
        let what = For::Pass(Box::new(passing));
        self.ask(next, what, |nonce| Body::Route { nonce, lookup, key, origin, hops }, cx);
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

    /// A recursive lookup has not been answered: this node goes itself.
    pub(super) fn lookup_overdue(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get(id) else { return };
        lookup.passed_on = false;
        self.seed(id);
        self.step(id, cx);
    }

    /// The owner is known.
    fn complete(&mut self, id: u64, contacts: Vec<Contact>, hops: u32, cx: &mut Context<'_, Self>) {
        self.timers.clear(Timer::Lookup(id));
        let Some(lookup) = self.lookups.get(id) else { return };
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
                let (key, route) = (lookup.key, lookup.route.unwrap_or_default());
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
        let Some(lookup) = self.lookups.get(id) else { return };
        let key = lookup.key;
        let Some(holder) = lookup.holders.pop() else {
            let heard = lookup.heard;
            let Some(lookup) = self.lookups.take(id) else { return };
            return match (lookup.purpose, heard) {
                (Purpose::Get(ticket), true) => cx.tell(Event::Value { ticket, value: None }),
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
        if let Some(lookup) = self.lookups.get(id) {
            lookup.heard = true;
        }
        self.next_holder(id, cx);
    }

    /// A holder has said what it holds.
    pub(super) fn fetched(&mut self, id: u64, value: Option<Bytes>, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get(id) else { return };
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
    pub(super) fn holder_failed(&mut self, id: u64, cx: &mut Context<'_, Self>) {
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
        self.lookups.0.len()
    }
}

impl Lookup {
    /// The nearest that was not asked yet; then, again, those that did not answer.
    fn next_candidate(&mut self) -> Option<Candidate> {
        self.candidates.pop().or_else(|| {
            let place = self.missed.iter().rposition(|it| it.misses < MISSES_MAX)?;
            Some(self.missed.remove(place))
        })
    }

    fn answered(&mut self, address: Address, round_trip: Duration) {
        self.hops += 1;
        self.asking = None;
        let hop = self.route.iter_mut().flatten().rfind(|hop| hop.address == address);
        if let Some(hop) = hop {
            hop.round_trip = Some(round_trip);
        }
    }

    /// The place of the latest hop that answered.
    fn last_hop(&self) -> Option<u32> {
        let route = self.route.as_ref()?;
        let place = route.iter().rposition(|hop| hop.round_trip.is_some())?;
        u32::try_from(place).ok()
    }
}
