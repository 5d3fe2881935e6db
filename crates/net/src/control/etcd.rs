//! Control state in an etcd that a fleet shares, over its own API (version 3).
//!
//! | of the contract | at etcd |
//! | --- | --- |
//! | commit | one `Txn`: compares of create and modification revisions, puts, deletes |
//! | get, list | linearizable `Range`s; a list is read page by page at one revision |
//! | watch | `Watch` from a revision on; after a break it is opened anew where it was |
//! | lease | `LeaseGrant`, `LeaseKeepAlive`, `LeaseRevoke` |
//!
//! All keys lie below one prefix, so several clusters can share an etcd. Its revisions are those of
//! the whole etcd: they grow with each commit of ours, and with those of others too.

mod connection;
mod tls;
mod watch;

use std::{sync::Arc, time::Duration};

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, KvClient, PutOptions, Txn, TxnOp};
use nigh_cluster::control::{
    Answer, Bound, Change, Condition, Control, Entry, Error, Key, Lease, LeaseId, Listing, Prefix,
    Revision, Transaction, Ttl, Value, Watch, local::WATCHES_MAX, model::Bounds,
};
use tokio::{sync::Semaphore, time::timeout};

use self::connection::Connection;
pub use self::{
    connection::ReadTls,
    tls::{Shown, Tls, Unreachable},
};
use crate::tls::TlsError;

/// Bytes of the prefix below which all keys lie: with it, the largest transaction still fits into
/// what an etcd takes.
pub const NAMESPACE_MAX: usize = 64;
/// How long a request may take: an etcd without a leader has a new one after about a second.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Keys of a list that are fetched at a time.
const PAGE: i64 = 128;
/// Bytes of an answer: a page of the largest values.
const MESSAGE_MAX: usize = 160 << 20;

/// Where the etcd is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// URLs of its members, `http://` or `https://`.
    pub endpoints: Vec<String>,
    /// With what our keys begin, as `nigh/NAME/`; not empty, [`NAMESPACE_MAX`] bytes at most.
    pub namespace: Prefix,
    /// For `https://`: certificates as they are then, and again each time when TLS fails.
    pub tls: Option<ReadTls>,
}

