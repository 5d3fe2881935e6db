//! Zones: pieces of a torus that were made by halving, the dimensions in turn.
//!
//! The bits of a key are dealt out to the coordinates of its point one by one, the first to the first
//! dimension. So a zone is what all keys have in common that lie in it: their first bits. To halve it is to
//! take one bit more, and the zone that it was halved from is the one with a bit less.
//!
//! ```text
//! d = 2   key 0110...   x = 01.. = 0 1   y = 1 0 ..      zone 011: x in [1/4, 1/2), y in [1/2, 1)
//! ```
//! There may be several such spaces, the paper's realities (section 3.2): a zone lies in one of them, a key has
//! the same point in all, and a node another place in each.

use nigh_base::{
    Key,
    wire::{Reader, Wire, WireError},
};

/// The most dimensions.
pub const DIMENSIONS_MAX: usize = 10;
/// The most halvings that make a zone; one in 2^60 of the space is not halved.
pub const DEPTH_MAX: u32 = 60;
/// Bits of a coordinate: so many that the squares of ten of them have a sum below 2^128.
const COORDINATE: u32 = 60;
/// The most realities.
pub const REALITIES_MAX: u8 = 4;
/// The volume of the whole space.
pub const VOLUME: u64 = 1 << DEPTH_MAX;

/// A zone: all keys that begin with these bits, in one reality. `Ord` is the order of their first keys, one
/// reality after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone {
    reality: u8,
    /// The bits, from above; the rest is zero.
    bits: u64,
    depth: u8,
}

const fn mask(depth: u32) -> u64 {
    if depth == 0 { 0 } else { u64::MAX << (u64::BITS - depth) }
}

impl Zone {
    /// The whole space of the first reality.
    pub const WHOLE: Self = Self { reality: 0, bits: 0, depth: 0 };

    /// The same zone in another reality.
    ///
    /// # Panics
    /// If there is none of that number: they are less than [`REALITIES_MAX`].
    pub fn in_reality(self, reality: u8) -> Self {
        assert!(reality < REALITIES_MAX, "0 to 3 are realities");
        Self { reality, ..self }
    }

    /// The zone of that many halvings in which `key` lies, in the first reality.
    ///
    /// # Panics
    /// If those are more than [`DEPTH_MAX`].
    pub fn around(key: Key, depth: u32) -> Self {
        Self::WHOLE.part(key.top(), depth)
    }

    /// The zone of these bits in the same reality.
    fn part(self, bits: u64, depth: u32) -> Self {
        assert!(depth <= DEPTH_MAX, "a zone is halved so often at most");
        let bits = bits & mask(depth);
        Self { bits, depth: u8::try_from(depth).expect("at most 60"), ..self }
    }

    /// In which reality it lies.
    pub const fn reality(self) -> u8 {
        self.reality
    }

    /// How many halvings have made it.
    pub const fn depth(self) -> u32 {
        self.depth as u32
    }

    /// Whether `key` lies in it.
    pub fn has(self, key: Key) -> bool {
        key.top() & mask(self.depth()) == self.bits
    }

    /// Whether all of `other` lies in it.
    pub const fn includes(self, other: Self) -> bool {
        self.reality == other.reality
            && self.depth <= other.depth
            && other.bits & mask(self.depth()) == self.bits
    }

    /// Whether the two have anything in common: then one includes the other.
    pub const fn overlaps(self, other: Self) -> bool {
        self.includes(other) || other.includes(self)
    }

    /// Its halves; none if it is as small as zones get.
    pub fn halves(self) -> Option<[Self; 2]> {
        let depth = self.depth() + 1;
        (depth <= DEPTH_MAX).then(|| {
            let upper = self.bits | 1 << (u64::BITS - depth);
            [self.part(self.bits, depth), self.part(upper, depth)]
        })
    }

    /// What it was halved from; none if it is the whole.
    pub fn parent(self) -> Option<Self> {
        let depth = self.depth().checked_sub(1)?;
        Some(self.part(self.bits, depth))
    }

    /// The other half of what it was halved from.
    pub fn sibling(self) -> Option<Self> {
        let depth = self.depth();
        (depth > 0).then(|| self.part(self.bits ^ 1 << (u64::BITS - depth), depth))
    }

    /// The lowest key in it.
    pub fn first(self) -> Key {
        Key::from(self.bits).shifted_up(Key::BITS - u64::BITS)
    }

    /// Its part of [`VOLUME`].
    pub const fn volume(self) -> u64 {
        VOLUME >> self.depth
    }

    /// What is left of it without `other`: nothing, all of it, or a zone for each halving between the two.
    pub fn without(self, other: Self) -> Vec<Self> {
        if other.includes(self) {
            return Vec::new();
        }
        if !self.includes(other) {
            return vec![self];
        }
        let depths = self.depth() + 1..=other.depth();
        depths.filter_map(|depth| self.part(other.bits, depth).sibling()).collect()
    }
}

