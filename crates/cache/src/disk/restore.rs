//! From a record back to an object of the store.

use std::sync::Arc;

use super::{Place, record::Stored};
use crate::{
    account::allocated,
    key::Key,
    object::{self, BLOCK_OVERHEAD, Large, LargeBody, Object, Recipe},
    purge::{SOFT_WINDOW, Verdict},
    store::Store,
    vary::Vary,
};

/// What came of reading a record.
#[derive(Debug)]
pub enum Restored {
    /// The object, which is in the store now; or the one that is there already in its place.
    Object(Object),
    /// Nothing of this key: another has the same hash, or it was removed or purged meanwhile.
    Nothing,
    /// The bytes are not those that were written: forget the place.
    Damaged,
    /// The store has no room for it.
    NoRoom,
}

impl Store {
    /// Takes an object into the store that was read from a disk, at `place`, for `key`. `bytes` are the
    /// first of its record, as many as are [`needed`](Place::needed); a body in pieces stays where it is.
    pub fn restore(&self, key: Key<'_>, place: &Place, bytes: &[u8]) -> Restored {
        let Some(record) = place.read(bytes) else { return Restored::Damaged };
        if record.key != key.bytes {
            return Restored::Nothing;
        }
        let fields = record.fields.to_map();
        // Read before the rules are: a later one is held against the object in memory.
        let purged_up_to = self.purges().newest();
        let terms = match self.purges().judge_record(place.mark(), key.bytes, &fields) {
            Verdict::Keep => record.terms,
            Verdict::Stale(at) => record.terms.outdated(at, SOFT_WINDOW),
            Verdict::Gone => return Restored::Nothing,
        };
        let vary = Vary::parse(&fields);
        let recipe = Recipe {
            key: key.bytes,
            selecting: record.selecting,
            vary: (!vary.names().is_empty()).then(|| vary.names().into()),
            status: record.status,
            fields: &fields,
            terms,
            purged_up_to,
        };
        let Some(mut prefix) = recipe.prefix(|packed| self.share(packed)) else {
            return Restored::NoRoom;
        };
        let (body, bytes) = match record.body {
            Stored::Whole(body) => {
                prefix.bytes.extend_from_slice(body);
                (None, 0)
            }
            Stored::Sliced(sliced) => (Some(LargeBody::Sliced(sliced)), 0),
            Stored::Beneath(beneath) => {
                let bytes = allocated(beneath.allocated()) + BLOCK_OVERHEAD;
                (Some(LargeBody::Beneath(beneath)), bytes)
            }
        };
        let large = match body.map(|body| (body, self.charge(key, bytes))) {
            None => None,
            Some((_, None)) => return Restored::NoRoom,
            Some((body, Some(charge))) => Some(Arc::new(Large { body, charge })),
        };
        let Some(charge) = self.charge(key, object::cost(prefix.bytes.len())) else {
            return Restored::NoRoom;
        };
        let object = recipe.build(prefix, large, charge);
        object.mark_kept();
        let there = self.insert_absent(key, object.clone());
        if there.is(&object) && self.was_removed_from_disk(place) {
            // After it was read, and perhaps before it came into memory.
            self.take_out(key, &object);
            return Restored::Nothing;
        }
        Restored::Object(there)
    }
}
