//! What is an overlay's own: who is responsible for a key, the way there, and what keeps it true.
//!
//! ```text
//! next_hop, nearest, is_its    the way to a key, who holds what lies there, who owns it now
//! begin_get, pointed, holds,   holders of a value that are known on the way to its owner, and who else is to be
//!   renews                     one
//! alone, joining, let_in       how a node comes in
//! round, due, parting          what it does about those who go, and when it goes itself
//! would_take, take, remove     whom it knows
//! asked, answered, unanswered  what such nodes say to each other, and no others do
//! ```

use std::{fmt, hash::Hash, time::Duration};

use nigh_base::{
    Address, Key, Rtt, Time,
    machine::Context,
    wire::{Reader, Wire, WireError},
};

use super::{Node, Settings};
use crate::locate::{Contact, codec::Nonce};

/// A node that has answered, and how long its answers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Who.
    pub contact: Contact,
    /// The round trips to it.
    pub rtt: Rtt,
}

impl Peer {
    /// One of whom no round trip is known.
    pub fn unmeasured(contact: Contact) -> Self {
        Self { contact, rtt: Rtt::default() }
    }
}

/// The next node on a way, and what the lookup takes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step<C> {
    /// Who is to be asked.
    pub contact: Contact,
    /// What of the way it has to know.
    pub carry: C,
}

impl<C: Wire> Wire for Step<C> {
    const MAX: usize = Contact::MAX + C::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        self.contact.write(out);
        self.carry.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { contact: Contact::read(reader)?, carry: C::read(reader)? })
    }
}

/// Nothing: the way goes on from each node alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bare;

impl Wire for Bare {
    const MAX: usize = 0;

    fn write(&self, _: &mut Vec<u8>) {}

    fn read(_: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }
}

/// What such nodes say to each other beside what every node says.
pub trait Words: Wire + Clone + fmt::Debug + Eq + Hash + Send {
    /// The first byte of each datagram: of which overlay it is, in which version.
    const VERSION: u8;

    /// The number that an answer to this has to carry; none if it asks nothing.
    fn asks(&self) -> Option<Nonce>;

    /// The number of the question that this answers; none if it answers nothing.
    fn answers(&self) -> Option<Nonce>;
}

/// What an answer to one of these questions is for.
pub trait Errand: Clone + fmt::Debug + Hash + Send {
    /// So often it is asked.
    fn attempts(&self) -> u32;

    /// Whether it keeps the overlay together: it is asked even while callers and strangers want much.
    fn is_upkeep(&self) -> bool;

    /// What is thought of a node that does not answer it.
    fn silence(&self) -> Silence;
}

/// What is thought of a node that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It is gone.
    Gone,
    /// It may be gone: it is asked whether it is there.
    Doubtful,
    /// Nothing: it was not known to be there.
    Nothing,
}

/// An overlay: the state that a [`Node`] has of its own, and what it does with it.
pub trait Geometry: fmt::Debug + Hash + Send + Sized {
    /// Its name, as its users know it.
    const NAME: &'static str;

    /// How its nodes behave.
    type Settings: AsRef<Settings> + fmt::Debug + Hash + Send + Sync;
    /// What a lookup takes from node to node; the default is that of one that begins.
    type Carry: Wire + Clone + Copy + fmt::Debug + Default + Eq + Hash + Send;
    /// What its nodes say beside what all say.
    type Words: Words;
    /// What its own questions are for.
    type Errand: Errand;

    /// Whether a member that puts a value again by itself gives it to those who ask for it, as its
    /// holders do.
    const PUBLISHERS_SERVE: bool = false;

    /// The state of a node that knows nobody.
    ///
    /// # Panics
    /// If the settings do not fit together; the message says which.
    fn new(me: Contact, settings: &Self::Settings) -> Self;

    /// The next node on the way to `key`, as if `without` were not there; none if this one is
    /// responsible, or the way is at a dead end.
    fn next_hop(
        node: &Node<Self>,
        key: Key,
        carry: Self::Carry,
        without: &[Key],
    ) -> Option<Step<Self::Carry>>;

    /// Whether this node, which has no next one for a lookup that carries this, is not responsible for `key` either.
    fn is_dead_end(node: &Node<Self>, key: Key, carry: Self::Carry) -> bool {
        let _ = (node, key, carry);
        false
    }

    /// Up to `count` nodes, this one perhaps among them, in the order in which they stand in for each
    /// other as holders of `key`.
    fn nearest(node: &Node<Self>, key: Key, count: usize) -> Vec<Contact>;

    /// What a lookup for a value begins with: by it a node on the way sees that holders will do.
    fn begin_get() -> Self::Carry {
        Self::Carry::default()
    }

