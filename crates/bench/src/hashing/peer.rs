//! Tables from hashes to edges, ours and those of other crates, behind one trait.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
    hint::black_box,
    time::{Duration, Instant},
};

use anchorhash::AnchorHash;
use hashring::HashRing;
use jumphash::CustomJumpHasher;
use maglev::{ConsistentHasher, Maglev};
use nigh_cluster::hashing::{
    self, Capacity, Edge, Edges, Placement, Ring, Slots, key_hash, point_hash,
};

use super::timed;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ring,
    OurMaglev,
    Hashring,
    Anchorhash,
    Maglev,
    Jumphash,
}

impl Kind {
    pub(super) const ALL: [Self; 6] = [
        Self::Ring,
        Self::OurMaglev,
        Self::Hashring,
        Self::Anchorhash,
        Self::Maglev,
        Self::Jumphash,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ring => "nigh, ring",
            Self::OurMaglev => "nigh, Maglev",
            Self::Hashring => "hashring 0.3",
            Self::Anchorhash => "anchorhash 0.2",
            Self::Maglev => "maglev 0.2",
            Self::Jumphash => "jumphash 0.1",
        }
    }
}

/// What happened to the edges after they were placed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    None,
    /// One came; its number is the next.
    Add,
    /// That of this number left; the others keep theirs.
    Remove(u32),
}

/// A table.
pub(super) struct Peer {
    pub(super) kind: Kind,
    pub(super) lookup: Box<dyn Lookup>,
    /// What a look-up may have to reach, by the layout of the tables.
    pub(super) bytes: usize,
    pub(super) built_in: Duration,
}

/// From a hash to the number of an edge.
pub(super) trait Lookup {
    fn edge(&self, hash: u64) -> usize;

    /// How long so many look-ups take that do not wait for each other. The loop is compiled with the
    /// look-up in it.
    fn overlapped(&self, count: u32) -> Duration {
        timed(|| {
            let mut sum = 0;
            for n in 0..count {
                sum += self.edge(drawn(n.into()));
            }
            black_box(sum);
        })
    }

    /// The same, but no key is known before the last look-up is done.
    fn alone(&self, count: u32) -> Duration {
        timed(|| {
            let mut last = 0;
            for n in 0..count {
                last = self.edge(drawn(u64::from(n) << 32 | last as u64));
            }
            black_box(last);
        })
    }
}

impl<F: Fn(u64) -> usize> Lookup for F {
    #[inline]
    fn edge(&self, hash: u64) -> usize {
        self(hash)
    }
}

/// A hash that nobody foresees, in about a nanosecond: two rounds of multiplication and shift.
#[inline]
pub(super) const fn drawn(n: u64) -> u64 {
    let hash = n.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 32)
}

/// The maglev crate builds a permutation of all slots for each edge first: 8 bytes for each pair.
const PERMUTATIONS_BYTES_MAX: usize = 1 << 30;
/// Slots an edge, as the maglev crate has it by default.
const SLOTS_AN_EDGE: usize = 100;

impl Peer {
    /// The table of so many edges; none if it cannot be built.
    pub(super) fn new(kind: Kind, edges: u32, change: Change) -> Option<Self> {
        let (numbers, start) = (numbers(edges, change), Instant::now());
        let (lookup, bytes) = match kind {
            Kind::Ring => ring(numbers),
            Kind::OurMaglev => our_maglev(numbers),
            Kind::Hashring => hashring(&numbers),
            Kind::Anchorhash => anchorhash(edges, change),
            Kind::Maglev => maglev(numbers, edges)?,
            Kind::Jumphash => jumphash(numbers),
        };
        Some(Self { kind, lookup, bytes, built_in: start.elapsed() })
    }
}

type Table = (Box<dyn Lookup>, usize);

/// The numbers of the edges that are there.
fn numbers(edges: u32, change: Change) -> Vec<u16> {
    let whole = |number| u16::try_from(number).expect("far fewer edges are asked for");
    match change {
        Change::None => (0..whole(edges)).collect(),
        Change::Add => (0..=whole(edges)).collect(),
        Change::Remove(gone) => (0..whole(edges)).filter(|&it| it != whole(gone)).collect(),
    }
}

/// Names sort as numbers do.
fn name(number: u16) -> String {
    format!("edge-{number:05}")
}

/// Ordinary edges of these numbers.
pub(super) fn ordinary(numbers: &[u16]) -> Edges {
    let edge = |&number: &u16| Edge { name: name(number), capacity: Capacity::ORDINARY };
    Edges::new(numbers.iter().map(edge).collect()).expect("names differ, and there are few")
}

