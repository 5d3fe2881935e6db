//! What every engine of control state must do: one set of tests, which the twin, `redb` and etcd
//! run through [`crate::conformance_tests`].
//!
//! A test that says "nothing else comes" commits a last change and sees that this one comes next.

#![expect(missing_docs, reason = "the name of a test says what it checks")]
#![allow(clippy::unwrap_used, reason = "these are tests, though another crate runs them")]

mod against_model;
mod leases;
mod limits;
mod watches;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    Change, Condition, Control, Entry, Error, Key, LeaseId, Prefix, Revision, Transaction, Value,
};

pub use against_model::drawn_operations_come_to_what_the_model_says;
pub use leases::{
    a_key_that_was_put_anew_no_longer_hangs_on_its_first_lease, a_lease_that_ended_is_lost,
    a_lease_that_is_kept_alive_lasts, what_hangs_on_a_lapsed_lease_is_deleted_at_once,
};
pub use limits::{a_watcher_far_behind_gets_all_of_it, the_largest_transaction_fits};
pub use watches::{
    a_commit_comes_whole_and_without_what_others_watch,
    a_watch_goes_on_after_any_revision_that_was_seen,
    a_watch_of_the_forgotten_or_of_the_future_says_so, watchers_see_each_commit_once_and_in_order,
};

/// Something that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An engine without entries, and what a test does to the world around it.
pub trait Rig: Send + Sync {
    /// The engine; two of them on the same state are as good as one.
    fn control(&self) -> Arc<dyn Control>;

    /// Lets so much time pass.
    fn pass(&self, span: Duration) -> Later<'_, ()>;

    /// Has the engine forget all its history, or all but some latest commits. It may commit for
    /// that, to keys below `filler/`.
    fn forget(&self) -> Later<'_, ()>;
}

/// Writes a `#[test]` for each function of this module; `$run` takes a function from a [`Rig`] to a
/// future and completes it.
#[macro_export]
macro_rules! conformance_tests {
    ($run:path) => {
        $crate::conformance_tests! { $run:
            what_was_put_is_there_until_it_is_deleted,
            a_list_has_what_lies_below_a_prefix_in_order,
            a_conflict_changes_nothing,
            a_key_can_be_held_to_the_commit_that_put_it,
            what_changes_nothing_is_no_commit,
            of_two_who_read_the_same_one_commits,
            drawn_operations_come_to_what_the_model_says,
            watchers_see_each_commit_once_and_in_order,
            a_commit_comes_whole_and_without_what_others_watch,
            a_watch_goes_on_after_any_revision_that_was_seen,
            a_watch_of_the_forgotten_or_of_the_future_says_so,
            what_hangs_on_a_lapsed_lease_is_deleted_at_once,
            a_lease_that_is_kept_alive_lasts,
            a_lease_that_ended_is_lost,
            a_key_that_was_put_anew_no_longer_hangs_on_its_first_lease,
            the_largest_transaction_fits,
            a_watcher_far_behind_gets_all_of_it,
        }
    };
    ($run:path: $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $run(|rig| Box::pin($crate::control::conformance::$name(rig)));
            }
        )*
    };
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn prefix(start: &str) -> Prefix {
    Prefix::new(start).unwrap()
}

fn put(text: &str) -> Change {
    put_with(text, None)
}

fn put_with(text: &str, lease: Option<LeaseId>) -> Change {
    Change::Put { value: Value::new(text).unwrap(), lease }
}

fn transaction(conditions: &[(&str, Condition)], changes: &[(&str, Change)]) -> Transaction {
    let conditions = conditions.iter().map(|(name, condition)| (key(name), *condition));
    let changes = changes.iter().map(|(name, change)| (key(name), change.clone()));
    Transaction::new(conditions, changes).unwrap()
}

/// Commits changes without conditions.
async fn change(control: &dyn Control, changes: &[(&str, Change)]) -> Revision {
    control.commit(transaction(&[], changes)).await.unwrap()
}

async fn get(control: &dyn Control, name: &str) -> Option<Entry> {
    control.get(&key(name)).await.unwrap()
}

/// Value and revision of an entry without a lease.
fn entry(text: &str, revision: Revision) -> Option<Entry> {
    Some(Entry { value: Value::new(text).unwrap(), revision, lease: None })
}

pub async fn what_was_put_is_there_until_it_is_deleted(rig: &dyn Rig) {
    let control = rig.control();
    assert_eq!(get(&*control, "a").await, None);
    let first = change(&*control, &[("a", put("one"))]).await;
    assert_eq!(get(&*control, "a").await, entry("one", first));
    let second = change(&*control, &[("a", put("two")), ("b", put(""))]).await;
    assert!(second > first);
    assert_eq!(get(&*control, "a").await, entry("two", second));
    assert_eq!(get(&*control, "b").await, entry("", second), "an empty value is a value");
    let third = change(&*control, &[("a", Change::Delete)]).await;
    assert!(third > second);
    assert_eq!(get(&*control, "a").await, None);
    assert_eq!(get(&*control, "b").await, entry("", second), "others are left alone");
}

