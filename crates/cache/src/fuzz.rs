//! What every decoder of this crate must do with any bytes: not panic, and hold its promises.
//!
//! Plain functions, so that a fuzzer, or the seeded test below, can drive them.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use nigh_base::Wall;

use crate::{
    conditional, date,
    directives::{RequestDirectives, ResponseDirectives, SECONDS_MAX},
    fields::Fields,
    freshness::Terms,
    invalidate::Target,
    key::Scheme,
    list::{EntityTag, elements, entity_tags, trim},
    normal::Codings,
    range::{ContentRange, Ranges, Resolved},
    vary::{self, Vary},
};

/// A value that stands in every field.
struct Everywhere<'a>(&'a [u8]);

impl Fields for Everywhere<'_> {
    fn values<'a>(&'a self, _: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0.split(|&byte| byte == b'\n').map(trim)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

/// Lists: every element is a piece of the line, and free of white space around it.
pub fn lists(line: &[u8]) {
    let total: usize = elements(line).map(<[u8]>::len).sum();
    assert!(total <= line.len(), "elements are longer than their line");
    assert!(elements(line).all(|element| trim(element) == element && !element.is_empty()));
    for tag in entity_tags(line) {
        let text = [if tag.weak { &b"W/\""[..] } else { b"\"" }, tag.opaque, b"\""].concat();
        assert_eq!(EntityTag::parse(&text), Some(tag), "a tag reads back");
    }
}

/// Dates: what reads is written as the same instant.
pub fn dates(text: &[u8]) {
    if let Some(when) = date::parse(text) {
        assert_eq!(date::parse(&date::format(when)), Some(when), "a date reads back");
    }
}

/// Directives and freshness: nothing exceeds its bounds.
pub fn freshness(value: &[u8]) {
    let fields = Everywhere(value);
    let (asked, said) = (RequestDirectives::parse(&fields), ResponseDirectives::parse(&fields));
    assert!(said.max_age.is_none_or(|secs| secs <= SECONDS_MAX));
    let now = Wall::from_secs(1_794_960_000);
    let terms = Terms::new(now, now, StatusCode::OK, &fields, &said);
    assert!(terms.age(now) <= SECONDS_MAX && terms.lifetime() <= SECONDS_MAX);
    if said.never_stale() && terms.ttl(now) <= 0 {
        assert!(!terms.may_serve_disconnected(&asked, now), "stale where that is forbidden");
    }
    let _ = (terms.reuse(&asked, now), terms.explain(&fields, now));
}

/// Vary, the secondary key and conditions.
pub fn selection(value: &[u8]) {
    let fields = Everywhere(value);
    if let Vary::On(names) = Vary::parse(&fields) {
        assert!(names.len() <= vary::NAMES_MAX && names.is_sorted_by_key(HeaderName::as_str));
    }
    if let Some(codings) = Codings::accepted(&fields) {
        let read = Codings::accepted(&Everywhere(codings.field().as_bytes()));
        assert_eq!(read, Some(codings), "codings read back");
    }
    if let Ok(value) = HeaderValue::from_bytes(value) {
        let names = [http::header::ACCEPT_LANGUAGE, http::header::COOKIE];
        let map: HeaderMap = names.iter().map(|name| (name.clone(), value.clone())).collect();
        let mut key = Vec::new();
        vary::selecting(&names, &map, &mut key);
        assert_eq!(key.iter().filter(|&&byte| byte == b'\n').count(), 2, "a line for each field");
    }
    let status = StatusCode::OK;
    let _ = conditional::evaluate(&Method::GET, &fields, status, &fields, Wall::default());
    let _ = conditional::range_applies(&fields, &fields);
}

/// Ranges: what resolves lies within the representation.
pub fn ranges(value: &[u8]) {
    const LENGTH: u64 = 1000;
    if let Some(range) = ContentRange::parse(value) {
        let text = range.to_string();
        assert_eq!(ContentRange::parse(text.as_bytes()), Some(range), "a range reads back");
    }
    match Ranges::parse(&Everywhere(value)).map(|ranges| ranges.resolve(LENGTH)) {
        Some(Resolved::One(span)) => assert!(span.len() > 0 && span.end <= LENGTH),
        Some(Resolved::Many(spans)) => {
            assert!(spans.as_slice().iter().all(|span| span.len() > 0 && span.end <= LENGTH));
        }
        Some(Resolved::Whole | Resolved::Unsatisfiable) | None => {}
    }
}

/// References: what resolves is an absolute path without dot segments.
pub fn references(text: &[u8]) {
    let target = Target { scheme: Scheme::Https, authority: b"a.example", path: b"/b/c?d" };
    if let Some(path) = target.resolve(text) {
        assert_eq!(path.first(), Some(&b'/'), "a path begins with a slash");
        let path = path.split(|&byte| byte == b'?').next().unwrap_or_default();
        assert!(!path.split(|&byte| byte == b'/').any(|part| part == b"." || part == b".."));
    }
}

/// Fields of literal names, for tests.
#[cfg(test)]
pub(crate) fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        fields.append(HeaderName::from_static(name), value);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use nigh_base::Rng;

    const SEEDS: [&str; 16] = [
        "max-age=3600, s-maxage=\"10\", no-cache=\"a, b\", private",
        "public, must-understand, stale-while-revalidate=60, stale-if-error=5",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "\"a\", W/\"b,c\", *",
        "bytes=0-4, -5, 7-",
        "bytes 0-4/10",
        "gzip;q=0.5, br, *;q=0",
        "en-GB, de;q=0.8",
        "http://a.example:80/x/../y?z#f",
        "//a.example/./..",
        "*, accept",
        "0, 7200",
        "max-age=5;a=1, b=?0, c=(1 2), d=:YQ==:",
        "no-cache\nmax-age=1\n2147483649",
    ];

    fn mutate(rng: &mut Rng, text: &mut Vec<u8>) {
        for _ in 0..=rng.below(4) {
            let at = rng.index(text.len() + 1);
            match rng.below(5) {
                0 if at < text.len() => drop(text.remove(at)),
                1 => text.insert(at, u8::try_from(rng.below(256)).unwrap()),
                2 => text.insert(at, b"\",=;-/ \\*.0\n"[rng.index(12)]),
                3 if at < text.len() => text.truncate(at),
                _ => {
                    let other = SEEDS[rng.index(SEEDS.len())].as_bytes();
                    text.extend_from_slice(&other[rng.index(other.len())..]);
                }
            }
        }
    }

    fn drive(seed: u64, harness: fn(&[u8])) {
        let mut rng = Rng::new(seed);
        for _ in 0..20_000 {
            let mut text = SEEDS[rng.index(SEEDS.len())].as_bytes().to_vec();
            mutate(&mut rng, &mut text);
            harness(&text);
        }
    }

    #[test]
    fn lists_hold_their_promises() {
        drive(1, lists);
    }

    #[test]
    fn dates_hold_their_promises() {
        drive(2, dates);
    }

    #[test]
    fn freshness_holds_its_promises() {
        drive(3, freshness);
    }

    #[test]
    fn selection_holds_its_promises() {
        drive(4, selection);
    }

    #[test]
    fn ranges_hold_their_promises() {
        drive(5, ranges);
    }

    #[test]
    fn references_hold_their_promises() {
        drive(6, references);
    }
}
