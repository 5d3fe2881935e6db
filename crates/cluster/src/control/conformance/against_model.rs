//! An engine and the model side by side, under operations that are drawn.

use std::collections::BTreeMap;

use nigh_base::{Rng, Time};

use super::*;

use crate::control::{
    Commit, Error, Listing, TTL_MAX, Ttl,
    model::{Bounds, State},
};

const SEEDS: u64 = 3;
const OPERATIONS: usize = 120;
const NAMES: [&str; 5] = ["d/a", "d/b", "d/c", "e/a", "e/b"];

/// Both of them, and how their numbers correspond.
struct Pair {
    engine: Arc<dyn Control>,
    model: State,
    rng: Rng,
    /// From the model's revisions to the engine's.
    revisions: BTreeMap<Revision, Revision>,
    /// From the model's leases to the engine's.
    leases: BTreeMap<LeaseId, LeaseId>,
}

pub async fn drawn_operations_come_to_what_the_model_says(rig: &dyn Rig) {
    for seed in 0..SEEDS {
        let engine = rig.control();
        let all = NAMES.map(|name| (name, Change::Delete));
        let start = change(&*engine, &all).await;
        let mut pair = Pair {
            engine,
            model: State::new(Bounds::default()),
            rng: Rng::new(seed),
            revisions: BTreeMap::from([(Revision::NONE, start)]),
            leases: BTreeMap::new(),
        };
        for number in 0..OPERATIONS {
            pair.operate().await;
            pair.compare(&format!("operation {number} of seed {seed}")).await;
            if number % 40 == 39 {
                // The engine may keep fewer commits than were drawn.
                pair.compare_history().await;
            }
        }
    }
}

impl Pair {
    async fn operate(&mut self) {
        let leases: Vec<LeaseId> = self.leases.keys().copied().collect();
        match self.rng.index(10) {
            0 => {
                let ttl = Ttl::new(TTL_MAX).unwrap();
                let (lease, step) = self.model.plan_grant(ttl).unwrap();
                self.model.apply(step, Time::START);
                let granted = self.engine.grant(ttl).await.unwrap();
                self.leases.insert(lease.id, granted.id);
            }
            1 if !leases.is_empty() => {
                let lease = leases[self.rng.index(leases.len())];
                let planned = self.model.plan_revoke(lease);
                let revoked = self.engine.revoke(self.leases[&lease]).await;
                assert_eq!(name_of(planned.as_ref().err()), name_of(revoked.as_ref().err()));
                if let Ok(step) = planned {
                    self.model.apply(step, Time::START);
                }
            }
            _ => self.commit(&leases).await,
        }
    }

    async fn commit(&mut self, leases: &[LeaseId]) {
        let conditions: BTreeMap<&str, Condition> = (0..self.rng.index(3))
            .map(|_| {
                let name = NAMES[self.rng.index(NAMES.len())];
                (name, self.condition(name))
            })
            .collect();
        let changes: BTreeMap<&str, Change> = (0..=self.rng.index(3))
            .map(|_| {
                let name = NAMES[self.rng.index(NAMES.len())];
                let lease = (!leases.is_empty() && self.rng.one_in(3))
                    .then(|| leases[self.rng.index(leases.len())]);
                let text = self.rng.below(100).to_string();
                (name, if self.rng.one_in(3) { Change::Delete } else { put_with(&text, lease) })
            })
            .collect();
        let theirs = Transaction::new(
            conditions
                .iter()
                .map(|(name, condition)| (key(name), self.condition_there(*condition))),
            changes.iter().map(|(name, change)| (key(name), self.change_there(change))),
        );
        let conditions: Vec<_> = conditions.into_iter().collect();
        let changes: Vec<_> = changes.into_iter().collect();
        let here = self.model.commit(&transaction(&conditions, &changes), Time::START);
        let there = self.engine.commit(theirs.unwrap()).await;
        assert_eq!(name_of(here.as_ref().err()), name_of(there.as_ref().err()));
        if let (Ok(here), Ok(there)) = (here, there) {
            assert_eq!(*self.revisions.entry(here).or_insert(there), there, "commit {here}");
        }
    }

    /// One that holds as often as not.
    fn condition(&mut self, name: &str) -> Condition {
        match self.rng.index(4) {
            0 => Condition::Absent,
            1 => Condition::Exists,
            _ => {
                let found = self.model.get(&key(name)).map_or(Revision::NONE, |e| e.revision);
                let latest = self.model.revision();
                Condition::At(if self.rng.one_in(4) { latest } else { found }.max(Revision(1)))
            }
        }
    }

    fn condition_there(&self, condition: Condition) -> Condition {
        match condition {
            // Before the model's first commit there is none of the engine's that put anything.
            Condition::At(here) => {
                Condition::At(self.revisions.get(&here).copied().unwrap_or(Revision(u64::MAX >> 1)))
            }
            other => other,
        }
    }

    fn change_there(&self, change: &Change) -> Change {
        match change {
            Change::Put { value, lease } => {
                Change::Put { value: value.clone(), lease: lease.map(|lease| self.leases[&lease]) }
            }
            Change::Delete => Change::Delete,
        }
    }

    async fn compare(&mut self, when: &str) {
        for start in ["", "d/", "e/a"] {
            let here = self.model.list(&prefix(start));
            let there = self.engine.list(&prefix(start)).await.unwrap();
            let latest = *self.revisions.entry(here.revision).or_insert(there.revision);
            let entries = here.entries.into_iter().map(|(key, entry)| {
                let revision = self.revisions[&entry.revision];
                let lease = entry.lease.map(|lease| self.leases[&lease]);
                (key, Entry { value: entry.value, revision, lease })
            });
            let expected = Listing { entries: entries.collect(), revision: latest };
            assert_eq!(there, expected, "{when}, below {start:?}");
        }
    }

    /// Watches all that both have kept.
    async fn compare_history(&self) {
        let after = Revision(self.model.revision().0.saturating_sub(25));
        let mut watch = self.engine.watch(&prefix("d/"), self.revisions[&after]).await.unwrap();
        let mut seen = self.model.next(&prefix("d/"), after).unwrap();
        while let Some(commit) = seen.commit {
            let changes = commit.changes.iter();
            let expected = Commit {
                revision: self.revisions[&commit.revision],
                changes: changes.map(|(key, c)| (key.clone(), self.change_there(c))).collect(),
            };
            assert_eq!(watch.next().await.unwrap(), expected);
            seen = self.model.next(&prefix("d/"), seen.after).unwrap();
        }
    }
}

fn name_of(error: Option<&Error>) -> Option<&'static str> {
    error.map(|error| match error {
        Error::Conflict => "conflict",
        Error::LeaseLost => "lease lost",
        other => panic!("no such error is drawn: {other:?}"),
    })
}
