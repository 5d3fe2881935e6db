//! How far the ways of Pastry lead in the network under it: Rowstron and Druschel, "Pastry: Scalable,
//! Decentralized Object Location, and Routing for Large-Scale Peer-to-Peer Systems", Middleware 2001,
//! sections 3.1 and 3.3, figures 6 and 8.

use std::sync::Arc;

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{
    Contact,
    pastry::{Node, Settings, settled::Settled},
};

use crate::{
    Axis, Chart, Error, Experiment, Options, Progress, Report, Scale, Series, Style,
    claim::{Claim, Tolerance, Verdict},
    parallel,
    pastry_path::{drawn, ratio},
    rings::{NEVER, contacts, random_key},
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "pastry-locality",
    shows: "How far a lookup travels in Pastry, and whether it meets a near replica first",
    source: "Rowstron, Druschel: Pastry: Scalable, Decentralized Object Location, and Routing for \
             Large-Scale Peer-to-Peer Systems, Middleware 2001, sections 3.1 and 3.3, figures 6 and 8",
    takes: &[],
    run,
};

/// Of the sizes of the paper the smaller ones: each node is measured against each.
const SIZES: [u32; 4] = [1_000, 5_000, 10_000, 25_000];
const LOOKUPS: u32 = 100_000;
/// The size in which replicas are looked for, and how many a key has.
const REPLICATED: u32 = 10_000;
const REPLICAS: usize = 5;
/// The plane of the paper: as wide as high.
const SIDE: f64 = 1000.0;
/// "Only approximately 30 % to 40 % longer" than the straight way.
const LONGER: (f64, f64) = (1.3, 1.4);
/// One network of a size differs from another.
const OF_A_NETWORK: f64 = 0.05;
/// Of the lookups without the paper's heuristic, the part that meets the nearest replica first, and one of
/// the two nearest.
const NEAREST: f64 = 0.68;
const NEAREST_TWO: f64 = 0.87;
const OF_A_PART: Tolerance = Tolerance::Absolute(0.05);

/// What was found in a network of one size.
#[derive(Clone, Debug)]
struct Found {
    nodes: u32,
    /// How much longer a way is than the straight one, in the mean of all ways.
    longer: f64,
    /// The same where each cell has any node that fits.
    without: f64,
    /// The length of each hop in the mean, by its place on the way.
    hops: Vec<f64>,
    /// How many of the replicas lie nearer to the asker than the one that is met first: the parts of the
    /// lookups with 0, 1, 2, ... such.
    nearer: Vec<f64>,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let sizes = options.sizes(&SIZES)?;
    let rng = Rng::new(options.seed);
    let mut found = Vec::new();
    for &nodes in &sizes {
        found.push(find(nodes, &rng.fork(nodes.into())));
        let done = ratio(found.len() as u64, sizes.len() as u64);
        told(Progress { done, text: format!("{} of {} sizes", found.len(), sizes.len()) });
    }
    let mut report = Report::new(&EXPERIMENT, options, setup(), tables(&found));
    report.charts = charts(&found);
    report.claims = claims(&found);
    Ok(report)
}

/// Where the nodes are, in the order of their keys.
struct Plane {
    all: Settled,
    places: Vec<[f64; 2]>,
}

impl Plane {
    fn new(nodes: u32, rng: &Rng) -> Self {
        let all = Settled::new(Arc::new(Settings::default()), contacts(nodes));
        let mut rng = rng.fork(1);
        let mut coordinate = || unit(&mut rng) * SIDE;
        let places = (0..nodes).map(|_| [coordinate(), coordinate()]).collect();
        Self { all, places }
    }

    fn index(&self, contact: Contact) -> usize {
        self.all.contacts().binary_search(&contact).expect("a node of the network")
    }

    fn apart(&self, a: usize, b: usize) -> f64 {
        let ([ax, ay], [bx, by]) = (self.places[a], self.places[b]);
        libm::hypot(ax - bx, ay - by)
    }

    /// The machines, in the order of their keys; each cell has the nearest node that fits, or any.
    fn nodes(&self, is_near: bool, rng: &Rng) -> Vec<Node> {
        let contacts = self.all.contacts();
        let never = Time::START.after(NEVER);
        let pieces = parallel::map(
            contacts.len().div_ceil(PIECE),
            |piece| {
                let range = piece * PIECE..contacts.len().min((piece + 1) * PIECE);
                let mut rng = rng.fork(piece as u64);
                let node = |me: usize| {
                    self.all.node(contacts[me], never, |fit| {
                        if !is_near {
                            return rng.index(fit.len());
                        }
                        // Those that fit lie next to each other.
                        let first = self.index(fit[0]);
                        let apart = |&at: &usize| self.apart(me, first + at);
                        let nearest = (0..fit.len()).min_by(|a, b| apart(a).total_cmp(&apart(b)));
                        nearest.expect("somebody fits")
                    })
                };
                range.map(node).collect::<Vec<_>>()
            },
            |_| (),
        );
        pieces.into_iter().flatten().collect()
    }

