//! Keys of 160 bits, as SHA-1 makes them: the names of nodes and of content in every overlay.

use std::{cmp::Ordering, fmt, str::FromStr};

use sha1::{Digest as _, Sha1};

use crate::wire::{Reader, Wire, WireError};

/// A number of 160 bits, big-endian. `Ord` is the order of numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Key([u8; Self::BYTES]);

impl Key {
    /// Bytes of a key.
    pub const BYTES: usize = 20;
    /// Bits of a key.
    pub const BITS: u32 = 160;
    /// The largest key.
    pub const MAX: Self = Self([0xff; Self::BYTES]);

    /// The key with these bytes, the most significant first.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The key of a name: its SHA-1, as in the Chord paper.
    pub fn of(name: &[u8]) -> Self {
        Self(Sha1::digest(name).into())
    }

    /// The bytes, the most significant first.
    pub const fn bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// The key as a number, in its upper 32 and its lower 128 bits.
    pub(crate) const fn parts(self) -> (u32, u128) {
        let [a, b, c, d, low @ ..] = self.0;
        (u32::from_be_bytes([a, b, c, d]), u128::from_be_bytes(low))
    }

    pub(crate) const fn from_parts((high, low): (u32, u128)) -> Self {
        let mut bytes = [0; Self::BYTES];
        *bytes.first_chunk_mut().expect("20 bytes") = high.to_be_bytes();
        *bytes.last_chunk_mut().expect("20 bytes") = low.to_be_bytes();
        Self(bytes)
    }

    /// 2 to the power of `exponent`.
    ///
    /// # Panics
    /// If the exponent is 160 or more.
    pub fn power(exponent: u32) -> Self {
        assert!(exponent < Self::BITS, "a key has 160 bits");
        Self::from_parts(match exponent.checked_sub(128) {
            Some(exponent) => (1 << exponent, 0),
            None => (0, 1 << exponent),
        })
    }

    /// How many bits are zero in front.
    pub fn leading_zeros(self) -> u32 {
        match self.parts() {
            (0, low) => 32 + low.leading_zeros(),
            (high, _) => high.leading_zeros(),
        }
    }

    /// The upper 64 bits, for orders that need no more.
    pub fn top(self) -> u64 {
        u64::from_be_bytes(*self.0.first_chunk().expect("20 bytes"))
    }

    /// The sum, modulo 2^160.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let ((high, low), (other_high, other_low)) = (self.parts(), other.parts());
        let (low, carry) = low.overflowing_add(other_low);
        Self::from_parts((high.wrapping_add(other_high).wrapping_add(carry as u32), low))
    }

    /// The difference, modulo 2^160.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        let ((high, low), (other_high, other_low)) = (self.parts(), other.parts());
        let (low, borrow) = low.overflowing_sub(other_low);
        Self::from_parts((high.wrapping_sub(other_high).wrapping_sub(borrow as u32), low))
    }

    /// The bits in which the two differ.
    #[must_use]
    pub const fn xor(self, other: Self) -> Self {
        let ((high, low), (other_high, other_low)) = (self.parts(), other.parts());
        Self::from_parts((high ^ other_high, low ^ other_low))
    }

    /// The lowest `bits` bits alone.
    #[must_use]
    pub const fn low(self, bits: u32) -> Self {
        let (high, low) = self.parts();
        Self::from_parts(if bits >= 160 {
            (high, low)
        } else if bits >= 128 {
            (high & ((1 << (bits - 128)) - 1), low)
        } else {
            (0, low & ((1 << bits) - 1))
        })
    }

    /// Moved up by `bits`; what leaves above is lost.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "what leaves above is lost")]
    pub const fn shifted_up(self, bits: u32) -> Self {
        let (high, low) = self.parts();
        Self::from_parts(if bits >= 160 {
            (0, 0)
        } else if bits >= 128 {
            ((low << (bits - 128)) as u32, 0)
        } else if bits == 0 {
            (high, low)
        } else {
            let carried = (low >> (128 - bits)) as u32;
            (if bits >= 32 { carried } else { high << bits | carried }, low << bits)
        })
    }

    /// Moved down by `bits`; what leaves below is lost.
    #[must_use]
    pub const fn shifted_down(self, bits: u32) -> Self {
        let (high, low) = self.parts();
        Self::from_parts(if bits >= 160 {
            (0, 0)
        } else if bits >= 128 {
            (0, (high >> (bits - 128)) as u128)
        } else if bits == 0 {
            (high, low)
        } else {
            let carried = (high as u128) << (128 - bits);
            let carried = if bits > 32 { (high as u128) << 96 >> (bits - 32) } else { carried };
            (if bits >= 32 { 0 } else { high >> bits }, low >> bits | carried)
        })
    }
}

/// As two numbers: a lookup compares keys at every step, and comparing bytes is a call.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Self {
        Self::from_parts((0, number.into()))
    }
}

/// 40 hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Small numbers as such: rings on slides have six bits.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (0, low) if low < 1 << 32 => write!(f, "{low}"),
            _ => fmt::Display::fmt(self, f),
        }
    }
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has 40 hexadecimal digits")]
pub struct KeyError;

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.as_bytes();
        let mut bytes = [0; Self::BYTES];
        if digits.len() != 2 * Self::BYTES {
            return Err(KeyError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(KeyError);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| KeyError)?;
        }
        Ok(Self(bytes))
    }
}

impl Wire for Key {
    const MAX: usize = Self::BYTES;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.array().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn random(rng: &mut Rng) -> Key {
        Key::from_parts((
            u32::try_from(rng.next_u64() >> 32).unwrap(),
            u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()),
        ))
    }

    #[test]
    fn arithmetic_is_that_of_numbers_modulo_2_to_the_160() {
        let mut rng = Rng::new(1);
        for _ in 0..1000 {
            let (a, b) = (random(&mut rng), random(&mut rng));
            assert_eq!(a.plus(b).minus(b), a);
            assert_eq!(a.xor(b).xor(b), a);
            assert_eq!(a.minus(b).plus(b.minus(a)), Key::default());
        }
        assert_eq!(Key::MAX.plus(Key::from(1)), Key::default());
        assert_eq!(Key::default().minus(Key::from(1)), Key::MAX);
    }

    #[test]
    fn shifts_multiply_and_divide_by_powers() {
        let mut rng = Rng::new(2);
        for bits in 0..=160 {
            let a = random(&mut rng);
            // Bit by bit is the slow way that is plainly right.
            let (mut up, mut down) = (a, a);
            for _ in 0..bits {
                up = up.plus(up);
                down = halved(down);
            }
            assert_eq!(a.shifted_up(bits), up, "{bits}");
            assert_eq!(a.shifted_down(bits), down, "{bits}");
            assert_eq!(a.low(bits), a.minus(a.shifted_down(bits).shifted_up(bits)), "{bits}");
        }
    }

    fn halved(key: Key) -> Key {
        let mut carry = 0;
        Key(key.0.map(|byte| {
            let half = byte >> 1 | carry;
            carry = byte << 7;
            half
        }))
    }

    #[test]
    fn powers_have_one_bit() {
        for exponent in 0..160 {
            assert_eq!(Key::power(exponent), Key::from(1).shifted_up(exponent));
            assert_eq!(Key::power(exponent).leading_zeros(), 159 - exponent);
        }
    }

    #[test]
    fn a_key_reads_as_it_is_printed() {
        let key = Key::of(b"nigh");
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!("nigh".parse::<Key>(), Err(KeyError));
        assert_eq!("+0".repeat(20).parse::<Key>(), Err(KeyError));
        // FIPS 180-4's example.
        assert_eq!(Key::of(b"abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
