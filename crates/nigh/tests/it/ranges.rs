//! Parts of a representation: RFC 9110, section 14, and RFC 9111, sections 3.3 and 3.4.

use crate::support::{Edge, Origin, Response, Wire, origin::answer};

const BODY: &str = "abcdefghijklmnopqrstuvwxyz";
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// An edge that holds the alphabet whole, and a connection to it.
fn alphabet(lines: &str) -> (Origin, Edge, Wire) {
    let lines = format!("Cache-Control: max-age=100\r\nContent-Type: text/plain\r\n{lines}");
    let origin = Origin::saying(answer(&lines, BODY));
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    client.get("/");
    (origin, edge, client)
}

fn range(client: &mut Wire, range: &str) -> Response {
    client.get_with("/", &format!("Range: {range}\r\n"))
}

#[test]
fn one_range_of_a_stored_object_is_answered_from_it() {
    let (origin, _edge, mut client) = alphabet("");
    for (asked, content_range, body) in [
        ("bytes=0-0", "bytes 0-0/26", "a"),
        ("bytes=2-4", "bytes 2-4/26", "cde"),
        ("bytes=23-", "bytes 23-25/26", "xyz"),
        ("bytes=23-99", "bytes 23-25/26", "xyz"),
        ("bytes=-2", "bytes 24-25/26", "yz"),
        ("bytes=-99", "bytes 0-25/26", BODY),
        ("BYTES=1-2", "bytes 1-2/26", "bc"),
        ("bytes= 99-, 1-2", "bytes 1-2/26", "bc"),
    ] {
        let part = range(&mut client, asked);
        assert_eq!((part.status(), part.text()), (206, body), "{asked}");
        assert_eq!(part.first("content-range"), content_range);
        assert_eq!(part.first("content-type"), "text/plain");
        assert!(part.says("hit"));
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_range_that_is_not_understood_is_as_none() {
    let (_origin, _edge, mut client) = alphabet("");
    for asked in ["lines=0-1", "bytes=2-1", "bytes=a-b", "bytes 0-1", "bytes=--1", "bytes="] {
        let whole = range(&mut client, asked);
        assert_eq!((whole.status(), whole.text()), (200, BODY), "{asked}");
        assert!(!whole.has("content-range"));
    }
}

#[test]
fn a_range_behind_the_end_is_refused_with_the_length() {
    let (_origin, _edge, mut client) = alphabet("");
    for asked in ["bytes=26-", "bytes=100-200", "bytes=-0"] {
        let refused = range(&mut client, asked);
        assert_eq!((refused.status(), refused.text()), (416, ""), "{asked}");
        assert_eq!(refused.first("content-range"), "bytes */26");
    }
}

#[test]
fn several_ranges_come_as_one_multipart_answer_byte_for_byte() {
    let body: String =
        (0..1000).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect();
    let lines = "Cache-Control: max-age=100\r\nContent-Type: text/plain\r\n";
    let origin = Origin::saying(answer(lines, &body));
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    client.get("/");
    let parts = range(&mut client, "bytes=500-503,0-1,-3");
    assert_eq!(parts.status(), 206);
    assert!(!parts.has("content-range"), "each part has its own: {parts:?}");
    let boundary = parts.first("content-type").strip_prefix("multipart/byteranges; boundary=");
    let boundary = boundary.expect("the type names the boundary").trim_matches('"');
    let part = |span: &str, body: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {span}/1000\r\n\r\n{body}"
        )
    };
    let mut expected = part("500-503", &body[500..504]);
    expected += &part("0-1", &body[..2]);
    expected += &part("997-999", &body[997..]);
    expected += &format!("\r\n--{boundary}--\r\n");
    let whole = parts.text();
    // A preamble may be empty, so the first line end is optional (RFC 2046, section 5.1.1).
    let whole = if whole.starts_with("--") { format!("\r\n{whole}") } else { whole.to_owned() };
    assert_eq!(whole.to_lowercase(), expected.to_lowercase());
    assert_eq!(origin.requests(), 1);
}

#[test]
fn ranges_that_touch_come_as_one() {
    let (_origin, _edge, mut client) = alphabet("");
    let part = range(&mut client, "bytes=0-4,3-9,10-12");
    assert_eq!((part.first("content-range"), part.text()), ("bytes 0-12/26", &BODY[..13]));
}

#[test]
fn a_head_request_knows_no_ranges() {
    let (_origin, _edge, mut client) = alphabet("");
    client.ask("HEAD", "/", "Range: bytes=0-1\r\n");
    let head = client.final_head();
    assert_eq!((head.status(), head.first("content-length")), (200, "26"));
}

