//! What `plan` must do.

use std::sync::Arc;

use bytes::Buf;
use http::HeaderMap;
use nigh_cache::freshness::DISCONNECTED_MAX;

use super::*;
use crate::{
    respond::Shape,
    testing::{Lines, at_age, content, fields, key, put, store},
};

/// A store that holds a whole response with these fields.
fn holding(lines: Lines<'_>) -> Arc<Store> {
    let store = store();
    put(&store, &[], 200, lines, &content(100));
    store
}

/// A store that holds bytes 10 to 25 of 100, fresh for a minute.
fn holding_a_part() -> Arc<Store> {
    let store = store();
    let lines =
        [("cache-control", "max-age=60"), ("etag", "\"a\""), ("content-range", "bytes 10-25/100")];
    put(&store, &[], 206, &lines, &content(100)[10..26]);
    store
}

fn plan_of(store: &Store, request: &Request<'_, HeaderMap>, age: u64) -> Plan {
    plan(request, store, key(store), at_age(age), &mut Vec::new())
}

fn ask(store: &Store, method: &Method, lines: Lines<'_>, age: u64) -> Plan {
    ask_with((store, true), method, lines, age)
}

/// What is planned where the store is trusted, or may have missed a purge.
fn ask_with((store, trusted): (&Store, bool), method: &Method, lines: Lines<'_>, age: u64) -> Plan {
    let fields = fields(lines);
    let request = Request {
        method,
        fields: &fields,
        has_body: false,
        upgrade: false,
        bypass: false,
        trusted,
    };
    plan_of(store, &request, age)
}

fn get(store: &Store, lines: Lines<'_>, age: u64) -> Plan {
    ask(store, &Method::GET, lines, age)
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap()
}

/// What Cache-Status says, or the word of the problem.
fn words(plan: &Plan) -> String {
    match plan {
        Plan::Answer(hit) | Plan::Gather(hit) => hit.status.to_string(),
        Plan::Fetch(fetch) => fetch.status.to_string(),
        Plan::Refuse(problem) => problem.word().to_owned(),
    }
}

fn hit(plan: Plan) -> Hit {
    match plan {
        Plan::Answer(hit) => hit,
        other => panic!("no answer from the store: {other:?}"),
    }
}

fn fetch(plan: Plan) -> Fetch {
    match plan {
        Plan::Fetch(fetch) => fetch,
        other => panic!("the origin is not asked: {other:?}"),
    }
}

/// How the origin is asked, and whether a stored response stands by.
fn how(plan: Plan) -> (Manner, bool) {
    let fetch = fetch(plan);
    (fetch.manner, fetch.stale.is_some())
}

fn read(mut hit: Hit) -> Vec<u8> {
    let length = hit.reply.content.remaining();
    hit.reply.content.copy_to_bytes(length).to_vec()
}

#[test]
fn trace_and_connect_are_refused_whatever_is_stored() {
    let store = holding(&[("cache-control", "max-age=60")]);
    assert_eq!(words(&ask(&store, &Method::TRACE, &[], 0)), "trace-refused");
    assert_eq!(words(&ask(&store, &Method::CONNECT, &[], 0)), "connect-refused");
}

#[test]
fn a_websocket_is_tunnelled_past_what_is_stored() {
    let store = holding(&[("cache-control", "max-age=60")]);
    for offer in ["websocket", "WebSocket", "h2c, websocket"] {
        let fields = fields(&[("upgrade", offer)]);
        let request = Request {
            method: &Method::GET,
            fields: &fields,
            has_body: false,
            upgrade: true,
            bypass: false,
            trusted: true,
        };
        let plan = plan_of(&store, &request, 0);
        assert_eq!(words(&plan), "nigh; fwd=bypass; detail=upgrade", "{offer}");
        assert_eq!(how(plan), (Manner::Tunnel, false), "{offer}");
    }
}

