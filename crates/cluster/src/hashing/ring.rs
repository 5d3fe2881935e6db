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
//! A look-up waits for memory before all else, so the owner is read from one cache line: the circle is
//! cut into parts of ten points on average, and a line has the next sixteen bits of each of a part's
//! points and the edges that they are of. Where sixteen bits do not tell, or a line has no room, the
//! points themselves are searched: one look-up in some hundreds.

use super::{Edges, Placement, distinct::Distinct, key::scaled, point_hash};

/// Points of an ordinary edge. The load of an edge varies by 1/sqrt(128), a good twelfth of the mean,
/// and the fullest of a hundred has a quarter more than the mean, as much as spill allows it. Four
/// times as many would halve that, and quadruple the memory that a look-up has to reach.
pub const POINTS: u16 = 128;

/// A point's place on the circle; the bits below are the edge's number.
const PLACE: u64 = !0xffff;
/// Bits of a point below its place.
const NUMBER_BITS: u32 = 16;
/// Places on the circle.
const CIRCLE: u64 = 1 << (u64::BITS - NUMBER_BITS);
/// Points that a line has room for.
const ROOM: usize = 16;
/// Points of a part on average: more would too often find no room, and fewer would make a longer table.
const MEAN: usize = 10;

/// The points of one part of the circle, ascending, and behind them the next one on the circle, again and
/// again. If they are too many, the first of them alone.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Line {
    /// The upper bits of a point's place within the part.
    places: [u16; ROOM],
    /// Whose it is.
    edges: [u16; ROOM],
}

/// Edges on a circle. What serves.
#[derive(Clone, Debug)]
pub struct Ring {
    edges: Edges,
    /// Places with numbers of edges, ascending.
    points: Vec<u64>,
    /// Of as many equal parts as there are tens of points.
    lines: Vec<Line>,
    /// How many points lie before each part.
    before: Vec<u32>,
}

impl Ring {
    /// The ring of these edges, an ordinary one with [`POINTS`] points. It takes fifteen bytes a point, and
    /// the time to sort them: 0.1 s for 10,000 edges.
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
        let (lines, before) = table(&points);
        Self { edges, points, lines, before }
    }

    /// Of each edge, the part of the circle that it owns: together they are 1, if there are edges. It passes
    /// all points.
    #[expect(clippy::cast_precision_loss, reason = "places have 48 bits, and a float holds 53")]
    pub fn shares(&self) -> Vec<f64> {
        let mut owned = vec![0; self.edges.len()];
        let last = self.points.last().map_or(0, |last| last >> NUMBER_BITS);
        let mut before = None;
        for &point in &self.points {
            let place = point >> NUMBER_BITS;
            // The first one has what lies before it and, round the circle, behind the last.
            let arc = before.map_or_else(|| CIRCLE - (last - place), |before| place - before);
            owned[usize::from(number(point))] += arc;
            before = Some(place);
        }
        owned.into_iter().map(|places| places as f64 / CIRCLE as f64).collect()
    }

    /// Bytes that a look-up of an owner may have to reach.
    pub const fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }

    /// Where in `points` the first point at or after a hash is; at their end if there is none.
    fn first_from(&self, hash: u64) -> usize {
        let place = hash & PLACE;
        let (part, _) = part_of(place, self.before.len());
        let from = self.before[part] as usize;
        let to = self.before.get(part + 1).map_or(self.points.len(), |&to| to as usize);
        from + self.points[from..to].partition_point(|&point| point < place)
    }

    /// The owner, by the points themselves.
    fn searched(&self, hash: u64) -> u16 {
        number(*self.points.get(self.first_from(hash)).unwrap_or(&self.points[0]))
    }
}

impl Placement for Ring {
    fn edges(&self) -> &Edges {
        &self.edges
    }

    #[inline]
    fn owner(&self, hash: u64) -> Option<usize> {
        if self.lines.is_empty() {
            return None;
        }
        let (part, within) = part_of(hash & PLACE, self.lines.len());
        let line = &self.lines[part];
        // No branch depends on a comparison: which of them it is cannot be foreseen.
        let passed: usize = line.places.iter().map(|&place| usize::from(place < within)).sum();
        let edge = match line.places.get(passed) {
            Some(&place) if place > within => line.edges[passed],
            _ => self.searched(hash),
        };
        Some(usize::from(edge))
    }

