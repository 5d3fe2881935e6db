//! `/metrics`, in the text format that Prometheus reads (version 0.0.4).

use std::fmt::Write;

use crate::edge::Running;

/// The media type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every number, with its help.
pub(crate) fn page(running: &Running) -> String {
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
        ("nigh_connections", "Connections open.", "gauge", running.open.count() as u64),
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
    page
}

fn head(page: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
