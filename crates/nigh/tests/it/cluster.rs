//! Edges of a cluster as one cache: docs/cluster.md.

use std::{collections::BTreeMap, sync::Barrier};

use crate::support::{
    Asked, Directory, Edge, Head, Origin, Response, Wire,
    cluster::{self, Authority, Cluster, order},
    h2::{Got, empty, request},
    ok,
    origin::answer,
};

pub(crate) const URLS: usize = 300;

pub(crate) const ORIGIN_REQUESTS: &str = "nigh_origin_requests_total";

pub(crate) fn target(number: usize) -> String {
    format!("/object/{number}")
}

/// An origin that says of each target which it is.
pub(crate) fn telling() -> Origin {
    Origin::answering(|head| {
        let lines = "Cache-Control: max-age=1000\r\nETag: \"1\"\r\nSurrogate-Key: all\r\n";
        answer(lines, head.target())
    })
}

/// How often the origin was asked for each target.
pub(crate) fn asked(origin: &Origin) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for head in origin.heads() {
        *counts.entry(head.target().to_owned()).or_default() += 1;
    }
    counts
}

/// The members of Cache-Status, the one nearest to the origin first.
pub(crate) fn caches(head: &Head) -> Vec<String> {
    head.all("cache-status").flat_map(|line| line.split(", ")).map(str::to_owned).collect()
}

/// Whether an edge has something stored: nobody is asked.
pub(crate) fn holds(edge: &Edge, target: &str) -> bool {
    edge.held(target).is_some()
}

/// A target whose edges come in this order, as far as it goes.
pub(crate) fn ordered(cluster: &Cluster, first: &[usize]) -> String {
    cluster::ordered(cluster, "ordered", first)
}

#[test]
fn the_origin_is_asked_once_however_many_edges_are_and_each_object_lies_on_one() {
    let origin = telling();
    let cluster = Cluster::start("once", &origin, 3, "");
    for edge in &cluster.edges {
        let mut client = edge.client();
        for target in (0..URLS).map(target) {
            let response = client.get(&target);
            assert_eq!((response.status(), response.text()), (200, &*target));
        }
    }
    let asked = asked(&origin);
    assert_eq!(asked.len(), URLS);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
    assert_eq!(cluster.metric(ORIGIN_REQUESTS), URLS as u64);
    // Each is owned by one, and was asked for at two others.
    assert_eq!(cluster.metric("nigh_sibling_requests_total"), 2 * URLS as u64);
    assert_eq!(cluster.metric("nigh_sibling_answers_total"), 2 * URLS as u64);
    let held = cluster.metric("nigh_sibling_held_requests_total");
    assert_eq!(cluster.metric("nigh_sibling_served_total"), 2 * URLS as u64 + held);
    assert_eq!(cluster.metric("nigh_sibling_held_answers_total"), 0);
    assert_eq!(cluster.metric("nigh_sibling_failures_total"), 0);
    for target in (0..20).map(target) {
        assert!(holds(&cluster.edges[order(&cluster, &target)[0]], &target));
    }
    let holders = |target: &str| cluster.edges.iter().filter(|edge| holds(edge, target)).count();
    assert!((0..URLS).map(target).all(|target| holders(&target) == 1));
    for edge in &cluster.edges {
        assert!(edge.metric("nigh_store_objects") > URLS as u64 / 9, "none has nearly all");
    }
}

#[test]
fn clients_of_all_edges_at_once_cost_the_origin_one_request() {
    let origin = telling();
    let cluster = Cluster::start("at-once", &origin, 3, "");
    let begin = Barrier::new(12);
    std::thread::scope(|scope| {
        for edge in cluster.edges.iter().cycle().take(12) {
            let (mut client, begin) = (edge.client(), &begin);
            scope.spawn(move || {
                begin.wait();
                for target in (0..30).map(target) {
                    assert_eq!(client.get(&target).text(), target);
                }
            });
        }
    });
    assert_eq!((asked(&origin).len(), origin.requests()), (30, 30));
}

