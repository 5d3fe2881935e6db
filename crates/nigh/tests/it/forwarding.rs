//! What the origin hears of a request and what the client hears of a response: RFC 9110, section 7.6;
//! RFC 7239 (Forwarded); RFC 8586 (CDN-Loop).

use crate::support::{Edge, Origin, ok, origin::answer};

#[test]
fn the_origin_learns_who_asked_and_through_whom() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.get_with(
        "/",
        "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\nVia: 1.0 other\r\n",
    );
    let head = origin.last();
    assert_eq!(head.start, "GET / HTTP/1.1");
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1, 127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "www.example"),
        ("forwarded", "for=192.0.2.1, for=127.0.0.1;host=\"www.example\";proto=http"),
    ] {
        assert_eq!(head.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    assert_eq!(head.all("via").collect::<Vec<_>>(), ["1.0 other", "1.1 nigh"]);
    assert!(head.first("cdn-loop").starts_with("nigh-"));
}

#[test]
fn the_origin_is_asked_by_its_own_name_or_by_the_clients() {
    let origin = Origin::saying(ok("no-store", "x"));
    Edge::start(&origin, &[]).get("/");
    assert_eq!(origin.last().first("host"), origin.address.to_string());
    Edge::start(&origin, &["--keep-host"]).get("/");
    assert_eq!(origin.last().first("host"), "www.example");
    assert_eq!(origin.last().all("host").count(), 1);
}

#[test]
fn fields_of_one_connection_stay_on_it_in_both_directions() {
    let origin = Origin::saying(answer(
        "Cache-Control: max-age=100\r\nConnection: X-Origin-Only, Keep-Alive\r\nX-Origin-Only: 1\r\n\
         Keep-Alive: timeout=7\r\nProxy-Authenticate: Basic\r\nX-End: 1\r\n",
        "x",
    ));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let miss = client.get_with(
        "/",
        "Connection: X-Client-Only, keep-alive\r\nX-Client-Only: 1\r\nKeep-Alive: 9\r\n\
         Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nX-End: 1\r\n",
    );
    let head = origin.last();
    for name in ["x-client-only", "keep-alive", "proxy-authorization", "proxy-connection", "te"] {
        assert!(!head.has(name), "{name} reached the origin");
    }
    assert!(head.has("x-end"));
    for response in [miss, client.get("/")] {
        for name in ["x-origin-only", "keep-alive", "proxy-authenticate", "connection"] {
            assert!(!response.has(name), "{name} reached the client: {response:?}");
        }
        assert!(response.has("x-end"));
        assert_eq!(response.first("via"), "1.1 nigh");
    }
}

#[test]
fn an_edge_that_leads_to_itself_says_so_instead_of_turning_in_circles() {
    // The edge must know its own address before it starts. The port is free a moment before, on an
    // address of loopback that nobody else listens on.
    let own = std::net::TcpListener::bind("127.85.86.1:0").unwrap().local_addr().unwrap();
    let own = format!("http://{own}");
    let edge = Edge::to(&own, &["--listen", &own]);
    let response = edge.get("/");
    response.assert_problem(508);
}

#[test]
fn one_edge_behind_another_is_no_loop() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let inner = Edge::start(&origin, &[]);
    let outer = Edge::to(&format!("http://{}", inner.addresses[0]), &[]);
    let response = outer.get("/");
    assert_eq!((response.status(), response.text()), (200, "x"));
    assert_eq!(origin.last().all("cdn-loop").flat_map(|line| line.split(',')).count(), 2);
    assert_eq!(response.all("via").collect::<Vec<_>>(), ["1.1 nigh", "1.1 nigh"]);
}

#[test]
fn trace_and_connect_are_refused_and_never_reach_the_origin() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("TRACE", "/", "Cookie: secret\r\n");
    let refused = client.response();
    refused.assert_problem(405);
    assert!(!refused.first("allow").contains("TRACE") && refused.has("allow"));
    let mut client = edge.client();
    client.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    client.response().assert_problem(405);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn options_go_as_far_as_they_may() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.ask("OPTIONS", "/", "Max-Forwards: 1\r\n");
    assert_eq!(client.response().text(), "x");
    assert_eq!(origin.last().first("max-forwards"), "0");
    client.ask("OPTIONS", "/", "Max-Forwards: 0\r\n");
    let own = client.response();
    assert_eq!((own.status(), own.has("allow"), own.has("content-length")), (204, true, false));
    assert_eq!(origin.requests(), 1);
    client.get("/");
}

#[test]
fn unknown_methods_are_passed_on_as_they_are() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for method in ["PROPFIND", "get", "X!#$%&'*+-.^_`|~9"] {
        client.ask(method, "/", "");
        let response = client.response();
        assert_eq!(response.cache(), "fwd=method; fwd-status=200; detail=method");
        assert_eq!(origin.last().start, format!("{method} / HTTP/1.1"));
    }
}

#[test]
fn the_target_reaches_the_origin_unchanged() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for target in [
        "/a/../b/./c",
        "//double//",
        "/%7Euser/%2f%2F?q=%20+&&=",
        "/?",
        "/a;b=c,d'(e)*!",
        "/[x]|{y}^\"z\"\\",
        "/ümläut",
    ] {
        client.ask("GET", target, "");
        assert_eq!(client.response().status(), 200, "{target}");
        assert_eq!(origin.last().target(), target);
    }
    for (target, arrives) in [("http://www.example", "/"), ("http://www.example/a?q", "/a?q")] {
        client.ask("GET", target, "");
        assert_eq!(client.response().status(), 200);
        assert_eq!(origin.last().target(), arrives);
    }
}

#[test]
fn bytes_that_no_target_should_have_arrive_encoded_and_never_as_another_target() {
    let origin = Origin::answering(|head| ok("max-age=100", head.target()));
    let edge = Edge::start(&origin, &[]);
    for (target, arrives) in
        [("/a<b>`c`", "/a%3Cb%3E%60c%60"), ("/?<\"ü>%20", "/?%3C%22%C3%BC%3E%20")]
    {
        assert_eq!(edge.fill(target).text(), arrives);
    }
}

#[test]
fn connections_to_the_origin_are_used_again() {
    let origin = Origin::saying(ok("no-store", "x"));
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let mut client = edge.client();
    for _ in 0..10 {
        client.get("/");
    }
    assert_eq!((origin.requests(), origin.connections()), (10, 1));
}

#[test]
fn fields_that_are_not_text_are_passed_on_as_bytes() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Bytes: \xff\x80\r\n\r\n");
    let mut asked = origin.asked();
    // What is no UTF-8 becomes U+FFFD in the test's reader, once for each of the two bytes.
    assert_eq!(asked.head.first("x-bytes"), "\u{fffd}\u{fffd}");
    asked.send(b"HTTP/1.1 200 OK\r\nX-Bytes: \xfe\r\n");
    asked.answer("Content-Length: 0\r\n\r\n");
    assert_eq!(client.response().first("x-bytes"), "\u{fffd}");
}
