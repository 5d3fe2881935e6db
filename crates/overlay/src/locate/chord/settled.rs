//! A ring as it is when all has settled: what joins and upkeep lead to, worked out at once.
//!
//! Simulations of many nodes begin here, as the paper's do: a million joins would only repeat what
//! a thousand show.

use std::sync::Arc;

use nigh_base::{Key, Time};

use super::{Node, Settings, Standing, Timer};
use crate::locate::Contact;

/// All nodes of a ring, in the order of their keys.
#[derive(Clone, Debug)]
pub struct Ring {
    settings: Arc<Settings>,
    contacts: Vec<Contact>,
    /// The upper 64 bits of their keys.
    tops: Vec<u64>,
}

impl Ring {
    /// The ring of these nodes.
    ///
    /// # Panics
    /// If two have one key, or there is none.
    pub fn new(settings: Arc<Settings>, mut contacts: Vec<Contact>) -> Self {
        settings.check();
        contacts.sort_unstable();
        assert!(!contacts.is_empty(), "a ring has a node");
        assert!(contacts.is_sorted_by(|a, b| a.key < b.key), "two nodes have one key");
        let tops = contacts.iter().map(|it| it.key.top()).collect();
        Self { settings, contacts, tops }
    }

    /// Its nodes, in the order of their keys.
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// The first node at or behind `key`: who is responsible for it.
    pub fn successor(&self, key: Key) -> Contact {
        self.contacts[self.place(key)]
    }

    /// Where `key` belongs. Keys are hashes, spread evenly: the search begins where an even spread
    /// has it, as wide as chance may have moved it, among upper halves that lie close together.
    fn place(&self, key: Key) -> usize {
        let (top, count) = (key.top(), self.tops.len());
        let guess = usize::try_from((u128::from(top) * count as u128) >> 64).expect("below count");
        let mut width = 2 * count.isqrt() + 1;
        let (low, high) = loop {
            let (low, high) = (guess.saturating_sub(width), (guess + width).min(count));
            let reaches_down = low == 0 || self.tops[low - 1] < top;
            if reaches_down && (high == count || self.tops[high] > top) {
                break (low, high);
            }
            width *= 4;
        };
        let first = low + self.tops[low..high].partition_point(|&it| it < top);
        let same = self.tops[first..high].partition_point(|&it| it == top);
        let alike = &self.contacts[first..first + same];
        (first + alike.partition_point(|it| it.key < key)) % count
    }

    fn behind(&self, place: usize, count: usize) -> impl Iterator<Item = Contact> {
        (0..count.min(self.contacts.len()))
            .map(move |step| self.contacts[(place + step) % self.contacts.len()])
    }

    /// The machine of one of its nodes, whose first round comes at `first_round`. `nearest` chooses
    /// among candidates for a finger when there are several: the place of the one that is taken.
    /// Costs log^2 N.
    ///
    /// # Panics
    /// If `me` is no node of the ring.
    pub fn node(
        &self,
        me: Contact,
        first_round: Time,
        mut nearest: impl FnMut(&[Contact]) -> usize,
    ) -> Node {
        let mut node = Node::new(me.key, me.address, self.settings.clone());
        let place = self.place(me.key);
        assert_eq!(self.contacts[place], me, "no node of this ring");
        node.standing = Standing::Member;
        node.timers.set(Timer::Stabilise, first_round);
        if self.contacts.len() == 1 {
            return node;
        }
        let others = self.contacts.len() - 1;
        let successors: Vec<Contact> =
            self.behind(place + 1, self.settings.successors.min(others)).collect();
        node.adopt(&successors);
        node.predecessor = Some(self.contacts[(place + others) % self.contacts.len()]);
        let circle = self.settings.circle;
        let lowest = node.lowest_finger();
        for exponent in lowest..circle.bits() {
            let start = circle.finger_start(me.key, exponent);
            let first = self.place(start);
            let inside = |it: &Contact| {
                let distance = circle.distance(me.key, it.key);
                distance >= Key::power(exponent)
                    && (exponent + 1 == circle.bits() || distance < Key::power(exponent + 1))
            };
            let candidates: Vec<Contact> =
                self.behind(first, self.settings.proximity).take_while(inside).collect();
            let chosen = match &candidates[..] {
                [] => self.contacts[first],
                [one] => *one,
                several => several[nearest(several)],
            };
            // Behind the start there may be nobody but this node.
            if circle.distance(me.key, chosen.key) >= Key::power(exponent) {
                node.fingers.set(exponent, chosen);
            }
        }
        node
    }
}
