//! Which request fields chose a response, and whether two requests agree on them.
//!
//! RFC 9111, section 4.1. The *secondary key* of a stored response is what the named request fields
//! said, in a normal form: two requests that mean the same have the same bytes.
//!
//! ```text
//! key   := field*                 in the order of the names, which is sorted
//! field := "-" LF                 the request lacks it
//!        | "=" normal value LF    it is there, perhaps empty
//! ```
//! No field value holds a line feed, so no two different sets of values have the same key.

use http::HeaderName;

use crate::{
    fields::Fields,
    list::{elements, split},
    normal::{Codings, weighted},
};

/// How many fields a response may vary on. One that names more is as good as never reusable, and is
/// treated as if it varied on everything.
pub const NAMES_MAX: usize = 32;

/// How many language ranges are put in order. A longer Accept-Language is compared as it is.
pub const LANGUAGES_MAX: usize = 16;

/// What a response says about the request fields that chose it (RFC 9110, section 12.5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// Nothing chose it.
    None,
    /// Something beyond the fields chose it: it answers no other request.
    Star,
    /// These fields chose it; sorted, each once.
    On(Vec<HeaderName>),
}

impl Vary {
    /// Reads every line of Vary. A `*` anywhere counts for all, and so does a name that is none.
    pub fn parse(fields: &impl Fields) -> Self {
        let mut names: Vec<HeaderName> = Vec::new();
        for element in fields.values("vary").flat_map(elements) {
            match HeaderName::from_bytes(element) {
                Ok(name) if element != b"*" => names.push(name),
                _ => return Self::Star,
            }
            if names.len() > NAMES_MAX {
                return Self::Star;
            }
        }
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        if names.is_empty() { Self::None } else { Self::On(names) }
    }

    /// The names to select by; empty for [`Vary::None`] and [`Vary::Star`].
    pub fn names(&self) -> &[HeaderName] {
        match self {
            Self::On(names) => names,
            Self::None | Self::Star => &[],
        }
    }
}

/// Writes the secondary key of a request under `names` to `out`, in place of what was there.
/// Allocates only if `out` must grow.
pub fn selecting(names: &[HeaderName], fields: &impl Fields, out: &mut Vec<u8>) {
    out.clear();
    for name in names {
        match name.as_str() {
            "accept-encoding" => encodings(fields, out),
            "accept-language" => languages(fields, out),
            "cookie" => plain(fields.values("cookie").flat_map(crumbs), out),
            name => plain(fields.values(name), out),
        }
    }
}

/// A field that is known to us as nothing but lines: joined, without the white space around commas
/// (RFC 9110, section 5.3).
fn plain<'a>(lines: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let start = out.len();
    for part in lines.flat_map(|line| split(line, b',')) {
        out.push(if out.len() == start { b'=' } else { b',' });
        out.extend_from_slice(part);
    }
    if out.len() == start {
        out.push(b'-');
    }
    out.push(b'\n');
}

/// A Cookie line's pairs: who reads them splits at each semicolon, quoted or not (RFC 6265, section
/// 4.2.1).
fn crumbs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

fn encodings(fields: &impl Fields, out: &mut Vec<u8>) {
    match Codings::accepted(fields) {
        None => out.push(b'-'),
        // Printable, so that `explain` can show the key.
        Some(codings) => out.extend_from_slice(&[b'=', b'@' + codings.bits()]),
    }
    out.push(b'\n');
}

/// Language ranges in lower case, heaviest first and equally heavy ones by name: their order carries
/// no meaning (RFC 9110, section 12.5.4; RFC 4647, section 2.1 for case).
fn languages(fields: &impl Fields, out: &mut Vec<u8>) {
    let mut ranges: [(&[u8], u16); LANGUAGES_MAX] = [(b"", 0); LANGUAGES_MAX];
    let mut count = 0;
    for element in fields.values("accept-language").flat_map(elements) {
        let (Some(free), (name, Some(weight))) = (ranges.get_mut(count), weighted(element)) else {
            return plain(fields.values("accept-language"), out);
        };
        *free = (name, weight);
        count += 1;
    }
    if count == 0 {
        return plain(fields.values("accept-language"), out);
    }
    let ranges = &mut ranges[..count];
    ranges.sort_unstable_by(|one, other| {
        other.1.cmp(&one.1).then_with(|| by_lower_case(one.0, other.0))
    });
    let mut before: Option<(&[u8], u16)> = None;
    for &(name, weight) in &*ranges {
        if before.is_some_and(|(held, w)| w == weight && held.eq_ignore_ascii_case(name)) {
            continue;
        }
        out.push(if before.is_none() { b'=' } else { b',' });
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        if weight != 1000 {
            out.extend_from_slice(b";");
            for unit in [100, 10, 1] {
                out.push(b'0' + u8::try_from(weight / unit % 10).unwrap_or(0));
            }
        }
        before = Some((name, weight));
    }
    out.push(b'\n');
}

