//! Buffers into which bodies are read: a few for each thread, used again while they are warm.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut, Range},
    sync::atomic::{AtomicUsize, Ordering},
};

use nigh_cache::disk::PIECE;

/// Pieces that one read takes at most, a megabyte: a slice. In two halves it costs a tenth more, in four
/// a fifth.
pub(super) const PIECES_MAX: usize = 8;

const SHORT: usize = PIECE;
const LONG: usize = SHORT * PIECES_MAX;

/// What reads past the page cache are aligned to, in the file and in memory: a multiple of the blocks of
/// every device in use.
pub(super) const BLOCK: usize = 4096;

/// Bytes that a buffer has beyond its length, so that every part of a file lies in whole blocks of it.
const SLACK: usize = 3 * BLOCK;

/// Long buffers of all threads together, 32 MiB: however many clients are slow, each of the further ones
/// holds one piece of 128 KiB.
const LONG_MAX: usize = 32;

/// Buffers of each length that a thread keeps: as many answers are on their way from the device at once
/// when it is busy.
const KEPT: usize = 8;

static LONG_MADE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { short: Vec::new(), long: Vec::new() }) };
}

struct Pool {
    short: Vec<Box<[u8]>>,
    long: Vec<Box<[u8]>>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        LONG_MADE.fetch_sub(self.long.len(), Ordering::Relaxed);
    }
}

/// A buffer, or a part of one. It goes to the pool of the thread that drops it.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    part: Range<usize>,
}

impl Buffer {
    /// How many pieces a buffer may have now.
    pub(super) fn pieces_max() -> usize {
        let has_long = POOL.with_borrow(|pool| !pool.long.is_empty());
        let may_make = || LONG_MADE.load(Ordering::Relaxed) < LONG_MAX;
        if has_long || may_make() { PIECES_MAX } else { 1 }
    }

    /// A buffer for `length` bytes of a file from `offset` on, with whatever was in it before. They lie as
    /// far behind a multiple of [`BLOCK`] as they do in the file.
    ///
    /// # Panics
    /// If that is more than the longest has.
    pub(super) fn take(offset: u64, length: usize) -> Self {
        assert!(length <= LONG, "a read is bounded");
        let is_long = length > SHORT;
        let kept = POOL.with_borrow_mut(|pool| match is_long {
            true => pool.long.pop(),
            false => pool.short.pop(),
        });
        let bytes: Box<[u8]> = kept.unwrap_or_else(|| {
            if is_long {
                LONG_MADE.fetch_add(1, Ordering::Relaxed);
            }
            vec![0; SLACK + if is_long { LONG } else { SHORT }].into()
        });
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
        let bytes = std::mem::take(&mut self.bytes);
        let is_long = bytes.len() > SHORT + SLACK;
        let kept = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            let shelf = if is_long { &mut pool.long } else { &mut pool.short };
            let has_room = shelf.len() < KEPT;
            if has_room {
                shelf.push(bytes);
            }
            has_room
        });
        if is_long && !kept.unwrap_or(false) {
            LONG_MADE.fetch_sub(1, Ordering::Relaxed);
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
                .take(2 * LONG_MAX)
                .collect();
        assert!(held.len() <= LONG_MAX);
        assert_eq!(Buffer::pieces_max(), 1);
        drop(held);
        assert_eq!(Buffer::pieces_max(), PIECES_MAX);
        POOL.with_borrow(|pool| assert_eq!(pool.long.len(), KEPT));
    }
}
