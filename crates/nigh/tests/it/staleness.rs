//! Stale answers: while they are validated, when the origin fails, and never when they must not be.
//! RFC 5861; RFC 9111, section 4.2.4.

use crate::support::{Asked, Edge, Origin, Wire, origin::answer};

/// An edge that holds a stale object with this Cache-Control (its Age says so, nothing waits), and
/// a connection to it.
fn stale(cache_control: &str, flags: &[&str]) -> (Origin, Edge, Wire) {
    let origin = Origin::start();
    let edge = Edge::start(&origin, flags);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let lines = format!("Cache-Control: {cache_control}\r\nAge: 20\r\nETag: \"one\"\r\n");
    origin.asked().answer(answer(&lines, "old"));
    assert_eq!(client.response().text(), "old");
    (origin, edge, client)
}

/// Fails a request for good: on its first connection and on the one that it is tried again on.
fn fail(origin: &Origin, how: impl Fn(Asked)) {
    how(origin.asked());
    how(origin.asked());
}

fn unavailable(asked: Asked) {
    asked.answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown");
}

#[test]
fn while_it_is_revalidated_the_stale_answer_is_served_at_once_by_one_fetch() {
    let (origin, edge, mut client) = stale("max-age=10, stale-while-revalidate=100", &[]);
    // The origin is silent, and everyone is answered.
    for _ in 0..10 {
        let served = client.get("/");
        assert_eq!(served.text(), "old");
        assert!(served.says("hit") && served.says("detail=stale-while-revalidate"), "{served:?}");
        assert!(served.number("ttl").is_some_and(|ttl| ttl < 0));
    }
    let asked = origin.asked();
    assert_eq!(asked.head.first("if-none-match"), "\"one\"");
    asked.answer(answer("Cache-Control: max-age=100\r\n", "new"));
    let new = edge.get_until("/", |response| response.text() == "new");
    assert!(new.says("hit"), "{}", new.cache());
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_revalidation_in_the_background_that_is_confirmed_makes_it_fresh() {
    let (origin, edge, mut client) = stale("max-age=10, stale-while-revalidate=100", &[]);
    client.get("/");
    origin
        .asked()
        .answer("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=100\r\nAge: 0\r\n\r\n");
    let fresh = edge.get_until("/", |response| response.number("ttl").is_some_and(|ttl| ttl > 0));
    assert_eq!((fresh.text(), fresh.says("hit")), ("old", true));
    assert_eq!(origin.requests(), 2);
}

#[test]
fn an_error_of_the_origin_is_answered_with_the_stale_object_if_it_allows() {
    let (origin, _edge, mut client) = stale("max-age=10, stale-if-error=100", &[]);
    for _ in 0..2 {
        client.ask("GET", "/", "");
        unavailable(origin.asked());
        let served = client.response();
        assert_eq!((served.status(), served.text()), (200, "old"));
        assert!(served.says("fwd=stale") && served.says("fwd-status=503"), "{}", served.cache());
        assert!(served.says("detail=stale-if-error"), "{}", served.cache());
    }
}

#[test]
fn an_error_of_the_origin_is_passed_on_if_the_stale_object_does_not_allow() {
    let (origin, _edge, mut client) = stale("max-age=10", &[]);
    client.ask("GET", "/", "");
    unavailable(origin.asked());
    let served = client.response();
    assert_eq!((served.status(), served.text()), (503, "down"));
}

#[test]
fn an_origin_that_closes_is_not_noticed_while_a_stale_object_is_there() {
    for directives in ["max-age=10", "max-age=10, stale-if-error=100"] {
        let (origin, _edge, mut client) = stale(directives, &[]);
        client.ask("GET", "/", "");
        fail(&origin, drop);
        let served = client.response();
        assert_eq!((served.status(), served.text()), (200, "old"), "{directives}");
        assert!(served.says("detail=stale-origin-failed"), "{}", served.cache());
    }
}

#[test]
fn an_origin_that_talks_nonsense_or_never_answers_is_as_one_that_is_gone() {
    let (origin, _edge, mut client) = stale("max-age=10", &["--origin-first-byte", "300ms"]);
    client.ask("GET", "/", "");
    origin.asked().answer("nonsense\r\n\r\n");
    assert!(client.response().says("detail=stale-origin-failed"));
    client.ask("GET", "/", "");
    let _silent = origin.asked();
    assert!(client.response().says("detail=stale-origin-failed"));
}

#[test]
fn what_must_be_revalidated_is_never_served_stale() {
    for directives in [
        "max-age=10, must-revalidate",
        "max-age=10, proxy-revalidate",
        "s-maxage=10",
        "max-age=10, no-cache",
        "max-age=10, must-revalidate, stale-if-error=100, stale-while-revalidate=100",
    ] {
        let (origin, _edge, mut client) = stale(directives, &["--origin-first-byte", "300ms"]);
        client.ask("GET", "/", "");
        fail(&origin, drop);
        client.response().assert_problem(504);
        client.ask("GET", "/", "");
        let _silent = origin.asked();
        client.response().assert_problem(504);
        client.ask("GET", "/", "Cache-Control: max-stale\r\n");
        unavailable(origin.asked());
        assert_eq!(client.response().text(), "down", "{directives}");
    }
}

#[test]
fn a_client_that_takes_stale_answers_gets_them_without_asking() {
    let (origin, _edge, mut client) = stale("max-age=10", &[]);
    let served = client.get_with("/", "Cache-Control: max-stale=100\r\n");
    assert_eq!(served.text(), "old");
    assert!(served.says("hit") && served.says("detail=max-stale"), "{}", served.cache());
    assert_eq!(origin.requests(), 1);
}

#[test]
fn an_error_that_the_stale_object_stands_in_for_is_not_stored_in_its_place() {
    let (origin, _edge, mut client) = stale("max-age=10, stale-if-error=100", &[]);
    client.ask("GET", "/", "");
    origin.asked().answer(
        "HTTP/1.1 500 Internal Server Error\r\nCache-Control: max-age=100\r\nContent-Length: 3\r\n\r\nbad",
    );
    assert_eq!(client.response().text(), "old");
    client.ask("GET", "/", "");
    origin.asked().answer(answer("Cache-Control: max-age=100\r\n", "new"));
    assert_eq!(client.response().text(), "new");
}

#[test]
fn waiters_for_a_stale_object_share_one_validation() {
    let (origin, edge, mut client) = stale("max-age=10", &["--admin", "127.0.0.1:0"]);
    client.ask("GET", "/", "");
    let asked = origin.asked();
    let mut others: Vec<_> = (0..5).map(|_| edge.client()).collect();
    for other in &mut others {
        other.ask("GET", "/", "");
    }
    edge.status_until(|status| status["collapsed"] == 5);
    asked.answer("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=100\r\nAge: 0\r\n\r\n");
    for client in others.iter_mut().chain([&mut client]) {
        let served = client.response();
        assert_eq!((served.status(), served.text()), (200, "old"));
        assert!(served.says("fwd-status=304"), "{}", served.cache());
    }
    assert_eq!(origin.requests(), 2);
}