    /// Clockwise from the hash, each edge at its first point. It passes all points if all edges are
    /// asked for.
    fn order(&self, hash: u64) -> impl Iterator<Item = usize> {
        let from = if self.points.is_empty() { 0 } else { self.first_from(hash) };
        let clockwise = self.points[from..].iter().chain(&self.points[..from]);
        Distinct::new(clockwise.map(|&point| number(point)), self.edges.len())
    }
}

/// In which of so many parts a place lies, and where in it.
#[expect(clippy::cast_possible_truncation, reason = "the lower half of 128 bits is wanted")]
const fn part_of(place: u64, parts: usize) -> (usize, u16) {
    let within = (place as u128 * parts as u128) as u64;
    (scaled(place, parts), (within >> 48) as u16)
}

/// A line for each part of the circle, and how many points lie before it.
fn table(points: &[u64]) -> (Vec<Line>, Vec<u32>) {
    let parts = points.len().div_ceil(MEAN);
    let (mut lines, mut before) = (Vec::with_capacity(parts), Vec::with_capacity(parts));
    let mut from = 0;
    for part in 0..parts {
        let of_part = points[from..].iter().map(|&point| (part_of(point & PLACE, parts), point));
        let of_part = of_part.take_while(|((at, _), _)| *at == part);
        before.push(u32::try_from(from).expect("edges and their points have limits far below"));
        let mut line = Line { places: [u16::MAX; ROOM], edges: [0; ROOM] };
        let mut count = 0;
        for ((_, within), point) in of_part {
            if count < ROOM {
                (line.places[count], line.edges[count]) = (within, number(point));
            }
            count += 1;
        }
        from += count;
        let next = points.get(from).unwrap_or(&points[0]);
        line.edges.iter_mut().skip(count).for_each(|edge| *edge = number(*next));
        lines.push(line);
    }
    (lines, before)
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
        let found = ring.points.iter().find(|&&point| point >> 16 >= hash >> 16);
        number(*found.unwrap_or(&ring.points[0]))
    }

    #[test]
    fn lines_have_what_a_search_from_the_start_finds() {
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
    fn an_edges_share_is_the_part_of_all_keys_that_it_owns() {
        let mut rng = Rng::new(3);
        for (count, ordinary) in [(1, 1), (1, 128), (2, 1), (3, 2), (20, 128)] {
            let ring = Ring::with_points(edges(count), ordinary);
            let (shares, drawn) = (ring.shares(), 100_000);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
            let mut found = vec![0.0; count];
            for _ in 0..drawn {
                found[ring.owner(rng.next_u64()).unwrap()] += 1.0 / f64::from(drawn);
            }
            // Six standard deviations.
            let fits = |(share, found): (&f64, &f64)| (share - found).abs() < 0.01;
            assert!(shares.iter().zip(&found).all(fits), "{shares:?} {found:?}");
        }
        assert_eq!(Ring::new(edges(0)).shares(), [0.0; 0]);
        // Equal points: the second has nothing of the circle.
        let ring = Ring::of(named(&["a", "b"]), vec![7 << 16, 7 << 16 | 1]);
        assert_eq!(ring.shares(), [1.0, 0.0]);
    }

    #[test]
    fn a_look_up_reaches_six_bytes_and_a_half_a_point() {
        assert!(Ring::new(edges(100)).bytes() < 100 * 128 * 13 / 2);
        assert_eq!(size_of::<Line>(), 64);
    }

    #[test]
    fn parts_with_more_points_than_a_line_has_room_for_are_searched() {
        let mut rng = Rng::new(2);
        // Seventeen points and more to a part of ten come up among so many.
        let ring = Ring::with_points(edges(100), 128);
        let counts = ring.before.windows(2).map(|two| two[1] - two[0]);
        assert!(counts.max().unwrap() > 16);
        for hash in (0..20_000).map(|_| rng.next_u64()) {
            assert_eq!(ring.owner(hash), ring.order(hash).next());
        }
    }
}
