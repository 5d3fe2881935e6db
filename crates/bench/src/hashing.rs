//! Who serves a key, beside other crates for consistent hashing: what a look-up costs, how many keys
//! move when one edge comes or goes, how even the loads are, and what spill adds.
//! `cargo xtask bench hashing`.
//!
//! All are given the same 64-bit hashes as keys, by a hasher that passes them on, so that tables are
//! compared and not hash functions. `hashring` is given our points, so it has to name our owners:
//! that is checked on each run.

mod peer;
mod report;
mod spilled;

use std::time::{Duration, Instant};

use nigh_base::Rng;

use self::{
    peer::{Change, Kind, Lookup, Peer},
    spilled::Spilled,
};
use crate::host::progress;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many edges there are
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1_000, 10_000],
          value_parser = clap::value_parser!(u32).range(2..=50_000))]
    edges: Vec<u32>,
    /// How often each is measured, in turn with the others; the median counts
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
}

/// Look-ups that are timed at once.
const LOOKUPS: u32 = 1_000_000;
/// Keys by which movement and spread are counted: for each edge, so that chance is 1 % of a load.
const KEYS_AN_EDGE: u32 = 10_000;
/// Beyond so many keys the time for a look at all of them is not worth it.
const KEYS_MAX: u32 = 10_000_000;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The harness is wrong: nothing else that it prints could be believed.
    #[error(
        "with {edges} edges hashring names another owner than our ring, for the hash {hash:#x}"
    )]
    OwnersDiffer {
        /// How many edges there were.
        edges: u32,
        /// For which key.
        hash: u64,
    },
}

/// What was found of one kind with so many edges.
struct Found {
    kind: Kind,
    edges: u32,
    bytes: usize,
    build_ms: f64,
    /// Nanoseconds of a look-up while others are under way.
    overlapped_ns: f64,
    /// Nanoseconds of a look-up that waited for the one before it.
    alone_ns: f64,
    /// The share of the keys that belong to somebody else once an edge more, or one less, is there.
    added: f64,
    removed: f64,
    /// The load of the fullest edge, 1 being the mean.
    fullest: f64,
}

/// Measures, and returns what is to be printed.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    let (mut found, mut spilled) = (Vec::new(), Vec::new());
    for &edges in &arguments.edges {
        found.extend(measure(edges, arguments.rounds)?);
        spilled.extend(Spilled::measure(edges, arguments.rounds));
    }
    Ok(report::text(&arguments.edges, &found, &spilled))
}

/// All kinds with so many edges, in turn.
fn measure(edges: u32, rounds: u32) -> Result<Vec<Found>, Error> {
    let peers: Vec<Peer> =
        Kind::ALL.into_iter().filter_map(|kind| Peer::new(kind, edges, Change::None)).collect();
    check_owners(edges, &peers)?;
    let mut times: Vec<[Vec<f64>; 2]> = peers.iter().map(|_| Default::default()).collect();
    for _ in 0..rounds {
        for (peer, times) in peers.iter().zip(&mut times) {
            times[0].push(nanoseconds(peer.lookup.overlapped(LOOKUPS)));
            times[1].push(nanoseconds(peer.lookup.alone(LOOKUPS)));
        }
    }
    let mut found = Vec::new();
    for (peer, [overlapped, alone]) in peers.into_iter().zip(times) {
        let keys = (edges * KEYS_AN_EDGE).min(KEYS_MAX);
        let moved = |change| {
            let changed = Peer::new(peer.kind, edges, change).expect("it was built before");
            share(moved(&*peer.lookup, &*changed.lookup, keys), keys)
        };
        found.push(Found {
            kind: peer.kind,
            edges,
            bytes: peer.bytes,
            build_ms: peer.built_in.as_secs_f64() * 1e3,
            overlapped_ns: median(overlapped),
            alone_ns: median(alone),
            added: moved(Change::Add),
            removed: moved(Change::Remove(edges / 2)),
            fullest: fullest(&*peer.lookup, edges, keys),
        });
        progress(&format!("hashing: {} with {edges} edges is measured", peer.kind.name()));
    }
    Ok(found)
}

/// Holds our ring against hashring.
fn check_owners(edges: u32, peers: &[Peer]) -> Result<(), Error> {
    let of = |kind| peers.iter().find(|peer| peer.kind == kind).expect("both can be built");
    let (ours, theirs) = (of(Kind::Ring), of(Kind::Hashring));
    match keys(100_000).find(|&hash| ours.lookup.edge(hash) != theirs.lookup.edge(hash)) {
        Some(hash) => Err(Error::OwnersDiffer { edges, hash }),
        None => Ok(()),
    }
}

/// The same keys each time.
fn keys(count: u32) -> impl Iterator<Item = u64> {
    let mut rng = Rng::new(1);
    (0..count).map(move |_| rng.next_u64())
}

fn moved(before: &dyn Lookup, after: &dyn Lookup, count: u32) -> u32 {
    let moved = keys(count).filter(|&hash| before.edge(hash) != after.edge(hash)).count();
    u32::try_from(moved).expect("no more than there are keys")
}

fn fullest(lookup: &dyn Lookup, edges: u32, count: u32) -> f64 {
    let mut loads = vec![0u32; edges as usize];
    keys(count).for_each(|hash| loads[lookup.edge(hash)] += 1);
    share(loads.into_iter().max().unwrap_or(0), count) * f64::from(edges)
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole)
}

/// Of one look-up.
fn nanoseconds(of_all: Duration) -> f64 {
    of_all.as_secs_f64() * 1e9 / f64::from(LOOKUPS)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How long something took.
fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}
