//! What it costs to find nodes soon while they come and go: Li, Stribling, Morris, Kaashoek and Gil, "A
//! performance vs. cost framework for evaluating DHT design tradeoffs under churn", INFOCOM 2005.
//!
//! An overlay with one combination of its parameters is a point: bytes that a node sends a second, and how
//! long lookups take. Of many combinations the convex hull says what the overlay can do with so many bytes.
//! All overlays live through the same: who is there when, and who looks what up.
//!
//! ```text
//! overlays  which overlays, with which parameters
//! life      hours of one of them
//! counted   bytes that a node sends
//! hull      which combinations are worth their price
//! ```

mod counted;
mod hull;
mod life;
mod overlays;
mod verdicts;

use std::{sync::Arc, time::Duration};

use nigh_base::Rng;
use nigh_sim::{HostId, Latency, Places};

use self::{
    life::{Counts, LOOKUP_EVERY, PATIENCE, Scene},
    overlays::Variant,
};
use crate::{
    Axis, Chart, Choice, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    lives::Lifetimes,
    parallel,
    sample::Sample,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "overlay-churn",
    shows: "What overlays pay in bytes for the time that lookups take, while nodes come and go",
    source: "Li, Stribling, Morris, Kaashoek, Gil: A performance vs. cost framework for evaluating DHT \
             design tradeoffs under churn, INFOCOM 2005",
    takes: &[Choice::RoundTrips],
    run,
};

/// As in the paper.
const NODES: u64 = 1024;
const FEWEST_NODES: u64 = 64;
const MOST_NODES: u64 = 8192;
/// The median round trip between hosts, as in the paper.
const MEDIAN_ROUND_TRIP: Duration = Duration::from_millis(156);
/// A quarter of the paper's six hours, so that all is run in some minutes.
const HOURS: Hours =
    Hours { before: Duration::from_secs(1800), measured: Duration::from_secs(3600) };

/// How long an overlay lives.
#[derive(Clone, Copy, Debug)]
struct Hours {
    before: Duration,
    measured: Duration,
}

/// One overlay with one combination of its parameters, and what came of it.
#[derive(Clone, Debug)]
struct Point {
    overlay: &'static str,
    parameters: &'static str,
    interval: Duration,
    lifetimes: Lifetimes,
    owner_answers: bool,
    counts: Counts,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let few = u32::try_from(nodes).expect("the limits are below 32 bits");
    Ok(report(options, few, HOURS, &overlays::variants(), told))
}

fn report(
    options: &Options,
    nodes: u32,
    hours: Hours,
    variants: &[Variant],
    told: &mut dyn FnMut(Progress),
) -> Report {
    let rng = Rng::new(options.seed);
    let latency = match &options.round_trips {
        Some(round_trips) => Latency::Measured(Arc::clone(&round_trips.matrix)),
        None => Latency::Placed(Arc::new(places(nodes, &rng))),
    };
    let both = [Lifetimes::Exponential, Lifetimes::Weibull];
    let runs: Vec<(&Variant, Lifetimes)> = both
        .into_iter()
        .flat_map(|lifetimes| variants.iter().map(move |it| (it, lifetimes)))
        .filter(|(variant, lifetimes)| variant.lives_through(*lifetimes))
        .collect();
    let points = parallel::map(
        runs.len(),
        |place| {
            let (variant, lifetimes) = runs[place];
            let latency = latency.clone();
            let Hours { before, measured } = hours;
            let scene = Scene { nodes, latency, lifetimes, before, measured };
            Point::of(variant, lifetimes, variant.live(&scene, &rng.fork(1)))
        },
        |done| {
            let text = format!("{done} of {} lives of overlays", runs.len());
            told(Progress { done: ratio(done as u64, runs.len() as u64), text });
        },
    );
    let setup = setup(nodes, hours, options);
    let tables = vec![table(&points)];
    let mut report = Report::new(&EXPERIMENT, options, setup, tables);
    report.charts = charts(&points);
    report.claims = verdicts::claims(nodes, hours.measured, &points);
    report
}

