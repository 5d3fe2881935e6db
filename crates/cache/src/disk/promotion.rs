//! A body for which the device is waited for again and again comes into memory. One that the kernel
//! has in memory stays beneath: it would only be held twice.

use std::sync::Arc;

use bytes::Bytes;

use super::{Beneath, PIECE};
use crate::{
    account::{Charge, allocated},
    object::{BLOCK_OVERHEAD, Large, LargeBody, Object},
    pilot,
    store::Store,
};

/// A body on its way from the disk into memory.
#[derive(Debug)]
pub struct Promotion {
    object: Object,
    length: u64,
    charge: Charge,
    blocks: Vec<Bytes>,
}

impl Store {
    /// Begins to bring a body into memory; `None` if it does not lie on the disk, is too long, or there
    /// is no room.
    pub fn promotion(&self, object: &Object) -> Option<Promotion> {
        let length = object.beneath().map(Beneath::length).filter(|&it| it <= self.object_max())?;
        let block = |bytes: usize| allocated(bytes) + BLOCK_OVERHEAD;
        let (whole, last) = (length / PIECE as u64, length % PIECE as u64);
        let last = usize::try_from(last).expect("less than a piece");
        let bytes = whole * block(PIECE) + if last > 0 { block(last) } else { 0 };
        let charge = self.charge(self.key(object.key()), bytes)?;
        Some(Promotion { object: object.clone(), length, charge, blocks: Vec::new() })
    }
}

impl Promotion {
    /// Takes the next bytes of the body: whole pieces.
    pub fn push(&mut self, bytes: &[u8]) {
        self.blocks.extend(bytes.chunks(PIECE).map(Bytes::copy_from_slice));
    }

    /// The body is in memory: so is the object from now on, unless it was replaced or removed
    /// meanwhile.
    ///
    /// # Panics
    /// If bytes are missing.
    pub fn finish(self, store: &Store) {
        let Self { object, length, charge, blocks } = self;
        let held: u64 = blocks.iter().map(|block| block.len() as u64).sum();
        assert_eq!(held, length, "all of the body was pushed");
        let body = LargeBody::Whole { blocks: blocks.into(), length };
        let large = Arc::new(Large { body, charge });
        let fields = object.fields().to_map();
        let (terms, purged) = (*object.terms(), object.purged_up_to());
        let new = pilot::rebuild(store, &object, &fields, terms, purged, Some(large));
        if let Some(new) = new {
            // The disk holds the one if it holds the other.
            if object.is_kept() {
                new.mark_kept();
            }
            store.exchange(store.key(object.key()), &object, new);
        }
    }
}
