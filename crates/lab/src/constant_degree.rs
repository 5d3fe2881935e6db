//! Overlays whose nodes have few links however many nodes there are: Koorde (Kaashoek and Karger, IPTPS 2003)
//! and Viceroy (Malkhi, Naor and Ratajczak, PODC 2002). How long ways are, and how many fail while nodes
//! are dead and nothing is mended. Ways go from table to table, without machines, by the papers' own rules: no
//! leaf set makes them shorter. Machines go some of them again.
//!
//! Neither paper has a measured figure. Judges are their bounds, and closed forms.

mod circle;
mod figures;
mod koorde;
mod machines;
mod verdicts;
mod viceroy;

use nigh_base::Rng;

use self::{circle::Circle, koorde::Koorde, viceroy::Viceroy};
use crate::{Error, Experiment, Options, Progress, Report, parallel, rings::random_key};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "constant-degree",
    shows: "How long ways are with a few links a node, and how many fail while nodes are dead: Koorde and \
            Viceroy with up to a million nodes",
    source: "Kaashoek, Karger: Koorde: A Simple Degree-Optimal Distributed Hash Table, IPTPS 2003; Malkhi, \
             Naor, Ratajczak: Viceroy: A Scalable and Dynamic Emulation of the Butterfly, PODC 2002",
    takes: &[],
    run,
};

const SIZES: [u32; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// Ways in each network, and in small ones five for each node: with ways that vary by as much as they are
/// long, a mean of so many is within 0.7 %.
const WAYS_MOST: u64 = 20_000;
/// Nodes of which some are dead.
const FAILING: u32 = 10_000;
/// Percent of them.
const DEAD: [u32; 5] = [10, 20, 30, 40, 50];
/// Ways for each share, and in small networks one for each node.
const WAYS_FAILING_MOST: u64 = 10_000;
/// The dead are drawn anew so often among them.
const DRAWS: u64 = 5;
/// Backups of a node while nodes are dead: of the pointers as many as of the successor, and on each side in
/// Viceroy. The last are more than log2 of the nodes.
const BACKUPS: [usize; 4] = [1, 4, 8, 16];

/// Whose ways are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Design {
    Koorde(Koorde),
    /// With as many pointers as the number of nodes has doublings, or the nearest power of two.
    KoordeOfLog,
    Viceroy,
}

const fn koorde(bits: u32, pointers: usize) -> Design {
    Design::Koorde(Koorde { bits, pointers, backups: 0 })
}

/// Koorde with two links, as in section 3; with k pointers, as in section 4; and with three times as many.
const DESIGNS: [Design; 6] = [
    koorde(1, 1),
    koorde(2, 4),
    koorde(4, 16),
    koorde(4, 48),
    Design::KoordeOfLog,
    Design::Viceroy,
];

impl Design {
    fn name(self) -> String {
        match self {
            Self::Koorde(it) => format!("Koorde, k = {}, {} links", it.degree(), it.links()),
            Self::KoordeOfLog => "Koorde, k = log N".to_owned(),
            Self::Viceroy => "Viceroy".to_owned(),
        }
    }

    /// Koorde's numbers with so many nodes.
    fn koorde(self, nodes: u32) -> Option<Koorde> {
        match self {
            Self::Koorde(it) => Some(it),
            Self::KoordeOfLog => {
                let doublings = libm::log2(f64::from(nodes));
                let bits = if doublings < 11.4 { 3 } else { 4 };
                Some(Koorde { bits, pointers: 1 << bits, backups: 0 })
            }
            Self::Viceroy => None,
        }
    }
}

/// What was found in a network in which nobody is dead.
#[derive(Clone, Debug)]
struct Found {
    design: Design,
    nodes: u32,
    /// Links from a node.
    links: usize,
    /// The mean of those into a node, and the most into one.
    into: (f64, u32),
    /// How many ways took 0, 1, 2, ... hops.
    hops: Vec<u64>,
    /// Ways that did not arrive.
    failed: u64,
    /// The mean number of hops along edges of the de Bruijn graph.
    edges: f64,
}

