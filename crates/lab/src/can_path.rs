//! How many nodes a question passes in CAN: Ratnasamy, Francis, Handley, Karp, Shenker, "A scalable
//! content-addressable network", SIGCOMM 2001, sections 2.1 and 3.1 to 3.3.
//!
//! ```text
//! space     zones of nodes, who is beside whom, and the way of a question
//! machines  some of these ways again, by nodes as they run
//! verdicts  what the paper and its closed form say, and what was measured
//! ```

mod machines;
mod space;
mod verdicts;

use nigh_base::{Key, Rng};
use nigh_overlay::locate::can::zone::DEPTH_MAX;

use self::space::{Trips, Zones, walk};
use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style, parallel,
    rings::random_key,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "can-path",
    shows: "How many nodes a question passes in CAN with 2 to 10 dimensions, several realities, and weights",
    source: "Ratnasamy, Francis, Handley, Karp, Shenker: A Scalable Content-Addressable Network, \
             SIGCOMM 2001, sections 2.1, 3.1, 3.2 and 3.3",
    takes: &[],
    run,
};

/// Halvings that make the zones of the smallest and the largest network: 2^18 nodes, as in the paper.
const SMALLEST: u32 = 8;
const LARGEST: u32 = 18;
const STEP: u32 = 2;
const DIMENSIONS: [usize; 5] = [2, 3, 4, 5, 10];
/// The most coordinate spaces, as in the paper's section 3.2.
const REALITIES: usize = 5;
/// Networks beyond that have no realities and weights measured: it would add minutes and no shape.
const WITH_MORE: u32 = 14;
/// Questions in each network: a mean is off by one part in a hundred at most, mostly.
const LOOKUPS: usize = 4_000;

/// One network, and the ways in it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    /// Its nodes as a power of two.
    size: u32,
    dimensions: usize,
    realities: usize,
    kind: Kind,
    /// The mean number of nodes that a question is passed on to.
    hops: f64,
    /// The mean number of neighbours of a node, in all realities.
    neighbours: f64,
    /// The mean time of a hop in milliseconds, one way.
    hop: f64,
    /// Questions that did not arrive.
    lost: usize,
}

/// How the zones came about, and how a question goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// All zones are equally large.
    Even,
    /// As nodes that join at random points leave them.
    Joined,
    /// The same, and each hop goes where a second brings most.
    Weighted,
}

/// What is measured, in this order.
fn plan(largest: u32) -> Vec<(u32, usize, usize, Kind)> {
    let mut plan = Vec::new();
    for size in (SMALLEST..=largest).step_by(STEP as usize) {
        for dimensions in DIMENSIONS {
            plan.push((size, dimensions, 1, Kind::Even));
            plan.push((size, dimensions, 1, Kind::Joined));
        }
    }
    let size = largest.min(WITH_MORE);
    plan.extend((2..=REALITIES).map(|realities| (size, 2, realities, Kind::Joined)));
    plan.extend(DIMENSIONS.map(|dimensions| (size, dimensions, 1, Kind::Weighted)));
    plan
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let (least, most) = (1 << SMALLEST, 1 << LARGEST);
    let nodes = options.nodes_within(most, least, most)?;
    let plan = plan(nodes.ilog2());
    let rng = Rng::new(options.seed);
    let found = parallel::map(
        plan.len(),
        |place| {
            // The largest first: the last to be done is a small one.
            let at = plan.len() - 1 - place;
            measure(plan[at], &mut rng.fork(at as u64))
        },
        |done| {
            let (all, text) = (plan.len(), format!("{done} of {} networks", plan.len()));
            told(Progress { done: ratio(done, all), text });
        },
    );
    let found: Vec<Found> = found.into_iter().rev().collect();
    let mut report = Report::new(&EXPERIMENT, options, setup(), tables(&found));
    report.charts = charts(&found);
    let size = machines::SIZE.min(nodes.ilog2());
    report.claims = verdicts::claims(&found, machines::compare(size, &rng.fork(u64::MAX)));
    Ok(report)
}

