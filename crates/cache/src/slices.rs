//! Large objects in slices: which bytes are in which, and under which key each is stored.
//!
//! A *master* (an object without bytes of its own) says how the representation is sliced; the slices
//! are objects like any other. `docs/slices.md` has the whole.

use nigh_base::ByteSize;

use crate::range::Span;

/// The shortest slice: below that, requests cost more than what they bring.
pub const SLICE_MIN: ByteSize = ByteSize::kib(64);
/// The longest slice: it is stored and evicted as one.
pub const SLICE_MAX: ByteSize = ByteSize::mib(64);

/// Bytes of a [`Sliced`] as it is written to a disk.
pub(crate) const BYTES: usize = 24;

/// What is kept in slices, and how long they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slicing {
    /// Bytes of a slice.
    pub size: ByteSize,
    /// A whole response of more bytes than this is sliced.
    pub above: ByteSize,
}

impl Default for Slicing {
    fn default() -> Self {
        Self { size: ByteSize::mib(1), above: ByteSize::mib(8) }
    }
}

/// How a representation is sliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliced {
    /// Bytes of the representation.
    pub length: u64,
    /// Bytes of each slice but the last.
    pub size: u64,
    /// Tells its slices from those of every other master.
    pub nonce: u64,
}

impl Sliced {
    /// In which slice a byte lies.
    pub const fn index_of(&self, byte: u64) -> u64 {
        byte / self.size
    }

    /// The bytes of a slice.
    ///
    /// # Panics
    /// If there is no such slice.
    pub fn span(&self, index: u64) -> Span {
        let start = index.saturating_mul(self.size);
        let end = start.saturating_add(self.size).min(self.length);
        Span::new(start, end).expect("the slice is one of the representation's")
    }

    /// How many slices there are.
    pub const fn count(&self) -> u64 {
        self.length.div_ceil(self.size)
    }

    /// The key of a slice. No URI has a space, so it is no other object's.
    pub fn key(&self, master: &[u8], index: u64) -> Box<[u8]> {
        let mut key = self.key_prefix(master);
        key.extend_from_slice(index.to_string().as_bytes());
        key.into()
    }

    /// What the keys of all slices begin with.
    pub(crate) fn key_prefix(&self, master: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(master.len() + 40);
        key.extend_from_slice(master);
        key.extend_from_slice(format!(" {:016x} ", self.nonce).as_bytes());
        key
    }

    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (at, number) in [self.length, self.size, self.nonce].into_iter().enumerate() {
            bytes[8 * at..8 * at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// `None` if these are not what [`Self::to_bytes`] gave.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let number =
            |at: usize| u64::from_le_bytes(*bytes[8 * at..].first_chunk().expect("it has three"));
        let sliced = Self { length: number(0), size: number(1), nonce: number(2) };
        (sliced.length > 0 && sliced.size > 0).then_some(sliced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICED: Sliced = Sliced { length: 10, size: 4, nonce: 0xab };

    #[test]
    fn the_slices_are_the_representation_without_gap_or_overlap() {
        let spans: Vec<Span> = (0..SLICED.count()).map(|index| SLICED.span(index)).collect();
        assert_eq!(
            spans.iter().map(|span| (span.start, span.end)).collect::<Vec<_>>(),
            [(0, 4), (4, 8), (8, 10)]
        );
        for byte in 0..SLICED.length {
            let span = SLICED.span(SLICED.index_of(byte));
            assert!(span.start <= byte && byte < span.end, "{byte}");
        }
    }

    #[test]
    fn the_key_of_a_slice_begins_with_its_masters_and_is_no_uri() {
        assert_eq!(&*SLICED.key(b"http://a/b", 2), b"http://a/b 00000000000000ab 2");
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let bytes = SLICED.to_bytes();
        assert_eq!(Sliced::from_bytes(&bytes), Some(SLICED));
        assert_eq!(Sliced::from_bytes(&bytes[..23]), None);
        assert_eq!(Sliced::from_bytes(&[0; BYTES]), None);
    }
}
