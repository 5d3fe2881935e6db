//! A stored response: metadata, key, head and a small body in one allocation.
//!
//! ```text
//! | count | length | Meta | key | selecting | own packed fields | body, if it is small |
//! ```
//! Fields that other objects have too are held once for all (`common`). A large body is a list of blocks beside it,
//! or the place on the disk where it lies. Objects never change: an update makes a new one that
//! shares the blocks. Whoever holds an object keeps its bytes, and their charge, alive.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use triomphe::ThinArc;

use crate::{
    account::{Charge, allocated},
    common::Shared,
    disk::Beneath,
    freshness::Terms,
    head::{self, PackedFields},
    range::Parts,
    slices::Sliced,
};

/// Bodies up to this many bytes lie in the object itself; a longer one is a list of blocks.
pub const INLINE_MAX: usize = 32 * 1024;

/// What an object costs beside its own allocation: a slot of 16 bytes, its place in the table and its
/// policy's node, with the slack of tables that double. `docs/performance.md` has the measurement.
pub const SLOT_BYTES: u64 = 96;

/// What one block of a large body costs beyond its bytes: two handles and the count behind them.
pub(crate) const BLOCK_OVERHEAD: u64 = 96;

/// A stored response. Cloning it is one atomic increment.
#[derive(Clone)]
pub struct Object(ThinArc<Meta, u8>);

struct Meta {
    terms: Terms,
    charge: Charge,
    large: Option<Arc<Large>>,
    common: Option<Shared>,
    vary: Option<Arc<[HeaderName]>>,
    key_len: u32,
    selecting_len: u32,
    fields_len: u32,
    status: StatusCode,
    /// Whether a disk holds it, or is about to.
    kept: AtomicBool,
    /// The number of the newest purge rule that it was held against.
    purged_up_to: AtomicU32,
}

/// A body that is not inline.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) body: LargeBody,
    pub(crate) charge: Charge,
}

#[derive(Debug)]
pub(crate) enum LargeBody {
    /// All of it, in order.
    Whole { blocks: Box<[Bytes]>, length: u64 },
    /// Some ranges of a representation whose strong validator is known (RFC 9111, section 3.3).
    Partial(Partial),
    /// None of it: the slices are objects of their own.
    Sliced(Sliced),
    /// None of it: it lies on the disk.
    Beneath(Beneath),
}

/// Ranges of a representation, each with its bytes.
#[derive(Clone, Debug)]
pub struct Partial {
    /// Which bytes are held, of how many.
    pub parts: Parts,
    /// The bytes of each part, in the parts' order.
    pub bytes: Vec<Bytes>,
}

