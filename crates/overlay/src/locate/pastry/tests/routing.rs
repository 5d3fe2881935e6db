//! The way to a key, against the paper's figure and against its definition.

use nigh_base::Address;

use super::*;
use crate::locate::{
    circle::leaves::distance,
    node::geometry::{Bare, Geometry as _, Peer},
};

/// The next node on the way, for a node of Pastry.
fn next_hop(node: &Node, key: Key, without: &[Key]) -> Option<Contact> {
    Geometry::next_hop(node, key, Bare, without).map(|step| step.contact)
}

/// A key of eight digits to the base of four, in front of 144 zeros.
fn figure(text: &str) -> Key {
    Key::from(u64::from_str_radix(text, 4).unwrap()).shifted_up(144)
}

/// Figure 1 of the paper: the state of node 10233102, with b = 2 and l = 8.
fn of_figure_1() -> Node {
    let address = |number: u8| Address::v4([10, 0, 0, number], 4000);
    let settings = settings(|it| (it.digit_bits, it.circle.leaves) = (2, 8));
    let mut node = Node::new(figure("10233102"), address(1), settings);
    let leaves = "10233033 10233021 10233001 10233000 10233120 10233122 10233230 10233232";
    let table = "02212102 22301203 31203203 11301233 12230203 13021022 10031203 10132102 10323302 \
                 10200230 10211302 10222302 10230322 10231000 10232121 10233001 10233232 10233120";
    for (number, key) in (2..).zip(leaves.split(' ').chain(table.split(' '))) {
        let contact = Contact { key: figure(key), address: address(number) };
        let peer = Peer::unmeasured(contact);
        if number < 10 {
            node.geometry.leaves.take(peer);
        } else {
            node.geometry.far.take(peer);
        }
    }
    node
}

#[test]
fn the_node_of_figure_1_has_each_node_in_the_cell_that_the_paper_shows() {
    let node = of_figure_1();
    assert_eq!((node.leaves().len(), node.cells()), (8, 18));
    for (row, count) in (0..).zip([3, 3, 3, 3, 3, 2, 1, 0]) {
        assert_eq!(node.geometry.far.row(row).count(), count, "row {row}");
    }
}

#[test]
fn the_node_of_figure_1_routes_as_the_paper_says() {
    let node = of_figure_1();
    for (key, next) in [
        // Between the farthest leaves: the nearest leaf, or the node itself.
        ("10233131", Some("10233122")),
        ("10233002", Some("10233001")),
        ("10233103", None),
        // A digit more.
        ("32121321", Some("31203203")),
        ("10211112", Some("10211302")),
        ("13000000", Some("13021022")),
        ("10232121", Some("10232121")),
        // Beyond the last leaf, and no cell: one that is nearer and shares as much.
        ("10233321", Some("10233232")),
    ] {
        let hop = next_hop(&node, figure(key), &[]).map(|it| it.key);
        assert_eq!(hop, next.map(figure), "{key}");
    }
    // Without the node of its cell, whoever shares as many digits and is nearer.
    let without = [figure("31203203")];
    let hop = next_hop(&node, figure("23333333"), &without).map(|it| it.key);
    assert_eq!(hop, Some(figure("22301203")));
    let hop = next_hop(&node, figure("31203203"), &without).map(|it| it.key);
    assert_eq!(hop, Some(figure("22301203")));
}

/// What table 1 of the paper demands of the step from `me` to `next`, worked out from all nodes.
fn is_right(all: &[Contact], me: Contact, next: Option<Contact>, key: Key, bits: u32) -> bool {
    let place = all.iter().position(|it| *it == me).unwrap();
    let count = all.len();
    let farthest = [place + 8, place + count - 8].map(|at| all[at % count].key);
    let is_covered = key.minus(me.key) <= farthest[0].minus(me.key)
        || me.key.minus(key) <= me.key.minus(farthest[1]);
    if is_covered {
        let nearest = all.iter().min_by_key(|it| nearness(it.key, key));
        return next.as_ref().unwrap_or(&me) == nearest.unwrap();
    }
    let shared = |it: &Contact| it.key.xor(key).leading_zeros() / bits;
    let Some(next) = next else { return false };
    if all.iter().any(|it| shared(it) > shared(&me)) {
        return shared(&next) > shared(&me);
    }
    shared(&next) >= shared(&me) && distance(next.key, key) < distance(me.key, key)
}

#[test]
fn each_step_is_what_the_definition_demands() {
    for bits in [1, 2, 4] {
        let settings = settings(|it| it.digit_bits = bits);
        let contacts = (0..300).map(|number| node(number, &settings).contact()).collect();
        let all = Settled::new(settings, contacts);
        let mut rng = Rng::new(bits.into());
        let nodes: Vec<Node> = all
            .contacts()
            .iter()
            .map(|&me| all.node(me, Time::START, |fit| rng.index(fit.len())))
            .collect();
        for number in 0..3_000u32 {
            let mut at = rng.index(nodes.len());
            // Among them keys of nodes, and those beside them.
            let key = match number % 3 {
                0 => all.contacts()[rng.index(300)].key.plus(Key::from(u64::from(number % 2))),
                _ => Key::of(&number.to_be_bytes()),
            };
            let mut hops = 0;
            loop {
                let next = next_hop(&nodes[at], key, &[]);
                let me = nodes[at].contact();
                assert!(is_right(all.contacts(), me, next, key, bits), "{me:?} to {key}: {next:?}");
                let Some(next) = next else { break };
                at = all.contacts().binary_search(&next).unwrap();
                hops += 1;
                assert!(hops < 20, "a way without end");
            }
            assert_eq!(nodes[at].contact(), all.owner(key));
        }
    }
}

#[test]
fn whoever_is_left_out_is_gone_round() {
    let settings = settings(|_| {});
    let contacts: Vec<Contact> = (0..100).map(|number| node(number, &settings).contact()).collect();
    let all = Settled::new(Arc::clone(&settings), contacts.clone());
    for number in 0..100u32 {
        let key = Key::of(&number.to_be_bytes());
        let gone = all.owner(key);
        let rest = contacts.iter().copied().filter(|it| *it != gone).collect();
        let second = Settled::new(Arc::clone(&settings), rest).owner(key);
        let node = all.node(second, Time::START, |_| 0);
        assert_eq!(next_hop(&node, key, &[]), Some(gone));
        assert_eq!(next_hop(&node, key, &[gone.key]), None);
    }
}
