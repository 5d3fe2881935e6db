//! Whoever purges: what it commits, and who has heard of it.

use std::{collections::BTreeMap, time::Duration};

use nigh_base::Time;

use super::{LOG_MAX, number_in, number_of, purge_key, reached};
use crate::{
    control::{Change, Commit, Condition, Fault, Key, Listing, Revision, Transaction, Value},
    family::QualifiedName,
};

/// How an edge stands with a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It has not said a word yet, and may serve what was purged.
    Waiting,
    /// It has forgotten, this long after the purge began.
    Forgotten(Duration),
    /// Its lease ran out, or it had none, this long after: it validates before it serves, and forgets
    /// before it is trusted again.
    Lapsed(Duration),
}

/// A purge on its way.
#[derive(Clone, Debug)]
pub struct Purge {
    number: u64,
    began: Time,
    edges: BTreeMap<QualifiedName, Reached>,
    /// What edges have said by then was in the list.
    listed: Revision,
}

/// What makes `value` the purge after the newest in `listing`, and its number. If another came first,
/// that is a conflict: list anew.
///
/// # Errors
/// If the value is too long.
pub fn purging(listing: &Listing, value: Value) -> Result<(u64, Transaction), Fault> {
    let newest = listing.entries.iter().rev().find_map(|(key, _)| number_of(key)).unwrap_or(0);
    let number = newest + 1;
    let before = (newest > 0).then(|| (purge_key(newest), Condition::Exists));
    let conditions = before.into_iter().chain([(purge_key(number), Condition::Absent)]);
    let left = number.checked_sub(LOG_MAX).filter(|left| *left > 0);
    let changes = [(purge_key(number), Change::Put { value, lease: None })];
    let changes = changes.into_iter().chain(left.map(|left| (purge_key(left), Change::Delete)));
    Ok((number, Transaction::new(conditions, changes)?))
}

impl Purge {
    /// Purge `number`, which was committed for somebody who asked at `began`, and the edges that are
    /// known to belong.
    pub fn new(number: u64, began: Time, edges: impl Iterator<Item = QualifiedName>) -> Self {
        let edges = edges.map(|edge| (edge, Reached::Waiting)).collect();
        Self { number, began, edges, listed: Revision::NONE }
    }

    /// Its number.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// All that edges have said, as it is in control state after the purge was committed.
    pub fn listed(&mut self, now: Time, listing: &Listing) {
        self.listed = listing.revision;
        let mut heard = BTreeMap::new();
        for (key, entry) in &listing.entries {
            if let Some(edge) = edge_in(key) {
                // Who serves without belonging is waited for all the same.
                self.edges.entry(edge.clone()).or_insert(Reached::Waiting);
                heard.insert(edge, &entry.value);
            }
        }
        let edges: Vec<QualifiedName> = self.edges.keys().cloned().collect();
        for edge in edges {
            self.note(now, &edge, heard.get(&edge).copied());
        }
    }

    /// A commit that touches what edges have said. One that the list knew of says nothing: an edge may
    /// have come since, and a watch may begin before the purge.
    pub fn saw(&mut self, now: Time, commit: &Commit) {
        if commit.revision <= self.listed {
            return;
        }
        for (key, change) in &commit.changes {
            let value = match change {
                Change::Put { value, .. } => Some(value),
                Change::Delete => None,
            };
            if let Some(edge) = edge_in(key) {
                self.note(now, &edge, value);
            }
        }
    }

    /// Whether nobody is waited for any more: from now on no edge serves what was purged.
    pub fn is_done(&self) -> bool {
        self.edges.values().all(|reached| *reached != Reached::Waiting)
    }

    /// Each edge, in the order of names.
    pub fn edges(&self) -> impl ExactSizeIterator<Item = (&QualifiedName, Reached)> {
        self.edges.iter().map(|(edge, reached)| (edge, *reached))
    }

    fn note(&mut self, now: Time, edge: &QualifiedName, said: Option<&Value>) {
        let after = now.since(self.began);
        let Some(reached @ Reached::Waiting) = self.edges.get_mut(edge) else { return };
        match said.map(number_in) {
            None => *reached = Reached::Lapsed(after),
            Some(Some(number)) if number >= self.number => *reached = Reached::Forgotten(after),
            Some(_) => {}
        }
    }
}

fn edge_in(key: &Key) -> Option<QualifiedName> {
    QualifiedName::in_key(&reached(), key)
}