/// Places whose median round trip is that of the paper's hosts.
fn places(nodes: u32, rng: &Rng) -> Places {
    // About half of a round trip.
    let guess = MEDIAN_ROUND_TRIP / 2;
    let spread = |mean| Places::spread(nodes as usize, mean, &mut rng.fork(0));
    let stretch = MEDIAN_ROUND_TRIP.as_secs_f64() / median_round_trip(nodes, spread(guess));
    spread(guess.mul_f64(stretch))
}

/// In seconds, between each host and a hundred others.
fn median_round_trip(nodes: u32, places: Places) -> f64 {
    let latency = Latency::Placed(Arc::new(places));
    let pairs = (0..nodes).flat_map(|one| (1..=100.min(nodes - 1)).map(move |on| (one, on)));
    let round_trips = pairs.map(|(one, on)| {
        let (one, other) = (HostId(one), HostId((one + on) % nodes));
        (latency.between(one, other) + latency.between(other, one)).as_secs_f64()
    });
    Sample::new(round_trips).median()
}

impl Point {
    fn of(variant: &Variant, lifetimes: Lifetimes, counts: Counts) -> Self {
        let Variant { overlay, parameters, interval, owner_answers, .. } = *variant;
        Self { overlay, parameters, interval, lifetimes, owner_answers, counts }
    }

    /// Bytes a second for each node that is there.
    fn cost(&self) -> f64 {
        to_float(self.counts.sent.bytes) / self.counts.lived.as_secs_f64()
    }

    /// Milliseconds of a lookup; one that fails has all the time that there is.
    fn latency(&self) -> f64 {
        let Counts { lookups, failed, took, .. } = self.counts;
        let all = took.as_secs_f64() + to_float(failed) * PATIENCE.as_secs_f64();
        1e3 * all / to_float(lookups.max(1))
    }

    /// The same of those that do not fail.
    fn latency_found(&self) -> f64 {
        let Counts { lookups, failed, took, .. } = self.counts;
        1e3 * took.as_secs_f64() / to_float((lookups - failed).max(1))
    }

    fn failed(&self) -> f64 {
        ratio(self.counts.failed, self.counts.lookups)
    }

    fn is_exponential(&self) -> bool {
        self.lifetimes == Lifetimes::Exponential
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn to_float(count: u64) -> f64 {
    count as f64
}

fn ratio(part: u64, whole: u64) -> f64 {
    to_float(part) / to_float(whole.max(1))
}

/// The overlays, in the order in which they were run.
fn names(points: &[Point]) -> Vec<&'static str> {
    let exponential = points.iter().filter(|it| it.is_exponential());
    let mut names: Vec<&'static str> = exponential.map(|it| it.overlay).collect();
    names.dedup();
    names
}

/// The points of an overlay's hull, from the cheapest to the soonest.
fn hull<'a>(points: &'a [Point], overlay: &str) -> Vec<&'a Point> {
    let own: Vec<&Point> =
        points.iter().filter(|it| it.overlay == overlay && it.is_exponential()).collect();
    let places: Vec<(f64, f64)> = own.iter().map(|it| (it.cost(), it.latency())).collect();
    hull::hull(&places).into_iter().map(|place| own[place]).collect()
}

