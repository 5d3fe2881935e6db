//! One node, and what strangers may send it: whose addresses are forged, and who answer as they like.

use bytes::Bytes;
use nigh_base::{
    Address,
    machine::{Context, Input, Link, Output},
};

use super::{
    super::message::{Body, Message, Neighbours},
    *,
};
use crate::locate::{Failure, holdings::Offer};

const HOUR: Duration = Duration::from_secs(3600);

/// A node of a settled ring. The others are whoever the test lets speak.
struct Alone {
    node: Node,
    /// The ring, from the node itself on.
    ring: Vec<Contact>,
    now: Time,
    rng: Rng,
    secrets: Rng,
    told: Vec<Event>,
}

type Sent = Vec<(Address, Message)>;

impl Alone {
    fn new(settings: &Arc<Settings>) -> Self {
        let contacts = (0..12).map(|number| node(number, settings).contact()).collect();
        let ring = Ring::new(Arc::clone(settings), contacts);
        let node = ring.node(ring.contacts()[0], Time::from_secs(5), |_| 0);
        let (rng, secrets) = (Rng::new(1), Rng::new(2));
        let ring = ring.contacts().to_vec();
        Self { node, ring, now: Time::START, rng, secrets, told: Vec::new() }
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

    /// What it sends when `from` says `body`.
    fn hears(&mut self, from: Address, body: Body) -> Sent {
        self.input(Input::Message { from, message: Message { to: None, body } })
    }

    /// What it sends within `span`, while nobody answers.
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

    /// A key that this node owns.
    fn own_key(&self, number: u64) -> Key {
        let before = self.ring[self.ring.len() - 1].key;
        before.plus(Key::from(number + 1))
    }
}

fn stranger() -> Address {
    Address::v4([192, 0, 2, 1], 4000)
}

fn store(nonce: u64, key: Key, copies: u8, stamp: u64) -> Body {
    let offer = Offer { key, stamp, lifetime: HOUR, value: Bytes::from_static(b"value") };
    Body::Store { nonce, copies, offer: Box::new(offer) }
}

fn questions(sent: &Sent, of: impl Fn(&Body) -> bool) -> usize {
    sent.iter().filter(|(_, message)| of(&message.body)).count()
}

#[test]
fn what_strangers_ask_for_leaves_room_for_upkeep() {
    let mut alone = Alone::new(&settings(|_| {}));
    // Each value is to be copied to two who do not answer.
    let mut asked = 0;
    let for_others = |it: &Body| matches!(it, Body::Store { .. } | Body::Route { .. });
    for number in 0..1000 {
        let sent = alone.hears(stranger(), store(number, alone.own_key(number), 3, 0));
        asked += questions(&sent, for_others);
        let origin = Some(stranger());
        let key = alone.ring[6].key;
        let route = Body::Route { nonce: number, lookup: number, key, origin, hops: 0 };
        asked += questions(&alone.hears(stranger(), route), for_others);
    }
    assert_eq!(asked, 256);
    // Who is asked thrice at the next round, and does not answer, is gone.
    alone.waits(Duration::from_secs(15));
    assert_ne!(alone.node.successors()[0], alone.ring[1]);
}

#[test]
fn no_stamp_of_a_stranger_stops_the_count_or_overflows_it() {
    let mut alone = Alone::new(&settings(|it| it.copies = 1));
    let key = alone.own_key(1);
    let answer = |sent: Sent| sent[0].1.body.clone();
    let (full, held) = (Body::Full { nonce: 1 }, Body::Stored { nonce: 2, copies: 1 });
    assert_eq!(answer(alone.hears(stranger(), store(1, key, 0, u64::MAX))), full);
    // The highest that is taken; what comes through the owner is newer all the same.
    assert_eq!(answer(alone.hears(stranger(), store(2, key, 0, u64::MAX / 2))), held);
    for _ in 0..3 {
        assert_eq!(answer(alone.hears(stranger(), store(2, key, 1, u64::MAX))), held);
    }
    // A copy that is older than what is held is none.
    let none = Body::Stored { nonce: 3, copies: 0 };
    assert_eq!(answer(alone.hears(stranger(), store(3, key, 0, 7))), none);
}

#[test]
fn a_replica_that_keeps_a_newer_value_is_not_counted() {
    let mut alone = Alone::new(&settings(|_| {}));
    let sent = alone.hears(stranger(), store(9, alone.own_key(1), 3, 0));
    for (place, (to, message)) in sent.into_iter().enumerate() {
        let nonce = message.body.nonce().unwrap();
        let copies = u8::from(place == 0);
        let told = alone.hears(to, Body::Stored { nonce, copies });
        let expected = (stranger(), Body::Stored { nonce: 9, copies: 2 });
        let told: Vec<_> = told.into_iter().map(|(to, it)| (to, it.body)).collect();
        assert_eq!(told, if place == 0 { vec![] } else { vec![expected] });
    }
}

#[test]
fn an_owner_makes_no_more_copies_than_its_ring_has() {
    let mut alone = Alone::new(&settings(|it| it.copies = 2));
    let sent = alone.hears(stranger(), store(9, alone.own_key(1), 30, 0));
    assert_eq!(questions(&sent, |it| matches!(it, Body::Store { .. })), 1);
}

#[test]
fn a_forged_leave_makes_a_node_ask_and_changes_nothing() {
    let mut alone = Alone::new(&settings(|_| {}));
    let (next, before) = (alone.ring[1], alone.ring[alone.ring.len() - 1]);
    let attacker = Contact { key: next.key.plus(Key::from(1)), address: stranger() };
    for who in [next, before] {
        let (predecessor, successors) = (Some(attacker), vec![attacker; 8]);
        let neighbours = Box::new(Neighbours { predecessor, successors });
        let sent = alone.hears(who.address, Body::Leaving { key: who.key, neighbours });
        let [(to, Message { body: Body::Ping { nonce }, .. })] = sent[..] else {
            panic!("{sent:?}")
        };
        assert_eq!(to, who.address);
        alone.hears(who.address, Body::Pong { nonce });
    }
    assert_eq!(alone.node.successors(), &alone.ring[1..9]);
    assert_eq!(alone.node.predecessor(), Some(before));
}

#[test]
fn a_finger_that_is_there_is_not_given_up_on_the_word_of_others() {
    const HALF: u32 = Key::BITS - 1;
    // Somebody who lies farther, somebody who cannot be it, and nobody but this node.
    for named in [11, 1, 0] {
        for is_there in [true, false] {
            let mut alone = Alone::new(&settings(|it| it.successors = 2));
            let old = alone.node.finger(HALF).unwrap();
            let named = alone.ring[named];
            assert_ne!(old, named);
            // The first that a round looks up is the farthest.
            let start = Circle::WHOLE.finger_start(alone.node.contact().key, HALF);
            alone.now = alone.node.wake_at().unwrap();
            let sent = alone.input(Input::Wake);
            let (asked, nonce) = sent
                .iter()
                .find_map(|(to, message)| match message.body {
                    Body::Next { nonce, key } if key == start => Some((*to, nonce)),
                    _ => None,
                })
                .unwrap();
            let sent = alone.hears(asked, Body::Owner { nonce, contacts: vec![named] });
            let [(to, Message { body: Body::Ping { nonce }, .. })] = &sent[..] else {
                panic!("{sent:?}")
            };
            assert_eq!((*to, alone.node.finger(HALF)), (old.address, Some(old)));
            if is_there {
                alone.hears(old.address, Body::Pong { nonce: *nonce });
                alone.waits(Duration::from_secs(1));
                assert_eq!(alone.node.finger(HALF), Some(old));
            } else {
                // Three pings, the last of which waits four seconds.
                alone.waits(Duration::from_millis(7500));
                assert_ne!(alone.node.finger(HALF), Some(old));
            }
        }
    }
}

#[test]
fn a_new_predecessor_is_given_nothing_before_it_has_answered() {
    let mut alone = Alone::new(&settings(|it| it.copies = 1));
    for number in 0..100 {
        alone.hears(stranger(), store(number, alone.own_key(number), 1, 0));
    }
    let by = alone.own_key(1000);
    let sent = alone.hears(stranger(), Body::Notify { key: by });
    let [(to, Message { body: Body::Ping { nonce }, .. })] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(to, stranger());
    // One that another has forged never does, and is forgotten.
    let mut silent = Alone::new(&settings(|it| it.copies = 1));
    silent.hears(stranger(), store(1, silent.own_key(1), 1, 0));
    silent.hears(stranger(), Body::Notify { key: silent.own_key(1000) });
    let sent = silent.waits(Duration::from_secs(8));
    assert_eq!(sent.iter().filter(|(to, _)| *to == stranger()).count(), 2);
    assert_eq!(silent.node.predecessor(), None);
    // One that has gets all, a few at a time.
    let mut on_the_way = alone.hears(stranger(), Body::Pong { nonce });
    assert_eq!(on_the_way.len(), 16);
    let mut got = 0;
    while let Some((to, message)) = on_the_way.pop() {
        let Body::Store { nonce, copies: 0, .. } = message.body else { panic!("{message:?}") };
        assert_eq!(to, stranger());
        got += 1;
        on_the_way.extend(alone.hears(to, Body::Stored { nonce, copies: 1 }));
    }
    assert_eq!(got, 100);
}

/// A node that holds `count` values alone, and is told to leave.
fn leaving(count: u64) -> (Alone, Sent) {
    let mut alone = Alone::new(&settings(|it| it.copies = 1));
    for number in 0..count {
        alone.hears(stranger(), store(number, alone.own_key(number), 1, 0));
    }
    let sent = alone.input(Input::Command(Command::Leave));
    (alone, sent)
}

#[test]
fn who_leaves_waits_until_the_last_value_is_taken() {
    let (mut alone, mut on_the_way) = leaving(1000);
    let mut taken = 0;
    // The next one has no room for every third, and the one behind it has.
    while let Some((to, message)) = on_the_way.pop() {
        let Body::Store { nonce, offer, .. } = message.body else { continue };
        assert!(alone.told.is_empty() && alone.node.is_member());
        let answer = if to == alone.ring[1].address && offer.key.top() % 3 == 0 && taken % 3 == 0 {
            Body::Full { nonce }
        } else {
            taken += 1;
            Body::Stored { nonce, copies: 1 }
        };
        on_the_way.extend(alone.hears(to, answer));
    }
    assert_eq!(taken, 1000);
    // Neighbours that ask hear that it is gone, and then the caller does.
    let ping = Body::Ping { nonce: 5 };
    let told = alone.hears(alone.ring[1].address, ping);
    assert_eq!(told[0].1.body, Body::Stranger { nonce: 5 });
    alone.waits(Duration::from_secs(1));
    assert_eq!(alone.told, [Event::Left { untaken: 0 }]);
}

#[test]
fn who_leaves_says_how_much_nobody_has_taken_in_time() {
    let (mut alone, sent) = leaving(1000);
    let [Some(first), Some(second)] = [0, 1].map(|it| sent[it].1.body.nonce()) else { panic!() };
    for nonce in [first, second] {
        alone.hears(alone.ring[1].address, Body::Stored { nonce, copies: 1 });
    }
    // Nobody else answers.
    alone.waits(crate::locate::LEAVE_MAX + Duration::from_secs(2));
    assert_eq!(alone.told, [Event::Left { untaken: 998 }]);
}

#[test]
fn what_a_silent_predecessor_would_own_is_handed_on_all_the_same() {
    let mut alone = Alone::new(&settings(|it| it.copies = 1));
    alone.hears(stranger(), store(1, alone.own_key(1), 1, 0));
    alone.hears(stranger(), Body::Notify { key: alone.own_key(1000) });
    let sent = alone.input(Input::Command(Command::Leave));
    assert_eq!(questions(&sent, |it| matches!(it, Body::Store { .. })), 1);
}

#[test]
fn what_successors_have_is_not_handed_on_again() {
    let mut alone = Alone::new(&settings(|it| it.copies = 3));
    let sent = alone.hears(stranger(), store(1, alone.own_key(1), 3, 0));
    for (to, message) in sent {
        let nonce = message.body.nonce().unwrap();
        alone.hears(to, Body::Stored { nonce, copies: 1 });
    }
    let sent = alone.input(Input::Command(Command::Leave));
    assert!(sent.iter().all(|(_, it)| matches!(it.body, Body::Leaving { .. })), "{sent:?}");
}

#[test]
fn however_much_is_held_each_value_is_renewed_in_time() {
    let mut alone = Alone::new(&settings(|it| it.copies = 2));
    for number in 0..3_000 {
        alone.hears(stranger(), store(number, alone.own_key(number), 1, 0));
    }
    let (end, mut renewed) = (Duration::from_secs(92), std::collections::BTreeSet::new());
    // The first turn comes after 30 s; two times 30 s are half of what makes a copy forgotten.
    while alone.now < Time::START.after(end) {
        for (to, message) in alone.waits(Duration::from_millis(100)) {
            match message.body {
                Body::Store { nonce, offer, .. } => {
                    renewed.insert(offer.key);
                    alone.hears(to, Body::Stored { nonce, copies: 1 });
                }
                Body::Ping { nonce } => drop(alone.hears(to, Body::Pong { nonce })),
                Body::Neighbours { nonce } => {
                    let neighbours = Box::new(Neighbours {
                        predecessor: Some(alone.ring[0]),
                        successors: alone.ring[2..].to_vec(),
                    });
                    alone.hears(to, Body::NeighboursAre { nonce, neighbours });
                }
                _ => {}
            }
        }
    }
    assert_eq!(renewed.len(), 3_000);
}

#[test]
fn who_calls_by_a_stream_is_hung_up_on() {
    let mut alone = Alone::new(&settings(|_| {}));
    let mut outbox = Vec::new();
    let link = Link(2);
    let (rng, secrets) = (&mut alone.rng, &mut alone.secrets);
    let mut cx = Context::new(alone.now, rng, secrets, &mut outbox);
    alone.node.handle(Input::Opened { link, peer: stranger() }, &mut cx);
    assert_eq!(outbox, [Output::Close { link }]);
}

fn put(nonce: u64, key: Key, copies: u8, value: &'static str) -> Body {
    let value = Bytes::from_static(value.as_bytes());
    let offer = Offer { key, stamp: 1, lifetime: HOUR, value };
    Body::Store { nonce, copies, offer: Box::new(offer) }
}

#[test]
fn what_comes_from_nobody_or_from_many_is_not_heard() {
    let mut alone = Alone::new(&settings(|_| {}));
    for from in crate::locate::codec::tests::addresses_of_nobody_or_of_many() {
        assert_eq!(alone.hears(from, Body::Ping { nonce: 1 }), [], "{from}");
    }
}

#[test]
fn who_cannot_pass_a_lookup_on_does_not_take_it_and_begins_its_own_all_the_same() {
    let mut alone = Alone::new(&settings(|it| it.routing = Routing::Recursive));
    let key = alone.ring[9].key;
    let (mut taken, mut passed) = (0, 0);
    for nonce in 1..=300 {
        let body = Body::Route { nonce, lookup: nonce, key, origin: None, hops: 0 };
        let sent = alone.hears(stranger(), body);
        taken += questions(&sent, |it| matches!(it, Body::Taken { .. }));
        passed += questions(&sent, |it| matches!(it, Body::Route { .. }));
    }
    assert_eq!((taken, passed), (256, 256));
    let locate = Command::Locate { ticket: Ticket(1), key, trace: false };
    let sent = alone.input(Input::Command(locate));
    assert_eq!(questions(&sent, |it| matches!(it, Body::Route { .. })), 1, "{sent:?}");
}

#[test]
fn a_put_that_comes_again_is_answered_with_what_is_made_of_it_and_not_done_again() {
    let mut alone = Alone::new(&settings(|it| it.copies = 3));
    let key = alone.own_key(1);
    let again = || put(7, key, 3, "value");
    let copies = alone.hears(stranger(), again());
    assert_eq!(copies.len(), 2, "{copies:?}");
    let stored =
        |copies| (stranger(), Message { to: None, body: Body::Stored { nonce: 7, copies } });
    assert_eq!(alone.hears(stranger(), again()), [stored(1)]);
    for (made, (to, message)) in (2..).zip(copies) {
        let Body::Store { nonce, .. } = message.body else { panic!("{message:?}") };
        let told = alone.hears(to, Body::Stored { nonce, copies: 1 });
        assert_eq!(told, if made == 3 { vec![stored(3)] } else { vec![] });
        assert_eq!(alone.hears(stranger(), again()), [stored(made)]);
    }
}

#[test]
fn a_put_that_comes_late_again_does_not_undo_a_newer_one() {
    let mut alone = Alone::new(&settings(|it| it.copies = 1));
    let key = alone.own_key(1);
    for (nonce, value) in [(1, "first"), (2, "second"), (1, "first")] {
        let sent = alone.hears(stranger(), put(nonce, key, 1, value));
        let stored = Body::Stored { nonce, copies: 1 };
        assert_eq!(sent, [(stranger(), Message { to: None, body: stored })]);
    }
    let held = alone.node.held_value(key, alone.now);
    assert_eq!(held, Some(Bytes::from_static(b"second")));
}

#[test]
fn copies_that_have_lost_their_owners_leave_room_for_the_callers_lookups() {
    let settings = settings(|it| (it.successors, it.copies) = (1, 1));
    let mut alone = Alone::new(&settings);
    // Without upkeep, which would find everybody gone.
    let ring = Ring::new(Arc::clone(&settings), alone.ring.clone());
    alone.node = ring.node(alone.ring[0], Time::from_secs(80_000), |_| 0);
    for number in 0..4_000u32 {
        let key = Key::of(&number.to_be_bytes());
        alone.hears(stranger(), put(number.into(), key, 0, "copy"));
    }
    // Behind two minutes nobody has renewed them: 64 are looked up each second, and nobody answers.
    alone.waits(Duration::from_millis(126_500));
    assert!(alone.node.pending_lookups() > 64);
    alone.input(Input::Command(Command::Get { ticket: Ticket(1), key: Key::of(b"x") }));
    assert_eq!(alone.told, []);
}

#[test]
fn nothing_is_held_if_all_holders_say_so_and_none_of_them_is_silent() {
    for are_silent in [false, true] {
        let mut alone = Alone::new(&settings(|_| {}));
        let (ticket, key, first) = (Ticket(1), alone.ring[1].key, alone.ring[1].address);
        let mut sent = alone.input(Input::Command(Command::Get { ticket, key }));
        while let Some((to, message)) = sent.pop() {
            let Body::Fetch { nonce, .. } = message.body else { continue };
            if to == first || !are_silent {
                sent.extend(alone.hears(to, Body::Value { nonce, value: None }));
            }
        }
        alone.waits(Duration::from_secs(4));
        let told = match are_silent {
            true => Event::Failed { ticket, why: Failure::Unreachable },
            false => Event::Value { ticket, value: None },
        };
        assert_eq!(alone.told, [told]);
    }
}

#[test]
fn an_owner_that_is_asked_to_hold_a_value_and_does_not_answer_is_asked_again() {
    let mut alone = Alone::new(&settings(|_| {}));
    let (ticket, key, owner) = (Ticket(1), alone.ring[1].key, alone.ring[1].address);
    let (value, lifetime, refresh) = (Bytes::new(), HOUR, false);
    let put = Command::Put { ticket, key, value, lifetime, refresh };
    let first = alone.input(Input::Command(put));
    let [(to, Message { body: Body::Store { nonce, .. }, .. })] = first[..] else {
        panic!("{first:?}")
    };
    assert_eq!(to, owner);
    assert_eq!(alone.waits(Duration::from_millis(1_500)), first);
    alone.hears(owner, Body::Stored { nonce, copies: 1 });
    assert_eq!(alone.told, [Event::Stored { ticket, copies: 1 }]);
}

#[test]
fn a_put_is_answered_though_its_owner_leaves_meanwhile() {
    let mut alone = Alone::new(&settings(|_| {}));
    let (ticket, key) = (Ticket(1), alone.own_key(1));
    let (value, lifetime, refresh) = (Bytes::new(), HOUR, false);
    alone.input(Input::Command(Command::Put { ticket, key, value, lifetime, refresh }));
    let sent = alone.input(Input::Command(Command::Leave));
    let [(heir, Message { body: Body::Store { nonce, .. }, .. })] = sent[..] else {
        panic!("{sent:?}")
    };
    alone.hears(heir, Body::Stored { nonce, copies: 1 });
    alone.waits(Duration::from_secs(1));
    assert_eq!(alone.told, [Event::Stored { ticket, copies: 1 }, Event::Left { untaken: 0 }]);
}

#[test]
fn a_lookup_ends_in_time_though_a_liar_names_silent_nodes() {
    let settings = settings(|_| {});
    let mut alone = Alone::new(&settings);
    alone.node = node(99, &settings);
    alone.input(Input::Command(Command::Visit { via: vec![stranger()] }));
    let (ticket, key, trace) = (Ticket(1), Key::of(b"k"), false);
    let sent = alone.input(Input::Command(Command::Locate { ticket, key, trace }));
    let [(_, Message { body: Body::Next { nonce, .. }, .. })] = sent[..] else {
        panic!("{sent:?}")
    };
    let made_up = |number: u8| Contact {
        key: key.minus(Key::from(u64::from(number))),
        address: Address::v4([10, 9, 9, number], 4000),
    };
    alone.now = alone.now.after(Duration::from_millis(900));
    alone.hears(stranger(), Body::Closer { nonce, contacts: (1..=16).map(made_up).collect() });
    alone.waits(Duration::from_secs(60));
    assert_eq!(alone.told, [Event::Failed { ticket, why: Failure::Unreachable }]);
}
