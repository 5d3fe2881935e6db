//! What the lecture, the papers and closed forms say, and whether it came out so.

use super::{EDGES, Found, Way, capacities, float, moves::Moved};
use crate::claim::{Claim, Tolerance, Verdict};

/// Three standard errors of a standard deviation over 20 rings of a hundred edges whose shares are
/// exponential, in parts; with more points it is less.
const DEVIATION_WITHIN: f64 = 0.1;
/// The share of one edge in a hundred, over 20 sets: arcs vary by a twelfth, and counted keys by a
/// fourteenth; three standard errors.
const SHARE_WITHIN: f64 = 0.08;
/// 25 edges of each capacity on 20 rings: the smallest have 64 points, and vary by an eighth; three
/// standard errors.
const CAPACITY_WITHIN: f64 = 0.02;
/// Distinct servers of 200 URLs: the mean varies by 0.3 at most.
const MISSES_WITHIN: f64 = 0.9;

pub(super) fn claims(edges: usize, found: &Found) -> Vec<Claim> {
    let mut claims = of_moves(edges, &found.moves);
    claims.extend(of_spread(edges, found));
    claims.extend(of_hot(found));
    claims.push(of_capacities(edges, found));
    claims.extend(of_clients(edges, found));
    claims.extend(of_additions(edges, found));
    claims
}

/// How much more what is found varies than with a hundred edges.
fn slack(edges: usize) -> f64 {
    (100.0 / float(edges)).sqrt().max(1.0)
}

fn of_moves(edges: usize, found: &[Moved]) -> Vec<Claim> {
    let of = |way| found.iter().find(|moved| moved.way == way).expect("all ways are tried");
    let (ring, rendezvous, modulo) = (of(Way::Ring), of(Way::Rendezvous), of(Way::Modulo));
    let count = float(edges);
    let mut claims = Vec::new();
    // The lecture has a hundred caches and prints a whole percent.
    if edges as u64 == EDGES {
        for (what, share) in [("added", ring.added), ("removed", ring.removed)] {
            claims.push(Claim::near(
                format!("lecture, ring: % of the objects that move when 1 of 100 is {what}"),
                1.0,
                100.0 * share,
                Tolerance::Absolute(0.5),
            ));
        }
    }
    for (way, moved) in [("ring", ring), ("rendezvous", rendezvous)] {
        claims.push(Claim::near(
            format!("closed form, {way}: % that moves when one is added"),
            100.0 / (count + 1.0),
            100.0 * moved.added,
            Tolerance::Relative(SHARE_WITHIN * slack(edges)),
        ));
        claims.push(Claim::at_most(
            format!("{way}: % that moves between edges that stay"),
            0.0,
            100.0 * moved.needless,
        ));
    }
    claims.push(Claim::near(
        "closed form, modulo: % that moves when one is removed",
        100.0 - 100.0 / count,
        100.0 * modulo.removed,
        Tolerance::Absolute(0.1 * slack(edges)),
    ));
    claims
}

fn of_spread(edges: usize, found: &Found) -> Option<Claim> {
    let departures = found.spread.iter().map(|it| (it.deviation / it.predicted - 1.0).abs());
    Some(Claim::near(
        "closed form (Dirichlet), deviation of shares, 1 to 1,000 points: largest departure",
        0.0,
        departures.fold(0.0, f64::max),
        Tolerance::Absolute(DEVIATION_WITHIN * slack(edges)),
    ))
}

fn of_hot(found: &Found) -> Vec<Claim> {
    let of_factor = |factor: f64| found.hot.iter().filter(move |it| it.factor == Some(factor));
    let mut claims: Vec<Claim> = [2.0, 1.25, 1.1, 1.05]
        .into_iter()
        .map(|factor| {
            let fullest = of_factor(factor).map(|it| it.fullest).fold(0.0, f64::max);
            let what = format!("bounded loads, spill above {factor}: fullest edge over the mean");
            Claim::at_most(what, factor, fullest)
        })
        .collect();
    let homes: Vec<f64> = of_factor(1.25).map(|it| it.homes).collect();
    let growing = homes.is_sorted() && homes.first() < homes.last();
    let listed: Vec<String> = homes.iter().map(|homes| format!("{homes:.1}")).collect();
    claims.push(Claim::stated(
        "lecture: when overloaded, spill to the successor; homes of an object 1, 10, 100 and 1,000 \
         times as hot",
        "more and more",
        listed.join(", "),
        Verdict::of(growing),
    ));
    claims
}

fn of_capacities(edges: usize, found: &Found) -> Claim {
    let ring = found.capacities.iter().find(|it| it.way == Way::Ring).expect("all ways are tried");
    let departures = ring.of_fair.map(|share| (share - 1.0).abs());
    Claim::near(
        format!(
            "lecture: bigger ones get more points; shares of edges of {} to {} %: largest departure",
            capacities::PERCENT[0],
            capacities::PERCENT[3]
        ),
        0.0,
        departures.into_iter().fold(0.0, f64::max),
        Tolerance::Absolute(CAPACITY_WITHIN * slack(edges)),
    )
}

fn of_clients(edges: usize, found: &Found) -> Vec<Claim> {
    let departures = found.clients.iter().map(|it| (it.by_client - it.predicted).abs());
    // Where enough clients have asked.
    let most = found.clients.iter().rfind(|it| f64::from(it.requests) > 9.0 * float(edges));
    let lecture = most.map(|it| {
        let what = "lecture: server chosen by the client, misses of a URL in the end";
        Claim::near(what, float(edges), it.by_client, Tolerance::Absolute(0.5))
    });
    let closed = Claim::near(
        "closed form, the same for 1 to 3,000 requests: largest departure",
        0.0,
        departures.fold(0.0, f64::max),
        Tolerance::Absolute(MISSES_WITHIN * slack(edges)),
    );
    lecture.into_iter().chain([closed]).collect()
}

/// The lecture speaks of all objects; stored ones are those that are hot.
fn of_additions(edges: usize, found: &Found) -> Vec<Claim> {
    let lost = |way: Way| {
        let of_way = found.additions.iter().filter(move |it| it.way == way);
        of_way.map(|it| 100.0 * it.lost).collect::<Vec<_>>()
    };
    let most = lost(Way::Ring).into_iter().fold(0.0, f64::max);
    let least = lost(Way::Modulo).into_iter().fold(100.0, f64::min);
    vec![
        Claim::near(
            "lecture, ring: % of what caches store that one more makes useless, at most",
            100.0 / float(edges),
            most,
            Tolerance::Absolute(50.0 / float(edges)),
        ),
        Claim::stated(
            "lecture, modulo: most of what caches store is useless after one more, %",
            "most",
            format!("{least:.1}"),
            Verdict::of(least > 50.0),
        ),
    ]
}
