//! Overlays on one circle of keys, whose nodes know those next to them on both sides: the leaf set. It
//! decides who owns a key, keeps the circle together and is looked after in one way, whatever the links to
//! far nodes ([`Shortcuts`]) are: Pastry's table, Koorde's de Bruijn graph, Viceroy's butterfly.
//!
//! ```text
//! leaves   the leaf set
//! upkeep   what keeps the leaf set true: reactive or periodic
//! message  what is said about leaves
//! settled  a circle as it is when all has settled, for simulations
//! ```

pub(crate) mod leaves;
pub mod message;
pub mod settled;
mod upkeep;

use std::{fmt, hash::Hash, time::Duration};

use nigh_base::{Address, Key, wire::Wire};

use self::{
    leaves::Leaves,
    message::{Errand, Words},
};
use super::{
    Contact,
    codec::CONTACTS_MAX,
    node::{
        self, Node,
        geometry::{self, Cx, Geometry, Peer, Step},
    },
};

/// How a node on a circle looks after its leaf set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// What every overlay is told.
    pub node: node::Settings,
    /// How many leaves a node has, half of them on each side: even, 2 to 32.
    pub leaves: usize,
    /// What is done about nodes that are gone.
    pub repair: Repair,
}

/// When a node looks for others in the place of those that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repair {
    /// At once, as in Pastry.
    Reactive,
    /// With the next exchange, as in Bamboo.
    Periodic,
}

impl Default for Settings {
    fn default() -> Self {
        Self { node: node::Settings::default(), leaves: 16, repair: Repair::Periodic }
    }
}

impl AsRef<node::Settings> for Settings {
    fn as_ref(&self) -> &node::Settings {
        &self.node
    }
}

impl Settings {
    /// Holds that the numbers fit together.
    ///
    /// # Panics
    /// If they do not; the message says which.
    fn check(&self) {
        let is_even = self.leaves.is_multiple_of(2);
        assert!(is_even && (2..=CONTACTS_MAX).contains(&self.leaves), "2 to 32 leaves, evenly");
        assert!(usize::from(self.node.copies) <= self.leaves / 2 + 1, "copies lie with leaves");
    }
}

/// Who owns a key on the circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The node that is numerically nearest; of two the lower.
    Nearest,
    /// The first node at or behind the key, clockwise.
    Successor,
}

impl Rule {
    /// Orders nodes by how near they are to owning `target`: the least owns it.
    pub fn order(self, node: Key, target: Key) -> (Key, Key) {
        match self {
            Self::Nearest => leaves::nearness(node, target),
            Self::Successor => (node.minus(target), node),
        }
    }
}

/// The links of a node to others far away on the circle: what makes ways short.
pub trait Shortcuts: fmt::Debug + Hash + Send + Sized {
    /// Its name, as its users know it.
    const NAME: &'static str;
    /// Who owns a key.
    const RULE: Rule;

    /// How nodes behave.
    type Settings: AsRef<node::Settings> + AsRef<Settings> + fmt::Debug + Hash + Send + Sync;
    /// What a lookup takes from node to node; the default is that of one that begins.
    type Carry: Wire + Clone + Copy + fmt::Debug + Default + Eq + Hash + Send;
    /// What is said about these links alone.
    type Words: geometry::Words;
    /// What questions about them are for.
    type Errand: geometry::Errand;

    /// The links of a node that has none yet.
    ///
    /// # Panics
    /// If the settings do not fit together; the message says which.
    fn new(me: Contact, settings: &Self::Settings) -> Self;

    /// The next node on the way to `key`, which lies beyond the leaf set. None if this node knows none.
    fn next_hop(
        node: &Node<Circle<Self>>,
        key: Key,
        carry: Self::Carry,
        without: &[Key],
    ) -> Option<Step<Self::Carry>>;

    /// What is known of a node that is linked.
    fn peer(&self, key: Key) -> Option<&Peer>;

    /// All who are linked.
    fn contacts(&self) -> Vec<Contact>;

    /// Whom it knows, in a few words for its operator.
    fn acquaintances(&self) -> String;

    /// Whether there may be a link to a node with that key.
    fn would_take(node: &Node<Circle<Self>>, key: Key) -> bool;

    /// A node is there: it is linked, if that is wanted.
    fn take(node: &mut Node<Circle<Self>>, peer: Peer);

    /// An answer of a node that is linked took so long.
    fn measured(&mut self, contact: Contact, round_trip: Duration);

    /// A node is gone; says whether it was linked.
    fn remove(
        node: &mut Node<Circle<Self>>,
        contact: Contact,
        cx: &mut Cx<'_, Circle<Self>>,
    ) -> bool;

