//! How many nodes a lookup passes in Pastry: Rowstron and Druschel, "Pastry: Scalable, Decentralized
//! Object Location, and Routing for Large-Scale Peer-to-Peer Systems", Middleware 2001, section 3.1,
//! figures 4 and 5.

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{
    Command, Contact, Event, Ticket,
    circle::{self, Repair},
    node,
    pastry::{Node, Settings, settled::Settled},
};
use nigh_sim::{HostId, Latency, Network, World};

use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    claim::{Claim, Tolerance, Verdict},
    parallel,
    rings::{NEVER, contacts, random_key},
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "pastry-path",
    shows: "How many nodes a lookup passes in Pastry networks of 1,000 to 100,000 nodes",
    source: "Rowstron, Druschel: Pastry: Scalable, Decentralized Object Location, and Routing for \
             Large-Scale Peer-to-Peer Systems, Middleware 2001, section 3.1, figures 4 and 5",
    takes: &[],
    run,
};

/// The sizes of figure 4, about. The largest is that of figure 5.
const SIZES: [u32; 5] = [1_000, 5_000, 10_000, 50_000, 100_000];
/// Lookups in each network, as in the paper.
const LOOKUPS: u64 = 200_000;
/// Of them, so many begin in a second and are then collected.
const A_SECOND: u64 = 20_000;
const SECOND: Duration = Duration::from_secs(1);
/// How long the last answers may still come.
const REST: Duration = Duration::from_secs(60);
/// One way of each datagram. No way depends on it.
const ONE_WAY: Duration = Duration::from_millis(50);
/// Figure 4, its line measured: the mean hops with as many nodes as [`SIZES`] has. A line is drawn to a
/// twelfth of a point, which is 0.003 hops.
const MEANS: [f64; 5] = [2.485, 2.954, 3.232, 3.746, 3.976];
/// Figure 5: the part of the lookups that take 0, 1, 2, ... hops with 100,000 nodes.
const PUBLISHED: [f64; 7] = [0.0, 0.0006, 0.0156, 0.1643, 0.6449, 0.1745, 0.0];
/// The same: its mean, which follows from the parts.
const PUBLISHED_MEAN: f64 = 3.98;
/// Of two samples of so many lookups, three to four standard errors of the difference.
const OF_A_LARGE_PART: Tolerance = Tolerance::Absolute(0.005);
/// The same of a part of 0.0156: four.
const OF_A_SMALL_PART: Tolerance = Tolerance::Relative(0.1);
/// The same of a part of 0.0006: two and a half.
const OF_THE_SMALLEST_PART: Tolerance = Tolerance::Relative(1.0 / 3.0);
/// Of no lookup: half of the last digit that the paper prints.
const OF_NONE: Tolerance = Tolerance::Absolute(0.000_05);
/// One lookup in fifty with a hop more or less: how one network differs from another.
const OF_A_MEAN: Tolerance = Tolerance::Absolute(0.02);

/// How far a part may be off one that the paper prints.
fn of_a_part(published: f64) -> Tolerance {
    match published {
        0.0 => OF_NONE,
        ..0.001 => OF_THE_SMALLEST_PART,
        ..0.1 => OF_A_SMALL_PART,
        _ => OF_A_LARGE_PART,
    }
}

/// What was found in a network of one size.
#[derive(Clone, Debug)]
struct Found {
    nodes: u32,
    /// Of the keys of random nodes, as in the paper.
    between: Ways,
    /// Of random keys.
    to_keys: Ways,
}

/// How long ways are.
#[derive(Clone, Debug)]
struct Ways {
    /// Lookups that found another than the owner, or nobody.
    wrong: u64,
    mean: f64,
    /// The part of the lookups that took 0, 1, 2, ... hops.
    shares: Vec<f64>,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let sizes = options.sizes(&SIZES)?;
    let rng = Rng::new(options.seed);
    let mut found = Vec::new();
    for &nodes in &sizes {
        found.push(find(nodes, LOOKUPS, &mut rng.fork(nodes.into())));
        let done = ratio(found.len() as u64, sizes.len() as u64);
        told(Progress { done, text: format!("{} of {} sizes", found.len(), sizes.len()) });
    }
    let mut report = Report::new(&EXPERIMENT, options, setup(), vec![table(&found)]);
    report.charts = charts(&found);
    report.claims = claims(&found);
    Ok(report)
}

/// The paper's b and L, and tables that nothing changes.
fn settings() -> Arc<Settings> {
    let node = node::Settings { copies: 1, upkeep_every: NEVER, ..node::Settings::default() };
    let circle = circle::Settings { node, leaves: 16, repair: Repair::Periodic };
    Arc::new(Settings { circle, digit_bits: 4, locality: false })
}

