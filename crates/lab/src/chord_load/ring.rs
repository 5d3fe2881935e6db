//! Nodes and keys on a circle of 2^64 places, without names: where SHA-1 puts a name is as good as
//! random, and the upper 64 of its 160 bits tell apart whatever lies on a circle here.

use nigh_base::Rng;

/// Where nodes lie, in order, and an index that finds the first one after a place in a step or two.
#[derive(Debug)]
pub(super) struct Ring {
    nodes: usize,
    /// Places and nodes. A node is at several places if it has virtual nodes.
    places: Vec<(u64, u32)>,
    /// For each of so many equal parts of the circle, how many places lie before it.
    before: Vec<u32>,
    /// The lower bits of a place, which do not say in which part it is.
    part_bits: u32,
}

impl Ring {
    /// So many nodes, each at so many random places.
    pub(super) fn random(nodes: u64, virtual_nodes: u32, rng: &mut Rng) -> Self {
        let nodes = u32::try_from(nodes).expect("a ring has at most a million nodes");
        let owners = (0..nodes).flat_map(|node| (0..virtual_nodes).map(move |_| node));
        Self::new(owners.map(|node| (rng.next_u64(), node)).collect())
    }

    /// Nodes at these places, numbered from zero.
    pub(super) fn new(mut places: Vec<(u64, u32)>) -> Self {
        places.sort_unstable();
        let nodes = places.iter().map(|&(_, node)| node).max().map_or(0, |last| index(last) + 1);
        // As many parts as places, up to a factor of two.
        let bits = places.len().next_power_of_two().trailing_zeros().max(1);
        let part_bits = u64::BITS - bits;
        let mut before = Vec::with_capacity(1 << bits);
        let mut passed = 0;
        for part in 0..1u64 << bits {
            let rest = places[index(passed)..].iter();
            passed += count(rest.take_while(|(place, _)| place >> part_bits < part));
            before.push(passed);
        }
        Self { nodes, places, before, part_bits }
    }

    /// The node that a key belongs to: the first at its place or after it, or after the circle's end
    /// the first of all.
    pub(super) fn owner(&self, key: u64) -> u32 {
        let part = usize::try_from(key >> self.part_bits).expect("there is memory for each part");
        let rest = &self.places[index(self.before[part])..];
        let next = rest.iter().find(|(place, _)| *place >= key);
        next.unwrap_or(&self.places[0]).1
    }

    /// How many of so many random keys each node has.
    pub(super) fn keys_of_nodes(&self, keys: u64, rng: &mut Rng) -> Vec<u32> {
        let mut loads = vec![0; self.nodes];
        for _ in 0..keys {
            loads[index(self.owner(rng.next_u64()))] += 1;
        }
        loads
    }

    /// How much of the circle each node is responsible for; the mean is 1.
    #[expect(clippy::cast_precision_loss, reason = "a float is exact enough to tell arcs apart")]
    pub(super) fn arcs_of_nodes(&self) -> Vec<f64> {
        let mut arcs = vec![0.0; self.nodes];
        let last = self.places[self.places.len() - 1].0;
        let mut before = last;
        for &(place, node) in &self.places {
            let arc = place.wrapping_sub(before) as f64 / 2f64.powi(64);
            arcs[index(node)] += arc * self.nodes as f64;
            before = place;
        }
        arcs
    }

    /// In how many of so many equal arcs of the circle there is no place.
    pub(super) fn empty_arcs(&self, arcs: u64) -> u64 {
        let arc = |place: u64| (u128::from(place) * u128::from(arcs)) >> 64;
        let mut held: Vec<u128> = self.places.iter().map(|&(place, _)| arc(place)).collect();
        held.dedup();
        arcs - held.len() as u64
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit into an index")
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).expect("there are at most 20 million places")
}

#[cfg(test)]
mod tests {
    use nigh_base::Key;

    use super::*;
    use crate::sample::Sample;

    #[test]
    fn a_key_belongs_to_the_first_node_at_or_after_it() {
        let ring = Ring::new(vec![(44, 2), (8, 0), (u64::MAX - 5, 3), (1 << 63, 1)]);
        for (key, node) in [
            (0, 0),
            (8, 0),
            (9, 2),
            (44, 2),
            (45, 1),
            (1 << 63, 1),
            ((1 << 63) + 1, 3),
            (u64::MAX - 5, 3),
            (u64::MAX - 4, 0),
            (u64::MAX, 0),
        ] {
            assert_eq!(ring.owner(key), node, "{key}");
        }
        assert_eq!(Ring::new(vec![(7, 0)]).owner(8), 0);
    }

    #[test]
    fn the_index_finds_what_a_search_from_the_start_finds() {
        let mut rng = Rng::new(3);
        for nodes in [1, 2, 3, 17, 1000] {
            let ring = Ring::random(nodes, 3, &mut rng);
            for _ in 0..1000 {
                let key = rng.next_u64();
                let slow = ring.places.iter().find(|(place, _)| *place >= key);
                assert_eq!(ring.owner(key), slow.unwrap_or(&ring.places[0]).1);
            }
        }
    }

    #[test]
    fn arcs_add_up_to_the_circle_and_keys_to_all_keys() {
        let mut rng = Rng::new(4);
        let ring = Ring::random(500, 4, &mut rng);
        let whole: f64 = ring.arcs_of_nodes().iter().sum();
        assert!((whole - 500.0).abs() < 1e-9, "{whole}");
        assert_eq!(ring.keys_of_nodes(12_345, &mut rng).iter().sum::<u32>(), 12_345);
    }

    #[test]
    fn an_arc_without_a_place_is_empty() {
        let quarter = 1u64 << 62;
        let ring = Ring::new(vec![(1, 0), (quarter - 1, 1), (3 * quarter, 2)]);
        assert_eq!(ring.empty_arcs(4), 2);
    }

    #[test]
    fn names_under_sha_1_lie_as_random_numbers_do() {
        // The same ring of names and of numbers: percentiles agree to a few standard errors.
        let nodes = 2000u32;
        let named =
            |label: &[u8], number: u32| Key::of(&[label, &number.to_le_bytes()].concat()).top();
        let ring = Ring::new((0..nodes).map(|node| (named(b"node ", node), node)).collect());
        let mut loads = vec![0; ring.nodes];
        for key in 0..50 * nodes {
            loads[index(ring.owner(named(b"key ", key)))] += 1;
        }
        let names = Sample::new(loads.into_iter().map(f64::from));
        let mut rng = Rng::new(5);
        let random = Ring::random(nodes.into(), 1, &mut rng);
        let random = random.keys_of_nodes(u64::from(50 * nodes), &mut rng);
        let random = Sample::new(random.into_iter().map(f64::from));
        for (percent, standard_errors) in [(50.0, 5.0), (90.0, 15.0), (99.0, 50.0)] {
            let apart = (names.percentile(percent) - random.percentile(percent)).abs();
            assert!(apart < standard_errors, "{percent}: {names:?} {random:?}");
        }
    }
}
