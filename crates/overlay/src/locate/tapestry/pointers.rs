//! Who holds a value: pointers along the way from each holder to the owner. JSAC 2004, section III.C.
//!
//! ```text
//! h -> a: Publish key   a -> h: Onward b   a -> h: Has key   h -> a: Holds    a points to h
//! h -> b: Publish key   b -> h: Onward -   ...                                 b, the owner, does too
//! ```
//! A question for the value on its way to the owner ends where somebody points to a holder. A pointer
//! is nobody's word but the holder's own, and is forgotten unless the holder publishes again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nigh_base::{Address, Key, Time};

use super::{
    Geometry, Node,
    message::{Errand, Level, Words},
};
use crate::locate::{
    Contact,
    codec::Nonce,
    kademlia::host::Host,
    node::{
        For,
        geometry::{Cx, Geometry as _, Step},
        message::Body,
    },
};

/// Keys under which a node points to holders; what would be beyond that is found with the owner.
const KEYS_MAX: usize = 32_768;
/// Holders of one key; the nearest stay.
const OF_A_KEY: usize = 4;
/// A holder that does not publish again for so long is not pointed to any more.
const LIFETIME: Duration = Duration::from_secs(600);
/// How often a holder publishes.
const EVERY: Duration = Duration::from_secs(240);
/// When it does so after a node on the way has not answered.
const RETRY: Duration = Duration::from_secs(30);
/// For so long a holder that publishes again need not say once more that it has the value.
const VERIFIED_FOR: Duration = Duration::from_secs(1200);
/// So many who publish are asked at once whether they have the value; others publish again.
const ASKED_MAX: usize = 32;
/// Of them, those of one host, which need not answer.
const ASKED_OF_HOST: usize = 8;
/// Holders that were found gone since the last round; pointers to more of them end by themselves.
const GONE_MAX: usize = 256;
/// Keys that are published in one round: with rounds of 5 s, up to 3,072 keys within [`EVERY`]. Pointers
/// to more than 7,680 lapse before their turn comes again.
const A_ROUND: usize = 64;
/// Keys that a node publishes: as many as it may hold, and put again.
const DUE_MAX: usize = 65_536 + 1024;

#[derive(Clone, Copy, Debug, Hash)]
struct Pointer {
    holder: Contact,
    round_trip: Duration,
    /// When the holder said that it has the value.
    said: Time,
    until: Time,
}

/// The pointers of a node, and what it publishes itself.
#[derive(Debug, Default, Hash)]
pub(super) struct Pointers {
    /// Under each key the nearest first.
    by_key: BTreeMap<Key, Vec<Pointer>>,
    /// Nobody is sent to these any more. Pointers to them are forgotten with the next round: to look for them in all
    /// at once would let anybody who goes and comes keep this node busy.
    gone: BTreeSet<Contact>,
    /// When each value is to be published again.
    due: BTreeMap<Key, Time>,
    /// Where the next turn of those begins.
    next: Key,
    /// Who is asked whether it has a value.
    asking: Vec<Address>,
}

impl Pointers {
    pub(super) fn len(&self) -> usize {
        self.by_key.values().map(Vec::len).sum()
    }

    fn holders(&self, key: Key, now: Time) -> impl Iterator<Item = Contact> {
        let pointers = self.by_key.get(&key).into_iter().flatten();
        let is_there = move |it: &&Pointer| it.until > now && !self.gone.contains(&it.holder);
        pointers.filter(is_there).map(|it| it.holder)
    }

    /// A holder publishes: whether it is pointed to, and that for longer now.
    fn renewed(&mut self, key: Key, holder: Contact, now: Time) -> bool {
        let pointer =
            self.by_key.get_mut(&key).into_iter().flatten().find(|it| it.holder == holder);
        let Some(pointer) = pointer.filter(|it| now.since(it.said) < VERIFIED_FOR) else {
            return false;
        };
        pointer.until = now.after(LIFETIME);
        true
    }

    /// Whether one more may be asked whether it has a value. Nodes of a local network may share an address.
    fn may_ask(&self, holder: Address) -> bool {
        let of_host = Host::of_one_place(holder)
            .map_or(0, |host| self.asking.iter().filter(|it| Host::of(**it) == host).count());
        self.asking.len() < ASKED_MAX && of_host < ASKED_OF_HOST
    }

