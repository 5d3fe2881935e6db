//! Everything ends somewhere: sizes, times, connections and file descriptors.

use std::time::{Duration, Instant};

use crate::support::{Edge, Origin, Wire, h2, ok};

#[test]
fn a_head_above_the_limit_is_431() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &["--max-head", "1KiB"]);
    let mut client = edge.client();
    assert_eq!(client.get_with("/", &format!("X: {}\r\n", "x".repeat(800))).status(), 200);
    client.ask("GET", "/", &format!("X: {}\r\n", "x".repeat(2000)));
    let response = client.response();
    response.assert_problem(431);
    assert_eq!(response.first("connection"), "close");
    client.finish_sending();
    client.assert_closed();
    // A head that never ends is refused as soon as it is too long.
    let mut client = edge.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(2000)));
    client.response().assert_problem(431);
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_target_above_the_limit_is_414() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &["--max-target", "100B"]);
    let mut client = edge.client();
    assert_eq!(client.get(&format!("/{}", "x".repeat(99))).status(), 200);
    client.ask("GET", &format!("/{}", "x".repeat(100)), "");
    client.response().assert_problem(414);
    // Before its end comes.
    let mut client = edge.client();
    client.send(format!("GET /{}", "x".repeat(200)));
    client.response().assert_problem(414);
    assert_eq!(origin.requests(), 1);
}

#[test]
fn too_many_fields_are_431() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &["--max-fields", "10"]);
    let mut client = edge.client();
    assert_eq!(client.get_with("/", &"X: 1\r\n".repeat(9)).status(), 200);
    client.ask("GET", "/", &"X: 1\r\n".repeat(10));
    client.response().assert_problem(431);
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_head_that_takes_too_long_is_408() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--head-time", "300ms"]);
    // The first head of a connection, and a later one.
    for before in [0, 1] {
        let mut client = edge.client();
        for _ in 0..before {
            client.get("/");
        }
        client.send("GET / HTTP/1.1\r\nHost: a\r\n");
        let response = client.response();
        response.assert_problem(408);
        assert_eq!(response.first("connection"), "close");
        client.finish_sending();
        client.assert_closed();
    }
}

#[test]
fn a_head_that_drips_is_as_late_as_one_that_stops() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &["--head-time", "300ms"]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    let mut writer = client.stream.try_clone().unwrap();
    let (over, ended) = std::sync::mpsc::channel::<()>();
    let dripping = std::thread::spawn(move || {
        // A byte every 20 ms, until the answer is there: each is progress, and none is a head.
        while ended.recv_timeout(Duration::from_millis(20)).is_err() {
            if std::io::Write::write_all(&mut writer, b"x").is_err() {
                return;
            }
        }
    });
    let response = client.response();
    over.send(()).unwrap();
    response.assert_problem(408);
    dripping.join().unwrap();
}

#[test]
fn a_connection_without_a_request_is_closed_without_a_word() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--idle-time", "200ms", "--head-time", "200ms"]);
    let mut silent = edge.client();
    let mut idle = edge.client();
    idle.get("/");
    silent.assert_closed();
    idle.assert_closed();
}

#[test]
fn a_content_that_stops_is_given_up() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--stall-time", "200ms"]);
    let mut client = edge.client();
    client.ask("POST", "/", "Content-Length: 10\r\n");
    client.send("first");
    let mut asked = origin.asked();
    assert_eq!(asked.wire.rest(), b"first");
    let response = client.response();
    assert_eq!(response.status(), 408, "{response:?}");
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let origin = Origin::saying(ok("max-age=100", &"x".repeat(16 << 20)));
    let edge = Edge::start(&origin, &["--stall-time", "200ms", "--admin", "127.0.0.1:0"]);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    edge.status_until(|status| status["connections"] == 1);
    edge.status_until(|status| status["connections"] == 0);
    let received = client.rest().len();
    assert!(received < 16 << 20, "{received} bytes came");
}

#[test]
fn at_the_limit_of_connections_the_next_one_waits_until_one_is_idle() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--max-connections", "2", "--workers", "1"]);
    let mut held = [edge.client(), edge.client()];
    for client in &mut held {
        client.get("/");
        client.send("GET / HTTP/1.1\r\n");
    }
    let mut waiting = edge.client();
    waiting.ask("GET", "/", "");
    edge.line("as many connections as allowed are open");
    waiting.stream.set_nonblocking(true).unwrap();
    let early = waiting.stream.peek(&mut [0; 1]);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    waiting.stream.set_nonblocking(false).unwrap();
    held[0].send("Host: www.example\r\n\r\n");
    assert!(held[0].response().says("hit"), "it is served as before");
    assert_eq!(waiting.response().text(), "x");
    held[0].assert_closed();
    held[1].send("Host: www.example\r\n\r\n");
    assert!(held[1].response().says("hit"), "it was busy, and made no room");
}

