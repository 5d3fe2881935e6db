//! Items that are held for others (BEP 44): under the SHA-1 of a value, or under that of a key and a salt.

use std::time::Duration;

use nigh_base::{Key, Time};

use super::{
    host::Host,
    krpc::{Item, code},
    near::{Near, Room},
};

/// An item that was not put again for so long is dropped (BEP 44: two hours).
const LIFE: Duration = Duration::from_secs(2 * 3600);
/// Items that a node holds, some 16 MiB, and those of them that one host has put.
const ROOM: Room = Room { all: 8192, of_host: 1024 };

#[derive(Clone, Debug, Hash)]
struct Held {
    item: Item,
    put: Time,
}

/// The items that a node holds.
#[derive(Clone, Debug, Hash)]
pub(super) struct Items(Near<Held>);

impl Items {
    pub(super) const fn new(me: Key) -> Self {
        Self(Near::new(me))
    }

    /// This node has another id now.
    pub(super) fn moved(&mut self, me: Key) {
        self.0.moved(me);
    }

    /// Takes an item in whose put had the right token.
    ///
    /// # Errors
    /// The code of BEP 44 that says why not, or of BEP 5 if there is no room.
    pub(super) fn put(
        &mut self,
        item: Item,
        cas: Option<i64>,
        by: Host,
        now: Time,
    ) -> Result<(), i64> {
        let target = item.name();
        if let (Some(signed), Some(held)) = (&item.signed, self.get(target, now)) {
            let held_number = held.signed.as_ref().map_or(i64::MIN, |it| it.number);
            if cas.is_some_and(|cas| cas != held_number) {
                return Err(code::CAS_MISMATCH);
            }
            let is_older = signed.number < held_number;
            // The number names the value: one number with two values is a mistake of its publisher.
            let differs = signed.number == held_number && held.value != item.value;
            if is_older || differs {
                return Err(code::NUMBER_TOO_LOW);
            }
        }
        if !item.is_genuine() {
            return Err(code::SIGNATURE_WRONG);
        }
        let is_held = self.0.put(target, by, Held { item, put: now }, ROOM);
        if is_held { Ok(()) } else { Err(code::SERVER) }
    }

    /// The item of that name.
    pub(super) fn get(&self, target: Key, now: Time) -> Option<&Item> {
        let held = self.0.get(target).filter(|it| now.since(it.put) < LIFE)?;
        Some(&held.item)
    }

    /// Drops those that were not put again.
    pub(super) fn expire(&mut self, now: Time) {
        self.0.retain(|it| now.since(it.put) < LIFE);
    }

    pub(super) fn check(&self) {
        self.0.check(ROOM);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nigh_base::Address;

    use super::*;

    #[test]
    fn one_address_does_not_drive_out_the_items_of_others() {
        let mut items = Items::new(Key::default());
        let item = |number: usize| Item::of(Bytes::from(format!("i{number}e")));
        let host = |number: u8| Host::of(Address::v4([192, 0, 2, number], 6881));
        for number in 0..6000 {
            let by = host(u8::try_from(number % 6).unwrap());
            assert_eq!(items.put(item(number), None, by, Time::START), Ok(()));
        }
        let put = |items: &mut Items, number| items.put(item(number), None, host(9), Time::START);
        let refused = (10_000..20_000).filter(|&number| put(&mut items, number).is_err()).count();
        assert!(refused > 5000, "{refused}");
        items.check();
        assert!((0..6000).all(|number| items.get(item(number).name(), Time::START).is_some()));
        assert_eq!(items.0.len(), 6000 + ROOM.of_host);
    }
}
