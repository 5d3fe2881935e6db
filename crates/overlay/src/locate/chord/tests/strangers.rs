//! One node, and what strangers may send it: whose addresses are forged, and who answer as they like.

use bytes::Bytes;
use nigh_base::{
    Address,
    machine::{Context, Input, Output},
};

use super::{
    super::message::{Body, Message, Neighbours, Offer},
    *,
};

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
