//! Who serves what: from the hash of a key to the edges that should serve it, in order.
//!
//! Hashes leave the process: edges of different versions and machines have to agree, so both of them
//! are pinned by test vectors.

use twox_hash::XxHash3_64;

/// Points of an edge of capacity 1.
pub const POINTS: u32 = 128;

/// Where a key lies among all 64-bit numbers: its xxh3-64 without a seed.
pub fn key_hash(key: &[u8]) -> u64 {
    XxHash3_64::oneshot(key)
}

/// The hash of one of an edge's points: the xxh3-64 of its name, followed by the point's number in
/// four bytes, the lowest first.
fn point_hash(name: &str, number: u32) -> u64 {
    key_hash(&[name.as_bytes(), &number.to_le_bytes()].concat())
}

/// Edges on a circle, as in Karger et al. (STOC'97): a key belongs to the first point at or after its
/// hash. An edge is known by its place in the list that the ring was made of; the ring itself depends
/// on names and capacities alone.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Ascending.
    points: Vec<(u64, usize)>,
    edges: usize,
}

impl Ring {
    /// The ring of edges with these names and capacities. Takes 16 bytes a point, and the time to
    /// sort them.
    pub fn new<'a>(edges: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let (mut points, mut count) = (Vec::new(), 0);
        for (edge, (name, capacity)) in edges.into_iter().enumerate() {
            let numbers = 0..capacity.saturating_mul(POINTS);
            points.extend(numbers.map(|number| (point_hash(name, number), name, edge)));
            count = edge + 1;
        }
        // Equal hashes are in the order of the names, whatever the order of the list.
        points.sort_unstable();
        let points = points.into_iter().map(|(hash, _, edge)| (hash, edge)).collect();
        Self { points, edges: count }
    }

    /// All edges that have a point, the owner of `hash` first, then whom to ask in its place, and so
    /// on. Goes through all points if all edges are asked for.
    pub fn order(&self, hash: u64) -> impl Iterator<Item = usize> {
        let from = self.points.partition_point(|(point, _)| *point < hash);
        let clockwise = self.points[from..].iter().chain(&self.points[..from]);
        let mut met = vec![false; self.edges];
        clockwise
            .map(|(_, edge)| *edge)
            .filter(move |&edge| !std::mem::replace(&mut met[edge], true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [(&str, u32); 3] = [("a", 1), ("b", 1), ("c", 2)];

    #[test]
    fn the_hash_of_a_key_is_the_same_on_every_machine_and_in_every_version() {
        assert_eq!(key_hash(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(key_hash(b"http://example.com/"), key_hash(b"http://example.com/"));
    }

    #[test]
    fn an_order_has_every_edge_once_and_begins_with_the_next_point() {
        let ring = Ring::new(EDGES);
        for number in 0..100_u32 {
            let hash = key_hash(&number.to_le_bytes());
            let order: Vec<usize> = ring.order(hash).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
            let next = ring.points.iter().find(|(point, _)| *point >= hash);
            assert_eq!(order[0], next.unwrap_or(&ring.points[0]).1);
        }
    }

    #[test]
    fn twice_the_capacity_has_twice_the_keys() {
        let ring = Ring::new(EDGES);
        let owned = |edge| {
            let hashes = (0..10_000_u32).map(|number| key_hash(&number.to_le_bytes()));
            hashes.filter(|hash| ring.order(*hash).next() == Some(edge)).count()
        };
        assert!((4_000..6_000).contains(&owned(2)), "{}", owned(2));
    }

    #[test]
    fn when_an_edge_goes_its_keys_go_to_their_successors_and_no_other_key_moves() {
        let (before, after) = (Ring::new(EDGES), Ring::new([EDGES[0], EDGES[2]]));
        for number in 0..1000_u32 {
            let hash = key_hash(&number.to_le_bytes());
            let names = |order: Vec<usize>, edges: &[usize]| -> Vec<usize> {
                order.into_iter().map(|at| edges[at]).collect()
            };
            let mut without = names(before.order(hash).collect(), &[0, 1, 2]);
            without.retain(|edge| *edge != 1);
            assert_eq!(without, names(after.order(hash).collect(), &[0, 2]));
        }
    }
}
