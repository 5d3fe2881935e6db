//! Small rings, quickly.

use super::*;

fn report(nodes: u64) -> Report {
    let options = Options { nodes: Some(nodes), ..Options::new(1) };
    EXPERIMENT.run(&options, &mut |_| ()).unwrap()
}

#[test]
fn small_rings_match_all_claims() {
    let report = report(4096);
    let unsettled: Vec<_> = report.unsettled().collect();
    assert!(unsettled.is_empty(), "{unsettled:#?}");
    assert_eq!(report.charts.len(), 2);
}

#[test]
fn the_same_seed_says_the_same() {
    assert_eq!(report(64).text(), report(64).text());
}

#[test]
fn who_asks_whom_does_not_change_a_way() {
    let contacts = rings::contacts(128);
    let [blind, iterative] = [Routing::Blind, Routing::Iterative].map(|routing| {
        let ring = Ring::new(Arc::new(settings(routing)), contacts.clone());
        let mut world = World::new(1, Network::new(Latency::Constant(LATENCY)));
        rings::settle(&mut world, &ring, &contacts, || Time::START.after(NEVER), |_, _| 0);
        count_ways(&mut world, &ring, &contacts, 2000, &mut Rng::new(3))
    });
    assert_eq!((blind.wrong, blind.unlike_walk), (0, 0));
    assert_eq!((iterative.wrong, iterative.unlike_walk), (0, 0));
    assert_eq!(blind.counts, iterative.counts);
}

#[test]
fn the_walk_is_that_of_the_papers_example() {
    // That of the journal version (ToN 11(1), 2003): nodes 1, 8, 14, 21, 32, 38, 42, 48, 51 and 56 on a circle of six bits; 8 looks up 54
    // by way of 42 and 51. Here the six bits are the uppermost.
    let key = |number: u64| Key::from(number).shifted_up(Key::BITS - 6);
    let contact = |number: u64| {
        let host = HostId(u32::try_from(number).unwrap());
        Contact { key: key(number), address: host.address() }
    };
    let nodes = [1, 8, 14, 21, 32, 38, 42, 48, 51, 56].map(contact);
    let ring = Ring::new(Arc::new(settings(Routing::Blind)), nodes.to_vec());
    assert_eq!(walk::forwardings(&ring, contact(8), key(54)), 2);
    assert_eq!(walk::forwardings(&ring, contact(8), key(10)), 0);
    assert_eq!(walk::forwardings(&ring, contact(8), key(7)), 0);
}

#[test]
fn rings_without_a_size_are_refused() {
    let options = Options { nodes: Some(7), ..Options::new(1) };
    let error = EXPERIMENT.run(&options, &mut |_| ()).unwrap_err();
    assert_eq!(error, Error::Nodes { asked: 7, least: 8, most: 1 << 20 });
}
