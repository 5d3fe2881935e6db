//! What `conditional` must do.

use super::*;
use crate::fuzz::map;

const RECEIVED: Wall = Wall::from_secs(1_794_960_000);
const OLD: &str = "Tue, 17 Nov 2026 00:00:00 GMT";
const DATE: &str = "Wed, 18 Nov 2026 00:00:00 GMT";
const NEW: &str = "Thu, 19 Nov 2026 00:00:00 GMT";

fn check(request: &[(&'static str, &str)], stored: &[(&'static str, &str)], expected: Outcome) {
    let found = evaluate(&Method::GET, &map(request), StatusCode::OK, &map(stored), RECEIVED);
    assert_eq!(found, expected, "{request:?} against {stored:?}");
}

#[test]
fn a_matching_tag_is_answered_with_304() {
    let stored = [("etag", "\"a\""), ("last-modified", OLD)];
    for tags in ["\"a\"", "W/\"a\"", "\"a\", \"b\"", "\"b\", \"a\", \"c\"", "\"b\",\"a\"", "*"] {
        check(&[("if-none-match", tags)], &stored, Outcome::NotModified);
        check(&[("if-none-match", tags)], &[("etag", "W/\"a\"")], Outcome::NotModified);
    }
    for tags in ["\"b\"", "a", "w/\"a\"", "W\"a\"", "", "\"A\""] {
        check(&[("if-none-match", tags)], &stored, Outcome::Proceed);
    }
    check(&[("if-none-match", "\"a\"")], &[("etag", "a")], Outcome::Proceed);
    check(&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], &stored, Outcome::NotModified);
}

#[test]
fn a_tag_beats_a_date() {
    let stored = [("etag", "\"a\""), ("last-modified", DATE)];
    check(&[("if-none-match", "\"a\""), ("if-modified-since", OLD)], &stored, Outcome::NotModified);
    check(&[("if-none-match", "\"b\""), ("if-modified-since", NEW)], &stored, Outcome::Proceed);
}

#[test]
fn dates_are_compared_and_not_matched() {
    let stored = [("last-modified", DATE)];
    check(&[("if-modified-since", DATE)], &stored, Outcome::NotModified);
    check(&[("if-modified-since", NEW)], &stored, Outcome::NotModified);
    check(
        &[("if-modified-since", "Wednesday, 18-Nov-26 00:00:00 GMT")],
        &stored,
        Outcome::NotModified,
    );
    check(&[("if-modified-since", OLD)], &stored, Outcome::Proceed);
    check(&[("if-modified-since", "0")], &stored, Outcome::Proceed);
    check(&[("if-modified-since", NEW), ("if-modified-since", NEW)], &stored, Outcome::Proceed);
}

#[test]
fn a_response_without_last_modified_is_as_old_as_its_date() {
    check(&[("if-modified-since", OLD)], &[("date", DATE)], Outcome::Proceed);
    check(&[("if-modified-since", DATE)], &[("date", DATE)], Outcome::NotModified);
    check(&[("if-modified-since", OLD)], &[], Outcome::Proceed);
    check(&[("if-modified-since", NEW)], &[], Outcome::NotModified);
}

#[test]
fn conditions_that_only_the_origin_can_judge_are_told_apart() {
    let stored = [("etag", "\"a\""), ("last-modified", DATE)];
    check(&[("if-match", "\"a\"")], &stored, Outcome::Proceed);
    check(&[("if-match", "*")], &stored, Outcome::Proceed);
    check(&[("if-match", "W/\"a\"")], &stored, Outcome::PreconditionFailed);
    check(
        &[("if-match", "\"b\""), ("if-none-match", "\"a\"")],
        &stored,
        Outcome::PreconditionFailed,
    );
    check(&[("if-unmodified-since", OLD)], &stored, Outcome::PreconditionFailed);
    check(&[("if-unmodified-since", DATE)], &stored, Outcome::Proceed);
    check(&[("if-match", "\"a\""), ("if-unmodified-since", OLD)], &stored, Outcome::Proceed);
}

#[test]
fn conditions_count_only_for_what_would_be_a_success() {
    let (request, stored) = (map(&[("if-none-match", "*")]), map(&[]));
    for (status, method) in [(404, Method::GET), (301, Method::GET), (200, Method::POST)] {
        let status = StatusCode::from_u16(status).unwrap();
        let found = evaluate(&method, &request, status, &stored, RECEIVED);
        assert_eq!(found, Outcome::Proceed, "{method} {status}");
    }
}

#[test]
fn a_weak_validator_never_satisfies_if_range() {
    let applies = |condition: &str, stored: &[(&'static str, &str)]| {
        range_applies(&map(&[("if-range", condition)]), &map(stored))
    };
    let (strong, weak) = ([("etag", "\"a\"")], [("etag", "W/\"a\"")]);
    assert!(range_applies(&map(&[]), &map(&weak)));
    assert!(applies("\"a\"", &strong));
    for (condition, stored) in [
        ("W/\"a\"", &weak),
        ("\"a\"", &weak),
        ("W/\"a\"", &strong),
        ("\"b\"", &strong),
        ("a", &strong),
    ] {
        assert!(!applies(condition, stored), "{condition} {stored:?}");
    }
    assert!(applies(OLD, &[("last-modified", OLD), ("date", DATE)]));
    for stored in [
        &[("last-modified", DATE), ("date", DATE)][..],
        &[("last-modified", OLD)],
        &[("last-modified", "Mon, 16 Nov 2026 00:00:00 GMT"), ("date", DATE)],
        &[],
    ] {
        assert!(!applies(
            if stored.len() == 2 && stored[0].1 == DATE { DATE } else { OLD },
            stored
        ));
    }
}

#[test]
fn the_origin_is_asked_by_tag_and_date_as_received() {
    let stored = map(&[("etag", "W/\"a\""), ("last-modified", OLD), ("date", DATE)]);
    let found = Validators::of(&stored);
    assert_eq!(found.if_none_match, Some(&b"W/\"a\""[..]));
    assert_eq!(found.if_modified_since, Some(OLD.as_bytes()));
    assert_eq!(strong_validator(&stored), None);
    assert!(Validators::of(&map(&[("etag", "a"), ("last-modified", "0")])).is_empty());
    let dated = map(&[("last-modified", OLD), ("date", DATE)]);
    assert_eq!(strong_validator(&dated), Some(OLD.as_bytes()));
    assert_eq!(strong_validator(&map(&[("etag", "\"a\"")])), Some(&b"\"a\""[..]));
}

#[test]
fn a_304_carries_what_updates_and_not_what_describes_content() {
    for name in ["cache-control", "content-location", "date", "etag", "expires", "vary"] {
        assert!(in_not_modified(name), "{name}");
    }
    for name in ["content-length", "content-type", "content-encoding", "set-cookie"] {
        assert!(!in_not_modified(name), "{name}");
    }
}
