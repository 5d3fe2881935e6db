//! What one lie does to lookups in every overlay: whoever is asked says that it is the nearest itself.
//!
//! Castro, Druschel, Ganesh, Rowstron, Wallach, "Secure routing for structured peer-to-peer overlay networks",
//! OSDI 2002, section 4: of ways of h hops, (1 - f)^(h - 1) pass only honest nodes while a part f of them
//! lies. That is for overlays that go one way each. Kademlia asks several at once, and can go on disjoint paths
//! (Baumgart, Mies, "S/Kademlia", ICPADS 2007, section 4.4), which no other can: there the asker chooses whom it
//! asks next among several, while elsewhere a node has one next node for a key, and ways that begin apart join
//! again before the owner. Worse lies than this one: [`kademlia_hostile`](crate::kademlia_hostile).

mod liar;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{
    Command, Contact, Event, Overlay, Ticket, can, chord, kademlia, koorde,
    node::{self, geometry::Geometry},
    pastry, tapestry, viceroy,
};
use nigh_sim::{HostId, Latency, Network, World};

use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    claim::{Claim, Tolerance},
    kademlia_hostile::Gang,
    liars::{Liar, Order, Player},
    parallel,
    pastry_path::ratio,
    rings::{contact, random_key},
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "overlay-hostile",
    shows: "Lookups that find the owner while 10 to 30 % of all nodes lie, in each overlay, and on disjoint paths",
    source: "Castro, Druschel, Ganesh, Rowstron, Wallach: Secure Routing for Structured Peer-to-Peer \
             Overlay Networks, OSDI 2002, section 4: a lookup of h hops succeeds with (1 - f)^(h - 1)",
    takes: &[],
    run,
};

const NODES: u64 = 500;
const FEWEST_NODES: u64 = 50;
const MOST_NODES: u64 = 2_000;
/// The parts of all nodes that lie.
const LIARS: [f64; 3] = [0.1, 0.2, 0.3];
const LOOKUPS: usize = 2_000;
/// Which nodes are drawn as liars matters more than how many lookups there are: so often others are drawn.
const DRAWS: usize = 5;
const ONE_WAY: Duration = Duration::from_millis(50);
/// One node joins in this time, and then all settle.
const JOIN_EVERY: Duration = Duration::from_secs(2);
const SETTLING: Duration = Duration::from_secs(600);
/// Over which lookups begin, and how long answers may still come. Tables hardly change within it.
const SPAN: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(30);
/// For so long the last of them lie to those who look after their tables, before the lookups are asked for
/// again; and for so long tables heal between two draws.
const LYING: Duration = Duration::from_secs(600);
/// Those of much use to others lie, or do not.
const OF_DRAWS: Tolerance = Tolerance::Absolute(0.04);

/// Kademlia's k. All of them are responsible for a key; elsewhere the first is.
const NEAREST: usize = 8;
/// On so many disjoint paths Kademlia goes, beside one.
const PATHS: usize = 4;

/// An overlay of the experiment: its name, and what is found in it.
struct Kind {
    name: &'static str,
    find: fn(u32, f64, Rng) -> Found,
    /// Whether a lookup goes one way, which is over with the first liar on it.
    goes_one_way: bool,
}

const fn one_way(name: &'static str, find: fn(u32, f64, Rng) -> Found) -> Kind {
    Kind { name, find, goes_one_way: true }
}

const KINDS: [Kind; 8] = [
    one_way("Chord", |nodes, liars, rng| find(nodes, liars, rng, &chord())),
    one_way("Pastry", of::<pastry::Geometry>),
    one_way("Tapestry", of::<tapestry::Geometry>),
    one_way("CAN", of::<can::Geometry>),
    one_way("Koorde", of::<koorde::Geometry>),
    one_way("Viceroy", of::<viceroy::Geometry>),
    Kind {
        name: "Kademlia",
        find: |nodes, liars, rng| find(nodes, liars, rng, &kademlia(1)),
        goes_one_way: false,
    },
    Kind {
        name: "Kademlia, 4 paths",
        find: |nodes, liars, rng| find(nodes, liars, rng, &kademlia(PATHS)),
        goes_one_way: false,
    },
];

