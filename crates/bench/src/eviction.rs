//! Replays request traces through the eviction policies, ours and libcachesim's, into one table.
//!
//! ```text
//! traces -> trace -> replay: our policies ------------------> table
//!               '--> peer: libcachesim, by a Python script --'
//! ```
//!
//! Both sides see the same requests: an object is a key *and* a size, so one that changed its size
//! is a new one. Both make room before a newcomer enters, and pass by what is larger than the
//! cache. That our LRU and theirs agree to four digits in every cell is checked on each run.

mod cost;
mod peer;
mod replay;
mod table;
pub(crate) mod trace;

use nigh_cache::evict::Kind;
use replay::Ratios;
use std::path::PathBuf;
use trace::Trace;

/// What is measured, and beside whom.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Directory of traces (*.trace.xz, *.oracleGeneral.bin), such as ../shared/traces
    #[arg(long, value_name = "DIR")]
    traces: PathBuf,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Leave libcachesim out
    #[arg(long)]
    alone: bool,
    /// Bytes that the store charges for each object beside its size (leaves libcachesim out)
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    overhead: u64,
    /// The Python that has libcachesim
    #[arg(long, value_name = "PATH", default_value = "target/libcachesim/bin/python")]
    python: PathBuf,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A trace cannot be had.
    #[error(transparent)]
    Trace(#[from] trace::Error),
    /// The peer cannot be asked.
    #[error(transparent)]
    Peer(#[from] peer::Error),
    /// The harness is wrong, or theirs is: nothing else that it prints could be believed.
    #[error("our LRU and libcachesim's differ on {trace} at {capacity} bytes: {ours} and {theirs}")]
    LruDiffers {
        /// The trace's name.
        trace: String,
        /// The cache's size in bytes.
        capacity: u64,
        /// Our object hit ratio.
        ours: f64,
        /// Theirs.
        theirs: f64,
    },
}

/// One trace at one cache size.
struct Row {
    trace: String,
    capacity: u64,
    /// What a cache without limit reaches: every object's first request is a miss.
    ceiling: Ratios,
    /// By policy; ours first, in the order of the columns.
    cells: Vec<(String, Ratios)>,
}

/// Measures, and returns what is to be printed.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    let mut rows = Vec::new();
    for trace in trace::load_all(&arguments.traces)? {
        let sizes = capacities(&trace);
        let mut of_trace: Vec<Row> =
            sizes.iter().map(|&capacity| ours(&trace, capacity, arguments.overhead)).collect();
        if !arguments.alone && arguments.overhead == 0 {
            for cell in peer::ask(&arguments.python, &trace, &sizes)? {
                let row = of_trace.iter_mut().find(|row| row.capacity == cell.capacity);
                let row = row.expect("the peer answers for the sizes that it was asked for");
                row.cells.push((cell.policy, cell.ratios));
            }
            of_trace.iter().try_for_each(check_lru)?;
        }
        rows.extend(of_trace);
    }
    let costs = cost::measure();
    Ok(if arguments.json { table::json(&rows, &costs) } else { table::text(&rows, &costs) })
}

fn ours(trace: &Trace, capacity: u64, overhead: u64) -> Row {
    let cell = |kind: Kind| (kind.to_string(), replay::replay(trace, kind, capacity, overhead));
    let cells = Kind::ALL.map(cell).into();
    Row { trace: trace.name.clone(), capacity, ceiling: replay::ceiling(trace), cells }
}

/// 0.1, 1 and 10 % of the bytes of all objects, and round sizes where the objects exceed them.
fn capacities(trace: &Trace) -> Vec<u64> {
    let all = replay::unique_bytes(trace);
    let round = [128 << 20, 1 << 30].into_iter().filter(|&size| size < all);
    let mut sizes: Vec<u64> = [all / 1000, all / 100, all / 10].into_iter().chain(round).collect();
    sizes.sort_unstable();
    sizes
}

fn check_lru(row: &Row) -> Result<(), Error> {
    let of = |name: &str| row.cells.iter().find(|(policy, _)| policy == name);
    let (Some((_, ours)), Some((_, theirs))) = (of("lru"), of("LRU")) else { return Ok(()) };
    let (ours, theirs) = (ours.objects, theirs.objects);
    if (ours - theirs).abs() < 0.000_05 {
        return Ok(());
    }
    Err(Error::LruDiffers { trace: row.trace.clone(), capacity: row.capacity, ours, theirs })
}
