//! HTTP/2 on both sides: RFC 9113, and RFC 7301 (ALPN).

use std::net::TcpStream;

use http::Response;
use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

use crate::support::{
    Edge, Origin, Wire,
    h2::{self, Client, Frames, empty, exchange, full, request, trailed},
    ok,
    origin::answer,
};

const TLS: [&str; 2] = ["--listen", "https://127.0.0.1:0"];

#[test]
fn http2_in_clear_needs_no_question() {
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let edge = Edge::start(&origin, &[]);
    let client = Client::clear(edge.addresses[0]);
    let miss = client.get("/");
    assert_eq!((miss.status.as_u16(), &*miss.body), (200, &b"hello"[..]));
    assert!(miss.cache().contains("fwd=uri-miss"));
    let hit = client.get("/");
    assert!(hit.cache().starts_with("nigh; hit"), "{}", hit.cache());
    assert_eq!(hit.fields["content-length"], "5");
    assert_eq!(origin.requests(), 1);
    // What the origin hears of it.
    assert_eq!(origin.last().first("via"), "2 nigh");
    assert_eq!(origin.last().first("x-forwarded-host"), "www.example");
}

#[test]
fn over_tls_the_client_chooses_http2_by_alpn() {
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let edge = Edge::start(&origin, &TLS);
    let client = Client::tls(edge.addresses[1]);
    assert_eq!(&*client.get("/").body, b"hello");
    assert!(client.get("/").cache().starts_with("nigh; hit"));
    assert_eq!(origin.last().first("x-forwarded-proto"), "https");
}

#[test]
fn over_tls_a_client_without_http2_speaks_http1() {
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let edge = Edge::start(&origin, &TLS);
    for protocols in [&[][..], &[&b"http/1.1"[..]]] {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(h2::tls(protocols), name).unwrap();
        let tcp = TcpStream::connect(edge.addresses[1]).unwrap();
        let mut client = Wire::over(StreamOwned::new(session, tcp));
        for _ in 0..2 {
            assert_eq!(client.get("/").text(), "hello");
        }
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn https_and_http_are_two_sites() {
    let origin = Origin::answering(|head| ok("max-age=100", head.first("x-forwarded-proto")));
    let edge = Edge::start(&origin, &TLS);
    assert_eq!(edge.fill("/").text(), "http");
    assert_eq!(&*Client::tls(edge.addresses[1]).get("/").body, b"https");
}

#[test]
fn head_has_the_length_and_no_content() {
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let edge = Edge::start(&origin, &[]);
    let client = Client::clear(edge.addresses[0]);
    client.get("/");
    let head = client.send(request("HEAD", "/", &[]).body(empty()).unwrap());
    assert_eq!((&head.fields["content-length"], head.body.len()), (&"5".parse().unwrap(), 0));
    assert!(head.cache().starts_with("nigh; hit"));
}

#[test]
fn content_reaches_an_http1_origin() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let client = Client::clear(edge.addresses[0]);
    let post = request("POST", "/form", &[]).body(full("hello")).unwrap();
    let asking = client.runtime.spawn(exchange(client.sender.clone(), post));
    let mut asked = origin.asked();
    assert_eq!(asked.content().0, b"hello");
    asked.answer(ok("no-store", "done"));
    let got = client.runtime.block_on(asking).unwrap().unwrap();
    assert_eq!(&*got.body, b"done");
}

#[test]
fn a_hundred_streams_at_once_are_answered_in_any_order() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--workers", "1"]);
    let client = Client::clear(edge.addresses[0]);
    let asking: Vec<_> = (0..100)
        .map(|at| {
            let get = request("GET", &format!("/{at}"), &[]).body(empty()).unwrap();
            client.runtime.spawn(exchange(client.sender.clone(), get))
        })
        .collect();
    // All are there before the first is answered, and the last is answered first.
    let mut asked: Vec<_> = (0..100).map(|_| origin.asked()).collect();
    while let Some(one) = asked.pop() {
        let target = one.head.target().to_owned();
        one.answer(ok("max-age=100", &target));
    }
    for (at, one) in asking.into_iter().enumerate() {
        let got = client.runtime.block_on(one).unwrap().unwrap();
        assert_eq!(got.body, format!("/{at}").as_bytes());
    }
}

