//! Who serves what: from the hash of a key to the edges that should serve it, in order.
//!
//! Hashes leave the process: edges of different versions and machines have to agree, so both of them
//! are pinned by test vectors.

use twox_hash::XxHash3_64;

/// Where a key lies among all 64-bit numbers: its xxh3-64 without a seed.
pub fn key_hash(key: &[u8]) -> u64 {
    XxHash3_64::oneshot(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_key_is_the_same_on_every_machine_and_in_every_version() {
        assert_eq!(key_hash(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(key_hash(b"http://example.com/"), key_hash(b"http://example.com/"));
    }
}
