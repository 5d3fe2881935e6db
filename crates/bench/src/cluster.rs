//! Edges that act as one cache, measured: `cargo xtask bench cluster`.
//!
//! ```text
//! clients (core 1) -> edges or peers (core 0) -> origin (core 1)
//!    '-> work: which object next, at which edge     '-> counts what it is asked
//! ```
//!
//! - `ratio`: request traces replayed to 1 to 8 edges that have the same memory in sum. nigh's ring, asked
//!   at each edge in turn; edges that know nothing of each other, where the client chooses by `hash mod N`
//!   or keeps to one edge; nginx with `hash $uri consistent`, and Varnish behind HAProxy.
//! - `hop`: what it costs to be asked for what another edge owns.
//! - `join`: one edge comes to nine; what the origin is asked then.
//! - `hot`: one object that is asked for a hundred times as often as the mean.
//! - `purge`: how long a purge takes to reach a hundred edges through etcd.
//!
//! Clients check every byte, so a figure of wrong answers is none: a failed request ends the measurement.

mod fleet;
mod peers;
mod ratio;
mod report;
mod tests;
mod work;

use crate::{
    edge::{NGINX, TOOLS, pin_to_load_core},
    host::{self, Program, Scratch, Turn, progress},
};
use fleet::{Authority, Lab};
use nigh_load::{Origin, Terms};
use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

/// What is measured, and on what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which tests
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Test::ALL)]
    tests: Vec<Test>,
    /// Directory of traces (*.trace.xz, *.oracleGeneral.bin), such as ../shared/traces, for `ratio`
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// How many edges `ratio` has
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8],
          value_parser = clap::value_parser!(u16).range(1..=8))]
    edges: Vec<u16>,
    /// Who serves in `ratio`
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = ratio::Way::ALL)]
    ways: Vec<ratio::Way>,
    /// Memory of all edges together, in percent of the bytes of a trace's objects
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    percent: u8,
    /// Take only so many requests of each trace
    #[arg(long, value_name = "N")]
    requests: Option<usize>,
    /// Objects that `hop`, `join` and `hot` ask for
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    objects: u64,
    /// Edges that `purge` has
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..=200))]
    purged: u16,
    /// The release binary of nigh, instead of one that cargo builds now; `purge` wants one that was built
    /// with `--features etcd`
    #[arg(long, value_name = "PATH")]
    nigh: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Test {
    /// Hit ratios on traces
    Ratio,
    /// The price of the sibling's hop
    Hop,
    /// An edge that is added
    Join,
    /// A hot object
    Hot,
    /// Purges through etcd
    Purge,
}

impl Test {
    const ALL: [Self; 5] = [Self::Ratio, Self::Hop, Self::Join, Self::Hot, Self::Purge];
}

/// Edges, peers and their balancers have this core to themselves.
const PEER_CORE: usize = 0;
/// Where what is not measured runs, the generator among it.
const OTHER_CORE: usize = 1;

/// How long an etcd may take until it answers.
const ETCD_LIMIT: Duration = Duration::from_secs(20);

const HAPROXY: Program = Program { name: "haproxy", package: "haproxy" };
const VARNISH: Program = Program { name: "varnishd", package: "varnish" };
const ETCD: Program = Program { name: "etcd", package: "etcd-server" };

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The machine is not ready.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The traces cannot be read.
    #[error(transparent)]
    Trace(#[from] crate::eviction::trace::Error),
    /// `ratio` was to be measured without traces.
    #[error("which traces? name a directory with --traces, or leave `ratio` out of --tests")]
    NoTraces,
    /// An edge, a peer or the origin cannot be run or asked.
    #[error("{0}")]
    Unusable(String, #[source] io::Error),
    /// One does not serve.
    #[error("{name} does not serve; it said: {said}")]
    Silent {
        /// Who.
        name: String,
        /// The last lines of its log.
        said: String,
    },
    /// A client got something else than it has to get, or nothing.
    #[error("requests failed at {0}: {1}")]
    Failed(String, String),
    /// The answer of an edge about itself is not understood.
    #[error("{0} answered at its admin address what nobody understands")]
    Unreadable(String),
}

/// Measures, and returns what is to be printed.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    let has = |test| arguments.tests.contains(&test);
    let ways = |way| has(Test::Ratio) && arguments.ways.contains(&way);
    let mut programs = TOOLS.to_vec();
    programs.extend(ways(ratio::Way::Nginx).then_some(NGINX));
    programs.extend(ways(ratio::Way::Varnish).then_some([HAPROXY, VARNISH]).into_iter().flatten());
    programs.extend(has(Test::Purge).then_some(ETCD));
    host::need(&programs)?;
    let traces = match &arguments.traces {
        Some(folder) if has(Test::Ratio) => crate::eviction::trace::load_all(folder)?,
        None if has(Test::Ratio) => return Err(Error::NoTraces),
        _ => Vec::new(),
    };
    let nigh = host::nigh(arguments.nigh.as_deref())?;
    host::watch_signals();
    pin_to_load_core();
    let scratch = Scratch::new()?;
    let origin = Origin::start((Ipv4Addr::LOCALHOST, 0).into(), Terms::default());
    let origin =
        origin.map_err(|error| Error::Unusable("the origin cannot listen".into(), error))?;
    let authority = Authority::start(&nigh, &scratch)?;
    let lab = Lab { nigh: &nigh, scratch: &scratch, origin: &origin, authority };
    let mut text = String::new();
    for test in &arguments.tests {
        let _turn = Turn::take()?;
        progress(&format!("cluster: {test:?}"));
        let measured = match test {
            Test::Ratio => ratio::measure(&lab, &traces, arguments).map(|it| report::ratio(&it)),
            Test::Hop => tests::hop(&lab, arguments.objects),
            Test::Join => tests::join(&lab, arguments.objects),
            Test::Hot => tests::hot(&lab, arguments.objects),
            Test::Purge => tests::purge(&lab, arguments.purged),
        };
        // What was measured before one that fails is told nevertheless.
        let measured = measured.inspect_err(|_| progress(&text))?;
        text += &measured;
        text.push('\n');
    }
    Ok(text)
}

/// The last lines of a program's output.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
