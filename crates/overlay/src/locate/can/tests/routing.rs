//! The way to a key, against the paper's figures and against its definition.

use std::collections::BTreeMap;

use nigh_base::{Address, Rng, Time};

use super::*;
use crate::locate::{
    can::{
        message::Way,
        settled::Settled,
        zone::{Space, Zone},
    },
    node::geometry::{Geometry as _, Step},
};

/// The next node on the way, for a node of CAN.
fn next_hop(node: &Node, key: Key, without: &[Key]) -> Option<Contact> {
    Geometry::next_hop(node, key, Way::default(), without).map(|step| step.contact)
}

/// The key of a point in the plane; coordinates from 0 to 255. `number` tells keys of one point apart.
fn at(x: u8, y: u8, number: u8) -> Key {
    let mut bytes = [0; Key::BYTES];
    for bit in 0..8 {
        let pair = (x >> (7 - bit) & 1) << 1 | y >> (7 - bit) & 1;
        bytes[bit / 4] |= pair << (6 - 2 * (bit % 4));
    }
    bytes[Key::BYTES - 1] = number;
    Key::new(bytes)
}

/// Nodes in the plane that join one after the other at these points.
fn plane(points: &[(u8, u8, u8)]) -> Settled {
    let contact = |&(number, x, y): &(u8, u8, u8)| Contact {
        key: at(x, y, number),
        address: Address::v4([10, 0, 0, number], 4000),
    };
    let contacts: Vec<Contact> = points.iter().map(contact).collect();
    Settled::new(settings(|it| it.dimensions = 2), &contacts)
}

/// The numbers of the neighbours of a node.
fn neighbours(all: &Settled, number: u8) -> Vec<u8> {
    let of = |it: &Contact| it.key.bytes()[Key::BYTES - 1];
    let me = all.owners().iter().find(|it| of(&it.1) == number).unwrap().1;
    let node = all.node(me, Time::START);
    let mut numbers: Vec<u8> = node.geometry.neighbours().iter().map(of).collect();
    numbers.sort_unstable();
    numbers
}

/// Where a zone lies in the plane: from and to, of 256.
fn square(zone: Zone) -> [u32; 4] {
    let (mut sides, mut corner) = ([256u32; 2], [0u32; 2]);
    for bit in 0..zone.depth() as usize {
        sides[bit % 2] /= 2;
        let is_upper = zone.first().bytes()[bit / 8] >> (7 - bit % 8) & 1;
        corner[bit % 2] += sides[bit % 2] * u32::from(is_upper);
    }
    [corner[0], corner[0] + sides[0], corner[1], corner[1] + sides[1]]
}

#[test]
fn the_five_nodes_of_figure_1_have_the_zones_that_it_shows() {
    // A, B, C, D and E.
    let all = plane(&[(1, 10, 10), (2, 200, 10), (3, 10, 200), (4, 140, 200), (5, 250, 200)]);
    let mut zones: Vec<(u8, [u32; 4])> =
        all.owners().iter().map(|(zone, it)| (it.key.bytes()[19], square(*zone))).collect();
    zones.sort_unstable();
    assert_eq!(
        zones,
        [
            (1, [0, 128, 0, 128]),
            (2, [128, 256, 0, 128]),
            (3, [0, 128, 128, 256]),
            (4, [128, 192, 128, 256]),
            (5, [192, 256, 128, 256]),
        ]
    );
}

/// Figures 2 and 3: node 7 joins at node 1. Node 8 has what the figure leaves to the edge of the paper: our
/// plane is a torus.
#[test]
fn when_node_7_joins_neighbours_change_as_in_figures_2_and_3() {
    let mut points = vec![
        (1, 130, 10),
        (6, 10, 200),
        (3, 10, 10),
        (4, 130, 200),
        (8, 250, 200),
        (5, 250, 10),
        (2, 130, 100),
    ];
    let before = plane(&points);
    assert_eq!(neighbours(&before, 1), [2, 3, 4, 5]);
    points.push((7, 180, 10));
    let after = plane(&points);
    assert_eq!(neighbours(&after, 1), [2, 3, 4, 7]);
    assert_eq!(neighbours(&after, 7), [1, 2, 4, 5]);
    // Nobody else has other neighbours but for node 7.
    for number in [2, 3, 4, 5, 6, 8] {
        let mut now = neighbours(&after, number);
        let was = neighbours(&before, number);
        match number {
            2 | 4 => now.retain(|it| *it != 7),
            5 => now.iter_mut().filter(|it| **it == 7).for_each(|it| *it = 1),
            _ => {}
        }
        now.sort_unstable();
        assert_eq!(now, was, "node {number}");
    }
}

