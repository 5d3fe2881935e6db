//! Clusters behind one another: docs/cluster.md.

use crate::support::{
    Head, Origin,
    cluster::{Cluster, ordered},
    h2::{empty, request},
    origin::answer,
};

const URLS: usize = 60;

fn target(number: usize) -> String {
    format!("/object/{number}")
}

/// An origin that says of each target which it is.
fn telling() -> Origin {
    Origin::answering(|head| answer("Cache-Control: max-age=1000\r\n", head.target()))
}

/// The members of Cache-Status, the one nearest to the origin first.
fn caches(head: &Head) -> Vec<String> {
    head.all("cache-status").flat_map(|line| line.split(", ")).map(str::to_owned).collect()
}

#[test]
fn the_origin_is_asked_once_however_many_edges_of_both_clusters_are_asked() {
    let origin = telling();
    let [eu, us] = Cluster::start_family("family", &origin, 2);
    for edge in us.edges.iter().chain(&eu.edges) {
        let mut client = edge.client();
        for target in (0..URLS).map(target) {
            let response = client.get(&target);
            assert_eq!((response.status(), response.text()), (200, &*target));
        }
    }
    assert_eq!(origin.requests(), URLS);
    assert_eq!(us.metric("nigh_origin_requests_total"), 0);
    assert_eq!(us.metric("nigh_parent_answers_total"), URLS as u64);
    // The child keeps what its parent gave it, each object once.
    assert_eq!(us.metric("nigh_store_objects"), URLS as u64);
}

#[test]
fn an_answer_names_every_edge_that_it_came_through() {
    let origin = telling();
    let [_eu, us] = Cluster::start_family("family-named", &origin, 2);
    let target = ordered(&us, "named", &[1, 0]);
    let caches = caches(&us.edges[0].get(&target));
    assert_eq!(caches.len(), 3, "{caches:?}");
    assert!(caches[0].starts_with("eu-") && caches[0].contains("fwd=uri-miss"), "{caches:?}");
    assert!(caches[1].starts_with("us-2; ") && caches[2].starts_with("us-1; "), "{caches:?}");
    let asked = us.edges[0].ask_admin(&format!("/v1/explain?url=http://www.example{target}"));
    let asked: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    let parents = asked["parents"].as_array().unwrap();
    assert_eq!(parents.len(), 2);
    assert!(caches[0].starts_with(&format!("{}; ", parents[0].as_str().unwrap())), "{caches:?}");
}

#[test]
fn without_its_parent_a_cluster_asks_the_origin() {
    let origin = telling();
    let [eu, us] = Cluster::start_family("orphan", &origin, 2);
    drop(eu);
    for target in (0..URLS).map(target) {
        assert_eq!(us.edges[0].get(&target).text(), target);
    }
    assert_eq!(origin.requests(), URLS);
    assert_eq!(us.metric("nigh_origin_requests_total"), URLS as u64);
}

#[test]
fn what_changed_through_a_child_is_forgotten_in_the_parent_too() {
    let origin = telling();
    let [eu, us] = Cluster::start_family("family-changed", &origin, 2);
    us.edges[0].get("/a");
    let held =
        |cluster: &Cluster| cluster.edges.iter().filter(|edge| edge.held("/a").is_some()).count();
    assert_eq!((held(&eu), held(&us)), (1, 1));
    let mut client = us.edges[1].client();
    client.ask("PUT", "/a", "Content-Length: 0\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!((held(&eu), held(&us)), (0, 0));
}

#[test]
fn a_child_is_believed_by_its_parent_and_not_the_other_way_round() {
    let origin = telling();
    let [eu, us] = Cluster::start_family("family-trust", &origin, 2);
    let marked = |from: &str| {
        let mark = format!("\"{from}\";scheme=http;for=\"203.0.113.9\"");
        request("GET", "/a", &[("nigh-hop", &mark)]).body(empty()).unwrap()
    };
    let (of_eu, of_us) = (eu.authority.certify("eu-1"), us.authority.certify("us-1"));
    assert_eq!(eu.ask_as(0, Some(&of_us), marked("us-1")).unwrap().status, 200);
    assert!(us.ask_as(0, Some(&of_eu), marked("eu-1")).is_none());
}