#[test]
fn what_goes_by_the_cache_is_fetched_alone_though_it_is_stored() {
    let store = store();
    put(&store, &[], 200, &[("cache-control", "max-age=100")], b"stored");
    let by = |method: &Method, lines: Lines<'_>| {
        let fields = fields(lines);
        let request = Request {
            method,
            fields: &fields,
            has_body: false,
            upgrade: false,
            bypass: true,
            trusted: true,
        };
        plan_of(&store, &request, 1)
    };
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        let plan = by(&method, &[]);
        assert_eq!(words(&plan), "nigh; fwd=bypass");
        assert_eq!(how(plan), (Manner::Alone, false));
    }
    let plan = by(&Method::GET, &[("cache-control", "only-if-cached")]);
    assert!(matches!(plan, Plan::Refuse(Problem::OnlyIfCached)), "{plan:?}");
}

#[test]
fn an_upgrade_that_is_no_websocket_by_get_is_as_if_it_was_not_offered() {
    let store = holding(&[("cache-control", "max-age=60")]);
    let (stored, passed_on) = ("nigh; hit; ttl=60", "nigh; fwd=method");
    for (method, offer, upgrade, has_body, expected) in [
        (Method::GET, "h2c", true, false, stored),
        (Method::GET, "websocket2", true, false, stored),
        (Method::HEAD, "websocket", true, false, stored),
        // The field alone offers nothing: Connection does not name it, or the protocol has no upgrades.
        (Method::GET, "websocket", false, false, stored),
        (Method::GET, "websocket", true, true, passed_on),
        (Method::POST, "websocket", true, false, passed_on),
    ] {
        let fields = fields(&[("upgrade", offer)]);
        let plan = plan_of(
            &store,
            &Request {
                method: &method,
                fields: &fields,
                has_body,
                upgrade,
                bypass: false,
                trusted: true,
            },
            0,
        );
        assert_eq!(words(&plan), expected, "{method} {offer} {upgrade} {has_body}");
        if expected == passed_on {
            assert_eq!(how(plan), (Manner::Alone, false), "{method} {offer}");
        }
    }
}

#[test]
fn what_has_content_or_is_neither_get_nor_head_goes_to_the_origin_alone() {
    let store = holding(&[("cache-control", "max-age=60")]);
    for (name, has_body) in [
        ("GET", true),
        ("HEAD", true),
        ("POST", true),
        ("POST", false),
        ("PUT", true),
        ("DELETE", false),
        ("OPTIONS", false),
        ("PURGE", false),
        // Methods are case-sensitive (RFC 9110, section 9.1).
        ("get", false),
    ] {
        let (method, fields) = (method(name), fields(&[("cache-control", "max-stale")]));
        let request = Request {
            method: &method,
            fields: &fields,
            has_body,
            upgrade: false,
            bypass: false,
            trusted: true,
        };
        let plan = plan_of(&store, &request, 0);
        assert_eq!(words(&plan), "nigh; fwd=method", "{name} {has_body}");
        let fetch = fetch(plan);
        assert_eq!((fetch.manner, fetch.stale.is_some()), (Manner::Alone, false), "{name}");
        // Whoever fetches must know them, for this method as for any other.
        assert_eq!(fetch.directives, RequestDirectives::parse(&fields), "{name}");
    }
}

#[test]
fn a_miss_is_shared_unless_the_request_is_one_of_a_kind() {
    let store = store();
    for (name, lines, manner) in [
        ("GET", &[][..], Manner::Shared),
        // Its answer is made here, from what everyone gets.
        ("GET", &[("if-none-match", "\"a\"")], Manner::Shared),
        ("GET", &[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], Manner::Shared),
        // Without a Range it says nothing (RFC 9110, section 13.1.5).
        ("GET", &[("if-range", "\"a\"")], Manner::Shared),
        ("GET", &[("cache-control", "no-cache")], Manner::Shared),
        ("HEAD", &[], Manner::Shared),
        ("HEAD", &[("if-none-match", "\"a\"")], Manner::Shared),
        // It knows no ranges.
        ("HEAD", &[("range", "bytes=0-1")], Manner::Shared),
        ("HEAD", &[("if-match", "\"a\"")], Manner::Alone),
        // Most likely its body would be nobody else's.
        ("HEAD", &[("authorization", "Basic YTpi")], Manner::Alone),
        ("HEAD", &[("cache-control", "no-store")], Manner::Alone),
        ("GET", &[("authorization", "Basic YTpi")], Manner::Shared),
        ("GET", &[("if-match", "\"a\"")], Manner::Alone),
        ("GET", &[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], Manner::Alone),
        // In slices, everyone's ranges are the same.
        ("GET", &[("range", "bytes=0-1")], Manner::Slice),
        ("GET", &[("range", "bytes=0-1"), ("if-range", "\"a\"")], Manner::Slice),
        ("GET", &[("range", "bytes=0-1,5-6")], Manner::Alone),
        // Nobody here knows what it means, but the origin may.
        ("GET", &[("range", "pages=1-2")], Manner::Alone),
    ] {
        let plan = ask(&store, &method(name), lines, 0);
        assert_eq!(words(&plan), "nigh; fwd=uri-miss", "{name} {lines:?}");
        assert_eq!(how(plan), (manner, false), "{name} {lines:?}");
    }
}

