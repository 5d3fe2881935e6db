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
fn what_comes_from_nobody_or_from_many_is_not_heard() {
    let mut alone = quiet();
    for from in codec::tests::addresses_of_nobody_or_of_many() {
        for body in [Body::Ping { nonce: 1 }, route(2, alone.others[9].key)] {
            assert_eq!(visitor_says(&mut alone, from, body), [], "{from}");
        }
    }
}

#[test]
fn a_lookup_that_comes_again_is_not_passed_on_again() {
    let mut alone = quiet();
    let (one, other, key) = (alone.others[3], alone.others[4], alone.others[9].key);
    let taken = (one.address, Body::Taken { nonce: 7 });
    let sent = alone.hears(one, route(7, key));
    assert_eq!((sent.len(), sent.contains(&taken)), (2, true), "{sent:?}");
    assert_eq!(alone.hears(one, route(7, key)), [taken]);
    // Another may have drawn the same number.
    assert_eq!(alone.hears(other, route(7, key)).len(), 2);
}

#[test]
fn who_cannot_pass_a_lookup_on_does_not_take_it_and_begins_its_own_all_the_same() {
    let mut alone = quiet();
    let key = alone.others[9].key;
    let (mut taken, mut passed) = (0, 0);
    for number in 0..300 {
        let sent = alone.hears(stranger(Key::of(b"s")), route(number, key));
        taken += count(&sent, |it| matches!(it, Body::Taken { .. }));
        passed += count(&sent, |it| matches!(it, Body::Route { .. }));
    }
    assert_eq!((taken, passed), (256, 256));
    let locate = Command::Locate { ticket: Ticket(1), key, trace: false };
    passed_on(&alone.input(Input::Command(locate)));
}

#[test]
fn a_put_that_comes_again_is_answered_with_what_is_made_of_it_and_not_done_again() {
    let mut alone = quiet();
    let (from, key) = (stranger(Key::of(b"s")).address, alone.own_key(1));
    let put = |alone: &mut Alone| visitor_says(alone, from, store(7, key, 3, "value"));
    let copies = put(&mut alone);
    assert_eq!(copies.len(), 2, "{copies:?}");
    let stored = |copies| (from, Body::Stored { nonce: 7, copies });
    assert_eq!(put(&mut alone), [stored(1)]);
    for (made, (to, body)) in (2..).zip(copies) {
        let Body::Store { nonce, .. } = body else { panic!("{body:?}") };
        let holder = *alone.others.iter().find(|it| it.address == to).unwrap();
        let told = alone.hears(holder, Body::Stored { nonce, copies: 1 });
        assert_eq!(told, if made == 3 { vec![stored(3)] } else { vec![] });
        assert_eq!(put(&mut alone), [stored(made)]);
    }
}

#[test]
fn a_put_that_comes_late_again_does_not_undo_a_newer_one() {
    let mut alone = alone(1, HOUR * 24, 1);
    let (from, key) = (stranger(Key::of(b"s")).address, Key::of(b"k"));
    for (nonce, value) in [(1, "first"), (2, "second"), (1, "first")] {
        let sent = visitor_says(&mut alone, from, store(nonce, key, 1, value));
        assert_eq!(sent, [(from, Body::Stored { nonce, copies: 1 })]);
    }
    let held = alone.node.held_value(key, alone.now);
    assert_eq!(held, Some(Bytes::from_static(b"second")));
}

