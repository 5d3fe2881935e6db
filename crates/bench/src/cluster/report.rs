//! The table of hit ratios, and how near a ring comes to one cache.

use super::ratio::{Found, Way};
use crate::markdown::Table;

pub(super) fn ratio(found: &[Found]) -> String {
    let mut table = Table::new([
        "trace and way",
        "edges",
        "hits, %",
        "to the origin",
        "beside one edge, %",
        "CPU-s/100k",
        "p99, ms",
    ]);
    for one in found {
        let single = found
            .iter()
            .find(|other| other.edges == 1 && other.trace == one.trace && other.way == Way::Ring);
        // One edge with all the memory is the cache that several are to be like.
        let beside = single.map_or_else(String::new, |single| {
            let more = one.origin_requests as f64 / single.origin_requests as f64 - 1.0;
            format!("{:+.2}", more * 100.0)
        });
        table.row(vec![
            format!("{}: {}", one.trace, one.way.name()),
            one.edges.to_string(),
            format!("{:.2}", one.hit_ratio() * 100.0),
            one.origin_requests.to_string(),
            beside,
            format!("{:.2}", one.cpu_seconds),
            format!("{:.2}", one.p99.as_secs_f64() * 1e3),
        ]);
    }
    format!("Hit ratios with the same memory in sum:\n\n{}", table.text())
}
