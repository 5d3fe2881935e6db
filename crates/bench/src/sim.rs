//! How large a world the simulator carries: Chord rings, their lookups, and what each costs.
//!
//! A ring begins settled. Lookups begin at random nodes for random keys, evenly over ten virtual
//! seconds, while every node goes on with its upkeep each half minute on average, as in the paper.
//! Every answer is checked against the sorted list of nodes.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nigh_base::{Key, Rng, Time, space::clockwise::Circle};
use nigh_overlay::locate::{
    Command as Ask, Contact, Event, Ticket,
    chord::{Node, Routing, Settings, settled::Ring},
};
use nigh_sim::{HostId, Latency, Network, World};
use serde_json::{Value, json};

use crate::{host::progress, markdown::Table, process::own_cpu_seconds};

/// Which worlds.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Nodes of the rings
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000],
          value_parser = clap::value_parser!(u32).range(2..=16_000_000))]
    nodes: Vec<u32>,
    /// Lookups for each node
    #[arg(long, default_value_t = 10)]
    lookups: u32,
    /// Threads of the world
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// How lookups go: recursive, blind (recursive without word that a node has taken them over) or
    /// iterative
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Way::Blind, Way::Recursive])]
    routing: Vec<Way>,
    /// Successors that a node knows: about the logarithm of the nodes, as the paper wants it
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=32))]
    successors: u8,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The same work on SimGrid too (Debian's python3-simgrid), with so many nodes; each is a thread
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u32).range(2..=30_000))]
    simgrid: Option<u32>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Way {
    Blind,
    Recursive,
    Iterative,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Recursive => "recursive",
            Self::Iterative => "iterative",
        }
    }
}

/// One way of every datagram.
const LATENCY: Duration = Duration::from_millis(50);
/// Lookups begin within this time.
const SPAN: Duration = Duration::from_secs(10);
/// Asked for and counted in so many pieces, so that neither piles up.
const PIECES: u32 = 200;
/// How long answers may still come: forty hops.
const REST: Duration = Duration::from_secs(2);
/// Nodes that are built before they are handed to the world.
const BUILT_AT_ONCE: usize = 20_000;
const UPKEEP: Duration = Duration::from_secs(30);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system does not say what it must.
    #[error("the memory of this process, or a process for one ring, cannot be had")]
    System(#[from] std::io::Error),
    /// A ring was not measured.
    #[error("the process that measures a ring ended without figures")]
    Silent,
    /// SimGrid was not measured.
    #[error(
        "SimGrid gave no figures: install python3-simgrid, or ask for fewer nodes; it said: {0}"
    )]
    SimGrid(String),
}

/// Measures, and returns what is to be printed. Each ring has a process of its own, so that its
/// memory is not what another one left.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    if let ([nodes], [way], true) = (&arguments.nodes[..], &arguments.routing[..], arguments.json) {
        return Ok(format!("{:#}\n", json!({ "rings": [measure(*nodes, *way, arguments)?] })));
    }
    let mut rings = Vec::new();
    for nodes in &arguments.nodes {
        for way in &arguments.routing {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["sim", "--json", "--nodes", &nodes.to_string(), "--routing", way.name()]);
            for (flag, value) in [
                ("--lookups", arguments.lookups.to_string()),
                ("--threads", arguments.threads.to_string()),
                ("--successors", arguments.successors.to_string()),
                ("--seed", arguments.seed.to_string()),
            ] {
                command.arg(flag).arg(value);
            }
            let output = command.stderr(Stdio::inherit()).output()?;
            let document: Value =
                serde_json::from_slice(&output.stdout).map_err(|_| Error::Silent)?;
            rings.push(document["rings"][0].clone());
        }
    }
    if let Some(nodes) = arguments.simgrid {
        rings.push(simgrid(nodes, arguments.lookups)?);
    }
    let document = json!({ "rings": rings });
    Ok(if arguments.json { format!("{document:#}\n") } else { text(&rings) })
}