#[test]
fn copies_that_have_lost_their_owners_leave_room_for_the_callers_lookups() {
    let mut alone = quiet();
    let from = stranger(Key::of(b"s"));
    for number in 0..4_000u32 {
        let key = Key::of(&number.to_be_bytes());
        alone.hears(from, store(number.into(), key, 0, "copy"));
    }
    // Behind two minutes nobody has renewed them: 64 are looked up each second, and nobody answers.
    alone.waits(Duration::from_millis(126_500));
    get(&mut alone, Key::of(b"x"));
    assert_eq!(alone.told, []);
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
fn a_lookup_that_others_pass_on_is_not_waited_for_without_end() {
    let mut alone = quiet();
    let key = alone.others[9].key;
    let locate = |alone: &mut Alone| {
        let (ticket, trace) = (Ticket(1), false);
        let sent = alone.input(Input::Command(Command::Locate { ticket, key, trace }));
        let (to, nonce, lookup) = passed_on(&sent);
        (*alone.others.iter().find(|it| it.address == to).unwrap(), nonce, lookup)
    };
    // Whoever takes it takes as long as it may.
    for _ in 0..20 {
        let (to, nonce, lookup) = locate(&mut alone);
        let contacts = vec![alone.others[9]];
        let last = alone.node.wake_at().unwrap().since(alone.now) - Duration::from_millis(1);
        alone.now = alone.now.after(last);
        alone.hears(to, Body::Taken { nonce });
        alone.hears(to, Body::Found { lookup, hops: 2, contacts });
    }
    let (to, nonce, _) = locate(&mut alone);
    alone.hears(to, Body::Taken { nonce });
    let sent = alone.waits(Duration::from_secs(10));
    assert_eq!(count(&sent, |it| matches!(it, Body::Next { .. })), 1, "{sent:?}");
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
fn a_lookup_ends_in_time_though_a_liar_names_silent_nodes_for_ever() {
    let settings = suite::settings::<Geometry>(|_| {});
    let mut alone = Alone::new(suite::node::<Geometry>(0, &settings));
    let liar = stranger(Key::of(b"liar"));
    alone.input(Input::Command(Command::Visit { via: vec![liar.address] }));
    let (ticket, key, trace) = (Ticket(1), Key::of(b"k"), false);
    let mut sent = alone.input(Input::Command(Command::Locate { ticket, key, trace }));
    let mut rng = Rng::new(7);
    while alone.told.is_empty() {
        let question = sent.iter().find_map(|(to, body)| match body {
            Body::Next { nonce, .. } if *to == liar.address => Some(*nonce),
            _ => None,
        });
        sent = match question {
            Some(nonce) => {
                alone.now = alone.now.after(Duration::from_millis(400));
                let made_up = |_| {
                    let key = Key::of(&rng.next_u64().to_be_bytes());
                    let [a, b, c, ..] = key.bytes();
                    Step {
                        contact: Contact { key, address: Address::v4([10, a, b, c], 4000) },
                        carry: Bare,
                    }
                };
                let steps = (0..3).map(made_up).collect();
                alone.hears(liar, Body::Closer { nonce, steps })
            }
            None => {
                alone.now = alone.node.wake_at().unwrap();
                alone.input(Input::Wake)
            }
        };
    }
    assert_eq!(alone.told, [Event::Failed { ticket, why: Failure::Unreachable }]);
    assert!(alone.now <= Time::from_secs(61), "{:?}", alone.now);
}

#[test]
fn who_has_not_taken_a_lookup_that_is_answered_is_not_gone_round() {
    let mut alone = alone(2, HOUR * 24, 1);
    let (other, holder) = (alone.others[0], stranger(Key::of(b"holder")));
    let sent = get(&mut alone, other.key);
    let (_, _, lookup) = passed_on(&sent);
    alone.waits(FIRST_WAITS - Duration::from_millis(500));
    let contacts = vec![holder];
    let sent = alone.hears(other, Body::Found { lookup, hops: 2, contacts });
    let [(to, Body::Fetch { nonce, .. })] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(to, holder.address);
    alone.waits(Duration::from_millis(600));
    assert_eq!(alone.told, []);
    let value = Some(Bytes::from_static(b"value"));
    alone.hears(holder, Body::Value { nonce, value: value.clone() });
    assert_eq!(alone.told, [Event::Value { ticket: Ticket(1), value }]);
}

#[test]
fn nothing_is_held_if_all_holders_say_so_and_none_of_them_is_silent() {
    for are_silent in [false, true] {
        let mut alone = quiet();
        let sent = get(&mut alone, Key::of(b"far"));
        let (_, _, lookup) = passed_on(&sent);
        let contacts = [1, 2, 3].map(|number| alone.others[number]).to_vec();
        let first = contacts[0];
        let mut sent = alone.hears(first, Body::Found { lookup, hops: 2, contacts });
        while let Some((to, body)) = sent.pop() {
            let Body::Fetch { nonce, .. } = body else { continue };
            let holder = *alone.others.iter().find(|it| it.address == to).unwrap();
            if holder == first || !are_silent {
                sent.extend(alone.hears(holder, Body::Value { nonce, value: None }));
            }
        }
        alone.waits(FIRST_WAITS * 2);
        let ticket = Ticket(1);
        let told = match are_silent {
            true => Event::Failed { ticket, why: Failure::Unreachable },
            false => Event::Value { ticket, value: None },
        };
        assert_eq!(alone.told, [told]);
    }
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

#[test]
fn a_node_that_is_gone_is_found_out_though_lookups_go_through_it_all_the_time() {
    let mut alone = quiet();
    let gone = alone.node.leaves()[3];
    for _ in 0..100 {
        let locate = Command::Locate { ticket: Ticket(1), key: gone.key, trace: false };
        alone.input(Input::Command(locate));
        alone.waits(Duration::from_millis(100));
    }
    assert!(!alone.node.leaves().contains(&gone));
}
