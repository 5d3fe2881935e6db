//! What was published, and what became of it.

use super::Figures;
use crate::claim::{Claim, Verdict};

pub(super) fn claims(figures: &Figures) -> Vec<Claim> {
    let deaths: u64 = figures.losses.iter().map(|it| it.false_deaths).sum();
    let hours: f64 = figures.losses.iter().map(|it| it.hours).sum();
    let short = figures.slow.iter().filter(|it| it.is_short());
    let slow_deaths: f64 = short.map(|it| it.slow_deaths_an_hour()).fold(0.0, f64::max);
    let healed = figures.cuts.iter().filter(|it| it.healed_secs.is_finite()).count();
    vec![
        Claim::stated(
            "SWIM, section 4.2: who is suspected and is there refutes it in time, with a tenth of \
             all datagrams lost",
            "rare false deaths",
            format!("{deaths} in {hours:.1} hours"),
            Verdict::of(deaths == 0),
        )
        .because(
            "each of 128 members passes a word on nine times, so with a tenth lost it misses \
             a given one with a chance of exp(-9 x 0.9) = 0.0003; a suspicion has two such \
             chances, its way to the suspect and the way of the refutation back, and of some \
             12,000 suspicions seven are expected to be missed. Lifeguard's buddy system, \
             which tells the suspect itself, is against that",
        ),
        Claim::at_most(
            "SWIM, section 4.2: a member that stops for less than the suspicion lasts is not \
             declared down (deaths of a slow one an hour)",
            0.0,
            slow_deaths,
        )
        .because(
            "stops follow each other after two seconds: a suspicion outlives the gap if the member \
             has stopped again before its refutation has reached all",
        ),
        Claim::stated(
            "a cluster that was cut in two becomes one again",
            "all see all",
            format!("{healed} of {}", figures.cuts.len()),
            Verdict::of(healed == figures.cuts.len()),
        ),
        Claim::cannot_be_reproduced(
            "Lifeguard, abstract: fewer false positives, with slow members",
            "by a factor of more than 50",
            "`foca` has no Lifeguard; the table of slow members is what there is without it",
        ),
    ]
}
