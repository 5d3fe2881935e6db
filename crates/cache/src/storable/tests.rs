//! What `storable` must do.

use super::*;
use crate::{fuzz::map, key::Scheme};

const NOW: Wall = Wall::from_secs(1_794_960_000);

struct Case {
    method: Method,
    asked: &'static str,
    authorized: bool,
    status: u16,
    cookies: Cookies,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            method: Method::GET,
            asked: "",
            authorized: false,
            status: 200,
            cookies: Cookies::default(),
        }
    }
}

fn check(case: &Case, lines: &[(&'static str, &str)], expected: Result<(), WhyNot>) {
    let fields = map(lines);
    let directives = ResponseDirectives::parse(&fields);
    let status = StatusCode::from_u16(case.status).unwrap();
    let asked = Asked {
        method: &case.method,
        target: Target { scheme: Scheme::Http, authority: b"a.example", path: b"/x?y" },
        directives: RequestDirectives::parse(&map(&[("cache-control", case.asked)])),
        authorized: case.authorized,
        has_content: false,
    };
    let terms = Terms::new(NOW, NOW, status, &fields, &directives);
    let found = judge(&asked, status, &fields, &directives, &terms, case.cookies);
    assert_eq!(found, expected, "{} {} {lines:?}", case.method, case.status);
}

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

#[test]
fn nothing_is_kept_without_freshness_or_validator() {
    let case = Case::default();
    check(&case, &[], Err(WhyNot::NoFreshnessAndNoValidator));
    check(&case, &[("etag", "unquoted")], Err(WhyNot::NoFreshnessAndNoValidator));
    check(&case, &[("cache-control", "max-age=0")], Err(WhyNot::NoFreshnessAndNoValidator));
    check(
        &case,
        &[("cache-control", "no-cache, max-age=9")],
        Err(WhyNot::NoFreshnessAndNoValidator),
    );
    check(&case, &[("cache-control", "max-age=0, stale-while-revalidate=9")], Ok(()));
    check(&case, &[("cache-control", "no-cache"), ("etag", "\"a\"")], Ok(()));
    check(&case, &[("last-modified", "Tue, 17 Nov 2026 00:00:00 GMT")], Ok(()));
    check(&case, &[FRESH], Ok(()));
    check(&Case { status: 201, ..Case::default() }, &[("etag", "\"a\"")], Err(WhyNot::NoFreshness));
}

#[test]
fn what_forbids_storing_is_named() {
    let case = Case::default();
    check(&case, &[("cache-control", "max-age=9, no-store")], Err(WhyNot::NoStore));
    check(&case, &[("cache-control", "private, max-age=9")], Err(WhyNot::Private));
    check(&case, &[("cache-control", "private=\"a\", max-age=9")], Ok(()));
    check(&case, &[FRESH, ("vary", "a"), ("vary", ",*")], Err(WhyNot::VaryStar));
    let no_store = Case { asked: "no-store", ..Case::default() };
    check(&no_store, &[FRESH], Err(WhyNot::RequestNoStore));
}

#[test]
fn an_answer_to_credentials_is_shared_only_on_request_of_the_origin() {
    let case = Case { authorized: true, ..Case::default() };
    check(&case, &[FRESH], Err(WhyNot::Authorization));
    for allowing in ["public, max-age=9", "must-revalidate, max-age=9", "s-maxage=9"] {
        check(&case, &[("cache-control", allowing)], Ok(()));
    }
}

#[test]
fn a_cookie_is_one_persons_unless_the_response_says_otherwise() {
    let cookie = ("set-cookie", "a=b");
    check(&Case::default(), &[FRESH, cookie], Err(WhyNot::SetCookie));
    check(&Case::default(), &[("cache-control", "public, max-age=9"), cookie], Ok(()));
    let explicit = || Case { cookies: Cookies::IfExplicit, ..Case::default() };
    check(&explicit(), &[FRESH, cookie], Ok(()));
    check(&explicit(), &[("etag", "\"a\""), cookie], Err(WhyNot::SetCookie));
}

#[test]
fn any_final_status_is_kept_when_it_says_for_how_long() {
    for status in
        [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]
    {
        check(&Case { status, ..Case::default() }, &[FRESH], Ok(()));
    }
    for status in [101, 103, 304, 412, 416] {
        check(&Case { status, ..Case::default() }, &[FRESH], Err(WhyNot::StatusNotFinal));
    }
    for status in [407, 428, 429, 431, 511] {
        check(&Case { status, ..Case::default() }, &[FRESH], Err(WhyNot::StatusNeverStored));
    }
}

#[test]
fn must_understand_bars_strange_statuses_and_lifts_no_store_from_known_ones() {
    let line = ("cache-control", "must-understand, no-store, max-age=9");
    check(&Case { status: 599, ..Case::default() }, &[line], Err(WhyNot::StatusNotUnderstood));
    check(&Case::default(), &[line], Ok(()));
}

#[test]
fn a_part_is_kept_when_it_says_which() {
    let case = || Case { status: 206, ..Case::default() };
    check(&case(), &[FRESH, ("content-range", "bytes 0-4/10")], Ok(()));
    for unclear in ["bytes 4-0/10", "bytes */10", "pages 1-2/3", "bytes 0-10/10"] {
        check(&case(), &[FRESH, ("content-range", unclear)], Err(WhyNot::PartialUnclear));
    }
    let many = ("content-type", "Multipart/Byteranges; boundary=x");
    check(&case(), &[FRESH, many], Err(WhyNot::PartialMultiple));
}

#[test]
fn a_post_is_kept_only_as_what_a_get_would_have_given() {
    let post = || Case { method: Method::POST, ..Case::default() };
    check(&post(), &[FRESH], Err(WhyNot::Method));
    check(&post(), &[FRESH, ("content-location", "/other")], Err(WhyNot::Method));
    check(&post(), &[FRESH, ("content-location", "/x?y")], Ok(()));
    check(&post(), &[FRESH, ("content-location", "http://A.example:80/x?y")], Ok(()));
    check(&post(), &[("etag", "\"a\""), ("content-location", "/x?y")], Err(WhyNot::Method));
    for method in [Method::HEAD, Method::PUT, Method::OPTIONS] {
        check(&Case { method, ..Case::default() }, &[FRESH], Err(WhyNot::Method));
    }
}

#[test]
fn names_and_messages_agree() {
    for why in [WhyNot::Method, WhyNot::SetCookie, WhyNot::NoFreshnessAndNoValidator] {
        assert_eq!(why.as_str(), why.to_string());
    }
}

#[test]
fn fields_about_the_connection_and_qualified_ones_are_not_stored() {
    let mut fields = map(&[
        ("connection", "a, , keep-alive"),
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("d", "4"),
        ("upgrade", "x"),
        ("proxy-authenticate", "x"),
        ("cache-control", "private=\"b\", no-cache=\"c, x\""),
    ]);
    let directives = ResponseDirectives::parse(&fields);
    strip(&mut fields, &directives, NOW);
    let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["cache-control", "d", "date"]);
    assert_eq!(fields["date"], "Wed, 18 Nov 2026 00:00:00 GMT");
}
