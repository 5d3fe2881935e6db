//! One node, and what strangers may send it: whose addresses are forged, and who answer as they like.

use std::ops::{Deref, DerefMut};

use nigh_base::{Address, Time, machine::Input};

use super::*;
use crate::locate::{
    Command, Event, Failure, Ticket, alone,
    can::{
        message::{Gift, Named, Way, Words},
        settled::Settled,
        zone::Zone,
    },
    node::{geometry::Geometry as _, message},
};

type Message = message::Message<Geometry>;
type Body = message::Body<Way, Words>;
type Sent = alone::Sent<Geometry>;

/// A node of a settled overlay, and who owns what of it.
struct Alone {
    alone: alone::Alone<Geometry>,
    all: Settled,
}

impl Deref for Alone {
    type Target = alone::Alone<Geometry>;

    fn deref(&self) -> &Self::Target {
        &self.alone
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.alone
    }
}

impl Alone {
    fn new(count: u8) -> Self {
        let contact = |number: u8| Contact {
            key: Key::of(&[number]),
            address: Address::v4([10, 0, 0, number], 4000),
        };
        let contacts: Vec<Contact> = (1..=count).map(contact).collect();
        let all = Settled::new(settings(|it| it.dimensions = 2), &contacts);
        let node = all.node(contacts[0], Time::from_secs(1_000));
        Self { alone: alone::Alone::new(node), all }
    }

    /// What it sends when the member `from` says `words`.
    fn hears(&mut self, from: Contact, words: Words) -> Sent {
        self.alone.hears(from, Body::Own(words))
    }

    fn zone(&self) -> Zone {
        self.node.zones()[0]
    }

    fn zone_of(&self, who: Contact) -> Zone {
        self.all.owners().iter().find(|it| it.1 == who).unwrap().0
    }

    fn neighbours(&self) -> Vec<Contact> {
        self.node.geometry.neighbours()
    }

    /// Lets `who` say that it has these zones, and answer when it is asked.
    fn is_told(&mut self, who: Contact, zones: Vec<Zone>) -> Sent {
        let sent = self.hears(who, Words::State { nonce: 1, zones: zones.clone() });
        let nonce = sent.iter().find_map(|(to, body)| match body {
            Body::Own(Words::State { nonce, .. }) if *to == who.address => Some(*nonce),
            _ => None,
        });
        let nonce = nonce.expect("it is asked");
        self.hears(who, Words::StateIs { nonce, zones, named: vec![] })
    }
}

/// Somebody whose key lies far from all that it may claim.
fn liar(alone: &Alone) -> Contact {
    let key = alone.zone().first().xor(Key::MAX);
    Contact { key, address: Address::v4([192, 0, 2, 1], 4000) }
}

fn offers(sent: &Sent) -> Vec<Option<Gift>> {
    let gift = |(_, body): &(Address, Body)| match body {
        Body::Own(Words::Offer { gift, .. }) => Some(*gift),
        _ => None,
    };
    sent.iter().filter_map(gift).collect()
}

fn yours(sent: &Sent) -> Vec<Option<Zone>> {
    let zone = |(_, body): &(Address, Body)| match body {
        Body::Own(Words::Yours { zone, .. }) => Some(*zone),
        _ => None,
    };
    sent.iter().filter_map(zone).collect()
}

fn joiner(alone: &Alone, number: u8) -> Contact {
    let key = alone.zone().first().plus(Key::from(u64::from(number)));
    Contact { key, address: Address::v4([192, 0, 2, number], 4000) }
}

