//! Where content lies in the bytes behind a head: a counter, or the chunked coding undone in place.
//!
//! RFC 9112, sections 6.2 and 7.1. Nothing is copied: each step names a range of the bytes it was
//! given. Chunk extensions are checked and thrown away; a sender's right to them is not a right to
//! hide a line end in them.

use std::ops::Range;

use super::{Framing, Limits, Refusal, Trailers, grammar};

/// The content of one request as it arrives.
#[derive(Clone, Debug)]
pub enum Body {
    /// This many more bytes.
    Length(u64),
    /// The chunked coding.
    Chunked(Chunked),
}

/// One step through a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These of the bytes are content, and everything up to the range's end is used up.
    Data(Range<usize>),
    /// The first so many bytes are used up; more must come behind the rest, which is empty but for
    /// an unfinished trailer section.
    More(usize),
    /// The body has ended.
    End {
        /// Where the trailer section lies, without its empty line; read it by [`Trailers`].
        trailers: Range<usize>,
        /// How many bytes are used up; the next request begins behind them.
        consumed: usize,
    },
}

impl Body {
    /// The body that a head announced.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new(limits)),
        }
    }

    /// Takes one step into `bytes`, which begin where the step before said that it had used up
    /// everything. Call it again after [`Part::Data`], also with no bytes left: the end may need
    /// none.
    ///
    /// # Errors
    /// The chunked coding is malformed or exceeds a limit.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Part, Refusal> {
        match self {
            Self::Length(0) => Ok(Part::End { trailers: 0..0, consumed: 0 }),
            Self::Length(_) if bytes.is_empty() => Ok(Part::More(0)),
            Self::Length(left) => Ok(Part::Data(0..take(left, bytes.len()))),
            Self::Chunked(chunked) => chunked.step(bytes),
        }
    }

    /// Whether nothing is left to read; a chunked body tells by [`Part::End`].
    pub fn is_ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.state == State::Ended,
        }
    }
}

/// Takes up to `available` from what is `left`, and says how much that was.
fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).map_or(available, |left| left.min(available));
    *left -= taken as u64;
    taken
}

/// A decoder of the chunked coding; what it holds is a few words, whatever the peer sends.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    /// The size being read, then the bytes of the chunk still to come.
    size: u64,
    /// Bytes of the chunk-size line so far.
    line: usize,
    /// Bytes of extensions in the whole body so far.
    extensions: usize,
    /// How much of the trailer section was searched for its end before.
    searched: usize,
    limits: Limits,
}

/// Where the decoder stands; the names in the middle follow the grammar of section 7.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    AfterSize,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
    AfterValue,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Ended,
}

/// Hexadecimal digits of a 64-bit number; leading zeros count.
const DIGITS: usize = 16;

impl Chunked {
    fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size,
            size: 0,
            line: 0,
            extensions: 0,
            searched: 0,
            limits: limits.clone(),
        }
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Part, Refusal> {
        for (at, &byte) in bytes.iter().enumerate() {
            match self.state {
                State::Data => {
                    let taken = take(&mut self.size, bytes.len() - at);
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Part::Data(at..at + taken));
                }
                State::DataCr if byte == b'\r' => self.state = State::DataLf,
                State::DataLf if byte == b'\n' => self.state = State::Size,
                State::DataCr | State::DataLf => return Err(Refusal::ChunkEnd),
                State::Trailers => return self.trailers(bytes, at),
                State::Ended => return Ok(Part::End { trailers: at..at, consumed: at }),
                _ => self.size_line(byte)?,
            }
        }
        match self.state {
            State::Ended => Ok(Part::End { trailers: 0..0, consumed: 0 }),
            _ => Ok(Part::More(bytes.len())),
        }
    }

    /// One byte of `chunk-size [ chunk-ext ] CRLF` (sections 7.1 and 7.1.1).
    fn size_line(&mut self, byte: u8) -> Result<(), Refusal> {
        self.line += 1;
        let old = self.state;
        self.state = match (old, byte) {
            (State::SizeLf, b'\n') => {
                self.line = 0;
                if self.size == 0 { State::Trailers } else { State::Data }
            }
            (State::SizeLf, _) => return Err(Refusal::BareCr),
            (State::Size, _) if byte.is_ascii_hexdigit() => {
                if self.line > DIGITS {
                    return Err(Refusal::ChunkSizeTooLarge);
                }
                self.size = self.size << 4 | u64::from(hex(byte));
                State::Size
            }
            (State::Size, _) if self.line == 1 => return Err(Refusal::ChunkSize),
            (State::Quoted, b'"') => State::AfterQuoted,
            (State::Quoted, b'\\') => State::Escaped,
            (State::Quoted | State::Escaped, b'\t' | b' '..=b'~' | 0x80..) => State::Quoted,
            (_, b'\n') => return Err(Refusal::BareLf),
            (State::Size | State::Name | State::Value | State::AfterQuoted, b'\r') => State::SizeLf,
            (State::BeforeName | State::BeforeValue, b' ' | b'\t') => old,
            (State::BeforeName | State::Name, _) if grammar::is_token(byte) => State::Name,
            (State::BeforeValue, b'"') => State::Quoted,
            (State::BeforeValue | State::Value, _) if grammar::is_token(byte) => State::Value,
            (State::BeforeName | State::BeforeValue | State::Quoted | State::Escaped, _) => {
                return Err(Refusal::ChunkExtension);
            }
            (State::Name | State::AfterName, b'=') => State::BeforeValue,
            (_, b';') => State::BeforeName,
            // White space is "bad" here, but must be read (section 7.1.1); it must not end the
            // line, where it belongs to no extension.
            (State::Size | State::AfterSize, b' ' | b'\t') => State::AfterSize,
            (State::Name | State::AfterName, b' ' | b'\t') => State::AfterName,
            (_, b' ' | b'\t') => State::AfterValue,
            (State::Size, _) => return Err(Refusal::ChunkSize),
            _ => return Err(Refusal::ChunkExtension),
        };
        if !matches!(old, State::Size | State::SizeLf) {
            self.extensions += 1;
        }
        let too_long = self.line > self.limits.chunk_line_bytes.saturating_add(1)
            || self.extensions > self.limits.extension_bytes;
        if too_long { Err(Refusal::ChunkLineTooLong) } else { Ok(()) }
    }

    /// Section 7.1.2: field lines and an empty line, from `start` on. They are left where they are
    /// until they are whole, and then read once.
    fn trailers(&mut self, bytes: &[u8], start: usize) -> Result<Part, Refusal> {
        let section = &bytes[start..];
        let from = self.searched.min(section.len());
        // The section may be its empty line alone; else that follows a line's end. Half a line's
        // end ends the search too, and is refused below.
        let end = (from..section.len()).find(|&at| {
            let before = &section[..at];
            match (before.ends_with(b"\r"), section[at] == b'\n') {
                (true, true) => at == 1 || before.ends_with(b"\r\n\r"),
                (after_cr, is_lf) => after_cr || is_lf,
            }
        });
        let room = self.limits.trailer_bytes;
        if end.map_or(section.len(), |end| end + 1) > room {
            return Err(Refusal::TrailersTooLarge);
        }
        let Some(end) = end else {
            self.searched = section.len();
            return Ok(Part::More(start));
        };
        let section = &section[..=end];
        let len = Trailers::check(section, self.limits.fields)?;
        self.state = State::Ended;
        Ok(Part::End { trailers: start..start + len, consumed: start + section.len() })
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests;
