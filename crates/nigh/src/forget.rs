//! Forgetting together, on a running edge: `nigh_cluster::forgetting` over real control state.
//! docs/cluster.md says why a purge that is done reaches every edge.
//!
//! ```text
//! POST /v1/purge -> commit purges/n -> wait for every reached/NAME      purging
//! a task, always -> lease, watch -> apply (admin::forget) -> progress   follow
//!                \-> nigh_net::trusted, which each request asks
//! ```

mod follow;
mod named;
mod progress;
mod purging;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use nigh_cluster::{control::Control, forgetting::Holder};
use nigh_net::{control::redb::Redb, trusted::Trusted};
use tokio::task::JoinHandle;

use self::{follow::Follower, progress::Progress};
use crate::{
    edge::Running,
    settings::{Cluster, Kept},
};

pub(crate) use self::{
    named::{Named, What},
    purging::{Failed, WAIT_MAX},
};

/// An edge's part in the forgetting of its cluster.
#[derive(Debug)]
pub(crate) struct Forgetting {
    control: Arc<dyn Control>,
    /// The same, where it is a file that somebody else may want to open.
    file: Option<Arc<Redb>>,
    trusted: Arc<Trusted>,
    /// What follows the purges; none after [`Forgetting::stop`].
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Begins to forget with the others, if the settings say through what. Until the first list of purges
/// is applied, nothing that is stored is served without being validated.
///
/// # Errors
/// If what keeps control state cannot be used as the settings have it.
pub(crate) async fn start(running: &Arc<Running>) -> anyhow::Result<()> {
    let now = running.now();
    let Some(cluster) = &now.settings.cluster else { return Ok(()) };
    let Some(kept) = &cluster.control else { return Ok(()) };
    let opening = open(kept, cluster);
    let opened = opening.await.with_context(|| format!("cluster.{}.control", cluster.name));
    let (control, file) = opened?;
    // Without a disk that is in use the store is empty, and nothing is to be said of it.
    let disk = now.settings.cache.disk.as_ref().filter(|_| running.disk.is_some());
    let progress = Progress::new(cluster.name.as_str(), disk.map(|disk| disk.path.as_path()));
    let holder =
        Holder::new(cluster.own.as_str(), progress.read()).expect("names of edges are plain");
    let trusted = Arc::clone(&running.shared.trusted);
    let follower = Follower::new(Arc::clone(running), Arc::clone(&control), holder, progress);
    let task = Mutex::new(Some(tokio::spawn(follower.run())));
    let forgetting = Forgetting { control, file, trusted, task };
    running.forgetting.set(forgetting).expect("it is started once");
    Ok(())
}

async fn open(
    kept: &Kept,
    cluster: &Cluster,
) -> anyhow::Result<(Arc<dyn Control>, Option<Arc<Redb>>)> {
    match kept {
        Kept::File(path) => {
            let file = Arc::new(Redb::open(path).await?);
            Ok((Arc::clone(&file) as Arc<dyn Control>, Some(file)))
        }
        Kept::Etcd(members) => Ok((etcd(members, cluster.name.as_str()).await?, None)),
    }
}

#[cfg(feature = "etcd")]
async fn etcd(members: &[String], cluster: &str) -> anyhow::Result<Arc<dyn Control>> {
    use nigh_cluster::control::Prefix;
    use nigh_net::control::etcd::{Etcd, Settings};

    let endpoints = members.iter().map(|member| format!("http://{member}")).collect();
    let namespace = Prefix::new(&format!("nigh/{cluster}/")).context("the cluster's name")?;
    Ok(Arc::new(Etcd::new(Settings { endpoints, namespace, tls: None }).await?))
}

#[cfg(not(feature = "etcd"))]
#[expect(clippy::unused_async, reason = "the other one waits for a connection")]
async fn etcd(_: &[String], _: &str) -> anyhow::Result<Arc<dyn Control>> {
    anyhow::bail!("this nigh was built without etcd")
}

impl Forgetting {
    /// Follows purges no more, because another process takes this edge's place: what is stored is no
    /// longer served unvalidated, and a file with control state is closed.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // It says nothing more once it has ended.
            drop(task.await);
        }
        self.trusted.publish(None, self.trusted.reached());
        if let Some(file) = &self.file {
            file.close().await;
        }
    }
}
