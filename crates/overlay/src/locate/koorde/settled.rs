//! A node of Koorde as it is when all has settled, for simulations.

use nigh_base::{Key, Time};

use super::{Node, Pointers};
use crate::locate::{Contact, circle, node::geometry::Peer};

/// All nodes of an overlay.
pub type Settled = circle::settled::Settled<Pointers>;

impl Settled {
    /// The machine of one of its nodes, whose first round comes at `first_round`.
    ///
    /// # Panics
    /// If `me` is no node of the overlay.
    pub fn node(&self, me: Contact, first_round: Time) -> Node {
        let mut node = self.with_leaves(me, first_round);
        let far = &mut node.geometry.far;
        let ([before, behind], all) = (far.room(), self.contacts());
        // From the first node behind the point on, and from the one before it back.
        let first = self.place(far.point().plus(Key::from(1)));
        let clockwise = || all.iter().cycle().skip(first).take(all.len()).filter(|it| **it != me);
        let back = || all.iter().rev().cycle().skip(all.len() - first).filter(|it| **it != me);
        let others = all.len() - 1;
        for &contact in clockwise().take(behind).chain(back().take(before.min(others))) {
            far.take(Peer::unmeasured(contact));
        }
        node
    }
}
