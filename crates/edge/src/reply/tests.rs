//! What `reply` must do.

use nigh_cache::object::INLINE_MAX;

use super::*;
use crate::{
    cache_status::CacheStatus,
    forward::Identity,
    respond::{self, Additions, Audience, MapHead},
    testing::{DATE, Lines, at_age, content, fields, put, seeded_store, store},
};

const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A stored response with a strong tag, and a date that is strong too.
const VALIDATORS: [(&str, &str); 3] =
    [("etag", "\"a\""), ("last-modified", EARLIER), ("date", DATE)];

/// A stored 200 with these fields and `length` bytes.
fn whole(lines: Lines<'_>, length: usize) -> Object {
    put(&store(), &[], 200, lines, &content(length))
}

/// Bytes 200 to 299 and 600 to 899 of 1000.
fn parts() -> Object {
    let (store, all) = (store(), content(1000));
    let lines = |range| [("etag", "\"a\""), ("content-range", range)];
    put(&store, &[], 206, &lines("bytes 200-299/1000"), &all[200..300]);
    put(&store, &[], 206, &lines("bytes 600-899/1000"), &all[600..900])
}

/// Asks a while after the response arrived, which must change nothing.
fn ask(object: &Object, method: &Method, lines: Lines<'_>) -> Option<Reply> {
    reply(object, method, &fields(lines), at_age(10))
}

fn get(object: &Object, lines: Lines<'_>) -> Reply {
    ask(object, &Method::GET, lines).unwrap_or_else(|| panic!("no answer to {lines:?}"))
}

/// The answer to a GET for this Range alone.
fn get_range(object: &Object, range: &str) -> Reply {
    get(object, &[("range", range)])
}

fn read(mut content: Content) -> Vec<u8> {
    let length = content.remaining();
    content.copy_to_bytes(length).to_vec()
}

/// The head that a client gets.
fn head(object: &Object, reply: &Reply) -> MapHead {
    let mut head = MapHead::default();
    let identity = Identity::new(7);
    let (cache_status, audience) = (CacheStatus::EMPTY, Audience::Client);
    let additions = Additions { identity: &identity, cache_status, audience };
    respond::stored(&mut head, object, &reply.shape, at_age(10), &additions, &mut Vec::new());
    head
}

/// The field as text; empty if it is not there.
fn field<'a>(head: &'a MapHead, name: &str) -> &'a str {
    head.fields.get(name).map_or("", |value| value.to_str().unwrap())
}

#[track_caller]
fn assert_whole(object: &Object, reply: Reply) {
    assert_eq!(reply.shape, Shape::Whole { length: object.length() });
    assert_eq!(reply.content.remaining() as u64, object.length().unwrap());
}

#[test]
fn a_get_without_conditions_gets_all_of_it() {
    for length in [0, 1, INLINE_MAX, INLINE_MAX + 1, 200_000] {
        let object = whole(&VALIDATORS, length);
        let reply = get(&object, &[]);
        let head = head(&object, &reply);
        assert_eq!(head.status, 200);
        assert_eq!(field(&head, "content-length"), length.to_string());
        assert_eq!(read(reply.content), content(length), "{length} bytes");
    }
}

#[test]
fn a_head_gets_the_length_and_no_content() {
    for length in [0, 10, 200_000] {
        let object = whole(&VALIDATORS, length);
        let reply = ask(&object, &Method::HEAD, &[]).unwrap();
        assert_eq!(field(&head(&object, &reply), "content-length"), length.to_string());
        assert_eq!(reply.content.remaining(), 0);
    }
}

#[test]
fn a_204_says_no_length() {
    let object = put(&store(), &[], 204, &[], b"");
    for method in [Method::GET, Method::HEAD] {
        let reply = ask(&object, &method, &[]).unwrap();
        assert_eq!(reply.shape, Shape::Whole { length: None });
        assert!(!head(&object, &reply).fields.contains_key("content-length"));
        assert_eq!(reply.content.remaining(), 0);
    }
}

