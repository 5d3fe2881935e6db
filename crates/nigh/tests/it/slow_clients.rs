//! Clients that take or send a little now and then, and the ceiling of what all of them hold.

use std::{
    io::{Read, Write},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::support::{Asked, Edge, Origin, Wire, h2, ok};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

/// Each client of these tests moves every so often: within the limit, but far below the least rate.
const NOW_AND_THEN: Duration = Duration::from_millis(20);
const TOO_SLOW: [&str; 6] =
    ["--stall-time", "400ms", "--min-rate", "1GiB/s", "--admin", "127.0.0.1:0"];

fn cut(edge: &Edge) -> u64 {
    edge.metric("nigh_limited_total{limit=\"min-rate\"}")
}

/// Does something now and then until it fails or the other end of `over` is dropped.
fn now_and_then(over: &Receiver<()>, mut act: impl FnMut() -> std::io::Result<()>) {
    use std::sync::mpsc::RecvTimeoutError::Timeout;
    while over.recv_timeout(NOW_AND_THEN) == Err(Timeout) {
        if act().is_err() {
            return;
        }
    }
}

#[test]
fn a_client_that_reads_in_drops_is_cut() {
    let origin = Origin::saying(ok("max-age=100", &"x".repeat(30 << 20)));
    let edge = Edge::start(&origin, &[&TOO_SLOW[..], &["--max-object", "64MiB"]].concat());
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let (_held, over) = channel();
    let mut received = 0;
    now_and_then(&over, || {
        let read = client.stream.read(&mut [0; 1024])?;
        received += read;
        if read == 0 {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        } else if cut(&edge) > 0 {
            Err(std::io::ErrorKind::TimedOut.into())
        } else {
            Ok(())
        }
    });
    assert!(received < 30 << 20);
    assert_eq!(cut(&edge), 1);
    edge.status_until(|status| status["connections"] == 0);
}

#[test]
fn a_client_that_reads_as_fast_as_it_gets_is_not_cut() {
    let origin = Origin::saying(ok("max-age=100", &"x".repeat(4 << 20)));
    let edge = Edge::start(&origin, &["--stall-time", "400ms", "--admin", "127.0.0.1:0"]);
    for _ in 0..3 {
        assert_eq!(edge.get("/").body.len(), 4 << 20);
    }
    assert_eq!(cut(&edge), 0);
}

#[test]
fn a_content_that_drips_is_408() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &TOO_SLOW);
    let mut client = edge.client();
    client.ask("POST", "/", "Content-Length: 1000000\r\n");
    let _asked = origin.asked();
    let mut writer = client.stream.try_clone().unwrap();
    let (end, over) = channel();
    let dripping = std::thread::spawn(move || now_and_then(&over, || writer.write_all(b"x")));
    assert_eq!(client.response().status(), 408);
    drop(end);
    dripping.join().unwrap();
    assert_eq!(cut(&edge), 1);
}

#[test]
fn a_content_that_drips_over_http2_is_408() {
    let origin = Origin::start();
    let flags = ["--origin-first-byte", "400ms", "--min-rate", "1GiB/s"];
    let edge = Edge::start(&origin, &flags);
    let connection = h2::Frames::clear(edge.addresses[0]);
    let exchange = connection.ask("POST", "/", &[], true);
    let _asked = origin.asked();
    assert_eq!(exchange.answer_while_dripping(NOW_AND_THEN).status, 408);
}

/// Asks for as many things as it takes until one is refused for want of room; says what was asked.
fn fill(edge: &Edge, origin: &Origin) -> (Vec<Wire>, Vec<Asked>) {
    let (mut clients, mut asked) = (Vec::new(), Vec::new());
    loop {
        let mut client = edge.client();
        client.ask("GET", &format!("/{}", clients.len()), "");
        // Who is refused is answered; who is not has reached the origin.
        edge.metric_until("nigh_origin_requests_total", |count| {
            count > asked.len() as u64 || edge.metric("nigh_limited_total{limit=\"buffers\"}") > 0
        });
        if edge.metric("nigh_limited_total{limit=\"buffers\"}") > 0 {
            let refused = client.response();
            refused.assert_problem(503);
            assert_eq!(refused.first("retry-after"), "1");
            return (clients, asked);
        }
        asked.push(origin.asked());
        clients.push(client);
    }
}

