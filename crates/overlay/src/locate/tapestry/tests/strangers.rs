//! One node, and what strangers may send it: whose addresses are forged, and who answer as they like.

use bytes::Bytes;
use nigh_base::{Address, machine::Input};

use super::*;
use crate::locate::{
    Ticket, alone,
    holdings::Offer,
    node::{
        Routing,
        geometry::{Geometry as _, Step},
        message,
    },
    tapestry::message::{Level, Words},
};

type Message = message::Message<Geometry>;
type Body = message::Body<Level, Words>;

type Alone = alone::Alone<Geometry>;
type Sent = alone::Sent<Geometry>;

/// A node of a settled overlay, and the others of it.
fn alone(settings: &Arc<Settings>) -> Alone {
    among(40, settings)
}

fn among(count: u32, settings: &Arc<Settings>) -> Alone {
    let contacts = contacts(count, settings);
    let all = Settled::new(Arc::clone(settings), contacts.clone());
    let mut alone = Alone::new(all.node(contacts[0], Time::from_secs(5), |_| ()));
    alone.others = contacts[1..].to_vec();
    alone
}

fn stranger() -> Contact {
    Contact { key: Key::of(b"stranger"), address: Address::v4([192, 0, 2, 1], 4000) }
}

/// A key that another node owns.
fn key() -> Key {
    Key::of(b"what others own")
}

fn own(words: Words) -> Body {
    Body::Own(words)
}

fn get(alone: &mut Alone) -> Sent {
    alone.input(Input::Command(Command::Get { ticket: Ticket(7), key: key() }))
}

/// Whom a question for the value ends with, as this node answers.
fn pointed(alone: &mut Alone) -> Option<Vec<Contact>> {
    let carry = Level { level: 0, wants_holders: true };
    let next = Body::Next { nonce: 1, key: key(), carry, without: vec![] };
    match alone.hears(alone.others[3], next)[0].1.clone() {
        Body::Holders { contacts, .. } => Some(contacts),
        _ => None,
    }
}

/// Publishes as `who`; the number of the question whether it has the value, if it is asked.
fn publish(alone: &mut Alone, who: Contact) -> Option<u64> {
    let sent = alone.hears(who, own(Words::Publish { nonce: 5, key: key(), level: 0 }));
    assert!(matches!(sent[0].1, Body::Own(Words::Onward { nonce: 5, step: Some(_) })), "{sent:?}");
    let has = |(to, body): &(Address, Body)| match body {
        Body::Own(Words::Has { nonce, .. }) if *to == who.address => Some(*nonce),
        _ => None,
    };
    sent.iter().find_map(has)
}

#[test]
fn a_pointer_is_left_only_by_a_holder_that_says_itself_that_it_has_the_value() {
    let mut alone = alone(&settings(|_| {}));
    let who = stranger();
    let nonce = publish(&mut alone, who).unwrap();
    assert_eq!(pointed(&mut alone), None);
    // Neither a wrong number nor another's address nor a no will do.
    alone.hears(who, own(Words::Holds { nonce: nonce + 1, is_so: true }));
    let forged = Contact { address: alone.others[0].address, ..who };
    alone.hears(forged, own(Words::Holds { nonce, is_so: true }));
    assert_eq!(pointed(&mut alone), None);
    alone.hears(who, own(Words::Holds { nonce, is_so: false }));
    assert_eq!((pointed(&mut alone), alone.node.pointers()), (None, 0));
    let nonce = publish(&mut alone, who).unwrap();
    alone.hears(who, own(Words::Holds { nonce, is_so: true }));
    assert_eq!(pointed(&mut alone), Some(vec![who]));
    // Who publishes again is not asked again for a while; and is forgotten if it does not.
    assert_eq!(publish(&mut alone, who), None);
    let locate = Body::Next { nonce: 1, key: key(), carry: Level::default(), without: vec![] };
    let sent = alone.hears(alone.others[3], locate);
    assert!(matches!(sent[0].1, Body::Closer { .. }), "who locates goes to the root: {sent:?}");
    // It is there all the time.
    let [published, last] = [0, 620].map(|seconds| alone.now.after(Duration::from_secs(seconds)));
    while alone.now < last {
        for (to, body) in alone.waits(Duration::from_millis(100)) {
            if let Body::Ping { nonce } = body
                && to == who.address
            {
                alone.hears(who, Body::Pong { nonce });
            }
        }
        let is_over = alone.now.since(published) > Duration::from_secs(610);
        let is_under_way = alone.now.since(published) < Duration::from_secs(590);
        assert!(!is_over || alone.node.pointers() == 0);
        assert!(!is_under_way || alone.node.pointers() == 1);
    }
}

