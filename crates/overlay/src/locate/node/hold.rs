//! Values under keys: held by the owner of the key and those who stand in for it, for as long as they live.
//!
//! The owner makes the copies and renews them. Nothing lies on disk: a value lives as long as one of
//! its holders, and as its publisher puts it again.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use nigh_base::{Address, Key, Time};

use super::{
    Node, Timer,
    geometry::{Cx, Geometry},
    lookup::Purpose,
    message::Body,
    request::{For, What},
};
use crate::locate::{
    Contact, Event, Failure, LIFETIME_MAX, Ticket, VALUE_MAX,
    codec::Nonce,
    holdings::{Asker, Copying, Holdings, Offer, Putting, Taken},
};

impl<G: Geometry> Node<G> {
    pub(super) fn put(
        &mut self,
        ticket: Ticket,
        key: Key,
        value: Bytes,
        lifetime: Duration,
        refresh: bool,
        cx: &mut Cx<'_, G>,
    ) {
        if value.len() > VALUE_MAX {
            return cx.tell(Event::Failed { ticket, why: Failure::ValueTooLong });
        }
        let lifetime = lifetime.min(LIFETIME_MAX);
        if refresh {
            if !self.holdings.publish(key, value.clone(), lifetime, cx.now) {
                return cx.tell(Event::Failed { ticket, why: Failure::Busy });
            }
            self.keep_holdings(cx.now);
            if G::PUBLISHERS_SERVE && self.is_member() {
                G::holds(self, key, cx);
            }
        }
        let putting = Putting { ticket: Some(ticket), value, lifetime };
        self.look_up(key, Purpose::Put(Box::new(putting)), false, cx);
    }

    /// A peer wants a value held.
    pub(super) fn store(
        &mut self,
        from: Address,
        nonce: Nonce,
        offer: Offer,
        copies: u8,
        cx: &mut Cx<'_, G>,
    ) {
        if let Some(copies) = self.holdings.made_for(from, nonce) {
            // The network has doubled it, or the copies take longer than its asker waits.
            return self.say(from, Body::Stored { nonce, copies }, cx);
        }
        if self.handing.is_leaving() {
            return self.say(from, Body::Full { nonce }, cx);
        }
        let key = offer.key;
        match self.holdings.take(offer, copies == 0, cx.now) {
            Taken::Held => {}
            Taken::Outdated => return self.say(from, Body::Stored { nonce, copies: 0 }, cx),
            Taken::Refused => return self.say(from, Body::Full { nonce }, cx),
        }
        self.keep_holdings(cx.now);
        G::holds(self, key, cx);
        if copies == 0 {
            return self.say(from, Body::Stored { nonce, copies: 1 }, cx);
        }
        // Who asks may know less of this overlay than its nodes: a visitor has no settings of it.
        let copies = copies.min(self.common().copies);
        self.copy(key, copies, nonce, Asker::Peer(from), cx);
    }

    /// This node is the owner of what it puts itself.
    pub(super) fn store_own(&mut self, id: u64, key: Key, putting: Putting, cx: &mut Cx<'_, G>) {
        let Putting { value, lifetime, .. } = putting;
        let offer = Offer { key, stamp: 0, lifetime, value };
        if self.holdings.take(offer, false, cx.now) != Taken::Held {
            return self.not_stored(id, cx);
        }
        self.keep_holdings(cx.now);
        G::holds(self, key, cx);
        let (copies, nonce) = (self.common().copies, cx.secrets.number());
        self.copy(key, copies, nonce, Asker::Own(id), cx);
    }

    /// Makes the copies of a value, and tells `asker` when it is done.
    fn copy(&mut self, key: Key, copies: u8, nonce: Nonce, asker: Asker, cx: &mut Cx<'_, G>) {
        if self.owns(key) {
            G::renews(self, key, cx);
        }
        let count = usize::from(copies.saturating_sub(1));
        let holders = self.others(key, count);
        if let Err(done) = self.holdings.begin_copying(nonce, asker, holders.len()) {
            return self.made(done, cx);
        }
        for holder in holders {
            if !self.send_value(holder, key, For::Copy(Some(nonce)), cx) {
                self.copied(nonce, false, cx);
            }
        }
    }