pub async fn a_list_has_what_lies_below_a_prefix_in_order(rig: &dyn Rig) {
    let control = rig.control();
    let names = ["m/b", "m/a", "m", "m0", "m/a/x", "l~", "m/~", "m.", "~"];
    for name in names {
        change(&*control, &[(name, put(name))]).await;
    }
    let last = change(&*control, &[("z", put("z"))]).await;
    let listing = control.list(&prefix("m/")).await.unwrap();
    assert_eq!(listing.revision, last, "the latest commit counts, wherever it was");
    let found: Vec<_> = listing.entries.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(found, ["m/a", "m/a/x", "m/b", "m/~"]);
    assert!(listing.entries.iter().all(|(key, e)| e.value.bytes() == key.as_str().as_bytes()));
    assert!(listing.entries.iter().all(|(_, e)| e.revision < last));
    let all = control.list(&Prefix::ALL).await.unwrap();
    assert_eq!(all.entries.len(), names.len() + 1);
    assert!(all.entries.is_sorted_by_key(|(key, _)| key.clone()));
    assert_eq!(control.list(&prefix("n")).await.unwrap().entries, []);
    let below_tilde = control.list(&prefix("~")).await.unwrap();
    assert_eq!(below_tilde.entries.len(), 1, "the last character has a prefix too");
}

pub async fn a_conflict_changes_nothing(rig: &dyn Rig) {
    let control = rig.control();
    let there = change(&*control, &[("a", put("one"))]).await;
    for wrong in [
        [("a", Condition::Absent), ("b", Condition::Absent)],
        [("a", Condition::Exists), ("b", Condition::Exists)],
        [("a", Condition::At(Revision(there.0 + 1))), ("b", Condition::Absent)],
        [("a", Condition::At(there)), ("b", Condition::At(there))],
        [("a", Condition::At(there)), ("b", Condition::At(Revision::NONE))],
    ] {
        let attempt = transaction(&wrong, &[("a", Change::Delete), ("c", put("x"))]);
        let error = control.commit(attempt).await.unwrap_err();
        assert!(matches!(error, Error::Conflict), "{wrong:?}: {error:?}");
        let listing = control.list(&Prefix::ALL).await.unwrap();
        assert_eq!(listing.revision, there);
        assert_eq!(listing.entries, [(key("a"), entry("one", there).unwrap())]);
    }
    let right = [("a", Condition::At(there)), ("b", Condition::Absent)];
    let attempt = transaction(&right, &[("a", Change::Delete), ("c", put("x"))]);
    let revision = control.commit(attempt).await.unwrap();
    let listing = control.list(&Prefix::ALL).await.unwrap();
    assert_eq!(listing.entries, [(key("c"), entry("x", revision).unwrap())]);
}

pub async fn a_key_can_be_held_to_the_commit_that_put_it(rig: &dyn Rig) {
    let control = rig.control();
    let first = change(&*control, &[("a", put("same"))]).await;
    let other = change(&*control, &[("b", put("other"))]).await;
    let hold = |revision| transaction(&[("a", Condition::At(revision))], &[("a", put("same"))]);
    assert!(control.commit(hold(other)).await.is_err(), "a later commit did not touch it");
    let again = control.commit(hold(first)).await.unwrap();
    assert!(again > other, "to put the same value is a commit");
    assert!(control.commit(hold(first)).await.is_err());
    change(&*control, &[("a", Change::Delete)]).await;
    assert!(control.commit(hold(again)).await.is_err(), "nothing is there at any commit");
    let exists = transaction(&[("b", Condition::Exists)], &[("a", put("back"))]);
    control.commit(exists).await.unwrap();
}

pub async fn what_changes_nothing_is_no_commit(rig: &dyn Rig) {
    let control = rig.control();
    let first = change(&*control, &[("a", put("one"))]).await;
    assert_eq!(change(&*control, &[("b", Change::Delete)]).await, first);
    assert_eq!(change(&*control, &[]).await, first);
    let question = transaction(&[("a", Condition::At(first))], &[]);
    assert_eq!(control.commit(question).await.unwrap(), first);
    assert_eq!(control.list(&Prefix::ALL).await.unwrap().revision, first);
}

pub async fn of_two_who_read_the_same_one_commits(rig: &dyn Rig) {
    let (one, other) = (rig.control(), rig.control());
    let mut revision = change(&*one, &[("n", put("0"))]).await;
    for round in 1..=10 {
        let (mine, theirs) = (get(&*one, "n").await.unwrap(), get(&*other, "n").await.unwrap());
        assert_eq!((mine.revision, theirs.revision), (revision, revision));
        let next = |at| {
            let text = round.to_string();
            transaction(&[("n", Condition::At(at))], &[("n", put(&text))])
        };
        revision = one.commit(next(mine.revision)).await.unwrap();
        assert!(matches!(other.commit(next(theirs.revision)).await, Err(Error::Conflict)));
    }
    assert_eq!(get(&*one, "n").await, entry("10", revision));
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use nigh_base::Time;
    use parking_lot::Mutex;

    use super::{
        super::{model::Bounds, twin::Twin},
        *,
    };

    struct Twins {
        twin: Arc<Twin>,
        now: Mutex<Time>,
    }

    const HISTORY: usize = 60;

    impl Rig for Twins {
        fn control(&self) -> Arc<dyn Control> {
            self.twin.clone()
        }

        fn pass(&self, span: Duration) -> Later<'_, ()> {
            let mut now = self.now.lock();
            *now = now.after(span);
            self.twin.advance(*now);
            Box::pin(std::future::ready(()))
        }

        fn forget(&self) -> Later<'_, ()> {
            Box::pin(async {
                for _ in 0..HISTORY {
                    change(&*self.twin, &[("filler/x", put("x"))]).await;
                }
            })
        }
    }

    /// In memory nothing is waited for: a future that is not ready never will be.
    fn run(test: impl FnOnce(&dyn Rig) -> Later<'_, ()>) {
        let bounds = Bounds { history_commits: HISTORY, ..Bounds::default() };
        let rig = Twins { twin: Arc::new(Twin::new(bounds)), now: Mutex::new(Time::START) };
        let outcome = test(&rig).as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(outcome, Poll::Ready(()), "it waits for ever");
    }

    crate::conformance_tests!(run);
}