#[test]
fn an_answer_names_both_edges_and_says_its_age_and_nothing_that_is_for_caches() {
    let origin = telling();
    let cluster = Cluster::start("names", &origin, 3, "");
    let target = ordered(&cluster, &[2]);
    cluster.edges[2].get(&target);
    let response = cluster.edges[0].get(&target);
    let caches = caches(&response);
    assert_eq!(caches.len(), 2, "{caches:?}");
    assert!(caches[0].starts_with("eu-3; hit; ttl="), "{caches:?}");
    assert_eq!(caches[1], "eu-1; fwd=uri-miss; fwd-status=200");
    assert!(response.has("age") && !response.has("surrogate-key"));
    assert_eq!(response.all("via").count(), 2);
}

#[test]
fn what_is_in_demand_is_kept_for_a_short_while_where_it_is_asked_for() {
    let origin = telling();
    let cluster = Cluster::start("hot", &origin, 3, "");
    let (target, owner) = (ordered(&cluster, &[1]), 1);
    cluster.edges[0].get(&target);
    assert!(!holds(&cluster.edges[0], &target), "it was asked for once");
    cluster.edges[0].get(&target);
    let copy = cluster.edges[0].get_until(&target, |response| {
        caches(response).last().is_some_and(|last| last.starts_with("eu-1; hit"))
    });
    let ttl: i64 = caches(&copy)[1].split("ttl=").nth(1).unwrap().parse().unwrap();
    assert!((1..=10).contains(&ttl), "{ttl}");
    assert_eq!(cluster.edges[0].metric("nigh_sibling_copies_total"), 1);
    assert!(holds(&cluster.edges[owner], &target));
    // The tags came with it, so that it can be forgotten by them.
    let purged = cluster.edges[0].tell_admin("POST", "/v1/purge?tag=all", "", "");
    assert_eq!(purged.status(), 200);
    assert!(!holds(&cluster.edges[0], &target) && holds(&cluster.edges[owner], &target));
}

#[test]
fn a_copy_whose_time_is_over_is_confirmed_by_its_owner_and_not_by_the_origin() {
    let origin = telling();
    let cluster = Cluster::start("confirmed", &origin, 3, "");
    let target = ordered(&cluster, &[1]);
    (0..2).for_each(|_| drop(cluster.edges[0].get(&target)));
    assert!(holds(&cluster.edges[0], &target));
    let before = origin.requests();
    let expired = "Cache-Control: max-age=1000, min-fresh=11\r\n";
    let response = cluster.edges[0].client().get_with(&target, expired);
    let caches = caches(&response);
    assert!(caches.last().unwrap().contains("fwd=request; fwd-status=304"), "{caches:?}");
    assert_eq!((response.text(), origin.requests()), (&*target, before));
}

#[test]
fn who_plays_an_edge_to_the_clients_door_gains_nothing() {
    let origin = telling();
    let cluster = Cluster::start("played", &origin, 2, "");
    let mark = "\"eu-2\";scheme=https;for=\"203.0.113.9\"";
    let target = ordered(&cluster, &[1]);
    for name in ["Nigh-Hop", "nigh-hop", "Nigh_Hop", "NIGH_HOP"] {
        let line = format!("{name}: {mark}\r\n");
        let response = cluster.edges[0].client().get_with(&target, &line);
        assert_eq!(caches(&response).len(), 2, "{name}: it went to the owner");
        let uncached = cluster.edges[0].client().get_with(&format!("/{name}"), &line);
        assert!(!uncached.has("surrogate-key"), "{name}");
    }
    for head in origin.heads() {
        assert!(head.fields.iter().all(|(name, _)| !name.starts_with("nigh")), "{head:?}");
        assert_eq!(head.first("x-forwarded-proto"), "http");
        assert_eq!(head.first("x-forwarded-for"), "127.0.0.1");
    }
}

/// A request as an edge sends it.
fn marked(path: &str, from: &str) -> http::Request<crate::support::h2::Content> {
    let mark = format!("\"{from}\";scheme=http;for=\"203.0.113.9\"");
    request("GET", path, &[("nigh-hop", &mark)]).body(empty()).unwrap()
}