#[test]
fn a_head_for_everyone_is_a_get_at_the_origin_and_no_other_method_becomes_another() {
    for (manner, head) in [
        (Manner::Shared, Method::GET),
        (Manner::Slice, Method::GET),
        (Manner::Alone, Method::HEAD),
        (Manner::Tunnel, Method::HEAD),
    ] {
        assert_eq!(manner.method(&Method::HEAD), head, "{manner:?}");
        for other in [Method::GET, Method::POST, method("get")] {
            assert_eq!(manner.method(&other), other, "{manner:?}");
        }
    }
}

#[test]
fn a_fresh_object_answers_until_its_last_second() {
    let store = holding(&[("cache-control", "max-age=60")]);
    for (age, expected) in
        [(0, "nigh; hit; ttl=60"), (20, "nigh; hit; ttl=40"), (59, "nigh; hit; ttl=1")]
    {
        let plan = get(&store, &[], age);
        assert_eq!(words(&plan), expected);
        let hit = hit(plan);
        assert!(hit.meanwhile.is_none(), "there is nothing newer to be had");
        assert_eq!(hit.reply.shape, Shape::Whole { length: Some(100) });
        assert_eq!(read(hit), content(100));
    }
    assert_eq!(words(&get(&store, &[], 60)), "nigh; fwd=stale");
}

#[test]
fn a_fresh_object_answers_whatever_it_holds_the_answer_to() {
    let store = holding(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]);
    for (name, lines, length) in [
        ("HEAD", &[][..], 0),
        ("GET", &[("if-none-match", "\"a\"")], 0),
        ("GET", &[("if-match", "\"a\"")], 100),
        ("GET", &[("range", "bytes=10-19")], 10),
        ("GET", &[("range", "bytes=100-")], 0),
    ] {
        let plan = ask(&store, &method(name), lines, 20);
        assert_eq!(words(&plan), "nigh; hit; ttl=40", "{name} {lines:?}");
        assert_eq!(read(hit(plan)).len(), length, "{name} {lines:?}");
    }
}

#[test]
fn a_precondition_that_a_fresh_object_fails_is_the_origins_to_judge() {
    let store = holding(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]);
    let plan = get(&store, &[("if-match", "\"b\"")], 20);
    assert_eq!(words(&plan), "nigh; fwd=request");
    assert_eq!(how(plan), (Manner::Alone, false));
}

#[test]
fn only_if_cached_is_refused_unless_something_stored_may_be_used() {
    let absent = store();
    let fresh = holding(&[("cache-control", "max-age=60, stale-while-revalidate=60")]);
    let part = holding_a_part();
    let range = ("range", "bytes=10-19");
    for (store, lines, age, expected) in [
        (&absent, &[("cache-control", "only-if-cached")][..], 0, "only-if-cached"),
        (&fresh, &[("cache-control", "only-if-cached")], 20, "nigh; hit; ttl=40"),
        (&fresh, &[("cache-control", "only-if-cached, no-cache")], 20, "only-if-cached"),
        (&fresh, &[("cache-control", "only-if-cached, min-fresh=50")], 20, "only-if-cached"),
        (
            &fresh,
            &[("cache-control", "only-if-cached")],
            80,
            "nigh; hit; ttl=-20; detail=stale-while-revalidate",
        ),
        (&fresh, &[("cache-control", "only-if-cached")], 120, "only-if-cached"),
        (
            &fresh,
            &[("cache-control", "only-if-cached, max-stale=60")],
            120,
            "nigh; hit; ttl=-60; detail=max-stale",
        ),
        (&part, &[("cache-control", "only-if-cached")], 20, "only-if-cached"),
        (&part, &[("cache-control", "only-if-cached"), range], 20, "nigh; hit; ttl=40"),
        (&part, &[("cache-control", "only-if-cached"), range], 60, "only-if-cached"),
    ] {
        assert_eq!(words(&get(store, lines, age)), expected, "{lines:?} at {age}");
    }
}

