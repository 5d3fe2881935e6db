//! The task that keeps an edge up with the purges of its cluster, and says how far what is stored may be
//! trusted.

use std::{future::pending, pin::Pin, sync::Arc, time::Duration};

use nigh_cluster::{
    control::{Commit, Control, Error, Revision, Watch},
    forgetting::{Answered, Ask, Forget, Holder, Refused, purges},
};
use nigh_net::trusted::Trusted;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{LEAVE_MAX, Named, Progress};
use crate::{admin, control_state::error_in_full, edge::Running};

/// How long it waits after a watch could not be had.
const PAUSE: Duration = Duration::from_millis(200);

/// A question that control state is being asked.
type Asking = Pin<Box<dyn Future<Output = Result<Answered, Error>> + Send>>;

/// One edge that follows the purges.
pub(super) struct Follower {
    running: Arc<Running>,
    control: Arc<dyn Control>,
    trusted: Arc<Trusted>,
    holder: Holder,
    progress: Progress,
    /// Whether all that was applied is durable too. If not, what is written down stays behind, so that
    /// the next process applies it again.
    is_durable: bool,
    asking: Option<Asking>,
    watch: Option<Box<dyn Watch>>,
    /// Whether the log has it that what is stored is trusted.
    said: Option<bool>,
    /// Whether the log has it why control state does not answer, since it was last trusted.
    is_explained: bool,
}

/// What came first.
enum Came {
    Answer(Result<Answered, Error>),
    Commit(Result<Commit, Error>),
    Time,
}

impl Follower {
    pub(super) fn new(
        running: Arc<Running>,
        control: Arc<dyn Control>,
        holder: Holder,
        progress: Progress,
    ) -> Self {
        let trusted = Arc::clone(&running.shared.trusted);
        Self {
            running,
            control,
            trusted,
            holder,
            progress,
            is_durable: true,
            asking: None,
            watch: None,
            said: None,
            is_explained: false,
        }
    }

    /// Follows them until it is told to stop. Then nothing that is stored is trusted any more, and
    /// nobody waits for this edge.
    pub(super) async fn run(mut self, stopped: oneshot::Receiver<()>) {
        tokio::select! {
            () = self.follow() => {}
            _ = stopped => {}
        }
        self.trusted.publish(None, self.trusted.reached());
        if let Some(lease) = self.holder.lease() {
            // If it fails, the lease ends by itself.
            drop(timeout(LEAVE_MAX, self.control.revoke(lease)).await);
        }
    }

    async fn follow(&mut self) {
        loop {
            self.publish();
            if self.asking.is_none()
                && let Some(ask) = self.holder.ask(self.trusted.now())
            {
                self.asking = Some(question(Arc::clone(&self.control), ask));
            }
            match self.next().await {
                Came::Answer(answer) => self.answered(answer).await,
                Came::Commit(commit) => self.saw(commit).await,
                Came::Time => {}
            }
        }
    }

    /// Says how far what is stored may be trusted: what the holder knows is applied.
    fn publish(&mut self) {
        let (until, now) = (self.holder.trusted_until(), self.trusted.now());
        self.trusted.publish(until, self.holder.reached());
        let is_trusted = until.is_some_and(|until| now < until);
        if self.said.replace(is_trusted) == Some(is_trusted) {
            return;
        }
        if is_trusted {
            self.is_explained = false;
            info!(purge = self.holder.reached(), "forgets with the cluster: serves what is stored");
        } else {
            warn!("does not hear of the cluster's purges (yet): what is stored is validated");
        }
    }

