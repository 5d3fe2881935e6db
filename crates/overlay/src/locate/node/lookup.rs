//! From a key to its owner, and to what lies there.
//!
//! ```text
//! recursive   n -> a: Route  a -> n: Taken    a -> b: Route  b -> a: Taken   b -> n: Found
//! iterative   n -> a: Next   a -> n: Closer   n -> b: Next   b -> n: Owner
//! ```
//! A node that does not take a question in time is gone round at once. Only the owner itself says
//! that it is the owner. A lookup for a value may end on its way with holders that a node there knows
//! ([`Geometry::pointed`]): if none of them has it, the asker goes on to the owner. That nothing is held is said
//! only if no holder was silent.

use std::time::Duration;

use bytes::Bytes;
use nigh_base::{Address, Key};

use super::{
    Node, Routing, Standing, Timer,
    geometry::{Cx, Geometry, Step},
    message::{Body, STEPS_MAX},
    request::For,
    walk::{Candidate, HOPS_MAX, Walk},
};
use crate::locate::{
    Contact, Event, Failure, Ticket,
    holdings::{Offer, Putting},
    pending::Pending,
};

/// Lookups of one node at once; more are refused.
const LOOKUPS_MAX: usize = 256;
/// Of them, those that may be under way when one more begins that only spreads what is held.
const MENDING_MAX: usize = LOOKUPS_MAX / 2;
/// So often a lookup that has run dry begins anew.
const RESTARTS: u32 = 2;
/// Holders that are tried for a value.
const HOLDERS_MAX: usize = 4;
/// So many nodes are tried for a lookup that is passed on.
const TRIED_MAX: usize = 6;
/// How long a recursive lookup may take: so many waits for one answer, within these bounds.
const RECURSIVE_WAITS: u32 = 8;
const RECURSIVE_MIN: Duration = Duration::from_secs(2);
const RECURSIVE_MAX: Duration = Duration::from_secs(10);
/// How long an iterative one may. Sixteen ways in that are all silent take 48 s.
const WALK_MAX: Duration = Duration::from_secs(60);

/// What a lookup is for.
#[derive(Clone, Debug, Hash)]
pub(super) enum Purpose {
    Caller(Ticket),
    /// The node nearest to this one, which is no member yet.
    Join,
    /// The same as seen from elsewhere, or who is near another place.
    Audit,
    Put(Box<Putting>),
    Get(Ticket),
    /// A value whose owner does not seem to hold it.
    Mend,
    /// A place near which the geometry wants links.
    Place,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Lookup<C> {
    key: Key,
    purpose: Purpose,
    /// What its way begins with.
    begin: C,
    /// How the asker itself goes; none unless it does.
    walk: Option<Box<Walk<C>>>,
    /// Once the owner is known: those to be asked for the value, the next last.
    holders: Vec<Contact>,
    /// Whether the owner was not asked: these were named on the way.
    are_pointed: bool,
    /// Whether one of the holders has answered, though not with the value.
    heard: bool,
    /// Whether one of them has not: it may have the value.
    missed: bool,
}

/// A lookup of another node that this one passes on.
#[derive(Clone, Debug, Hash)]
pub(in crate::locate) struct Passing<C> {
    lookup: u64,
    key: Key,
    carry: C,
    origin: Option<Address>,
    hops: u8,
    tried: Vec<Key>,
}

impl<C> Passing<C> {
    /// Whether it is one of this node.
    pub(super) const fn is_own(&self) -> bool {
        self.origin.is_none()
    }
}

/// Panics if they have outgrown their limits.
pub(super) fn check<C: Copy + Default + PartialEq>(lookups: &Pending<Lookup<C>>) {
    assert!(lookups.len() <= LOOKUPS_MAX, "too many lookups");
    lookups.iter().filter_map(|lookup| lookup.walk.as_ref()).for_each(|walk| walk.check());
}

impl<G: Geometry> Node<G> {
    /// Begins a lookup.
    pub(super) fn look_up(&mut self, key: Key, purpose: Purpose, trace: bool, cx: &mut Cx<'_, G>) {
        let carry = match purpose {
            Purpose::Get(_) => G::begin_get(),
            _ => G::Carry::default(),
        };
        self.look_up_with(key, purpose, carry, trace, cx);
    }

