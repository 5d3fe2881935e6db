//! Who belongs to the cluster, where no settings list it: each edge says so in control state when it
//! starts, and follows what the others say. docs/cluster.md.
//!
//! ```text
//! edges/eu-2 = 192.0.2.12:8443*2        until the edge is put out: who is there is another question
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use nigh_cluster::{
    control::{Change, Condition, Control, Error, Key, Listing, Prefix, Transaction, Value},
    family::QualifiedName,
};
use nigh_net::{
    cluster::{
        identity::JoinId,
        registry::unless_revoked,
        tls::{Revoked, Trust},
    },
    siblings::{MEMBERS_MAX, Member},
};
use tokio::{sync::Mutex, time::sleep};
use tracing::{debug, error, info, warn};

use crate::{
    control::apart,
    control_state::{self, ControlState},
    drains,
    edge::Running,
    settings::{Cluster, edge_at, qualified, reached},
    trust,
};

/// How long an edge that starts waits before it asks control state again.
const PAUSE: Duration = Duration::from_secs(1);

/// Below which edges say how they are reached.
const EDGES: &str = "edges/";

fn edges() -> Prefix {
    Prefix::new(EDGES).expect("a short prefix of plain letters")
}

/// Says that this edge belongs, unless that is known; who else does. Waits for control state.
///
/// # Errors
/// If the edge was put out, or there is no place for it.
pub(crate) async fn enter(
    control: &dyn Control,
    cluster: &Cluster,
    revoked: &Revoked,
) -> anyhow::Result<Vec<Member>> {
    let folder = cluster.dir.clone();
    let own = apart(move || trust::own_join(&folder)).await?;
    ensure!(
        !revoked.contains_key(&own),
        "this edge was put out of {}: join again, with a new token",
        cluster.name
    );
    loop {
        match enter_once(control, cluster.this()).await {
            Ok(members) if members.len() > MEMBERS_MAX => {
                bail!("{} has {MEMBERS_MAX} edges, which is as many as it may have", cluster.name)
            }
            Ok(members) => return Ok(members),
            Err(Error::Unavailable { .. }) => sleep(PAUSE).await,
            Err(error) => return Err(error).context("this edge cannot say that it belongs"),
        }
    }
}

/// Who belongs to the parent, where the settings do not list that. Waits for control state.
///
/// # Errors
/// If it cannot be read.
pub(crate) async fn of_parent(
    state: &ControlState,
    cluster: &Cluster,
) -> anyhow::Result<Option<Vec<Member>>> {
    let Some(control) = parents(state, cluster) else { return Ok(None) };
    loop {
        match serving(control.as_ref()).await {
            Ok(members) => return Ok(Some(a_cluster(members).unwrap_or_default())),
            Err(Error::Unavailable { .. }) => sleep(PAUSE).await,
            Err(error) => return Err(error).context("the parent's edges are not known"),
        }
    }
}

/// The edges that are known to belong to this one's cluster, to its parent and to its children, for whoever
/// tells all of them something: those that are not there are told by name only if they are known.
pub(crate) async fn known(running: &Running) -> Vec<QualifiedName> {
    match &running.now().settings.cluster {
        Some(cluster) => known_in(running.state.as_ref(), cluster).await,
        None => Vec::new(),
    }
}

async fn known_in(state: Option<&ControlState>, cluster: &Cluster) -> Vec<QualifiedName> {
    let mut known: Vec<QualifiedName> = cluster.qualified_edges().collect();
    for other in cluster.parent.iter().chain(&cluster.children) {
        let control = state.filter(|_| !other.is_listed).and_then(|state| state.of(&other.name));
        let said = match control {
            Some(control) => control.list(&edges()).await.ok(),
            None => None,
        };
        // What control state does not say, or not to this edge, is as the edge has it.
        let members = said.map_or_else(|| other.edges.clone(), |listing| listed(&listing));
        known.extend(members.iter().map(|member| qualified(&other.name, &member.name)));
    }
    known
}