fn measure((size, dimensions, realities, kind): (u32, usize, usize, Kind), rng: &mut Rng) -> Found {
    let count = 1usize << size;
    let mut spaces = Vec::new();
    for _ in 0..realities {
        let keys: Vec<Key> = match kind {
            Kind::Even => {
                (0..count as u64).map(|it| Key::from(it).shifted_up(Key::BITS - size)).collect()
            }
            Kind::Joined | Kind::Weighted => (0..count).map(|_| random_key(rng)).collect(),
        };
        spaces.push(match kind {
            Kind::Even => Zones::even(dimensions, &keys, size.min(DEPTH_MAX)),
            _ => Zones::joined(dimensions, &keys),
        });
    }
    let trips = Trips::spread(count, rng);
    let weighted = kind == Kind::Weighted;
    let (mut hops, mut time, mut lost) = (0usize, 0.0, 0);
    for _ in 0..LOOKUPS {
        let (from, key) = (rng.index(count), random_key(rng));
        match walk(&spaces, from, key, &trips, weighted) {
            Some((steps, milliseconds)) => (hops, time) = (hops + steps, time + milliseconds),
            None => lost += 1,
        }
    }
    let neighbours = spaces.iter().map(|it| ratio(it.links(), count)).sum();
    let (passed, hops_in_all) = (LOOKUPS - lost, hops.max(1));
    #[expect(clippy::cast_precision_loss, reason = "a way has far fewer than 2^53 hops")]
    let hop = time / hops_in_all as f64;
    Found { size, dimensions, realities, kind, hops: ratio(hops, passed), neighbours, hop, lost }
}

#[expect(clippy::cast_precision_loss, reason = "all that is counted is far below 2^53")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// The paper's mean way among equal zones: a quarter of the way round in each dimension.
fn closed_form(size: u32, dimensions: usize) -> f64 {
    let d = f64::from(u32::try_from(dimensions).expect("a few"));
    d / 4.0 * libm::pow(2.0, f64::from(size) / d)
}

fn setup() -> String {
    format!(
        "Networks of 2^{SMALLEST} to 2^{LARGEST} nodes as tables of zones and neighbours, without machines. Even: all \
         zones are halved equally often, the dimensions in turn. Joined: nodes join one after the other at \
         random points, and the zone in which the point lies is halved. Each of {} questions goes from a \
         random node to a random point, each hop to the neighbour whose zone is nearest to it; a hop is a node \
         that the question is passed on to, the owner among them. With several realities each node has a \
         zone in each, and a hop goes to the neighbour that is nearest in any. Weighted: each hop goes to the \
         neighbour by which the distance becomes less by most for each second. For that nodes lie at random on \
         a torus on which the mean way is 100 ms; the paper has transit-stub networks. Realities and \
         weights are measured with 2^{WITH_MORE} nodes. Where the space is even and divides evenly, the closed \
         form is exact and a mean may be off by 3 %, four standard errors; the growth of ways in joined \
         networks may be off the closed form's exponent by 0.03. The paper's figures could not be read, so \
         its closed form and what its text says stand for them. {} questions among {} joined nodes with {} dimensions \
         are asked again of machines, with the zones that the same joins lead to: their mean may be off the \
         walked one by 2 %, since they differ only in which of several equally near neighbours they take.",
        Cell::count(LOOKUPS as u64),
        Cell::count(LOOKUPS as u64),
        Cell::count(1 << machines::SIZE),
        machines::DIMENSIONS,
    )
}

