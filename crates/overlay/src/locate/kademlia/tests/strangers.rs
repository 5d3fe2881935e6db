//! One node, and what strangers may send it.

use nigh_base::{
    Address, Machine as _, Time,
    machine::{Context, Input, Output},
};

use super::*;
use crate::locate::{
    LEAVE_MAX,
    kademlia::{
        Family,
        ask::For,
        host::Host,
        krpc::{Body, Error, Item, Message, Method, Query, Response, Transaction},
        lookups::LOOKUPS_MAX,
        values::{Taken, Version},
    },
};

/// A node; the others are whoever the test lets speak.
struct Alone {
    node: Node,
    now: Time,
    rng: Rng,
    secrets: Rng,
    told: Vec<Event>,
}

type Sent = Vec<(Address, Message)>;

impl Alone {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let (rng, secrets) = (Rng::new(1), Rng::new(2));
        let node = node(0, &settings(change));
        let now = Time::from_secs(1000);
        let mut it = Self { node, now, rng, secrets, told: Vec::new() };
        it.input(Input::Command(Command::Locate(locate::Command::Join { via: vec![] })));
        it
    }

    fn input(&mut self, input: Input<Message, Command>) -> Sent {
        let mut outbox = Vec::new();
        let (rng, secrets) = (&mut self.rng, &mut self.secrets);
        self.node.handle(input, &mut Context::new(self.now, rng, secrets, &mut outbox));
        self.node.check();
        let mut sent = Vec::new();
        for output in outbox {
            match output {
                Output::Message { to, message } => sent.push((to, message)),
                Output::Event(event) => self.told.push(event),
                other => panic!("{other:?}"),
            }
        }
        sent
    }

    /// What it sends when a stranger asks.
    fn asked(&mut self, number: u8, method: Method) -> Sent {
        let query = Query { id: key(number), read_only: false, want: None, method };
        let body = Body::Query(query);
        let message = Message { transaction: Transaction::from_slice(b"aa"), version: None, body };
        self.input(Input::Message { from: address(number), message })
    }

    /// A stranger answers what it was asked.
    fn answers(&mut self, number: u8, asked: &Message, change: impl FnOnce(&mut Response)) -> Sent {
        let mut response = Response::of(key(number));
        change(&mut response);
        let body = Body::Response(Box::new(response));
        let message = Message { transaction: asked.transaction.clone(), version: None, body };
        self.input(Input::Message { from: address(number), message })
    }

    fn waits(&mut self, span: Duration) -> Sent {
        let end = self.now.after(span);
        let mut sent = Vec::new();
        while let Some(at) = self.node.wake_at().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            sent.extend(self.input(Input::Wake));
        }
        self.now = end;
        sent
    }

    /// Nodes of these numbers have asked, and have answered the ping that followed.
    fn knows(&mut self, numbers: std::ops::Range<u8>) {
        for number in numbers {
            let sent = self.asked(number, Method::Ping);
            if let Some((_, ping)) = sent.get(1) {
                self.answers(number, ping, |_| ());
            }
        }
    }
}

fn key(number: u8) -> Key {
    Key::of(&[number])
}

fn address(number: u8) -> Address {
    Address::v4([192, 0, 2, number], 6881)
}

fn contact(number: u8) -> Contact {
    Contact { key: key(number), address: address(number) }
}

#[test]
fn whoever_asks_is_remembered_only_once_it_has_answered_itself() {
    let mut alone = Alone::new(|_| ());
    let sent = alone.asked(1, Method::Ping);
    let [(_, answer), (to, ping)] = &sent[..] else { panic!("{sent:?}") };
    assert!(matches!(&answer.body, Body::Response(it) if it.seen_at == Some(address(1))));
    assert_eq!(*to, address(1));
    assert_eq!(alone.node.known(), (0, 0));
    // Another who guesses is not heard.
    let mut guessed = ping.clone();
    guessed.transaction[3] ^= 1;
    alone.answers(1, &guessed, |_| ());
    alone.answers(2, ping, |_| ());
    assert_eq!(alone.node.known(), (0, 0));
    alone.answers(1, ping, |_| ());
    assert_eq!(alone.node.known(), (1, 0));
}

