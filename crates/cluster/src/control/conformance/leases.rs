//! What hangs on leases, and when it goes.

use super::{watches::next, *};

use crate::control::{Lease, TTL_MIN, Ttl};

async fn grant(control: &dyn Control) -> Lease {
    let asked = Ttl::new(TTL_MIN).unwrap();
    let lease = control.grant(asked).await.unwrap();
    assert!(lease.ttl >= asked);
    lease
}

pub async fn what_hangs_on_a_lapsed_lease_is_deleted_at_once(rig: &dyn Rig) {
    let control = rig.control();
    let (lease, other) = (grant(&*control).await, grant(&*control).await);
    assert_ne!(lease.id, other.id);
    change(&*control, &[("l/b", put_with("b", Some(lease.id)))]).await;
    let start = change(
        &*control,
        &[("l/a", put_with("a", Some(lease.id))), ("l/c", put_with("c", Some(other.id)))],
    )
    .await;
    assert_eq!(get(&*control, "l/a").await.unwrap().lease, Some(lease.id));
    control.revoke(other.id).await.unwrap();
    assert_eq!(get(&*control, "l/c").await, None, "who revokes does not wait");

    let mut watch = control.watch(&prefix("l/"), start).await.unwrap();
    let (revoked, changes) = next(&mut *watch).await;
    assert!(revoked > start);
    assert_eq!(changes, [("l/c".to_owned(), None)]);
    rig.pass(lease.ttl.duration()).await;
    let (lapsed, changes) = next(&mut *watch).await;
    assert!(lapsed > revoked);
    assert_eq!(changes, [("l/a".to_owned(), None), ("l/b".to_owned(), None)], "in one commit");
    assert_eq!(control.list(&prefix("l/")).await.unwrap().entries, []);
}

pub async fn a_lease_that_is_kept_alive_lasts(rig: &dyn Rig) {
    let control = rig.control();
    let lease = grant(&*control).await;
    let start = change(&*control, &[("l/a", put_with("a", Some(lease.id)))]).await;
    for _ in 0..4 {
        rig.pass(lease.ttl.duration() / 2).await;
        control.keep_alive(lease.id).await.unwrap();
    }
    assert!(get(&*control, "l/a").await.is_some(), "twice its time has passed");
    let mut watch = control.watch(&prefix("l/"), start).await.unwrap();
    let touched = change(&*control, &[("l/b", put("b"))]).await;
    assert_eq!(next(&mut *watch).await.0, touched, "it was never gone");
    rig.pass(lease.ttl.duration()).await;
    assert_eq!(next(&mut *watch).await.1, [("l/a".to_owned(), None)]);
}

pub async fn a_lease_that_ended_is_lost(rig: &dyn Rig) {
    let control = rig.control();
    let lease = grant(&*control).await;
    control.revoke(lease.id).await.unwrap();
    let start = change(&*control, &[("l/a", put("kept"))]).await;
    for name in ["l/a", "l/b"] {
        let late = transaction(&[], &[("l/0", put("x")), (name, put_with("x", Some(lease.id)))]);
        let error = control.commit(late).await.unwrap_err();
        assert!(matches!(error, Error::LeaseLost), "{error:?}");
    }
    assert!(matches!(control.keep_alive(lease.id).await, Err(Error::LeaseLost)));
    assert!(matches!(control.revoke(lease.id).await, Err(Error::LeaseLost)));
    let listing = control.list(&prefix("l/")).await.unwrap();
    assert_eq!(listing.revision, start, "nothing was changed");
    assert_eq!(listing.entries.len(), 1);
}

pub async fn a_key_that_was_put_anew_no_longer_hangs_on_its_first_lease(rig: &dyn Rig) {
    let control = rig.control();
    let (one, two) = (grant(&*control).await, grant(&*control).await);
    let first = |name| (name, put_with("first", Some(one.id)));
    change(&*control, &[first("l/a"), first("l/b"), first("l/c"), first("l/d")]).await;
    change(&*control, &[("l/a", put("free"))]).await;
    change(&*control, &[("l/b", put_with("moved", Some(two.id)))]).await;
    change(&*control, &[("l/c", Change::Delete)]).await;
    let start = change(&*control, &[("l/c", put("back"))]).await;
    control.revoke(one.id).await.unwrap();
    let mut watch = control.watch(&prefix("l/"), start).await.unwrap();
    assert_eq!(next(&mut *watch).await.1, [("l/d".to_owned(), None)]);
    control.revoke(two.id).await.unwrap();
    assert_eq!(next(&mut *watch).await.1, [("l/b".to_owned(), None)]);
    let listing = control.list(&prefix("l/")).await.unwrap();
    let names: Vec<_> = listing.entries.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(names, ["l/a", "l/c"]);
}