/// Of a zone's first byte, the lower bits say how often it was halved, the upper ones its reality.
const DEPTH_BITS: u32 = 6;

impl Wire for Zone {
    const MAX: usize = 9;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.reality << DEPTH_BITS | self.depth);
        out.extend_from_slice(&self.bits.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (first, bits) = (reader.u8()?, reader.u64()?);
        let (reality, depth) = (first >> DEPTH_BITS, first & ((1 << DEPTH_BITS) - 1));
        if u32::from(depth) > DEPTH_MAX || bits & !mask(depth.into()) != 0 {
            return Err(WireError::Impossible { what: "zone" });
        }
        Ok(Self { reality, bits, depth })
    }
}

/// What is left of `zone` without any of `others`.
pub(super) fn rest(zone: Zone, others: impl Iterator<Item = Zone>) -> Vec<Zone> {
    others
        .fold(vec![zone], |left, other| left.into_iter().flat_map(|it| it.without(other)).collect())
}

/// Puts halves that belong together into one, and the zones in order.
pub(super) fn merge(zones: &mut Vec<Zone>) {
    zones.sort_unstable();
    while let Some(at) = (1..zones.len()).find(|&at| zones[at - 1].sibling() == Some(zones[at])) {
        zones.remove(at);
        zones[at - 1] = zones[at - 1].parent().expect("a half is half of something");
    }
}

/// The point at which the node of that key comes into a reality: in the first one its key, in each further one
/// the key turned on by a quarter, whose first bits have nothing to do with each other.
pub(super) fn entry(key: Key, reality: u8) -> Key {
    let turn = Key::BITS / u32::from(REALITIES_MAX) * u32::from(reality);
    if turn == 0 { key } else { key.shifted_up(turn).xor(key.shifted_down(Key::BITS - turn)) }
}

/// Where a key lies: its coordinates, as fractions of 2^60.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point([u64; DIMENSIONS_MAX]);

/// A zone by its sides: in each dimension where it begins, and how often it was halved there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides([(u64, u32); DIMENSIONS_MAX]);

/// A torus of so many dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    dimensions: usize,
}

/// Whether two sides overlap, are next to each other, or neither.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Along {
    Overlap,
    Abut,
    Apart,
}

fn along((a, a_bits): (u64, u32), (b, b_bits): (u64, u32)) -> Along {
    let coarse = a_bits.min(b_bits);
    if a >> (COORDINATE - coarse) == b >> (COORDINATE - coarse) {
        return Along::Overlap;
    }
    let end = |from: u64, bits: u32| from.wrapping_add(1 << (COORDINATE - bits)) & (VOLUME - 1);
    if end(a, a_bits) == b || end(b, b_bits) == a { Along::Abut } else { Along::Apart }
}

impl Space {
    /// The torus of so many dimensions.
    ///
    /// # Panics
    /// If it has none, or more than [`DIMENSIONS_MAX`].
    pub fn new(dimensions: usize) -> Self {
        assert!((1..=DIMENSIONS_MAX).contains(&dimensions), "1 to 10 dimensions");
        Self { dimensions }
    }

    /// How many dimensions it has.
    pub const fn dimensions(self) -> usize {
        self.dimensions
    }

    /// Where a key lies.
    pub fn point(self, key: Key) -> Point {
        let bytes = key.bytes();
        let mut coordinates = [0; DIMENSIONS_MAX];
        let bits = (Key::BITS as usize).min(self.dimensions * COORDINATE as usize);
        for bit in 0..bits {
            let is_set = u64::from(bytes[bit / 8] >> (7 - bit % 8) & 1);
            let place = COORDINATE as usize - 1 - bit / self.dimensions;
            coordinates[bit % self.dimensions] |= is_set << place;
        }
        Point(coordinates)
    }

    /// Where a zone lies.
    pub fn sides(self, zone: Zone) -> Sides {
        let mut sides = [(0, 0); DIMENSIONS_MAX];
        for bit in 0..zone.depth() {
            let (from, halvings) = &mut sides[bit as usize % self.dimensions];
            *halvings += 1;
            *from |= (zone.bits >> (u64::BITS - 1 - bit) & 1) << (COORDINATE - *halvings);
        }
        Sides(sides)
    }

    /// The square of the distance from a point to the nearest point of a zone.
    pub fn distance(self, sides: &Sides, point: &Point) -> u128 {
        let axes = sides.0.iter().zip(point.0).take(self.dimensions);
        axes.map(|(&(from, bits), at)| {
            let width = 1 << (COORDINATE - bits);
            let behind = at.wrapping_sub(from) & (VOLUME - 1);
            if behind < width {
                return 0;
            }
            let off = u128::from((behind - width + 1).min(VOLUME - behind));
            off * off
        })
        .sum()
    }

