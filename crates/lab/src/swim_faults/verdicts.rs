//! What was published, and what became of it.

use super::Figures;
use crate::claim::{Claim, Verdict};

pub(super) fn claims(figures: &Figures) -> Vec<Claim> {
    let deaths: u64 = figures.losses.iter().map(|it| it.false_deaths).sum();
    let hours: f64 = figures.losses.iter().map(|it| it.hours).sum();
    // As edges have it.
    let short = figures.slow.iter().filter(|it| it.is_short() && it.waits_anew);
    let slow_deaths: f64 = short.map(|it| it.slow_deaths_an_hour()).fold(0.0, f64::max);
    let of_others = |waits_anew: bool| {
        let these = figures.slow.iter().filter(|it| it.waits_anew == waits_anew);
        these.fold((0, 0), |(deaths, suspicions), it| {
            (deaths + it.false_deaths, suspicions + it.suspicions)
        })
    };
    let told = |(deaths, suspicions)| format!("{deaths} deaths, {suspicions} suspicions");
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
            "a word that misses a member, and reminders or answers that are lost one after the other, \
             are rare and not impossible",
        ),
        Claim::at_most(
            "SWIM, section 4.2: a member that stops for less than the suspicion lasts is not \
             declared down (deaths of a slow one an hour)",
            0.0,
            slow_deaths,
        )
        .because(
            "stops follow each other after one to three seconds: a suspicion outlives the gap if the \
             member has stopped again before its refutation has reached all",
        ),
        Claim::stated(
            "our own, without and with it: who waits anew after a stop suspects nobody that did not \
             stop",
            told(of_others(false)),
            told(of_others(true)),
            Verdict::of(of_others(true) == (0, 0)),
        )
        .because("a stop of less than half a second is not noticed"),
        Claim::stated(
            "a cluster that was cut in two becomes one again",
            "all see all",
            format!("{healed} of {}", figures.cuts.len()),
            Verdict::of(healed == figures.cuts.len()),
        ),
        Claim::cannot_be_reproduced(
            "Lifeguard, abstract: fewer false positives, with slow members",
            "by a factor of more than 50",
            "`foca` has no Lifeguard, and of its extensions only the buddy system is made around it; \
             the table of slow members is what there is with that alone",
        ),
    ]
}
