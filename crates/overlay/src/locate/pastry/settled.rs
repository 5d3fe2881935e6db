//! An overlay as it is when all has settled: what joins and upkeep lead to, worked out at once.
//!
//! Simulations of many nodes begin here: 10^5 joins would only repeat what a hundred show.

use std::sync::Arc;

use nigh_base::{Key, Rtt, Time};

use super::{
    Node, Settings, Standing, Timer,
    leaves::{Peer, nearness},
};
use crate::locate::Contact;

/// All nodes of an overlay, in the order of their keys.
#[derive(Clone, Debug)]
pub struct Settled {
    settings: Arc<Settings>,
    contacts: Vec<Contact>,
}

impl Settled {
    /// The overlay of these nodes.
    ///
    /// # Panics
    /// If two have one key, or there is none.
    pub fn new(settings: Arc<Settings>, mut contacts: Vec<Contact>) -> Self {
        settings.check();
        contacts.sort_unstable();
        assert!(!contacts.is_empty(), "an overlay has a node");
        assert!(contacts.is_sorted_by(|a, b| a.key < b.key), "two nodes have one key");
        Self { settings, contacts }
    }

    /// Its nodes, in the order of their keys.
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// The node that is numerically nearest to `key`: who is responsible for it.
    pub fn owner(&self, key: Key) -> Contact {
        let (count, above) = (self.contacts.len(), self.place(key));
        let around = [above % count, (above + count - 1) % count].map(|at| self.contacts[at]);
        around[usize::from(nearness(around[1].key, key) < nearness(around[0].key, key))]
    }

    /// How many nodes have lower keys.
    fn place(&self, key: Key) -> usize {
        self.contacts.partition_point(|it| it.key < key)
    }

    /// The machine of one of its nodes, whose first round comes at `first_round`. `nearest` chooses
    /// for a cell of the table among all who fit there: the place of the one that is taken.
    ///
    /// # Panics
    /// If `me` is no node of the overlay.
    pub fn node(
        &self,
        me: Contact,
        first_round: Time,
        mut nearest: impl FnMut(&[Contact]) -> usize,
    ) -> Node {
        let mut node = Node::new(me.key, me.address, Arc::clone(&self.settings));
        let (place, count) = (self.place(me.key), self.contacts.len());
        assert_eq!(self.contacts.get(place), Some(&me), "no node of this overlay");
        node.standing = Standing::Member;
        node.timers.set(Timer::Round, first_round);
        let peer = |contact| Peer { contact, rtt: Rtt::default() };
        for step in 1..=(self.settings.leaves / 2).min(count - 1) {
            for at in [place + step, place + count - step] {
                node.leaves.take(peer(self.contacts[at % count]));
            }
        }
        let bits = self.settings.digit_bits;
        let digits = self.settings.digits();
        for row in 0..digits.count() {
            let below = Key::BITS - (row + 1) * bits;
            // All who share the row's digits with this node, itself among them.
            let prefix = me.key.minus(me.key.low(below + bits));
            let alike = self.sharing(prefix, below + bits);
            if alike.len() == 1 {
                break;
            }
            for digit in (0..1u8 << bits).filter(|it| *it != digits.at(me.key, row)) {
                let prefix = prefix.plus(Key::from(u64::from(digit)).shifted_up(below));
                let fit = self.sharing(prefix, below);
                if !fit.is_empty() {
                    node.table.take(peer(fit[nearest(fit)]));
                }
            }
        }
        node
    }

    /// The nodes whose keys are like `prefix` but for the lowest `bits` bits.
    fn sharing(&self, prefix: Key, bits: u32) -> &[Contact] {
        let first = self.place(prefix);
        let is_in = |it: &Contact| it.key.minus(it.key.low(bits)) == prefix;
        let rest = &self.contacts[first..];
        &rest[..rest.partition_point(is_in)]
    }
}
