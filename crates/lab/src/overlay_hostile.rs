//! What liars do to lookups in overlays that go one way each: whoever lies on it has the whole lookup.
//!
//! Castro, Druschel, Ganesh, Rowstron, Wallach, "Secure routing for structured peer-to-peer overlay networks",
//! OSDI 2002, section 4: of ways of h hops, (1 - f)^(h - 1) pass only honest nodes while a part f of them
//! lies. Kademlia's several ways at once: [`kademlia_hostile`](crate::kademlia_hostile).

mod liar;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{
    Command, Contact, Event, Overlay, Ticket, can, chord, koorde,
    node::{self, geometry::Geometry},
    pastry, tapestry, viceroy,
};
use nigh_sim::{HostId, Latency, Network, World};

use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    claim::{Claim, Tolerance},
    liars::{Liar, Order, Player},
    parallel,
    pastry_path::ratio,
    rings::{contact, random_key},
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "overlay-hostile",
    shows: "Lookups that find the owner while 10 to 30 % of all nodes lie, in each overlay",
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

/// An overlay of the experiment: its name, and what is found in it.
struct Kind {
    name: &'static str,
    find: fn(u32, f64, Rng) -> Found,
}

const KINDS: [Kind; 6] = [
    Kind { name: "Chord", find: |nodes, liars, rng| find(nodes, liars, rng, chord) },
    Kind { name: "Pastry", find: of::<pastry::Geometry> },
    Kind { name: "Tapestry", find: of::<tapestry::Geometry> },
    Kind { name: "CAN", find: of::<can::Geometry> },
    Kind { name: "Koorde", find: of::<koorde::Geometry> },
    Kind { name: "Viceroy", find: of::<viceroy::Geometry> },
];

/// What was found with one part of liars.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    liars: f64,
    /// The part of the lookups that found the owner when lying began.
    had: f64,
    /// The same [`LYING`] later.
    later: f64,
    /// The same by the ways that the same lookups took while nobody lied.
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

fn chord(me: Contact) -> chord::Several {
    let routing = chord::Routing::Recursive;
    let settings = chord::Settings { routing, ..chord::Settings::default() };
    chord::Several::new(&[me.key], me.address, &Arc::new(settings))
}

fn of<G: Geometry<Settings: Default>>(nodes: u32, liars: f64, rng: Rng) -> Found {
    let settings = Arc::new(G::Settings::default());
    find(nodes, liars, rng, |me| node::Node::<G>::new(me.key, me.address, Arc::clone(&settings)))
}

/// One lookup, as it was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    by: u32,
    key: Key,
    /// Who answered for the key, and after how many hops, while nobody lied.
    honest: Option<(Contact, u32)>,
}

