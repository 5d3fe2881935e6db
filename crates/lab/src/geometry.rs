//! What a message loses when nodes fail and no table is mended: Gummadi, Gummadi, Gribble, Ratnasamy,
//! Shenker and Stoica, "The Impact of DHT Routing Geometry on Resilience and Proximity", SIGCOMM 2003,
//! on static resilience. Each geometry has its neighbours in one table, a part of the nodes
//! fails, and ways are tried between those that are left.
//!
//! Two judges: closed forms for full networks ([`theory`]), and what the paper says of 65,536 nodes. It
//! does not say enough to be repeated without a guess, so the rule by which its numbers come out is
//! named, and what comes out without it stands beside.

mod butterfly;
mod figures;
mod overlay;
mod theory;
mod verdicts;
mod walk;

use nigh_base::Rng;

use self::{
    butterfly::Butterfly,
    overlay::{Geometry, Node, Overlay, Places, Sequential},
};
use crate::{Error, Experiment, Options, Progress, Report, parallel, table::Cell};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "geometry",
    shows: "How many ways fail, and how long they are, while a part of all nodes is dead: ring, \
            hypercube, xor, hybrid, tree and butterfly",
    source: "Gummadi, Gummadi, Gribble, Ratnasamy, Shenker, Stoica: The Impact of DHT Routing \
             Geometry on Resilience and Proximity, SIGCOMM 2003, static resilience",
    takes: &[],
    run,
};

/// The paper's nodes: two to the power of this.
const DOUBLINGS: u32 = 16;
/// Of so few, 25 are left when 90 % are dead; with more, sixteen threads want gigabytes.
const FEWEST: u64 = 1 << 8;
const MOST: u64 = 1 << 18;
/// Percent of the nodes that are dead.
const DEAD: [u32; 10] = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90];
/// The share for which the paper's text has numbers.
const QUOTED: u32 = 30;
/// Ways tried for each of them, and in smaller networks as many as there are nodes: a share of so many
/// varies by 0.0022 at most.
const WAYS_MOST: u64 = 50_000;
/// The dead are drawn anew so often among them.
const DRAWS: u64 = 10;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    /// Nodes: whoever knows one that is dead cannot use it.
    Nodes,
    /// Links, each for itself: what closed forms of ring and xor are about.
    Links,
}

/// A network, and what fails in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setting {
    geometry: Geometry,
    places: Places,
    sequential: Sequential,
    failing: Failing,
}

/// What became of the ways in one setting.
#[derive(Clone, Debug)]
struct Found {
    setting: Setting,
    /// For each of [`DEAD`].
    points: Vec<Point>,
}

/// The same while one share is dead.
#[derive(Clone, Debug)]
struct Point {
    percent: u32,
    /// The exact share of the nodes other than the two ends.
    dead: f64,
    ways: u64,
    failed: u64,
    /// How many of the others took 0, 1, 2, ... hops.
    hops: Vec<u64>,
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(1 << DOUBLINGS, FEWEST, MOST)?;
    let (doublings, rng) = (nodes.ilog2(), Rng::new(options.seed));
    let settings = settings();
    let count = settings.len();
    let found = parallel::map(
        count,
        |place| settings[place].find(doublings, &mut rng.fork(place as u64)),
        |done| {
            let text = format!("{done} of {count} networks");
            told(Progress { done: ratio(done as u64, count as u64), text });
        },
    );
    let found = All(found);
    let mut report =
        Report::new(&EXPERIMENT, options, setup(doublings), figures::tables(&found, doublings));
    report.charts = figures::charts(&found, doublings);
    report.claims = verdicts::claims(&found, doublings);
    Ok(report)
}

/// All networks: full ones for closed forms, and those of the paper with and without sequential
/// neighbours.
fn settings() -> Vec<Setting> {
    use Geometry::{Butterfly, Hybrid, Hypercube, Ring, Tree, Xor};
    let full = |geometry, failing| Setting {
        geometry,
        places: Places::All,
        sequential: Sequential::Without,
        failing,
    };
    let random = |geometry, sequential| {
        // A cube is always full.
        let places = if geometry == Hypercube { Places::All } else { Places::Random };
        Setting { geometry, places, sequential, failing: Failing::Nodes }
    };
    let mut settings = Vec::new();
    settings.extend([Tree, Hypercube, Ring, Xor].map(|it| full(it, Failing::Nodes)));
    settings.extend([Ring, Xor].map(|it| full(it, Failing::Links)));
    settings.extend([Ring, Xor, Hybrid, Tree, Butterfly].map(|it| random(it, Sequential::Without)));
    for few in [Sequential::Two, Sequential::Four] {
        settings.extend([Ring, Hypercube, Xor, Hybrid, Tree].map(|it| random(it, few)));
    }
    settings.extend([Ring, Hypercube, Hybrid].map(|it| random(it, Sequential::Sixteen)));
    settings
}

impl Setting {
    fn find(self, doublings: u32, rng: &mut Rng) -> Found {
        let points = if self.geometry == Geometry::Butterfly {
            let butterfly = Butterfly::new(doublings, rng);
            self.points(butterfly.nodes(), rng, |from, to, alive| butterfly.hops(from, to, alive))
        } else {
            let overlay = Overlay::new(self.geometry, self.places, self.sequential, doublings, rng);
            self.points(overlay.nodes(), rng, |from, to, alive| {
                walk::hops(&overlay, from, to, alive)
            })
        };
        Found { setting: self, points }
    }

