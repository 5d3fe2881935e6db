//! The names of a simulated disk: which file each leads to, now and after a crash.
//!
//! Changes go into a journal, and a crash keeps a prefix of it; so a rename is never seen half
//! done, and no change outlives an earlier one that was lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::UNSYNCED_MAX;

/// A file whatever its name; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Inode(u64);

type Names = BTreeMap<String, Inode>;

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Directory {
    visible: Names,
    durable: Names,
    /// What leads from the durable names to the visible ones.
    journal: VecDeque<Entry>,
    made: u64,
}

#[derive(Clone, Debug, Hash)]
enum Entry {
    Made { name: String, inode: Inode },
    Removed { name: String },
    Renamed { from: String, to: String },
}

impl Directory {
    pub(super) fn find(&self, name: &str) -> Option<Inode> {
        self.visible.get(name).copied()
    }

    pub(super) fn find_or_make(&mut self, name: &str) -> Inode {
        self.find(name).unwrap_or_else(|| {
            let inode = Inode(self.made);
            self.made += 1;
            self.record(Entry::Made { name: name.to_owned(), inode });
            inode
        })
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.record(Entry::Removed { name: name.to_owned() });
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.record(Entry::Renamed { from: from.to_owned(), to: to.to_owned() });
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.visible.keys()
    }

    /// The files that have a name.
    pub(super) fn inodes(&self) -> impl Iterator<Item = Inode> {
        self.visible.values().copied()
    }

    /// The files that have a name or may have one after a crash.
    pub(super) fn reachable(&self) -> BTreeSet<Inode> {
        let made = self.journal.iter().filter_map(|entry| match entry {
            Entry::Made { inode, .. } => Some(*inode),
            Entry::Removed { .. } | Entry::Renamed { .. } => None,
        });
        self.durable.values().copied().chain(made).collect()
    }

    /// How many changes are not durable.
    pub(super) fn unsynced(&self) -> usize {
        self.journal.len()
    }

    /// Makes the first `count` of them durable.
    pub(super) fn commit(&mut self, count: usize) {
        for entry in self.journal.drain(..count) {
            entry.apply(&mut self.durable);
        }
    }

    /// Keeps the first `kept` of them and loses the others.
    pub(super) fn crash(&mut self, kept: usize) {
        self.commit(kept);
        self.journal.clear();
        self.visible = self.durable.clone();
    }

    fn record(&mut self, entry: Entry) {
        entry.apply(&mut self.visible);
        self.journal.push_back(entry);
        self.commit(self.journal.len().saturating_sub(UNSYNCED_MAX));
    }
}

impl Entry {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Made { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Removed { name } => {
                names.remove(name);
            }
            Self::Renamed { from, to } => {
                let inode = names.remove(from).expect("the journal was written with this name");
                names.insert(to.clone(), inode);
            }
        }
    }
}
