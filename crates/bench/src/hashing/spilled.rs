//! What bounded loads cost: the look-up, how far down the order it goes, and how much moves when an
//! edge comes or goes.
//!
//! Movement is counted in two ways. *Objects* are placed one by one under the bound of all of them,
//! as in the paper (Mirrokni and others, SODA 2018), with an edge more or less. *Requests* come and
//! go in a stream, under the bound of what is under way, which is what an edge does; theirs is the
//! share that goes elsewhere than it would without the change.

use std::{collections::VecDeque, hint::black_box};

use nigh_cluster::hashing::{Edges, Loads, Placement, Ring, Spill};

use super::{
    LOOKUPS, keys, median, nanoseconds,
    peer::{drawn, ordinary},
    share, timed,
};
use crate::host::progress;

/// From which factor on requests spill; the first does not spill.
const FACTORS: [Option<f64>; 4] = [None, Some(1.25), Some(1.1), Some(1.05)];
/// Objects, and requests under way, for each edge. With more, rounding the bound up matters less.
const AN_EDGE: u32 = 100;

/// What was found with so many edges.
pub(super) struct Spilled {
    pub(super) edges: u32,
    pub(super) factor: Option<f64>,
    /// Nanoseconds from a hash to who takes the request, while others are under way.
    pub(super) ns: f64,
    /// How many edges are asked on average; 1 is the owner alone.
    pub(super) steps: f64,
    /// The load of the fullest edge at any time, 1 being the mean.
    pub(super) fullest: f64,
    /// The share of the objects that are elsewhere, with one edge more and one less.
    pub(super) objects: [f64; 2],
    /// The same of requests.
    pub(super) requests: [f64; 2],
}

impl Spilled {
    /// All factors with so many edges.
    pub(super) fn measure(edges: u32, rounds: u32) -> Vec<Self> {
        let ring = Ring::new(with(edges, |_| true));
        let more = Ring::new(with(edges + 1, |_| true));
        let fewer = Ring::new(with(edges, |number| u32::from(number) != edges / 2));
        let mut found = Vec::new();
        for factor in FACTORS {
            let spill = factor.map(|factor| Spill::above(factor).expect("above 1"));
            let (placed, stream) =
                (objects(&ring, edges, factor), Stream::run(&ring, edges, spill));
            let moved = |to: &[String], of: &[String]| {
                let moved = to.iter().zip(of).filter(|(a, b)| a != b).count();
                share(u32::try_from(moved).expect("few"), u32::try_from(of.len()).expect("few"))
            };
            let objects_moved =
                [&more, &fewer].map(|ring| moved(&objects(ring, edges, factor), &placed));
            let requests_moved = [&more, &fewer]
                .map(|ring| moved(&Stream::run(ring, edges, spill).chosen, &stream.chosen));
            found.push(Self {
                edges,
                factor,
                ns: cost(&ring, spill, &stream, rounds),
                steps: stream.steps,
                fullest: stream.fullest,
                objects: objects_moved,
                requests: requests_moved,
            });
            progress(&format!("hashing: spill {factor:?} with {edges} edges is measured"));
        }
        found
    }
}

fn with(edges: u32, there: impl Fn(u16) -> bool) -> Edges {
    let edges = u16::try_from(edges).expect("far fewer edges are asked for");
    ordinary(&(0..edges).filter(|&number| there(number)).collect::<Vec<_>>())
}

/// Where each object is, by name, when all were placed under the bound of all.
fn objects(ring: &Ring, edges: u32, factor: Option<f64>) -> Vec<String> {
    let count = edges * AN_EDGE;
    let fair = f64::from(count) / f64::from(u32::try_from(ring.edges().len()).expect("few"));
    let most = factor.map_or(f64::INFINITY, |factor| (factor * fair).ceil());
    let mut loads = vec![0.0; ring.edges().len()];
    keys(count)
        .map(|hash| {
            let edge = ring.order(hash).find(|&edge| loads[edge] < most).expect("there is room");
            loads[edge] += 1.0;
            ring.edges().as_slice()[edge].name.clone()
        })
        .collect()
}

/// Who takes a request.
#[inline]
fn choose(ring: &Ring, spill: Option<Spill>, hash: u64, loads: &Loads) -> usize {
    let chosen = match spill {
        Some(spill) => spill.choose(ring, hash, loads),
        None => ring.owner(hash),
    };
    chosen.expect("there are edges")
}

/// Requests of which so many are under way at any time: the oldest ends when one begins.
struct Stream {
    loads: Loads,
    /// Who took each, by name, from the time on when enough were under way.
    chosen: Vec<String>,
    steps: f64,
    fullest: f64,
}

impl Stream {
    fn run(ring: &Ring, edges: u32, spill: Option<Spill>) -> Self {
        let under_way = edges * AN_EDGE;
        let (mut loads, mut running) = (Loads::new(ring.edges()), VecDeque::new());
        let (mut chosen, mut steps, mut most) = (Vec::new(), 0, 0);
        for hash in keys(3 * under_way) {
            let full = running.len() == under_way as usize;
            if full && let Some(oldest) = running.pop_front() {
                loads.end(oldest);
            }
            let edge = choose(ring, spill, hash, &loads);
            loads.begin(edge);
            running.push_back(edge);
            if full {
                chosen.push(ring.edges().as_slice()[edge].name.clone());
                let passed = ring.order(hash).position(|it| it == edge).expect("it is in order");
                steps += u32::try_from(passed + 1).expect("few");
                most = most.max(loads.of(edge));
            }
        }
        let mean = f64::from(under_way) / f64::from(edges);
        #[expect(clippy::cast_precision_loss, reason = "a load is far below 2^53")]
        let fullest = most as f64 / mean;
        Self { loads, steps: share(steps, 2 * under_way), chosen, fullest }
    }
}

/// Nanoseconds of a choice among the loads that a stream has left.
fn cost(ring: &Ring, spill: Option<Spill>, stream: &Stream, rounds: u32) -> f64 {
    let round = |_| {
        nanoseconds(timed(|| {
            let mut sum = 0;
            for n in 0..LOOKUPS {
                sum += choose(ring, spill, drawn(n.into()), &stream.loads);
            }
            black_box(sum);
        }))
    };
    median((0..rounds).map(round).collect())
}
