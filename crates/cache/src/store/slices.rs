//! Slices in the store: which keys are sliced, and what becomes of the slices of a master that is gone.

use std::sync::atomic::Ordering;

use super::Store;
use crate::{
    key::Key,
    object::Object,
    slices::{Sliced, Slicing},
    storable::WhyNot,
};

impl Store {
    /// Remembers that responses of `key` are no good for slices: their ranges do not belong together.
    pub fn note_unfit_for_slices(&self, key: Key<'_>) {
        // Apart from why the last response was not kept, which the next one may change.
        let (slot, tag) = self.refusal_slot(Self::as_slices(key));
        slot.store(tag | (WhyNot::NoSlices as u64 + 1), Ordering::Relaxed);
    }

    /// Whether responses of `key` are known to be no good for slices.
    pub fn is_unfit_for_slices(&self, key: Key<'_>) -> bool {
        self.refusal(Self::as_slices(key)) == Some(WhyNot::NoSlices)
    }

    const fn as_slices(key: Key<'_>) -> Key<'_> {
        Key { hash: key.hash.rotate_left(17), ..key }
    }

    /// What is kept in slices; `None` if nothing is, or a slice would be longer than what is kept.
    pub fn slicing(&self) -> Option<Slicing> {
        self.settings.slicing.filter(|slicing| slicing.size <= self.settings.object_max)
    }

    /// Makes the master of these slices stale for good, if it is still there.
    pub fn outdate_slices(&self, key: Key<'_>, sliced: &Sliced) {
        for object in self.variants(key) {
            if object.sliced() == Some(*sliced) {
                self.outdate(key, &object);
            }
        }
    }

    /// Slices whose master is gone are out of reach: their memory is given back. Those of a master that
    /// took its place may be the same.
    pub(super) fn free_slices(&self, gone: &[Object], by: Option<&Object>) {
        let kept = by.and_then(Object::sliced);
        let masters = gone.iter().filter_map(|object| Some((object, object.sliced()?)));
        for (object, sliced) in masters.filter(|(_, sliced)| kept != Some(*sliced)) {
            let held: u64 = self.shards.iter().map(|shard| shard.lock().held).sum();
            // Looked for by their keys, or among all that is held: whatever is less.
            let keys: Vec<Box<[u8]>> = if sliced.count() <= held {
                (0..sliced.count()).map(|index| sliced.key(object.key(), index)).collect()
            } else {
                let prefix = sliced.key_prefix(object.key());
                self.shards.iter().flat_map(|shard| shard.lock().keys_below(&prefix)).collect()
            };
            for key in keys {
                let key = self.key(&key);
                let removed = self.shard(key).lock().remove_all(key);
                self.removed.fetch_add(removed.len() as u64, Ordering::Relaxed);
            }
        }
    }
}