/// What was found while nodes are dead.
#[derive(Clone, Debug)]
struct Failing {
    design: Design,
    backups: usize,
    /// The part of the ways that failed, for each of [`DEAD`].
    failed: Vec<f64>,
    /// The mean hops of the others.
    mean: Vec<f64>,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let sizes = options.sizes(&SIZES)?;
    let rng = Rng::new(options.seed);
    let mut found = Vec::new();
    for &nodes in &sizes {
        let circle = Circle::new(nodes);
        let rng = rng.fork(nodes.into());
        let walk = |place: usize| find(&circle, DESIGNS[place], &mut rng.fork(place as u64));
        found.extend(parallel::map(DESIGNS.len(), walk, |_| ()));
        let text = format!("{nodes} nodes");
        told(Progress { done: ratio(found.len() as u64, 2 + 6 * sizes.len() as u64), text });
    }
    let nodes = FAILING.min(*sizes.last().expect("there is a smallest size"));
    let (circle, rng) = (Circle::new(nodes), rng.fork(0));
    let settings: Vec<(Design, usize)> = [DESIGNS[0], DESIGNS[2], Design::Viceroy]
        .into_iter()
        .flat_map(|design| BACKUPS.map(|backups| (design, backups)))
        .collect();
    let failing = parallel::map(
        settings.len(),
        |place| fail(&circle, settings[place], &mut rng.fork(place as u64)),
        |_| (),
    );
    let smaller = machines::NODES.min(nodes);
    let beside = machines::compare(smaller, &rng.fork(1));
    let tables = figures::tables(&found, &failing, nodes);
    let mut report = Report::new(&EXPERIMENT, options, figures::setup(nodes), tables);
    report.charts = figures::charts(&found, &failing, nodes);
    report.claims = verdicts::claims(&found, &failing, &beside, nodes);
    Ok(report)
}

fn ways(nodes: u32) -> u64 {
    WAYS_MOST.min(5 * u64::from(nodes))
}

fn ways_failing(nodes: u32) -> u64 {
    WAYS_FAILING_MOST.min(u64::from(nodes) / DRAWS * DRAWS)
}

/// A network, or the tables that one consists of.
enum Tables {
    Koorde(Koorde),
    Viceroy(Viceroy, usize),
}

impl Tables {
    fn new(circle: &Circle, design: Design, backups: usize, rng: &mut Rng) -> Self {
        let nodes = u32::try_from(circle.keys.len()).expect("there are fewer");
        match design.koorde(nodes) {
            // One successor is no backup.
            Some(it) => Self::Koorde(Koorde { backups: backups - usize::from(backups == 1), ..it }),
            None => Self::Viceroy(Viceroy::new(circle, rng), backups),
        }
    }

    /// The hops of a way from a living node to a key that is drawn, and how many of them were along edges.
    fn walk(&self, circle: &Circle, dead: &[bool], rng: &mut Rng) -> Option<(u32, u32)> {
        let from = loop {
            let drawn = rng.index(circle.keys.len());
            if !dead[drawn] {
                break drawn;
            }
        };
        let key = random_key(rng);
        match self {
            Self::Koorde(it) => it.walk(circle, from, key, dead),
            Self::Viceroy(it, beside) => {
                let owner = circle.behind(key);
                let owners = (owner..owner + dead.len()).map(|at| circle.place(at));
                let to = owners.into_iter().find(|&it| !dead[it])?;
                it.walk(circle, [from, to], key, *beside, dead).map(|hops| (hops, 0))
            }
        }
    }

    /// How many links there are into each node.
    fn links_into(&self, circle: &Circle) -> Vec<u32> {
        let mut into = vec![0; circle.keys.len()];
        for node in 0..circle.keys.len() {
            let mut count = |it: usize| into[circle.place(it)] += 1;
            count(node + 1);
            match self {
                Self::Koorde(koorde) => {
                    let first = koorde.first_pointer(circle, node);
                    (first..first + koorde.pointers).for_each(count);
                }
                Self::Viceroy(viceroy, _) => {
                    count(node + circle.keys.len() - 1);
                    viceroy.links(circle, node).into_iter().flatten().for_each(count);
                }
            }
        }
        into
    }
}

fn find(circle: &Circle, design: Design, rng: &mut Rng) -> Found {
    let nodes = u32::try_from(circle.keys.len()).expect("there are fewer");
    let tables = Tables::new(circle, design, 1, rng);
    let dead = vec![false; circle.keys.len()];
    let (mut hops, mut failed, mut along) = (Vec::new(), 0, 0);
    let ways = ways(nodes);
    for _ in 0..ways {
        match tables.walk(circle, &dead, rng) {
            Some((taken, edges)) => {
                count(&mut hops, taken);
                along += u64::from(edges);
            }
            None => failed += 1,
        }
    }
    let into = tables.links_into(circle);
    let sum: u64 = into.iter().map(|&it| u64::from(it)).sum();
    let most = into.into_iter().max().unwrap_or_default();
    let links = design.koorde(nodes).map_or(7, Koorde::links);
    let into = (ratio(sum, nodes.into()), most);
    Found { design, nodes, links, into, hops, failed, edges: ratio(along, ways - failed) }
}

