//! Zones of nodes as tables, and the way of a question through them.

use std::time::Duration;

use nigh_base::{Key, Rng};
use nigh_overlay::locate::can::{
    settled,
    zone::{Sides, Space, Zone},
};
use nigh_sim::{HostId, Latency, Places};

/// The mean way between two nodes.
const MEAN: Duration = Duration::from_millis(100);
/// No way is longer.
const HOPS_MAX: usize = 100_000;

/// One coordinate space: who has which zone, and who is beside whom.
#[derive(Debug)]
pub(super) struct Zones {
    space: Space,
    /// In the order of the zones: the zone, and the number of its node.
    owners: Vec<(Zone, usize)>,
    sides: Vec<Sides>,
    beside: Vec<Vec<usize>>,
    /// The place of each node's zone.
    places: Vec<usize>,
}

impl Zones {
    /// Zones of nodes that join one after the other at these points.
    pub(super) fn joined(dimensions: usize, keys: &[Key]) -> Self {
        Self::new(dimensions, settled::zones(keys.iter().copied()))
    }

    /// Zones that were halved so often each, one around each of these points.
    pub(super) fn even(dimensions: usize, keys: &[Key], depth: u32) -> Self {
        let zones = keys.iter().enumerate().map(|(node, &key)| (Zone::around(key, depth), node));
        Self::new(dimensions, zones.collect())
    }

    fn new(dimensions: usize, owners: Vec<(Zone, usize)>) -> Self {
        let space = Space::new(dimensions);
        let sides = owners.iter().map(|it| space.sides(it.0)).collect();
        let beside = (0..owners.len()).map(|at| settled::beside(space, &owners, at)).collect();
        let mut places = vec![0; owners.len()];
        for (place, &(_, node)) in owners.iter().enumerate() {
            places[node] = place;
        }
        Self { space, owners, sides, beside, places }
    }

    /// How many pairs of a node and a neighbour there are.
    pub(super) fn links(&self) -> usize {
        self.beside.iter().map(Vec::len).sum()
    }
}

/// How long a datagram takes from node to node.
#[derive(Debug)]
pub(super) struct Trips(Latency);

impl Trips {
    pub(super) fn spread(count: usize, rng: &mut Rng) -> Self {
        Self(Latency::Placed(std::sync::Arc::new(Places::spread(count, MEAN, rng))))
    }

    /// In milliseconds, one way.
    fn between(&self, from: usize, to: usize) -> f64 {
        let host = |node: usize| HostId(u32::try_from(node).expect("fewer than 2^32 nodes"));
        self.0.between(host(from), host(to)).as_secs_f64() * 1e3
    }
}

/// The distance whose square that is.
#[expect(clippy::cast_precision_loss, reason = "it is compared with others that are far from it")]
fn root(square: u128) -> f64 {
    libm::sqrt(square as f64)
}

/// How many nodes a question passes from a node to the owner of `key` in any of the spaces, and how long that
/// takes in milliseconds; none if it does not arrive.
pub(super) fn walk(
    spaces: &[Zones],
    from: usize,
    key: Key,
    trips: &Trips,
    weighted: bool,
) -> Option<(usize, f64)> {
    let points: Vec<_> = spaces.iter().map(|it| it.space.point(key)).collect();
    let (mut me, mut time) = (from, 0.0);
    for hops in 0..HOPS_MAX {
        let distances = spaces.iter().zip(&points);
        let mine = distances.map(|(it, point)| it.space.distance(&it.sides[it.places[me]], point));
        let mine = mine.min()?;
        if mine == 0 {
            return Some((hops, time));
        }
        // Of those that are nearer, the nearest, or the one by which most is gained for each second.
        let mut best: Option<(f64, u128, usize)> = None;
        for (it, point) in spaces.iter().zip(&points) {
            for &place in &it.beside[it.places[me]] {
                let (distance, node) =
                    (it.space.distance(&it.sides[place], point), it.owners[place].1);
                if distance >= mine {
                    continue;
                }
                let gain = match weighted {
                    true => (root(mine) - root(distance)) / trips.between(me, node),
                    false => 0.0,
                };
                let is_better = best.is_none_or(|(most, least, _)| {
                    gain > most || (gain >= most && distance < least)
                });
                if is_better {
                    best = Some((gain, distance, node));
                }
            }
        }
        let (_, _, next) = best?;
        time += trips.between(me, next);
        me = next;
    }
    None
}
