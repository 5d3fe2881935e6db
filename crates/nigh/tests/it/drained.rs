//! `nigh drain`: edges that are drained by name, with control state in a file and one edge. Three edges and
//! an etcd: tests/foreign/cluster-apply.sh.

use serde_json::Value;

use crate::{
    apply::Fixture,
    support::{
        Edge,
        process::{Ran, nigh},
    },
};

fn drain(edge: &Edge, more: &[&str]) -> Ran {
    let admin = edge.admin().to_string();
    let ran = nigh(&[&["drain", "--admin", &admin][..], more].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran
}

#[test]
fn who_drains_the_last_edge_is_told_that_none_is_left() {
    let fixture = Fixture::start("drain-last", "");
    let edge = fixture.edge();
    for more in [&["eu-1"][..], &["eu-1", "--json"]] {
        let ran = drain(edge, more);
        assert!(ran.stderr.contains("no edge of the cluster is on the ring any more"), "{ran:?}");
        assert!(ran.stderr.contains("nigh drain EDGE --undo"), "{ran:?}");
    }
    edge.ask_admin("/healthz").assert_problem(503);
    let back = drain(edge, &["eu-1", "--undo", "--json"]);
    assert_eq!(back.stderr, "");
    let back: Value = serde_json::from_str(&back.stdout).unwrap();
    assert_eq!((&back["on_ring"], &back["edges_on_ring"]), (&true.into(), &1.into()), "{back}");
}

#[test]
fn a_drain_and_its_undoing_are_events() {
    let fixture = Fixture::start("drain-events", "");
    let edge = fixture.edge();
    let mut events = edge.events();
    for (more, name) in [(&["eu-1"][..], "drained"), (&["eu-1", "--undo"], "taken-back")] {
        drain(edge, more);
        let told = String::from_utf8(events.chunk().unwrap()).unwrap();
        assert!(told.starts_with(&format!("event: {name}\n")), "{told}");
        assert!(told.contains("\"edge\":\"eu-1\""), "{told}");
        // Nothing has changed.
        drain(edge, more);
    }
}
