//! How evenly consistent hashing spreads keys over nodes: Stoica, Morris, Karger, Kaashoek and
//! Balakrishnan, "Chord: A Scalable Peer-to-peer Lookup Service for Internet Applications", SIGCOMM
//! 2001, section 6.2, figures 8 and 9.
//!
//! No node speaks here: a key belongs to the first node at or after it on the circle, and that is
//! all. There are two judges: the paper, which shows one draw of each, and closed forms
//! ([`crate::distribution`]), which say what the draws scatter around.

mod figures;
mod ring;
mod verdicts;

use nigh_base::Rng;

use self::ring::Ring;
use crate::{
    Error, Experiment, Options, Progress, Report,
    distribution::{Erlang, KeysOfNode},
    sample::Sample,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "chord-load",
    shows: "How many keys a node of a Chord ring holds, without and with virtual nodes",
    source: "Stoica, Morris, Karger, Kaashoek, Balakrishnan: Chord, SIGCOMM 2001, section 6.2, \
             figures 8 and 9",
    takes: &[],
    run,
};

/// The paper's nodes. Fewer or more have keys in proportion, so that the loads stay the same.
const NODES: u64 = 10_000;
/// A 99th percentile needs a hundred. With the most nodes, figure 9 takes one GiB.
const FEWEST_NODES: u64 = 100;
const MOST_NODES: u64 = 1_000_000;

/// Keys a node, on average: figure 8 goes from 10 to 100, its part (b) and figure 9 show one.
const FIGURE_8: [u32; 10] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
const FIGURE_8B: u32 = 50;
const FIGURE_9: u32 = 100;
/// Virtual nodes of each node, in figure 9.
const VIRTUAL_NODES: [u32; 5] = [1, 2, 5, 10, 20];

/// As often as in the paper.
const REPETITIONS: u32 = 20;
/// The fullest node of a ring varies by 1.3 means from ring to ring (the standard deviation of the
/// largest of many exponential variables is pi/sqrt(6) of their mean). The median of so many rings
/// varies by 0.1.
const REPETITIONS_8B: u32 = 200;

/// The bars of figure 8(b), in keys.
const BAR_KEYS: u16 = 10;

/// One point of the figures: what to draw, and how often.
#[derive(Clone, Copy, Debug)]
struct Point {
    nodes: u64,
    keys_a_node: u32,
    virtual_nodes: u32,
    repetitions: u32,
}

/// What was found there. All but the bars are medians of the repetitions.
#[derive(Clone, Debug)]
struct Found {
    point: Point,
    /// The keys of the node that 1 and 99 percent of all nodes do not exceed, and of the fullest.
    first: f64,
    ninety_ninth: f64,
    fullest: f64,
    /// The 1st and 99th percentile of the arcs that nodes are responsible for, 1 being the mean.
    arcs: [f64; 2],
    /// The share of as many equal arcs as there are nodes in which no node lies.
    empty_arcs: f64,
    /// The share of the nodes that have from 0 to 9, from 10 to 19 keys, and so on.
    bars: Vec<f64>,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let points = points(nodes);
    let all: u64 = points.iter().map(Point::work).sum();
    let mut done = 0;
    let found: Vec<Found> = (0..)
        .zip(&points)
        .map(|(label, point)| {
            let rng = Rng::new(options.seed).fork(label);
            point.find(&rng, &mut || {
                done += point.work() / u64::from(point.repetitions);
                told(Progress { done: ratio(done, all), text: point.in_words() });
            })
        })
        .collect();
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes), vec![table(&found)]);
    report.charts = figures::charts(&found);
    report.claims = verdicts::claims(nodes, &found);
    Ok(report)
}

fn points(nodes: u64) -> Vec<Point> {
    let point = |keys_a_node, virtual_nodes| {
        let repetitions = if keys_a_node == FIGURE_8B { REPETITIONS_8B } else { REPETITIONS };
        Point { nodes, keys_a_node, virtual_nodes, repetitions }
    };
    let figure_8 = FIGURE_8.map(|keys| point(keys, 1));
    // The first of figure 9 is the last of figure 8.
    let figure_9 = VIRTUAL_NODES[1..].iter().map(|&virtual_nodes| point(FIGURE_9, virtual_nodes));
    figure_8.into_iter().chain(figure_9).collect()
}

impl Point {
    fn keys(&self) -> u64 {
        self.nodes * u64::from(self.keys_a_node)
    }

    /// How many keys and nodes are put on circles.
    fn work(&self) -> u64 {
        let ring = self.nodes * u64::from(self.virtual_nodes) + self.keys();
        ring * u64::from(self.repetitions)
    }

    fn in_words(&self) -> String {
        let keys = Cell::count(self.keys());
        match self.virtual_nodes {
            1 => format!("{keys} keys"),
            more => format!("{keys} keys, {more} virtual nodes each"),
        }
    }

