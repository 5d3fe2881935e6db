//! A page of small objects, and one large object, over round trips as long as between continents.
//!
//! ```text
//! client --- near, 10 ms --- edge (nigh) --- far, 40 or 150 ms --- site (origin, and nigh before it)
//!    '---------------------- far, 40 or 150 ms ----------------------'
//! ```
//!
//! Each of the three has a network namespace of its own. The links between them are ours
//! (`link`): they delay, and they carry so many bits a second, but they lose nothing.
//! "Direct" is a fetch from the site's own server, which has everything in its memory; "cold" is
//! one by way of an edge that has nothing; "cached" is the same again. The client opens new
//! connections each time. Beside each figure stands what arithmetic allows (`floor`).

pub(crate) mod client;
mod floor;
mod link;
mod network;
mod plot;
mod report;
pub(crate) mod site;

use crate::{
    host::{self, Program, Scratch, Turn, progress},
    process::{Place, Process},
};
use client::{Goods, Strategy};
use network::Network;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How far, how often, how fast.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Round trips between the client and the site, in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [40, 150], value_name = "MS")]
    rtt: Vec<u32>,
    /// Round trip between the client and the edge
    #[arg(long, default_value_t = 10, value_name = "MS")]
    near: u32,
    /// What a link carries in a second
    #[arg(long, default_value_t = 100, value_name = "MBIT")]
    mbit: u32,
    /// How often; medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The release binary of nigh, instead of one that cargo builds now
    #[arg(long, value_name = "PATH")]
    nigh: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Also draw the figures into this file
    #[arg(long, value_name = "PATH")]
    svg: Option<PathBuf>,
}

/// Where the content comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The site's own server, far away.
    Direct,
    /// An edge near the client, with nothing in its memory.
    Cold,
    /// The same edge, a moment later.
    Cached,
}

impl Source {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Cold, Self::Cached];

    /// In one word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Cold => "cold",
            Self::Cached => "cached",
        }
    }
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) rtt: Duration,
    pub(crate) goods: Goods,
    pub(crate) strategy: Strategy,
    pub(crate) source: Source,
    /// The median.
    pub(crate) took: Duration,
    /// What arithmetic allows.
    pub(crate) floor: Duration,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The machine is not ready.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// No namespaces, or no links between them.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A server cannot be run.
    #[error("{0} cannot be started")]
    Unstarted(&'static str, #[source] io::Error),
    /// It does not listen.
    #[error("{name} does not serve; it said: {said}")]
    Silent {
        /// Who.
        name: &'static str,
        /// Its log.
        said: String,
    },
    /// The client got less than the whole.
    #[error("the client failed with {strategy}: {said}")]
    Unfetched {
        /// What it was told to do.
        strategy: String,
        /// What it said.
        said: String,
    },
    /// The picture cannot be written.
    #[error("{0} cannot be written")]
    Unwritten(PathBuf, #[source] io::Error),
}

const PROGRAMS: [Program; 7] = [
    Program { name: "ip", package: "iproute2" },
    Program { name: "unshare", package: "util-linux" },
    Program { name: "nsenter", package: "util-linux" },
    Program { name: "setsid", package: "util-linux" },
    Program { name: "setpriv", package: "util-linux" },
    Program { name: "taskset", package: "util-linux" },
    Program { name: "kill", package: "procps" },
];

const PORT: u16 = 80;
const ORIGIN_PORT: u16 = 8080;
const START_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
const CLIENT_CORE: usize = 1;
const SERVER_CORE: usize = 0;

/// Measures, and returns what is to be printed.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    if !host::is_root() {
        return Err(host::Error::NotRoot("network namespaces and devices").into());
    }
    host::need(&PROGRAMS)?;
    let nigh = host::nigh(arguments.nigh.as_deref())?;
    host::watch_signals();
    let scratch = Scratch::new()?;
    let network = Network::new(u64::from(arguments.mbit) * 1_000_000)?;
    let lab = Lab { arguments, nigh: &nigh, scratch: &scratch, network };
    let figures = lab.measure()?;
    if let Some(path) = &arguments.svg {
        let unwritten = |error| Error::Unwritten(path.clone(), error);
        std::fs::write(path, plot::svg(&figures)).map_err(unwritten)?;
    }
    Ok(if arguments.json { report::json(&figures) } else { report::text(&figures) })
}

struct Lab<'a> {
    arguments: &'a Arguments,
    nigh: &'a Path,
    scratch: &'a Scratch,
    network: Network,
}

