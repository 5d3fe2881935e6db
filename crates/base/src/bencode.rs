//! Bencoding (BEP 3): the byte strings, integers, lists and dictionaries of which all that BitTorrent
//! says and keeps is made.
//!
//! A [`Value`] is bytes that were looked through once and are one value. What is in it is read where
//! it lies: nothing is copied, nothing is allocated, and nothing can be wrong any more.
//!
//! ```text
//! 4:nigh             a byte string: its length, and so many bytes
//! i-42e              an integer
//! l4:nighi7ee        a list
//! d2:idi7e4:name0:e  a dictionary; its keys are byte strings, in the order of their bytes
//! ```
//! Reading is lenient: keys may stand in any order, and numbers may begin with zeros. Where only the
//! one form will do, [`Value::is_canonical`] says whether it is that. Of keys that are there twice,
//! the first counts.

pub mod fuzz;
#[cfg(test)]
mod tests;
mod write;

pub use write::{Entries, write_bytes, write_dictionary, write_integer, write_length, write_list};

use crate::wire::{Reader, WireError};

/// Lists and dictionaries within each other. The names of a folder's files are the deepest that there
/// is: one dictionary for each folder (BEP 52).
pub const DEPTH_MAX: u32 = u64::BITS;

/// One well-formed value, where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// Looks through a value that takes all of `bytes`: one pass, in which strings are stepped over.
    ///
    /// # Errors
    /// If the bytes are no value, are deeper than [`DEPTH_MAX`], or go on behind it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    /// Looks through a value, and leaves the reader behind it.
    ///
    /// # Errors
    /// If the bytes begin with no value, or with one deeper than [`DEPTH_MAX`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let mut start = reader.clone();
        skip(reader)?;
        start.take(start.rest() - reader.rest()).map(Self)
    }

    /// All of its bytes.
    pub const fn raw(self) -> &'a [u8] {
        self.0
    }

    /// The integer, if it is one, and one of 64 bits.
    pub fn integer(self) -> Option<i64> {
        let digits = self.within(b'i')?;
        let (is_negative, digits) = match digits.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, digits),
        };
        digits.iter().try_fold(0i64, |number, digit| {
            let (number, digit) = (number.checked_mul(10)?, i64::from(digit - b'0'));
            if is_negative { number.checked_sub(digit) } else { number.checked_add(digit) }
        })
    }

    /// The bytes of the string, if it is one.
    pub fn bytes(self) -> Option<&'a [u8]> {
        let first = self.0[0];
        first.is_ascii_digit().then(|| string(&mut Reader::new(&self.0[1..]), first).ok())?
    }

    /// What is in the list, if it is one.
    pub fn list(self) -> Option<List<'a>> {
        self.within(b'l').map(|within| List(Reader::new(within)))
    }

    /// What is in the dictionary, if it is one.
    pub fn dictionary(self) -> Option<Dictionary<'a>> {
        self.within(b'd').map(|within| Dictionary(List(Reader::new(within))))
    }

    /// Whether it has the one form that BEP 3 gives it: no zeros before a number, no zero below zero,
    /// keys in order and each of them once. Takes as many passes as it is deep.
    pub fn is_canonical(self) -> bool {
        let one_zero = |digits: &[u8]| digits[0] != b'0' || digits.len() == 1;
        match self.0[0] {
            b'i' => match &self.0[1..self.0.len() - 1] {
                [b'-', digits @ ..] => digits[0] != b'0',
                digits => one_zero(digits),
            },
            b'l' => self.list().into_iter().flatten().all(Self::is_canonical),
            b'd' => {
                let (mut within, mut last) =
                    (List(Reader::new(&self.0[1..self.0.len() - 1])), None);
                while let (Some(key), Some(value)) = (within.next(), within.next()) {
                    let rises = last.is_none_or(|last| last < key.bytes());
                    if !(rises && key.is_canonical() && value.is_canonical()) {
                        return false;
                    }
                    last = Some(key.bytes());
                }
                true
            }
            first => first != b'0' || self.0[1] == b':',
        }
    }

    /// What stands between `tag` and the end, if that is what it is.
    fn within(self, tag: u8) -> Option<&'a [u8]> {
        self.0.strip_prefix(&[tag])?.strip_suffix(b"e")
    }
}

