//! What the papers say, and what became of it.

use nigh_overlay::locate::chord::Routing;

use super::{CANDIDATES, Found, Terrain};
use crate::claim::{Claim, Verdict};

/// 3 delta beside a round trip of 2 delta.
const THREE_DELTA: f64 = 1.5;
/// XOR with near neighbours.
const XOR: f64 = 1.36;
/// Without near fingers a recursive lookup is clearly faster if it takes less of the time of an
/// iterative one than this.
const CLEARLY: f64 = 0.8;

pub(super) fn claims(terrain: &Terrain, found: &[Found]) -> Vec<Claim> {
    let name = &terrain.name;
    let here = || found.iter().filter(|it| it.terrain == *name);
    let at = |routing, proximity| {
        here()
            .find(|it| (it.way.routing, it.way.proximity) == (routing, proximity))
            .expect("all kinds were looked up")
    };
    let near = at(Routing::Recursive, CANDIDATES);
    let (recursive, iterative) = (at(Routing::Recursive, 1), at(Routing::Iterative, 1));
    let part = recursive.lookups.median() / iterative.lookups.median();
    let wrong: u64 = here().map(|it| it.wrong).sum();
    vec![
        Claim::at_most(
            format!("{name}: recursive with PNS(16), median beside the direct one: 3 delta"),
            THREE_DELTA,
            near.stretch(),
        )
        .because(
            "on a plane the nearest of sixteen is still a third of the mean way off, and nobody is \
             nearer than the hosts' own lines; real hosts are crowded, and so the first hops of a \
             lookup cost next to nothing there. 3 delta suppose that hops shrink by half each",
        ),
        Claim::at_most(
            format!("{name}: the same beside the best that was published for XOR"),
            XOR,
            near.stretch(),
        )
        .because(
            "it was measured from one place, with latencies that cannot be had; from another place \
             of the same paper the ratio is 1.87 by the same summary. Ours is over all places. The \
             part that near fingers cannot shorten, a last hop among sixteen successors and the \
             answer, is as long as a round trip already",
        ),
        Claim::stated(
            format!("{name}: recursive beside iterative lookups, without near fingers"),
            "clearly faster (about 0.6 of the time, as remembered; not confirmed from the text)",
            format!("{part:.2} of the time"),
            Verdict::of(part < CLEARLY),
        ),
        Claim::stated(
            format!("{name}: lookups that do not find the owner"),
            "none",
            wrong.to_string(),
            Verdict::of(wrong == 0),
        )
        .because(
            "some round trips of the file take one to three seconds. A node on the way is asked \
             three times and waited for 0.2, 0.4 and 0.8 seconds, since most answer in a tenth of \
             that; whoever is farther is taken for dead",
        ),
    ]
}
