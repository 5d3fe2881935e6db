//! How many questions one node of BitTorrent's DHT answers on one core: nigh beside libtorrent and the crate
//! mainline. `cargo xtask bench dht`.
//!
//! ```text
//! core 0   the node that is measured, its limits lifted
//! core 1   250 other nodes, through which it comes in and which fill its table, and the questions: eight
//!          askers with sixteen questions under way each
//! ```
//! All of it is in a network namespace of its own, since programs refuse 127.0.0.0/8: a network of
//! 198.18.0.0/15 (RFC 2544), in which every address is this machine's.

mod crowd;
mod load;

use std::{
    env, fs, io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use self::{
    crowd::Crowd,
    load::{Question, answers},
};
use crate::{
    host::{self, Program, Scratch, Turn, check_interrupt, progress},
    markdown::Table,
    process::{Place, Process, cpu_seconds},
};

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Whom
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Peer::Nigh, Peer::Libtorrent, Peer::Mainline])]
    peers: Vec<Peer>,
    /// How often each is measured, in turn with the others; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each kind of question in a round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// nigh's release binary, instead of building it
    #[arg(long, value_name = "PATH")]
    nigh: Option<PathBuf>,
    /// The node of the crate mainline, a release build of tests/foreign/mainline, instead of building it
    #[arg(long, value_name = "PATH")]
    mainline: Option<PathBuf>,
}

/// Whose node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    Nigh,
    /// Debian's python3-libtorrent, with its limits lifted
    Libtorrent,
    /// The crate mainline 8, in server mode
    Mainline,
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::Nigh => "nigh",
            Self::Libtorrent => "libtorrent",
            Self::Mainline => "mainline",
        }
    }
}

/// Where the measured node is.
const NODE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 10), 6881);
/// How long a node has to come in and to name others.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Which cores.
const NODE_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// Set in the namespace.
const INSIDE: &str = "NIGH_BENCH_DHT_INSIDE";
const SYSTEM_PYTHON: &str = "/usr/bin/python3";
const LIBTORRENT: &str = include_str!("../py/libtorrent_dht.py");
const PROGRAMS: [Program; 2] = [
    Program { name: "unshare", package: "util-linux" },
    Program { name: "ip", package: "iproute2" },
];

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The machine is not ready.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// A socket, a process or a file cannot be had.
    #[error("the network of the measurement cannot be had")]
    System(#[from] io::Error),
    /// The measurement in its namespace ended so.
    #[error("the measurement ended with {0}")]
    Inside(ExitStatus),
    /// A node does not come in.
    #[error("{0} names no other nodes after {READY_LIMIT:?}; it said: {1}")]
    NotReady(&'static str, String),
}

/// What one kind of question to one peer gave.
#[derive(Default)]
struct Measured {
    a_second: Vec<f64>,
    cpu_us: Vec<f64>,
    bytes: f64,
    lost: u64,
}

/// Measures, and returns what is to be printed.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    host::need(&PROGRAMS)?;
    if env::var_os(INSIDE).is_none() {
        return inside(arguments);
    }
    let wanted = |program: &str, words: &[&str]| -> Result<(), Error> {
        let status = Command::new(program).args(words).stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(Error::Inside(status)) }
    };
    wanted("ip", &["link", "set", "lo", "up"])?;
    wanted("ip", &["route", "add", "local", "198.18.0.0/15", "dev", "lo"])?;
    let _turn = Turn::take()?;
    let scratch = Scratch::new()?;
    let programs = Programs::find(arguments)?;
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(LOAD_CORE);
    rustix::thread::sched_setaffinity(None, &cores).map_err(io::Error::from)?;
    let mut measured: Vec<[Measured; 3]> =
        arguments.peers.iter().map(|_| Default::default()).collect();
    for round in 1..=arguments.rounds {
        for (peer, measured) in arguments.peers.iter().zip(&mut measured) {
            check_interrupt()?;
            progress(&format!("dht: round {round}, {}", peer.name()));
            measure(*peer, arguments, &programs, &scratch, measured)?;
        }
    }
    Ok(report(&arguments.peers, &measured))
}

/// The nodes that are programs of their own.
struct Programs {
    nigh: PathBuf,
    /// If that peer is measured.
    mainline: Option<PathBuf>,
}

impl Programs {
    fn find(arguments: &Arguments) -> Result<Self, Error> {
        let nigh = host::nigh(arguments.nigh.as_deref())?;
        let is_wanted = arguments.peers.contains(&Peer::Mainline);
        let find = || host::mainline(arguments.mainline.as_deref());
        Ok(Self { nigh, mainline: is_wanted.then(find).transpose()? })
    }
}

