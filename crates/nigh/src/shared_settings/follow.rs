//! The task that keeps an edge up with the settings of its cluster, and tells the others what it runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nigh_cluster::{
    control::{
        Change, Commit, Control, Error, Key, LeaseId, Prefix, Revision, Transaction, Ttl, Value,
    },
    family::QualifiedName,
    sharing::{Run, runs_key, settings_key},
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use super::{LEASE, LEAVE_MAX};
use crate::{control::apart, control_state::error_in_full, edge::Running};

/// How often it is seen to that the others know what it runs.
const BEAT: Duration = Duration::from_millis(1500);

/// How often it is looked whether workers have taken other settings, which is a matter of microseconds.
const LOOK: Duration = Duration::from_millis(1);

/// How long it waits after control state could not be asked.
const PAUSE: Duration = Duration::from_millis(500);

/// How often settings are tried again that could not be used: what they name may have come meanwhile.
const RETRY: Duration = Duration::from_secs(10);

/// What the operator is told who has lost control state, or put an old copy in its place.
const SET_BACK: &str = "control state was set back: it was lost, or is an old copy; what this edge knows of                         revocations goes on counting, and edges that begin from now on know only what is there";
const LOST: &str = "control state has no settings any more: the sites that this edge runs are served until                     others are applied; `nigh apply` brings them back for edges that begin";

/// One edge that follows the settings.
pub(super) struct Follower {
    running: Arc<Running>,
    control: Arc<dyn Control>,
    key: Key,
    lease: Option<LeaseId>,
    /// What the others were told, on that lease.
    said: Option<Run>,
    /// What was given with the revision that it runs, as far as that is known. The same number may stand for
    /// others, where control state was set back.
    ran: Option<Value>,
    /// The last revision of control state that was seen.
    seen: Revision,
    /// Settings that cannot be used, and when that was seen.
    refused: Option<(Revision, Value, Instant)>,
}

impl Follower {
    pub(super) fn new(
        running: Arc<Running>,
        control: Arc<dyn Control>,
        own: &QualifiedName,
    ) -> Self {
        let key = runs_key(own);
        // It said so before it served; once more, since a process that it replaced may have, too.
        let lease = running.lease;
        let seen = Revision::NONE;
        Self { running, control, key, lease, said: None, ran: None, seen, refused: None }
    }

    /// Follows them until it is told to stop.
    pub(super) async fn run(mut self, stopped: oneshot::Receiver<()>) {
        tokio::select! {
            () = self.follow() => {}
            _ = stopped => {}
        }
        if let Some(lease) = self.lease {
            // If it fails, the lease ends by itself.
            drop(timeout(LEAVE_MAX, self.control.revoke(lease)).await);
        }
    }

    async fn follow(&mut self) {
        let mut is_said = false;
        loop {
            let Err(error) = self.follow_once().await;
            // Without its lease it is at another control state perhaps, and lists at once.
            let lists = matches!(error, Error::LeaseLost) || error.asks_to_list();
            if !lists && !is_said {
                let error = error_in_full(&error);
                warn!(error, "the settings of the cluster cannot be followed");
                is_said = true;
            }
            sleep(PAUSE).await;
        }
    }

    /// From a list on, for as long as a watch goes on after it.
    async fn follow_once(&mut self) -> Result<std::convert::Infallible, Error> {
        let key = settings_key();
        let prefix = Prefix::new(key.as_str()).expect("what is a key can be a prefix");
        let control = Arc::clone(&self.control);
        let listing = control.list(&prefix).await?;
        if listing.revision < self.seen {
            let (before, now) = (self.seen.0, listing.revision.0);
            error!(before, now, "{SET_BACK}");
        }
        (self.seen, self.said) = (listing.revision, None);
        let listed = listing.entries.into_iter().find(|(found, _)| *found == key);
        self.apply(listed.map(|(_, entry)| (entry.revision, entry.value))).await;
        let mut watch = control.watch(&prefix, listing.revision).await?;
        loop {
            self.say().await?;
            tokio::select! {
                biased;
                commit = watch.next() => match commit {
                    Ok(commit) => self.saw(commit, &key).await,
                    // It goes on where it was.
                    Err(Error::Unavailable { .. }) => {}
                    Err(error) => return Err(error),
                },
                () = sleep(BEAT) => self.beat().await?,
            }
        }
    }

