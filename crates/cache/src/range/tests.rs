//! What `range` must do.

use super::*;
use crate::fuzz::map;

fn parse(line: &str) -> Option<Ranges> {
    Ranges::parse(&map(&[("range", line)]))
}

fn spans(line: &str, length: u64) -> Vec<(u64, u64)> {
    match parse(line).unwrap().resolve(length) {
        Resolved::One(span) => vec![(span.start, span.end)],
        Resolved::Many(spans) => spans.as_slice().iter().map(|s| (s.start, s.end)).collect(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn ranges_mean_the_bytes_that_exist() {
    for (line, length, expected) in [
        ("bytes=0-1", 11, &[(0, 2)][..]),
        ("bytes=1-", 11, &[(1, 11)]),
        ("bytes=-1", 11, &[(10, 11)]),
        ("bytes=-99", 11, &[(0, 11)]),
        ("bytes=5-99999999999999999999", 11, &[(5, 11)]),
        ("BYTES=0-0,,  5-5 ,", 6, &[(0, 6)]),
        ("bytes=0-0, 500-", 1000, &[(0, 1), (500, 1000)]),
        ("bytes=500-, 0-0", 1000, &[(500, 1000), (0, 1)]),
        ("bytes=900-999, 0-99, 950-2000, 2000-", 1000, &[(900, 1000), (0, 100)]),
        ("bytes=0-9, 500-509, 5-505", 1000, &[(0, 510)]),
    ] {
        assert_eq!(spans(line, length), expected, "{line}");
    }
}

#[test]
fn what_is_no_set_of_byte_ranges_is_ignored() {
    for line in [
        "bytes=5-4",
        "bytes=",
        "bytes=,",
        "bytes 0-1",
        "pages=1-2",
        "bytes=a-b",
        "bytes=-",
        "bytes=0-1, x",
        "bytes=--1",
        "bytes=+1-2",
        "",
    ] {
        assert_eq!(parse(line), None, "{line}");
    }
    assert_eq!(Ranges::parse(&map(&[("range", "bytes=0-1"), ("range", "bytes=2-3")])), None);
    let many = |count| format!("bytes={}", vec!["0-0"; count].join(","));
    assert!(parse(&many(RANGES_MAX)).is_some());
    assert_eq!(parse(&many(RANGES_MAX + 1)), None);
}

#[test]
fn ranges_beyond_the_end_are_unsatisfiable() {
    for (line, length) in
        [("bytes=11-", 11), ("bytes=-0", 11), ("bytes=0-", 0), ("bytes=20-30, 11-", 11)]
    {
        assert_eq!(parse(line).unwrap().resolve(length), Resolved::Unsatisfiable, "{line}");
    }
    assert_eq!(parse("bytes=-5").unwrap().resolve(0), Resolved::Whole);
    assert_eq!(Unsatisfied(11).to_string(), "bytes */11");
}

#[test]
fn content_range_says_which_bytes_or_nothing() {
    for text in ["bytes 0-4/10", "bytes 0-0/1", "bytes 5-9/*"] {
        assert_eq!(ContentRange::parse(text.as_bytes()).unwrap().to_string(), text);
    }
    for text in [
        "bytes 4-0/10",
        "bytes 0-10/10",
        "bytes */10",
        "bytes 0-4",
        "bytes=0-4/10",
        "bytes 0-4/x",
        "items 0-4/10",
        "bytes 0-18446744073709551615/*",
        "",
    ] {
        assert_eq!(ContentRange::parse(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_part_is_what_its_content_is() {
    let claim = |text: &str| ContentRange::parse(text.as_bytes()).unwrap();
    assert_eq!(claim("bytes 4-9/10").observed(6), Some(claim("bytes 4-9/10")));
    assert_eq!(claim("bytes 4-9/10").observed(5), Some(claim("bytes 4-8/9")));
    for (text, length) in [
        ("bytes 4-9/10", 4),
        ("bytes 4-9/10", 7),
        ("bytes 4-8/10", 4),
        ("bytes 4-9/*", 5),
        ("bytes 0-0/1", 0),
    ] {
        assert_eq!(claim(text).observed(length), None, "{text} of {length}");
    }
}
