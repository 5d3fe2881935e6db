//! Values under keys: held by the key's owner and by the nodes behind it, for as long as they live.
//!
//! The owner makes the copies and renews them; a node that becomes the owner of a key is given what
//! is held under it by the one that was (`handover`). Nothing lies on disk: a value lives as long as one of its
//! holders, and as its publisher puts it again.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use nigh_base::{Address, Key, Time, machine::Context};

use super::{Node, Timer, lookup::Purpose, message::Body, request::For};
use crate::locate::{
    Contact, Event, Failure, LIFETIME_MAX, Ticket, VALUE_MAX,
    codec::Nonce,
    holdings::{Asker, Copying, Offer, Putting, Taken},
};

impl Node {
    pub(super) fn put(
        &mut self,
        ticket: Ticket,
        key: Key,
        value: Bytes,
        lifetime: Duration,
        refresh: bool,
        cx: &mut Context<'_, Self>,
    ) {
        if value.len() > VALUE_MAX {
            return cx.tell(Event::Failed { ticket, why: Failure::ValueTooLong });
        }
        let lifetime = lifetime.min(LIFETIME_MAX);
        if refresh {
            if !self.more().holdings.publish(key, value.clone(), lifetime, cx.now) {
                return cx.tell(Event::Failed { ticket, why: Failure::Busy });
            }
            self.keep_holdings(cx.now);
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
        cx: &mut Context<'_, Self>,
    ) {
        if let Some(copies) = self.more().holdings.made_for(from, nonce) {
            // The network has doubled it, or the copies take longer than its asker waits.
            return Self::reply(from, Body::Stored { nonce, copies }, cx);
        }
        if self.is_leaving() {
            return Self::reply(from, Body::Full { nonce }, cx);
        }
        let key = offer.key;
        match self.more().holdings.take(offer, copies == 0, cx.now) {
            Taken::Held => {}
            Taken::Outdated => return Self::reply(from, Body::Stored { nonce, copies: 0 }, cx),
            Taken::Refused => return Self::reply(from, Body::Full { nonce }, cx),
        }
        self.keep_holdings(cx.now);
        if copies == 0 {
            return Self::reply(from, Body::Stored { nonce, copies: 1 }, cx);
        }
        // Who asks may know less of this ring than its nodes: a visitor has no settings of it.
        let copies = copies.min(self.settings.copies);
        self.copy(key, copies, nonce, Asker::Peer(from), cx);
    }

    /// This node is the owner of what it puts itself.
    pub(super) fn store_own(
        &mut self,
        id: u64,
        key: Key,
        putting: Putting,
        cx: &mut Context<'_, Self>,
    ) {
        let Putting { value, lifetime, .. } = putting;
        let offer = Offer { key, stamp: 0, lifetime, value };
        if self.more().holdings.take(offer, false, cx.now) != Taken::Held {
            return self.not_stored(id, cx);
        }
        self.keep_holdings(cx.now);
        let (copies, nonce) = (self.settings.copies, cx.secrets.number());
        self.copy(key, copies, nonce, Asker::Own(id), cx);
    }

    /// Makes the copies of a value, and tells `asker` when it is done.
    fn copy(
        &mut self,
        key: Key,
        copies: u8,
        nonce: Nonce,
        asker: Asker,
        cx: &mut Context<'_, Self>,
    ) {
        let count = usize::from(copies.saturating_sub(1));
        let holders: Vec<Contact> = self.successors.iter().take(count).copied().collect();
        if let Err(done) = self.more().holdings.begin_copying(nonce, asker, holders.len()) {
            return self.made(done, cx);
        }
        for holder in holders {
            if !self.send_copy(holder, key, Some(nonce), cx) {
                self.copied(nonce, false, cx);
            }
        }
    }

    fn send_copy(
        &mut self,
        to: Contact,
        key: Key,
        asker: Option<Nonce>,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        self.send_value(to, key, For::Copy(asker), cx)
    }

    /// Sends what is held under `key`; false if that is nothing, or too much is asked already.
    pub(super) fn send_value(
        &mut self,
        to: Contact,
        key: Key,
        what: For,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        let Some(offer) = self.more().holdings.offer(key, cx.now) else { return false };
        let body = |nonce| Body::Store { nonce, copies: 0, offer: Box::new(offer) };
        self.ask(to, what, body, cx)
    }

    /// Somebody has said that it holds a value, too.
    pub(super) fn kept_by(&mut self, address: Address, key: Key) {
        if let Some(more) = &mut self.more {
            more.holdings.kept_by(address, key);
        }
    }

    /// What nobody else is known to hold: all but what one of `others` keeps, and copies that their
    /// owner has renewed.
    pub(super) fn orphans(&self, others: &BTreeSet<Address>, now: Time) -> Vec<Key> {
        let Some(more) = &self.more else { return Vec::new() };
        let has_other = |key| self.predecessor.is_some() && !self.owns(key);
        more.holdings.orphans(others, now, has_other)
    }

    /// A copy was made, or was not.
    pub(super) fn copied(&mut self, nonce: Nonce, made: bool, cx: &mut Context<'_, Self>) {
        if let Some(done) = self.more().holdings.copied(nonce, made) {
            self.made(done, cx);
        }
    }

    pub(super) fn made(&mut self, done: Copying, cx: &mut Context<'_, Self>) {
        match done.asker {
            Asker::Peer(address) => {
                let body = Body::Stored { nonce: done.nonce, copies: done.made };
                Self::reply(address, body, cx);
            }
            Asker::Own(id) => self.stored(id, done.made, cx),
        }
    }

    pub(super) fn held_value(&self, key: Key, now: Time) -> Option<Bytes> {
        Some(self.more.as_ref()?.holdings.offer(key, now)?.value)
    }

    /// Sees to it that what is held is gone through.
    pub(super) fn keep_holdings(&mut self, now: Time) {
        if let Some(turn) = self.more.as_mut().and_then(|more| more.holdings.next_turn(now)) {
            self.timers.set(Timer::Hold, turn);
        }
    }

    /// The turn of some of what is held: what is over goes, what is this node's own is renewed with
    /// its copies, what has lost its owner goes to the new one, what was published is put again.
    pub(super) fn keep_up(&mut self, cx: &mut Context<'_, Self>) {
        let now = cx.now;
        let holdings = &mut self.more().holdings;
        let (batch, due) = (holdings.turn(now), holdings.due(now));
        for (key, is_forgotten) in batch {
            if self.owns(key) {
                let count = usize::from(self.settings.copies - 1);
                let holders: Vec<Contact> = self.successors.iter().take(count).copied().collect();
                for holder in holders {
                    self.send_copy(holder, key, None, cx);
                }
            } else if is_forgotten {
                self.look_for_owner(key, cx);
            }
        }
        for (key, putting) in due {
            self.look_up(key, Purpose::Put(Box::new(putting)), false, cx);
        }
        self.keep_holdings(now);
    }

    /// The owner of a value that was not renewed is known.
    pub(super) fn mend(&mut self, key: Key, owners: &[Contact], cx: &mut Context<'_, Self>) {
        if let Some(&owner) = owners.first()
            && owner.key != self.me.key
        {
            self.send_copy(owner, key, None, cx);
        }
    }
}
