//! Forgetting together, on a running edge: `nigh_cluster::forgetting` over real control state.
//! docs/cluster.md says why a purge that is done reaches every edge.
//!
//! ```text
//! POST /v1/purge -> commit purges/n -> wait for every reached/CLUSTER/NAME      purging
//! a task, always -> lease, watch -> apply (admin::forget) -> progress   follow
//!                \-> nigh_net::trusted, which each request asks
//! ```

mod follow;
mod named;
mod progress;
mod purging;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nigh_cluster::{control::Control, forgetting::Holder};
use nigh_net::trusted::Trusted;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use self::{follow::Follower, progress::Progress};
use crate::edge::Running;

pub(crate) use self::{
    named::{Named, What},
    purging::{Failed, WAIT_MAX},
};

/// An edge's part in the forgetting of its cluster.
#[derive(Debug)]
pub(crate) struct Forgetting {
    control: Arc<dyn Control>,
    trusted: Arc<Trusted>,
    /// What follows the purges, and how it is told to end; none after [`Forgetting::stop`].
    task: Mutex<Option<(JoinHandle<()>, oneshot::Sender<()>)>>,
}

/// How long leaving may take: to end a lease is one question.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// Begins to forget with the others, if there is control state. Until the first list of purges is
/// applied, nothing that is stored is served without being validated. To be called within a runtime.
pub(crate) fn start(running: &Arc<Running>) {
    let now = running.now();
    let Some((cluster, state)) = now.settings.cluster.as_ref().zip(running.state.as_ref()) else {
        return;
    };
    let control = Arc::clone(state.family());
    // Without a disk that is in use the store is empty, and nothing is to be said of it.
    let disk = now.settings.cache.disk.as_ref().filter(|_| running.disk.is_some());
    let progress = Progress::new(cluster.family.as_str(), disk.map(|disk| disk.path.as_path()));
    let (reached, at) = progress.read();
    let holder = Holder::new(&cluster.qualified(&cluster.own), reached, at);
    let trusted = Arc::clone(&running.shared.trusted);
    let follower = Follower::new(Arc::clone(running), Arc::clone(&control), holder, progress);
    let (stop, stopped) = oneshot::channel();
    let task = Mutex::new(Some((tokio::spawn(follower.run(stopped)), stop)));
    let forgetting = Forgetting { control, trusted, task };
    running.forgetting.set(forgetting).expect("it is started once");
}

impl Forgetting {
    /// Follows purges no more, because this edge ends or another process takes its place: what is
    /// stored is no longer served unvalidated, and no purge waits for this edge.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((mut task, stop)) = task else { return };
        drop(stop);
        // A disk may hold it up.
        if timeout(2 * LEAVE_MAX, &mut task).await.is_err() {
            task.abort();
            // It says nothing more once it has ended.
            drop(task.await);
        }
        self.trusted.publish(None, self.trusted.reached());
    }
}
