//! SIGTERM: what is in flight is finished, nothing new begins, and the exit code is 0.

use std::net::TcpStream;

use crate::support::{Edge, Origin, h2, ok, origin::answer};

/// `--admin` also makes a test wait until signals are heard.
const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

#[test]
fn a_response_in_flight_is_finished_and_new_connections_are_refused() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
    client.final_head();
    assert_eq!(client.exact(5), b"first");
    edge.terminate();
    edge.line("draining");
    // The listeners close soon after that line; a connection that is reset was not accepted either.
    while TcpStream::connect(edge.addresses[0]).is_ok() {
        std::thread::yield_now();
    }
    asked.answer("after");
    assert_eq!(client.exact(5), b"after");
    client.assert_closed();
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn a_request_that_waits_for_its_origin_is_answered_and_told_to_leave() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut client = edge.client();
    // So many that each worker has some of them: each hears for itself that the edge drains.
    let mut idle: Vec<_> = (0..32).map(|_| edge.client()).collect();
    client.ask("GET", "/", "");
    let asked = origin.asked();
    edge.terminate();
    // Idle connections close at once: from then on the edge is draining.
    idle.iter_mut().for_each(|it| it.assert_closed());
    asked.answer(ok("no-store", "x"));
    let response = client.response();
    assert_eq!((response.text(), response.first("connection")), ("x", "close"));
    client.assert_closed();
    drop(client);
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn an_edge_without_work_ends_at_once() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut idle = edge.client();
    idle.get("/");
    edge.terminate();
    idle.assert_closed();
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn pipelined_requests_that_were_begun_are_answered_and_the_last_says_close() {
    let origin = Origin::start();
    // One core, so that the idle connection's end says that this client's core is ending too.
    let mut edge = Edge::start(&origin, &[&ADMIN[..], &["--workers", "1"]].concat());
    let mut client = edge.client();
    let mut idle = edge.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned() + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let asked = [origin.asked(), origin.asked()];
    edge.terminate();
    idle.assert_closed();
    // It would be a third that was not taken: the client asks for that elsewhere.
    client.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    for asked in asked {
        let target = asked.head.target().to_owned();
        asked.answer(ok("no-store", &target));
    }
    let first = client.response();
    assert_eq!((first.text(), first.has("connection")), ("/1", false));
    let second = client.response();
    assert_eq!((second.text(), second.first("connection")), ("/2", "close"));
    client.finish_sending();
    client.assert_closed();
    assert_eq!(origin.requests(), 2);
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn streams_of_http2_are_finished_and_the_connection_is_closed() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &ADMIN);
    let client = h2::Client::clear(edge.addresses[0]);
    let mut idle = edge.client();
    let get = h2::request("GET", "/", &[]).body(h2::empty()).unwrap();
    let asking = client.runtime.spawn(h2::exchange(client.sender.clone(), get));
    let asked = origin.asked();
    edge.terminate();
    idle.assert_closed();
    asked.answer(ok("no-store", "x"));
    assert_eq!(&*client.runtime.block_on(asking).unwrap().unwrap().body, b"x");
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn a_drain_that_takes_too_long_is_cut_and_told() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--drain-time", "200ms"]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let _silent = origin.asked();
    edge.terminate();
    edge.line("the drain time is over");
    client.assert_closed();
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn a_fetch_that_nobody_waits_for_does_not_hold_the_end_up() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let lines = "Cache-Control: max-age=10, stale-while-revalidate=100\r\nAge: 20\r\n";
    origin.asked().answer(answer(lines, "old"));
    client.response();
    assert_eq!(client.get("/").text(), "old");
    let _revalidation = origin.asked();
    edge.terminate();
    assert_eq!(edge.ended().code(), Some(0));
}