fn setup(nodes: u32, hours: Hours, options: &Options) -> String {
    let hosts = match &options.round_trips {
        None => format!(
            "lie on a square whose edges meet, so that the median round trip is that of the paper's \
             hosts, {} ms",
            MEDIAN_ROUND_TRIP.as_millis()
        ),
        Some(round_trips) => {
            format!("have the round trips of {}, a host for each row", round_trips.name)
        }
    };
    let intervals = overlays::INTERVALS.map(|it| it.to_string()).join(", ");
    let other_intervals = overlays::OF_OTHER_LIVES.map(|it| it.to_string()).join(" and ");
    format!(
        "{} hosts {hosts}. Each is there for an hour on average, is gone at once and without a word, and is \
         away for an hour, both exponential; it comes back at the same address and under the same key and \
         remembers nobody. At each host that is there a random key is looked up every {} minutes on average. \
         After {} minutes all is counted for {} minutes: the paper has six hours, of which it counts \
         the second half; these are fewer so that a run takes minutes. Cost is all that nodes send, each message as long as its bytes and 28 bytes for \
         IP and UDP, for each node that is there. A lookup is right if the first whom it names is there \
         and responsible when the answer comes, within {} s; one that is not counts as {} s, and the part of \
         these stands beside. Nobody looks a key up again who was told wrongly. Every overlay lives through \
         the same comings, goings and lookups. Upkeep comes every {intervals} s on average. Parameters \
         are those of the overlays' pages; Kademlia ends a lookup when the nearest that is not late has \
         answered, and does not wait for all of the k nearest. The hull is that of the \
         points with exponential lifetimes; with Weibull's (shape 0.5, the same mean) the first \
         combination of each overlay lives too, with upkeep every {other_intervals} s. In CAN who owns a key does \
         not follow from who is there: its owner is the only member with a zone around it, and while there are \
         several or none, every lookup of it fails. Only the abstract of the paper was read: sizes, rates and \
         lifetimes are from a description of it, and how it counts headers and failed lookups is not known \
         here.",
        Cell::count(nodes.into()),
        LOOKUP_EVERY.as_secs() / 60,
        hours.before.as_secs() / 60,
        hours.measured.as_secs() / 60,
        PATIENCE.as_secs(),
        PATIENCE.as_secs(),
    )
}

fn table(points: &[Point]) -> Table {
    let mut table = Table::new(vec![
        Column::new("overlay", ""),
        Column::new("parameters", ""),
        Column::new("lifetimes", ""),
        Column::new("upkeep", "s"),
        Column::new("cost", "bytes/s"),
        Column::new("datagrams", "1/s"),
        Column::new("latency", "ms"),
        Column::new("of those found", "ms"),
        Column::new("lookups", ""),
        Column::new("failed", "%"),
        Column::new("on the hull", ""),
    ]);
    for overlay in names(points) {
        let hull = hull(points, overlay);
        for point in points.iter().filter(|it| it.overlay == overlay) {
            let Counts { lookups, sent, lived, .. } = point.counts;
            let is_on_hull = hull.iter().any(|it| std::ptr::eq(*it, point));
            table.row(vec![
                Cell::text(overlay),
                Cell::text(point.parameters),
                Cell::text(point.lifetimes.name()),
                Cell::count(point.interval.as_secs()),
                Cell::number(point.cost(), 1),
                Cell::number(to_float(sent.datagrams) / lived.as_secs_f64(), 3),
                Cell::number(point.latency(), 0),
                Cell::number(point.latency_found(), 0),
                Cell::count(lookups),
                Cell::number(100.0 * point.failed(), 2),
                Cell::text(if is_on_hull { "yes" } else { "" }),
            ]);
        }
    }
    table
}

fn charts(points: &[Point]) -> Vec<Chart> {
    let chart = |title: String| {
        Chart::new(
            title,
            Axis::new("bytes a node sends a second", Scale::Linear),
            Axis::new("milliseconds of a lookup", Scale::Linear),
        )
    };
    let at = |point: &Point| (point.cost(), point.latency());
    let names = names(points);
    let mut hulls = chart("Convex hulls: what a lookup takes for so many bytes".to_owned());
    for &overlay in &names {
        let line = hull(points, overlay).into_iter().map(at).collect();
        hulls.series.push(Series::new(overlay, Style::Line, line));
    }
    let mut charts = vec![hulls];
    for &overlay in &names {
        let own = |it: &&Point| it.overlay == overlay && it.is_exponential();
        let mut chart = chart(format!("{overlay}: each line from seldom to frequent upkeep"));
        let own: Vec<&Point> = points.iter().filter(own).collect();
        for line in own.chunk_by(|a, b| a.parameters == b.parameters) {
            let mut places: Vec<(f64, f64)> = line.iter().map(|it| at(it)).collect();
            places.sort_by(|a, b| a.0.total_cmp(&b.0));
            chart.series.push(Series::new(line[0].parameters, Style::Line, places));
        }
        charts.push(chart);
    }
    charts
}

#[cfg(test)]
mod tests;
