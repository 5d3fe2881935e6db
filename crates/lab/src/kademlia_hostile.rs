//! Lookups among nodes that lie: how many have a value that was put, and how many find the nearest honest
//! node, on one path and on several disjoint ones.
//!
//! Baumgart, Mies, "S/Kademlia: A Practicable Approach Towards Secure Key-Based Routing", ICPADS 2007: a
//! lookup fails as soon as a node that lies is asked, and of d disjoint paths one has to come through. With
//! a part m of all nodes lying, a way of i nodes is honest with (1-m)^i, and one of d is with
//! 1-(1-(1-m)^i)^d.

mod liar;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use nigh_base::{Key, Rng};
use nigh_overlay::locate::{
    self, Contact, Ticket,
    kademlia::{Event, Node, Settings},
};
use nigh_sim::{HostId, Latency, Network, World};

pub(crate) use self::liar::Gang;
use self::liar::Lie;
use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    claim::{Claim, Verdict},
    liars::{Order, Player},
    parallel,
    rings::{contact, random_key},
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "kademlia-hostile",
    shows: "How many lookups of a Kademlia network come through when a part of its nodes lies, on one path \
            and on disjoint ones",
    source: "Baumgart, Mies: S/Kademlia: A Practicable Approach Towards Secure Key-Based Routing, ICPADS \
             2007, sections 4.4 and 5",
    takes: &[],
    run,
};

const NODES: u64 = 2_000;
const FEWEST_NODES: u64 = 200;
const MOST_NODES: u64 = 20_000;
/// Lookups of each kind for each number of paths.
const LOOKUPS: u64 = 1_000;
/// Values that are put before anybody lies.
const VALUES: u32 = 200;
const PUT_EVERY: Duration = Duration::from_millis(500);
/// Longer than all of it takes.
const LIFETIME: Duration = Duration::from_secs(86_400);
/// Parts of the nodes that lie, and how.
const LIARS: [(f64, Lie); 6] = [
    (0.0, Lie::EachOther),
    (0.1, Lie::EachOther),
    (0.2, Lie::EachOther),
    (0.3, Lie::EachOther),
    (0.2, Lie::Honest),
    (0.2, Lie::Nobody),
];
/// Disjoint paths. A node has one of these numbers, so that all are measured in one network.
const PATHS: [usize; 4] = [1, 2, 4, 8];
/// Nodes come one behind the other.
const JOIN_EVERY: Duration = Duration::from_millis(50);
/// Until each has looked into all of its buckets.
const SETTLING: Duration = Duration::from_secs(1200);
const UPKEEP: Duration = Duration::from_secs(60);
const ONE_WAY: Duration = Duration::from_millis(50);
/// Over which lookups begin, and how long answers may still come.
const SPAN: Duration = Duration::from_secs(400);
const REST: Duration = Duration::from_secs(60);
/// Why less is had than by the closed form.
const NOT_APART: &str = "the closed form is of ways that know nothing of each other and are all as long as the one \
    that was first. Paths of one lookup share the nodes that the asker knows, and each of the eight holders is \
    asked on one of them alone: with as many paths as holders a path may be left with none. With the seeds 1 to 5 \
    and 30 % of liars, 8 paths had from 1.4 points less to 0.5 more, 4 paths from 1.1 less to 1.8 more, and 1 or 2 \
    always more";

/// What was found with one part of liars.
#[derive(Clone, Debug)]
struct Found {
    liars: f64,
    lie: Lie,
    /// For each number of paths.
    kinds: Vec<Kind>,
}

