//! Ranges of bytes: what a request asks for, what a 206 holds, and how the two meet.
//!
//! RFC 9110, section 14. This file reads Range and Content-Range; [`Multipart`] plans an answer of
//! several parts, [`Parts`] keeps account of a representation that is only partly here. All of it is
//! interval arithmetic: the bytes are elsewhere.

mod multipart;
mod parts;

use std::fmt;

pub use multipart::Multipart;
pub use parts::{Parts, Piece, Refused};

use crate::{
    fields::Fields,
    list::{digits, elements, same_token, trim},
};

/// How many ranges one request may ask for. Real clients ask for one, or a few; a Range with more is
/// ignored, as RFC 9110, section 14.2 allows for what looks like an attack.
pub const RANGES_MAX: usize = 16;

/// Ranges with a gap of fewer bytes between them are sent as one: the head of a part costs about as
/// much (RFC 9110, section 15.3.7.2).
pub const GAP_MAX: u64 = 80;

/// Bytes `start..end` of a representation; never empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// The byte behind the last.
    pub end: u64,
}

impl Span {
    /// The bytes `start..end`, if there are any.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < end { Some(Self { start, end }) } else { None }
    }

    /// How many bytes these are.
    #[expect(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether all bytes of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The bytes that are in both.
    pub fn overlap(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// One range as it is asked for (RFC 9110, section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spec {
    /// From a byte to the end.
    From(u64),
    /// From a byte to a last byte, which is included.
    FromTo(u64, u64),
    /// The last so many bytes.
    Last(u64),
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (trim(&text[..dash]), trim(&text[dash + 1..]));
        match (first, last) {
            (b"", last) => digits(last).map(Self::Last),
            (first, b"") => digits(first).map(Self::From),
            (first, last) => {
                let (first, last) = (digits(first)?, digits(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    /// The first byte that is meant, where that depends on no length.
    pub const fn first(self) -> Option<u64> {
        match self {
            Self::From(first) | Self::FromTo(first, _) => Some(first),
            Self::Last(_) => None,
        }
    }

    /// The bytes that are meant in a representation of `length` bytes, if it has any of them.
    pub fn resolve(self, length: u64) -> Option<Span> {
        match self {
            Self::From(first) => Span::new(first, length),
            Self::FromTo(first, last) => Span::new(first, last.saturating_add(1).min(length)),
            Self::Last(count) => Span::new(length.saturating_sub(count), length),
        }
    }
}

/// The ranges that a request asks for: at least one, at most [`RANGES_MAX`]. On the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    specs: [Spec; RANGES_MAX],
    count: usize,
}

/// What of a representation answers a Range.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack for the length of an answer")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// All of it, with 200.
    Whole,
    /// One range, with 206.
    One(Span),
    /// Several ranges in the order asked for, with 206 and multipart/byteranges.
    Many(Spans),
    /// None of it: 416.
    Unsatisfiable,
}

impl Ranges {
    /// Reads Range. None if there is none, or it is to be ignored (RFC 9110, section 14.2): malformed,
    /// of another unit, on several lines, or with more than [`RANGES_MAX`] ranges.
    pub fn parse(fields: &impl Fields) -> Option<Self> {
        let mut lines = fields.values("range");
        let line = lines.next()?;
        if lines.next().is_some() {
            return None;
        }
        let equals = line.iter().position(|&byte| byte == b'=')?;
        if !same_token(&line[..equals], b"bytes") {
            return None;
        }
        let mut ranges = Self { specs: [Spec::From(0); RANGES_MAX], count: 0 };
        for element in elements(&line[equals + 1..]) {
            *ranges.specs.get_mut(ranges.count)? = Spec::parse(element)?;
            ranges.count += 1;
        }
        (ranges.count > 0).then_some(ranges)
    }

    /// The ranges as they are asked for.
    pub fn specs(&self) -> &[Spec] {
        &self.specs[..self.count]
    }

    /// What of a representation of `length` bytes is asked for. Ranges that overlap or nearly touch
    /// are one, in the place of the first of them.
    pub fn resolve(&self, length: u64) -> Resolved {
        let mut spans = Spans::default();
        for span in self.specs().iter().filter_map(|spec| spec.resolve(length)) {
            spans.add(span);
        }
        match spans.as_slice() {
            // The last bytes of nothing are nothing, which Content-Range cannot say (14.1.2).
            [] if length == 0
                && self.specs().iter().any(|spec| matches!(spec, Spec::Last(1..))) =>
            {
                Resolved::Whole
            }
            [] => Resolved::Unsatisfiable,
            [span] => Resolved::One(*span),
            _ => Resolved::Many(spans),
        }
    }
}

/// Up to [`RANGES_MAX`] spans, far from each other, on the stack.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Spans {
    spans: [Span; RANGES_MAX],
    count: usize,
}

impl Spans {
    /// The spans, in the order asked for.
    pub fn as_slice(&self) -> &[Span] {
        &self.spans[..self.count]
    }

    fn add(&mut self, mut span: Span) {
        // What the new span brings together may reach a third one, so look again until nothing does.
        let mut place = self.count;
        while let Some(at) = self.as_slice().iter().position(|held| {
            held.start <= span.end.saturating_add(GAP_MAX)
                && span.start <= held.end.saturating_add(GAP_MAX)
        }) {
            let held = self.spans[at];
            span = Span { start: span.start.min(held.start), end: span.end.max(held.end) };
            self.spans.copy_within(at + 1..self.count, at);
            self.count -= 1;
            place = place.min(at);
        }
        self.spans.copy_within(place..self.count, place + 1);
        self.spans[place] = span;
        self.count += 1;
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// Which bytes a 206 holds (RFC 9110, section 14.4). Displays as the field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The bytes.
    pub span: Span,
    /// The length of the whole, if the sender knows it.
    pub complete: Option<u64>,
}

impl ContentRange {
    /// Reads a value such as `bytes 0-4/10` or `bytes 0-4/*`. None if it is malformed, invalid, or
    /// says that no range is satisfied.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let space = text.iter().position(|&byte| byte == b' ')?;
        let (unit, text) = (&text[..space], &text[space + 1..]);
        let slash = text.iter().position(|&byte| byte == b'/')?;
        let (range, complete) = (&text[..slash], &text[slash + 1..]);
        let dash = range.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (digits(&range[..dash])?, digits(&range[dash + 1..])?);
        let complete = match complete {
            b"*" => None,
            text => Some(digits(text)?),
        };
        let span = Span::new(first, last.checked_add(1)?)?;
        let fits = complete.is_none_or(|complete| span.end <= complete);
        (same_token(unit, b"bytes") && fits).then_some(Self { span, complete })
    }

    /// What a 206 with these fields says that it holds; None without exactly one valid Content-Range.
    pub fn of(fields: &impl Fields) -> Option<Self> {
        let mut lines = fields.values("content-range");
        let line = lines.next()?;
        if lines.next().is_some() { None } else { Self::parse(line) }
    }

    /// What a 206 really holds whose content has `length` bytes. The same in nearly every case.
    ///
    /// Some origins count one byte too many at the end (`bytes 4-9/10` over five bytes). If the claim
    /// reaches the end of the representation, the content is taken as its true end, and its length as
    /// the true one. Any other claim that does not fit the content is not to be believed: None.
    pub fn observed(self, length: u64) -> Option<Self> {
        if length == self.span.len() {
            return Some(self);
        }
        let end = self.span.start.checked_add(length)?;
        let at_end = self.complete == Some(self.span.end);
        let span = Span::new(self.span.start, end)?;
        (at_end && length + 1 == self.span.len()).then_some(Self { span, complete: Some(end) })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.span.start, self.span.end - 1)?;
        match self.complete {
            Some(complete) => write!(f, "{complete}"),
            None => f.write_str("*"),
        }
    }
}

/// The Content-Range of a 416 about a representation of so many bytes. Displays as the field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsatisfied(pub u64);

impl fmt::Display for Unsatisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes */{}", self.0)
    }
}

#[cfg(test)]
mod tests;
