//! How many keys belong to another edge once one edge more, or one less, is there.

use nigh_base::Rng;

use super::{Way, edges, float};
use crate::table::{Cell, Column, Table};

/// Keys of each repetition, and repetitions: the share of one edge in a hundred is known to 2.5 %
/// then, most of it because arcs differ.
pub(super) const KEYS: usize = 20_000;
pub(super) const REPETITIONS: u64 = 20;

/// What moved, as shares of all keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) way: Way,
    /// When one comes.
    pub(super) added: f64,
    /// When one goes.
    pub(super) removed: f64,
    /// Between edges that were there before and after, on average of both.
    pub(super) needless: f64,
}

pub(super) fn find(count: usize, rng: &Rng) -> Vec<Moved> {
    Way::ALL.into_iter().map(|way| of(way, count, rng)).collect()
}

fn of(way: Way, count: usize, rng: &Rng) -> Moved {
    let (mut added, mut removed, mut needless) = (0, 0, 0);
    for repetition in 0..REPETITIONS {
        let mut rng = rng.fork(repetition);
        let gone = rng.index(count);
        // One set with all, and two with one less: the last, which comes, and one that goes.
        let many = edges(count + 1, repetition);
        let before = edges(count, repetition);
        let mut rest = before.as_slice().to_vec();
        rest.remove(gone);
        let fewer = nigh_cluster::hashing::Edges::new(rest).expect("a part of what was allowed");
        let [many, before, fewer] = [many, before, fewer].map(|edges| way.place(edges));
        for _ in 0..KEYS {
            let hash = rng.next_u64();
            let (was, with) = (before(hash), many(hash));
            let without = fewer(hash);
            let without = without + usize::from(without >= gone);
            added += usize::from(with != was);
            needless += usize::from(with != was && with != count);
            removed += usize::from(without != was);
            needless += usize::from(without != was && was != gone);
        }
    }
    let all = float(KEYS) * float(usize::try_from(REPETITIONS).expect("twenty"));
    Moved {
        way,
        added: float(added) / all,
        removed: float(removed) / all,
        needless: float(needless) / (2.0 * all),
    }
}

pub(super) fn table(found: &[Moved]) -> Table {
    let mut table = Table::new(vec![
        Column::new("", ""),
        Column::new("moved when one comes", "%"),
        Column::new("moved when one goes", "%"),
        Column::new("of it between others", "%"),
    ])
    .titled("Keys that belong to another edge");
    for moved in found {
        let percent = |share| Cell::number(100.0 * share, 2);
        table.row(vec![
            Cell::text(moved.way.name()),
            percent(moved.added),
            percent(moved.removed),
            percent(moved.needless),
        ]);
    }
    table
}
