//! Links and the way to a key, against the paper's definitions.

use std::collections::BTreeMap;

use super::*;
use crate::locate::{
    circle::leaves::distance, node::geometry::Geometry as _, viceroy::message::Phase,
};

/// All whom a way passes, from that phase on, the first node itself among them.
fn way(all: &Settled, nodes: &[Node], from: usize, key: Key, mut phase: Phase) -> Vec<usize> {
    let mut passed = vec![from];
    while let Some(next) = Geometry::next_hop(&nodes[passed[passed.len() - 1]], key, phase, &[]) {
        passed.push(all.contacts().binary_search(&next.contact).unwrap());
        phase = next.carry;
        assert!(passed.len() < 200, "a way without end");
    }
    assert_eq!(all.contacts()[passed[passed.len() - 1]], all.owner(key));
    passed
}

fn with_levels(nodes: &[Node]) -> Vec<(Contact, u8)> {
    nodes.iter().map(|it| (it.contact(), it.level())).collect()
}

#[test]
fn each_link_leads_where_the_definition_says() {
    for count in [20, 300] {
        let (_, _, nodes) = settled(count);
        let all = with_levels(&nodes);
        for (node, &me) in nodes.iter().zip(&all) {
            for kind in Kind::ALL {
                assert_eq!(node.link(kind), right_link(&all, me, kind), "{kind:?} of {me:?}");
            }
        }
    }
}

#[test]
fn levels_are_drawn_evenly_and_degrees_are_constant() {
    for (count, levels) in [(300, 8), (5_000, 12)] {
        let (_, drawn, nodes) = settled(count);
        let sizes = drawn.sizes();
        assert_eq!(sizes.len(), levels);
        let even = count as usize / levels;
        // Four standard deviations.
        let is_near = |it: &usize| it.abs_diff(even).pow(2) < 16 * even;
        assert!(sizes.iter().all(is_near), "{sizes:?}, and {even} each is even");
        let mut into: BTreeMap<Contact, usize> = BTreeMap::new();
        for node in &nodes {
            let links: Vec<Contact> =
                Kind::ALL.into_iter().filter_map(|it| node.link(it)).collect();
            // And two to the nodes next to it: seven.
            assert!(links.len() <= 5);
            links.iter().for_each(|it| *into.entry(*it).or_default() += 1);
        }
        let mean = into.values().sum::<usize>() as f64 / f64::from(count);
        assert!((4.0..5.0).contains(&mean), "{mean} links into a node in the mean");
        // Those into one node are log N in number with a high probability (section 3).
        let most = *into.values().max().unwrap();
        assert!(most <= 3 * levels, "{most} links into one node");
    }
}

/// The step that the paper's rule demands from a node, in that phase: worked out from the definitions.
fn demanded(all: &[(Contact, u8)], me: usize, key: Key, phase: Phase) -> Option<(Contact, Phase)> {
    let (count, (own, level)) = (all.len(), all[me]);
    let levels = all.iter().map(|it| it.1).max().unwrap();
    let owner = all.iter().map(|it| it.0).min_by_key(|it| it.key.minus(key)).unwrap();
    let [last, first] = [me + 8, me + count - 8].map(|at| all[at % count].0.key);
    if key.minus(own.key) <= last.minus(own.key) || own.key.minus(key) <= own.key.minus(first) {
        return (owner != own).then_some((owner, phase));
    }
    let link = |kind| right_link(all, all[me], kind).unwrap();
    match phase {
        Phase::Up if level > 1 => return Some((link(Kind::Up), Phase::Up)),
        Phase::Up | Phase::Down if level < levels => {
            let ahead = key.minus(own.key);
            let is_near = ahead.leading_zeros() >= u32::from(level);
            let down = link(if is_near { Kind::Left } else { Kind::Right });
            let is_passed = down.key.minus(own.key) > ahead;
            return Some((down, if is_passed { Phase::About } else { Phase::Down }));
        }
        _ => {}
    }
    let leaves = (me + count - 8..=me + count + 8).map(|at| all[at % count].0);
    let links = Kind::ALL.into_iter().filter_map(|kind| right_link(all, all[me], kind));
    let near = leaves.chain(links).min_by_key(|it| distance(it.key, key)).unwrap();
    assert!(distance(near.key, key) < distance(own.key, key));
    Some((near, Phase::About))
}

