//! The lecture's ring, step by step: nodes 4, 8, 15, 20, 32, 35, 44 and 58, and the join of 50.

use std::collections::{BTreeMap, VecDeque};

use nigh_base::{
    Address, Key, Rng, Time,
    machine::{Context, Input, Output},
    space::clockwise::Circle,
};

use super::{
    super::message::{Body, Message},
    *,
};

const RING: [u64; 8] = [4, 8, 15, 20, 32, 35, 44, 58];

/// Nodes whose letters are carried by hand, one after the other.
struct Hand {
    nodes: BTreeMap<u64, Node>,
    letters: VecDeque<(u64, u64, Message)>,
    told: Vec<(u64, Event)>,
    now: Time,
}

fn address(number: u64) -> Address {
    Address::v4([10, 0, 0, u8::try_from(number).unwrap()], 4000)
}

fn contact(number: u64) -> Contact {
    Contact { key: Key::from(number), address: address(number) }
}

fn number_at(address: Address) -> u64 {
    u64::from(address.as_v4().unwrap()[3])
}

impl Hand {
    fn new(numbers: &[u64], settings: &Arc<Settings>) -> Self {
        let ring = Ring::new(Arc::clone(settings), numbers.iter().map(|&it| contact(it)).collect());
        let first = Time::from_secs(1_000_000);
        let nodes = numbers.iter().map(|&it| (it, ring.node(contact(it), first, |_| 0))).collect();
        Self { nodes, letters: VecDeque::new(), told: Vec::new(), now: Time::START }
    }

    fn input(&mut self, to: u64, input: Input<Message, Command>) {
        let (mut rng, mut secrets, mut outbox) =
            (Rng::new(1), Rng::new(self.now.nanos()), Vec::new());
        self.now = self.now.after(Duration::from_millis(10));
        let node = self.nodes.get_mut(&to).unwrap();
        node.handle(input, &mut Context::new(self.now, &mut rng, &mut secrets, &mut outbox));
        node.check();
        for output in outbox {
            match output {
                Output::Message { to: address, message } => {
                    self.letters.push_back((to, number_at(address), message));
                }
                Output::Event(event) => self.told.push((to, event)),
                _ => unreachable!("a node sends datagrams and tells events"),
            }
        }
    }

    /// Carries the next letter, and says between whom it went and what kind it was.
    fn carry(&mut self) -> Option<(u64, u64, Body)> {
        let (from, to, message) = self.letters.pop_front()?;
        let body = message.body.clone();
        self.input(to, Input::Message { from: address(from), message });
        Some((from, to, body))
    }

    /// Successor and predecessor of a node; 0 for none.
    fn pointers(&self, number: u64) -> (u64, u64) {
        let node = &self.nodes[&number];
        let number = |contact: Option<Contact>| contact.map_or(0, |it| number_at(it.address));
        (number(node.successors().first().copied()), number(node.predecessor()))
    }

    /// Lets a node stabilise now.
    fn round(&mut self, number: u64) {
        self.now = self.nodes[&number].wake_at().unwrap().max(self.now);
        self.input(number, Input::Wake);
    }
}

/// A circle of 64 keys; successors alone, as the slides draw them.
fn slides() -> Arc<Settings> {
    settings(|it| {
        it.circle = Circle::new(6);
        (it.successors, it.copies, it.fingers_a_round) = (1, 1, 0);
    })
}

#[test]
fn each_node_maps_the_keys_up_to_it() {
    let ring = Ring::new(slides(), RING.map(contact).to_vec());
    for (key, node) in
        [(5, 8), (8, 8), (9, 15), (15, 15), (16, 20), (20, 20), (59, 4), (4, 4), (0, 4)]
    {
        assert_eq!(ring.successor(Key::from(key)), contact(node), "key {key}");
    }
}

#[test]
fn lookup_of_37_gives_44_from_everywhere() {
    for routing in ROUTINGS {
        let settings = settings(|it| {
            it.circle = Circle::new(6);
            (it.successors, it.copies, it.routing) = (1, 1, routing);
        });
        for from in RING {
            let mut hand = Hand::new(&RING, &settings);
            let locate = Command::Locate { ticket: Ticket(1), key: Key::from(37), trace: false };
            hand.input(from, Input::Command(locate));
            while hand.carry().is_some() {}
            let Some((_, Event::Located { holders, .. })) = hand.told.pop() else {
                panic!("{routing:?} from {from}: {:?}", hand.told)
            };
            assert_eq!(holders, [contact(44)], "{routing:?} from {from}");
        }
    }
}

