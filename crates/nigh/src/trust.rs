//! What keeps a running edge in its cluster: it renews its certificate before that ends, and hears whom
//! it must not believe any more. docs/security.md.
//!
//! ```text
//! DIR/edge.pem -> shown                       at the start, after a reload, after `nigh cluster renew`
//! due: the authority -> DIR/edge.pem -> shown
//! revoked/ in control state -> trust          handshakes fail, connections end
//! ```
//! Revocations are followed of every cluster whose edges it talks to: its own, its parent, its children.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use nigh_base::Wall;
use nigh_cluster::control::Control;
use nigh_net::{
    clock,
    cluster::{
        credentials::{Credentials, Shown},
        files::Directory,
        identity::{Identity, JoinId},
        join,
        name::Name,
        registry::{revoked, revoked_in},
        tls::{Clock, Trust},
    },
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tracing::{error, info, warn};

use crate::{
    cluster::{EDGE, addresses},
    control::apart,
    control_state,
    edge::Running,
};

/// How often the certificate's time is looked at: a machine may have slept meanwhile.
const LOOK: Duration = Duration::from_secs(30);

/// The first pause after a renewal that failed, and the longest: of the eight hours that are left then,
/// most are for people.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_mins(10);

/// How long one renewal may take.
const RENEWAL_MAX: Duration = Duration::from_secs(60);

/// The certificate that this edge shows to the others of its cluster.
#[derive(Debug, Default)]
pub(crate) struct Certificate {
    /// In seconds since 1970; 0 where there is none.
    ends: AtomicU64,
    renewals: AtomicU64,
    failures: AtomicU64,
    /// The file is to be read again.
    again: Notify,
}

impl Certificate {
    /// That of these credentials.
    pub(crate) fn of(credentials: &Credentials) -> Self {
        let certificate = Self::default();
        certificate.note(credentials.identity());
        certificate
    }

    /// How long it is still good; none where this edge is in no cluster.
    pub(crate) fn left(&self) -> Option<Duration> {
        let ends = self.ends.load(Ordering::Relaxed);
        (ends != 0).then(|| Wall::from_secs(ends).since(clock::now()))
    }

    /// How often it was renewed.
    pub(crate) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// How often that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Has its file read again, soon.
    pub(crate) fn read_again(&self) {
        self.again.notify_one();
    }

    fn note(&self, identity: &Identity) {
        self.ends.store(identity.ends.secs(), Ordering::Relaxed);
    }
}

/// Begins to keep the edge in its cluster, if it is in one. To be called within a runtime.
pub(crate) fn start(running: &Arc<Running>) {
    let now = running.now();
    let Some((cluster, siblings)) = now.settings.cluster.as_ref().zip(running.siblings.as_ref())
    else {
        return;
    };
    let shown = Arc::clone(&siblings.shown);
    let certificate = Arc::clone(&running.certificate);
    let renewing = Renewing {
        folder: cluster.dir.clone(),
        cluster: cluster.name.clone(),
        own: cluster.own.clone(),
        shown,
        certificate,
        held: None,
        pause: PAUSE_MIN,
        not_before: Instant::now(),
    };
    tokio::spawn(renewing.run());
    if let Some(state) = &running.state {
        for (name, control) in state.clusters() {
            // Only in its own cluster can this edge be put out.
            let folder = (*name == cluster.name).then(|| cluster.dir.clone());
            for trust in siblings.trusts().filter(|trust| trust.cluster() == name) {
                tokio::spawn(follow(Arc::clone(control), Arc::clone(trust), folder.clone()));
            }
        }
    }
}

/// Keeps a certificate good.
struct Renewing {
    folder: PathBuf,
    cluster: Name,
    own: Name,
    shown: Arc<Shown>,
    certificate: Arc<Certificate>,
    /// Whose certificate is shown.
    held: Option<Identity>,
    /// How long it waits after the next failure, and until when after the last.
    pause: Duration,
    not_before: Instant,
}

impl Renewing {
    async fn run(mut self) {
        let mut told = None;
        loop {
            match self.read().await {
                Ok(found) => {
                    told = None;
                    self.find(&found);
                    if found.identity().is_to_renew(clock::now())
                        && self.not_before <= Instant::now()
                    {
                        self.try_to_renew(&found).await;
                    }
                }
                // What is shown goes on being shown.
                Err(error) => {
                    let error = format!("{error:#}");
                    if told.as_ref() != Some(&error) {
                        error!("{error}");
                        told = Some(error);
                    }
                }
            }
            self.wait().await;
        }
    }

    /// Shows what the file has, if that is another one than before.
    fn find(&mut self, found: &Credentials) {
        let identity = found.identity();
        if self.held.as_ref() == Some(identity) {
            return;
        }
        if self.held.is_some() {
            info!(serial = %identity.serial, "shows the certificate that was found");
        }
        self.show(found);
    }

    async fn try_to_renew(&mut self, old: &Credentials) {
        match self.renew(old).await {
            Ok(new) => {
                info!(serial = %new.identity().serial, "the certificate is renewed");
                self.certificate.renewals.fetch_add(1, Ordering::Relaxed);
                self.show(&new);
                self.pause = PAUSE_MIN;
            }
            Err(error) => {
                self.certificate.failures.fetch_add(1, Ordering::Relaxed);
                let left = self.certificate.left().unwrap_or_default().as_secs();
                let again = self.pause.as_secs();
                error!(left, again, "the certificate is not renewed: {error:#}");
                self.not_before = Instant::now() + self.pause;
                self.pause = (2 * self.pause).min(PAUSE_MAX);
            }
        }
    }

    /// Until it is due, or somebody says that the file is another one.
    async fn wait(&self) {
        let due = self.held.as_ref().map_or(LOOK, |held| held.renewed_in(clock::now()));
        let due = due.max(self.not_before.saturating_duration_since(Instant::now()));
        let due = due.clamp(Duration::from_secs(1), LOOK);
        drop(timeout(due, self.certificate.again.notified()).await);
    }

    async fn read(&self) -> anyhow::Result<Credentials> {
        let folder = self.folder.clone();
        let found = apart(move || read(&folder)).await?;
        let (cluster, name) = (found.cluster(), &found.identity().name);
        ensure!(
            (cluster, name) == (&self.cluster, &self.own),
            "what is in {} is for the edge {name} of {cluster}",
            self.folder.display()
        );
        Ok(found)
    }

    fn show(&mut self, credentials: &Credentials) {
        self.shown.exchange(credentials);
        self.certificate.note(credentials.identity());
        self.held = Some(credentials.identity().clone());
    }

    /// Gets another certificate, which is durable before anybody sees it.
    async fn renew(&self, old: &Credentials) -> anyhow::Result<Credentials> {
        let directory = Directory::at(&self.folder);
        let asked = directory.clone();
        let addresses = apart(move || addresses(&asked)).await?;
        let clock = Clock::machine();
        let renewing = join::renew(old, &addresses, &clock);
        let new =
            timeout(RENEWAL_MAX, renewing).await.context("the authority takes too long")??;
        let pem = new.to_pem();
        let written: io::Result<()> = apart(move || directory.write(EDGE, &pem)).await;
        written.with_context(|| format!("cannot write {}", self.folder.display()))?;
        Ok(new)
    }
}

fn read(folder: &Path) -> anyhow::Result<Credentials> {
    let directory = Directory::at(folder);
    let path = directory.path_of(EDGE);
    let read = directory.read(EDGE).with_context(|| format!("cannot read {}", path.display()))?;
    let pem = read.with_context(|| format!("{} is gone", path.display()))?;
    Credentials::from_pem(&pem).with_context(|| format!("{} is damaged", path.display()))
}

/// The join by which the edge whose directory this is came into its cluster. Waits for the file.
///
/// # Errors
/// If its certificate cannot be read.
pub(crate) fn own_join(folder: &Path) -> anyhow::Result<JoinId> {
    Ok(read(folder)?.identity().serial.join())
}

/// Has revocations count as they come. Those that are known go on counting, whether control state cannot be
/// asked or has lost them.
/// `folder` is where this edge's own certificate is, if it is of that cluster.
async fn follow(control: Arc<dyn Control>, trust: Arc<Trust>, folder: Option<PathBuf>) {
    let own = apart(move || folder.and_then(|folder| own_join(&folder).ok())).await;
    let mut is_said = false;
    let take = |listing| {
        let out = revoked_in(&listing);
        if own.is_some_and(|own| out.contains_key(&own)) && !std::mem::replace(&mut is_said, true) {
            error!("this edge was put out of its cluster: no other edge answers it any more");
        }
        let count = trust.revoke(&out);
        if count > 0 {
            warn!(count, cluster = trust.cluster().as_str(), "certificates count no more");
        }
        std::future::ready(())
    };
    control_state::follow(control.as_ref(), &revoked(), take).await;
}