    /// Whether two zones are neighbours: they overlap in all dimensions but one, in which they are next to
    /// each other. Section 2 of the paper.
    pub fn are_neighbours(self, a: &Sides, b: &Sides) -> bool {
        let mut next_to = 0;
        for (&a, &b) in a.0.iter().zip(&b.0).take(self.dimensions) {
            match along(a, b) {
                Along::Overlap => {}
                Along::Abut => next_to += 1,
                Along::Apart => return false,
            }
        }
        next_to == 1
    }

    /// The zone of the same form that is next to `zone` along a dimension; none if that one goes all round.
    fn beside(self, zone: Zone, dimension: usize, above: bool) -> Option<Zone> {
        let Sides(mut sides) = self.sides(zone);
        let (from, bits) = sides[dimension];
        let width = 1 << (COORDINATE - bits);
        let moved = if above { from.wrapping_add(width) } else { from.wrapping_sub(width) };
        sides[dimension].0 = moved & (VOLUME - 1);
        let mut all = 0;
        for bit in 0..zone.depth() as usize {
            let coordinate = sides[bit % self.dimensions].0;
            let place = COORDINATE as usize - 1 - bit / self.dimensions;
            all |= (coordinate >> place & 1) << (u64::BITS as usize - 1 - bit);
        }
        (bits > 0).then(|| zone.part(all, zone.depth()))
    }

    /// Goes along all faces of `zone`: `enters` says of a piece of the space that touches it whether to go
    /// into its halves that touch it.
    pub(super) fn around(self, zone: Zone, mut enters: impl FnMut(Zone) -> bool) {
        for dimension in 0..self.dimensions {
            for above in [false, true] {
                let mut pieces: Vec<Zone> =
                    self.beside(zone, dimension, above).into_iter().collect();
                while let Some(piece) = pieces.pop() {
                    if !enters(piece) {
                        continue;
                    }
                    let Some([lower, upper]) = piece.halves() else { continue };
                    match piece.depth() as usize % self.dimensions == dimension {
                        true => pieces.push(if above { lower } else { upper }),
                        false => pieces.extend([upper, lower]),
                    }
                }
            }
        }
    }

