//! The way of one lookup: from node to node, each knowing its own table and what is looked for.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use super::{BUCKET, Next, Routing, Way, network::Network};

/// Where a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) node: usize,
    /// Nodes on the way to it, itself among them.
    pub(super) hops: u32,
    /// When its answer came.
    pub(super) at: Duration,
}

/// More hops than these are none: each comes nearer.
const HOPS_MAX: u32 = 1000;

/// Looks up `target`, which another than `from` owns.
pub(super) fn walk(network: &Network, way: Way, from: usize, target: u32) -> End {
    match way.routing {
        Routing::Iterative => iterative(network, way, from, target),
        Routing::Recursive => recursive(network, way, from, target),
    }
}

/// Of those whom `node` knows, the ones to go on at, the best first.
fn next(network: &Network, way: Way, node: usize, target: u32, count: usize) -> Vec<usize> {
    let towards = network.towards(node, target);
    // A bucket that is not full has all who are nearer, and the owner among them.
    if way.next == Next::Xor || towards.len() < BUCKET {
        let me = network.place(node) ^ target;
        let mut nearest = network.nearest(node, target, count);
        nearest.retain(|&it| network.place(it) ^ target < me);
        return nearest;
    }
    let mut nearer: Vec<usize> = towards.iter().map(|&it| it as usize).collect();
    nearer.sort_by_key(|&it| preference(network, way.next, (node, it), target));
    nearer.truncate(count);
    nearer
}

/// The least is the best next one; `pair` is who chooses, and whom.
fn preference(
    network: &Network,
    next: Next,
    pair: (usize, usize),
    target: u32,
) -> (Reverse<u32>, Duration, u32) {
    let (one, other) = pair;
    let gap = network.place(other) ^ target;
    let shared = Reverse(gap.leading_zeros());
    match next {
        Next::Xor => (shared, Duration::ZERO, gap),
        Next::NearOfBest => (shared, network.between(one, other), gap),
        Next::NearOfAll => (Reverse(0), network.between(one, other), gap),
    }
}

fn recursive(network: &Network, way: Way, from: usize, target: u32) -> End {
    let passed_on = |first: usize| {
        let (mut node, mut hops) = (first, 1);
        let mut at = network.between(from, first);
        while let [other, ..] = next(network, way, node, target, 1)[..] {
            at += network.between(node, other);
            hops += 1;
            assert!(hops < HOPS_MAX, "a way comes nearer with every hop");
            node = other;
        }
        End { node, hops, at: at + network.between(node, from) }
    };
    let first = next(network, way, from, target, way.parallel);
    let ends = first.into_iter().map(passed_on);
    ends.min_by_key(|it| it.at).expect("who is not the owner knows somebody nearer")
}

/// Whom an iterative lookup has heard of.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    node: usize,
    hops: u32,
    /// How many bits of its place are those of the target.
    shared: u32,
    is_asked: bool,
}

fn iterative(network: &Network, way: Way, from: usize, target: u32) -> End {
    let owner = network.owner(target);
    let candidate = |node: usize, hops| {
        let shared = (network.place(node) ^ target).leading_zeros();
        Candidate { node, hops, shared, is_asked: false }
    };
    let known = network.nearest(from, target, BUCKET);
    let mut candidates: Vec<Candidate> = known.into_iter().map(|it| candidate(it, 1)).collect();
    // Answers on their way: when each comes, and of whom.
    let mut coming: BTreeSet<(Duration, usize)> = BTreeSet::new();
    // Of the nodes that have answered, the most bits that one shares.
    let mut reached = (network.place(from) ^ target).leading_zeros();
    let mut at = Duration::ZERO;
    loop {
        while coming.len() < way.parallel
            && let Some(place) = choose(network, way, from, target, reached, &candidates)
        {
            let asked = &mut candidates[place];
            asked.is_asked = true;
            let node = asked.node;
            let round_trip = network.between(from, node) + network.between(node, from);
            coming.insert((at + round_trip, node));
        }
        let (now, node) = coming.pop_first().expect("the owner is heard of");
        at = now;
        let answered = candidates.iter().find(|it| it.node == node).expect("it was asked");
        let hops = answered.hops;
        if node == owner {
            return End { node, hops, at };
        }
        reached = reached.max(answered.shared);
        for named in network.nearest(node, target, BUCKET) {
            if named != from && candidates.iter().all(|it| it.node != named) {
                candidates.push(candidate(named, hops + 1));
            }
        }
    }
}

/// The place of the candidate that is asked next: the best of those that share more bits than whoever has
/// answered, as long as they are as many as a bucket has; else the nearest by XOR.
fn choose(
    network: &Network,
    way: Way,
    from: usize,
    target: u32,
    reached: u32,
    candidates: &[Candidate],
) -> Option<usize> {
    let open = || (0..candidates.len()).filter(|place| !candidates[*place].is_asked);
    let nearer = || open().filter(|place| candidates[*place].shared > reached);
    let next = if nearer().count() < BUCKET { Next::Xor } else { way.next };
    let rank = |place: &usize| preference(network, next, (from, candidates[*place].node), target);
    if next == Next::Xor { open().min_by_key(rank) } else { nearer().min_by_key(rank) }
}
