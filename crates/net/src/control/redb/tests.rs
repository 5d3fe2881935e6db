//! The engine against the contract, over restarts, and on disks that fail.
//!
//! The runtime's clock is stopped and jumps to the next timer when nothing else is to be done, so
//! that leases lapse without anybody waiting.

mod folder;
mod garbled;
mod killed;
mod power;
mod simulated;

use std::{sync::Arc, time::Duration};

use nigh_cluster::control::{
    Change, Condition, Control, Error, Key, LeaseId, Prefix, Revision, TTL_MIN, Transaction, Ttl,
    Value,
    conformance::{Later, Rig},
    model::Bounds,
};
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};

use super::{OpenError, Redb};
use folder::Folder;

const HISTORY: usize = 60;
/// On a clock that jumps, this long passes at once when nothing can happen any more.
const FOREVER: Duration = Duration::from_secs(1_000_000);

fn run_with(test: impl AsyncFnOnce(Folder)) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        timeout(FOREVER, test(Folder::new())).await.expect("it does not wait for ever");
    });
}

async fn open(folder: &Folder) -> Redb {
    let bounds = Bounds { history_commits: HISTORY, ..Bounds::default() };
    Redb::open_with(folder.file(), bounds).await.unwrap()
}

struct Files {
    engine: Arc<Redb>,
}

impl Rig for Files {
    fn control(&self) -> Arc<dyn Control> {
        self.engine.clone()
    }

    fn pass(&self, span: Duration) -> Later<'_, ()> {
        Box::pin(sleep(span))
    }

    fn forget(&self) -> Later<'_, ()> {
        Box::pin(async {
            for _ in 0..HISTORY {
                self.engine.commit(put("filler/x", "x", None)).await.unwrap();
            }
        })
    }
}

fn run(test: impl FnOnce(&dyn Rig) -> Later<'_, ()>) {
    run_with(async |folder| {
        let engine = Arc::new(open(&folder).await);
        test(&Files { engine }).await;
    });
}

nigh_cluster::conformance_tests!(run);

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn change(text: &str, lease: Option<LeaseId>) -> Change {
    Change::Put { value: Value::new(text).unwrap(), lease }
}

fn put(name: &str, text: &str, lease: Option<LeaseId>) -> Transaction {
    Transaction::new([], [(key(name), change(text, lease))]).unwrap()
}

#[test]
fn what_was_committed_is_there_after_a_restart_and_can_be_watched_on() {
    run_with(async |folder| {
        let engine = open(&folder).await;
        let first = engine.commit(put("a", "1", None)).await.unwrap();
        engine.commit(put("b", "2", None)).await.unwrap();
        let both = [(key("a"), Change::Delete), (key("b"), change("3", None))];
        engine.commit(Transaction::new([], both.clone()).unwrap()).await.unwrap();
        let before = engine.list(&Prefix::ALL).await.unwrap();
        engine.close().await;
        let late = engine.commit(put("c", "late", None)).await;
        assert!(matches!(late, Err(Error::Unavailable { .. })), "it is closed: {late:?}");

        let engine = open(&folder).await;
        assert_eq!(engine.list(&Prefix::ALL).await.unwrap(), before);
        let mut watch = engine.watch(&Prefix::ALL, first).await.unwrap();
        assert_eq!(watch.next().await.unwrap().changes, [(key("b"), change("2", None))]);
        assert_eq!(watch.next().await.unwrap().changes, both);
        let held = Transaction::new([(key("b"), Condition::At(before.revision))], []);
        assert_eq!(engine.commit(held.unwrap()).await.unwrap(), before.revision);
        let next = engine.commit(put("c", "4", None)).await.unwrap();
        assert_eq!(next, Revision(before.revision.0 + 1));
    });
}

#[test]
fn a_lease_has_its_whole_time_again_after_a_restart_and_then_lapses() {
    run_with(async |folder| {
        let engine = open(&folder).await;
        let lease = engine.grant(Ttl::new(TTL_MIN).unwrap()).await.unwrap();
        let start = engine.commit(put("l", "x", Some(lease.id))).await.unwrap();
        engine.close().await;
        sleep(2 * TTL_MIN).await;

        let engine = open(&folder).await;
        assert_eq!(engine.get(&key("l")).await.unwrap().unwrap().lease, Some(lease.id));
        sleep(TTL_MIN / 2).await;
        engine.keep_alive(lease.id).await.unwrap();
        let other = engine.grant(Ttl::new(TTL_MIN).unwrap()).await.unwrap();
        assert_ne!(other.id, lease.id);
        let mut watch = engine.watch(&Prefix::ALL, start).await.unwrap();
        assert_eq!(watch.next().await.unwrap().changes, [(key("l"), Change::Delete)]);
        engine.close().await;
        let engine = open(&folder).await;
        assert!(matches!(engine.keep_alive(lease.id).await, Err(Error::LeaseLost)));
    });
}

#[test]
fn history_that_was_forgotten_stays_so_after_a_restart() {
    run_with(async |folder| {
        let engine = open(&folder).await;
        for number in 0..HISTORY + 2 {
            engine.commit(put("a", &number.to_string(), None)).await.unwrap();
        }
        engine.close().await;
        let engine = open(&folder).await;
        let error = engine.watch(&Prefix::ALL, Revision(1)).await.unwrap_err();
        assert!(matches!(error, Error::Compacted), "{error:?}");
        let mut watch = engine.watch(&Prefix::ALL, Revision(2)).await.unwrap();
        assert_eq!(watch.next().await.unwrap().revision, Revision(3));
    });
}

#[test]
fn a_file_has_one_owner_at_a_time() {
    run_with(async |folder| {
        let engine = open(&folder).await;
        let error = Redb::open(&folder.file()).await.unwrap_err();
        assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
        engine.close().await;
        Redb::open(&folder.file()).await.unwrap();
    });
}

#[test]
fn a_file_that_cannot_be_made_is_told_from_one_that_is_damaged() {
    run_with(async |folder| {
        let nowhere = folder.file().join("below-a-file-that-is-not-there");
        let error = Redb::open(&nowhere).await.unwrap_err();
        assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
        std::fs::write(folder.file(), "[settings]\nnot = \"a database\"\n".repeat(500)).unwrap();
        let error = Redb::open(&folder.file()).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    });
}

#[test]
fn many_at_a_time_commit_one_after_the_other() {
    const TASKS: usize = 40;
    run_with(async |folder| {
        let engine = Arc::new(open(&folder).await);
        engine.commit(put("n", "0", None)).await.unwrap();
        let count = |engine: Arc<Redb>| async move {
            loop {
                let entry = engine.get(&key("n")).await.unwrap().unwrap();
                let text = std::str::from_utf8(entry.value.bytes()).unwrap();
                let next = (text.parse::<usize>().unwrap() + 1).to_string();
                let condition = [(key("n"), Condition::At(entry.revision))];
                let counted = Transaction::new(condition, [(key("n"), change(&next, None))]);
                match engine.commit(counted.unwrap()).await {
                    Ok(_) => return,
                    Err(error) => assert!(matches!(error, Error::Conflict), "{error:?}"),
                }
            }
        };
        let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(count(engine.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let entry = engine.get(&key("n")).await.unwrap().unwrap();
        assert_eq!(entry.value.bytes(), TASKS.to_string().as_bytes());
    });
}