/// A ring in SimGrid, by its Python binding.
fn simgrid(nodes: u32, lookups: u32) -> Result<Value, Error> {
    let mut child = Command::new(SYSTEM_PYTHON)
        .args(["-", &nodes.to_string(), &lookups.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut script) = child.stdin.take() {
        script.write_all(include_bytes!("../py/simgrid_chord.py"))?;
    }
    let output = child.wait_with_output()?;
    let mut ring: Value = serde_json::from_slice(&output.stdout).map_err(|_| {
        let text = String::from_utf8_lossy(&output.stderr);
        Error::SimGrid(text.lines().last().unwrap_or_default().to_owned())
    })?;
    ring["routing"] = "SimGrid, Python".into();
    Ok(ring)
}

/// Debian's packages are for Debian's own Python, whichever else comes first.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// One ring.
fn measure(nodes: u32, way: Way, arguments: &Arguments) -> Result<Value, Error> {
    let before = resident_bytes()?;
    let started = Instant::now();
    let settings = Arc::new(Settings {
        successors: arguments.successors.into(),
        copies: 1,
        routing: match way {
            Way::Blind => Routing::Blind,
            Way::Recursive => Routing::Recursive,
            Way::Iterative => Routing::Iterative,
        },
        stabilise_every: UPKEEP,
        ..Settings::default()
    });
    let contact = |number| {
        let address = HostId(number).address();
        Contact { key: Key::of(address.to_string().as_bytes()), address }
    };
    let ring = Ring::new(Arc::clone(&settings), (0..nodes).map(contact).collect());
    let network = Network::new(Latency::Constant(LATENCY));
    let mut world: World<Node> = World::on_threads(arguments.seed, network, arguments.threads);
    let mut rng = Rng::new(arguments.seed);
    let mut routing_bytes = 0;
    let rounds: Vec<Time> =
        (0..nodes).map(|_| Time::START.after(rng.between(Duration::ZERO, UPKEEP))).collect();
    let numbers: Vec<u32> = (0..nodes).collect();
    for some in numbers.chunks(BUILT_AT_ONCE) {
        let build = |some: &[u32]| -> Vec<Node> {
            let node = |&it: &u32| ring.node(contact(it), rounds[it as usize], |_| 0);
            some.iter().map(node).collect()
        };
        let share = some.len().div_ceil(arguments.threads as usize);
        let built: Vec<Vec<Node>> = thread::scope(|scope| {
            let parts: Vec<_> =
                some.chunks(share).map(|part| scope.spawn(move || build(part))).collect();
            parts.into_iter().map(|part| part.join().expect("nodes of a ring")).collect()
        });
        for node in built.into_iter().flatten() {
            routing_bytes += node.routing_bytes();
            world.add(node);
        }
    }
    drop((rounds, numbers));
    let judge = Judge::new(&ring);
    let build_seconds = started.elapsed().as_secs_f64();
    let count = f64::from(nodes);
    let built_bytes = (resident_bytes()? - before) / count;
    progress(&format!("{nodes} nodes built in {build_seconds:.1} s, {built_bytes:.0} bytes each"));

    let (started, cpu) = (Instant::now(), own_cpu_seconds());
    let lookups = u64::from(nodes) * u64::from(arguments.lookups);
    let (mut asked, mut right, mut hops) = (0, 0, 0u64);
    for piece in 1..=PIECES {
        let start = world.now();
        let piece_span = SPAN / PIECES;
        let upto = lookups * u64::from(piece) / u64::from(PIECES);
        while asked < upto {
            let at = start.after(rng.between(Duration::ZERO, piece_span));
            let host = HostId(u32::try_from(rng.below(nodes.into())).expect("a node's number"));
            let words = [(); 3].map(|()| rng.next_u64().to_be_bytes());
            let key = Key::new(words.as_flattened()[..Key::BYTES].try_into().expect("20 of 24"));
            let locate = Ask::Locate { ticket: Ticket(asked), key, trace: false };
            world.command_at(at, host, locate);
            asked += 1;
        }
        world.run_until(start.after(piece_span));
        judge.count(&mut world, &mut right, &mut hops);
    }
    let end = world.now().after(REST);
    world.run_until(end);
    judge.count(&mut world, &mut right, &mut hops);
    let run_seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = own_cpu_seconds() - cpu;
    let run_bytes = (resident_bytes()? - before) / count;
    progress(&format!("{nodes} nodes, {way:?}: {lookups} lookups in {run_seconds:.1} s"));
    let share = |sum: u64, of: u64| f64_of(sum) / f64_of(of.max(1));
    Ok(json!({
        "nodes": nodes,
        "routing": way.name(),
        "threads": arguments.threads,
        "build_s": build_seconds,
        "run_s": run_seconds,
        "cpu_s": cpu_seconds,
        "inputs": world.counts().inputs,
        "inputs_per_s": f64_of(world.counts().inputs) / run_seconds,
        "lookups": lookups,
        "lookups_per_s": f64_of(lookups) / run_seconds,
        "right": right,
        "mean_hops": share(hops, right),
        "bytes_per_node_built": built_bytes,
        "bytes_per_node": run_bytes,
        "routing_bytes_per_node": f64_of(routing_bytes as u64) / count,
    }))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
const fn f64_of(count: u64) -> f64 {
    count as f64
}

/// Knows who is responsible for which keys.
struct Judge<'a> {
    contacts: &'a [Contact],
    /// The place of each host's node on the circle.
    places: Vec<u32>,
}

impl<'a> Judge<'a> {
    fn new(ring: &'a Ring) -> Self {
        let contacts = ring.contacts();
        let mut places = vec![0; contacts.len()];
        for (contact, place) in contacts.iter().zip(0..) {
            let host = HostId::at(contact.address).expect("nodes are hosts");
            places[host.index()] = place;
        }
        Self { contacts, places }
    }

    fn count(&self, world: &mut World<Node>, right: &mut u64, hops_in_all: &mut u64) {
        for told in world.take_events() {
            let Event::Located { key, holders, hops, .. } = told.event else { continue };
            let Some(host) = holders.first().and_then(|it| HostId::at(it.address)) else {
                continue;
            };
            let place = self.places[host.index()] as usize;
            let before = (place + self.contacts.len() - 1) % self.contacts.len();
            let (after, upto) = (self.contacts[before].key, self.contacts[place].key);
            if Circle::WHOLE.within(key, after, upto) {
                *right += 1;
                *hops_in_all += u64::from(hops);
            }
        }
    }
}

/// What this process has in memory.
fn resident_bytes() -> Result<f64, std::io::Error> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().nth(1).and_then(|it| it.parse::<f64>().ok());
    Ok(pages.unwrap_or_default() * 4096.0)
}

fn text(rings: &[Value]) -> String {
    let mut table = Table::new([
        "nodes",
        "lookups go",
        "build s",
        "run s",
        "CPU s",
        "inputs/s",
        "lookups/s",
        "right",
        "hops",
        "bytes a node",
        "of it routing",
        "beyond",
    ]);
    for ring in rings {
        let number = |name: &str, digits: usize| {
            let value = ring[name].as_f64();
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let beyond = ring["routing_bytes_per_node"].as_f64().map_or_else(
            || "-".to_owned(),
            |routing| {
                format!("{:.0}", ring["bytes_per_node"].as_f64().unwrap_or_default() - routing)
            },
        );
        table.row(vec![
            number("nodes", 0),
            ring["routing"].as_str().unwrap_or_default().to_owned(),
            number("build_s", 1),
            number("run_s", 1),
            number("cpu_s", 1),
            number("inputs_per_s", 0),
            number("lookups_per_s", 0),
            format!("{} of {}", ring["right"], ring["lookups"]),
            number("mean_hops", 2),
            number("bytes_per_node", 0),
            number("routing_bytes_per_node", 0),
            beyond,
        ]);
    }
    table.text()
}