    /// This node was let in: `way` are those who were asked on the way to its place.
    fn let_in(node: &mut Node<Circle<Self>>, way: Vec<Contact>, cx: &mut Cx<'_, Circle<Self>>);

    /// One round of upkeep.
    fn round(node: &mut Node<Circle<Self>>, cx: &mut Cx<'_, Circle<Self>>);

    /// As [`Geometry::located`].
    fn located(
        _: &mut Node<Circle<Self>>,
        _place: Key,
        _owner: Contact,
        _: &mut Cx<'_, Circle<Self>>,
    ) {
    }

    /// A node that was asked for its leaves on such an errand has named them. False if leaves are no
    /// answer to it.
    fn leaves_are(
        _: &mut Node<Circle<Self>>,
        _: &Self::Errand,
        _by: Contact,
        _leaves: &[Contact],
        _: &mut Cx<'_, Circle<Self>>,
    ) -> bool {
        false
    }

    /// As [`Geometry::asked`].
    fn asked(
        node: &mut Node<Circle<Self>>,
        from: Address,
        sender: Option<Contact>,
        words: Self::Words,
        cx: &mut Cx<'_, Circle<Self>>,
    );

    /// As [`Geometry::answered`].
    fn answered(
        node: &mut Node<Circle<Self>>,
        errand: &Self::Errand,
        by: Contact,
        words: Self::Words,
        cx: &mut Cx<'_, Circle<Self>>,
    ) -> bool;

    /// As [`Geometry::unanswered`]; another round asks again.
    fn unanswered(_: &mut Node<Circle<Self>>, _: Self::Errand) {}

    /// Panics if an invariant is broken.
    fn check(node: &Node<Circle<Self>>);
}

/// A leaf set, and links beyond it.
#[derive(Debug, Hash)]
pub struct Circle<S> {
    me: Contact,
    pub(super) leaves: Leaves,
    pub(super) far: S,
    /// While this node joins: who has answered on the way to its place, the owner last.
    way: Vec<Contact>,
}

impl<S: Shortcuts> Node<Circle<S>> {
    /// The leaf set, in the order of the keys.
    pub fn leaves(&self) -> Vec<Contact> {
        let mut leaves: Vec<Contact> = self.geometry.leaves.contacts().collect();
        leaves.sort_unstable();
        leaves
    }

    pub(super) fn circle(&self) -> &Settings {
        self.settings().as_ref()
    }
}

/// The least by the rule among those that are not left out, if that is not this node itself.
fn best<S: Shortcuts>(
    me: Contact,
    known: impl Iterator<Item = Contact>,
    key: Key,
    without: &[Key],
) -> Option<Contact> {
    let others = known.filter(|it| !without.contains(&it.key));
    let best = others.min_by_key(|it| S::RULE.order(it.key, key))?;
    (S::RULE.order(best.key, key) < S::RULE.order(me.key, key)).then_some(best)
}

impl<S: Shortcuts> Geometry for Circle<S> {
    const NAME: &'static str = S::NAME;

    type Settings = S::Settings;
    type Carry = S::Carry;
    type Words = Words<S::Words>;
    type Errand = Errand<S::Errand>;

    fn new(me: Contact, settings: &S::Settings) -> Self {
        let circle: &Settings = settings.as_ref();
        circle.check();
        let leaves = Leaves::new(me.key, circle.leaves / 2);
        Self { me, leaves, far: S::new(me, settings), way: Vec::new() }
    }

    fn next_hop(
        node: &Node<Self>,
        key: Key,
        carry: S::Carry,
        without: &[Key],
    ) -> Option<Step<S::Carry>> {
        let Self { me, leaves, far, .. } = &node.geometry;
        let last = |contact| Step { contact, carry };
        let begin = |contact| Step { contact, carry: S::Carry::default() };
        if leaves.are_all() {
            let known = leaves.contacts().chain(far.contacts());
            return best::<S>(*me, known, key, without).map(last);
        }
        if leaves.cover(key) {
            return best::<S>(*me, leaves.contacts(), key, without).map(last);
        }
        let next = S::next_hop(node, key, carry, without);
        // Whoever lies before the key does not own it, even if nobody whom it knows behind itself is there: who is
        // the first behind the key, as far as it knows, sees more.
        let behind = || best::<S>(*me, leaves.contacts().chain(far.contacts()), key, without);
        next.or_else(|| behind().filter(|_| S::RULE == Rule::Successor).map(begin))
    }

    /// The leaf set and this node, those first that own `key` without the ones before.
    fn nearest(node: &Node<Self>, key: Key, count: usize) -> Vec<Contact> {
        let Self { me, leaves, .. } = &node.geometry;
        let mut all: Vec<Contact> = leaves.contacts().chain(std::iter::once(*me)).collect();
        all.sort_by_key(|it| S::RULE.order(it.key, key));
        all.truncate(count.min(CONTACTS_MAX));
        all
    }

    fn is_its(node: &Node<Self>, key: Key, other: Contact) -> bool {
        let me = node.geometry.me;
        S::RULE.order(other.key, key) < S::RULE.order(me.key, key)
            && Self::next_hop(node, key, S::Carry::default(), &[other.key]).is_none()
    }

    fn gap(key: Key, target: Key) -> Option<Key> {
        Some(match S::RULE {
            Rule::Nearest => leaves::distance(key, target),
            Rule::Successor => target.minus(key),
        })
    }

    fn peer(&self, key: Key) -> Option<&Peer> {
        self.leaves.get(key).or_else(|| self.far.peer(key))
    }

    fn neighbours(&self) -> Vec<Contact> {
        self.leaves.contacts().collect()
    }

    fn far(&self) -> Vec<Contact> {
        self.far.contacts()
    }

    fn acquaintances(&self) -> String {
        format!("{} leaves, {}", self.leaves.iter().count(), self.far.acquaintances())
    }

    fn joining(node: &mut Node<Self>, owner: Contact, way: Vec<Contact>, cx: &mut Cx<'_, Self>) {
        node.geometry.way = way;
        if !node.ask_leaves(owner, Errand::Join, cx) {
            node.join_again(cx);
        }
    }

    fn let_in(node: &mut Node<Self>, others: &[Contact], cx: &mut Cx<'_, Self>) {
        others.iter().for_each(|&it| node.consider(it, cx));
        // Who has let it in has answered, and is known even if every ping is lost: else this node would be alone,
        // and whoever joins through it would make an overlay of their own with it.
        let way = std::mem::take(&mut node.geometry.way);
        way.iter().for_each(|&it| Self::take(node, Peer::unmeasured(it), cx));
        S::let_in(node, way, cx);
    }

    fn round(node: &mut Node<Self>, cx: &mut Cx<'_, Self>) {
        node.look_after_leaves(cx);
        S::round(node, cx);
    }

    fn located(node: &mut Node<Self>, place: Key, owner: Contact, cx: &mut Cx<'_, Self>) {
        S::located(node, place, owner, cx);
    }

    fn would_take(node: &Node<Self>, key: Key) -> bool {
        node.geometry.leaves.would_take(key) || S::would_take(node, key)
    }

    fn take(node: &mut Node<Self>, peer: Peer, cx: &mut Cx<'_, Self>) {
        S::take(node, peer);
        if node.geometry.leaves.take(peer) {
            node.give_its_own(peer.contact, cx);
        }
    }

    fn measured(&mut self, contact: Contact, round_trip: Duration) {
        self.leaves.measured(contact, round_trip);
        self.far.measured(contact, round_trip);
    }

    fn remove(node: &mut Node<Self>, contact: Contact, cx: &mut Cx<'_, Self>) -> bool {
        let was_leaf = node.geometry.leaves.remove(contact);
        if was_leaf {
            node.lost_leaf(contact, cx);
        }
        S::remove(node, contact, cx) || was_leaf
    }

    fn asked(
        node: &mut Node<Self>,
        from: Address,
        sender: Option<Contact>,
        words: Self::Words,
        cx: &mut Cx<'_, Self>,
    ) {
        match words {
            Words::Leaves { nonce } => node.name_leaves(from, nonce, cx),
            Words::Far(words) => S::asked(node, from, sender, words, cx),
            Words::LeavesAre { .. } => {}
        }
    }

    fn answered(
        node: &mut Node<Self>,
        errand: &Self::Errand,
        by: Contact,
        words: Self::Words,
        cx: &mut Cx<'_, Self>,
    ) -> bool {
        if !node.is_member() && !matches!(errand, Errand::Join) {
            // It has left meanwhile, and keeps nothing true any more.
            return true;
        }
        match (errand, words) {
            (Errand::Leaves, Words::LeavesAre { contacts, .. }) => {
                node.leaves_are(by, &contacts, cx);
            }
            (Errand::Join, Words::LeavesAre { mut contacts, .. }) => {
                contacts.push(by);
                node.take_place(contacts, cx);
            }
            (Errand::Far(errand), Words::Far(words)) => {
                return S::answered(node, errand, by, words, cx);
            }
            (Errand::Far(errand), Words::LeavesAre { contacts, .. }) => {
                return S::leaves_are(node, errand, by, &contacts, cx);
            }
            _ => return false,
        }
        true
    }

    fn unanswered(node: &mut Node<Self>, errand: Self::Errand, cx: &mut Cx<'_, Self>) {
        match errand {
            Errand::Join => node.join_again(cx),
            // Another round asks again.
            Errand::Leaves => {}
            Errand::Far(errand) => S::unanswered(node, errand),
        }
    }

    fn check(node: &Node<Self>) {
        node.geometry.leaves.check();
        S::check(node);
    }
}

#[cfg(test)]
mod tests;
