//! Edges that come, drain, die and are replaced while a cluster serves: docs/cluster.md.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crate::{
    cluster::{ORIGIN_REQUESTS, URLS, asked, caches, holds, ordered, target, telling},
    support::{
        Edge, Origin, Wire,
        cluster::{Cluster, order},
        origin::answer,
    },
};

/// What an edge says of another one, or of itself.
fn seen<'a>(status: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let edges = status["cluster"]["edges"].as_array().unwrap();
    edges.iter().find(|edge| edge["name"] == name).unwrap()
}

/// Waits until an edge has these on its ring, and no others.
#[track_caller]
fn wait_for_ring(edge: &Edge, ring: &[&str]) {
    edge.status_until(|status| {
        let edges = status["cluster"]["edges"].as_array().unwrap();
        let on_ring = edges.iter().filter(|edge| edge["on_ring"] == true);
        on_ring.map(|edge| edge["name"].as_str().unwrap()).eq(ring.iter().copied())
    });
}

/// Waits until an edge sees another one so.
#[track_caller]
fn wait_for(edge: &Edge, name: &str, state: &str) {
    edge.status_until(|status| seen(status, name)["state"] == state);
}

/// A client that asks an edge for one target after the other, and stops the test at the first request
/// that fails.
struct Load {
    over: Arc<AtomicBool>,
    client: JoinHandle<usize>,
}

impl Load {
    fn start(edge: &Edge) -> Self {
        let (address, over) = (edge.addresses[0], Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&over);
        let client = std::thread::spawn(move || {
            let mut answered = 0;
            while !is_over.load(Ordering::Relaxed) {
                let mut wire = Wire::connect(address);
                for target in (0..URLS).map(target) {
                    let response = wire.get(&target);
                    assert_eq!((response.status(), response.text()), (200, &*target));
                    answered += 1;
                }
            }
            answered
        });
        Self { over, client }
    }

    #[track_caller]
    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        assert!(self.client.join().expect("no request fails") > 0);
    }
}

/// Has every object where its owner is.
fn fill(cluster: &Cluster) {
    let mut client = cluster.edges[0].client();
    (0..URLS).map(target).for_each(|target| assert_eq!(client.get(&target).text(), target));
}

/// An origin that answers everything under `/slow/` when it is told to.
fn waiting() -> (Origin, impl Fn()) {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let opened = Arc::clone(&gate);
    let origin = Origin::answering(move |head| {
        if head.target().starts_with("/slow/") {
            let is_open = gate.0.lock().unwrap();
            drop(gate.1.wait_while(is_open, |is_open| !*is_open).unwrap());
        }
        answer("Cache-Control: max-age=1000\r\nETag: \"1\"\r\n", head.target())
    });
    let open = move || {
        *opened.0.lock().unwrap() = true;
        opened.1.notify_all();
    };
    (origin, open)
}

#[test]
fn an_edge_that_was_killed_leaves_the_ring_and_no_request_fails() {
    let origin = telling();
    let mut cluster = Cluster::start("killed", &origin, 3, "");
    fill(&cluster);
    let loads: Vec<_> = cluster.edges[..2].iter().map(Load::start).collect();
    drop(cluster.edges.remove(2));
    for edge in &cluster.edges {
        wait_for(edge, "eu-3", "down");
        wait_for_ring(edge, &["eu-1", "eu-2"]);
        assert_eq!(edge.metric("nigh_cluster_members{state=\"down\"}"), 1);
        let status = edge.status_until(|_| true);
        let share = |name| seen(&status, name)["share"].as_f64().unwrap();
        assert_eq!(share("eu-3"), 0.0);
        assert!((share("eu-1") + share("eu-2") - 1.0).abs() < 1e-9 && share("eu-1") > 0.2);
        let siblings = &status["cluster"]["siblings"];
        let counted = |name: &str| siblings[name].as_u64().unwrap();
        assert!(counted("asked") >= counted("answered") && counted("served") > 0, "{siblings}");
        assert!(status["cluster"]["control"].is_null());
    }
    loads.into_iter().for_each(Load::end);
    // When it is back, it is on the ring again.
    cluster.start_next();
}