#[test]
fn nobody_is_a_neighbour_who_has_not_answered() {
    let mut alone = Alone::new(20);
    let who = liar(&alone);
    let zones = vec![alone.zone_of(alone.neighbours()[0])];
    let sent = alone.hears(who, Words::State { nonce: 9, zones: zones.clone() });
    assert!(matches!(sent[0].1, Body::Own(Words::StateIs { nonce: 9, .. })), "{sent:?}");
    let Body::Own(Words::State { nonce, .. }) = sent[1].1 else { panic!("{sent:?}") };
    assert_eq!((sent[1].0, sent.len()), (who.address, 2));
    // Neither a wrong number nor another's address will do.
    let words = |nonce| Words::StateIs { nonce, zones: zones.clone(), named: vec![] };
    alone.hears(who, words(nonce + 1));
    alone.hears(Contact { address: alone.neighbours()[0].address, ..who }, words(nonce));
    assert!(!alone.neighbours().contains(&who));
    alone.hears(who, words(nonce));
    assert!(alone.neighbours().contains(&who));
    // Who has nothing beside this node's zone is not even asked.
    let mut far = alone.all.owners().iter().map(|it| it.0);
    let far = far.find(|&it| !alone.node.geometry.touches(it)).unwrap();
    let other = Contact { key: Key::of(b"other"), address: Address::v4([192, 0, 2, 9], 4000) };
    assert_eq!(alone.hears(other, Words::State { nonce: 9, zones: vec![far] }).len(), 1);
}

#[test]
fn who_claims_the_zone_of_another_gets_no_question_for_it_and_the_other_is_asked() {
    let mut alone = Alone::new(20);
    let (who, owner) = (liar(&alone), alone.neighbours()[1]);
    let zone = alone.zone_of(owner);
    let sent = alone.is_told(who, vec![zone]);
    let is_asked = |it: &(Address, Body)| {
        it.0 == owner.address && matches!(it.1, Body::Own(Words::State { .. }))
    };
    assert!(sent.iter().any(is_asked), "{sent:?}");
    let next = |alone: &Alone| {
        Geometry::next_hop(&alone.node, zone.first(), Way::default(), &[]).unwrap().contact
    };
    assert_eq!(next(&alone), owner);
    // Once that one says that it has it no more, it is the other's.
    let Some((_, Body::Own(Words::State { nonce, .. }))) = sent.into_iter().find(is_asked) else {
        panic!("not asked")
    };
    let other = alone
        .all
        .owners()
        .iter()
        .map(|it| it.0)
        .find(|it| *it != zone && alone.node.geometry.touches(*it) && *it != alone.zone());
    alone.hears(owner, Words::StateIs { nonce, zones: other.into_iter().collect(), named: vec![] });
    assert_eq!(next(&alone), who);
}

#[test]
fn who_claims_all_or_the_zone_of_this_node_gets_nothing() {
    for claim in [Zone::WHOLE, Alone::new(20).zone()] {
        let mut alone = Alone::new(20);
        let (who, before) = (liar(&alone), alone.node.zones().to_vec());
        alone.is_told(who, vec![claim]);
        assert_eq!(alone.node.zones(), before);
        for number in 0..200u32 {
            let key = Key::of(&number.to_be_bytes());
            let next = Geometry::next_hop(&alone.node, key, Way::default(), &[]);
            assert!(next.is_none_or(|it| it.contact != who), "{claim:?}");
        }
    }
    // Of two with the same claim the one whose key is nearer has it.
    let mut alone = Alone::new(20);
    let (zone, address) = (alone.zone(), Address::v4([192, 0, 2, 1], 4000));
    let nearer = Contact { key: zone.first(), address };
    alone.is_told(nearer, vec![zone]);
    assert_eq!(alone.node.zones(), []);
}

#[test]
fn nobody_has_a_zone_in_a_reality_that_the_overlay_has_not() {
    let mut alone = Alone::new(20);
    let who = liar(&alone);
    let beside = alone.zone_of(alone.neighbours()[0]);
    alone.is_told(who, vec![beside, Zone::WHOLE.in_reality(3)]);
    assert!(alone.neighbours().contains(&who), "its claims are heard");
    for number in 0..100u8 {
        let key = Key::of(&[number, 1]);
        let next = Geometry::next_hop(&alone.node, key, Way::to_any(), &[]);
        assert_ne!(next.map(|it| it.contact), Some(who));
    }
}

#[test]
fn a_zone_in_another_reality_than_was_asked_for_is_not_taken() {
    let mut alone = Alone::new(2);
    let who = liar(&alone);
    for (zone, is_taken) in [(Zone::WHOLE.in_reality(3), false), (Zone::WHOLE, true)] {
        let sent = alone.hears(who, Words::Relieve { reality: 0 });
        let nonce = sent.iter().find_map(|(_, body)| match body {
            Body::Own(Words::Split { nonce, whole: true, .. }) => Some(*nonce),
            _ => None,
        });
        let gift = Some(Gift { token: 7, zone });
        let sent = alone.hears(who, Words::Offer { nonce: nonce.unwrap(), gift, named: vec![] });
        let takes = |it: &(Address, Body)| matches!(it.1, Body::Own(Words::Take { .. }));
        assert_eq!(sent.iter().any(takes), is_taken);
    }
}

