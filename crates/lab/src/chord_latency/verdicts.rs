//! What the papers say, and what became of it.

use nigh_overlay::locate::chord::Routing;

use super::{CANDIDATES, Found};
use crate::claim::{Claim, Verdict};

/// 3 delta beside a round trip of 2 delta.
const THREE_DELTA: f64 = 1.5;
/// XOR with near neighbours.
const XOR: f64 = 1.36;

pub(super) fn claims(terrain: &str, found: &[Found]) -> Vec<Claim> {
    let at = |routing, proximity| {
        let mut here = found.iter().filter(|it| it.terrain == terrain);
        here.find(|it| (it.way.routing, it.way.proximity) == (routing, proximity))
            .expect("all kinds were looked up")
    };
    let near = at(Routing::Recursive, CANDIDATES);
    let (recursive, iterative) = (at(Routing::Recursive, 1), at(Routing::Iterative, 1));
    let parts = [recursive.lookups.median() / iterative.lookups.median(), near.stretch()];
    let wrong: u64 = found.iter().filter(|it| it.terrain == terrain).map(|it| it.wrong).sum();
    vec![
        Claim::at_most(
            format!("{terrain}: recursive with PNS(16), median beside the direct one: 3 delta"),
            THREE_DELTA,
            near.stretch(),
        ),
        Claim::at_most(
            format!("{terrain}: the same beside the best that was published for XOR"),
            XOR,
            parts[1],
        ),
        Claim::stated(
            format!("{terrain}: recursive beside iterative lookups, without near fingers"),
            "clearly faster (about 0.6 of the time, as remembered; not confirmed from the text)",
            format!("{:.2} of the time", parts[0]),
            Verdict::of(parts[0] < 0.8),
        ),
        Claim::stated(
            format!("{terrain}: lookups that do not find the owner"),
            "none",
            wrong.to_string(),
            Verdict::of(wrong == 0),
        ),
    ]
}
