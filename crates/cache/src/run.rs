//! A run of a stored body, read without copying.

use std::{io::IoSlice, ops::Range};

use bytes::{Buf, Bytes};

use crate::{
    object::{Body, Object},
    range,
};

/// Bytes `range` of a stored representation, from the front. It keeps the object alive.
#[derive(Clone, Debug)]
pub struct Run {
    object: Object,
    /// The next byte, and the one behind the last.
    at: u64,
    end: u64,
    /// Where the next byte lies: in which block, and where in it.
    block: usize,
    skip: usize,
}

impl Run {
    /// The run `range`. Finding its first block takes a walk over those before it.
    ///
    /// # Panics
    /// If the object does not hold all of `range`.
    pub fn new(object: Object, range: Range<u64>) -> Self {
        let (block, skip) = locate(&object, &range).expect("the range is held");
        Self { object, at: range.start, end: range.end, block, skip }
    }

    /// All of a whole body.
    ///
    /// # Panics
    /// If the object is partial or sliced, or lies on the disk.
    pub fn whole(object: Object) -> Self {
        let is_held = matches!(object.body(), Body::Inline(_) | Body::Blocks(_));
        let length = object.length().filter(|_| is_held).expect("the body is whole");
        Self { object, at: 0, end: length, block: 0, skip: 0 }
    }

    fn left(&self) -> usize {
        usize::try_from(self.end - self.at).unwrap_or(usize::MAX)
    }

    fn blocks(&self) -> &[Bytes] {
        match self.object.body() {
            Body::Inline(_) | Body::Sliced(_) | Body::Beneath(_) => &[],
            Body::Blocks(blocks) => blocks,
            Body::Partial(partial) => &partial.bytes,
        }
    }
}

/// The block that holds the first byte of `range`, and its place there.
fn locate(object: &Object, range: &Range<u64>) -> Option<(usize, usize)> {
    let place = |n: u64| usize::try_from(n).ok();
    match object.body() {
        Body::Inline(bytes) => (range.end <= bytes.len() as u64)
            .then(|| place(range.start))
            .flatten()
            .map(|at| (0, at)),
        Body::Blocks(blocks) => {
            let mut start = 0;
            for (index, block) in blocks.iter().enumerate() {
                let end = start + block.len() as u64;
                if range.start < end {
                    let held = range.end <= object.length()?;
                    return held.then(|| place(range.start - start))?.map(|at| (index, at));
                }
                start = end;
            }
            (range.is_empty()).then_some((blocks.len(), 0))
        }
        Body::Sliced(_) | Body::Beneath(_) => None,
        Body::Partial(partial) => {
            let span = range::Span::new(range.start, range.end)?;
            let piece = partial.parts.covers(span).then(|| partial.parts.pieces(span).next())??;
            let held = partial.parts.spans()[piece.at];
            Some((piece.at, place(range.start - held.start)?))
        }
    }
}

impl Buf for Run {
    fn remaining(&self) -> usize {
        self.left()
    }

    fn chunk(&self) -> &[u8] {
        let rest = match self.object.body() {
            Body::Inline(bytes) => &bytes[self.skip..],
            _ => self.blocks().get(self.block).map_or(&[][..], |block| &block[self.skip..]),
        };
        &rest[..rest.len().min(self.left())]
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut left = self.left();
        let mut filled = 0;
        let mut put = |bytes: &'a [u8], left: &mut usize| {
            let bytes = &bytes[..bytes.len().min(*left)];
            *left -= bytes.len();
            if let Some(slot) = slices.get_mut(filled).filter(|_| !bytes.is_empty()) {
                *slot = IoSlice::new(bytes);
                filled += 1;
                return true;
            }
            false
        };
        if put(self.chunk(), &mut left) {
            for block in self.blocks().iter().skip(self.block + 1) {
                if left == 0 || !put(block, &mut left) {
                    break;
                }
            }
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.left(), "advanced past the end of a run");
        self.at += count as u64;
        while let Some(rest) = self.blocks().get(self.block).map(|block| block.len() - self.skip) {
            if count < rest {
                break;
            }
            count -= rest;
            self.block += 1;
            self.skip = 0;
        }
        self.skip += count;
    }
}