/// A network whose cells have any node that fits, and how long ways are in it.
fn find(nodes: u32, lookups: u64, rng: &mut Rng) -> Found {
    let contacts = contacts(nodes);
    let all = Settled::new(settings(), contacts.clone());
    let mut world = World::new(rng.next_u64(), Network::new(Latency::Constant(ONE_WAY)));
    settle(&mut world, &all, &contacts, rng);
    let node = |rng: &mut Rng| contacts[drawn(nodes, rng) as usize].key;
    let between = ways(&mut world, &all, lookups, rng, node);
    let to_keys = ways(&mut world, &all, lookups, rng, random_key);
    Found { nodes, between, to_keys }
}

/// How long the ways of random nodes to the keys are that `draw` draws.
fn ways(
    world: &mut World<Node>,
    all: &Settled,
    lookups: u64,
    rng: &mut Rng,
    draw: impl Fn(&mut Rng) -> Key,
) -> Ways {
    let (mut counts, mut right) = (vec![0u64; PUBLISHED.len()], 0);
    let mut hear = |world: &mut World<Node>| {
        for told in world.take_events() {
            if let Event::Located { key, holders, hops, .. } = told.event
                && holders.first() == Some(&all.owner(key))
            {
                let place = hops as usize;
                counts.resize(counts.len().max(place + 1), 0);
                counts[place] += 1;
                right += 1;
            }
        }
    };
    let nodes = u32::try_from(all.contacts().len()).expect("as many as were asked for");
    let mut asked = 0;
    while asked < lookups {
        let start = world.now();
        for number in 0..A_SECOND {
            let at = start.after(Duration::from_nanos(1_000_000_000 * number / A_SECOND));
            let (by, key) = (HostId(drawn(nodes, rng)), draw(rng));
            let ticket = Ticket(asked + number);
            world.command_at(at, by, Command::Locate { ticket, key, trace: false });
        }
        asked += A_SECOND;
        world.run_until(start.after(SECOND));
        hear(world);
    }
    world.run_until(world.now().after(REST));
    hear(world);
    let shares: Vec<f64> = counts.iter().map(|&count| ratio(count, right)).collect();
    let mean = (0u32..).zip(&shares).map(|(hops, share)| f64::from(hops) * share).sum();
    Ways { wrong: asked - right, mean, shares }
}

pub(crate) fn drawn(nodes: u32, rng: &mut Rng) -> u32 {
    u32::try_from(rng.below(nodes.into())).expect("a node's number")
}

/// Machines that a thread makes in one go.
const PIECE: usize = 1024;

