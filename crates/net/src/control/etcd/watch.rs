//! A watch on an etcd, which goes on over broken connections and restarts of it.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use etcd_client::{EventType, GetOptions, WatchOptions, WatchResponse, WatchStream};
use nigh_cluster::control::{Answer, Change, Commit, Error, Prefix, Revision, Value, Watch};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};

use super::{
    Etcd, MESSAGE_MAX, REQUEST_MAX, connection::Connection, key_of, lease_of, range, translate,
};

/// Between two attempts to open it.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Watcher {
    connection: Arc<Connection>,
    namespace: Prefix,
    /// What is watched, namespace and all.
    start: String,
    /// All up to here was seen, or does not concern it.
    after: Revision,
    stream: Option<WatchStream>,
    /// The last attempt has failed.
    failed: bool,
    /// What has come and was not taken yet. Nothing more is read while something is here.
    ready: VecDeque<Commit>,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    pub(super) async fn open(
        etcd: &Etcd,
        prefix: &Prefix,
        after: Revision,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, Error> {
        let mut watcher = Self {
            connection: Arc::clone(&etcd.connection),
            namespace: etcd.namespace.clone(),
            start: format!("{}{}", etcd.namespace.as_str(), prefix.as_str()),
            after,
            stream: None,
            failed: false,
            ready: VecDeque::new(),
            _place: place,
        };
        watcher.connect().await?;
        Ok(watcher)
    }

    /// Opens the stream where the watch has come to.
    async fn connect(&mut self) -> Result<(), Error> {
        self.stream = Some(self.connection.explained(self.open_stream()).await?);
        Ok(())
    }

    async fn open_stream(&self) -> Result<WatchStream, Error> {
        // A linearizable read: an etcd that was set back would let us wait for a revision that comes
        // a second time, with other content.
        let latest = GetOptions::new().with_count_only();
        let latest = range(&self.connection.kv(), self.start.clone(), latest).await?.revision;
        if self.after > latest {
            return Err(Error::Ahead { latest });
        }
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(self.after.0.cast_signed() + 1)
            // While nothing of ours changes, the etcd says now and then how far it has come.
            .with_progress_notify();
        let mut client =
            self.connection.client().watch_client().max_decoding_message_size(MESSAGE_MAX);
        let opened = timeout(REQUEST_MAX, client.watch(self.start.clone(), Some(options)));
        opened.await.map_err(Error::unavailable)?.map_err(translate)
    }

    async fn next_commit(&mut self) -> Result<Commit, Error> {
        loop {
            if let Some(commit) = self.ready.pop_front() {
                self.after = commit.revision;
                return Ok(commit);
            }
            match self.receive().await {
                Ok(response) => self.take(&response)?,
                Err(error) => {
                    self.stream = None;
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<WatchResponse, Error> {
        if self.stream.is_none() {
            if self.failed {
                sleep(PAUSE).await;
            }
            self.connect().await?;
        }
        self.failed = false;
        let stream = self.stream.as_mut().expect("it was opened above");
        let response = stream.message().await.map_err(translate)?;
        let response = response.ok_or(Error::Unavailable { source: None })?;
        if response.compact_revision() > 0 {
            return Err(Error::Compacted);
        }
        if response.canceled() {
            return Err(Error::unavailable(Cancelled(response.cancel_reason().to_owned())));
        }
        Ok(response)
    }

    /// Makes commits of what has come. An etcd never parts those of one revision.
    fn take(&mut self, response: &WatchResponse) -> Result<(), Error> {
        for event in response.events() {
            let Some(found) = event.kv() else { continue };
            let change = match event.event_type() {
                EventType::Put => Change::Put {
                    value: Value::new(found.value()).map_err(Error::damaged)?,
                    lease: lease_of(found),
                },
                EventType::Delete => Change::Delete,
            };
            let change = (key_of(&self.namespace, found)?, change);
            let revision = Revision(found.mod_revision().unsigned_abs());
            match self.ready.back_mut().filter(|commit| commit.revision == revision) {
                Some(commit) => commit.changes.push(change),
                None => self.ready.push_back(Commit { revision, changes: vec![change] }),
            }
        }
        if self.ready.is_empty() && !response.created() {
            self.after = self.after.max(super::revision_of(response.header()));
        }
        Ok(())
    }
}

impl Watch for Watcher {
    fn next(&mut self) -> Answer<'_, Commit> {
        Box::pin(self.next_commit())
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, after, .. } = self;
        f.debug_struct("Watcher").field("start", start).field("after", after).finish()
    }
}

/// Why an etcd has ended a watch.
#[derive(Debug, thiserror::Error)]
#[error("the etcd has ended the watch: {0}")]
struct Cancelled(String);