    /// The nodes on the way from `from` to `key`, both ends among them.
    fn way(&self, nodes: &[Node], from: usize, key: Key) -> Vec<usize> {
        let mut way = vec![from];
        while let Some(next) = nodes[*way.last().expect("it has a start")].next(key) {
            way.push(self.index(next));
        }
        way
    }

    /// The replica that a lookup which wants any of them comes to: the first on its way, or, one step before,
    /// the nearest of those that a node there has in its leaf set.
    fn met(&self, nodes: &[Node], way: &[usize], replicas: &[usize]) -> usize {
        let first = way.iter().position(|at| replicas.contains(at)).expect("the owner is one");
        let Some(before) = first.checked_sub(1).map(|place| way[place]) else { return way[first] };
        let leaves = nodes[before].leaves();
        let known = leaves.into_iter().map(|it| self.index(it)).filter(|at| replicas.contains(at));
        let all = known.chain([way[first]]);
        let nearest = all.min_by(|&a, &b| self.apart(before, a).total_cmp(&self.apart(before, b)));
        nearest.expect("the first is one")
    }

    /// The nodes with the `count` keys that are numerically nearest.
    fn nearest(&self, key: Key, count: usize) -> Vec<usize> {
        let contacts = self.all.contacts();
        let (size, place) = (contacts.len(), contacts.partition_point(|it| it.key < key));
        let mut near: Vec<usize> =
            (0..count).flat_map(|step| [place + step, place + size - 1 - step]).collect();
        near.iter_mut().for_each(|at| *at %= size);
        near.sort_unstable_by_key(|&at| {
            let other = contacts[at].key;
            other.minus(key).min(key.minus(other))
        });
        near.dedup();
        near.truncate(count);
        near
    }
}

/// Machines that a thread makes in one go.
const PIECE: usize = 512;

/// A number from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn unit(rng: &mut Rng) -> f64 {
    rng.below(1 << 53) as f64 / (1u64 << 53) as f64
}

fn find(nodes: u32, rng: &Rng) -> Found {
    let plane = Plane::new(nodes, rng);
    let near = plane.nodes(true, &rng.fork(2));
    let mut found = measure(&plane, &near, &mut rng.fork(3));
    drop(near);
    let any = plane.nodes(false, &rng.fork(2));
    found.without = measure(&plane, &any, &mut rng.fork(3)).longer;
    found
}