#[test]
fn accepting_pauses_only_if_somebody_wants_to_come_in() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let flags = ["--max-connections", "1", "--workers", "1", "--admin", "127.0.0.1:0"];
    let edge = Edge::start(&origin, &flags);
    let mut held = edge.client();
    assert_eq!(held.get("/").text(), "x");
    assert_eq!(edge.metric("nigh_accept_pauses_total"), 0, "all places are taken, and that is all");
    held.send("GET / HTTP/1.1\r\n");
    let mut waiting = edge.client();
    waiting.ask("GET", "/", "");
    edge.metric_until("nigh_accept_pauses_total", |pauses| pauses > 0);
    drop(held);
    assert!(waiting.response().says("hit"));
}

#[test]
fn an_idle_connection_makes_room_whichever_worker_has_it() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--max-connections", "1", "--workers", "2"]);
    let held = [(); 8].map(|()| {
        let mut client = edge.client();
        assert_eq!(client.get("/").text(), "x");
        client
    });
    drop(held);
}

#[test]
fn connections_that_come_together_cost_no_more_idle_ones_than_they_need() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let flags = ["--max-connections", "128", "--workers", "1", "--admin", "127.0.0.1:0"];
    let edge = Edge::start(&origin, &flags);
    let held = [(); 116].map(|()| edge.client());
    edge.status_until(|status| status["connections"] == 116);
    edge.process.pause();
    let mut together = [(); 40].map(|()| edge.client());
    edge.process.go_on();
    together.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "x"));
    let closed = edge.metric("nigh_idle_closed_total");
    assert!((36..50).contains(&closed), "{closed} for 40 of which 4 had room");
    drop(held);
}

#[test]
fn an_http2_connection_makes_room_only_once_its_streams_have_ended() {
    let origin = Origin::start();
    let flags = ["--max-connections", "1", "--workers", "1", "--admin", "127.0.0.1:0"];
    let edge = Edge::start(&origin, &flags);
    let streams = h2::Client::clear(edge.addresses[0]);
    let get = h2::request("GET", "/", &[]).body(h2::empty()).unwrap();
    let asking = streams.runtime.spawn(h2::exchange(streams.sender.clone(), get));
    let asked = origin.asked();
    let mut waiting = edge.client();
    waiting.ask("GET", "/", "");
    edge.line("as many connections as allowed are open");
    asked.answer(ok("max-age=100", "x"));
    assert_eq!(&*streams.runtime.block_on(asking).unwrap().unwrap().body, b"x");
    assert!(waiting.response().says("hit"));
    assert_eq!(edge.metric("nigh_idle_closed_total"), 1);
}

#[test]
fn the_limit_of_connections_counts_connections_and_not_listeners() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let flags =
        ["--max-connections", "1", "--listen", "http://127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let edge = Edge::start(&origin, &flags);
    let status = edge.status_until(|_| true);
    assert_eq!(status["connections"], 0, "nobody is connected");
    for address in &edge.addresses {
        assert_eq!(Wire::connect(*address).get("/").text(), "x");
        edge.status_until(|status| status["connections"] == 0);
    }
}

#[test]
fn out_of_descriptors_accepting_pauses_and_says_so_and_recovers_without_spinning() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::with_descriptors(&origin, 40, &["--workers", "1"]);
    edge.fill("/");
    let begun = |mut client: Wire| {
        client.send("GET / HTTP/1.1\r\n");
        client
    };
    let clients: Vec<Wire> = (0..60).map(|_| begun(edge.client())).collect();
    edge.line("no file descriptors are left");
    // The time is measured, not waited for: a loop that spins uses all of it.
    let (before, started) = (edge.cpu(), Instant::now());
    std::thread::sleep(Duration::from_millis(500));
    let (used, passed) = (edge.cpu() - before, started.elapsed());
    assert!(used < passed / 5, "{used:?} of {passed:?} were spent on accepting nothing");
    drop(clients);
    assert!(edge.get("/").says("hit"));
}