#[test]
fn an_edge_that_drains_hands_over_what_it_holds_and_no_request_fails() {
    let (origin, open) = waiting();
    let mut cluster = Cluster::start("drained", &origin, 3, "");
    fill(&cluster);
    let held = cluster.edges[2].metric("nigh_store_objects");
    let slow = (0..).map(|number| format!("/slow/{number}"));
    let slow = { slow }.find(|target| order(&cluster, target)[0] == 2).unwrap();
    let mut client = cluster.edges[2].client();
    client.ask("GET", &slow, "");
    cluster.edges[2].metric_until(ORIGIN_REQUESTS, |count| count > 0);
    let loads: Vec<_> = cluster.edges[..2].iter().map(Load::start).collect();
    cluster.edges[2].terminate();
    for edge in &cluster.edges[..2] {
        wait_for(edge, "eu-3", "draining");
        wait_for_ring(edge, &["eu-1", "eu-2"]);
    }
    cluster.edges[2].line("draining");
    for edge in &cluster.edges[..2] {
        let mut client = edge.client();
        (0..URLS).map(target).for_each(|target| assert_eq!(client.get(&target).text(), target));
    }
    let handed_over =
        cluster.edges[..2].iter().map(|edge| edge.metric("nigh_sibling_held_answers_total"));
    // Of some there are copies already.
    let handed_over = handed_over.sum::<u64>();
    assert!(handed_over > held / 2, "{handed_over} of {held}");
    open();
    assert_eq!(client.response().text(), slow);
    drop(client);
    assert_eq!(cluster.edges[2].ended().code(), Some(0));
    for edge in &cluster.edges[..2] {
        wait_for(edge, "eu-3", "left");
    }
    loads.into_iter().for_each(Load::end);
    let asked = asked(&origin);
    assert_eq!(asked.len(), URLS + 1);
    let again: Vec<_> = asked.iter().filter(|(_, times)| **times > 1).collect();
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn a_new_edge_takes_its_share_from_the_others_and_the_origin_hears_of_nothing() {
    let origin = telling();
    let mut cluster = Cluster::listed("joined", &origin, 4, "");
    (0..3).for_each(|_| cluster.start_next());
    for edge in &cluster.edges {
        // It was listed, and was never heard of.
        wait_for_ring(edge, &["eu-1", "eu-2", "eu-3"]);
    }
    fill(&cluster);
    let before = origin.requests();
    cluster.start_next();
    let mut client = cluster.edges[3].client();
    for target in (0..URLS).map(target) {
        assert_eq!(client.get(&target).text(), target);
    }
    let share = cluster.edges[3].metric("nigh_sibling_held_answers_total");
    assert!(share > URLS as u64 / 10, "{share}");
    assert_eq!(cluster.edges[3].metric("nigh_store_objects"), share);
    assert_eq!((before, origin.requests()), (URLS, URLS));
    // It keeps them as long as any owner does.
    let own = (0..URLS).map(target).find(|target| order(&cluster, target)[0] == 3).unwrap();
    let kept = cluster.edges[3].get(&own);
    let ttl = caches(&kept).last().unwrap().split("ttl=").nth(1).unwrap().parse::<u32>().unwrap();
    assert!(ttl > 900, "{ttl}");
}

#[test]
fn what_is_in_demand_goes_past_an_owner_that_has_too_much_to_do() {
    const BUSY: usize = 60;
    let (origin, open) = waiting();
    let cluster = Cluster::start("spilled", &origin, 3, "");
    let hot = ordered(&cluster, &[1, 0, 2]);
    cluster.edges[1].get(&hot);
    let slow = (0..).map(|number| format!("/slow/{number}"));
    let slow = slow.filter(|target| order(&cluster, target)[0] == 1).take(BUSY);
    let clients: Vec<_> = slow
        .map(|target| {
            let mut client = cluster.edges[1].client();
            client.ask("GET", &target, "");
            client
        })
        .collect();
    cluster.edges[2]
        .status_until(|status| seen(status, "eu-2")["load"].as_u64() > Some(BUSY as u64 / 2));
    let explained = cluster.edges[2].ask_admin(&format!("/v1/explain?url=http://www.example{hot}"));
    assert!(explained.text().contains("\"passed_by\":1"), "{explained:?}");
    let before = origin.requests();
    // Once is no demand.
    assert_eq!(cluster.edges[2].get(&hot).text(), hot);
    assert_eq!(cluster.edges[2].metric("nigh_sibling_spilled_total"), 0);
    assert!(!holds(&cluster.edges[0], &hot));
    assert_eq!(cluster.edges[2].get(&hot).text(), hot);
    assert_eq!(cluster.edges[2].metric("nigh_sibling_spilled_total"), 1);
    // The next in order has it of the owner, and the origin was not asked.
    assert!(holds(&cluster.edges[0], &hot));
    assert_eq!(cluster.edges[0].metric("nigh_sibling_answers_total"), 1);
    assert_eq!(origin.requests(), before);
    open();
    clients.into_iter().for_each(|mut client| assert_eq!(client.response().status(), 200));
}

#[test]
fn a_reload_says_who_belongs() {
    let origin = telling();
    let cluster = Cluster::start("belongs", &origin, 3, "");
    let listed = format!(", \"eu-3={}\"", cluster.addresses[2]);
    cluster.rewrite(0, |text| text.replace(&listed, ""));
    cluster.edges[0].hang_up();
    wait_for_ring(&cluster.edges[0], &["eu-1", "eu-2"]);
    assert_eq!(cluster.edges[0].metric("nigh_cluster_members{state=\"up\"}"), 2);
    cluster.rewrite(0, |text| text.replace("\"]\nlisten", &format!("\"{listed}]\nlisten")));
    cluster.edges[0].hang_up();
    wait_for_ring(&cluster.edges[0], &["eu-1", "eu-2", "eu-3"]);
}

#[test]
fn another_process_in_an_edges_place_speaks_for_it() {
    let origin = telling();
    let mut cluster = Cluster::start("replaced", &origin, 2, "");
    fill(&cluster);
    let load = Load::start(&cluster.edges[1]);
    let rings = cluster.edges[1].metric("nigh_cluster_ring_changes_total");
    cluster.edges[0].process.replace();
    assert_eq!(cluster.edges[0].process.first_ended().code(), Some(0));
    cluster.edges[0].status_until(|status| {
        seen(status, "eu-2")["state"] == "up" && seen(status, "eu-1")["on_ring"] == true
    });
    wait_for(&cluster.edges[1], "eu-1", "up");
    load.end();
    let (target, names) = (ordered(&cluster, &[0]), ["eu-1", "eu-2"]);
    assert_eq!(caches(&cluster.edges[1].get(&target)).len(), 2);
    wait_for_ring(&cluster.edges[1], &names);
    assert_eq!(cluster.edges[1].metric("nigh_cluster_ring_changes_total"), rings);
}
