//! Consistent hashing: Karger, Lehman, Leighton, Panigrahy, Levine, Lewin, "Consistent Hashing and
//! Random Trees", STOC 1997.
//!
//! Keys and edges are places on a circle, and a key belongs to the first edge at or after it. An edge
//! has points in proportion to its capacity, so that many short arcs even each other out. One that
//! comes takes from its neighbours alone, and what one leaves goes to its neighbours alone.
//!
//! The circle has 2^48 places: the upper 48 bits of a hash. The lower 16 bits of a point are free
//! then for the edge's number, so that a point is one word, and sorting the words puts equal places
//! into the order of the names.
//!
//! A look-up waits for memory before all else, so it reads two places only: an index by the upper
//! bits, in little more than a byte a point, and behind it four points at once. As a part of the index
//! has one point on average, that is nearly always enough, and nothing is left for the processor to
//! guess.

use super::{Edges, Placement, distinct::Distinct, key::scaled, point_hash};

/// Points of an ordinary edge. The load of an edge varies by 1/sqrt(128), a good twelfth of the mean,
/// and the fullest of a hundred has a quarter more than the mean, as much as spill allows it. Four
/// times as many would halve that, and quadruple the memory that a look-up has to reach.
pub const POINTS: u16 = 128;

/// A point's place on the circle; the bits below are the edge's number.
const PLACE: u64 = !0xffff;
/// Points that are compared at once.
const WINDOW: usize = 4;
/// Parts of the circle in a block of the index: it has 16 bytes then.
const PARTS: usize = 12;

/// Where to begin to look, for twelve parts of the circle that lie side by side. It is exact where
/// points lie as hashes do, and too early where too many crowd together.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// How many points lie before the block.
    before: u32,
    /// How many more lie before each part, as far as a byte goes.
    ahead: [u8; PARTS],
}

/// Edges on a circle. What serves.
#[derive(Clone, Debug)]
pub struct Ring {
    edges: Edges,
    /// Places with numbers of edges, ascending; behind them the first again, as if it lay at the
    /// circle's end, so often that a whole window may be read at any point.
    points: Vec<u64>,
    /// One for as many equal parts as there are points.
    index: Vec<Block>,
}

impl Ring {
    /// The ring of these edges, an ordinary one with [`POINTS`] points. It takes nine bytes and a half
    /// a point, and the time to sort them: 0.1 s for 10,000 edges.
    pub fn new(edges: Edges) -> Self {
        Self::with_points(edges, POINTS)
    }

    /// With another number of points for an ordinary edge. Rings agree only where they have the same:
    /// this is for experiments.
    ///
    /// # Panics
    /// If there are 2^32 points or more.
    pub fn with_points(edges: Edges, ordinary: u16) -> Self {
        let mut points = Vec::new();
        for (edge, number) in edges.as_slice().iter().zip(0u64..) {
            let of_edge = 0..edge.capacity.points(ordinary);
            points.extend(of_edge.map(|point| point_hash(&edge.name, point) & PLACE | number));
        }
        Self::of(edges, points)
    }

    /// With these points.
    fn of(edges: Edges, mut points: Vec<u64>) -> Self {
        points.sort_unstable();
        let index = index(&points);
        if let Some(first) = points.first() {
            let end = PLACE | first & !PLACE;
            points.extend([end; WINDOW]);
        }
        Self { edges, points, index }
    }

    /// Bytes that a look-up may have to reach.
    pub const fn bytes(&self) -> usize {
        size_of_val(self.points.as_slice()) + size_of_val(self.index.as_slice())
    }

    /// Where in `points` the first point at or after a hash is. There is one.
    fn first_from(&self, hash: u64) -> usize {
        let place = hash & PLACE;
        let (block, part) = part_of(place, self.index.len());
        let block = &self.index[block];
        let mut at = block.before as usize + usize::from(block.ahead[part]);
        loop {
            let window = &self.points[at..at + WINDOW];
            // No branch depends on a comparison: which of them it is cannot be foreseen.
            let passed: usize = window.iter().map(|&point| usize::from(point < place)).sum();
            at += passed;
            if passed < WINDOW {
                return at;
            }
        }
    }
}

impl Placement for Ring {
    fn edges(&self) -> &Edges {
        &self.edges
    }

