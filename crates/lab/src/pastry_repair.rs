//! What failures do to ways in Pastry, and what mending does for them: Rowstron and Druschel, "Pastry:
//! Scalable, Decentralized Object Location, and Routing for Large-Scale Peer-to-Peer Systems", Middleware 2001,
//! section 3.4.

mod walk;

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{
    Command, Contact, Event, Ticket,
    circle::{self, Repair},
    node,
    pastry::{Node, Settings, settled::Settled},
};
use nigh_sim::{Latency, Network, World};

use self::walk::{Choice, Hops, REPLICAS, Walk};
use crate::{
    Error, Experiment, Options, Progress, Report,
    claim::{Claim, Tolerance, Verdict},
    parallel,
    pastry_path::ratio,
    rings::{NEVER, contacts, host, random_key},
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
/// Lookups of machines before, behind and at the end, all at one instant: so none profits from what another
/// has found out.
const LOOKUPS: u64 = 50_000;
/// Lookups that are walked, as many as in the paper.
const WALKED: u64 = 200_000;
const ONE_WAY: Duration = Duration::from_millis(50);
/// How long the last answers may still come.
const REST: Duration = Duration::from_secs(60);
/// How long nodes mend before they are asked again, and how often each looks after its leaves.
const MENDING: Duration = Duration::from_secs(600);
const UPKEEP: Duration = Duration::from_secs(30);
/// Figure 10: mean hops with all nodes, with a tenth of them dead and nothing mended, and with all mended.
const PUBLISHED: [f64; 3] = [2.73, 2.96, 2.74];
/// Figure 4, its line measured: mean hops with 5,000 nodes.
const FIGURE_4: f64 = 2.954;
const OF_A_MEAN: Tolerance = Tolerance::Absolute(0.05);
/// Machines go the ways that are walked.
const OF_A_WALK: Tolerance = Tolerance::Absolute(0.02);
/// Remote calls to mend what a dead node leaves, each a question and its answer.
const PUBLISHED_CALLS: f64 = 57.0;
/// Why the last bar is higher than what is walked.
const MENDED_ON_USE: &str = "the tables that are walked never had the dead, and are as good as tables of as many \
    nodes can be. The paper's are mended where a lookup meets a dead node, and need not be";
/// Why machines say more.
const ASKED_THRICE: &str = "about 50 living nodes know a dead one, and the paper comes to one call for each of \
    them. Each of ours asks the dead one three times before it believes it, asks another for a row or for leaves, \
    and pings whoever is named and has a place";
const STATES: [&str; 3] = ["all are there", "a tenth is dead", "all is mended"];

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
    /// Datagrams for each node that died, from the deaths on, beyond those of upkeep.
    sent: f64,
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
            told(Progress { done: ratio(done as u64, KINDS.len() as u64 + 1), text });
        },
    );
    let walked = walked(few, WALKED * nodes / NODES, &rng.fork(2));
    let tables = vec![
        table(&found).titled("Machines, to the owner"),
        walked_table(&walked).titled("Ways by the rule alone, walked over tables"),
    ];
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes, lookups), tables);
    report.claims = claims(&found, &walked);
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
    let before = look_up(&mut world, &all, lookups, &mut rng);
    let quiet = sent_within(&mut world, |world| world.run_until(world.now().after(MENDING)));
    let (dead, living) = dead_and_living(&contacts, &mut rng);
    dead.iter().for_each(|&it| world.crash(host(it)));
    let left = Settled::new(settings, living.clone());
    let died = world.now();
    let mut behind = Ways::default();
    let sent = sent_within(&mut world, |world| {
        behind = look_up(world, &left, lookups, &mut rng);
        world.run_until(world.now().after(MENDING));
    });
    let time = world.now().since(died).as_secs_f64() / MENDING.as_secs_f64();
    let upkeep = quiet * time * ratio(living.len() as u64, nodes.into());
    let mended = look_up(&mut world, &left, lookups, &mut rng);
    let sent = (sent - upkeep) / ratio(dead.len() as u64, 1);
    Found { kind, before, behind, mended, sent }
}

