//! `nigh status` and `nigh top`: what people are told of a running edge.

use crate::support::{Edge, Origin, ok, process::nigh};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

#[test]
fn a_status_is_told_in_words_and_as_json() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &[&ADMIN[..], &["--memory", "64MiB"]].concat());
    edge.fill("/");
    edge.status_until(|status| status["connections"] == 0);
    let admin = edge.admin().to_string();
    let ran = nigh(&["status", "--admin", &admin]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for line in [
        format!("listens   http://{}\n", edge.addresses[0]),
        "clients   0 connections\n".to_owned(),
        "requests  2 since the start, 50.0 % hits\n".to_owned(),
        " of 64MiB, 1 objects\n".to_owned(),
        "site      *: 2 requests, 50.0 % hits\n".to_owned(),
        format!("  origin  {} up (2 of 2 workers see it up)\n", origin.url()),
    ] {
        assert!(ran.stdout.contains(&line), "{line:?} is not in {}", ran.stdout);
    }
    let ran = nigh(&["status", "--admin", &admin, "--json"]);
    let status: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(status["requests"]["hit"], 1);
}

#[test]
fn top_prints_a_line_each_time_where_there_is_no_terminal() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let edge = Edge::start(&origin, &ADMIN);
    let admin = edge.admin().to_string();
    let looks = ["top", "--admin", &admin, "--count", "3", "--interval", "20ms"];
    let ran = nigh(&looks);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 3);
    for line in ran.stdout.lines() {
        assert!(line.starts_with("0 requests/s, - hits, 0 B/s, "), "{line}");
        assert!(!line.contains('\x1b'), "{line}");
    }
    let ran = nigh(&[&looks[..], &["--json"]].concat());
    for line in ran.stdout.lines() {
        let look: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(look["all"]["requests"], 0);
    }
}

#[test]
fn an_edge_that_is_not_there_is_said_to_be_missing() {
    for verb in ["status", "top"] {
        let ran = nigh(&[verb, "--admin", "127.0.0.1:9"]);
        assert_eq!(ran.code, Some(1), "{verb}");
        assert!(ran.stderr.contains("is it running with --admin 127.0.0.1:9?"), "{}", ran.stderr);
    }
    assert_eq!(nigh(&["top", "--interval", "0s"]).code, Some(2));
    assert_eq!(nigh(&["status", "--admin", "https://a:1"]).code, Some(2));
}
