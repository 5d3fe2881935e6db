//! Values under any key, as the paper's STORE and FIND_VALUE hold them: by the k nodes nearest to the key.
//!
//! Each holder stores a value again each hour with those who are nearest then (IPTPS 2002, section 2.5),
//! unless another has done so within the hour; so it outlives its holders. Whoever has put it may put it
//! again before its lifetime ends.
//!
//! The values of a key have an order, as items have (BEP 44): whoever puts one gives it a number that is one
//! higher than the highest that the holders tell of, and it keeps that when it is stored again. So a holder
//! that missed a newer value does not bring the older one back.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use nigh_base::{Key, Time};

use super::{
    host::Host,
    near::{Near, Room},
};
use crate::locate::LIFETIME_MAX;

/// Values that a node holds, 64 MiB if all have the most bytes that they may have, and those of them that one
/// host has brought. A neighbour that stores again what it holds brings many.
const ROOM: Room = Room { all: 65_536, of_host: 8192 };
/// Values that a node puts again by itself.
const PUBLISHED_MAX: usize = 1024;
/// Values that are looked at in a round of upkeep: all of them within an hour of rounds. Of those that this
/// node puts again itself as many.
pub(super) const TURN: usize = 128;

/// A value that is to be held, or is held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Version {
    pub(super) value: Bytes,
    /// The highest counts.
    pub(super) number: i64,
    pub(super) lifetime: Duration,
}

#[derive(Clone, Debug, Hash)]
struct Held {
    value: Bytes,
    number: i64,
    until: Time,
    /// When this node stores it again, if nobody else does.
    due: Time,
}

impl Held {
    /// Whether another value is older than this one. Of two with one number, which were put at once, all
    /// holders keep the same. The highest number of all orders nothing any more: it is not to be the last word.
    fn is_newer_than(&self, other: &Version) -> bool {
        self.number > other.number
            || self.number == other.number && self.number < i64::MAX && self.value > other.value
    }
}

#[derive(Clone, Debug, Hash)]
struct Published {
    value: Bytes,
    lifetime: Duration,
    /// None until it was put.
    number: Option<i64>,
    due: Time,
}

/// Something of its own that a node is to put again.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) key: Key,
    pub(super) value: Bytes,
    pub(super) lifetime: Duration,
    pub(super) number: Option<i64>,
}

/// What became of a value that was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Held,
    /// A newer one is held, and stays.
    Outdated,
    /// There is no room, or no time.
    Refused,
}

/// What a node holds.
#[derive(Clone, Debug, Hash)]
pub(super) struct Values {
    held: Near<Held>,
    published: BTreeMap<Key, Published>,
    /// At which distance the next turn begins.
    next: Key,
}

impl Values {
    pub(super) fn new(me: Key) -> Self {
        Self { held: Near::new(me), published: BTreeMap::new(), next: Key::default() }
    }

    /// This node has another id now.
    pub(super) fn moved(&mut self, me: Key) {
        self.held.moved(me);
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes a value in that a host has brought, to be stored again after `again`.
    pub(super) fn store(
        &mut self,
        key: Key,
        version: Version,
        by: Host,
        again: Duration,
        now: Time,
    ) -> Taken {
        if version.lifetime.is_zero() {
            return Taken::Refused;
        }
        let until = now.after(version.lifetime.min(LIFETIME_MAX));
        let due = now.after(again);
        if let Some(held) = self.held.get_mut(key).filter(|it| it.until > now) {
            if held.value == version.value && held.number == version.number {
                // Storing it again shortens no life.
                held.until = held.until.max(until);
                held.due = due;
                return Taken::Held;
            }
            if held.is_newer_than(&version) {
                return Taken::Outdated;
            }
        }
        let Version { value, number, .. } = version;
        let is_held = self.held.put(key, by, Held { value, number, until, due }, ROOM);
        if is_held { Taken::Held } else { Taken::Refused }
    }

    /// What is held under a key.
    pub(super) fn get(&self, key: Key, now: Time) -> Option<Version> {
        let held = self.held.get(key).filter(|it| it.until > now)?;
        let (value, number) = (held.value.clone(), held.number);
        Some(Version { value, number, lifetime: held.until.since(now) })
    }

    /// Drops a value that others hold.
    pub(super) fn drop_value(&mut self, key: Key) {
        self.held.remove(key);
    }

    /// The keys of what is held, those nearest to this node first.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.held.iter().map(|(key, _)| key)
    }

    /// Has this node put a value again for as long as it runs. Says whether there is room for that.
    pub(super) fn publish(
        &mut self,
        key: Key,
        value: Bytes,
        lifetime: Duration,
        now: Time,
    ) -> bool {
        let has_room = self.published.contains_key(&key) || self.published.len() < PUBLISHED_MAX;
        if has_room {
            let due = now.after(lifetime / 2);
            self.published.insert(key, Published { value, lifetime, number: None, due });
        }
        has_room
    }

