//! Control state of a running edge's cluster, opened once and used by all that need it: what is
//! forgotten, the settings for all, who belongs. docs/control.md.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context;
use nigh_cluster::control::{Control, Error, Listing, Prefix};
use nigh_net::{cluster::name::Name, control::redb::Redb};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::settings::{Cluster, Etcd, Kept, Other};
#[cfg(feature = "etcd")]
use crate::{edge::Pem, settings::Tls};

/// How long whoever follows waits after control state could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// How often all is listed anew, beside what a watch tells: a state that was lost and has grown since looks
/// like one that went on.
const ANEW: Duration = Duration::from_mins(1);

/// Control state, as long as this edge is in its cluster.
#[derive(Debug)]
pub(crate) struct ControlState {
    /// What is the cluster's own: who belongs. Behind it, what is each relative's own, of the parent and
    /// the children, as far as it can be asked: a file is this machine's alone.
    clusters: Vec<(Name, Arc<dyn Control>)>,
    /// What it shares with its parents: settings, and what is forgotten.
    family: Arc<dyn Control>,
    /// The own part, where it is a file that somebody else may want to open.
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
        let opened = open(kept, cluster).await;
        Ok(Some(opened.with_context(|| format!("cluster.{}.control", cluster.name))?))
    }

    /// For an edge of `cluster`, the file that several edges of one process have open together, be they of
    /// one cluster or of a family. It outlives them.
    pub(crate) fn together(cluster: &Cluster, file: &Arc<Redb>) -> Self {
        let control: Arc<dyn Control> = Arc::clone(file) as _;
        let relatives = cluster.parent.iter().chain(&cluster.children).map(|other| &other.name);
        let names = std::iter::once(&cluster.name).chain(relatives);
        let clusters = names.map(|name| (name.clone(), Arc::clone(&control))).collect();
        Self { clusters, family: control, file: None }
    }

    /// The own part of each of these clusters, of which the first is the edge's, and what it shares.
    #[cfg(test)]
    pub(crate) fn of_clusters(clusters: Vec<(Name, Arc<dyn Control>)>) -> Self {
        let family = Arc::clone(&clusters[0].1);
        Self { clusters, family, file: None }
    }

    /// What is the cluster's own.
    pub(crate) fn own(&self) -> &Arc<dyn Control> {
        &self.clusters[0].1
    }

    /// What is the own part of another cluster whose edges this one talks to, if it can be asked.
    pub(crate) fn of(&self, cluster: &Name) -> Option<&Arc<dyn Control>> {
        self.clusters().find_map(|(name, control)| (name == cluster).then_some(control))
    }

    /// The own part of each cluster whose edges this one talks to: its own comes first, then its parent and
    /// its children.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = (&Name, &Arc<dyn Control>)> {
        self.clusters.iter().map(|(name, control)| (name, control))
    }

    /// What it shares with its parents, if it has any.
    pub(crate) const fn family(&self) -> &Arc<dyn Control> {
        &self.family
    }

    /// Lets go of a file, so that another process can open it. What is asked later is refused.
    pub(crate) async fn close(&self) {
        if let Some(file) = &self.file {
            file.close().await;
        }
    }
}

/// Has `take` see what lies below `prefix`, now and after every commit that touches it, for as long as
/// the process lives. While control state cannot be asked, there is nothing new.
pub(crate) async fn follow<T: Future<Output = ()>>(
    control: &dyn Control,
    prefix: &Prefix,
    mut take: impl FnMut(Listing) -> T,
) {
    loop {
        let Err(error) = follow_once(control, prefix, &mut take).await;
        if !error.asks_to_list() {
            debug!(%error, prefix = prefix.as_str(), "control state cannot be followed");
            sleep(PAUSE).await;
        }
    }
}