fn find<T: Liar<Lie = (), Command = Command> + Overlay + std::fmt::Debug + Send>(
    nodes: u32,
    liars: f64,
    mut rng: Rng,
    make: impl Fn(Contact) -> T,
) -> Found
where
    T::Message: Clone + Send,
    T::Event: Send,
{
    let mut world = World::new(rng.next_u64(), Network::new(Latency::Constant(ONE_WAY)));
    let contacts: Vec<Contact> = (0..nodes).map(contact).collect();
    for (number, &me) in contacts.iter().enumerate() {
        let host = world.add(Player::honest(make(me)));
        let via = match number {
            0 => vec![],
            _ => vec![contacts[rng.index(number)].address],
        };
        world.command(host, Order::Honest(Command::Join { via }));
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
    for (number, answer) in ask(&mut world, &asked, &all) {
        asked[number].honest = Some(answer);
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
        let tell = |world: &mut World<Player<T>>, lie: Option<()>| {
            lying.iter().for_each(|&it| world.command(HostId(it), Order::Lie(lie)));
        };
        tell(&mut world, Some(()));
        let chosen = honest(&asked, lying);
        let count = ratio(chosen.len().max(1) as u64, 1);
        let hops = chosen.iter().filter_map(|&number| asked[number].honest).map(|it| it.1);
        let pass = |hops: u32| libm::pow(1.0 - liars, f64::from(hops.saturating_sub(1)));
        sum.expected += hops.clone().map(pass).sum::<f64>() / count;
        sum.hops += ratio(hops.map(u64::from).sum(), 1) / count;
        sum.had += had(&mut world, &asked, &chosen);
        if draw + 1 == DRAWS {
            world.run_until(world.now().after(LYING));
            sum.later = had(&mut world, &asked, &chosen);
        } else {
            tell(&mut world, None);
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
fn had<T: Liar<Lie = (), Command = Command> + Overlay + std::fmt::Debug + Send>(
    world: &mut World<Player<T>>,
    asked: &[Asked],
    chosen: &[usize],
) -> f64
where
    T::Message: Clone + Send,
    T::Event: Send,
{
    let answers = ask(world, asked, chosen);
    let owner = |number: usize| asked[number].honest.map(|it| it.0);
    let is_right = |&&number: &&usize| answers.get(&number).map(|it| it.0) == owner(number);
    ratio(chosen.iter().filter(is_right).count() as u64, chosen.len().max(1) as u64)
}

/// Who answers for which of the `chosen` lookups, and after how many hops.
fn ask<T: Liar<Lie = (), Command = Command> + Overlay + std::fmt::Debug + Send>(
    world: &mut World<Player<T>>,
    asked: &[Asked],
    chosen: &[usize],
) -> BTreeMap<usize, (Contact, u32)>
where
    T::Message: Clone + Send,
    T::Event: Send,
{
    world.take_events();
    let start = world.now();
    for (place, &number) in chosen.iter().enumerate() {
        let Asked { by, key, .. } = asked[number];
        let at: Time = start.after(SPAN.mul_f64(ratio(place as u64, chosen.len() as u64)));
        let locate = Command::Locate { ticket: Ticket(number as u64), key, trace: false };
        world.command_at(at, HostId(by), Order::Honest(locate));
    }
    world.run_until(start.after(SPAN + REST));
    let mut answers = BTreeMap::new();
    for told in world.take_events() {
        if let Some(Event::Located { ticket, holders, hops, .. }) = T::told(told.event)
            && let Some(&owner) = holders.first()
        {
            answers.insert(usize::try_from(ticket.0).expect("as it was given"), (owner, hops));
        }
    }
    answers
}

fn setup(nodes: u64) -> String {
    format!(
        "{} nodes join one by one, and settle for ten minutes; lookups are passed on from node to node. Then a \
         part of the nodes lies: a liar that is asked for the next node, or is to pass a lookup on, says \
         that it is the owner itself, and does all else as others do. {} random keys are looked up at \
         random nodes at once, and again after ten minutes in which liars have lied to those who look after \
         their tables as well; those count whose asker and whose owner are honest. What is expected at once is \
         worked out from the ways that the same lookups took while nobody lied: of h nodes on a way all but \
         the owner may lie. All is the mean of {DRAWS} draws of who lies, with ten honest minutes between; what comes \
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
        for it in found {
            row.extend([it.had, it.expected, it.later].map(|it| Cell::number(it * 100.0, 1)));
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
    for (kind, found) in KINDS.iter().zip(found) {
        for it in found {
            let what =
                format!("{}: lookups that succeed, {:.0} % lie", kind.name, it.liars * 100.0);
            claims.push(Claim::near(what, it.expected, it.had, OF_DRAWS));
        }
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_fail_as_often_as_a_liar_lies_on_their_way() {
        for kind in &KINDS {
            let it = (kind.find)(40, 0.2, Rng::new(1));
            assert!(it.hops > 1.0, "{}: {it:?}", kind.name);
            assert!((it.had - it.expected).abs() < 0.15, "{}: {it:?}", kind.name);
        }
    }
}
