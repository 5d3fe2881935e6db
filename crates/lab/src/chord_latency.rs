//! How long a lookup takes beside a direct round trip: iterative and recursive, with fingers as in
//! the paper and with near ones.
//!
//! Dabek, Li, Sit, Robertson, Kaashoek and Morris, "Designing a DHT for Low Latency and High
//! Throughput", NSDI 2004: with near fingers (PNS(16)) the hops of a recursive lookup become shorter
//! by half each, so that all of them take about 2 delta, and with the answer 3 delta, delta being the
//! median one-way latency: one and a half round trips, however many nodes there are.

mod verdicts;

use std::{sync::Arc, time::Duration};

use nigh_base::{Rng, Time, space::clockwise::Circle};
use nigh_overlay::locate::{
    Contact, Event,
    chord::{Routing, Settings, settled::Ring},
};
use nigh_sim::{Latency, Network, Places, World};

use crate::{
    Axis, Chart, Choice, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    parallel,
    rings::{self, NEVER, Questions},
    sample::Sample,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "chord-latency",
    shows: "How long a lookup takes beside a direct round trip, with near fingers and without",
    source: "Dabek, Li, Sit, Robertson, Kaashoek, Morris: Designing a DHT for Low Latency and High \
             Throughput, NSDI 2004; Gummadi, Gummadi, Gribble, Ratnasamy, Shenker, Stoica: The \
             Impact of DHT Routing Geometry on Resilience and Proximity, SIGCOMM 2003; round trips of \
             490 PlanetLab nodes: Zhu, Liu, Niu, Li, Zhao, IEEE/ACM ToN 25, 2017",
    takes: &[Choice::RoundTrips],
    run,
};

/// As in the SIGCOMM paper.
const NODES: u64 = 16_384;
const FEWEST_NODES: u64 = 100;
const MOST_NODES: u64 = 200_000;
const LOOKUPS: u64 = 20_000;
/// PNS(16): a finger is the nearest of sixteen.
const CANDIDATES: usize = 16;
const SUCCESSORS: usize = 16;
/// The mean one-way latency of made-up places: about that of the real hosts whose round trips the
/// NSDI paper uses (a median one-way latency of 67 ms).
const MEAN_ONE_WAY: Duration = Duration::from_millis(70);

/// How lookups go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    routing: Routing,
    /// Candidates for a finger.
    proximity: usize,
}

const WAYS: [Way; 4] = [
    Way { routing: Routing::Iterative, proximity: 1 },
    Way { routing: Routing::Iterative, proximity: CANDIDATES },
    Way { routing: Routing::Recursive, proximity: 1 },
    Way { routing: Routing::Recursive, proximity: CANDIDATES },
];

/// Where the hosts are.
#[derive(Clone, Debug)]
struct Terrain {
    name: String,
    latency: Latency,
}

/// What was found.
#[derive(Clone, Debug)]
struct Found {
    terrain: String,
    way: Way,
    /// Lookups that found another than the owner, or nobody.
    wrong: u64,
    hops: f64,
    /// In milliseconds.
    lookups: Sample,
    direct: Sample,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let few = u32::try_from(nodes).expect("the limits are below 32 bits");
    let rng = Rng::new(options.seed);
    let terrains = terrains(few, options, &rng);
    let cases: Vec<(&Terrain, Way)> =
        terrains.iter().flat_map(|terrain| WAYS.map(|way| (terrain, way))).collect();
    let found = parallel::map(
        cases.len(),
        |place| {
            let (terrain, way) = cases[place];
            // The same keys at the same nodes for all.
            look_up(few, terrain, way, rng.fork(1))
        },
        |done| {
            let text = format!("{done} of {} kinds of lookups", cases.len());
            told(Progress { done: share(done, cases.len()), text });
        },
    );
    let setup = setup(nodes, options);
    let mut report = Report::new(&EXPERIMENT, options, setup, vec![table(&found)]);
    report.charts = terrains.iter().map(|terrain| chart(&terrain.name, &found)).collect();
    report.claims = terrains.iter().flat_map(|terrain| verdicts::claims(terrain, &found)).collect();
    Ok(report)
}

fn terrains(nodes: u32, options: &Options, rng: &Rng) -> Vec<Terrain> {
    let places = Places::spread(nodes as usize, MEAN_ONE_WAY, &mut rng.fork(0));
    let mut terrains = vec![Terrain {
        name: "made-up places".to_owned(),
        latency: Latency::Placed(Arc::new(places)),
    }];
    if let Some(round_trips) = &options.round_trips {
        let latency = Latency::Measured(Arc::clone(&round_trips.matrix));
        terrains.push(Terrain { name: round_trips.name.clone(), latency });
    }
    terrains
}

