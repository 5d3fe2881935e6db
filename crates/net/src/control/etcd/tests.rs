//! The engine against a real etcd: the program `etcd` in the search path, or where `$ETCD` says.
//! Each test has one of its own, on loopback and in a folder that goes with it.

mod outages;
mod security;
mod server;

use std::{future::Future, sync::Arc, time::Duration};

use nigh_cluster::control::{
    Change, Condition, Control, Error, Key, Prefix, Revision, Transaction, Value,
    conformance::{Later, Rig},
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

use super::{Etcd, NAMESPACE_MAX, Settings, SettingsError};
use server::Server;

/// A test that takes longer waits for something that does not come.
const PATIENCE: Duration = Duration::from_secs(60);

struct Real {
    /// It ends with this value.
    _server: Server,
    etcd: Arc<Etcd>,
}

impl Rig for Real {
    fn control(&self) -> Arc<dyn Control> {
        self.etcd.clone()
    }

    fn pass(&self, span: Duration) -> Later<'_, ()> {
        Box::pin(sleep(span))
    }

    fn forget(&self) -> Later<'_, ()> {
        Box::pin(async {
            let latest = self.etcd.list(&Prefix::ALL).await.unwrap().revision;
            let mut kv = self.etcd.connection.kv();
            kv.compact(latest.0.cast_signed(), None).await.unwrap();
        })
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn in_time<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(async { timeout(PATIENCE, work).await.expect("it ends in time") })
}

fn run(test: impl FnOnce(&dyn Rig) -> Later<'_, ()>) {
    in_time(async {
        let server = Server::start();
        let etcd = Arc::new(started(&server, "nigh/test/").await);
        test(&Real { _server: server, etcd }).await;
    });
}

nigh_cluster::conformance_tests!(run);

async fn engine(server: &Server, namespace: &str) -> Etcd {
    let settings = Settings {
        endpoints: vec![server.url()],
        namespace: Prefix::new(namespace).unwrap(),
        tls: None,
    };
    Etcd::new(settings).await.unwrap()
}

/// The same, when the etcd has a leader.
async fn started(server: &Server, namespace: &str) -> Etcd {
    let etcd = engine(server, namespace).await;
    ready(&etcd).await;
    etcd
}

async fn ready(etcd: &Etcd) {
    while let Err(error) = etcd.list(&Prefix::ALL).await {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn put(name: &str, text: &str) -> Transaction {
    let put = Change::Put { value: Value::new(text).unwrap(), lease: None };
    Transaction::new([], [(key(name), put)]).unwrap()
}

#[test]
fn clusters_that_share_an_etcd_see_nothing_of_each_other() {
    in_time(async {
        let server = Server::start();
        let (one, other) = (started(&server, "nigh/1/").await, started(&server, "nigh/10/").await);
        let mut watch = other.watch(&Prefix::ALL, Revision::NONE).await.unwrap();
        one.commit(put("a", "one")).await.unwrap();
        assert_eq!(other.get(&key("a")).await.unwrap(), None);
        assert_eq!(other.list(&Prefix::ALL).await.unwrap().entries, []);
        let revision = other.commit(put("a", "other")).await.unwrap();
        assert_eq!(watch.next().await.unwrap().revision, revision);
        assert_eq!(one.get(&key("a")).await.unwrap().unwrap().value.bytes(), b"one");
    });
}

#[test]
fn at_the_bound_of_keys_nothing_is_added_but_what_is_there_can_be_changed() {
    in_time(async {
        let server = Server::start();
        let mut etcd = started(&server, "nigh/test/").await;
        etcd.keys_max = 2;
        for name in ["a", "b"] {
            etcd.commit(put(name, "x")).await.unwrap();
        }
        assert!(matches!(etcd.commit(put("c", "x")).await, Err(Error::Full { .. })));
        let value = Value::new("y").unwrap();
        let known = Transaction::new(
            [(key("a"), Condition::Exists)],
            [(key("a"), Change::Put { value, lease: None })],
        );
        etcd.commit(known.unwrap()).await.unwrap();
        etcd.commit(Transaction::new([], [(key("a"), Change::Delete)]).unwrap()).await.unwrap();
        etcd.commit(put("c", "x")).await.unwrap();
    });
}

#[test]
fn settings_that_cannot_work_are_refused() {
    in_time(async {
        let refused = |endpoint: &str, namespace: &str| {
            let endpoints = vec![endpoint.to_owned()];
            let namespace = Prefix::new(namespace).unwrap();
            Etcd::new(Settings { endpoints, namespace, tls: None })
        };
        let long = "n".repeat(NAMESPACE_MAX + 1);
        for namespace in ["", &long] {
            let error = refused("http://127.0.0.1:1", namespace).await.unwrap_err();
            assert!(matches!(error, SettingsError::Namespace), "{error:?}");
        }
        let error = refused("http://no place", "n/").await.unwrap_err();
        assert!(matches!(error, SettingsError::Endpoints(_)), "{error:?}");
    });
}
