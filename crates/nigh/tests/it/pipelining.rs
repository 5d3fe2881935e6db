//! Requests that arrive before the answers to earlier ones have left: RFC 9112, section 9.3.2.

use std::sync::{Arc, RwLock};

use crate::support::{Edge, Origin, ok};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: www.example\r\n\r\n")
}

#[test]
fn hits_and_misses_are_answered_in_the_order_of_the_requests() {
    let origin = Origin::answering(|head| {
        let cacheable = if head.target().starts_with("/kept") { "max-age=100" } else { "no-store" };
        ok(cacheable, head.target())
    });
    let edge = Edge::start(&origin, &[]);
    edge.fill("/kept/1");
    let targets = ["/kept/1", "/not", "/kept/1", "/kept/2", "/not", "/kept/2", "/kept/1"];
    let mut client = edge.client();
    client.send(targets.map(get).concat());
    for target in targets {
        assert_eq!(client.response().text(), target);
    }
}

#[test]
fn an_answer_to_head_between_others_has_no_content() {
    let origin = Origin::saying(ok("max-age=100", "content"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(get("/") + &get("/").replacen("GET", "HEAD", 1) + &get("/"));
    assert_eq!(client.response().text(), "content");
    assert_eq!(client.head().first("content-length"), "7");
    assert_eq!(client.response().text(), "content");
}

#[test]
fn a_request_behind_content_begins_where_the_content_ends() {
    let origin = Origin::answering(|head| ok("no-store", &head.start));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyPOST /b HTTP/1.1\r\nHost: a\r\n\
         Transfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for start in ["POST /a HTTP/1.1", "POST /b HTTP/1.1", "GET /c HTTP/1.1"] {
        assert_eq!(client.response().text(), start);
    }
}

#[test]
fn a_thousand_pipelined_hits_are_a_thousand_answers() {
    let origin = Origin::saying(ok("max-age=100", &"x".repeat(1000)));
    let edge = Edge::start(&origin, &[]);
    edge.fill("/");
    let mut client = edge.client();
    let mut writer = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, get("/").repeat(1000).as_bytes()).unwrap();
    });
    for _ in 0..1000 {
        assert_eq!(client.response().body.len(), 1000);
    }
    sending.join().unwrap();
    assert_eq!(origin.requests(), 1);
}

#[test]
fn nothing_behind_a_request_that_closes_is_answered() {
    let origin = Origin::answering(|head| ok("no-store", head.target()));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(get("/a").replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1) + &get("/b"));
    let response = client.response();
    assert_eq!((response.text(), response.first("connection")), ("/a", "close"));
    client.finish_sending();
    client.assert_closed();
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_request_cut_anywhere_is_the_same_request() {
    let origin = Origin::answering(|head| ok("max-age=100", head.target()));
    let edge = Edge::start(&origin, &[]);
    let text = get("/a");
    for at in 1..text.len() {
        let mut client = edge.client();
        client.send(&text[..at]);
        client.send(&text[at..]);
        assert_eq!(client.response().text(), "/a", "cut at {at}");
    }
    let mut client = edge.client();
    for byte in text.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.response().text(), "/a");
}

#[test]
fn misses_behind_a_miss_are_fetched_while_it_is() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(["/1", "/2", "/3"].map(get).concat());
    let mut asked: Vec<_> = (0..3).map(|_| origin.asked()).collect();
    asked.sort_by_key(|asked| asked.head.target().to_owned());
    for last in asked.into_iter().rev() {
        let target = last.head.target().to_owned();
        last.answer(ok("no-store", &target));
    }
    for target in ["/1", "/2", "/3"] {
        assert_eq!(client.response().text(), target);
    }
}

#[test]
fn a_miss_that_is_asked_for_while_another_is_waited_for_is_fetched_at_once() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(get("/1"));
    let first = origin.asked();
    client.send(get("/2"));
    origin.asked().answer(ok("no-store", "/2"));
    first.answer(ok("no-store", "/1"));
    for target in ["/1", "/2"] {
        assert_eq!(client.response().text(), target);
    }
}