#[test]
fn a_client_that_holds_it_already_is_told_so() {
    let object = whole(&VALIDATORS, 100);
    for lines in [
        &[("if-none-match", "\"a\"")][..],
        &[("if-none-match", "W/\"a\"")],
        &[("if-none-match", "\"b\", \"a\"")],
        &[("if-none-match", "*")],
        &[("if-modified-since", EARLIER)],
        &[("if-modified-since", LATER)],
        // Conditions come before ranges (RFC 9110, section 13.2.2).
        &[("if-none-match", "\"a\""), ("range", "bytes=0-9")],
        &[("if-none-match", "\"a\""), ("range", "bytes=100-")],
        &[("if-match", "\"a\""), ("if-none-match", "\"a\"")],
    ] {
        for method in [Method::GET, Method::HEAD] {
            let reply = ask(&object, &method, lines).unwrap();
            let head = head(&object, &reply);
            assert_eq!(head.status, 304, "{method} {lines:?}");
            assert_eq!(field(&head, "etag"), "\"a\"");
            assert_eq!(reply.content.remaining(), 0, "{method} {lines:?}");
        }
    }
}

#[test]
fn a_client_that_holds_another_one_gets_all_of_it() {
    let object = whole(&VALIDATORS, 100);
    for lines in [
        &[("if-none-match", "\"b\"")][..],
        &[("if-modified-since", "Sun, 06 Nov 1994 08:49:35 GMT")],
        &[("if-modified-since", "yesterday")],
        // The tag is the better judge (RFC 9110, section 13.2.2).
        &[("if-none-match", "\"b\""), ("if-modified-since", LATER)],
        &[("if-match", "\"a\"")],
        &[("if-unmodified-since", EARLIER)],
    ] {
        assert_whole(&object, get(&object, lines));
    }
}

#[test]
fn a_response_without_dates_is_as_old_as_its_arrival() {
    let object = whole(&[], 100);
    assert_eq!(get(&object, &[("if-modified-since", DATE)]).shape, Shape::NotModified);
    assert_whole(&object, get(&object, &[("if-modified-since", EARLIER)]));
}

