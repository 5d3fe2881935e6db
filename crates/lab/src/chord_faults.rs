//! Thousands of small rings under crashes, pauses, partitions and loss, each from a seed: what must
//! hold at every step, and what must be true again once all is mended.
//!
//! No figure of a paper is redrawn here. The Chord papers prove that a ring becomes right again after
//! joins, and argue that it does after failures; Zave, "Using lightweight modeling to understand
//! Chord", ACM SIGCOMM CCR 42(2), 2012, showed that of the properties they claim none holds of the
//! protocol as published. So ours is not believed either: it is tortured, and a seed that breaks it is
//! cut down to the few faults that matter (`nigh_sim::plan`).

mod scenario;
mod torture;

use std::collections::BTreeMap;

use nigh_overlay::locate::chord::Routing;
use nigh_sim::plan::{self, Step};

use self::scenario::{Broken, FEWEST, Held, Rule, Scenario};
use crate::{
    Axis, Chart, Choice, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    claim::{Claim, Verdict},
    parallel,
    sample::Sample,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "chord-faults",
    shows: "Whether Chord rings hold under crashes, pauses, partitions and loss, and mend afterwards",
    source: "no paper: what section 4.4 of the Chord paper (SIGCOMM 2001) promises, and Zave (CCR \
             42(2), 2012) found broken in the protocol as published",
    takes: &[Choice::Seeds, Choice::Steps],
    run,
};

/// Seeds, if nothing else is asked for.
const SEEDS: u64 = 10_000;
/// The largest ring.
const NODES: u64 = 24;
const MOST_NODES: u64 = 200;
/// So many seeds that break are cut down; the others are counted.
const SHRUNK: usize = 5;

/// What became of a seed.
#[derive(Clone, Debug)]
struct Outcome {
    seed: u64,
    routing: Routing,
    nodes: u32,
    faults: BTreeMap<&'static str, u64>,
    result: Result<Held, Broken>,
}

/// A seed that breaks, and the fewest of its faults with which it does.
#[derive(Clone, Debug)]
struct Shrunk {
    seed: u64,
    kept: Vec<usize>,
    steps: Vec<Step>,
    broken: Broken,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let most = options.nodes_within(NODES, FEWEST, MOST_NODES)?;
    let seeds = options.seeds_or(SEEDS)?;
    let only = options.only.as_deref();
    check_steps(&seeds, only, most)?;
    let mut tell = |done: usize| {
        let text = format!("{done} of {} seeds", seeds.len());
        told(Progress { done: share(done as u64, seeds.len() as u64), text });
    };
    let outcomes = parallel::map(seeds.len(), |place| outcome(seeds[place], most, only), &mut tell);
    let mut broken = outcomes.iter().filter(|it| it.result.is_err());
    let first: Vec<u64> = broken.by_ref().take(SHRUNK).map(|it| it.seed).collect();
    let others = broken.count();
    let shrunk =
        parallel::map(first.len(), |place| shrink(first[place], most, only, torture::run), |_| ());
    let mut tables = vec![table(&outcomes)];
    if !shrunk.is_empty() {
        tables.push(broken_table(&shrunk, options));
    }
    let mut report = Report::new(&EXPERIMENT, options, setup(most, others), tables);
    report.charts = chart(&outcomes).into_iter().collect();
    report.claims = claims(&outcomes);
    Ok(report)
}

fn check_steps(seeds: &[u64], only: Option<&[usize]>, most: u64) -> Result<(), Error> {
    let Some(only) = only else { return Ok(()) };
    let [seed] = seeds else { return Err(Error::StepsOfMany { seeds: seeds.len() }) };
    let count = Scenario::draw(*seed, most).steps.len();
    match only.iter().find(|&&place| place >= count) {
        Some(&asked) => Err(Error::NoStep { asked, last: count.saturating_sub(1) }),
        None => Ok(()),
    }
}

