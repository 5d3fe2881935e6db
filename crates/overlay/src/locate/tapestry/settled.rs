//! Nodes of Tapestry as they are when all has settled: what joins and upkeep lead to, worked out at once, for
//! simulations.

use std::sync::Arc;

use nigh_base::{Key, Time, space::prefix::Digits};

use super::{Node, Settings, surrogacy};
use crate::locate::{Contact, node::geometry::Peer};

/// All nodes of an overlay, in the order of their keys.
#[derive(Clone, Debug)]
pub struct Settled {
    settings: Arc<Settings>,
    digits: Digits,
    contacts: Vec<Contact>,
}

impl Settled {
    /// The overlay of these nodes.
    ///
    /// # Panics
    /// If two have one key, or there is none.
    pub fn new(settings: Arc<Settings>, mut contacts: Vec<Contact>) -> Self {
        contacts.sort_unstable();
        assert!(!contacts.is_empty(), "an overlay has a node");
        assert!(contacts.is_sorted_by(|a, b| a.key < b.key), "two nodes have one key");
        let digits = settings.digits();
        Self { settings, digits, contacts }
    }

    /// Its nodes, in the order of their keys.
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// Who is responsible for `key`: its surrogate root.
    pub fn owner(&self, key: Key) -> Contact {
        let (mut left, bits) = (&self.contacts[..], self.settings.digit_bits);
        for row in 0..self.digits.count() {
            if left.len() == 1 {
                break;
            }
            let wanted = self.digits.at(key, row);
            let behind =
                |it: &Contact| self.digits.at(it.key, row).wrapping_sub(wanted) & ((1 << bits) - 1);
            let digit = |it: &Contact| self.digits.at(it.key, row);
            let best = left.chunk_by(|a, b| digit(a) == digit(b)).min_by_key(|it| behind(&it[0]));
            left = best.expect("somebody is left");
        }
        left[0]
    }

    /// The machine of one of its nodes, whose first round comes at `first_round`. `order` puts all
    /// who fit into a cell in the order in which they are taken, as many as there is room for.
    ///
    /// # Panics
    /// If `me` is no node of the overlay.
    pub fn node(
        &self,
        me: Contact,
        first_round: Time,
        mut order: impl FnMut(&mut Vec<Contact>),
    ) -> Node {
        assert!(self.contacts.binary_search(&me).is_ok(), "no node of this overlay");
        let mut node = Node::settled(me, Arc::clone(&self.settings), first_round);
        let bits = self.settings.digit_bits;
        let rows = (0..self.digits.count()).map(|row| Key::BITS - (row + 1) * bits);
        let rows: Vec<(u32, u32)> = (0..).zip(rows).collect();
        let alone = |&(_, below): &(u32, u32)| self.sharing(me.key, below + bits).len() > 1;
        let used: Vec<_> = rows.into_iter().take_while(alone).collect();
        // From the deepest: who stands in for the node decides how many there is room for.
        for (row, below) in used.into_iter().rev() {
            let prefix = me.key.minus(me.key.low(below + bits));
            for digit in (0..1u8 << bits).filter(|it| *it != self.digits.at(me.key, row)) {
                let prefix = prefix.plus(Key::from(u64::from(digit)).shifted_up(below));
                let mut fit = self.sharing(prefix, below).to_vec();
                order(&mut fit);
                for it in fit.into_iter().take(node.geometry.table.capacity(row)) {
                    node.geometry.table.take(Peer::unmeasured(it));
                }
            }
        }
        node
    }

    /// The nodes whose keys are like `prefix` but for the lowest `bits` bits.
    fn sharing(&self, prefix: Key, bits: u32) -> &[Contact] {
        let prefix = prefix.minus(prefix.low(bits));
        let first = self.contacts.partition_point(|it| it.key < prefix);
        let rest = &self.contacts[first..];
        &rest[..rest.partition_point(|it| it.key.minus(it.key.low(bits)) == prefix)]
    }

    /// The owner of `key`, and who would be it without those before.
    pub fn nearest(&self, key: Key, count: usize) -> Vec<Contact> {
        let mut all = self.contacts.clone();
        all.sort_by_cached_key(|it| surrogacy(self.digits, it.key, key));
        all.truncate(count);
        all
    }
}
