//! Networks as they are before anybody fails: who lies where, and whom each knows.
//!
//! Places are numbers of 32 bits, of which a network of 2^k nodes fills the upper k if it is full. What
//! a node knows follows section 2 of the paper, with one neighbour for each bit:
//!
//! - tree, xor and hybrid: for each bit one node at random of those that share all bits above it and
//!   differ in it (Plaxton and others; Kademlia with buckets of one; Pastry with digits of one bit);
//! - hypercube: the node that differs in this bit alone (CAN with as many dimensions as bits);
//! - ring: for each i one node at random of those 2^i to 2^(i+1) ahead, and the next one (Chord, with
//!   the freedom that the paper gives its fingers).

use std::collections::BTreeSet;

use nigh_base::Rng;

/// Places have so many bits.
pub(super) const BITS: u32 = u32::BITS;

/// A node: its number in the order of places.
pub(super) type Node = u32;

/// Which neighbours there are, and which of them may be the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Geometry {
    Tree,
    Hypercube,
    Ring,
    Xor,
    Hybrid,
    Butterfly,
}

impl Geometry {
    pub(super) const ALL: [Self; 6] =
        [Self::Ring, Self::Hypercube, Self::Xor, Self::Hybrid, Self::Tree, Self::Butterfly];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Hypercube => "hypercube",
            Self::Ring => "ring",
            Self::Xor => "xor",
            Self::Hybrid => "hybrid",
            Self::Butterfly => "butterfly",
        }
    }
}

/// Where nodes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// At every place of as many bits as it takes: closed forms are about these.
    All,
    /// At random.
    Random,
}

/// Neighbours on the circle of places, beside those of the geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequential {
    /// None.
    Without,
    /// One on either side, used as all others are: whoever is nearest to the target in the metric of
    /// the geometry.
    Two,
    /// Two on either side, used in the same way.
    Four,
    /// Eight on either side, and a way that finds nobody nearer in its own metric goes on along the
    /// circle.
    Sixteen,
}

impl Sequential {
    pub(super) const fn a_side(self) -> u32 {
        match self {
            Self::Without => 0,
            Self::Two => 1,
            Self::Four => 2,
            Self::Sixteen => 8,
        }
    }
}

/// What every node knows.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    pub(super) geometry: Geometry,
    pub(super) sequential: Sequential,
    places: Vec<u32>,
    /// The neighbours of all nodes, one node's after the other's.
    neighbours: Vec<Node>,
    /// Where each node's begin, and where the last one's end.
    begins: Vec<usize>,
}

impl Overlay {
    /// A network of 2^`doublings` nodes.
    ///
    /// # Panics
    /// If it is a butterfly, whose neighbours are elsewhere, or if a hypercube is not full.
    pub(super) fn new(
        geometry: Geometry,
        places: Places,
        sequential: Sequential,
        doublings: u32,
        rng: &mut Rng,
    ) -> Self {
        assert!(geometry != Geometry::Hypercube || places == Places::All, "a cube has no gaps");
        let places = lie(places, doublings, rng);
        let mut overlay =
            Self { geometry, sequential, places, neighbours: Vec::new(), begins: vec![0] };
        let mut row = Vec::new();
        for node in 0..overlay.nodes() {
            overlay.know(node, BITS - doublings, &mut row, rng);
            row.sort_unstable();
            row.dedup();
            row.retain(|&other| other != node);
            overlay.neighbours.append(&mut row);
            overlay.begins.push(overlay.neighbours.len());
        }
        overlay
    }

    pub(super) fn nodes(&self) -> u32 {
        u32::try_from(self.places.len()).expect("places have 32 bits")
    }

    pub(super) fn place(&self, node: Node) -> u32 {
        self.places[node as usize]
    }

    pub(super) fn neighbours(&self, node: Node) -> &[Node] {
        let begin = self.begins[node as usize];
        &self.neighbours[begin..self.begins[node as usize + 1]]
    }

    /// Puts whom `node` knows into `row`. Bits below `lowest` tell nobody apart in a full network.
    fn know(&self, node: Node, lowest: u32, row: &mut Vec<Node>, rng: &mut Rng) {
        let place = self.place(node);
        match self.geometry {
            Geometry::Hypercube => {
                row.extend((lowest..BITS).map(|bit| self.first_from(u64::from(place ^ 1 << bit))));
            }
            Geometry::Ring => {
                let fingers = (0..BITS).filter_map(|bit| {
                    let begin = (u64::from(place) + (1 << bit)) % CIRCLE;
                    self.any_from(begin, 1 << bit, rng)
                });
                row.extend(fingers);
                row.push(self.beside(node, 1));
            }
            Geometry::Tree | Geometry::Xor | Geometry::Hybrid => {
                let others = (0..BITS).filter_map(|bit| {
                    let begin = (place ^ 1 << bit) >> bit << bit;
                    self.any_from(begin.into(), 1 << bit, rng)
                });
                row.extend(others);
            }
            Geometry::Butterfly => unreachable!("its neighbours are found on the way"),
        }
        let sides = 1..=i64::from(self.sequential.a_side());
        row.extend(sides.flat_map(|steps| [self.beside(node, steps), self.beside(node, -steps)]));
    }

    /// The node so many steps ahead on the circle.
    fn beside(&self, node: Node, steps: i64) -> Node {
        let ahead = (i64::from(node) + steps).rem_euclid(i64::from(self.nodes()));
        Node::try_from(ahead).expect("there are fewer nodes than places")
    }

    /// The first node at this place or behind it, going round.
    fn first_from(&self, place: u64) -> Node {
        first_from(&self.places, place) % self.nodes()
    }

    /// A node at random of those in an arc of this length, which may go round.
    fn any_from(&self, begin: u64, length: u64, rng: &mut Rng) -> Option<Node> {
        let end = begin + length;
        let first = first_from(&self.places, begin);
        let last = if end <= CIRCLE {
            first_from(&self.places, end)
        } else {
            self.nodes() + first_from(&self.places, end - CIRCLE)
        };
        let count = u64::from(last.checked_sub(first)?);
        let chosen = (count > 0).then(|| u64::from(first) + rng.below(count))?;
        Node::try_from(chosen % u64::from(self.nodes())).ok()
    }
}

/// How long the circle of places is.
pub(super) const CIRCLE: u64 = 1 << BITS;

/// The number of the first node at `place` or behind it; that of the end if there is none.
pub(super) fn first_from(places: &[u32], place: u64) -> Node {
    let first = places.partition_point(|&it| u64::from(it) < place);
    Node::try_from(first).expect("places have 32 bits")
}

/// Where 2^`doublings` nodes lie, in order.
pub(super) fn lie(places: Places, doublings: u32, rng: &mut Rng) -> Vec<u32> {
    let count = 1u32 << doublings;
    match places {
        Places::All => (0..count).map(|number| number << (BITS - doublings)).collect(),
        Places::Random => {
            let mut drawn = BTreeSet::new();
            while drawn.len() < count as usize {
                drawn.insert(u32::try_from(rng.below(CIRCLE)).expect("below 2^32"));
            }
            drawn.into_iter().collect()
        }
    }
}