#[test]
fn what_is_asked_twice_behind_a_miss_is_fetched_once() {
    let origin = Origin::answering(|head| ok("max-age=100", head.target()));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let targets = ["/1", "/2", "/2", "/1", "/3"];
    client.send(targets.map(get).concat());
    for target in targets {
        assert_eq!(client.response().text(), target);
    }
    assert_eq!(origin.requests(), 3);
}

#[test]
fn what_was_stored_when_it_was_asked_for_is_looked_up_when_its_turn_comes() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let mut other = edge.client();
    other.ask("GET", "/h", "");
    origin.asked().answer(ok("max-age=100", "old"));
    assert_eq!(other.response().text(), "old");
    client.send(get("/1") + &get("/h"));
    let first = origin.asked();
    other.ask("DELETE", "/h", "");
    origin.asked().answer(ok("no-store", "gone"));
    assert_eq!(other.response().text(), "gone");
    first.answer(ok("no-store", "one"));
    origin.asked().answer(ok("max-age=100", "new"));
    for text in ["one", "new"] {
        assert_eq!(client.response().text(), text);
    }
}

#[test]
fn pipelines_in_opposite_orders_do_not_wait_for_each_other() {
    // More than the store takes, and more than waits for who does not read.
    const LENGTH: usize = 40 * 0x4000;
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let origin = Origin::answering({
        let gate = Arc::clone(&gate);
        move |_| {
            drop(gate.read().unwrap());
            let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned()
                + &chunk.repeat(LENGTH / 0x4000)
                + "0\r\n\r\n"
        }
    });
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--max-object", "64KiB"]);
    let mut clients = [edge.client(), edge.client()];
    clients[0].send(get("/x") + &get("/y"));
    edge.status_until(|status| status["origin_requests"] == 2);
    clients[1].send(get("/y") + &get("/x"));
    edge.status_until(|status| status["collapsed"] == 2);
    drop(closed);
    let reading = clients.map(|mut client| {
        std::thread::spawn(move || [client.response().body.len(), client.response().body.len()])
    });
    for reading in reading {
        assert_eq!(reading.join().unwrap(), [LENGTH; 2]);
    }
}

#[test]
fn a_request_that_may_change_something_waits_for_those_before_it() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let delete = get("/2").replacen("GET", "DELETE", 1);
    client.send([get("/1"), delete, get("/3")].concat());
    for (before, target) in ["/1", "/2", "/3"].into_iter().enumerate() {
        let asked = origin.asked();
        assert_eq!((asked.head.target(), origin.requests()), (target, before + 1));
        asked.answer(ok("no-store", target));
        assert_eq!(client.response().text(), target);
    }
}

#[test]
fn what_would_take_the_last_connections_to_the_origin_waits_for_its_turn() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--origin-connections", "2"]);
    let mut client = edge.client();
    client.send(get("/1") + &get("/2"));
    for (before, target) in ["/1", "/2"].into_iter().enumerate() {
        let asked = origin.asked();
        assert_eq!((asked.head.target(), origin.requests()), (target, before + 1));
        asked.answer(ok("no-store", target));
        assert_eq!(client.response().text(), target);
    }
}

#[test]
fn a_malformed_request_behind_a_miss_is_refused_when_its_turn_comes() {
    let origin = Origin::answering(|head| ok("no-store", head.target()));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(get("/1") + &get("/2") + "GET /3 HTTP/1.1\r\nHost : a\r\n\r\n" + &get("/4"));
    assert_eq!(client.response().text(), "/1");
    assert_eq!(client.response().text(), "/2");
    assert_eq!(client.response().status(), 400);
    client.finish_sending();
    client.assert_closed();
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_hundred_pipelined_misses_are_answered_in_order() {
    let origin = Origin::answering(|head| ok("max-age=100", &head.target().repeat(500)));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let targets: Vec<_> = (0..100).map(|n| format!("/{n}")).collect();
    client.send(targets.iter().map(|target| get(target)).collect::<String>());
    for target in &targets {
        assert_eq!(client.response().text(), target.repeat(500));
    }
    assert_eq!(origin.requests(), 100);
}

#[test]
fn a_client_that_sends_its_last_request_and_closes_its_side_is_answered() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(get("/a"));
    client.finish_sending();
    origin.asked().answer(ok("no-store", "x"));
    assert_eq!(client.response().text(), "x");
    client.assert_closed();
}
