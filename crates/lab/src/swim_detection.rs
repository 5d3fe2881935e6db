//! How soon a crash is noticed and known, and what that costs: Das, Gupta and Motivala, "SWIM:
//! Scalable Weakly-consistent Infection-style Process Group Membership Protocol", DSN 2002.
//!
//! The judges are closed forms: the paper's for the first detection, and the logistic growth of an
//! infection for how long a word takes to reach all.

mod crashes;
mod quiet;
mod spread;
mod verdicts;

use std::time::Duration;

use nigh_base::Rng;

use self::{crashes::Crashes, quiet::Quiet, spread::Spread};
use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style, parallel,
    sample::Sample,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "swim-detection",
    shows: "How soon all members of a cluster know of a crash, and what membership costs each of them",
    source: "Das, Gupta, Motivala: SWIM, DSN 2002, sections 3.1 and 4.1: e/(e-1) periods until the \
             first detection, dissemination in the order of log N periods, a load that does not \
             depend on N",
    takes: &[],
    run,
};

/// Edges of a large cluster.
const NODES: u64 = 1000;
const FEWEST_NODES: u64 = 32;
const MOST_NODES: u64 = 4000;
/// Clusters of which each number is a mean.
const RUNS: u64 = 4;
/// The period of all.
const PERIOD: Duration = Duration::from_secs(1);
const LOSSES: [f64; 2] = [0.0, 0.1];

/// One piece of work.
#[derive(Clone, Copy, Debug)]
enum Job {
    Lockstep,
    Crashes(f64),
    Spread(u32, bool),
    Quiet(u32, f64),
}

/// What came of it.
#[derive(Clone, Debug)]
enum Found {
    Lockstep(Vec<f64>),
    Crashes(Crashes),
    Spread(Spread),
    Quiet(Quiet),
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let nodes = u32::try_from(nodes).expect("the limits are below 32 bits");
    let sizes = sizes(nodes);
    let rng = Rng::new(options.seed);
    // The longest first, so that no processor waits for the last one.
    let mut jobs: Vec<Job> = Vec::new();
    jobs.extend((0..RUNS).flat_map(|_| LOSSES.map(Job::Crashes)));
    jobs.extend(sizes.iter().flat_map(|&it| [Job::Spread(it, false), Job::Spread(it, true)]));
    jobs.extend(sizes.iter().flat_map(|&it| LOSSES.map(|loss| Job::Quiet(it, loss))));
    jobs.extend((0..2 * RUNS).map(|_| Job::Lockstep));
    jobs.reverse();
    jobs.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
    let found = parallel::map(
        jobs.len(),
        |place| {
            let mut rng = rng.fork(place as u64);
            match jobs[place] {
                Job::Lockstep => Found::Lockstep(crashes::in_lockstep(nodes, &mut rng)),
                Job::Crashes(loss) => Found::Crashes(crashes::find(nodes, loss, &mut rng)),
                Job::Spread(nodes, gossip) => Found::Spread(spread::find(nodes, gossip, &mut rng)),
                Job::Quiet(nodes, loss) => Found::Quiet(quiet::find(nodes, loss, &mut rng)),
            }
        },
        |done| {
            let text = format!("{done} of {} clusters", jobs.len());
            told(Progress { done: share(done as u64, jobs.len() as u64), text });
        },
    );
    let figures = Figures::of(found);
    let tables = vec![figures.crash_table(), figures.spread_table(), figures.quiet_table()];
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes), tables);
    report.charts = vec![figures.spread_chart()];
    report.claims = verdicts::claims(nodes, &figures);
    Ok(report)
}

/// Up to the nodes that were asked for, each four times the one before.
fn sizes(nodes: u32) -> Vec<u32> {
    let mut sizes: Vec<u32> = (0..4).map(|step| nodes >> (2 * step)).collect();
    sizes.retain(|&it| it >= 8);
    sizes.reverse();
    sizes
}

impl Job {
    /// About how long it takes, beside the others.
    fn weight(self) -> f64 {
        match self {
            Self::Lockstep => 1.0,
            Self::Crashes(loss) => 3.0 + 300.0 * loss,
            Self::Spread(nodes, _) => f64::from(nodes) / 300.0,
            Self::Quiet(nodes, loss) => f64::from(nodes) / 1000.0 * (1.0 + 300.0 * loss),
        }
    }
}

/// All that was found.
#[derive(Debug)]
struct Figures {
    /// Periods until the first detection, in lockstep.
    rounds: Sample,
    /// One for each loss.
    crashes: Vec<Crashes>,
    /// By size, without gossip and with it.
    spreads: Vec<Spread>,
    /// By size, for each loss.
    quiets: Vec<Quiet>,
}

impl Figures {
    fn of(found: Vec<Found>) -> Self {
        let (mut rounds, mut crashes) = (Vec::new(), Vec::<Crashes>::new());
        let (mut spreads, mut quiets) = (Vec::new(), Vec::new());
        for it in found {
            match it {
                Found::Lockstep(more) => rounds.extend(more),
                Found::Crashes(more) => match crashes.iter_mut().find(|it| it.is_like(&more)) {
                    Some(before) => before.add(more),
                    None => crashes.push(more),
                },
                Found::Spread(more) => spreads.push(more),
                Found::Quiet(more) => quiets.push(more),
            }
        }
        crashes.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        spreads.sort_by_key(|it| (it.gossip, it.nodes));
        quiets.sort_by(|a, b| a.loss.total_cmp(&b.loss).then(a.nodes.cmp(&b.nodes)));
        Self { rounds: Sample::new(rounds), crashes, spreads, quiets }
    }