#[test]
fn if_range_needs_the_same_strong_tag() {
    let (_origin, _edge, mut client) = alphabet("ETag: \"one\"\r\n");
    for (condition, status) in
        [("\"one\"", 206), ("\"two\"", 200), ("W/\"one\"", 200), ("one", 200), (DATE, 200)]
    {
        let lines = format!("Range: bytes=0-1\r\nIf-Range: {condition}\r\n");
        assert_eq!(client.get_with("/", &lines).status(), status, "{condition}");
    }
}

#[test]
fn a_weak_tag_never_satisfies_if_range() {
    let (_origin, _edge, mut client) = alphabet("ETag: W/\"one\"\r\n");
    for condition in ["W/\"one\"", "\"one\""] {
        let lines = format!("Range: bytes=0-1\r\nIf-Range: {condition}\r\n");
        assert_eq!(client.get_with("/", &lines).status(), 200, "{condition}");
    }
}

#[test]
fn if_range_takes_a_date_only_if_it_is_exactly_that_of_a_strong_last_modified() {
    // Strong, because Date is more than a second later (RFC 9110, section 8.8.2.2).
    let (_origin, _edge, mut client) = alphabet(&format!("Last-Modified: {DATE}\r\n"));
    for (condition, status) in [(DATE, 206), (LATER, 200)] {
        let lines = format!("Range: bytes=0-1\r\nIf-Range: {condition}\r\n");
        assert_eq!(client.get_with("/", &lines).status(), status, "{condition}");
    }
}

/// Of what is not kept in slices, parts are kept as they were asked for.
const PARTS: [&str; 4] = ["--workers", "1", "--slice", "none"];

/// An origin that answers ranges of the alphabet and tags them with the tag that the request's
/// X-Tag names.
fn parts() -> Origin {
    Origin::answering(|head| {
        let tag = head.first("x-tag").to_owned();
        let lines = format!("Cache-Control: max-age=100\r\nETag: {tag}\r\n");
        let Some((first, last)) =
            head.first("range").strip_prefix("bytes=").and_then(|range| range.split_once('-'))
        else {
            return answer(&lines, BODY);
        };
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let lines = format!("{lines}Content-Range: bytes {first}-{last}/26\r\n");
        answer(&lines, &BODY[first..=last]).replacen("200 OK", "206 Partial Content", 1)
    })
}

fn part(client: &mut Wire, range: &str, tag: &str) -> Response {
    client.get_with("/", &format!("Range: bytes={range}\r\nX-Tag: {tag}\r\n"))
}

#[test]
fn a_stored_part_answers_what_lies_within_it_and_nothing_else() {
    let origin = parts();
    let edge = Edge::start(&origin, &PARTS);
    let mut client = edge.client();
    assert_eq!(part(&mut client, "5-14", "\"a\"").text(), "fghijklmno");
    let within = part(&mut client, "6-8", "\"a\"");
    assert_eq!((within.status(), within.text()), (206, "ghi"));
    assert_eq!(within.first("content-range"), "bytes 6-8/26");
    assert!(within.says("hit"), "{}", within.cache());
    let outside = part(&mut client, "14-20", "\"a\"");
    assert!(outside.says("fwd=partial"), "{}", outside.cache());
    assert_eq!(outside.text(), "opqrstu");
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_part_is_never_served_as_the_whole() {
    let origin = parts();
    let edge = Edge::start(&origin, &PARTS);
    let mut client = edge.client();
    part(&mut client, "0-24", "\"a\"");
    let whole = client.get_with("/", "X-Tag: \"a\"\r\n");
    assert_eq!((whole.status(), whole.text()), (200, BODY));
    assert!(!whole.says("hit"));
    client.ask("HEAD", "/", "");
    assert_eq!(client.final_head().first("content-length"), "26");
}

#[test]
fn parts_with_the_same_strong_tag_become_one() {
    let origin = parts();
    let edge = Edge::start(&origin, &PARTS);
    let mut client = edge.client();
    part(&mut client, "0-9", "\"a\"");
    part(&mut client, "10-25", "\"a\"");
    let across = part(&mut client, "5-15", "\"a\"");
    assert!(across.says("hit"), "{}", across.cache());
    assert_eq!(across.text(), &BODY[5..16]);
    let whole = client.get("/");
    assert!(whole.says("hit"), "{}", whole.cache());
    assert_eq!((whole.status(), whole.text()), (200, BODY));
    assert!(!whole.has("content-range"));
    assert_eq!(origin.requests(), 2);
}

#[test]
fn parts_with_other_or_weak_tags_are_never_put_together() {
    for (one, other) in [("\"a\"", "\"b\""), ("W/\"a\"", "W/\"a\""), ("\"a\"", "W/\"a\"")] {
        let origin = parts();
        let edge = Edge::start(&origin, &PARTS);
        let mut client = edge.client();
        part(&mut client, "0-9", one);
        part(&mut client, "10-25", other);
        let across = part(&mut client, "5-15", other);
        assert!(!across.says("hit"), "{one} and {other}: {}", across.cache());
        assert_eq!(origin.requests(), 3);
    }
}
