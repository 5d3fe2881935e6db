//! Nodes on a circle, by their places in the order of their keys.

use nigh_base::Key;

use crate::rings::contacts;

/// A way is given up after so many hops: it goes round in a circle.
pub(super) const HOPS_MAX: u32 = 1_000;

/// The keys of all nodes.
#[derive(Debug)]
pub(super) struct Circle {
    pub(super) keys: Vec<Key>,
}

impl Circle {
    pub(super) fn new(nodes: u32) -> Self {
        let mut keys: Vec<Key> = contacts(nodes).into_iter().map(|it| it.key).collect();
        keys.sort_unstable();
        Self { keys }
    }

    /// A place that may go round once or twice.
    pub(super) fn place(&self, at: usize) -> usize {
        at % self.keys.len()
    }

    /// The first node at a key or behind it.
    pub(super) fn behind(&self, key: Key) -> usize {
        self.place(self.keys.partition_point(|it| *it < key))
    }

    /// The last node before a key.
    pub(super) fn before(&self, key: Key) -> usize {
        self.place(self.behind(key) + self.keys.len() - 1)
    }
}
