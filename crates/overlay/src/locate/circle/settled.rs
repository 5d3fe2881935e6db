//! A circle as it is when all has settled: what joins and upkeep lead to, worked out at once.
//!
//! Simulations of many nodes begin here: 10^5 joins would only repeat what a hundred show.

use std::sync::Arc;

use nigh_base::{Key, Time};

use super::{Circle, Rule, Shortcuts};
use crate::locate::{
    Contact,
    node::{Node, geometry::Peer},
};

/// All nodes of an overlay, in the order of their keys.
#[derive(Clone, Debug)]
pub struct Settled<S: Shortcuts> {
    settings: Arc<S::Settings>,
    contacts: Vec<Contact>,
}

impl<S: Shortcuts> Settled<S> {
    /// The overlay of these nodes.
    ///
    /// # Panics
    /// If two have one key, or there is none.
    pub fn new(settings: Arc<S::Settings>, mut contacts: Vec<Contact>) -> Self {
        contacts.sort_unstable();
        assert!(!contacts.is_empty(), "an overlay has a node");
        assert!(contacts.is_sorted_by(|a, b| a.key < b.key), "two nodes have one key");
        Self { settings, contacts }
    }

    /// Its nodes, in the order of their keys.
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// How its nodes behave.
    pub fn settings(&self) -> &S::Settings {
        &self.settings
    }

    /// Who is responsible for `key`.
    pub fn owner(&self, key: Key) -> Contact {
        let (count, above) = (self.contacts.len(), self.place(key));
        let [next, before] = [above, above + count - 1].map(|at| self.contacts[at % count]);
        match S::RULE {
            Rule::Successor => next,
            Rule::Nearest => {
                let is_before = S::RULE.order(before.key, key) < S::RULE.order(next.key, key);
                if is_before { before } else { next }
            }
        }
    }

    /// How many nodes have lower keys.
    pub(in crate::locate) fn place(&self, key: Key) -> usize {
        self.contacts.partition_point(|it| it.key < key)
    }

    /// The machine of one of its nodes with its leaves, whose first round comes at `first_round`. Far links
    /// are made by whoever knows their kind.
    ///
    /// # Panics
    /// If `me` is no node of the overlay.
    pub(in crate::locate) fn with_leaves(&self, me: Contact, first_round: Time) -> Node<Circle<S>> {
        let mut node = Node::settled(me, Arc::clone(&self.settings), first_round);
        let (place, count) = (self.place(me.key), self.contacts.len());
        assert_eq!(self.contacts.get(place), Some(&me), "no node of this overlay");
        for step in 1..=(node.circle().leaves / 2).min(count - 1) {
            for at in [place + step, place + count - step] {
                node.geometry.leaves.take(Peer::unmeasured(self.contacts[at % count]));
            }
        }
        node
    }
}
