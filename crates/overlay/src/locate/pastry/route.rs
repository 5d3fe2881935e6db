//! The way to a key: Middleware 2001, section 2.3, table 1.
//!
//! ```text
//! key between the farthest leaves?   the leaf that is nearest to it, or this node
//! a node in the key's cell?          that one: it shares one digit more
//! else, rarely                       whoever is nearer, and shares no fewer digits
//! ```

use nigh_base::Key;

use super::{
    Node,
    leaves::{Peer, nearness},
};
use crate::locate::{Contact, codec::CONTACTS_MAX};

/// Nodes named in one answer: the next, and who may stand in for it.
const ALTERNATES: usize = 3;

impl Node {
    /// Everybody in the tables; one may come more than once.
    fn known(&self) -> impl Iterator<Item = &Peer> {
        self.leaves.iter().chain(self.table.iter())
    }

    /// The next node on the way to `key`, as if `without` were not there; none if it is this one.
    pub(super) fn next_hop(&self, key: Key, without: &[Key]) -> Option<Contact> {
        let mine = nearness(self.me.key, key);
        let nearer = |it: &Contact| nearness(it.key, key) < mine && !without.contains(&it.key);
        let nearest = |it: &Contact| nearness(it.key, key);
        if self.leaves.are_all() {
            return self.known().map(|it| it.contact).filter(nearer).min_by_key(nearest);
        }
        if self.leaves.cover(key) {
            return self.leaves.contacts().filter(nearer).min_by_key(nearest);
        }
        let cell = self.table.at(key).map(|cell| cell.contact);
        if let Some(cell) = cell.filter(|it| !without.contains(&it.key)) {
            return Some(cell);
        }
        let (row, digits) = (self.table.row_of(key), self.settings.digits());
        let shares = |it: &Contact| digits.shared(it.key, key);
        let rare = self.known().map(|it| it.contact).filter(|it| shares(it) >= row && nearer(it));
        rare.min_by_key(|it| (std::cmp::Reverse(shares(it)), nearest(it)))
    }

    /// The next node on the way to `key`, and those who would be if it were not there.
    pub(super) fn next_hops(&self, key: Key, without: &[Key]) -> Vec<Contact> {
        let mut without = without.to_vec();
        let mut hops = Vec::with_capacity(ALTERNATES);
        while hops.len() < ALTERNATES
            && let Some(next) = self.next_hop(key, &without)
        {
            without.push(next.key);
            hops.push(next);
        }
        hops
    }

    /// The `count` nodes of the leaf set and this one that are nearest to `key`, the nearest first.
    pub(super) fn nearest(&self, key: Key, count: usize) -> Vec<Contact> {
        let mut all: Vec<Contact> =
            self.leaves.contacts().chain(std::iter::once(self.me)).collect();
        all.sort_by_key(|it| nearness(it.key, key));
        all.truncate(count.min(CONTACTS_MAX));
        all
    }

    /// Who holds what lies under `key`, by the settings of this node.
    pub(super) fn holders(&self, key: Key) -> Vec<Contact> {
        self.nearest(key, self.settings.copies.into())
    }

    /// The same as if `without` were not there, and this node, which owns `key` then, were first.
    pub(super) fn holders_without(&self, key: Key, without: &[Key]) -> Vec<Contact> {
        let count = usize::from(self.settings.copies);
        let mut holders = self.nearest(key, count + without.len());
        holders.retain(|it| !without.contains(&it.key) && *it != self.me);
        holders.insert(0, self.me);
        holders.truncate(count);
        holders
    }

    /// Whether this node is responsible for `key`, as far as it knows.
    pub(super) fn owns(&self, key: Key) -> bool {
        self.next_hop(key, &[]).is_none()
    }
}
