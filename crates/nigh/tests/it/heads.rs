//! HEAD for what is not stored: the origin is asked with GET, once for all who ask, and what comes is kept.

use crate::support::{
    Asked, Edge, Origin, SettingsFile, Wire,
    cluster::{Cluster, ordered},
    h2::{Client, empty, request},
    ok,
    origin::answer,
};

const SLICE: usize = 64 * 1024;

/// Asks with HEAD, and has heard nothing yet.
#[track_caller]
fn asking(edge: &Edge, target: &str) -> Wire {
    let mut client = edge.client();
    client.ask("HEAD", target, "");
    client
}

/// Waits until the edge has closed this connection; what it is sent meanwhile goes nowhere.
#[track_caller]
fn assert_given_up(mut asked: Asked) {
    asked.wire.assert_closed();
}

#[test]
fn eighteen_heads_at_once_are_one_get_at_the_origin_and_are_answered_before_its_body_comes() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut clients = vec![asking(&edge, "/")];
    let mut asked = origin.asked();
    clients.extend((1..18).map(|_| asking(&edge, "/")));
    edge.status_until(|status| status["collapsed"] == 17);
    assert_eq!(asked.head.method(), "GET");
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 7\r\n\r\n");
    for client in &mut clients {
        let head = client.final_head();
        assert_eq!((head.status(), head.first("content-length")), (200, "7"));
        assert!(head.says("fwd=uri-miss") && head.says("stored"), "{}", head.cache());
    }
    asked.answer("content");
    edge.status_until(|status| status["store"]["objects"] == 1);
    // No content followed a head: the next answer begins at once.
    for client in &mut clients {
        let hit = client.get("/");
        assert_eq!((hit.says("hit"), hit.text()), (true, "content"));
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_get_reads_along_with_what_a_head_has_asked_for() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut head = asking(&edge, "/");
    let mut asked = origin.asked();
    let mut client = edge.client();
    client.ask("GET", "/", "");
    edge.status_until(|status| status["collapsed"] == 1);
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 10\r\n\r\nfirst");
    assert_eq!(head.final_head().status(), 200);
    drop(head);
    client.final_head();
    assert_eq!(client.exact(5), b"first");
    asked.answer("after");
    assert_eq!(client.exact(5), b"after");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn over_http2_a_head_is_kept_for_a_get_as_well() {
    let origin = Origin::saying(ok("max-age=100", "content"));
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let client = Client::clear(edge.addresses[0]);
    let head = client.send(request("HEAD", "/", &[]).body(empty()).unwrap());
    assert_eq!((&head.fields["content-length"], head.body.len()), (&"7".parse().unwrap(), 0));
    assert!(head.cache().starts_with("nigh; fwd=uri-miss"), "{}", head.cache());
    edge.status_until(|status| status["store"]["objects"] == 1);
    let got = client.get("/");
    assert_eq!((&*got.body, got.cache().starts_with("nigh; hit")), (&b"content"[..], true));
    assert_eq!(origin.requests(), 1);
    assert_eq!(origin.last().method(), "GET");
}

#[test]
fn ranges_and_conditions_that_are_judged_here_keep_no_head_from_being_shared() {
    let lines = "Cache-Control: max-age=100\r\nETag: \"a\"\r\n";
    for (asked, status) in [("Range: bytes=0-1\r\n", 200), ("If-None-Match: \"a\"\r\n", 304)] {
        let origin = Origin::saying(answer(lines, "content"));
        let edge = Edge::start(&origin, &[]);
        let mut client = edge.client();
        client.ask("HEAD", "/", asked);
        assert_eq!(client.final_head().status(), status, "{asked}");
        assert_eq!(client.get("/").text(), "content");
        assert_eq!(origin.requests(), 1, "{asked}");
        assert!(!origin.last().has("range") && !origin.last().has("if-none-match"), "{asked}");
    }
}

#[test]
fn a_head_that_is_one_of_a_kind_or_goes_past_the_store_is_a_head_at_the_origin() {
    let origin = Origin::answering(|head| {
        let whole = ok("max-age=100", "content");
        if head.method() == "HEAD" { whole.replace("content", "") } else { whole }
    });
    let file = SettingsFile::with(&format!(
        "[[site]]\nhost = \"*\"\norigin = \"{}\"\n[[site.path]]\nmatch = \"/by\"\nbypass = true\n",
        origin.url()
    ));
    let edge = Edge::of(&file);
    let mut client = edge.client();
    for (target, lines) in [
        ("/", "If-Match: *\r\n"),
        ("/", "Authorization: Basic YTpi\r\n"),
        ("/", "Cache-Control: no-store\r\n"),
        ("/by", ""),
    ] {
        client.ask("HEAD", target, lines);
        let head = client.final_head();
        assert_eq!((head.status(), head.first("content-length")), (200, "7"), "{target} {lines}");
        assert_eq!(origin.last().method(), "HEAD", "{target} {lines}");
    }
    assert_eq!(client.get("/").text(), "content");
    assert_eq!(origin.last().method(), "GET", "nothing was kept of those");
}

#[test]
fn a_range_says_nothing_with_a_head_that_is_one_at_the_origin_either() {
    // As origins do that know no better (RFC 9110, section 14.2).
    let origin = Origin::answering(|head| match (head.method(), head.has("range")) {
        ("HEAD", true) => "HTTP/1.1 206 Partial Content\r\nCache-Control: no-store\r\n\
             Content-Range: bytes 0-1/7\r\nContent-Length: 2\r\n\r\n"
            .to_owned(),
        ("HEAD", false) => ok("no-store", "content").replace("content", ""),
        _ => ok("no-store", "content"),
    });
    let file = SettingsFile::with(&format!(
        "[[site]]\nhost = \"*\"\norigin = \"{}\"\n[[site.path]]\nmatch = \"/by\"\nbypass = true\n",
        origin.url()
    ));
    let edge = Edge::of(&file);
    let mut client = edge.client();
    // That it may not be kept is known from the second time on.
    for (target, method) in [("/", "GET"), ("/", "HEAD"), ("/by", "HEAD")] {
        client.ask("HEAD", target, "Range: bytes=0-1\r\nIf-Range: \"a\"\r\n");
        let head = client.final_head();
        assert_eq!((head.status(), head.first("content-length")), (200, "7"), "{target} {method}");
        assert!(!head.has("content-range"), "{target} {method}: {head:?}");
        let asked = origin.last();
        assert_eq!(asked.method(), method, "{target}");
        assert!(!asked.has("range") && !asked.has("if-range"), "{target} {method}");
    }
}

#[test]
fn the_body_of_what_may_not_be_kept_is_given_up_and_the_next_head_asks_for_none() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = asking(&edge, "/");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 9999\r\n\r\nsecret");
    let head = client.final_head();
    assert_eq!((head.status(), head.first("content-length")), (200, "9999"));
    assert!(head.says("detail=no-store"), "{}", head.cache());
    assert_given_up(asked);
    client.ask("HEAD", "/", "");
    let asked = origin.asked();
    assert_eq!(asked.head.method(), "HEAD");
    asked.answer("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 8\r\n\r\n");
    assert_eq!(client.final_head().first("content-length"), "8");
    client.ask("GET", "/other", "");
    origin.asked().answer(ok("no-store", "other"));
    assert_eq!(client.response().text(), "other", "nothing came in between");
}

