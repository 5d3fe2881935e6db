//! Upgrade: another protocol through the edge, in both directions. RFC 9110, section 7.8.

use crate::support::{Asked, Edge, Origin, Wire, ok};

const ASK: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A client and an origin that have agreed to speak WebSocket.
fn tunnel(origin: &Origin, edge: &Edge) -> (Wire, Asked) {
    let mut client = edge.client();
    client.ask("GET", "/chat", ASK);
    let mut asked = origin.asked();
    assert_eq!(asked.head.first("upgrade"), "websocket");
    assert_eq!(asked.head.first("connection").to_lowercase(), "upgrade");
    assert_eq!(asked.head.first("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==");
    asked.send(AGREE);
    let agreed = client.head();
    assert_eq!(agreed.status(), 101);
    assert_eq!(agreed.first("upgrade"), "websocket");
    assert_eq!(agreed.first("connection").to_lowercase(), "upgrade");
    assert_eq!(agreed.first("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    (client, asked)
}

#[test]
fn a_websocket_goes_through_in_both_directions() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let (mut client, mut asked) = tunnel(&origin, &edge);
    for round in 0..3 {
        let (question, answer) =
            (format!("\u{1}question {round}"), format!("answer {round}\r\n\r\n"));
        client.send(&question);
        assert_eq!(asked.wire.exact(question.len()), question.as_bytes());
        asked.send(&answer);
        assert_eq!(client.exact(answer.len()), answer.as_bytes());
    }
}

#[test]
fn one_direction_may_end_before_the_other() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let (mut client, mut asked) = tunnel(&origin, &edge);
    client.send("last words");
    client.finish_sending();
    assert_eq!(asked.wire.rest(), b"last words");
    asked.send("farewell");
    drop(asked);
    assert_eq!(client.rest(), b"farewell");
}

#[test]
fn what_the_client_sent_too_early_is_not_lost() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(format!("GET /chat HTTP/1.1\r\nHost: a\r\n{ASK}\r\nearly"));
    let mut asked = origin.asked();
    asked.send(format!("{AGREE}at once"));
    assert_eq!(client.head().status(), 101);
    assert_eq!(client.exact(7), b"at once");
    assert_eq!(asked.wire.exact(5), b"early");
}

#[test]
fn an_origin_that_declines_answers_as_always() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("GET", "/chat", ASK);
    origin.asked().answer("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    let response = client.response();
    assert_eq!((response.status(), response.text()), (426, "no"));
    // The connection is HTTP as before.
    client.ask("GET", "/", "");
    origin.asked().answer(ok("no-store", "x"));
    assert_eq!(client.response().text(), "x");
}

#[test]
fn an_upgrade_that_connection_does_not_list_is_none() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &[]);
    edge.client().get_with("/", "Upgrade: websocket\r\n");
    assert!(!origin.last().has("upgrade"));
}
