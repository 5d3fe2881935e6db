//! What the papers say, and whether it is so.

use super::{DEAD, DESIGNS, Design, Failing, Found, SIZES, machines::Beside, ways_failing};
use crate::claim::{Claim, Tolerance, Verdict};

/// Of k = 16, which varies most: nodes to pass vary by about 8, so that 10,000 nodes have 0.08 of 7 hops a digit
/// more or less, of 4 digits, and 20,000 ways 0.2 hops. Over the 1.7 digits in between that is 3 %.
const OF_A_SLOPE: Tolerance = Tolerance::Relative(0.1);

/// Sizes between which the growth of ways is measured: small networks are all borders.
const FROM: u32 = 10_000;
const TO: u32 = SIZES[SIZES.len() - 1];

/// Four standard errors of a share of so many ways.
#[expect(clippy::cast_precision_loss, reason = "there are far fewer ways than 2^53")]
pub(super) fn share_within(ways: u64) -> f64 {
    2.0 / (ways as f64).sqrt()
}

/// Why ways of Viceroy fail though nobody is cut off.
const ROUND_AND_ROUND: &str = "none of these ways is cut off: each is given up after 1,000 hops. Where a link is \
    missing, a way goes along the circle and begins anew, and some come back to the same place again and again";
/// Why fewer fail without backups than a dead node on each way would make.
const GONE_ROUND: &str = "on its last part, about, a way may take any of several links, and goes round a dead node. Where that is \
     forbidden, as many fail as follow from the lengths, within the tolerance";
/// Why machines need fewer hops.
const ANEW: &str = "in the paper the first node alone chooses the imaginary node, and so does the walk. Our nodes begin \
    anew wherever fewer digits are left so, which makes ways shorter, and ends long ones that a stranger makes up. \
    Without that, machines took 21.28 hops on these ways";
const BY_ALL_LINKS: &str = "about, our nodes take the nearest of all whom they know; the walk has those next to a \
    node on the circle and on its level alone, as in the paper. Walked by all links, ways are as long as ours";
/// Of the same ways from the same nodes: what differs are the rules alone.
const OF_A_MACHINE: Tolerance = Tolerance::Relative(0.02);

pub(super) fn claims(
    found: &[Found],
    failing: &[Failing],
    beside: &[Beside],
    nodes: u32,
) -> Vec<Claim> {
    let failed: u64 = found.iter().map(|it| it.failed).sum();
    let mut claims = vec![Claim::stated(
        "ways that fail while nobody is dead",
        "none",
        failed.to_string(),
        Verdict::of(failed == 0),
    )];
    let of = |design: Design| found.iter().filter(move |it| it.design == design);
    let two = DESIGNS[0];
    for it in of(two) {
        let what = format!("Koorde, k = 2, {} nodes: mean hops, at most 3 log2 N", it.nodes);
        claims.push(Claim::at_most(what, 3.0 * it.doublings(), it.mean()));
    }
    for it in of(Design::Viceroy) {
        let what = format!("Viceroy, {} nodes: mean hops, log N in each of three phases", it.nodes);
        claims.push(Claim::at_most(what, 3.0 * it.doublings(), it.mean()));
        let what = format!("Viceroy, {} nodes: mean links into a node", it.nodes);
        claims.push(Claim::at_most(what, 7.0, it.into.0));
    }
    claims.extend(growth(found));
    claims.extend(while_dead(found, failing, nodes));
    for it in beside {
        let name = format!("{}, {} nodes", it.design.name(), it.nodes);
        let what = format!("{name}: machines go the ways that are walked, mean hops");
        let claim = Claim::near(what, it.walked, it.machines, OF_A_MACHINE);
        let why = if it.design == Design::Viceroy { BY_ALL_LINKS } else { ANEW };
        claims.push(claim.because(why));
        claims.push(Claim::stated(
            format!("{name}: ways of machines or walks that do not end at the owner"),
            "none",
            it.wrong.to_string(),
            Verdict::of(it.wrong == 0),
        ));
    }
    claims
}

/// Gives the reason for a difference of Viceroy's; Koorde's have none.
fn of_viceroy(design: Design, claim: Claim, why: &str) -> Claim {
    if design == Design::Viceroy { claim.because(why) } else { claim }
}

/// How much longer ways are for each digit that the nodes need more.
fn growth(found: &[Found]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for design in DESIGNS {
        let at = |nodes| found.iter().find(|it| it.design == design && it.nodes == nodes);
        let (Some(small), Some(large)) = (at(FROM), at(TO)) else { continue };
        let a_doubling = (large.mean() - small.mean()) / (large.doublings() - small.doublings());
        if let Design::Koorde(koorde) = design {
            let measured = a_doubling * f64::from(koorde.bits);
            let name = design.name();
            let what = format!("{name}: hops for each factor k of nodes, closed form");
            claims.push(Claim::near(what, koorde.hops_a_digit(), measured, OF_A_SLOPE));
            if koorde.bits > 1 {
                let what =
                    format!("{name}: hops for each factor k of nodes, no more than with k = 2");
                claims.push(Claim::at_most(what, 3.0, measured).because(
                    "an edge leads to one of about k nodes, whose number is geometric with the mean k: k \
                     pointers miss the right one in about one case of e, and the rest of the way to it \
                     goes from successor to successor. It takes about k ln k pointers, or successor lists \
                     to go along, to bring it down to a constant",
                ));
            }
        } else if design == Design::Viceroy {
            let what = "Viceroy: hops for each doubling, at most 3";
            claims.push(Claim::at_most(what, 3.0, a_doubling));
        }
    }
    claims
}

fn while_dead(found: &[Found], failing: &[Failing], nodes: u32) -> Vec<Claim> {
    let mut claims = Vec::new();
    let of_a_share = Tolerance::Absolute(share_within(ways_failing(nodes)));
    let of = |design| failing.iter().filter(move |it| it.design == design);
    for it in of(DESIGNS[0]).chain(of(Design::Viceroy)) {
        let is_viceroy = it.design == Design::Viceroy;
        let overlay = if is_viceroy { "Viceroy" } else { "Koorde, k = 2" };
        let whole = found.iter().find(|other| other.design == it.design && other.nodes == nodes);
        for (&percent, &failed) in DEAD.iter().zip(&it.failed) {
            let name = format!("{overlay}, {percent} % dead");
            if let (1, Some(whole)) = (it.backups, whole) {
                let expected = 1.0 - whole.unharmed(f64::from(percent) / 100.0);
                let what = format!("{name}, no backups: ways that fail, from their lengths");
                let claim = Claim::near(what, expected, failed, of_a_share);
                claims.push(of_viceroy(it.design, claim, GONE_ROUND));
            }
            if it.backups == 16 && percent == 50 {
                let backups =
                    if is_viceroy { "nodes on each side" } else { "backups and successors" };
                let what = format!("{name}, more than log2 N {backups}: ways that fail");
                let claim = Claim::at_most(what, 0.01, failed);
                claims.push(of_viceroy(it.design, claim, ROUND_AND_ROUND));
            }
        }
    }
    claims
}