    /// Begins a lookup that carries this.
    pub(super) fn look_up_with(
        &mut self,
        key: Key,
        purpose: Purpose,
        carry: G::Carry,
        trace: bool,
        cx: &mut Cx<'_, G>,
    ) {
        if self.standing == Standing::Outside {
            return self.give_up(purpose, Failure::Outside, cx);
        }
        let is_own = matches!(purpose, Purpose::Join | Purpose::Audit);
        let passed_on =
            self.is_member() && self.common().routing == Routing::Recursive && !trace && !is_own;
        let walk = (!passed_on).then(|| Box::new(Walk::new(trace)));
        let Some(id) = self.begin(key, purpose, carry, walk, cx) else { return };
        if self.is_member() && !is_own && self.is_owner(key, carry, &[]) {
            return self.complete(id, self.holders(key), 0, cx);
        }
        let pointed = G::pointed(self, key, carry, cx.now);
        if self.is_member() && !pointed.is_empty() {
            return self.try_holders(id, pointed, 0, cx);
        }
        if passed_on {
            let wait = (self.rtt.wait(0) * RECURSIVE_WAITS).clamp(RECURSIVE_MIN, RECURSIVE_MAX);
            self.timers.set(Timer::Lookup(id), cx.now.after(wait));
            let (origin, tried) = (None, Vec::new());
            self.pass_on(Passing { lookup: id, key, carry, origin, hops: 0, tried }, cx);
            return;
        }
        self.seed(id);
        self.set_out(id, cx);
    }

    /// Looks up where a lookup that begins so ends, and gives that node what this one holds under `key`, if there
    /// is room: nobody waits for it, and strangers may have caused it.
    pub(in crate::locate) fn take_to(&mut self, key: Key, begin: G::Carry, cx: &mut Cx<'_, G>) {
        if self.lookups.len() < MENDING_MAX {
            self.look_up_with(key, Purpose::Mend, begin, false, cx);
        }
    }

    /// Looks up where a lookup of `key` that begins so ends but at this node; the overlay is told who is there.
    pub(in crate::locate) fn look_near(&mut self, key: Key, begin: G::Carry, cx: &mut Cx<'_, G>) {
        self.look_up_with(key, Purpose::Audit, begin, false, cx);
    }

    /// Looks up the node nearest to this one as another sees it.
    pub(in crate::locate) fn look_from(&mut self, other: Contact, cx: &mut Cx<'_, G>) {
        let mut walk = Walk::new(false);
        walk.restarts = RESTARTS;
        walk.begin(vec![Candidate::next(Step { contact: other, carry: G::Carry::default() })]);
        let (walk, carry) = (Some(Box::new(walk)), G::Carry::default());
        if let Some(id) = self.begin(self.me.key, Purpose::Audit, carry, walk, cx) {
            self.set_out(id, cx);
        }
    }

    /// Looks up who is responsible for a place near which the geometry wants links:
    /// [`Geometry::located`] follows, unless nobody on the way answers.
    pub(in crate::locate) fn look_for(&mut self, place: Key, cx: &mut Cx<'_, G>) {
        self.look_up(place, Purpose::Place, false, cx);
    }

    fn begin(
        &mut self,
        key: Key,
        purpose: Purpose,
        begin: G::Carry,
        mut walk: Option<Box<Walk<G::Carry>>>,
        cx: &mut Cx<'_, G>,
    ) -> Option<u64> {
        if self.lookups.len() >= LOOKUPS_MAX {
            self.give_up(purpose, Failure::Busy, cx);
            return None;
        }
        if let (Purpose::Join | Purpose::Audit, Some(walk)) = (&purpose, &mut walk) {
            walk.without.push(self.me.key);
        }
        let id = cx.secrets.number();
        let (holders, are_pointed, heard, missed) = (Vec::new(), false, false, false);
        let lookup = Lookup { key, purpose, begin, walk, holders, are_pointed, heard, missed };
        self.lookups.push(id, Box::new(lookup));
        Some(id)
    }

