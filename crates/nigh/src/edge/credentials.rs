//! How an edge of a cluster shows itself to the others, and whom it believes: by files that `nigh cluster
//! join` has made, and those of authorities of other clusters.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use nigh_net::{
    clock,
    cluster::{
        credentials::{Credentials, Shown},
        name::Name,
        tls::{Clock, Trust},
    },
    siblings::Settings,
};
use tracing::warn;

use super::Pem;
use crate::{
    cluster::{AUTHORITY, EDGE},
    settings::{Cluster, Other, PEM_MAX, read_text},
    trust::Certificate,
};

/// How this edge is reached by the others of its cluster, and what it shows to them.
pub(super) fn siblings(cluster: &Cluster) -> anyhow::Result<(Settings, Certificate)> {
    let dir = format!("cluster.{}.dir", cluster.name);
    let shown = credentials(cluster).context(dir.clone())?;
    let (key, authority) = match &cluster.authority {
        Some(path) => (format!("cluster.{}.ca", cluster.name), path.clone()),
        None => (dir, cluster.dir.join(AUTHORITY)),
    };
    let trust = trust_in(&cluster.name, key, &authority)?;
    let other = |other: &Other| {
        trust_in(&other.name, format!("cluster.{}.ca", other.name), &other.authority)
    };
    let parent = cluster.parent.as_ref().map(other).transpose()?;
    let children = cluster.children.iter().map(other).collect::<Result<Vec<_>, _>>()?;
    let place = (cluster.own.clone(), cluster.listen);
    let (shown, certificate) = (Shown::new(&shown), Certificate::of(&shown));
    Ok((Settings::new(place, (trust, shown), parent.as_ref(), children), certificate))
}

/// Trust in who vouches for the edges of a cluster, by the file that `key` names.
fn trust_in(cluster: &Name, key: String, authority: &Path) -> anyhow::Result<Arc<Trust>> {
    let [authority] = Pem::read(key.clone(), authority)?
        .certificates()?
        .try_into()
        .map_err(|_| anyhow::anyhow!("{key}: an authority has one certificate"))?;
    Trust::new(cluster.clone(), authority, Clock::machine()).context(key)
}

/// What this edge shows to the others of its cluster.
fn credentials(cluster: &Cluster) -> anyhow::Result<Credentials> {
    let path = cluster.dir.join(EDGE);
    let pem = read_text(&path, PEM_MAX).context("join with `nigh cluster join TOKEN`")?;
    let shown = Credentials::from_pem(&pem).with_context(|| path.display().to_string())?;
    let (of, edge) = (shown.cluster(), &shown.identity().name);
    ensure!(
        (of, edge) == (&cluster.name, &cluster.own),
        "{} is for the edge {edge} of {of}, and this one is {} of {}",
        path.display(),
        cluster.own,
        cluster.name
    );
    if !shown.identity().is_current(clock::now()) {
        warn!("the certificate in {} has ended: no other edge believes this one", path.display());
    }
    Ok(shown)
}
