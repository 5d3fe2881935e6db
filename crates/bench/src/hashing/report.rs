//! What was measured, as tables: look-ups, what moves, spill, and the goals.

use super::{Found, peer::Kind, spilled::Spilled};
use crate::markdown::Table;

/// What the project wants of a look-up with [`GOAL_EDGES`] edges, in nanoseconds.
const GOAL_NS: f64 = 50.0;
const GOAL_EDGES: u32 = 10_000;

pub(super) fn text(edges: &[u32], found: &[Found], spilled: &[Spilled]) -> String {
    let times = |title: &str, of: fn(&Found) -> f64| {
        let table = by_edges(edges, found, |found| format!("{:.1}", of(found)));
        format!("{title}\n\n{table}\n")
    };
    [
        times("A look-up among others, ns, by edges:", |found| found.overlapped_ns),
        times("A look-up that waits for the last, ns:", |found| found.alone_ns),
        format!(
            "Tables, KiB:\n\n{}\n",
            by_edges(edges, found, |found| (found.bytes / 1024).to_string())
        ),
        times("Built in, ms:", |found| found.build_ms),
        format!("Keys that move, and the fullest edge:\n\n{}\n", moves(found)),
        format!("Spill:\n\n{}\n", of_spill(spilled)),
        format!("Goals:\n\n{}", goals(found, spilled)),
    ]
    .concat()
}

fn by_edges(edges: &[u32], found: &[Found], cell: impl Fn(&Found) -> String) -> String {
    let headings: Vec<String> = edges.iter().map(u32::to_string).collect();
    let mut table = Table::new(["edges"].into_iter().chain(headings.iter().map(String::as_str)));
    for kind in Kind::ALL {
        let cells = edges.iter().map(|&edges| {
            let it = found.iter().find(|it| (it.kind, it.edges) == (kind, edges));
            it.map_or_else(|| "-".to_owned(), &cell)
        });
        table.row([kind.name().to_owned()].into_iter().chain(cells).collect());
    }
    table.text()
}

fn moves(found: &[Found]) -> String {
    let mut table =
        Table::new(["", "edges", "% if one comes", "% if one goes", "least %", "max/mean"]);
    for found in found {
        let percent = |share: f64| format!("{:.3}", 100.0 * share);
        table.row(vec![
            found.kind.name().to_owned(),
            found.edges.to_string(),
            percent(found.added),
            percent(found.removed),
            percent(1.0 / f64::from(found.edges)),
            format!("{:.3}", found.fullest),
        ]);
    }
    table.text()
}

fn of_spill(spilled: &[Spilled]) -> String {
    let mut table = Table::new([
        "spill above",
        "edges",
        "ns",
        "edges asked",
        "max/mean",
        "objects: % if one comes",
        "goes",
        "requests: % if one comes",
        "goes",
    ]);
    for it in spilled {
        let percent = |share: f64| format!("{:.2}", 100.0 * share);
        table.row(vec![
            it.factor.map_or_else(|| "never".to_owned(), |factor| factor.to_string()),
            it.edges.to_string(),
            format!("{:.1}", it.ns),
            format!("{:.3}", it.steps),
            format!("{:.3}", it.fullest),
            percent(it.objects[0]),
            percent(it.objects[1]),
            percent(it.requests[0]),
            percent(it.requests[1]),
        ]);
    }
    table.text()
}

/// hashring alone keeps what a ring promises: owners follow from the names that are there, and only
/// the share of who comes or goes moves. With anchorhash they follow from the order of all changes
/// too, jumphash can only lose the last edge, and Maglev moves more.
fn goals(found: &[Found], spilled: &[Spilled]) -> String {
    let mut table = Table::new(["goal", "measured", "at most"]);
    let of = |kind| found.iter().find(|it| (it.kind, it.edges) == (kind, GOAL_EDGES));
    if let Some(ours) = of(Kind::Ring) {
        let mut row = |goal: &str, measured: f64, most: &str| {
            table.row(vec![goal.to_owned(), format!("{measured:.2}"), most.to_owned()]);
        };
        row("a look-up among 10,000 edges, ns", ours.overlapped_ns, &format!("{GOAL_NS:.2}"));
        row("the same, one after the other, ns", ours.alone_ns, "-");
        for (kind, most) in [(Kind::Hashring, "1.00"), (Kind::Anchorhash, "-")] {
            if let Some(theirs) = of(kind) {
                let goal = format!("ratio to {}", kind.name());
                row(&goal, ours.overlapped_ns / theirs.overlapped_ns, most);
            }
        }
    }
    for it in spilled {
        if let Some(factor) = it.factor {
            table.row(vec![
                format!("max/mean with spill, {} edges", it.edges),
                format!("{:.3}", it.fullest),
                format!("{factor:.3}"),
            ]);
        }
    }
    table.text()
}
