//! `/v1/explain` and `nigh explain`: what the edge knows of a URL, and why.

use serde_json::Value;

use crate::support::{Edge, Origin, origin::answer, process::nigh};

fn started() -> (Origin, Edge) {
    let origin = Origin::answering(|head| match head.target() {
        "/kept" => answer(
            "Cache-Control: max-age=100, stale-if-error=50\r\nAge: 10\r\nVary: Accept-Language\r\nETag: \"a\"\r\n",
            "content",
        ),
        _ => answer("Cache-Control: private\r\n", "content"),
    });
    let edge = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let mut client = edge.client();
    client.get_with("/kept", "Accept-Language: de\r\n");
    client.get_with("/kept", "Accept-Language: fr\r\n");
    client.get("/private");
    (origin, edge)
}

fn explain(edge: &Edge, url: &str) -> Value {
    let response = edge.ask_admin(&format!("/v1/explain?url={url}"));
    assert_eq!(response.status(), 200, "{response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_stored_url_is_explained_with_its_variants_and_the_sum_of_its_freshness() {
    let (_origin, edge) = started();
    let known = explain(&edge, "http://www.example/kept");
    assert_eq!(known["stored"], true);
    assert_eq!(known["variants"].as_array().unwrap().len(), 2);
    for variant in known["variants"].as_array().unwrap() {
        assert_eq!((&variant["status"], &variant["length"]), (&200.into(), &7.into()));
        assert_eq!(variant["vary"][0], "accept-language");
        let freshness = &variant["freshness"];
        assert_eq!(freshness["fresh"], true);
        assert_eq!(
            (&freshness["lifetime"], &freshness["lifetime_from"]),
            (&100.into(), &"max-age".into())
        );
        assert_eq!(
            (&freshness["age_field"], &freshness["stale_if_error"]),
            (&10.into(), &50.into())
        );
        let sum = freshness["ttl"].as_i64().unwrap() + freshness["age"].as_i64().unwrap();
        assert_eq!(sum, 100);
    }
}

#[test]
fn a_url_that_was_not_stored_is_explained_with_the_reason() {
    let (_origin, edge) = started();
    let known = explain(&edge, "http://www.example/private");
    assert_eq!(
        (&known["stored"], &known["not_stored_because"]),
        (&false.into(), &"private".into())
    );
}

#[test]
fn a_url_that_nobody_asked_for_is_unknown() {
    let (origin, edge) = started();
    let before = origin.requests();
    let known = explain(&edge, "http://www.example/other%3Fa=b%26c");
    assert_eq!(known["url"], "http://www.example/other?a=b&c");
    assert_eq!((&known["stored"], &known["not_stored_because"]), (&false.into(), &Value::Null));
    assert_eq!(origin.requests(), before, "to explain is not to ask");
}

#[test]
fn what_is_no_url_is_refused_with_a_reason() {
    let (_origin, edge) = started();
    for query in ["", "?url=", "?url=ftp://a/", "?url=/path", "?other=1"] {
        let response = edge.ask_admin(&format!("/v1/explain{query}"));
        response.assert_problem(400);
    }
}

#[test]
fn the_command_explains_in_words_and_in_json() {
    let (_origin, edge) = started();
    let admin = edge.admin().to_string();
    let run = |url: &str, more: &[&str]| {
        let ran = nigh(&[&["explain", url, "--admin", &admin], more].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let words = run("http://www.example/kept", &[]);
    for expected in
        ["variant  1 of 2", "variant  2 of 2", "accept-language", "max-age", "fresh    yes"]
    {
        assert!(words.contains(expected), "{expected:?} is not in {words}");
    }
    let words = run("http://www.example/private", &[]);
    assert!(words.contains("stored   no\nbecause  private\n"), "{words}");
    let words = run("http://www.example/other", &[]);
    assert!(words.contains("stored   no\nbecause  nobody has asked"), "{words}");
    let json: Value = serde_json::from_str(&run("http://www.example/kept", &["--json"])).unwrap();
    assert_eq!(json["stored"], true);
}

#[test]
fn the_command_says_when_no_edge_answers() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ran = nigh(&["explain", "http://a/", "--admin", &free]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains(&format!("is it running with --admin {free}?")), "{}", ran.stderr);
    let (_origin, edge) = started();
    let ran = nigh(&["explain", "not a url", "--admin", &edge.admin().to_string()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("nigh: "), "{}", ran.stderr);
}
