//! What a URL has to give: bytes that follow from the object's number, its length and its edition.

/// Bytes that are made or compared at once.
const PIECE: usize = 4096;

/// An object of the origin. Its URL names it: `/object/NUMBER/BYTES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Which.
    pub number: u64,
    /// The length of its body.
    pub bytes: u32,
}

impl Object {
    /// The path of its URL.
    pub fn path(self) -> String {
        format!("/object/{}/{}", self.number, self.bytes)
    }

    /// The object of this path, if there is one.
    pub fn parse(path: &str) -> Option<Self> {
        let (number, bytes) = path.strip_prefix("/object/")?.split_once('/')?;
        Some(Self { number: number.parse().ok()?, bytes: bytes.parse().ok()? })
    }

    /// Writes the bytes of an edition from `at` on.
    pub fn write(self, edition: u32, at: usize, into: &mut [u8]) {
        let seed = mix(self.number ^ mix(u64::from(edition) << 32 | u64::from(self.bytes)));
        let mut done = 0;
        while done < into.len() {
            let place = at + done;
            let word = mix(seed.wrapping_add((place / 8) as u64)).to_le_bytes();
            let word = &word[place % 8..];
            let count = word.len().min(into.len() - done);
            into[done..done + count].copy_from_slice(&word[..count]);
            done += count;
        }
    }

    /// Where `bytes`, which come at `at`, are first not this edition's; `None` if they are.
    pub fn differs(self, edition: u32, at: usize, bytes: &[u8]) -> Option<usize> {
        let mut right = [0; PIECE];
        for (piece, bytes) in bytes.chunks(PIECE).enumerate() {
            let right = &mut right[..bytes.len()];
            self.write(edition, at + piece * PIECE, right);
            if right != bytes {
                let place = right.iter().zip(bytes).position(|(right, byte)| right != byte);
                return Some(at + piece * PIECE + place.unwrap_or(0));
            }
        }
        None
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA'14): each bit of the input moves half of
/// the output's, so that bytes at a wrong place, or of another object, are wrong.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: Object = Object { number: 7, bytes: 10_000 };

    fn whole(object: Object, edition: u32) -> Vec<u8> {
        let mut bytes = vec![0; object.bytes as usize];
        object.write(edition, 0, &mut bytes);
        bytes
    }

    #[test]
    fn a_path_names_an_object_and_nothing_else_does() {
        assert_eq!(OBJECT.path(), "/object/7/10000");
        assert_eq!(Object::parse(&OBJECT.path()), Some(OBJECT));
        for path in ["/", "/object/7", "/object/7/x", "/object/-1/1", "/object/7/4294967296"] {
            assert_eq!(Object::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_part_has_the_bytes_that_the_whole_has_there() {
        let whole = whole(OBJECT, 1);
        for (first, end) in [(0, 10_000), (3, 4), (5, 4_100), (4_095, 4_097), (8_001, 10_000)] {
            let mut part = vec![0; end - first];
            OBJECT.write(1, first, &mut part);
            assert_eq!(part, whole[first..end]);
            assert_eq!(OBJECT.differs(1, first, &part), None);
        }
    }

    #[test]
    fn bytes_of_another_object_edition_or_place_are_wrong() {
        let bytes = whole(OBJECT, 1);
        let other = Object { number: 8, ..OBJECT };
        let longer = Object { bytes: 10_001, ..OBJECT };
        assert!(OBJECT.differs(2, 0, &bytes).is_some());
        assert!(OBJECT.differs(1, 8, &bytes).is_some());
        assert!(other.differs(1, 0, &bytes).is_some() && longer.differs(1, 0, &bytes).is_some());
        let mut damaged = bytes;
        damaged[9_999] ^= 1;
        assert_eq!(OBJECT.differs(1, 0, &damaged), Some(9_999));
    }
}
