//! One node, and what strangers may send it.

use super::*;
use crate::locate::{
    alone::{Alone, stranger},
    circle::message::Words,
    node::message::Body,
};

fn alone() -> Alone<Geometry> {
    let settings = settings(|_| {});
    let contacts: Vec<Contact> = (0..60).map(|number| node(number, &settings).contact()).collect();
    let all = Settled::new(settings, contacts.clone());
    Alone::new(all.node(contacts[0], Time::from_secs(5)))
}

/// The numbers of the questions for leaves that were put to pointers in a round, and to whom.
fn asked(alone: &mut Alone<Geometry>) -> Vec<(Contact, u64)> {
    let pointers = alone.node.pointers();
    let sent = alone.waits(Duration::from_secs(5));
    let number = |(to, body)| match body {
        Body::Own(Words::Leaves { nonce }) => {
            let it = pointers.iter().find(|it| it.address == to)?;
            Some((*it, nonce))
        }
        _ => None,
    };
    sent.into_iter().filter_map(number).collect()
}

#[test]
fn whoever_a_pointer_names_is_asked_before_it_is_one() {
    let mut alone = alone();
    let before = alone.node.pointers();
    let (by, nonce) = asked(&mut alone)[0];
    // Nearer to the point than any other, as it says.
    let bits = alone.node.settings().degree_bits;
    let point = alone.node.contact().key.shifted_up(bits);
    let made_up = stranger(point.plus(Key::from(1)));
    let leaves = vec![made_up];
    let sent = alone.hears(by, Body::Own(Words::LeavesAre { nonce, contacts: leaves }));
    let [(to, Body::Ping { nonce })] = sent[..] else { panic!("{sent:?}") };
    assert_eq!((to, alone.node.pointers()), (made_up.address, before.clone()));
    // Not from another's address.
    alone.hears(Contact { address: by.address, ..made_up }, Body::Pong { nonce });
    assert!(!alone.node.pointers().contains(&made_up));
    alone.hears(made_up, Body::Pong { nonce });
    assert!(alone.node.pointers().contains(&made_up));
    assert_eq!(alone.node.pointers().len(), before.len());
}

#[test]
fn a_pointer_that_another_does_not_name_is_asked_and_stays_while_it_answers() {
    let mut alone = alone();
    let pointers = alone.node.pointers();
    let (by, nonce) = asked(&mut alone)[0];
    let place = pointers.iter().position(|it| *it == by).unwrap();
    let missing = pointers[place - 1];
    // Its leaves, but for one next to it.
    let contacts: Vec<Contact> =
        pointers.iter().copied().filter(|it| *it != by && *it != missing).collect();
    let sent = alone.hears(by, Body::Own(Words::LeavesAre { nonce, contacts }));
    let ping = sent.iter().find_map(|(to, body)| match body {
        Body::Ping { nonce } if *to == missing.address => Some(*nonce),
        _ => None,
    });
    assert_eq!(alone.node.pointers(), pointers);
    alone.hears(missing, Body::Pong { nonce: ping.expect("it is asked") });
    assert_eq!(alone.node.pointers(), pointers);
}

#[test]
fn pointers_that_do_not_answer_are_gone() {
    let mut alone = alone();
    let before = alone.node.pointers();
    let asked = asked(&mut alone);
    assert!(!asked.is_empty());
    alone.waits(Duration::from_secs(30));
    let after = alone.node.pointers();
    assert!(asked.iter().all(|(it, _)| !after.contains(it) && before.contains(it)));
}
