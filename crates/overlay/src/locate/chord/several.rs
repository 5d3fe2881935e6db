//! Virtual nodes: one host with several places on the circle, so that loads are more even.
//!
//! SIGCOMM 2001, section 6.2. They share an address; a datagram names the one that it is for, and an
//! answer finds the one that asked by its number.

use std::sync::Arc;

use nigh_base::{
    Address, Digest, Key, Machine, Time,
    machine::{Context, Input, Outbox, Output},
};

use super::{Message, Node, Settings, message::Body};
use crate::locate::{Command, Contact, Event, Overlay};

/// The nodes of one host, as one machine. Commands that ask something go to the first; the host has
/// joined when all have.
#[derive(Debug)]
pub struct Several {
    nodes: Vec<Node>,
    /// How many have yet to join, or to leave.
    left: usize,
    /// How many values of those that have left nobody has taken.
    untaken: usize,
    outbox: Outbox<Node>,
}

/// The most places of one host.
pub const PLACES_MAX: usize = 64;

impl Several {
    /// A host with a node at each of `keys`.
    ///
    /// # Panics
    /// If there is none, or more than [`PLACES_MAX`].
    pub fn new(keys: &[Key], address: Address, settings: &Arc<Settings>) -> Self {
        assert!((1..=PLACES_MAX).contains(&keys.len()), "a host has 1 to {PLACES_MAX} places");
        let places = keys.into();
        let node = |&key| {
            let mut node = Node::new(key, address, Arc::clone(settings));
            node.beside(&places);
            node
        };
        let nodes = keys.iter().map(node).collect();
        Self { nodes, left: 0, untaken: 0, outbox: Vec::new() }
    }

    /// The keys of host number `address` by the paper's rule: SHA-1 of the address, and of the
    /// address and a number for each further place.
    pub fn keys(address: Address, places: usize) -> Vec<Key> {
        let name = |place| match place {
            0 => address.to_string(),
            place => format!("{address}/{place}"),
        };
        (0..places).map(|place| Key::of(name(place).as_bytes())).collect()
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that a message is for; none if it is for nobody here.
    fn meant(&self, message: &Message) -> Option<usize> {
        match (message.to, message.body.nonce()) {
            (Some(key), _) => self.nodes.iter().position(|node| node.me.key == key),
            (None, Some(nonce)) if !message.body.is_question() => {
                self.nodes.iter().position(|node| node.requests.get(nonce).is_some())
            }
            (None, None) if let Body::Found { lookup, .. } = message.body => {
                self.nodes.iter().position(|node| node.lookups.get(lookup).is_some())
            }
            // A way in: any will do.
            _ => Some(0),
        }
    }

    fn handle_at(
        &mut self,
        place: usize,
        input: Input<Message, Command>,
        cx: &mut Context<'_, Self>,
    ) {
        self.nodes[place].handle(input, &mut cx.part(&mut self.outbox));
        for mut output in self.outbox.drain(..) {
            if let Output::Event(Event::Joined | Event::Left { .. }) = output {
                self.left -= 1;
            }
            if let Output::Event(Event::Left { untaken }) = &mut output {
                self.untaken += *untaken;
                *untaken = self.untaken;
            }
            if matches!(output, Output::Event(Event::Joined | Event::Left { .. })) && self.left > 0
            {
                continue;
            }
            cx.emit(output);
        }
    }
}

impl Overlay for Several {
    fn told(event: Event) -> Option<Event> {
        Some(event)
    }

    fn contacts(&self) -> Vec<Contact> {
        self.nodes.iter().map(Node::contact).collect()
    }

    fn held(&self) -> usize {
        self.nodes.iter().map(Node::held).sum()
    }

    fn acquaintances(&self) -> String {
        let name = |contact: Option<Contact>| {
            contact.map_or_else(|| "none".to_owned(), |contact| contact.address.to_string())
        };
        let node = &self.nodes[0];
        let (successor, predecessor) = (node.successors().first().copied(), node.predecessor());
        format!("successor {}, predecessor {}", name(successor), name(predecessor))
    }
}

impl Machine for Several {
    type Message = Message;
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, input: Input<Message, Command>, cx: &mut Context<'_, Self>) {
        match input {
            Input::Wake => {
                for place in 0..self.nodes.len() {
                    if self.nodes[place].wake_at().is_some_and(|at| at <= cx.now) {
                        self.handle_at(place, Input::Wake, cx);
                    }
                }
            }
            Input::Message { from, message } => {
                // To nobody here is to a node that does not answer to its key any more.
                let place = self.meant(&message).unwrap_or(0);
                self.handle_at(place, Input::Message { from, message }, cx);
            }
            Input::Command(Command::Join { via }) => {
                // Those that are in already have said so; those that leave will say that.
                let waits = |node: &&Node| !node.is_member() || node.is_leaving();
                self.left = self.nodes.iter().filter(waits).count();
                let own = self.nodes[0].me.address;
                for place in 0..self.nodes.len() {
                    // The further places of a ring's first host join through the first.
                    let via = if via.is_empty() && place > 0 { vec![own] } else { via.clone() };
                    self.handle_at(place, Input::Command(Command::Join { via }), cx);
                }
            }
            Input::Command(Command::Leave) => {
                (self.left, self.untaken) = (self.nodes.len(), 0);
                for place in 0..self.nodes.len() {
                    self.handle_at(place, Input::Command(Command::Leave), cx);
                }
            }
            other => self.handle_at(0, other, cx),
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.nodes.iter().filter_map(Node::wake_at).min()
    }

    fn digest(&self, digest: &mut Digest) {
        self.nodes.iter().for_each(|node| node.digest(digest));
    }

    fn check(&self) {
        self.nodes.iter().for_each(Node::check);
    }
}
