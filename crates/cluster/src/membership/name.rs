//! What an edge is called.

use std::{fmt, sync::Arc};

use nigh_base::wire::{Reader, Wire, WireError};

/// The name of an edge: 1 to 63 lower-case letters, digits, hyphens and points, so that it is a key
/// of the control state and a name in a certificate as it is. A clone costs a counter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty, or longer than [`Name::LONGEST`].
    #[error("a name has 1 to 63 characters, not {0}")]
    Length(usize),
    /// It has a character that names do not have.
    #[error("a name has lower-case letters, digits, `-` and `.`, and no {0:?}")]
    Character(char),
}

impl Name {
    /// Bytes of the longest name: a label of the domain name system (RFC 1035, section 2.3.4).
    pub const LONGEST: usize = 63;

    /// The name that `text` is.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if !(1..=Self::LONGEST).contains(&text.len()) {
            return Err(NameError::Length(text.len()));
        }
        let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        match text.chars().find(|&c| !is_fit(c)) {
            Some(other) => Err(NameError::Character(other)),
            None => Ok(Self(text.into())),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Wire for Name {
    const MAX: usize = 1 + Self::LONGEST;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.0.len()).expect("a name has 63 bytes at most"));
        out.extend_from_slice(self.0.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let length = usize::from(reader.u8()?);
        if length > Self::LONGEST {
            return Err(WireError::TooLong { what: "name", length, limit: Self::LONGEST });
        }
        let text = str::from_utf8(reader.take(length)?).ok().and_then(|it| Self::new(it).ok());
        text.ok_or(WireError::Impossible { what: "name" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        assert_eq!(Name::new("edge-1.fra").unwrap().as_str(), "edge-1.fra");
        assert_eq!(Name::new(""), Err(NameError::Length(0)));
        assert_eq!(Name::new(&"a".repeat(64)), Err(NameError::Length(64)));
        assert_eq!(Name::new("a/b"), Err(NameError::Character('/')));
        assert_eq!(Name::new("Edge"), Err(NameError::Character('E')));
    }

    #[test]
    fn what_is_no_name_is_refused_on_the_wire() {
        let name = Name::new(&"x".repeat(63)).unwrap();
        assert_eq!(Name::decode(&name.encode()), Ok(name));
        assert_eq!(Name::decode(&[0]), Err(WireError::Impossible { what: "name" }));
        assert_eq!(Name::decode(&[1, 0xff]), Err(WireError::Impossible { what: "name" }));
        assert!(matches!(Name::decode(&[64; 65]), Err(WireError::TooLong { length: 64, .. })));
    }
}
