//! What watchers see.

use super::*;

use crate::control::{Commit, Watch};

/// The next commit, as names with their texts; `None` where a key was deleted.
pub(super) async fn next(watch: &mut dyn Watch) -> (Revision, Vec<(String, Option<String>)>) {
    let Commit { revision, changes } = watch.next().await.unwrap();
    let text = |change| match change {
        Change::Put { value, .. } => Some(String::from_utf8(value.bytes().to_vec()).unwrap()),
        Change::Delete => None,
    };
    let changes =
        changes.into_iter().map(|(key, change)| (key.to_string(), text(change))).collect();
    (revision, changes)
}

fn seen(
    revision: Revision,
    changes: &[(&str, Option<&str>)],
) -> (Revision, Vec<(String, Option<String>)>) {
    let owned =
        |(name, text): &(&str, Option<&str>)| ((*name).to_owned(), text.map(ToOwned::to_owned));
    (revision, changes.iter().map(owned).collect())
}

pub async fn watchers_see_each_commit_once_and_in_order(rig: &dyn Rig) {
    let control = rig.control();
    let start = change(&*control, &[("w/a", put("before"))]).await;
    let mut early = control.watch(&prefix("w/"), start).await.unwrap();
    let mut expected = Vec::new();
    for number in 0..20 {
        let text = number.to_string();
        let revision = change(&*control, &[("w/a", put(&text))]).await;
        expected.push(seen(revision, &[("w/a", Some(&text))]));
        if number % 3 == 0 {
            let revision = change(&*control, &[("w/a", Change::Delete)]).await;
            expected.push(seen(revision, &[("w/a", None)]));
        }
    }
    let mut late = control.watch(&prefix("w/"), start).await.unwrap();
    for step in &expected {
        assert_eq!(next(&mut *early).await, *step);
        assert_eq!(next(&mut *late).await, *step);
    }
    let last = change(&*control, &[("w/z", put("last"))]).await;
    for watch in [&mut early, &mut late] {
        assert_eq!(next(&mut **watch).await, seen(last, &[("w/z", Some("last"))]));
    }
}

pub async fn a_commit_comes_whole_and_without_what_others_watch(rig: &dyn Rig) {
    let control = rig.control();
    let start = change(&*control, &[("w/b", put("b"))]).await;
    let mut watch = control.watch(&prefix("w/"), start).await.unwrap();
    change(&*control, &[("v/a", put("elsewhere"))]).await;
    let mixed = [
        ("w/c", put("c")),
        ("v/a", Change::Delete),
        ("w/a", put("a")),
        ("w/b", Change::Delete),
        ("w/absent", Change::Delete),
        ("x", put("elsewhere")),
    ];
    let revision = change(&*control, &mixed).await;
    let whole = [("w/a", Some("a")), ("w/b", None), ("w/c", Some("c"))];
    assert_eq!(next(&mut *watch).await, seen(revision, &whole));
    change(&*control, &[("w", put("not below"))]).await;
    let last = change(&*control, &[("w/z", put("last"))]).await;
    assert_eq!(next(&mut *watch).await, seen(last, &[("w/z", Some("last"))]));
}

pub async fn a_watch_goes_on_after_any_revision_that_was_seen(rig: &dyn Rig) {
    let control = rig.control();
    let mut revisions = Vec::new();
    for number in 0..10 {
        let name = if number % 2 == 0 { "w/even" } else { "v/odd" };
        revisions.push(change(&*control, &[(name, put(&number.to_string()))]).await);
    }
    for (number, after) in revisions.iter().enumerate().take(8) {
        let mut watch = control.watch(&prefix("w/"), *after).await.unwrap();
        let coming = (number + 1..10).find(|number| number % 2 == 0).unwrap();
        let text = coming.to_string();
        assert_eq!(next(&mut *watch).await, seen(revisions[coming], &[("w/even", Some(&text))]));
    }
    let first = control.watch(&prefix("w/"), Revision::NONE).await;
    assert_eq!(next(&mut *first.unwrap()).await, seen(revisions[0], &[("w/even", Some("0"))]));
    let listing = control.list(&prefix("w/")).await.unwrap();
    let mut watch = control.watch(&prefix("w/"), listing.revision).await.unwrap();
    let last = change(&*control, &[("w/z", put("last"))]).await;
    assert_eq!(next(&mut *watch).await, seen(last, &[("w/z", Some("last"))]));
}

/// How a watch ends, at once or with its first commit.
async fn end_of(control: &dyn Control, after: Revision) -> Error {
    match control.watch(&Prefix::ALL, after).await {
        Ok(mut watch) => watch.next().await.unwrap_err(),
        Err(error) => error,
    }
}

pub async fn a_watch_of_the_forgotten_or_of_the_future_says_so(rig: &dyn Rig) {
    let control = rig.control();
    let first = change(&*control, &[("w/a", put("1"))]).await;
    change(&*control, &[("w/a", put("2"))]).await;
    change(&*control, &[("w/a", put("3"))]).await;
    rig.forget().await;
    let error = end_of(&*control, first).await;
    assert!(matches!(error, Error::Compacted), "{error:?}");
    assert!(error.asks_to_list());

    let listing = control.list(&Prefix::ALL).await.unwrap();
    let latest = listing.revision;
    assert!(listing.entries.iter().any(|(name, _)| *name == key("w/a")), "the state is kept");
    let error = end_of(&*control, Revision(latest.0 + 1)).await;
    assert!(matches!(error, Error::Ahead { latest: found } if found == latest), "{error:?}");

    let mut watch = control.watch(&Prefix::ALL, latest).await.unwrap();
    let last = change(&*control, &[("w/z", put("last"))]).await;
    assert_eq!(next(&mut *watch).await, seen(last, &[("w/z", Some("last"))]));
}
