//! One node of Pastry, and what others may do to what all nodes have in common: whose addresses are forged, and
//! who answer as they like or not at all.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use nigh_base::{Address, Key, Machine as _, Rng, Time, machine::Input};

use super::{
    geometry::{Bare, Step},
    message::{self, Datagram},
};
use crate::locate::{
    Command, Contact, Event, Failure, Ticket,
    alone::{self, stranger},
    circle::message::Words,
    codec,
    holdings::Offer,
    pastry::{self, Geometry, settled::Settled},
    suite,
};

type Alone = alone::Alone<Geometry>;
type Body = message::Body<Bare, Words<pastry::message::Words>>;

const HOUR: Duration = Duration::from_secs(3600);
/// What a node waits for an answer, and for the second one, before it has measured any.
const FIRST_WAITS: Duration = Duration::from_secs(3);

/// A node of a settled overlay of so many, whose first round comes then.
fn alone(count: u32, first_round: Duration, copies: u8) -> Alone {
    let settings = suite::settings::<Geometry>(|it| it.copies = copies);
    let contacts: Vec<Contact> =
        (0..count).map(|number| suite::node::<Geometry>(number, &settings).contact()).collect();
    let all = Settled::new(Arc::clone(&settings), contacts.clone());
    let first_round = Time::START.after(first_round);
    let mut alone = Alone::new(all.node(contacts[0], first_round, |_| 0));
    alone.others = contacts[1..].to_vec();
    alone
}

/// The same without upkeep.
fn quiet() -> Alone {
    alone(40, HOUR * 24, 3)
}

fn store(nonce: u64, key: Key, copies: u8, value: &'static str) -> Body {
    let value = Bytes::from_static(value.as_bytes());
    Body::Store { nonce, copies, offer: Box::new(Offer { key, stamp: 1, lifetime: HOUR, value }) }
}

fn route(nonce: u64, key: Key) -> Body {
    Body::Route { nonce, lookup: nonce, key, carry: Bare, origin: None, hops: 0 }
}

fn count(sent: &[(Address, Body)], of: impl Fn(&Body) -> bool) -> usize {
    sent.iter().filter(|(_, body)| of(body)).count()
}

/// To whom an own lookup was passed on, with the numbers of the question and of the lookup.
fn passed_on(sent: &[(Address, Body)]) -> (Address, u64, u64) {
    let passed = |(to, body): &(Address, Body)| match body {
        Body::Route { nonce, lookup, .. } => Some((*to, *nonce, *lookup)),
        _ => None,
    };
    sent.iter().find_map(passed).expect("it is passed on")
}

/// What the node sends when somebody says that who is no member.
fn visitor_says(alone: &mut Alone, from: Address, body: Body) -> alone::Sent<Geometry> {
    alone.input(Input::Message { from, message: Datagram { from: None, body } })
}

fn get(alone: &mut Alone, key: Key) -> alone::Sent<Geometry> {
    alone.input(Input::Command(Command::Get { ticket: Ticket(1), key }))
}

#[test]
fn how_long_strangers_take_is_not_how_long_others_are_waited_for() {
    let mut alone = quiet();
    let newcomer = Contact { key: alone.own_key(1), ..stranger(Key::of(b"s")) };
    let sent = alone.hears(newcomer, Body::Ping { nonce: 9 });
    let [_, (_, Body::Ping { nonce })] = sent[..] else { panic!("{sent:?}") };
    alone.now = alone.now.after(Duration::from_millis(900));
    alone.hears(newcomer, Body::Pong { nonce });
    assert!(alone.node.leaves().contains(&newcomer));
    let (sent, now) = (get(&mut alone, Key::of(b"far")), alone.now);
    passed_on(&sent);
    assert_eq!(alone.node.wake_at(), Some(now.after(Duration::from_secs(1))));
}

#[test]
fn made_up_nodes_hide_nobody_whom_a_leaf_names() {
    let mut alone = alone(40, Duration::from_secs(5), 3);
    let sent = alone.waits(Duration::from_secs(5));
    let asked = |(to, body): &(Address, Body)| match body {
        Body::Own(Words::Leaves { nonce }) => Some((*to, *nonce)),
        _ => None,
    };
    let (to, nonce) = sent.iter().find_map(asked).unwrap();
    let leaf = *alone.others.iter().find(|it| it.address == to).unwrap();
    for number in 0..200 {
        let address = Address::v4([198, 51, 100, number], 4000);
        let key = alone.own_key(1000 + u64::from(number));
        alone.hears(Contact { key, address }, Body::Ping { nonce: 1 });
    }
    let newcomer = Contact { key: alone.own_key(1), ..stranger(Key::of(b"s")) };
    let contacts = vec![newcomer];
    let sent = alone.hears(leaf, Body::Own(Words::LeavesAre { nonce, contacts }));
    assert!(sent.iter().any(|(to, _)| *to == newcomer.address), "{sent:?}");
}

#[test]
fn who_was_found_there_is_not_asked_again_so_soon_on_a_strangers_word() {
    let mut alone = quiet();
    let (leaf, asker) = (alone.node.leaves()[3], stranger(Key::of(b"s")));
    let next = Body::Next { nonce: 1, key: leaf.key, carry: Bare, without: vec![leaf.key] };
    let pings = |alone: &mut Alone| {
        let sent = alone.hears(asker, next.clone());
        let ping = |(to, body): &(Address, Body)| match body {
            Body::Ping { nonce } if *to == leaf.address => Some(*nonce),
            _ => None,
        };
        sent.iter().find_map(ping)
    };
    let nonce = pings(&mut alone).expect("nobody knows whether it is there");
    alone.hears(leaf, Body::Pong { nonce });
    assert_eq!(pings(&mut alone), None);
    alone.waits(Duration::from_secs(5));
    assert!(pings(&mut alone).is_some());
}
