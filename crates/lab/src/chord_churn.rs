//! How many lookups fail while nodes come and go: Stoica, Morris, Karger, Kaashoek and Balakrishnan,
//! "Chord: A Scalable Peer-to-peer Lookup Service for Internet Applications", SIGCOMM 2001, section
//! 6.5, figure 12.
//!
//! The paper's lookups have one try: a question to a node that has failed is a failed lookup. Ours
//! wait for an answer, and ask another node if there is none. Both are counted, from the same
//! lookups: [`life`].

mod life;
mod verdicts;

use nigh_base::Rng;

use self::life::Counts;
use crate::{
    Axis, Chart, Choice, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    lives::Lifetimes,
    parallel,
    sample::Interval,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "chord-churn",
    shows: "How many lookups fail while nodes join and fail in a Chord ring of 500",
    source: "Stoica, Morris, Karger, Kaashoek, Balakrishnan: Chord, SIGCOMM 2001, section 6.5, \
             figure 12",
    takes: &[Choice::Seeds],
    run,
};

/// The paper's nodes.
const NODES: u64 = 500;
const FEWEST_NODES: u64 = 50;
const MOST_NODES: u64 = 10_000;
/// Runs of each rate; the paper has ten, of ten rates.
const RUNS: u64 = 4;
/// Joins a second, and failures a second. Half of the paper's points: they lie on a line.
const RATES: [f64; 5] = [0.01, 0.03, 0.05, 0.08, 0.1];
/// Two kinds of lives.
const LIVES: [Lifetimes; 2] = [Lifetimes::Exponential, Lifetimes::Weibull];

/// One point of the figure.
#[derive(Clone, Debug)]
struct Point {
    rate: f64,
    lifetimes: Lifetimes,
    runs: Vec<Counts>,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let seeds = options.seeds_or(RUNS)?;
    let runs: Vec<(Lifetimes, f64, u64)> = LIVES
        .into_iter()
        .flat_map(|lifetimes| RATES.map(|rate| (lifetimes, rate)))
        .flat_map(|(lifetimes, rate)| seeds.iter().map(move |&seed| (lifetimes, rate, seed)))
        .collect();
    let few = u32::try_from(nodes).expect("the limits are below 32 bits");
    let counts = parallel::map(
        runs.len(),
        |place| {
            let (lifetimes, rate, seed) = runs[place];
            // The same seed draws other numbers for each point.
            let rng = Rng::new(seed).fork(place as u64 / seeds.len() as u64);
            life::live(few, lifetimes, rate, rng)
        },
        |done| {
            let text = format!("{done} of {} runs of two hours", runs.len());
            told(Progress { done: share(done as u64, runs.len() as u64), text });
        },
    );
    let points: Vec<Point> = counts
        .chunks(seeds.len())
        .zip(runs.chunks(seeds.len()))
        .map(|(counts, runs)| {
            let (lifetimes, rate, _) = runs[0];
            Point { rate, lifetimes, runs: counts.to_vec() }
        })
        .collect();
    let setup = setup(nodes, seeds.len());
    let mut report = Report::new(&EXPERIMENT, options, setup, vec![table(nodes, &points)]);
    report.charts = vec![chart(nodes, &points)];
    report.claims = verdicts::claims(nodes, &points);
    Ok(report)
}

impl Point {
    /// The mean over the runs of a share of their lookups, and how sure it is.
    fn share(&self, of: impl Fn(&Counts) -> u64) -> Interval {
        Interval::of(self.runs.iter().map(|run| share(of(run), run.lookups)))
    }

    fn mean(&self, of: impl Fn(&Counts) -> u64) -> f64 {
        let lookups: u64 = self.runs.iter().map(|run| run.lookups).sum();
        share(self.runs.iter().map(of).sum(), lookups)
    }

    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.runs.iter().map(of).sum()
    }

    /// k/100 of the paper, of whatever size the ring is: of the nodes on a way, those that have
    /// failed since the last round of upkeep.
    fn expected(&self, nodes: u64) -> f64 {
        let failures = self.rate * life::UPKEEP.as_secs_f64();
        failures * way_of_paper(nodes) / share(nodes, 1)
    }
}

