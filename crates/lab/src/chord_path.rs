//! How many nodes a lookup passes: Stoica, Morris, Karger, Kaashoek and Balakrishnan, "Chord: A
//! Scalable Peer-to-peer Lookup Service for Internet Applications", SIGCOMM 2001, section 6.3,
//! figure 10; and the same for rings that were too large to simulate then.
//!
//! Three judges: the paper; a walk over sorted keys that knows no machines ([`walk`]), which must
//! agree on every single lookup; and a recurrence for nodes that lie at random ([`theory`]).

mod theory;
mod verdicts;
mod walk;

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time, space::clockwise::Circle};
use nigh_overlay::locate::{
    Contact, Event,
    chord::{Node, Routing, Settings, settled::Ring},
};
use nigh_sim::{HostId, Latency, Network, World};

use self::theory::Ways;
use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style, parallel,
    rings::{self, NEVER, Questions},
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "chord-path",
    shows: "How many nodes a lookup passes in Chord rings of 8 to 1,048,576 nodes",
    source: "Stoica, Morris, Karger, Kaashoek, Balakrishnan: Chord, SIGCOMM 2001, section 6.3, \
             figure 10",
    takes: &[],
    run,
};

/// The paper's smallest ring has 2^3 nodes and its largest 2^14; these go on.
const SMALLEST: u32 = 3;
const PAPER_LARGEST: u32 = 14;
const LARGEST: u32 = 20;
/// The ring of figure 10(b).
const FIGURE_10B: u32 = 12;
/// Keys looked up for each node, as in the paper.
const KEYS_A_NODE: u64 = 100;
/// Beyond the paper so many suffice: the mean of 200,000 ways varies by 0.004.
const KEYS_BEYOND: u64 = 200_000;
/// Small rings differ from one another: so many nodes are made of each size, in several rings.
const NODES_A_SIZE: u32 = 1024;
/// One way of each datagram. The paper names none, and no way depends on it.
const LATENCY: Duration = Duration::from_millis(50);

/// Where the nodes of a ring lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spacing {
    /// Where SHA-1 puts them.
    Hashed,
    /// All equally far apart.
    Even,
}

/// Rings of one size.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// The rings have 2 to the power of this nodes.
    doublings: u32,
    spacing: Spacing,
}

/// What was found in them.
#[derive(Clone, Debug)]
struct Found {
    point: Point,
    lookups: u64,
    /// Lookups that found another than the owner, or nobody.
    wrong: u64,
    /// Lookups whose way was not as long as the walk over sorted keys.
    unlike_walk: u64,
    /// How often the question was passed on: the nodes between the asker and the owner.
    mean: f64,
    percentiles: [f64; 2],
    /// The share of lookups that were passed on 0, 1, 2, ... times.
    shares: Vec<f64>,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let most = 1 << LARGEST;
    let nodes = options.nodes_within(most, 1 << SMALLEST, most)?;
    let points = points(nodes.ilog2());
    let count = points.len();
    // The largest first, so that none of the long ones is left alone at the end.
    let mut found = parallel::map(
        count,
        |place| points[count - 1 - place].find(&Rng::new(options.seed)),
        |done| {
            let text = format!("{done} of {count} sizes");
            told(Progress { done: ratio(done as u64, count as u64), text });
        },
    );
    found.reverse();
    let ways = Ways::new();
    let mut report = Report::new(&EXPERIMENT, options, setup(), vec![table(&found, &ways)]);
    report.charts = charts(&found, &ways);
    report.claims = verdicts::claims(&found, &ways, options.seed);
    Ok(report)
}

fn points(largest: u32) -> Vec<Point> {
    let even = Point { doublings: largest.min(FIGURE_10B), spacing: Spacing::Even };
    let hashed =
        (SMALLEST..=largest).map(|doublings| Point { doublings, spacing: Spacing::Hashed });
    [even].into_iter().chain(hashed).collect()
}

impl Point {
    const fn nodes(self) -> u32 {
        1 << self.doublings
    }

    fn rings(self) -> u32 {
        (NODES_A_SIZE / self.nodes()).max(1)
    }

    /// Lookups in each ring.
    fn lookups(self) -> u64 {
        if self.doublings > PAPER_LARGEST {
            KEYS_BEYOND
        } else {
            KEYS_A_NODE * u64::from(self.nodes())
        }
    }

