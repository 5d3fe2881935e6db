//! Edges of unequal capacity: whether each owns as much as it can take.

use nigh_cluster::hashing::{Capacity, Edge, Edges};

use super::{Way, float, name};
use crate::table::{Cell, Column, Table};

/// Capacities, as often each.
pub(super) const PERCENT: [u16; 4] = [50, 100, 200, 400];
/// Sets of edges.
const REPETITIONS: u64 = 20;
/// Hashes at even distances, by which shares are measured.
const PROBES: usize = 100_000;

/// What the edges of each capacity own, 1 being what they should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) way: Way,
    pub(super) of_fair: [f64; 4],
}

pub(super) fn find(count: usize) -> Vec<Shares> {
    Way::ALL.into_iter().map(|way| Shares { way, of_fair: shares(way, count) }).collect()
}

fn shares(way: Way, count: usize) -> [f64; 4] {
    let percent = |number: usize| PERCENT[number % PERCENT.len()];
    let mut owned = [0; 4];
    for repetition in 0..REPETITIONS {
        let edge = |number: usize| Edge {
            name: name(repetition, number),
            capacity: Capacity::of_percent(percent(number)).expect("an allowed one"),
        };
        let edges = Edges::new((0..count).map(edge).collect()).expect("names differ");
        let owner = way.place(edges);
        let step = u64::MAX / PROBES as u64;
        (0..PROBES as u64).for_each(|probe| owned[owner(probe * step) % PERCENT.len()] += 1);
    }
    let all: f64 = (0..count).map(|number| f64::from(percent(number))).sum();
    [0, 1, 2, 3].map(|class| {
        let of_class = (0..count).filter(|number| number % PERCENT.len() == class).count();
        let fair = float(of_class) * f64::from(PERCENT[class]) / all;
        let probes = float(PROBES) * float(usize::try_from(REPETITIONS).expect("twenty"));
        float(owned[class]) / probes / fair
    })
}

pub(super) fn table(found: &[Shares]) -> Table {
    let mut columns = vec![Column::new("", "")];
    columns.extend(PERCENT.map(|percent| Column::new(format!("{percent} %"), "of its share")));
    let mut table = Table::new(columns).titled("What edges of unequal capacity own");
    for shares in found {
        let cells = shares.of_fair.map(|share| Cell::number(share, 3));
        table.row([Cell::text(shares.way.name())].into_iter().chain(cells).collect());
    }
    table
}
