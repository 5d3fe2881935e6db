//! How long a lookup in Kademlia takes if nodes pass it on in place of being asked one after the other, and
//! if near nodes are preferred: Heep, "R/Kademlia: Recursive and topology-aware overlay routing", ATNAC 2010.
//!
//! Ways over settled tables of nodes at made-up places; no node of it fails. The mainline DHT has iterative
//! lookups alone (BEP 5 has no question that a node passes on): what is walked here is the plain protocol.
//!
//! ```text
//! network  where nodes lie, and whom each knows
//! walk     the way of one lookup
//! theory   how many hops it should take
//! ```

mod network;
mod theory;
mod verdicts;
mod walk;

use std::{sync::Arc, time::Duration};

use nigh_base::Rng;
use nigh_sim::{Latency, Places};

use self::network::{Neighbours, Network};
use crate::{
    Axis, Chart, Choice, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    parallel,
    sample::Sample,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "kademlia-latency",
    shows: "How long lookups of a Kademlia network take: iterative and recursive, with near nodes and without",
    source: "Heep: R/Kademlia: Recursive and topology-aware overlay routing, ATNAC 2010 (abstract); \
             Maymounkov, Mazières: Kademlia, IPTPS 2002",
    takes: &[Choice::RoundTrips],
    run,
};

const NODES: u64 = 10_000;
const FEWEST_NODES: u64 = 100;
const MOST_NODES: u64 = 20_000;
/// Lookups of each kind.
const LOOKUPS: usize = 20_000;
/// Nodes of a bucket: k.
const BUCKET: usize = 8;
/// A place of a bucket goes to the nearest of so many.
const CANDIDATES: usize = 16;
/// Questions at once: alpha.
const PARALLEL: [usize; 2] = [1, 3];
/// The mean one-way latency of made-up places, as in `chord-latency`.
const MEAN_ONE_WAY: Duration = Duration::from_millis(70);

/// Who asks whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routing {
    /// The asker asks each node on the way.
    Iterative,
    /// Each node passes the question on, and the owner answers the asker.
    Recursive,
}

/// Which node is next, of those that share more bits with the key than whoever chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The nearest to the key by XOR.
    Xor,
    /// The nearest by round trip of those that share the most bits with the key.
    NearOfBest,
    /// The nearest by round trip of all.
    NearOfAll,
}

/// How lookups go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    routing: Routing,
    neighbours: Neighbours,
    next: Next,
    parallel: usize,
}

/// What was found.
#[derive(Clone, Debug)]
struct Found {
    way: Way,
    /// Of each lookup.
    hops: Vec<u32>,
    /// Milliseconds of each lookup.
    took: Sample,
    /// Milliseconds of a round trip between asker and owner.
    direct: Sample,
    /// How long a datagram took on average from the asker to nodes that were drawn, in milliseconds.
    one_way: f64,
    /// Lookups that ended at another than the owner.
    wrong: u64,
}

fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for routing in [Routing::Iterative, Routing::Recursive] {
        for neighbours in [Neighbours::Any, Neighbours::Near] {
            for next in [Next::Xor, Next::NearOfBest, Next::NearOfAll] {
                ways.extend(PARALLEL.map(|parallel| Way { routing, neighbours, next, parallel }));
            }
        }
    }
    ways
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let rng = Rng::new(options.seed);
    let latency = match &options.round_trips {
        Some(round_trips) => Latency::Measured(Arc::clone(&round_trips.matrix)),
        None => {
            let places = Places::spread(of(nodes), MEAN_ONE_WAY, &mut rng.fork(0));
            Latency::Placed(Arc::new(places))
        }
    };
    let kinds = [Neighbours::Any, Neighbours::Near];
    let networks: Vec<Network> = parallel::map(
        kinds.len(),
        |place| Network::new(of(nodes), kinds[place], &latency, &mut rng.fork(1)),
        |_| (),
    );
    let ways = ways();
    let found = parallel::map(
        ways.len(),
        |place| {
            let way = ways[place];
            let network = networks.iter().find(|it| it.neighbours == way.neighbours);
            // The same keys at the same nodes for all.
            look_up(network.expect("one of each kind"), way, &mut rng.fork(2))
        },
        |done| {
            let text = format!("{done} of {} kinds of lookups", ways.len());
            told(Progress { done: share(done, ways.len()), text });
        },
    );
    let report = Report::new(&EXPERIMENT, options, setup(nodes, options), vec![table(&found)]);
    let charts = PARALLEL.into_iter().map(|parallel| chart(parallel, &found)).collect();
    let claims = verdicts::claims(nodes, &found);
    Ok(Report { charts, claims, ..report })
}

fn of(nodes: u64) -> usize {
    usize::try_from(nodes).expect("the limits are small")
}