    /// A value was put with that number; if this node puts it again, then with the same.
    pub(super) fn numbered(&mut self, key: Key, value: &Bytes, number: i64) {
        if let Some(it) = self.published.get_mut(&key).filter(|it| it.value == *value) {
            it.number = Some(number);
        }
    }

    /// What this node has put itself and is to put again.
    pub(super) fn next_published(&mut self, now: Time) -> Option<Due> {
        let (&key, it) = self.published.iter_mut().find(|it| it.1.due <= now)?;
        it.due = now.after(it.lifetime / 2);
        Some(Due { key, value: it.value.clone(), lifetime: it.lifetime, number: it.number })
    }

    /// Those of the next [`TURN`] that are to be stored again. What has had its time is dropped.
    pub(super) fn turn(&mut self, now: Time) -> Vec<Key> {
        let of_turn = self.held.from(self.next).take(TURN);
        let turn: Vec<(Key, Time, Time)> =
            of_turn.map(|(key, it)| (key, it.until, it.due)).collect();
        if let Some((last, ..)) = turn.last() {
            self.next = self.held.gap(*last).plus(Key::from(1));
        }
        let mut due = Vec::new();
        for (key, until, due_at) in turn {
            if until <= now {
                self.held.remove(key);
            } else if due_at <= now {
                due.push(key);
            }
        }
        due
    }

    /// A value is being stored again, and so is not due before `at`.
    pub(super) fn put_off(&mut self, key: Key, at: Time) {
        if let Some(it) = self.held.get_mut(key) {
            it.due = at;
        }
    }

    pub(super) fn check(&self) {
        self.held.check(ROOM);
        assert!(self.published.len() <= PUBLISHED_MAX, "too many to put again");
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::Address;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn host(number: u8) -> Host {
        Host::of(Address::v4([192, 0, 2, number], 6881))
    }

    fn store(values: &mut Values, key: u64, value: &str, number: i64, days: u32) -> Taken {
        let value = Bytes::copy_from_slice(value.as_bytes());
        let version = Version { value, number, lifetime: DAY * days };
        values.store(Key::from(key), version, host(1), DAY, Time::START)
    }

    fn held(values: &Values, key: u64) -> Option<(String, u64)> {
        let version = values.get(Key::from(key), Time::START)?;
        let days = version.lifetime.as_secs() / DAY.as_secs();
        Some((String::from_utf8(version.value.to_vec()).unwrap(), days))
    }

    #[test]
    fn an_older_value_does_not_come_back_and_a_newer_one_takes_its_place() {
        let mut values = Values::new(Key::default());
        let is = |value: &str, days| Some((value.to_owned(), days));
        assert_eq!(store(&mut values, 1, "first", 1, 7), Taken::Held);
        assert_eq!(store(&mut values, 1, "second", 2, 3), Taken::Held);
        assert_eq!(store(&mut values, 1, "first", 1, 7), Taken::Outdated);
        assert_eq!(held(&values, 1), is("second", 3));
        // Stored again it lives longer if anything.
        assert_eq!(store(&mut values, 1, "second", 2, 2), Taken::Held);
        assert_eq!(held(&values, 1), is("second", 3));
        assert_eq!(store(&mut values, 1, "second", 2, 4), Taken::Held);
        assert_eq!(held(&values, 1), is("second", 4));
    }

    #[test]
    fn of_two_that_were_put_at_once_every_holder_keeps_the_same() {
        let mut values = Values::new(Key::default());
        for (key, order) in [(1, ["a", "b"]), (2, ["b", "a"])] {
            for value in order {
                store(&mut values, key, value, 5, 1);
            }
            assert_eq!(held(&values, key).unwrap().0, "b");
        }
        // Whoever takes the highest number does not have the last word with it.
        for value in ["b", "a"] {
            assert_eq!(store(&mut values, 3, value, i64::MAX, 1), Taken::Held);
        }
    }

    #[test]
    fn no_time_at_all_ends_nobodys_value() {
        let mut values = Values::new(Key::default());
        store(&mut values, 1, "value", 1, 7);
        assert_eq!(store(&mut values, 1, "", 2, 0), Taken::Refused);
        assert_eq!(store(&mut values, 1, "value", 1, 0), Taken::Refused);
        assert_eq!(held(&values, 1), Some(("value".to_owned(), 7)));
    }

    #[test]
    fn one_address_does_not_fill_a_node() {
        let mut values = Values::new(Key::default());
        let mut store = |key: u64, by| {
            let version = Version { value: Bytes::from_static(b"v"), number: 1, lifetime: 7 * DAY };
            values.store(Key::from(key), version, host(by), DAY, Time::START)
        };
        for number in 0..20_000 {
            store(1_000_000 + number, 1);
        }
        assert_eq!(store(2_000_000, 1), Taken::Refused);
        assert_eq!(store(2_000_000, 2), Taken::Held);
        assert_eq!(values.len(), ROOM.of_host + 1);
        values.check();
    }
}
