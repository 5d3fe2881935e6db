//! What the paper and its closed form say, and what was measured.

use super::{DIMENSIONS, Found, Kind, REALITIES, closed_form, find, machines::Beside, more};
use crate::{
    claim::{Claim, Tolerance, Verdict},
    sample::slope,
};

/// Four standard errors of a mean of so many ways.
const OF_A_MEAN: Tolerance = Tolerance::Relative(0.03);
/// How far the exponent may be off: a tenth more hops in the largest network than by the closed form.
const OF_GROWTH: Tolerance = Tolerance::Absolute(0.03);

/// Of the same questions from the same nodes: which of two equally near neighbours is next makes less.
const OF_A_MACHINE: Tolerance = Tolerance::Relative(0.02);

pub(super) fn claims(found: &[Found], beside: Beside) -> Vec<Claim> {
    let lost: usize = found.iter().map(|it| it.lost).sum();
    let mut claims = vec![Claim::stated(
        "questions that do not reach the owner of their point",
        "none",
        lost.to_string(),
        Verdict::of(lost == 0),
    )];
    // Only then all zones are cubes, and the closed form is exact.
    let is_cubic = |it: &&Found| {
        it.kind == Kind::Even && usize::try_from(it.size).is_ok_and(|it2| it2 % it.dimensions == 0)
    };
    for it in found.iter().filter(is_cubic) {
        let Found { size, dimensions, .. } = *it;
        let what = format!("2^{size} equal zones, {dimensions} dimensions: hops, (d/4) n^(1/d)");
        claims.push(Claim::near(what, closed_form(size, dimensions), it.hops, OF_A_MEAN));
        // With two zones in a row the one before is the one behind.
        let (in_a_row, both) = (size as usize / dimensions, 2.0);
        let each = if in_a_row > 1 { both } else { 1.0 };
        let neighbours = each * f64::from(u32::try_from(dimensions).expect("a few"));
        let what = format!("2^{size} equal zones, {dimensions} dimensions: neighbours, 2 d");
        claims.push(Claim::near(what, neighbours, it.neighbours, Tolerance::Absolute(0.0)));
    }
    claims.extend(DIMENSIONS.iter().filter_map(|&dimensions| growth(found, dimensions)));
    claims.extend(realities(found));
    claims.extend(DIMENSIONS.iter().filter_map(|&dimensions| weights(found, dimensions)));
    let Beside { size, walked, machines, wrong } = beside;
    let what = format!("2^{size} nodes, joined: machines go the ways that are walked, mean hops");
    claims.push(Claim::near(what, walked, machines, OF_A_MACHINE));
    claims.push(Claim::stated(
        "the same: ways of machines or walks that do not end at the owner",
        "none",
        wrong.to_string(),
        Verdict::of(wrong == 0),
    ));
    claims.push(Claim::cannot_be_reproduced(
        "section 3.3, table: milliseconds of a hop with and without weights",
        "a number for each of several dimensions",
        "its transit-stub networks are not given, and the table could not be read",
    ));
    claims
}

/// Section 2.1: ways grow as the d-th root of the nodes.
fn growth(found: &[Found], dimensions: usize) -> Option<Claim> {
    let of = |it: &&Found| (it.kind, it.dimensions, it.realities) == (Kind::Joined, dimensions, 1);
    let point = |it: &Found| (f64::from(it.size), libm::log2(it.hops));
    let points: Vec<_> = found.iter().filter(of).map(point).collect();
    let d = f64::from(u32::try_from(dimensions).expect("a few"));
    let what =
        format!("section 2.1: {dimensions} dimensions, joined: exponent with which ways grow");
    (points.len() > 2).then(|| Claim::near(what, 1.0 / d, slope(&points), OF_GROWTH))
}

/// Section 3.2: each reality more makes ways shorter, but as many neighbours by more dimensions make them shorter
/// yet.
fn realities(found: &[Found]) -> Vec<Claim> {
    let size = more(found);
    let of = |dimensions, realities| find(found, size, dimensions, realities, Kind::Joined);
    let by_realities: Vec<&Found> = (1..=REALITIES).filter_map(|it| of(2, it)).collect();
    let hops: Vec<String> = by_realities.iter().map(|it| format!("{:.1}", it.hops)).collect();
    let are_shorter = by_realities.windows(2).all(|it| it[1].hops < it[0].hops);
    let mut claims = vec![Claim::stated(
        "section 3.2: each reality more makes ways shorter",
        "fewer hops each",
        hops.join(", "),
        Verdict::of(are_shorter && by_realities.len() == REALITIES),
    )];
    let (Some(few), Some(many)) = (of(4, 1), of(2, 2)) else { return claims };
    let told = |it: &Found| format!("{:.1} hops with {:.1} neighbours", it.hops, it.neighbours);
    claims.push(Claim::stated(
        "section 3.2: 4 dimensions against 2 realities of 2, about as many neighbours",
        "fewer hops with more dimensions",
        format!("{} against {}", told(few), told(many)),
        Verdict::of(few.hops < many.hops),
    ));
    claims
}

/// Section 3.3: with weights a hop takes less time.
fn weights(found: &[Found], dimensions: usize) -> Option<Claim> {
    let size = more(found);
    let plain = find(found, size, dimensions, 1, Kind::Joined)?;
    let weighted = find(found, size, dimensions, 1, Kind::Weighted)?;
    Some(Claim::stated(
        format!("section 3.3: {dimensions} dimensions, milliseconds of a hop with weights"),
        "fewer than without",
        format!("{:.1}, without {:.1}", weighted.hop, plain.hop),
        Verdict::of(weighted.hop < plain.hop),
    ))
}
