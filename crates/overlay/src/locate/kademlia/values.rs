//! Values under any key, as the paper's STORE and FIND_VALUE hold them: by the k nodes nearest to the key.
//!
//! Each holder stores a value again each hour with those who are nearest then (IPTPS 2002, section 2.5),
//! unless another has done so within the hour; so it outlives its holders. Whoever has put it may put it
//! again before its lifetime ends.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use nigh_base::{Key, Time};

use crate::locate::LIFETIME_MAX;

/// Values that a node holds, and their bytes in all; more are refused.
const VALUES_MAX: usize = 65_536;
const BYTES_MAX: usize = 64 << 20;
/// Values that a node puts again by itself.
const PUBLISHED_MAX: usize = 1024;
/// Values that are looked at in a round of upkeep: all of them within an hour of rounds.
const TURN: usize = 128;

#[derive(Clone, Debug, Hash)]
struct Held {
    value: Bytes,
    until: Time,
    /// When this node stores it again, if nobody else does.
    due: Time,
}

#[derive(Clone, Debug, Hash)]
struct Published {
    value: Bytes,
    lifetime: Duration,
    due: Time,
}

/// Something that is to be stored again.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) key: Key,
    pub(super) value: Bytes,
    pub(super) lifetime: Duration,
}

/// What a node holds.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Values {
    held: BTreeMap<Key, Held>,
    bytes: usize,
    published: BTreeMap<Key, Published>,
    /// Where the next turn begins.
    next: Key,
}

impl Values {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes a value in, to be stored again after `again`; false if there is no room.
    pub(super) fn store(
        &mut self,
        key: Key,
        value: Bytes,
        lifetime: Duration,
        again: Duration,
        now: Time,
    ) -> bool {
        let old = self.held.get(&key).map(|old| old.value.len());
        let bytes = self.bytes - old.unwrap_or(0) + value.len();
        if bytes > BYTES_MAX || old.is_none() && self.held.len() >= VALUES_MAX {
            return false;
        }
        self.bytes = bytes;
        let until = now.after(lifetime.min(LIFETIME_MAX));
        self.held.insert(key, Held { value, until, due: now.after(again) });
        true
    }

    /// What is held under a key.
    pub(super) fn get(&self, key: Key, now: Time) -> Option<&Bytes> {
        self.held.get(&key).filter(|it| it.until > now).map(|it| &it.value)
    }

    /// Has this node put a value again for as long as it runs.
    pub(super) fn publish(&mut self, key: Key, value: Bytes, lifetime: Duration, now: Time) {
        if self.published.contains_key(&key) || self.published.len() < PUBLISHED_MAX {
            let due = now.after(lifetime / 2);
            self.published.insert(key, Published { value, lifetime, due });
        }
    }

    /// What this node has put itself and is to put again.
    pub(super) fn next_published(&mut self, now: Time) -> Option<Due> {
        let (&key, it) = self.published.iter_mut().find(|it| it.1.due <= now)?;
        it.due = now.after(it.lifetime / 2);
        Some(Due { key, value: it.value.clone(), lifetime: it.lifetime })
    }

    /// Those of the next [`TURN`] that are to be stored again. What has had its time is dropped.
    pub(super) fn turn(&mut self, now: Time) -> Vec<Due> {
        let (behind, before) = (self.held.range(self.next..), self.held.range(..self.next));
        let turn: Vec<Key> = behind.chain(before).take(TURN).map(|(&key, _)| key).collect();
        if let Some(last) = turn.last() {
            self.next = last.plus(Key::from(1));
        }
        let mut due = Vec::new();
        for key in turn {
            let Some(it) = self.held.get(&key) else { continue };
            if it.until <= now {
                self.bytes -= it.value.len();
                self.held.remove(&key);
            } else if it.due <= now {
                due.push(Due { key, value: it.value.clone(), lifetime: it.until.since(now) });
            }
        }
        due
    }

    /// A value is being stored again, and so is not due before `at`.
    pub(super) fn put_off(&mut self, key: Key, at: Time) {
        if let Some(it) = self.held.get_mut(&key) {
            it.due = at;
        }
    }

    pub(super) fn check(&self) {
        assert!(self.held.len() <= VALUES_MAX, "too many values");
        let bytes: usize = self.held.values().map(|it| it.value.len()).sum();
        assert!(bytes == self.bytes && bytes <= BYTES_MAX, "too many bytes");
        assert!(self.published.len() <= PUBLISHED_MAX, "too many to put again");
    }
}