#[test]
fn streams_of_one_connection_share_one_fetch() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let client = Client::clear(edge.addresses[0]);
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let get = request("GET", "/", &[]).body(empty()).unwrap();
            client.runtime.spawn(exchange(client.sender.clone(), get))
        })
        .collect();
    let asked = origin.asked();
    edge.status_until(|status| status["collapsed"] == 49);
    asked.answer(ok("max-age=100", "hello"));
    for one in asking {
        assert_eq!(&*client.runtime.block_on(one).unwrap().unwrap().body, b"hello");
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn trailers_of_an_http1_origin_reach_an_http2_client() {
    let origin = Origin::saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let edge = Edge::start(&origin, &[]);
    let got = Client::clear(edge.addresses[0]).get("/");
    assert_eq!(&*got.body, b"body");
    assert_eq!(got.trailers.unwrap()["x-sum"], "42");
}

#[test]
fn trailers_of_an_http2_client_reach_an_http1_origin() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let client = Client::clear(edge.addresses[0]);
    let body = trailed("body", "x-sum", "42");
    let post = request("POST", "/", &[("trailer", "x-sum")]).body(body).unwrap();
    let asking = client.runtime.spawn(exchange(client.sender.clone(), post));
    let mut asked = origin.asked();
    let (body, trailers) = asked.content();
    assert_eq!(body, b"body");
    assert_eq!(trailers, [("x-sum".to_owned(), "42".to_owned())]);
    asked.answer(ok("no-store", "done"));
    assert_eq!(&*client.runtime.block_on(asking).unwrap().unwrap().body, b"done");
}

#[test]
fn an_answer_that_breaks_off_resets_its_stream_and_no_other() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let client = Client::clear(edge.addresses[0]);
    let get = request("GET", "/", &[]).body(empty()).unwrap();
    let asking = client.runtime.spawn(exchange(client.sender.clone(), get));
    let mut asked = origin.asked();
    asked.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 10\r\n\r\nfirst");
    drop(asked);
    client.runtime.block_on(asking).unwrap().expect_err("the answer is not whole");
    let get = request("GET", "/", &[]).body(empty()).unwrap();
    let asking = client.runtime.spawn(exchange(client.sender.clone(), get));
    origin.asked().answer(ok("no-store", "whole"));
    assert_eq!(&*client.runtime.block_on(asking).unwrap().unwrap().body, b"whole");
}

#[test]
fn a_content_above_the_limit_is_refused_over_http2_too() {
    let origin = Origin::saying(ok("no-store", "done"));
    let edge = Edge::start(&origin, &["--max-body", "10B"]);
    let client = Client::clear(edge.addresses[0]);
    let post = request("POST", "/", &[]).body(full("0123456789a")).unwrap();
    assert_eq!(client.send(post).status, 413);
    assert_eq!(origin.requests(), 0);
    let post = request("POST", "/", &[]).body(full("0123456789")).unwrap();
    assert_eq!(client.send(post).status, 200);
}

#[test]
fn a_content_that_turns_out_too_long_is_refused_over_http2_too() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--max-body", "10B"]);
    let client = Client::clear(edge.addresses[0]);
    let post = request("POST", "/", &[]).body(trailed("0123456789a", "x-sum", "42")).unwrap();
    let got = client.send(post);
    assert_eq!(
        (got.status.as_u16(), &got.fields["content-type"]),
        (413, &"application/problem+json".parse().unwrap())
    );
}

#[test]
fn content_that_does_not_come_is_not_held_against_the_origin() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--origin-first-byte", "200ms"]);
    let connection = Frames::clear(edge.addresses[0]);
    let client = connection.ask("POST", "/", &[], true);
    let _asked = origin.asked();
    assert_eq!(client.answer().0.status, 408);
}