    /// One that was asked has answered, or has not.
    fn end_asking(&mut self, holder: Address) {
        if let Some(place) = self.asking.iter().position(|it| *it == holder) {
            self.asking.swap_remove(place);
        }
    }

    /// One who published was asked whether it has the value, and has said so.
    pub(super) fn answered(&mut self, key: Key, by: Contact, asked: Time, is_so: bool, now: Time) {
        self.end_asking(by.address);
        let has_room = self.by_key.len() < KEYS_MAX || self.by_key.contains_key(&key);
        if !has_room {
            return;
        }
        self.gone.remove(&by);
        let pointers = self.by_key.entry(key).or_default();
        pointers.retain(|it| it.holder != by);
        if is_so {
            let round_trip = now.since(asked);
            let place = pointers.partition_point(|it| it.round_trip <= round_trip);
            let pointer = Pointer { holder: by, round_trip, said: now, until: now.after(LIFETIME) };
            pointers.insert(place, pointer);
            pointers.truncate(OF_A_KEY);
        }
        if pointers.is_empty() {
            self.by_key.remove(&key);
        }
    }

    /// Those whose time is over, or whose holder is gone, are forgotten.
    pub(super) fn forget(&mut self, now: Time) {
        let gone = std::mem::take(&mut self.gone);
        self.by_key.retain(|_, pointers| {
            pointers.retain(|it| it.until > now && !gone.contains(&it.holder));
            !pointers.is_empty()
        });
    }

    /// A node is gone.
    pub(super) fn lost(&mut self, holder: Contact) {
        if self.gone.len() < GONE_MAX {
            self.gone.insert(holder);
        }
    }

    /// What is to be published again now: each key in its turn, so that none waits for ever behind others.
    fn turn(&mut self, now: Time) -> Vec<Key> {
        let (behind, before) = (self.due.range(self.next..), self.due.range(..self.next));
        let due = behind.chain(before).filter(|(_, at)| **at <= now).map(|(&key, _)| key);
        let turn: Vec<Key> = due.take(A_ROUND).collect();
        if let Some(last) = turn.last() {
            self.next = last.plus(Key::from(1));
        }
        turn
    }

    /// A node on the way did not answer.
    pub(super) fn publish_again(&mut self, key: Key, now: Time) {
        if let Some(due) = self.due.get_mut(&key) {
            *due = now.after(RETRY);
        }
    }

    pub(super) fn check(&self) {
        assert!(self.by_key.len() <= KEYS_MAX, "too many pointers");
        for pointers in self.by_key.values() {
            assert!((1..=OF_A_KEY).contains(&pointers.len()), "too many holders of one key");
            assert!(pointers.is_sorted_by_key(|it| it.round_trip), "the nearest is first");
        }
        assert!(self.due.len() <= DUE_MAX, "too much is published");
        assert!(self.asking.len() <= ASKED_MAX, "too many are asked whether they have a value");
        assert!(self.gone.len() <= GONE_MAX, "too many are gone");
    }
}

impl Node {
    /// Whom a question for the value need not go beyond: this node itself, or those to whom it points.
    pub(super) fn holders_known(&self, key: Key, carry: Level, now: Time) -> Vec<Contact> {
        if !carry.wants_holders || !self.settings().pointers {
            return Vec::new();
        }
        let me = self.served_value(key, now).map(|_| self.contact());
        me.into_iter().chain(self.geometry.pointers.holders(key, now)).take(OF_A_KEY).collect()
    }

    /// This node holds a value: the first on the way to its owner is to point here, and then the others.
    pub(super) fn publish(&mut self, key: Key, cx: &mut Cx<'_, Geometry>) {
        let is_wanted = self.settings().pointers;
        let due = &mut self.geometry.pointers.due;
        if !is_wanted || (due.len() >= DUE_MAX && !due.contains_key(&key)) {
            return;
        }
        due.insert(key, cx.now.after(EVERY));
        // The owner is asked in any case.
        if let Some(step) = Geometry::next_hop(self, key, Level::default(), &[]) {
            self.ask_to_point(step, key, cx);
        }
    }

