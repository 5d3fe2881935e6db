//! What failures do to ways in Pastry, and what mending does for them: Rowstron and Druschel, "Pastry:
//! Scalable, Decentralized Object Location, and Routing for Large-Scale Peer-to-Peer Systems", Middleware 2001,
//! section 3.4.

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
    Error, Experiment, Options, Progress, Report,
    claim::{Claim, Tolerance, Verdict},
    parallel,
    pastry_path::ratio,
    rings::{NEVER, contacts, random_key},
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "pastry-repair",
    shows: "What the death of a tenth of 5,000 nodes of Pastry does to ways, and what mending does for them",
    source: "Rowstron, Druschel: Pastry: Scalable, Decentralized Object Location, and Routing for \
             Large-Scale Peer-to-Peer Systems, Middleware 2001, section 3.4",
    takes: &[],
    run,
};

const NODES: u64 = 5_000;
const FEWEST_NODES: u64 = 200;
/// One node in so many dies.
const DEAD: usize = 10;
/// Lookups before, behind and at the end; of them so many begin in a second.
const LOOKUPS: u64 = 50_000;
const A_SECOND: u64 = 10_000;
const ONE_WAY: Duration = Duration::from_millis(50);
/// How long the last answers may still come.
const REST: Duration = Duration::from_secs(60);
/// How long nodes mend before they are asked again, and how often each looks after its leaves.
const MENDING: Duration = Duration::from_secs(600);
const UPKEEP: Duration = Duration::from_secs(30);
/// Mean hops: with all nodes, with a tenth of them dead and nothing mended, and with all mended.
const PUBLISHED: [f64; 3] = [2.73, 2.96, 2.74];
const OF_A_MEAN: Tolerance = Tolerance::Absolute(0.05);
/// Remote calls to mend what a dead node leaves, each a question and its answer.
const PUBLISHED_CALLS: f64 = 57.0;
/// Why the means themselves differ.
const BECAUSE: &str = "the paper's own figure 5, with a mean of 3.98 for 100,000 nodes, comes to 2.9 here \
                       by the logarithm; what it counts otherwise in this figure it does not say";

/// One kind of nodes: whether they mend what they find broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Never,
    Reactive,
    Periodic,
}

const KINDS: [Kind; 3] = [Kind::Never, Kind::Reactive, Kind::Periodic];

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Never => "nothing",
            Self::Reactive => "at once (Pastry)",
            Self::Periodic => "with the next round (Bamboo)",
        }
    }
}

/// What lookups came to.
#[derive(Clone, Copy, Debug, Default)]
struct Ways {
    mean: f64,
    /// Lookups that found another than the owner, or nobody.
    wrong: u64,
}

#[derive(Clone, Debug)]
struct Found {
    kind: Kind,
    before: Ways,
    behind: Ways,
    mended: Ways,
    /// Datagrams of mending, for each node that died, beyond those of upkeep and lookups.
    messages: f64,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, NODES)?;
    let few = u32::try_from(nodes).expect("the limits are below 32 bits");
    let rng = Rng::new(options.seed);
    let lookups = LOOKUPS * nodes / NODES;
    let found = parallel::map(
        KINDS.len(),
        |place| find(KINDS[place], few, lookups, rng.fork(1)),
        |done| {
            let text = format!("{done} of {} kinds", KINDS.len());
            told(Progress { done: ratio(done as u64, KINDS.len() as u64), text });
        },
    );
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes, lookups), vec![table(&found)]);
    report.claims = claims(&found);
    Ok(report)
}

fn settings(kind: Kind) -> Arc<Settings> {
    let upkeep_every = if kind == Kind::Never { NEVER } else { UPKEEP };
    let repair = if kind == Kind::Reactive { Repair::Reactive } else { Repair::Periodic };
    let node = node::Settings { copies: 1, upkeep_every, ..node::Settings::default() };
    let circle = circle::Settings { node, leaves: 16, repair };
    Arc::new(Settings { circle, digit_bits: 4, locality: false })
}

fn find(kind: Kind, nodes: u32, lookups: u64, mut rng: Rng) -> Found {
    let settings = settings(kind);
    let mut world = World::new(rng.next_u64(), Network::new(Latency::Constant(ONE_WAY)));
    let contacts = contacts(nodes);
    let all = Settled::new(Arc::clone(&settings), contacts.clone());
    let every = settings.circle.node.upkeep_every;
    for &me in &contacts {
        let first = Time::START.after(rng.between(Duration::ZERO, every));
        world.add(all.node(me, first, |fit| rng.index(fit.len())));
    }
    let before = look_up(&mut world, &all, &contacts, lookups, &mut rng);
    let quiet = rest(&mut world);
    let mut dead: Vec<u32> = (0..nodes).collect();
    rng.shuffle(&mut dead);
    let (dead, living) = dead.split_at(nodes as usize / DEAD);
    dead.iter().for_each(|&it| world.crash(HostId(it)));
    let living: Vec<Contact> = living.iter().map(|&it| contacts[it as usize]).collect();
    let left = Settled::new(settings, living.clone());
    let behind = look_up(&mut world, &left, &living, lookups, &mut rng);
    let mending = rest(&mut world);
    let mended = look_up(&mut world, &left, &living, lookups, &mut rng);
    let messages = (mending - quiet * ratio(living.len() as u64, nodes.into())).max(0.0)
        / ratio(dead.len() as u64, 1);
    Found { kind, before, behind, mended, messages }
}

