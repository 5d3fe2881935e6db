//! What lookups lose when many nodes fail at once: Stoica, Morris, Karger, Kaashoek and Balakrishnan,
//! "Chord: A Scalable Peer-to-peer Lookup Service for Internet Applications", SIGCOMM 2001, section
//! 6.4, figure 11: after the ring has repaired itself. And right after the failure, before anybody
//! has repaired anything ([`unrepaired`]), as in table II of the journal version (ToN 11(1), 2003).

mod repaired;
mod unrepaired;
mod verdicts;

use std::{sync::Arc, time::Duration};

use nigh_base::{Rng, Time, space::clockwise::Circle};
use nigh_overlay::locate::chord::{Node, Routing, Settings, settled::Ring};
use nigh_sim::{HostId, Latency, Network, World};

use self::{repaired::Repaired, unrepaired::Unrepaired};
use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style, parallel,
    rings,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "chord-failures",
    shows: "How many lookups fail when a part of all nodes of a Chord ring fails at once",
    source: "Stoica, Morris, Karger, Kaashoek, Balakrishnan: Chord, SIGCOMM 2001, section 6.4, \
             figure 11; and the set-up of table II of its journal version, ToN 11(1), 2003",
    takes: &[],
    run,
};

/// The paper's nodes.
const NODES: u64 = 10_000;
/// With fewer, the nodes that fail are too few to be a part of the ring; more take hours.
const FEWEST_NODES: u64 = 100;
const MOST_NODES: u64 = 100_000;
/// The nodes of the journal's table II.
const NODES_UNREPAIRED: u64 = 1000;

/// Percent of the nodes that fail.
const FIGURE_11: [u32; 10] = [5, 10, 15, 20, 25, 30, 35, 40, 45, 50];
const TABLE_II: [u32; 6] = [0, 10, 20, 30, 40, 50];
/// Rings for each of them.
const TRIALS: u64 = 3;

/// Successors that a node knows, as in the journal version; this paper names no number. All of them
/// fail with half of the nodes once in a million.
const SUCCESSORS: usize = 20;
/// The mean time between two rounds of upkeep, as in section 6.5 of the paper, and the fingers that
/// each looks up: until the ring is right it has gone through about all that a node has.
const UPKEEP: Duration = Duration::from_secs(30);
const FINGERS_A_ROUND: u32 = 2;
/// One way of each datagram; the paper names none.
const LATENCY: Duration = Duration::from_millis(50);

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let rng = Rng::new(options.seed);
    let trials: Vec<(u32, u64)> =
        FIGURE_11.iter().flat_map(|&percent| (0..TRIALS).map(move |it| (percent, it))).collect();
    let count = trials.len() + TABLE_II.len();
    let mut tell = |done: usize| {
        let text = format!("{done} of {count} rings have failed");
        told(Progress { done: share(done as u64, count as u64), text });
    };
    let repaired = parallel::map(
        trials.len(),
        |place| {
            let (percent, trial) = trials[place];
            repaired::find(small(nodes), percent, &mut rng.fork(percent.into()).fork(trial))
        },
        &mut tell,
    );
    let repaired = repaired::by_percent(&repaired);
    let few = nodes.min(NODES_UNREPAIRED);
    let unrepaired = parallel::map(
        TABLE_II.len(),
        |place| {
            let percent = TABLE_II[place];
            unrepaired::find(small(few), percent, &mut rng.fork(1000 + u64::from(percent)))
        },
        |done| tell(trials.len() + done),
    );
    let tables = vec![repaired_table(&repaired), unrepaired_table(&unrepaired)];
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes, few), tables);
    report.charts = charts(&repaired, &unrepaired);
    report.claims = verdicts::claims(nodes, &repaired);
    Ok(report)
}

fn small(nodes: u64) -> u32 {
    u32::try_from(nodes).expect("the limits are below 32 bits")
}

/// How nodes behave; `upkeep` is the mean time between two rounds.
fn settings(upkeep: Duration) -> Settings {
    Settings {
        circle: Circle::WHOLE,
        successors: SUCCESSORS,
        // All whom a node knows to stand in for an owner are named with it.
        copies: u8::try_from(SUCCESSORS + 1).expect("21"),
        routing: Routing::Iterative,
        proximity: 1,
        stabilise_every: upkeep,
        fingers_a_round: FINGERS_A_ROUND,
    }
}

/// A settled ring in a world of its own.
fn settled(
    nodes: u32,
    settings: Settings,
    rng: &mut Rng,
    mut first_round: impl FnMut(&mut Rng) -> Time,
) -> (World<Node>, Ring) {
    let contacts = rings::contacts(nodes);
    let ring = Ring::new(Arc::new(settings), contacts.clone());
    let mut world = World::new(rng.next_u64(), Network::new(Latency::Constant(LATENCY)));
    rings::settle(&mut world, &ring, &contacts, || first_round(rng), |_, _| 0);
    (world, ring)
}

