//! The admin address: health, metrics and status, for this machine only.

use std::collections::BTreeMap;

use crate::support::{Edge, Origin, Wire, ok, process::nigh};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

#[test]
fn a_running_edge_is_healthy() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    let health = edge.ask_admin("/healthz");
    assert_eq!((health.status(), health.text()), (200, "ok\n"));
    assert_eq!(edge.ask_admin("/nothing").status(), 404);
    assert_eq!(origin.requests(), 0);
}

/// Every sample of a page in Prometheus' text format, which is checked line by line.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let (mut family, mut helped) = (String::new(), Vec::new());
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && !helped.contains(&name.to_owned()), "{line}");
            helped.push(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            name.clone_into(&mut family);
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            assert_eq!(name.split('{').next(), Some(&*family), "{line}");
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_{}=\"-,".contains(&byte);
            assert!(name.bytes().all(plain), "{line}");
            let before = samples.insert(name.to_owned(), value.parse().expect("a number"));
            assert!(before.is_none(), "twice: {line}");
        }
    }
    samples
}

#[test]
fn metrics_are_text_that_prometheus_reads_and_they_count() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    edge.fill("/");
    let mut bad = edge.client();
    bad.send("nonsense\r\n\r\n");
    assert_eq!(bad.response().status(), 400);
    let page = edge.ask_admin("/metrics");
    assert!(page.first("content-type").starts_with("text/plain; version=0.0.4"));
    let samples = samples(page.text());
    for (name, value) in [
        ("nigh_requests_total{cache=\"hit\"}", 1.0),
        ("nigh_requests_total{cache=\"forwarded\"}", 1.0),
        ("nigh_origin_requests_total", 1.0),
        ("nigh_origin_failures_total", 0.0),
        ("nigh_refused_total", 1.0),
        ("nigh_store_objects", 1.0),
        ("nigh_connections_accepted_total", 2.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in {samples:#?}");
    }
    assert!(samples["nigh_store_bytes"] <= samples["nigh_store_ceiling_bytes"]);
}

#[test]
fn the_status_says_where_it_listens_and_what_it_has_done() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--memory", "64MiB"]);
    edge.fill("/");
    let status = edge.status_until(|status| status["connections"] == 0);
    assert_eq!(status["sites"][0]["origins"][0], origin.url());
    assert_eq!(status["listen"][0], format!("http://{}", edge.addresses[0]));
    assert_eq!(status["requests"]["hit"], 1);
    assert_eq!(status["origin_requests"], 1);
    assert_eq!(status["store"]["objects"], 1);
    assert_eq!(status["store"]["ceiling_bytes"], 64 << 20);
}

#[test]
fn a_foreign_host_is_refused_so_that_no_web_page_reads_it() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    for (host, status) in [
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("192.0.2.1", 403),
        ("localhost", 200),
        ("localhost:9000", 200),
        ("127.0.0.1", 200),
        ("[::1]:9000", 200),
    ] {
        let mut wire = Wire::connect(edge.admin());
        wire.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        assert_eq!(wire.response().status(), status, "{host}");
    }
}

#[test]
fn it_is_read_only() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    for method in ["POST", "PUT", "DELETE"] {
        let mut wire = Wire::connect(edge.admin());
        wire.send(format!(
            "{method} /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(wire.response().status(), 405, "{method}");
    }
}

#[test]
fn its_address_must_be_loopback() {
    let ran = nigh(&["edge", "--to", "http://127.0.0.1:1", "--admin", "0.0.0.0:0"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("the admin address must be loopback"), "{}", ran.stderr);
}
