//! The table of hit ratios, how near a ring comes to one cache, and what goals were met.

use super::ratio::{Found, Way};
use crate::markdown::Table;

/// By how many percent more a ring may ask the origin than one cache with all the memory.
const MORE_MAX: f64 = 2.0;

/// What was to be reached.
pub(super) struct Goal {
    what: String,
    measured: f64,
    at_most: f64,
}

impl Goal {
    pub(super) fn new(what: impl Into<String>, measured: f64, at_most: f64) -> Self {
        Self { what: what.into(), measured, at_most }
    }
}

/// Goals, and whether they were met.
pub(super) fn goals(goals: &[Goal]) -> String {
    let mut table = Table::new(["goal", "measured", "at most", "met"]);
    for Goal { what, measured, at_most } in goals {
        let met = if measured <= at_most { "yes" } else { "no" };
        table.row(vec![
            what.clone(),
            format!("{measured:.2}"),
            format!("{at_most:.2}"),
            met.to_owned(),
        ]);
    }
    table.text()
}

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
    let mut rings = Vec::new();
    for one in found {
        let single = found
            .iter()
            .find(|other| other.edges == 1 && other.trace == one.trace && other.way == Way::Ring);
        // One edge with all the memory is the cache that several are to be like.
        let more = single.map(|single| {
            (one.origin_requests as f64 / single.origin_requests as f64 - 1.0) * 100.0
        });
        if let Some(more) = more.filter(|_| one.way == Way::Ring && one.edges > 1) {
            let what = format!("{}: ring of {} beside one edge, %", one.trace, one.edges);
            rings.push(Goal::new(what, more, MORE_MAX));
        }
        table.row(vec![
            format!("{}: {}", one.trace, one.way.name()),
            one.edges.to_string(),
            format!("{:.2}", one.hit_ratio() * 100.0),
            one.origin_requests.to_string(),
            more.map_or_else(String::new, |more| format!("{more:+.2}")),
            format!("{:.2}", one.cpu_seconds),
            format!("{:.2}", one.p99.as_secs_f64() * 1e3),
        ]);
    }
    let all = table.text();
    // Without a ring, or one edge to hold it against, there is no goal.
    let met = if rings.is_empty() { String::new() } else { format!("\n{}", goals(&rings)) };
    format!("Hit ratios with the same memory in sum:\n\n{all}{met}")
}