#[test]
fn a_stale_object_with_a_validator_is_validated_for_everyone() {
    for validator in
        [("etag", "\"a\""), ("etag", "W/\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]
    {
        let store = store();
        let lines = [("cache-control", "max-age=60"), validator];
        let object = put(&store, &[], 200, &lines, b"body");
        // A confirmed whole gives the range too.
        for asked in [&[][..], &[("if-none-match", "\"b\"")], &[("range", "bytes=0-1")]] {
            let plan = get(&store, asked, 80);
            assert_eq!(words(&plan), "nigh; fwd=stale", "{validator:?} {asked:?}");
            let fetch = fetch(plan);
            assert_eq!(fetch.manner, Manner::Shared, "{validator:?} {asked:?}");
            assert!(fetch.stale.is_some_and(|stale| stale.is(&object)), "{validator:?} {asked:?}");
        }
    }
}

#[test]
fn a_stale_object_without_a_validator_is_fetched_again_and_stands_by() {
    for invalid in [("x-none", ""), ("etag", "a"), ("last-modified", "yesterday")] {
        let store = holding(&[("cache-control", "max-age=60"), invalid]);
        for (asked, manner) in
            [(&[][..], Manner::Shared), (&[("range", "bytes=0-1")], Manner::Slice)]
        {
            let plan = get(&store, asked, 80);
            assert_eq!(words(&plan), "nigh; fwd=stale", "{invalid:?} {asked:?}");
            assert_eq!(how(plan), (manner, true), "{invalid:?} {asked:?}");
        }
    }
}

#[test]
fn a_request_that_is_one_of_a_kind_validates_nothing_for_others() {
    let store = holding(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]);
    for (name, lines) in [("HEAD", &[][..]), ("GET", &[("if-match", "\"a\"")])] {
        let plan = ask(&store, &method(name), lines, 80);
        assert_eq!(words(&plan), "nigh; fwd=stale", "{name}");
        assert_eq!(how(plan), (Manner::Alone, true), "{name}");
    }
}

#[test]
fn parts_answer_ranges_that_they_hold_and_nothing_else() {
    let store = holding_a_part();
    let plan = get(&store, &[("range", "bytes=10-19")], 20);
    assert_eq!(words(&plan), "nigh; hit; ttl=40");
    assert_eq!(read(hit(plan)), content(100)[10..20]);
    for (name, lines, manner) in [
        ("GET", &[("range", "bytes=20-29")][..], Manner::Slice),
        ("HEAD", &[], Manner::Alone),
        ("GET", &[], Manner::Shared),
    ] {
        let plan = ask(&store, &method(name), lines, 20);
        assert_eq!(words(&plan), "nigh; fwd=partial", "{name} {lines:?}");
        assert_eq!(how(plan), (manner, false), "{name} {lines:?}");
    }
}

#[test]
fn stale_parts_are_not_validated_and_stand_by_for_ranges_only() {
    let store = holding_a_part();
    for (lines, expected) in
        [(&[("range", "bytes=10-19")][..], (Manner::Slice, true)), (&[], (Manner::Shared, false))]
    {
        let plan = get(&store, lines, 80);
        assert_eq!(words(&plan), "nigh; fwd=stale", "{lines:?}");
        assert_eq!(how(plan), expected, "{lines:?}");
    }
}

#[test]
fn a_client_that_asks_for_more_than_freshness_is_told_why_the_origin_was_asked() {
    let store = holding(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]);
    for (line, expected) in [
        (("cache-control", "no-cache"), "nigh; fwd=request; detail=request-no-cache"),
        (("pragma", "no-cache"), "nigh; fwd=request; detail=request-no-cache"),
        (("cache-control", "max-age=19"), "nigh; fwd=request; detail=request-max-age"),
        (("cache-control", "max-age=20"), "nigh; hit; ttl=40"),
        (("cache-control", "min-fresh=41"), "nigh; fwd=request; detail=request-min-fresh"),
        (("cache-control", "min-fresh=40"), "nigh; hit; ttl=40"),
        // It is about what comes, not about what is there.
        (("cache-control", "no-store"), "nigh; hit; ttl=40"),
    ] {
        let plan = get(&store, &[line], 20);
        assert_eq!(words(&plan), expected, "{line:?}");
        if expected.contains("fwd=request") {
            assert_eq!(how(plan), (Manner::Shared, true), "{line:?}");
        }
    }
}

