//! An etcd that is stopped, killed and started again, and holders that fall silent.

use nigh_cluster::control::{Commit, TTL_MIN, Ttl, Watch};

use super::*;

/// Goes on with a watch whatever happens to the etcd.
async fn next(watch: &mut dyn Watch) -> Commit {
    loop {
        match watch.next().await {
            Ok(commit) => return commit,
            Err(error) => assert!(matches!(error, Error::Unavailable { .. }), "{error:?}"),
        }
    }
}

/// Commits until it is done, which it may be more than once; the last revision.
async fn commit(etcd: &Etcd, text: &str) -> Revision {
    loop {
        match etcd.commit(put("o/a", text)).await {
            Ok(revision) => return revision,
            Err(error) => assert!(matches!(error, Error::Unavailable { .. }), "{error:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Three outages, with commits before and after each, and a watch over all of it.
async fn survives(end: fn(&mut Server)) {
    let mut server = Server::start();
    let etcd = started(&server, "nigh/test/").await;
    let start = commit(&etcd, "start").await;
    let mut watch = etcd.watch(&Prefix::ALL, start).await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        for number in 0..20 {
            let text = format!("{round}/{number}");
            acknowledged.push((commit(&etcd, &text).await, text));
        }
        end(&mut server);
        let error = etcd.commit(put("o/b", "while it is down")).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let error = etcd.get(&key("o/a")).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        server.resume();
    }
    let last = commit(&etcd, "last").await;
    acknowledged.push((last, "last".to_owned()));
    let mut seen = Vec::new();
    let mut reached = start;
    while reached < last {
        let Commit { revision, changes } = next(&mut *watch).await;
        assert!(revision > reached, "{revision} comes after {reached}");
        reached = revision;
        let [(_, Change::Put { value, .. })] = &changes[..] else { panic!("{changes:?}") };
        seen.push((revision, String::from_utf8(value.bytes().to_vec()).unwrap()));
    }
    // An attempt without an answer may have been made, so more may be seen than was acknowledged.
    seen.retain(|commit| acknowledged.contains(commit));
    assert_eq!(seen, acknowledged);
    let found = etcd.get(&key("o/a")).await.unwrap().unwrap();
    assert_eq!((found.revision, found.value.bytes()), (last, &b"last"[..]));
}

#[test]
fn a_watch_goes_on_without_a_gap_when_the_etcd_is_stopped_and_started_again() {
    in_time(survives(Server::stop));
}

#[test]
fn a_watch_goes_on_without_a_gap_when_the_etcd_is_killed_and_started_again() {
    in_time(survives(Server::kill));
}

#[test]
fn an_edge_can_start_before_its_etcd() {
    in_time(async {
        let mut server = Server::prepare("http");
        let etcd = engine(&server, "nigh/test/").await;
        let error = etcd.list(&Prefix::ALL).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        server.resume();
        commit(&etcd, "first").await;
    });
}

#[test]
fn an_etcd_that_was_set_back_is_noticed() {
    in_time(async {
        let mut server = Server::start();
        let etcd = started(&server, "nigh/test/").await;
        commit(&etcd, "one").await;
        let seen = commit(&etcd, "two").await;
        let mut watch = etcd.watch(&Prefix::ALL, seen).await.unwrap();
        server.kill();
        std::fs::remove_dir_all(server.folder.join("data")).unwrap();
        server.resume();
        let error = loop {
            match watch.next().await {
                Err(Error::Unavailable { .. }) => {}
                other => break other.unwrap_err(),
            }
        };
        assert!(matches!(error, Error::Ahead { .. }), "{error:?}");
        assert!(error.asks_to_list());
    });
}

#[test]
fn a_lease_lapses_when_its_holder_falls_silent_and_not_before() {
    in_time(async {
        let server = Server::start();
        let etcd = Arc::new(started(&server, "nigh/test/").await);
        let lease = etcd.grant(Ttl::new(TTL_MIN).unwrap()).await.unwrap();
        let value = Value::new("here").unwrap();
        let here = Change::Put { value, lease: Some(lease.id) };
        let start =
            etcd.commit(Transaction::new([], [(key("here"), here)]).unwrap()).await.unwrap();
        let holder = tokio::spawn({
            let etcd = etcd.clone();
            async move {
                loop {
                    etcd.keep_alive(lease.id).await.unwrap();
                    sleep(lease.ttl.duration() / 4).await;
                }
            }
        });
        let mut watch = etcd.watch(&Prefix::ALL, start).await.unwrap();
        let early = timeout(3 * lease.ttl.duration(), watch.next()).await;
        assert!(early.is_err(), "it went while it was held: {early:?}");
        holder.abort();
        let commit = watch.next().await.unwrap();
        assert_eq!(commit.changes, [(key("here"), Change::Delete)]);
        assert!(matches!(etcd.keep_alive(lease.id).await, Err(Error::LeaseLost)));
    });
}
