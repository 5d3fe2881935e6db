//! What the paper's abstract says, what follows from closed forms, and what became of both.

use std::time::Duration;

use super::{
    NODES, Point,
    overlays::{
        FEW_CELLS, FEW_DIMENSIONS, FEW_POINTERS, FOUR_AT_ONCE, FOUR_WANTED, INTERVALS, ITERATIVE,
        MANY_CELLS, MANY_DIMENSIONS, MANY_POINTERS, ONE_AT_ONCE, RECURSIVE,
    },
    to_float,
};
use crate::claim::{Claim, Tolerance, Verdict};

/// Half of all hosts are there on average. In the mean of an hour that varies by a fortieth with the
/// paper's nodes: three of these.
const OF_THE_LIVING: f64 = 0.075;

const CHEAPER: &str = "Kademlia's rounds find out who is gone, and look into a bucket once in a quarter of an \
    hour however often they come. With fewer rounds, lookups ask more nodes that are gone, and that costs more \
    than the rounds";
const ALIKE: &str = "in a bucket of more nodes more are gone as well; upkeep finds those out, and is worth about as \
    much";

pub(super) fn claims(nodes: u32, measured: Duration, points: &[Point]) -> Vec<Claim> {
    let exponential: Vec<&Point> = points.iter().filter(|it| it.is_exponential()).collect();
    let all = All(exponential);
    let mut claims = vec![
        living(nodes, measured, &all),
        Claim::cannot_be_reproduced(
            "the paper's hulls of Chord, Kademlia, Kelips, OneHop and Tapestry",
            "figures",
            "the figures could not be read, neither were the round trips to be had; Kelips and OneHop are \
             not among our overlays",
        ),
    ];
    claims.extend(cheaper(&all));
    claims.extend(never_sooner(&all));
    claims.extend(recursive(&all));
    claims.extend(learning(&all));
    claims.extend(wasteful(points));
    let larger = |overlay, tables| larger_table(&all, overlay, tables);
    let because = |why: &'static str| move |it: Claim| it.because(why);
    claims.extend(larger("Pastry", [FEW_CELLS, MANY_CELLS]));
    claims.extend(larger("Koorde", [FEW_POINTERS, MANY_POINTERS]));
    claims.extend(larger("CAN", [FEW_DIMENSIONS, MANY_DIMENSIONS]));
    claims.extend(larger("Kademlia", [FOUR_WANTED, FOUR_AT_ONCE]).map(because(ALIKE)));
    claims.extend(parallel(&all));
    claims
}

/// Points with exponential lifetimes.
struct All<'a>(Vec<&'a Point>);

impl All<'_> {
    fn at(&self, overlay: &str, parameters: &str, seconds: u64) -> Option<&Point> {
        let interval = Duration::from_secs(seconds);
        let is_it = |it: &&&Point| {
            (it.overlay, it.parameters, it.interval) == (overlay, parameters, interval)
        };
        self.0.iter().find(is_it).copied()
    }

    /// With the most seldom and the most frequent upkeep.
    fn ends(&self, overlay: &str, parameters: &str) -> Option<[&Point; 2]> {
        let [frequent, .., seldom] = INTERVALS;
        Some([self.at(overlay, parameters, seldom)?, self.at(overlay, parameters, frequent)?])
    }
}

fn living(nodes: u32, measured: Duration, all: &All<'_>) -> Claim {
    let lived: Vec<f64> = all.0.iter().map(|it| it.counts.lived.as_secs_f64()).collect();
    let seconds = measured.as_secs_f64();
    let mean = lived.iter().sum::<f64>() / f64::from(u32::try_from(lived.len()).unwrap_or(1));
    let half = f64::from(nodes) / 2.0;
    // The fewer, the more the mean of an hour varies.
    let allowed = OF_THE_LIVING * half * (to_float(NODES) / f64::from(nodes)).sqrt();
    Claim::near(
        "nodes that are there on average",
        half,
        mean / seconds,
        Tolerance::Absolute(allowed),
    )
}

/// What is done more seldom costs less.
fn cheaper(all: &All<'_>) -> Option<Claim> {
    let lines = all.0.chunk_by(|a, b| (a.overlay, a.parameters) == (b.overlay, b.parameters));
    let pairs: Vec<bool> =
        lines.flat_map(|line| line.windows(2)).map(|it| it[0].cost() > it[1].cost()).collect();
    let holds = pairs.iter().filter(|it| **it).count();
    (!pairs.is_empty()).then(|| {
        Claim::stated(
            "upkeep that comes a third as often costs less, whatever the overlay and its parameters",
            "always",
            format!("{holds} of {} times", pairs.len()),
            Verdict::of(holds == pairs.len()),
        )
        .because(CHEAPER)
    })
}

/// Ways on a plane are no shorter than the straight one.
fn never_sooner(all: &All<'_>) -> Option<Claim> {
    let answered: Vec<_> = all.0.iter().filter(|it| it.owner_answers).collect();
    let found: u64 = answered.iter().map(|it| it.counts.lookups - it.counts.failed).sum();
    let sooner: u64 = answered.iter().map(|it| it.counts.sooner).sum();
    (found > 0).then(|| {
        Claim::stated(
            "where the owner answers: lookups that take less than a round trip to it",
            "none",
            format!("{sooner} of {found}"),
            Verdict::of(sooner == 0),
        )
        .because("in measured round trips a way over others may be shorter than the direct one")
    })
}