#[test]
fn a_response_that_says_no_cache_is_validated_however_young() {
    let store = holding(&[("cache-control", "max-age=60, no-cache"), ("etag", "\"a\"")]);
    let plan = get(&store, &[("cache-control", "max-stale")], 0);
    assert_eq!(words(&plan), "nigh; fwd=stale; detail=response-no-cache");
    assert_eq!(how(plan), (Manner::Shared, true));
}

#[test]
fn max_stale_takes_a_stale_answer_unless_the_response_forbids_it() {
    let (taken, left) = ("nigh; hit; ttl=-20; detail=max-stale", "nigh; fwd=stale");
    for (stored, asked, expected) in [
        ("max-age=60", "max-stale", taken),
        ("max-age=60", "max-stale=20", taken),
        ("max-age=60", "max-stale=19", left),
        ("max-age=60, must-revalidate", "max-stale", left),
        ("s-maxage=60", "max-stale", left),
        // Who takes it as it is does not ask for a newer one.
        ("max-age=60, stale-while-revalidate=60", "max-stale", taken),
    ] {
        let plan = get(&holding(&[("cache-control", stored)]), &[("cache-control", asked)], 80);
        assert_eq!(words(&plan), expected, "{stored} asked with {asked}");
        if expected == taken {
            let hit = hit(plan);
            assert!(hit.meanwhile.is_none(), "{stored} asked with {asked}");
            assert_eq!(read(hit), content(100));
        }
    }
}

#[test]
fn stale_while_revalidate_answers_and_asks_for_a_refresh_until_its_time_is_over() {
    let store = holding(&[("cache-control", "max-age=60, stale-while-revalidate=30")]);
    for (age, ttl) in [(60, 0), (89, -29)] {
        let plan = get(&store, &[], age);
        let expected = format!("nigh; hit; ttl={ttl}; detail=stale-while-revalidate");
        assert_eq!(words(&plan), expected);
        let hit = hit(plan);
        assert_eq!(hit.meanwhile, Some(Meanwhile::Validate), "at {age}");
        assert_eq!(read(hit), content(100));
    }
    assert_eq!(words(&get(&store, &[], 90)), "nigh; fwd=stale");
    let strict =
        holding(&[("cache-control", "max-age=60, stale-while-revalidate=30, must-revalidate")]);
    assert_eq!(words(&get(&strict, &[], 60)), "nigh; fwd=stale");
}

#[test]
fn a_missing_variant_is_told_from_a_missing_uri() {
    let store = store();
    let german = [("accept-language", "de")];
    assert_eq!(words(&get(&store, &german, 0)), "nigh; fwd=uri-miss");
    let lines = [("cache-control", "max-age=60"), ("vary", "accept-language")];
    put(&store, &[("accept-language", "en")], 200, &lines, b"yes");
    let plan = get(&store, &german, 0);
    assert_eq!(words(&plan), "nigh; fwd=vary-miss");
    assert_eq!(how(plan), (Manner::Shared, false));
    // No language at all is a variant of its own too.
    assert_eq!(words(&get(&store, &[], 0)), "nigh; fwd=vary-miss");
    put(&store, &german, 200, &lines, b"ja");
    assert_eq!(read(hit(get(&store, &german, 0))), b"ja");
    assert_eq!(read(hit(get(&store, &[("accept-language", "en")], 0))), b"yes");
}