fn contacts(count: u8) -> Vec<Contact> {
    let address = |number: u8| Address::v4([10, 0, 1, number], 4000);
    (0..count).map(|it| Contact { key: Key::of(&[it]), address: address(it) }).collect()
}

#[test]
fn each_step_leads_to_the_neighbour_that_is_nearest_and_the_last_to_the_owner() {
    for dimensions in [1, 2, 4, 10] {
        let all = Settled::new(settings(|it| it.dimensions = dimensions), &contacts(250));
        let (space, mut rng) = (Space::new(dimensions), Rng::new(1));
        let nodes: Vec<Node> = all.owners().iter().map(|it| all.node(it.1, Time::START)).collect();
        let sides: Vec<_> = all.owners().iter().map(|it| space.sides(it.0)).collect();
        let place = |it: Contact| all.owners().iter().position(|other| other.1 == it).unwrap();
        for _ in 0..200 {
            let key = Key::of(&rng.next_u64().to_be_bytes());
            let point = space.point(key);
            let mut me = rng.index(nodes.len());
            while let Some(next) = next_hop(&nodes[me], key, &[]) {
                let beside =
                    (0..nodes.len()).filter(|&it| space.are_neighbours(&sides[me], &sides[it]));
                let nearest = beside.map(|it| space.distance(&sides[it], &point)).min().unwrap();
                let next = place(next);
                assert!(space.are_neighbours(&sides[me], &sides[next]));
                assert_eq!(space.distance(&sides[next], &point), nearest);
                assert!(nearest < space.distance(&sides[me], &point));
                me = next;
            }
            assert_eq!(nodes[me].contact(), all.owner(key));
        }
    }
}

#[test]
fn with_weights_a_step_leads_to_where_a_second_brings_most() {
    let all = Settled::new(settings(|it| (it.dimensions, it.weighted) = (2, true)), &contacts(100));
    let (space, mut rng) = (Space::new(2), Rng::new(1));
    let mut others = 0;
    for (zone, me) in all.owners() {
        let mut node = all.node(*me, Time::START);
        let mut trips = BTreeMap::new();
        for it in node.geometry.neighbours() {
            let trip = rng.between(Duration::from_millis(5), Duration::from_millis(200));
            node.geometry.measured(it, trip);
            trips.insert(it.key, trip.as_secs_f64());
        }
        let key = Key::of(&rng.next_u64().to_be_bytes());
        let Some(next) = next_hop(&node, key, &[]) else { continue };
        let point = space.point(key);
        let far = |zone: Zone| (space.distance(&space.sides(zone), &point) as f64).sqrt();
        let gain = |it: Contact| {
            let theirs = all.owners().iter().find(|other| other.1 == it).unwrap().0;
            (far(*zone) - far(theirs)) / trips[&it.key]
        };
        let best = node.geometry.neighbours().into_iter().map(gain).fold(f64::MIN, f64::max);
        let owns = all.owner(key) == next;
        assert!(owns || gain(next) >= best * 0.999_999, "{next:?}");
        let nearest = node
            .geometry
            .neighbours()
            .into_iter()
            .map(|it| far(all.owners().iter().find(|other| other.1 == it).unwrap().0));
        let theirs = all.owners().iter().find(|other| other.1 == next).unwrap().0;
        others += u32::from(far(theirs) > nearest.fold(f64::MAX, f64::min));
    }
    assert!(others > 10, "weights make a difference: {others}");
}