    /// Pieces of the space that touch `zone` and lie in none of `claims`, each once, `most` of them at most.
    pub(super) fn gaps(self, zone: Zone, claims: &[Zone], most: usize) -> Vec<Zone> {
        let mut gaps = Vec::new();
        self.around(zone, |piece| {
            if gaps.len() >= most || claims.iter().any(|it| it.includes(piece)) {
                return false;
            }
            let is_parted = claims.iter().any(|it| piece.includes(*it));
            if !is_parted && !gaps.contains(&piece) {
                gaps.push(piece);
            }
            is_parted
        });
        gaps
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;

    fn zone(text: &str) -> Zone {
        let bits = if text.is_empty() { 0 } else { u64::from_str_radix(text, 2).unwrap() };
        let depth = u32::try_from(text.len()).unwrap();
        Zone::WHOLE.part(if depth == 0 { 0 } else { bits << (64 - depth) }, depth)
    }

    /// A space that was halved at random until there are so many zones.
    pub(in crate::locate::can) fn halved(count: usize, rng: &mut Rng) -> Vec<Zone> {
        let mut zones = vec![Zone::WHOLE];
        while zones.len() < count {
            let key = Key::of(&rng.next_u64().to_be_bytes());
            let at = zones.iter().position(|it| it.has(key)).unwrap();
            let halves = zones.swap_remove(at).halves().unwrap();
            zones.extend(halves);
        }
        zones
    }

    #[test]
    fn a_zone_its_halves_and_what_is_between() {
        let [lower, upper] = zone("01").halves().unwrap();
        assert_eq!((lower, upper), (zone("010"), zone("011")));
        assert_eq!(lower.sibling(), Some(upper));
        assert_eq!((upper.parent(), Zone::WHOLE.parent()), (Some(zone("01")), None));
        assert!(zone("01").includes(upper) && !upper.includes(zone("01")));
        assert!(upper.overlaps(zone("01")) && !upper.overlaps(lower));
        assert_eq!(zone("").without(zone("011")), [zone("1"), zone("00"), zone("010")]);
        assert_eq!(zone("01").without(zone("0")), []);
        assert_eq!(zone("01").without(zone("1")), [zone("01")]);
        let mut zones = vec![zone("011"), zone("1"), zone("00"), zone("010")];
        merge(&mut zones);
        assert_eq!(zones, [Zone::WHOLE]);
        assert_eq!(zone("011").volume() * 8, VOLUME);
        assert!(zone("011").has(zone("0111").first()) && !zone("011").has(zone("010").first()));
        let smallest = Zone::around(Key::MAX, DEPTH_MAX);
        assert_eq!((smallest.volume(), smallest.halves()), (1, None));
    }

    #[test]
    fn zones_of_two_realities_have_nothing_in_common() {
        let (here, there) = (zone("01"), zone("01").in_reality(1));
        assert!(!here.overlaps(there) && !here.includes(there) && here != there);
        assert_eq!(there.sibling(), Some(zone("00").in_reality(1)));
        assert!(there.halves().unwrap().iter().all(|it| there.includes(*it)));
        assert_eq!(here.without(there), [here]);
        let mut zones = vec![zone("01"), zone("00").in_reality(1)];
        merge(&mut zones);
        assert_eq!(zones.len(), 2);
        // What is beside a zone is in its own.
        let gaps = Space::new(2).gaps(there, &[there], 99);
        assert!(gaps.len() > 1 && gaps.iter().all(|it| it.reality() == 1), "{gaps:?}");
    }

    #[test]
    fn bits_are_dealt_out_to_the_dimensions_in_turn() {
        let space = Space::new(2);
        // x = 01.., y = 1..: the second quarter and the upper half.
        let Sides(sides) = space.sides(zone("011"));
        assert_eq!(sides[..2], [(VOLUME / 4, 2), (VOLUME / 2, 1)]);
        let Point(point) = space.point(zone("0111").first());
        assert_eq!(point[..2], [VOLUME / 4, VOLUME * 3 / 4]);
        let inside = space.point(zone("01101").first());
        assert_eq!(space.distance(&Sides(sides), &inside), 0);
        // A quarter to the left, the short way round in the other dimension.
        let below = space.point(zone("0000").first());
        let off = u128::from(VOLUME / 4);
        assert_eq!(space.distance(&Sides(sides), &below), off * off + 1);
    }

    #[test]
    fn neighbours_are_those_whose_sides_meet_in_one_dimension_alone() {
        let space = Space::new(2);
        let are = |a, b| space.are_neighbours(&space.sides(zone(a)), &space.sides(zone(b)));
        assert!(are("0", "1") && are("00", "01") && are("00", "10"));
        // Across a corner, or both at once: no.
        assert!(!are("00", "11"));
        assert!(!are("0", "0") && !are("0", "01"));
        // Round the torus: x in the first and in the last quarter.
        assert!(are("0000", "1010"));
        assert!(!are("0000", "1000"));
    }

    #[test]
    fn gaps_are_what_is_beside_a_zone_and_nobodys() {
        for dimensions in [1, 2, 3, 5, 10] {
            let (space, mut rng) = (Space::new(dimensions), Rng::new(dimensions as u64));
            let zones = halved(200, &mut rng);
            let sides: Vec<Sides> = zones.iter().map(|&it| space.sides(it)).collect();
            for (place, &me) in zones.iter().enumerate() {
                assert_eq!(space.gaps(me, &zones, 99), []);
                // Exactly its neighbours are missed.
                let other = rng.index(zones.len());
                let mut some = zones.clone();
                some.remove(other);
                let is_missed = !space.gaps(me, &some, 99).is_empty();
                let is_neighbour = space.are_neighbours(&sides[place], &sides[other]);
                assert_eq!(is_missed, is_neighbour && other != place, "{me:?} {:?}", zones[other]);
            }
        }
    }

    #[test]
    fn from_each_zone_some_neighbour_is_nearer_to_a_point_beyond_it() {
        for dimensions in [1, 2, 4, 7] {
            let (space, mut rng) = (Space::new(dimensions), Rng::new(dimensions as u64));
            let all: Vec<Sides> = halved(150, &mut rng).iter().map(|&it| space.sides(it)).collect();
            for _ in 0..200 {
                let point = space.point(Key::of(&rng.next_u64().to_be_bytes()));
                for me in &all {
                    let mine = space.distance(me, &point);
                    let neighbours = all.iter().filter(|it| space.are_neighbours(me, it));
                    let nearest = neighbours.map(|it| space.distance(it, &point)).min();
                    assert!(mine == 0 || nearest.unwrap() < mine);
                }
            }
        }
    }

    #[test]
    fn a_zone_has_one_form() {
        for it in [Zone::WHOLE, zone("0101"), Zone::around(Key::MAX, DEPTH_MAX).in_reality(3)] {
            assert_eq!(Zone::decode(&it.encode()), Ok(it));
        }
        assert_eq!(zone("1").in_reality(2).encode()[..2], [0b1000_0001, 0x80]);
        let refused = Err(WireError::Impossible { what: "zone" });
        assert_eq!(Zone::decode(&[61, 0, 0, 0, 0, 0, 0, 0, 0]), refused);
        assert_eq!(Zone::decode(&[1, 0xc0, 0, 0, 0, 0, 0, 0, 0]), refused);
    }
}
