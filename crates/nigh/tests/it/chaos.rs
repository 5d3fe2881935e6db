//! A cluster of real processes under load while its edges are killed, restarted and held up. Clients
//! check every byte; what fails through an edge that lives fails the test.

use std::time::{Duration, Instant};

use nigh_load::{Load, Object, Origin, Pace, Popular, Tally, Terms};

use crate::support::{self, PATIENCE, cluster::Cluster};

const EDGES: usize = 4;

const PACE: Pace = Pace { connections: 8, rate: None };

/// A cluster before an origin whose every byte is known, with client addresses that a restart leaves.
struct Lab {
    cluster: Cluster,
    origin: Origin,
}

impl Lab {
    #[track_caller]
    fn start(name: &str) -> Self {
        let origin = Origin::start("127.0.0.1:0".parse().unwrap(), Terms::default()).unwrap();
        let unasked = support::Origin::saying(support::ok("no-store", ""));
        let mut cluster = Cluster::start(name, &unasked, EDGES, "");
        for edge in 0..EDGES {
            let address = cluster.addresses[edge];
            let clients = format!("http://{}:{}", address.ip(), address.port() + 10_000);
            cluster.rewrite(edge, |text| {
                let text = text.replace("http://127.0.0.1:0", &clients);
                text.replace(&unasked.url(), &format!("http://{}", origin.address()))
            });
            cluster.restart(edge);
        }
        Self { cluster, origin }
    }

    /// Clients of so many of its edges, the first ones.
    fn load(&self, edges: usize) -> Load {
        let edges = self.cluster.edges[..edges].iter().map(|edge| edge.addresses[0]);
        Load::start(edges.collect(), Popular::new(objects()), PACE, 1).unwrap()
    }
}

/// Small ones, and some that are kept in slices.
fn objects() -> Vec<Object> {
    let bytes = |number: u64| match number % 20 {
        7 => 400_000,
        small => 500 + 1_500 * u32::try_from(small).unwrap(),
    };
    (0..200).map(|number| Object { number, bytes: bytes(number) }).collect()
}

/// Waits for so many more requests.
#[track_caller]
fn goes_on(load: &Load, requests: u64) {
    let wanted = load.tally().requests + requests;
    let deadline = Instant::now() + PATIENCE;
    while load.tally().requests < wanted {
        assert!(Instant::now() < deadline, "the load stands still: {}", load.tally());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn assert_nobody_was_failed(tally: &Tally) {
    assert_eq!(tally.failed, 0, "{tally}: {:#?}", tally.words);
}

#[test]
fn when_an_edge_is_killed_under_load_no_request_through_the_others_fails() {
    let mut lab = Lab::start("chaos-kill");
    let load = lab.load(EDGES);
    goes_on(&load, 400);
    load.killed(2);
    drop(lab.cluster.edges.remove(2));
    goes_on(&load, 800);
    let tally = load.stop();
    assert_nobody_was_failed(&tally);
    assert!(tally.cut > 0, "clients of the killed edge have noticed: {tally}");
    assert!(lab.origin.requests() < tally.requests, "{} {tally}", lab.origin.requests());
}

#[test]
fn a_killed_edge_that_comes_back_takes_its_share_and_fails_nobody() {
    let mut lab = Lab::start("chaos-back");
    let load = lab.load(EDGES);
    goes_on(&load, 400);
    load.killed(1);
    lab.cluster.restart(1);
    load.back(1);
    goes_on(&load, 800);
    assert_nobody_was_failed(&load.stop());
    assert!(lab.cluster.edges[1].metric("nigh_store_objects") > 0);
}

#[test]
fn edges_are_restarted_one_after_the_other_and_nobody_notices() {
    let mut lab = Lab::start("chaos-rolling");
    let load = lab.load(EDGES);
    goes_on(&load, 200);
    for edge in 0..EDGES {
        // From here on clients are to go elsewhere: their next connections are refused.
        load.killed(edge);
        lab.cluster.edges[edge].terminate();
        assert!(lab.cluster.edges[edge].ended().success());
        lab.cluster.restart(edge);
        load.back(edge);
        goes_on(&load, 200);
    }
    assert_nobody_was_failed(&load.stop());
}

#[test]
fn an_edge_that_stands_still_holds_up_the_others_and_fails_nobody() {
    let lab = Lab::start("chaos-still");
    // Nobody asks it but its siblings.
    let load = lab.load(EDGES - 1);
    goes_on(&load, 400);
    let last = &lab.cluster.edges[EDGES - 1];
    last.process.pause();
    goes_on(&load, 800);
    last.process.go_on();
    goes_on(&load, 200);
    assert_nobody_was_failed(&load.stop());
}
