//! One fetch, many readers: who shares it, who does not, and that nobody's leaving ends it.

use crate::support::{Edge, Origin, Wire, origin::answer};

/// Clients that ask for `target` at the same time as a fetch that the origin holds; they are all
/// on the flight when this returns.
fn passengers(edge: &Edge, count: usize, target: &str, lines: &str) -> Vec<Wire> {
    let before = collapsed(edge);
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = edge.client();
            client.ask("GET", target, lines);
            client
        })
        .collect();
    let aboard = before + count as u64;
    edge.status_until(|status| status["collapsed"] == aboard);
    clients
}

fn collapsed(edge: &Edge) -> u64 {
    edge.status_until(|_| true)["collapsed"].as_u64().unwrap()
}

#[test]
fn two_hundred_clients_share_one_fetch_and_read_it_as_it_arrives() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut first = edge.client();
    first.ask("GET", "/", "");
    let mut asked = origin.asked();
    let mut others = passengers(&edge, 199, "/", "");
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 10\r\n\r\nfirst");
    // The origin is silent until everyone has the first half.
    let head = first.final_head();
    assert!(!head.says("collapsed") && head.says("fwd=uri-miss"));
    assert_eq!(first.exact(5), b"first");
    for client in &mut others {
        let head = client.final_head();
        assert!(head.says("collapsed"), "{}", head.cache());
        assert_eq!(client.exact(5), b"first");
    }
    asked.answer("after");
    for client in others.iter_mut().chain([&mut first]) {
        assert_eq!(client.exact(5), b"after");
        assert!(client.get("/").says("hit"));
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_whole_object_is_fetched_once_for_all_while_only_a_part_is_stored() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut first = edge.client();
    first.ask("GET", "/", "Range: bytes=0-4\r\n");
    origin.asked().answer(
        "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=100\r\nETag: \"a\"\r\n\
         Content-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\nfirst",
    );
    assert_eq!(first.response().text(), "first");
    first.ask("GET", "/", "");
    let asked = origin.asked();
    let mut others = passengers(&edge, 5, "/", "");
    asked.answer(answer("Cache-Control: max-age=100\r\nETag: \"a\"\r\n", "firstafter"));
    for client in others.iter_mut().chain([&mut first]) {
        assert_eq!(client.response().text(), "firstafter");
    }
    assert_eq!(origin.requests(), 2);
}

#[test]
fn who_comes_in_the_middle_gets_the_beginning_too() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut first = edge.client();
    first.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    asked.send("5\r\nfirst\r\n");
    first.final_head();
    assert_eq!(first.chunk().unwrap(), b"first");
    let mut late = edge.client();
    late.ask("GET", "/", "");
    late.final_head();
    assert_eq!(late.chunk().unwrap(), b"first");
    asked.answer("5\r\nafter\r\n0\r\n\r\n");
    for client in [&mut first, &mut late] {
        assert_eq!(client.chunk().unwrap(), b"after");
        assert!(client.chunk().is_none());
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_response_for_one_releases_all_others_at_once_to_fetch_their_own() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut first = edge.client();
    first.ask("GET", "/", "");
    let mut asked = origin.asked();
    let mut others = passengers(&edge, 5, "/", "");
    // Its head is enough; its body takes as long as it takes.
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 5\r\n\r\n");
    let released: Vec<_> = others.iter().map(|_| origin.asked()).collect();
    for (at, one) in released.into_iter().enumerate() {
        one.answer(answer("Cache-Control: private\r\n", &format!("own {at}")));
    }
    let mut bodies: Vec<_> = others.iter_mut().map(|client| client.response().body).collect();
    bodies.sort();
    let expected: Vec<_> = (0..5).map(|at| format!("own {at}").into_bytes()).collect();
    assert_eq!(bodies, expected);
    asked.answer("first");
    assert_eq!(first.response().text(), "first");
    assert_eq!(origin.requests(), 6);
}

#[test]
fn the_first_client_may_leave_without_ending_the_fetch() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut first = edge.client();
    first.ask("GET", "/", "");
    let mut asked = origin.asked();
    let mut others = passengers(&edge, 2, "/", "");
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 10\r\n\r\nfirst");
    first.final_head();
    drop(first);
    asked.answer("after");
    for client in &mut others {
        assert_eq!(client.response().text(), "firstafter");
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn what_nobody_waits_for_any_more_is_stored_all_the_same() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut only = edge.client();
    only.ask("GET", "/", "");
    let asked = origin.asked();
    drop(only);
    asked.answer(answer("Cache-Control: max-age=100\r\n", "content"));
    edge.status_until(|status| status["store"]["objects"] == 1);
    let hit = edge.get("/");
    assert_eq!((hit.says("hit"), hit.text()), (true, "content"));
    assert_eq!(origin.requests(), 1);
}

#[test]
fn passengers_that_vary_do_not_share() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut first = edge.client();
    first.ask("GET", "/", "Accept-Language: de\r\n");
    let asked = origin.asked();
    let mut same = passengers(&edge, 1, "/", "Accept-Language: DE\r\n");
    let mut other = passengers(&edge, 1, "/", "Accept-Language: fr\r\n");
    let lines = "Cache-Control: max-age=100\r\nVary: Accept-Language\r\n";
    asked.answer(answer(lines, "deutsch"));
    // Who shares it is answered; who does not asks for himself.
    let french = origin.asked();
    assert_eq!(french.head.first("accept-language"), "fr");
    french.answer(answer(lines, "français"));
    assert_eq!(first.response().text(), "deutsch");
    assert_eq!(same[0].response().text(), "deutsch");
    assert_eq!(other[0].response().text(), "français");
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_failure_is_everyones() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut first = edge.client();
    first.ask("GET", "/", "");
    let asked = origin.asked();
    let mut others = passengers(&edge, 3, "/", "");
    asked.answer("this is not HTTP\r\n\r\n");
    for client in others.iter_mut().chain([&mut first]) {
        client.response().assert_problem(502);
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn requests_that_are_one_of_a_kind_are_not_collapsed() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut clients: Vec<_> = (0..3).map(|_| edge.client()).collect();
    for client in &mut clients {
        client.ask("POST", "/", "Content-Length: 0\r\n");
    }
    for asked in clients.iter().map(|_| origin.asked()).collect::<Vec<_>>() {
        asked.answer(answer("", "done"));
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "done");
    }
}

#[test]
fn a_slow_reader_does_not_hold_up_the_others() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut first = edge.client();
    first.ask("GET", "/", "");
    let asked = origin.asked();
    // One that never reads: its socket fills up.
    let idle = passengers(&edge, 1, "/", "");
    let body = "x".repeat(8 << 20);
    asked.answer(answer("Cache-Control: max-age=100\r\n", &body));
    assert_eq!(first.response().body.len(), body.len());
    drop(idle);
}