    /// Repeats the experiment; `repeated` is called after each time.
    fn find(&self, rng: &Rng, repeated: &mut dyn FnMut()) -> Found {
        let (mut rings, mut empty, mut bars) = (Vec::new(), 0, Vec::new());
        for label in 0..u64::from(self.repetitions) {
            let mut rng = rng.fork(label);
            let ring = Ring::random(self.nodes, self.virtual_nodes, &mut rng);
            let keys = ring.keys_of_nodes(self.keys(), &mut rng);
            count_bars(&mut bars, &keys);
            let keys = Sample::new(keys.into_iter().map(f64::from));
            let arcs = Sample::new(ring.arcs_of_nodes());
            let of_keys = [keys.percentile(1.0), keys.percentile(99.0), keys.largest()];
            rings.push((of_keys, [arcs.percentile(1.0), arcs.percentile(99.0)]));
            empty += ring.empty_arcs(self.nodes);
            repeated();
        }
        let of_keys = |which: usize| Sample::new(rings.iter().map(|ring| ring.0[which])).median();
        let of_arcs = |which: usize| Sample::new(rings.iter().map(|ring| ring.1[which])).median();
        let of_rings = self.nodes * u64::from(self.repetitions);
        Found {
            point: *self,
            first: of_keys(0),
            ninety_ninth: of_keys(1),
            fullest: of_keys(2),
            arcs: [0, 1].map(of_arcs),
            empty_arcs: ratio(empty, of_rings),
            bars: bars.into_iter().map(|nodes| ratio(nodes, of_rings)).collect(),
        }
    }

    /// The closed form of the keys of a node.
    fn theory(&self) -> KeysOfNode {
        KeysOfNode { mean: self.keys_a_node.into(), shape: self.virtual_nodes }
    }

    /// The closed form of the arc that a node is responsible for.
    fn theory_of_arcs(&self) -> Erlang {
        Erlang { shape: self.virtual_nodes }
    }
}

/// Adds each node to the bar of its keys.
fn count_bars(bars: &mut Vec<u64>, keys_of_nodes: &[u32]) {
    for keys in keys_of_nodes {
        let bar = usize::try_from(keys / u32::from(BAR_KEYS)).expect("32 bits fit");
        if bars.len() <= bar {
            bars.resize(bar + 1, 0);
        }
        bars[bar] += 1;
    }
}

impl Found {
    /// So many keys as a multiple of the mean.
    fn in_means(&self, keys: f64) -> f64 {
        keys / f64::from(self.point.keys_a_node)
    }
}

/// The point with so many keys a node and so many virtual nodes.
fn at(found: &[Found], keys_a_node: u32, virtual_nodes: u32) -> &Found {
    found
        .iter()
        .find(|found| {
            (found.point.keys_a_node, found.point.virtual_nodes) == (keys_a_node, virtual_nodes)
        })
        .expect("the figures have this point")
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer keys than 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn setup(nodes: u64) -> String {
    let slack = verdicts::slack(nodes);
    let wider = if slack > 1.0 {
        format!(" With so few nodes, standard errors are {slack:.1} times as large as the paper's.")
    } else {
        String::new()
    };
    let [nodes, least, most] =
        [nodes, nodes * u64::from(FIGURE_8[0]), nodes * u64::from(FIGURE_9)].map(Cell::count);
    format!(
        "{nodes} nodes and {least} to {most} keys lie at random on a circle (at random is where \
         SHA-1 puts names), and a key belongs to the first node at or after it. With virtual nodes, \
         each node lies on the circle several times. Each point is the median of {REPETITIONS} \
         rings, that of figure 8(b) of {REPETITIONS_8B}; the paper repeats {REPETITIONS} times and \
         shows a single draw in figure 8(b). p1 and p99 are the 1st and the 99th percentile of the \
         nodes. Predicted is what the negative binomial distribution says: arcs of the circle are \
         exponential, and keys reach them like rain. A number of the paper may be off by half of \
         its last digit and by two standard errors of one ring; a closed form by 3 %, three \
         standard errors of what is compared with it.{wider}"
    )
}

fn table(found: &[Found]) -> Table {
    let mut columns = vec![
        Column::new("keys", ""),
        Column::new("virtual nodes", "a node"),
        Column::new("mean", "keys"),
    ];
    for name in ["p1", "p99", "fullest"] {
        columns.push(Column::new(name, "keys"));
        columns.push(Column::new(format!("{name} predicted"), "keys"));
    }
    let mut table = Table::new(columns);
    for found in found {
        let (point, theory) = (found.point, found.point.theory());
        let keys = |keys| Cell::number(keys, 1);
        let whole = |keys| Cell::number(keys, 0);
        table.row(vec![
            Cell::count(point.keys()),
            Cell::count(point.virtual_nodes.into()),
            Cell::count(point.keys_a_node.into()),
            keys(found.first),
            whole(theory.quantile(0.01)),
            keys(found.ninety_ninth),
            whole(theory.quantile(0.99)),
            keys(found.fullest),
            whole(theory.median_of_fullest(point.nodes)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