#[test]
fn a_zone_is_handed_over_once_to_the_one_to_whom_it_was_offered() {
    let mut alone = Alone::new(20);
    let (before, new, other) = (alone.zone(), joiner(&alone, 1), joiner(&alone, 2));
    let split = |nonce, key| Words::Split { nonce, key, reality: 0, whole: false };
    let gift = offers(&alone.hears(new, split(1, new.key)))[0].unwrap();
    assert_eq!(before.halves().unwrap().into_iter().find(|it| it.has(new.key)), Some(gift.zone));
    // The same again; nothing for another; and it is still this node's.
    assert_eq!(offers(&alone.hears(new, split(2, new.key))), [Some(gift)]);
    assert_eq!(offers(&alone.hears(other, split(3, other.key))), [None]);
    assert_eq!(alone.zone(), before);
    let take = |nonce, token| Words::Take { nonce, token };
    assert_eq!(yours(&alone.hears(new, take(4, gift.token + 1))), [None]);
    assert_eq!(yours(&alone.hears(other, take(5, gift.token))), [None]);
    assert_eq!(alone.zone(), before);
    assert_eq!(yours(&alone.hears(new, take(6, gift.token))), [Some(gift.zone)]);
    assert_eq!(alone.zone(), gift.zone.sibling().unwrap());
    // The answer was lost; or the joiner begins anew.
    assert_eq!(yours(&alone.hears(new, take(6, gift.token))), [Some(gift.zone)]);
    assert_eq!(offers(&alone.hears(new, split(7, new.key))), [Some(gift)]);
    assert_eq!(alone.zone(), gift.zone.sibling().unwrap());
    // Until it is heard of, this node answers for it.
    let owns = |alone: &Alone| {
        Geometry::next_hop(&alone.node, gift.zone.first(), Way::default(), &[]).is_none()
    };
    assert!(owns(&alone));
    alone.is_told(new, vec![gift.zone]);
    assert!(!owns(&alone) && alone.neighbours().contains(&new));
}

#[test]
fn a_zone_whose_taker_is_not_heard_of_is_taken_back() {
    let mut alone = Alone::new(2);
    let (before, new) = (alone.zone(), joiner(&alone, 1));
    let sent = alone.hears(new, Words::Split { nonce: 1, key: new.key, reality: 0, whole: false });
    let gift = offers(&sent)[0].unwrap();
    alone.hears(new, Words::Take { nonce: 2, token: gift.token });
    // However long it is until the next round.
    alone.waits(Duration::from_secs(9));
    assert_ne!(alone.zone(), before);
    alone.waits(Duration::from_millis(1500));
    assert_eq!(alone.node.zones(), [before]);
}

/// A node that has given half of its zone to a new one, of which it has not heard since.
fn gives() -> (Alone, Contact, Gift) {
    let mut alone = Alone::new(2);
    let new = joiner(&alone, 1);
    let sent = alone.hears(new, Words::Split { nonce: 1, key: new.key, reality: 0, whole: false });
    let gift = offers(&sent)[0].unwrap();
    alone.hears(new, Words::Take { nonce: 2, token: gift.token });
    (alone, new, gift)
}

/// The number of the question how `whom` stands.
fn asked(sent: &Sent, whom: Contact) -> Option<u64> {
    sent.iter().find_map(|(to, body)| match body {
        Body::Own(Words::State { nonce, .. }) if *to == whom.address => Some(*nonce),
        _ => None,
    })
}

#[test]
fn who_has_taken_a_zone_and_is_not_heard_of_is_asked() {
    let (mut alone, new, gift) = gives();
    assert_eq!(asked(&alone.waits(Duration::from_millis(4900)), new), None);
    let nonce = asked(&alone.waits(Duration::from_millis(200)), new).expect("it is asked");
    alone.hears(new, Words::StateIs { nonce, zones: vec![gift.zone], named: vec![] });
    alone.waits(Duration::from_secs(20));
    assert_eq!(alone.node.zones(), [gift.zone.sibling().unwrap()]);
}

