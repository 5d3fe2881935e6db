//! What every placement promises, and what each is known for.

use nigh_base::Rng;

use super::*;

/// Ordinary edges of these names.
pub(super) fn named(names: &[&str]) -> Edges {
    let edge = |name: &&str| Edge { name: (*name).to_owned(), capacity: Capacity::ORDINARY };
    Edges::new(names.iter().map(edge).collect()).unwrap()
}

/// So many ordinary edges.
pub(super) fn edges(count: usize) -> Edges {
    of_capacities(&vec![100; count])
}

/// Edges of these capacities, numbered as they stand.
pub(super) fn of_capacities(percent: &[u16]) -> Edges {
    let edge = |(number, &percent): (usize, &u16)| {
        let capacity = Capacity::of_percent(percent).unwrap();
        Edge { name: format!("edge-{number:05}"), capacity }
    };
    Edges::new(percent.iter().enumerate().map(edge).collect()).unwrap()
}

/// The keys of the tests.
fn hashes(count: usize) -> impl Iterator<Item = u64> {
    (0..count).map(|number| key_hash(format!("http://example.com/{number}").as_bytes()))
}

/// Does the same with every placement of these edges.
macro_rules! for_each_placement {
    ($edges:expr, |$placement:ident, $name:ident| $body:block) => {{
        let edges: Edges = $edges;
        let ($placement, $name) = (Ring::new(edges.clone()), "ring");
        $body
        let ($placement, $name) = (Rendezvous::new(edges.clone()), "rendezvous");
        $body
        let ($placement, $name) = (Maglev::new(edges.clone(), Slots::Small), "maglev");
        $body
        let ($placement, $name) = (Modulo::new(edges), "modulo");
        $body
    }};
}

#[test]
fn every_edge_comes_once_and_the_owner_first() {
    for count in [1, 2, 5, 9, 100] {
        for_each_placement!(edges(count), |placement, name| {
            for hash in hashes(200).chain([0, u64::MAX]) {
                let mut order: Vec<_> = placement.order(hash).collect();
                assert_eq!(placement.owner(hash), order.first().copied(), "{name}");
                order.sort_unstable();
                assert!(order.into_iter().eq(0..count), "{name} {count}");
            }
        });
    }
}

#[test]
fn without_edges_nobody_serves() {
    for_each_placement!(edges(0), |placement, name| {
        assert_eq!(placement.owner(7), None, "{name}");
        assert_eq!(placement.order(7).next(), None, "{name}");
        let loads = Loads::new(placement.edges());
        assert_eq!(Spill::DEFAULT.choose(&placement, 7, &loads), None, "{name}");
    });
}

#[test]
fn the_order_depends_on_names_and_not_on_who_came_first() {
    let there = named(&["berlin", "lisbon", "oslo", "rome", "wien"]);
    let back = named(&["wien", "rome", "oslo", "lisbon", "berlin"]);
    for hash in hashes(100) {
        let mut orders = Vec::new();
        for edges in [&there, &back] {
            for_each_placement!(edges.clone(), |placement, _name| {
                orders.push(placement.order(hash).collect::<Vec<_>>());
            });
        }
        assert_eq!(orders[..4], orders[4..]);
    }
}

#[test]
fn a_ring_is_the_same_on_every_machine_and_in_every_version() {
    // Worked out from the definition in Python, with the reference implementation of xxh3.
    let ring = Ring::new(named(&["berlin", "lisbon", "oslo"]));
    for (path, order) in [
        ("", [1, 2, 0]),
        ("a", [0, 1, 2]),
        ("b", [0, 1, 2]),
        ("c", [0, 2, 1]),
        ("d", [2, 1, 0]),
        ("e", [1, 2, 0]),
    ] {
        let hash = key_hash(format!("http://example.com/{path}").as_bytes());
        assert_eq!(ring.order(hash).collect::<Vec<_>>(), order, "{path}");
    }
}