#[test]
fn pointers_of_one_key_and_questions_about_them_have_a_limit() {
    let mut alone = alone(&settings(|_| {}));
    let who = |number: u8| Contact {
        key: Key::of(&[number, 1]),
        address: Address::v4([192, 0, 2, number], 4000),
    };
    let asked: Vec<(u8, u64)> = (0..100)
        .filter_map(|number| publish(&mut alone, who(number)).map(|nonce| (number, nonce)))
        .collect();
    assert_eq!(asked.len(), 32);
    // The later the answer, the farther the holder.
    for &(number, nonce) in &asked {
        alone.now = alone.now.after(Duration::from_millis(1));
        alone.hears(who(number), own(Words::Holds { nonce, is_so: true }));
    }
    let nearest: Vec<Contact> = asked[..4].iter().map(|(number, _)| who(*number)).collect();
    assert_eq!(pointed(&mut alone), Some(nearest));
}

#[test]
fn one_host_that_publishes_and_never_says_what_it_has_leaves_room_for_others() {
    let mut alone = alone(&settings(|_| {}));
    let who = |port| Contact {
        key: Key::of(&[1, port]),
        address: Address::v4([192, 0, 2, 1], 4000 + u16::from(port)),
    };
    let asked = (0..100).filter(|&port| publish(&mut alone, who(port)).is_some()).count();
    assert_eq!(asked, 8);
    let other = Contact { key: Key::of(b"other"), address: Address::v4([192, 0, 2, 2], 4000) };
    assert!(publish(&mut alone, other).is_some());
    // Each is asked twice, and then there is room again.
    let sent = alone.waits(Duration::from_secs(4));
    let again = sent.iter().filter(|(_, body)| matches!(body, Body::Own(Words::Has { .. })));
    assert_eq!(again.count(), 9);
    assert!(publish(&mut alone, who(9)).is_some());
}

#[test]
fn a_holder_that_answers_only_the_second_time_is_as_near_as_that_answer() {
    let mut alone = alone(&settings(|_| {}));
    let [near, far] = [1, 2].map(|number| Contact {
        key: Key::of(&[number, 2]),
        address: Address::v4([192, 0, 2, number], 4000),
    });
    publish(&mut alone, near).expect("it is asked");
    let sent = alone.waits(Duration::from_secs(1));
    let again = sent.iter().find_map(|(to, body)| match body {
        Body::Own(Words::Has { nonce, .. }) if *to == near.address => Some(*nonce),
        _ => None,
    });
    alone.now = alone.now.after(Duration::from_millis(1));
    alone.hears(near, own(Words::Holds { nonce: again.unwrap(), is_so: true }));
    let nonce = publish(&mut alone, far).expect("it is asked");
    alone.now = alone.now.after(Duration::from_millis(100));
    alone.hears(far, own(Words::Holds { nonce, is_so: true }));
    assert_eq!(pointed(&mut alone), Some(vec![near, far]));
}

/// Asks for a row as `who`; the number of the question whether it points here.
fn ask_for_row(alone: &mut Alone, who: Contact) -> u64 {
    let sent = alone.hears(who, own(Words::Row { nonce: 4, row: 0 }));
    let points = sent.iter().find_map(|(to, body)| match body {
        Body::Own(Words::Points { nonce }) if *to == who.address => Some(*nonce),
        _ => None,
    });
    points.expect("it is asked")
}