/// Who dies, and who is left.
fn dead_and_living(contacts: &[Contact], rng: &mut Rng) -> (Vec<Contact>, Vec<Contact>) {
    let mut drawn = contacts.to_vec();
    rng.shuffle(&mut drawn);
    let living = drawn.split_off(contacts.len() / DEAD);
    (drawn, living)
}

/// How many datagrams are sent meanwhile.
fn sent_within(world: &mut World<Node>, happens: impl FnOnce(&mut World<Node>)) -> f64 {
    let before = world.counts().sent;
    happens(world);
    ratio(world.counts().sent - before, 1)
}

/// Has keys looked up at random nodes at one instant, and compares what comes with `all`.
fn look_up(world: &mut World<Node>, all: &Settled, lookups: u64, rng: &mut Rng) -> Ways {
    world.take_events();
    let askers = all.contacts();
    for number in 0..lookups {
        let (by, key): (Contact, Key) = (askers[rng.index(askers.len())], random_key(rng));
        let locate = Command::Locate { ticket: Ticket(number), key, trace: false };
        world.command(host(by), locate);
    }
    world.run_until(world.now().after(REST));
    let (mut hops_in_all, mut right) = (0u64, 0u64);
    for told in world.take_events() {
        if let Event::Located { key, holders, hops, .. } = told.event
            && holders.first() == Some(&all.owner(key))
        {
            hops_in_all += u64::from(hops);
            right += 1;
        }
    }
    Ways { mean: ratio(hops_in_all, right.max(1)), wrong: lookups - right }
}

/// What is walked: by a rule, with all nodes, with a tenth of them dead, and with tables that never had
/// those.
#[derive(Clone, Copy, Debug)]
struct Walked {
    choice: Choice,
    hops: [Hops; 3],
}

fn walked(nodes: u32, lookups: u64, rng: &Rng) -> [Walked; 2] {
    let contacts = contacts(nodes);
    let (mut dead, living) = dead_and_living(&contacts, &mut rng.fork(0));
    dead.sort_unstable();
    let is_dead = |it: Contact| dead.binary_search(&it).is_ok();
    let all = Settled::new(settings(Kind::Never), contacts);
    let left = Settled::new(settings(Kind::Never), living);
    let walks = [
        Walk::new(&all, &mut rng.fork(1), |_| false),
        Walk::new(&all, &mut rng.fork(1), is_dead),
        Walk::new(&left, &mut rng.fork(2), |_| false),
    ];
    [Choice::Any, Choice::Best].map(|choice| {
        let hops = std::array::from_fn(|it| walks[it].hops(choice, lookups, &mut rng.fork(3)));
        Walked { choice, hops }
    })
}

fn setup(nodes: u64, lookups: u64) -> String {
    format!(
        "{} nodes with b = 4 and L = 16, as they are when all has settled; one node in {DEAD} dies at once. \
         Machines: {} random keys are looked up at random nodes, recursively, before the deaths, just behind \
         them, and ten minutes later, each time all at one instant. So none helps another: \
         lookups change tables even where nothing is mended. Whom they find dead is forgotten, and whoever is heard \
         next is taken into the place. In a cell that makes ways shorter. In a leaf set it makes them longer: a side \
         that has lost a leaf takes anybody, as nodes that mend do until a nearer one is found. Of the 4,500 nodes \
         that are left after ten minutes in which nothing is mended, 1,761 have such a leaf, far from all others; all \
         keys up to it count as those of the leaf set, and go by the numerically nearest leaf in place of the table. \
         Three \
         kinds of nodes: those that only forget whom they find dead; those that look for others in the place \
         of the dead at once, as Pastry does; and those that do so with their rounds, as Bamboo does. Rounds \
         come every 30 s. A hop is a node that has taken the question; a dead one takes none. Datagrams of \
         mending are those from the deaths until ten minutes later, beyond those of upkeep and beyond those \
         of nodes that mend nothing, for each node that died. Ways by the rule alone: {} random keys, as in \
         the paper, over tables that nothing changes; mended are tables that never had the dead. Two things \
         in figure 10 are not said. Where a way ends: 2.73 hops are fewer than the 2.954 of its own figure 4 for as \
         many nodes (a drawing that was measured), and its set-up names k = 5, the replicas of a value, \
         of which the first on the way may be meant. And who is taken where a cell is empty or its node dead: any \
         that shares no fewer digits with the key and is nearer, says the paper's rule; our nodes take the \
         best of those. A mean may be off by 0.05, and one of machines from one that was walked by 0.02.",
        Cell::count(nodes),
        Cell::count(lookups),
        Cell::count(WALKED * nodes / NODES),
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
        row.push(Cell::number(it.sent - found[0].sent, 0));
        table.row(row);
    }
    table
}

