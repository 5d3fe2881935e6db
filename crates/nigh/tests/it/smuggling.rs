//! Requests that can be read in two ways: each is refused, the connection is closed, and neither it
//! nor what hides behind it reaches the origin. RFC 9112, sections 2.2, 5, 6, 7 and 11.2.

use crate::support::{Edge, Origin, ok};

/// What a smuggler hides behind a request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// Heads that are refused; the content that some announce, and the hidden request, follow.
const HEADS: &[(&str, &str)] = &[
    (
        "CL.TE",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "TE.CL",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
    ),
    ("CL.0", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 44\r\n\r\n"),
    (
        "TE.TE",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    ),
    (
        "TE twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    ("TE unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    (
        "TE not last",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    ),
    ("TE gzip", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("TE identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("TE empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"),
    ("TE quoted", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    (
        "TE vertical tab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "TE space before colon",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "TE tab before colon",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n",
    ),
    (
        "one length twice",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    ),
    ("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n"),
    ("a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n"),
    ("a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
    ("a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n"),
    ("an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
    ("a length of words", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0 44\r\n\r\n"),
    (
        "a length beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
    ),
    ("a folded length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 0\r\n\r\n"),
    (
        "a folded coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    ),
    ("a folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    ("a fold before all fields", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("bare LF", "GET / HTTP/1.1\nHost: a\n\n"),
    (
        "bare LF at the end of a field",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\nContent-Length: 44\r\n\r\n",
    ),
    ("bare LF at the end of the head", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 44\r\n\r\n"),
    ("bare CR in the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    ("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n"),
    ("no colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length\r\n\r\n"),
    ("no name", "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n"),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("a host with userinfo", "GET / HTTP/1.1\r\nHost: b@a\r\n\r\n"),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a space at the end of the request line", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("HTTP/0.9", "GET /\r\n\r\n"),
    ("another version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
];

/// What may stand behind the head of a chunked request, and is refused.
const CHUNKS: &[(&str, &str)] = &[
    ("no size", "\r\n\r\n"),
    ("a size of letters", "xyz\r\n"),
    ("a signed size", "+1\r\na\r\n0\r\n\r\n"),
    ("a negative size", "-1\r\n"),
    ("a size with 0x", "0x1\r\na\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", "10000000000000000\r\n"),
    ("a size with bare LF", "1\na\r\n0\r\n\r\n"),
    ("a size with bare CR", "1\ra\r\n0\r\n\r\n"),
    ("a chunk longer than its size", "1\r\nab\r\n0\r\n\r\n"),
    ("a chunk that ends with bare LF", "1\r\na\n0\r\n\r\n"),
    ("a chunk without its end", "1\r\na0\r\n\r\n"),
    ("an extension with bare LF", "1;a\n\r\na\r\n0\r\n\r\n"),
    ("an extension with bare CR", "1;a\rb\r\na\r\n0\r\n\r\n"),
    ("an extension that is none", "1 a\r\na\r\n0\r\n\r\n"),
    ("a trailer with bare LF", "0\r\nX: a\n\r\n"),
    ("a trailer without colon", "0\r\nX\r\n\r\n"),
    ("a folded trailer", "0\r\nX: a\r\n b\r\n\r\n"),
];

#[test]
fn a_head_that_can_be_read_in_two_ways_is_refused_and_nothing_reaches_the_origin() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &["--workers", "1"]);
    for (name, head) in HEADS {
        let mut client = edge.client();
        client.send(format!("{head}{HIDDEN}"));
        client.finish_sending();
        let response = client.response();
        let status = response.status();
        assert!(matches!(status, 400 | 501 | 505), "{name}: {response:?}");
        assert_eq!(response.first("connection"), "close", "{name}");
        response.assert_problem(status);
        client.assert_closed();
    }
    // The one request that is asked properly is the only one that comes.
    edge.get("/");
    assert_eq!(origin.requests(), 1, "{:?}", origin.heads());
}

#[test]
fn a_chunked_content_that_can_be_read_in_two_ways_is_refused() {
    for (name, chunks) in CHUNKS {
        let origin = Origin::start();
        let edge = Edge::start(&origin, &["--workers", "1"]);
        let mut client = edge.client();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{chunks}{HIDDEN}"));
        client.finish_sending();
        let response = client.response();
        assert_eq!(response.status(), 400, "{name}: {response:?}");
        assert_eq!(response.first("connection"), "close", "{name}");
        client.assert_closed();
        // The hidden request is none; that the first one came is allowed, as long as it has no end.
        let heads = origin.heads();
        assert!(heads.iter().all(|head| head.target() == "/"), "{name}: {heads:?}");
        if !heads.is_empty() {
            let rest = origin.asked().wire.rest();
            assert!(!rest.ends_with(b"0\r\n\r\n"), "{name}: the origin sees a whole request");
        }
    }
}

#[test]
fn content_of_a_refused_request_is_never_a_request() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &["--workers", "1"]);
    for request in [
        format!("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len()),
        format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n{HIDDEN}"),
    ] {
        let mut client = edge.client();
        client.send(&request);
        client.finish_sending();
        assert_eq!(client.response().status(), 405, "{request}");
        client.assert_closed();
    }
    assert_eq!(origin.requests(), 0, "{:?}", origin.heads());
}

#[test]
fn content_that_the_origin_did_not_want_is_never_a_request() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    // The origin answers before the content is there, and the content looks like a request.
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", HIDDEN.len()));
    origin.asked().answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.response().text(), "no");
    // The connection may be closed by now, or still know what is content.
    let _ = client.try_send(HIDDEN);
    let _ = client.stream.shutdown(std::net::Shutdown::Write);
    client.assert_closed();
    assert_eq!(origin.requests(), 1, "{:?}", origin.heads());
}

#[test]
fn what_is_left_of_a_field_in_connection_cannot_hide_the_framing() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, Host\r\nContent-Length: 2\r\n\r\nhi",
    );
    let mut asked = origin.asked();
    assert_eq!(asked.content().0, b"hi");
    assert_eq!(asked.head.first("host"), origin.address.to_string());
    asked.answer(ok("no-store", "x"));
    assert_eq!(client.response().text(), "x");
}