fn by_lower_case(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
    one.iter().map(u8::to_ascii_lowercase).cmp(other.iter().map(u8::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::fuzz::map;

    fn vary(lines: &[&str]) -> Vary {
        let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
        Vary::parse(&map(&lines))
    }

    fn key(name: &str, lines: &[&str]) -> Vec<u8> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), line.parse().unwrap());
        }
        let mut out = b"what was there".to_vec();
        selecting(vary(&[name]).names(), &fields, &mut out);
        out
    }

    #[test]
    fn a_star_anywhere_counts_for_all() {
        for lines in [
            &["*"][..],
            &["*, *"],
            &["*", "*"],
            &[", *"],
            &["", "*"],
            &["*, Foo"],
            &["Foo, *"],
            &["a b"],
        ] {
            assert_eq!(vary(lines), Vary::Star, "{lines:?}");
        }
        assert_eq!(vary(&["", " , "]), Vary::None);
        assert_eq!(vary(&[&"a,".repeat(NAMES_MAX + 1)]), Vary::Star);
    }

    #[test]
    fn names_are_sorted_and_each_stands_once() {
        assert_eq!(vary(&["Foo, bar", "BAR, foo"]).names(), ["bar", "foo"]);
    }

    #[test]
    fn white_space_and_lines_do_not_tell_requests_apart() {
        for lines in [&["1,2"][..], &["1, 2"], &["1 ,\t2"], &["1", "2"]] {
            assert_eq!(key("foo", lines), b"=1,2\n", "{lines:?}");
        }
        assert_eq!(key("foo", &["\"a, b\",c"]), b"=\"a, b\",c\n");
    }

    #[test]
    fn absent_empty_and_given_differ() {
        let keys = [key("foo", &[]), key("foo", &[""]), key("foo", &["-"]), key("foo", &["2"])];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys[..at].iter().all(|other| other != one), "{keys:?}");
        }
    }

    #[test]
    fn cookies_are_compared_one_by_one() {
        let same = key("cookie", &["a=1; b=2"]);
        for lines in [&["a=1;b=2"][..], &["a=1", "b=2"]] {
            assert_eq!(key("cookie", lines), same, "{lines:?}");
        }
        for lines in [&["b=2; a=1"][..], &["a=1"], &[]] {
            assert_ne!(key("cookie", lines), same, "{lines:?}");
        }
    }

    #[test]
    fn the_order_of_unknown_fields_is_kept() {
        assert_ne!(key("foo", &["1, 2"]), key("foo", &["2, 1"]));
    }

    #[test]
    fn languages_are_the_same_whatever_their_order_case_and_spaces() {
        let same = key("accept-language", &["en, de"]);
        for lines in [
            &["de, en"][..],
            &["eN, De"],
            &[" en ,   de"],
            &["de", "en"],
            &["en;q=1.0,de;Q=1"],
            &["de,en,DE"],
        ] {
            assert_eq!(key("accept-language", lines), same, "{lines:?}");
        }
        let heavy = key("accept-language", &["de, en;q=0.8"]);
        assert_eq!(heavy, key("accept-language", &["en; q=0.80, de"]));
        for lines in [&["en, de;q=0.8"][..], &["de, en;q=0.7"], &["de"], &[""], &[]] {
            assert_ne!(key("accept-language", lines), heavy, "{lines:?}");
        }
    }

    #[test]
    fn more_languages_than_any_person_speaks_are_compared_as_they_are() {
        let many = |first: &str| format!("{first}{}", ",x".repeat(LANGUAGES_MAX));
        let name = "accept-language";
        assert_eq!(key(name, &[&many("a, b")]), key(name, &[&many("a,b")]));
        assert_ne!(key(name, &[&many("a,b")]), key(name, &[&many("b,a")]));
    }

    #[test]
    fn encodings_are_the_same_when_the_same_codings_are_welcome() {
        let name = "accept-encoding";
        assert_eq!(key(name, &["gzip, deflate, br"]), key(name, &["br;q=0.9", "gzip"]));
        assert_ne!(key(name, &["gzip"]), key(name, &["br"]));
        assert_ne!(key(name, &[]), key(name, &["identity"]));
    }

    #[test]
    fn two_fields_do_not_run_into_each_other() {
        let names = vary(&["a, b"]);
        let write = |lines: &[(&'static str, &str)]| {
            let mut out = Vec::new();
            selecting(names.names(), &map(lines), &mut out);
            out
        };
        assert_ne!(write(&[("a", "1")]), write(&[("b", "1")]));
        assert_ne!(write(&[("a", "1"), ("b", "2")]), write(&[("a", "1,2"), ("b", "")]));
    }
}
