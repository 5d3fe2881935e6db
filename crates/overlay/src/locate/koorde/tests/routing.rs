//! The way to a key, against the paper's figure and against its definition.

use nigh_base::Address;

use super::*;
use crate::locate::koorde::imaginary::Imaginary;

/// All whom a node passes on its way to `key`, itself first.
fn way(all: &Settled, nodes: &[Node], from: usize, key: Key) -> Vec<usize> {
    way_with(all, nodes, from, key, Carry(None))
}

/// The same, if the first of them is asked with that carry.
fn way_with(all: &Settled, nodes: &[Node], from: usize, key: Key, mut carry: Carry) -> Vec<usize> {
    let mut passed = vec![from];
    while let Some(next) = Geometry::next_hop(&nodes[passed[passed.len() - 1]], key, carry, &[]) {
        passed.push(all.contacts().binary_search(&next.contact).unwrap());
        carry = next.carry;
        assert!(passed.len() < 100, "a way without end");
    }
    assert_eq!(all.contacts()[passed[passed.len() - 1]], all.owner(key));
    passed
}

/// Figure 1 of the paper: the de Bruijn graph of eight nodes.
fn of_figure_1() -> (Settled, Vec<Node>) {
    let settings = settings(|it| {
        (it.circle.leaves, it.circle.node.copies) = (2, 1);
        (it.degree_bits, it.backups) = (1, 0);
    });
    let address = |number: u8| Address::v4([10, 0, 0, number], 4000);
    let contact = |number: u8| Contact {
        key: Key::from(u64::from(number)).shifted_up(157),
        address: address(number),
    };
    let all = Settled::new(settings, (0..8).map(contact).collect());
    let nodes = all.contacts().iter().map(|&me| all.node(me, Time::START)).collect();
    (all, nodes)
}

#[test]
fn in_the_graph_of_figure_1_a_node_points_to_twice_its_number_and_the_next() {
    let (_, nodes) = of_figure_1();
    for (number, node) in (0..).zip(&nodes) {
        let numbers = node.pointers().into_iter().map(|it| it.key.shifted_down(157));
        let numbers: Vec<Key> = numbers.collect();
        // The first points to itself as well, and so does the last: they know another instead.
        let expected = match number {
            0 => [7, 1],
            7 => [6, 0],
            _ => [2 * number % 8, (2 * number + 1) % 8],
        };
        assert_eq!(numbers, expected.map(Key::from), "{number}");
    }
}

#[test]
fn in_the_graph_of_figure_1_each_way_shifts_the_digits_of_the_target_in() {
    let (all, nodes) = of_figure_1();
    let way_to = |from: usize, to: u64| {
        // Whoever lies last before the key stands for it, and the one behind owns it.
        let key = Key::from(to).shifted_up(157).plus(Key::power(20));
        way(&all, &nodes, from, key)
    };
    // From 010 by 101 and 011 to 110.
    assert_eq!(way_to(2, 6), [2, 5, 3, 6, 7]);
    // From 001 to 011: the last digit is the first of the target already.
    assert_eq!(way_to(1, 6), [1, 3, 6, 7]);
    for from in 0..8 {
        for to in 0..8usize {
            let mut shifted = vec![from];
            // As many last digits of the one as are the first of the other are kept.
            let kept = (0..=3).rfind(|&kept| from % (1 << kept) == to >> (3 - kept)).unwrap();
            for left in (0..3 - kept).rev() {
                let at = shifted[shifted.len() - 1];
                shifted.push((at * 2 + (to >> left) % 2) % 8);
            }
            // Whoever lies next to the key knows its owner, and an edge to itself is no hop.
            let (owner, near) = ((to + 1) % 8, |it: &usize| *it == to || *it == (to + 1) % 8);
            shifted.truncate(shifted.iter().position(near).unwrap() + 1);
            shifted.push(owner);
            shifted.dedup();
            assert_eq!(way_to(from, u64::try_from(to).unwrap()), shifted, "{from} to {to}");
        }
    }
}

