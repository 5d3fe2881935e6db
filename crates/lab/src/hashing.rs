//! Who serves what: consistent hashing beside modulo, rendezvous and Maglev hashing, as `cluster` has
//! them.
//!
//! The claims are those of a lecture on caching networks, which sums up Karger and others (1997 and
//! 1999): about one percent moves when one of a hundred caches comes or goes; an overloaded cache
//! spills to its successor; bigger ones get more points; servers chosen by the client miss each URL
//! once each. Closed forms judge what has one.

mod addition;
mod capacities;
mod charts;
mod clients;
mod hot;
mod moves;
mod spread;
mod verdicts;

use std::sync::Arc;

use nigh_base::Rng;
use nigh_cluster::hashing::{
    Capacity, Edge, Edges, Maglev, Modulo, Placement, Rendezvous, Ring, Slots,
};

use crate::{Choice, Error, Experiment, Options, Progress, Report, Trace, table::Cell};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "hashing",
    shows: "Who serves what: what moves, how even it is, hot objects, unequal edges, an edge more",
    source: "Karger, Lehman, Leighton, Panigrahy, Levine, Lewin: Consistent Hashing and Random \
             Trees, STOC 1997; Karger and others: Web Caching with Consistent Hashing, WWW8, 1999, \
             as a lecture on content delivery sums them up; Mirrokni, Thorup, Zadimoghaddam: \
             Consistent Hashing with Bounded Loads, SODA 2018",
    takes: &[Choice::Traces],
    run,
};

/// The lecture's caches.
const EDGES: u64 = 100;
/// With fewer, one edge is so much that little can be told apart.
const FEWEST_EDGES: u64 = 20;
/// Rendezvous hashing asks each of them for each key.
const MOST_EDGES: u64 = 1_000;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Ring,
    Rendezvous,
    Maglev,
    Modulo,
}

/// From the hash of a key to the number of its edge.
type Owner = Box<dyn Fn(u64) -> usize>;

impl Way {
    const ALL: [Self; 4] = [Self::Ring, Self::Rendezvous, Self::Maglev, Self::Modulo];

    const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Rendezvous => "rendezvous",
            Self::Maglev => "Maglev",
            Self::Modulo => "modulo",
        }
    }

    /// Places these edges, of which there is one at least.
    fn place(self, edges: Edges) -> Owner {
        fn owner(placement: impl Placement + 'static) -> Owner {
            Box::new(move |hash| placement.owner(hash).expect("there are edges"))
        }
        match self {
            Self::Ring => owner(Ring::new(edges)),
            Self::Rendezvous => owner(Rendezvous::new(edges)),
            Self::Maglev => owner(Maglev::new(edges, Slots::Small)),
            Self::Modulo => owner(Modulo::new(edges)),
        }
    }
}

/// Ordinary edges. Another repetition has other names, and thus other places. Names sort as numbers
/// do, so an edge's number is the same in larger sets.
fn edges(count: usize, repetition: u64) -> Edges {
    let edge = |number| Edge { name: name(repetition, number), capacity: Capacity::ORDINARY };
    Edges::new((0..count).map(edge).collect()).expect("names differ, and edges are few")
}

fn name(repetition: u64, number: usize) -> String {
    format!("cluster {repetition}, edge {number:04}")
}

/// What all parts found.
#[derive(Debug)]
struct Found {
    moves: Vec<moves::Moved>,
    spread: Vec<spread::Spread>,
    hot: Vec<hot::Hot>,
    capacities: Vec<capacities::Shares>,
    clients: Vec<clients::Misses>,
    additions: Vec<addition::Addition>,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(EDGES, FEWEST_EDGES, MOST_EDGES)?;
    let edges = usize::try_from(nodes).expect("a thousand at most");
    let rng = Rng::new(options.seed);
    let mut done = 0.0;
    let mut tell = |text: &str| {
        told(Progress { done, text: text.to_owned() });
        done += 1.0 / 6.0;
    };
    tell("what moves");
    let moves = moves::find(edges, &rng.fork(1));
    tell("how even loads are");
    let spread = spread::find(edges);
    tell("a hot object");
    let hot = hot::find(edges, &rng.fork(2));
    tell("unequal capacities");
    let capacities = capacities::find(edges);
    tell("servers chosen by the client");
    let clients = clients::find(edges, &rng.fork(3));
    tell("an edge more");
    let drawn = [Arc::new(addition::drawn(&mut rng.fork(4)))];
    let traces: &[Arc<Trace>] = if options.traces.is_empty() { &drawn } else { &options.traces };
    let additions = addition::find(edges, traces);
    told(Progress { done: 1.0, text: "an edge more".to_owned() });
    let found = Found { moves, spread, hot, capacities, clients, additions };
    let tables = vec![
        moves::table(&found.moves),
        spread::table(&found.spread),
        hot::table(&found.hot),
        capacities::table(&found.capacities),
        clients::table(&found.clients),
        addition::table(&found.additions),
    ];
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes, &found), tables);
    report.charts = charts::charts(&found);
    report.claims = verdicts::claims(edges, &found);
    Ok(report)
}

#[expect(clippy::cast_precision_loss, reason = "what is counted here is far below 2^53")]
const fn float(count: usize) -> f64 {
    count as f64
}

fn setup(nodes: u64, found: &Found) -> String {
    let streams = if found.additions.iter().any(|addition| addition.stream == "drawn") {
        "the stream of requests is drawn, of Zipf's kind (real ones can be given as files, --trace)"
    } else {
        "the streams of requests are published traces"
    };
    format!(
        "{} edges; a ring has {} points for an ordinary one. What moves: {} keys, {} sets of names, \
         one edge more and one less. Spread: the arcs of the circle that edges own, for more and \
         more points; the closed form is that of Dirichlet's distribution. A hot object: {} objects \
         and as many requests under way, each going on until as many others have begun; one object \
         is asked for more often than the others. Unequal edges have a half, one, two and four times \
         the ordinary capacity. Servers chosen by the client: each client always asks the same one, \
         and every cache keeps all. An edge more: each keeps the same number of objects (LRU), all \
         together a tenth of those that there are; the edge comes in the middle of the stream; {}. A \
         number of the lecture may be off by half of its last digit; a closed form by three standard \
         errors of what is compared with it.",
        Cell::count(nodes),
        nigh_cluster::hashing::POINTS,
        Cell::count(moves::KEYS as u64),
        moves::REPETITIONS,
        Cell::count(hot::AN_EDGE as u64 * nodes),
        streams,
    )
}

#[cfg(test)]
mod tests;
