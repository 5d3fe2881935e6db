//! Bytes that come from strangers, read within bounds; and the same values written.
//!
//! A [`Reader`] never reads past its end, never allocates more than the bytes that are there can
//! fill, and says what was wrong and where.

use bytes::Bytes;

/// A value and its form in bytes. What is written reads back as the same value, and what reads is
/// written as the same bytes: `decode(encode(x)) = x` and `encode(decode(b)) = b`.
///
/// A protocol that others have made, and that is read leniently, has many forms of a value and writes
/// one of them. For its messages the first holds of every `x` that `decode` gives, and the second does
/// not; they say so.
pub trait Wire: Sized {
    /// The longest form, in bytes.
    const MAX: usize;

    /// Appends the form to `out`.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads one value and leaves the reader behind it.
    ///
    /// # Errors
    /// If the bytes are no form of a value.
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError>;

    /// The form by itself.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Reads a value that takes all of `bytes`.
    ///
    /// # Errors
    /// If the bytes are no form of a value, or go on behind it.
    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }
}

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// They end too early.
    #[error("ends at byte {at}, {wanted} more are wanted")]
    Short {
        /// Where, from the start.
        at: usize,
        /// How many bytes are missing.
        wanted: usize,
    },
    /// They go on behind the value.
    #[error("{rest} bytes follow the value")]
    Trailing {
        /// How many.
        rest: usize,
    },
    /// A length or a count is over its limit.
    #[error("{what}: {length} exceeds the limit of {limit}")]
    TooLong {
        /// Of what.
        what: &'static str,
        /// As claimed.
        length: usize,
        /// As allowed.
        limit: usize,
    },
    /// A tag that stands for nothing.
    #[error("{tag} is no {what}")]
    Unknown {
        /// What it should say.
        what: &'static str,
        /// The tag.
        tag: u8,
    },
    /// A value that its form allows and that means nothing.
    #[error("{what} cannot be")]
    Impossible {
        /// Of what.
        what: &'static str,
    },
    /// A second form of something that has one.
    #[error("{what}: not in its one form")]
    NotCanonical {
        /// Of what.
        what: &'static str,
    },
}

/// Reads values from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes are unread.
    pub const fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let rest = self.rest();
        if length > rest {
            return Err(WireError::Short { at: self.bytes.len(), wanted: length - rest });
        }
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were asked for"))
    }

    /// One byte.
    ///
    /// # Errors
    /// If there is none.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A length in two bytes, and that many bytes; `what` they are is for the error.
    ///
    /// # Errors
    /// If the length is over `limit`, or there are fewer bytes.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<Bytes, WireError> {
        let length = usize::from(self.u16()?);
        if length > limit {
            return Err(WireError::TooLong { what, length, limit });
        }
        self.take(length).map(Bytes::copy_from_slice)
    }

    /// A count in one byte, and that many values.
    ///
    /// # Errors
    /// If the count is over `limit`, or one of the values is none.
    pub fn list<T: Wire>(&mut self, what: &'static str, limit: usize) -> Result<Vec<T>, WireError> {
        let length = usize::from(self.u8()?);
        if length > limit {
            return Err(WireError::TooLong { what, length, limit });
        }
        (0..length).map(|_| T::read(self)).collect()
    }

    /// Holds that nothing is left.
    ///
    /// # Errors
    /// If something is.
    pub const fn end(&self) -> Result<(), WireError> {
        match self.rest() {
            0 => Ok(()),
            rest => Err(WireError::Trailing { rest }),
        }
    }
}

/// Writes what [`Reader::bytes`] reads.
///
/// # Panics
/// If they are longer than 65,535 bytes: the writer's limit is below that.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("a limit below 65,536 holds");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Writes what [`Reader::list`] reads.
///
/// # Panics
/// If there are more than 255: the writer's limit is below that.
pub fn write_list<T: Wire>(values: &[T], out: &mut Vec<u8>) {
    out.push(u8::try_from(values.len()).expect("a limit below 256 holds"));
    for value in values {
        value.write(out);
    }
}

/// A datagram as it is: what a machine that was coded already says.
impl Wire for Bytes {
    /// The most that a UDP datagram carries over IPv6.
    const MAX: usize = 65_527;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.take(reader.rest()).map(Self::copy_from_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_says_how_much_is_missing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.u32(), Err(WireError::Short { at: 3, wanted: 3 }));
        assert_eq!(reader.end(), Err(WireError::Trailing { rest: 1 }));
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let error = Reader::new(&[0xff, 0xff, 1]).bytes("value", 1024);
        assert_eq!(error, Err(WireError::TooLong { what: "value", length: 0xffff, limit: 1024 }));
        assert!(matches!(
            Reader::new(&[0, 9, 1]).bytes("value", 1024),
            Err(WireError::Short { wanted: 8, .. })
        ));
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Vec::new();
        write_bytes(b"nigh", &mut out);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.bytes("text", 4), Ok(Bytes::from_static(b"nigh")));
        assert_eq!(reader.end(), Ok(()));
    }
}