#[test]
fn who_takes_a_zone_once_more_is_waited_for_and_asked_once_more() {
    let (mut alone, new, gift) = gives();
    alone.waits(Duration::from_millis(9500));
    alone.hears(new, Words::Take { nonce: 2, token: gift.token });
    assert_eq!(asked(&alone.waits(Duration::from_millis(4900)), new), None);
    assert!(asked(&alone.waits(Duration::from_millis(200)), new).is_some());
    assert_eq!(alone.node.zones(), [gift.zone.sibling().unwrap()]);
}

#[test]
fn a_zone_that_was_given_away_does_not_go_to_who_claims_it_without_right() {
    let (mut alone, new, gift) = gives();
    let who = liar(&alone);
    alone.is_told(who, vec![Zone::WHOLE]);
    assert!(asked(&alone.waits(Duration::from_millis(5100)), new).is_some());
    alone.waits(Duration::from_secs(6));
    assert!(alone.node.zones().iter().any(|it| it.includes(gift.zone)));
}

#[test]
fn whoever_has_given_a_zone_away_names_itself_for_it_until_the_taker_is_heard_of() {
    let (alone, _, gift) = gives();
    assert_eq!(Geometry::nearest(&alone.node, gift.zone.first(), 3)[0], alone.node.contact());
}

#[test]
fn who_was_lost_and_speaks_again_is_asked_how_it_stands_at_once() {
    let mut alone = Alone::new(20);
    let (gone, other) = (alone.neighbours()[0], alone.neighbours()[1]);
    let zones = vec![alone.zone_of(gone)];
    alone.hears(other, Words::Gone(gone.key));
    while alone.neighbours().contains(&gone) {
        alone.waits(Duration::from_millis(100));
        assert!(alone.now < Time::from_secs(10));
    }
    // On another's word it is not asked yet.
    let nonce = asked(&alone.hears(other, Words::State { nonce: 1, zones: vec![] }), other);
    let named = vec![Named { contact: gone, zone: zones[0] }];
    let of_other = vec![alone.zone_of(other)];
    let nonce = nonce.expect("its zones are news");
    let sent = alone.hears(other, Words::StateIs { nonce, zones: of_other, named });
    assert_eq!(asked(&sent, gone), None);
    assert!(asked(&alone.hears(gone, Words::State { nonce: 1, zones }), gone).is_some());
}

#[test]
fn nobody_says_at_a_dead_end_that_it_owns_what_it_does_not() {
    let mut alone = Alone::new(20);
    let is_far = |it: &&(Zone, Contact)| !alone.node.geometry.touches(it.0);
    let (key, who) = alone.all.owners().iter().find(is_far).map(|it| (it.0.first(), it.1)).unwrap();
    let route =
        |nonce| Body::Route { nonce, lookup: 7, key, carry: Way::default(), origin: None, hops: 1 };
    assert!(alone.alone.hears(who, route(1)).contains(&(who.address, Body::Taken { nonce: 1 })));
    // All whom it knows die. What they had it takes over, but not what lies behind.
    for it in alone.neighbours() {
        alone.hears(who, Words::Gone(it.key));
    }
    while !alone.neighbours().is_empty() {
        alone.waits(Duration::from_millis(100));
        let left = alone.neighbours();
        left.iter().for_each(|it| drop(alone.hears(*it, Words::Gone(it.key))));
        assert!(alone.now < Time::from_secs(60));
    }
    assert!(!alone.node.geometry.has(key, 0));
    let taken = Body::Taken { nonce: 2 };
    assert_eq!(alone.alone.hears(who, route(2)), [(who.address, taken)]);
    let next = Body::Next { nonce: 3, key, carry: Way::default(), without: vec![] };
    let answer = Body::Closer { nonce: 3, steps: vec![] };
    assert_eq!(alone.alone.hears(who, next), [(who.address, answer)]);
    alone.alone.input(Input::Command(Command::Locate { ticket: Ticket(1), key, trace: false }));
    alone.waits(Duration::from_secs(100));
    let why = Failure::Unreachable;
    assert_eq!(alone.told, [Event::Failed { ticket: Ticket(1), why }]);
}