/// The body of a stored response, as whoever answers needs it.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// All of it in one piece.
    Inline(&'a [u8]),
    /// All of it, in blocks.
    Blocks(&'a [Bytes]),
    /// Some ranges of it.
    Partial(&'a Partial),
    /// All of it, in slices that are objects of their own, as far as they are stored.
    Sliced(&'a Sliced),
    /// All of it, on the disk.
    Beneath(&'a Beneath),
}

/// What an object is made of.
pub(crate) struct Recipe<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) selecting: &'a [u8],
    pub(crate) vary: Option<Arc<[HeaderName]>>,
    pub(crate) status: StatusCode,
    pub(crate) fields: &'a HeaderMap,
    pub(crate) terms: Terms,
    /// The number of the newest purge rule that need not be held against it: it is younger.
    pub(crate) purged_up_to: u32,
}

/// What lies before the body: the first bytes of the object, and what it shares with others.
#[derive(Debug)]
pub(crate) struct Prefix {
    pub(crate) bytes: Vec<u8>,
    fields_len: usize,
    common: Option<Shared>,
}

impl Recipe<'_> {
    /// What lies before the body; `None` if a field is too long to keep. `share` finds the shared
    /// copy of packed fields.
    pub(crate) fn prefix(&self, share: impl FnOnce(&[u8]) -> Option<Shared>) -> Option<Prefix> {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(self.key);
        bytes.extend_from_slice(self.selecting);
        let start = bytes.len();
        let mut common = Vec::with_capacity(256);
        if !head::pack(self.fields, &mut common, &mut bytes) {
            return None;
        }
        let shared = share(&common);
        if shared.is_none() {
            bytes.extend_from_slice(&common);
        }
        Some(Prefix { fields_len: bytes.len() - start, bytes, common: shared })
    }

    /// Builds the object; an inline body, if any, was appended to the prefix's bytes.
    pub(crate) fn build(self, prefix: Prefix, large: Option<Arc<Large>>, charge: Charge) -> Object {
        let length = |n: usize| u32::try_from(n).expect("heads are limited far below 4 GiB");
        let meta = Meta {
            terms: self.terms,
            charge,
            large,
            common: prefix.common,
            vary: self.vary,
            key_len: length(self.key.len()),
            selecting_len: length(self.selecting.len()),
            fields_len: length(prefix.fields_len),
            status: self.status,
            kept: AtomicBool::new(false),
            purged_up_to: AtomicU32::new(self.purged_up_to),
        };
        Object(ThinArc::from_header_and_slice(meta, &prefix.bytes))
    }
}

/// What an object with `bytes` bytes behind its metadata is charged.
pub(crate) const fn cost(bytes: usize) -> u64 {
    allocated(2 * size_of::<usize>() + size_of::<Meta>() + bytes) + SLOT_BYTES
}

impl Object {
    /// When and how it may be reused.
    pub fn terms(&self) -> &Terms {
        &self.meta().terms
    }

    /// The stored status.
    pub fn status(&self) -> StatusCode {
        self.meta().status
    }

    /// The primary key: the target URI.
    pub fn key(&self) -> &[u8] {
        &self.0.slice[..self.meta().key_len as usize]
    }

    /// The names that the response varies on; empty if it does not.
    pub fn vary(&self) -> &[HeaderName] {
        self.meta().vary.as_deref().unwrap_or_default()
    }

    /// The normalised values that selected this variant.
    pub fn selecting(&self) -> &[u8] {
        let start = self.meta().key_len as usize;
        &self.0.slice[start..start + self.meta().selecting_len as usize]
    }

    /// The stored fields, without Content-Length.
    pub fn fields(&self) -> PackedFields<'_> {
        let meta = self.meta();
        let start = (meta.key_len + meta.selecting_len) as usize;
        let common = meta.common.as_ref().map_or(&[][..], |common| &common.slice);
        PackedFields::new(common, &self.0.slice[start..start + meta.fields_len as usize])
    }

    /// The body.
    pub fn body(&self) -> Body<'_> {
        match self.meta().large.as_deref() {
            None => Body::Inline(&self.0.slice[self.inline_range()]),
            Some(Large { body: LargeBody::Whole { blocks, .. }, .. }) => Body::Blocks(blocks),
            Some(Large { body: LargeBody::Partial(partial), .. }) => Body::Partial(partial),
            Some(Large { body: LargeBody::Sliced(sliced), .. }) => Body::Sliced(sliced),
            Some(Large { body: LargeBody::Beneath(beneath), .. }) => Body::Beneath(beneath),
        }
    }

    /// The length of the whole representation; `None` if only parts are held and nobody said.
    pub fn length(&self) -> Option<u64> {
        match self.meta().large.as_deref() {
            None => Some(self.inline_range().len() as u64),
            Some(Large { body: LargeBody::Whole { length, .. }, .. }) => Some(*length),
            Some(Large { body: LargeBody::Partial(partial), .. }) => {
                partial.parts.complete_length()
            }
            Some(Large { body: LargeBody::Sliced(sliced), .. }) => Some(sliced.length),
            Some(Large { body: LargeBody::Beneath(beneath), .. }) => Some(beneath.length()),
        }
    }

    /// How the representation is sliced, if this is the master of slices.
    pub fn sliced(&self) -> Option<Sliced> {
        match self.body() {
            Body::Sliced(sliced) => Some(*sliced),
            _ => None,
        }
    }

    /// Where its body lies, if that is not in memory.
    pub fn beneath(&self) -> Option<&Beneath> {
        match self.body() {
            Body::Beneath(beneath) => Some(beneath),
            _ => None,
        }
    }

    /// Whether it stands for all of the representation: of a master, the slices may have to be
    /// fetched.
    pub fn is_whole(&self) -> bool {
        !matches!(self.body(), Body::Partial(_))
    }

    /// Bytes charged to the store for this object, blocks included.
    pub fn charged(&self) -> u64 {
        let meta = self.meta();
        meta.charge.bytes() + meta.large.as_ref().map_or(0, |large| large.charge.bytes())
    }

    /// Whether this is the same stored response, not merely an equal one.
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }

    /// A number for `salt` that nobody outside can guess.
    pub fn nonce(&self, salt: u64) -> u64 {
        self.meta().charge.nonce(salt)
    }

    /// The number of the newest purge rule that it was held against.
    pub(crate) fn purged_up_to(&self) -> u32 {
        self.meta().purged_up_to.load(Ordering::Relaxed)
    }

    /// It was held against all rules up to `number`.
    pub(crate) fn was_held_against(&self, number: u32) {
        self.meta().purged_up_to.fetch_max(number, Ordering::Relaxed);
    }

    /// A disk is to hold it from now on; false if one does already.
    pub(crate) fn mark_kept(&self) -> bool {
        let kept = &self.meta().kept;
        // Nearly always it is: then nothing is written to what all cores read.
        !kept.load(Ordering::Relaxed) && !kept.swap(true, Ordering::Relaxed)
    }

    /// Whether a disk holds it, or is about to.
    pub(crate) fn is_kept(&self) -> bool {
        self.meta().kept.load(Ordering::Relaxed)
    }

    /// No disk holds it after all.
    pub(crate) fn unmark_kept(&self) {
        self.meta().kept.store(false, Ordering::Relaxed);
    }

    pub(crate) fn large(&self) -> Option<&Arc<Large>> {
        self.meta().large.as_ref()
    }

    pub(crate) fn vary_shared(&self) -> Option<Arc<[HeaderName]>> {
        self.meta().vary.clone()
    }

    fn meta(&self) -> &Meta {
        &self.0.header.header
    }

    fn inline_range(&self) -> Range<usize> {
        let meta = self.meta();
        (meta.key_len + meta.selecting_len + meta.fields_len) as usize..self.0.slice.len()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("status", &self.status())
            .field("fields", &self.fields())
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}