/// What is in a list, in its order. Each step looks through one value.
#[derive(Clone, Debug)]
pub struct List<'a>(Reader<'a>);

impl<'a> Iterator for List<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        // All of it is well-formed, so that only its end is no value.
        Value::read(&mut self.0).ok()
    }
}

/// What is in a dictionary, as it stands there. Each step looks through one value.
#[derive(Clone, Debug)]
pub struct Dictionary<'a>(List<'a>);

impl<'a> Dictionary<'a> {
    /// The value of `key`. Looks through all that stands before it.
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        let [value] = self.pick([key]);
        value
    }

    /// The values of `keys`, in one pass.
    pub fn pick<const N: usize>(self, keys: [&str; N]) -> [Option<Value<'a>>; N] {
        let mut picked = [None; N];
        for (key, value) in self {
            if let Some(place) = keys.iter().position(|wanted| wanted.as_bytes() == key) {
                picked[place].get_or_insert(value);
            }
        }
        picked
    }
}

impl<'a> Iterator for Dictionary<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?.bytes()?;
        Some((key, self.0.next()?))
    }
}

/// Leaves the reader behind one value. A bit for each list and dictionary that is open is all that it
/// remembers, however deep they are.
fn skip(reader: &mut Reader<'_>) -> Result<(), WireError> {
    // The innermost is the lowest bit: set for a dictionary.
    let (mut open, mut depth) = (0u64, 0);
    let mut wants_value = false;
    loop {
        let wants_key = open & 1 == 1 && !wants_value;
        match reader.u8()? {
            b'e' if depth > 0 && !wants_value => {
                open >>= 1;
                depth -= 1;
            }
            first @ b'0'..=b'9' => {
                string(reader, first)?;
                if wants_key {
                    wants_value = true;
                    continue;
                }
            }
            tag if wants_key => {
                return Err(WireError::Unknown { what: "key of a dictionary", tag });
            }
            b'i' => integer(reader)?,
            tag @ (b'l' | b'd') => {
                if depth == DEPTH_MAX {
                    let (length, limit) = (depth as usize + 1, DEPTH_MAX as usize);
                    return Err(WireError::TooLong { what: "depth", length, limit });
                }
                open = open << 1 | u64::from(tag == b'd');
                depth += 1;
                wants_value = false;
                continue;
            }
            tag => return Err(WireError::Unknown { what: "bencoded value", tag }),
        }
        if depth == 0 {
            return Ok(());
        }
        wants_value = false;
    }
}

/// The bytes of a string, behind the `first` digit of its length.
fn string<'a>(reader: &mut Reader<'a>, first: u8) -> Result<&'a [u8], WireError> {
    let mut length = usize::from(first - b'0');
    loop {
        match reader.u8()? {
            b':' => return reader.take(length),
            digit @ b'0'..=b'9' => {
                length = length.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
            }
            tag => return Err(WireError::Unknown { what: "digit of a length", tag }),
        }
    }
}

/// Leaves the reader behind an integer whose `i` was read.
fn integer(reader: &mut Reader<'_>) -> Result<(), WireError> {
    let mut tag = reader.u8()?;
    if tag == b'-' {
        tag = reader.u8()?;
    }
    let mut digits = 0;
    loop {
        match tag {
            b'0'..=b'9' => digits += 1,
            b'e' if digits > 0 => return Ok(()),
            tag => return Err(WireError::Unknown { what: "digit", tag }),
        }
        tag = reader.u8()?;
    }
}