#[test]
fn of_a_large_object_a_head_brings_one_slice() {
    let length = SLICE * 16;
    let body = "x".repeat(length);
    let lines = "Cache-Control: max-age=1000\r\nAccept-Ranges: bytes\r\nETag: \"1\"\r\n";
    let part = |range: &str, body: &str| {
        let lines = format!("{lines}Content-Range: bytes {range}/{length}\r\n");
        answer(&lines, body).replacen("200 OK", "206 Partial Content", 1)
    };
    let origin = Origin::start();
    let flags = ["--slice", "64KiB", "--slice-above", "256KiB", "--admin", "127.0.0.1:0"];
    let edge = Edge::start(&origin, &flags);
    let mut client = edge.client();
    // A range says nothing with HEAD: the front comes.
    client.ask("HEAD", "/", &format!("Range: bytes={}-\r\n", 3 * SLICE));
    let mut whole = origin.asked();
    let sent = answer(lines, &body);
    whole.send(&sent[..sent.len() - (length - SLICE)]);
    let proof = origin.asked();
    assert_eq!(proof.head.first("range"), "bytes=0-0");
    proof.answer(part("0-0", "x"));
    let head = client.final_head();
    assert_eq!((head.status(), head.first("content-length")), (200, &*length.to_string()));
    assert!(head.says("stored"), "{}", head.cache());
    let first = client.get_with("/", "Range: bytes=0-9\r\n");
    assert_eq!((first.status(), first.says("hit")), (206, true), "{}", first.cache());
    client.ask("GET", "/", &format!("Range: bytes={SLICE}-{SLICE}\r\n"));
    let second = origin.asked();
    let asked = format!("{SLICE}-{}", 2 * SLICE - 1);
    assert_eq!(second.head.first("range"), format!("bytes={asked}"), "nothing else is there");
    second.answer(part(&asked, &body[..SLICE]));
    assert_eq!(client.response().body.len(), 1);
    assert_given_up(whole);
}

