//! The admin address: health, metrics and status, for this machine only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;

use crate::support::{Edge, Origin, Wire, cluster::Cluster, ok, process::nigh};

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
            let of = name.split('{').next().unwrap_or_default();
            let of = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|suffix| of.strip_suffix(suffix).filter(|of| *of == family))
                .unwrap_or(of);
            assert_eq!(of, family, "{line}");
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_{}=\"-,:/.*+".contains(&byte);
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
        ("nigh_site_requests_total{site=\"*\",cache=\"hit\"}", 1.0),
        ("nigh_site_requests_total{site=\"*\",cache=\"uri-miss\"}", 1.0),
        ("nigh_site_bytes_total{site=\"*\",cache=\"uri-miss\"}", 1.0),
        (&*format!("nigh_origin_seconds_count{{origin=\"{}\"}}", origin.url()), 1.0),
        (&*format!("nigh_origin_up{{origin=\"{}\"}}", origin.url()), 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in {samples:#?}");
    }
    assert!(samples["nigh_store_bytes"] <= samples["nigh_store_ceiling_bytes"]);
}

/// The names of the metrics that the dashboard asks for.
fn asked_for() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/grafana.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = targets.flat_map(|target| target["expr"].as_str().unwrap().split(|c| !is_word(c)));
    let names = names.filter(|word| word.starts_with("nigh_"));
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are_and_for_all_that_a_cluster_has() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let cluster = Cluster::start("dashboard", &origin, 1, "");
    let page = cluster.edges[0].ask_admin("/metrics");
    let families = page.text().lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families: BTreeSet<&str> = families.map(|rest| rest.split(' ').next().unwrap()).collect();
    let asked = asked_for();
    for name in &asked {
        assert!(families.contains(&**name), "nothing is called {name}");
    }
    let of_cluster = ["nigh_cluster_", "nigh_sibling_", "nigh_parent_", "nigh_settings_"];
    let of_cluster = |name: &&&str| of_cluster.iter().any(|start| name.starts_with(start));
    let of_cluster: Vec<&&str> = families.iter().filter(of_cluster).collect();
    assert!(of_cluster.len() > 20, "{of_cluster:?}");
    for name in of_cluster {
        assert!(asked.contains(*name), "no panel shows {name}");
    }
}

#[test]
fn the_status_says_where_it_listens_and_what_it_has_done() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--memory", "64MiB"]);
    edge.fill("/");
    let status = edge.status_until(|status| status["connections"] == 0);
    assert_eq!(status["sites"][0]["origins"][0]["url"], origin.url());
    assert_eq!(status["sites"][0]["requests"], 2);
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
fn a_method_that_a_path_has_not_is_refused_and_allow_says_which_it_has() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    for (method, path, allowed) in [
        ("POST", "/v1/status", "GET,HEAD"),
        ("DELETE", "/v1/config", "GET,HEAD,PUT"),
        ("GET", "/v1/purge?all", "POST"),
        ("OPTIONS", "/v1/drain", "POST"),
        ("TRACE", "/healthz", "GET,HEAD"),
    ] {
        let refused = edge.tell_admin(method, path, "", "");
        refused.assert_problem(405);
        assert_eq!(refused.first("allow"), allowed, "{method} {path}");
    }
    edge.tell_admin("POST", "/v1/purgatory", "", "").assert_problem(404);
}

#[test]
fn a_path_that_is_no_text_is_a_problem_like_any_other() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    for path in ["/v1/drains/%ff", "/v1/drains/eu-%c3%28"] {
        for method in ["PUT", "DELETE"] {
            let refused = edge.tell_admin(method, path, "", "");
            refused.assert_problem(400);
            assert!(refused.text().contains("UTF-8"), "{method} {path}: {}", refused.text());
        }
    }
    edge.tell_admin("PUT", "/%ff", "", "").assert_problem(404);
}

