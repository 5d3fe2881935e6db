//! Small networks, quickly.

use super::*;

fn report(nodes: u64, seed: u64) -> Report {
    let options = Options { nodes: Some(nodes), ..Options::new(seed) };
    EXPERIMENT.run(&options, &mut |_| ()).unwrap()
}

fn full(geometry: Geometry, sequential: Sequential) -> Overlay {
    Overlay::new(geometry, Places::All, sequential, 8, &mut Rng::new(1))
}

/// The ways between some pairs of nodes, of which the ends and those in `alive` live.
fn ways(overlay: &Overlay, alive: impl Fn(Node) -> bool) -> Vec<(Node, Node, Option<u32>)> {
    let pairs = (0..overlay.nodes()).map(|from| (from, (from * 37 + 11) % overlay.nodes()));
    pairs.map(|(from, to)| (from, to, walk::hops(overlay, from, to, &alive))).collect()
}

#[test]
fn small_networks_match_their_closed_forms() {
    for seed in [1, 2] {
        let report = report(2048, seed);
        let unsettled: Vec<_> = report.unsettled().collect();
        assert!(unsettled.is_empty(), "{unsettled:#?}");
        assert_eq!((report.tables.len(), report.charts.len()), (4, 3));
        // Where all ways fail there is no mean.
        assert!(!report.text().contains("NaN"), "{}", report.text());
    }
}

#[test]
fn the_same_seed_says_the_same_and_another_seed_something_else() {
    assert_eq!(report(256, 1).files(), report(256, 1).files());
    assert_ne!(report(256, 1).files(), report(256, 2).files());
}

#[test]
fn every_way_arrives_while_nobody_is_dead() {
    for setting in settings() {
        let found = setting.find(9, &mut Rng::new(3));
        assert_eq!(found.points[0].failed, 0, "{setting:?}");
        assert!(found.points[5].failed > 0, "{setting:?}");
    }
}

#[test]
fn a_tree_corrects_bits_from_above_and_has_no_second_choice() {
    let overlay = full(Geometry::Tree, Sequential::Without);
    for (from, to, hops) in ways(&overlay, |_| true) {
        // What lies below a corrected bit becomes any.
        assert!(hops.unwrap() <= (from ^ to).checked_ilog2().map_or(0, |bit| bit + 1));
    }
    // The others correct other bits only, however many the target differs in.
    let first = |from: Node| {
        let differs = |&&other: &&Node| (from ^ other) >> 7 == 1;
        *overlay.neighbours(from).iter().find(differs).unwrap()
    };
    let dead = first(0);
    let target = if dead == 255 { 254 } else { 255 };
    assert_eq!(walk::hops(&overlay, 0, target, |node| node != dead), None);
    assert!(walk::hops(&overlay, 0, target, |_| true).is_some());
}

#[test]
fn a_hypercube_takes_a_hop_for_each_bit_and_another_order_round_the_dead() {
    let overlay = full(Geometry::Hypercube, Sequential::Without);
    for (from, to, hops) in ways(&overlay, |_| true) {
        assert_eq!(hops, Some((from ^ to).count_ones()));
    }
    assert_eq!(walk::hops(&overlay, 0, 0b11, |node| node != 0b01), Some(2));
    assert_eq!(walk::hops(&overlay, 0, 0b11, |node| node != 0b10), Some(2));
    assert_eq!(walk::hops(&overlay, 0, 0b11, |_| false), None);
}

#[test]
fn a_ring_goes_ahead_by_the_farthest_that_does_not_pass_the_target() {
    let overlay = full(Geometry::Ring, Sequential::Without);
    let mut asked = Vec::new();
    let hops = walk::hops(&overlay, 250, 3, |node| {
        asked.push(node);
        true
    });
    assert!(hops.is_some_and(|hops| hops <= 9));
    assert!(asked.iter().all(|node| !(3..=250).contains(node)), "{asked:?}");
}

#[test]
fn xor_makes_up_for_a_dead_neighbour_with_a_lower_bit() {
    let overlay = full(Geometry::Xor, Sequential::Without);
    let tree = full(Geometry::Tree, Sequential::Without);
    let arrived = |overlay: &Overlay| {
        let ways = ways(overlay, |node| node % 5 != 0);
        ways.into_iter().filter(|(_, _, hops)| hops.is_some()).count()
    };
    assert!(arrived(&overlay) > arrived(&tree) + 50, "{} {}", arrived(&overlay), arrived(&tree));
}

#[test]
fn with_sixteen_sequential_neighbours_a_stuck_way_goes_on_along_the_circle() {
    // Two bits away both nodes between are dead; on the circle the target is three ahead.
    let stuck = |sequential| {
        let overlay = full(Geometry::Hypercube, sequential);
        walk::hops(&overlay, 0b0110, 0b1001, |node| (node ^ 0b0110).count_ones() != 1)
    };
    assert_eq!(stuck(Sequential::Without), None);
    assert_eq!(stuck(Sequential::Sixteen), Some(1));
}

#[test]
fn a_butterfly_passes_by_the_first_level_and_depends_on_everyone_there() {
    let butterfly = Butterfly::new(10, &mut Rng::new(5));
    let hops: Vec<u32> = (1..1000).map(|to| butterfly.hops(0, to, |_| true).unwrap()).collect();
    let mean = f64::from(hops.iter().sum::<u32>()) / 999.0;
    assert!((8.0..18.0).contains(&mean), "{mean}");
    let alone = (1..1000).filter(|&to| butterfly.hops(0, to, |_| false).is_some()).count();
    assert!(alone <= 7, "{alone} are one link away");
}

#[test]
fn percentiles_are_of_the_ways_that_arrived() {
    let mut point = Point { percent: 0, dead: 0.0, ways: 0, failed: 0, hops: Vec::new() };
    for length in [Some(1), None, Some(2), Some(2), Some(5), None] {
        point.count(length);
    }
    assert_eq!((point.ways, point.failed), (6, 2));
    assert_eq!(point.mean_hops(), 2.5);
    assert_eq!([25, 50, 75, 76].map(|percent| point.percentile(percent)), [1, 2, 2, 5]);
}

#[test]
fn networks_of_too_few_nodes_are_refused() {
    let options = Options { nodes: Some(255), ..Options::new(1) };
    let error = EXPERIMENT.run(&options, &mut |_| ()).unwrap_err();
    assert_eq!(error, Error::Nodes { asked: 255, least: FEWEST, most: MOST });
}
