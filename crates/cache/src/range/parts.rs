//! Which parts of a representation are here, when not all of it is. RFC 9111, sections 3.3 and 3.4.
//!
//! Parts may be combined only if they have the same strong validator; the caller sees to that. They
//! lie in order and never overlap. Parts that touch stay apart, because their bytes do: each part
//! goes with one piece of memory.

use super::{ContentRange, Span};

/// The parts of a representation that are held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    spans: Vec<Span>,
    complete: Option<u64>,
}

/// Bytes to be kept when a range is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where the new part stands among the parts, once those before it in this answer are inserted.
    pub at: usize,
    /// Its bytes, counted in the representation.
    pub span: Span,
}

/// Why a range was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The representation has another length than the parts say, or is too short for them.
    #[error("the parts disagree on the length of the whole")]
    LengthDiffers,
    /// There would be more than [`Parts::MAX`] parts.
    #[error("more than {} parts", Parts::MAX)]
    TooMany,
}

impl Parts {
    /// How many parts one representation may have here. A client that asks for more scattered ranges
    /// than that is better served by the whole.
    pub const MAX: usize = 64;

    /// No parts of a representation of `complete` bytes, if that is known.
    pub const fn new(complete: Option<u64>) -> Self {
        Self { spans: Vec::new(), complete }
    }

    /// The parts, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The length of the representation, if anybody said.
    pub const fn complete_length(&self) -> Option<u64> {
        self.complete
    }

    /// How many bytes are held.
    pub fn held(&self) -> u64 {
        self.spans.iter().map(|span| span.len()).sum()
    }

    /// Whether all of the representation is held.
    pub fn is_complete(&self) -> bool {
        self.complete.is_some_and(|complete| self.held() == complete)
    }

    /// Adds a range, and says which of its bytes were missing: insert those, in this order. What was
    /// held already stays, so the answer may be empty.
    ///
    /// # Errors
    /// The parts stay as they were.
    pub fn add(&mut self, range: ContentRange) -> Result<Vec<Piece>, Refused> {
        let complete = match (self.complete, range.complete) {
            (Some(held), Some(new)) if held != new => return Err(Refused::LengthDiffers),
            (held, new) => held.or(new),
        };
        let last = self.spans.last().map_or(0, |span| span.end).max(range.span.end);
        if complete.is_some_and(|complete| last > complete) {
            return Err(Refused::LengthDiffers);
        }
        let gaps: Vec<Span> = self.gaps(range.span).collect();
        if self.spans.len() + gaps.len() > Self::MAX {
            return Err(Refused::TooMany);
        }
        self.complete = complete;
        let insert = |span: Span| {
            let at = self.spans.partition_point(|held| held.start < span.start);
            self.spans.insert(at, span);
            Piece { at, span }
        };
        Ok(gaps.into_iter().map(insert).collect())
    }

    /// Whether all of `span` is held.
    pub fn covers(&self, span: Span) -> bool {
        self.gaps(span).next().is_none()
    }

    /// Where the bytes of `span` lie: the index of each part and the bytes of it that are meant,
    /// counted in the representation. Only what is held; see [`Self::covers`].
    pub fn pieces(&self, span: Span) -> impl Iterator<Item = Piece> {
        let from = self.spans.partition_point(|held| held.end <= span.start);
        self.spans[from..]
            .iter()
            .map_while(move |held| held.overlap(span))
            .enumerate()
            .map(move |(at, span)| Piece { at: from + at, span })
    }

    /// The one range to ask the origin for so that all of `span` is held, or None if it is.
    pub fn missing(&self, span: Span) -> Option<Span> {
        let mut gaps = self.gaps(span);
        let first = gaps.next()?;
        let last = gaps.last().unwrap_or(first);
        Some(Span { start: first.start, end: last.end })
    }

    /// The bytes of `span` that are not held.
    fn gaps(&self, span: Span) -> impl Iterator<Item = Span> {
        let mut at = span.start;
        let mut held = self.pieces(span);
        std::iter::from_fn(move || {
            loop {
                if at >= span.end {
                    return None;
                }
                let (start, next) = (at, held.next().map(|piece| piece.span));
                at = next.map_or(span.end, |held| held.end);
                let gap = Span::new(start, next.map_or(span.end, |held| held.start));
                if gap.is_some() {
                    return gap;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nigh_base::Rng;

    fn span(start: u64, end: u64) -> Span {
        Span { start, end }
    }

    fn range(start: u64, end: u64, complete: u64) -> ContentRange {
        ContentRange { span: span(start, end), complete: Some(complete) }
    }

    #[test]
    fn only_missing_bytes_are_added() {
        let mut parts = Parts::new(None);
        assert_eq!(parts.add(range(4, 6, 10)), Ok(vec![Piece { at: 0, span: span(4, 6) }]));
        let added = parts.add(range(2, 8, 10)).unwrap();
        assert_eq!(added, [Piece { at: 0, span: span(2, 4) }, Piece { at: 2, span: span(6, 8) }]);
        assert_eq!(parts.add(range(3, 7, 10)), Ok(vec![]));
        assert!(parts.covers(span(2, 8)) && !parts.covers(span(2, 9)) && !parts.is_complete());
        assert_eq!(parts.missing(span(0, 10)), Some(span(0, 10)));
        assert_eq!(parts.missing(span(3, 10)), Some(span(8, 10)));
        assert_eq!(parts.missing(span(3, 7)), None);
        let pieces: Vec<_> = parts.pieces(span(3, 7)).collect();
        let expected = [(0, 3, 4), (1, 4, 6), (2, 6, 7)];
        assert_eq!(pieces, expected.map(|(at, start, end)| Piece { at, span: span(start, end) }));
    }

    #[test]
    fn parts_of_different_lengths_do_not_mix() {
        let mut parts = Parts::new(Some(10));
        assert_eq!(parts.add(range(0, 5, 11)), Err(Refused::LengthDiffers));
        let unknown = ContentRange { span: span(9, 11), complete: None };
        assert_eq!(parts.add(unknown), Err(Refused::LengthDiffers));
        let mut parts = Parts::new(None);
        assert!(parts.add(unknown).is_ok());
        assert_eq!(parts.add(range(0, 5, 10)), Err(Refused::LengthDiffers));
        assert_eq!(parts.held(), 2);
    }

    #[test]
    fn there_are_never_more_parts_than_the_limit() {
        let mut parts = Parts::new(None);
        for at in 0..Parts::MAX as u64 {
            assert!(parts.add(range(at * 2, at * 2 + 1, 1000)).is_ok());
        }
        assert_eq!(parts.add(range(500, 501, 1000)), Err(Refused::TooMany));
        assert_eq!(parts.spans().len(), Parts::MAX);
    }

    #[test]
    fn parts_agree_with_a_plain_set_of_bytes() {
        let mut rng = Rng::new(4);
        for _ in 0..500 {
            let (mut parts, mut bytes) = (Parts::new(None), [false; 40]);
            for _ in 0..12 {
                let start = rng.below(40);
                let end = start + 1 + rng.below(40 - start);
                let added = parts.add(range(start, end, 40)).unwrap();
                for piece in added {
                    for at in piece.span.start..piece.span.end {
                        let byte = &mut bytes[usize::try_from(at).unwrap()];
                        assert!(!*byte, "a byte was added twice");
                        *byte = true;
                    }
                }
                let held = bytes.iter().filter(|held| **held).count() as u64;
                assert_eq!(parts.held(), held);
                assert_eq!(parts.is_complete(), held == 40);
                assert!(parts.spans().is_sorted() && parts.covers(span(start, end)));
            }
        }
    }
}
