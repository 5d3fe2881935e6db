//! The cluster as this edge sees it: a part of `/v1/status` and of `/metrics`.

use std::fmt::Write;

use nigh_cluster::membership::State;
use nigh_net::{counters::Totals, siblings::Standing};
use serde::Serialize;
use utoipa::ToSchema;

use super::metrics::head;
use crate::{edge::Running, gossip::Known};

/// How an edge stands by gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stands {
    /// It answers.
    Up,
    /// It has not answered, and is up until it is declared down.
    Suspect,
    /// It takes nothing new, and gives what it holds.
    Draining,
    Down,
    Left,
    /// Nothing was heard of it.
    Unknown,
}

const ALL: [(Stands, &str); 6] = [
    (Stands::Up, "up"),
    (Stands::Suspect, "suspect"),
    (Stands::Draining, "draining"),
    (Stands::Down, "down"),
    (Stands::Left, "left"),
    (Stands::Unknown, "unknown"),
];

/// The cluster that an edge is one of, as it sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cluster {
    name: String,
    /// The cluster that is asked in the origin's stead.
    parent: Option<String>,
    /// By their names.
    edges: Vec<ClusterEdge>,
    /// How often another ring took the place of the one before.
    ring_changes: u64,
    siblings: Siblings,
    /// How it stands with control state; null where each edge forgets by itself.
    control: Option<Control>,
}

/// What edges have asked each other since this one's start.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Siblings {
    /// Requests that it sent to other edges, its parent's among them.
    asked: u64,
    answered: u64,
    /// Of these, those that failed or were declined.
    failed: u64,
    /// Of these, those that were slow, so that the next edge was asked too.
    hedged: u64,
    /// Requests that passed by an edge with more than its share of the load.
    spilled: u64,
    /// Requests of other edges that came in here.
    served: u64,
    /// Answers of the parent's edges.
    parent_answers: u64,
}

/// How an edge stands with control state.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Control {
    /// Whether it surely hears of purges; otherwise it validates what is stored.
    heard: bool,
    /// The purge up to which all are applied here; 0 for none.
    purge: u64,
}

/// One of its edges.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClusterEdge {
    name: String,
    /// Where the others come in.
    address: String,
    /// Whether it is the one that answers this.
    own: bool,
    state: Stands,
    /// Whether it is asked for what it owns.
    on_ring: bool,
    /// The part of all objects that it owns, from 0 to 1.
    share: f64,
    /// Requests under way there, as it has said last, smoothed over a few seconds.
    load: u32,
}

impl Cluster {
    /// `None` where the edge is alone.
    pub(super) fn of(running: &Running) -> Option<Self> {
        let (siblings, members) =
            running.siblings.as_ref().zip(running.control.server().members())?;
        let known = running.gossip.get().map(|gossip| gossip.known()).unwrap_or_default();
        let edges =
            members.iter().zip(members.shares()).map(|((member, standing, load), share)| {
                let own = member.name == siblings.name;
                let state = match (own, standing, known.get(&member.name)) {
                    (true, Standing::Drains, _) => Stands::Draining,
                    (true, ..) => Stands::Up,
                    (false, _, None) => Stands::Unknown,
                    (false, _, Some(known)) => Stands::of(known),
                };
                let (name, address) = (member.name.to_string(), member.address.to_string());
                let on_ring = standing == Standing::Serves;
                ClusterEdge { name, address, own, state, on_ring, share, load }
            });
        let now = running.now();
        let parent = now.settings.cluster.as_ref().and_then(|cluster| cluster.parent.as_ref());
        Some(Self {
            name: siblings.trust.cluster().to_string(),
            parent: parent.map(|parent| parent.name.to_string()),
            edges: edges.collect(),
            ring_changes: running.gossip.get().map_or(0, |gossip| gossip.rings()),
            siblings: Siblings::of(&running.registry.totals()),
            control: running.forgetting.get().map(|_| {
                let trusted = &running.shared.trusted;
                Control { heard: trusted.allows(0), purge: trusted.reached() }
            }),
        })
    }

    /// The same as numbers for Prometheus.
    pub(super) fn write(&self, page: &mut String) {
        let name = "nigh_cluster_members";
        head(page, name, "Edges of the cluster, by how they stand.", "gauge");
        for (stands, text) in ALL {
            let count = self.edges.iter().filter(|edge| edge.state == stands).count();
            // Writing to a string cannot fail.
            let _ = writeln!(page, "{name}{{state=\"{text}\"}} {count}");
        }
        let name = "nigh_cluster_ring_changes_total";
        head(page, name, "Times that another ring took the place of the one before.", "counter");
        let _ = writeln!(page, "{name} {}", self.ring_changes);
        let name = "nigh_cluster_load";
        head(
            page,
            name,
            "Requests under way at each edge of the cluster, as it has said.",
            "gauge",
        );
        for ClusterEdge { name: edge, load, .. } in &self.edges {
            let _ = writeln!(page, "{name}{{edge=\"{edge}\"}} {load}");
        }
    }
}

impl Siblings {
    const fn of(totals: &Totals) -> Self {
        Self {
            asked: totals.sibling_request,
            answered: totals.sibling_answer,
            failed: totals.sibling_failure,
            hedged: totals.sibling_hedge,
            spilled: totals.spilled,
            served: totals.sibling_served,
            parent_answers: totals.parent_answer,
        }
    }
}

impl Stands {
    fn of(known: &Known) -> Self {
        let drains = known.carried.is_some_and(|carried| carried.draining);
        match known.state {
            State::Up if drains => Self::Draining,
            State::Up => Self::Up,
            State::Suspect => Self::Suspect,
            State::Down => Self::Down,
            State::Left => Self::Left,
        }
    }
}