#[test]
fn whoever_asks_for_the_owner_of_a_key_waits_for_the_nearest_alone_unless_on_several_paths() {
    for paths in [1, 2] {
        let mut alone = Alone::new(|it| it.paths = paths);
        alone.knows(1..5);
        let (ticket, target) = (Ticket(1), key(77));
        let locate = locate::Command::Locate { ticket, key: target, trace: false };
        let mut sent = alone.input(Input::Command(Command::Locate(locate)));
        assert_eq!(sent.len(), 4);
        sent.sort_by_key(|(to, _)| {
            (1..5).find(|it| address(*it) == *to).map(|it| key(it).xor(target))
        });
        // The nearest of each path.
        for (to, asked) in &sent[..paths] {
            let number = (1..5).find(|it| address(*it) == *to).unwrap();
            alone.answers(number, asked, |_| ());
        }
        let first = alone.told.iter().find_map(|event| match event {
            Event::Locate(locate::Event::Located { holders, .. }) => Some(holders[..].to_vec()),
            _ => None,
        });
        let mut all: Vec<Contact> = (1..5).map(contact).chain([alone.node.contact()]).collect();
        all.sort_by_key(|it| it.key.xor(target));
        assert_eq!(first, (paths == 1).then_some(all));
    }
}

#[test]
fn whoever_leaves_a_lookup_unanswered_is_asked_again_at_once_and_is_back_once_it_asks_itself() {
    let mut alone = Alone::new(|it| it.upkeep_every = Duration::from_secs(3600));
    alone.knows(1..2);
    let locate = |alone: &mut Alone, number| {
        let locate = locate::Command::Locate { ticket: Ticket(1), key: key(number), trace: false };
        alone.input(Input::Command(Command::Locate(locate)))
    };
    assert_eq!(locate(&mut alone, 7).len(), 1);
    let sent = alone.waits(Duration::from_secs(20));
    let [(to, again)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*to, address(1));
    assert!(matches!(&again.body, Body::Query(it) if it.method == Method::Ping));
    let living = |alone: &Alone| alone.node.table(Family::V4).living();
    assert_eq!(living(&alone), 0);
    // Others may name it still: of one that is known to be gone a lookup asks no more.
    alone.knows(2..3);
    let sent = locate(&mut alone, 1);
    let sent = alone.answers(2, &sent[0].1, |it| it.nodes = Some(vec![contact(1)]));
    assert_eq!(sent.len(), 1);
    assert_eq!(alone.waits(Duration::from_secs(20)), []);
    // Whoever says that it is this node may lie: it is asked where it is known to be.
    let sent = alone.asked(1, Method::Ping);
    assert_eq!((sent.len(), living(&alone)), (2, 1));
    alone.answers(1, &sent[1].1, |_| ());
    assert_eq!(living(&alone), 2);
    assert_eq!(alone.asked(1, Method::Ping).len(), 1);
}

#[test]
fn a_key_that_answers_and_another_that_was_meant_are_not_one_node() {
    let mut alone = Alone::new(|_| ());
    let sent = alone.asked(1, Method::Ping);
    alone.answers(1, &sent[1].1, |it| it.id = key(9));
    assert_eq!(alone.node.known(), (0, 0));
}

#[test]
fn a_token_is_good_only_where_it_was_given() {
    let mut alone = Alone::new(|_| ());
    alone.knows(1..3);
    let info_hash = key(77);
    let scrape = false;
    let sent = alone.asked(1, Method::GetPeers { info_hash, without_seeds: false, scrape });
    let Body::Response(response) = &sent[0].1.body else { panic!("{sent:?}") };
    let token = response.token.clone().unwrap();
    let announce =
        || Method::AnnouncePeer { info_hash, port: None, seed: false, token: token.clone() };
    assert!(matches!(alone.asked(2, announce())[0].1.body, Body::Error(_)));
    assert!(matches!(alone.asked(1, announce())[0].1.body, Body::Response(_)));
    alone.waits(Duration::from_secs(601));
    assert!(matches!(alone.asked(1, announce())[0].1.body, Body::Error(_)));
}