fn look_up(network: &Network, way: Way, rng: &mut Rng) -> Found {
    let (mut hops, mut took, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    let (mut wrong, mut one_way) = (0, Duration::ZERO);
    for _ in 0..LOOKUPS {
        let from = rng.index(network.len());
        let target = network::place(rng);
        let other = rng.index(network.len());
        one_way += network.between(from, other);
        let owner = network.owner(target);
        if owner == from {
            // It knows that without asking anybody.
            continue;
        }
        let end = walk::walk(network, way, from, target);
        wrong += u64::from(end.node != owner);
        hops.push(end.hops);
        took.push(millis(end.at));
        direct.push(millis(network.between(from, owner) + network.between(owner, from)));
    }
    let one_way = millis(one_way) / share(LOOKUPS, 1);
    Found { way, hops, took: Sample::new(took), direct: Sample::new(direct), one_way, wrong }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

impl Way {
    fn name(self) -> String {
        let routing = match self.routing {
            Routing::Iterative => "iterative",
            Routing::Recursive => "recursive",
        };
        let neighbours = match self.neighbours {
            Neighbours::Any => "",
            Neighbours::Near => ", near neighbours",
        };
        let next = match self.next {
            Next::Xor => "",
            Next::NearOfBest => ", near of the best",
            Next::NearOfAll => ", near of all",
        };
        format!("{routing}{neighbours}{next}")
    }
}

impl Found {
    fn mean_hops(&self) -> f64 {
        let sum: u32 = self.hops.iter().sum();
        f64::from(sum) / share(self.hops.len(), 1)
    }

    /// The mean lookup beside the mean round trip.
    fn stretch(&self) -> f64 {
        self.took.mean() / self.direct.mean()
    }
}

fn setup(nodes: u64, options: &Options) -> String {
    let hosts = match &options.round_trips {
        None => format!(
            "at made-up places: points on a square whose edges meet and a line of its own for each host, \
             {} ms one way on average",
            MEAN_ONE_WAY.as_millis()
        ),
        Some(round_trips) => {
            format!("with the round trips of {}, a node for each row in turn", round_trips.name)
        }
    };
    format!(
        "{} nodes {hosts}. Tables are settled: for each number of bits that others share with a node it \
         knows {BUCKET} of them, or all if there are no more, drawn; with near neighbours each of the {BUCKET} \
         is the nearest of {CANDIDATES} that are drawn. {} random keys are looked up by random nodes, the same \
         for all kinds. A lookup ends when the answer of the owner has come, the one node nearest by XOR. \
         Iterative: the asker asks the nearest by XOR that it has heard of and not asked, up to alpha at once; \
         each names the {BUCKET} nearest that it knows. Recursive: each node passes the question on to the \
         nearest that it knows, the owner answers the asker; with alpha the asker sends so many on their way, \
and the first answer counts. Near of the best: of those that share the most bits with the key, \
         the next is the nearest by round trip; near of all: of all that share more than whoever \
         chooses; in both until a bucket is not full, which holds the owner then. Iterative askers are \
         taken to know how far away those are who are named to them, as from coordinates. No node fails and no upkeep is made; the paper has churn, and only \
         its abstract was read. BitTorrent's DHT has no recursive lookups (BEP 5): this is the plain \
         protocol.",
        Cell::count(nodes),
        Cell::count(LOOKUPS as u64),
    )
}

fn table(found: &[Found]) -> Table {
    let mut table = Table::new(vec![
        Column::new("lookups", ""),
        Column::new("alpha", ""),
        Column::new("hops", "nodes"),
        Column::new("mean", "ms"),
        Column::new("median", "ms"),
        Column::new("p90", "ms"),
        Column::new("direct mean", "ms"),
        Column::new("mean/direct", ""),
        Column::new("wrong", ""),
    ]);
    for found in found {
        table.row(vec![
            Cell::text(found.way.name()),
            Cell::count(found.way.parallel as u64),
            Cell::number(found.mean_hops(), 2),
            Cell::number(found.took.mean(), 0),
            Cell::number(found.took.median(), 0),
            Cell::number(found.took.percentile(90.0), 0),
            Cell::number(found.direct.mean(), 0),
            Cell::number(found.stretch(), 2),
            Cell::count(found.wrong),
        ]);
    }
    table
}

fn chart(parallel: usize, found: &[Found]) -> Chart {
    let mut chart = Chart::new(
        format!("Lookups and direct round trips, alpha = {parallel}"),
        Axis::new("milliseconds", Scale::Linear),
        Axis::new("share that is done by then", Scale::Linear),
    );
    let points = |of: &Sample| -> Vec<(f64, f64)> {
        (0..50).map(|it| f64::from(2 * it)).map(|it| (of.percentile(it), it / 100.0)).collect()
    };
    chart.series.push(Series::new("direct", Style::Line, points(&found[0].direct)));
    for found in found.iter().filter(|it| it.way.parallel == parallel) {
        // The other ways to choose are in the table.
        if found.way.next == Next::Xor {
            chart.series.push(Series::new(found.way.name(), Style::Line, points(&found.took)));
        }
    }
    chart
}

#[cfg(test)]
mod tests;
