//! The only draws of the operating system's randomness.

use std::hash::{BuildHasher, Hasher, RandomState};

/// 64 bits that no stranger can guess, for seeds.
pub fn seed() -> u64 {
    // The standard library keys its hashers from the operating system.
    RandomState::new().build_hasher().finish()
}