/// The same once more, in a network of its own.
fn inside(arguments: &Arguments) -> Result<String, Error> {
    // Built before it is measured, and out here, where there is a network.
    let programs = Programs::find(arguments)?;
    let mut command = Command::new("unshare");
    if host::is_root() {
        command.arg("--net");
    } else {
        command.args(["--user", "--map-root-user", "--net"]);
    }
    command.arg(host::myself()?).args(env::args_os().skip(1)).env(INSIDE, "1");
    if arguments.nigh.is_none() {
        command.arg("--nigh").arg(programs.nigh);
    }
    if let (None, Some(mainline)) = (&arguments.mainline, programs.mainline) {
        command.arg("--mainline").arg(mainline);
    }
    let status = command.status()?;
    if status.success() { Ok(String::new()) } else { Err(Error::Inside(status)) }
}

fn measure(
    peer: Peer,
    arguments: &Arguments,
    programs: &Programs,
    scratch: &Scratch,
    measured: &mut [Measured; 3],
) -> Result<(), Error> {
    let crowd = Crowd::start()?;
    let place = Place::core(NODE_CORE);
    let (node, via) = (NODE.to_string(), crowd.first().to_string());
    let command = match peer {
        Peer::Nigh => {
            let mut command = place.command(&programs.nigh);
            command.args(["node", "--overlay", "kademlia", "--questions", "0", "--listen", &node]);
            command.args(["--join", &via]);
            command
        }
        Peer::Libtorrent => {
            let script = scratch.files.join("libtorrent_dht.py");
            fs::write(&script, LIBTORRENT)?;
            let mut command = place.command(SYSTEM_PYTHON);
            command.arg(script).args([&node, &via]);
            command
        }
        Peer::Mainline => {
            let program = programs.mainline.as_ref().expect("it is found for this peer");
            let mut command = place.command(program);
            command.args(["serve", &node, &via]);
            command
        }
    };
    let log = scratch.files.join("node.log");
    let mut process = Process::start(command, &log)?;
    wait_until_ready()
        .map_err(|()| Error::NotReady(peer.name(), fs::read_to_string(&log).unwrap_or_default()))?;
    let pids = process.tree();
    for (question, measured) in Question::ALL.into_iter().zip(measured) {
        check_interrupt()?;
        let time = Duration::from_secs(arguments.seconds.into());
        let answered = answers(question, NODE, time, || cpu_seconds(&pids))?;
        measured.a_second.push(answered.count as f64 / answered.took.as_secs_f64());
        measured.cpu_us.push(answered.cpu * 1e6 / answered.count.max(1) as f64);
        measured.bytes = answered.bytes as f64 / answered.count.max(1) as f64;
        measured.lost += answered.lost;
    }
    process.stop();
    Ok(())
}

/// Waits until the node names others.
fn wait_until_ready() -> Result<(), ()> {
    let asker = UdpSocket::bind((Ipv4Addr::new(198, 19, 1, 1), 0)).map_err(|_| ())?;
    asker.set_read_timeout(Some(Duration::from_millis(200))).map_err(|_| ())?;
    let (deadline, mut number) = (Instant::now() + READY_LIMIT, 0);
    let mut buffer = [0; 2048];
    while Instant::now() < deadline {
        number += 1;
        // Before it listens, nobody is there.
        drop(asker.send_to(&Question::FindNode.bytes(number, 1), NODE));
        while let Ok((length, _)) = asker.recv_from(&mut buffer) {
            if load::names_eight(&buffer[..length]) {
                return Ok(());
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(())
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn report(peers: &[Peer], measured: &[[Measured; 3]]) -> String {
    let mut text = String::new();
    for (number, question) in Question::ALL.into_iter().enumerate() {
        let least = |it: &[f64]| it.iter().copied().fold(f64::INFINITY, f64::min);
        let most = |it: &[f64]| it.iter().copied().fold(0.0, f64::max);
        let headings =
            [question.name(), "answers/s", "min-max", "CPU us", "bytes", "lost", "nigh's ratio"];
        let mut table = Table::new(headings);
        let ours = peers.iter().position(|it| *it == Peer::Nigh);
        let ours = ours.map(|place| median(&measured[place][number].a_second));
        for (peer, measured) in peers.iter().zip(measured) {
            let Measured { a_second, cpu_us, bytes, lost } = &measured[number];
            let theirs = median(a_second);
            table.row(vec![
                peer.name().to_owned(),
                format!("{theirs:.0}"),
                format!("{:.0}-{:.0}", least(a_second), most(a_second)),
                format!("{:.2}", median(cpu_us)),
                format!("{bytes:.0}"),
                lost.to_string(),
                ours.map_or_else(|| "-".to_owned(), |ours| format!("{:.2}", ours / theirs)),
            ]);
        }
        text += &table.text();
        text.push('\n');
    }
    text += "goal: nigh's ratio above 1.00 everywhere\n";
    text
}