    /// What is due is published again, unless it is not held any more.
    pub(super) fn publish_due(&mut self, cx: &mut Cx<'_, Geometry>) {
        for key in self.geometry.pointers.turn(cx.now) {
            if self.served_value(key, cx.now).is_some() {
                self.publish(key, cx);
            } else {
                self.geometry.pointers.due.remove(&key);
            }
        }
    }

    fn ask_to_point(&mut self, to: Step<Level>, key: Key, cx: &mut Cx<'_, Geometry>) {
        let level = to.carry.level;
        let errand = Errand::Publish { key, level };
        let question = |nonce| Body::Own(Words::Publish { nonce, key, level });
        if !self.ask(to.contact, For::Own(errand), question, cx) {
            self.geometry.pointers.publish_again(key, cx.now);
        }
    }

    /// A node on the way has named the next, at which more digits are resolved.
    pub(super) fn publish_onward(
        &mut self,
        key: Key,
        level: u8,
        step: Option<Step<Level>>,
        cx: &mut Cx<'_, Geometry>,
    ) {
        if let Some(step) = step
            && step.carry.level > level
            && step.contact.address != self.contact().address
        {
            self.ask_to_point(step, key, cx);
        }
    }

    /// A holder wants to be pointed to: it is asked whether it has the value.
    pub(super) fn leave_pointer(
        &mut self,
        to: Address,
        sender: Option<Contact>,
        nonce: Nonce,
        (key, level): (Key, u8),
        cx: &mut Cx<'_, Geometry>,
    ) {
        let carry = Level { level, wants_holders: false };
        let step = Geometry::next_hop(self, key, carry, &[]);
        self.say(to, Body::Own(Words::Onward { nonce, step }), cx);
        let Some(sender) = sender.filter(|it| self.may_be(*it, cx)) else { return };
        if !self.geometry.pointers.renewed(key, sender, cx.now) {
            self.ask_whether_it_has(sender, key, false, cx);
        }
    }

    fn ask_whether_it_has(
        &mut self,
        holder: Contact,
        key: Key,
        is_repeat: bool,
        cx: &mut Cx<'_, Geometry>,
    ) {
        if !self.geometry.pointers.may_ask(holder.address) {
            return;
        }
        let errand = Errand::Point { key, holder, asked: cx.now, is_repeat };
        let question = |nonce| Body::Own(Words::Has { nonce, key });
        if self.ask(holder, For::Own(errand), question, cx) {
            self.geometry.pointers.asking.push(holder.address);
        }
    }

    /// One who published has not answered whether it has the value: it is asked once more.
    pub(super) fn has_not_said(
        &mut self,
        holder: Contact,
        key: Key,
        is_repeat: bool,
        cx: &mut Cx<'_, Geometry>,
    ) {
        self.geometry.pointers.end_asking(holder.address);
        if !is_repeat && self.may_be(holder, cx) {
            self.ask_whether_it_has(holder, key, true, cx);
        }
    }

    pub(super) fn say_whether_it_has(
        &mut self,
        to: Address,
        nonce: Nonce,
        key: Key,
        cx: &mut Cx<'_, Geometry>,
    ) {
        let is_so = self.served_value(key, cx.now).is_some();
        self.say(to, Body::Own(Words::Holds { nonce, is_so }), cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_has_its_turn_however_much_that_is() {
        let mut pointers = Pointers::default();
        // More than have their turn within one interval.
        let keys = (0..4_000u32).map(|number| Key::of(&number.to_be_bytes()));
        let mut published: BTreeMap<Key, Time> = keys.map(|key| (key, Time::START)).collect();
        pointers.due = published.keys().map(|&key| (key, Time::START.after(EVERY))).collect();
        for round in 1..=400 {
            let now = Time::from_secs(5 * round);
            let turn = pointers.turn(now);
            assert!(turn.len() <= A_ROUND);
            for key in turn {
                pointers.due.insert(key, now.after(EVERY));
                published.insert(key, now);
            }
            assert!(published.values().all(|at| now.since(*at) <= LIFETIME), "round {round}");
        }
    }
}
