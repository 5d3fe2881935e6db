//! Values that are held under keys by their owner and by nodes near to it, who have copies: what any overlay
//! keeps in which a key has one owner.
//!
//! The owner makes the copies and renews them. Nothing lies on disk: a value lives as long as one of its
//! holders, and as its publisher puts it again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use nigh_base::{
    Address, Key, Time,
    wire::{Reader, Wire, WireError, write_bytes},
};

use super::{LIFETIME_MAX, Ticket, VALUE_MAX, codec::Nonce, millis};

/// Values that a node holds, and their bytes in all; more are refused.
const VALUES_MAX: usize = 65_536;
const BYTES_MAX: usize = 64 << 20;
/// Values that a node puts again by itself.
const PUBLISHED_MAX: usize = 1024;
/// Puts whose copies are being made.
const COPYING_MAX: usize = 256;
/// Puts whose copies are made and that are remembered, the latest: one that comes again, since its asker has not
/// heard that or the network has doubled it, must not take the place of a newer one.
const DONE_MAX: usize = 128;
/// The highest stamp of a value: more than any owner counts up to. A copy that claims a higher one is
/// refused.
const STAMP_MAX: u64 = u64::MAX / 2;
/// Values that are looked at in one go: a burst of copies that a network takes.
const BATCH: usize = 64;
/// How often that is done, if there are few; with more of them it is done oftener, so that all have
/// their turn within half of [`FORGOTTEN`].
const HOLD_EVERY: Duration = Duration::from_secs(30);
/// But not oftener than that, which is 640 values a second: beyond 38,400 of them it takes longer.
const HOLD_MIN: Duration = Duration::from_millis(100);
/// As long lies between two bursts of what is put again: the lookups of one mostly end in that time.
const PUBLISH_MIN: Duration = Duration::from_secs(1);
/// A copy that was not renewed for so long has lost its owner.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// A value that is to be held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Offer {
    /// Under what.
    pub key: Key,
    /// Orders the values of a key; given by its owner, and 0 before.
    pub stamp: u64,
    /// For how long; milliseconds count.
    pub lifetime: Duration,
    /// At most [`VALUE_MAX`] bytes.
    pub value: Bytes,
}

impl Wire for Offer {
    const MAX: usize = Key::BYTES + 8 + 4 + 2 + VALUE_MAX;

    fn write(&self, out: &mut Vec<u8>) {
        self.key.write(out);
        out.extend_from_slice(&self.stamp.to_be_bytes());
        out.extend_from_slice(&millis(self.lifetime).to_be_bytes());
        write_bytes(&self.value, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            key: Key::read(reader)?,
            stamp: reader.u64()?,
            lifetime: Duration::from_millis(reader.u32()?.into()),
            value: reader.bytes("value", VALUE_MAX)?,
        })
    }
}

/// A value on its way to its holders; without a ticket, put again by itself.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Putting {
    pub(crate) ticket: Option<Ticket>,
    pub(crate) value: Bytes,
    pub(crate) lifetime: Duration,
}

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
pub(crate) enum Asker {
    Peer(Address),
    /// A lookup of this node.
    Own(u64),
}

/// Copies of a value that are being made, or are made.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Copying {
    pub(crate) nonce: Nonce,
    pub(crate) asker: Asker,
    left: u8,
    /// How many nodes hold it, this one among them.
    pub(crate) made: u8,
}

/// What became of a value that was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Held,
    /// A newer one is held under the key, and stays.
    Outdated,
    /// There is no room, or it is stamped as nobody stamps.
    Refused,
}

/// What a node holds.
#[derive(Debug, Default, Hash)]
pub(crate) struct Holdings {
    items: BTreeMap<Key, Item>,
    bytes: usize,
    published: BTreeMap<Key, Published>,
    copying: Vec<Copying>,
    /// Puts of peers whose copies are made: from whom, by which question, and how many hold it.
    done: VecDeque<(Address, Nonce, u8)>,
    /// Where the next turn of what is held begins.
    next: Key,
    /// When, if anything was held when that was said.
    turn: Option<Time>,
    /// Nothing is put again before.
    rest: Time,
}

