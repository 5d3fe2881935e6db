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

mod bulk;
mod collapse;
mod goals;
mod load;
mod memory;
mod origin;
mod peer;
mod purge;
mod rate;
mod report;
mod set;
pub(crate) mod soak;
mod start;
mod test;

use crate::host::{self, Program, Scratch, Turn, progress};
use load::Load;
use origin::EdgeOrigin;
use peer::{Kind, Peer, Site};
pub(crate) use peer::{free_ports, nginx};
use std::{io, path::PathBuf, process::Command};
pub(crate) use test::Test;

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
    /// Objects that lie on the disk, or are stored, when starts and purges are measured
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(8..))]
    stored: u32,
    /// The release binary of nigh, instead of one that cargo builds now
    #[arg(long, value_name = "PATH")]
    nigh: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Peers have this core to themselves.
const PEER_CORE: usize = 0;
/// Load and origin share this one.
const LOAD_CORE: usize = 1;

/// What every measurement starts: Debian's essential packages bring these.
pub(crate) const TOOLS: [Program; 4] = [
    Program { name: "setsid", package: "util-linux" },
    Program { name: "setpriv", package: "util-linux" },
    Program { name: "taskset", package: "util-linux" },
    Program { name: "kill", package: "procps" },
];
pub(crate) const NGINX: Program = Program { name: "nginx", package: "nginx" };

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
    /// Starts.
    Start(start::Starts),
    /// Purges.
    Purge(Vec<purge::Pause>),
    /// It does not serve, and why.
    Failed(String),
}

/// One test, with a finding for each peer that takes part.
pub(crate) type Row = (Test, Vec<(Kind, Finding)>);

/// Measures, and returns what is to be printed.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    let mut programs = vec![load::WRK, load::H2LOAD, bulk::CURL, NGINX];
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
    let [origin_port] = free_ports().map_err(|error| Error::Silent("no port".to_owned(), error))?;
    let site = Site { scratch: &scratch, nigh: &nigh, core: PEER_CORE, origin_port };
    site.write_certificate()?;
    let origin = EdgeOrigin::start(&site, LOAD_CORE)?;
    if arguments.tests.iter().any(|test| test.needs_largest()) {
        origin.make_largest().map_err(|error| Error::Silent("origin".to_owned(), error))?;
    }
    let bench = Bench { arguments, site, origin };
    let results = arguments.tests.iter().map(|&test| Ok((test, bench.test(test)?)));
    let results: Vec<Row> = results.collect::<Result<_, Error>>()?;
    Ok(if arguments.json { report::json(&results) } else { report::text(&results) })
}

/// The threads of this process, and what they start, stay out of the peers' way.
pub(crate) fn pin_to_load_core() {
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
        let takes_part = |kind: &Kind| test.takes(*kind);
        let kinds: Vec<Kind> = self.arguments.peers.iter().copied().filter(takes_part).collect();
        match test.load() {
            Some(load) => self.rates(test, &kinds, &load),
            None => kinds.into_iter().map(|kind| Ok((kind, self.alone(test, kind)?))).collect(),
        }
    }

    /// All peers at once, asked in turn.
    fn rates(
        &self,
        test: Test,
        kinds: &[Kind],
        load: &Load,
    ) -> Result<Vec<(Kind, Finding)>, Error> {
        let mut failed = Vec::new();
        let mut peers = Vec::new();
        for &kind in kinds {
            match self.start(kind, test)? {
                Ok(peer) => peers.push((peer, Vec::new())),
                Err(error) => failed.push((kind, Finding::Failed(error.to_string()))),
            }
        }
        for run in 0..self.arguments.runs {
            // Back and forth, so that nobody always comes first.
            peers.reverse();
            for (peer, samples) in &mut peers {
                let sample = self.sample(test, peer, load, run == 0)?;
                progress(&format!(
                    "{} {} of {}, {}: {:.2} CPU-s/100k, {:.2} CPU-s/GiB, {:.0} req/s",
                    test.name(),
                    run + 1,
                    self.arguments.runs,
                    peer.kind,
                    sample.cpu_seconds_per_100k(),
                    sample.cpu_seconds_per_gib(),
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
        let mut peer = match self.start(kind, test)? {
            Ok(peer) => peer,
            Err(error) => return Ok(Finding::Failed(error.to_string())),
        };
        progress(&format!("{}, {kind}", test.name()));
        let silent = |error| Error::Silent(kind.to_string(), error);
        let _turn = Turn::take()?;
        let Arguments { runs, objects, stored, .. } = *self.arguments;
        Ok(match test {
            Test::Collapse => {
                let tries = (0..runs).map(|number| collapse::attempt(&peer, &self.origin, number));
                Finding::Collapse(tries.collect::<io::Result<_>>().map_err(silent)?)
            }
            Test::Start => {
                Finding::Start(start::measure(&mut peer, &self.site, LOAD_CORE, stored, runs)?)
            }
            Test::Purge => Finding::Purge(purge::measure(&peer, stored).map_err(silent)?),
            _ => Finding::Memory(memory::fill(&peer, &self.origin, objects).map_err(silent)?),
        })
    }

    fn start(&self, kind: Kind, test: Test) -> Result<Result<Peer, peer::Error>, Error> {
        let _turn = Turn::take()?;
        Ok(Peer::start(kind, &self.site, test.keeping()))
    }

    fn sample(
        &self,
        test: Test,
        peer: &Peer,
        load: &Load,
        first: bool,
    ) -> Result<rate::Sample, Error> {
        let _turn = Turn::take()?;
        let around = rate::Around {
            peer,
            origin: &self.origin,
            core: LOAD_CORE,
            scratch: &self.site.scratch.memory,
            cold: test.is_cold(),
        };
        if first {
            around.warm_up(load)?;
        }
        around.sample(load, self.arguments.seconds)
    }
}
