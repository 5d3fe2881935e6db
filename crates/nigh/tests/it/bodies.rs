//! Requests with content: every framing, no buffering, Expect, and what is too long.

use crate::support::{Asked, Edge, Origin, Wire, ok};

fn post(client: &mut Wire, lines: &str) {
    client.send(format!("POST /form HTTP/1.1\r\nHost: www.example\r\n{lines}\r\n"));
}

fn done(asked: Asked) {
    asked.answer(ok("no-store", "done"));
}

/// The origin's view of a request for which `client` has sent half of its ten bytes.
fn half_sent(origin: &Origin, client: &mut Wire) -> Asked {
    post(client, "Content-Length: 10\r\n");
    client.send("first");
    let mut asked = origin.asked();
    assert_eq!(asked.wire.exact(5), b"first");
    asked
}

#[test]
fn a_content_with_a_length_arrives_with_its_length() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    post(&mut client, "Content-Length: 5\r\n");
    client.send("hello");
    let mut asked = origin.asked();
    assert_eq!(asked.head.first("content-length"), "5");
    assert!(!asked.head.has("transfer-encoding"));
    assert_eq!(asked.content().0, b"hello");
    done(asked);
    assert_eq!(client.response().text(), "done");
}

#[test]
fn a_chunked_content_arrives_chunked() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    post(&mut client, "Transfer-Encoding: chunked\r\n");
    client.send("5;name=value;other=\"a;b\"\r\nhello\r\n00001\r\n!\r\nA\r\n0123456789\r\n");
    let mut asked = origin.asked();
    assert_eq!(asked.head.first("transfer-encoding"), "chunked");
    assert!(!asked.head.has("content-length"));
    client.send("0\r\n\r\n");
    assert_eq!(asked.content().0, b"hello!0123456789");
    done(asked);
    assert_eq!(client.response().text(), "done");
    // The connection goes on behind it.
    client.ask("GET", "/", "");
    done(origin.asked());
    assert_eq!(client.response().text(), "done");
}

#[test]
fn an_empty_content_is_no_content() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for (lines, body) in
        [("Content-Length: 0\r\n", ""), ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")]
    {
        post(&mut client, lines);
        client.send(body);
        let mut asked = origin.asked();
        assert_eq!(asked.content().0, b"");
        done(asked);
        assert_eq!(client.response().text(), "done");
    }
}

#[test]
fn content_reaches_the_origin_while_the_client_still_sends() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let mut asked = half_sent(&origin, &mut client);
    client.send("after");
    assert_eq!(asked.wire.exact(5), b"after");
    done(asked);
    assert_eq!(client.response().text(), "done");
}

#[test]
fn an_answer_may_begin_before_the_content_ends() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let mut asked = half_sent(&origin, &mut client);
    asked.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nthe ");
    let head = client.final_head();
    // Nobody knows yet whether the rest of the content comes.
    assert_eq!((head.status(), head.first("connection")), (200, "close"));
    assert_eq!(client.exact(4), b"the ");
    client.send("after");
    assert_eq!(asked.wire.exact(5), b"after");
    asked.answer("echo");
    assert_eq!(client.exact(4), b"echo");
}

#[test]
fn an_upload_goes_at_the_pace_of_the_origin() {
    const BODY: usize = 64 << 20;
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    post(&mut client, &format!("Content-Length: {BODY}\r\n"));
    let mut asked = origin.asked();
    // The origin reads nothing, so the client must come to a stop: what the kernel and the edge
    // hold in between is bounded.
    client.stream.set_nonblocking(true).unwrap();
    let block = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    let mut stuck = 0;
    while stuck < 20 && sent < BODY {
        match std::io::Write::write(&mut client.stream, &block) {
            Ok(count) => (sent, stuck) = (sent + count, 0),
            Err(_) => {
                // Only a pause can show that nothing moves any more.
                std::thread::sleep(std::time::Duration::from_millis(10));
                stuck += 1;
            }
        }
    }
    assert!(sent < BODY, "64 MiB were swallowed by an origin that reads nothing");
    client.stream.set_nonblocking(false).unwrap();
    let reading = std::thread::spawn(move || {
        let (body, _) = asked.content();
        done(asked);
        body.len()
    });
    while sent < BODY {
        let part = block.len().min(BODY - sent);
        client.send(&block[..part]);
        sent += part;
    }
    assert_eq!(reading.join().unwrap(), BODY);
    assert_eq!(client.response().text(), "done");
}