#[test]
fn only_edges_of_the_cluster_come_in_as_such() {
    let origin = telling();
    let cluster = Cluster::start("strangers", &origin, 2, "");
    let own = cluster.authority.certify("eu-2");
    let other = Authority::of("eu").certify("eu-2");
    let got = cluster.ask_as(0, Some(&own), marked("/a", "eu-2")).unwrap();
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, &b"/a"[..]));
    assert_eq!(got.fields["surrogate-key"], "all");
    let seen = origin.last();
    assert_eq!(seen.first("x-forwarded-for"), "203.0.113.9");
    assert!(!seen.has("nigh-hop"));
    let asked = origin.requests();
    let elsewhere = Authority::of("us").certify("eu-2");
    let unlisted = cluster.authority.certify("eu-9");
    for (shown, from) in [
        (None, "eu-2"),
        (Some(&other), "eu-2"),
        (Some(&elsewhere), "eu-2"),
        (Some(&unlisted), "eu-2"),
        (Some(&own), "eu-9"),
        // It is another edge than it says.
        (Some(&own), "eu-1"),
    ] {
        let got: Option<Got> = cluster.ask_as(0, shown, marked("/b", from));
        assert!(got.is_none(), "{from}: {got:?}");
    }
    let unmarked = request("GET", "/b", &[]).body(empty()).unwrap();
    assert!(cluster.ask_as(0, Some(&own), unmarked).is_none());
    assert_eq!(origin.requests(), asked);
}

#[test]
fn an_edge_that_is_asked_for_what_it_does_not_own_has_it_of_its_owner() {
    let origin = telling();
    let cluster = Cluster::start("overflow", &origin, 3, "");
    let third = cluster.authority.certify("eu-3");
    let target = ordered(&cluster, &[1, 0]);
    let got = cluster.ask_as(0, Some(&third), marked(&target, "eu-3")).unwrap();
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, target.as_bytes()));
    assert!(holds(&cluster.edges[0], &target) && holds(&cluster.edges[1], &target));
    assert_eq!(cluster.edges[1].get(&target).text(), target);
    assert_eq!(origin.requests(), 1, "the owner alone has asked it");
}

#[test]
fn what_the_owner_asks_for_goes_to_no_third() {
    let origin = telling();
    let cluster = Cluster::start("one-hop", &origin, 3, "");
    let own = cluster.authority.certify("eu-2");
    let target = ordered(&cluster, &[1]);
    let before = cluster.metric("nigh_sibling_requests_total");
    let got = cluster.ask_as(0, Some(&own), marked(&target, "eu-2")).unwrap();
    assert_eq!(got.status, 200);
    assert_eq!(cluster.metric("nigh_sibling_requests_total"), before);
}

#[test]
fn an_edge_that_has_no_such_site_is_passed_by() {
    let origin = telling();
    let cluster = Cluster::start("sites", &origin, 2, "");
    let own = cluster.authority.certify("eu-1");
    let target = ordered(&cluster, &[1]);
    cluster.rewrite(1, |text| text.replace("host = \"*\"", "host = \"other.example\""));
    cluster.edges[1].hang_up();
    cluster.edges[1].line("the sites are new");
    let got = cluster.ask_as(1, Some(&own), marked("/a", "eu-1")).unwrap();
    assert_eq!((got.status.as_u16(), &got.fields["nigh-hop"]), (421, &"declined".parse().unwrap()));
    let response = cluster.edges[0].get(&target);
    assert_eq!((response.status(), caches(&response).len()), (200, 1), "{response:?}");
    assert!(holds(&cluster.edges[0], &target), "it answers for it now");
}

#[test]
fn when_an_edge_dies_its_successors_answer_for_it() {
    let origin = telling();
    let mut cluster = Cluster::start("dies", &origin, 3, "");
    let mut client = cluster.edges[0].client();
    for target in (0..URLS).map(target) {
        client.get(&target);
    }
    let held = cluster.edges[2].metric("nigh_store_objects");
    assert!(held > 0);
    // It is killed.
    drop(cluster.edges.remove(2));
    for edge in &cluster.edges {
        let mut client = edge.client();
        for target in (0..URLS).map(target) {
            let response = client.get(&target);
            assert_eq!((response.status(), response.text()), (200, &*target));
        }
    }
    let again = asked(&origin).values().filter(|times| **times == 2).count() as u64;
    assert_eq!(again, held, "its share was fetched once more, by its successors");
    assert_eq!(origin.requests() as u64, URLS as u64 + held);
    // It is not tried again each time.
    assert!(cluster.metric("nigh_sibling_failures_total") < held / 2);
}