/// Lets nodes do what they do by themselves; how many datagrams that took.
fn rest(world: &mut World<Node>) -> f64 {
    let before = world.counts().sent;
    world.run_until(world.now().after(MENDING));
    ratio(world.counts().sent - before, 1)
}

/// Has keys looked up at `askers`, and compares what comes with `all`.
fn look_up(
    world: &mut World<Node>,
    all: &Settled,
    askers: &[Contact],
    lookups: u64,
    rng: &mut Rng,
) -> Ways {
    let (mut hops_in_all, mut right) = (0u64, 0u64);
    let mut hear = |world: &mut World<Node>| {
        for told in world.take_events() {
            if let Event::Located { key, holders, hops, .. } = told.event
                && holders.first() == Some(&all.owner(key))
            {
                hops_in_all += u64::from(hops);
                right += 1;
            }
        }
    };
    let mut asked = 0;
    while asked < lookups {
        let start = world.now();
        let now = A_SECOND.min(lookups - asked);
        for number in 0..now {
            let at = start.after(Duration::from_nanos(1_000_000_000 * number / now));
            let (by, key): (Contact, Key) = (askers[rng.index(askers.len())], random_key(rng));
            let ticket = Ticket(asked + number);
            let by = HostId::at(by.address).expect("every node runs on a host");
            world.command_at(at, by, Command::Locate { ticket, key, trace: false });
        }
        asked += now;
        world.run_until(start.after(Duration::from_secs(1)));
        hear(world);
    }
    world.run_until(world.now().after(REST));
    hear(world);
    Ways { mean: ratio(hops_in_all, right.max(1)), wrong: lookups - right }
}

fn setup(nodes: u64, lookups: u64) -> String {
    format!(
        "{} nodes with b = 4 and L = 16, as they are when all has settled. {} random keys are looked up at \
         random nodes, recursively; then one node in {DEAD} dies at once, as many keys are looked up, and \
         after ten minutes once more. Three kinds of nodes: those that only forget whom they find dead, as in \
         the paper's second bar; those that look for others in the place of the dead at once, as Pastry does; \
         and those that do so with their rounds, as Bamboo does. Rounds come every 30 s. A hop is a node that \
         has taken the question; a dead one takes none. A mean may be off by 0.05. Datagrams of mending are \
         those of the ten minutes beyond those of ten minutes before, for each node that died.",
        Cell::count(nodes),
        Cell::count(lookups),
    )
}

fn table(found: &[Found]) -> Table {
    let mut table = Table::new(vec![
        Column::new("what is mended", ""),
        Column::new("before", "hops"),
        Column::new("wrong", ""),
        Column::new("a tenth dead", "hops"),
        Column::new("wrong", ""),
        Column::new("ten minutes later", "hops"),
        Column::new("wrong", ""),
        Column::new("datagrams of mending", "a dead node"),
    ]);
    for it in found {
        let mut row = vec![Cell::text(it.kind.name())];
        for ways in [it.before, it.behind, it.mended] {
            row.extend([Cell::number(ways.mean, 3), Cell::count(ways.wrong)]);
        }
        row.push(Cell::number(it.messages, 0));
        table.row(row);
    }
    table
}

fn claims(found: &[Found]) -> Vec<Claim> {
    let [with_all, with_dead, mended] = PUBLISHED;
    let mut claims = Vec::new();
    for it in found {
        let more = it.mended.mean - it.before.mean;
        if it.kind == Kind::Never {
            let what = "mean hops with all nodes";
            claims.push(Claim::near(what, with_all, it.before.mean, OF_A_MEAN).because(BECAUSE));
            let what = "hops more with a tenth dead and nothing mended";
            claims.push(Claim::near(what, with_dead - with_all, more, OF_A_MEAN));
            continue;
        }
        let name = it.kind.name();
        let what = format!("hops more after mending {name} than before");
        claims.push(Claim::near(what, mended - with_all, more, OF_A_MEAN));
        let what = format!("remote calls to mend {name}, a dead node");
        claims.push(Claim::at_most(what, PUBLISHED_CALLS, it.messages / 2.0));
        let wrong = it.before.wrong + it.mended.wrong;
        claims.push(Claim::stated(
            format!("lookups that do not find the owner after mending {name}"),
            "none",
            wrong.to_string(),
            Verdict::of(wrong == 0),
        ));
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_mends_has_short_ways_again_and_loses_no_lookup() {
        let found: Vec<Found> =
            KINDS.into_iter().map(|kind| find(kind, 300, 2_000, Rng::new(1))).collect();
        for it in &found {
            assert_eq!(it.before.wrong, 0, "{it:?}");
            if it.kind != Kind::Never {
                assert_eq!(it.mended.wrong, 0, "{it:?}");
                assert!(it.mended.mean <= it.before.mean + 0.05, "{it:?}");
            }
        }
        assert!(found[0].mended.mean > found[1].mended.mean, "{found:?}");
    }
}