    /// Puts those whom this node knows before a lookup.
    fn seed(&mut self, id: u64) {
        let Some(lookup) = self.lookups.get(id) else { return };
        let without = lookup.walk.as_ref().map_or(&[][..], |walk| &walk.without);
        let begin = lookup.begin;
        let hops = match self.is_member() {
            true => self.next_hops(lookup.key, begin, without),
            false => Vec::new(),
        };
        let mut known: Vec<Candidate<G::Carry>> = hops.into_iter().map(Candidate::next).collect();
        if known.is_empty() {
            known = self.via.iter().map(|&address| Candidate::at(address, begin)).collect();
        }
        known.reverse();
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.walk.get_or_insert_default().begin(known);
        }
    }

    /// Begins to go itself.
    fn set_out(&mut self, id: u64, cx: &mut Cx<'_, G>) {
        self.timers.set(Timer::Lookup(id), cx.now.after(WALK_MAX));
        self.step(id, cx);
    }

    /// Asks the next node.
    fn step(&mut self, id: u64, cx: &mut Cx<'_, G>) {
        loop {
            let Some(lookup) = self.lookups.get_mut(id) else { return };
            let (key, begin) = (lookup.key, lookup.begin);
            let is_own = matches!(lookup.purpose, Purpose::Join | Purpose::Audit);
            let walk = lookup.walk.get_or_insert_default();
            if let Some(next) = walk.next(|node| G::gap(node, key)) {
                let Candidate { key: to, address, carry, .. } = next;
                let without = walk.without.clone();
                let question = |nonce| Body::Next { nonce, key, carry, without };
                if !self.ask_at(to, address, For::Lookup(id), question, cx) {
                    self.lookup_failed(id, Failure::Busy, cx);
                }
                return;
            }
            if walk.restarts >= RESTARTS {
                return self.lookup_failed(id, Failure::Unreachable, cx);
            }
            walk.restarts += 1;
            let without = walk.without.clone();
            if self.is_member() && !is_own && self.is_owner(key, begin, &without) {
                // All who are nearer are silent.
                return self.complete(id, self.holders_without(key, &without), 0, cx);
            }
            self.seed(id);
            let walk = self.lookups.get_mut(id).and_then(|lookup| lookup.walk.as_ref());
            if walk.is_none_or(|walk| !walk.has_candidates()) {
                return self.lookup_failed(id, Failure::Unreachable, cx);
            }
        }
    }

    /// A node has named nodes that are nearer.
    pub(super) fn stepped(
        &mut self,
        id: u64,
        by: Contact,
        round_trip: Duration,
        steps: &[Step<G::Carry>],
        cx: &mut Cx<'_, G>,
    ) {
        let me = self.me.address;
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let walk = lookup.walk.get_or_insert_default();
        walk.answered(by, round_trip);
        walk.named(by, steps, me);
        self.step(id, cx);
    }