    /// Looks keys up in all rings of this size.
    fn find(self, rng: &Rng) -> Found {
        let label = u64::from(self.doublings) << 32 | u64::from(self.spacing == Spacing::Even);
        let rng = rng.fork(label);
        let (mut counts, mut wrong, mut unlike_walk) = (Vec::new(), 0, 0);
        for ring in 0..self.rings() {
            let contacts = self.contacts(ring * self.nodes());
            let ways = self.ways(contacts, &mut rng.fork(ring.into()));
            (wrong, unlike_walk) = (wrong + ways.wrong, unlike_walk + ways.unlike_walk);
            counts.resize(counts.len().max(ways.counts.len()), 0u64);
            counts.iter_mut().zip(ways.counts).for_each(|(sum, count)| *sum += count);
        }
        let lookups: u64 = counts.iter().sum();
        let shares: Vec<f64> = counts.iter().map(|&count| ratio(count, lookups)).collect();
        let mean = (0u32..).zip(&shares).map(|(hops, share)| f64::from(hops) * share).sum();
        let percentiles = [0.01, 0.99].map(|share| quantile(&shares, share));
        Found { point: self, lookups, wrong, unlike_walk, mean, percentiles, shares }
    }

    /// The nodes of a ring, by host. Hashed ones are those of other addresses in each ring, though
    /// their hosts are the same.
    fn contacts(self, first: u32) -> Vec<Contact> {
        let hosts = (0..self.nodes()).map(|number| HostId(number).address());
        let keys = (0..self.nodes()).map(|number| match self.spacing {
            Spacing::Hashed => rings::contact(first + number).key,
            Spacing::Even => Key::from(u64::from(number)).shifted_up(Key::BITS - self.doublings),
        });
        keys.zip(hosts).map(|(key, address)| Contact { key, address }).collect()
    }

    fn ways(self, contacts: Vec<Contact>, rng: &mut Rng) -> WaysOfRing {
        let settings = settings(Routing::Blind);
        let ring = Ring::new(Arc::new(settings), contacts.clone());
        let mut world = World::new(rng.next_u64(), Network::new(Latency::Constant(LATENCY)));
        rings::settle(&mut world, &ring, &contacts, || Time::START.after(NEVER), |_, _| 0);
        count_ways(&mut world, &ring, &contacts, self.lookups(), rng)
    }
}

/// One successor, as in figure 4 of the paper, and a table that nothing changes.
fn settings(routing: Routing) -> Settings {
    let circle = Circle::WHOLE;
    let (successors, copies, proximity, fingers_a_round) = (1, 1, 1, 1);
    let stabilise_every = NEVER;
    Settings { circle, successors, copies, routing, proximity, stabilise_every, fingers_a_round }
}

/// The ways of the lookups in one ring.
#[derive(Debug, Default)]
struct WaysOfRing {
    counts: Vec<u64>,
    wrong: u64,
    unlike_walk: u64,
}

/// Lookups in flight at once are the many of a second: this many begin in one.
const A_SECOND: u64 = 20_000;

fn count_ways(
    world: &mut World<Node>,
    ring: &Ring,
    contacts: &[Contact],
    lookups: u64,
    rng: &mut Rng,
) -> WaysOfRing {
    let seconds = lookups.div_ceil(A_SECOND).max(10);
    let questions = Questions {
        count: lookups,
        span: Duration::from_secs(seconds),
        rest: Duration::from_secs(60),
        pieces: seconds,
        trace: false,
    };
    let draw = || (rings::host(contacts[rng.index(contacts.len())]), rings::random_key(rng));
    let mut ways = WaysOfRing::default();
    let unanswered = rings::ask(world, questions, draw, |question, _, event| {
        let by = contacts[question.by.index()];
        match event {
            Event::Located { key, holders, hops, .. }
                if holders.first() == Some(&ring.successor(key)) =>
            {
                // The owner is counted among the hops, and is no node on the way to itself.
                let forwardings = hops.saturating_sub(1);
                ways.unlike_walk += u64::from(forwardings != walk::forwardings(ring, by, key));
                let place = forwardings as usize;
                ways.counts.resize(ways.counts.len().max(place + 1), 0);
                ways.counts[place] += 1;
            }
            _ => ways.wrong += 1,
        }
    });
    ways.wrong += unanswered as u64;
    ways
}