#[test]
fn the_values_that_select_a_variant_are_left_for_whoever_fetches() {
    let store = store();
    let selecting = |method: &Method, lines: Lines<'_>| {
        let mut scratch = b"of the request before".to_vec();
        let request = Request {
            method,
            fields: &fields(lines),
            has_body: false,
            upgrade: false,
            bypass: false,
            trusted: true,
        };
        let _ = plan(&request, &store, key(&store), at_age(80), &mut scratch);
        scratch
    };
    let (english, german) = ([("accept-language", "en")], [("accept-language", "de")]);
    assert_eq!(selecting(&Method::GET, &german), b"");
    let lines = [("cache-control", "max-age=60"), ("vary", "accept-language")];
    let stale = put(&store, &english, 200, &lines, b"yes");
    assert_eq!(selecting(&Method::GET, &english), stale.selecting());
    assert_eq!(selecting(&Method::GET, &german), b"=de\n");
    assert_eq!(selecting(&Method::POST, &english), b"");
}

/// What Cache-Status says when the origin gave `failure`, or for `None` no answer, to a GET with
/// this Cache-Control; `None` if nothing stored may stand in.
fn stand_in(stored: &str, asked: &str, failure: Option<u16>, age: u64) -> Option<String> {
    let store = holding(&[("cache-control", stored)]);
    let lines = [("cache-control", asked)];
    let fetch = fetch(get(&store, &lines, age));
    let failure = failure.map(|status| StatusCode::from_u16(status).unwrap());
    let hit = fetch.fallback(&Method::GET, &fields(&lines), failure, at_age(age))?;
    assert!(hit.meanwhile.is_none(), "the origin was asked just now");
    let status = hit.status.to_string();
    assert_eq!(read(hit), content(100));
    Some(status)
}

#[test]
fn only_errors_that_may_pass_are_covered_by_stale_if_error() {
    for status in [500, 502, 503, 504] {
        let expected =
            format!("nigh; fwd=stale; fwd-status={status}; ttl=-20; detail=stale-if-error");
        let found = stand_in("max-age=60, stale-if-error=60", "", Some(status), 80);
        assert_eq!(found, Some(expected));
    }
    for status in [200, 206, 304, 400, 403, 404, 410, 429, 501, 505, 507, 511, 599] {
        let found = stand_in("max-age=60, stale-if-error=60", "", Some(status), 80);
        assert_eq!(found, None, "{status}");
    }
}

#[test]
fn an_error_is_covered_only_where_the_response_or_the_client_says_so_and_for_as_long() {
    for (stored, asked, age, covered) in [
        ("max-age=60", "", 60, false),
        ("max-age=60, stale-if-error=60", "", 119, true),
        ("max-age=60, stale-if-error=60", "", 120, false),
        ("max-age=60", "stale-if-error=30", 89, true),
        ("max-age=60", "stale-if-error=30", 90, false),
        ("max-age=60, stale-if-error=60", "no-cache", 80, false),
    ] {
        let found = stand_in(stored, asked, Some(503), age);
        assert_eq!(found.is_some(), covered, "{stored} asked with {asked} at {age}");
    }
}

#[test]
fn an_origin_that_gives_no_answer_is_covered_for_a_week_or_longer_where_allowed() {
    let week = u64::from(DISCONNECTED_MAX);
    for (stored, asked, age, covered) in [
        ("max-age=60", "", 80, true),
        ("max-age=60", "", 59 + week, true),
        ("max-age=60", "", 60 + week, false),
        ("max-age=60, stale-if-error=1000000", "", 60 + week, true),
        ("max-age=60, stale-if-error=1000000", "", 1_000_060, false),
        ("max-age=60, stale-if-error=1", "", 80, true),
        ("max-age=60", "no-cache", 80, false),
    ] {
        let expected = covered.then(|| {
            let ttl = 60 - i64::try_from(age).unwrap();
            format!("nigh; fwd=stale; ttl={ttl}; detail=stale-origin-failed")
        });
        let found = stand_in(stored, asked, None, age);
        assert_eq!(found, expected, "{stored} asked with {asked} at {age}");
    }
}

#[test]
fn what_must_be_validated_stands_in_for_nothing() {
    for stored in [
        "max-age=60, must-revalidate, stale-if-error=60",
        "max-age=60, proxy-revalidate, stale-if-error=60",
        "s-maxage=60, stale-if-error=60",
        "max-age=60, no-cache, stale-if-error=60",
    ] {
        for failure in [Some(503), None] {
            let found = stand_in(stored, "stale-if-error=60", failure, 80);
            assert_eq!(found, None, "{stored} {failure:?}");
        }
    }
}