fn walked_table(walked: &[Walked; 2]) -> Table {
    let mut table = Table::new(vec![
        Column::new("the way ends at", ""),
        Column::new("where a cell is of no use", ""),
        Column::new(STATES[0], "hops"),
        Column::new(STATES[1], "hops"),
        Column::new(STATES[2], "hops"),
    ]);
    let replica = format!("the first of {REPLICAS} replicas");
    for (end, of) in [("the owner", owner as fn(Hops) -> f64), (&replica, |it| it.replica)] {
        for Walked { choice, hops } in walked {
            let choice = match choice {
                Choice::Any => "any that fits (Pastry)",
                Choice::Best => "the best (our nodes)",
            };
            let mut row = vec![Cell::text(end), Cell::text(choice)];
            row.extend(hops.map(|it| Cell::number(of(it), 3)));
            table.row(row);
        }
    }
    table
}

const fn owner(hops: Hops) -> f64 {
    hops.owner
}

fn claims(found: &[Found], walked: &[Walked; 2]) -> Vec<Claim> {
    let [any, best] = walked;
    let mut claims = vec![
        Claim::near("figure 4: mean hops to the owner", FIGURE_4, best.hops[0].owner, OF_A_MEAN),
        Claim::near(
            "machines go the ways that are walked: mean hops, all are there",
            best.hops[0].owner,
            found[0].before.mean,
            OF_A_WALK,
        ),
        Claim::near(
            "the same, a tenth is dead and nothing mended",
            best.hops[1].owner,
            found[0].behind.mean,
            OF_A_WALK,
        ),
    ];
    for ((state, published), hops) in STATES.iter().zip(PUBLISHED).zip(any.hops) {
        let what = format!(
            "figure 10: mean hops to the first of {REPLICAS} replicas by the paper's rule, {state}"
        );
        claims.push(Claim::near(what, published, hops.replica, OF_A_MEAN).because(MENDED_ON_USE));
    }
    let [with_all, with_dead, mended] = PUBLISHED;
    for it in found {
        if it.kind == Kind::Never {
            let what = "machines: hops more with a tenth dead and nothing mended";
            let more = it.behind.mean - it.before.mean;
            claims.push(Claim::near(what, with_dead - with_all, more, OF_A_MEAN).because(
                "where a cell is of no use, our nodes take the best of those that fit, and the paper's \
                 rule any of them",
            ));
            continue;
        }
        let name = it.kind.name();
        let more = it.mended.mean - it.before.mean;
        let what = format!("hops more after mending {name} than before");
        claims.push(Claim::near(what, mended - with_all, more, OF_A_MEAN));
        let what = format!("remote calls to mend {name}, a dead node");
        let calls = (it.sent - found[0].sent) / 2.0;
        claims.push(Claim::at_most(what, PUBLISHED_CALLS, calls).because(ASKED_THRICE));
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