    /// Who holds a value under `key`, as this node knows though it does not own the key, the best first.
    /// A lookup that carries that it is for a value ends with them; and goes on to the owner if
    /// they have none.
    fn pointed(node: &Node<Self>, key: Key, carry: Self::Carry, now: Time) -> Vec<Contact> {
        let _ = (node, key, carry, now);
        Vec::new()
    }

    /// This node owns `key` and gives the value that it holds to those who stand in for it: who else is to have
    /// it?
    fn renews(node: &mut Node<Self>, key: Key, cx: &mut Cx<'_, Self>) {
        let _ = (node, key, cx);
    }

    /// This node has taken a value in, or publishes one.
    fn holds(node: &mut Node<Self>, key: Key, cx: &mut Cx<'_, Self>) {
        let _ = (node, key, cx);
    }

    /// Whether `key`, which this node owned so far, belongs to `other`, which it has just met.
    fn is_its(node: &Node<Self>, key: Key, other: Contact) -> bool;

    /// Whether this node is among the first `count` of [`Self::nearest`], or holds what lies under `key` for another
    /// reason.
    fn stands_in(node: &Node<Self>, key: Key, count: usize) -> bool {
        Self::nearest(node, key, count).contains(&node.contact())
    }

    /// How far the node of that key lies before `target`, if that has a meaning here.
    fn gap(key: Key, target: Key) -> Option<Key>;

    /// What is known of a node.
    fn peer(&self, key: Key) -> Option<&Peer>;

    /// Those who are told when this node goes, and may keep what it holds.
    fn neighbours(&self) -> Vec<Contact>;

    /// Nodes that lie far away, as far as it knows some: from there it looks at its own place.
    fn far(&self) -> Vec<Contact>;

    /// Whom it knows, in a few words for its operator.
    fn acquaintances(&self) -> String;

    /// This node begins an overlay: it is alone.
    fn alone(_: &mut Node<Self>) {}

    /// The node that is responsible for this one's key is known, and those who were asked on the way:
    /// what else is to be asked before this one is let in?
    fn joining(node: &mut Node<Self>, owner: Contact, way: Vec<Contact>, cx: &mut Cx<'_, Self>);

    /// It is let in: it introduces itself to those whom it has heard of.
    fn let_in(node: &mut Node<Self>, others: &[Contact], cx: &mut Cx<'_, Self>);

    /// One round of upkeep.
    fn round(node: &mut Node<Self>, cx: &mut Cx<'_, Self>);

    /// The time has come that the overlay wanted to be woken at.
    fn due(_: &mut Node<Self>, _: &mut Cx<'_, Self>) {}

    /// This node goes, and has handed on what it held: last words to its neighbours.
    fn parting(_: &mut Node<Self>, _: &mut Cx<'_, Self>) {}

    /// Others see these near this node, or near a place that it has asked for, by a lookup that began so.
    fn seen_near(
        node: &mut Node<Self>,
        begin: Self::Carry,
        contacts: &[Contact],
        cx: &mut Cx<'_, Self>,
    ) {
        let _ = begin;
        contacts.iter().for_each(|&it| node.consider(it, cx));
    }

    /// Who is responsible for `place` is known: the node itself has looked for it.
    fn located(_: &mut Node<Self>, _place: Key, _owner: Contact, _: &mut Cx<'_, Self>) {}

    /// Whether there is a place for a node with that key, which is not known yet.
    fn would_take(node: &Node<Self>, key: Key) -> bool;

    /// A node is there: it takes its place, if there is one.
    fn take(node: &mut Node<Self>, peer: Peer, cx: &mut Cx<'_, Self>);

    /// An answer of a node that is known took so long.
    fn measured(&mut self, contact: Contact, round_trip: Duration);

    /// A node is gone; says whether it was known.
    fn remove(node: &mut Node<Self>, contact: Contact, cx: &mut Cx<'_, Self>) -> bool;

    /// A member says or asks something that only such nodes do. `sender` is none if it says that it is
    /// no member.
    fn asked(
        node: &mut Node<Self>,
        from: Address,
        sender: Option<Contact>,
        words: Self::Words,
        cx: &mut Cx<'_, Self>,
    );

    /// A question was answered. False if the answer does not fit it: that is as good as none.
    fn answered(
        node: &mut Node<Self>,
        errand: &Self::Errand,
        by: Contact,
        words: Self::Words,
        cx: &mut Cx<'_, Self>,
    ) -> bool;

    /// A question has no answer.
    fn unanswered(node: &mut Node<Self>, errand: Self::Errand, cx: &mut Cx<'_, Self>);

    /// Panics if an invariant of the state is broken.
    fn check(node: &Node<Self>);
}

/// What an input to a [`Node`] is handled with.
pub type Cx<'a, G> = Context<'a, Node<G>>;