    #[inline]
    fn owner(&self, hash: u64) -> Option<usize> {
        if self.index.is_empty() {
            return None;
        }
        Some(usize::from(number(self.points[self.first_from(hash)])))
    }

    /// Clockwise from the hash, each edge at its first point. It passes all points if all edges are
    /// asked for.
    fn order(&self, hash: u64) -> impl Iterator<Item = usize> {
        // At the end stand copies of the first point, and the first edge comes again: no harm.
        let from = if self.index.is_empty() { 0 } else { self.first_from(hash) };
        let clockwise = self.points[from..].iter().chain(&self.points[..from]);
        Distinct::new(clockwise.map(|&point| number(point)), self.edges.len())
    }
}

/// In which block of so many a place lies, and in which of its parts.
#[expect(clippy::cast_possible_truncation, reason = "the lower half of 128 bits is wanted")]
const fn part_of(place: u64, blocks: usize) -> (usize, usize) {
    let within = (place as u128 * blocks as u128) as u64;
    (scaled(place, blocks), scaled(within, PARTS))
}

/// For each part of the circle, how many points lie before it.
fn index(points: &[u64]) -> Vec<Block> {
    let blocks = points.len().div_ceil(PARTS);
    let mut passed = 0;
    let mut pass = |part: (usize, usize)| {
        let rest = points[passed..].iter();
        passed += rest.take_while(|&&point| part_of(point & PLACE, blocks) < part).count();
        u32::try_from(passed).expect("edges and their points have limits far below")
    };
    (0..blocks)
        .map(|block| {
            let before = pass((block, 0));
            let mut ahead = [0; PARTS];
            for (part, ahead) in ahead.iter_mut().enumerate() {
                *ahead = u8::try_from(pass((block, part)) - before).unwrap_or(u8::MAX);
            }
            Block { before, ahead }
        })
        .collect()
}

/// Whose point it is.
#[expect(clippy::cast_possible_truncation, reason = "the lower 16 bits are wanted")]
const fn number(point: u64) -> u16 {
    point as u16
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::{
        super::tests::{edges, named},
        *,
    };

    /// The definition, without an index: the first point at or after the hash, or the first of all.
    fn searched(ring: &Ring, hash: u64) -> u16 {
        let points = &ring.points[..ring.points.len() - WINDOW];
        let found = points.iter().find(|&&point| point >> 16 >= hash >> 16);
        number(*found.unwrap_or(&points[0]))
    }

    #[test]
    fn the_index_finds_what_a_search_from_the_start_finds() {
        let mut rng = Rng::new(1);
        for (count, ordinary) in [(1, 1), (1, 128), (2, 3), (3, 1), (100, 128), (1000, 5)] {
            let ring = Ring::with_points(edges(count), ordinary);
            let at_points = ring.points.iter().flat_map(|&point| {
                [point, point & PLACE, (point & PLACE).wrapping_sub(1), point | !PLACE]
            });
            let at_points: Vec<u64> = at_points.take(1000).chain([0, u64::MAX]).collect();
            for hash in (0..1000).map(|_| rng.next_u64()).chain(at_points) {
                assert_eq!(ring.owner(hash), Some(searched(&ring, hash).into()), "{count} {hash}");
            }
        }
    }

    #[test]
    fn crowded_points_are_found_too() {
        // A thousand points in the first part of the circle, and one far away.
        let points = (0..1000u64).map(|n| (n + 1) << 16 | n).chain([PLACE >> 1 & PLACE | 1000]);
        let ring = Ring::of(edges(1001), points.collect());
        for n in 0..1000 {
            assert_eq!(ring.owner((n as u64 + 1) << 16), Some(n));
        }
        assert_eq!((ring.owner(1001 << 16), ring.owner(PLACE)), (Some(1000), Some(0)));
    }

    #[test]
    fn of_equal_points_the_first_by_name_owns() {
        let place = 7 << 16;
        let ring = Ring::of(named(&["b", "a"]), vec![place | 1, place]);
        assert_eq!(ring.edges().as_slice()[0].name, "a");
        assert_eq!(ring.order(0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(ring.order(8 << 16).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_ring_has_nine_bytes_and_a_half_a_point() {
        assert!(Ring::new(edges(100)).bytes() < 100 * 128 * 19 / 2);
    }
}
