//! The way of one message: from node to node, each knowing only its own table and where the target is.

use std::cmp::Ordering;

use super::overlay::{CIRCLE, Geometry, Node, Overlay, Sequential};

/// More hops than these are none: every hop comes nearer, so a way is never as long.
const HOPS_MAX: u32 = 100_000;

/// How many hops it takes, if it comes there at all. `alive` is asked about each node that would be the
/// next; of the target it is not asked.
pub(super) fn hops(
    overlay: &Overlay,
    from: Node,
    to: Node,
    mut alive: impl FnMut(Node) -> bool,
) -> Option<u32> {
    let target = overlay.place(to);
    let (mut at, mut along_circle) = (from, false);
    for hops in 0..=HOPS_MAX {
        if at == to {
            return Some(hops);
        }
        let mut alive = |node| node == to || alive(node);
        let mut next = None;
        if !along_circle {
            next = nearer(overlay, at, target, &mut alive);
        }
        if next.is_none() && overlay.sequential == Sequential::Sixteen {
            along_circle = true;
            next = nearest(overlay, at, |place| circle(place, target), &mut alive);
        }
        at = next?;
    }
    unreachable!("a way comes nearer with every hop")
}

/// The next node by the geometry's own rule.
fn nearer(
    overlay: &Overlay,
    at: Node,
    target: u32,
    alive: &mut impl FnMut(Node) -> bool,
) -> Option<Node> {
    match overlay.geometry {
        // There is one that corrects most bits from above, and no other will do.
        Geometry::Tree => nearest(overlay, at, |place| (place ^ target).into(), &mut |_| true)
            .filter(|&it| alive(it)),
        Geometry::Hypercube => {
            nearest(overlay, at, |place| (place ^ target).count_ones().into(), alive)
        }
        Geometry::Ring => nearest(overlay, at, |place| target.wrapping_sub(place).into(), alive),
        Geometry::Xor => nearest(overlay, at, |place| (place ^ target).into(), alive),
        // Pastry: whoever shares a longer prefix with the target; else who shares as much and is
        // nearer on the circle.
        Geometry::Hybrid => nearest(
            overlay,
            at,
            |place| prefix_then_circle(place, target, overlay.place(at)),
            alive,
        ),
        Geometry::Butterfly => unreachable!("it has a way of its own"),
    }
}

/// The living neighbour that is nearest, if it is nearer than the node itself.
fn nearest(
    overlay: &Overlay,
    at: Node,
    distance: impl Fn(u32) -> u64,
    alive: &mut impl FnMut(Node) -> bool,
) -> Option<Node> {
    let (mut least, mut best) = (distance(overlay.place(at)), None);
    for &other in overlay.neighbours(at) {
        let there = distance(overlay.place(other));
        if there < least && alive(other) {
            (least, best) = (there, Some(other));
        }
    }
    best
}

/// The shorter of the two ways round.
pub(super) fn circle(place: u32, target: u32) -> u64 {
    let ahead = u64::from(target.wrapping_sub(place));
    ahead.min(CIRCLE - ahead)
}

/// Less is better, seen from the node at `here`: those that share more bits, by their XOR distance; then
/// those that share as many, by the circle; then all others.
fn prefix_then_circle(place: u32, target: u32, here: u32) -> u64 {
    let shared = (place ^ target).leading_zeros();
    match shared.cmp(&(here ^ target).leading_zeros()) {
        Ordering::Greater => (place ^ target).into(),
        Ordering::Equal => CIRCLE + circle(place, target),
        Ordering::Less => u64::MAX,
    }
}
