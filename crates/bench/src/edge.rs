//! nigh's edge beside nginx, HAProxy, Varnish and Traffic Server, in one run.
//!
//! ```text
//! load (core 1) -> peer (core 0, one at a time) -> origin (core 1)
//!    '--> outcome      '--> rate: processor time of the peer's processes
//!                              '--> goals, report
//! ```
//!
//! Every test starts its peers anew and measures them in turn, several times over, so that a
//! machine that changes its speed changes it for all. What counts is processor time for a given
//! number of requests: it hardly depends on who is the limit, the peer or the load.

mod collapse;
mod goals;
mod load;
mod memory;
mod origin;
mod peer;
mod rate;
mod report;

use crate::host::{self, Program, Scratch, Turn, progress};
use load::Load;
use origin::EdgeOrigin;
use peer::{Kind, Peer, Site};
use std::{io, path::PathBuf, process::Command};

/// What is measured, beside whom, and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which tests
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Test::ALL)]
    tests: Vec<Test>,
    /// Beside whom
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    peers: Vec<Kind>,
    /// How often; medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How long each time
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Objects of the memory test
    #[arg(long, default_value_t = 200_000)]
    objects: u32,
    /// The release binary of nigh, instead of one that cargo builds now
    #[arg(long, value_name = "PATH")]
    nigh: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// One question that is put to all peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Test {
    /// Hits of 1 KiB, 64 connections
    #[value(name = "hit-1k")]
    Hit1k,
    /// Hits of 10 KiB, 64 connections
    #[value(name = "hit-10k")]
    Hit10k,
    /// Hits of 100 KiB, 64 connections
    #[value(name = "hit-100k")]
    Hit100k,
    /// Hits of 10 MiB, 8 connections
    #[value(name = "hit-10m")]
    Hit10m,
    /// Hits of 1 KiB at a rate that all keep up with: 64 connections, 320 requests a second on each
    #[value(name = "steady-1k")]
    Steady1k,
    /// Hits of 10 KiB at that rate
    #[value(name = "steady-10k")]
    Steady10k,
    /// Misses: 1 KiB, each key once, 64 connections
    Miss,
    /// HTTP/2 over TLS, hits of 1 KiB, 64 clients of 10 streams
    #[value(name = "h2-10")]
    Http2Many,
    /// HTTP/2 over TLS, hits of 1 KiB, 64 clients of one stream
    #[value(name = "h2-1")]
    Http2One,
    /// 200 clients at once on one cold object that the origin takes a second for
    Collapse,
    /// Bytes of memory for each of many objects of 1 KiB
    Memory,
}

impl Test {
    /// In the order of the report.
    const ALL: [Self; 11] = [
        Self::Hit1k,
        Self::Hit10k,
        Self::Hit100k,
        Self::Hit10m,
        Self::Steady1k,
        Self::Steady10k,
        Self::Miss,
        Self::Http2Many,
        Self::Http2One,
        Self::Collapse,
        Self::Memory,
    ];

    /// The name on the command line.
    fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self).expect("no test is hidden");
        value.get_name().to_owned()
    }

    /// The load, and the path that it asks for, if the test is of that kind.
    fn load(self) -> Option<(Load, &'static str)> {
        match self {
            Self::Hit1k => Some((Load::Http1 { connections: CONNECTIONS }, "/o/1k")),
            Self::Hit10k => Some((Load::Http1 { connections: CONNECTIONS }, "/o/10k")),
            Self::Hit100k => Some((Load::Http1 { connections: CONNECTIONS }, "/o/100k")),
            Self::Hit10m => Some((Load::Http1 { connections: CONNECTIONS_BULK }, "/o/10m")),
            Self::Steady1k => Some((STEADY, "/o/1k")),
            Self::Steady10k => Some((STEADY, "/o/10k")),
            Self::Miss => {
                let script = include_str!("../lua/distinct.lua");
                let argument = String::new();
                Some((Load::Scripted { connections: CONNECTIONS, script, argument }, "/"))
            }
            Self::Http2Many => {
                Some((Load::Http2 { connections: CONNECTIONS, streams: 10 }, "/o/1k"))
            }
            Self::Http2One => Some((Load::Http2 { connections: CONNECTIONS, streams: 1 }, "/o/1k")),
            Self::Collapse | Self::Memory => None,
        }
    }

    fn needs_tls(self) -> bool {
        matches!(self, Self::Http2Many | Self::Http2One)
    }
}

const CONNECTIONS: usize = 64;
const CONNECTIONS_BULK: usize = 8;
/// About a third of what nginx serves here: latency under a load that saturates neither the peer nor
/// the client that measures.
const STEADY: Load = Load::Steady { connections: CONNECTIONS, each_per_second: 320 };
/// Peers have this core to themselves.
const PEER_CORE: usize = 0;
/// Load and origin share this one.
const LOAD_CORE: usize = 1;