#[test]
fn a_holder_that_is_gone_is_not_named_and_is_searched_for_once_a_round() {
    let mut alone = alone(&settings(|_| {}));
    let who = stranger();
    let nonce = publish(&mut alone, who).unwrap();
    alone.hears(who, own(Words::Holds { nonce, is_so: true }));
    assert_eq!(pointed(&mut alone), Some(vec![who]));
    // Another is there now.
    let sent = alone.hears(who, Body::Leaving);
    let [(_, Body::Ping { nonce })] = sent[..] else { panic!("{sent:?}") };
    alone.hears(Contact { key: Key::of(b"another"), ..who }, Body::Pong { nonce });
    assert_eq!((pointed(&mut alone), alone.node.pointers()), (None, 1));
    alone.waits(Duration::from_secs(8));
    assert_eq!(alone.node.pointers(), 0);
}

#[test]
fn an_answer_that_comes_after_a_node_has_left_changes_nothing() {
    let mut alone = alone(&settings(|_| {}));
    let who = stranger();
    let points = ask_for_row(&mut alone, who);
    let has = publish(&mut alone, who).unwrap();
    alone.input(Input::Command(Command::Leave));
    alone.hears(who, own(Words::DoesPoint { nonce: points, is_so: true }));
    alone.hears(who, own(Words::Holds { nonce: has, is_so: true }));
    assert_eq!((alone.node.geometry.neighbours(), alone.node.pointers()), (vec![], 0));
}

#[test]
fn bogus_holders_delay_a_get_and_hide_nothing() {
    let mut alone = alone(&settings(|it| it.node.routing = Routing::Iterative));
    let sent = get(&mut alone);
    let [(to, Body::Next { nonce, carry, .. })] = sent[..] else { panic!("{sent:?}") };
    assert!(carry.wants_holders);
    let others = alone.others.clone();
    let many = (0..20).map(|number| Contact {
        key: Key::of(&[number]),
        address: Address::v4([192, 0, 2, number], 4000),
    });
    let many: Vec<Contact> = many.collect();
    let find =
        |to: Address| others.iter().chain(&many).find(|it| it.address == to).copied().unwrap();
    let mut sent = alone.hears(find(to), Body::Holders { nonce, contacts: many.clone() });
    let mut asked = 0;
    while let [(to, Body::Fetch { nonce, .. })] = sent[..] {
        asked += 1;
        sent = alone.hears(find(to), Body::Value { nonce, value: None });
    }
    assert_eq!(asked, 4);
    // To the root, past whoever points.
    let [(to, Body::Next { nonce, carry, .. })] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(carry, Level { level: carry.level, wants_holders: false });
    let holders = Body::Holders { nonce, contacts: many.clone() };
    let sent = alone.hears(find(to), holders);
    let [(to, Body::Next { nonce, .. })] = sent[..] else { panic!("not heard again: {sent:?}") };
    let owner = find(to);
    let sent = alone.hears(owner, Body::Owner { nonce, contacts: vec![owner] });
    let [(_, Body::Fetch { nonce, .. })] = sent[..] else { panic!("{sent:?}") };
    let value = Some(Bytes::from_static(b"value"));
    alone.hears(owner, Body::Value { nonce, value: value.clone() });
    assert_eq!(alone.told, [Event::Value { ticket: Ticket(7), value }]);
}

#[test]
fn who_locates_does_not_hear_of_holders() {
    let mut alone = alone(&settings(|_| {}));
    let locate = Command::Locate { ticket: Ticket(1), key: key(), trace: false };
    let sent = alone.input(Input::Command(locate));
    let [(_, Body::Route { lookup, carry, .. })] = sent[..] else { panic!("{sent:?}") };
    assert!(!carry.wants_holders);
    let contacts = vec![stranger()];
    let holders = Body::FoundHolders { lookup, hops: 1, contacts };
    assert_eq!(alone.hears(stranger(), holders), []);
    assert_eq!(alone.told, []);
}

