//! The geometries in which overlays place their keys: what is near, and what lies between.
//!
//! | space | distance from a to b | overlays |
//! | --- | --- | --- |
//! | [`clockwise`] | b - a modulo 2^m | Chord, Viceroy's ring, Koorde's ring |
//! | [`xor`] | a xor b, as a number | Kademlia |
//! | [`prefix`] | digits until they differ | Pastry, Tapestry |
//! | [`torus`] | Euclidean, each axis closed to a circle | CAN |
//! | [`de_bruijn`] | shifts until a has become b | Koorde |

/// A circle of 2^m keys. Stoica et al., "Chord", SIGCOMM 2001, section 4.
pub mod clockwise {
    use crate::Key;

    /// A circle of 2^`bits` keys, on which distance is measured in one direction.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Circle {
        bits: u32,
    }

    impl Circle {
        /// The circle of all keys.
        pub const WHOLE: Self = Self { bits: Key::BITS };

        /// A circle of 2^`bits` keys.
        ///
        /// # Panics
        /// If `bits` is zero or more than 160.
        pub fn new(bits: u32) -> Self {
            assert!((1..=Key::BITS).contains(&bits), "a circle has 1 to 160 bits");
            Self { bits }
        }

        /// m: how many bits its keys have.
        pub const fn bits(self) -> u32 {
            self.bits
        }

        /// Whether `key` lies on it.
        pub fn has(self, key: Key) -> bool {
            key.low(self.bits) == key
        }

        /// `key` wrapped onto the circle.
        #[must_use]
        pub const fn wrap(self, key: Key) -> Key {
            key.low(self.bits)
        }

        /// How far it is clockwise from `from` to `to`.
        pub const fn distance(self, from: Key, to: Key) -> Key {
            to.minus(from).low(self.bits)
        }

        /// Whether `key` lies in (`after`, `upto`]; all keys do if the two are one.
        pub fn within(self, key: Key, after: Key, upto: Key) -> bool {
            let reach = self.distance(after, upto);
            let distance = self.distance(after, key);
            if reach == Key::default() {
                return true;
            }
            distance != Key::default() && distance <= reach
        }

        /// Whether `key` lies in (`after`, `before`); all but `after` do if the two are one.
        pub fn between(self, key: Key, after: Key, before: Key) -> bool {
            key != before && key != after && self.within(key, after, before)
        }

        /// `from` + 2^`exponent`, where the finger of that number starts.
        ///
        /// # Panics
        /// If the exponent is not below the circle's bits.
        pub fn finger_start(self, from: Key, exponent: u32) -> Key {
            assert!(exponent < self.bits, "finger {exponent} of {}", self.bits);
            self.wrap(from.plus(Key::power(exponent)))
        }
    }
}

/// The distance of Kademlia. Maymounkov and Mazières, IPTPS 2002, section 2.1.
pub mod xor {
    use crate::Key;

    /// How far apart two keys are; the same both ways.
    pub const fn distance(a: Key, b: Key) -> Key {
        a.xor(b)
    }

    /// The bucket of `b` in the table of `a`: i when 2^i <= distance < 2^(i+1); none for itself.
    pub fn bucket(a: Key, b: Key) -> Option<u32> {
        (Key::BITS - 1).checked_sub(a.xor(b).leading_zeros())
    }
}

/// Keys as strings of digits. Rowstron and Druschel, "Pastry", Middleware 2001, section 2.
pub mod prefix {
    use crate::Key;

    /// How keys are cut into digits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Digits {
        bits: u32,
    }

    impl Digits {
        /// Digits of `bits` bits each (Pastry's b): 1, 2, 4 or 8, which divide a byte.
        ///
        /// # Panics
        /// If it is another number.
        pub fn new(bits: u32) -> Self {
            assert!(matches!(bits, 1 | 2 | 4 | 8), "a digit has 1, 2, 4 or 8 bits");
            Self { bits }
        }

        /// How many digits a key has.
        pub const fn count(self) -> u32 {
            Key::BITS / self.bits
        }

        /// The digit at `place`, the most significant being 0.
        ///
        /// # Panics
        /// If the key has no such place.
        pub fn at(self, key: Key, place: u32) -> u8 {
            assert!(place < self.count(), "digit {place} of {}", self.count());
            let down = Key::BITS - (place + 1) * self.bits;
            key.shifted_down(down).low(self.bits).bytes()[Key::BYTES - 1]
        }

        /// How many digits in front are the same.
        pub fn shared(self, a: Key, b: Key) -> u32 {
            a.xor(b).leading_zeros() / self.bits
        }
    }
}

/// A cube whose opposite faces meet. Ratnasamy et al., "CAN", SIGCOMM 2001, section 2.
pub mod torus {
    use crate::Key;

    /// A point of `D` coordinates, each a 32-bit fraction of a circle.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Point<const D: usize>(pub [u32; D]);

    impl<const D: usize> Point<D> {
        /// Where `key` lies: its bytes dealt out to the coordinates, four each.
        ///
        /// # Panics
        /// At compile time if D is more than 5: a key has no more bytes.
        pub fn of(key: Key) -> Self {
            const { assert!(D >= 1 && D <= Key::BYTES / 4, "a key has five coordinates at most") };
            let bytes = key.bytes();
            let (words, _) = bytes.as_chunks::<4>();
            Self(std::array::from_fn(|axis| u32::from_be_bytes(words[axis])))
        }

        /// The square of the Euclidean distance, the short way round on each axis.
        pub fn distance_squared(self, other: Self) -> u128 {
            let axes = self.0.iter().zip(other.0);
            axes.map(|(&a, b)| {
                let along = u128::from(a.wrapping_sub(b).min(b.wrapping_sub(a)));
                along * along
            })
            .sum()
        }
    }
}

/// Keys as the nodes of a de Bruijn graph. Kaashoek and Karger, "Koorde", IPTPS 2003, section 2.
pub mod de_bruijn {
    use super::clockwise::Circle;
    use crate::Key;

    /// The neighbour of `node` on the way to `target`: the node's bits moved up by `bits`, with the
    /// next `bits` of `target` behind. `step` counts from zero; after as many as the circle has
    /// bits (over `bits`, rounded up) the neighbour is the target.
    pub fn step(circle: Circle, node: Key, target: Key, bits: u32, step: u32) -> Key {
        let done = step * bits;
        let bits = bits.min(circle.bits().saturating_sub(done));
        let left = circle.bits() - done.min(circle.bits()) - bits;
        let next = target.shifted_down(left).low(bits);
        circle.wrap(node.shifted_up(bits)).plus(next)
    }
}

#[cfg(test)]
mod tests;
