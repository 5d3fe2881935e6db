//! An origin that fails in every way that bytes allow: the client learns of it, and nothing of it is
//! stored.

use std::net::TcpListener;

use crate::support::{Edge, Origin, ok, origin::answer};

#[test]
fn an_origin_that_refuses_connections_is_a_bad_gateway() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let edge = Edge::to(&format!("http://{free}"), &[]);
    let mut client = edge.client();
    for _ in 0..2 {
        let response = client.get("/");
        response.assert_problem(502);
        assert!(response.text().contains("the origin cannot be reached"));
    }
}

#[test]
fn an_origin_that_never_answers_is_a_gateway_timeout() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--origin-first-byte", "200ms"]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let _silent = origin.asked();
    client.response().assert_problem(504);
}

#[test]
fn an_origin_that_stops_in_the_middle_breaks_the_answer_off() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--origin-idle", "200ms"]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 10\r\n\r\nfirst");
    client.final_head();
    assert_eq!(client.rest(), b"first");
    assert!(edge.held("/").is_none());
}

#[test]
fn garbage_is_a_bad_gateway() {
    for garbage in [
        "hello\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n",
        "\u{1}\u{2}\u{3}",
    ] {
        let origin = Origin::start();
        let edge = Edge::start(&origin, &["--workers", "1"]);
        let mut client = edge.client();
        client.ask("GET", "/", "");
        let mut asked = origin.asked();
        asked.send(garbage);
        let response = client.response();
        response.assert_problem(502);
        assert_eq!(origin.requests(), 1, "{garbage:?}: what answers nonsense is not asked again");
        // The edge goes on.
        client.ask("GET", "/", "");
        origin.asked().answer(ok("no-store", "x"));
        assert_eq!(client.response().text(), "x");
    }
}

#[test]
fn a_head_without_end_is_a_bad_gateway() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 200 OK\r\n");
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
    while asked.wire.try_send(&line).is_ok() {}
    client.response().assert_problem(502);
}

#[test]
fn a_body_that_breaks_off_is_broken_for_the_client_and_never_stored() {
    for (framing, first, received) in [
        ("Content-Length: 10\r\n", "first", "first"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n", "5\r\nfirst\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n5\r\naf", "5\r\nfirst\r\n"),
    ] {
        let origin = Origin::start();
        let edge = Edge::start(&origin, &["--workers", "1"]);
        let mut client = edge.client();
        client.ask("GET", "/", "");
        let mut asked = origin.asked();
        asked
            .send(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\n{framing}\r\n{first}"));
        client.final_head();
        let begun = client.exact(received.len());
        assert_eq!(String::from_utf8_lossy(&begun), received);
        drop(asked);
        let rest = client.rest();
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.contains("0\r\n\r\n"), "it looks whole: {rest:?}");
        let mut again = edge.client();
        again.ask("GET", "/", "");
        origin.asked().answer(ok("no-store", "whole"));
        assert_eq!(again.response().text(), "whole");
    }
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole_when_it_closes() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\n\r\nuntil the end");
    drop(asked);
    let response = client.response();
    assert_eq!(
        (response.first("transfer-encoding"), response.text()),
        ("chunked", "until the end")
    );
    let hit = client.get("/");
    assert_eq!((hit.says("hit"), hit.text()), (true, "until the end"));
}

#[test]
fn an_origin_that_closes_without_a_word_is_a_bad_gateway() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("POST", "/", "Content-Length: 0\r\n");
    drop(origin.asked());
    client.response().assert_problem(502);
    assert_eq!(origin.requests(), 1, "what may have had an effect is not sent twice");
}

#[test]
fn a_kept_connection_that_the_origin_has_closed_is_replaced_unseen() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    for round in 0..5 {
        client.ask("GET", "/", "");
        let mut asked = origin.asked();
        asked.send(answer("Cache-Control: no-store\r\n", "x"));
        assert_eq!(client.response().text(), "x", "round {round}");
        // The answer is whole and the connection was said to stay; it closes now.
        drop(asked);
    }
    assert_eq!(origin.requests(), 5);
}

#[test]
fn a_kept_connection_that_closes_under_a_request_is_tried_once_more_if_that_is_safe() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    origin.asked().answer(ok("no-store", "x"));
    client.response();
    client.ask("GET", "/", "");
    drop(origin.asked());
    origin.asked().answer(ok("no-store", "again"));
    assert_eq!(client.response().text(), "again");
}

#[test]
fn an_answer_too_many_is_nobodys() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    client.ask("GET", "/one", "");
    let twice = ok("no-store", "one") + &ok("max-age=100", "poison");
    origin.asked().answer(twice);
    assert_eq!(client.response().text(), "one");
    client.ask("GET", "/two", "");
    origin.asked().answer(ok("no-store", "two"));
    let response = client.response();
    assert_eq!(response.text(), "two", "{response:?}");
    assert_eq!(origin.connections(), 2, "nobody knows what a connection with a surplus says next");
}

#[test]
fn bytes_behind_an_answer_are_no_part_of_the_next() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    for surplus in ["x", "\r\n\r\nHTTP/1.1 200 OK\r\n", "0\r\n\r\n"] {
        client.ask("GET", "/one", "");
        origin.asked().answer(ok("no-store", "one") + surplus);
        assert_eq!(client.response().text(), "one");
        client.ask("GET", "/two", "");
        origin.asked().answer(ok("no-store", "two"));
        assert_eq!(client.response().text(), "two", "{surplus:?}");
    }
}

#[test]
fn a_content_behind_an_answer_that_has_none_is_not_passed_on() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    for status in ["204 No Content", "304 Not Modified"] {
        client.ask("GET", "/one", "If-Match: \"x\"\r\n");
        origin.asked().answer(format!("HTTP/1.1 {status}\r\n\r\npoison"));
        let response = client.response();
        assert_eq!((response.status().to_string().as_str(), response.text()), (&status[..3], ""));
        client.ask("GET", "/two", "");
        origin.asked().answer(ok("no-store", "two"));
        assert_eq!(client.response().text(), "two", "{status}");
    }
}
