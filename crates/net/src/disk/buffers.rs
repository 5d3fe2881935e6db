//! Buffers into which bodies are read, used again while they are warm: short ones of each thread, and long
//! ones in huge pages.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut, Range},
};

use nigh_cache::disk::PIECE;

use super::long;

/// Pieces that one read takes at most, a megabyte: a slice. In two halves it costs a tenth more, in four
/// a fifth.
pub(super) const PIECES_MAX: usize = 8;

const SHORT: usize = PIECE;
pub(super) const LONG: usize = SHORT * PIECES_MAX;

/// What reads past the page cache are aligned to, in the file and in memory: a multiple of the blocks of
/// every device in use.
pub(super) const BLOCK: usize = 4096;

/// Bytes that a buffer has beyond its length, so that every part of a file lies in whole blocks of it.
pub(super) const SLACK: usize = 3 * BLOCK;

/// Short buffers that a thread keeps: as many answers are on their way from the device at once when it is
/// busy.
const KEPT: usize = 8;

thread_local! {
    static SHORT_KEPT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer, or a part of one. It goes back to where it is kept: a short one to the thread that drops it.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Bytes,
    part: Range<usize>,
}

#[derive(Debug)]
enum Bytes {
    Own(Box<[u8]>),
    Long(&'static mut [u8]),
}

impl Buffer {
    /// How many pieces a buffer may have now.
    pub(super) fn pieces_max() -> usize {
        if long::KEPT.lock().has_one() { PIECES_MAX } else { 1 }
    }

    /// A buffer for `length` bytes of a file from `offset` on, with whatever was in it before. They lie as
    /// far behind a multiple of [`BLOCK`] as they do in the file.
    ///
    /// # Panics
    /// If that is more than the longest has.
    pub(super) fn take(offset: u64, length: usize) -> Self {
        assert!(length <= LONG, "a read is bounded");
        let bytes = if length > SHORT {
            // Another thread may have taken the last one since it was seen: this one goes after its use.
            let long = long::KEPT.lock().take();
            long.map_or_else(|| Bytes::Own(vec![0; LONG + SLACK].into()), Bytes::Long)
        } else {
            let kept = SHORT_KEPT.with_borrow_mut(Vec::pop);
            Bytes::Own(kept.unwrap_or_else(|| vec![0; SHORT + SLACK].into()))
        };
        let start = bytes.as_ptr().align_offset(BLOCK) + before(offset);
        Self { bytes, part: start..start + length }
    }

    /// The whole blocks that the bytes of a fresh buffer lie in, and how many of those come first that are
    /// none of its bytes.
    pub(super) fn blocks(&mut self) -> (&mut [u8], usize) {
        let first = self.bytes.as_ptr().align_offset(BLOCK);
        let end = first + (self.part.end - first).next_multiple_of(BLOCK);
        (&mut self.bytes[first..end], self.part.start - first)
    }

    /// What of it counts from now on, within what counted before.
    pub(super) fn cut(&mut self, part: Range<usize>) {
        assert!(part.end <= self.part.len(), "a part of it");
        self.part = self.part.start + part.start..self.part.start + part.end;
    }
}

/// The bytes of a file between the last block's beginning and `offset`.
fn before(offset: u64) -> usize {
    usize::try_from(offset % BLOCK as u64).expect("less than a block")
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.part.clone()]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.part.clone()]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.bytes, Bytes::Own(Box::default())) {
            Bytes::Long(bytes) => long::KEPT.lock().give(bytes),
            // A thread that ends keeps nothing.
            Bytes::Own(bytes) if bytes.len() == SHORT + SLACK => {
                let _ = SHORT_KEPT.try_with(|kept| {
                    let mut kept = kept.borrow_mut();
                    if kept.len() < KEPT {
                        kept.push(bytes);
                    }
                });
            }
            Bytes::Own(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_was_dropped_is_used_again() {
        let mut first = Buffer::take(0, 10);
        let place = first.as_ptr();
        first.copy_from_slice(b"0123456789");
        first.cut(2..8);
        first.cut(1..3);
        assert_eq!(&*first, b"34");
        drop(first);
        let again = Buffer::take(0, SHORT);
        assert_eq!((again.as_ptr(), again.len()), (place, SHORT));
        assert_ne!(Buffer::take(0, SHORT).as_ptr(), place);
    }

    #[test]
    fn a_buffer_lies_in_whole_blocks_as_its_bytes_do_in_the_file() {
        for (offset, length) in [(0, 1), (8, BLOCK), (4095, LONG), (3 * BLOCK as u64 + 8, SHORT)] {
            let mut buffer = Buffer::take(offset, length);
            buffer.fill(7);
            assert_eq!(buffer.len(), length);
            let (blocks, first) = buffer.blocks();
            assert_eq!(blocks.as_ptr().align_offset(BLOCK), 0);
            assert_eq!(first as u64, offset % BLOCK as u64);
            assert_eq!(blocks.len(), (first + length).next_multiple_of(BLOCK));
            assert!(blocks[first..first + length].iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn many_that_are_held_are_short() {
        let held: Vec<Buffer> =
            std::iter::from_fn(|| (Buffer::pieces_max() > 1).then(|| Buffer::take(0, LONG)))
                .take(2 * long::LONG_MAX)
                .collect();
        assert!(held.len() <= long::LONG_MAX);
        assert_eq!(Buffer::pieces_max(), 1);
        drop(held);
        assert_eq!(Buffer::pieces_max(), PIECES_MAX);
    }
}