fn settle(world: &mut World<Node>, all: &Settled, contacts: &[Contact], rng: &Rng) {
    let never = Time::START.after(NEVER);
    let nodes = parallel::map(
        contacts.len().div_ceil(PIECE),
        |piece| {
            let mut rng = rng.fork(piece as u64);
            let range = piece * PIECE..contacts.len().min((piece + 1) * PIECE);
            let me =
                |place| all.node(contacts[place], never, |fit: &[Contact]| rng.index(fit.len()));
            range.map(me).collect::<Vec<_>>()
        },
        |_| (),
    );
    nodes.into_iter().flatten().for_each(|node| {
        world.add(node);
    });
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer lookups than 2^53")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// The paper's bound, before it is rounded up: log N to the base of 2^b.
fn bound(nodes: u32) -> f64 {
    libm::log2(f64::from(nodes)) / 4.0
}

fn setup() -> String {
    format!(
        "Networks of nodes keyed by the SHA-1 of their addresses, with b = 4 and L = 16, as they are \
         when all has settled: each leaf set is right, and each cell of a table has one of the nodes that \
         fit, which is drawn; the paper takes the nearest of them on a plane on which nodes lie at \
         random, and has keys of 128 bits. In each, {} times the key of a random node is looked up at \
         another, as in the paper, which routes between two nodes; and beside it as many random keys. \
         To a random key ways are a little shorter: the last cell on the way to a node is never empty, \
         since the node itself is in it, and a way to a key that has nobody so near ends with the leaf set \
         instead. A hop is a node that the question is passed on to, the owner among them. The means of \
         figure 4 are not printed: they were measured at the line of the drawing, to 0.003. \
         A mean may be off by 0.02: one lookup in fifty with a hop more or less. Of {} lookups a part of 0.6449 \
         has a standard error of 0.0011, one of 0.16 or 0.17 of 0.0008, one of 0.0156 of 0.0003 and one of 0.0006 of \
         0.00005; the difference of two such samples 1.4 times as much. So a large part may be off by 0.005 \
         (three to four of these), 0.0156 by a tenth (four), 0.0006 by a third (two and a half), and a part of \
         which the paper has none by half of the last digit that it prints. Tables drawn anew make hardly more \
         difference than the lookups: the seeds 1 to 3 had 0.1676, 0.1647 and 0.1649 of the ways with three hops, \
         0.6442, 0.6453 and 0.6455 with four.",
        Cell::count(LOOKUPS),
        Cell::count(LOOKUPS),
    )
}

fn table(found: &[Found]) -> Table {
    let mut columns = vec![
        Column::new("nodes", ""),
        Column::new("mean", "hops"),
        Column::new("figure 4", "hops"),
        Column::new("log16 N", ""),
        Column::new("to random keys", "hops"),
        Column::new("wrong", ""),
    ];
    let most = found.iter().map(|it| it.between.shares.len()).max().unwrap_or(0);
    columns.extend((0..most).map(|hops| Column::new(format!("{hops} hops"), "%")));
    let mut table = Table::new(columns);
    for (it, published) in found.iter().zip(MEANS) {
        let mut row = vec![
            Cell::count(it.nodes.into()),
            Cell::number(it.between.mean, 3),
            Cell::number(published, 3),
            Cell::number(bound(it.nodes), 3),
            Cell::number(it.to_keys.mean, 3),
            Cell::count(it.between.wrong + it.to_keys.wrong),
        ];
        let share = |hops| it.between.shares.get(hops).copied().unwrap_or(0.0);
        row.extend((0..most).map(|hops| Cell::number(share(hops) * 100.0, 2)));
        table.row(row);
    }
    table
}

fn charts(found: &[Found]) -> Vec<Chart> {
    let axis = |label: &str, scale| Axis::new(label, scale);
    let line = |name: &str, points: Vec<(f64, f64)>| Series::new(name, Style::Line, points);
    let mut means =
        Chart::new("Mean hops", axis("nodes", Scale::Log10), axis("hops", Scale::Linear));
    let of = |value: fn(&Found) -> f64| {
        found.iter().map(|it| (f64::from(it.nodes), value(it))).collect::<Vec<_>>()
    };
    let published = found.iter().zip(MEANS).map(|(it, mean)| (f64::from(it.nodes), mean));
    means.series = vec![
        line("measured", of(|it| it.between.mean)),
        Series::published("figure 4", Style::Points, published.collect()),
        line("measured, to random keys", of(|it| it.to_keys.mean)),
        Series::published("log16 N", Style::Line, of(|it| bound(it.nodes))),
    ];
    let mut charts = vec![means];
    if let Some(largest) = largest(found) {
        let title = "Hops with 100,000 nodes";
        let mut chart =
            Chart::new(title, axis("hops", Scale::Linear), axis("lookups (%)", Scale::Linear));
        let percent = |shares: &[f64]| {
            (0u32..).zip(shares).map(|(hops, it)| (f64::from(hops), it * 100.0)).collect()
        };
        chart.series = vec![
            line("measured", percent(&largest.between.shares)),
            Series::published("figure 5", Style::Points, percent(&PUBLISHED)),
        ];
        charts.push(chart);
    }
    charts
}

/// The network of figure 5, if it is among them.
fn largest(found: &[Found]) -> Option<&Found> {
    found.iter().find(|it| it.nodes == SIZES[SIZES.len() - 1])
}

fn claims(found: &[Found]) -> Vec<Claim> {
    let wrong: u64 = found.iter().map(|it| it.between.wrong + it.to_keys.wrong).sum();
    let mut claims = vec![Claim::stated(
        "lookups that do not find the numerically nearest node",
        "none",
        wrong.to_string(),
        Verdict::of(wrong == 0),
    )];
    for (it, published) in found.iter().zip(MEANS) {
        let what = format!("figure 4: {} nodes, mean hops", Cell::count(it.nodes.into()));
        claims.push(Claim::near(what, published, it.between.mean, OF_A_MEAN));
    }
    if let Some(largest) = largest(found) {
        let most = largest.between.shares.iter().rposition(|&share| share > 0.0).unwrap_or(0);
        let most = u32::try_from(most).expect("a way has an end");
        let what = "figure 5: the most hops, at most log16 N rounded up";
        claims.push(Claim::at_most(what, bound(largest.nodes).ceil(), f64::from(most)));
        for (hops, &published) in PUBLISHED.iter().enumerate() {
            let what = format!("figure 5: the part of the lookups with {hops} hops");
            let measured = largest.between.shares.get(hops).copied().unwrap_or(0.0);
            claims.push(Claim::near(what, published, measured, of_a_part(published)));
        }
        let what = "figure 5: mean hops";
        claims.push(Claim::near(what, PUBLISHED_MEAN, largest.between.mean, OF_A_MEAN));
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_figure_5_can_miss_its_tolerance() {
        let verdict = |published, measured| {
            Claim::near("part", published, measured, of_a_part(published)).verdict.matches()
        };
        for (published, near, far) in [
            (0.0, 0.000_04, 0.000_06),
            (0.0006, 0.000_79, 0.0),
            (0.0156, 0.0170, 0.0139),
            (0.1643, 0.1690, 0.1694),
            (0.6449, 0.6400, 0.6398),
            (0.1745, 0.1790, 0.1796),
        ] {
            assert!(verdict(published, near) && !verdict(published, far), "{published}");
        }
    }

    #[test]
    fn a_small_network_finds_every_owner_in_about_log_n_hops() {
        let found = [find(1_000, 40_000, &mut Rng::new(1))];
        let claims = claims(&found);
        assert_eq!(claims.len(), 2);
        assert!(claims.iter().all(|it| it.verdict.matches()), "{claims:?}");
        assert_eq!(charts(&found).len(), 1);
    }
}
