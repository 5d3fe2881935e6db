//! The only draws of the operating system's randomness.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
};

use nigh_base::machine::Secrets;
use rustls::crypto::{SecureRandom, aws_lc_rs};

/// 64 bits that no stranger can guess, for seeds.
pub fn seed() -> u64 {
    // The standard library keys its hashers from the operating system.
    RandomState::new().build_hasher().finish()
}

/// Secrets from the generator that TLS uses already: AWS-LC's, which is cryptographic and seeded by
/// the operating system. So no other package has to be trusted with this.
///
/// Drawn in advance: a call for eight bytes costs as much as one for hundreds, and a machine takes
/// a number for every request.
pub struct OsSecrets {
    source: &'static dyn SecureRandom,
    drawn: [u8; DRAWN_BYTES],
    used: usize,
}

/// How many bytes are drawn at a time: 64 numbers.
const DRAWN_BYTES: usize = 512;

impl OsSecrets {
    /// Secrets of its own. The first in a process seed the generator, which takes some 30
    /// milliseconds: it is done here, not while a machine measures how long an answer takes.
    ///
    /// # Panics
    /// If the operating system gives no entropy.
    pub fn new() -> Self {
        let source = aws_lc_rs::default_provider().secure_random;
        let mut drawn = [0; DRAWN_BYTES];
        draw(source, &mut drawn);
        Self { source, drawn, used: 0 }
    }
}

impl Default for OsSecrets {
    fn default() -> Self {
        Self::new()
    }
}

/// # Panics
/// If the operating system gives no entropy: nothing that needs a secret may go on then.
impl Secrets for OsSecrets {
    fn fill(&mut self, bytes: &mut [u8]) {
        if bytes.len() > DRAWN_BYTES / 2 {
            return draw(self.source, bytes);
        }
        if DRAWN_BYTES - self.used < bytes.len() {
            draw(self.source, &mut self.drawn);
            self.used = 0;
        }
        let secret = &mut self.drawn[self.used..self.used + bytes.len()];
        bytes.copy_from_slice(secret);
        // What was given away is nowhere else.
        secret.fill(0);
        self.used += bytes.len();
    }
}

fn draw(source: &dyn SecureRandom, bytes: &mut [u8]) {
    source.fill(bytes).expect("the operating system gives entropy");
}

/// Says nothing of what was drawn.
impl fmt::Debug for OsSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OsSecrets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_secret_comes_twice() {
        let mut secrets = OsSecrets::new();
        let numbers: BTreeSet<u64> = (0..1000).map(|_| secrets.number()).collect();
        assert_eq!(numbers.len(), 1000);
        assert_ne!(OsSecrets::new().number(), OsSecrets::new().number());
    }

    #[test]
    fn secrets_of_any_length_are_filled_to_the_end() {
        let mut secrets = OsSecrets::new();
        for length in [1, 7, 8, 255, 256, 257, 511, 512, 513, 4096] {
            // A last byte that is zero eight times is one chance in 2^64.
            let is_filled = (0..8).any(|_| {
                let mut bytes = vec![0; length];
                secrets.fill(&mut bytes);
                bytes[length - 1] != 0
            });
            assert!(is_filled, "{length} bytes");
        }
    }
}
