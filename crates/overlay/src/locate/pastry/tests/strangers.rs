//! One node, and what strangers may send it: whose addresses are forged, and who answer as they like.

use bytes::Bytes;
use nigh_base::{
    Address, Machine as _,
    machine::{Context, Input, Link, Output},
};

use super::*;
use crate::locate::{
    LEAVE_MAX, alone,
    circle::message::Words,
    holdings::Offer,
    node::{geometry::Bare, message},
    pastry,
};

type Message = message::Message<Geometry>;
type Body = message::Body<Bare, Words<pastry::message::Words>>;

const HOUR: Duration = Duration::from_secs(3600);

/// A node of a settled overlay, and the others of it.
fn alone(settings: &Arc<Settings>) -> alone::Alone<Geometry> {
    let contacts: Vec<Contact> = (0..40).map(|number| node(number, settings).contact()).collect();
    let all = Settled::new(Arc::clone(settings), contacts.clone());
    let mut alone = alone::Alone::new(all.node(contacts[0], Time::from_secs(5), |_| 0));
    alone.others = contacts[1..].to_vec();
    alone
}

fn stranger() -> Contact {
    Contact { key: Key::of(b"stranger"), address: Address::v4([192, 0, 2, 1], 4000) }
}

fn store(nonce: u64, key: Key, copies: u8, stamp: u64) -> Body {
    let offer = Offer { key, stamp, lifetime: HOUR, value: Bytes::from_static(b"value") };
    Body::Store { nonce, copies, offer: Box::new(offer) }
}

#[test]
fn nobody_is_taken_in_who_has_not_answered() {
    let mut alone = alone(&settings(|_| {}));
    // Nearer than any leaf, as it says.
    let who = Contact { key: alone.own_key(1), ..stranger() };
    let sent = alone.hears(who, Body::Ping { nonce: 9 });
    let [(_, Body::Pong { nonce: 9 }), (to, Body::Ping { nonce })] = sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(to, who.address);
    assert!(!alone.node.leaves().contains(&who));
    // Neither a wrong number nor another's address will do.
    alone.hears(who, Body::Pong { nonce: nonce + 1 });
    alone.hears(Contact { address: alone.others[0].address, ..who }, Body::Pong { nonce });
    assert!(!alone.node.leaves().contains(&who));
    alone.hears(who, Body::Pong { nonce });
    assert!(alone.node.leaves().contains(&who));
}

#[test]
fn a_forged_leave_makes_a_node_ask_and_changes_nothing() {
    let mut alone = alone(&settings(|_| {}));
    let before = alone.node.leaves();
    let sent = alone.hears(before[3], Body::Leaving);
    let [(to, Body::Ping { nonce })] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(to, before[3].address);
    alone.hears(before[3], Body::Pong { nonce });
    assert_eq!(alone.node.leaves(), before);
    // Of one that it does not know it does not even ask.
    assert_eq!(alone.hears(stranger(), Body::Leaving), []);
}

#[test]
fn a_leaf_that_is_another_now_or_none_is_gone_at_once() {
    let mut alone = alone(&settings(|_| {}));
    let (first, second) = (alone.node.leaves()[3], alone.node.leaves()[4]);
    for leaf in [first, second] {
        let sent = alone.hears(leaf, Body::Leaving);
        let [(_, Body::Ping { nonce })] = sent[..] else { panic!("{sent:?}") };
        if leaf == first {
            let message = Message { from: None, body: Body::Stranger { nonce } };
            alone.input(Input::Message { from: leaf.address, message });
        } else {
            alone.hears(Contact { key: Key::of(b"new"), ..leaf }, Body::Pong { nonce });
        }
        assert!(!alone.node.leaves().contains(&leaf));
    }
}

#[test]
fn whoever_says_that_it_is_a_leaf_at_another_address_makes_a_node_ask_the_leaf() {
    let mut alone = alone(&settings(|_| {}));
    let leaf = alone.node.leaves()[3];
    let sent = alone.hears(
        Contact { address: stranger().address, ..leaf },
        Body::Own(Words::Leaves { nonce: 4 }),
    );
    assert!(matches!(sent[1..], [(to, Body::Ping { .. })] if to == leaf.address), "{sent:?}");
    assert!(alone.node.leaves().contains(&leaf));
}

#[test]
fn what_strangers_ask_for_leaves_room_for_upkeep() {
    let mut alone = alone(&settings(|_| {}));
    let mut asked = 0;
    for number in 0..1000 {
        // Each value is to be copied to two who do not answer, each lookup passed on.
        let for_others =
            |it: &&(Address, Body)| matches!(it.1, Body::Store { .. } | Body::Route { .. });
        let sent = alone.hears(stranger(), store(number, alone.own_key(number), 3, 0));
        asked += sent.iter().filter(for_others).count();
        let (nonce, lookup, key) = (number, number, alone.others[9].key);
        let origin = Some(stranger().address);
        let sent = alone
            .hears(stranger(), Body::Route { nonce, lookup, key, carry: Bare, origin, hops: 0 });
        asked += sent.iter().filter(for_others).count();
    }
    assert_eq!(asked, 256);
    // The leaves next to it, who do not answer, are found gone all the same.
    let before = alone.node.leaves();
    alone.waits(Duration::from_secs(15));
    assert_ne!(alone.node.leaves(), before);
}