    /// The first `count` other nodes that stand in for the owner of `key`.
    pub(super) fn others(&self, key: Key, count: usize) -> Vec<Contact> {
        let mut others = G::nearest(self, key, count + 1);
        others.retain(|it| *it != self.me);
        others.truncate(count);
        others
    }

    /// Sends what is held under `key`; false if that is nothing, or too much is asked already.
    pub(super) fn send_value(
        &mut self,
        to: Contact,
        key: Key,
        what: What<G>,
        cx: &mut Cx<'_, G>,
    ) -> bool {
        let Some(offer) = self.holdings.offer(key, cx.now) else { return false };
        let body = |nonce| Body::Store { nonce, copies: 0, offer: Box::new(offer) };
        self.ask(to, what, body, cx)
    }

    /// Somebody has said that it holds a value, too.
    pub(super) fn kept_by(&mut self, address: Address, key: Key) {
        self.holdings.kept_by(address, key);
    }

    /// What nobody else is known to hold: all but what one of `others` keeps, and copies that their
    /// owner has renewed.
    pub(super) fn orphans(&self, others: &BTreeSet<Address>, now: Time) -> Vec<Key> {
        self.holdings.orphans(others, now, |key| !self.owns(key))
    }

    /// A copy was made, or was not.
    pub(super) fn copied(&mut self, nonce: Nonce, made: bool, cx: &mut Cx<'_, G>) {
        if let Some(done) = self.holdings.copied(nonce, made) {
            self.made(done, cx);
        }
    }

    fn made(&mut self, done: Copying, cx: &mut Cx<'_, G>) {
        match done.asker {
            Asker::Peer(address) => {
                let body = Body::Stored { nonce: done.nonce, copies: done.made };
                self.say(address, body, cx);
            }
            Asker::Own(id) => self.stored(id, done.made, cx),
        }
    }

    pub(in crate::locate) fn held_value(&self, key: Key, now: Time) -> Option<Bytes> {
        Some(self.holdings.offer(key, now)?.value)
    }

    /// What this node gives to those who ask for a value: what it holds, or publishes.
    pub(in crate::locate) fn served_value(&self, key: Key, now: Time) -> Option<Bytes> {
        let published = || self.holdings.published(key).filter(|_| G::PUBLISHERS_SERVE);
        self.held_value(key, now).or_else(published)
    }

    /// Sees to it that what is held is gone through.
    fn keep_holdings(&mut self, now: Time) {
        if let Some(turn) = self.holdings.next_turn(now) {
            self.timers.set(Timer::Hold, turn);
        }
    }

    /// The turn of some of what is held: what is over goes, what is this node's own is renewed with
    /// its copies, what has lost its owner goes to the new one, what was published is put again.
    pub(super) fn keep_up(&mut self, cx: &mut Cx<'_, G>) {
        let now = cx.now;
        let (batch, due) = (self.holdings.turn(now), self.holdings.due(now));
        for (key, is_forgotten) in batch {
            if self.owns(key) {
                for holder in self.others(key, usize::from(self.common().copies - 1)) {
                    self.send_value(holder, key, For::Copy(None), cx);
                }
                G::renews(self, key, cx);
            } else if is_forgotten {
                self.take_to(key, G::Carry::default(), cx);
            }
        }
        for (key, putting) in due {
            self.look_up(key, Purpose::Put(Box::new(putting)), false, cx);
        }
        self.keep_holdings(now);
    }

    /// The owner of a value that was not renewed is known.
    pub(super) fn mend(&mut self, key: Key, owner: Contact, cx: &mut Cx<'_, G>) {
        if owner != self.me {
            self.send_value(owner, key, For::Mend, cx);
        }
    }

    /// The owner has it: who is not among those nearest to it any more need not keep it.
    pub(super) fn mended(&mut self, key: Key, now: Time) {
        if !G::stands_in(self, key, self.common().copies.into()) {
            self.holdings.drop_item(key);
        } else {
            self.holdings.renewed(key, now);
        }
    }

    /// What a node that has left held is held by others. Who waits for copies is told how many there are.
    pub(super) fn drop_holdings(&mut self, cx: &mut Cx<'_, G>) {
        for copying in self.holdings.end_copying() {
            self.made(copying, cx);
        }
        self.holdings = Holdings::default();
    }
}