#[test]
fn a_stream_that_the_client_leaves_in_the_middle_is_reset_and_no_other() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--stall-time", "200ms"]);
    let mut filling = edge.client();
    filling.ask("GET", "/large", "");
    origin.asked().answer(ok("max-age=100", &"x".repeat(1_000_000)));
    filling.response();
    let connection = Frames::clear(edge.addresses[0]);
    let (_, mut left) = connection.ask("GET", "/large", &[], false).answer();
    let other = connection.ask("GET", "/other", &[], false);
    let asked = origin.asked();
    let error = connection.until_reset(&mut left);
    assert_eq!(error.reason(), Some(::h2::Reason::CANCEL), "{error}");
    asked.answer(ok("no-store", "x"));
    assert_eq!(other.answer().0.status, 200);
}

#[test]
fn problems_and_refusals_are_the_same_over_http2() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--origin-first-byte", "200ms", "--max-target", "100B"]);
    let client = Client::clear(edge.addresses[0]);
    let trace = client.send(request("TRACE", "/", &[]).body(empty()).unwrap());
    assert_eq!(trace.status, 405);
    let long = client.get(&format!("/{}", "x".repeat(200)));
    assert_eq!(long.status, 414);
    let late = client.get("/");
    assert_eq!(
        (late.status, &late.fields["content-type"]),
        (http::StatusCode::GATEWAY_TIMEOUT, &"application/problem+json".parse().unwrap())
    );
}

#[test]
fn ranges_and_conditions_work_over_http2() {
    let origin =
        Origin::saying(answer("Cache-Control: max-age=100\r\nETag: \"a\"\r\n", "0123456789"));
    let edge = Edge::start(&origin, &[]);
    let client = Client::clear(edge.addresses[0]);
    client.get("/");
    let part = client.send(request("GET", "/", &[("range", "bytes=2-4")]).body(empty()).unwrap());
    assert_eq!((part.status.as_u16(), &*part.body), (206, &b"234"[..]));
    let held = request("GET", "/", &[("if-none-match", "\"a\"")]).body(empty()).unwrap();
    let held = client.send(held);
    assert_eq!((held.status.as_u16(), held.body.len()), (304, 0));
}

#[test]
fn an_http2_origin_is_asked_over_one_connection() {
    let origin = h2::Origin::start(None, |request, trailers| {
        assert_eq!(request.version(), http::Version::HTTP_2);
        let summed = trailers.is_some_and(|trailers| trailers["x-sum"] == "42");
        let text = format!("{} {} {summed}", request.method(), request.uri());
        let body = trailed(&text, "x-end", "1");
        Response::builder().header("cache-control", "max-age=100").body(body).unwrap()
    });
    let url = format!("http://{}", origin.address);
    let edge = Edge::to(&url, &["--origin-http2", "--workers", "1"]);
    let mut client = edge.client();
    for path in ["/a", "/b?c"] {
        let got = client.get(path);
        assert_eq!(got.text(), format!("GET {url}{path} false"));
        assert_eq!(got.trailers, [("x-end".to_owned(), "1".to_owned())]);
        assert!(client.get(path).says("hit"));
    }
    client.send(
        "POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    assert_eq!(client.response().text(), format!("POST {url}/d true"));
    let streams = Client::clear(edge.addresses[0]);
    assert_eq!(streams.get("/e").body, format!("GET {url}/e false").as_bytes());
    assert_eq!((origin.requests(), origin.connections()), (4, 1));
}

/// A certificate for localhost, and the file that makes it trusted.
fn certificate() -> (std::sync::Arc<rustls::ServerConfig>, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let name = format!("nigh-it-{}-{:?}.pem", std::process::id(), std::thread::current().id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (config.into(), file)
}

#[test]
fn an_https_origin_negotiates_http2_and_must_be_trusted() {
    let (tls, file) = certificate();
    let origin = h2::Origin::start(Some(tls), |_, _| Response::new(full("hello")));
    let url = format!("https://localhost:{}", origin.address.port());
    let trusting = Edge::to(&url, &["--origin-ca", file.to_str().unwrap()]);
    assert_eq!(trusting.get("/").text(), "hello");
    let strict = Edge::to(&url, &[]);
    strict.get("/").assert_problem(502);
    assert_eq!(origin.requests(), 1);
    std::fs::remove_file(file).unwrap();
}