fn look_up(nodes: u32, terrain: &Terrain, way: Way, mut rng: Rng) -> Found {
    let contacts = rings::contacts(nodes);
    let ring = Ring::new(Arc::new(settings(way)), contacts.clone());
    let latency = &terrain.latency;
    let mut world = World::new(rng.next_u64(), Network::new(latency.clone()));
    let between =
        |one: Contact, other: Contact| latency.between(rings::host(one), rings::host(other));
    let nearest = |me: Contact, candidates: &[Contact]| {
        let distances = candidates.iter().map(|&it| between(me, it)).enumerate();
        distances.min_by_key(|(_, distance)| *distance).map_or(0, |(place, _)| place)
    };
    rings::settle(&mut world, &ring, &contacts, || Time::START.after(NEVER), nearest);
    let questions = Questions {
        count: LOOKUPS,
        span: Duration::from_secs(600),
        rest: Duration::from_secs(120),
        pieces: 100,
        trace: false,
    };
    let draw = || (rings::host(contacts[rng.index(contacts.len())]), rings::random_key(&mut rng));
    let (mut wrong, mut hops_in_all) = (0, 0);
    let (mut lookups, mut direct) = (Vec::new(), Vec::new());
    let unanswered = rings::ask(&mut world, questions, draw, |question, at, event| {
        let owner = ring.successor(question.key);
        let (here, there) = (question.by, rings::host(owner));
        direct.push(millis(latency.between(here, there) + latency.between(there, here)));
        match event {
            Event::Located { holders, hops, .. } if holders.first() == Some(&owner) => {
                hops_in_all += hops;
                lookups.push(millis(at.since(question.at)));
            }
            _ => wrong += 1,
        }
    });
    Found {
        terrain: terrain.name.clone(),
        way,
        wrong: wrong + unanswered as u64,
        hops: f64::from(hops_in_all) / f64::from(u32::try_from(lookups.len()).unwrap_or(u32::MAX)),
        lookups: Sample::new(lookups),
        direct: Sample::new(direct),
    }
}

fn settings(way: Way) -> Settings {
    let Way { routing, proximity } = way;
    Settings {
        circle: Circle::WHOLE,
        successors: SUCCESSORS,
        copies: 1,
        routing,
        proximity,
        stabilise_every: NEVER,
        fingers_a_round: 1,
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

impl Way {
    const fn name(self) -> &'static str {
        match (self.routing, self.proximity) {
            (Routing::Iterative, 1) => "iterative",
            (Routing::Iterative, _) => "iterative, PNS(16)",
            (_, 1) => "recursive",
            (_, _) => "recursive, PNS(16)",
        }
    }
}

impl Found {
    /// The median lookup beside the median round trip.
    fn stretch(&self) -> f64 {
        self.lookups.median() / self.direct.median()
    }
}

fn setup(nodes: u64, options: &Options) -> String {
    let real = match &options.round_trips {
        None => "Real round trips can be given as a file (--matrix).".to_owned(),
        Some(round_trips) => format!(
            "{}: round trips between {} real hosts, {} nodes at each; nodes at one place are half a \
             millisecond apart.",
            round_trips.name,
            round_trips.matrix.len(),
            nodes.div_ceil(round_trips.matrix.len() as u64)
        ),
    };
    format!(
        "{} nodes, settled, with {SUCCESSORS} successors each and no upkeep. Made-up places: points on \
         a square whose edges meet and a line of its own for each host, {} ms one way on average. \
         {real} {} random keys are looked up at random nodes, the same for all kinds. A lookup takes \
         from the question to the answer that names the owner; a direct round trip is one between \
         the same asker and the same owner. Medians are compared. With PNS(16) a finger is the \
         nearest of the first sixteen nodes that would do. Recursive lookups have word at each hop \
         that the question was taken over, which nobody waits for. The 3 delta of Dabek et al. are \
         known here from a description of their analysis, and 1.36 is worked out from numbers of a \
         summary of Gummadi et al.: 139 ms for XOR with near neighbours beside 102 ms direct, from \
         one place, with 16,384 nodes. Neither was read in the papers themselves.",
        Cell::count(nodes),
        MEAN_ONE_WAY.as_millis(),
        Cell::count(LOOKUPS),
    )
}

fn table(found: &[Found]) -> Table {
    let mut table = Table::new(vec![
        Column::new("latencies", ""),
        Column::new("lookups", ""),
        Column::new("wrong", ""),
        Column::new("hops", "nodes"),
        Column::new("p10", "ms"),
        Column::new("median", "ms"),
        Column::new("p90", "ms"),
        Column::new("direct p10", "ms"),
        Column::new("direct median", "ms"),
        Column::new("direct p90", "ms"),
        Column::new("median/direct", ""),
    ]);
    for found in found {
        let percentile = |of: &Sample, percent| Cell::number(of.percentile(percent), 0);
        table.row(vec![
            Cell::text(&found.terrain),
            Cell::text(found.way.name()),
            Cell::count(found.wrong),
            Cell::number(found.hops, 2),
            percentile(&found.lookups, 10.0),
            percentile(&found.lookups, 50.0),
            percentile(&found.lookups, 90.0),
            percentile(&found.direct, 10.0),
            percentile(&found.direct, 50.0),
            percentile(&found.direct, 90.0),
            Cell::number(found.stretch(), 2),
        ]);
    }
    table
}

fn chart(terrain: &str, found: &[Found]) -> Chart {
    let mut chart = Chart::new(
        format!("Lookups and direct round trips, {terrain}"),
        Axis::new("milliseconds", Scale::Log10),
        Axis::new("share that is done by then", Scale::Linear),
    );
    let points = |of: &Sample| -> Vec<(f64, f64)> {
        (0..=50).map(|it| f64::from(2 * it)).map(|it| (of.percentile(it), it / 100.0)).collect()
    };
    let here: Vec<&Found> = found.iter().filter(|found| found.terrain == terrain).collect();
    if let Some(first) = here.first() {
        chart.series.push(Series::new("direct", Style::Line, points(&first.direct)));
    }
    for found in here.iter().rev() {
        chart.series.push(Series::new(found.way.name(), Style::Line, points(&found.lookups)));
    }
    chart
}

#[cfg(test)]
mod tests;
