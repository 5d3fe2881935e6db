//! How even the loads of edges are, for more and more points on the ring.

use nigh_cluster::hashing::{POINTS, Placement, Ring};

use super::{edges, float};
use crate::table::{Cell, Column, Table};

/// Points of an edge; among them those that serve.
const COUNTS: [u16; 10] = [1, 2, 5, 10, 20, 50, POINTS, 250, 500, 1000];
/// Rings of each.
const REPETITIONS: u64 = 20;
/// Arcs are measured by hashes at even distances, on average so many for each of them.
const PROBES_AN_ARC: usize = 16;
const FEWEST_PROBES: usize = 100_000;

/// The shares of edges, 1 being the mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub(super) points: u16,
    /// The standard deviation over all rings.
    pub(super) deviation: f64,
    /// The same by the closed form.
    pub(super) predicted: f64,
    /// The fullest edge of a ring, and the emptiest, on average.
    pub(super) fullest: f64,
    pub(super) emptiest: f64,
}

pub(super) fn find(count: usize) -> Vec<Spread> {
    COUNTS.into_iter().map(|points| of(points, count)).collect()
}

fn of(points: u16, count: usize) -> Spread {
    let (mut squares, mut fullest, mut emptiest) = (0.0, 0.0, 0.0);
    for repetition in 0..REPETITIONS {
        let ring = Ring::with_points(edges(count, repetition), points);
        let shares =
            shares(&ring, (PROBES_AN_ARC * count * usize::from(points)).max(FEWEST_PROBES));
        squares += shares.iter().map(|share| (share - 1.0).powi(2)).sum::<f64>();
        fullest += shares.iter().copied().fold(0.0, f64::max);
        emptiest += shares.iter().copied().fold(f64::INFINITY, f64::min);
    }
    let rings = float(usize::try_from(REPETITIONS).expect("twenty"));
    let (edges, points_of_edge) = (float(count), f64::from(points));
    Spread {
        points,
        deviation: (squares / rings / edges).sqrt(),
        // The arcs between points at random have Dirichlet's distribution, and so have sums of them.
        predicted: ((edges - 1.0) / (edges * points_of_edge + 1.0)).sqrt(),
        fullest: fullest / rings,
        emptiest: emptiest / rings,
    }
}

/// What each edge owns of the circle, 1 being the mean.
fn shares(ring: &Ring, probes: usize) -> Vec<f64> {
    let mut owned = vec![0; ring.edges().len()];
    let step = u64::MAX / probes as u64;
    for probe in 0..probes as u64 {
        owned[ring.owner(probe * step).expect("there are edges")] += 1;
    }
    let mean = float(probes) / float(owned.len());
    owned.into_iter().map(|owned| float(owned) / mean).collect()
}

pub(super) fn table(found: &[Spread]) -> Table {
    let headings = ["standard deviation", "predicted", "fullest", "emptiest"];
    let mut columns = vec![Column::new("points", "an edge")];
    columns.extend(headings.map(|name| Column::new(name, "means")));
    let mut table = Table::new(columns).titled("Shares of the circle that edges own");
    for spread in found {
        let share = |value| Cell::number(value, 3);
        table.row(vec![
            Cell::count(spread.points.into()),
            share(spread.deviation),
            share(spread.predicted),
            share(spread.fullest),
            share(spread.emptiest),
        ]);
    }
    table
}