impl Holdings {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys_from(Key::default())
    }

    /// Those from that one on, in their order.
    pub(crate) fn keys_from(&self, first: Key) -> impl Iterator<Item = Key> {
        self.items.range(first..).map(|(&key, _)| key)
    }

    /// Takes a value in: a copy under the stamp that its owner gave it, another under the next one.
    pub(crate) fn take(&mut self, offer: Offer, is_copy: bool, now: Time) -> Taken {
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

    /// What is held under a key, to be offered to others.
    pub(crate) fn offer(&self, key: Key, now: Time) -> Option<Offer> {
        let item = self.items.get(&key).filter(|item| item.until > now)?;
        let lifetime = item.until.since(now);
        Some(Offer { key, stamp: item.stamp, lifetime, value: item.value.clone() })
    }

    pub(crate) fn drop_item(&mut self, key: Key) {
        if let Some(item) = self.items.remove(&key) {
            self.bytes -= item.value.len();
        }
    }

    /// The owner has it.
    pub(crate) fn renewed(&mut self, key: Key, now: Time) {
        if let Some(item) = self.items.get_mut(&key) {
            item.renewed = now;
        }
    }

    /// Somebody has said that it holds a value, too.
    pub(crate) fn kept_by(&mut self, address: Address, key: Key) {
        if let Some(item) = self.items.get_mut(&key) {
            item.kept_by = Some(address);
        }
    }

    /// What nobody else is known to hold: all but what one of `others` keeps, and copies that their owner has
    /// renewed. `has_other` says of which keys another is the owner.
    pub(crate) fn orphans(
        &self,
        others: &BTreeSet<Address>,
        now: Time,
        has_other: impl Fn(Key) -> bool,
    ) -> Vec<Key> {
        let is_orphan = |key: Key, item: &Item| {
            let has_owner = item.is_copy && has_other(key) && now.since(item.renewed) <= FORGOTTEN;
            let is_kept = item.kept_by.is_some_and(|it| others.contains(&it));
            item.until > now && !has_owner && !is_kept
        };
        let items = self.items.iter();
        items.filter(|&(&key, item)| is_orphan(key, item)).map(|(&key, _)| key).collect()
    }

    /// Has this node put a value again for as long as it runs; false if that are too many.
    pub(crate) fn publish(
        &mut self,
        key: Key,
        value: Bytes,
        lifetime: Duration,
        now: Time,
    ) -> bool {
        let has_room = self.published.len() < PUBLISHED_MAX || self.published.contains_key(&key);
        if has_room {
            let due = now.after(lifetime / 2);
            self.published.insert(key, Published { value, lifetime, due });
        }
        has_room
    }

    /// What this node puts again under that key.
    pub(crate) fn published(&self, key: Key) -> Option<Bytes> {
        self.published.get(&key).map(|it| it.value.clone())
    }

    /// What was published and is to be put again, as much as goes at once: what has waited for longest.
    pub(crate) fn due(&mut self, now: Time) -> Vec<(Key, Putting)> {
        if self.rest > now {
            return Vec::new();
        }
        let mut due: Vec<(&Key, &mut Published)> =
            self.published.iter_mut().filter(|(_, it)| it.due <= now).collect();
        due.sort_by_key(|(_, it)| it.due);
        due.truncate(BATCH);
        if !due.is_empty() {
            self.rest = now.after(PUBLISH_MIN);
        }
        due.into_iter()
            .map(|(&key, it)| {
                it.due = now.after(it.lifetime / 2);
                let (value, lifetime) = (it.value.clone(), it.lifetime);
                (key, Putting { ticket: None, value, lifetime })
            })
            .collect()
    }

    /// When anything that is held has its turn, or what was published is due; none if there is neither.
    pub(crate) fn next_turn(&mut self, now: Time) -> Option<Time> {
        if self.turn.is_none() && !self.items.is_empty() {
            let turns = u32::try_from(self.items.len().div_ceil(BATCH)).expect("few values");
            self.turn = Some(now.after((FORGOTTEN / 2 / turns).clamp(HOLD_MIN, HOLD_EVERY)));
        }
        let due = self.published.values().map(|it| it.due.max(self.rest)).min();
        self.turn.into_iter().chain(due).min()
    }

    /// The values whose turn it is, if it is, and whether each was not renewed for so long that it has lost its
    /// owner. Those whose lifetime is over are dropped.
    pub(crate) fn turn(&mut self, now: Time) -> Vec<(Key, bool)> {
        if self.turn.take_if(|turn| *turn <= now).is_none() {
            return Vec::new();
        }
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
                turn.push((key, now.since(renewed) > FORGOTTEN));
            } else {
                self.drop_item(key);
            }
        }
        turn
    }

    /// How many hold so far what a peer has put by that question; none if it has not.
    pub(crate) fn made_for(&self, peer: Address, nonce: Nonce) -> Option<u8> {
        let is_it = |it: &&Copying| {
            it.nonce == nonce && matches!(it.asker, Asker::Peer(address) if address == peer)
        };
        let copying = self.copying.iter().find(is_it).map(|it| it.made);
        let done = || self.done.iter().find(|it| (it.0, it.1) == (peer, nonce)).map(|it| it.2);
        copying.or_else(done)
    }

    /// Copies are to be made by so many others; what is done at once if there are none, or if too many copies
    /// are being made.
    pub(crate) fn begin_copying(
        &mut self,
        nonce: Nonce,
        asker: Asker,
        others: usize,
    ) -> Result<(), Copying> {
        let left = u8::try_from(others).expect("a value has few holders");
        let copying = Copying { nonce, asker, left, made: 1 };
        if others == 0 || self.copying.len() >= COPYING_MAX {
            return Err(self.remember(copying));
        }
        self.copying.push(copying);
        Ok(())
    }

    /// They are made.
    fn remember(&mut self, done: Copying) -> Copying {
        if let Asker::Peer(address) = done.asker {
            if self.done.len() == DONE_MAX {
                self.done.pop_front();
            }
            self.done.push_back((address, done.nonce, done.made));
        }
        done
    }

    /// Ends all that are being made, as far as they are.
    pub(crate) fn end_copying(&mut self) -> Vec<Copying> {
        std::mem::take(&mut self.copying)
    }

    /// A copy was made, or was not; all of them, if it was the last.
    pub(crate) fn copied(&mut self, nonce: Nonce, made: bool) -> Option<Copying> {
        let place = self.copying.iter().position(|it| it.nonce == nonce)?;
        let one = &mut self.copying[place];
        one.left -= 1;
        one.made += u8::from(made);
        let is_done = one.left == 0;
        is_done.then(|| self.copying.swap_remove(place)).map(|done| self.remember(done))
    }

    pub(crate) fn check(&self) {
        let bytes: usize = self.items.values().map(|item| item.value.len()).sum();
        assert_eq!(bytes, self.bytes, "bytes are miscounted");
        let stamps = 1..=STAMP_MAX;
        assert!(self.items.values().all(|item| stamps.contains(&item.stamp)), "a stamp of nobody");
        assert!(self.items.len() <= VALUES_MAX && self.bytes <= BYTES_MAX, "too much is held");
        assert!(self.copying.len() <= COPYING_MAX, "too many copies are being made");
        assert!(self.done.len() <= DONE_MAX, "too many puts are remembered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest time in which one of so many values, published one a second for as long, was not put again.
    fn longest_pause(count: u64, lifetime: Duration) -> Duration {
        let mut holdings = Holdings::default();
        let (mut now, mut last, mut longest) = (Time::START, BTreeMap::new(), Duration::ZERO);
        let mut next = None;
        for second in 0..3_600 {
            let end = Time::from_secs(second);
            if second < count {
                let key = Key::of(&second.to_be_bytes());
                assert!(holdings.publish(key, Bytes::new(), lifetime, end));
                last.insert(key, end);
                next = holdings.next_turn(end).or(next);
            }
            while let Some(at) = next.filter(|at| *at <= end) {
                now = now.max(at);
                holdings.turn(now);
                for (key, _) in holdings.due(now) {
                    longest = longest.max(now.since(last.insert(key, now).unwrap()));
                }
                next = holdings.next_turn(now);
            }
        }
        last.values().map(|at| now.since(*at)).chain([longest]).max().unwrap()
    }

    #[test]
    fn whatever_is_published_is_put_again_before_its_lifetime_is_over() {
        for (count, seconds) in [(1024, 600), (1, 40), (20, 8)] {
            let lifetime = Duration::from_secs(seconds);
            let longest = longest_pause(count, lifetime);
            assert!(longest < lifetime * 3 / 4, "{count} values of {lifetime:?}: {longest:?}");
        }
    }
}