/// What was found with one part of liars.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    liars: f64,
    /// The part of the lookups that found the owner when lying began.
    had: f64,
    /// The same [`LYING`] later.
    later: f64,
    /// The same by the ways that the same lookups took while nobody lied, if each goes one way.
    expected: f64,
    /// The mean of their hops.
    hops: f64,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let few = u32::try_from(nodes).expect("the limits are below 32 bits");
    let rng = Rng::new(options.seed);
    let networks = KINDS.len() * LIARS.len();
    let found = parallel::map(
        networks,
        |place| {
            let (kind, liars) = (&KINDS[place / LIARS.len()], LIARS[place % LIARS.len()]);
            (kind.find)(few, liars, rng.fork(1))
        },
        |done| {
            let text = format!("{done} of {networks} networks");
            told(Progress { done: ratio(done as u64, networks as u64), text });
        },
    );
    let found: Vec<Vec<Found>> = found.chunks(LIARS.len()).map(<[Found]>::to_vec).collect();
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes), vec![table(&found)]);
    report.charts = charts(&found);
    report.claims = claims(&found);
    Ok(report)
}

/// A machine of the experiment.
trait Subject:
    Liar<Lie: Send, Message: Clone + Send, Command: Send, Event: Send>
    + Overlay
    + std::fmt::Debug
    + Send
{
}

impl<T> Subject for T where
    T: Liar<Lie: Send, Message: Clone + Send, Command: Send, Event: Send>
        + Overlay
        + std::fmt::Debug
        + Send
{
}

/// What nodes of an overlay are like.
struct Design<T: Subject, Make: Fn(Contact) -> T> {
    make: Make,
    /// How each lies.
    lie: fn(Contact) -> T::Lie,
    /// So many of those with whom a lookup ends are responsible for its key.
    responsible: usize,
}

fn chord() -> Design<chord::Several, impl Fn(Contact) -> chord::Several> {
    let routing = chord::Routing::Recursive;
    let settings = Arc::new(chord::Settings { routing, ..chord::Settings::default() });
    let make = move |me: Contact| chord::Several::new(&[me.key], me.address, &settings);
    Design { make, lie: |_| (), responsible: 1 }
}

fn of<G: Geometry<Settings: Default>>(nodes: u32, liars: f64, rng: Rng) -> Found {
    let settings = Arc::new(G::Settings::default());
    let make = move |me: Contact| node::Node::<G>::new(me.key, me.address, Arc::clone(&settings));
    find(nodes, liars, rng, &Design { make, lie: |_| (), responsible: 1 })
}

fn kademlia(paths: usize) -> Design<kademlia::Node, impl Fn(Contact) -> kademlia::Node> {
    let settings = Arc::new(kademlia::Settings {
        paths,
        bucket: NEAREST,
        questions_a_second: None,
        // Ids are those that all overlays here have.
        fits_address: false,
        ..kademlia::Settings::default()
    });
    let make = move |me: Contact| kademlia::Node::new(me.key, me.address, Arc::clone(&settings));
    Design { make, lie: Gang::alone, responsible: NEAREST }
}

/// One lookup, as it was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    by: u32,
    key: Key,
    /// Who answered for the key, and after how many hops, while nobody lied.
    honest: Option<(Contact, u32)>,
}

