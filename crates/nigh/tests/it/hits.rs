//! What is answered from the store, and what Cache-Status (RFC 9211) says about everything.

use crate::support::{Edge, Origin, edge::summary, ok, origin::answer};

#[test]
fn a_miss_is_stored_and_the_next_request_is_a_hit() {
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    let miss = client.get("/a?b=c");
    assert_eq!(summary(&miss), (200, "fwd=uri-miss; fwd-status=200; ttl=100; stored"));
    let hit = client.get("/a?b=c");
    assert!(hit.says("hit") && hit.number("ttl").is_some_and(|ttl| (90..=100).contains(&ttl)));
    assert_eq!((miss.text(), hit.text()), ("hello", "hello"));
    assert_eq!(origin.requests(), 1);
}

#[test]
fn every_url_has_an_answer_of_its_own() {
    let origin = Origin::answering(|head| ok("max-age=100", head.target()));
    let edge = Edge::start(&origin, &[]);
    for _ in 0..2 {
        for target in ["/a", "/A", "/a?", "/a?x", "/a/", "//a", "/%61", "/a%2Fb"] {
            assert_eq!(edge.fill(target).text(), target);
        }
    }
    assert_eq!(origin.requests(), 8);
}

#[test]
fn every_host_and_scheme_has_an_answer_of_its_own() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for (host, hit) in [("a.example", false), ("b.example", false), ("A.Example:80", true)] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().says("hit"), hit, "{host}");
    }
    // The authority of an absolute target is the one that counts (RFC 9112, section 3.2.2).
    client.send("GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert!(client.response().says("hit"));
}

#[test]
fn head_is_answered_from_a_stored_get() {
    let origin = Origin::saying(ok("max-age=100", "12345"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.get("/");
    client.ask("HEAD", "/", "");
    let head = client.final_head();
    assert_eq!((head.status(), head.first("content-length")), (200, "5"));
    assert!(head.says("hit"));
    // Nothing followed it: the next answer begins at once.
    assert!(client.get("/").says("hit"));
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_hit_has_the_age_that_the_origin_said_and_its_own() {
    let origin = Origin::saying(answer("Cache-Control: max-age=100\r\nAge: 30\r\n", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    assert_eq!(client.get("/").number("ttl"), Some(70));
    let hit = client.get("/");
    let age: i64 = hit.first("age").parse().unwrap();
    assert!((30..=40).contains(&age), "{age}");
    assert_eq!(hit.number("ttl"), Some(100 - age));
    assert_eq!(hit.all("age").count(), 1);
}

#[test]
fn a_hit_keeps_the_date_of_the_origin() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let lines = format!("Cache-Control: max-age=4000000000\r\nDate: {date}\r\n");
    let origin = Origin::saying(answer(&lines, "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for _ in 0..2 {
        assert_eq!(client.get("/").first("date"), date);
    }
}

#[test]
fn cache_status_says_why_nothing_was_stored() {
    for (lines, request, why) in [
        ("Cache-Control: no-store\r\n", "", "no-store"),
        ("Cache-Control: private\r\n", "", "private"),
        ("Cache-Control: max-age=9\r\nVary: *\r\n", "", "vary-star"),
        ("Cache-Control: max-age=9\r\nSet-Cookie: a=b\r\n", "", "set-cookie"),
        ("Cache-Control: max-age=9\r\n", "Cache-Control: no-store\r\n", "request-no-store"),
        ("Cache-Control: max-age=9\r\n", "Authorization: Basic eDp5\r\n", "authorization"),
        ("Cache-Control: max-age=0\r\n", "", "no-freshness-and-no-validator"),
    ] {
        let origin = Origin::saying(answer(lines, "x"));
        let edge = Edge::start(&origin, &["--workers", "1"]);
        let mut client = edge.client();
        for _ in 0..2 {
            let response = client.get_with("/", request);
            assert_eq!(response.text(), "x");
            let expected = format!("fwd=uri-miss; fwd-status=200; detail={why}");
            assert_eq!(response.cache(), expected, "{lines}{request}");
        }
        assert_eq!(origin.requests(), 2);
    }
}

#[test]
fn only_if_cached_never_asks_the_origin() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.get_with("/", "Cache-Control: only-if-cached\r\n").assert_problem(504);
    assert_eq!(origin.requests(), 0);
    client.get("/");
    assert!(client.get_with("/", "Cache-Control: only-if-cached\r\n").says("hit"));
}

#[test]
fn a_request_that_wants_a_fresh_answer_is_forwarded() {
    let origin = Origin::saying(answer("Cache-Control: max-age=100\r\nETag: \"a\"\r\n", "x"));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.get("/");
    for request in ["Cache-Control: no-cache\r\n", "Cache-Control: min-fresh=1000\r\n"] {
        let response = client.get_with("/", request);
        assert!(response.says("fwd=request"), "{request}: {}", response.cache());
    }
    assert_eq!(origin.requests(), 3);
}

#[test]
fn a_variant_is_selected_by_the_fields_that_vary_names() {
    let origin = Origin::answering(|head| {
        let language = head.first("accept-language").to_owned();
        answer("Cache-Control: max-age=100\r\nVary: Accept-Language\r\n", &language)
    });
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for (language, status) in [
        ("de", "fwd=uri-miss"),
        ("fr", "fwd=vary-miss"),
        ("de", "hit"),
        ("DE", "hit"),
        ("fr", "hit"),
    ] {
        let response = client.get_with("/", &format!("Accept-Language: {language}\r\n"));
        assert_eq!(response.text(), language.to_lowercase());
        assert!(response.says(status), "{language}: {}", response.cache());
    }
}

#[test]
fn an_unsafe_request_outdates_what_is_stored() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &[]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
        edge.fill("/");
        let before = origin.requests();
        let mut client = edge.client();
        client.ask(method, "/", "Content-Length: 0\r\n");
        let response = client.response();
        assert!(response.says("fwd=method"), "{method}: {}", response.cache());
        assert!(client.get("/").says("fwd=uri-miss"), "{method}");
        assert_eq!(origin.requests(), before + 2, "{method}");
    }
}

#[test]
fn a_large_object_comes_back_byte_for_byte() {
    let body: String =
        (0..300_000).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect();
    let origin = Origin::saying(ok("max-age=100", &body));
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for _ in 0..3 {
        assert!(client.get("/").text() == body, "the bytes differ");
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn an_object_above_the_limit_is_passed_on_and_not_stored() {
    let origin = Origin::saying(ok("max-age=100", &"x".repeat(20_000)));
    let edge = Edge::start(&origin, &["--max-object", "10KiB"]);
    let mut client = edge.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.body.len(), 20_000);
        assert!(response.says("detail=no-room"), "{}", response.cache());
    }
}

#[test]
fn statuses_are_passed_on_and_negative_answers_are_stored_only_when_they_say_so() {
    let origin = Origin::answering(|head| {
        let (status, lines) = match head.target() {
            "/gone" => ("410 Gone", "Cache-Control: max-age=60\r\n"),
            "/down" => ("503 Service Unavailable", ""),
            _ => ("299 Odd", ""),
        };
        format!("HTTP/1.1 {status}\r\n{lines}Content-Length: 1\r\n\r\nx")
    });
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for (target, status, hit) in [("/gone", 410, true), ("/down", 503, false), ("/odd", 299, false)]
    {
        assert_eq!(client.get(target).status(), status);
        assert_eq!(client.get(target).says("hit"), hit, "{target}");
    }
}
