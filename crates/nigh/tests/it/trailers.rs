//! Trailer fields in both directions: RFC 9110, section 6.5, and RFC 9112, section 7.1.2.

use crate::support::{Edge, Origin, ok};

const WITH_TRAILERS: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTrailer: X-Sum\r\n\
    Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\nX-More: a b\r\n\r\n";

#[test]
fn trailers_of_the_origin_reach_an_http1_client() {
    let origin = Origin::saying(WITH_TRAILERS);
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    for _ in 0..2 {
        let response = client.get_with("/", "TE: trailers\r\nConnection: TE\r\n");
        assert_eq!(response.text(), "body");
        let mut trailers = response.trailers.clone();
        trailers.sort();
        let expected = [("x-more", "a b"), ("x-sum", "42")];
        assert_eq!(trailers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(origin.last().first("te"), "trailers");
    }
}

#[test]
fn trailers_of_a_client_reach_the_origin() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let mut asked = origin.asked();
    let (body, trailers) = asked.content();
    assert_eq!(body, b"body");
    assert_eq!(trailers, [("x-sum".to_owned(), "42".to_owned())]);
    asked.answer(ok("no-store", "done"));
    assert_eq!(client.response().text(), "done");
}

#[test]
fn trailers_never_become_fields() {
    let origin = Origin::saying(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\nCache-Control: no-store\r\nX-Sum: 42\r\n\r\n",
    );
    let edge = Edge::start(&origin, &[]);
    let mut client = edge.client();
    client.get("/");
    let hit = client.get("/");
    assert!(hit.says("hit"), "{}", hit.cache());
    assert_eq!((hit.first("cache-control"), hit.has("x-sum")), ("max-age=100", false));
}

#[test]
fn a_client_that_frames_in_a_trailer_is_refused() {
    for trailer in ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: b"] {
        let origin = Origin::start();
        let edge = Edge::start(&origin, &["--workers", "1"]);
        let mut client = edge.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{trailer}\r\n\r\n"
        ));
        let response = client.response();
        response.assert_problem(400);
        client.finish_sending();
        client.assert_closed();
    }
}
