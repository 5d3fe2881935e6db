//! What the paper says, and what became of it.

use super::{Lifetimes, NODES, Point, way_of_paper};
use crate::claim::{Claim, Tolerance, Verdict};

/// How far from the paper's estimate is still in its ball-park.
pub(super) const BALL_PARK: f64 = 2.0;

pub(super) fn claims(nodes: u64, points: &[Point]) -> Vec<Claim> {
    let exponential: Vec<&Point> =
        points.iter().filter(|point| point.lifetimes == Lifetimes::Exponential).collect();
    let one_try = |point: &Point| 100.0 * point.share(|it| it.wrong_with_one_try).mean;
    let expected = |point: &Point| 100.0 * point.expected(nodes);
    let mut claims = vec![Claim::near(
        "nodes on a way, the owner among them: about 5 with 500 nodes",
        way_of_paper(nodes),
        exponential[0].mean(|it| it.nodes_on_ways),
        Tolerance::Absolute(1.0),
    )];
    for point in exponential {
        let (measured, expected) = (one_try(point), expected(point));
        let ball_park = expected / BALL_PARK..=expected * BALL_PARK;
        let claim = Claim::stated(
            format!(
                "figure 12: % of lookups that fail with one try, {} joins and failures a second",
                point.rate
            ),
            format!("about {expected:.1} (k/100), and slightly worse"),
            format!("{measured:.2}"),
            Verdict::of(ball_park.contains(&measured)),
        );
        claims.push(if nodes == NODES { claim } else { claim.because(other_size(nodes)) });
    }
    claims
}

fn other_size(nodes: u64) -> String {
    format!(
        "there are {nodes} nodes here, and {NODES} in the paper: as many failures a second are \
         another part of the ring"
    )
}