#[test]
fn a_precondition_that_fails_here_is_not_judged_here() {
    let object = whole(&VALIDATORS, 100);
    for lines in [
        &[("if-match", "\"b\"")][..],
        &[("if-match", "W/\"a\"")],
        &[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:35 GMT")],
        &[("if-match", "\"b\""), ("if-none-match", "\"a\"")],
        &[("if-match", "\"b\""), ("range", "bytes=0-9")],
    ] {
        for method in [Method::GET, Method::HEAD] {
            assert!(ask(&object, &method, lines).is_none(), "{method} {lines:?}");
        }
    }
}

#[test]
fn conditions_mean_nothing_to_what_is_no_success() {
    let object = put(&store(), &[], 404, &VALIDATORS, &content(100));
    for lines in [&[("if-none-match", "\"a\"")][..], &[("if-match", "\"b\"")]] {
        assert_whole(&object, get(&object, lines));
    }
}

#[test]
fn one_range_gets_its_bytes_and_says_which() {
    for length in [100, 200_000] {
        let (object, all) = (whole(&VALIDATORS, length), content(length));
        for (range, start, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=10-19", 10, 20),
            ("bytes=90-", 90, length),
            ("bytes=90-999999", 90, length),
            ("bytes=-7", length - 7, length),
            ("bytes=-999999", 0, length),
            ("bytes=0-", 0, length),
            // Too near each other to be sent apart.
            ("bytes=40-49, 10-19", 10, 50),
            // Those that begin behind its end are left out.
            ("bytes=10-19, 300000-", 10, 20),
        ] {
            let reply = get_range(&object, range);
            let head = head(&object, &reply);
            assert_eq!(head.status, 206, "{range} of {length}");
            let said = format!("bytes {start}-{}/{length}", end - 1);
            assert_eq!(field(&head, "content-range"), said, "{range} of {length}");
            assert_eq!(field(&head, "content-length"), (end - start).to_string(), "{range}");
            assert_eq!(read(reply.content), all[start..end], "{range} of {length}");
        }
    }
}

/// The multipart answer with these parts, each with the lines before it.
fn multipart_of(boundary: &str, before: &str, all: &[u8], spans: &[(usize, usize)]) -> Vec<u8> {
    let mut expected = Vec::new();
    for (at, &(start, end)) in spans.iter().enumerate() {
        let break_before = if at == 0 { "" } else { "\r\n" };
        let range = format!("Content-Range: bytes {start}-{}/{}", end - 1, all.len());
        let head = format!("{break_before}--{boundary}\r\n{before}{range}\r\n\r\n");
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&all[start..end]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    expected
}

#[test]
fn several_ranges_are_parts_of_one_content_byte_for_byte() {
    let typed = [("etag", "\"a\""), ("content-type", "text/plain")];
    for (lines, before) in [(&typed[..], "Content-Type: text/plain\r\n"), (&[], "")] {
        for length in [1000, 200_000] {
            let (object, all) = (whole(lines, length), content(length));
            for (range, spans) in [
                ("bytes=0-9, 500-509", &[(0, 10), (500, 510)][..]),
                // In the order asked for.
                ("bytes=-1, 0-0, 300-399", &[(length - 1, length), (0, 1), (300, 400)]),
                ("bytes=0-9, 900-, 300000-", &[(0, 10), (900, length)]),
            ] {
                let reply = get_range(&object, range);
                let head = head(&object, &reply);
                assert_eq!(head.status, 206, "{range} of {length}");
                assert!(!head.fields.contains_key("content-range"), "it belongs to the parts");
                let boundary = field(&head, "content-type")
                    .strip_prefix("multipart/byteranges; boundary=")
                    .unwrap_or_else(|| panic!("no multipart: {:?}", head.fields));
                let found = read(reply.content);
                assert_eq!(field(&head, "content-length"), found.len().to_string(), "{range}");
                let expected = multipart_of(boundary, before, &all, spans);
                assert!(found == expected, "{range}: {}", String::from_utf8_lossy(&found));
            }
        }
    }
}

#[test]
fn nobody_can_guess_a_boundary_from_another() {
    let boundary = |seed: u64, age: u64| {
        let object = put(&seeded_store(seed), &[], 200, &[], &content(1000));
        let asked = fields(&[("range", "bytes=0-9, 500-509")]);
        match reply(&object, &Method::GET, &asked, at_age(age)).unwrap().shape {
            Shape::Ranges { content_type, .. } => content_type,
            other => panic!("no multipart: {other:?}"),
        }
    };
    assert_eq!(boundary(7, 0), boundary(7, 0));
    assert_ne!(boundary(7, 0), boundary(7, 1), "the same at every time");
    assert_ne!(boundary(7, 0), boundary(8, 0), "the same without the store's secret");
}

#[test]
fn ranges_beyond_the_end_get_416_and_the_length() {
    for (length, range) in
        [(100, "bytes=100-"), (100, "bytes=200-300, 100-"), (100, "bytes=-0"), (0, "bytes=0-")]
    {
        let object = whole(&VALIDATORS, length);
        let reply = get_range(&object, range);
        let head = head(&object, &reply);
        assert_eq!(head.status, 416, "{range} of {length}");
        assert_eq!(field(&head, "content-range"), format!("bytes */{length}"), "{range}");
        assert_eq!(field(&head, "content-length"), "0", "{range} of {length}");
        assert_eq!(reply.content.remaining(), 0, "{range} of {length}");
    }
}

#[test]
fn if_range_lets_a_range_through_only_if_it_matches_strongly() {
    let strong = whole(&VALIDATORS, 100);
    let weak = whole(&[("etag", "W/\"a\"")], 100);
    // It may have changed again in the second in which it was sent.
    let young = whole(&[("last-modified", DATE), ("date", DATE)], 100);
    for (object, condition, applies) in [
        (&strong, "\"a\"", true),
        (&strong, "\"b\"", false),
        (&strong, "W/\"a\"", false),
        (&strong, EARLIER, true),
        // A date is compared for being the same, not for being later.
        (&strong, LATER, false),
        (&strong, "yesterday", false),
        (&weak, "W/\"a\"", false),
        (&weak, "\"a\"", false),
        (&young, DATE, false),
    ] {
        for range in ["bytes=10-19", "bytes=100-"] {
            let reply = get(object, &[("range", range), ("if-range", condition)]);
            if applies {
                let status = if range == "bytes=10-19" { 206 } else { 416 };
                assert_eq!(reply.shape.status(object), status, "{condition} {range}");
            } else {
                assert_whole(object, reply);
            }
        }
    }
}

#[test]
fn a_range_counts_only_for_the_get_of_what_would_be_a_200() {
    let range = [("range", "bytes=10-19")];
    for status in [203, 301, 404, 410, 500] {
        let object = put(&store(), &[], status, &[], &content(100));
        let reply = get(&object, &range);
        assert_eq!(reply.shape.status(&object), status, "{status}");
        assert_whole(&object, reply);
    }
    let object = whole(&[], 100);
    let reply = ask(&object, &Method::HEAD, &range).unwrap();
    assert_eq!(reply.shape, Shape::Whole { length: Some(100) });
    assert_eq!(reply.content.remaining(), 0);
}

#[test]
fn a_range_that_means_nothing_here_gets_all_of_it() {
    let object = whole(&[], 100);
    for range in ["pages=1-2", "bytes=9-0", "bytes=x", "bytes", ""] {
        assert_whole(&object, get_range(&object, range));
    }
    assert_whole(&object, get(&object, &[("range", "bytes=0-1"), ("range", "bytes=2-3")]));
    // The last bytes of nothing are nothing, and no error.
    let empty = whole(&[], 0);
    assert_whole(&empty, get_range(&empty, "bytes=-5"));
}

#[test]
fn parts_answer_only_ranges_that_they_hold() {
    let (object, all) = (parts(), content(1000));
    for (range, start, end) in [
        ("bytes=200-299", 200, 300),
        ("bytes=250-259", 250, 260),
        ("bytes=600-600", 600, 601),
        ("bytes=899-899", 899, 900),
    ] {
        let reply = get_range(&object, range);
        let said = field(&head(&object, &reply), "content-range").to_owned();
        assert_eq!(said, format!("bytes {start}-{}/1000", end - 1));
        assert_eq!(read(reply.content), all[start..end], "{range}");
    }
    for range in [
        "bytes=199-299",
        "bytes=200-300",
        "bytes=250-650",
        "bytes=600-",
        "bytes=-1",
        "bytes=0-",
        "pages=1-2",
        "bytes=200-209, 900-909",
    ] {
        assert!(ask(&object, &Method::GET, &[("range", range)]).is_none(), "{range}");
    }
    for method in [Method::GET, Method::HEAD] {
        assert!(ask(&object, &method, &[]).is_none(), "{method}");
    }
}

#[test]
fn parts_answer_several_ranges_if_they_hold_them_all() {
    let (object, all) = (parts(), content(1000));
    let reply = get_range(&object, "bytes=800-899, 200-209");
    let boundary = match &reply.shape {
        Shape::Ranges { content_type, .. } => content_type.rsplit('=').next().unwrap().to_owned(),
        other => panic!("no multipart: {other:?}"),
    };
    let expected = multipart_of(&boundary, "", &all, &[(800, 900), (200, 210)]);
    assert_eq!(read(reply.content), expected);
}

#[test]
fn parts_answer_what_needs_no_bytes() {
    let object = parts();
    let range = ("range", "bytes=0-9");
    assert_eq!(get(&object, &[("if-none-match", "\"a\""), range]).shape, Shape::NotModified);
    let beyond = get_range(&object, "bytes=1000-");
    assert_eq!(field(&head(&object, &beyond), "content-range"), "bytes */1000");
}

#[test]
fn parts_that_no_longer_match_if_range_cannot_give_the_whole_instead() {
    let object = parts();
    let asked = |tag| [("range", "bytes=200-299"), ("if-range", tag)];
    assert_eq!(get(&object, &asked("\"a\"")).content.remaining(), 100);
    assert!(ask(&object, &Method::GET, &asked("\"b\"")).is_none());
}

#[test]
fn parts_of_a_whole_of_unknown_length_answer_no_range() {
    // What is asked for could reach beyond the end.
    let lines = [("etag", "\"a\""), ("content-range", "bytes 200-299/*")];
    let object = put(&store(), &[], 206, &lines, &content(1000)[200..300]);
    for range in ["bytes=200-299", "bytes=-10", "bytes=900-"] {
        assert!(ask(&object, &Method::GET, &[("range", range)]).is_none(), "{range}");
    }
}

/// One content of each kind: the last two are longer than a block.
fn contents() -> [Content; 4] {
    let (small, large) = (whole(&[], 1000), whole(&[], 200_000));
    [
        get(&small, &[]).content,
        get_range(&small, "bytes=0-9, 500-509, 700-").content,
        get(&large, &[]).content,
        get_range(&large, "bytes=100000-199999, 0-69999").content,
    ]
}

#[test]
fn content_is_the_same_in_steps_of_any_size() {
    for step in [1, 7, 64, 65_536, 1 << 20] {
        for (at, (whole, mut stepped)) in contents().into_iter().zip(contents()).enumerate() {
            let mut found = Vec::new();
            while stepped.has_remaining() {
                let left = stepped.remaining();
                let now = step.min(left);
                // A step may reach over several chunks, as a socket's may.
                found.extend_from_slice(&copy_front(&stepped, now));
                stepped.advance(now);
                assert_eq!(stepped.remaining(), left - now, "content {at} in steps of {step}");
            }
            assert!(stepped.chunk().is_empty());
            assert!(found == read(whole), "content {at} in steps of {step}");
        }
    }
}

/// The first `count` bytes, as a vectored write would send them.
fn copy_front(content: &Content, count: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = content.chunks_vectored(&mut slices);
    let front = slices[..filled].iter().flat_map(|slice| slice.iter()).copied();
    front.take(count).collect()
}

#[test]
fn a_vectored_write_gets_as_many_pieces_as_it_has_room_for() {
    for (at, content) in contents().into_iter().enumerate() {
        let mut all = [IoSlice::new(&[]); 64];
        let pieces = content.chunks_vectored(&mut all);
        let total: usize = all[..pieces].iter().map(|slice| slice.len()).sum();
        assert_eq!(total, content.remaining(), "content {at}");
        assert_eq!(&*all[0], content.chunk(), "content {at}");
        for room in 0..=pieces {
            let mut some = [IoSlice::new(&[]); 64];
            assert_eq!(content.chunks_vectored(&mut some[..room]), room, "content {at}");
            assert!(some[..room].iter().zip(&all).all(|(one, other)| **one == **other));
        }
    }
}

#[test]
#[should_panic(expected = "advanced past the end of an empty content")]
fn nothing_is_read_of_an_empty_content() {
    let mut content = get(&whole(&[], 0), &[]).content;
    assert_eq!(content.chunks_vectored(&mut [IoSlice::new(&[])]), 0);
    content.advance(0);
    content.advance(1);
}

#[test]
#[should_panic(expected = "advanced past the end of a content")]
fn nothing_is_read_behind_the_last_delimiter() {
    let mut content = get_range(&whole(&[], 1000), "bytes=0-9, 500-509").content;
    let length = content.remaining();
    content.advance(length + 1);
}
