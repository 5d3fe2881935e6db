//! One object that is asked for many times as often as the others, with and without spill.

use std::collections::VecDeque;

use nigh_base::Rng;
use nigh_cluster::hashing::{Loads, Placement, Ring, Spill};

use super::{edges, float};
use crate::table::{Cell, Column, Table};

/// Objects, and requests under way, for each edge: with so many a fair share is a whole number, and
/// the bound needs no rounding.
pub(super) const AN_EDGE: usize = 100;
/// How many times as often.
const HEATS: [u32; 4] = [1, 10, 100, 1000];
/// Where requests spill; the first: never.
pub(super) const FACTORS: [Option<f64>; 5] = [None, Some(2.0), Some(1.25), Some(1.1), Some(1.05)];
/// Rings and objects of each.
const REPETITIONS: u64 = 5;
/// Requests after the first that are under way, as multiples of them.
const TURNS: usize = 5;

/// What was found; the last two are means of the repetitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hot {
    pub(super) heat: u32,
    pub(super) factor: Option<f64>,
    /// The largest load of an edge at any time, 1 being the mean.
    pub(super) fullest: f64,
    /// How many edges had the hot object to serve, and how far down its order the last of them is.
    pub(super) homes: f64,
    pub(super) deepest: f64,
    /// The share of the requests for other objects that did not go to the owner.
    pub(super) elsewhere: f64,
}

pub(super) fn find(count: usize, rng: &Rng) -> Vec<Hot> {
    let heats = HEATS.into_iter().flat_map(|heat| FACTORS.map(|factor| (heat, factor)));
    heats.map(|(heat, factor)| of(heat, factor, count, rng)).collect()
}

fn of(heat: u32, factor: Option<f64>, count: usize, rng: &Rng) -> Hot {
    let mut hot = Hot { heat, factor, fullest: 0.0, homes: 0.0, deepest: 0.0, elsewhere: 0.0 };
    let repetitions = float(usize::try_from(REPETITIONS).expect("five"));
    for repetition in 0..REPETITIONS {
        let ring = Ring::new(edges(count, repetition));
        let once = stream(&ring, heat, factor, &mut rng.fork(repetition));
        hot.fullest = hot.fullest.max(once.fullest);
        hot.homes += once.homes / repetitions;
        hot.deepest += once.deepest / repetitions;
        hot.elsewhere += once.elsewhere / repetitions;
    }
    hot
}

fn stream(ring: &Ring, heat: u32, factor: Option<f64>, rng: &mut Rng) -> Hot {
    let spill = factor.map(|factor| Spill::above(factor).expect("above 1"));
    let objects = ring.edges().len() * AN_EDGE;
    let hashes: Vec<u64> = (0..objects).map(|_| rng.next_u64()).collect();
    let order: Vec<usize> = ring.order(hashes[0]).collect();
    let hot_share = f64::from(heat) / (f64::from(heat) + float(objects) - 1.0);
    let (mut loads, mut running) = (Loads::new(ring.edges()), VecDeque::new());
    let (mut most, mut others, mut elsewhere) = (0, 0, 0);
    let mut is_home = vec![false; order.len()];
    for _ in 0..objects * (1 + TURNS) {
        if running.len() == objects {
            loads.end(running.pop_front().expect("there are some"));
        }
        let object = if rng.chance(hot_share) { 0 } else { 1 + rng.index(objects - 1) };
        let hash = hashes[object];
        let owner = ring.owner(hash).expect("there are edges");
        let edge = spill.map_or(Some(owner), |spill| spill.choose(ring, hash, &loads));
        let edge = edge.expect("there are edges");
        loads.begin(edge);
        running.push_back(edge);
        if object == 0 {
            is_home[edge] = true;
        } else {
            others += 1;
            elsewhere += usize::from(edge != owner);
        }
        // Until so many are under way, the mean is smaller, and rounding up is not.
        if running.len() == objects {
            most = most.max(loads.of(edge));
        }
    }
    let homes = is_home.iter().filter(|&&home| home).count();
    let deepest = order.iter().rposition(|&edge| is_home[edge]).map_or(0, |place| place + 1);
    let most = usize::try_from(most).expect("no more than requests");
    Hot {
        heat,
        factor,
        fullest: float(most) / float(AN_EDGE),
        homes: float(homes),
        deepest: float(deepest),
        elsewhere: float(elsewhere) / float(others),
    }
}

pub(super) fn table(found: &[Hot]) -> Table {
    let mut table = Table::new(vec![
        Column::new("asked for", "times as often"),
        Column::new("spill above", ""),
        Column::new("fullest edge", "means"),
        Column::new("homes of the hot object", ""),
        Column::new("the last of them, in its order", ""),
        Column::new("others away from their owner", "%"),
    ])
    .titled("A hot object");
    for hot in found {
        table.row(vec![
            Cell::count(hot.heat.into()),
            hot.factor.map_or_else(|| Cell::text("never"), |factor| Cell::text(factor.to_string())),
            Cell::number(hot.fullest, 2),
            Cell::number(hot.homes, 1),
            Cell::number(hot.deepest, 1),
            Cell::number(100.0 * hot.elsewhere, 1),
        ]);
    }
    table
}
