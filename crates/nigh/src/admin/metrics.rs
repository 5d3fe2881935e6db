//! `/metrics`, in the text format that Prometheus reads (version 0.0.4).

use std::{fmt::Write, time::Duration};

use axum::{extract::State, http::header, response::IntoResponse};
use nigh_edge::cache_status::Outcome;
use nigh_net::board::{BOUNDS_MS, Health, SiteNumbers};

use super::{Asked, cluster::Cluster};
use crate::edge::Running;

/// The media type.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every number, in the text format that Prometheus reads.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, description = "Version 0.0.4 of the format.", body = String,
               content_type = "text/plain"))
)]
pub(super) async fn metrics(State(running): Asked) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page(&running))
}

/// Every number, with its help.
fn page(running: &Running) -> String {
    let mut page = String::with_capacity(4096);
    let mut told = "";
    for (name, help, value) in running.registry.totals().iter() {
        let family = name.split('{').next().unwrap_or(name);
        if family != told {
            head(&mut page, family, help, "counter");
            told = family;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{name} {value}");
    }
    let store = running.store.statistics();
    let disk = running.disk.as_ref().map(|disk| disk.numbers()).unwrap_or_default();
    let (revision, refused) = (running.now().revision, running.control.refused());
    let trusted = &running.shared.trusted;
    for (name, help, kind, value) in [
        ("nigh_store_objects", "Objects held.", "gauge", store.objects),
        ("nigh_store_bytes", "Bytes used, bodies in flight included.", "gauge", store.used),
        ("nigh_store_ceiling_bytes", "Bytes that may be used.", "gauge", store.ceiling),
        ("nigh_store_inserted_total", "Objects stored.", "counter", store.inserted),
        (
            "nigh_store_evicted_total",
            "Objects that left for want of room.",
            "counter",
            store.evicted,
        ),
        ("nigh_store_removed_total", "Objects invalidated or replaced.", "counter", store.removed),
        (
            "nigh_store_refused_total",
            "Responses not kept for want of room.",
            "counter",
            store.refused,
        ),
        ("nigh_disk_objects", "Objects that lie on the disk.", "gauge", disk.objects),
        ("nigh_disk_bytes", "Bytes used on the disk.", "gauge", disk.log.used),
        ("nigh_disk_ceiling_bytes", "Bytes that may be used on the disk.", "gauge", disk.size),
        (
            "nigh_disk_unread_segments",
            "Segments still to be gone through since the start.",
            "gauge",
            disk.log.unread,
        ),
        ("nigh_disk_read_total", "Objects read from the disk.", "counter", disk.read),
        ("nigh_disk_written_total", "Objects written to the disk.", "counter", disk.log.written),
        (
            "nigh_disk_rewritten_total",
            "Of these, objects written again before their segment left.",
            "counter",
            disk.log.rewritten,
        ),
        (
            "nigh_disk_evicted_total",
            "Objects that left the disk with their segment.",
            "counter",
            disk.log.evicted,
        ),
        (
            "nigh_disk_lost_total",
            "Objects that could not be written to the disk.",
            "counter",
            disk.log.lost,
        ),
        (
            "nigh_disk_dropped_total",
            "Objects not written because the writer was too far behind.",
            "counter",
            disk.dropped,
        ),
        (
            "nigh_disk_unreadable_total",
            "Reads of the disk that failed.",
            "counter",
            disk.unreadable,
        ),
        (
            "nigh_disk_damaged_total",
            "Records on the disk that were not what was written.",
            "counter",
            disk.damaged,
        ),
        (
            "nigh_disk_failures_total",
            "Writes, syncs and removals on the disk that failed.",
            "counter",
            disk.log.failed,
        ),
        (
            "nigh_buffers_bytes",
            "Bytes reserved for the buffers of connections and for what passes through.",
            "gauge",
            running.shared.buffers.used(),
        ),
        (
            "nigh_buffers_ceiling_bytes",
            "Bytes that may be reserved for these.",
            "gauge",
            running.shared.buffers.ceiling(),
        ),
        (
            "nigh_clients_uncounted_total",
            "Times that a client network was let through for want of a place to count it.",
            "counter",
            running.shared.clients.as_ref().map_or(0, |clients| clients.uncounted()),
        ),
        ("nigh_connections", "Connections open.", "gauge", running.open.count() as u64),
        (
            "nigh_tunnels",
            "Tunnels of the forward proxy that are open.",
            "gauge",
            running.forward.as_ref().map_or(0, |proxy| proxy.tunnels() as u64),
        ),
        (
            "nigh_settings_revision",
            "Revision of the sites of control state that are served; 0 for none.",
            "gauge",
            revision.map_or(0, |revision| revision.0),
        ),
        (
            "nigh_settings_refused",
            "1 if control state has a later revision that this edge cannot use.",
            "gauge",
            u64::from(refused.is_some()),
        ),
        (
            "nigh_cluster_purge",
            "The purge of the cluster up to which all are applied here; 0 for none.",
            "gauge",
            trusted.reached(),
        ),
        (
            "nigh_cluster_trusted",
            "1 if this edge surely hears of purges; otherwise it validates what is stored.",
            "gauge",
            u64::from(trusted.allows(0)),
        ),
        (
            "nigh_cluster_renewals_total",
            "Times that the certificate for the other edges was renewed.",
            "counter",
            running.certificate.renewals(),
        ),
        (
            "nigh_cluster_renewal_failures_total",
            "Times that it could not be.",
            "counter",
            running.certificate.failures(),
        ),
        (
            "nigh_uptime_seconds",
            "Seconds since the start.",
            "gauge",
            running.since.elapsed().as_secs(),
        ),
    ] {
        head(&mut page, name, help, kind);
        let _ = writeln!(page, "{name} {value}");
    }
    if let Some(left) = running.certificate.left() {
        let name = "nigh_cluster_certificate_seconds";
        head(&mut page, name, "Seconds that the certificate is good for the other edges.", "gauge");
        let _ = writeln!(page, "{name} {}", left.as_secs());
    }
    sites(&mut page, running);
    origins(&mut page, running);
    origin_times(&mut page, running);
    if let Some(cluster) = Cluster::of(running) {
        cluster.write(&mut page);
    }
    page
}

/// What each site has answered. A site that a reload takes away takes its numbers along.
fn sites(page: &mut String, running: &Running) {
    let sites = running.board.sites();
    type Numbers = fn(&SiteNumbers) -> &[u64; Outcome::ALL.len()];
    let families: [(&str, &str, Numbers); 2] = [
        (
            "nigh_site_requests_total",
            "Requests answered, by site and by what the cache did, or why it did not.",
            |numbers| &numbers.requests_by,
        ),
        (
            "nigh_site_bytes_total",
            "Bytes of content sent, of answers that have ended, likewise.",
            |numbers| &numbers.bytes_by,
        ),
    ];
    for (name, help, of) in families {
        head(page, name, help, "counter");
        for (site, numbers) in &sites {
            for (outcome, number) in Outcome::ALL.into_iter().zip(of(numbers)) {
                let cache = outcome.as_str();
                let _ = writeln!(page, "{name}{{site=\"{site}\",cache=\"{cache}\"}} {number}");
            }
        }
    }
}

/// How long each origin takes to the head of its answer.
fn origin_times(page: &mut String, running: &Running) {
    let name = "nigh_origin_seconds";
    head(page, name, "Time to the head of an origin's answer.", "histogram");
    for (url, times) in running.board.origin_times() {
        let mut below = 0;
        for (bound, count) in BOUNDS_MS.iter().zip(&times.counts) {
            below += count;
            let bound = Duration::from_millis(*bound).as_secs_f64();
            let _ = writeln!(page, "{name}_bucket{{origin=\"{url}\",le=\"{bound}\"}} {below}");
        }
        let all: u64 = times.counts.iter().sum();
        let seconds = Duration::from_micros(times.sum_micros).as_secs_f64();
        let _ = writeln!(page, "{name}_bucket{{origin=\"{url}\",le=\"+Inf\"}} {all}");
        let _ = writeln!(page, "{name}_sum{{origin=\"{url}\"}} {seconds}");
        let _ = writeln!(page, "{name}_count{{origin=\"{url}\"}} {all}");
    }
}

/// How the workers see each origin.
fn origins(page: &mut String, running: &Running) {
    let origins = running.board.origins();
    type Number = fn(&Health) -> usize;
    let families: [(&str, &str, Number); 3] = [
        ("nigh_origin_up", "Whether most workers see the origin well.", |seen| {
            usize::from(seen.is_up())
        }),
        ("nigh_origin_workers", "Workers that ask the origin.", |seen| seen.cores),
        ("nigh_origin_workers_up", "Of these, who see it well.", |seen| seen.cores_up),
    ];
    for (name, help, number) in families {
        head(page, name, help, "gauge");
        for (url, health) in &origins {
            let _ = writeln!(page, "{name}{{origin=\"{url}\"}} {}", number(health));
        }
    }
}

pub(super) fn head(page: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