fn find<T: Subject>(
    nodes: u32,
    liars: f64,
    mut rng: Rng,
    design: &Design<T, impl Fn(Contact) -> T>,
) -> Found {
    let mut world = World::new(rng.next_u64(), Network::new(Latency::Constant(ONE_WAY)));
    let contacts: Vec<Contact> = (0..nodes).map(contact).collect();
    for (number, &me) in contacts.iter().enumerate() {
        let host = world.add(Player::honest((design.make)(me)));
        let via = match number {
            0 => vec![],
            _ => vec![contacts[rng.index(number)].address],
        };
        world.command(host, Order::Honest(Command::Join { via }.into()));
        world.run_until(world.now().after(JOIN_EVERY));
    }
    world.run_until(world.now().after(SETTLING));
    let mut asked: Vec<Asked> = (0..LOOKUPS)
        .map(|_| {
            let by = u32::try_from(rng.below(nodes.into())).expect("a node's number");
            Asked { by, key: random_key(&mut rng), honest: None }
        })
        .collect();
    let all: Vec<usize> = (0..asked.len()).collect();
    for (number, (holders, hops)) in ask(&mut world, &asked, &all) {
        asked[number].honest = holders.first().map(|&owner| (owner, hops));
    }
    let (mut hosts, mut sum) =
        ((0..nodes).collect::<Vec<u32>>(), Found { liars, ..Found::default() });
    for draw in 0..DRAWS {
        rng.shuffle(&mut hosts);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of them"
        )]
        let (lying, _) = hosts.split_at((f64::from(nodes) * liars) as usize);
        for &it in lying {
            world.command(HostId(it), Order::Lie(Some((design.lie)(contact(it)))));
        }
        let chosen = honest(&asked, lying);
        let count = ratio(chosen.len().max(1) as u64, 1);
        let hops = chosen.iter().filter_map(|&number| asked[number].honest).map(|it| it.1);
        let pass = |hops: u32| libm::pow(1.0 - liars, f64::from(hops.saturating_sub(1)));
        sum.expected += hops.clone().map(pass).sum::<f64>() / count;
        sum.hops += ratio(hops.map(u64::from).sum(), 1) / count;
        sum.had += had(&mut world, &asked, &chosen, design.responsible);
        if draw + 1 == DRAWS {
            world.run_until(world.now().after(LYING));
            sum.later = had(&mut world, &asked, &chosen, design.responsible);
        } else {
            lying.iter().for_each(|&it| world.command(HostId(it), Order::Lie(None)));
            world.run_until(world.now().after(LYING));
        }
    }
    let draws = ratio(DRAWS as u64, 1);
    let (had, expected, hops) = (sum.had / draws, sum.expected / draws, sum.hops / draws);
    Found { had, expected, hops, ..sum }
}

/// The lookups whose asker and whose owner are honest.
fn honest(asked: &[Asked], lying: &[u32]) -> Vec<usize> {
    let is_honest = |it: Contact| !lying.iter().any(|&liar| contact(liar) == it);
    let is_chosen = |&number: &usize| {
        let Asked { by, honest, .. } = asked[number];
        is_honest(contact(by)) && honest.is_some_and(|(owner, _)| is_honest(owner))
    };
    (0..asked.len()).filter(is_chosen).collect()
}

/// The part of the `chosen` lookups that find the owner.
fn had<T: Subject>(
    world: &mut World<Player<T>>,
    asked: &[Asked],
    chosen: &[usize],
    responsible: usize,
) -> f64 {
    let answers = ask(world, asked, chosen);
    let is_right = |&&number: &&usize| {
        let Some((holders, _)) = answers.get(&number) else { return false };
        let owner = asked[number].honest.map(|it| it.0);
        holders.iter().take(responsible).any(|&it| Some(it) == owner)
    };
    ratio(chosen.iter().filter(is_right).count() as u64, chosen.len().max(1) as u64)
}

/// With whom which of the `chosen` lookups ends, and after how many hops.
fn ask<T: Subject>(
    world: &mut World<Player<T>>,
    asked: &[Asked],
    chosen: &[usize],
) -> BTreeMap<usize, (Vec<Contact>, u32)> {
    world.take_events();
    let start = world.now();
    for (place, &number) in chosen.iter().enumerate() {
        let Asked { by, key, .. } = asked[number];
        let at: Time = start.after(SPAN.mul_f64(ratio(place as u64, chosen.len() as u64)));
        let locate = Command::Locate { ticket: Ticket(number as u64), key, trace: false };
        world.command_at(at, HostId(by), Order::Honest(locate.into()));
    }
    world.run_until(start.after(SPAN + REST));
    let mut answers = BTreeMap::new();
    for told in world.take_events() {
        if let Some(Event::Located { ticket, holders, hops, .. }) = T::told(told.event) {
            answers.insert(usize::try_from(ticket.0).expect("as it was given"), (holders, hops));
        }
    }
    answers
}