fn ring(numbers: Vec<u16>) -> Table {
    let ring = Ring::new(ordinary(&numbers));
    let bytes = ring.bytes();
    (of_places(numbers, move |hash| ring.owner(hash).expect("there are edges")), bytes)
}

fn our_maglev(numbers: Vec<u16>) -> Table {
    let maglev = hashing::Maglev::new(ordinary(&numbers), Slots::Large);
    let bytes = maglev.bytes();
    (of_places(numbers, move |hash| maglev.owner(hash).expect("there are edges")), bytes)
}

/// From places in the list of those that are there to numbers. Only where one has left do they
/// differ; what is timed has none of it.
fn of_places(numbers: Vec<u16>, place: impl Fn(u64) -> usize + 'static) -> Box<dyn Lookup> {
    if numbers.iter().copied().eq(0..=numbers[numbers.len() - 1]) {
        Box::new(place)
    } else {
        Box::new(move |hash| usize::from(numbers[place(hash)]))
    }
}

/// A point of an edge, four bytes as small as can be, where our ring has it.
#[derive(Clone, Copy)]
struct Point {
    edge: u16,
    number: u16,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Ours has the upper 48 bits only.
        state.write_u64(point_hash(&name(self.edge), self.number.into()) & PLACE);
    }
}

const PLACE: u64 = !0xffff;

fn hashring(numbers: &[u16]) -> Table {
    let mut ring = HashRing::with_hasher(BuildHasherDefault::<Ready>::default());
    let points = |&edge: &u16| (0..hashing::POINTS).map(move |number| Point { edge, number });
    ring.batch_add(numbers.iter().flat_map(points).collect());
    let bytes = ring.len() * size_of::<(u64, Point)>();
    let owner =
        move |hash: u64| ring.get(&(hash & PLACE)).map_or(0, |point| usize::from(point.edge));
    (Box::new(owner), bytes)
}

/// It has room for a tenth more edges than there are: who has none can add none.
fn anchorhash(edges: u32, change: Change) -> Table {
    let room = u16::try_from(edges + edges.div_ceil(10)).expect("far fewer edges are asked for");
    let mut anchor: AnchorHash<u64, u16, _> =
        anchorhash::Builder::with_hasher(BuildHasherDefault::<Ready>::default())
            .with_resources(numbers(edges, Change::None))
            .build(room);
    match change {
        Change::None => {}
        Change::Add => anchor.add_resource(numbers(edges, change)[edges as usize]).expect("room"),
        Change::Remove(gone) => {
            let gone = u16::try_from(gone).expect("far fewer edges are asked for");
            anchor.remove_resource(&gone).expect("it is there");
        }
    }
    // Five lists, and a map of pairs that is half full or more, with a byte for each place.
    let bytes = usize::from(room) * (5 * 2 + 5 * 8 / 7);
    let owner = move |hash| anchor.get_resource(hash).map_or(0, |&number| number.into());
    (Box::new(owner), bytes)
}

#[derive(PartialEq, Eq)]
struct Number(u16);

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(key_hash(name(self.0).as_bytes()));
    }
}

/// The size of the table has to stay the same: that for the edges before the change.
fn maglev(numbers: Vec<u16>, edges: u32) -> Option<Table> {
    let slots = edges as usize * SLOTS_AN_EDGE;
    if numbers.len() * slots * size_of::<usize>() > PERMUTATIONS_BYTES_MAX {
        return None;
    }
    let nodes = numbers.into_iter().map(Number);
    let hasher = BuildHasherDefault::<Ready>::default();
    let maglev = Maglev::with_capacity_and_hasher(nodes, slots, hasher);
    let bytes = maglev.capacity() * size_of::<isize>() + size_of_val(maglev.nodes());
    let owner = move |hash: u64| maglev.get(&hash).map_or(0, |number| number.0.into());
    Some((Box::new(owner), bytes))
}

/// It knows numbers alone: if one in the middle leaves, those behind it move up.
fn jumphash(numbers: Vec<u16>) -> Table {
    let count = u32::try_from(numbers.len()).expect("far fewer edges are asked for");
    let jump = CustomJumpHasher::new(Ready::default());
    (of_places(numbers, move |hash: u64| jump.slot(&hash, count) as usize), 0)
}

/// Passes on what is a hash already. What maglev writes before it, a number of 32 bits, makes of one
/// hash two.
#[derive(Clone, Copy, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= key_hash(bytes);
    }

    fn write_u32(&mut self, seed: u32) {
        self.0 = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 ^= hash;
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("kind", &self.kind).field("bytes", &self.bytes).finish()
    }
}
