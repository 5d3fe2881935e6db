//! The rules of control state: a pure state machine, with the time of leases as an argument.
//!
//! Each change goes in two moves, so that an engine can make it durable in between: a `plan_` says
//! what it would do, as a [`Step`], and [`State::apply`] does it. Nothing else may be applied
//! between the two.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound::{Included, Unbounded},
};

use nigh_base::Time;

use super::{
    Bound, Change, Commit, Condition, Entry, Error, Key, Lease, LeaseId, Listing, Prefix, Revision,
    Transaction, Ttl,
};

/// How much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Keys at a time.
    pub keys: usize,
    /// Bytes of all keys and values that lie there.
    pub bytes: usize,
    /// Leases at a time.
    pub leases: usize,
    /// Commits that can be watched again.
    pub history_commits: usize,
    /// Bytes of keys and values in those commits. The latest commit is kept whatever it has.
    pub history_bytes: usize,
}

/// Room for the members and purges of a large fleet, and for watchers that were away for
/// some thousand commits; together with history not more memory than a small edge has to spare.
impl Default for Bounds {
    fn default() -> Self {
        Self {
            keys: 1 << 16,
            bytes: 64 << 20,
            leases: 1 << 12,
            history_commits: 10_000,
            history_bytes: 64 << 20,
        }
    }
}

/// All of control state: what lies where, the leases, and the latest commits.
///
/// A plan costs a lookup for each operation, and a step as much and a copy of each key.
#[derive(Clone, Debug, Hash)]
pub struct State {
    bounds: Bounds,
    revision: Revision,
    entries: BTreeMap<Key, Entry>,
    bytes: usize,
    leases: BTreeMap<LeaseId, Held>,
    next_lease: u64,
    history: VecDeque<Commit>,
    history_bytes: usize,
    /// The commits up to this one are no longer in the history.
    forgotten: Revision,
}

#[derive(Clone, Debug, Hash)]
struct Held {
    ttl: Ttl,
    until: Time,
    keys: BTreeSet<Key>,
}

/// What a plan comes to. An engine writes it down, and then has it applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a step that is not applied has not happened"]
pub struct Step {
    /// The commit that is made, if something changes.
    pub commit: Option<Commit>,
    /// What becomes of a lease.
    pub lease: Option<LeaseStep>,
    /// The commits up to this one leave the history.
    pub forgotten: Revision,
}

impl Step {
    /// Whether it does anything.
    pub const fn changes(&self) -> bool {
        self.commit.is_some() || self.lease.is_some()
    }
}

/// What becomes of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// It is granted.
    Granted(Lease),
    /// It ends.
    Ended(LeaseId),
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The first commit that touches its prefix, with what lies below it; none yet if empty.
    pub commit: Option<Commit>,
    /// Where to look on.
    pub after: Revision,
}

/// A state as an engine has kept it.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// The latest commit.
    pub revision: Revision,
    /// The commits up to this one are no longer in `history`.
    pub forgotten: Revision,
    /// The number of the next lease.
    pub next_lease: u64,
    /// What lies where.
    pub entries: Vec<(Key, Entry)>,
    /// The leases.
    pub leases: Vec<Lease>,
    /// The commits after `forgotten`, in order.
    pub history: Vec<Commit>,
}

/// What does not fit together in a [`Saved`]: an engine has not kept what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// An entry is younger than the latest commit.
    #[error("an entry is younger than the latest commit")]
    Entry,
    /// An entry hangs on a lease that there is not, or a lease has a number that is yet to come.
    #[error("a lease is missing, or has a number that was not given yet")]
    Lease,
    /// Commits are missing in the history, or too many.
    #[error("the history has gaps")]
    History,
}