fn measure(plane: &Plane, nodes: &[Node], rng: &mut Rng) -> Found {
    let count = u32::try_from(nodes.len()).expect("as many as were asked for");
    let (mut ways, mut straight) = (0.0, 0.0);
    let mut hops: Vec<(f64, u64)> = Vec::new();
    let mut nearer = vec![0u64; REPLICAS];
    for _ in 0..LOOKUPS {
        let (from, key) = (drawn(count, rng) as usize, random_key(rng));
        let way = plane.way(nodes, from, key);
        for (place, hop) in way.windows(2).enumerate() {
            let length = plane.apart(hop[0], hop[1]);
            ways += length;
            hops.resize(hops.len().max(place + 1), (0.0, 0));
            hops[place].0 += length;
            hops[place].1 += 1;
        }
        straight += plane.apart(from, *way.last().expect("it has an end"));
        let replicas = plane.nearest(key, REPLICAS);
        let met = plane.met(nodes, &way, &replicas);
        let is_nearer = |it: &&usize| plane.apart(from, **it) < plane.apart(from, met);
        nearer[replicas.iter().filter(is_nearer).count()] += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53")]
    let hops = hops.into_iter().map(|(length, count)| length / count as f64).collect();
    let nearer = nearer.into_iter().map(|it| ratio(it, LOOKUPS.into())).collect();
    Found { nodes: count, longer: ways / straight, without: 0.0, hops, nearer }
}

fn setup() -> String {
    format!(
        "Nodes lie at random on a plane of 1000 by 1000, as in the paper, and their distance is what \
         locality goes by. Networks are as they are when all has settled, with b = 4 and L = 16, and each \
         cell of a table has the nearest of all nodes that fit; the paper's tables came from joins, and \
         come near to that. {} lookups of random keys from random nodes; a way is as long as its hops \
         together, the straight one leads from the asker to the owner. The {REPLICAS} nodes whose keys are \
         nearest to a key are its replicas; a lookup that wants any of them ends at the first on its way, or, from the step \
         before, at the nearest of those in a leaf set. For replicas the paper has b = 3 and L = 8; our digits have 1, \
         2 or 4 bits. The figures in the paper's \
         text are rounded; one network differs from another by {OF_A_NETWORK}.",
        Cell::count(LOOKUPS.into()),
    )
}

fn tables(found: &[Found]) -> Vec<Table> {
    let most = found.iter().map(|it| it.hops.len()).max().unwrap_or(0);
    let mut columns = vec![
        Column::new("nodes", ""),
        Column::new("way to straight way", ""),
        Column::new("the same without locality", ""),
    ];
    columns.extend((1..=most).map(|hop| Column::new(format!("length of hop {hop}"), "")));
    let mut ways = Table::new(columns);
    let mut columns = vec![Column::new("nodes", "")];
    columns.extend((0..REPLICAS).map(|count| Column::new(format!("{count} nearer"), "%")));
    let mut replicas = Table::new(columns);
    for it in found {
        let mut row = vec![
            Cell::count(it.nodes.into()),
            Cell::number(it.longer, 3),
            Cell::number(it.without, 3),
        ];
        let length = |hop: usize| it.hops.get(hop).map(|&length| Cell::number(length, 1));
        row.extend((0..most).map(|hop| length(hop).unwrap_or_else(|| Cell::text("-"))));
        ways.row(row);
        let mut row = vec![Cell::count(it.nodes.into())];
        row.extend(it.nearer.iter().map(|&part| Cell::number(part * 100.0, 1)));
        replicas.row(row);
    }
    vec![ways, replicas]
}

fn charts(found: &[Found]) -> Vec<Chart> {
    let of = |value: fn(&Found) -> f64| {
        found.iter().map(|it| (f64::from(it.nodes), value(it))).collect::<Vec<_>>()
    };
    let mut chart = Chart::new(
        "How much longer than the straight way",
        Axis::new("nodes", Scale::Log10),
        Axis::new("ratio", Scale::Linear),
    );
    chart.series = vec![
        Series::new("with locality", Style::Line, of(|it| it.longer)),
        Series::new("without", Style::Line, of(|it| it.without)),
    ];
    vec![chart]
}

fn claims(found: &[Found]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for it in found {
        let (least, most) = (LONGER.0 - OF_A_NETWORK, LONGER.1 + OF_A_NETWORK);
        claims.push(Claim::stated(
            format!("{} nodes: ways against straight ones", it.nodes),
            "30 to 40 % longer",
            format!("{:.1} % longer", (it.longer - 1.0) * 100.0),
            Verdict::of((least..=most).contains(&it.longer)),
        ));
        let grows = it.hops.windows(2).take(2).all(|two| two[0] < two[1]);
        claims.push(Claim::stated(
            format!("{} nodes: the first three hops, each longer than the one before", it.nodes),
            "each is",
            it.hops.iter().take(3).map(|it| format!("{it:.0}")).collect::<Vec<_>>().join(", "),
            Verdict::of(grows),
        ));
    }
    if let Some(it) = found.iter().find(|it| it.nodes == REPLICATED) {
        let what = "10,000 nodes: lookups that meet the nearest of 5 replicas first";
        claims.push(Claim::near(what, NEAREST, it.nearer[0], OF_A_PART).because(
            "the paper has b = 3 and L = 8 here. With b = 4 it goes with how far the number of nodes is from \
             a power of 16: with 25,000 nodes it is above the published part, with 10,000 below it",
        ));
        let what = "10,000 nodes: lookups that meet one of the two nearest first";
        claims.push(Claim::near(what, NEAREST_TWO, it.nearer[0] + it.nearer[1], OF_A_PART));
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_nodes_make_ways_shorter_and_the_last_hops_the_longest() {
        let options = Options { nodes: Some(1_000), ..Options::new(1) };
        let found = find(1_000, &Rng::new(options.seed));
        assert!(found.longer < 1.6 && found.without > 2.0 * found.longer - 1.0, "{found:?}");
        assert!((found.nearer.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(found.nearer[0] > 0.4);
    }

    #[test]
    fn the_nearest_keys_are_those_on_both_sides() {
        let plane = Plane::new(100, &Rng::new(1));
        let contacts = plane.all.contacts();
        for number in 0..50u32 {
            let key = Key::of(&number.to_be_bytes());
            let mut right: Vec<usize> = (0..100).collect();
            right.sort_by_key(|&at| contacts[at].key.minus(key).min(key.minus(contacts[at].key)));
            assert_eq!(plane.nearest(key, 5), right[..5]);
        }
    }
}
