//! One node, and what strangers may say to it about levels.

use nigh_base::machine::Input;

use super::*;
use crate::locate::{
    Command, Ticket,
    alone::{Alone, stranger},
    circle::message::Words as OfCircle,
    node::message::Body,
    viceroy::{
        Butterfly,
        message::{Phase, Side, Words},
    },
};

type Says = Body<Phase, OfCircle<Words>>;

/// A node of the fourth level of seven, which has all links.
fn alone() -> Alone<Geometry> {
    let (_, _, nodes) = settled(200);
    let node = nodes.into_iter().find(|it| it.level() == 4).unwrap();
    Alone::new(node)
}

fn seek(mine: u8, nonce: u64) -> Says {
    let (place, side) = (Key::from(1), Side::Behind);
    Body::Own(OfCircle::Far(Words::Seek { nonce, mine, level: 1, place, side }))
}

fn found(nonce: u64, mine: u8, contacts: Vec<Contact>, beyond: Option<Contact>) -> Says {
    Body::Own(OfCircle::Far(Words::Found { nonce, mine, contacts, beyond }))
}

/// The questions for levels among what was sent.
fn sought(sent: &[(nigh_base::Address, Says)]) -> Vec<(nigh_base::Address, u64)> {
    let number = |(to, body): &(nigh_base::Address, Says)| match body {
        Body::Own(OfCircle::Far(Words::Seek { nonce, .. })) => Some((*to, *nonce)),
        _ => None,
    };
    sent.iter().filter_map(number).collect()
}

/// Somebody who lies right behind the node.
fn behind(alone: &Alone<Geometry>) -> Contact {
    stranger(alone.node.contact().key.plus(Key::from(5)))
}

#[test]
fn whoever_says_that_it_is_a_better_link_is_asked_before_it_is_one() {
    let mut alone = alone();
    let (who, before) = (behind(&alone), alone.node.link(Kind::Next));
    let sent = alone.hears(who, seek(4, 9));
    let asked = sought(&sent);
    let [(to, nonce)] = asked[..] else { panic!("{sent:?}") };
    assert_eq!((to, alone.node.link(Kind::Next)), (who.address, before));
    // Neither a wrong number nor another's address will do, nor another level than it said.
    alone.hears(who, found(nonce + 1, 4, vec![], None));
    alone.hears(
        Contact { key: Key::from(7), ..stranger(Key::from(3)) },
        found(nonce, 4, vec![], None),
    );
    assert_eq!(alone.node.link(Kind::Next), before);
    alone.hears(who, found(nonce, 4, vec![], None));
    assert_eq!(alone.node.link(Kind::Next), Some(who));
}

#[test]
fn whoever_is_on_another_level_than_it_said_is_no_link() {
    let mut alone = alone();
    let (who, before) = (behind(&alone), alone.node.link(Kind::Next));
    let sent = alone.hears(who, seek(4, 9));
    alone.hears(who, found(sought(&sent)[0].1, 2, vec![], None));
    assert_eq!(alone.node.link(Kind::Next), before);
    // And one that is no better is not asked.
    assert_eq!(sought(&alone.hears(stranger(Key::of(b"far")), seek(4, 9))), []);
}

#[test]
fn a_leaf_has_the_level_that_it_answers_and_not_what_is_said_in_its_name() {
    let mut alone = alone();
    let leaf = alone.node.leaves()[3];
    let known = |alone: &Alone<Geometry>| alone.node.geometry.far.known_level_of(leaf);
    let before = known(&alone).unwrap();
    let other = before % 7 + 1;
    assert_eq!(sought(&alone.hears(leaf, seek(before, 9))), []);
    let asked = sought(&alone.hears(leaf, seek(other, 9)));
    let [(to, nonce)] = asked[..] else { panic!("{asked:?}") };
    assert_eq!((to, known(&alone)), (leaf.address, Some(before)));
    alone.hears(leaf, found(nonce, other, vec![], None));
    assert_eq!(known(&alone), Some(other));
}

