//! Clients of 1996: no chunks, no interim responses, and a connection that closes unless asked not to.

use crate::support::{Edge, Origin, ok};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n\
    5\r\nfirst\r\n5\r\nafter\r\n0\r\nX-Trailer: 1\r\n\r\n";

#[test]
fn content_without_a_length_ends_with_the_connection() {
    let origin = Origin::saying(CHUNKED);
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    let head = client.head();
    assert!(head.start.starts_with("HTTP/1."));
    assert!(!head.has("transfer-encoding"), "{head:?}");
    assert_eq!(client.rest(), b"firstafter");
    assert_eq!(origin.last().start, "GET / HTTP/1.1");
    assert_eq!(origin.last().first("via"), "1.0 nigh");
}

#[test]
fn a_connection_closes_unless_the_client_asks_to_keep_it() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!((response.first("connection"), response.text()), ("keep-alive", "x"));
    }
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!((response.first("connection"), response.text()), ("close", "x"));
    client.assert_closed();
}

#[test]
fn a_client_that_names_no_host_means_the_origin() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--keep-host"]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "x");
    assert_eq!(origin.last().first("host"), origin.address.to_string());
}

#[test]
fn a_content_that_breaks_off_resets_the_connection_where_its_end_would_mean_success() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    client.head();
    assert_eq!(client.exact(5), b"first");
    drop(asked);
    // A close alone would make the answer look whole (RFC 9112, section 8).
    let end = std::io::Read::read(&mut client.stream, &mut [0; 1]);
    assert!(end.is_err(), "the connection closed as if all was well: {end:?}");
}

#[test]
fn http10_knows_no_upgrade_and_no_expectation() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(
        "POST / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nExpect: 100-continue\r\n\
         Content-Length: 2\r\n\r\nhi",
    );
    let mut asked = origin.asked();
    assert!(!asked.head.has("upgrade") && !asked.head.has("expect"), "{:?}", asked.head);
    assert_eq!(asked.content().0, b"hi");
    asked.answer(ok("no-store", "x"));
    assert_eq!(client.head().status(), 200);
}