/// What every measurement starts: Debian's essential packages bring these.
const TOOLS: [Program; 4] = [
    Program { name: "setsid", package: "util-linux" },
    Program { name: "setpriv", package: "util-linux" },
    Program { name: "taskset", package: "util-linux" },
    Program { name: "kill", package: "procps" },
];
const NGINX: Program = Program { name: "nginx", package: "nginx" };

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The machine is not ready.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// A peer or the origin does not serve.
    #[error(transparent)]
    Peer(#[from] peer::Error),
    /// The load gave no figures for a peer.
    #[error("no load on {0}")]
    Load(Kind, #[source] load::Error),
    /// A peer or the origin does not answer us.
    #[error("{0} does not answer")]
    Silent(String, #[source] io::Error),
}

/// What a test found out about one peer.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// One sample for each run.
    Rate(Vec<rate::Sample>),
    /// Collapsing.
    Collapse(Vec<collapse::Try>),
    /// Memory.
    Memory(memory::Fill),
    /// It does not serve, and why.
    Failed(String),
}

/// One test, with a finding for each peer that takes part.
pub(crate) type Row = (Test, Vec<(Kind, Finding)>);

/// Measures, and returns what is to be printed.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    let mut programs = vec![load::WRK, load::H2LOAD, NGINX];
    programs.extend(TOOLS);
    programs.extend(arguments.peers.iter().filter_map(|peer| peer.program()));
    host::need(&programs)?;
    let nigh = if arguments.peers.contains(&Kind::Nigh) {
        host::nigh(arguments.nigh.as_deref())?
    } else {
        PathBuf::new()
    };
    host::watch_signals();
    pin_to_load_core();
    let scratch = Scratch::new()?;
    let [origin_port] =
        peer::free_ports().map_err(|error| Error::Silent("no port".to_owned(), error))?;
    let site = Site { scratch: &scratch, nigh: &nigh, core: PEER_CORE, origin_port };
    site.write_certificate()?;
    let origin = EdgeOrigin::start(&site, LOAD_CORE)?;
    let bench = Bench { arguments, site, origin };
    let results = arguments.tests.iter().map(|&test| Ok((test, bench.test(test)?)));
    let results: Vec<Row> = results.collect::<Result<_, Error>>()?;
    Ok(if arguments.json { report::json(&results) } else { report::text(&results) })
}

/// The threads of this process, and what they start, stay out of the peers' way.
fn pin_to_load_core() {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", &LOAD_CORE.to_string()]);
    // A machine with one core can be measured too, if not well.
    let _ = command.arg(std::process::id().to_string()).output();
}

/// What the tests share.
struct Bench<'a> {
    arguments: &'a Arguments,
    site: Site<'a>,
    origin: EdgeOrigin,
}

impl Bench<'_> {
    fn test(&self, test: Test) -> Result<Vec<(Kind, Finding)>, Error> {
        let able = |kind: &&Kind| kind.has_tls() || !test.needs_tls();
        let kinds: Vec<Kind> = self.arguments.peers.iter().filter(able).copied().collect();
        match test.load() {
            Some((load, path)) => self.rates(test, &kinds, &load, path),
            None => kinds.into_iter().map(|kind| Ok((kind, self.alone(test, kind)?))).collect(),
        }
    }

    /// All peers at once, asked in turn.
    fn rates(
        &self,
        test: Test,
        kinds: &[Kind],
        load: &Load,
        path: &str,
    ) -> Result<Vec<(Kind, Finding)>, Error> {
        let mut failed = Vec::new();
        let mut peers = Vec::new();
        for &kind in kinds {
            match self.start(kind)? {
                Ok(peer) => peers.push((peer, Vec::new())),
                Err(error) => failed.push((kind, Finding::Failed(error.to_string()))),
            }
        }
        for run in 0..self.arguments.runs {
            // Back and forth, so that nobody always comes first.
            peers.reverse();
            for (peer, samples) in &mut peers {
                let sample = self.sample(peer, load, path, run == 0)?;
                progress(&format!(
                    "{} {} of {}, {}: {:.2} CPU-s/100k, {:.0} req/s",
                    test.name(),
                    run + 1,
                    self.arguments.runs,
                    peer.kind,
                    sample.cpu_seconds_per_100k(),
                    sample.rate(),
                ));
                samples.push(sample);
            }
        }
        let measured = peers.into_iter().map(|(peer, samples)| (peer.kind, Finding::Rate(samples)));
        let mut findings: Vec<(Kind, Finding)> = measured.chain(failed).collect();
        findings.sort_by_key(|(kind, _)| *kind);
        Ok(findings)
    }

    /// One peer by itself.
    fn alone(&self, test: Test, kind: Kind) -> Result<Finding, Error> {
        let peer = match self.start(kind)? {
            Ok(peer) => peer,
            Err(error) => return Ok(Finding::Failed(error.to_string())),
        };
        progress(&format!("{}, {kind}", test.name()));
        let silent = |error| Error::Silent(kind.to_string(), error);
        let _turn = Turn::take()?;
        if test == Test::Collapse {
            let tries = (0..self.arguments.runs)
                .map(|number| collapse::attempt(&peer, &self.origin, number));
            return tries.collect::<io::Result<_>>().map(Finding::Collapse).map_err(silent);
        }
        let fill = memory::fill(&peer, &self.origin, self.arguments.objects);
        fill.map(Finding::Memory).map_err(silent)
    }

    fn start(&self, kind: Kind) -> Result<Result<Peer, peer::Error>, Error> {
        let _turn = Turn::take()?;
        Ok(Peer::start(kind, &self.site))
    }

    fn sample(
        &self,
        peer: &Peer,
        load: &Load,
        path: &str,
        first: bool,
    ) -> Result<rate::Sample, Error> {
        let _turn = Turn::take()?;
        let around = rate::Around {
            peer,
            origin: &self.origin,
            core: LOAD_CORE,
            scratch: &self.site.scratch.memory,
        };
        if first {
            around.warm_up(load, path)?;
        }
        around.sample(load, path, self.arguments.seconds)
    }
}