/// Bytes that are fetched and given in one piece, and where it breaks off.
const BODY: usize = 40_000;
const BROKEN: usize = 15_000;

/// A body of which a part has come through two edges, and the rest is still at the origin.
struct Begun {
    cluster: Cluster,
    origin: Origin,
    asked: Asked,
    /// Of the first edge, which has asked the last one; the second one comes after that.
    client: Wire,
    body: String,
    /// What the origin has not sent yet.
    rest: String,
}

impl Begun {
    #[track_caller]
    fn start(name: &str, lines: &str) -> Self {
        let origin = Origin::start();
        let cluster = Cluster::start(name, &origin, 3, "");
        let target = ordered(&cluster, &[2, 1, 0]);
        let body = large()[..BODY].to_owned();
        let mut client = cluster.edges[0].client();
        client.ask("GET", &target, "");
        let mut asked = origin.asked();
        let mut sent = answer(lines, &body);
        let rest = sent.split_off(sent.len() - (BODY - BROKEN));
        asked.send(&sent);
        assert_eq!(client.final_head().status(), 200);
        assert!(client.exact(BROKEN / 2) == body.as_bytes()[..BROKEN / 2]);
        Self { cluster, origin, asked, client, body, rest }
    }

    /// The successor asks the origin for the rest, and the client gets all.
    #[track_caller]
    fn goes_on(&mut self, lines: &str) {
        let asked = self.origin.asked();
        assert!(asked.head.first("range").starts_with("bytes="), "{:?}", asked.head);
        let range = format!("{lines}Content-Range: bytes 0-{}/{BODY}\r\n", BODY - 1);
        asked.answer(answer(&range, &self.body).replacen("200 OK", "206 Partial Content", 1));
        let rest = self.client.exact(BODY - BROKEN / 2);
        assert!(rest == self.body.as_bytes()[BROKEN / 2..]);
        assert_eq!(self.cluster.edges[0].metric("nigh_sibling_resumed_total"), 1);
        assert_eq!(self.cluster.edges[0].metric("nigh_sibling_cut_total"), 0);
    }
}

const TAGGED: &str = "Cache-Control: max-age=1000\r\nETag: \"1\"\r\n";

#[test]
fn a_body_that_was_begun_goes_on_at_the_successor_when_its_edge_dies() {
    let mut begun = Begun::start("resumed", TAGGED);
    drop(begun.cluster.edges.remove(2));
    begun.goes_on(TAGGED);
}

#[test]
fn a_body_that_was_begun_goes_on_at_the_successor_when_its_edge_stands_still() {
    let mut begun = Begun::start("stands-still", TAGGED);
    begun.cluster.edges[2].pause();
    begun.goes_on(TAGGED);
    // Nobody has waited until its connection was given up.
    assert!(begun.cluster.edges[0].metric("nigh_sibling_hedges_total") > 0);
    begun.cluster.edges[2].go_on();
}

#[test]
fn a_body_that_was_begun_waits_for_an_origin_that_stands_still() {
    let mut begun = Begun::start("slow-body", TAGGED);
    let edge = &begun.cluster.edges[0];
    let before = edge.metric("nigh_sibling_presences_total");
    // So often its owner was silent for long enough to be asked whether it is there.
    edge.metric_until("nigh_sibling_presences_total", |times| times >= before + 10);
    begun.asked.answer(&begun.rest);
    assert!(begun.client.exact(BODY - BROKEN / 2) == begun.body.as_bytes()[BROKEN / 2..]);
    assert_eq!(begun.cluster.edges[0].metric("nigh_sibling_hedges_total"), 0);
    assert_eq!(begun.origin.requests(), 1);
}

#[test]
fn a_body_that_nothing_tells_from_another_breaks_off_with_its_edge() {
    let mut begun = Begun::start("cut", "Cache-Control: max-age=1000\r\n");
    drop(begun.cluster.edges.remove(2));
    assert!(begun.client.rest().len() < BODY - BROKEN / 2);
    assert_eq!(begun.cluster.edges[0].metric("nigh_sibling_cut_total"), 1);
}