fn setup(nodes: u64) -> String {
    format!(
        "{} nodes join one by one, and settle for ten minutes; lookups are passed on from node to node, in \
         Kademlia the asker asks one after the other. Then a part of the nodes lies, each for itself: a liar \
         that is asked for the next node, or is to pass a lookup on, says that it is the owner itself, and does all \
         else as others do. In Kademlia, where the asker compares who is nearer, it names itself alone under an id \
         next to what is looked for, and answers to that id. {} random keys are looked up at \
         random nodes at once, and again ten minutes later. In these, liars have lied to those as well who look \
         after their tables, with lookups or with questions for nodes: what is found later shows whether \
         tables fill with liars, or are rid of them. Those lookups count whose asker and whose owner are \
         honest. An owner is found if a lookup ends with it; in Kademlia, where all {NEAREST} nearest are \
         responsible, if the nearest honest node is among those with which it ends. What is expected at once is \
         worked out from the ways that the same lookups took while nobody lied: of h nodes on a way all but \
         the owner may lie. It does not hold for Kademlia, which asks several nodes at once: each of them may be \
         the liar, not only those on the way to the owner. And only there can a lookup go on disjoint paths, since the asker chooses whom it asks \
         next among several. Elsewhere a node has one next node for a key, and ways that begin apart join again \
         before the owner. All is the mean of {DRAWS} draws of who lies, with ten honest minutes between; what comes \
         later is of the last. A part may be off by 0.04.",
        Cell::count(nodes),
        Cell::count(LOOKUPS as u64),
    )
}

fn table(found: &[Vec<Found>]) -> Table {
    let mut columns = vec![Column::new("overlay", ""), Column::new("mean", "hops")];
    for liars in LIARS {
        columns.push(Column::new(format!("{:.0} % lie: found", liars * 100.0), "%"));
        columns.push(Column::new("(1 - f)^(h - 1)", "%"));
        columns.push(Column::new("ten minutes later", "%"));
    }
    let mut table = Table::new(columns);
    for (kind, found) in KINDS.iter().zip(found) {
        let mut row = vec![Cell::text(kind.name), Cell::number(found[0].hops, 2)];
        let percent = |share: f64| Cell::number(share * 100.0, 1);
        for it in found {
            let expected = if kind.goes_one_way { percent(it.expected) } else { Cell::Empty };
            row.extend([percent(it.had), expected, percent(it.later)]);
        }
        table.row(row);
    }
    table
}

fn charts(found: &[Vec<Found>]) -> Vec<Chart> {
    let mut chart = Chart::new(
        "Lookups that find the owner",
        Axis::new("nodes that lie (%)", Scale::Linear),
        Axis::new("lookups (%)", Scale::Linear),
    );
    let line = |(kind, found): (&Kind, &Vec<Found>)| {
        let points = found.iter().map(|it| (it.liars * 100.0, it.had * 100.0)).collect();
        Series::new(kind.name, Style::Line, points)
    };
    chart.series = KINDS.iter().zip(found).map(line).collect();
    vec![chart]
}

fn claims(found: &[Vec<Found>]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (kind, found) in KINDS.iter().zip(found).filter(|(kind, _)| kind.goes_one_way) {
        for it in found {
            let what =
                format!("{}: lookups that succeed, {:.0} % lie", kind.name, it.liars * 100.0);
            claims.push(Claim::near(what, it.expected, it.had, OF_DRAWS));
        }
    }
    let [.., one, several] = found else { return claims };
    for (one, several) in one.iter().zip(several) {
        let what = format!(
            "Kademlia: lookups that succeed on {PATHS} disjoint paths, at least as many as on one, \
             {:.0} % lie",
            one.liars * 100.0
        );
        claims.push(Claim::at_least(what, one.had, several.had));
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_fail_as_often_as_a_liar_lies_on_their_way() {
        let kinds: Vec<&Kind> = KINDS.iter().filter(|it| it.goes_one_way).collect();
        let find = |place: usize| (kinds[place].find)(40, 0.2, Rng::new(1));
        for (kind, it) in kinds.iter().zip(parallel::map(kinds.len(), find, |_| ())) {
            assert!(it.hops > 1.0, "{}: {it:?}", kind.name);
            assert!((it.had - it.expected).abs() < 0.15, "{}: {it:?}", kind.name);
        }
    }

    #[test]
    fn on_disjoint_paths_more_lookups_come_past_the_liars() {
        let [one, several] = [1, PATHS].map(|it| find(100, 0.3, Rng::new(1), &kademlia(it)));
        assert!(one.had < 0.9, "{one:?}");
        assert!(several.had > one.had, "{one:?} {several:?}");
        let none = find(100, 0.0, Rng::new(1), &kademlia(1));
        assert!(none.had > 0.999, "{none:?}");
    }
}
