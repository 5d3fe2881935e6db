//! Keys, prefixes, values and times, checked where they are made.

use std::{borrow::Borrow, fmt, sync::Arc, time::Duration};

use super::{OPERATIONS_MAX, TRANSACTION_BYTES_MAX};

/// Bytes of a key: room for a host name and what is said of it.
pub const KEY_MAX: usize = 512;
/// Bytes of a value: a large settings file. etcd takes 1.5 MiB a request, everything included.
pub const VALUE_MAX: usize = 1 << 20;
/// The shortest lease: an etcd grants none below one and a half election timeouts.
pub const TTL_MIN: Duration = Duration::from_secs(2);
/// The longest lease: what is to last longer is no lease.
pub const TTL_MAX: Duration = Duration::from_hours(24);

/// What is wrong with a key, a value, a time or a transaction. Its maker has to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A key has no bytes.
    #[error("a key is empty")]
    KeyEmpty,
    /// A key or a prefix is too long.
    #[error("a key of {length} bytes is too long: {KEY_MAX} at most")]
    KeyTooLong {
        /// Its bytes.
        length: usize,
    },
    /// A key or a prefix has something else than visible ASCII.
    #[error("byte {at} of a key is not a visible ASCII character")]
    KeyCharacter {
        /// Where, from 0 on.
        at: usize,
    },
    /// A value is too long.
    #[error("a value of {length} bytes is too long: {VALUE_MAX} at most")]
    ValueTooLong {
        /// Its bytes.
        length: usize,
    },
    /// A lease is too short or too long.
    #[error("a lease of {ttl:?} is out of bounds: {TTL_MIN:?} to {TTL_MAX:?}")]
    Ttl {
        /// As asked for.
        ttl: Duration,
    },
    /// A transaction has too many conditions or too many changes.
    #[error("a transaction with {count} conditions or changes: {OPERATIONS_MAX} of each at most")]
    TooManyOperations {
        /// How many.
        count: usize,
    },
    /// A transaction names a key twice.
    #[error("a transaction has two conditions or two changes for one key")]
    KeyTwice,
    /// A transaction is too long as a whole.
    #[error("a transaction of {length} bytes is too long: {TRANSACTION_BYTES_MAX} at most")]
    TransactionTooLong {
        /// Bytes of all keys and values.
        length: usize,
    },
}

/// A name: 1 to [`KEY_MAX`] visible ASCII characters, so that it can be shown in a log and has one
/// order everywhere. Parts are set apart by `/` by habit alone. A clone costs a count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key `name`.
    ///
    /// # Errors
    /// [`Fault::KeyEmpty`], [`Fault::KeyTooLong`], [`Fault::KeyCharacter`].
    pub fn new(name: &str) -> Result<Self, Fault> {
        if name.is_empty() {
            return Err(Fault::KeyEmpty);
        }
        check_name(name)?;
        Ok(Self(name.into()))
    }

    /// As it was made.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// With what keys begin: of the characters of a key, but it may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(std::borrow::Cow<'static, str>);

impl Prefix {
    /// Before every key.
    pub const ALL: Self = Self(std::borrow::Cow::Borrowed(""));

    /// All keys that begin with `start`.
    ///
    /// # Errors
    /// [`Fault::KeyTooLong`], [`Fault::KeyCharacter`].
    pub fn new(start: &str) -> Result<Self, Fault> {
        check_name(start)?;
        Ok(Self(start.to_owned().into()))
    }

    /// As it was made.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `key` begins so.
    pub fn covers(&self, key: &Key) -> bool {
        key.as_str().starts_with(self.as_str())
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name.len() > KEY_MAX {
        return Err(Fault::KeyTooLong { length: name.len() });
    }
    match name.bytes().position(|byte| !byte.is_ascii_graphic()) {
        Some(at) => Err(Fault::KeyCharacter { at }),
        None => Ok(()),
    }
}

/// What lies under a key: up to [`VALUE_MAX`] bytes, which may be none. A clone costs a count.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(Arc<[u8]>);

impl Value {
    /// These bytes, copied.
    ///
    /// # Errors
    /// [`Fault::ValueTooLong`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, Fault> {
        let bytes = bytes.as_ref();
        if bytes.len() > VALUE_MAX {
            return Err(Fault::ValueTooLong { length: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// As they were put.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Its length alone: a value may be a secret, and it may be long.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

/// How long a lease lasts: [`TTL_MIN`] to [`TTL_MAX`], in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// So long, rounded up to a whole second.
    ///
    /// # Errors
    /// [`Fault::Ttl`].
    pub fn new(ttl: Duration) -> Result<Self, Fault> {
        if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
            return Err(Fault::Ttl { ttl });
        }
        let secs = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        u32::try_from(secs).map(Self).map_err(|_| Fault::Ttl { ttl })
    }

    /// As a span.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.secs())
    }

    /// In seconds.
    pub const fn secs(self) -> u64 {
        self.0 as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_visible_characters_and_a_bounded_length() {
        assert!(Key::new("members/ams-1.example").is_ok());
        assert_eq!(Key::new(""), Err(Fault::KeyEmpty));
        assert_eq!(Key::new("a b"), Err(Fault::KeyCharacter { at: 1 }));
        assert_eq!(Key::new("a\u{7f}"), Err(Fault::KeyCharacter { at: 1 }));
        assert_eq!(Key::new("é"), Err(Fault::KeyCharacter { at: 0 }));
        assert!(Key::new(&"k".repeat(KEY_MAX)).is_ok());
        let length = KEY_MAX + 1;
        assert_eq!(Key::new(&"k".repeat(length)), Err(Fault::KeyTooLong { length }));
    }

    #[test]
    fn a_value_has_a_bounded_length_and_is_not_shown() {
        let value = Value::new(vec![7; VALUE_MAX]).unwrap();
        assert_eq!(format!("{value:?}"), "Value(1048576 bytes)");
        let length = VALUE_MAX + 1;
        assert_eq!(Value::new(vec![7; length]), Err(Fault::ValueTooLong { length }));
    }

    #[test]
    fn the_time_of_a_lease_is_rounded_up_and_bounded() {
        assert_eq!(Ttl::new(Duration::from_millis(2001)).unwrap().secs(), 3);
        assert_eq!(Ttl::new(TTL_MAX).unwrap().duration(), TTL_MAX);
        for ttl in [Duration::ZERO, TTL_MIN - Duration::from_nanos(1), TTL_MAX + TTL_MIN] {
            assert_eq!(Ttl::new(ttl), Err(Fault::Ttl { ttl }));
        }
    }
}