/// A hop costs one way, and not both.
fn recursive(all: &All<'_>) -> Option<Claim> {
    let mut ratios = Vec::new();
    for seconds in INTERVALS {
        let [recursive, iterative] =
            [all.at("Chord", RECURSIVE, seconds)?, all.at("Chord", ITERATIVE, seconds)?];
        ratios.push(recursive.latency_found() / iterative.latency_found());
    }
    Some(Claim::stated(
        "Chord: recursive lookups that find the owner beside iterative ones, at each interval",
        "sooner, since a hop costs one way and not both",
        listed(ratios.iter().map(|it| format!("{it:.2}"))) + " of the time",
        Verdict::of(ratios.iter().all(|it| *it < 1.0)),
    ))
}

/// "Routing table stabilization is wasteful and can be replaced with opportunistic learning": Kademlia's
/// nodes learn from lookups, Chord's from upkeep alone.
fn learning(all: &All<'_>) -> Option<Claim> {
    let [chord_seldom, chord_often] = all.ends("Chord", RECURSIVE)?;
    let [seldom, often] = all.ends("Kademlia", FOUR_AT_ONCE)?;
    let slower = |seldom: &Point, often: &Point| seldom.latency() / often.latency();
    let [chord, kademlia] = [slower(chord_seldom, chord_often), slower(seldom, often)];
    let [shortest, .., longest] = INTERVALS;
    Some(Claim::stated(
        format!(
            "abstract: stabilisation is wasteful where nodes learn from lookups. Upkeep every {longest} s \
             in place of {shortest} s"
        ),
        "lookups lose less of their speed in Kademlia, which learns from them, than in Chord, which \
         does not",
        format!(
            "{kademlia:.2} of the time in Kademlia for {:.2} of the bytes, {chord:.2} in Chord for {:.2}",
            seldom.cost() / often.cost(),
            chord_seldom.cost() / chord_often.cost()
        ),
        Verdict::of(kademlia < chord),
    ))
}

/// The same of Kademlia alone: what is wasteful is on no hull.
fn wasteful(points: &[Point]) -> Option<Claim> {
    let hull = super::hull(points, "Kademlia");
    let [.., longest] = INTERVALS;
    let frequent = hull.iter().filter(|it| it.interval.as_secs() < longest).count();
    (!hull.is_empty()).then(|| {
        Claim::stated(
            format!(
                "abstract: the same, in Kademlia alone: points of its hull whose upkeep is more frequent \
                 than every {longest} s"
            ),
            "none",
            format!("{frequent} of {}", hull.len()),
            Verdict::of(frequent == 0),
        )
        .because(
            "a lookup waits for each node on its way that is gone and that nobody has found out yet. What \
             finds that out is upkeep more than lookups, of which each node has one in ten minutes",
        )
    })
}

/// "The key to efficiently using additional bandwidth is for a protocol to adjust its routing table size":
/// at each interval, a larger table beside upkeep that is three times as frequent.
fn larger_table(all: &All<'_>, overlay: &str, [small, large]: [&str; 2]) -> Option<Claim> {
    let mut rates = Vec::new();
    for pair in INTERVALS.windows(2) {
        let (often, seldom) = (pair[0], pair[1]);
        let from = all.at(overlay, small, seldom)?;
        let table = saved_a_byte(from, all.at(overlay, large, seldom)?);
        rates.push((seldom, table, saved_a_byte(from, all.at(overlay, small, often)?)));
    }
    let each = rates.iter().map(|(seconds, table, upkeep)| {
        format!("{} beside {} at {seconds} s", worth(*table), worth(*upkeep))
    });
    Some(Claim::stated(
        format!(
            "abstract: bytes are best spent on a larger table. {overlay}, {large} in place of {small}"
        ),
        "the larger table saves more for each byte than upkeep three times as frequent",
        listed(each),
        Verdict::of(rates.iter().all(|(_, table, upkeep)| table > upkeep)),
    ))
}

fn worth(rate: f64) -> String {
    if rate.is_infinite() {
        return "some ms for fewer bytes".to_owned();
    }
    // What does not make lookups sooner has no price.
    if rate <= 0.0 { "nothing".to_owned() } else { format!("{rate:.1} ms for a byte a second") }
}

/// Milliseconds that are saved for each byte a second that is paid more.
fn saved_a_byte(from: &Point, to: &Point) -> f64 {
    let (saved, paid) = (from.latency() - to.latency(), to.cost() - from.cost());
    // What costs nothing is worth any number of bytes, if it saves anything.
    if paid > 0.0 || saved <= 0.0 { saved / paid.abs() } else { f64::INFINITY }
}

/// Of the features that the abstract lists: parallel lookups.
fn parallel(all: &All<'_>) -> Option<Claim> {
    let pairs = INTERVALS.map(|seconds| {
        let at = |parameters| all.at("Kademlia", parameters, seconds);
        Some([at(ONE_AT_ONCE)?, at(FOUR_AT_ONCE)?])
    });
    let pairs = pairs.into_iter().collect::<Option<Vec<_>>>()?;
    let times =
        listed(pairs.iter().map(|[one, four]| format!("{:.2}", four.latency() / one.latency())));
    let bytes = listed(pairs.iter().map(|[one, four]| format!("{:.2}", four.cost() / one.cost())));
    let holds =
        pairs.iter().all(|[one, four]| four.latency() < one.latency() && four.cost() > one.cost());
    Some(Claim::stated(
        "Kademlia: four questions at once beside one, at each interval",
        "sooner, and for more bytes",
        format!("{times} of the time for {bytes} of the bytes"),
        Verdict::of(holds),
    ))
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::worth;

    #[test]
    fn what_makes_no_lookup_sooner_has_no_price() {
        assert_eq!([-0.2, 0.0].map(worth), ["nothing"; 2]);
        assert_eq!(worth(1.84), "1.8 ms for a byte a second");
        assert_eq!(worth(f64::INFINITY), "some ms for fewer bytes");
    }
}