impl Lab<'_> {
    fn measure(&self) -> Result<Vec<Figure>, Error> {
        let origin = self.origin()?;
        let beside =
            self.nigh("site", self.network.site.pid(), (Ipv4Addr::LOCALHOST, ORIGIN_PORT))?;
        for goods in Goods::ALL {
            self.fetch(
                self.network.site.pid(),
                network::SITE_FROM_CLIENT,
                goods,
                Strategy::Persistent,
            )?;
        }
        let mut figures = Vec::new();
        for &rtt_ms in &self.arguments.rtt {
            let near = Duration::from_millis(self.arguments.near.into());
            let far = Duration::from_millis(rtt_ms.into());
            self.network.set_round_trips(near, far);
            let paths =
                floor::Paths { near, far, bits_per_second: self.arguments.mbit * 1_000_000 };
            for goods in Goods::ALL {
                for &strategy in goods.strategies() {
                    self.cells(goods, strategy, &paths, &mut figures)?;
                }
            }
        }
        drop((origin, beside));
        Ok(figures)
    }

    /// The figures of one strategy.
    fn cells(
        &self,
        goods: Goods,
        strategy: Strategy,
        paths: &floor::Paths,
        figures: &mut Vec<Figure>,
    ) -> Result<(), Error> {
        let mut took = [Vec::new(), Vec::new(), Vec::new()];
        for run in 1..=self.arguments.runs {
            let _turn = Turn::take()?;
            let client = self.network.client.pid();
            let edge =
                self.nigh("edge", self.network.edge.pid(), (network::SITE_FROM_EDGE, ORIGIN_PORT))?;
            for (source, took) in Source::ALL.into_iter().zip(&mut took) {
                let server = match source {
                    Source::Direct => network::SITE_FROM_CLIENT,
                    Source::Cold | Source::Cached => network::EDGE_FROM_CLIENT,
                };
                took.push(self.fetch(client, server, goods, strategy)?);
            }
            drop(edge);
            let last = took.each_ref().map(|took| took.last().copied().unwrap_or_default());
            progress(&format!(
                "{} ms, {}, {} of {}, {}: {:.0?}",
                paths.far.as_millis(),
                goods.name(),
                run,
                self.arguments.runs,
                strategy.name(),
                last,
            ));
        }
        for (source, mut took) in Source::ALL.into_iter().zip(took) {
            took.sort_unstable();
            figures.push(Figure {
                rtt: paths.far,
                goods,
                strategy,
                source,
                took: took[took.len() / 2],
                floor: paths.floor(source, goods, strategy),
            });
        }
        Ok(())
    }

    fn origin(&self) -> Result<Process, Error> {
        let place = Place { core: SERVER_CORE, network_of: Some(self.network.site.pid()) };
        let mut command = place.command(host::myself()?);
        command.args(["page-origin", "--listen", &format!("0.0.0.0:{ORIGIN_PORT}")]);
        self.start("origin", command, ORIGIN_PORT)
    }

    fn nigh(&self, name: &'static str, at: u32, to: (Ipv4Addr, u16)) -> Result<Process, Error> {
        let place = Place { core: SERVER_CORE, network_of: Some(at) };
        let mut command = place.command(self.nigh);
        command.arg("edge").arg("--to").arg(format!("http://{}", SocketAddr::from(to)));
        command.arg("--listen").arg(format!("http://0.0.0.0:{PORT}"));
        command.args(["--memory", "1GiB", "--workers", "1"]);
        self.start(name, command, PORT)
    }

    fn start(
        &self,
        name: &'static str,
        command: std::process::Command,
        port: u16,
    ) -> Result<Process, Error> {
        let log = self.scratch.files.join(format!("{name}.log"));
        let mut process =
            Process::start(command, &log).map_err(|error| Error::Unstarted(name, error))?;
        let deadline = Instant::now() + START_LIMIT;
        while process.is_running() && Instant::now() < deadline {
            if network::listens(process.pid(), port) {
                return Ok(process);
            }
            thread::sleep(POLL);
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        Err(Error::Silent { name, said: said.trim().to_owned() })
    }

    fn fetch(
        &self,
        at: u32,
        from: Ipv4Addr,
        goods: Goods,
        strategy: Strategy,
    ) -> Result<Duration, Error> {
        let place = Place { core: CLIENT_CORE, network_of: Some(at) };
        let output = place
            .command(host::myself()?)
            .args(["page-client", "--server", &SocketAddr::from((from, PORT)).to_string()])
            .args(["--goods", goods.name(), "--strategy", strategy.name()])
            .output()
            .map_err(|error| Error::Unstarted("client", error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let micros = text.trim().parse().map(Duration::from_micros);
        micros.map_err(|_| Error::Unfetched {
            strategy: strategy.name().to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