#[test]
fn any_number_of_better_links_that_strangers_claim_leaves_room_for_upkeep_and_callers() {
    let mut alone = alone();
    let mut asked = 0;
    for number in 0..700u16 {
        let [high, low] = number.to_be_bytes();
        let address = nigh_base::Address::v4([198, 51, high, low], 4000);
        let who = Contact { address, ..behind(&alone) };
        asked += sought(&alone.hears(who, seek(4, 9))).len();
    }
    assert_eq!(asked, 16);
    let locate = Command::Locate { ticket: Ticket(1), key: Key::of(b"key"), trace: true };
    assert_eq!(alone.input(Input::Command(locate)).len(), 1);
    assert_eq!(alone.told, []);
    let sent = alone.waits(Duration::from_millis(1));
    let leaves =
        sent.iter().filter(|it| matches!(it.1, Body::Own(OfCircle::Leaves { .. }))).count();
    assert!(leaves >= 2, "{sent:?}");
    // Those who claimed are asked twice, and then others are.
    alone.waits(Duration::from_secs(4));
    let who = stranger(alone.node.contact().key.plus(Key::from(4)));
    assert_eq!(sought(&alone.hears(who, seek(4, 9))).len(), 1);
}

#[test]
fn an_answer_that_comes_after_a_node_has_left_makes_no_link() {
    let mut alone = alone();
    let who = behind(&alone);
    let (_, nonce) = sought(&alone.hears(who, seek(4, 9)))[0];
    alone.input(Input::Command(Command::Leave));
    alone.hears(who, found(nonce, 1, vec![], None));
    assert!(Kind::ALL.iter().all(|&kind| alone.node.link(kind).is_none()));
}

#[test]
fn a_link_that_has_another_level_now_is_none_any_more() {
    let mut alone = alone();
    // That of the first round.
    let link = alone.node.link(Kind::Left).unwrap();
    let sent = alone.waits(Duration::from_millis(1));
    let asked = sought(&sent).into_iter().find(|(to, _)| *to == link.address);
    let (_, nonce) = asked.expect("it is asked");
    alone.hears(link, found(nonce, 6, vec![], None));
    assert_ne!(alone.node.link(Kind::Left), Some(link));
}

#[test]
fn a_chain_of_nodes_that_lead_on_ends() {
    let mut alone = alone();
    let me = alone.node.contact().key;
    // It knows no links, and no level of a leaf: up, left and next are sought along the circle.
    let far = &mut alone.node.geometry.far;
    *far = Butterfly::new(me);
    (far.level, far.levels) = (4, 7);
    let last = alone.node.geometry.leaves.above().next_back().unwrap();
    // Whoever is asked leads on to another, who lies a little farther.
    let far = (1..=100u64).map(|step| stranger(me.plus(Key::power(159)).plus(Key::from(step))));
    let far: Vec<Contact> = far.collect();
    let sent = alone.waits(Duration::from_millis(1));
    let chains: Vec<u64> =
        sought(&sent).into_iter().filter(|(to, _)| *to == last.address).map(|it| it.1).collect();
    assert_eq!(chains.len(), 3);
    for mut nonce in chains {
        let (mut who, mut length) = (last, 1);
        for next in &far {
            let sent = alone.hears(who, found(nonce, 7, vec![], Some(*next)));
            let more = sought(&sent);
            assert!(more.len() <= 1, "one answer leads to one question");
            let Some(&(to, number)) = more.first() else { break };
            assert_eq!(to, next.address);
            (who, nonce, length) = (*next, number, length + 1);
        }
        assert_eq!(length, 8);
    }
}

#[test]
fn an_answer_names_those_of_a_level_the_nearest_first_and_who_knows_more() {
    let mut alone = alone();
    let node = &alone.node;
    let me = node.contact();
    let leaves = node.leaves();
    let asker = *leaves.iter().max_by_key(|it| me.key.minus(it.key)).unwrap();
    for level in 1..=7 {
        for side in [Side::Behind, Side::Before] {
            let words = Words::Seek { nonce: 3, mine: 9, level, place: me.key, side };
            let sent = alone.hears(asker, Body::Own(OfCircle::Far(words)));
            let (_, Body::Own(OfCircle::Far(Words::Found { mine, contacts, beyond, .. }))) =
                &sent[0]
            else {
                panic!("{sent:?}")
            };
            assert_eq!((*mine, contacts.contains(&asker)), (4, false));
            assert!(contacts.len() <= 4);
            let distance = |it: &Contact| side.distance(me.key, it.key);
            assert!(contacts.is_sorted_by_key(distance));
            let near: Vec<Contact> =
                leaves.iter().copied().filter(|it| distance(it) < Key::power(159)).collect();
            assert_eq!(*beyond, near.into_iter().max_by_key(distance));
        }
    }
}