#[test]
fn whoever_asks_too_much_is_not_answered_until_it_has_been_quiet() {
    let mut alone = Alone::new(|it| it.questions_a_second = Some(10));
    let answered =
        |alone: &mut Alone| (0..200).filter(|_| !alone.asked(1, Method::Ping).is_empty()).count();
    assert_eq!(answered(&mut alone), 101);
    assert_eq!(answered(&mut alone), 0);
    assert!(!alone.asked(2, Method::Ping).is_empty(), "others are");
    alone.waits(Duration::from_secs(2));
    assert_eq!(answered(&mut alone), 20);
}

#[test]
fn a_full_bucket_keeps_those_who_answer_and_asks_those_who_may_be_gone() {
    let mut alone = Alone::new(|_| ());
    alone.knows(1..200);
    let known = alone.node.known().0;
    assert!((16..64).contains(&known), "{known}");
    let first: Vec<Contact> = alone.node.tables[0].nodes().map(|it| it.contact).collect();
    alone.knows(200..255);
    assert!(alone.node.tables[0].nodes().filter(|it| first.contains(&it.contact)).count() == known);
    // A quarter of an hour later nobody has answered any more, and spares take the places.
    alone.waits(Duration::from_secs(40 * 60));
    alone.node.check();
}

#[test]
fn the_id_is_changed_once_most_others_see_the_node_at_one_address() {
    let mut alone = Alone::new(|it| it.fits_address = true);
    let seen_at = Address::v4([203, 0, 113, 5], 4000);
    let old = alone.node.contact().key;
    for number in 1..20 {
        let sent = alone.asked(number, Method::Ping);
        let Some((_, ping)) = sent.get(1) else { continue };
        // One of three lies.
        let said = if number % 3 == 0 { address(number) } else { seen_at };
        alone.answers(number, ping, |it| it.seen_at = Some(said));
    }
    let new = alone.node.contact().key;
    assert_ne!(new, old);
    assert!(super::super::secure_id::fits(new, seen_at.ip()));
    assert!(alone.told.contains(&Event::Moved { key: new, seen_at }));
    assert!(alone.node.known().0 > 8, "those who were known are known still");
}

#[test]
fn questions_that_cannot_be_answered_have_an_error_and_answers_have_none() {
    let mut alone = Alone::new(|_| ());
    let unknown = alone.asked(1, Method::Other { target: None });
    let said = |it: &Error| (it.code, it.seen_at) == (204, Some(address(1)));
    assert!(matches!(&unknown[0].1.body, Body::Error(it) if said(it)), "{unknown:?}");
    let forward = alone.asked(1, Method::Other { target: Some(key(3)) });
    assert!(matches!(&forward[0].1.body, Body::Response(it) if it.nodes.is_some()));
    let body = Body::Error(Error { code: 201, text: b"no"[..].into(), seen_at: None });
    let message = Message { transaction: Transaction::from_slice(b"zzzz"), version: None, body };
    assert!(alone.input(Input::Message { from: address(5), message }).is_empty());
}

/// Has a node hold a value under a key, as if somebody had stored it there.
fn holds(alone: &mut Alone, key: Key) {
    let value = Bytes::from_static(b"value");
    let version = Version { value, number: 1, lifetime: Duration::from_secs(86_400) };
    let (by, again) = (Host::of(address(200)), Duration::from_secs(3600));
    assert_eq!(alone.node.values.store(key, version, by, again, alone.now), Taken::Held);
}

/// What is asked, to whom, under which keys.
fn fetched(sent: &Sent) -> Vec<(Address, Key)> {
    let fetched = |(to, message): &(Address, Message)| match &message.body {
        Body::Query(Query { method: Method::Fetch { target }, .. }) => Some((*to, *target)),
        _ => None,
    };
    sent.iter().filter_map(fetched).collect()
}