#[test]
fn who_has_not_said_that_it_points_here_is_not_told_when_a_node_goes() {
    let mut alone = among(200, &settings(|it| it.locality = false));
    // Its cell is full.
    let fits = |who: &Contact| !Geometry::would_take(&alone.node, who.key);
    let full =
        (0..1000u32).map(|number| Contact { key: Key::of(&number.to_be_bytes()), ..stranger() });
    let who = full.into_iter().find(fits).unwrap();
    let row = own(Words::Row { nonce: 4, row: 0 });
    let sent = alone.hears(who, row.clone());
    let [(_, Body::Own(Words::RowIs { .. })), (to, Body::Own(Words::Points { nonce }))] = sent[..]
    else {
        panic!("{sent:?}")
    };
    assert_eq!(to, who.address);
    assert!(!alone.node.geometry.neighbours().contains(&who));
    alone.hears(who, own(Words::DoesPoint { nonce, is_so: true }));
    assert!(alone.node.geometry.neighbours().contains(&who));
    // It is not asked again, and told in the end.
    assert_eq!(alone.hears(who, row).len(), 1);
    let sent = alone.input(Input::Command(Command::Leave));
    assert!(sent.contains(&(who.address, Body::Leaving)));
    // One who is no member is told the row, and that is all.
    let mut alone = among(40, &settings(|_| {}));
    let message = Message { from: None, body: own(Words::Row { nonce: 4, row: 0 }) };
    assert_eq!(alone.input(Input::Message { from: who.address, message }).len(), 1);
}

#[test]
fn made_up_nodes_of_a_row_are_met_a_few_at_a_time_and_not_taken_in() {
    let mut alone = alone(&settings(|_| {}));
    let before = alone.node.known();
    let sent = alone.waits(Duration::from_secs(5));
    let asked = sent.iter().find_map(|(to, body)| match body {
        Body::Own(Words::Row { nonce, .. }) => Some((*to, *nonce)),
        _ => None,
    });
    let (to, nonce) = asked.unwrap();
    let by = alone.others.iter().find(|it| it.address == to).copied().unwrap();
    let made_up = |number: u8| Contact {
        key: alone.node.contact().key.plus(Key::from(u64::from(number) + 1)),
        address: Address::v4([192, 0, 2, number], 4000),
    };
    let contacts: Vec<Contact> = (0..32).map(made_up).collect();
    let sent = alone.hears(by, own(Words::RowIs { nonce, contacts }));
    let pings = sent.iter().filter(|(_, body)| matches!(body, Body::Ping { .. })).count();
    assert_eq!(pings, 32);
    assert!(alone.node.known() <= before);
}

#[test]
fn who_publishes_goes_from_node_to_node_and_not_in_a_circle() {
    let mut alone = alone(&settings(|it| it.node.copies = 1));
    let offer = Offer {
        key: key(),
        stamp: 1,
        lifetime: Duration::from_secs(60),
        value: Bytes::from_static(b"value"),
    };
    let sent = alone.hears(stranger(), Body::Store { nonce: 1, copies: 0, offer: Box::new(offer) });
    let publish = |sent: &Sent| {
        sent.iter().find_map(|(to, body)| match body {
            Body::Own(Words::Publish { nonce, level, .. }) => Some((*to, *nonce, *level)),
            _ => None,
        })
    };
    let (to, nonce, level) = publish(&sent).unwrap();
    let by = alone.others.iter().find(|it| it.address == to).copied().unwrap();
    let step =
        |level| Some(Step { contact: stranger(), carry: Level { level, wants_holders: false } });
    let sent = alone.hears(by, own(Words::Onward { nonce, step: step(level + 1) }));
    let (to, nonce, _) = publish(&sent).unwrap();
    assert_eq!(to, stranger().address);
    // As many digits as before are no way on.
    let sent = alone.hears(stranger(), own(Words::Onward { nonce, step: step(level + 1) }));
    assert_eq!(publish(&sent), None);
    // It says that it has it.
    let sent = alone.hears(by, own(Words::Has { nonce: 3, key: key() }));
    assert_eq!(sent, [(by.address, own(Words::Holds { nonce: 3, is_so: true }))]);
}
