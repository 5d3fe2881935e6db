//! Content-Range and the account of parts that are held, against a map of single bytes.
//!
//! Each line of the input is the Content-Range of one more 206 for the same representation.
#![no_main]

use nigh_cache::range::{ContentRange, Parts, Span};

/// Ranges that end further out are read, but not counted byte by byte.
const MAP_BYTES: usize = 4096;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = Parts::default();
    let mut map = [false; MAP_BYTES];
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some(range) = ContentRange::parse(line) else { continue };
        let text = range.to_string();
        assert_eq!(ContentRange::parse(text.as_bytes()), Some(range), "a range reads back");
        observed(range);
        if range.span.end <= MAP_BYTES as u64 {
            add(&mut parts, &mut map, range);
        }
    }
});

/// What is believed of a 206 is never more than what came, and never beyond the representation.
fn observed(range: ContentRange) {
    let claimed = range.span.len();
    for length in [0, 1, claimed.saturating_sub(1), claimed, claimed.saturating_add(1)] {
        if let Some(seen) = range.observed(length) {
            assert_eq!(seen.span.len(), length, "as much as came");
            assert_eq!(seen.span.start, range.span.start, "from where it was said to begin");
            assert!(seen.complete.is_none_or(|complete| seen.span.end <= complete));
        }
    }
}

fn add(parts: &mut Parts, map: &mut [bool; MAP_BYTES], range: ContentRange) {
    let before = parts.clone();
    let bytes = |span: Span| {
        let place = |n: u64| usize::try_from(n).expect("a place in the map");
        place(span.start)..place(span.end)
    };
    match parts.add(range) {
        Err(_) => assert_eq!(*parts, before, "a refused range changes nothing"),
        Ok(pieces) => {
            for piece in pieces {
                assert!(range.span.contains(piece.span), "a piece is of the range");
                let new = &mut map[bytes(piece.span)];
                assert!(new.iter().all(|held| !held), "a piece was missing");
                new.fill(true);
            }
            assert!(parts.covers(range.span), "the range is held");
            assert_eq!(parts.missing(range.span), None, "nothing of it is missing");
        }
    }
    assert!(parts.spans().len() <= Parts::MAX, "no more parts than allowed");
    assert!(parts.spans().is_sorted_by(|one, next| one.end <= next.start), "in order, apart");
    let held = map.iter().filter(|held| **held).count();
    assert_eq!(parts.held(), held as u64, "each byte is counted once");
    let missing = parts.missing(range.span);
    assert_eq!(missing.is_none(), map[bytes(range.span)].iter().all(|held| *held));
}