    /// Tries ways for each share of dead nodes.
    fn points(
        self,
        nodes: u32,
        rng: &mut Rng,
        hops: impl Fn(Node, Node, &mut dyn FnMut(Node) -> bool) -> Option<u32>,
    ) -> Vec<Point> {
        let tried = |percent| {
            let count = nodes as usize * percent as usize / 100;
            let dead = ratio(count as u64, u64::from(nodes - 2)).min(1.0);
            let mut point = Point { percent, dead, ways: 0, failed: 0, hops: Vec::new() };
            for _ in 0..DRAWS {
                let mut order: Vec<Node> = (0..nodes).collect();
                rng.shuffle(&mut order);
                let mut alive = vec![true; nodes as usize];
                order[..count].iter().for_each(|&node| alive[node as usize] = false);
                let living = &order[count..];
                for _ in 0..ways(nodes.into()) / DRAWS {
                    let [from, to] = ends(living, rng);
                    let length = match self.failing {
                        Failing::Nodes => hops(from, to, &mut |node| alive[node as usize]),
                        Failing::Links => hops(from, to, &mut |_| !rng.chance(dead)),
                    };
                    point.count(length);
                }
            }
            point
        };
        DEAD.into_iter().map(tried).collect()
    }
}

/// How many ways are tried for each share of dead nodes.
const fn ways(nodes: u64) -> u64 {
    if nodes < WAYS_MOST { nodes / DRAWS * DRAWS } else { WAYS_MOST }
}

/// Two of the living.
fn ends(living: &[Node], rng: &mut Rng) -> [Node; 2] {
    let from = rng.index(living.len());
    let others = rng.index(living.len() - 1);
    [living[from], living[others + usize::from(others >= from)]]
}

impl Point {
    fn count(&mut self, length: Option<u32>) {
        self.ways += 1;
        let Some(hops) = length.map(|hops| hops as usize) else {
            self.failed += 1;
            return;
        };
        self.hops.resize(self.hops.len().max(hops + 1), 0);
        self.hops[hops] += 1;
    }

    fn failed_share(&self) -> f64 {
        ratio(self.failed, self.ways)
    }

    /// The mean of the ways that did not fail; no number if all did.
    fn mean_hops(&self) -> f64 {
        let sum: u64 = (0u64..).zip(&self.hops).map(|(hops, count)| hops * count).sum();
        let arrived = self.ways - self.failed;
        if arrived == 0 { f64::NAN } else { ratio(sum, arrived) }
    }

    /// The least number of hops that so many percent of the ways that did not fail do not exceed.
    fn percentile(&self, percent: u64) -> u64 {
        let wanted = (self.ways - self.failed) * percent;
        let mut sum = 0;
        let below = self.hops.iter().take_while(|&&count| {
            sum += 100 * count;
            sum < wanted
        });
        below.count() as u64
    }
}

/// What was found in all settings.
#[derive(Debug)]
struct All(Vec<Found>);

impl All {
    /// Where the closed forms are.
    fn full(&self, geometry: Geometry, failing: Failing) -> &[Point] {
        self.of(Setting { geometry, places: Places::All, sequential: Sequential::Without, failing })
    }

    /// Those that stand beside the paper. A cube is full, and a butterfly has no more neighbours than
    /// its own.
    fn beside_paper(&self, geometry: Geometry, sequential: Sequential) -> &[Point] {
        let places = if geometry == Geometry::Hypercube { Places::All } else { Places::Random };
        let sequential =
            if geometry == Geometry::Butterfly { Sequential::Without } else { sequential };
        self.of(Setting { geometry, places, sequential, failing: Failing::Nodes })
    }

    fn of(&self, setting: Setting) -> &[Point] {
        let found = self.0.iter().find(|found| found.setting == setting);
        &found.expect("what is asked for was tried").points
    }
}

/// The point at which the paper's text has numbers.
fn quoted(points: &[Point]) -> &Point {
    points.iter().find(|point| point.percent == QUOTED).expect("it is one of the shares")
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer ways than 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn setup(doublings: u32) -> String {
    let ways = ways(1 << doublings);
    let [nodes, tried] = [1 << doublings, ways].map(Cell::count);
    let (share, mean) = (verdicts::share_within(ways), verdicts::hops_within(ways));
    format!(
        "{nodes} nodes, of which 0 to 90 % are dead, at random; no table is mended. {tried} ways between \
         two of the living for each share, the dead drawn {DRAWS} times. Whoever has the message \
         passes it on to the living neighbour nearest to the target, if one is nearer than itself; else \
         the way has failed. Where all ways fail, there is no number of hops. Nearer is, in a hypercube, in fewer bits; on a ring, clockwise; in xor, by \
         XOR; in a hybrid, by a longer prefix, or by as long a one and the circle (Pastry). In a tree it \
         is the one neighbour that corrects most bits from above, and if it is dead the way has failed. \
         Tables: one neighbour for each bit, at random where the geometry leaves a choice (buckets of \
         one; fingers from 2^i to 2^(i+1) ahead). The butterfly is Viceroy with its seven links. \
         Closed forms are of full networks, with a node at every place; all others but the hypercube \
         have their nodes at random places of 32 bits. The closed forms of ring and xor take every \
         neighbour tried for a new one, which is so if links fail and not if nodes do; so links fail \
         where these are judged. A share may be off a closed form by {share:.3}, and a mean number of \
         hops by {mean:.2}: four standard errors. \
         The paper's numbers are those that published summaries of its text give (the pictures could \
         not be read): hops with nobody dead, and ways that fail with 30 % dead, which are round \
         numbers and may be off by 2.5 points. The rule that redraws most of them is not in these \
         summaries. It was found by trying, and is a guess at what the paper did: every table also has \
         two sequential neighbours on either side of the circle of places, used as all others are. \
         Each two more take about 0.15 off the hops, which therefore may be off by 0.2. With sixteen \
         sequential neighbours, a way that finds nobody \
         nearer in its own metric goes on along the circle to its end."
    )
}

#[cfg(test)]
mod tests;
