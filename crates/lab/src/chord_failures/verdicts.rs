//! What the paper says, and what became of it.

use super::{NODES, repaired::Repaired, share};
use crate::{
    claim::{Claim, Verdict},
    table::Cell,
};

/// With the paper's nodes three standard errors of what the failed nodes were responsible for.
const OFF: f64 = 0.01;

pub(super) fn claims(nodes: u64, repaired: &[Repaired]) -> Vec<Claim> {
    let off = |it: &Repaired| (it.failed_share() - f64::from(it.percent) / 100.0).abs();
    let farthest = repaired.iter().map(off).fold(0.0, f64::max);
    let others: u64 = repaired.iter().map(|it| it.of_others).sum();
    let lookups: u64 = repaired.iter().map(|it| it.lookups).sum();
    vec![
        Claim::at_most(
            "figure 11: the share of lookups that fail is that of the nodes that failed; the \
             farthest that it is off",
            OFF * share(NODES, nodes).sqrt().max(1.0),
            farthest,
        ),
        Claim::stated(
            "figure 11: failed lookups of keys whose node did not fail",
            "no significant number",
            format!("{} of {}", Cell::count(others), Cell::count(lookups)),
            Verdict::of(others == 0),
        ),
    ]
}