impl Found {
    const fn they_name(&self) -> &'static str {
        match self.lie {
            Lie::EachOther => "each other",
            Lie::Honest => "honest nodes",
            Lie::Nobody => "nobody",
        }
    }

    /// What a claim of it is about.
    fn named(&self, paths: usize) -> String {
        let (liars, they_name) = (self.liars * 100.0, self.they_name());
        match self.lie {
            Lie::EachOther => format!("{liars:.0} % liars, paths: {paths}"),
            _ => format!("{liars:.0} % liars that name {they_name}, paths: {paths}"),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Kind {
    /// Values that came, of [`LOOKUPS`] that were asked for.
    had: u64,
    /// Lookups that named the nearest honest node, of as many.
    named: u64,
    /// By how many nodes the way led, of those.
    hops: BTreeMap<u32, u64>,
    /// Questions of these lookups, and their time.
    questions: u64,
    milliseconds: f64,
}

/// Of all lookups of a kind.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn share(count: u64) -> f64 {
    count as f64 / LOOKUPS as f64
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let few = u32::try_from(nodes).expect("the limits are below 32 bits");
    let rng = Rng::new(options.seed);
    let found = parallel::map(
        LIARS.len(),
        |place| {
            let (liars, lie) = LIARS[place];
            look_up(few, liars, lie, rng.fork(1))
        },
        |done| {
            let text = format!("{done} of {} networks", LIARS.len());
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            told(Progress { done: done as f64 / LIARS.len() as f64, text });
        },
    );
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes), vec![table(&found)]);
    report.charts = charts(&found);
    report.claims = claims(&found);
    Ok(report)
}

fn look_up(nodes: u32, liars: f64, lie: Lie, mut rng: Rng) -> Found {
    let mut world = World::new(rng.next_u64(), Network::new(Latency::Constant(ONE_WAY)));
    let settings: Vec<Arc<Settings>> = PATHS.iter().map(|&paths| Arc::new(of(paths))).collect();
    let contacts: Vec<Contact> = (0..nodes).map(contact).collect();
    for (number, me) in (0..).zip(&contacts) {
        let settings = Arc::clone(&settings[number as usize % PATHS.len()]);
        let host = world.add(Player::honest(Node::new(me.key, me.address, settings)));
        let via = match number {
            0 => vec![],
            _ => vec![contacts[rng.index(number as usize)].address],
        };
        world.command(host, Order::Honest(locate::Command::Join { via }.into()));
        world.run_until(world.now().after(JOIN_EVERY));
    }
    world.run_until(world.now().after(SETTLING));
    put(&mut world, nodes, &mut rng);
    // From now on they lie.
    let mut drawn: Vec<u32> = (0..nodes).collect();
    rng.shuffle(&mut drawn);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of them")]
    let (lying, honest) = drawn.split_at((f64::from(nodes) * liars) as usize);
    let named = if lie == Lie::Honest { honest } else { lying };
    let named = named.iter().map(|&it| contacts[it as usize]).collect();
    let gang = Arc::new(Gang { lie, named });
    for &it in lying {
        world.command(HostId(it), Order::Lie(Some(Arc::clone(&gang))));
    }
    let kinds = ask(&mut world, honest, &contacts, &mut rng);
    Found { liars, lie, kinds }
}

/// Under which key a value lies.
fn key_of(value: u32) -> Key {
    Key::of(&value.to_be_bytes())
}

/// Has values put by nodes that are drawn.
fn put(world: &mut World<Player<Node>>, nodes: u32, rng: &mut Rng) {
    for value in 0..VALUES {
        let by = HostId(u32::try_from(rng.below(nodes.into())).expect("a node's number"));
        let put = locate::Command::Put {
            ticket: Ticket(0),
            key: key_of(value),
            value: Bytes::from_static(b"value"),
            lifetime: LIFETIME,
            refresh: false,
        };
        world.command(by, Order::Honest(put.into()));
        world.run_until(world.now().after(PUT_EVERY));
    }
    world.run_until(world.now().after(REST));
    world.take_events();
}

