//! Edges that are slow, and origins that are; and what an edge tells the others when something has
//! changed: docs/cluster.md.

use crate::support::{
    Edge, Origin,
    cluster::{Cluster, ordered},
    ok,
    origin::answer,
};

fn telling() -> Origin {
    Origin::answering(|head| answer("Cache-Control: max-age=1000\r\n", head.target()))
}

#[test]
fn an_edge_that_stands_still_keeps_nobody_waiting_and_serves_again_when_it_goes_on() {
    let origin = telling();
    let cluster = Cluster::start("still", &origin, 3, "");
    let target = |number| ordered(&cluster, &format!("still-{number}"), &[2, 1, 0]);
    let targets: Vec<String> = (0..20).map(target).collect();
    // One core has a connection to it; the others would have to make one first.
    let mut client = cluster.edges[0].client();
    assert_eq!(client.get(&targets[0]).text(), targets[0]);
    cluster.edges[2].pause();
    for target in &targets[1..] {
        assert_eq!(client.get(target).text(), *target);
    }
    assert!(cluster.edges[0].metric("nigh_sibling_hedges_total") > 0);
    // It is not asked each time.
    assert!(cluster.edges[0].metric("nigh_sibling_failures_total") < 10);
    assert_eq!(origin.requests(), targets.len(), "what its successor has asked for is there once");
    cluster.edges[2].go_on();
    let answers = || cluster.edges[2].metric("nigh_sibling_served_total");
    let before = answers();
    cluster.edges[0].get_until(&targets[19], |_| answers() > before);
}

#[test]
fn a_slow_origin_is_waited_for_by_the_edge_that_asked_it_first() {
    let origin = Origin::start();
    let cluster = Cluster::start("slow-origin", &origin, 3, "");
    let target = ordered(&cluster, "slow", &[2, 1, 0]);
    let mut client = cluster.edges[0].client();
    client.ask("GET", &target, "");
    let asked = origin.asked();
    // So often it was slow enough to be asked whether it is there.
    cluster.edges[0].metric_until("nigh_sibling_presences_total", |times| times >= 3);
    asked.answer(ok("max-age=1000", "at last"));
    assert_eq!(client.response().text(), "at last");
    assert_eq!(cluster.edges[0].metric("nigh_sibling_hedges_total"), 0);
    assert_eq!(origin.requests(), 1);
}

#[test]
fn what_a_client_changed_through_one_edge_is_new_wherever_it_asks_next() {
    let origin = telling();
    let cluster = Cluster::start("changed", &origin, 3, "");
    let target = ordered(&cluster, "changed", &[2, 1, 0]);
    let is_held = |edge: &Edge| edge.held(&target).is_some();
    // Twice: it keeps a copy.
    (0..2).for_each(|_| drop(cluster.edges[0].get(&target)));
    assert!(is_held(&cluster.edges[2]) && is_held(&cluster.edges[0]));
    let mut client = cluster.edges[1].client();
    client.ask("PUT", &target, "Content-Length: 0\r\n");
    assert_eq!(client.response().status(), 200);
    assert!(!is_held(&cluster.edges[2]), "its owner was told before the client was");
    assert!(!is_held(&cluster.edges[0]), "and who had a copy");
    let before = origin.requests();
    cluster.edges[0].get(&target);
    assert_eq!(origin.requests(), before + 1);
    // Nothing is forgotten for what was only asked for.
    client.ask("OPTIONS", &target, "");
    assert_eq!(client.response().status(), 200);
    assert!(is_held(&cluster.edges[2]));
}

#[test]
fn clients_that_do_not_read_hold_up_nobody_else() {
    // More than all buffers on the way have room for, and in no slices.
    let long = "x".repeat(16 << 20);
    let origin = Origin::answering(move |head| match head.target().starts_with("/long/") {
        true => answer("Cache-Control: max-age=1000\r\n", &long),
        false => answer("Cache-Control: max-age=1000\r\n", head.target()),
    });
    let cluster = Cluster::start("unread", &origin, 2, "");
    let mut unread = Vec::new();
    for number in 0..16 {
        let mut client = cluster.edges[0].client();
        client.ask("GET", &ordered(&cluster, &format!("long/{number}"), &[1]), "");
        assert_eq!(client.final_head().status(), 200);
        unread.push(client);
    }
    for number in 0..20 {
        let target = ordered(&cluster, &format!("short-{number}"), &[1]);
        assert_eq!(cluster.edges[0].get(&target).text(), target);
    }
    drop(unread);
}