#[test]
fn node_50_joins_through_15_as_on_the_slides() {
    let mut hand = Hand::new(&RING, &slides());
    hand.nodes.insert(50, Node::new(Key::from(50), address(50), slides()));
    assert_eq!((hand.pointers(44), hand.pointers(58)), ((58, 35), (4, 44)));
    assert_eq!(hand.pointers(50), (0, 0));

    // Node 50 sends join(50) to node 15; node 44 returns node 58; node 50's successor is 58.
    hand.input(50, Input::Command(Command::Join { via: vec![address(15)] }));
    let (from, to, body) = hand.carry().unwrap();
    assert!(
        (from, to) == (50, 15) && matches!(body, Body::Next { key, .. } if key == Key::from(50))
    );
    let (mut from, mut body) = (15, hand.carry().unwrap().2);
    while matches!(body, Body::Closer { .. } | Body::Next { .. }) {
        assert_eq!(hand.pointers(50), (0, 0));
        (from, _, body) = hand.carry().unwrap();
    }
    assert!(matches!(&body, Body::Owner { contacts, .. } if contacts == &[contact(58)]));
    assert_eq!(from, 44, "the predecessor of 50 answers");
    assert_eq!(hand.pointers(50), (58, 0));
    assert_eq!((hand.pointers(44), hand.pointers(58)), ((58, 35), (4, 44)));
    assert!(hand.told.contains(&(50, Event::Joined)));

    // Node 50: stabilise() to node 58, which replies with 44: 50 is the right predecessor.
    assert!(matches!(hand.carry(), Some((50, 58, Body::Neighbours { .. }))));
    let answer = hand.carry();
    assert!(
        matches!(&answer, Some((58, 50, Body::NeighboursAre { neighbours, .. }))
            if neighbours.predecessor == Some(contact(44))),
        "{answer:?}"
    );
    assert_eq!((hand.pointers(50), hand.pointers(58)), ((58, 0), (4, 44)));

    // Node 50: notify() to node 58, which updates its predecessor to 50.
    assert!(matches!(hand.carry(), Some((50, 58, Body::Notify { .. }))));
    assert_eq!((hand.pointers(50), hand.pointers(58)), ((58, 0), (4, 50)));
    assert_eq!(hand.pointers(44), (58, 35));
    assert!(hand.letters.is_empty());

    // Node 44 stabilises: node 58 replies with 50, and 44 updates its successor to 50.
    hand.round(44);
    assert!(matches!(hand.carry(), Some((44, 58, Body::Neighbours { .. }))));
    while hand.pointers(44).0 == 58 {
        hand.carry().unwrap();
    }
    assert_eq!((hand.pointers(44), hand.pointers(50)), ((50, 35), (58, 0)));

    // Node 44: notify() to its new successor 50, which sets its predecessor to 44.
    while hand.pointers(50).1 == 0 {
        hand.carry().unwrap();
    }
    assert_eq!(
        (hand.pointers(44), hand.pointers(50), hand.pointers(58)),
        ((50, 35), (58, 44), (4, 50)),
        "this completes the joining operation"
    );
}

#[test]
fn the_finger_table_of_80_is_the_lectures() {
    let settings = settings(|it| {
        it.circle = Circle::new(7);
        (it.successors, it.copies) = (1, 1);
    });
    let numbers = [20, 32, 45, 80, 96, 112];
    let expected = [96, 96, 96, 96, 96, 112, 20];
    let table =
        |node: &Node| [0, 1, 2, 3, 4, 5, 6].map(|it| number_at(node.finger(it).unwrap().address));
    let mut hand = Hand::new(&numbers, &settings);
    assert_eq!(table(&hand.nodes[&80]), expected, "worked out");

    // The same, looked up by node 80 itself.
    let mut bare = Node::new(Key::from(80), address(80), settings);
    bare.standing = super::super::Standing::Member;
    bare.adopt(&[contact(96)]);
    bare.predecessor = Some(contact(45));
    bare.timers.set(super::super::Timer::Stabilise, hand.now);
    hand.nodes.insert(80, bare);
    for _ in 0..7 {
        hand.round(80);
        while hand.carry().is_some() {}
    }
    assert_eq!(table(&hand.nodes[&80]), expected, "looked up");
}
