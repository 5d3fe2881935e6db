//! What the paper and the closed forms say, and what became of it.

use super::{Figures, crashes::CRASHES};
use crate::{
    claim::{Claim, Tolerance},
    sample::{Sample, slope},
};

/// Three standard errors of 128 counts with a standard deviation of 1.
const ROUNDS_OFF: f64 = 0.25;
/// Three standard errors of 64 waits.
const FIRST_OFF: f64 = 0.5;
/// How far the slope may be off.
const SLOPE_OFF: f64 = 0.35;
/// What a member may send more or less in a cluster of another size.
const LOAD_OFF: f64 = 0.05;

pub(super) fn claims(nodes: u32, figures: &Figures) -> Vec<Claim> {
    let crashed = f64::from(u32::try_from(CRASHES).expect("they are few"));
    let members = f64::from(nodes);
    let noticed = 1.0 - (1.0 - 1.0 / (members - 1.0)).powf(members - crashed);
    let mut claims = vec![Claim::near(
        "section 3.1, closed form (e/(e-1) for many): periods until the first detection",
        1.0 / noticed,
        figures.rounds.mean(),
        Tolerance::Absolute(ROUNDS_OFF),
    )];
    for it in &figures.crashes {
        let loss = 100.0 * it.loss;
        claims.push(Claim::near(
            format!("closed form: seconds until the first suspicion, {loss} % lost"),
            2.0,
            Sample::new(it.suspected.clone()).mean(),
            Tolerance::Absolute(FIRST_OFF),
        ));
    }
    let alone = figures.spreads.iter().filter(|it| !it.gossip);
    let points: Vec<(f64, f64)> = alone.map(|it| (it.expected(), it.periods.mean())).collect();
    claims.push(Claim::near(
        "section 4.1, in the order of log N: periods for each ln N until the last one knows",
        1.0,
        slope(&points),
        Tolerance::Absolute(SLOPE_OFF),
    ));
    let quiet: Vec<f64> =
        figures.quiets.iter().filter(|it| it.loss <= 0.0).map(|it| it.datagrams).collect();
    let (fewest, most) = (quiet.iter().copied().fold(f64::MAX, f64::min), Sample::new(quiet));
    claims.push(Claim::near(
        "section 3, the load of a member does not depend on N: the largest over the smallest",
        1.0,
        most.largest() / fewest,
        Tolerance::Absolute(LOAD_OFF),
    ));
    claims
}