/// The parent's edges that are to be asked: those that belong, and are not drained.
async fn serving(parent: &dyn Control) -> Result<Vec<Member>, Error> {
    let drained = drains::drained(parent).await?;
    let mut members = listed(&parent.list(&edges()).await?);
    members.retain(|member| !drained.contains(&member.name));
    Ok(members)
}

/// Where edges say that they belong to the parent, if there is one that the settings do not list.
fn parents<'a>(state: &'a ControlState, cluster: &Cluster) -> Option<&'a Arc<dyn Control>> {
    state.of(&cluster.parent.as_ref().filter(|parent| !parent.is_listed)?.name)
}

async fn enter_once(control: &dyn Control, own: &Member) -> Result<Vec<Member>, Error> {
    let listing = control.list(&edges()).await?;
    let members = members(&listing, own);
    let said = listing.entries.iter().any(|(key, entry)| {
        key.as_str().strip_prefix(EDGES) == Some(own.name.as_str())
            && entry.value.bytes() == reached(own).as_bytes()
    });
    if !said && members.len() <= MEMBERS_MAX {
        control.commit(saying(own, [])).await?;
    }
    Ok(members)
}

fn key_of(own: &Member) -> Key {
    Key::new(&format!("{EDGES}{}", own.name)).expect("names of edges are plain")
}

/// What says that this edge belongs, and how it is reached, under these conditions.
fn saying(own: &Member, conditions: impl IntoIterator<Item = (Key, Condition)>) -> Transaction {
    let value = Value::new(reached(own)).expect("a short line");
    let put = [(key_of(own), Change::Put { value, lease: None })];
    Transaction::new(conditions, put).expect("one short entry")
}