#[test]
fn made_up_nodes_are_met_a_few_at_a_time_and_not_taken_in() {
    let mut alone = alone(&settings(|_| {}));
    let before = alone.node.leaves();
    let mut met = 0;
    for number in 0..1000u32 {
        let [a, b, c, d] = number.to_be_bytes();
        let address = Address::v4([11, b.max(a), c, d], 4000);
        let who = Contact { key: alone.own_key(number.into()), address };
        let sent = alone.hears(who, Body::Ping { nonce: 9 });
        met += sent.iter().filter(|(_, body)| matches!(body, Body::Ping { .. })).count();
    }
    assert_eq!(met, 64);
    assert_eq!(alone.node.leaves(), before);
}

#[test]
fn no_stamp_of_a_stranger_stops_the_count_or_overflows_it() {
    let mut alone = alone(&settings(|it| it.circle.node.copies = 1));
    let key = alone.own_key(1);
    let mut answer = |body| alone.hears(stranger(), body)[0].1.clone();
    assert_eq!(answer(store(1, key, 0, u64::MAX)), Body::Full { nonce: 1 });
    // The highest that is taken; what comes through the owner is newer all the same.
    let stored = |nonce, copies| Body::Stored { nonce, copies };
    assert_eq!(answer(store(2, key, 0, u64::MAX / 2)), stored(2, 1));
    assert_eq!(answer(store(3, key, 1, 0)), stored(3, 1));
    assert_eq!(answer(store(4, key, 0, 5)), stored(4, 0));
}

#[test]
fn a_new_leaf_is_given_what_it_owns_once_it_has_answered() {
    let mut alone = alone(&settings(|it| it.circle.node.copies = 1));
    for number in 0..100 {
        alone.hears(stranger(), store(number, alone.own_key(number), 1, 0));
    }
    // 41 behind the node: of the keys 1 to 100 behind it those from 21 on are nearer to it.
    let leaf = Contact { key: alone.own_key(40), address: Address::v4([192, 0, 2, 2], 4000) };
    let sent = alone.hears(leaf, Body::Own(Words::Leaves { nonce: 1 }));
    let [_, (to, Body::Ping { nonce })] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(to, leaf.address);
    let mut on_the_way = alone.hears(leaf, Body::Pong { nonce });
    assert_eq!(on_the_way.len(), 16);
    let mut got = std::collections::BTreeSet::new();
    while let Some((to, body)) = on_the_way.pop() {
        let Body::Store { nonce, copies: 0, offer } = body else { panic!("{body:?}") };
        assert_eq!(to, leaf.address);
        got.insert(offer.key);
        on_the_way.extend(alone.hears(leaf, Body::Stored { nonce, copies: 1 }));
    }
    assert!(got.into_iter().eq((20..100).map(|number| alone.own_key(number))));
}

#[test]
fn who_leaves_waits_until_values_are_taken_and_says_how_many_nobody_took() {
    for answers in [true, false] {
        let mut alone = alone(&settings(|it| it.circle.node.copies = 1));
        for number in 0..100 {
            alone.hears(stranger(), store(number, alone.own_key(number), 1, 0));
        }
        let mut on_the_way = alone.input(Input::Command(Command::Leave));
        assert_eq!(on_the_way.len(), 16);
        let mut taken = 0;
        while let Some((to, body)) = on_the_way.pop().filter(|_| answers) {
            let Body::Store { nonce, copies: 0, .. } = body else { continue };
            let leaf = alone.others.iter().find(|it| it.address == to).copied().unwrap();
            // At first every third has no room.
            taken += 1;
            let body = if taken % 3 == 0 && taken <= 30 {
                Body::Full { nonce }
            } else {
                Body::Stored { nonce, copies: 1 }
            };
            on_the_way.extend(alone.hears(leaf, body));
        }
        alone.waits(LEAVE_MAX + Duration::from_secs(2));
        let untaken = if answers { 0 } else { 100 };
        assert_eq!(alone.told, [Event::Left { untaken }]);
        // Those who ask hear that it is gone.
        let sent = alone.hears(alone.others[0], Body::Ping { nonce: 5 });
        assert_eq!(sent, [(alone.others[0].address, Body::Stranger { nonce: 5 })]);
    }
}

#[test]
fn who_calls_by_a_stream_is_hung_up_on() {
    let mut alone = alone(&settings(|_| {}));
    let mut outbox = Vec::new();
    let (link, peer) = (Link(2), stranger().address);
    let mut cx = Context::new(alone.now, &mut alone.rng, &mut alone.secrets, &mut outbox);
    alone.node.handle(Input::Opened { link, peer }, &mut cx);
    assert_eq!(outbox, [Output::Close { link }]);
}