#[test]
fn why_the_origin_was_asked_is_still_said_of_what_stands_in_for_it() {
    let found = stand_in("max-age=60, stale-if-error=60", "min-fresh=10", Some(500), 80);
    let expected = "nigh; fwd=request; fwd-status=500; ttl=-20; detail=stale-if-error";
    assert_eq!(found.as_deref(), Some(expected));
}

#[test]
fn what_is_fresh_stands_in_without_anybodys_leave() {
    let store = holding(&[("cache-control", "max-age=100")]);
    let asked = [("cache-control", "max-age=10")];
    let fetch = fetch(get(&store, &asked, 22));
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    let found = fetch.fallback(&Method::GET, &fields(&asked), unavailable, at_age(22));
    let said = found.map(|hit| hit.status.to_string());
    assert_eq!(
        said.as_deref(),
        Some("nigh; fwd=request; fwd-status=503; ttl=78; detail=request-max-age")
    );
}

#[test]
fn nothing_stands_in_where_nothing_is_stored() {
    let fetch = fetch(get(&store(), &[], 0));
    for failure in [Some(StatusCode::BAD_GATEWAY), None] {
        assert!(fetch.fallback(&Method::GET, &fields(&[]), failure, at_age(0)).is_none());
    }
}

#[test]
fn what_stands_in_answers_the_request_as_it_was_asked() {
    let lines = [("cache-control", "max-age=60"), ("etag", "\"a\"")];
    let (whole, part) = (holding(&lines), holding_a_part());
    for (store, name, lines, expected) in [
        (&whole, "HEAD", &[][..], Some((StatusCode::OK, 0))),
        (&whole, "GET", &[("if-none-match", "\"a\"")], Some((StatusCode::NOT_MODIFIED, 0))),
        (&whole, "GET", &[("range", "bytes=0-9")], Some((StatusCode::PARTIAL_CONTENT, 10))),
        // Only the origin could have said whether it is met.
        (&whole, "GET", &[("if-match", "\"b\"")], None),
        (&part, "GET", &[("range", "bytes=10-19")], Some((StatusCode::PARTIAL_CONTENT, 10))),
        (&part, "GET", &[("range", "bytes=20-29")], None),
    ] {
        let method = method(name);
        let fetch = fetch(ask(store, &method, lines, 80));
        let found = fetch.fallback(&method, &fields(lines), None, at_age(80));
        let found = found.map(|hit| (hit.reply.shape.status(&hit.object), read(hit).len()));
        assert_eq!(found, expected, "{name} {lines:?}");
    }
}

#[test]
fn what_may_have_been_purged_is_validated_before_it_answers_be_it_fresh_or_stale() {
    let lines = [("cache-control", "max-age=60, stale-while-revalidate=60"), ("etag", "\"a\"")];
    let store = holding(&lines);
    for (asked, age) in [("", 0), ("", 59), ("", 80), ("max-stale=100", 130)] {
        let asked = [("cache-control", asked)];
        assert!(matches!(get(&store, &asked, age), Plan::Answer(_)), "it is trusted otherwise");
        let plan = ask_with((&store, false), &Method::GET, &asked, age);
        assert_eq!(words(&plan), "nigh; fwd=stale; detail=purges-unknown", "at {age}");
        assert_eq!(how(plan), (Manner::Shared, true));
    }
    // Another reason is said as ever.
    let plan = ask_with((&store, false), &Method::GET, &[("cache-control", "no-cache")], 0);
    assert_eq!(words(&plan), "nigh; fwd=request; detail=request-no-cache");
    let plan = ask_with((&store, false), &Method::GET, &[("cache-control", "only-if-cached")], 0);
    assert_eq!(words(&plan), "only-if-cached");
}

#[test]
fn what_may_have_been_purged_stands_in_for_nobody() {
    let lines = [("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"a\"")];
    let store = holding(&lines);
    for failure in [Some(StatusCode::SERVICE_UNAVAILABLE), None] {
        for age in [0, 80] {
            let fetch = fetch(ask_with((&store, false), &Method::GET, &[], age));
            let found = fetch.fallback(&Method::GET, &fields(&[]), failure, at_age(age));
            assert!(found.is_none(), "{failure:?} at {age}");
        }
    }
}
