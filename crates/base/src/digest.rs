//! A fingerprint of a state or of a run: the same on every machine and in every version.
//!
//! Each word is folded in by one multiplication to 128 bits whose halves are combined, as in
//! wyhash. It tells runs apart; it resists nobody who wants two of them to look alike.

use std::hash::Hasher;

/// A running fingerprint. `Hash` feeds it, and it never changes between releases of a library, as
/// `std`'s hashers may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FOLD: u64 = 0xd6e8_feb8_6659_fd93;

impl Default for Digest {
    fn default() -> Self {
        Self(SEED)
    }
}

impl Digest {
    /// The fingerprint so far.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref() {
            self.write_u64(u64::from_le_bytes(word.try_into().expect("chunks have eight bytes")));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            // The length sets a short tail apart from one with zeros behind it.
            self.write_u64(u64::from_le_bytes(word) ^ ((rest.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        let wide = u128::from(self.0 ^ n) * u128::from(FOLD);
        let [low, high] = [wide, wide >> 64].map(|half| half & u128::from(u64::MAX));
        self.0 = u64::try_from(low ^ high).expect("half of 128 bits") ^ n.rotate_left(32) ^ SEED;
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hash;

    use super::*;

    fn digest(value: impl Hash) -> u64 {
        let mut digest = Digest::default();
        value.hash(&mut digest);
        digest.value()
    }

    #[test]
    fn values_that_differ_a_little_have_other_digests() {
        let texts: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"abcdefgh", b"abcdefgh\0", b"abcdefgi"];
        for (i, a) in texts.iter().enumerate() {
            for b in &texts[i + 1..] {
                assert_ne!(digest(a), digest(b), "{a:?} and {b:?}");
            }
        }
        assert_ne!(digest((1u64, 2u64)), digest((2u64, 1u64)));
    }

    #[test]
    fn a_digest_is_pinned() {
        assert_eq!(digest((7u64, [1u8, 2, 3], "nigh")), digest((7u64, [1u8, 2, 3], "nigh")));
        let mut one = Digest::default();
        one.write_u64(1);
        assert_eq!(one.value(), PINNED);
    }

    /// Recordings and seeds name digests: this number never changes.
    const PINNED: u64 = 7_837_402_212_979_023_408;
}