/// The faults of a scenario, or those of them that are asked for.
fn chosen(scenario: &Scenario, only: Option<&[usize]>) -> Vec<(usize, Step)> {
    let places = scenario.steps.iter().cloned().enumerate();
    places.filter(|(place, _)| only.is_none_or(|only| only.contains(place))).collect()
}

fn outcome(seed: u64, most: u64, only: Option<&[usize]>) -> Outcome {
    let scenario = Scenario::draw(seed, most);
    let steps: Vec<Step> = chosen(&scenario, only).into_iter().map(|(_, step)| step).collect();
    let mut faults = BTreeMap::new();
    scenario::count_faults(&steps, &mut faults);
    Outcome {
        seed,
        routing: scenario.settings.routing,
        nodes: scenario.nodes,
        faults,
        result: torture::run(&scenario, &steps),
    }
}

/// Cuts the faults of a seed down to the fewest with which `run` breaks.
fn shrink(
    seed: u64,
    most: u64,
    only: Option<&[usize]>,
    run: impl Fn(&Scenario, &[Step]) -> Result<Held, Broken>,
) -> Shrunk {
    let scenario = Scenario::draw(seed, most);
    let chosen = chosen(&scenario, only);
    let steps = |some: &[(usize, Step)]| -> Vec<Step> {
        some.iter().map(|(_, step)| step.clone()).collect()
    };
    let kept = plan::shrink(&chosen, |some| run(&scenario, &steps(some)).is_err());
    let kept: Vec<(usize, Step)> = kept.into_iter().map(|place| chosen[place].clone()).collect();
    let steps = steps(&kept);
    let broken = run(&scenario, &steps).expect_err("it was cut down to what fails");
    Shrunk { seed, kept: kept.into_iter().map(|(place, _)| place).collect(), steps, broken }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a simulation are far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn setup(most: u64, others: usize) -> String {
    let more = match others {
        0 => String::new(),
        _ => format!(" {others} more seeds break, and were not cut down."),
    };
    format!(
        "For each seed {FEWEST} to {most} hosts join within ten seconds through the first one and others, \
         and before that has settled faults begin: crashes (at most a third of the \
         hosts down at once, and fewer than a node knows successors), restarts as a new node without \
         memory that joins through any others that are up, members or not, pauses, partitions, partitions in one direction, and \
         up to a fifth of all datagrams lost, doubled or late. A fault comes every two seconds for 48 \
         seconds, upkeep every second on average; routing, number of successors (4 to 8), \
         proximity and fingers a round are drawn. Meanwhile keys are looked up and values put. After every \
         input the node's own invariants are checked. Then all is mended, and within {} seconds \
         every host must be a member that knows exactly its successors and its predecessor; every \
         question must have been answered once, unless its asker failed; and a lookup at each node must find \
         the owner. In every fourth seed values are looked for four minutes later: one must be there \
         if fewer hosts have failed since it was put than held it when that was acknowledged.{more}",
        torture::PATIENCE.as_secs(),
    )
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new(vec![
        Column::new("routing", ""),
        Column::new("seeds", ""),
        Column::new("nodes", "on average"),
        Column::new("crashes", ""),
        Column::new("pauses", ""),
        Column::new("partitions", ""),
        Column::new("one-way", ""),
        Column::new("inputs", "millions"),
        Column::new("answers", ""),
        Column::new("values", ""),
        Column::new("whole p50", "s"),
        Column::new("whole p99", "s"),
        Column::new("whole at last", "s"),
        Column::new("broken", "seeds"),
    ]);
    for routing in [Routing::Iterative, Routing::Recursive, Routing::Blind] {
        let some: Vec<&Outcome> = outcomes.iter().filter(|it| it.routing == routing).collect();
        if some.is_empty() {
            continue;
        }
        let faults = |kind| some.iter().filter_map(|it| it.faults.get(kind)).sum::<u64>();
        let held: Vec<Held> =
            some.iter().filter_map(|it| it.result.as_ref().ok().copied()).collect();
        let sum = |of: &dyn Fn(&Held) -> u64| held.iter().map(of).sum::<u64>();
        let seconds = whole_after(&held);
        let after = |percent| match &seconds {
            Some(seconds) => Cell::number(seconds.percentile(percent), 1),
            None => Cell::text("-"),
        };
        let nodes: u64 = some.iter().map(|it| u64::from(it.nodes)).sum();
        table.row(vec![
            Cell::text(format!("{routing:?}").to_lowercase()),
            Cell::count(some.len() as u64),
            Cell::number(share(nodes, some.len() as u64), 1),
            Cell::count(faults("crashes")),
            Cell::count(faults("pauses")),
            Cell::count(faults("partitions")),
            Cell::count(faults("one-way partitions")),
            Cell::number(share(sum(&|it| it.inputs), 1_000_000), 1),
            Cell::count(sum(&|it| it.answers)),
            Cell::count(sum(&|it| it.values)),
            after(50.0),
            after(99.0),
            after(100.0),
            Cell::count((some.len() - held.len()) as u64),
        ]);
    }
    table
}

fn whole_after(held: &[Held]) -> Option<Sample> {
    let seconds = held.iter().map(|it| it.whole_after.as_secs_f64());
    (!held.is_empty()).then(|| Sample::new(seconds))
}

fn broken_table(shrunk: &[Shrunk], options: &Options) -> Table {
    let columns = ["seed", "faults that suffice", "what was seen", "again"];
    let columns = columns.map(|name| Column::new(name, "")).to_vec();
    let mut table = Table::new(columns).titled("Seeds that break a ring");
    for it in shrunk {
        let steps: Vec<String> = it.steps.iter().map(Step::to_string).collect();
        let again = Options {
            nodes: options.nodes,
            seeds: Some(it.seed..=it.seed),
            only: Some(it.kept.clone()),
            ..Options::new(it.seed)
        };
        table.row(vec![
            Cell::text(it.seed.to_string()),
            Cell::text(steps.join("; ")),
            Cell::text(format!("{:?}: {}", it.broken.rule(), it.broken.words())),
            Cell::text(format!("nigh sim {}{again}", EXPERIMENT.name)),
        ]);
    }
    table
}

fn claims(outcomes: &[Outcome]) -> Vec<Claim> {
    let broken = |rule| {
        let rules = outcomes.iter().filter_map(|it| it.result.as_ref().err().map(Broken::rule));
        rules.filter(|it| *it == rule).count() as u64
    };
    let claim = |rule: Rule| {
        let seeds = outcomes.len() as u64;
        Claim::stated(
            match rule {
                Rule::Invariants => "a node's invariants hold after every input",
                Rule::Answers => "every question is answered once, unless its asker fails",
                Rule::Whole => "once all is mended, the ring becomes whole",
                Rule::Lookups => "in the whole ring every lookup finds the owner",
                Rule::Values => "a value of whose holders one never failed is there",
            },
            format!("in all {} seeds", Cell::count(seeds)),
            format!("broken in {}", Cell::count(broken(rule))),
            Verdict::of(broken(rule) == 0),
        )
    };
    Rule::ALL.map(claim).to_vec()
}

/// How long rings took to become whole.
fn chart(outcomes: &[Outcome]) -> Option<Chart> {
    let held: Vec<Held> =
        outcomes.iter().filter_map(|it| it.result.as_ref().ok().copied()).collect();
    let seconds = whole_after(&held)?;
    let mut chart = Chart::new(
        "Rings that are whole again",
        Axis::new("seconds after the last fault", Scale::Linear),
        Axis::new("share of seeds", Scale::Linear),
    );
    let quantiles = (0..=100).map(f64::from);
    let points = quantiles.map(|percent| (seconds.percentile(percent), percent / 100.0)).collect();
    chart.series.push(Series::new("whole", Style::Steps, points));
    Some(chart)
}

#[cfg(test)]
mod tests;
