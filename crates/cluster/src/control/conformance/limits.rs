//! What the bounds of the contract allow, an engine takes.

use super::*;

use crate::control::{KEY_MAX, OPERATIONS_MAX, TRANSACTION_BYTES_MAX, VALUE_MAX};

fn long_key(kind: &str, number: usize) -> Key {
    let start = format!("{kind}/{number:03}/");
    key(&format!("{start}{}", "k".repeat(KEY_MAX - start.len())))
}

fn bytes(length: usize) -> Change {
    Change::Put { value: Value::new(vec![0xa5; length]).unwrap(), lease: None }
}

pub async fn the_largest_transaction_fits(rig: &dyn Rig) {
    let control = rig.control();
    let conditions =
        (0..OPERATIONS_MAX).map(|number| (long_key("absent", number), Condition::Absent));
    let keys = 2 * OPERATIONS_MAX * KEY_MAX;
    let rest = TRANSACTION_BYTES_MAX - VALUE_MAX - keys;
    let changes = (0..OPERATIONS_MAX).map(|number| {
        let length = if number == 0 {
            VALUE_MAX
        } else if number == 1 {
            rest
        } else {
            0
        };
        (long_key("there", number), bytes(length))
    });
    let largest = Transaction::new(conditions, changes).unwrap();
    let revision = control.commit(largest).await.unwrap();
    let listing = control.list(&prefix("there/")).await.unwrap();
    assert_eq!(listing.entries.len(), OPERATIONS_MAX);
    assert!(listing.entries.iter().all(|(_, entry)| entry.revision == revision));
    let found = control.get(&long_key("there", 0)).await.unwrap().unwrap();
    assert_eq!(found.value, Value::new(vec![0xa5; VALUE_MAX]).unwrap());
    let mut watch = control.watch(&prefix("there/"), Revision::NONE).await.unwrap();
    assert_eq!(watch.next().await.unwrap().changes.len(), OPERATIONS_MAX);
}

pub async fn a_watcher_far_behind_gets_all_of_it(rig: &dyn Rig) {
    const COMMITS: usize = 24;
    let control = rig.control();
    let start = change(&*control, &[("far/a", put("start"))]).await;
    let mut slow = control.watch(&prefix("far/"), start).await.unwrap();
    let mut revisions = Vec::new();
    for number in 0..COMMITS {
        let large = Transaction::new([], [(key(&format!("far/{number:02}")), bytes(VALUE_MAX))]);
        revisions.push(control.commit(large.unwrap()).await.unwrap());
    }
    let mut late = control.watch(&prefix("far/"), start).await.unwrap();
    for revision in revisions {
        assert_eq!(slow.next().await.unwrap().revision, revision);
        assert_eq!(late.next().await.unwrap().revision, revision);
    }
    let listing = control.list(&prefix("far/")).await.unwrap();
    assert_eq!(listing.entries.len(), COMMITS + 1, "a list of {COMMITS} MiB");
}