/// What is wrong with the settings. The operator mends them.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The namespace is empty or too long.
    #[error("the namespace of an etcd has 1 to {NAMESPACE_MAX} bytes")]
    Namespace,
    /// An endpoint cannot be used.
    #[error("the endpoints of an etcd cannot be used")]
    Endpoints(#[source] etcd_client::Error),
    /// Certificates or a key cannot be read where they lie.
    #[error("cannot read how an etcd is asked over TLS")]
    Unread {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no certificate of an authority.
    #[error("those who vouch for an etcd")]
    Authority(#[source] TlsError),
    /// The certificate or the key that is shown cannot be used.
    #[error("the certificate that is shown to an etcd")]
    Shown(#[source] TlsError),
}

/// Control state in an etcd. It belongs to the runtime on which it was made.
pub struct Etcd {
    connection: Arc<Connection>,
    namespace: Prefix,
    keys_max: usize,
    watches: Arc<Semaphore>,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Etcd {
    /// An engine on this etcd. Whether it can be reached shows with the first request, so an edge
    /// starts before its etcd does.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub async fn new(settings: Settings) -> Result<Self, SettingsError> {
        let namespace = settings.namespace;
        if !(1..=NAMESPACE_MAX).contains(&namespace.as_str().len()) {
            return Err(SettingsError::Namespace);
        }
        let connection = Arc::new(Connection::new(settings.endpoints, settings.tls).await?);
        let watches = Arc::new(Semaphore::new(WATCHES_MAX));
        Ok(Self { connection, namespace, keys_max: Bounds::default().keys, watches })
    }

    fn full_name(&self, key: &Key) -> String {
        format!("{}{key}", self.namespace.as_str())
    }

    async fn range(&self, key: String, options: GetOptions) -> Result<Page, Error> {
        range(&self.connection.kv(), key, options).await
    }

    async fn get_entry(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let page = self.range(self.full_name(key), GetOptions::new()).await?;
        page.entries.first().map(entry).transpose()
    }

    async fn list_entries(&self, prefix: &Prefix) -> Result<Listing, Error> {
        let start = format!("{}{}", self.namespace.as_str(), prefix.as_str());
        let end = end_of(&start);
        let first = GetOptions::new().with_range(end.clone()).with_limit(PAGE);
        let mut page = self.range(start, first).await?;
        let revision = page.revision;
        let mut entries = Vec::new();
        loop {
            for found in &page.entries {
                entries.push((key_of(&self.namespace, found)?, entry(found)?));
            }
            let Some(last) = page.entries.last().filter(|_| page.more) else {
                return Ok(Listing { entries, revision });
            };
            let next = [last.key(), b"\0"].concat();
            let next = String::from_utf8(next).map_err(Error::damaged)?;
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(PAGE)
                .with_revision(revision.0.cast_signed());
            page = self.range(next, options).await.map_err(|error| match error {
                // The history went while the list was read: it is not the caller's concern.
                Error::Compacted => Error::Unavailable { source: None },
                error => error,
            })?;
        }
    }

    async fn commit_transaction(&self, transaction: Transaction) -> Result<Revision, Error> {
        self.check_room(&transaction).await?;
        let compares: Option<Vec<Compare>> = transaction
            .conditions()
            .map(|(key, condition)| compare(self.full_name(key), condition))
            .collect();
        let compares = compares.ok_or(Error::Conflict)?;
        let operations: Vec<TxnOp> = transaction
            .changes()
            .map(|(key, change)| operation(self.full_name(key), change))
            .collect();
        let request = Txn::new().when(compares).and_then(operations);
        let answer = in_time(self.connection.kv().txn(request)).await?;
        if !answer.succeeded() {
            return Err(Error::Conflict);
        }
        Ok(revision_of(answer.header()))
    }

    /// Whether there is room for more keys. An etcd holds no bound of this kind, so that those who
    /// commit at the same moment may pass it together.
    async fn check_room(&self, transaction: &Transaction) -> Result<(), Error> {
        let is_there = |key: &Key| {
            transaction
                .conditions()
                .any(|(held, condition)| held == key && !matches!(condition, Condition::Absent))
        };
        let adds = transaction
            .changes()
            .any(|(key, change)| matches!(change, Change::Put { .. }) && !is_there(key));
        if !adds {
            return Ok(());
        }
        let all = GetOptions::new().with_prefix().with_count_only();
        let count = self.range(self.namespace.as_str().to_owned(), all).await?.count;
        if count >= self.keys_max {
            return Err(Error::Full { what: Bound::Keys });
        }
        Ok(())
    }

    async fn grant_lease(&self, asked: Ttl) -> Result<Lease, Error> {
        let mut leases = self.connection.client().lease_client();
        let granted = in_time(leases.grant(asked.secs().cast_signed(), None)).await?;
        let ttl = Duration::from_secs(granted.ttl().unsigned_abs());
        // An etcd may give more than it was asked for, and then also more than we would ask for.
        Ok(Lease { id: LeaseId(granted.id().cast_unsigned()), ttl: Ttl::new(ttl).unwrap_or(asked) })
    }
}

impl Control for Etcd {
    fn get<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>> {
        Box::pin(self.connection.explained(self.get_entry(key)))
    }

    fn list<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Listing> {
        Box::pin(self.connection.explained(self.list_entries(prefix)))
    }

    fn commit(&self, transaction: Transaction) -> Answer<'_, Revision> {
        Box::pin(self.connection.explained(self.commit_transaction(transaction)))
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        Box::pin(async move {
            let full = |_| Error::Full { what: Bound::Watches };
            let place = self.watches.clone().try_acquire_owned().map_err(full)?;
            let watch = watch::Watcher::open(self, prefix, after, place).await?;
            Ok(Box::new(watch) as Box<dyn Watch>)
        })
    }

    fn grant(&self, ttl: Ttl) -> Answer<'_, Lease> {
        Box::pin(self.connection.explained(self.grant_lease(ttl)))
    }

    fn keep_alive(&self, lease: LeaseId) -> Answer<'_, ()> {
        Box::pin(self.connection.explained(async move {
            let mut leases = self.connection.client().lease_client();
            in_time(leases.keep_alive(lease.0.cast_signed())).await?;
            Ok(())
        }))
    }

    fn revoke(&self, lease: LeaseId) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut leases = self.connection.client().lease_client();
            in_time(leases.revoke(lease.0.cast_signed())).await?;
            Ok(())
        })
    }
}

