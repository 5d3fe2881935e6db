//! What was found, as tables and charts.

use super::{All, DEAD, Failing, Geometry, Point, QUOTED, Sequential, quoted, theory, verdicts};
use crate::{
    Axis, Chart, Scale, Series, Style,
    table::{Cell, Column, Table},
};

/// A closed form, and the setting that it is about.
pub(super) struct Form {
    pub(super) geometry: Geometry,
    pub(super) failing: Failing,
    /// The share of ways that fail, for so many bits and such a share of dead nodes.
    pub(super) failed: fn(u32, f64) -> f64,
}

pub(super) const FORMS: [Form; 4] = [
    Form { geometry: Geometry::Tree, failing: Failing::Nodes, failed: theory::tree },
    Form { geometry: Geometry::Hypercube, failing: Failing::Nodes, failed: theory::hypercube },
    Form { geometry: Geometry::Ring, failing: Failing::Links, failed: theory::ring },
    Form { geometry: Geometry::Xor, failing: Failing::Links, failed: theory::xor },
];

pub(super) fn tables(found: &All, doublings: u32) -> Vec<Table> {
    vec![full(found, doublings), failed(found), hops(found), sequential(found)]
}

fn percent(share: f64) -> Cell {
    Cell::number(100.0 * share, 2)
}

/// Measured and closed form side by side.
fn full(found: &All, doublings: u32) -> Table {
    let mut columns = vec![Column::new("dead", "%")];
    for form in &FORMS {
        let links = if form.failing == Failing::Links { ", links" } else { "" };
        columns.push(Column::new(format!("{}{links}", form.geometry.name()), "% failed"));
        columns.push(Column::new("closed form", "% failed"));
        if form.failing == Failing::Links {
            columns.push(Column::new(format!("{}, nodes", form.geometry.name()), "% failed"));
        }
    }
    let mut table = Table::new(columns).titled("Full networks, one neighbour for each bit");
    for (place, dead) in DEAD.into_iter().enumerate() {
        let mut cells = vec![Cell::count(dead.into())];
        for form in &FORMS {
            let point = &found.full(form.geometry, form.failing)[place];
            cells.push(percent(point.failed_share()));
            cells.push(percent((form.failed)(doublings, point.dead)));
            if form.failing == Failing::Links {
                let nodes = &found.full(form.geometry, Failing::Nodes)[place];
                cells.push(percent(nodes.failed_share()));
            }
        }
        table.row(cells);
    }
    table
}

fn by_share(found: &All, title: &str, unit: &str, of: impl Fn(&Point) -> Cell) -> Table {
    let mut columns = vec![Column::new("dead", "%")];
    columns.extend(Geometry::ALL.map(|geometry| Column::new(geometry.name(), unit)));
    let mut table = Table::new(columns).titled(title);
    for (place, dead) in DEAD.into_iter().enumerate() {
        let mut cells = vec![Cell::count(dead.into())];
        cells.extend(
            Geometry::ALL
                .map(|geometry| of(&found.beside_paper(geometry, Sequential::Four)[place])),
        );
        table.row(cells);
    }
    table
}

fn failed(found: &All) -> Table {
    let title = "Ways that fail, four sequential neighbours used as all others are";
    by_share(found, title, "% failed", |point| percent(point.failed_share()))
}

fn hops(found: &All) -> Table {
    let title = "Hops of the ways that do not fail, in the same networks";
    by_share(found, title, "hops", mean_hops)
}

/// Nothing where all ways have failed: they have no mean.
fn mean_hops(point: &Point) -> Cell {
    let mean = point.mean_hops();
    if mean.is_nan() { Cell::Empty } else { Cell::number(mean, 2) }
}

/// What sequential neighbours do.
fn sequential(found: &All) -> Table {
    let columns = vec![
        Column::new("", ""),
        Column::new("sequential neighbours", "a node"),
        Column::new("hops, none dead", "mean"),
        Column::new("hops, none dead", "median"),
        Column::new("hops, none dead", "p90"),
        Column::new(format!("failed, {QUOTED} % dead"), "%"),
        Column::new(format!("hops, {QUOTED} % dead"), "mean"),
    ];
    let mut table = Table::new(columns).titled("Without and with sequential neighbours");
    for geometry in Geometry::ALL {
        for &sequential in verdicts::tried(geometry) {
            let points = found.beside_paper(geometry, sequential);
            let (none, some) = (&points[0], quoted(points));
            table.row(vec![
                Cell::text(geometry.name()),
                Cell::count((2 * sequential.a_side()).into()),
                mean_hops(none),
                Cell::count(none.percentile(50)),
                Cell::count(none.percentile(90)),
                percent(some.failed_share()),
                mean_hops(some),
            ]);
        }
    }
    table
}

pub(super) fn charts(found: &All, doublings: u32) -> Vec<Chart> {
    let mut failed =
        chart("Ways that fail, tables with four sequential neighbours", "share of ways that fail");
    let mut hops = chart("Hops of the ways that do not fail, in the same networks", "hops");
    for geometry in Geometry::ALL {
        let points = found.beside_paper(geometry, Sequential::Four);
        failed.series.push(line(geometry.name(), points, Point::failed_share));
        let paper = verdicts::published(geometry).failed_percent.value();
        let name = format!("{}, paper", geometry.name());
        let point = (f64::from(QUOTED) / 100.0, paper / 100.0);
        failed.series.push(Series::published(name, Style::Points, vec![point]));
        hops.series.push(line(geometry.name(), points, Point::mean_hops));
    }
    let mut forms = chart("Full networks and their closed forms", "share of ways that fail");
    for form in &FORMS {
        let points = found.full(form.geometry, form.failing);
        let name = form.geometry.name();
        let links = if form.failing == Failing::Links { ", links fail" } else { "" };
        forms.series.push(line(&format!("{name}{links}"), points, Point::failed_share));
        let form = points.iter().map(|it| (it.dead, (form.failed)(doublings, it.dead))).collect();
        forms.series.push(Series::published(format!("{name}, form"), Style::Points, form));
    }
    vec![failed, hops, forms]
}

fn chart(title: &str, y: &str) -> Chart {
    let x = Axis::new("share of nodes that are dead", Scale::Linear);
    Chart::new(title, x, Axis::new(y, Scale::Linear))
}

fn line(name: &str, points: &[Point], of: impl Fn(&Point) -> f64) -> Series {
    let points = points.iter().map(|it| (f64::from(it.percent) / 100.0, of(it)));
    Series::new(name, Style::Line, points.filter(|(_, y)| y.is_finite()).collect())
}