#[test]
fn a_client_that_leaves_in_the_middle_breaks_the_request_off() {
    for (lines, first) in
        [("Content-Length: 10\r\n", "first"), ("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n")]
    {
        let origin = Origin::start();
        let edge = Edge::start(&origin, &[]);
        let mut client = edge.client();
        post(&mut client, lines);
        client.send(first);
        let mut asked = origin.asked();
        assert_eq!(asked.wire.exact(first.len()), first.as_bytes());
        drop(client);
        let rest = asked.wire.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "the origin sees a whole request");
    }
}

#[test]
fn the_origin_decides_whether_a_client_that_asks_may_go_on() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    post(&mut client, "Expect: 100-continue\r\nContent-Length: 5\r\n");
    let mut asked = origin.asked();
    assert_eq!(asked.head.first("expect"), "100-continue");
    asked.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head().status(), 100);
    client.send("hello");
    assert_eq!(asked.content().0, b"hello");
    done(asked);
    assert_eq!(client.head().status(), 200);
}

#[test]
fn a_refusal_comes_instead_of_the_permission_to_go_on() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    post(&mut client, "Expect: 100-continue\r\nContent-Length: 5\r\n");
    let asked = origin.asked();
    asked.answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let head = client.head();
    assert_eq!((head.status(), head.first("connection")), (403, "close"));
    assert_eq!(client.exact(2), b"no");
    client.finish_sending();
    client.assert_closed();
}

#[test]
fn an_origin_that_knows_no_expectations_gets_the_content_all_the_same() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    post(&mut client, "Expect: 100-continue\r\nContent-Length: 5\r\n");
    let mut asked = origin.asked();
    // The origin is silent, and waits for content: after a while the edge asks for it.
    assert_eq!(client.head().status(), 100);
    client.send("hello");
    assert_eq!(asked.content().0, b"hello");
    done(asked);
    assert_eq!(client.response().text(), "done");
}

#[test]
fn a_content_that_is_announced_too_long_is_refused_before_the_origin_hears_of_it() {
    let origin = Origin::saying(ok("no-store", "done"));
    let edge = Edge::start(&origin, &["--max-body", "10B"]);
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut client = edge.client();
        post(&mut client, &format!("{expect}Content-Length: 11\r\n"));
        let head = client.head();
        assert_eq!((head.status(), head.first("connection")), (413, "close"));
        client.content(head).assert_problem(413);
    }
    assert_eq!(origin.requests(), 0);
    let mut client = edge.client();
    post(&mut client, "Content-Length: 10\r\n");
    client.send("0123456789");
    assert_eq!(client.response().text(), "done");
}

#[test]
fn a_content_that_turns_out_too_long_is_refused_and_the_origin_sees_no_end() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--max-body", "10B"]);
    let mut client = edge.client();
    post(&mut client, "Transfer-Encoding: chunked\r\n");
    client.send("8\r\n01234567\r\n");
    let mut asked = origin.asked();
    assert_eq!(asked.wire.chunk().unwrap(), b"01234567");
    client.send("8\r\n01234567\r\n0\r\n\r\n");
    let response = client.response();
    response.assert_problem(413);
    assert_eq!(response.first("connection"), "close");
    assert!(!asked.wire.rest().ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_get_may_have_content_and_is_then_not_for_the_cache() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for body in ["one", "two"] {
        client.ask("GET", "/", "Content-Length: 3\r\n");
        client.send(body);
        let mut asked = origin.asked();
        assert_eq!(asked.content().0, body.as_bytes());
        asked.answer(ok("max-age=100", body));
        assert_eq!(client.response().text(), body);
    }
}
