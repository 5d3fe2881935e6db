//! A node of Pastry as it is when all has settled, for simulations.

use nigh_base::{Key, Time};

use super::{Node, table::Table};
use crate::locate::{Contact, circle, node::geometry::Peer};

/// All nodes of an overlay.
pub type Settled = circle::settled::Settled<Table>;

impl Settled {
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
        let mut node = self.with_leaves(me, first_round);
        let bits = self.settings().digit_bits;
        let digits = self.settings().digits();
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
                    node.geometry.far.take(Peer::unmeasured(fit[nearest(fit)]));
                }
            }
        }
        node
    }

    /// The nodes whose keys are like `prefix` but for the lowest `bits` bits.
    fn sharing(&self, prefix: Key, bits: u32) -> &[Contact] {
        let first = self.place(prefix);
        let is_in = |it: &Contact| it.key.minus(it.key.low(bits)) == prefix;
        let rest = &self.contacts()[first..];
        &rest[..rest.partition_point(is_in)]
    }
}