    fn crash_table(&self) -> Table {
        let mut table = Table::new(vec![
            Column::new("loss", "%"),
            Column::new("crashes", ""),
            Column::new("first suspected, mean", "s"),
            Column::new("first declared, mean", "s"),
            Column::new("known to all, median", "s"),
            Column::new("known to all, p99", "s"),
            Column::new("from the first who knows to the last, median", "s"),
            Column::new("one has not heard of one after 40 s", ""),
            Column::new("others declared down", ""),
        ])
        .titled("From a crash on");
        for it in &self.crashes {
            table.row(vec![
                Cell::number(100.0 * it.loss, 0),
                Cell::count(it.suspected.len() as u64),
                Cell::number(Sample::new(it.suspected.clone()).mean(), 2),
                Cell::number(Sample::new(it.declared.clone()).mean(), 2),
                Cell::number(Sample::new(it.known.clone()).median(), 2),
                Cell::number(Sample::new(it.known.clone()).percentile(99.0), 2),
                Cell::number(Sample::new(it.passed_on()).median(), 2),
                Cell::count(it.missed),
                Cell::count(it.false_deaths),
            ]);
        }
        table
    }

    fn spread_table(&self) -> Table {
        let mut table = Table::new(vec![
            Column::new("members", ""),
            Column::new("ln N", "periods"),
            Column::new("pings alone, mean", "periods"),
            Column::new("pings alone, longest", "periods"),
            Column::new("with gossip, mean", "periods"),
            Column::new("with gossip, longest", "periods"),
        ])
        .titled("Until the last member has heard a word");
        let (alone, gossip): (Vec<_>, Vec<_>) = self.spreads.iter().partition(|it| !it.gossip);
        for (alone, gossip) in alone.into_iter().zip(gossip) {
            table.row(vec![
                Cell::count(alone.nodes.into()),
                Cell::number(alone.expected(), 1),
                Cell::number(alone.periods.mean(), 1),
                Cell::number(alone.periods.largest(), 1),
                Cell::number(gossip.periods.mean(), 1),
                Cell::number(gossip.periods.largest(), 1),
            ]);
        }
        table
    }

    fn quiet_table(&self) -> Table {
        let mut table = Table::new(vec![
            Column::new("loss", "%"),
            Column::new("members", ""),
            Column::new("datagrams a member", "1/s"),
            Column::new("bytes a member", "1/s"),
        ])
        .titled("What a member sends while nothing happens");
        for it in &self.quiets {
            table.row(vec![
                Cell::number(100.0 * it.loss, 0),
                Cell::count(it.nodes.into()),
                Cell::number(it.datagrams, 2),
                Cell::number(it.bytes, 0),
            ]);
        }
        table
    }

    fn spread_chart(&self) -> Chart {
        let line = |gossip: bool| -> Vec<(f64, f64)> {
            let these = self.spreads.iter().filter(|it| it.gossip == gossip);
            these.map(|it| (f64::from(it.nodes), it.periods.mean())).collect()
        };
        let predicted = self
            .spreads
            .iter()
            .filter(|it| !it.gossip)
            .map(|it| (f64::from(it.nodes), it.expected()));
        let mut chart = Chart::new(
            "Until the last member has heard a word",
            Axis::new("members", Scale::Log2),
            Axis::new("periods", Scale::Linear),
        );
        chart.series = vec![
            Series::new("pings alone", Style::Line, line(false)),
            Series::published("ln N", Style::Line, predicted.collect()),
            Series::new("with gossip every 200 ms", Style::Line, line(true)),
        ];
        chart
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer of all than 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn setup(nodes: u32) -> String {
    let nodes = Cell::count(nodes.into());
    format!(
        "{nodes} members that know each other, 5 to 10 ms apart, with a period of 1 s, 400 ms for an \
         answer, three others who are asked to ping, and a suspicion of four periods times log10 N. \
         In lockstep, as the paper counts: all begin their periods at one instant, {} members crash \
         just before one, and the periods are counted until somebody's ping and those through others \
         were in vain; {} clusters. The closed form is 1/(1 - (1 - 1/(N-1))^(N-C)) for C that crash, \
         which goes to e/(e-1). A count has a standard deviation of about 1, so the mean of all may \
         be off by 0.25: three standard errors. From a crash on: periods begin at random instants, \
         and members crash at random ones; so the first ping comes after 1 s on average, and is in \
         vain 1 s later. {RUNS} clusters with {} crashes each; the mean may be off by three standard \
         errors, 0.5 s. Known to all is when the last of those left has declared it down or heard of \
         it; a word may miss a member, which then finds out by its own pings: one that has not \
         heard within {} s is counted apart. \
         A word is what a member carries. With pings alone each who knows tells two others a period, \
         whom it pings and who pings it, so its number grows as x' = 2x(1 - x/N): ln N / 2 periods to \
         the half, and as many to the last. Who has not heard after 25 s is taken to hear then. The \
         slope against ln N may be off by a third, since the last one of a few is a matter of luck. \
         While nothing happens, a ping and its answer a period are 2 datagrams; asking for others \
         (each 30 s) and for words (each 10 s) are the rest. \
         The figures that the paper measured could not be read, so nothing is claimed of them.",
        crashes::CRASHES,
        2 * RUNS,
        crashes::CRASHES,
        crashes::BEHIND.as_secs(),
    )
}

#[cfg(test)]
mod tests;