    async fn saw(&mut self, commit: Commit, key: &Key) {
        self.seen = self.seen.max(commit.revision);
        let change = commit.changes.into_iter().find(|(changed, _)| changed == key);
        match change {
            Some((_, Change::Put { value, .. })) => {
                self.apply(Some((commit.revision, value))).await;
            }
            Some((_, Change::Delete)) => self.apply(None).await,
            None => {}
        }
    }

    /// Stays present, and tries once more what could not be used.
    async fn beat(&mut self) -> Result<(), Error> {
        if let Some(lease) = self.lease
            && let Err(error @ Error::LeaseLost) = self.control.keep_alive(lease).await
        {
            self.lease = None;
            return Err(error);
        }
        if let Some((revision, value, at)) = &self.refused
            && at.elapsed() >= RETRY
        {
            let again = (*revision, value.clone());
            self.apply(Some(again)).await;
        }
        Ok(())
    }

    /// Has these settings take effect, unless they have. If there are none, those that it runs stay: nobody
    /// has applied others.
    async fn apply(&mut self, settings: Option<(Revision, Value)>) {
        let running = Arc::clone(&self.running);
        let Some((revision, value)) = settings else {
            self.refused = None;
            if apart(move || running.control.keep_shared()).await {
                error!("{LOST}");
            }
            return;
        };
        let is_same = self.ran.as_ref().is_none_or(|ran| *ran == value);
        if running.now().revision == Some(revision) && is_same {
            self.ran = Some(value);
            return;
        }
        let before = running.control.refused();
        let given = value.clone();
        let came = apart(move || running.control.share(revision, given.bytes())).await;
        // What cannot be used is tried again and again, and told once.
        let is_new = came.is_ok() || before != self.running.control.refused();
        if is_new {
            self.running.events.reloaded(&came);
        }
        self.refused = None;
        match came {
            Ok(_) => {
                let sites = self.running.now().settings.sites.len();
                info!(revision = revision.0, sites, "serves the new sites of control state");
                self.ran = Some(value);
            }
            Err(refused) => {
                if is_new {
                    let (revision, why) = (revision.0, refused.in_full());
                    error!(revision, "nothing is changed: settings of control state: {why}");
                }
                self.refused = Some((revision, value, Instant::now()));
            }
        }
    }

    /// Whether every worker serves what was applied last: not what was said, but what clients get.
    async fn is_taken(&self) -> bool {
        let server = self.running.control.server();
        let taken = async {
            while !server.is_taken() {
                sleep(LOOK).await;
            }
        };
        timeout(BEAT, taken).await.is_ok()
    }

    /// Tells the others what it runs, if they do not know. What fails is tried again with the next beat.
    ///
    /// # Errors
    /// If its lease is lost.
    async fn say(&mut self) -> Result<(), Error> {
        if !self.is_taken().await {
            return Ok(());
        }
        let now = self.running.now();
        let revision = now.revision.unwrap_or(Revision::NONE);
        let run = Run { revision, refused: self.running.control.refused() };
        if self.said.as_ref() == Some(&run) {
            return Ok(());
        }
        let lease = match self.lease {
            Some(lease) => lease,
            None => {
                let ttl = Ttl::new(LEASE).expect("between the bounds of leases");
                let Ok(lease) = self.control.grant(ttl).await else { return Ok(()) };
                *self.lease.insert(lease.id)
            }
        };
        let put = Change::Put { value: run.to_value(), lease: Some(lease) };
        let put = Transaction::new([], [(self.key.clone(), put)]).expect("one short value");
        match self.control.commit(put).await {
            Ok(revision) => {
                self.seen = self.seen.max(revision);
                self.said = Some(run);
            }
            Err(error @ Error::LeaseLost) => {
                self.lease = None;
                return Err(error);
            }
            Err(_) => {}
        }
        Ok(())
    }
}