/// Takes `percent` of all hosts down, and returns those that are left.
fn fail(world: &mut World<Node>, percent: u32, rng: &mut Rng) -> Vec<HostId> {
    let mut hosts: Vec<HostId> = world.hosts().collect();
    rng.shuffle(&mut hosts);
    let left = hosts.split_off(hosts.len() * percent as usize / 100);
    hosts.into_iter().for_each(|host| world.crash(host));
    left
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer lookups than 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn setup(nodes: u64, few: u64) -> String {
    let [nodes, few, lookups, at_once] =
        [nodes, few, repaired::LOOKUPS, unrepaired::LOOKUPS].map(Cell::count);
    format!(
        "Figure 11: of {nodes} nodes a part fails at once. The others go on with their upkeep (each \
         half minute, {FINGERS_A_ROUND} fingers each time; {SUCCESSORS} successors, as in the \
         journal version, since the paper names no number) until every successor and predecessor \
         is right, and four rounds more, in which the last old fingers are looked up. Then {lookups} \
         random keys are looked up at random nodes, in {TRIALS} rings for each part. As in the \
         paper, a lookup fails if it does not find the node that was responsible before the failure. \
         The share of lookups that fail may be off by 0.01: three standard errors of the arcs that \
         the failed nodes were responsible for (more in smaller rings). \
         Before repair: of {few} nodes a part fails at once, upkeep stands still, and {at_once} keys \
         are looked up at one instant, so that what one lookup finds out helps no other. A lookup \
         fails if it does not find the node that is responsible now. A way is the nodes between the \
         asker and the owner, and a time-out a question to a node that has failed; both are of the \
         lookups that do not fail. Those fail whose way ends at a node that has failed, just before \
         the key: the one before it names nobody else until its own upkeep has noticed, which takes \
         a round, and here there is none. \
         The values of table II itself could not be read, so nothing is claimed of them; beside ours \
         stand those of the benchmark of RingsNetwork/rings, which repeats the table's set-up in a \
         simulator of its own; there no lookup fails."
    )
}

fn repaired_table(found: &[Repaired]) -> Table {
    let columns = vec![
        Column::new("failed nodes", "%"),
        Column::new("lookups", ""),
        Column::new("failed lookups", "%"),
        Column::new("of keys whose node failed", "%"),
        Column::new("of other keys", ""),
        Column::new("ring is right after", "s"),
    ];
    let mut table = Table::new(columns).titled("After the ring has repaired itself");
    for found in found {
        table.row(vec![
            Cell::count(found.percent.into()),
            Cell::count(found.lookups),
            Cell::number(100.0 * found.failed_share(), 2),
            Cell::number(100.0 * share(found.of_failed_nodes, found.lookups), 2),
            Cell::count(found.of_others),
            Cell::count(found.repaired_after.as_secs()),
        ]);
    }
    table
}

fn unrepaired_table(found: &[Unrepaired]) -> Table {
    let columns = vec![
        Column::new("failed nodes", "%"),
        Column::new("lookups", ""),
        Column::new("failed lookups", "of 10,000"),
        Column::new("way p1", "nodes"),
        Column::new("way mean", "nodes"),
        Column::new("way p99", "nodes"),
        Column::new("time-outs mean", "a lookup"),
        Column::new("time-outs p99", "a lookup"),
        Column::new("way, rings", "nodes"),
        Column::new("time-outs, rings", "a lookup"),
    ];
    let mut table = Table::new(columns).titled("Before anybody has repaired anything");
    for found in found {
        let (ways, timeouts) = (&found.ways, &found.timeouts);
        let by_others = unrepaired::by_others(found.percent);
        table.row(vec![
            Cell::count(found.percent.into()),
            Cell::count(found.lookups),
            Cell::number(1e4 * share(found.failed, found.lookups), 0),
            Cell::number(ways.percentile(1.0), 0),
            Cell::number(ways.mean(), 2),
            Cell::number(ways.percentile(99.0), 0),
            Cell::number(timeouts.mean(), 2),
            Cell::number(timeouts.percentile(99.0), 0),
            Cell::number(by_others[0], 2),
            Cell::number(by_others[1], 2),
        ]);
    }
    table
}

fn charts(repaired: &[Repaired], unrepaired: &[Unrepaired]) -> Vec<Chart> {
    let part = |percent: u32| f64::from(percent) / 100.0;
    let mut failed = Chart::new(
        "Figure 11: lookups that fail after repair",
        Axis::new("share of nodes that failed", Scale::Linear),
        Axis::new("share of lookups that fail", Scale::Linear),
    );
    let points = repaired.iter().map(|it| (part(it.percent), it.failed_share())).collect();
    let line = repaired.iter().map(|it| (part(it.percent), part(it.percent))).collect();
    failed.series = vec![
        Series::new("measured", Style::Points, points),
        Series::published("as many as failed nodes", Style::Line, line),
    ];
    let mut costs = Chart::new(
        "Before repair: ways and time-outs of lookups",
        Axis::new("share of nodes that failed", Scale::Linear),
        Axis::new("a lookup", Scale::Linear),
    );
    let line = |of: &dyn Fn(&Unrepaired) -> f64| -> Vec<(f64, f64)> {
        unrepaired.iter().map(|it| (part(it.percent), of(it))).collect()
    };
    let others = |which: usize| line(&|it| unrepaired::by_others(it.percent)[which]);
    costs.series = vec![
        Series::new("nodes on the way", Style::Line, line(&|it| it.ways.mean())),
        Series::published("nodes, rings", Style::Points, others(0)),
        Series::new("time-outs", Style::Line, line(&|it| it.timeouts.mean())),
        Series::published("time-outs, rings", Style::Points, others(1)),
    ];
    vec![failed, costs]
}

#[cfg(test)]
mod tests;