#[test]
fn the_api_describes_itself_and_every_operation_of_it() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    let answer = edge.ask_admin("/v1/openapi.json");
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let operations = document["paths"].as_object().unwrap().values();
    let operations: Vec<_> = operations.flat_map(|path| path.as_object().unwrap()).collect();
    assert_eq!(operations.len(), 19);
    for (method, operation) in operations {
        assert!(operation["summary"].is_string(), "{method}: {operation}");
        assert!(operation["responses"]["default"].is_object(), "{method}: {operation}");
    }
}

#[test]
fn what_is_stored_is_listed_page_by_page() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    for target in ["/a/1", "/a/2", "/a/3", "/b"] {
        edge.fill(target);
    }
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/objects?prefix=http://www.example/a/&limit=2{cursor}");
        let page = edge.ask_admin(&path);
        let page: Value = serde_json::from_slice(&page.body).unwrap();
        let objects = page["objects"].as_array().unwrap();
        assert!(objects.len() <= 2);
        for object in objects {
            assert_eq!((&object["status"], &object["whole"]), (&200.into(), &true.into()));
            keys.push(object["key"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    keys.sort();
    let expected = ["1", "2", "3"].map(|n| format!("http://www.example/a/{n}"));
    assert_eq!(keys, expected);
    for wrong in ["limit=0", "limit=1001", "cursor=x", "prefix=www", "limits=1", "limit=1&limit=2"]
    {
        edge.ask_admin(&format!("/v1/objects?{wrong}")).assert_problem(400);
    }
}

#[test]
fn an_origin_that_fails_is_down_until_it_answers_again() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let origin = Origin::answering(move |_| match is_well.load(Ordering::Relaxed) {
        true => ok("no-store", "x"),
        false => "nonsense\r\n\r\n".to_owned(),
    });
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--workers", "1"]);
    let mut events = edge.events();
    for _ in 0..3 {
        assert_eq!(edge.get("/").status(), 502);
    }
    let told = String::from_utf8(events.chunk().unwrap()).unwrap();
    assert!(told.starts_with("event: origin-down\n") && told.contains(&origin.url()), "{told}");
    let status = edge.status_until(|_| true);
    let seen = &status["sites"][0]["origins"][0];
    assert_eq!(
        (&seen["up"], &seen["workers"], &seen["workers_up"]),
        (&false.into(), &1.into(), &0.into())
    );
    let metrics = edge.ask_admin("/metrics");
    let line = format!("nigh_origin_up{{origin=\"{}\"}} 0\n", origin.url());
    assert!(metrics.text().contains(&line), "{}", metrics.text());
    well.store(true, Ordering::Relaxed);
    assert_eq!(edge.get("/").status(), 200);
    let told = String::from_utf8(events.chunk().unwrap()).unwrap();
    assert!(told.starts_with("event: origin-up\n"), "{told}");
    assert_eq!(edge.status_until(|_| true)["sites"][0]["origins"][0]["up"], true);
}

#[test]
fn a_drain_that_is_asked_for_lets_requests_end_and_health_says_so_meanwhile() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let asked = origin.asked();
    let mut events = edge.events();
    let begun = edge.tell_admin("POST", "/v1/drain", "", "");
    assert_eq!(begun.status(), 202);
    assert!(begun.text().contains("\"draining\":true,\"connections\":1"), "{}", begun.text());
    assert!(String::from_utf8(events.chunk().unwrap()).unwrap().starts_with("event: draining\n"));
    edge.ask_admin("/healthz").assert_problem(503);
    assert_eq!(edge.status_until(|_| true)["draining"], true);
    asked.answer(ok("max-age=100", "whole"));
    assert_eq!(client.response().text(), "whole");
    assert!(edge.ended().success());
}

#[test]
fn its_address_must_be_loopback() {
    let ran = nigh(&["edge", "--to", "http://127.0.0.1:1", "--admin", "0.0.0.0:0"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("the admin address must be loopback"), "{}", ran.stderr);
}