    async fn next(&mut self) -> Came {
        let due = self.holder.wake_at().map(|due| due.since(self.trusted.now()));
        let answer = async {
            match &mut self.asking {
                Some(asking) => asking.await,
                None => pending().await,
            }
        };
        let commit = async {
            match &mut self.watch {
                Some(watch) => watch.next().await,
                None => pending().await,
            }
        };
        let time = async {
            match due {
                Some(due) => sleep(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answer => Came::Answer(answer),
            commit = commit => Came::Commit(commit),
            () = time => Came::Time,
        }
    }

    async fn answered(&mut self, answer: Result<Answered, Error>) {
        self.asking = None;
        let listed = match &answer {
            Ok(Answered::Listed(listing)) => Some(listing.revision),
            _ => None,
        };
        if let Err(error @ Error::Unavailable { .. }) = &answer
            && self.said == Some(false)
            && !self.is_explained
        {
            self.is_explained = true;
            let error = error_in_full(error);
            warn!(error, "control state cannot be asked for the cluster's purges");
        }
        let forgets = self.holder.answered(self.trusted.now(), answer.map_err(refused));
        self.publish_withdrawal();
        self.forget(forgets).await;
        if let Some(revision) = listed {
            self.watch_after(revision).await;
        }
    }

    /// If there is no trust any more, everybody knows before anything else is done: purges take a while.
    fn publish_withdrawal(&self) {
        if self.holder.trusted_until().is_none() {
            self.trusted.publish(None, self.trusted.reached());
        }
    }

    async fn watch_after(&mut self, revision: Revision) {
        self.watch = None;
        match self.control.watch(&purges(), revision).await {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => self.lost_sight(&error).await,
        }
    }

    async fn saw(&mut self, commit: Result<Commit, Error>) {
        match commit {
            Ok(commit) => {
                let forgets = self.holder.saw(&commit);
                self.forget(forgets).await;
            }
            // It goes on where it was, and pauses by itself.
            Err(Error::Unavailable { .. }) => {}
            Err(error) => self.lost_sight(&error).await,
        }
    }

    /// Begins anew with a list.
    async fn lost_sight(&mut self, error: &Error) {
        self.watch = None;
        self.holder.lost_sight();
        self.publish_withdrawal();
        if !error.asks_to_list() {
            warn!(%error, "the cluster's purges cannot be watched");
            sleep(PAUSE).await;
        }
    }

    /// Forgets, and waits until that is durable where there is a disk: only then others are told.
    async fn forget(&mut self, forgets: Vec<Forget>) {
        if forgets.is_empty() {
            return;
        }
        self.trusted.hear(self.holder.reached());
        let mut applying = JoinSet::new();
        for forget in forgets {
            let named = named(forget);
            let running = Arc::clone(&self.running);
            applying.spawn(async move { admin::forget(&running, &named).await });
        }
        while let Some(applied) = applying.join_next().await {
            let applied = applied.map_err(|error| error.to_string());
            if let Err(error) = applied.and_then(|durable| durable) {
                self.is_durable = false;
                warn!("a purge of the cluster: {error}");
            }
        }
        if !self.is_durable {
            return;
        }
        if let Err(error) = self.progress.write(self.holder.reached(), self.holder.at()).await {
            self.is_durable = false;
            warn!(%error, "how far purges are applied cannot be written: a restart applies them again");
        }
    }
}

/// What is to be forgotten: everything, where that is not known.
fn named(forget: Forget) -> Named {
    match forget {
        Forget::Purge { number, value } => Named::of(&value).unwrap_or_else(|| {
            warn!(number, "a purge that this version cannot read: everything is forgotten");
            Named::EVERYTHING
        }),
        Forget::Everything => {
            warn!("purges of the cluster were missed: everything is forgotten");
            Named::EVERYTHING
        }
    }
}

/// Asks control state.
fn question(control: Arc<dyn Control>, ask: Ask) -> Asking {
    Box::pin(async move {
        match ask {
            Ask::List => control.list(&purges()).await.map(Answered::Listed),
            Ask::Grant(ttl) => control.grant(ttl).await.map(Answered::Granted),
            Ask::Commit(transaction) => control.commit(transaction).await.map(|_| Answered::Done),
            Ask::KeepAlive(lease) => control.keep_alive(lease).await.map(|()| Answered::Done),
        }
    })
}

fn refused(error: Error) -> Refused {
    match error {
        Error::Conflict => Refused::Conflict,
        Error::LeaseLost => Refused::LeaseLost,
        Error::Unavailable { .. } => Refused::Unavailable,
        // What the operator has to see to.
        error => {
            warn!(%error, "control state does not do what this edge asks for");
            Refused::Unavailable
        }
    }
}