impl State {
    /// Nothing yet.
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            revision: Revision::NONE,
            entries: BTreeMap::new(),
            bytes: 0,
            leases: BTreeMap::new(),
            next_lease: 1,
            history: VecDeque::new(),
            history_bytes: 0,
            forgotten: Revision::NONE,
        }
    }

    /// As it was kept. Each lease has its whole time from `now` on: while nobody could keep it
    /// alive, its time did not run.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn restore(bounds: Bounds, saved: Saved, now: Time) -> Result<Self, Misfit> {
        let mut state = Self::new(bounds);
        state.revision = saved.revision;
        state.forgotten = saved.forgotten;
        state.next_lease = saved.next_lease.max(1);
        for lease in saved.leases {
            if lease.id.0 >= state.next_lease {
                return Err(Misfit::Lease);
            }
            state.hold(lease, now);
        }
        for (key, entry) in saved.entries {
            if entry.revision > state.revision {
                return Err(Misfit::Entry);
            }
            if entry.lease.is_some_and(|lease| !state.leases.contains_key(&lease)) {
                return Err(Misfit::Lease);
            }
            state.insert(key, entry);
        }
        let numbers = saved.history.iter().map(|commit| commit.revision.0);
        if !numbers.eq(saved.forgotten.0 + 1..=saved.revision.0) {
            return Err(Misfit::History);
        }
        state.history_bytes = saved.history.iter().map(weight).sum();
        state.history = saved.history.into();
        Ok(state)
    }

    /// The latest commit.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// What lies under `key`.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// What lies below `prefix`. Costs what it gives.
    pub fn list(&self, prefix: &Prefix) -> Listing {
        let entries = self
            .entries
            .range::<str, _>((Included(prefix.as_str()), Unbounded))
            .take_while(|(key, _)| prefix.covers(key))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        Listing { entries, revision: self.revision }
    }

    /// The first commit after `after` that touches `prefix`. Costs a step for each commit that it
    /// passes by.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::Ahead`].
    pub fn next(&self, prefix: &Prefix, after: Revision) -> Result<Seen, Error> {
        if after > self.revision {
            return Err(Error::Ahead { latest: self.revision });
        }
        if after < self.forgotten {
            return Err(Error::Compacted);
        }
        let start = self.history.partition_point(|commit| commit.revision <= after);
        let seen = self.history.range(start..).find_map(|commit| below(commit, prefix));
        let after = seen.as_ref().map_or(self.revision, |commit| commit.revision);
        Ok(Seen { commit: seen, after })
    }

    /// What `transaction` would do.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::LeaseLost`], [`Error::Full`].
    pub fn plan(&self, transaction: &Transaction, now: Time) -> Result<Step, Error> {
        let holds = |(key, condition): (&Key, Condition)| match (self.entries.get(key), condition) {
            (found, Condition::Absent) => found.is_none(),
            (found, Condition::Exists) => found.is_some(),
            (found, Condition::At(revision)) => found.is_some_and(|e| e.revision == revision),
        };
        if !transaction.conditions().all(holds) {
            return Err(Error::Conflict);
        }
        let lives = |lease: &LeaseId| self.leases.get(lease).is_some_and(|held| now < held.until);
        for (_, change) in transaction.changes() {
            if matches!(change, Change::Put { lease: Some(lease), .. } if !lives(lease)) {
                return Err(Error::LeaseLost);
            }
        }
        let changes: Vec<(Key, Change)> = transaction
            .changes()
            .filter(|(key, change)| **change != Change::Delete || self.entries.contains_key(*key))
            .map(|(key, change)| (key.clone(), change.clone()))
            .collect();
        self.check_room(&changes)?;
        Ok(self.step(changes, None))
    }

    /// What granting a lease would do.
    ///
    /// # Errors
    /// [`Error::Full`].
    pub fn plan_grant(&self, ttl: Ttl) -> Result<(Lease, Step), Error> {
        if self.leases.len() >= self.bounds.leases {
            return Err(Error::Full { what: Bound::Leases });
        }
        let lease = Lease { id: LeaseId(self.next_lease), ttl };
        Ok((lease, self.step(Vec::new(), Some(LeaseStep::Granted(lease)))))
    }

    /// What ending a lease would do: all that hangs on it is deleted.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub fn plan_revoke(&self, lease: LeaseId) -> Result<Step, Error> {
        let held = self.leases.get(&lease).ok_or(Error::LeaseLost)?;
        let changes = held.keys.iter().map(|key| (key.clone(), Change::Delete)).collect();
        Ok(self.step(changes, Some(LeaseStep::Ended(lease))))
    }

    /// What the end of a lease whose time is over at `now` would do: of the one that was over
    /// first. Apply it, and ask again.
    pub fn plan_lapse(&self, now: Time) -> Option<Step> {
        let (until, lease) = self.earliest()?;
        if now < until {
            return None;
        }
        Some(self.plan_revoke(lease).expect("the lease is there"))
    }

    /// When the next lease lapses, if it is not kept alive. Costs a step for each lease.
    pub fn next_lapse(&self) -> Option<Time> {
        self.earliest().map(|(until, _)| until)
    }

    /// Starts the time of a lease anew.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], also if its time is over and it has not been revoked yet.
    pub fn keep_alive(&mut self, lease: LeaseId, now: Time) -> Result<(), Error> {
        let held = self.leases.get_mut(&lease).filter(|held| now < held.until);
        let held = held.ok_or(Error::LeaseLost)?;
        held.until = now.after(held.ttl.duration());
        Ok(())
    }

    /// Does what was planned.
    ///
    /// # Panics
    /// If the step was planned on another state.
    pub fn apply(&mut self, step: Step, now: Time) {
        if let Some(commit) = step.commit {
            assert_eq!(commit.revision.0, self.revision.0 + 1, "a step is applied out of order");
            self.revision = commit.revision;
            for (key, change) in &commit.changes {
                self.remove(key);
                if let Change::Put { value, lease } = change {
                    let (value, revision) = (value.clone(), commit.revision);
                    self.insert(key.clone(), Entry { value, revision, lease: *lease });
                }
            }
            self.history_bytes += weight(&commit);
            self.history.push_back(commit);
        }
        match step.lease {
            Some(LeaseStep::Granted(lease)) => {
                self.next_lease = lease.id.0 + 1;
                self.hold(lease, now);
            }
            Some(LeaseStep::Ended(lease)) => {
                let held = self.leases.remove(&lease).expect("a lease ends once");
                assert!(held.keys.is_empty(), "what hangs on a lease goes first");
            }
            None => {}
        }
        while self.history.front().is_some_and(|commit| commit.revision <= step.forgotten) {
            let commit = self.history.pop_front().expect("there is a front");
            self.history_bytes -= weight(&commit);
        }
        self.forgotten = step.forgotten;
    }

    /// Plans a transaction and applies it at once; answers the latest revision.
    ///
    /// # Errors
    /// As [`State::plan`].
    pub fn commit(&mut self, transaction: &Transaction, now: Time) -> Result<Revision, Error> {
        let step = self.plan(transaction, now)?;
        self.apply(step, now);
        Ok(self.revision)
    }

    /// A step with these changes, and what then leaves the history.
    fn step(&self, changes: Vec<(Key, Change)>, lease: Option<LeaseStep>) -> Step {
        if changes.is_empty() {
            return Step { commit: None, lease, forgotten: self.forgotten };
        }
        let commit = Commit { revision: Revision(self.revision.0 + 1), changes };
        let mut commits = self.history.len() + 1;
        let mut bytes = self.history_bytes + weight(&commit);
        let mut forgotten = self.forgotten;
        for old in &self.history {
            if commits <= self.bounds.history_commits && bytes <= self.bounds.history_bytes {
                break;
            }
            commits -= 1;
            bytes -= weight(old);
            forgotten = old.revision;
        }
        Step { commit: Some(commit), lease, forgotten }
    }

    /// Whether there is room for what these changes put. What they take away counts, and who only
    /// takes away is never refused.
    fn check_room(&self, changes: &[(Key, Change)]) -> Result<(), Error> {
        if changes.iter().all(|(_, change)| *change == Change::Delete) {
            return Ok(());
        }
        let (mut keys, mut bytes) = (self.entries.len(), self.bytes);
        for (key, change) in changes {
            if let Some(old) = self.entries.get(key) {
                keys -= 1;
                bytes -= size(key, old);
            }
            if let Change::Put { .. } = change {
                keys += 1;
                bytes += key.as_str().len() + change.length();
            }
        }
        if keys > self.bounds.keys {
            return Err(Error::Full { what: Bound::Keys });
        }
        if bytes > self.bounds.bytes {
            return Err(Error::Full { what: Bound::Bytes });
        }
        Ok(())
    }

    fn earliest(&self) -> Option<(Time, LeaseId)> {
        self.leases.iter().map(|(id, held)| (held.until, *id)).min()
    }

    fn hold(&mut self, lease: Lease, now: Time) {
        let until = now.after(lease.ttl.duration());
        self.leases.insert(lease.id, Held { ttl: lease.ttl, until, keys: BTreeSet::new() });
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        self.bytes += size(&key, &entry);
        if let Some(lease) = entry.lease {
            let held = self.leases.get_mut(&lease).expect("the plan has looked for the lease");
            held.keys.insert(key.clone());
        }
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.bytes -= size(key, &entry);
        if let Some(held) = entry.lease.and_then(|lease| self.leases.get_mut(&lease)) {
            held.keys.remove(key);
        }
    }
}

/// What of `commit` lies below `prefix`, if something does.
fn below(commit: &Commit, prefix: &Prefix) -> Option<Commit> {
    let changes: Vec<_> =
        commit.changes.iter().filter(|(key, _)| prefix.covers(key)).cloned().collect();
    (!changes.is_empty()).then_some(Commit { revision: commit.revision, changes })
}

fn size(key: &Key, entry: &Entry) -> usize {
    key.as_str().len() + entry.value.bytes().len()
}

fn weight(commit: &Commit) -> usize {
    commit.changes.iter().map(|(key, change)| key.as_str().len() + change.length()).sum()
}

#[cfg(test)]
mod tests;
