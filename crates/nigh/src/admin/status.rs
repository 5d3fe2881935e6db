//! `/v1/status` and `/v1/sites`: what the edge is, holds and has done.

use std::{collections::BTreeMap, time::Instant};

use axum::extract::State;
use nigh_net::{
    board::{FORWARD, Health, SiteNumbers},
    counters::Totals,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Asked, Json, cluster::Cluster};
use crate::{edge::Running, settings};

/// What an edge is, holds and has done since its start.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    version: &'static str,
    name: String,
    uptime_seconds: u64,
    /// Whether it is ending.
    draining: bool,
    /// Where clients come in.
    listen: Vec<String>,
    /// Connections of clients that are open.
    connections: usize,
    sites: Vec<Site>,
    /// What the forward proxy has done, if there is one.
    forward: Option<Forward>,
    /// The cluster that it is one of, if it is.
    cluster: Option<Cluster>,
    requests: Requests,
    /// Requests that waited for another one's fetch.
    collapsed: u64,
    /// Answers that were stale, as their rules allow.
    stale: u64,
    /// Bytes of content, of answers that have ended.
    bytes: u64,
    origin_requests: u64,
    /// Requests that the origin did not answer whole.
    origin_failures: u64,
    /// The last minute, or less after a start.
    recent: Option<Recent>,
    store: Store,
    disk: Option<Disk>,
    /// Keys of the settings that wait for a restart.
    waiting_for_restart: Vec<String>,
}

/// Requests, by what the cache did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Requests {
    /// Answered from the store.
    hit: u64,
    /// Passed on to the origin.
    forwarded: u64,
    /// Answered in the edge's own name.
    own: u64,
}

/// What was done in the last seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Recent {
    seconds: u64,
    requests: Requests,
    origin_requests: u64,
}

/// The memory.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Store {
    objects: u64,
    used_bytes: u64,
    ceiling_bytes: u64,
    inserted: u64,
    evicted: u64,
    removed: u64,
    refused: u64,
    purge_rules: usize,
}

/// The disk beneath it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Disk {
    objects: u64,
    used_bytes: u64,
    ceiling_bytes: u64,
    unread_segments: u64,
    read: u64,
    written: u64,
    rewritten: u64,
    evicted: u64,
    lost: u64,
    dropped: u64,
    unreadable: u64,
    damaged: u64,
    failures: u64,
}

/// One site, and what it has answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Site {
    hosts: Vec<String>,
    origins: Vec<Origin>,
    requests: u64,
    hits: u64,
    bytes: u64,
}

/// The forward proxy, and what it has answered of what is no site's.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Forward {
    requests: u64,
    hits: u64,
    bytes: u64,
    /// Tunnels that are open.
    tunnels: usize,
}

/// One of a site's origins. It is up if most workers see it so: its probes, if there are any, are
/// answered, and so was the last request after a row of failures.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Origin {
    url: String,
    weight: u32,
    up: bool,
    workers: usize,
    workers_up: usize,
}

/// Every site.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sites {
    sites: Vec<Site>,
}

/// What the edge is, holds and has done.
#[utoipa::path(
    get,
    path = "/v1/status",
    responses((status = 200, description = "All numbers are since the start.", body = Status))
)]
pub(super) async fn status(State(running): Asked) -> Json<Status> {
    Json(Status::of(&running))
}

/// Every site, with what it has answered and how its origins are.
#[utoipa::path(
    get,
    path = "/v1/sites",
    responses((status = 200, description = "In the order of the settings.", body = Sites))
)]
pub(super) async fn sites(State(running): Asked) -> Json<Sites> {
    Json(Sites { sites: Site::all(&running) })
}