/// Has honest nodes ask for values, and look random keys up.
fn ask(
    world: &mut World<Player<Node>>,
    honest: &[u32],
    contacts: &[Contact],
    rng: &mut Rng,
) -> Vec<Kind> {
    let start = world.now();
    let mut kinds = vec![Kind::default(); PATHS.len()];
    let mut asked = BTreeMap::new();
    for place in 0..PATHS.len() {
        let askers: Vec<u32> =
            honest.iter().copied().filter(|it| *it as usize % PATHS.len() == place).collect();
        for _ in 0..LOOKUPS {
            let at = start.after(rng.between(Duration::ZERO, SPAN));
            let (by, key) = (HostId(askers[rng.index(askers.len())]), random_key(rng));
            let value = key_of(u32::try_from(rng.below(VALUES.into())).expect("few values"));
            let tickets = [Ticket(asked.len() as u64), Ticket(asked.len() as u64 + 1)];
            for (command, ticket) in [
                locate::Command::Locate { ticket: tickets[0], key, trace: true },
                locate::Command::Get { ticket: tickets[1], key: value },
            ]
            .into_iter()
            .zip(tickets)
            {
                world.command_at(at, by, Order::Honest(command.into()));
                asked.insert(ticket, (place, at, key));
            }
        }
    }
    world.run_until(start.after(SPAN + REST));
    for told in world.take_events() {
        let (ticket, holders, hops, route) = match told.event {
            Event::Locate(locate::Event::Located { ticket, holders, hops, route, .. }) => {
                (ticket, holders, hops, route)
            }
            Event::Locate(locate::Event::Value { ticket, value: Some(_) }) => {
                kinds[asked[&ticket].0].had += 1;
                continue;
            }
            _ => continue,
        };
        let (place, at, key) = asked[&ticket];
        let honest = honest.iter().map(|&it| contacts[it as usize]);
        let nearest = honest.min_by_key(|it| it.key.xor(key)).expect("some are honest");
        let kind = &mut kinds[place];
        kind.questions += route.len() as u64;
        kind.milliseconds += told.at.since(at).as_secs_f64() * 1e3;
        if holders.contains(&nearest) {
            kind.named += 1;
            *kind.hops.entry(hops).or_default() += 1;
        }
    }
    kinds
}

fn of(paths: usize) -> Settings {
    Settings {
        paths,
        // Each path asks one node after the other at least.
        parallel: paths.max(3),
        questions_a_second: None,
        upkeep_every: UPKEEP,
        fits_address: false,
        ..Settings::default()
    }
}

/// The part of the lookups that come through by the closed form, for ways of those lengths.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn closed_form(hops: &BTreeMap<u32, u64>, liars: f64, paths: usize) -> f64 {
    let all: u64 = hops.values().sum();
    let part = |(&hops, &count): (&u32, &u64)| {
        let honest = libm::pow(1.0 - liars, f64::from(hops));
        let comes_through = 1.0 - libm::pow(1.0 - honest, paths as f64);
        comes_through * count as f64
    };
    hops.iter().map(part).sum::<f64>() / all.max(1) as f64
}

