//! What an edge more costs in hits, over time, on a stream of requests.

use std::{collections::BTreeMap, sync::Arc};

use nigh_base::Rng;

use super::{Way, edges, float};
use crate::{
    Trace,
    table::{Cell, Column, Table},
};

/// The stream that is drawn if none is given.
const DRAWN_OBJECTS: u32 = 50_000;
const DRAWN_REQUESTS: usize = 200_000;
/// All caches together hold one of so many objects.
const ONE_OF: usize = 10;
/// The stream is shown in so many pieces.
pub(super) const PIECES: usize = 50;

pub(super) fn drawn(rng: &mut Rng) -> Trace {
    Trace::drawn(DRAWN_OBJECTS, DRAWN_REQUESTS, rng)
}

/// One stream, placed in one way.
#[derive(Clone, Debug)]
pub(super) struct Addition {
    pub(super) stream: String,
    pub(super) way: Way,
    /// The share of hits in each piece. The edge comes after half of them.
    pub(super) pieces: Vec<f64>,
    /// The same without it.
    pub(super) unchanged: Vec<f64>,
    /// The share of the objects stored at the change that belong to another edge after it.
    pub(super) lost: f64,
    /// Misses more than without the change, as long as no piece has more hits than without it.
    pub(super) misses: usize,
}

pub(super) fn find(count: usize, traces: &[Arc<Trace>]) -> Vec<Addition> {
    let each = |trace: &Arc<Trace>| Way::ALL.map(|way| of(trace, way, count));
    traces.iter().flat_map(each).collect()
}

fn of(trace: &Trace, way: Way, count: usize) -> Addition {
    let (before, after) = (way.place(edges(count, 0)), way.place(edges(count + 1, 0)));
    let hash = |object: usize| Rng::new(0).fork(object as u64).next_u64();
    let owners: Vec<[usize; 2]> = (0..trace.objects)
        .map(|object| {
            let hash = hash(object);
            [before(hash), after(hash)]
        })
        .collect();
    let run = |changed: bool| {
        let most = (trace.objects / ONE_OF / count).max(1);
        let mut caches: Vec<Cache> = (0..=count).map(|_| Cache::new(most)).collect();
        let (mut hits, mut lost) = (vec![0; PIECES], 0.0);
        let mut now_changed = false;
        for (number, request) in trace.requests.iter().enumerate() {
            let piece = number * PIECES / trace.requests.len();
            if changed && !now_changed && piece >= PIECES / 2 {
                now_changed = true;
                lost = lost_of(&caches, &owners);
            }
            let owner = owners[request.object][usize::from(now_changed)];
            hits[piece] += usize::from(caches[owner].ask(request.object));
        }
        (hits, lost)
    };
    let ((unchanged, _), (pieces, lost)) = (run(false), run(true));
    let after = unchanged.iter().zip(&pieces).skip(PIECES / 2);
    let misses = after.map_while(|(&without, &with)| without.checked_sub(with)).sum();
    let [pieces, unchanged] = [pieces, unchanged].map(|hits| shares(trace, &hits));
    Addition { stream: trace.name.clone(), way, pieces, unchanged, lost, misses }
}

/// The share of hits in each piece.
fn shares(trace: &Trace, hits: &[usize]) -> Vec<f64> {
    let begin = |piece: usize| (piece * trace.requests.len()).div_ceil(PIECES);
    let requests = |piece| (begin(piece + 1) - begin(piece)).max(1);
    let share = |(piece, &hits): (usize, &usize)| float(hits) / float(requests(piece));
    hits.iter().enumerate().map(share).collect()
}

/// The share of what is stored that is not asked for any more where it is.
fn lost_of(caches: &[Cache], owners: &[[usize; 2]]) -> f64 {
    let stored = caches.iter().flat_map(|cache| cache.by_use.values());
    let (mut all, mut lost) = (0, 0);
    for &object in stored {
        all += 1;
        lost += usize::from(owners[object][0] != owners[object][1]);
    }
    float(lost) / float(all.max(1))
}

/// The objects that were asked for last.
struct Cache {
    most: usize,
    asked: u64,
    /// When each was asked for last, and the other way round.
    last: BTreeMap<usize, u64>,
    by_use: BTreeMap<u64, usize>,
}

impl Cache {
    const fn new(most: usize) -> Self {
        Self { most, asked: 0, last: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    /// Whether it has the object; it has it afterwards.
    fn ask(&mut self, object: usize) -> bool {
        self.asked += 1;
        let before = self.last.insert(object, self.asked);
        if let Some(before) = before {
            self.by_use.remove(&before);
        }
        self.by_use.insert(self.asked, object);
        if self.last.len() > self.most
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.last.remove(&oldest);
        }
        before.is_some()
    }
}

impl Addition {
    /// Hits in the first piece after the change, beside those without it.
    pub(super) fn first_piece(&self) -> [f64; 2] {
        [self.pieces[PIECES / 2], self.unchanged[PIECES / 2]]
    }
}

pub(super) fn table(found: &[Addition]) -> Table {
    let mut table = Table::new(vec![
        Column::new("requests", ""),
        Column::new("", ""),
        Column::new("stored objects that move", "%"),
        Column::new("hits in the next 2 %", "%"),
        Column::new("without the edge", "%"),
        Column::new("misses more until even", ""),
    ])
    .titled("An edge more, in the middle of a stream of requests");
    for addition in found {
        let percent = |share| Cell::number(100.0 * share, 1);
        let [with, without] = addition.first_piece();
        table.row(vec![
            Cell::text(&addition.stream),
            Cell::text(addition.way.name()),
            percent(addition.lost),
            percent(with),
            percent(without),
            Cell::count(addition.misses as u64),
        ]);
    }
    table
}
