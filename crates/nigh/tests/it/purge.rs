//! `nigh purge` and `POST /v1/purge`: what is forgotten, how, and that it stays forgotten.

use crate::support::{Directory, Edge, Origin, Wire, ok, process::nigh};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

/// An origin whose answers carry a tag, and say how often it was asked.
fn origin() -> Origin {
    Origin::answering(|head| {
        let target = head.target();
        let tag = target.trim_start_matches('/').split('/').next().unwrap();
        let length = target.len();
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=1000\r\nCache-Tag: all, {tag}\r\n\
             Surrogate-Key: s-{tag}\r\nContent-Length: {length}\r\n\r\n{target}"
        )
    })
}

#[track_caller]
fn purge(edge: &Edge, arguments: &[&str]) -> serde_json::Value {
    let admin = edge.admin().to_string();
    let ran = nigh(&[&["purge", "--json", "--admin", &admin], arguments].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn are_held(edge: &Edge, targets: &[&str]) -> Vec<bool> {
    targets.iter().map(|target| edge.held(target).is_some()).collect()
}

/// A URL as clients of tests ask for it.
fn url(target: &str) -> String {
    format!("http://www.example{target}")
}

const TARGETS: [&str; 4] = ["/a/1", "/a/2?x&y", "/b/1", "/c"];

#[test]
fn urls_prefixes_tags_and_hosts_are_forgotten_at_once() {
    let origin = origin();
    let edge = Edge::start(&origin, &ADMIN);
    let fill = || TARGETS.iter().for_each(|target| drop(edge.fill(target)));
    for (arguments, left) in [
        (vec![url("/a/2?x&y")], [true, false, true, true]),
        (vec!["--prefix".into(), url("/a/")], [false, false, true, true]),
        (vec!["--tag".into(), "B".into()], [true, true, false, true]),
        (vec!["--tag".into(), "s-c".into()], [true, true, true, false]),
        (vec!["--host".into(), "www.example".into()], [false; 4]),
        (vec!["--host".into(), "other.example".into()], [true; 4]),
        (vec!["--all".into()], [false; 4]),
    ] {
        fill();
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = purge(&edge, &words);
        assert_eq!(answer["durable"], serde_json::Value::Null, "there is no disk: {answer}");
        assert_eq!(are_held(&edge, &TARGETS), left, "{arguments:?}");
    }
    // The rules go when the memory has been gone through.
    edge.status_until(|status| status["store"]["purge_rules"] == 0);
}

#[test]
fn tags_are_not_shown_to_clients() {
    let origin = origin();
    let edge = Edge::start(&origin, &[]);
    for answer in [edge.fill("/a/1"), edge.get("/a/1")] {
        assert_eq!(answer.head.all("cache-tag").count(), 0, "{answer:?}");
        assert_eq!(answer.head.all("surrogate-key").count(), 0, "{answer:?}");
    }
}

#[test]
fn what_is_purged_softly_is_served_stale_while_it_is_fetched_again() {
    let origin = origin();
    let edge = Edge::start(&origin, &ADMIN);
    for arguments in [vec![url("/a/1")], vec!["--tag".into(), "a".into()]] {
        edge.fill("/a/1");
        let asked = origin.requests();
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        purge(&edge, &[&words[..], &["--soft"]].concat());
        let stale = edge.get("/a/1");
        assert!(stale.says("hit") && stale.number("ttl").is_some_and(|ttl| ttl <= 0), "{stale:?}");
        edge.get_until("/a/1", |answer| answer.number("ttl").is_some_and(|ttl| ttl > 900));
        assert_eq!(origin.requests(), asked + 1);
    }
}

#[test]
fn what_was_purged_does_not_come_back_after_kill_9() {
    let directory = Directory::new("purged");
    let origin = origin();
    let path = directory.argument();
    let start =
        || Edge::start(&origin, &[&ADMIN[..], &["--disk", path, "--disk-size", "64MiB"]].concat());
    let edge = start();
    for target in TARGETS {
        edge.fill(target);
        edge.get(target);
    }
    edge.status_until(|status| status["disk"]["written"] == 4);
    assert_eq!(purge(&edge, &["--tag", "a"])["durable"], true);
    let answer = purge(&edge, &[&url("/c")]);
    assert_eq!((&answer["durable"], &answer["variants"]), (&true.into(), &1.into()));
    drop(edge);
    let edge = start();
    edge.status_until(|status| status["disk"]["unread_segments"] == 0);
    assert_eq!(are_held(&edge, &TARGETS), [false, false, true, false]);
    // And what comes in afterwards stays.
    edge.fill("/a/1");
    edge.get("/a/1");
    edge.status_until(|status| status["disk"]["written"] == 1);
    drop(edge);
    let edge = start();
    edge.status_until(|status| status["disk"]["unread_segments"] == 0);
    assert_eq!(are_held(&edge, &TARGETS), [true, false, true, false]);
}

#[test]
fn wrong_questions_are_refused_with_what_is_right() {
    let origin = origin();
    let edge = Edge::start(&origin, &ADMIN);
    let admin = edge.admin();
    let ask = |head: &str| {
        let mut wire = Wire::connect(admin);
        wire.send(format!("{head}\r\nHost: {admin}\r\nConnection: close\r\n\r\n"));
        wire.response()
    };
    for (head, status, words) in [
        ("POST /v1/purge HTTP/1.1", 400, "say what"),
        ("POST /v1/purge?tag= HTTP/1.1", 400, "wants a value"),
        ("POST /v1/purge?tag=a&host=b HTTP/1.1", 400, "one prefix, host or tag at a time"),
        ("POST /v1/purge?url=/x HTTP/1.1", 400, "must begin with http"),
        ("POST /v1/purge?everything HTTP/1.1", 400, "none of: url, prefix"),
        ("GET /v1/purge?all HTTP/1.1", 405, "none of this path's methods"),
        ("POST /v1/purge?all=perhaps HTTP/1.1", 400, "true or false"),
        ("POST /v1/purge?all=false HTTP/1.1", 400, "say what"),
        ("POST /v1/purge?url=http://www.example/&url=x HTTP/1.1", 400, "must begin with http"),
        ("POST /v1/purge?all HTTP/1.1\r\nOrigin: http://evil.example", 403, "browsers"),
    ] {
        let answer = ask(head);
        assert_eq!(answer.status(), status, "{head}: {answer:?}");
        assert!(answer.text().contains(words), "{head}: {}", answer.text());
    }
    // Clients of the edge itself cannot.
    edge.fill("/a/1");
    let mut client = edge.client();
    client.ask("PURGE", "/a/1", "");
    drop(client.response());
    assert_eq!(nigh(&["purge", "--soft"]).code, Some(2));
    let gone = nigh(&["purge", "--all", "--admin", "127.0.0.1:9"]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("is it running with --admin"), "{gone:?}");
}

#[test]
fn a_purge_that_some_edges_have_not_heard_of_ends_with_1_and_names_them() {
    // What an edge answers whose siblings stand still.
    let answer = r#"{"id":7,"soft":false,"variants":null,"durable":null,"problem":null,"done":false,
        "edges":[{"cluster":"eu","name":"edge-1","state":"forgotten","millis":3},
                 {"cluster":"us","name":"edge-1","state":"waiting","millis":null}],"micros":9}"#;
    let edge = Origin::saying(ok("no-store", answer));
    let admin = edge.url().trim_start_matches("http://").to_owned();
    let ran = nigh(&["purge", "--all", "--admin", &admin]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout.contains("eu/edge-1: forgotten after 3 ms\n  us/edge-1: waiting\n"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("partial: us/edge-1 may serve it until"), "{ran:?}");
}