fn fail(circle: &Circle, (design, backups): (Design, usize), rng: &mut Rng) -> Failing {
    let tables = Tables::new(circle, design, backups, rng);
    let count = circle.keys.len();
    let ways = ways_failing(u32::try_from(count).expect("there are fewer"));
    let mut failing = Failing { design, backups, failed: Vec::new(), mean: Vec::new() };
    for percent in DEAD {
        let (mut failed, mut sum) = (0, 0);
        for _ in 0..DRAWS {
            let mut order: Vec<usize> = (0..count).collect();
            rng.shuffle(&mut order);
            let mut dead = vec![false; count];
            order[..count * percent as usize / 100].iter().for_each(|&it| dead[it] = true);
            for _ in 0..ways / DRAWS {
                match tables.walk(circle, &dead, rng) {
                    Some((hops, _)) => sum += u64::from(hops),
                    None => failed += 1,
                }
            }
        }
        failing.failed.push(ratio(failed, ways));
        failing.mean.push(ratio(sum, ways - failed));
    }
    failing
}

fn count(counts: &mut Vec<u64>, value: u32) {
    let place = value as usize;
    counts.resize(counts.len().max(place + 1), 0);
    counts[place] += 1;
}

impl Found {
    fn mean(&self) -> f64 {
        let sum: u64 = (0u64..).zip(&self.hops).map(|(hops, count)| hops * count).sum();
        ratio(sum, self.hops.iter().sum())
    }

    /// The least number of hops that 99 % of the ways do not exceed.
    fn percentile_99(&self) -> u64 {
        let (mut sum, all) = (0, self.hops.iter().sum::<u64>());
        let below = self.hops.iter().take_while(|&&count| {
            sum += count;
            sum * 100 < all * 99
        });
        below.count() as u64
    }

    /// The part of the ways on which none of the nodes that are passed is dead, if each is with that chance.
    fn unharmed(&self, dead: f64) -> f64 {
        let (mut sum, mut alive) = (0.0, 1.0);
        let all = self.hops.iter().sum();
        for &count in &self.hops {
            sum += ratio(count, all) * alive;
            alive *= 1.0 - dead;
        }
        sum
    }

    fn doublings(&self) -> f64 {
        libm::log2(f64::from(self.nodes))
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer ways than 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Claim;

    #[test]
    fn small_networks_bear_the_papers_out() {
        let options = Options { nodes: Some(1_000), ..Options::new(1) };
        let report = run(&options, &mut |_| ()).unwrap();
        assert_eq!((report.tables.len(), report.charts.len()), (2, 2));
        let unsettled: Vec<&Claim> = report.unsettled().collect();
        assert!(unsettled.is_empty(), "{unsettled:?}");
    }

    #[test]
    fn a_way_without_the_dead_is_the_share_of_ways_whose_nodes_live() {
        let found = |hops: Vec<u64>| Found {
            design: Design::Viceroy,
            nodes: 4,
            links: 7,
            into: (7.0, 9),
            hops,
            failed: 0,
            edges: 0.0,
        };
        assert!((found(vec![0, 0, 1]).unharmed(0.5) - 0.25).abs() < 1e-12);
        assert!((found(vec![1, 0, 1]).unharmed(0.5) - 0.625).abs() < 1e-12);
        assert_eq!((found(vec![1, 2, 1]).mean(), found(vec![99, 1, 0]).percentile_99()), (1.0, 0));
    }

    #[test]
    fn hops_a_digit_are_those_of_a_geometric_number_of_nodes() {
        let of = |bits, pointers| Koorde { bits, pointers, backups: 0 }.hops_a_digit();
        // With one pointer as many as k are passed in the mean; with two a third of them is missed by 1 + 2.
        assert!((of(1, 1) - 3.0).abs() < 1e-12);
        assert!((of(1, 2) - (1.0 + 4.0 / 3.0)).abs() < 1e-12);
        assert!((of(4, 400) - 1.0).abs() < 1e-9);
    }
}
