//! Buffers into which bodies are read: a few for each thread, used again while they are warm.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut, Range},
    sync::atomic::{AtomicUsize, Ordering},
};

use nigh_cache::disk::PIECE;

/// Pieces that one read takes at most. The kernel sends four in one go for an eighth less than one by
/// one.
pub(super) const PIECES_MAX: usize = 4;

const SHORT: usize = PIECE;
const LONG: usize = SHORT * PIECES_MAX;

/// Long buffers of all threads together, 32 MiB: however many clients are slow, each of the further ones
/// holds one piece of 128 KiB.
const LONG_MAX: usize = 64;

/// Buffers of each length that a thread keeps: about what its core's cache holds.
const KEPT: usize = 2;

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

    /// A buffer of `length` bytes, with whatever was in it before.
    ///
    /// # Panics
    /// If that is more than the longest has.
    pub(super) fn take(length: usize) -> Self {
        assert!(length <= LONG, "a read is bounded");
        let is_long = length > SHORT;
        let kept = POOL.with_borrow_mut(|pool| match is_long {
            true => pool.long.pop(),
            false => pool.short.pop(),
        });
        let bytes = kept.unwrap_or_else(|| {
            if is_long {
                LONG_MADE.fetch_add(1, Ordering::Relaxed);
            }
            vec![0; if is_long { LONG } else { SHORT }].into()
        });
        Self { bytes, part: 0..length }
    }

    /// What of it counts from now on, within what counted before.
    pub(super) fn cut(&mut self, part: Range<usize>) {
        assert!(part.end <= self.part.len(), "a part of it");
        self.part = self.part.start + part.start..self.part.start + part.end;
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
        let bytes = std::mem::take(&mut self.bytes);
        let is_long = bytes.len() > SHORT;
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
        let mut first = Buffer::take(10);
        let place = first.as_ptr();
        first.copy_from_slice(b"0123456789");
        first.cut(2..8);
        first.cut(1..3);
        assert_eq!(&*first, b"34");
        drop(first);
        let again = Buffer::take(SHORT);
        assert_eq!((again.as_ptr(), again.len()), (place, SHORT));
        assert_ne!(Buffer::take(SHORT).as_ptr(), place);
    }

    #[test]
    fn many_that_are_held_are_short() {
        let held: Vec<Buffer> =
            std::iter::from_fn(|| (Buffer::pieces_max() > 1).then(|| Buffer::take(LONG)))
                .take(2 * LONG_MAX)
                .collect();
        assert!(held.len() <= LONG_MAX);
        assert_eq!(Buffer::pieces_max(), 1);
        drop(held);
        assert_eq!(Buffer::pieces_max(), PIECES_MAX);
        POOL.with_borrow(|pool| assert_eq!(pool.long.len(), KEPT));
    }
}