#[test]
fn a_newcomer_is_offered_values_by_the_nearest_holder_alone() {
    let mut alone = Alone::new(|_| ());
    alone.knows(1..4);
    let beside = |key: Key| key.xor(Key::from(1));
    let (mine, others) = (beside(alone.node.contact().key), beside(key(2)));
    holds(&mut alone, mine);
    holds(&mut alone, others);
    assert!(fetched(&alone.waits(Duration::from_secs(10))).is_empty(), "nobody is new");
    alone.knows(50..51);
    let mut steps = (0..100).map(|_| alone.waits(Duration::from_millis(100)));
    let sent = steps.find(|sent| !fetched(sent).is_empty()).expect("a round comes within 8 s");
    assert_eq!(fetched(&sent), [(address(50), mine)]);
    // It is given what it has not.
    let (_, asked) = sent.into_iter().find(|it| it.0 == address(50)).unwrap();
    let given = alone.answers(50, &asked, |it| it.token = Some(b"token"[..].into()));
    let is_it = |it: &(Address, Message)| match &it.1.body {
        Body::Query(Query { method: Method::Store { target, number: 1, .. }, .. }) => {
            *target == mine
        }
        _ => false,
    };
    assert!(given.iter().any(is_it), "{given:?}");
}

#[test]
fn a_node_leaves_in_time_though_nobody_answers_and_takes_nothing_in_meanwhile() {
    let mut alone = Alone::new(|_| ());
    alone.knows(1..9);
    let asked = alone.asked(1, Method::Fetch { target: key(7) });
    let Body::Response(response) = &asked[0].1.body else { panic!("{asked:?}") };
    let token = response.token.clone().unwrap();
    for number in 0..100 {
        holds(&mut alone, key(number));
    }
    alone.told.clear();
    alone.input(Input::Command(Command::Locate(locate::Command::Leave)));
    let value = Bytes::from_static(b"late");
    let store = Method::Store { target: key(101), value, number: 1, lifetime: 60, token };
    assert!(matches!(&alone.asked(1, store)[0].1.body, Body::Error(it) if it.code == 202));
    assert!(alone.told.is_empty());
    alone.waits(LEAVE_MAX);
    assert_eq!(alone.told, [Event::Locate(locate::Event::Left { untaken: 100 })]);
    assert!(!alone.node.is_member());
}

#[test]
fn one_who_takes_its_time_makes_nobody_wait_for_others_much_longer() {
    let mut alone = Alone::new(|_| ());
    alone.knows(1..4);
    let before = alone.node.rtt.wait(0);
    let sent = alone.asked(50, Method::Ping);
    // As late as it may be.
    alone.waits(before * 5 / 2);
    alone.answers(50, &sent[1].1, |_| ());
    assert_eq!(
        alone.node.table(Family::V4).get(contact(50)).map(|it| it.contact),
        Some(contact(50))
    );
    let after = alone.node.rtt.wait(0);
    assert!(after < before * 3 / 2, "{before:?}, then {after:?}");
}

#[test]
fn what_an_item_must_be_is_said_to_those_alone_who_hold_one() {
    let mut alone = Alone::new(|_| ());
    alone.knows(1..3);
    let item = Item::sign(&[7; 32], b"", 4, Bytes::from_static(b"i4e"));
    let put = Command::PutItem { ticket: Ticket(1), item: Box::new(item), cas: Some(3) };
    let mut sent = alone.input(Input::Command(put));
    assert_eq!(sent.len(), 2);
    let mut puts = Vec::new();
    while let Some((to, asked)) = sent.pop() {
        let Body::Query(Query { method, .. }) = &asked.body else { panic!("{asked:?}") };
        match method {
            Method::Put { cas, .. } => puts.push((to, *cas)),
            Method::Get { newer_than: Some(4), .. } => {
                let number = if to == address(1) { 1 } else { 2 };
                sent.extend(alone.answers(number, &asked, |it| {
                    it.token = Some(b"token"[..].into());
                    it.number = Some(3).filter(|_| number == 1);
                }));
            }
            other => panic!("{other:?}"),
        }
    }
    puts.sort_unstable();
    assert_eq!(puts, [(address(1), Some(3)), (address(2), None)]);
}

