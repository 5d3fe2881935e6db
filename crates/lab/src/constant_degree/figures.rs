//! The tables and charts, and how it was measured.

use super::{
    DEAD, DESIGNS, DRAWS, Design, Failing, Found, SIZES, WAYS_MOST, machines, verdicts,
    ways_failing,
};
use crate::{
    chart::{Axis, Chart, Scale, Series, Style},
    table::{Cell, Column, Table},
};

pub(super) fn setup(nodes: u32) -> String {
    let within = verdicts::share_within(ways_failing(nodes));
    let [ways, ways_failing, nodes] =
        [WAYS_MOST, ways_failing(nodes), nodes.into()].map(|it| Cell::count(it).to_string());
    format!(
        "Networks of 100 to {} nodes at the SHA-1 of their addresses, with the links that they \
         have when all has settled; {ways} ways in each (five for each node, if these are fewer), \
         from a node that is drawn to a key that is drawn. Koorde has one successor and the \
         pointers from the predecessor of k times a node's key on; a way begins at the imaginary \
         node with the fewest digits left. Viceroy has its seven links and as many levels as N \
         has whole doublings. A hop is a node to which the question is passed on, the owner among \
         them. log N is taken to the nearest power of two. Then {nodes} nodes, of which some are \
         dead and nothing is mended: {ways_failing} ways between the living, the dead drawn \
         {DRAWS} times. B backups are, in Koorde, B successors, and B nodes before the first \
         pointer (with 1, one successor and no backup); in Viceroy B nodes on each side of the \
         circle, and with more than 1 the owner is found among them, and a way that finds no link \
         up or down goes to the farthest of those ahead and begins anew, or on about on the last \
         three levels. A way of more than 1,000 hops has failed. Growth may be off the closed \
         form by 10 %: with k = 16 three standard errors, of which two thirds are how 10,000 \
         nodes lie; a share of failed ways by {within:.2}: four standard errors. No paper says what becomes of \
         Viceroy's ways while nodes are dead. What is claimed is what follows from how it is walked: without \
         backups a way fails if one of its nodes is dead, and with 16 on each side hardly a node is cut \
         off, so no more may fail than of Koorde's. {} ways among {} nodes are gone again by machines with \
         one leaf on each side, Koorde's with both of its two pointers: their mean may be off the walked one by \
         2 %, as the links are the same, but a machine takes whichever of all its links leads farthest.",
        Cell::count(SIZES[SIZES.len() - 1].into()),
        Cell::count(super::ways(machines::NODES)),
        Cell::count(machines::NODES.into()),
    )
}

pub(super) fn tables(found: &[Found], failing: &[Failing], nodes: u32) -> Vec<Table> {
    let column = |name: &str, unit: &str| Column::new(name, unit);
    let mut ways = Table::new(vec![
        column("overlay", ""),
        column("nodes", ""),
        column("links", ""),
        column("most into one", ""),
        column("mean", "hops"),
        column("99th percentile", "hops"),
        column("along edges", "hops"),
        column("mean / log2 N", ""),
        column("Chord: 1/2 log2 N", "hops"),
    ])
    .titled("Ways while nobody is dead");
    for design in DESIGNS {
        for it in found.iter().filter(|it| it.design == design) {
            ways.row(vec![
                Cell::text(design.name()),
                Cell::count(it.nodes.into()),
                Cell::count(it.links as u64),
                Cell::count(it.into.1.into()),
                Cell::number(it.mean(), 2),
                Cell::count(it.percentile_99()),
                if design == Design::Viceroy { Cell::Empty } else { Cell::number(it.edges, 2) },
                Cell::number(it.mean() / it.doublings(), 2),
                Cell::number(it.doublings() / 2.0, 2),
            ]);
        }
    }
    let mut columns = vec![column("overlay", ""), column("backups", "")];
    for percent in DEAD {
        columns.push(column(&format!("failed, {percent} % dead"), "%"));
    }
    for percent in [DEAD[0], DEAD[DEAD.len() - 1]] {
        columns.push(column(&format!("mean, {percent} % dead"), "hops"));
    }
    let mut dead =
        Table::new(columns).titled(format!("Of {} nodes some are dead", Cell::count(nodes.into())));
    for it in failing {
        let mut row = vec![Cell::text(it.design.name()), Cell::count(it.backups as u64)];
        row.extend(it.failed.iter().map(|share| Cell::number(share * 100.0, 1)));
        row.extend([it.mean[0], it.mean[DEAD.len() - 1]].map(|mean| Cell::number(mean, 1)));
        dead.row(row);
    }
    vec![ways, dead]
}

pub(super) fn charts(found: &[Found], failing: &[Failing], nodes: u32) -> Vec<Chart> {
    let axis = |label: &str, scale| Axis::new(label, scale);
    let mut means =
        Chart::new("Mean hops", axis("nodes", Scale::Log10), axis("hops", Scale::Linear));
    for design in DESIGNS {
        let of = found.iter().filter(|it| it.design == design);
        let points = of.map(|it| (f64::from(it.nodes), it.mean())).collect();
        means.series.push(Series::new(design.name(), Style::Line, points));
    }
    let chord = found.iter().filter(|it| it.design == Design::Viceroy);
    let chord = chord.map(|it| (f64::from(it.nodes), it.doublings() / 2.0)).collect();
    means.series.push(Series::published("Chord: 1/2 log2 N", Style::Line, chord));
    let title = format!("Ways that fail, {} nodes", Cell::count(nodes.into()));
    let mut dead =
        Chart::new(title, axis("dead (%)", Scale::Linear), axis("failed (%)", Scale::Linear));
    for it in failing.iter().filter(|it| it.design != DESIGNS[2] && it.backups != 8) {
        let points = DEAD.iter().zip(&it.failed);
        let points = points.map(|(&dead, share)| (f64::from(dead), share * 100.0)).collect();
        let name = if it.design == Design::Viceroy { "Viceroy" } else { "Koorde, k = 2" };
        dead.series.push(Series::new(format!("{name}, B = {}", it.backups), Style::Line, points));
    }
    vec![means, dead]
}
