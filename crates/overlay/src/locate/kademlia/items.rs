//! Items that are held for others (BEP 44): under the SHA-1 of a value, or under that of a key and a salt.

use std::{collections::BTreeMap, time::Duration};

use nigh_base::{Key, Time};

use super::krpc::{Item, code};

/// An item that was not put again for so long is dropped (BEP 44: two hours).
const LIFE: Duration = Duration::from_secs(2 * 3600);
/// Items that a node holds, some 16 MiB; beyond, the one whose name is farthest from the node's goes.
const ITEMS_MAX: usize = 8192;

#[derive(Clone, Debug, Hash)]
struct Held {
    item: Item,
    put: Time,
}

/// The items that a node holds.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Items(BTreeMap<Key, Held>);

impl Items {
    /// Takes an item in whose put had the right token.
    ///
    /// # Errors
    /// The code of BEP 44 that says why not.
    pub(super) fn put(
        &mut self,
        item: Item,
        cas: Option<i64>,
        me: Key,
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
        self.0.insert(target, Held { item, put: now });
        if self.0.len() > ITEMS_MAX {
            self.expire(now);
        }
        if self.0.len() > ITEMS_MAX
            && let Some(&far) = self.0.keys().max_by_key(|it| it.xor(me))
        {
            self.0.remove(&far);
        }
        Ok(())
    }

    /// The item of that name.
    pub(super) fn get(&self, target: Key, now: Time) -> Option<&Item> {
        let held = self.0.get(&target).filter(|it| now.since(it.put) < LIFE)?;
        Some(&held.item)
    }

    /// Drops those that were not put again.
    pub(super) fn expire(&mut self, now: Time) {
        self.0.retain(|_, it| now.since(it.put) < LIFE);
    }

    pub(super) fn check(&self) {
        assert!(self.0.len() <= ITEMS_MAX, "too many items");
    }
}