    /// A node has said that it is the owner.
    pub(super) fn arrived(
        &mut self,
        id: u64,
        by: Contact,
        round_trip: Duration,
        mut contacts: Vec<Contact>,
        cx: &mut Cx<'_, G>,
    ) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let walk = lookup.walk.get_or_insert_default();
        walk.answered(by, round_trip);
        let hops = walk.hops;
        match contacts.first_mut() {
            // It is reached where it was asked, whatever address it gives itself.
            Some(first) if first.key == by.key => *first = by,
            _ => return self.step(id, cx),
        }
        self.complete(id, contacts, hops, cx);
    }

    /// A node has not answered.
    pub(super) fn step_failed(&mut self, id: u64, cx: &mut Cx<'_, G>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.walk.get_or_insert_default().missed();
        self.step(id, cx);
    }

    /// The next node on the way to `key`, as if `without` were not there; none if it is this one.
    fn next_hop(&self, key: Key, carry: G::Carry, without: &[Key]) -> Option<Step<G::Carry>> {
        G::next_hop(self, key, carry, without)
    }

    /// Whether a lookup of `key` that carries this ends at this node, as if `without` were not there.
    fn is_owner(&self, key: Key, carry: G::Carry, without: &[Key]) -> bool {
        self.next_hop(key, carry, without).is_none() && !G::is_dead_end(self, key, carry)
    }

    /// The next node on the way to `key`, and those who would be if it were not there.
    pub(in crate::locate) fn next_hops(
        &self,
        key: Key,
        carry: G::Carry,
        without: &[Key],
    ) -> Vec<Step<G::Carry>> {
        let mut without = without.to_vec();
        let mut hops = Vec::with_capacity(STEPS_MAX);
        while hops.len() < STEPS_MAX
            && let Some(next) = self.next_hop(key, carry, &without)
        {
            without.push(next.contact.key);
            hops.push(next);
        }
        hops
    }

    /// Whether this node is responsible for `key`, as far as it knows.
    pub(in crate::locate) fn owns(&self, key: Key) -> bool {
        self.is_owner(key, G::Carry::default(), &[])
    }

    /// Who holds what lies under `key`, by the settings of this node.
    pub(super) fn holders(&self, key: Key) -> Vec<Contact> {
        G::nearest(self, key, self.common().copies.into())
    }

    /// The same as if `without` were not there, and this node, which owns `key` then, were first.
    pub(in crate::locate) fn holders_without(&self, key: Key, without: &[Key]) -> Vec<Contact> {
        let count = usize::from(self.common().copies);
        let mut holders = G::nearest(self, key, count + without.len());
        holders.retain(|it| !without.contains(&it.key) && *it != self.me);
        holders.insert(0, self.me);
        holders.truncate(count);
        holders
    }

    /// Answers the step of somebody's walk.
    pub(super) fn name_next(
        &mut self,
        to: Address,
        nonce: u64,
        (key, carry): (Key, G::Carry),
        without: &[Key],
        cx: &mut Cx<'_, G>,
    ) {
        let steps = self.next_hops(key, carry, without);
        let pointed = G::pointed(self, key, carry, cx.now);
        let body = if !pointed.is_empty() {
            Body::Holders { nonce, contacts: pointed }
        } else if steps.is_empty() && !G::is_dead_end(self, key, carry) {
            Body::Owner { nonce, contacts: self.holders_without(key, without) }
        } else {
            Body::Closer { nonce, steps }
        };
        self.say(to, body, cx);
        // They may be dead, or only out of the asker's reach.
        without.iter().for_each(|&key| self.suspect_on_a_word(key, cx));
    }

    /// Somebody wants a lookup passed on. False if there is no room for that.
    pub(super) fn route(
        &mut self,
        lookup: u64,
        (key, carry): (Key, G::Carry),
        origin: Address,
        hops: u8,
        cx: &mut Cx<'_, G>,
    ) -> bool {
        let (origin, tried) = (Some(origin), Vec::new());
        self.pass_on(Passing { lookup, key, carry, origin, hops, tried }, cx)
    }

    /// Passes a lookup on, or answers it. False if there is no room for that.
    fn pass_on(&mut self, mut passing: Passing<G::Carry>, cx: &mut Cx<'_, G>) -> bool {
        let Passing { lookup, key, carry, origin, hops, .. } = passing;
        let contacts = G::pointed(self, key, carry, cx.now);
        if !contacts.is_empty() {
            match origin {
                Some(origin) => self.say(origin, Body::FoundHolders { lookup, hops, contacts }, cx),
                None => self.try_holders(lookup, contacts, 0, cx),
            }
            return true;
        }
        let Some(next) = self.next_hop(key, carry, &passing.tried) else {
            if G::is_dead_end(self, key, carry) {
                // An own one goes by the ways in. The asker of another one will notice: if each who has passed it on
                // tried others, one question would become very many round a hole.
                if origin.is_none() {
                    self.lookup_overdue(lookup, cx);
                }
                return true;
            }
            let contacts = self.holders_without(key, &passing.tried);
            match origin {
                Some(origin) => self.say(origin, Body::Found { lookup, hops, contacts }, cx),
                None => self.complete(lookup, contacts, 0, cx),
            }
            return true;
        };
        // On a way without end, or without anybody who answers, the asker will notice.
        if u32::from(hops) >= HOPS_MAX || passing.tried.len() >= TRIED_MAX {
            return true;
        }
        let Step { contact, carry } = next;
        passing.tried.push(contact.key);
        let hops = hops + 1;
        let what = For::Pass(Box::new(passing));
        let body = |nonce| Body::Route { nonce, lookup, key, carry, origin, hops };
        self.ask(contact, what, body, cx)
    }

    /// Who should have passed a lookup on did not take it. An own one may be answered all the same.
    pub(super) fn pass_again(&mut self, passing: Passing<G::Carry>, cx: &mut Cx<'_, G>) {
        if self.is_member() && (!passing.is_own() || self.waits_for_found(passing.lookup)) {
            self.pass_on(passing, cx);
        }
    }

    /// The answer to a recursive lookup.
    pub(super) fn found(&mut self, id: u64, hops: u8, contacts: Vec<Contact>, cx: &mut Cx<'_, G>) {
        if self.waits_for_found(id) && !contacts.is_empty() {
            self.complete(id, contacts, hops.into(), cx);
        }
    }

    /// A node on the way of a recursive lookup has named holders.
    pub(super) fn found_holders(
        &mut self,
        id: u64,
        hops: u8,
        contacts: Vec<Contact>,
        cx: &mut Cx<'_, G>,
    ) {
        if self.waits_for_found(id) && self.wants_holders(id) && !contacts.is_empty() {
            self.try_holders(id, contacts, hops.into(), cx);
        }
    }

    fn waits_for_found(&self, id: u64) -> bool {
        let waits = |it: &Lookup<G::Carry>| it.walk.is_none() && it.holders.is_empty() && !it.heard;
        self.lookups.get(id).is_some_and(waits)
    }

    /// Whether a lookup may end with others than the owner.
    fn wants_holders(&self, id: u64) -> bool {
        let wants = |it: &Lookup<G::Carry>| it.begin != G::Carry::default();
        self.lookups.get(id).is_some_and(wants)
    }

    /// A node that was asked on the way has named holders.
    pub(super) fn stepped_on_holders(
        &mut self,
        id: u64,
        by: Contact,
        round_trip: Duration,
        contacts: Vec<Contact>,
        cx: &mut Cx<'_, G>,
    ) {
        let wants = self.wants_holders(id);
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let walk = lookup.walk.get_or_insert_default();
        walk.answered(by, round_trip);
        let hops = walk.hops;
        if !wants || contacts.is_empty() {
            return self.step(id, cx);
        }
        self.try_holders(id, contacts, hops, cx);
    }

    /// Holders are known that may have what is looked for, and may not.
    fn try_holders(&mut self, id: u64, contacts: Vec<Contact>, hops: u32, cx: &mut Cx<'_, G>) {
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.are_pointed = true;
            self.complete(id, contacts, hops, cx);
        }
    }

    /// None of the holders that were named on the way has it: the owner is asked after all.
    fn go_on_to_owner(&mut self, id: u64, cx: &mut Cx<'_, G>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        (lookup.are_pointed, lookup.heard, lookup.missed) = (false, false, false);
        lookup.begin = G::Carry::default();
        lookup.walk = Some(Box::new(Walk::new(false)));
        let key = lookup.key;
        if self.is_member() && self.owns(key) {
            return self.complete(id, self.holders(key), 0, cx);
        }
        self.seed(id);
        self.set_out(id, cx);
    }

    /// A recursive lookup has not been answered: this node goes itself. An iterative one has taken too long.
    pub(super) fn lookup_overdue(&mut self, id: u64, cx: &mut Cx<'_, G>) {
        let Some(lookup) = self.lookups.get(id) else { return };
        if lookup.walk.is_some() {
            return self.lookup_failed(id, Failure::Unreachable, cx);
        }
        self.seed(id);
        self.set_out(id, cx);
    }

    /// The owner is known.
    fn complete(&mut self, id: u64, contacts: Vec<Contact>, hops: u32, cx: &mut Cx<'_, G>) {
        self.timers.clear(Timer::Lookup(id));
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        if let Purpose::Put(_) | Purpose::Get(_) = lookup.purpose {
            lookup.holders = contacts;
            lookup.holders.truncate(HOLDERS_MAX);
            lookup.holders.reverse();
            // What the way needed is not needed any more, and no second answer is heard.
            lookup.walk.get_or_insert_default();
            return self.next_holder(id, cx);
        }
        let Some(lookup) = self.lookups.take(id) else { return };
        let key = lookup.key;
        let walk = lookup.walk.map(|walk| *walk).unwrap_or_default();
        match lookup.purpose {
            Purpose::Caller(ticket) => {
                let route = walk.route.unwrap_or_default();
                cx.tell(Event::Located { ticket, key, holders: contacts, hops, route });
            }
            Purpose::Join => self.join_found(contacts[0], walk.passed(), cx),
            Purpose::Audit => G::seen_near(self, lookup.begin, &contacts, cx),
            Purpose::Mend => self.mend(key, contacts[0], cx),
            Purpose::Place => G::located(self, key, contacts[0], cx),
            Purpose::Put(_) | Purpose::Get(_) => unreachable!("they go on above"),
        }
    }

    /// Takes a value to the next holder, or asks it for one.
    fn next_holder(&mut self, id: u64, cx: &mut Cx<'_, G>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let key = lookup.key;
        let Some(holder) = lookup.holders.pop() else {
            if lookup.are_pointed {
                return self.go_on_to_owner(id, cx);
            }
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
        let own = holder == self.me;
        let is_asked = match lookup.purpose.clone() {
            Purpose::Put(putting) if own => return self.store_own(id, key, *putting, cx),
            Purpose::Put(putting) => {
                let Putting { value, lifetime, .. } = *putting;
                let copies = self.common().copies;
                let offer = Box::new(Offer { key, stamp: 0, lifetime, value });
                let body = |nonce| Body::Store { nonce, copies, offer };
                self.ask(holder, For::Store(id), body, cx)
            }
            _ if own => {
                let value = self.served_value(key, cx.now);
                return self.fetched(id, value, cx);
            }
            _ => self.ask(holder, For::Fetch(id), |nonce| Body::Fetch { nonce, key }, cx),
        };
        if !is_asked {
            self.lookup_failed(id, Failure::Busy, cx);
        }
    }

    /// A holder has the value.
    pub(super) fn stored(&mut self, id: u64, copies: u8, cx: &mut Cx<'_, G>) {
        let Some(lookup) = self.lookups.take(id) else { return };
        if let Purpose::Put(putting) = lookup.purpose
            && let Some(ticket) = putting.ticket
        {
            cx.tell(Event::Stored { ticket, copies });
        }
    }

    /// A holder has no room.
    pub(super) fn not_stored(&mut self, id: u64, cx: &mut Cx<'_, G>) {
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.heard = true;
        }
        self.next_holder(id, cx);
    }

    /// A holder has not answered.
    pub(super) fn holder_missed(&mut self, id: u64, cx: &mut Cx<'_, G>) {
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.missed = true;
        }
        self.next_holder(id, cx);
    }

    /// A holder has said what it holds.
    pub(super) fn fetched(&mut self, id: u64, value: Option<Bytes>, cx: &mut Cx<'_, G>) {
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

    fn lookup_failed(&mut self, id: u64, why: Failure, cx: &mut Cx<'_, G>) {
        let Some(lookup) = self.lookups.take(id) else { return };
        self.timers.clear(Timer::Lookup(id));
        self.give_up(lookup.purpose, why, cx);
    }

    fn give_up(&mut self, purpose: Purpose, why: Failure, cx: &mut Cx<'_, G>) {
        let ticket = match purpose {
            Purpose::Caller(ticket) | Purpose::Get(ticket) => Some(ticket),
            Purpose::Put(putting) => putting.ticket,
            Purpose::Join => return self.join_again(cx),
            // A later round tries again.
            Purpose::Audit | Purpose::Mend | Purpose::Place => None,
        };
        if let Some(ticket) = ticket {
            cx.tell(Event::Failed { ticket, why });
        }
    }
}
