//! The bound, and where what is above it goes.

use nigh_base::Rng;

use super::{
    super::{Maglev, Modulo, Rendezvous, Ring, Slots, tests},
    *,
};

fn spill(factor: f64) -> Spill {
    Spill::above(factor).unwrap()
}

/// The most that an edge may have: the factor times its fair share of all, rounded up.
fn most(factor: f64, edges: &Edges, edge: usize, in_all: u64) -> f64 {
    let capacity = f64::from(edges.as_slice()[edge].capacity.percent());
    // A thousandth of a millionth is what floats may be off by.
    (factor * in_all as f64 * capacity / edges.percent_in_all() as f64 - 1e-9).ceil()
}

/// Requests for a few hot keys and many others begin, and none ends.
fn fill(placement: &impl Placement, factor: f64, requests: u64, seed: u64) {
    let edges = placement.edges();
    let (mut rng, mut loads) = (Rng::new(seed), Loads::new(edges));
    for in_all in 1..=requests {
        let hash = if rng.one_in(3) { rng.below(5) << 60 } else { rng.next_u64() };
        let edge = spill(factor).choose(placement, hash, &loads).expect("somebody has room");
        loads.begin(edge);
        assert_eq!(loads.in_all(), in_all);
        let most = most(factor, edges, edge, in_all);
        assert!(loads.of(edge) as f64 <= most, "{} {most}", loads.of(edge));
    }
    // An edge has no more than it was allowed when it had less, so the bound holds for all.
    for edge in 0..edges.len() {
        let most = most(factor, edges, edge, requests);
        assert!(loads.of(edge) as f64 <= most, "{} {most}", loads.of(edge));
    }
}

#[test]
fn no_edge_ever_has_more_than_the_factor_times_its_fair_share() {
    let mut rng = Rng::new(9);
    for seed in 0..20 {
        let count = 1 + rng.index(40);
        let capacities: Vec<u16> =
            (0..count).map(|_| u16::try_from(rng.index(400)).unwrap() + 1).collect();
        let edges = tests::of_capacities(&capacities);
        let factor = [1.001, 1.05, 1.1, 1.25, 2.0][rng.index(5)];
        fill(&Ring::new(edges.clone()), factor, 2000, seed);
        fill(&Rendezvous::new(edges.clone()), factor, 500, seed);
        fill(&Maglev::new(edges.clone(), Slots::Small), factor, 500, seed);
        fill(&Modulo::new(edges), factor, 500, seed);
    }
}

#[test]
fn a_hot_object_has_one_home_then_two_then_more_and_always_the_same_ones() {
    let ring = Ring::new(tests::edges(10));
    let hash = 1 << 40;
    let order: Vec<usize> = ring.order(hash).collect();
    // Ninety other requests, nine on each edge, and ever more for the hot one.
    let mut loads = Loads::new(ring.edges());
    (0..10).for_each(|edge| loads.set(edge, 9));
    let mut homes = Vec::new();
    for _ in 0..60 {
        let edge = Spill::DEFAULT.choose(&ring, hash, &loads).unwrap();
        loads.begin(edge);
        if !homes.contains(&edge) {
            homes.push(edge);
        }
        assert_eq!(homes, order[..homes.len()]);
    }
    assert!(homes.len() > 3, "{homes:?}");
    // The crowd goes, and the owner alone serves again.
    (0..10).for_each(|edge| loads.set(edge, 9));
    assert_eq!(Spill::DEFAULT.choose(&ring, hash, &loads), Some(order[0]));
}

#[test]
fn the_owner_serves_while_it_has_less_than_the_bound() {
    let ring = Ring::new(tests::edges(4));
    let order: Vec<usize> = ring.order(0).collect();
    let mut loads = Loads::new(ring.edges());
    // With this request there are 40, a fair share is 10, and a quarter above it 12.5: 13 at most.
    (0..4).for_each(|edge| loads.set(order[edge], [12, 9, 9, 9][edge]));
    assert_eq!(Spill::DEFAULT.choose(&ring, 0, &loads), Some(order[0]));
    (0..4).for_each(|edge| loads.set(order[edge], [13, 9, 9, 8][edge]));
    assert_eq!(Spill::DEFAULT.choose(&ring, 0, &loads), Some(order[1]));
    assert_eq!(spill(1.5).choose(&ring, 0, &loads), Some(order[0]));
}

#[test]
fn a_larger_edge_has_a_larger_share() {
    let ring = Ring::new(tests::of_capacities(&[100, 300]));
    let mut loads = Loads::new(ring.edges());
    for _ in 0..4000 {
        let edge = spill(1.001).choose(&ring, 0, &loads).unwrap();
        loads.begin(edge);
    }
    assert!(loads.of(1).abs_diff(3000) <= 4, "{loads:?}");
}

#[test]
fn factors_that_leave_nobody_room_or_hold_nobody_back_are_refused() {
    for factor in [1.0, 1.0004, 0.5, -2.0, f64::NAN, f64::INFINITY, 1000.5] {
        assert!(Spill::above(factor).is_err(), "{factor}");
    }
    let error = Spill::above(0.5).unwrap_err().to_string();
    assert_eq!(
        error,
        "spill above 0.5 times the fair share: it has to be above 1 and at most 1000"
    );
    assert_eq!(spill(1.25), Spill::DEFAULT);
    assert_eq!(spill(1.001).factor(), 1.001);
}

#[test]
fn loads_that_strangers_claim_do_not_overflow() {
    let ring = Ring::new(tests::edges(2));
    let mut loads = Loads::new(ring.edges());
    loads.set(0, u64::MAX);
    loads.set(1, u64::MAX);
    loads.begin(1);
    assert_eq!((loads.of(0), loads.of(1), loads.in_all()), (u64::MAX, 0, u64::MAX));
    assert_eq!(Spill::DEFAULT.choose(&ring, 0, &loads), Some(1));
    loads.end(1);
    loads.end(0);
    assert_eq!((loads.of(0), loads.of(1)), (u64::MAX - 1, 0));
}

#[test]
#[should_panic(expected = "each edge has a load")]
fn loads_are_those_of_the_edges() {
    let loads = Loads::new(&tests::edges(3));
    Spill::DEFAULT.choose(&Ring::new(tests::edges(2)), 0, &loads);
}
