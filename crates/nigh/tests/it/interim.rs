//! Interim responses: forwarded to who understands them, and never stored. RFC 9110, section 15.2;
//! RFC 8297 (Early Hints).

use crate::support::{Edge, Origin, Wire, h2::Frames, ok};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Hint: 1\r\n\r\n";

#[test]
fn early_hints_reach_an_http11_client_before_the_origin_answers() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send(HINTS);
    let hints = client.head();
    assert_eq!((hints.status(), hints.first("link")), (103, "</a.css>; rel=preload"));
    asked.send(HINTS);
    assert_eq!(client.head().status(), 103);
    asked.answer(ok("max-age=100", "content"));
    let response = client.response();
    assert_eq!((response.text(), response.has("x-hint")), ("content", false));
    // The stored answer has no hints.
    client.ask("GET", "/", "");
    let hit = client.head();
    assert_eq!((hit.status(), hit.has("x-hint"), hit.has("link")), (200, false, false));
    assert!(hit.says("hit"));
}

#[test]
fn early_hints_reach_an_http2_client_before_the_origin_answers() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let connection = Frames::clear(edge.addresses[0]);
    let mut client = connection.ask("GET", "/", &[], false);
    let mut asked = origin.asked();
    asked.send(HINTS);
    let hints = client.interim().expect("the hints come first");
    assert_eq!(hints.status(), 103);
    assert_eq!(hints.headers()["link"], "</a.css>; rel=preload");
    asked.answer(ok("max-age=100", "content"));
    assert!(client.interim().is_none());
    let (head, _) = client.answer();
    assert_eq!((head.status.as_u16(), head.headers.contains_key("x-hint")), (200, false));
}

#[test]
fn an_http2_client_that_waits_for_100_gets_it_from_a_silent_origin_too() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let connection = Frames::clear(edge.addresses[0]);
    let mut client = connection.ask("POST", "/", &[("expect", "100-continue")], true);
    let mut asked = origin.asked();
    assert_eq!(client.interim().map(|interim| interim.status().as_u16()), Some(100));
    client.send("content");
    assert_eq!(asked.content().0, b"content");
    asked.answer(ok("no-store", "x"));
    assert!(client.interim().is_none());
    assert_eq!(client.answer().0.status, 200);
}

#[test]
fn hints_are_for_the_client_whose_request_they_answer() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut clients: Vec<Wire> = (0..3).map(|_| edge.client()).collect();
    clients[0].ask("GET", "/", "");
    let mut asked = origin.asked();
    for client in &mut clients[1..] {
        client.ask("GET", "/", "");
    }
    edge.status_until(|status| status["collapsed"] == 2);
    asked.send(HINTS);
    assert_eq!(clients[0].head().status(), 103);
    asked.answer(ok("max-age=100", "content"));
    // Whether the final answer is for them, too, was not known when the hints came.
    for client in &mut clients {
        let head = client.head();
        assert_eq!(client.content(head).text(), "content");
    }
}

#[test]
fn an_http10_client_hears_no_interim_response() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut asked = origin.asked();
    asked.send(HINTS);
    asked.answer(ok("max-age=100", "content"));
    assert_eq!(client.head().status(), 200);
}

#[test]
fn fields_of_the_connection_are_removed_from_hints_too() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 103 Early Hints\r\nConnection: X-Own\r\nX-Own: 1\r\nLink: <a>\r\n\r\n");
    let hints = client.head();
    assert_eq!(
        (hints.has("x-own"), hints.has("connection"), hints.has("link")),
        (false, false, true)
    );
    asked.answer(ok("no-store", "content"));
    assert_eq!(client.response().text(), "content");
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_no_answer() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    client.response().assert_problem(502);
}