/// The nodes that `me` knows, by definition: its leaves, and k nodes from the predecessor of k times its key
/// on, with those before as backups.
fn known(all: &[Contact], me: usize, settings: &Settings) -> Vec<Contact> {
    let half = settings.circle.leaves / 2;
    let others: Vec<Contact> = (1..all.len()).map(|step| all[(me + step) % all.len()]).collect();
    let leaves = others[..half].iter().chain(&others[others.len() - half..]);
    let point = all[me].key.shifted_up(settings.degree_bits);
    let mut around = others.clone();
    around.sort_by_key(|it| point.minus(it.key));
    let before = around.iter().take(settings.backups + 1);
    let behind = around.iter().rev().take((1 << settings.degree_bits) - 1);
    leaves.chain(before).chain(behind).copied().collect()
}

/// The step that the paper's rule demands, worked out from all nodes: who is next, and which imaginary node is
/// followed there.
fn demanded(
    all: &[Contact],
    me: usize,
    key: Key,
    carry: Carry,
    settings: &Settings,
) -> Option<(Contact, Carry)> {
    let (count, bits) = (all.len(), settings.degree_bits);
    let owner = *all.iter().min_by_key(|it| it.key.minus(key)).unwrap();
    let half = settings.circle.leaves / 2;
    let own = all[me].key;
    let [last, first] = [me + half, me + count - half].map(|at| all[at % count].key);
    if key.minus(own) <= last.minus(own) || own.minus(key) <= own.minus(first) {
        return (owner != all[me]).then_some((owner, carry));
    }
    let successor = all[(me + 1) % count].key;
    // Of all imaginary nodes for which this one stands that with the fewest digits left.
    let begun = Imaginary::begin(own, successor.minus(own), key, bits).unwrap();
    assert!(begun.key.minus(own) <= successor.minus(own) && begun.leads_to(key, bits));
    // The one that is followed, unless that has more of them.
    let mut at = carry.0.filter(|it| it.left <= begun.left).unwrap_or(begun);
    let known = known(all, me, settings);
    loop {
        let stands = |node: Key| at.key.minus(node).minus(Key::from(1));
        let best = known.iter().min_by_key(|it| stands(it.key)).unwrap();
        if stands(best.key) < stands(own) {
            return Some((*best, Carry(Some(at))));
        }
        at = at.next(key, bits).unwrap();
    }
}

#[test]
fn each_step_is_what_the_definition_demands() {
    for (bits, backups) in [(1, 0), (1, 4), (3, 8), (4, 0)] {
        let settings = settings(|it| (it.degree_bits, it.backups) = (bits, backups));
        let (all, nodes) = settled(300, &settings);
        let mut rng = Rng::new(bits.into());
        for number in 0..1_000u32 {
            let mut at = rng.index(nodes.len());
            // Among them keys of nodes, and those beside them.
            let key = match number % 3 {
                0 => all.contacts()[rng.index(300)].key.plus(Key::from(u64::from(number % 2))),
                _ => Key::of(&number.to_be_bytes()),
            };
            let (mut carry, mut hops) = (Carry(None), 0);
            loop {
                let next = Geometry::next_hop(&nodes[at], key, carry, &[]);
                let next = next.map(|it| (it.contact, it.carry));
                assert_eq!(next, demanded(all.contacts(), at, key, carry, &settings));
                let Some((next, taken)) = next else { break };
                at = all.contacts().binary_search(&next).unwrap();
                carry = taken;
                hops += 1;
                assert!(hops < 60, "a way without end");
            }
            assert_eq!(nodes[at].contact(), all.owner(key));
        }
    }
}

#[test]
fn ways_are_as_long_as_the_paper_says() {
    for count in [300, 5_000] {
        let log2 = f64::from(count).log2();
        let mut means = Vec::new();
        for bits in 1..=4 {
            let settings = settings(|it| (it.degree_bits, it.backups) = (bits, 0));
            let (all, nodes) = settled(count, &settings);
            let degrees = nodes.iter().map(|it| it.pointers().len());
            assert!(degrees.max().unwrap() <= 1 << bits);
            let mut rng = Rng::new(1);
            let lengths = (0..1_000).map(|_| {
                let key = Key::of(&rng.next_u64().to_be_bytes());
                let hops = way(&all, &nodes, rng.index(nodes.len()), key).len() - 1;
                f64::from(u32::try_from(hops).unwrap())
            });
            let lengths: Vec<f64> = lengths.collect();
            // Section 3.2: about three times as many as the graph has digits at most, in expectation; with
            // a leaf set fewer.
            let long = lengths.iter().filter(|&&it| it > 3.0 * log2).count();
            assert!(long <= 5, "k = 2^{bits}: {long} of 1,000 are longer");
            let mean = lengths.iter().sum::<f64>() / 1_000.0;
            assert!(mean < 1.5 * log2 / f64::from(bits) + 2.0, "k = 2^{bits}: {mean}");
            means.push(mean);
        }
        assert!(means.is_sorted_by(|a, b| a > b), "{means:?}");
    }
}

