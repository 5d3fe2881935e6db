//! Values under keys: held by the nodes nearest to the key, for as long as they live.
//!
//! The owner makes the copies and renews them. Nothing lies on disk: a value lives as long as one of
//! its holders, and as its publisher puts it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use nigh_base::{Address, Key, Time, machine::Context};

use super::{
    Node, Timer,
    lookup::{Purpose, Putting},
    message::{Body, Nonce, Offer},
    request::For,
};
use crate::locate::{Contact, Event, Failure, LIFETIME_MAX, Ticket, VALUE_MAX};

/// Values that a node holds, and their bytes in all; more are refused.
const VALUES_MAX: usize = 65_536;
const BYTES_MAX: usize = 64 << 20;
/// Values that a node puts again by itself.
const PUBLISHED_MAX: usize = 1024;
/// Puts whose copies are being made.
const COPYING_MAX: usize = 256;
/// The highest stamp of a value: more than any owner counts up to. A copy that claims a higher one is
/// refused.
const STAMP_MAX: u64 = u64::MAX / 2;
/// Values that are looked at in one go: a burst of copies that a network takes.
const BATCH: usize = 64;
/// How often that is done, if there are few; with more of them it is done oftener, so that all have
/// their turn within half of [`FORGOTTEN`].
const HOLD_EVERY: Duration = Duration::from_secs(30);
/// But not oftener than that, which is 640 values a second.
const HOLD_MIN: Duration = Duration::from_millis(100);
/// A copy that was not renewed for so long has lost its owner.
const FORGOTTEN: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, Hash)]
struct Item {
    value: Bytes,
    stamp: u64,
    until: Time,
    renewed: Time,
    /// Whether it came from its owner, who holds it, too.
    is_copy: bool,
    /// The latest that has said it holds the value, too.
    kept_by: Option<Address>,
}

#[derive(Clone, Debug, Hash)]
struct Published {
    value: Bytes,
    lifetime: Duration,
    due: Time,
}

/// Who waits for copies to be made.
#[derive(Clone, Copy, Debug, Hash)]
enum Asker {
    Peer(Address),
    /// A lookup of this node.
    Own(u64),
}

#[derive(Clone, Debug, Hash)]
struct Copying {
    nonce: Nonce,
    asker: Asker,
    left: u8,
    made: u8,
}

/// What became of a value that was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Held,
    /// A newer one is held under the key, and stays.
    Outdated,
    /// There is no room, or it is stamped as nobody stamps.
    Refused,
}

/// What a node holds.
#[derive(Debug, Default, Hash)]
pub(super) struct Holdings {
    items: BTreeMap<Key, Item>,
    bytes: usize,
    published: BTreeMap<Key, Published>,
    copying: Vec<Copying>,
    /// Where the next turn begins.
    next: Key,
    waiting: bool,
}

