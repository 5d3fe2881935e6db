//! Settings for all edges of a cluster, on a running edge: `nigh_cluster::sharing` over real control
//! state. docs/cluster.md.
//!
//! ```text
//! start: read them, before a client is accepted                           agree
//! PUT /v1/settings -> commit settings -> wait for every runs/CLUSTER/NAME applying
//! a task, always -> watch settings -> control::share -> runs/CLUSTER/NAME follow
//! ```

mod applying;
mod follow;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use nigh_cluster::{
    control::{Control, Entry, Error, LeaseId, Ttl},
    family::QualifiedName,
    sharing::{entering, settings_key},
};
use nigh_net::{
    clock::Monotonic,
    cluster::{
        name::Name,
        registry::{revoked, revoked_in},
        tls::Revoked,
    },
};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use self::follow::Follower;
use crate::{
    belonging,
    control::{PASSED_BY, Shared},
    control_state::{ControlState, error_in_full},
    edge::{Agreed, Running, unusable},
    settings::{self, Cluster, Settings},
    systemd::Manager,
};

pub(crate) use self::applying::{Failed, WAIT_MAX};

/// How long others take an edge for present that falls silent: `nigh apply` waits for it so long.
const LEASE: Duration = Duration::from_secs(5);

/// How long an edge that starts waits before it asks control state again.
const PAUSE: Duration = Duration::from_secs(1);

/// How much time a service manager is asked for each time: more than a question takes and the pause.
const MORE_TIME: Duration = Duration::from_secs(30);

/// How long leaving may take: to end a lease is one question.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// An edge's part in the settings of its cluster.
#[derive(Debug)]
pub(crate) struct Sharing {
    control: Arc<dyn Control>,
    clock: Monotonic,
    /// What follows the settings, and how it is told to end; none after [`Sharing::stop`].
    task: Mutex<Option<(JoinHandle<()>, oneshot::Sender<()>)>>,
}

/// Opens the control state of an edge with these settings, if it has any, and reads the sites there;
/// waits until that can be done. Files that sites name lie in `beside` if they do not say where.
///
/// # Errors
/// If control state cannot be used, or its sites cannot.
pub(crate) async fn agree(
    settings: &Settings,
    beside: &Path,
    manager: &Manager,
) -> anyhow::Result<Agreed> {
    let Some(cluster) = &settings.cluster else { return Ok(Agreed::default()) };
    let Some(state) = ControlState::open(cluster).await? else { return Ok(Agreed::default()) };
    agree_in(state, cluster, settings, beside, manager).await
}

/// The same, of an edge of `cluster` whose control state is open already.
///
/// # Errors
/// If its sites cannot be used.
pub(crate) async fn agree_in(
    state: ControlState,
    cluster: &Cluster,
    settings: &Settings,
    beside: &Path,
    manager: &Manager,
) -> anyhow::Result<Agreed> {
    let said = enter(&state, &cluster.qualified(&cluster.own), manager).await;
    let said = said.with_context(|| format!("cluster.{}.control", cluster.name))?;
    let Said { settings: entry, revoked, lease } = said;
    let mut shared = None;
    if let Some(Entry { revision, value, .. }) = entry {
        let read = || {
            let text = std::str::from_utf8(value.bytes()).context("they are no text in UTF-8")?;
            match settings::shared(text, beside, settings.forward.is_some()) {
                Ok(sites) => Ok(sites),
                Err(mistakes) => {
                    let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                    bail!("{}", mistakes.join("; "))
                }
            }
        };
        let sites = read().with_context(|| unusable(revision))?;
        info!(revision = revision.0, sites = sites.len(), "serves the sites of control state");
        if !settings.sites.is_empty() {
            warn!("{PASSED_BY}");
        }
        shared = Some(Shared { revision, sites });
    }
    let edges = match cluster.is_listed {
        true => None,
        false => {
            let revoked = &revoked[&cluster.name];
            Some(belonging::enter(state.own().as_ref(), cluster, revoked).await?)
        }
    };
    let parents = belonging::of_parent(&state, cluster).await?;
    Ok(Agreed { state: Some(state), shared, revoked, edges, parents, lease: Some(lease) })
}

/// What control state says to an edge that starts.
struct Said {
    settings: Option<Entry>,
    /// Whose certificates count no more, in each cluster whose edges this one talks to.
    revoked: BTreeMap<Name, Revoked>,
    /// On which the edge has said that it runs these settings.
    lease: LeaseId,
}

/// Asks control state until it answers, and says there that this edge runs what the answer is: so whoever
/// applies other settings from now on waits for it.
async fn enter(
    state: &ControlState,
    own: &QualifiedName,
    manager: &Manager,
) -> Result<Said, Error> {
    let mut is_told = false;
    loop {
        match enter_once(state, own).await {
            // Others were applied in between.
            Err(Error::Conflict | Error::LeaseLost) => {}
            Err(error @ Error::Unavailable { .. }) => {
                if !is_told {
                    let error = error_in_full(&error);
                    warn!(error, "waits for control state before it serves");
                    is_told = true;
                }
                manager.waiting("waiting for control state", MORE_TIME);
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

async fn enter_once(state: &ControlState, own: &QualifiedName) -> Result<Said, Error> {
    let family = state.family();
    let settings = family.get(&settings_key()).await?;
    let mut out = BTreeMap::new();
    for (cluster, control) in state.clusters() {
        out.insert(cluster.clone(), revoked_in(&control.list(&revoked()).await?));
    }
    let lease = family.grant(Ttl::new(LEASE).expect("between the bounds of leases")).await?.id;
    let revision = settings.as_ref().map(|entry| entry.revision);
    family.commit(entering(own, revision, lease)).await?;
    Ok(Said { settings, revoked: out, lease })
}

/// Begins to follow the settings of control state, if there is any. To be called within a runtime.
pub(crate) fn start(running: &Arc<Running>) {
    let now = running.now();
    let Some((cluster, state)) = now.settings.cluster.as_ref().zip(running.state.as_ref()) else {
        return;
    };
    let control = Arc::clone(state.family());
    let follower =
        Follower::new(Arc::clone(running), Arc::clone(&control), &cluster.qualified(&cluster.own));
    let (stop, stopped) = oneshot::channel();
    let task = Mutex::new(Some((tokio::spawn(follower.run(stopped)), stop)));
    let sharing = Sharing { control, clock: Monotonic::start(), task };
    running.sharing.set(sharing).expect("it is started once");
}

impl Sharing {
    /// Follows no more, and lets the others know that this edge is gone.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((mut task, stop)) = task else { return };
        drop(stop);
        if timeout(LEAVE_MAX, &mut task).await.is_err() {
            task.abort();
        }
    }

    /// The settings as they are in control state now.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub(crate) async fn read(&self) -> Result<Option<Entry>, Error> {
        self.control.get(&settings_key()).await
    }
}