#[test]
fn whoever_is_left_out_is_gone_round() {
    let settings = settings(|_| {});
    let (all, _) = settled(100, &settings);
    for number in 0..100u32 {
        let key = Key::of(&number.to_be_bytes());
        let gone = all.owner(key);
        let rest = all.contacts().iter().copied().filter(|it| *it != gone).collect();
        let second = Settled::new(Arc::clone(&settings), rest).owner(key);
        let node = all.node(second, Time::START);
        let next = |without: &[Key]| {
            Geometry::next_hop(&node, key, Carry(None), without).map(|it| it.contact)
        };
        assert_eq!(next(&[]), Some(gone));
        assert_eq!(next(&[gone.key]), None);
    }
}

#[test]
fn without_its_pointers_a_node_sends_ways_along_the_circle_where_they_begin_anew() {
    let settings = settings(|it| (it.degree_bits, it.backups) = (1, 2));
    let (all, nodes) = settled(300, &settings);
    let mut along = 0;
    for number in 0..300u32 {
        let (key, at) = (Key::of(&number.to_be_bytes()), number as usize);
        let pointers: Vec<Key> = nodes[at].pointers().iter().map(|it| it.key).collect();
        let whole = Geometry::next_hop(&nodes[at], key, Carry(None), &[]);
        // While one of them is left, it is taken.
        let one_left = Geometry::next_hop(&nodes[at], key, Carry(None), &pointers[1..]);
        let none_left = Geometry::next_hop(&nodes[at], key, Carry(None), &pointers);
        let Some(whole) = whole.filter(|it| pointers.contains(&it.contact.key)) else { continue };
        let knows_more = nodes[at].leaves().iter().any(|it| pointers.contains(&it.key));
        if whole.carry.0.is_none() || knows_more {
            continue;
        }
        along += 1;
        let farthest = all.contacts()[(at + 8) % 300];
        assert_eq!(none_left.map(|it| (it.contact, it.carry)), Some((farthest, Carry(None))));
        assert!(one_left.is_some_and(|it| it.carry == whole.carry));
    }
    assert!(along > 200, "{along}");
}

#[test]
fn a_carry_that_does_not_lead_to_the_key_begins_anew() {
    let (_, nodes) = settled(300, &settings(|_| {}));
    for number in 0..100u32 {
        let (key, node) = (Key::of(&number.to_be_bytes()), &nodes[number as usize]);
        let anew = Geometry::next_hop(node, key, Carry(None), &[]);
        for imaginary in [
            Imaginary { key: Key::of(b"elsewhere"), left: 7 },
            Imaginary { key, left: 200 },
            Imaginary { key: key.plus(Key::from(1)), left: 0 },
        ] {
            let carry = Carry(Some(imaginary));
            let next = Geometry::next_hop(node, key, carry, &[]);
            // Leaves own what is near whatever is carried.
            assert_eq!(next.map(|it| it.contact), anew.map(|it| it.contact));
        }
    }
}

#[test]
fn a_carry_with_many_digits_left_makes_a_way_no_longer() {
    let settings = settings(|_| {});
    let (all, nodes) = settled(300, &settings);
    let mut rng = Rng::new(5);
    for number in 0..100u32 {
        let (key, from) = (Key::of(&number.to_be_bytes()), rng.index(300));
        // Right behind the node, and all digits but the first have yet to come.
        let (left, behind) = (52, all.contacts()[from].key.plus(Key::from(1)));
        let ahead = key.shifted_down(3 * 52).minus(behind).low(4);
        let far = Imaginary { key: behind.plus(ahead), left };
        assert!(far.leads_to(key, 3));
        let length = way_with(&all, &nodes, from, key, Carry(Some(far))).len();
        assert_eq!(length, way(&all, &nodes, from, key).len());
    }
}