/// What a HEAD alone brings no body of, as far as it is known from the head.
const LONG: usize = 9 << 20;

#[test]
fn a_long_body_that_is_kept_in_no_slices_is_brought_for_no_head_but_for_a_get() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let head =
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: {LONG}\r\n\r\n");
    let mut client = asking(&edge, "/");
    let mut asked = origin.asked();
    asked.send(&head);
    let long = client.final_head();
    assert_eq!(long.first("content-length"), LONG.to_string());
    assert!(long.says("detail=head-only") && !long.says("stored"), "{}", long.cache());
    assert_given_up(asked);
    client.ask("HEAD", "/", "");
    let asked = origin.asked();
    assert_eq!(asked.head.method(), "HEAD", "that it is long is remembered");
    asked.answer(&head);
    assert_eq!(client.final_head().status(), 200);
    let mut clients: Vec<_> = (0..2).map(|_| edge.client()).collect();
    clients.iter_mut().for_each(|client| client.ask("GET", "/", ""));
    let asked = origin.asked();
    edge.status_until(|status| status["collapsed"] == 1);
    asked.answer(ok("max-age=9", &"x".repeat(LONG)));
    for client in &mut clients {
        assert_eq!(client.response().body.len(), LONG);
    }
    assert_eq!(origin.requests(), 3);
}

#[test]
fn a_body_without_an_end_is_given_up_for_a_head() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = asking(&edge, "/");
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = client.final_head();
    assert!(head.status() == 200 && !head.has("content-length"), "{head:?}");
    let chunk = format!("{SLICE:x}\r\n{}\r\n", "x".repeat(SLICE));
    // What is on its way in the kernel's buffers is nobody's.
    let sent = (0..LONG * 4 / SLICE).position(|_| asked.wire.try_send(&chunk).is_err());
    assert!(sent.is_some(), "all of it is taken");
    assert!(edge.held("/").is_none());
}

#[test]
fn heads_at_edges_that_do_not_own_it_are_one_get_at_the_origin() {
    let origin = Origin::start();
    let cluster = Cluster::start("heads", &origin, 3, "");
    let target = ordered(&cluster, "heads", &[2, 1, 0]);
    let mut clients: Vec<_> =
        (0..18).map(|client| asking(&cluster.edges[client % 3], &target)).collect();
    let mut asked = origin.asked();
    assert_eq!(asked.head.method(), "GET");
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 7\r\n\r\n");
    for client in &mut clients {
        let head = client.final_head();
        assert_eq!((head.status(), head.first("content-length")), (200, "7"));
    }
    asked.answer("content");
    for edge in &cluster.edges {
        assert_eq!(edge.get(&target).text(), "content");
    }
    assert_eq!(origin.requests(), 1);
}