impl Holdings {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.items.keys().copied()
    }

    /// Takes a value in: a copy under the stamp that its owner gave it, another under the next one.
    fn take(&mut self, offer: Offer, is_copy: bool, now: Time) -> Taken {
        let Offer { key, stamp, lifetime, value } = offer;
        let until = now.after(lifetime.min(LIFETIME_MAX));
        let old = self.items.get(&key).map(|old| (old.stamp, old.value.len()));
        let stamp = match old {
            _ if is_copy && stamp > STAMP_MAX => return Taken::Refused,
            Some((old, _)) if is_copy && old > stamp => return Taken::Outdated,
            _ if is_copy => stamp.max(1),
            Some((old, _)) => (old + 1).min(STAMP_MAX),
            None => 1,
        };
        let bytes = self.bytes - old.map_or(0, |(_, length)| length) + value.len();
        if bytes > BYTES_MAX || (old.is_none() && self.items.len() >= VALUES_MAX) {
            return Taken::Refused;
        }
        self.bytes = bytes;
        self.items.insert(key, Item { value, stamp, until, renewed: now, is_copy, kept_by: None });
        Taken::Held
    }

    fn offer(&self, key: Key, now: Time) -> Option<Offer> {
        let item = self.items.get(&key).filter(|item| item.until > now)?;
        let lifetime = item.until.since(now);
        Some(Offer { key, stamp: item.stamp, lifetime, value: item.value.clone() })
    }

    fn drop_item(&mut self, key: Key) {
        if let Some(item) = self.items.remove(&key) {
            self.bytes -= item.value.len();
        }
    }

    /// The values whose turn it is, and when each was renewed. Those whose lifetime is over are
    /// dropped.
    fn turn(&mut self, now: Time) -> Vec<(Key, Time)> {
        let (behind, before) = (self.items.range(self.next..), self.items.range(..self.next));
        let batch: Vec<(Key, Time, Time)> = behind
            .chain(before)
            .take(BATCH)
            .map(|(&key, item)| (key, item.renewed, item.until))
            .collect();
        if let Some(&(last, ..)) = batch.last() {
            self.next = last.plus(Key::from(1));
        }
        let mut turn = Vec::with_capacity(batch.len());
        for (key, renewed, until) in batch {
            if until > now {
                turn.push((key, renewed));
            } else {
                self.drop_item(key);
            }
        }
        turn
    }

    /// What was published and is to be put again.
    fn due(&mut self, now: Time) -> Vec<(Key, Putting)> {
        let due = self.published.iter_mut().filter(|(_, it)| it.due <= now).take(BATCH);
        due.map(|(&key, it)| {
            it.due = now.after(it.lifetime / 2);
            let (value, lifetime) = (it.value.clone(), it.lifetime);
            (key, Putting { ticket: None, value, lifetime })
        })
        .collect()
    }

    /// When the next turn comes.
    fn pause(&self) -> Duration {
        let turns = u32::try_from(self.items.len().div_ceil(BATCH)).expect("few values");
        (FORGOTTEN / 2 / turns.max(1)).clamp(HOLD_MIN, HOLD_EVERY)
    }

    pub(super) fn check(&self) {
        let bytes: usize = self.items.values().map(|item| item.value.len()).sum();
        assert_eq!(bytes, self.bytes, "bytes are miscounted");
        let stamps = 1..=STAMP_MAX;
        assert!(self.items.values().all(|item| stamps.contains(&item.stamp)), "a stamp of nobody");
        assert!(self.items.len() <= VALUES_MAX && self.bytes <= BYTES_MAX, "too much is held");
        assert!(self.copying.len() <= COPYING_MAX, "too many copies are being made");
    }
}

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
            let published = &mut self.holdings.published;
            if published.len() >= PUBLISHED_MAX && !published.contains_key(&key) {
                return cx.tell(Event::Failed { ticket, why: Failure::Busy });
            }
            let due = cx.now.after(lifetime / 2);
            published.insert(key, Published { value: value.clone(), lifetime, due });
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
        if self.holdings.copying.iter().any(|it| it.nonce == nonce) {
            // The network has doubled it, or the copies take their time.
            return;
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
        // Who asks may know less of this overlay than its nodes: a visitor has no settings of it.
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
        if self.holdings.take(offer, false, cx.now) != Taken::Held {
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
        let holders = self.others(key, count);
        let copying = &mut self.holdings.copying;
        if holders.is_empty() || copying.len() >= COPYING_MAX {
            return self.made(Copying { nonce, asker, left: 0, made: 1 }, cx);
        }
        let left = u8::try_from(holders.len()).expect("at most 32 leaves");
        copying.push(Copying { nonce, asker, left, made: 1 });
        for holder in holders {
            if !self.send_value(holder, key, For::Copy(Some(nonce)), cx) {
                self.copied(nonce, false, cx);
            }
        }
    }

    /// The `count` other nodes that are nearest to `key`.
    fn others(&self, key: Key, count: usize) -> Vec<Contact> {
        let mut others = self.nearest(key, count + 1);
        others.retain(|it| *it != self.me);
        others.truncate(count);
        others
    }

    /// Sends what is held under `key`; false if that is nothing, or too much is asked already.
    pub(super) fn send_value(
        &mut self,
        to: Contact,
        key: Key,
        what: For,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        let Some(offer) = self.holdings.offer(key, cx.now) else { return false };
        let body = |nonce| Body::Store { nonce, copies: 0, offer: Box::new(offer) };
        self.ask(to, what, body, cx)
    }

    /// Somebody has said that it holds a value, too.
    pub(super) fn kept_by(&mut self, address: Address, key: Key) {
        if let Some(item) = self.holdings.items.get_mut(&key) {
            item.kept_by = Some(address);
        }
    }

    /// What nobody else is known to hold: all but what one of `others` keeps, and copies that their
    /// owner has renewed.
    pub(super) fn orphans(
        &self,
        others: &BTreeSet<Address>,
        now: Time,
    ) -> impl Iterator<Item = Key> {
        let is_orphan = move |key: Key, item: &Item| {
            let has_owner = item.is_copy && !self.owns(key) && now.since(item.renewed) <= FORGOTTEN;
            let is_kept = item.kept_by.is_some_and(|it| others.contains(&it));
            item.until > now && !has_owner && !is_kept
        };
        let items = self.holdings.items.iter();
        items.filter(move |&(&key, item)| is_orphan(key, item)).map(|(&key, _)| key)
    }

    /// A copy was made, or was not.
    pub(super) fn copied(&mut self, nonce: Nonce, made: bool, cx: &mut Context<'_, Self>) {
        let copying = &mut self.holdings.copying;
        let Some(place) = copying.iter().position(|it| it.nonce == nonce) else { return };
        let one = &mut copying[place];
        one.left -= 1;
        one.made += u8::from(made);
        if one.left == 0 {
            let done = copying.swap_remove(place);
            self.made(done, cx);
        }
    }

    fn made(&mut self, done: Copying, cx: &mut Context<'_, Self>) {
        match done.asker {
            Asker::Peer(address) => {
                let body = Body::Stored { nonce: done.nonce, copies: done.made };
                self.say(address, body, cx);
            }
            Asker::Own(id) => self.stored(id, done.made, cx),
        }
    }

    pub(super) fn held_value(&self, key: Key, now: Time) -> Option<Bytes> {
        Some(self.holdings.offer(key, now)?.value)
    }

    /// Sees to it that what is held is gone through.
    fn keep_holdings(&mut self, now: Time) {
        let holdings = &mut self.holdings;
        let any = !holdings.items.is_empty() || !holdings.published.is_empty();
        if any && !holdings.waiting {
            holdings.waiting = true;
            let pause = holdings.pause();
            self.timers.set(Timer::Hold, now.after(pause));
        }
    }

    /// The turn of some of what is held: what is over goes, what is this node's own is renewed with
    /// its copies, what has lost its owner goes to the new one, what was published is put again.
    pub(super) fn keep_up(&mut self, cx: &mut Context<'_, Self>) {
        let now = cx.now;
        self.holdings.waiting = false;
        let (batch, due) = (self.holdings.turn(now), self.holdings.due(now));
        for (key, renewed) in batch {
            if self.owns(key) {
                for holder in self.others(key, usize::from(self.settings.copies - 1)) {
                    self.send_value(holder, key, For::Copy(None), cx);
                }
            } else if now.since(renewed) > FORGOTTEN {
                self.look_up(key, Purpose::Mend, false, cx);
            }
        }
        for (key, putting) in due {
            self.look_up(key, Purpose::Put(Box::new(putting)), false, cx);
        }
        self.keep_holdings(now);
    }

    /// The owner of a value that was not renewed is known.
    pub(super) fn mend(&mut self, key: Key, owner: Contact, cx: &mut Context<'_, Self>) {
        if owner != self.me {
            self.send_value(owner, key, For::Mend, cx);
        }
    }

    /// The owner has it: who is not among those nearest to it any more need not keep it.
    pub(super) fn mended(&mut self, key: Key, now: Time) {
        if !self.holders(key).contains(&self.me) {
            self.holdings.drop_item(key);
        } else if let Some(item) = self.holdings.items.get_mut(&key) {
            item.renewed = now;
        }
    }

    /// What a node that has left held is held by others.
    pub(super) fn drop_holdings(&mut self) {
        self.holdings = Holdings::default();
    }
}