/// What a range of keys gave.
struct Page {
    entries: Vec<KeyValue>,
    /// Whether there are more than were asked for.
    more: bool,
    /// All keys in the range, also those beyond the page.
    count: usize,
    revision: Revision,
}

async fn range(kv: &KvClient, key: String, options: GetOptions) -> Result<Page, Error> {
    let mut answer = in_time(kv.clone().get(key, Some(options))).await?;
    Ok(Page {
        entries: answer.take_kvs(),
        more: answer.more(),
        count: usize::try_from(answer.count()).unwrap_or(0),
        revision: revision_of(answer.header()),
    })
}

/// The answer of an etcd, or why there is none. With all members out of reach a request waits for
/// one to come back, so its time is taken here.
async fn in_time<T>(
    request: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Error> {
    match timeout(REQUEST_MAX, request).await {
        Ok(answer) => answer.map_err(translate),
        Err(elapsed) => Err(Error::unavailable(elapsed)),
    }
}

/// What an error of the client is in the contract, by the codes of gRPC.
fn translate(error: etcd_client::Error) -> Error {
    const INVALID_ARGUMENT: i32 = 3;
    const NOT_FOUND: i32 = 5;
    const PERMISSION_DENIED: i32 = 7;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const OUT_OF_RANGE: i32 = 11;
    const UNAUTHENTICATED: i32 = 16;
    let code = match &error {
        // This is what the client makes of an answer without time left.
        etcd_client::Error::LeaseKeepAliveError(_) => NOT_FOUND,
        etcd_client::Error::GRpcStatus(status) => i32::from(status.code()),
        _ => return Error::unavailable(error),
    };
    match code {
        // Nothing but leases is asked for in such a way.
        NOT_FOUND => Error::LeaseLost,
        RESOURCE_EXHAUSTED => Error::Full { what: Bound::Bytes },
        // Compacted at the etcd, or more at once than we take.
        OUT_OF_RANGE => Error::Compacted,
        INVALID_ARGUMENT | PERMISSION_DENIED | UNAUTHENTICATED => {
            Error::Denied { source: Arc::new(error) }
        }
        _ => Error::unavailable(error),
    }
}

/// The compare of a condition; none if it never holds.
fn compare(key: String, condition: Condition) -> Option<Compare> {
    Some(match condition {
        Condition::Absent => Compare::create_revision(key, CompareOp::Equal, 0),
        Condition::Exists => Compare::create_revision(key, CompareOp::Greater, 0),
        // To an etcd, what is absent was changed at 0.
        Condition::At(Revision::NONE) => return None,
        Condition::At(revision) => {
            let revision = i64::try_from(revision.0).ok()?;
            Compare::mod_revision(key, CompareOp::Equal, revision)
        }
    })
}

fn operation(key: String, change: &Change) -> TxnOp {
    match change {
        Change::Put { value, lease } => {
            let lease = lease.map_or(0, |lease| lease.0.cast_signed());
            TxnOp::put(key, value.bytes(), Some(PutOptions::new().with_lease(lease)))
        }
        Change::Delete => TxnOp::delete(key, None),
    }
}

fn entry(found: &KeyValue) -> Result<Entry, Error> {
    Ok(Entry {
        value: Value::new(found.value()).map_err(Error::damaged)?,
        revision: Revision(found.mod_revision().unsigned_abs()),
        lease: lease_of(found),
    })
}

fn lease_of(found: &KeyValue) -> Option<LeaseId> {
    (found.lease() != 0).then(|| LeaseId(found.lease().cast_unsigned()))
}

/// A key without its namespace.
fn key_of(namespace: &Prefix, found: &KeyValue) -> Result<Key, Error> {
    let name = found.key().get(namespace.as_str().len()..).unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(Error::damaged)?;
    Key::new(name).map_err(Error::damaged)
}

/// The first name behind all that begin with `start`. Its last character is visible ASCII, so there
/// is a next one.
fn end_of(start: &str) -> Vec<u8> {
    let mut end = start.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn revision_of(header: Option<&etcd_client::ResponseHeader>) -> Revision {
    Revision(header.map_or(0, |header| header.revision().unsigned_abs()))
}

#[cfg(test)]
mod tests;