#[test]
fn what_is_one_clients_alone_goes_to_the_origin_at_once() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let cluster =
        Cluster::start("alone", &origin, 2, "[[site.path]]\nmatch = \"/by\"\nbypass = true\n");
    for number in 0..20 {
        let mut client = cluster.edges[0].client();
        client.get_with(&target(number), "Authorization: Basic YTpi\r\n");
        client.ask("POST", &target(number), "Content-Length: 0\r\n");
        client.response();
        client.get("/by");
    }
    assert_eq!(origin.requests(), 60);
    assert_eq!(cluster.metric("nigh_sibling_requests_total"), 0);
}

#[test]
fn what_may_not_be_kept_makes_the_detour_once() {
    let origin = Origin::saying(ok("no-store", "x"));
    let cluster = Cluster::start("unkept", &origin, 2, "");
    for number in 0..20 {
        (0..3).for_each(|_| assert_eq!(cluster.edges[0].get(&target(number)).text(), "x"));
    }
    let travelled = cluster.metric("nigh_sibling_requests_total");
    assert!((1..=20).contains(&travelled), "{travelled}");
    assert_eq!(origin.requests(), 60);
}

#[test]
fn rules_of_a_site_are_applied_once_and_by_whom_they_are_for() {
    let origin = telling();
    let rule = "[[site.path]]\nmatch = \"/\"\nallow = \"127.0.0.0/8\"\nttl = \"1h\"\n\
        set_response_fields = \"X-Rule: set\"\nremove_response_fields = \"X-Gone\"\n";
    let cluster = Cluster::start("rules", &origin, 2, rule);
    let own = cluster.authority.certify("eu-2");
    // The client that the mark names would not be let in here: where it came in, it was.
    let got = cluster.ask_as(0, Some(&own), marked("/a", "eu-2")).unwrap();
    assert_eq!(got.status, 200);
    let target = ordered(&cluster, &[1]);
    let response = cluster.edges[0].get(&target);
    assert_eq!(response.all("x-rule").collect::<Vec<_>>(), ["set"]);
}

const SLICE: usize = 64 * 1024;
/// Forty slices.
const LENGTH: usize = 40 * SLICE;

fn large() -> String {
    (0..LENGTH / 8).map(|at| format!("{:08}", at * 8)).collect()
}

/// An origin of one large object, which serves ranges of it.
fn large_origin() -> Origin {
    let body = large();
    Origin::answering(move |head| {
        let lines = "Cache-Control: max-age=1000\r\nAccept-Ranges: bytes\r\nETag: \"1\"\r\n";
        let range = head.first("range").strip_prefix("bytes=").and_then(|it| it.split_once('-'));
        let Some((first, last)) = range else { return answer(lines, &body) };
        let first: usize = first.parse().unwrap();
        let end = last.parse().map_or(LENGTH, |last: usize| (last + 1).min(LENGTH));
        let lines = format!("{lines}Content-Range: bytes {first}-{}/{LENGTH}\r\n", end - 1);
        answer(&lines, &body[first..end]).replacen("200 OK", "206 Partial Content", 1)
    })
}

/// How often the origin was asked for each slice.
fn slices(origin: &Origin) -> Vec<usize> {
    let mut counts = vec![0; LENGTH / SLICE];
    for head in origin.heads() {
        let range = head.first("range");
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("", ""));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>())
            && last - first + 1 == SLICE
        {
            counts[first / SLICE] += 1;
        }
    }
    counts
}

fn assert_spread(cluster: &Cluster) {
    for edge in &cluster.edges {
        let bytes = edge.metric("nigh_store_bytes");
        // Copies of what was asked for again, by one that reads ahead, come on top for a while.
        assert!(bytes > 2 * SLICE as u64 && bytes < 36 * SLICE as u64, "{bytes}");
    }
}