async fn follow_once<T: Future<Output = ()>>(
    control: &dyn Control,
    prefix: &Prefix,
    take: &mut impl FnMut(Listing) -> T,
) -> Result<Infallible, Error> {
    let listing = control.list(prefix).await?;
    let mut watch = control.watch(prefix, listing.revision).await?;
    take(listing).await;
    loop {
        match timeout(ANEW, watch.next()).await {
            // What is listed now has this commit, and perhaps later ones.
            Ok(Ok(_)) | Err(_) => take(control.list(prefix).await?).await,
            // It goes on where it was.
            Ok(Err(Error::Unavailable { .. })) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// An error with what caused it, in one line.
pub(crate) fn error_in_full(error: &Error) -> String {
    let causes = anyhow::Chain::new(error).map(ToString::to_string);
    causes.collect::<Vec<_>>().join(": ")
}

async fn open(kept: &Kept, cluster: &Cluster) -> anyhow::Result<ControlState> {
    let (own, file) = match kept {
        Kept::File(path) => {
            let file = Arc::new(Redb::open(path).await?);
            (Arc::clone(&file) as Arc<dyn Control>, Some(file))
        }
        Kept::Etcd(place) => (etcd(place, cluster.name.as_str()).await?, None),
    };
    let family = match kept {
        Kept::Etcd(place) if cluster.family != cluster.name => {
            etcd(place, cluster.family.as_str()).await?
        }
        _ => Arc::clone(&own),
    };
    let mut clusters = vec![(cluster.name.clone(), own)];
    if let Kept::Etcd(place) = kept {
        for Other { name, .. } in cluster.parent.iter().chain(&cluster.children) {
            clusters.push((name.clone(), etcd(place, name.as_str()).await?));
        }
    }
    Ok(ControlState { clusters, family, file })
}

/// The part of `cluster` in this etcd.
///
/// # Errors
/// If what is named for TLS cannot be read or used.
#[cfg(feature = "etcd")]
pub(crate) async fn etcd(place: &Etcd, cluster: &str) -> anyhow::Result<Arc<dyn Control>> {
    use nigh_net::control::etcd::{self, ReadTls, Settings};

    let scheme = if place.tls.is_some() { "https" } else { "http" };
    let endpoints = place.members.iter().map(|member| format!("{scheme}://{member}")).collect();
    let namespace = Prefix::new(&format!("nigh/{cluster}/")).context("the cluster's name")?;
    let tls = place
        .tls
        .clone()
        .map(|tls| ReadTls::new(move || read(tls.authority.as_deref(), tls.shown.as_ref())));
    Ok(Arc::new(etcd::Etcd::new(Settings { endpoints, namespace, tls }).await?))
}

/// What is named for TLS.
#[cfg(feature = "etcd")]
fn read(
    authority: Option<&std::path::Path>,
    shown: Option<&Tls>,
) -> anyhow::Result<nigh_net::control::etcd::Tls> {
    use nigh_net::control::etcd;

    let read_authority = |path| {
        let pem = Pem::read("control_ca".to_owned(), path)?;
        pem.certificates()?;
        anyhow::Ok(pem.into_bytes())
    };
    let read_shown = |tls: &Tls| {
        let certificate = Pem::read("control_cert".to_owned(), &tls.certificate)?;
        let key = Pem::read_secret("control_key".to_owned(), &tls.key)?;
        certificate.certificates()?;
        key.private_key()?;
        anyhow::Ok(etcd::Shown { certificate: certificate.into_bytes(), key: key.into_bytes() })
    };
    Ok(etcd::Tls {
        authority: authority.map(read_authority).transpose()?,
        shown: shown.map(read_shown).transpose()?,
    })
}

#[cfg(not(feature = "etcd"))]
#[expect(clippy::unused_async, reason = "the other one waits for a connection")]
pub(crate) async fn etcd(_: &Etcd, _: &str) -> anyhow::Result<Arc<dyn Control>> {
    anyhow::bail!("this nigh was built without etcd")
}

/// Control state that fails as a test wants it to.
#[cfg(test)]
pub(crate) mod failing {
    use std::sync::Arc;

    use nigh_cluster::control::{
        Answer, Control, Entry, Error, Key, Lease, LeaseId, Listing, Prefix, Revision, Transaction,
        Ttl, Watch, model::Bounds, twin::Twin,
    };

    use super::{Cluster, ControlState};

    /// What of it fails.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fails {
        /// Everything.
        All,
        /// The answers to commits, which are made.
        Answers,
    }

    #[derive(Debug)]
    pub(crate) struct Failing(pub(crate) Twin, Fails);

    impl Failing {
        pub(crate) fn new(fails: Fails) -> Self {
            Self(Twin::new(Bounds::default()), fails)
        }

        /// The same, as an edge has it.
        pub(crate) fn state(self: Arc<Self>, cluster: &Cluster) -> ControlState {
            ControlState::of_clusters(vec![(cluster.name.clone(), self)])
        }

        fn or<T: Send>(&self, fails: Fails, answer: Result<T, Error>) -> Result<T, Error> {
            if self.1 == fails { Err(Error::Unavailable { source: None }) } else { answer }
        }
    }

    impl Control for Failing {
        fn get<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>> {
            Box::pin(async { self.or(Fails::All, self.0.get(key).await) })
        }
        fn list<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Listing> {
            Box::pin(async { self.or(Fails::All, self.0.list(prefix).await) })
        }
        fn commit(&self, transaction: Transaction) -> Answer<'_, Revision> {
            Box::pin(async {
                let made = self.0.commit(transaction).await;
                self.or(self.1, made)
            })
        }
        fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Answer<'a, Box<dyn Watch>> {
            self.0.watch(prefix, after)
        }
        fn grant(&self, ttl: Ttl) -> Answer<'_, Lease> {
            self.0.grant(ttl)
        }
        fn keep_alive(&self, lease: LeaseId) -> Answer<'_, ()> {
            self.0.keep_alive(lease)
        }
        fn revoke(&self, lease: LeaseId) -> Answer<'_, ()> {
            self.0.revoke(lease)
        }
    }
}
