//! What `freshness` must do.

use super::*;
use crate::fuzz::map;

/// Wed, 18 Nov 2026 00:00:00 GMT
const NOW: Wall = Wall::from_secs(1_794_960_000);
const AT: &str = "Wed, 18 Nov 2026 00:00:00 GMT";
const IN_AN_HOUR: &str = "Wed, 18 Nov 2026 01:00:00 GMT";

fn terms(lines: &[(&'static str, &str)]) -> Terms {
    terms_of(200, lines)
}

fn terms_of(status: u16, lines: &[(&'static str, &str)]) -> Terms {
    let fields = map(lines);
    let directives = ResponseDirectives::parse(&fields);
    let status = StatusCode::from_u16(status).unwrap();
    Terms::new(NOW, NOW, status, &fields, &directives)
}

fn later(secs: u64) -> Wall {
    Wall::from_secs(NOW.secs() + secs)
}

fn asked(line: &'static str) -> RequestDirectives {
    RequestDirectives::parse(&map(&[("cache-control", line)]))
}

#[test]
fn terms_stay_small() {
    assert_eq!(size_of::<Terms>(), 32);
}

#[test]
fn the_first_rule_that_applies_gives_the_lifetime() {
    let cdn = "cdn-cache-control";
    for (lines, source, secs) in [
        (
            &[("cache-control", "s-maxage=1, max-age=2"), ("expires", IN_AN_HOUR)][..],
            Lifetime::SharedMaxAge,
            1,
        ),
        (&[("cache-control", "max-age=2"), ("expires", IN_AN_HOUR)], Lifetime::MaxAge, 2),
        (&[("date", AT), ("expires", IN_AN_HOUR)], Lifetime::Expires, 3600),
        (&[("expires", IN_AN_HOUR)], Lifetime::Expires, 3600),
        (&[("date", "foo"), ("expires", IN_AN_HOUR)], Lifetime::Expires, 3600),
        (&[("date", IN_AN_HOUR), ("expires", AT)], Lifetime::Expires, 0),
        (
            &[("expires", "0"), ("last-modified", "Sun, 08 Nov 2026 00:00:00 GMT")],
            Lifetime::Expires,
            0,
        ),
        (&[("expires", IN_AN_HOUR), ("expires", IN_AN_HOUR)], Lifetime::Expires, 0),
        (
            &[(cdn, "max-age=7"), ("cache-control", "no-store"), ("expires", IN_AN_HOUR)],
            Lifetime::MaxAge,
            7,
        ),
        (&[(cdn, "must-revalidate"), ("expires", IN_AN_HOUR)], Lifetime::None, 0),
        (&[("last-modified", "Tue, 17 Nov 2026 00:00:00 GMT")], Lifetime::Heuristic, 8640),
        (&[("last-modified", "Tue, 17 Nov 2020 00:00:00 GMT")], Lifetime::Heuristic, HEURISTIC_MAX),
        (&[("last-modified", IN_AN_HOUR)], Lifetime::Heuristic, 0),
        (&[("last-modified", AT), ("pragma", "no-cache")], Lifetime::None, 0),
        (&[], Lifetime::None, 0),
    ] {
        let found = terms(lines);
        assert_eq!((found.source(), found.lifetime()), (source, secs), "{lines:?}");
    }
}

#[test]
fn only_some_statuses_get_a_heuristic_lifetime_unless_the_response_says_public() {
    let modified = ("last-modified", "Tue, 17 Nov 2026 00:00:00 GMT");
    for status in [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(terms_of(status, &[modified]).source(), Lifetime::Heuristic, "{status}");
    }
    for status in [201, 202, 302, 307, 403, 500, 502, 503, 504, 599] {
        assert_eq!(terms_of(status, &[modified]).source(), Lifetime::None, "{status}");
        let public = terms_of(status, &[modified, ("cache-control", "public")]);
        assert_eq!(public.source(), Lifetime::Heuristic, "{status}");
    }
}

#[test]
fn an_age_that_cannot_be_trusted_makes_a_response_stale() {
    for (lines, age) in [
        (&["7200"][..], 7200),
        (&["7200,0"], 7200),
        (&["0,7200"], 0),
        (&["abc"], SECONDS_MAX),
        (&["-7200"], SECONDS_MAX),
        (&["7200.0"], SECONDS_MAX),
        (&["0, 0"], SECONDS_MAX),
        (&["0", "0"], SECONDS_MAX),
        (&["0", "7200"], SECONDS_MAX),
        (&["7200;foo=1"], SECONDS_MAX),
        (&[""], SECONDS_MAX),
        (&["2147483649"], SECONDS_MAX),
        (&["99999999999999999999"], SECONDS_MAX),
        (&[], 0),
    ] {
        let mut fields = vec![("cache-control", "max-age=2147483648"), ("date", AT)];
        fields.extend(lines.iter().map(|line| ("age", *line)));
        let found = terms(&fields);
        assert_eq!(found.age(NOW), age, "{lines:?}");
        assert_eq!(found.ttl(NOW) > 0, age < SECONDS_MAX, "{lines:?}");
    }
}

#[test]
fn age_counts_against_expires_minus_date_whichever_way_the_clock_is_wrong() {
    let slow = terms(&[
        ("date", "Tue, 17 Nov 2026 23:59:50 GMT"),
        ("expires", "Wed, 18 Nov 2026 00:00:10 GMT"),
        ("age", "25"),
    ]);
    assert_eq!((slow.lifetime(), slow.age(NOW), slow.ttl(NOW)), (20, 25, -5));
    let fast = terms(&[
        ("date", "Wed, 18 Nov 2026 00:00:10 GMT"),
        ("expires", "Wed, 18 Nov 2026 00:00:20 GMT"),
        ("age", "15"),
    ]);
    assert_eq!((fast.lifetime(), fast.age(NOW), fast.ttl(NOW)), (10, 15, -5));
}

#[test]
fn a_slow_answer_is_older_than_its_age_says() {
    let fields = map(&[("cache-control", "max-age=60"), ("age", "10"), ("date", AT)]);
    let directives = ResponseDirectives::parse(&fields);
    let found = Terms::new(NOW, later(5), StatusCode::OK, &fields, &directives);
    assert_eq!(found.initial_age(), 15);
    let sum = found.explain(&fields, later(8));
    assert_eq!((sum.age_value, sum.response_delay, sum.apparent_age), (10, 5, 5));
    assert_eq!((sum.resident, sum.age, sum.ttl), (3, 18, 42));
}

#[test]
fn a_request_can_ask_for_more_than_freshness() {
    let stored = terms(&[("cache-control", "max-age=100, stale-while-revalidate=10")]);
    for (line, at, expected) in [
        ("", 0, Reuse::Fresh),
        ("", 99, Reuse::Fresh),
        ("", 100, Reuse::StaleWhileRevalidate),
        ("", 109, Reuse::StaleWhileRevalidate),
        ("", 110, Reuse::Validate(Reason::Stale)),
        ("no-cache", 0, Reuse::Validate(Reason::RequestNoCache)),
        ("max-age=0", 0, Reuse::Validate(Reason::RequestMaxAge)),
        ("max-age=5", 5, Reuse::Fresh),
        ("max-age=5", 6, Reuse::Validate(Reason::RequestMaxAge)),
        ("min-fresh=50", 50, Reuse::Fresh),
        ("min-fresh=50", 51, Reuse::Validate(Reason::RequestMinFresh)),
        ("max-stale=50", 150, Reuse::Stale),
        ("max-stale=50", 151, Reuse::Validate(Reason::Stale)),
        ("max-stale", 100_000, Reuse::Stale),
        ("max-age=120, max-stale", 120, Reuse::Stale),
        ("no-store", 0, Reuse::Fresh),
    ] {
        assert_eq!(stored.reuse(&asked(line), later(at)), expected, "{line} at {at}");
    }
}

#[test]
fn what_must_be_validated_is_never_served_stale() {
    for forbidding in ["must-revalidate", "proxy-revalidate", "s-maxage=2", "no-cache"] {
        let line = format!("max-age=2, {forbidding}, stale-while-revalidate=60, stale-if-error=60");
        let stored = terms(&[("cache-control", line.as_str())]);
        let found = stored.reuse(&asked("max-stale"), later(3));
        assert!(matches!(found, Reuse::Validate(_)), "{forbidding}");
        let any = asked("stale-if-error=100");
        assert!(!stored.may_serve_on_error(&any, later(3)), "{forbidding}");
        assert!(!stored.may_serve_disconnected(&any, later(3)), "{forbidding}");
    }
}

#[test]
fn an_error_is_covered_only_where_somebody_allowed_it() {
    let (plain, kind) = (
        terms(&[("cache-control", "max-age=2")]),
        terms(&[("cache-control", "max-age=2, stale-if-error=60")]),
    );
    let nobody = RequestDirectives::default();
    assert!(!plain.may_serve_on_error(&nobody, later(3)));
    assert!(plain.may_serve_on_error(&asked("stale-if-error=5"), later(3)));
    assert!(kind.may_serve_on_error(&nobody, later(61)));
    assert!(!kind.may_serve_on_error(&nobody, later(62)));
    assert!(plain.may_serve_disconnected(&nobody, later(3)));
    assert!(!plain.may_serve_disconnected(&asked("no-cache"), later(3)));
    assert!(!plain.may_serve_disconnected(&nobody, later(u64::from(DISCONNECTED_MAX) + 2)));
}

#[test]
fn a_response_that_says_no_cache_is_validated_each_time() {
    let stored = terms(&[("cache-control", "max-age=10000, No-CaChE")]);
    let found = stored.reuse(&asked("max-stale"), NOW);
    assert_eq!(found, Reuse::Validate(Reason::ResponseNoCache));
    let qualified = terms(&[("cache-control", "max-age=10000, no-cache=\"a\"")]);
    assert_eq!(qualified.reuse(&asked(""), NOW), Reuse::Fresh);
}

#[test]
fn a_copy_is_fresh_for_a_short_while_and_never_for_longer_than_its_original() {
    let original =
        terms(&[("cache-control", "max-age=60, stale-while-revalidate=60"), ("age", "20")]);
    let copy = original.copied(later(5), 10);
    assert!(copy.is_copy() && !original.is_copy());
    assert_eq!((copy.ttl(later(5)), copy.age(later(5))), (10, 25));
    assert_eq!(copy.reuse(&asked(""), later(14)), Reuse::Fresh);
    assert_eq!(copy.reuse(&asked(""), later(15)), Reuse::Validate(Reason::Stale));
    assert_eq!(original.copied(later(35), 10).ttl(later(35)), 5);
}