/// Keys whose owner is another when `from` becomes `to`, by the names of the two owners.
fn moved<P: Placement>(from: &P, to: &P, keys: usize) -> Vec<(String, String)> {
    let owner = |placement: &P, hash| {
        placement.edges().as_slice()[placement.owner(hash).unwrap()].name.clone()
    };
    let pairs = hashes(keys).map(|hash| (owner(from, hash), owner(to, hash)));
    pairs.filter(|(before, after)| before != after).collect()
}

const KEYS: usize = 20_000;

#[test]
fn if_one_of_a_hundred_caches_is_added_about_one_percent_of_the_objects_move_and_all_to_it() {
    let newcomer = "edge-00100";
    let (few, many) = (edges(100), edges(101));
    for moves in [
        moved(&Ring::new(few.clone()), &Ring::new(many.clone()), KEYS),
        moved(&Rendezvous::new(few.clone()), &Rendezvous::new(many.clone()), KEYS),
    ] {
        assert!(moves.iter().all(|(_, after)| after == newcomer));
        assert!((150..250).contains(&moves.len()), "{}", moves.len());
    }
    // Maglev moves a little more, some of it among edges that were there before.
    let small = |edges: &Edges| Maglev::new(edges.clone(), Slots::Small);
    let moves = moved(&small(&few), &small(&many), KEYS);
    assert!((200..1000).contains(&moves.len()), "{}", moves.len());
    assert!(moves.iter().any(|(_, after)| after != newcomer));
}

#[test]
fn if_one_of_a_hundred_caches_is_removed_only_its_objects_move() {
    let few = Edges::new(edges(100).as_slice().iter().skip(1).cloned().collect()).unwrap();
    let moves = moved(&Ring::new(edges(100)), &Ring::new(few), KEYS);
    assert!(moves.iter().all(|(before, _)| before == "edge-00000"));
    assert!((150..250).contains(&moves.len()), "{}", moves.len());
}

#[test]
fn modulo_moves_all_but_one_percent() {
    let modulo = |count| Modulo::new(edges(count));
    for to in [99, 101] {
        let moves = moved(&modulo(100), &modulo(to), KEYS).len();
        assert!((19_700..19_900).contains(&moves), "{to}: {moves}");
    }
    assert_eq!(modulo(7).owner(100), Some(2));
}

#[test]
fn a_ring_gives_what_one_leaves_to_its_successors_in_the_order() {
    let all = edges(20);
    let ring = Ring::new(all.clone());
    let gone = 3;
    let mut rest = all.as_slice().to_vec();
    rest.remove(gone);
    let smaller = Ring::new(Edges::new(rest).unwrap());
    for hash in hashes(2000) {
        let without: Vec<_> = ring.order(hash).filter(|&edge| edge != gone).collect();
        let renumbered = smaller.order(hash).map(|edge| edge + usize::from(edge >= gone));
        assert!(renumbered.eq(without), "{hash}");
    }
}

#[test]
fn larger_edges_own_more_in_proportion() {
    let capacities: Vec<u16> = [50, 100, 200, 400].repeat(10);
    let all: u16 = capacities.iter().sum();
    let edges = of_capacities(&capacities);
    let share_of_largest = |placement: &dyn Fn(u64) -> usize| {
        let largest = hashes(KEYS).filter(|&hash| capacities[placement(hash)] == 400).count();
        largest as f64 / KEYS as f64
    };
    let expected = f64::from(400 * 10) / f64::from(all);
    for_each_placement!(edges, |placement, name| {
        let share = share_of_largest(&|hash| placement.owner(hash).unwrap());
        let expected = if name == "modulo" { 0.25 } else { expected };
        assert!((share - expected).abs() < 0.03, "{name}: {share} {expected}");
    });
}

#[test]
fn points_even_out_the_loads_of_edges() {
    let mut rng = Rng::new(5);
    let mut fullest = |points| {
        let ring = Ring::with_points(edges(100), points);
        let mut loads = Loads::new(ring.edges());
        (0..100_000).for_each(|_| loads.begin(ring.owner(rng.next_u64()).unwrap()));
        (0..100).map(|edge| loads.of(edge)).max().unwrap()
    };
    let [few, many] = [1, POINTS].map(&mut fullest);
    assert!(few > 3000, "{few}");
    assert!(many < 1350, "{many}");
}
