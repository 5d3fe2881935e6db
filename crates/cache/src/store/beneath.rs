//! What the store has to do with the disk beneath it.

use std::sync::Arc;

use super::Store;
use crate::{
    disk::{Place, Queue},
    key::Key,
    object::Object,
    purge::Verdict,
};

impl Store {
    /// Puts a disk beneath it, through the queue of its log: what is asked for again is written
    /// there, and what is removed here is removed there. The first one stays.
    pub fn put_beneath(&self, disk: Arc<Queue>) {
        disk.beneath(self.account.ceiling());
        drop(self.disk.set(disk));
    }

    /// Whether what lies at `place` on the disk beneath is gone, or is about to be.
    pub(crate) fn was_removed_from_disk(&self, place: &Place) -> bool {
        self.disk.get().is_some_and(|disk| !disk.holds(place))
    }

    /// An object waits to be written to the disk from now on. If it was removed or purged from memory in
    /// the moment before, it must not come back from there.
    pub(super) fn hold_against_removals(&self, key: Key<'_>, object: &Object) {
        let is_held = self.shard(key).lock().chain(key).any(|(_, held)| held.is(object));
        if is_held {
            self.unless_purged(key, object.clone());
        } else if let Some(disk) = self.disk.get() {
            disk.variant_gone(object.key(), object.selecting());
        }
    }

    /// The body of `object`, which lies on the disk, is read.
    pub fn body_is_read(&self, object: &Object) {
        if let (Some(disk), Some(beneath)) = (self.disk.get(), object.beneath()) {
            disk.index().was_read(beneath);
        }
    }

    /// The body of `object` is not on the disk any more where it was, or cannot be read.
    pub fn body_is_lost(&self, object: &Object) {
        self.take_out(self.key(object.key()), object);
    }

    /// Whether the disk beneath it may hold something for `key`.
    pub fn may_lie_beneath(&self, key: Key<'_>) -> bool {
        self.disk.get().is_some_and(|disk| disk.index().has(key.bytes))
    }

    /// Whether an object's body lies on the disk with the same head, older than a rule about it.
    pub(super) fn is_read_as_purged(&self, object: &Object) -> bool {
        object.beneath().is_some_and(|beneath| {
            let place = beneath.place();
            let verdict = || self.purges.judge_record(place.mark(), object.key(), &object.fields());
            !self.was_removed_from_disk(place) && matches!(verdict(), Verdict::Stale(_))
        })
    }
}
