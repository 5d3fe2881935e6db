//! A body that stays on the disk, and the pieces in which it is checked and read.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

use twox_hash::XxHash3_64;

use super::Place;
use crate::range::Span;

/// Bytes of a piece: whoever wants one byte of it reads and checks all of it. Much shorter, and the
/// calls of a long body would cost more than its bytes; much longer, and a short range would.
pub const PIECE: usize = 128 * 1024;

/// So many readings that had to wait for the device make a body worth its memory, the store's or the
/// kernel's. Before that it is read past the page cache: a gigabyte that goes through it costs the
/// processor about what six more readings from the device do, and room that other pages had.
pub const WAITS_MAX: u32 = 8;

/// Where the body of an object in memory lies on the disk.
#[derive(Debug)]
pub struct Beneath {
    place: Place,
    /// The hash of the object's selecting values.
    selecting: u32,
    /// From which byte of its segment on the body lies.
    start: u64,
    length: u64,
    checks: Checks,
    waits: AtomicU32,
}

/// The checks of a body's pieces, which depend on where the record stands.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) seed: u64,
    pub(super) pieces: Box<[u64]>,
}

impl Checks {
    /// The check of piece `number`. Its own seed, so that no piece passes for another; the offset in
    /// a segment, which is in the record's seed, never reaches the bits that the number changes.
    pub(super) fn of(seed: u64, number: usize, piece: &[u8]) -> u64 {
        let number = number as u64 + 1;
        XxHash3_64::oneshot_with_seed(seed ^ number.rotate_right(16), piece)
    }

    /// Whether `bytes` are whole pieces, from number `first` on, as they were written.
    fn hold(&self, first: usize, bytes: &[u8]) -> bool {
        let mut pieces = bytes.chunks(PIECE).zip(first..);
        pieces.all(|(piece, number)| {
            self.pieces.get(number) == Some(&Self::of(self.seed, number, piece))
        })
    }
}

impl Beneath {
    pub(super) fn new(
        place: Place,
        selecting: u32,
        front: u64,
        length: u64,
        checks: Checks,
    ) -> Self {
        let start = place.offset + front;
        Self { place, selecting, start, length, checks, waits: AtomicU32::new(0) }
    }

    /// Where its record lies.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Bytes of the body.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The numbers of the pieces that `span` touches.
    ///
    /// # Panics
    /// If the body has no such bytes.
    pub fn pieces(&self, span: Span) -> Range<usize> {
        assert!(span.end <= self.length, "the body has these bytes");
        let number = |piece: u64| usize::try_from(piece).expect("a record has few pieces");
        number(span.start / PIECE as u64)..number(span.end.div_ceil(PIECE as u64))
    }

    /// Which bytes of the body some pieces are.
    ///
    /// # Panics
    /// If there are no such pieces, or none are asked for.
    pub fn span(&self, pieces: &Range<usize>) -> Span {
        let start = pieces.start as u64 * PIECE as u64;
        let end = (pieces.end as u64 * PIECE as u64).min(self.length);
        Span::new(start, end).expect("the body has these pieces")
    }

    /// Where a byte of the body lies in the segment.
    pub const fn offset(&self, byte: u64) -> u64 {
        self.start + byte
    }

    /// Whether `bytes` are what was written as these pieces.
    pub fn holds(&self, pieces: &Range<usize>, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.span(pieces).len() && self.checks.hold(pieces.start, bytes)
    }

    /// Notes that a reading of the body had to wait for the device, and says how many had to.
    pub fn was_waited_for(&self) -> u32 {
        self.waits.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// How many readings of the body had to wait for the device.
    pub fn waits(&self) -> u32 {
        self.waits.load(Ordering::Relaxed)
    }

    pub(super) const fn selecting(&self) -> u32 {
        self.selecting
    }

    /// Bytes that it takes beside itself.
    pub(super) const fn allocated(&self) -> usize {
        self.checks.pieces.len() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_xxh3_64_as_published_whatever_the_processor() {
        // From another implementation, `xxhash-rust` 0.8.
        for (length, digest) in [
            (0, 0xcc1c_a35a_1b08_9c5c),
            (1, 0x741a_549e_c5c1_ddf0),
            (8, 0x5c53_63c8_008e_62da),
            (16, 0x5fd5_1fc1_02af_6f6b),
            (17, 0x3095_0a9d_13f8_427b),
            (128, 0xfa02_9fbe_b651_6b5f),
            (129, 0x5a0c_0ca8_5e1e_65d7),
            (240, 0xaec1_cacd_f9ed_cfd2),
            (241, 0x7c89_685c_f1ec_b411),
            (1_024, 0x9f24_3293_1eaa_1c2c),
            (4_097, 0x30fe_b7b4_3903_a895),
            (131_072, 0x2a04_ad9b_6c18_b9e7),
        ] {
            let bytes: Vec<u8> = (0..length).map(|at: u32| (at * 7 + 3).to_le_bytes()[0]).collect();
            let found = XxHash3_64::oneshot_with_seed(0x0123_4567_89ab_cdef, &bytes);
            assert_eq!(found, digest, "{length}");
        }
    }
}