/// Says it once more if control state has lost it: an edge goes when it is put out, and not before.
/// An entry of this name is left as it is, which may be that of the process that comes after this one.
async fn say_again(
    control: &dyn Control,
    own: &Member,
    join: JoinId,
    listing: &Listing,
    revoked: &Revoked,
) -> Result<(), Error> {
    let (key, count) = (key_of(own), listing.entries.len());
    let is_there = listing.entries.iter().any(|(listed, _)| *listed == key);
    if is_there || revoked.contains_key(&join) || count >= MEMBERS_MAX {
        return Ok(());
    }
    match control.commit(saying(own, [(key, Condition::Absent), unless_revoked(join)])).await {
        Ok(_) => {
            warn!("control state did not have any more that this edge belongs: it says so again")
        }
        // It was put out, or said so in the meantime.
        Err(Error::Conflict) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Follows who belongs, if control state says so. To be called within a runtime.
pub(crate) fn start(running: &Arc<Running>) {
    let now = running.now();
    let Some((cluster, state)) = now.settings.cluster.as_ref().zip(running.state.as_ref()) else {
        return;
    };
    if let Some(control) = parents(state, cluster) {
        // One look after the other, so that the last one stays.
        let looking = Arc::new(Mutex::new(()));
        for prefix in [edges(), drains::drains()] {
            let (control, running) = (Arc::clone(control), Arc::clone(running));
            let looking = Arc::clone(&looking);
            tokio::spawn(async move {
                let take = |_| async {
                    let _looking = looking.lock().await;
                    belong_to_parent(Arc::clone(&running), Arc::clone(&control)).await;
                };
                control_state::follow(control.as_ref(), &prefix, take).await;
            });
        }
    }
    if cluster.is_listed {
        return;
    }
    let Some(siblings) = &running.siblings else { return };
    let belonging = Arc::new(Belonging {
        running: Arc::clone(running),
        control: Arc::clone(state.own()),
        trust: Arc::clone(&siblings.trust),
        own: cluster.this().clone(),
        folder: cluster.dir.clone(),
    });
    tokio::spawn(async move {
        let take = |listing| Arc::clone(&belonging).heard(listing);
        control_state::follow(belonging.control.as_ref(), &edges(), take).await;
    });
}

/// One edge that follows who belongs.
struct Belonging {
    running: Arc<Running>,
    control: Arc<dyn Control>,
    trust: Arc<Trust>,
    own: Member,
    /// Where its certificate is.
    folder: PathBuf,
}

impl Belonging {
    async fn heard(self: Arc<Self>, listing: Listing) {
        let folder = self.folder.clone();
        if let Ok(join) = apart(move || trust::own_join(&folder)).await {
            let revoked = self.trust.changes().borrow().clone();
            let said = say_again(self.control.as_ref(), &self.own, join, &listing, &revoked).await;
            said.unwrap_or_else(|error| debug!(%error, "this edge cannot say that it belongs"));
        }
        belong(Arc::clone(&self.running), members(&listing, &self.own)).await;
    }
}

async fn belong(running: Arc<Running>, members: Vec<Member>) {
    let count = members.len();
    if count > MEMBERS_MAX {
        error!(count, "a cluster has at most {MEMBERS_MAX} edges: the last change is passed by");
        return;
    }
    let before = running.control.now();
    // A reload may hold it up.
    let told = Arc::clone(&running);
    apart(move || told.control.belong(members)).await;
    if !Arc::ptr_eq(&before, &running.control.now()) {
        info!(count, "other edges belong to the cluster");
    }
}

async fn belong_to_parent(running: Arc<Running>, parent: Arc<dyn Control>) {
    let members = match serving(parent.as_ref()).await {
        Ok(members) => a_cluster(members),
        Err(error) => return debug!(%error, "the parent's edges cannot be asked for now"),
    };
    let Some(members) = members else { return };
    // Of a list that was lost nothing is to be learnt: who was put out is believed no more anyway. And if
    // all are drained, they are as good as the origin.
    if members.is_empty() {
        return;
    }
    let count = members.len();
    // A reload may hold it up.
    match apart(move || running.control.belong_to_parent(members)).await {
        Ok(true) => info!(count, "other edges belong to the parent"),
        Ok(false) => {}
        Err(refused) => {
            let error = refused.in_full();
            warn!(error, "the parent's edges are others, which this edge cannot take up now");
        }
    }
}

/// These edges of the parent, unless they are too many.
fn a_cluster(members: Vec<Member>) -> Option<Vec<Member>> {
    let count = members.len();
    if !Member::make_a_cluster(&members) {
        error!(count, "a cluster has at most {MEMBERS_MAX} edges: the parent's are passed by");
        return None;
    }
    Some(members)
}

/// Those who belong, by name, and this edge in any case, as it is.
fn members(listing: &Listing, own: &Member) -> Vec<Member> {
    let mut members = listed(listing);
    members.retain(|member| member.name != own.name);
    members.push(own.clone());
    members.sort_by(|one, other| one.name.cmp(&other.name));
    members
}

/// Those who have said that they belong, by name. What cannot be read is nobody.
fn listed(listing: &Listing) -> Vec<Member> {
    let mut members = Vec::new();
    for (key, entry) in &listing.entries {
        let name = key.as_str().strip_prefix(EDGES).unwrap_or_default();
        let text = std::str::from_utf8(entry.value.bytes()).unwrap_or_default();
        match edge_at(name, text) {
            Ok(member) => members.push(member),
            Err(why) => warn!("{key} in control state is passed by: {why}"),
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nigh_base::Wall;
    use nigh_cluster::control::{model::Bounds, twin::Twin};
    use nigh_net::{cluster::name::Name, entropy::OsSecrets};

    use super::*;
    use crate::{
        control_state::failing::{Failing, Fails},
        settings,
    };

    fn member(name: &str, reached: &str) -> Member {
        edge_at(name, reached).unwrap()
    }

    #[tokio::test]
    async fn who_enters_is_known_to_those_who_come_after_and_says_it_once() {
        let control = Twin::new(Bounds::default());
        let (a, b) = (member("a", "192.0.2.1:1"), member("b", "[2001:db8::1]:2*7"));
        assert_eq!(enter_once(&control, &b).await.unwrap(), std::slice::from_ref(&b));
        assert_eq!(enter_once(&control, &a).await.unwrap(), [a.clone(), b.clone()]);
        let before = control.list(&edges()).await.unwrap();
        assert_eq!(enter_once(&control, &b).await.unwrap(), [a.clone(), b]);
        assert_eq!(control.list(&edges()).await.unwrap(), before);
        // It has moved.
        let b = member("b", "192.0.2.2:2");
        enter_once(&control, &b).await.unwrap();
        assert_eq!(enter_once(&control, &a).await.unwrap(), [a, b]);
    }

    #[tokio::test]
    async fn an_entry_that_was_lost_is_written_again_unless_its_edge_was_put_out() {
        let control = Twin::new(Bounds::default());
        let own = member("a", "192.0.2.1:1");
        let [here, out, unheard] = [(); 3].map(|()| JoinId::draw(&mut OsSecrets::new()));
        let known: Revoked = [(out, Wall::from_secs(u64::MAX))].into();
        let put = Change::Put { value: Value::new("9").unwrap(), lease: None };
        let (key, _) = unless_revoked(unheard);
        control.commit(Transaction::new([], [(key, put)]).unwrap()).await.unwrap();
        let say = async |join| {
            let listing = control.list(&edges()).await.unwrap();
            say_again(&control, &own, join, &listing, &known).await.unwrap();
            control.list(&edges()).await.unwrap().entries.len()
        };
        assert_eq!(say(out).await, 0, "it knows that itself");
        assert_eq!(say(unheard).await, 0, "it has not heard of that yet");
        assert_eq!(say(here).await, 1);
        // What is there is left alone: it may be of the process that takes this one's place.
        let moved = member("a", "192.0.2.2:2");
        enter_once(&control, &moved).await.unwrap();
        assert_eq!(say(here).await, 1);
        assert_eq!(enter_once(&control, &member("b", "192.0.2.3:3")).await.unwrap()[0], moved);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_nobody() {
        let control = Twin::new(Bounds::default());
        for (key, value) in [("edges/x", "nowhere"), ("edges/Y", "192.0.2.9:1"), ("edges/", "")] {
            let put = Change::Put { value: Value::new(value).unwrap(), lease: None };
            let put = Transaction::new([], [(Key::new(key).unwrap(), put)]).unwrap();
            control.commit(put).await.unwrap();
        }
        let own = member("a", "192.0.2.1:1");
        assert_eq!(enter_once(&control, &own).await.unwrap(), [own]);
    }

    #[tokio::test]
    async fn edges_of_the_parent_and_of_children_are_known_as_settings_or_control_state_have_them()
    {
        let text = "[node]\nname = \"eu-1\"\n[[site]]\nhost = \"*\"\norigin = \"http://a\"\n\
                    [cluster.eu]\nedges = [\"eu-1=192.0.2.1:1\"]\nlisten = \"192.0.2.1:1\"\n\
                    dir = \"eu\"\ncontrol = \"file:x\"\nparent = \"earth\"\n\
                    [cluster.earth]\nedges = [\"earth-1=192.0.2.2:2\"]\nca = \"earth.pem\"\n\
                    control = \"file:x\"\n\
                    [cluster.us]\nparent = \"eu\"\nca = \"us.pem\"\ncontrol = \"file:x\"\n";
        let cluster = settings::parse(text, Path::new("/")).unwrap().cluster.unwrap();
        let us = |control: Arc<dyn Control>| {
            let own: Arc<dyn Control> = Arc::new(Twin::new(Bounds::default()));
            let name = |name: &str| -> Name { name.parse().unwrap() };
            ControlState::of_clusters(vec![(name("eu"), own), (name("us"), control)])
        };
        let known = async |state: Option<ControlState>| -> Vec<String> {
            let known = known_in(state.as_ref(), &cluster).await;
            known.iter().map(ToString::to_string).collect()
        };
        let control = Twin::new(Bounds::default());
        enter_once(&control, &member("us-1", "192.0.2.3:3")).await.unwrap();
        assert_eq!(
            known(Some(us(Arc::new(control)))).await,
            ["eu/eu-1", "earth/earth-1", "us/us-1"]
        );
        // As where an edge may not read that.
        let failing = Arc::new(Failing::new(Fails::All));
        assert_eq!(known(Some(us(failing))).await, ["eu/eu-1", "earth/earth-1"]);
        assert_eq!(known(None).await, ["eu/eu-1", "earth/earth-1"]);
    }
}
