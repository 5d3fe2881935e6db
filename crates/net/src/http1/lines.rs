//! The field lines of a head, where they lie, and an index of those that the edge asks for.

use std::slice;

use httparse::Header;
use nigh_cache::fields::Fields;

use super::names::{self, Name, Present};

/// The field lines of one head, in the order received, borrowed from its bytes. Reading by a
/// [`Name`]d field costs a hash when it is absent or single; other names cost a walk.
#[derive(Clone, Debug)]
pub struct Lines<'b> {
    lines: &'b [Header<'b>],
    present: Present,
    repeated: Present,
    /// Where the first line of each present name stands; at most [`super::FIELDS`] lines, so a byte.
    first: [u8; names::COUNT],
}

impl<'b> Lines<'b> {
    /// Walks `lines` once, and shows each that has a name to `see`.
    pub(super) fn index(lines: &'b [Header<'b>], mut see: impl FnMut(Name, &'b [u8])) -> Self {
        assert!(lines.len() <= super::FIELDS, "more lines than a scratch holds");
        let mut index = Self {
            lines,
            present: Present::default(),
            repeated: Present::default(),
            first: [0; names::COUNT],
        };
        for (at, line) in (0u8..).zip(lines) {
            let Some(name) = Name::of(line.name.as_bytes()) else { continue };
            if index.present.has(name) {
                index.repeated.add(name);
            } else {
                index.present.add(name);
                index.first[usize::from(name as u8)] = at;
            }
            see(name, line.value);
        }
        index
    }

    /// Which of the named fields are there.
    #[inline]
    pub fn present(&self) -> Present {
        self.present
    }

    /// Which of the named fields are there on more than one line.
    #[inline]
    pub fn repeated(&self) -> Present {
        self.repeated
    }

    /// The value of the first line called `name`, without a search.
    #[inline]
    pub fn named(&self, name: Name) -> Option<&'b [u8]> {
        if !self.present.has(name) {
            return None;
        }
        Some(self.lines[usize::from(self.first[usize::from(name as u8)])].value)
    }

    /// Every line's name, as it was written, and value without the white space around it.
    pub fn iter(&self) -> Iter<'b> {
        Iter(self.lines.iter())
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl Fields for Lines<'_> {
    #[inline]
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let lines: &'a [Header<'a>] = match Name::of(name.as_bytes()) {
            None => self.lines,
            Some(known) if !self.present.has(known) => &[],
            Some(known) => {
                let first = usize::from(self.first[usize::from(known as u8)]);
                let last = if self.repeated.has(known) { self.lines.len() } else { first + 1 };
                &self.lines[first..last]
            }
        };
        Values { lines: lines.iter(), name }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }
}

impl<'b> IntoIterator for &Lines<'b> {
    type Item = (&'b str, &'b [u8]);
    type IntoIter = Iter<'b>;

    fn into_iter(self) -> Iter<'b> {
        self.iter()
    }
}

/// Every field line of a head; see [`Lines::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'b>(slice::Iter<'b, Header<'b>>);

impl<'b> Iterator for Iter<'b> {
    type Item = (&'b str, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|line| (line.name, line.value))
    }
}

/// The values of the lines of one name.
#[derive(Clone, Debug)]
struct Values<'b> {
    lines: slice::Iter<'b, Header<'b>>,
    name: &'b str,
}

impl<'b> Iterator for Values<'b> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        self.lines.find(|line| line.name.eq_ignore_ascii_case(self.name)).map(|line| line.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &[&str]) {
        let lines = [("Host", "a"), ("x-own", "1"), ("Via", "b"), ("X-Own", "2"), ("VIA", "c")]
            .map(|(name, value)| Header { name, value: value.as_bytes() });
        let lines = Lines::index(&lines, |_, _| ());
        let values: Vec<_> = lines.values(name).collect();
        assert_eq!(values, expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
        assert_eq!(lines.first(name), values.first().copied());
        if let Some(known) = Name::of(name.as_bytes()) {
            assert_eq!(lines.named(known), values.first().copied());
        }
    }

    #[test]
    fn lines_are_found_by_name_in_any_case_and_in_order() {
        check("host", &["a"]);
        check("via", &["b", "c"]);
        check("x-own", &["1", "2"]);
        check("range", &[]);
        check("x-absent", &[]);
    }

    #[test]
    fn the_walk_shows_every_named_line_once() {
        let lines = [("Via", "b"), ("X-Own", "2"), ("VIA", "c")]
            .map(|(name, value)| Header { name, value: value.as_bytes() });
        let mut seen = Vec::new();
        let index = Lines::index(&lines, |name, value| seen.push((name, value)));
        assert_eq!(seen, [(Name::Via, &b"b"[..]), (Name::Via, b"c")]);
        assert!(index.repeated().has(Name::Via));
        assert_eq!(index.len(), 3);
    }
}