#[test]
fn each_step_is_what_the_definition_demands() {
    let (all, _, nodes) = settled(300);
    let with_levels = with_levels(&nodes);
    let mut rng = Rng::new(1);
    let mut phases = [0; 3];
    for number in 0..300u32 {
        let mut at = rng.index(nodes.len());
        let key = match number % 3 {
            0 => all.contacts()[rng.index(300)].key.plus(Key::from(u64::from(number % 2))),
            _ => Key::of(&number.to_be_bytes()),
        };
        let (mut phase, mut hops) = (Phase::default(), 0);
        loop {
            let next = Geometry::next_hop(&nodes[at], key, phase, &[]);
            let next = next.map(|it| (it.contact, it.carry));
            assert_eq!(next, demanded(&with_levels, at, key, phase));
            let Some((next, carry)) = next else { break };
            at = all.contacts().binary_search(&next).unwrap();
            phase = carry;
            phases[phase as usize] += 1;
            hops += 1;
            assert!(hops < 60, "a way without end");
        }
        assert_eq!(nodes[at].contact(), all.owner(key));
    }
    assert!(phases.iter().all(|it| *it > 100), "{phases:?}");
}

#[test]
fn ways_are_as_long_as_the_paper_says() {
    for count in [300, 5_000] {
        let (all, _, nodes) = settled(count);
        let log2 = f64::from(count).log2();
        let mut rng = Rng::new(1);
        let lengths = (0..1_000).map(|_| {
            let key = Key::of(&rng.next_u64().to_be_bytes());
            way(&all, &nodes, rng.index(nodes.len()), key, Phase::default()).len() - 1
        });
        let lengths: Vec<usize> = lengths.collect();
        // Half of the levels up, and all of them down, at most; then about.
        let mean = lengths.iter().sum::<usize>() as f64 / 1_000.0;
        assert!((0.7 * log2..1.7 * log2).contains(&mean), "{mean} hops, {log2} doublings");
        let most = *lengths.iter().max().unwrap();
        assert!(most as f64 <= 3.0 * log2, "{most} hops");
    }
}

#[test]
fn whatever_phase_a_way_says_it_is_in_it_arrives() {
    let (all, _, nodes) = settled(300);
    let mut rng = Rng::new(2);
    for number in 0..300u32 {
        let key = Key::of(&number.to_be_bytes());
        for phase in [Phase::Up, Phase::Down, Phase::About] {
            way(&all, &nodes, rng.index(300), key, phase);
        }
    }
}

#[test]
fn without_a_link_a_way_begins_anew_along_the_circle() {
    let (all, _, nodes) = settled(300);
    let (mut anew, mut about) = (0, 0);
    for number in 0..300u32 {
        let (key, at) = (Key::of(&number.to_be_bytes()), number as usize);
        let node = &nodes[at];
        let Some(next) = Geometry::next_hop(node, key, Phase::default(), &[]) else { continue };
        if node.leaves().contains(&next.contact) || next.carry == Phase::About {
            continue;
        }
        let other = Geometry::next_hop(node, key, Phase::default(), &[next.contact.key]).unwrap();
        if other.carry == Phase::About {
            // On the last levels, where few nodes are left between.
            assert!(node.level() >= 5);
            about += 1;
        } else {
            assert_eq!((other.contact, other.carry), (all.contacts()[(at + 8) % 300], Phase::Up));
            anew += 1;
        }
    }
    assert!(anew > 50, "{anew} anew, {about} about");
}
