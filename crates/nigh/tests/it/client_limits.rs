//! `[limits] per_client`: what one network may take, whatever the others do.

use crate::support::{Edge, Origin, SettingsFile, Wire, h2, ok};

/// An edge that limits its clients so; all of a test's are one network.
fn limiting(origin: &Origin, per_client: &str) -> (Edge, SettingsFile) {
    let file = SettingsFile::saying(&format!(
        "[node]\nlisten = \"http://127.0.0.1:0\"\nworkers = 2\nadmin = \"127.0.0.1:0\"\n\
         [limits]\nper_client = {{ {per_client} }}\n\
         [[site]]\nhost = \"*\"\norigin = \"{}\"\n",
        origin.url()
    ));
    (Edge::of(&file), file)
}

/// How often a limit was hit.
fn hits(edge: &Edge, limit: &str) -> u64 {
    edge.metric(&format!("nigh_limited_total{{limit=\"{limit}\"}}"))
}

#[test]
fn requests_beyond_the_rate_are_429_over_both_protocols_and_the_connection_stays() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let (edge, _file) = limiting(&origin, "requests = \"4/h\", burst = 4");
    let mut client = edge.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").status(), 200);
    }
    let streams = h2::Client::clear(edge.addresses[0]);
    assert_eq!(streams.get("/").status, 200);
    let refused = streams.get("/");
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.fields["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((800..=900).contains(&seconds), "a fourth of an hour: {seconds}");
    for _ in 0..2 {
        let refused = client.get("/");
        refused.assert_problem(429);
        assert!(refused.first("retry-after").parse::<u64>().is_ok(), "{refused:?}");
        assert!(refused.says("detail=too-many-requests"), "{refused:?}");
    }
    edge.client().get("/").assert_problem(429);
    assert_eq!(hits(&edge, "client-requests"), 4);
}

#[test]
fn what_is_no_request_counts_like_one() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let (edge, _file) = limiting(&origin, "requests = \"3/h\", burst = 3");
    let nonsense = |status: u16| {
        let mut client = edge.client();
        client.send("nonsense\r\n\r\n");
        let refused = client.response();
        refused.assert_problem(status);
        client.finish_sending();
        client.assert_closed();
        refused
    };
    (0..3).for_each(|_| drop(nonsense(400)));
    let refused = nonsense(429);
    assert!(refused.first("retry-after").parse::<u64>().is_ok(), "{refused:?}");
    edge.client().get("/").assert_problem(429);
    assert_eq!(hits(&edge, "client-requests"), 2);
}

#[test]
fn pipelined_requests_behind_a_miss_are_counted_once() {
    let origin = Origin::start();
    let (edge, _file) = limiting(&origin, "requests = \"3/h\", burst = 3");
    let mut client = edge.client();
    let ask = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: www.example\r\n\r\n");
    client.send(["/1", "/2", "/3", "/4"].map(ask).concat());
    let asked = [origin.asked(), origin.asked(), origin.asked()];
    for asked in asked {
        let target = asked.head.target().to_owned();
        asked.answer(ok("max-age=100", &target));
    }
    let statuses = [(); 4].map(|()| client.response().status());
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn whoever_is_exempt_is_not_limited() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let limits = "requests = \"1/h\", connections = 1, exempt = [\"127.0.0.0/8\"]";
    let (edge, _file) = limiting(&origin, limits);
    let mut clients = [edge.client(), edge.client()];
    for client in &mut clients {
        assert_eq!([client.get("/").status(), client.get("/").status()], [200, 200]);
    }
}

#[test]
fn connections_beyond_the_limit_are_closed_until_one_ends() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let (edge, _file) = limiting(&origin, "connections = 2");
    let mut held = [edge.client(), edge.client()];
    for client in &mut held {
        assert_eq!(client.get("/").status(), 200);
    }
    let mut third = edge.client();
    third.assert_closed();
    assert_eq!(hits(&edge, "client-connections"), 1);
    assert!(held[0].get("/").says("hit"));
    drop(held);
    edge.status_until(|status| status["connections"] == 0);
    assert_eq!(edge.get("/").status(), 200);
}

#[test]
fn answers_beyond_the_bandwidth_are_paced_and_whole_over_both_protocols() {
    let body: String = (0..800_000).map(|number| char::from(b'a' + (number % 23) as u8)).collect();
    let origin = Origin::saying(ok("max-age=100", &body));
    let (edge, _file) = limiting(&origin, "bandwidth = \"2MiB/s\"");
    let mut client = edge.client();
    assert!(client.get("/").text() == body);
    let first = hits(&edge, "client-bandwidth");
    assert!(first > 0, "two thirds of a second's worth are more than is sent at once");
    assert!(h2::Client::clear(edge.addresses[0]).get("/").body == body.as_bytes());
    assert!(hits(&edge, "client-bandwidth") > first);
    // A small answer waits too, for its turn behind the large ones.
    assert_eq!(
        Wire::connect(edge.addresses[0]).get_with("/", "Range: bytes=0-9\r\n").body.len(),
        10
    );
}