/// The least count that so many do not exceed.
fn quantile(shares: &[f64], share: f64) -> f64 {
    let mut sum = 0.0;
    let passed = shares.iter().take_while(|it| {
        sum += **it;
        sum < share
    });
    u32::try_from(passed.count()).map_or(f64::INFINITY, f64::from)
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer lookups than 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn setup() -> String {
    format!(
        "Rings of 2^k nodes, k = {SMALLEST} to {LARGEST}, keyed by the SHA-1 of their addresses, with \
         all fingers right, one successor and no upkeep. For each node {KEYS_A_NODE} random keys are \
         looked up at random nodes up to k = {PAPER_LARGEST}, as in the paper, and {} in each larger \
         ring; below 2^10 nodes there are several rings of a size. Each node passes a question on to \
         its finger nearest before the key; whether nodes pass it on or the asker asks each does not \
         change the way. \
         The paper counts the nodes traversed and says about half of log2 N. Counted here is how \
         often a question is passed on, which is the number of nodes between the asker and the owner: \
         with the owner it is one more, half of log2 N and 0.86, which is farther off: the paper seems to leave it out. \
         Predicted is a recurrence for nodes that lie at random: half of log2 N less 0.138. A mean may \
         be off by 0.02 from it, with several standard errors of one ring; from the paper, whose \
         curve is a picture, by a quarter of a node.",
        Cell::count(KEYS_BEYOND)
    )
}

fn table(found: &[Found], ways: &Ways) -> Table {
    let mut table = Table::new(vec![
        Column::new("nodes", ""),
        Column::new("spacing", ""),
        Column::new("rings", ""),
        Column::new("lookups", ""),
        Column::new("wrong", ""),
        Column::new("unlike walk", ""),
        Column::new("p1", "nodes"),
        Column::new("mean", "nodes"),
        Column::new("p99", "nodes"),
        Column::new("half log2 N", "nodes"),
        Column::new("mean predicted", "nodes"),
    ]);
    for found in found {
        let point = found.point;
        let (spacing, predicted) = match point.spacing {
            Spacing::Hashed => ("hashed", ways.mean(point.doublings)),
            Spacing::Even => ("even", point.even()),
        };
        table.row(vec![
            Cell::count(point.nodes().into()),
            Cell::text(spacing),
            Cell::count(point.rings().into()),
            Cell::count(found.lookups),
            Cell::count(found.wrong),
            Cell::count(found.unlike_walk),
            Cell::number(found.percentiles[0], 0),
            Cell::number(found.mean, 3),
            Cell::number(found.percentiles[1], 0),
            Cell::number(point.half(), 1),
            Cell::number(predicted, 3),
        ]);
    }
    table
}

impl Point {
    /// Half of log2 N.
    fn half(self) -> f64 {
        f64::from(self.doublings) / 2.0
    }

    /// The mean way between evenly spaced nodes: as many nodes as the number of the gaps to be
    /// crossed has ones, half of its digits. It would be all digits for a key of the asker's own,
    /// who does not ask.
    fn even(self) -> f64 {
        self.half() - f64::from(self.doublings) / f64::from(self.nodes())
    }
}

fn charts(found: &[Found], ways: &Ways) -> Vec<Chart> {
    let hashed = || found.iter().filter(|found| found.point.spacing == Spacing::Hashed);
    let line = |of: &dyn Fn(&Found) -> f64| -> Vec<(f64, f64)> {
        hashed().map(|found| (f64::from(found.point.nodes()), of(found))).collect()
    };
    let mut means = Chart::new(
        "Figure 10(a): nodes on the way of a lookup",
        Axis::new("nodes of the ring", Scale::Log2),
        Axis::new("nodes on the way", Scale::Linear),
    );
    means.series = vec![
        Series::new("99th percentile", Style::Line, line(&|found| found.percentiles[1])),
        Series::new("mean", Style::Line, line(&|found| found.mean)),
        Series::published("half of log2 N", Style::Line, line(&|found| found.point.half())),
        Series::new("1st percentile", Style::Line, line(&|found| found.percentiles[0])),
    ];
    let mut charts = vec![means];
    if let Some(found) = hashed().find(|found| found.point.doublings == FIGURE_10B) {
        let points = |shares: &[f64]| -> Vec<(f64, f64)> {
            (0u32..).map(f64::from).zip(shares.iter().copied()).take(found.shares.len()).collect()
        };
        let mut shares = Chart::new(
            "Figure 10(b): ways in a ring of 4,096 nodes",
            Axis::new("nodes on the way", Scale::Linear),
            Axis::new("share of lookups", Scale::Linear),
        );
        shares.series = vec![
            Series::new("measured", Style::Line, points(&found.shares)),
            Series::published("recurrence", Style::Points, points(ways.shares(FIGURE_10B))),
        ];
        charts.push(shares);
    }
    charts
}

#[cfg(test)]
mod tests;