fn setup(nodes: u64) -> String {
    format!(
        "{} nodes with k = 8 join one behind the other, each through one that is drawn, have {} minutes to \
         look into their buckets, and put {VALUES} values. Then a part of them begins to lie: whatever a \
         liar is asked, it has no value and names eight of its kind under ids that it makes up next to what \
         is looked for, and each of them answers to that id. In two more networks it names honest nodes \
         under such ids, and addresses where nobody is. For each number of paths honest nodes ask for \
         {} of the values and look up as many random keys, with 3 questions at once, or one for each path. A \
         value is had as soon as one of the eight that hold it is asked, if it is honest. The nearest is \
         named if the honest node that is nearest to the key is among the eight that the lookup ends with, \
         of which each path has its part. The closed form takes the ways of the network without liars; it \
         has a lookup fail with the first liar on its only way, and knows only one holder: so it is taken for a \
         bound from below, without a tolerance.",
        Cell::count(nodes),
        SETTLING.as_secs() / 60,
        Cell::count(LOOKUPS),
    )
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn table(found: &[Found]) -> Table {
    let mut table = Table::new(vec![
        Column::new("liars", "%"),
        Column::new("they name", ""),
        Column::new("paths", ""),
        Column::new("values had", "%"),
        Column::new("nearest named", "%"),
        Column::new("closed form", "%"),
        Column::new("questions a lookup", ""),
        Column::new("time", "ms"),
    ]);
    for found_with in found {
        for (place, kind) in found_with.kinds.iter().enumerate() {
            let expected = closed_form(&found[0].kinds[place].hops, found_with.liars, PATHS[place]);
            table.row(vec![
                Cell::number(found_with.liars * 100.0, 0),
                Cell::text(found_with.they_name()),
                Cell::count(PATHS[place] as u64),
                Cell::number(share(kind.had) * 100.0, 1),
                Cell::number(share(kind.named) * 100.0, 1),
                Cell::number(expected * 100.0, 1),
                Cell::number(kind.questions as f64 / LOOKUPS as f64, 1),
                Cell::number(kind.milliseconds / LOOKUPS as f64, 0),
            ]);
        }
    }
    table
}

fn charts(found: &[Found]) -> Vec<Chart> {
    let chart = |title: &str, of: fn(&Kind) -> u64| {
        let line = |place: usize| {
            let found = found.iter().filter(|it| it.lie == Lie::EachOther);
            let points = found.map(|it| (it.liars * 100.0, share(of(&it.kinds[place])) * 100.0));
            let paths = if PATHS[place] == 1 { "path" } else { "paths" };
            Series::new(format!("{} {paths}", PATHS[place]), Style::Line, points.collect())
        };
        let axis = |label: &str| Axis::new(label, Scale::Linear);
        let mut chart = Chart::new(title, axis("liars (%)"), axis("lookups (%)"));
        chart.series = (0..PATHS.len()).map(line).collect();
        chart
    };
    vec![
        chart("Values that are had", |kind| kind.had),
        chart("Lookups that name the nearest honest node", |kind| kind.named),
    ]
}

fn claims(found: &[Found]) -> Vec<Claim> {
    let missed = |of: fn(&Kind) -> u64| found[0].kinds.iter().map(|it| LOOKUPS - of(it)).sum();
    let none: [u64; 2] = [missed(|it| it.named), missed(|it| it.had)];
    let mut claims = vec![Claim::stated(
        "without liars: lookups that do not name the nearest node, and values that are not had",
        "none",
        format!("{} and {}", none[0], none[1]),
        Verdict::of(none == [0, 0]),
    )];
    for found_with in &found[1..] {
        for (place, kind) in found_with.kinds.iter().enumerate() {
            let expected = closed_form(&found[0].kinds[place].hops, found_with.liars, PATHS[place]);
            let had = share(kind.had);
            let what =
                format!("{}: values that are had (closed form)", found_with.named(PATHS[place]));
            let claim = Claim::at_least(what, expected, had);
            claims.push(if PATHS[place] > 1 { claim.because(NOT_APART) } else { claim });
        }
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_is_that_of_the_paper() {
        let three = BTreeMap::from([(3, 10)]);
        assert!((closed_form(&three, 0.1, 1) - 0.729).abs() < 1e-9);
        assert!((closed_form(&three, 0.1, 2) - (1.0 - 0.271 * 0.271)).abs() < 1e-9);
        assert!((closed_form(&three, 0.0, 4) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn paths_bring_lookups_past_liars_and_without_liars_all_come_through() {
        let [none, some] = [0.0, 0.2].map(|liars| look_up(200, liars, Lie::EachOther, Rng::new(1)));
        assert!(none.kinds.iter().all(|it| (it.named, it.had) == (LOOKUPS, LOOKUPS)));
        let of = |of: fn(&Kind) -> u64| -> Vec<f64> {
            some.kinds.iter().map(|it| share(of(it))).collect()
        };
        for shares in [of(|it| it.named), of(|it| it.had)] {
            assert!(shares[0] < 1.0 && shares[3] > shares[0], "{shares:?}");
        }
    }

    /// Other nodes are asked about other keys: so much is by chance.
    const CHANCE: f64 = 0.02;

    #[test]
    fn wrong_ids_and_addresses_of_nobody_keep_out_no_more_than_liars_that_are_there() {
        let of = |lie| look_up(200, 0.2, lie, Rng::new(1)).kinds;
        let there = of(Lie::EachOther);
        for lie in [Lie::Honest, Lie::Nobody] {
            for (kind, there) in of(lie).iter().zip(&there) {
                let (had, least) = (share(kind.had), share(there.had) - CHANCE);
                assert!(had >= least, "{lie:?}: {had}, {least}");
                assert!(share(kind.named) >= share(there.named) - CHANCE, "{lie:?}");
            }
        }
    }
}