/// About how many nodes a way has, in the paper's words: 5 of 500.
fn way_of_paper(nodes: u64) -> f64 {
    5.0 * share(nodes, 1).log2() / share(NODES, 1).log2()
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer lookups than 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn setup(nodes: u64, runs: usize) -> String {
    let joined = |rates: &[f64]| rates.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    format!(
        "A ring of {} nodes. In the whole network lookups of random keys come at random instants, \
         one a second; nodes join through a random node, and others fail, at random instants too, \
         each {} times a second. Every node goes through its upkeep at random intervals of half a \
         minute on average, and looks up all its fingers each time. Each point is the mean of {runs} \
         runs of two hours, with its 95 % interval; the paper has ten runs. Lookups are iterative. \
         Where the paper is silent: {} successors, 50 ms one way. \
         A lookup is right if it finds the node that is responsible when the answer comes. With one \
         try, as in the paper, it also fails if any question on its way has no answer. With \
         retries, as the protocol has them, another node is asked then, and who asks goes to the \
         first of the nodes that were named which is there. Hosts never come back. \
         The paper gives no numbers of its figure: it expects k/100 for k failures between two rounds, \
         since about 5 of 500 nodes are on a way, and calls its measurement in that ball-park and \
         slightly worse; a factor of two is taken for the ball-park. \
         Weibull: nodes fail at the end of lifetimes with as many failures a second on average, but \
         with a long tail (shape 0.5), as was measured among peers (Stutzbach and Rejaie, IMC 2006).",
        Cell::count(nodes),
        joined(&RATES),
        life::SUCCESSORS,
    )
}

fn table(nodes: u64, points: &[Point]) -> Table {
    let mut table = Table::new(vec![
        Column::new("lifetimes", ""),
        Column::new("joins, failures", "1/s"),
        Column::new("joined", ""),
        Column::new("failed", ""),
        Column::new("lookups", ""),
        Column::new("way", "nodes"),
        Column::new("time-outs", "a lookup"),
        Column::new("k/100", "%"),
        Column::new("wrong with one try", "%"),
        Column::new("of these timed out", "%"),
        Column::new("wrong with retries", "%"),
        Column::new("no answer", ""),
    ]);
    for point in points {
        let percent = |interval: Interval| Cell::text(interval.percent());
        table.row(vec![
            Cell::text(point.lifetimes.name()),
            Cell::number(point.rate, 2),
            Cell::count(point.sum(|it| it.joined)),
            Cell::count(point.sum(|it| it.failed)),
            Cell::count(point.sum(|it| it.lookups)),
            Cell::number(point.mean(|it| it.nodes_on_ways), 2),
            Cell::number(point.mean(|it| it.timeouts), 3),
            Cell::number(100.0 * point.expected(nodes), 2),
            percent(point.share(|it| it.wrong_with_one_try)),
            Cell::number(100.0 * point.mean(|it| it.timed_out), 2),
            percent(point.share(|it| it.wrong_with_retries)),
            Cell::count(point.sum(|it| it.unanswered)),
        ]);
    }
    table
}

fn chart(nodes: u64, points: &[Point]) -> Chart {
    let line = |lifetimes: Lifetimes, of: &dyn Fn(&Point) -> f64| -> Vec<(f64, f64)> {
        let points = points.iter().filter(|point| point.lifetimes == lifetimes);
        points.map(|point| (point.rate, of(point))).collect()
    };
    let one_try = |point: &Point| point.share(|it| it.wrong_with_one_try).mean;
    let retries = |point: &Point| point.share(|it| it.wrong_with_retries).mean;
    let mut chart = Chart::new(
        "Figure 12: lookups that fail while nodes come and go",
        Axis::new("joins and failures, each, a second", Scale::Linear),
        Axis::new("share of lookups that fail", Scale::Linear),
    );
    let (poisson, weibull) = (Lifetimes::Exponential, Lifetimes::Weibull);
    chart.series = vec![
        Series::new("one try", Style::Line, line(poisson, &one_try)),
        Series::published("k/100", Style::Line, line(poisson, &|it| it.expected(nodes))),
        Series::new("one try, Weibull", Style::Line, line(weibull, &one_try)),
        Series::new("retries", Style::Line, line(poisson, &retries)),
        Series::new("retries, Weibull", Style::Line, line(weibull, &retries)),
    ];
    chart
}

#[cfg(test)]
mod tests;