#[test]
fn all_buffers_stay_under_their_ceiling_and_what_has_no_room_is_503() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[&ADMIN[..], &["--buffers", "1MiB"]].concat());
    let ceiling = edge.metric("nigh_buffers_ceiling_bytes");
    assert_eq!((ceiling, edge.metric("nigh_buffers_bytes")), (1 << 20, 0));
    let (mut clients, asked) = fill(&edge, &origin);
    assert!(clients.len() > 10, "{} were let in", clients.len());
    assert!(edge.metric("nigh_buffers_bytes") <= ceiling);
    for (asked, client) in asked.into_iter().zip(&mut clients) {
        asked.answer(ok("no-store", "x"));
        assert_eq!(client.response().text(), "x");
    }
    drop(clients);
    edge.metric_until("nigh_buffers_bytes", |bytes| bytes == 0);
    let mut client = edge.client();
    client.ask("GET", "/again", "");
    origin.asked().answer(ok("no-store", "x"));
    assert_eq!(client.response().status(), 200);
}

#[test]
fn responses_in_passing_have_a_window_each_under_the_same_ceiling() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[&ADMIN[..], &["--buffers", "1MiB"]].concat());
    let mut passing = Vec::new();
    let head = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n\
                1\r\nx\r\n";
    let refused = loop {
        let mut client = edge.client();
        client.ask("GET", &format!("/{}", passing.len()), "");
        let mut asked = origin.asked();
        asked.send(head);
        let answer = client.final_head();
        if answer.status() != 200 {
            break client.content(answer);
        }
        passing.push((client, asked));
    };
    refused.assert_problem(503);
    assert_eq!(passing.len(), 3, "windows of 256 KiB beside their connections");
    // A short one fits all the same.
    let mut client = edge.client();
    client.ask("GET", "/short", "");
    origin.asked().answer(ok("no-store", "x"));
    assert_eq!(client.response().text(), "x");
}

#[test]
fn where_idle_connections_fill_the_ceiling_those_that_waited_longest_make_room() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let flags = [&ADMIN[..], &["--buffers", "1MiB", "--workers", "1"]].concat();
    let edge = Edge::start(&origin, &flags);
    edge.fill("/");
    let mut held: Vec<Wire> = (0..50).map(|_| edge.client()).collect();
    // From here on, the second has waited longest.
    assert!(held[0].get("/").says("hit"));
    // Many more than there is room for, and none of them waits for it.
    for _ in 0..100 {
        let mut client = edge.client();
        assert!(client.get("/").says("hit"));
        assert!(held[0].get("/").says("hit"));
        held.push(client);
    }
    held[1].assert_closed();
    assert!(edge.metric("nigh_idle_closed_total") >= 86, "the ceiling has room for 64");
    assert_eq!(edge.metric("nigh_accept_pauses_total"), 0);
}

/// A client that has said the first line of a request, and it was read: it came with one that is
/// answered.
fn begun(mut client: Wire) -> Wire {
    client.send("GET / HTTP/1.1\r\nHost: www.example\r\n\r\nGET / HTTP/1.1\r\n");
    assert!(client.response().says("hit"));
    client
}

#[test]
fn a_head_that_there_is_no_room_for_is_503_with_a_time_to_come_again() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--buffers", "1MiB", "--workers", "1"]);
    edge.fill("/");
    let mut held: Vec<Wire> = (0..64).map(|_| edge.client()).map(begun).collect();
    held[0].send(format!("X-Long: {}", "x".repeat(16 * 1024)));
    let refused = held[0].response();
    refused.assert_problem(503);
    assert_eq!(refused.first("retry-after"), "1");
}

#[test]
fn where_busy_connections_alone_fill_the_ceiling_the_next_one_waits() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--buffers", "1MiB", "--workers", "1"]);
    edge.fill("/");
    let mut held: Vec<Wire> = (0..64).map(|_| begun(edge.client())).collect();
    let mut waiting = edge.client();
    waiting.ask("GET", "/", "");
    edge.line("all buffers together are at their ceiling");
    held[63].send("Host: www.example\r\n\r\n");
    assert!(held[63].response().says("hit"));
    assert!(waiting.response().says("hit"), "one of them is idle now");
}
