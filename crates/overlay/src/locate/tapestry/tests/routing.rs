//! The way to a key, against the paper's figures and against its definition.

use nigh_base::{Address, space::prefix::Digits};

use super::*;
use crate::locate::{
    node::geometry::{Geometry as _, Step},
    tapestry::{message::Level, surrogacy},
};

/// A key of four digits to the base of 16, in front of 144 zeros.
fn figure(text: &str) -> Key {
    Key::from(u64::from_str_radix(text, 16).unwrap()).shifted_up(144)
}

/// An overlay of these nodes.
fn of(names: &str, settings: &Arc<Settings>) -> Settled {
    let contact = |(number, name)| Contact {
        key: figure(name),
        address: Address::v4([10, 0, 0, number], 4000),
    };
    Settled::new(Arc::clone(settings), (1..).zip(names.split(' ')).map(contact).collect())
}

/// Each of its nodes, with the lowest that fit in each cell.
fn nodes(all: &Settled) -> Vec<Node> {
    all.contacts().iter().map(|&me| all.node(me, Time::START, |_| ())).collect()
}

/// The nodes on the way, and how many digits are resolved at each.
fn way(nodes: &[Node], from: Contact, key: Key) -> Vec<(Contact, u8)> {
    let at = |contact: Contact| {
        nodes.iter().find(|node| node.contact() == contact).expect("a node of the overlay")
    };
    let mut way = vec![(from, 0)];
    while let Some(&(contact, level)) = way.last()
        && let Some(Step { contact, carry }) =
            Geometry::next_hop(at(contact), key, Level { level, wants_holders: false }, &[])
    {
        way.push((contact, carry.level));
    }
    way
}

/// The example of JSAC 2004, section III: a message from 5230 for 42AD, a digit a hop.
#[test]
fn the_way_from_5230_to_42ad_resolves_one_digit_after_the_other() {
    let all = of("5230 400F 4227 42A2 42AD", &settings(|_| {}));
    let nodes = nodes(&all);
    let from = all.owner(figure("5230"));
    let keys: Vec<(Key, u8)> =
        way(&nodes, from, figure("42AD")).iter().map(|(it, level)| (it.key, *level)).collect();
    let right = ["5230", "400F", "4227", "42A2", "42AD"].map(figure);
    assert_eq!(keys, right.into_iter().zip(0..).collect::<Vec<_>>());
}

/// The example of JSAC 2004, section III: the object 4378, whose root is 4377, with the servers 4228 and AA93. That
/// the others are those of the paper is not claimed.
#[test]
fn the_root_of_4378_is_4377_wherever_the_way_begins() {
    let names = "4377 4228 AA93 43FE 4361 4664 4B4F 4A6D 57EC 39AA E791";
    let settings = settings(|_| {});
    let all = of(names, &settings);
    assert_eq!(all.owner(figure("4378")).key, figure("4377"));
    let nodes_of_all = nodes(&all);
    for &from in all.contacts() {
        let last = way(&nodes_of_all, from, figure("4378")).pop().unwrap().0;
        assert_eq!(last.key, figure("4377"), "{from:?}");
    }
    // Without it nobody has 7 behind 43: F is the next that somebody has.
    let rest = names.strip_prefix("4377 ").unwrap();
    let rest = of(rest, &settings);
    let nodes = nodes(&rest);
    for &from in rest.contacts() {
        assert_eq!(way(&nodes, from, figure("4378")).pop().unwrap().0.key, figure("43FE"));
    }
}

#[test]
fn each_step_is_what_the_definition_demands() {
    for bits in [1, 2, 4] {
        let settings = settings(|it| it.digit_bits = bits);
        let (digits, width) = (Digits::new(bits), 1u8 << bits);
        let all = Settled::new(Arc::clone(&settings), contacts(300, &settings));
        let mut rng = Rng::new(bits.into());
        let nodes: Vec<Node> = all
            .contacts()
            .iter()
            .map(|&me| all.node(me, Time::START, |fit| rng.shuffle(fit)))
            .collect();
        for number in 0..1_000u32 {
            let from = all.contacts()[rng.index(nodes.len())];
            // Among them keys of nodes, and those beside them.
            let key = match number % 3 {
                0 => all.contacts()[rng.index(300)].key.plus(Key::from(u64::from(number % 2))),
                _ => Key::of(&number.to_be_bytes()),
            };
            let way = way(&nodes, from, key);
            // Digit by digit those of all nodes that are left over.
            let mut left = all.contacts().to_vec();
            for row in 0..digits.count() {
                let at = |it: &Contact| digits.at(it.key, row);
                let wanted = digits.at(key, row);
                let next = (0..width)
                    .map(|step| wanted.wrapping_add(step) % width)
                    .find(|digit| left.iter().any(|it| at(it) == *digit))
                    .unwrap();
                left.retain(|it| at(it) == next);
                // Whoever is reached with so many digits resolved is among them.
                let reached = way.iter().filter(|(_, level)| u32::from(*level) == row + 1);
                assert!(reached.map(|(it, _)| it).all(|it| left.contains(it)), "{way:?}");
            }
            assert_eq!(left, [way.last().unwrap().0]);
            assert_eq!(left[0], all.owner(key));
            let least = all.contacts().iter().min_by_key(|it| surrogacy(digits, it.key, key));
            assert_eq!(left[0], *least.unwrap());
        }
    }
}

#[test]
fn every_start_finds_the_same_root() {
    let settings = settings(|_| {});
    let all = Settled::new(Arc::clone(&settings), contacts(300, &settings));
    let mut rng = Rng::new(1);
    let nodes: Vec<Node> = all
        .contacts()
        .iter()
        .map(|&me| all.node(me, Time::START, |fit| rng.shuffle(fit)))
        .collect();
    for number in 0..20u32 {
        let key = Key::of(&number.to_be_bytes());
        for &from in all.contacts() {
            assert_eq!(way(&nodes, from, key).pop().unwrap().0, all.owner(key));
        }
    }
}

#[test]
fn the_owner_and_those_who_stand_in_for_it_agree_on_who_they_are() {
    let settings = settings(|_| {});
    for count in [30, 60, 120, 300] {
        let all = Settled::new(Arc::clone(&settings), contacts(count, &settings));
        let mut rng = Rng::new(2);
        for number in 0..150u32 {
            let key = Key::of(&number.to_be_bytes());
            let right = all.nearest(key, 3);
            for &holder in &right {
                let node = all.node(holder, Time::START, |fit| rng.shuffle(fit));
                assert_eq!(Geometry::nearest(&node, key, 3), right, "{count} nodes, {key}");
            }
        }
    }
}

#[test]
fn whoever_is_left_out_is_gone_round() {
    let settings = settings(|_| {});
    let all = Settled::new(Arc::clone(&settings), contacts(100, &settings));
    for number in 0..100u32 {
        let key = Key::of(&number.to_be_bytes());
        let [gone, second] = all.nearest(key, 2)[..] else { panic!("there are two") };
        let node = all.node(second, Time::START, |_| ());
        let next = |without: &[Key]| {
            Geometry::next_hop(&node, key, Level::default(), without).map(|it| it.contact)
        };
        assert_eq!(next(&[gone.key]), None);
        assert!(next(&[]).is_some());
        assert!(Geometry::is_its(&node, key, gone) && !Geometry::is_its(&node, gone.key, second));
    }
}
