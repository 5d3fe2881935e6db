//! Edges that are drained by name, for maintenance: off the rings until they are taken back, whatever
//! becomes of their processes. docs/cluster.md.
//!
//! ```text
//! PUT /v1/drains/eu-2, to any edge -> drains/eu-2 in control state -> eu-2 follows it -> gossip -> rings
//! ```

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use nigh_cluster::control::{
    Change, Condition, Control, Error, Key, Listing, Prefix, Transaction, Value,
};
use nigh_net::cluster::name::Name;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::{admin::Event, control_state, edge::Running};

/// Below which the drained edges are named.
const DRAINS: &str = "drains/";

/// How long an edge that starts waits to hear whether it is drained. Without an answer it serves, and
/// hears of it later.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Below which they are.
pub(crate) fn drains() -> Prefix {
    Prefix::new(DRAINS).expect("a short prefix of plain letters")
}

fn key_of(edge: &Name) -> Key {
    Key::new(&format!("{DRAINS}{edge}")).expect("names of edges are plain")
}

/// The edges that are drained, by name.
///
/// # Errors
/// If control state cannot be asked.
pub(crate) async fn drained(control: &dyn Control) -> Result<Vec<Name>, Error> {
    Ok(names(&control.list(&drains()).await?).collect())
}

fn names(listing: &Listing) -> impl Iterator<Item = Name> {
    listing.entries.iter().filter_map(|(key, _)| key.as_str().strip_prefix(DRAINS)?.parse().ok())
}

/// Has an edge be drained, or taken back; says whether it was not before.
///
/// # Errors
/// If control state cannot be asked, or it is not known what came of it.
pub(crate) async fn set(control: &dyn Control, edge: &Name, to: bool) -> Result<bool, Error> {
    let key = key_of(edge);
    let (condition, change) = if to {
        let value = Value::new("").expect("it is short");
        (Condition::Absent, Change::Put { value, lease: None })
    } else {
        (Condition::Exists, Change::Delete)
    };
    let setting = Transaction::new([(key.clone(), condition)], [(key, change)]);
    match control.commit(setting.expect("one short entry")).await {
        Ok(_) => Ok(true),
        // That is how it is already.
        Err(Error::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Follows whether this edge is drained, if its cluster has control state: what is known when this returns
/// is what it says of itself first.
pub(crate) async fn start(running: &Arc<Running>) {
    let Some((siblings, state)) = running.siblings.as_ref().zip(running.state.as_ref()) else {
        return;
    };
    let (own, control) = (siblings.name.clone(), Arc::clone(state.own()));
    match timeout(LOOK_MAX, control.get(&key_of(&own))).await {
        Ok(Ok(found)) => take(running, found.is_some()).await,
        Ok(Err(error)) => warn!(%error, "it is not known (yet) whether this edge is drained"),
        Err(_) => warn!("it is not known (yet) whether this edge is drained"),
    }
    let running = Arc::clone(running);
    tokio::spawn(async move {
        // What is there when it is heard of first is no event.
        let mut before = None::<BTreeSet<Name>>;
        let take = |listing: Listing| {
            let drained: BTreeSet<Name> = names(&listing).collect();
            let is_drained = drained.contains(&own);
            let events = before.as_ref().map(|before| events(before, &drained)).unwrap_or_default();
            before = Some(drained);
            let running = Arc::clone(&running);
            async move {
                take(&running, is_drained).await;
                events.iter().for_each(|event| running.events.publish(event));
            }
        };
        control_state::follow(control.as_ref(), &drains(), take).await;
    });
}

/// What has happened since others were drained.
fn events(before: &BTreeSet<Name>, drained: &BTreeSet<Name>) -> Vec<Event> {
    let taken_back = before.difference(drained).map(ToString::to_string);
    let now_drained = drained.difference(before).map(ToString::to_string);
    let taken_back = taken_back.map(|edge| Event::TakenBack { edge });
    taken_back.chain(now_drained.map(|edge| Event::Drained { edge })).collect()
}

async fn take(running: &Running, is_drained: bool) {
    if !running.drain.set_drained(is_drained) {
        return;
    }
    if is_drained {
        info!("this edge is drained: it owns nothing until it is taken back (nigh drain --undo)");
    } else {
        info!("this edge is taken back: it owns its share again");
    }
    if let Some(gossip) = running.gossip.get() {
        gossip.look_at_drain().await;
    }
}

#[cfg(test)]
mod tests {
    use nigh_cluster::control::{model::Bounds, twin::Twin};

    use super::*;

    #[tokio::test]
    async fn an_edge_is_drained_once_and_taken_back_once() {
        let control = Twin::new(Bounds::default());
        let [a, b]: [Name; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        assert!(set(&control, &a, true).await.unwrap());
        assert!(!set(&control, &a, true).await.unwrap(), "it was drained");
        assert!(!set(&control, &b, false).await.unwrap(), "it was not");
        assert_eq!(drained(&control).await.unwrap(), std::slice::from_ref(&a));
        assert!(set(&control, &a, false).await.unwrap());
        assert_eq!(drained(&control).await.unwrap(), []);
    }

    #[test]
    fn what_was_drained_or_taken_back_meanwhile_is_told_of_every_edge() {
        let set = |names: &[&str]| -> BTreeSet<Name> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let told = |before: &[&str], now: &[&str]| -> Vec<String> {
            let events = events(&set(before), &set(now));
            events.iter().map(|event| format!("{event:?}")).collect()
        };
        assert!(told(&["a", "b"], &["a", "b"]).is_empty());
        let changed = ["TakenBack { edge: \"a\" }", "Drained { edge: \"c\" }"];
        assert_eq!(told(&["a", "b"], &["b", "c"]), changed);
    }
}
