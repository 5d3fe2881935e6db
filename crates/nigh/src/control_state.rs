//! Control state of a running edge's cluster, opened once and used by all that need it: what is
//! forgotten, the settings for all, who belongs. docs/control.md.

use std::sync::Arc;

use anyhow::Context;
use nigh_cluster::control::Control;
use nigh_net::control::redb::Redb;

use crate::settings::{Cluster, Kept};

/// Control state, as long as this edge is in its cluster.
#[derive(Debug)]
pub(crate) struct ControlState {
    control: Arc<dyn Control>,
    /// The same, where it is a file that somebody else may want to open.
    file: Option<Arc<Redb>>,
}

impl ControlState {
    /// Opens what `cluster` names, if it names any. To be called on the runtime on which it is used.
    /// Whether an etcd can be reached shows when it is asked.
    ///
    /// # Errors
    /// If it cannot be used as the settings have it.
    pub(crate) async fn open(cluster: &Cluster) -> anyhow::Result<Option<Self>> {
        let Some(kept) = &cluster.control else { return Ok(None) };
        let opened = open(kept, &cluster.name).await;
        Ok(Some(opened.with_context(|| format!("cluster.{}.control", cluster.name))?))
    }

    /// What can be asked and told.
    pub(crate) const fn control(&self) -> &Arc<dyn Control> {
        &self.control
    }

    /// Lets go of a file, so that another process can open it. What is asked later is refused.
    pub(crate) async fn close(&self) {
        if let Some(file) = &self.file {
            file.close().await;
        }
    }
}

async fn open(kept: &Kept, cluster: &str) -> anyhow::Result<ControlState> {
    match kept {
        Kept::File(path) => {
            let file = Arc::new(Redb::open(path).await?);
            Ok(ControlState { control: Arc::clone(&file) as Arc<dyn Control>, file: Some(file) })
        }
        Kept::Etcd(members) => {
            Ok(ControlState { control: etcd(members, cluster).await?, file: None })
        }
    }
}

/// The part of `cluster` in an etcd with these members, each `HOST:PORT`.
#[cfg(feature = "etcd")]
pub(crate) async fn etcd(members: &[String], cluster: &str) -> anyhow::Result<Arc<dyn Control>> {
    use nigh_cluster::control::Prefix;
    use nigh_net::control::etcd::{Etcd, Settings};

    let endpoints = members.iter().map(|member| format!("http://{member}")).collect();
    let namespace = Prefix::new(&format!("nigh/{cluster}/")).context("the cluster's name")?;
    Ok(Arc::new(Etcd::new(Settings { endpoints, namespace, tls: None }).await?))
}

#[cfg(not(feature = "etcd"))]
#[expect(clippy::unused_async, reason = "the other one waits for a connection")]
pub(crate) async fn etcd(_: &[String], _: &str) -> anyhow::Result<Arc<dyn Control>> {
    anyhow::bail!("this nigh was built without etcd")
}