#[test]
fn neither_the_caller_nor_strangers_keep_upkeep_from_asking() {
    let mut alone = Alone::new(|_| ());
    alone.knows(1..20);
    let busy = |alone: &Alone| {
        let is_busy = |it: &&Event| {
            matches!(it, Event::Locate(locate::Event::Failed { why: locate::Failure::Busy, .. }))
        };
        alone.told.iter().filter(is_busy).count()
    };
    for number in 0..300 {
        let key = Key::of(&u64::to_be_bytes(number));
        let locate = locate::Command::Locate { ticket: Ticket(number), key, trace: false };
        alone.input(Input::Command(Command::Locate(locate)));
    }
    assert!(busy(&alone) > 0, "the caller asks for too much");
    (100..200).for_each(|number| drop(alone.asked(number, Method::Ping)));
    assert!(alone.node.lookups.len() < LOOKUPS_MAX);
    let silent = alone.node.table(Family::V4).nodes().next().unwrap().contact;
    let (now, mut rng, mut secrets) = (alone.now, Rng::new(3), Rng::new(4));
    let mut outbox = Vec::new();
    let cx = &mut Context::new(now, &mut rng, &mut secrets, &mut outbox);
    alone.node.verify(silent, For::Verify, cx);
    assert_eq!(outbox.len(), 1, "{outbox:?}");
}

#[test]
fn an_older_value_is_refused_and_the_newer_one_stays() {
    let mut alone = Alone::new(|_| ());
    let told = |alone: &mut Alone| {
        let sent = alone.asked(1, Method::Fetch { target: key(7) });
        let Body::Response(response) = sent[0].1.body.clone() else { panic!("{sent:?}") };
        *response
    };
    let token = told(&mut alone).token.unwrap();
    let store = |alone: &mut Alone, value: &'static [u8], number| {
        let (value, token) = (Bytes::from_static(value), token.clone());
        let store = Method::Store { target: key(7), value, number, lifetime: 60, token };
        match &alone.asked(1, store)[0].1.body {
            Body::Response(_) => None,
            Body::Error(error) => Some(error.code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(store(&mut alone, b"new", 2), None);
    assert_eq!(store(&mut alone, b"old", 1), Some(302));
    let told = told(&mut alone);
    assert_eq!((told.value.as_deref(), told.number), (Some(&b"new"[..]), Some(2)));
}

#[test]
fn who_is_to_put_more_values_again_than_a_node_keeps_is_told() {
    let mut alone = Alone::new(|_| ());
    let mut put = |number: u16| {
        let (ticket, key) = (Ticket(number.into()), Key::of(&number.to_be_bytes()));
        let (value, lifetime) = (Bytes::from_static(b"v"), Duration::from_secs(3600));
        let put = locate::Command::Put { ticket, key, value, lifetime, refresh: true };
        alone.input(Input::Command(Command::Locate(put)));
        alone.told.pop().unwrap()
    };
    let is_busy = |told: &Event| {
        matches!(told, Event::Locate(locate::Event::Failed { why: locate::Failure::Busy, .. }))
    };
    assert!((0..1024).all(|number| !is_busy(&put(number))));
    assert!(is_busy(&put(1024)));
    assert!(!is_busy(&put(1023)), "it is one of them already");
}

#[test]
fn nobody_is_answered_at_an_address_that_nobody_has() {
    let mut alone = Alone::new(|_| ());
    let query = Query { id: key(1), read_only: false, want: None, method: Method::Ping };
    let body = Body::Query(query);
    let message = Message { transaction: Transaction::from_slice(b"aa"), version: None, body };
    let mut asked = |from| alone.input(Input::Message { from, message: message.clone() }).len();
    assert_eq!(asked(address(1).with_port(0)), 0);
    assert_eq!(asked(Address::v4([255, 255, 255, 255], 6881)), 0);
    assert!(asked(address(1)) > 0);
}
