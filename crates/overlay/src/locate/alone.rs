//! One node, and what a test lets others say to it: whose addresses are forged, and who answer as they like.

use std::time::Duration;

use nigh_base::{
    Address, Key, Machine as _, Rng, Time,
    machine::{Context, Input, Output},
};

use super::{
    Command, Contact, Event,
    node::{
        Node,
        geometry::Geometry,
        message::{Body, Datagram},
    },
};

type Says<G> = Body<<G as Geometry>::Carry, <G as Geometry>::Words>;
/// What a node sends, each to whom.
pub(in crate::locate) type Sent<G> = Vec<(Address, Says<G>)>;

/// A node of which the others are whoever the test lets speak.
pub(in crate::locate) struct Alone<G: Geometry> {
    pub(in crate::locate) node: Node<G>,
    /// Whom it may know, as far as the test needs them.
    pub(in crate::locate) others: Vec<Contact>,
    pub(in crate::locate) told: Vec<Event>,
    pub(in crate::locate) now: Time,
    pub(in crate::locate) rng: Rng,
    pub(in crate::locate) secrets: Rng,
}

impl<G: Geometry> Alone<G> {
    pub(in crate::locate) fn new(node: Node<G>) -> Self {
        let (rng, secrets) = (Rng::new(1), Rng::new(2));
        let (others, told) = (Vec::new(), Vec::new());
        Self { node, others, told, now: Time::START, rng, secrets }
    }

    /// What it sends when that happens to it.
    pub(in crate::locate) fn input(
        &mut self,
        input: Input<Datagram<G::Carry, G::Words>, Command>,
    ) -> Sent<G> {
        let mut outbox = Vec::new();
        let (rng, secrets) = (&mut self.rng, &mut self.secrets);
        self.node.handle(input, &mut Context::new(self.now, rng, secrets, &mut outbox));
        self.node.check();
        let mut sent = Vec::new();
        for output in outbox {
            match output {
                Output::Message { to, message } => sent.push((to, message.body)),
                Output::Event(event) => self.told.push(event),
                other => panic!("{other:?}"),
            }
        }
        sent
    }

    /// A key just behind its own.
    pub(in crate::locate) fn own_key(&self, number: u64) -> Key {
        self.node.contact().key.plus(Key::from(number + 1))
    }

    /// What it sends when the member `from` says `body`.
    pub(in crate::locate) fn hears(&mut self, from: Contact, body: Says<G>) -> Sent<G> {
        let message = Datagram { from: Some(from.key), body };
        self.input(Input::Message { from: from.address, message })
    }

    /// What it sends within `span`, while nobody answers.
    pub(in crate::locate) fn waits(&mut self, span: Duration) -> Sent<G> {
        let end = self.now.after(span);
        let mut sent = Vec::new();
        while let Some(at) = self.node.wake_at().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            sent.extend(self.input(Input::Wake));
        }
        self.now = end;
        sent
    }
}

/// Somebody of whom nobody has heard, with that key.
pub(in crate::locate) fn stranger(key: Key) -> Contact {
    let [.., last] = key.bytes();
    Contact { key, address: Address::v4([192, 0, 2, last], 4000) }
}