#[test]
fn nothing_is_taken_on_the_word_of_one_who_seems_to_give() {
    let mut alone = Alone::new(20);
    let giver = alone.neighbours()[0];
    let before = alone.node.zones().to_vec();
    let gift = Gift { token: 5, zone: alone.zone_of(giver) };
    let sent = alone.hears(giver, Words::Give(gift));
    let [(to, Body::Own(Words::Take { nonce, token: 5 }))] = sent[..] else { panic!("{sent:?}") };
    assert_eq!((to, alone.node.zones()), (giver.address, &before[..]));
    // The giver knows nothing of it.
    alone.hears(giver, Words::Yours { nonce, zone: None });
    assert_eq!(alone.node.zones(), before);
    // It does.
    let sent = alone.hears(giver, Words::Give(gift));
    let Some((_, Body::Own(Words::Take { nonce, .. }))) = sent.first() else { panic!("{sent:?}") };
    alone.hears(giver, Words::Yours { nonce: *nonce, zone: Some(gift.zone) });
    assert!(alone.node.zones().iter().any(|it| it.includes(gift.zone)));
    // What is not the giver's is not even asked for.
    let mut alone = Alone::new(20);
    let (giver, other) = (alone.neighbours()[0], alone.neighbours()[1]);
    let gift = Gift { token: 5, zone: alone.zone_of(other) };
    assert_eq!(alone.hears(giver, Words::Give(gift)), []);
}

#[test]
fn a_zone_is_taken_over_only_after_its_owner_was_asked_and_by_the_smallest_first() {
    let mut alone = Alone::new(20);
    let (gone, other) = (alone.neighbours()[0], alone.neighbours()[1]);
    let (zone, mine) = (alone.zone_of(gone), alone.node.zones().to_vec());
    // Somebody says so: it is asked, and answers.
    let sent = alone.hears(other, Words::Gone(gone.key));
    let [(to, Body::Ping { nonce })] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(to, gone.address);
    let pong = Message { from: Some(gone.key), body: Body::Pong { nonce } };
    alone.input(Input::Message { from: gone.address, message: pong });
    alone.waits(Duration::from_secs(30));
    assert_eq!((alone.node.zones(), alone.neighbours()[0]), (&mine[..], gone));
    // It does not: three times, and then that others may have less is waited for.
    alone.hears(other, Words::Gone(gone.key));
    let start = alone.now;
    while alone.neighbours().contains(&gone) {
        alone.waits(Duration::from_millis(100));
        assert!(alone.now.since(start) < Duration::from_secs(10));
    }
    assert_eq!(alone.node.zones(), mine);
    let share = mine[0].volume() as f64 / zone.volume() as f64;
    let wait = Duration::from_secs_f64(share.clamp(0.25, 4.0));
    alone.waits(wait.saturating_sub(Duration::from_millis(200)));
    assert_eq!(alone.node.zones(), mine);
    alone.waits(Duration::from_millis(400));
    assert!(alone.node.zones().iter().any(|it| it.includes(zone)));
    // Unless somebody has it already.
    let mut alone = Alone::new(20);
    alone.hears(other, Words::Gone(gone.key));
    let start = alone.now;
    while alone.neighbours().contains(&gone) {
        alone.waits(Duration::from_millis(100));
        assert!(alone.now.since(start) < Duration::from_secs(10));
    }
    alone.is_told(other, vec![alone.zone_of(other), zone]);
    alone.waits(Duration::from_secs(10));
    assert_eq!(alone.node.zones(), mine);
}

#[test]
fn made_up_neighbours_are_asked_a_few_at_a_time() {
    let mut alone = Alone::new(20);
    let zones = vec![alone.zone_of(alone.neighbours()[0])];
    let mut asked = 0;
    for number in 0..1000u32 {
        let [_, b, c, d] = number.to_be_bytes();
        let who = Contact { key: Key::of(&[b, c, d]), address: Address::v4([11, b, c, d], 4000) };
        let sent = alone.hears(who, Words::State { nonce: 1, zones: zones.clone() });
        asked += sent.iter().filter(|it| matches!(it.1, Body::Own(Words::State { .. }))).count();
    }
    assert_eq!(asked, 32);
    let named = (0..5u8).map(|it| Named {
        contact: Contact { key: Key::of(&[it, 9]), address: Address::v4([12, 0, 0, it], 4000) },
        zone: zones[0],
    });
    let words = Words::StateIs { nonce: 1, zones: zones.clone(), named: named.collect() };
    // An answer to no question is not heard.
    assert_eq!(alone.hears(alone.neighbours()[0], words), []);
}

