//! What keeps the leaf set true while nodes come and go.
//!
//! Pastry mends a hole when it finds one: it asks another node for the nodes that may fill it
//! (Middleware 2001, section 2.4). Under churn that makes the more work the more nodes go, and the
//! work makes more nodes seem gone. Bamboo exchanges leaf sets at its own pace whatever happens
//! (Rhea, Geels, Roscoe, Kubiatowicz, "Handling Churn in a DHT", USENIX 2004, section 4.1).

use nigh_base::Address;

use super::{
    Circle, Repair, Shortcuts, leaves,
    message::{Errand, Words},
};
use crate::locate::{
    Contact,
    codec::Nonce,
    node::{For, Node, geometry::Cx, message::Body},
};

impl<S: Shortcuts> Node<Circle<S>> {
    /// Asks the next leaf on each side, and the rest one after the other, for theirs; or all whether
    /// they are there.
    pub(super) fn look_after_leaves(&mut self, cx: &mut Cx<'_, Circle<S>>) {
        let all: Vec<Contact> = self.geometry.leaves.contacts().collect();
        if self.circle().repair == Repair::Reactive {
            return all.into_iter().for_each(|leaf| self.suspect(leaf, cx));
        }
        let turn = (!all.is_empty()).then(|| all[self.rounds() as usize % all.len()]);
        let mut due: Vec<Contact> =
            self.geometry.leaves.next().into_iter().chain([turn]).flatten().collect();
        due.sort_unstable();
        due.dedup();
        for leaf in due {
            self.ask_leaves(leaf, Errand::Leaves, cx);
        }
    }

    pub(in crate::locate) fn ask_leaves(
        &mut self,
        of: Contact,
        errand: Errand<S::Errand>,
        cx: &mut Cx<'_, Circle<S>>,
    ) -> bool {
        let body = |nonce| Body::Own(Words::Leaves { nonce });
        self.ask(of, For::Own(errand), body, cx)
    }

    pub(super) fn name_leaves(&mut self, to: Address, nonce: Nonce, cx: &mut Cx<'_, Circle<S>>) {
        let contacts = self.geometry.leaves.contacts().collect();
        self.say(to, Body::Own(Words::LeavesAre { nonce, contacts }), cx);
    }

    /// A leaf has named its leaves. Those of this node that it should have named, and has not, it may
    /// have found gone.
    pub(super) fn leaves_are(
        &mut self,
        by: Contact,
        contacts: &[Contact],
        cx: &mut Cx<'_, Circle<S>>,
    ) {
        let missing = leaves::missing(self.geometry.leaves.contacts(), by, contacts);
        missing.into_iter().for_each(|it| self.suspect(it, cx));
        contacts.iter().for_each(|&it| self.consider(it, cx));
    }

    /// A leaf is gone: the farthest on its side knows who comes in its place.
    pub(super) fn lost_leaf(&mut self, leaf: Contact, cx: &mut Cx<'_, Circle<S>>) {
        let is_due = self.circle().repair == Repair::Reactive && self.is_member();
        if is_due && let Some(end) = self.geometry.leaves.far_end(leaf.key) {
            self.ask_leaves(end, Errand::Leaves, cx);
        }
    }
}
