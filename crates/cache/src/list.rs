//! How field values are taken apart: comma lists that honour quotes, parameters, tokens, entity tags.
//!
//! RFC 9110, sections 5.5 to 5.6. Everything borrows from the value that was received; nothing here
//! allocates. A comma inside a quoted string separates nothing, which is where many caches have
//! been fooled; a quote that is never closed runs to the end of its line.

/// The elements of one field line, without the white space around them and without empty ones
/// (RFC 9110, section 5.6.1.2).
///
/// ```
/// use nigh_cache::list::elements;
/// let found: Vec<_> = elements(br#"a, ,b="1,2" ,"#).collect();
/// assert_eq!(found, [&b"a"[..], br#"b="1,2""#]);
/// ```
pub fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(line, b',').filter(|element| !element.is_empty())
}

/// The parts of `text` between occurrences of `separator` outside quoted strings, each without the
/// white space around it. Empty parts are kept.
pub fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match unquoted(text, separator) {
            Some(at) => {
                rest = Some(&text[at + 1..]);
                Some(trim(&text[..at]))
            }
            None => {
                rest = None;
                Some(trim(text))
            }
        }
    })
}

/// An element such as `max-age="10"` as its name and the text after the first `=`, if there is one.
/// White space on either side of `=` is kept, since it is not allowed there (section 5.6.6): the
/// caller can tell a malformed element from a good one.
pub fn name_and_value(element: &[u8]) -> (&[u8], Option<&[u8]>) {
    match element.iter().position(|&byte| byte == b'=') {
        Some(at) => (&element[..at], Some(&element[at + 1..])),
        None => (element, None),
    }
}

/// The text of a quoted string that is well formed and has nothing behind it, without its quotes
/// and with escapes left in (section 5.6.4). None for anything else.
pub fn quoted(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_prefix(b"\"")?;
    let mut at = 0;
    while at < inner.len() {
        match inner[at] {
            b'"' => return (at + 1 == inner.len()).then(|| &inner[..at]),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// `text` without spaces and tabs at its ends (section 5.6.3).
pub fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// Whether two tokens are the same but for ASCII case.
pub fn same_token(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Whether `text` is a token (section 5.6.2).
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// A number of digits and nothing else; what is too large for the type is its largest value.
pub fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, &byte| {
        byte.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// An entity tag (RFC 9110, section 8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// It starts with `W/`: two representations of this tag may differ in their bytes.
    pub weak: bool,
    /// What stands between the quotes. Backslashes are plain characters here.
    pub opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The tag that `text` is, whole. Only the form of the standard counts: `w/"a"`, `W"a"` and `a`
    /// are no tags.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (tag, rest) = Self::first(text)?;
        rest.is_empty().then_some(tag)
    }

    /// The tag that `text` begins with, and what follows it.
    fn first(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, text) = match text.strip_prefix(b"W/") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let text = text.strip_prefix(b"\"")?;
        let end = text.iter().position(|&byte| byte == b'"')?;
        let opaque = &text[..end];
        let clean = opaque.iter().all(|&byte| byte >= 0x21 && byte != 0x7f);
        clean.then_some((Self { weak, opaque }, &text[end + 1..]))
    }

    /// The strong comparison: same bytes, neither weak (section 8.8.3.2).
    pub fn same_strongly(self, other: EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// The weak comparison: same bytes, weak or not (section 8.8.3.2).
    pub fn same_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// The entity tags of one line of If-Match or If-None-Match, in order. A piece that is no tag is
/// skipped up to the next comma, so that one odd client tag does not hide a good one.
///
/// This is not [`elements`]: within a tag a backslash escapes nothing.
pub fn entity_tags(line: &[u8]) -> impl Iterator<Item = EntityTag<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        loop {
            let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
            rest = &rest[start..];
            let found = EntityTag::first(rest);
            let after = found.map_or(rest, |(_, after)| after);
            let comma = after.iter().position(|&byte| byte == b',').unwrap_or(after.len());
            let alone = trim(&after[..comma]).is_empty();
            rest = &after[comma..];
            if let Some((tag, _)) = found
                && alone
            {
                return Some(tag);
            }
        }
    })
}

/// Where `wanted` first stands in `text` outside a quoted string.
fn unquoted(text: &[u8], wanted: u8) -> Option<usize> {
    let (mut inside, mut at) = (false, 0);
    while at < text.len() {
        match text[at] {
            b'"' => inside = !inside,
            b'\\' if inside => at += 1,
            byte if byte == wanted && !inside => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let found: Vec<_> =
            elements(line.as_bytes()).map(|e| String::from_utf8_lossy(e).into_owned()).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn commas_inside_quotes_separate_nothing() {
        check("a, b", &["a", "b"]);
        check("", &[]);
        check(" , ,,\t", &[]);
        check(
            r#"x="max-age=3600, no-store", max-age=1"#,
            &[r#"x="max-age=3600, no-store""#, "max-age=1"],
        );
        check(r#"x="a\",b", c"#, &[r#"x="a\",b""#, "c"]);
        check(r#"x="open, never closed"#, &[r#"x="open, never closed"#]);
        check(r#"x="ends in an escape\"#, &[r#"x="ends in an escape\"#]);
    }

    #[test]
    fn a_quoted_string_is_one_only_when_whole() {
        assert_eq!(quoted(br#""a, b""#), Some(&b"a, b"[..]));
        assert_eq!(quoted(br#""""#), Some(&b""[..]));
        for text in ["a", "\"a", "\"a\"b", "'a'", "\"a\\\"", ""] {
            assert_eq!(quoted(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_digits_only_and_saturate() {
        assert_eq!(digits(b"003600"), Some(3600));
        assert_eq!(digits(b"99999999999999999999999"), Some(u64::MAX));
        for text in ["", "-1", "+1", "1.0", "1 ", "0x1", "a"] {
            assert_eq!(digits(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_the_standard_form_is_an_entity_tag() {
        let strong = EntityTag { weak: false, opaque: b"a" };
        assert_eq!(EntityTag::parse(b"\"a\""), Some(strong));
        assert_eq!(EntityTag::parse(b"W/\"a\""), Some(EntityTag { weak: true, ..strong }));
        assert_eq!(EntityTag::parse(b"\"\""), Some(EntityTag { weak: false, opaque: b"" }));
        for text in ["a", "w/\"a\"", "W\"a\"", "W\\\"a\"", "\"a", "\"a\"b", "\"a b\"", "*", ""] {
            assert_eq!(EntityTag::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_weak_tag_equals_only_weakly() {
        let (weak, strong) =
            (EntityTag { weak: true, opaque: b"a" }, EntityTag { weak: false, opaque: b"a" });
        assert!(strong.same_strongly(strong) && strong.same_weakly(weak));
        assert!(!strong.same_strongly(weak) && !weak.same_strongly(weak));
    }

    #[test]
    fn a_list_of_tags_survives_a_bad_one_and_commas_within() {
        let tags: Vec<_> = entity_tags(br#" "a,b" ,, c, W/"d", "e"f, "\", "g""#)
            .map(|tag| String::from_utf8_lossy(tag.opaque).into_owned())
            .collect();
        assert_eq!(tags, ["a,b", "d", "\\", "g"]);
    }
}