#[test]
fn who_is_named_and_is_no_neighbour_is_asked_once_a_round() {
    let mut alone = Alone::new(20);
    let (mine, beside) = (alone.neighbours()[0], alone.zone());
    // Two who lie far away, and of whom each thinks that the other has a zone here.
    let stale: [Contact; 2] = [1u8, 2]
        .map(|it| Contact { key: Key::of(&[it, 7]), address: Address::v4([12, 0, 0, it], 4000) });
    let far = |alone: &Alone| {
        let is_far = |zone: &Zone| !alone.node.geometry.touches(*zone);
        alone.all.owners().iter().map(|it| it.0).find(is_far).unwrap()
    };
    let far = vec![far(&alone)];
    let named = |other: Contact| vec![Named { contact: other, zone: beside }];
    let zones = vec![alone.zone_of(mine)];
    // The first round comes at a thousand seconds. A neighbour names the first of the two.
    let sent = alone.waits(Duration::from_secs(1_000));
    let nonce = asked(&sent, mine).expect("each round asks the neighbours");
    let words = Words::StateIs { nonce, zones, named: named(stale[0]) };
    let nonce = asked(&alone.hears(mine, words), stale[0]).expect("it is asked");
    let words = Words::StateIs { nonce, zones: far.clone(), named: named(stale[1]) };
    let nonce = asked(&alone.hears(stale[0], words), stale[1]).expect("so is the other");
    let words = Words::StateIs { nonce, zones: far, named: named(stale[0]) };
    assert_eq!(asked(&alone.hears(stale[1], words), stale[0]), None);
}

#[test]
fn who_owns_the_point_at_which_a_node_comes_into_a_reality_is_asked_for_a_zone_there() {
    let contacts = [1u8, 2, 3]
        .map(|it| Contact { key: Key::of(&[it]), address: Address::v4([10, 0, 0, it], 4000) });
    let all = Settled::new(settings(|it| it.realities = 3), &contacts);
    let mut node = all.node(contacts[0], Time::from_secs(1_000));
    node.geometry.zones.retain(|it| it.reality() == 0);
    let mut alone = Alone { alone: alone::Alone::new(node), all };
    let sent = alone.waits(Duration::from_secs(1_000));
    let question = |(to, body): &(Address, Body)| match body {
        Body::Next { nonce, carry, .. } if carry.reality > 0 => Some((*to, *nonce, *carry)),
        _ => None,
    };
    let (to, nonce, way) = sent.iter().find_map(question).expect("it looks for a zone");
    // Not the first in which it has none.
    assert_eq!(way.reality, 2);
    let owner = *contacts.iter().find(|it| it.address == to).unwrap();
    let sent = alone.alone.hears(owner, Body::Owner { nonce, contacts: vec![owner] });
    let split = |(to, body): &(Address, Body)| match body {
        Body::Own(Words::Split { reality, .. }) if *to == owner.address => Some(*reality),
        _ => None,
    };
    assert_eq!(sent.iter().find_map(split), Some(way.reality));
}

#[test]
fn a_node_without_a_zone_asks_nobody_who_is_named() {
    for has_zone in [true, false] {
        let mut alone = Alone::new(20);
        let (other, beside) = (alone.neighbours()[0], alone.zone());
        let of_other = vec![alone.zone_of(other)];
        if !has_zone {
            alone.node.geometry.zones.clear();
        }
        let nonce = asked(&alone.waits(Duration::from_secs(1_000)), other).expect("in each round");
        let stranger = Contact { key: Key::of(b"s"), address: Address::v4([12, 0, 0, 1], 4000) };
        let named = vec![Named { contact: stranger, zone: beside }];
        let sent = alone.hears(other, Words::StateIs { nonce, zones: of_other, named });
        assert_eq!(asked(&sent, stranger).is_some(), has_zone);
    }
}
