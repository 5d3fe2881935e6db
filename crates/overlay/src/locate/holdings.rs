//! Values that are held under keys by their owner and by nodes near to it, who have copies: what any overlay
//! keeps in which a key has one owner.
//!
//! The owner makes the copies and renews them. Nothing lies on disk: a value lives as long as one of its
//! holders, and as its publisher puts it again.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// Where the next turn begins.
    next: Key,
    waiting: bool,
}

impl Holdings {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.items.keys().copied()
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

    /// What was published and is to be put again.
    pub(crate) fn due(&mut self, now: Time) -> Vec<(Key, Putting)> {
        let due = self.published.iter_mut().filter(|(_, it)| it.due <= now).take(BATCH);
        due.map(|(&key, it)| {
            it.due = now.after(it.lifetime / 2);
            let (value, lifetime) = (it.value.clone(), it.lifetime);
            (key, Putting { ticket: None, value, lifetime })
        })
        .collect()
    }

    /// When the next turn comes, if there is anything to go through and it was not said already.
    pub(crate) fn next_turn(&mut self, now: Time) -> Option<Time> {
        let any = !self.items.is_empty() || !self.published.is_empty();
        if !any || self.waiting {
            return None;
        }
        self.waiting = true;
        let turns = u32::try_from(self.items.len().div_ceil(BATCH)).expect("few values");
        Some(now.after((FORGOTTEN / 2 / turns.max(1)).clamp(HOLD_MIN, HOLD_EVERY)))
    }

    /// The values whose turn it is, and whether each was not renewed for so long that it has lost its owner.
    /// Those whose lifetime is over are dropped.
    pub(crate) fn turn(&mut self, now: Time) -> Vec<(Key, bool)> {
        self.waiting = false;
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

    /// Whether copies are being made for that question.
    pub(crate) fn is_copying(&self, nonce: Nonce) -> bool {
        self.copying.iter().any(|it| it.nonce == nonce)
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
            return Err(copying);
        }
        self.copying.push(copying);
        Ok(())
    }

    /// A copy was made, or was not; all of them, if it was the last.
    pub(crate) fn copied(&mut self, nonce: Nonce, made: bool) -> Option<Copying> {
        let place = self.copying.iter().position(|it| it.nonce == nonce)?;
        let one = &mut self.copying[place];
        one.left -= 1;
        one.made += u8::from(made);
        (one.left == 0).then(|| self.copying.swap_remove(place))
    }

    pub(crate) fn check(&self) {
        let bytes: usize = self.items.values().map(|item| item.value.len()).sum();
        assert_eq!(bytes, self.bytes, "bytes are miscounted");
        let stamps = 1..=STAMP_MAX;
        assert!(self.items.values().all(|item| stamps.contains(&item.stamp)), "a stamp of nobody");
        assert!(self.items.len() <= VALUES_MAX && self.bytes <= BYTES_MAX, "too much is held");
        assert!(self.copying.len() <= COPYING_MAX, "too many copies are being made");
    }
}
