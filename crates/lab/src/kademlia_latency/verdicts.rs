//! What the paper's abstract says, what closed forms say, and what became of both.

use super::{BUCKET, Found, Neighbours, Next, PARALLEL, Routing, Way, theory};
use crate::claim::{Claim, Tolerance, Verdict};

/// Three standard errors of a mean of so many lookups in one network, whose tables are drawn once.
const OF_THE_HOPS: f64 = 0.03;
/// The same of a time, in parts.
const OF_A_TIME: f64 = 0.02;

/// Why choosing by round trip alone does not pay.
const GIVEN_AWAY: &str = "who chooses by round trip alone gives away what the nearest by XOR gains: a hop then \
    gets little more than one bit right, and there are nearly twice as many. The abstract does not say by \
    which rule the paper chooses";

pub(super) fn claims(nodes: u64, found: &[Found]) -> Vec<Claim> {
    let [one, _] = PARALLEL;
    let at = |routing, neighbours, next, parallel| {
        let way = Way { routing, neighbours, next, parallel };
        found.iter().find(|it| it.way == way).expect("all kinds were looked up")
    };
    let plain = |routing| at(routing, Neighbours::Any, Next::Xor, one);
    let (iterative, recursive) = (plain(Routing::Iterative), plain(Routing::Recursive));
    let wrong: u64 = found.iter().map(|it| it.wrong).sum();
    let mut claims = vec![Claim::stated(
        "lookups that do not end at the owner",
        "none",
        format!("{wrong} of {}", found.iter().map(|it| it.hops.len()).sum::<usize>()),
        Verdict::of(wrong == 0),
    )];
    claims.extend(closed_forms(nodes, iterative, recursive));
    for way in found.iter().map(|it| it.way).filter(|it| it.routing == Routing::Recursive) {
        let iterative = at(Routing::Iterative, way.neighbours, way.next, way.parallel);
        let recursive = at(Routing::Recursive, way.neighbours, way.next, way.parallel);
        let part = recursive.took.mean() / iterative.took.mean();
        claims.push(Claim::stated(
            format!("abstract: {}, alpha = {}, beside iterative", way.name(), way.parallel),
            "sooner",
            format!("{part:.2} of the time"),
            Verdict::of(part < 1.0),
        ));
    }
    let recursive = |neighbours, next| at(Routing::Recursive, neighbours, next, one).took.mean();
    for (what, neighbours, next) in [
        ("near neighbours (proximity neighbour selection)", Neighbours::Near, Next::Xor),
        ("near of the best (proximity routing)", Neighbours::Any, Next::NearOfBest),
        ("near of all (proximity routing)", Neighbours::Any, Next::NearOfAll),
    ] {
        let part = recursive(neighbours, next) / recursive(Neighbours::Any, Next::Xor);
        let claim = Claim::stated(
            format!("abstract: recursive lookups with {what}, alpha = 1"),
            "sooner than without",
            format!("{part:.2} of the time"),
            Verdict::of(part < 1.0),
        );
        claims.push(if next == Next::NearOfAll { claim.because(GIVEN_AWAY) } else { claim });
    }
    claims.push(Claim::cannot_be_reproduced(
        "the paper's latencies and bandwidths under churn",
        "figures",
        "only its abstract could be read",
    ));
    claims
}

/// Where nobody is preferred, hops do not depend on places: each has the mean length.
fn closed_forms(nodes: u64, iterative: &Found, recursive: &Found) -> Vec<Claim> {
    let hops = recursive.mean_hops();
    let same = iterative.hops.iter().zip(&recursive.hops).filter(|(a, b)| a == b).count();
    let lookups = recursive.hops.len();
    let near = |what: &str, published, measured, tolerance| {
        Claim::near(what, published, measured, tolerance)
    };
    vec![
        near(
            "closed form, alpha = 1: mean hops (recurrence)",
            theory::mean_hops(super::of(nodes), BUCKET),
            hops,
            Tolerance::Absolute(OF_THE_HOPS),
        ),
        Claim::stated(
            "alpha = 1: lookups with as many hops whether nodes pass them on or are asked",
            "all",
            format!("{same} of {lookups}"),
            Verdict::of(same == lookups),
        ),
        near(
            "closed form, alpha = 1: an iterative lookup over a round trip for each hop",
            1.0,
            iterative.took.mean() / (2.0 * hops * iterative.one_way),
            Tolerance::Relative(OF_A_TIME),
        ),
        near(
            "closed form, alpha = 1: a recursive lookup over one way for each hop and one back",
            1.0,
            recursive.took.mean() / ((hops + 1.0) * recursive.one_way),
            Tolerance::Relative(OF_A_TIME),
        ),
        near(
            "closed form, alpha = 1: recursive over iterative, (hops + 1) / (2 hops)",
            (hops + 1.0) / (2.0 * hops),
            recursive.took.mean() / iterative.took.mean(),
            Tolerance::Relative(OF_A_TIME),
        ),
    ]
}