fn tables(found: &[Found]) -> Vec<Table> {
    let columns = || {
        vec![
            Column::new("nodes", ""),
            Column::new("dimensions", ""),
            Column::new("hops, even", ""),
            Column::new("d/4 n^(1/d)", ""),
            Column::new("hops, joined", ""),
            Column::new("neighbours, even", ""),
            Column::new("neighbours, joined", ""),
        ]
    };
    let mut ways = Table::new(columns());
    for even in found.iter().filter(|it| it.kind == Kind::Even) {
        let Some(joined) = find(found, even.size, even.dimensions, 1, Kind::Joined) else {
            continue;
        };
        ways.row(vec![
            Cell::count(1 << even.size),
            Cell::count(even.dimensions as u64),
            Cell::number(even.hops, 2),
            Cell::number(closed_form(even.size, even.dimensions), 2),
            Cell::number(joined.hops, 2),
            Cell::number(even.neighbours, 2),
            Cell::number(joined.neighbours, 2),
        ]);
    }
    let size = more(found);
    let mut realities = Table::new(vec![
        Column::new("realities", ""),
        Column::new("hops", ""),
        Column::new("neighbours", ""),
    ])
    .titled(format!("Realities, 2 dimensions, {} nodes", Cell::count(1 << size)));
    for count in 1..=REALITIES {
        let Some(it) = find(found, size, 2, count, Kind::Joined) else { continue };
        realities.row(vec![
            Cell::count(count as u64),
            Cell::number(it.hops, 2),
            Cell::number(it.neighbours, 2),
        ]);
    }
    let mut weights = Table::new(vec![
        Column::new("dimensions", ""),
        Column::new("a hop", "ms"),
        Column::new("weighted", "ms"),
        Column::new("hops", ""),
        Column::new("hops, weighted", ""),
    ])
    .titled(format!("Weights, {} nodes", Cell::count(1 << size)));
    for dimensions in DIMENSIONS {
        let of = |kind| find(found, size, dimensions, 1, kind);
        let (Some(plain), Some(weighted)) = (of(Kind::Joined), of(Kind::Weighted)) else {
            continue;
        };
        weights.row(vec![
            Cell::count(dimensions as u64),
            Cell::number(plain.hop, 1),
            Cell::number(weighted.hop, 1),
            Cell::number(plain.hops, 2),
            Cell::number(weighted.hops, 2),
        ]);
    }
    vec![ways, realities, weights]
}

/// The size with which realities and weights were measured.
fn more(found: &[Found]) -> u32 {
    found.iter().find(|it| it.kind == Kind::Weighted).map_or(WITH_MORE, |it| it.size)
}

fn find(
    found: &[Found],
    size: u32,
    dimensions: usize,
    realities: usize,
    kind: Kind,
) -> Option<&Found> {
    found.iter().find(|it| {
        (it.size, it.dimensions, it.realities, it.kind) == (size, dimensions, realities, kind)
    })
}

fn charts(found: &[Found]) -> Vec<Chart> {
    let nodes = |it: &Found| f64::from(1u32 << it.size);
    let mut ways = Chart::new(
        "Mean hops of a question, zones of nodes that join at random points",
        Axis::new("nodes", Scale::Log10),
        Axis::new("hops", Scale::Log10),
    );
    for dimensions in DIMENSIONS {
        let of =
            |it: &&Found| (it.kind, it.dimensions, it.realities) == (Kind::Joined, dimensions, 1);
        let here: Vec<&Found> = found.iter().filter(of).collect();
        let points = here.iter().map(|it| (nodes(it), it.hops)).collect();
        let form = here.iter().map(|it| (nodes(it), closed_form(it.size, dimensions))).collect();
        ways.series.push(Series::new(format!("d = {dimensions}"), Style::Line, points));
        let name = format!("d/4 n^(1/d), d = {dimensions}");
        ways.series.push(Series::published(name, Style::Line, form));
    }
    let size = more(found);
    let mut state = Chart::new(
        format!("Mean hops by the neighbours of a node, {} nodes", Cell::count(1 << size)),
        Axis::new("neighbours", Scale::Linear),
        Axis::new("hops", Scale::Linear),
    );
    let points = |of: &dyn Fn(&Found) -> bool| {
        let here = found.iter().filter(|it| it.size == size && it.kind == Kind::Joined && of(it));
        here.map(|it| (it.neighbours, it.hops)).collect::<Vec<_>>()
    };
    state.series = vec![
        Series::new("more dimensions", Style::Line, points(&|it| it.realities == 1)),
        Series::new("more realities, d = 2", Style::Line, points(&|it| it.dimensions == 2)),
    ];
    vec![ways, state]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Claim;

    #[test]
    fn small_networks_match_the_closed_form_and_what_the_paper_says() {
        let options = Options { nodes: Some(1 << 10), ..Options::new(1) };
        let report = run(&options, &mut |_| ()).unwrap();
        assert!(report.claims.iter().all(Claim::is_settled), "{:#?}", report.claims);
        assert_eq!((report.tables.len(), report.charts.len()), (3, 2));
    }
}