impl Status {
    fn of(running: &Running) -> Self {
        let totals = running.registry.totals();
        let now = running.now();
        let listen = running.addresses.iter();
        let listen = listen.map(|(scheme, address)| format!("{}://{address}", scheme.as_str()));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            name: now.settings.node.name.clone(),
            uptime_seconds: running.since.elapsed().as_secs(),
            draining: running.drain.has_begun(),
            listen: listen.collect(),
            connections: running.open.count(),
            bytes: running.board.sites().values().map(|done| done.bytes()).sum(),
            sites: Site::all(running),
            forward: Forward::of(running),
            cluster: Cluster::of(running),
            requests: Requests::between(&Totals::default(), &totals),
            collapsed: totals.collapsed,
            stale: totals.stale,
            origin_requests: totals.origin_request,
            origin_failures: totals.origin_failure,
            recent: running.recent.oldest(Instant::now()).map(|(age, then)| Recent {
                seconds: age.as_secs(),
                requests: Requests::between(&then, &totals),
                origin_requests: totals.origin_request.saturating_sub(then.origin_request),
            }),
            store: Store::of(running),
            disk: Disk::of(running),
            waiting_for_restart: now.waiting.clone(),
        }
    }
}

impl Requests {
    fn between(before: &Totals, after: &Totals) -> Self {
        Self {
            hit: after.hit.saturating_sub(before.hit),
            forwarded: after.forwarded.saturating_sub(before.forwarded),
            own: after.own.saturating_sub(before.own),
        }
    }
}

impl Store {
    fn of(running: &Running) -> Self {
        let store = running.store.statistics();
        Self {
            objects: store.objects,
            used_bytes: store.used,
            ceiling_bytes: store.ceiling,
            inserted: store.inserted,
            evicted: store.evicted,
            removed: store.removed,
            refused: store.refused,
            purge_rules: running.store.purges().len(),
        }
    }
}

impl Disk {
    fn of(running: &Running) -> Option<Self> {
        let numbers = running.disk.as_ref()?.numbers();
        Some(Self {
            objects: numbers.objects,
            used_bytes: numbers.log.used,
            ceiling_bytes: numbers.size,
            unread_segments: numbers.log.unread,
            read: numbers.read,
            written: numbers.log.written,
            rewritten: numbers.log.rewritten,
            evicted: numbers.log.evicted,
            lost: numbers.log.lost,
            dropped: numbers.dropped,
            unreadable: numbers.unreadable,
            damaged: numbers.damaged,
            failures: numbers.log.failed,
        })
    }
}

impl Forward {
    fn of(running: &Running) -> Option<Self> {
        let proxy = running.forward.as_ref()?;
        let done = running.board.sites().get(FORWARD).copied().unwrap_or_default();
        let (requests, hits, bytes) = (done.requests(), done.hits(), done.bytes());
        Some(Self { requests, hits, bytes, tunnels: proxy.tunnels() })
    }
}

impl Site {
    fn all(running: &Running) -> Vec<Self> {
        let (numbers, health) = (running.board.sites(), running.board.origins());
        let now = running.now();
        now.settings.sites.iter().map(|site| Self::of(site, &numbers, &health)).collect()
    }

    fn of(
        site: &settings::Site,
        numbers: &BTreeMap<String, SiteNumbers>,
        health: &BTreeMap<String, Health>,
    ) -> Self {
        let origin = |origin: &settings::Origin| {
            let url = origin.settings.url();
            let seen = health.get(&url).copied().unwrap_or_default();
            // In the moment after a reload nobody has looked yet.
            let up = seen.cores == 0 || seen.is_up();
            let (workers, workers_up) = (seen.cores, seen.cores_up);
            Origin { url, weight: origin.weight, up, workers, workers_up }
        };
        let done = numbers.get(&settings::name_of(site)).copied().unwrap_or_default();
        Self {
            hosts: site.hosts.iter().map(ToString::to_string).collect(),
            origins: site.origins.iter().map(origin).collect(),
            requests: done.requests(),
            hits: done.hits(),
            bytes: done.bytes(),
        }
    }
}
