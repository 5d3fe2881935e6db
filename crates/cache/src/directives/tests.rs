//! What `directives` must do.

use super::*;
use crate::fuzz::map;

fn response(lines: &[&str]) -> ResponseDirectives {
    let lines: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
    ResponseDirectives::parse(&map(&lines))
}

fn request(line: &'static str) -> RequestDirectives {
    RequestDirectives::parse(&map(&[("cache-control", line)]))
}

#[test]
fn a_number_is_read_only_in_its_two_forms_and_else_means_stale() {
    for (text, expected) in [
        ("max-age=3600", 3600),
        ("MaX-aGe=\"3600\"", 3600),
        ("max-age=003600", 3600),
        ("max-age=2147483648", SECONDS_MAX),
        ("max-age=99999999999999999999999", SECONDS_MAX),
        ("max-age='3600'", 0),
        ("max-age=3600.0", 0),
        ("max-age=-3600", 0),
        ("max-age=a3600", 0),
        ("max-age=3600a", 0),
        ("max-age =3600", 0),
        ("max-age= 3600", 0),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=\"3600", 0),
    ] {
        assert_eq!(response(&[text]).max_age, Some(expected), "{text}");
    }
}

#[test]
fn of_two_lifetimes_the_shorter_counts() {
    for lines in [
        &["max-age=1, max-age=1800"][..],
        &["max-age=1800, max-age=1"],
        &["max-age=1800", "max-age=1"],
        &["extension=\"max-age=3600\", max-age=1"],
        &["max-age=\"1\", extension=\"max-age=3600\""],
    ] {
        assert_eq!(response(lines).max_age, Some(1), "{lines:?}");
    }
}

#[test]
fn restrictions_hold_despite_odd_arguments_and_permissions_do_not() {
    let found = response(&["no-store=1, must-revalidate=\"x\", public=1, immutable=2"]);
    assert!(found.no_store && found.must_revalidate && !found.public && !found.immutable);
    let found = response(&["No-StOrE, PUBLIC"]);
    assert!(found.no_store && found.public);
}

#[test]
fn qualified_directives_are_lists_of_fields_and_never_substrings() {
    let found = response(&["no-cache=\"a, Set-Cookie\"", "private=b, x-no-store=1"]);
    assert_eq!(found.no_cache.fields(), ["a", "set-cookie"]);
    assert_eq!(found.private.fields(), ["b"]);
    assert!(!found.no_store);
    for text in [
        "no-cache=\"\"",
        "no-cache=\"a b\"",
        "no-cache='a'",
        "no-cache=\"a",
        "no-cache=\"a\", no-cache",
    ] {
        assert_eq!(response(&[text]).no_cache, Scope::Whole, "{text}");
    }
}

#[test]
fn a_list_of_fields_without_end_is_about_the_whole_response() {
    let long = format!("private=\"{}\"", "a,".repeat(QUALIFIED_MAX + 1));
    assert!(response(&[&long]).private.is_whole());
    let twice = format!("private=\"{}\"", "a,".repeat(QUALIFIED_MAX / 2 + 1));
    assert!(response(&[&twice, &twice]).private.is_whole());
}

#[test]
fn a_valid_targeted_field_wins_and_an_invalid_one_is_not_there() {
    let found = |targeted: &[&str]| {
        let mut lines = vec![("cache-control", "no-store, max-age=1")];
        lines.extend(targeted.iter().map(|line| ("cdn-cache-control", *line)));
        ResponseDirectives::parse(&map(&lines))
    };
    for lines in [&[][..], &[""], &["max-age=10,,"], &["Max-Age=10"], &["max-age=10 s"], &["a=\"x"]]
    {
        let found = found(lines);
        assert!(found.no_store && found.source == Source::CacheControl, "{lines:?}");
    }
    let good = found(&["max-age=600;x=1, stale-while-revalidate=5", "private=\"a\", no-cache=?0"]);
    assert_eq!(good.source, Source::Targeted("cdn-cache-control"));
    assert_eq!((good.max_age, good.stale_while_revalidate), (Some(600), Some(5)));
    assert_eq!(
        (good.private.fields().len(), good.no_store, good.no_cache),
        (1, false, Scope::Absent)
    );
    for (line, expected) in [
        ("max-age=10.5", 0),
        ("max-age=-1", 0),
        ("max-age=99999999999", SECONDS_MAX),
        ("max-age", 0),
    ] {
        assert_eq!(found(&[line]).max_age, Some(expected), "{line}");
    }
}

#[test]
fn a_request_is_read_so_that_the_client_gets_no_less_than_it_asked_for() {
    let found = request("max-age=abc, min-fresh=x, max-stale=x, stale-if-error=9, foo");
    assert_eq!((found.max_age, found.min_fresh), (Some(0), Some(SECONDS_MAX)));
    assert_eq!(found.max_stale, Some(MaxStale::Seconds(0)));
    assert_eq!(found.stale_if_error, Some(9));
    assert_eq!(request("max-stale").max_stale, Some(MaxStale::Any));
    assert_eq!(request("max-stale, max-stale=5").max_stale, Some(MaxStale::Seconds(5)));
    assert_eq!(request("min-fresh=1, min-fresh=5").min_fresh, Some(5));
    assert!(request("only-if-cached").only_if_cached && request("No-Store").no_store);
    assert!(request("no-cache").no_cache && request("no-transform").no_transform);
}

#[test]
fn pragma_counts_only_where_cache_control_is_silent() {
    let parse = |lines: &[_]| RequestDirectives::parse(&map(lines));
    assert!(parse(&[("pragma", "foo, No-Cache")]).no_cache);
    assert!(!parse(&[("pragma", "foo")]).no_cache);
    assert!(!parse(&[("pragma", "no-cache"), ("cache-control", "max-age=5")]).no_cache);
    assert_eq!(parse(&[]), RequestDirectives::default());
}