#[test]
fn ranges_of_a_large_object_are_spread_over_all_edges_and_fetched_once() {
    let origin = large_origin();
    let cluster = Cluster::start("ranges", &origin, 3, "");
    let body = large();
    for edge in &cluster.edges {
        let mut client = edge.client();
        for index in (0..LENGTH / SLICE).rev() {
            let (first, end) = (index * SLICE + 5, (index + 1) * SLICE - 5);
            let line = format!("Range: bytes={first}-{}\r\n", end - 1);
            let response = client.get_with("/", &line);
            assert_eq!(response.status(), 206);
            assert!(response.text() == &body[first..end], "slice {index}");
        }
    }
    assert_eq!(slices(&origin), vec![1; LENGTH / SLICE]);
    assert_spread(&cluster);
}

#[test]
fn a_large_object_is_brought_together_from_all_edges() {
    let origin = large_origin();
    let cluster = Cluster::start("whole", &origin, 3, "");
    for edge in &cluster.edges {
        let response: Response = edge.get("/");
        assert_eq!(response.status(), 200);
        assert!(response.text() == large());
    }
    // The first one came with the answer for the whole.
    assert_eq!(slices(&origin)[1..], vec![1; LENGTH / SLICE - 1]);
    assert_eq!(origin.heads().iter().filter(|head| !head.has("range")).count(), 1);
    assert_spread(&cluster);
}

/// What a purge through this edge came to, without how long it took.
#[track_caller]
fn purged(edge: &Edge, query: &str) -> serde_json::Value {
    let answered = edge.tell_admin("POST", &format!("/v1/purge?{query}"), "", "");
    assert_eq!(answered.status(), 200, "{answered:?}");
    serde_json::from_slice(&answered.body).unwrap()
}

#[test]
fn with_control_state_a_purge_says_of_each_edge_what_it_did_and_one_that_was_killed_goes_on_from_there()
 {
    let origin = telling();
    let mut cluster = Cluster::start("controlled", &origin, 1, "");
    let kept = Directory::new("controlled-state");
    std::fs::create_dir_all(&kept.0).unwrap();
    let folder = kept.argument();
    cluster.rewrite(0, |text| {
        let disk = format!("[cache]\ndisk = {{ path = \"{folder}/disk\", size = \"64MiB\" }}");
        let control = format!("control = \"file:{folder}/state\"\n[[site]]");
        text.replace("[cache]", &disk).replace("[[site]]", &control)
    });
    let is_stored = |edge: &Edge, target: &str| {
        edge.get_until(target, |response| caches(&response.head)[0].contains("; hit"));
    };
    for (number, query) in (1..).zip(["all", "tag=all", "url=http://www.example/a"]) {
        cluster.restart(0);
        let edge = &cluster.edges[0];
        is_stored(edge, "/a");
        let said = purged(edge, query);
        assert_eq!((&said["id"], &said["done"]), (&number.into(), &true.into()), "{said}");
        let edges = said["edges"].as_array().unwrap();
        assert_eq!(edges.len(), 1);
        assert_eq!((&edges[0]["name"], &edges[0]["state"]), (&"eu-1".into(), &"forgotten".into()));
        assert!(edges[0]["millis"].is_u64());
        assert!(!holds(edge, "/a"), "it was purged by {query}");
        let reached = std::fs::read_to_string(kept.0.join("disk/purges")).unwrap();
        let reached: serde_json::Value = serde_json::from_str(&reached).unwrap();
        assert_eq!((&reached["cluster"], &reached["reached"]), (&"eu".into(), &number.into()));
    }
}

#[test]
fn what_this_edge_could_not_forget_is_not_purged_in_the_cluster() {
    let origin = telling();
    let mut cluster = Cluster::start("refused-purge", &origin, 1, "");
    let kept = Directory::new("refused-purge-state");
    std::fs::create_dir_all(&kept.0).unwrap();
    let control = format!("control = \"file:{}/state\"\n[[site]]", kept.argument());
    cluster.rewrite(0, |text| {
        text.replace("[[site]]", &control).replace("host = \"*\"", "host = \"www.example\"")
    });
    cluster.restart(0);
    let edge = &cluster.edges[0];
    let refused = edge.tell_admin("POST", "/v1/purge?url=http://other.example/", "", "");
    assert_eq!(refused.status(), 404);
    let said = purged(edge, "url=http://www.example/");
    assert_eq!(said["id"], 1, "the other one was none: {said}");
}
