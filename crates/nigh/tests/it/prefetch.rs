//! `nigh prefetch` and `POST /v1/prefetch`: what is there before clients ask for it.

use serde_json::Value;

use crate::support::{
    Edge, Origin, ok,
    process::{Ran, nigh, nigh_reading},
};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

fn origin() -> Origin {
    Origin::answering(|head| match head.target() {
        "/private" => ok("private", "mine"),
        "/broken" => "HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n".to_owned(),
        "/error" => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
        target => ok("max-age=100", target),
    })
}

fn url(target: &str) -> String {
    format!("http://www.example{target}")
}

/// The results, by URL.
#[track_caller]
fn results(ran: &Ran) -> Vec<Value> {
    let mut results: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    results.sort_by_key(|result| result["url"].as_str().unwrap().to_owned());
    results
}

#[test]
fn what_is_prefetched_is_a_hit_for_the_first_client() {
    let origin = origin();
    let edge = Edge::start(&origin, &ADMIN);
    let admin = edge.admin().to_string();
    let (a, b) = (url("/a"), url("/b"));
    let command = ["prefetch", "--json", "--admin", &admin, &a, &b];
    let ran = nigh(&command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 done: 2 stored, 0 there already, 0 not stored; 4 bytes"));
    for result in results(&ran) {
        assert_eq!((&result["outcome"], &result["status"]), (&"stored".into(), &200.into()));
    }
    assert!(edge.get_until("/a", |answer| answer.says("hit")).status() == 200);
    assert_eq!(origin.requests(), 2);
    // What the edge sends is what a client without wishes would have sent.
    assert!(!origin.last().has("user-agent") && !origin.last().has("accept"));
    let again = nigh(&command);
    assert!(results(&again).iter().all(|result| result["outcome"] == "fresh"), "{again:?}");
    assert_eq!((again.code, origin.requests()), (Some(0), 2));
}

#[test]
fn what_cannot_be_stored_is_told_with_the_reason_and_the_end_is_1() {
    let origin = origin();
    let site = "[[site]]\nhost = \"www.example\"\norigin = ";
    let file = crate::support::SettingsFile::saying(&format!(
        "{}{site}\"{}\"\n[[site.path]]\nmatch = \"/bypass\"\nbypass = true\n",
        crate::support::SettingsFile::listening("admin = \"127.0.0.1:0\"\n"),
        origin.url()
    ));
    let edge = Edge::of(&file);
    let admin = edge.admin().to_string();
    let targets = ["/private", "/bypass", "/broken", "/error", "/a"];
    let urls = targets.map(url);
    let mut command = vec!["prefetch", "--json", "--admin", &admin, "http://other.example/", "x"];
    command.extend(urls.iter().map(String::as_str));
    let ran = nigh(&command);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("6 of 7 URLs are not stored"), "{}", ran.stderr);
    let told: Vec<(String, String)> = results(&ran)
        .iter()
        .map(|result| {
            let text = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
            (text("outcome"), text("why"))
        })
        .collect();
    let expected = [
        ("failed", "no site of this edge has the host other.example"),
        ("stored", ""),
        ("failed", "the origin's answer is not HTTP"),
        ("not-stored", "its path goes by the cache"),
        ("failed", "the origin answered 503 Service Unavailable"),
        ("not-stored", "private"),
        ("failed", "the URL must begin with http:// or https://, as clients ask for it"),
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert_eq!((&*told.0, &*told.1), expected, "{ran:?}");
    }
}

#[test]
fn urls_come_from_standard_input_and_batches_are_gone_through() {
    let origin = origin();
    let edge = Edge::start(&origin, &ADMIN);
    let admin = edge.admin().to_string();
    let list: String = (0..1100).map(|n| format!("{}\n", url(&format!("/{n}")))).collect();
    let input = format!("# a list\n\n{list}");
    let arguments = ["prefetch", "--from", "-", "--concurrency", "16", "--admin", &admin];
    let ran = nigh_reading(input.as_bytes(), &arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("100 done"), "there is progress: {}", ran.stderr);
    assert!(ran.stderr.contains("1100 done: 1100 stored, 0 there already"), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().filter(|line| line.starts_with("stored ")).count(), 1100);
    assert_eq!(origin.requests(), 1100);
}

#[test]
fn clients_that_ask_meanwhile_share_the_fetch() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &ADMIN);
    let admin = edge.admin().to_string();
    std::thread::scope(|scope| {
        let prefetching = scope.spawn(|| nigh(&["prefetch", "--admin", &admin, &url("/")]));
        let asked = origin.asked();
        let mut client = edge.client();
        client.ask("GET", "/", "");
        edge.status_until(|status| status["collapsed"] == 1);
        asked.answer(ok("max-age=100", "one"));
        assert_eq!(client.response().text(), "one");
        assert_eq!(prefetching.join().unwrap().code, Some(0));
    });
    assert_eq!(origin.requests(), 1);
}

#[test]
fn wrong_wishes_are_refused_and_nothing_is_fetched() {
    let origin = origin();
    let edge = Edge::start(&origin, &ADMIN);
    for content in ["", "{}", "{\"urls\": []}", "{\"urls\": [\"http://a/\"], \"concurrency\": 0}"] {
        edge.tell_admin("POST", "/v1/prefetch", "", content).assert_problem(400);
    }
    let long = "x".repeat(8 << 20);
    edge.tell_admin("POST", "/v1/prefetch", "", &format!("{{\"{long}\"")).assert_problem(413);
    assert_eq!(origin.requests(), 0);
    for wrong in [&["prefetch"][..], &["prefetch", "http://a/", "--concurrency", "65"]] {
        assert_eq!(nigh(wrong).code, Some(2), "{wrong:?}");
    }
}
