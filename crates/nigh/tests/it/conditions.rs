//! Conditional requests from both sides: RFC 9110, section 13, and RFC 9111, section 4.3.

use crate::support::{Edge, Origin, origin::answer};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

#[test]
fn a_client_that_holds_it_already_gets_304_from_the_store() {
    let lines = format!(
        "Cache-Control: max-age=100\r\nETag: \"one\"\r\nLast-Modified: {DATE}\r\nContent-Type: a/b\r\n"
    );
    let origin = Origin::saying(answer(&lines, "content"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.get("/");
    for (condition, status) in [
        ("If-None-Match: \"one\"\r\n", 304),
        ("If-None-Match: W/\"one\"\r\n", 304),
        ("If-None-Match: \"zero\", \"one\"\r\n", 304),
        ("If-None-Match: \"zero\"\r\nIf-None-Match: \"one\"\r\n", 304),
        ("If-None-Match: *\r\n", 304),
        ("If-None-Match: \"two\"\r\n", 200),
        (&format!("If-Modified-Since: {DATE}\r\n"), 304),
        (&format!("If-Modified-Since: {LATER}\r\n"), 304),
        (&format!("If-Modified-Since: {EARLIER}\r\n"), 200),
        ("If-Modified-Since: yesterday\r\n", 200),
        // The tag is the better judge (RFC 9110, section 13.2.2).
        (&format!("If-None-Match: \"two\"\r\nIf-Modified-Since: {LATER}\r\n"), 200),
    ] {
        let response = client.get_with("/", condition);
        assert_eq!(response.status(), status, "{condition}");
        assert_eq!(response.first("etag"), "\"one\"");
        assert!(response.says("hit"));
        if status == 304 {
            assert!(!response.has("content-type"), "{response:?}");
            assert!(response.has("cache-control") && response.has("date"));
        }
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn what_the_origin_confirms_is_fresh_again_and_has_the_new_fields() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    origin.asked().answer(answer(
        &format!(
            "Cache-Control: max-age=0\r\nETag: \"one\"\r\nLast-Modified: {DATE}\r\nX-Old: 1\r\nX-New: 1\r\n"
        ),
        "content",
    ));
    assert_eq!(client.response().text(), "content");
    client.ask("GET", "/", "");
    let asked = origin.asked();
    assert_eq!(asked.head.first("if-none-match"), "\"one\"");
    assert_eq!(asked.head.first("if-modified-since"), DATE);
    asked.answer(
        "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=100\r\nETag: \"one\"\r\nX-New: 2\r\n\
         Content-Length: 99\r\nContent-Encoding: gzip\r\n\r\n",
    );
    let confirmed = client.response();
    assert_eq!((confirmed.status(), confirmed.text()), (200, "content"));
    assert!(confirmed.says("fwd=stale") && confirmed.says("fwd-status=304"), "{confirmed:?}");
    let hit = client.get("/");
    assert!(hit.says("hit"), "{}", hit.cache());
    assert_eq!((hit.first("x-old"), hit.first("x-new"), hit.text()), ("1", "2", "content"));
    assert!(!hit.has("content-encoding"), "{hit:?}");
    assert_eq!(origin.requests(), 2);
}

#[test]
fn what_the_origin_does_not_confirm_is_replaced() {
    let origin = Origin::answering(|head| match head.first("if-none-match") {
        "" => answer("Cache-Control: max-age=0\r\nETag: \"one\"\r\n", "old"),
        _ => answer("Cache-Control: max-age=100\r\nETag: \"two\"\r\n", "new"),
    });
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    assert_eq!(client.get("/").text(), "old");
    let replaced = client.get("/");
    assert_eq!((replaced.text(), replaced.number("fwd-status")), ("new", Some(200)));
    let hit = client.get("/");
    assert_eq!((hit.text(), hit.says("hit")), ("new", true));
}

#[test]
fn a_304_with_another_tag_confirms_what_alone_was_asked_about_and_does_not_rename_it() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    origin.asked().answer(answer("Cache-Control: max-age=0\r\nETag: \"one\"\r\n", "old"));
    client.response();
    client.ask("GET", "/", "");
    origin.asked().answer(
        "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=100\r\nETag: \"one-gzip\"\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status(), response.text()), (200, "old"));
    let hit = client.get("/");
    assert_eq!((hit.says("hit"), hit.first("etag")), (true, "\"one\""));
}

#[test]
fn on_a_miss_the_whole_is_fetched_and_the_clients_condition_is_judged_here() {
    let origin = Origin::answering(|head| {
        assert!(!head.has("range"));
        match head.first("if-none-match") {
            "" => answer("Cache-Control: max-age=100\r\nETag: \"one\"\r\n", "content"),
            _ => "HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\n\r\n".to_owned(),
        }
    });
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let conditional = client.get_with("/", "If-None-Match: \"one\"\r\n");
    assert_eq!((conditional.status(), conditional.first("etag")), (304, "\"one\""));
    // What came for one is there for all.
    let hit = client.get("/");
    assert_eq!((hit.status(), hit.text(), hit.says("hit")), (200, "content", true));
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_condition_against_lost_updates_is_the_origins_to_judge() {
    let origin = Origin::answering(|head| {
        if head.has("if-match") || head.has("if-unmodified-since") {
            return "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n".to_owned();
        }
        answer("Cache-Control: max-age=100\r\nETag: \"one\"\r\n", "content")
    });
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    // Nothing is stored: it goes along.
    for condition in
        ["If-Match: \"two\"\r\n".to_owned(), format!("If-Unmodified-Since: {DATE}\r\n")]
    {
        assert_eq!(client.get_with("/", &condition).status(), 412);
    }
    client.get("/");
    // What is stored does not satisfy it, but the origin's newest may.
    assert_eq!(client.get_with("/", "If-Match: \"two\"\r\n").status(), 412);
    client.send(
        "PUT / HTTP/1.1\r\nHost: www.example\r\nIf-Match: \"one\"\r\nContent-Length: 1\r\n\r\nx",
    );
    assert_eq!(client.response().status(), 412);
    assert_eq!(origin.last().first("if-match"), "\"one\"");
    // An error changed nothing.
    assert!(client.get("/").says("hit"));
}

#[test]
fn a_head_response_refreshes_what_is_stored_and_one_that_differs_outdates_it() {
    let origin = Origin::answering(|head| {
        let tag = head.first("x-tag").to_owned();
        let lines = format!("Cache-Control: max-age=100\r\nX-Seen: {}\r\n", head.method());
        let whole = answer(&format!("{lines}ETag: {tag}\r\n"), "content");
        match head.method() {
            "HEAD" => whole.replacen("\r\n\r\ncontent", "\r\n\r\n", 1),
            _ => whole,
        }
    });
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.get_with("/", "X-Tag: \"one\"\r\n");
    client.ask("HEAD", "/", "X-Tag: \"one\"\r\nCache-Control: no-cache\r\n");
    client.final_head();
    let refreshed = client.get("/");
    assert!(refreshed.says("hit"), "{}", refreshed.cache());
    assert_eq!((refreshed.first("x-seen"), refreshed.text()), ("HEAD", "content"));
    client.ask("HEAD", "/", "X-Tag: \"two\"\r\nCache-Control: no-cache\r\n");
    client.final_head();
    let outdated = client.get_with("/", "X-Tag: \"two\"\r\n");
    assert!(!outdated.says("hit"), "{}", outdated.cache());
}
