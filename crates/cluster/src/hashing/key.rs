//! Hashes that all edges have to agree on: of keys, and of points.

use twox_hash::XxHash3_64;

/// Where a key lies among all 64-bit numbers: its xxh3-64 without a seed.
pub fn key_hash(key: &[u8]) -> u64 {
    XxHash3_64::oneshot(key)
}

/// The hash of one of an edge's points: the xxh3-64 of its name, followed by the point's number in
/// four bytes, the lowest first.
pub fn point_hash(name: &str, number: u32) -> u64 {
    let mut bytes = Vec::with_capacity(name.len() + size_of::<u32>());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    key_hash(&bytes)
}

/// Another hash of what a hash was made of. Each bit depends on all (the finaliser of SplitMix64:
/// Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
pub(super) const fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A number in `0..bound`, the same share of all hashes for each, in the order of the hashes.
#[expect(clippy::cast_possible_truncation, reason = "the upper half of 128 bits has 64")]
pub(super) const fn scaled(hash: u64, bound: usize) -> usize {
    ((hash as u128 * bound as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    // Worked out by the reference implementation in C, through Python's xxhash 3.

    #[test]
    fn the_hash_of_a_key_is_the_same_on_every_machine_and_in_every_version() {
        let long = [b"http://example.com/logo.png?size=2&".to_vec(), vec![b'x'; 300]].concat();
        for (key, hash) in [
            (&b""[..], 0x2d06_8005_38d3_94c2),
            (b"a", 0xe6c6_32b6_1e96_4e1f),
            (b"http://example.com/", 0xb97a_010e_03af_1e2b),
            (&long, 0x407d_98ba_028d_fb1b),
        ] {
            assert_eq!(key_hash(key), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn so_is_that_of_a_point() {
        for (name, number, hash) in [
            ("edge-1", 0, 0x8357_619b_3ef1_938e),
            ("edge-1", 1, 0xcd74_509f_b18f_fd94),
            ("edge-2", 0, 0x8252_71b2_0c64_40f0),
            ("berlin.example.net", 127, 0x8faa_4b74_4739_b272),
        ] {
            assert_eq!(point_hash(name, number), hash, "{name} {number}");
        }
    }

    #[test]
    fn scaled_hashes_keep_their_order_and_fill_the_range() {
        assert_eq!([0, 1 << 63, u64::MAX].map(|hash| scaled(hash, 10)), [0, 5, 9]);
        assert_eq!(scaled(u64::MAX, 0), 0);
    }
}