#[test]
fn whoever_comes_after_a_silent_owner_stands_in_for_it_and_all_who_know_it_agree() {
    let all = Settled::new(settings(|it| it.dimensions = 2), &contacts(120));
    let mut rng = Rng::new(2);
    for _ in 0..60 {
        let key = Key::of(&rng.next_u64().to_be_bytes());
        let owner = all.node(all.owner(key), Time::START);
        let holders = Geometry::nearest(&owner, key, 3);
        assert_eq!(holders[0], owner.contact());
        // The one that can put both zones together, else the one with the smallest.
        let zone = owner.zones()[0];
        let volume = |it: Contact| all.owners().iter().find(|other| other.1 == it).unwrap().0;
        let smallest = owner.geometry.neighbours().into_iter().map(volume).map(Zone::volume).min();
        let heir = volume(holders[1]);
        assert!(zone.sibling() == Some(heir) || Some(heir.volume()) == smallest);
        for it in owner.geometry.neighbours() {
            let node = all.node(it, Time::START);
            assert_eq!(Geometry::nearest(&node, key, 3), holders);
            assert_eq!(next_hop(&node, key, &[]), Some(holders[0]));
            let first = next_hop(&node, key, &[holders[0].key]);
            assert_eq!(first, (it != holders[1]).then_some(holders[1]));
        }
    }
}

#[test]
fn several_realities_shorten_ways_and_any_owner_is_nearer_than_the_responsible_one() {
    let hops = |realities: u8, begin: Way| {
        let settings = settings(|it| (it.dimensions, it.realities) = (2, realities));
        let all = Settled::new(settings, &contacts(250));
        let nodes: BTreeMap<Key, Node> =
            contacts(250).iter().map(|&it| (it.key, all.node(it, Time::START))).collect();
        let is_any = begin.reality != 0;
        let (mut rng, mut hops) = (Rng::new(4), 0);
        for _ in 0..300 {
            let key = Key::of(&rng.next_u64().to_be_bytes());
            let (mut me, mut way) = (Key::of(&[u8::try_from(rng.below(250)).unwrap()]), begin);
            // Nobody holds anything, so it ends with whoever is responsible.
            while let Some(step) = Geometry::next_hop(&nodes[&me], key, way, &[]) {
                let is_there = is_any && nodes[&me].geometry.has_in_any(key);
                hops += u32::from(!is_there && (way.reality != 0 || !is_any));
                (me, way) = (step.contact.key, step.carry);
                assert_eq!(way.detours, 0);
            }
            assert_eq!(me, all.owner(key).key);
        }
        f64::from(hops) / 300.0
    };
    // Who is a neighbour in one reality lies anywhere in the others: a shortcut.
    let one = hops(1, Way::default());
    let (responsible, any) = (hops(4, Way::default()), hops(4, Way::to_any()));
    assert!(responsible < 0.5 * one, "{responsible} of {one} hops");
    assert!(any < 0.9 * responsible, "{any} of {responsible} hops");
}

#[test]
fn where_nobody_is_nearer_a_question_goes_on_a_few_times_and_does_not_come_back_at_once() {
    let all = Settled::new(settings(|it| it.dimensions = 2), &contacts(100));
    let key = Key::of(b"far");
    let (_, me) = all.owners().iter().copied().find(|it| it.1 != all.owner(key)).unwrap();
    let node = all.node(me, Time::START);
    // All who are nearer are silent.
    let mut without = Vec::new();
    let step = loop {
        let step = Geometry::next_hop(&node, key, Way::default(), &without);
        match step {
            Some(Step { contact, carry }) if carry.detours == 0 => without.push(contact.key),
            _ => break step,
        }
    };
    let Some(Step { contact, carry }) = step else { panic!("no way round") };
    assert_eq!(carry.detours, 1);
    let other = all.node(contact, Time::START);
    let next = Geometry::next_hop(&other, key, carry, &without).unwrap();
    assert_ne!(next.contact, me);
    let worn = Way { detours: 3, ..Way::default() };
    assert_eq!(Geometry::next_hop(&node, key, worn, &without), None);
    assert!(Geometry::is_dead_end(&node, key, worn));
    assert!(!Geometry::is_dead_end(&all.node(all.owner(key), Time::START), key, worn));
}
