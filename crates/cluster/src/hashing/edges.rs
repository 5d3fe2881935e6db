//! The edges among which keys are placed: names, capacities, and the limits of both.

use super::ring::POINTS;

/// More edges than anybody runs; the ring has 16 bits for the number of one.
pub const EDGES_MAX: usize = 1 << 16;
/// A host's name is no longer (RFC 1035, section 2.3.4).
pub const NAME_BYTES_MAX: usize = 255;
/// Points on a ring in all: those of [`EDGES_MAX`] ordinary edges. They take 100 MiB.
pub const POINTS_MAX: usize = EDGES_MAX * POINTS as usize;

/// Somebody who serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Its name: all that decides where it lies. 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// How much it takes.
    pub capacity: Capacity,
}

/// How much an edge takes, in percent of an ordinary one. It is a number of its own, not a share of
/// all: what one edge takes must not move the points of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capacity(u16);

impl Capacity {
    /// That of an edge of which nothing else was said.
    pub const ORDINARY: Self = Self(100);
    /// A hundred ordinary edges. One that takes more should be several.
    pub const PERCENT_MAX: u16 = 10_000;

    /// So many percent of an ordinary edge.
    ///
    /// # Errors
    /// If it is none or more than [`Self::PERCENT_MAX`].
    pub fn of_percent(percent: u16) -> Result<Self, Error> {
        let allowed = (1..=Self::PERCENT_MAX).contains(&percent);
        if allowed { Ok(Self(percent)) } else { Err(Error::Capacity { percent }) }
    }

    /// In percent of an ordinary edge.
    pub const fn percent(self) -> u16 {
        self.0
    }

    /// How many points an edge of this capacity has if an ordinary one has `ordinary`; one at least.
    pub(super) fn points(self, ordinary: u16) -> u32 {
        ((u32::from(self.0) * u32::from(ordinary) + 50) / 100).max(1)
    }
}

/// Edges in the order of their names, no two of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges {
    edges: Vec<Edge>,
    percent_in_all: u64,
}

impl Edges {
    /// Puts edges into the order of their names. There may be none.
    ///
    /// # Errors
    /// If a name is empty, too long or there twice, or if there are too many edges, or so large ones
    /// that they would have too many points. The settings or the members are wrong then, and trying
    /// again does not help.
    pub fn new(mut edges: Vec<Edge>) -> Result<Self, Error> {
        if edges.len() > EDGES_MAX {
            return Err(Error::TooMany { edges: edges.len() });
        }
        edges.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for edge in &edges {
            if !(1..=NAME_BYTES_MAX).contains(&edge.name.len()) {
                return Err(Error::Name { bytes: edge.name.len() });
            }
        }
        if let Some(pair) = edges.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::Twice { name: pair[0].name.clone() });
        }
        let points: u64 = edges.iter().map(|edge| u64::from(edge.capacity.points(POINTS))).sum();
        if points > POINTS_MAX as u64 {
            return Err(Error::TooLarge { points });
        }
        let percent_in_all = edges.iter().map(|edge| u64::from(edge.capacity.percent())).sum();
        Ok(Self { edges, percent_in_all })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// In the order of their names: an edge's place is its number in every placement.
    pub fn as_slice(&self) -> &[Edge] {
        &self.edges
    }

    /// The number of the edge of this name.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.edges.binary_search_by(|edge| edge.name.as_str().cmp(name)).ok()
    }

    /// The capacities of all.
    pub(super) const fn percent_in_all(&self) -> u64 {
        self.percent_in_all
    }
}

/// Why edges cannot be placed. All are for whoever writes the settings or admits members.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A name is empty or too long.
    #[error("an edge's name has {bytes} bytes, and 1 to {NAME_BYTES_MAX} are allowed")]
    Name {
        /// How long it is.
        bytes: usize,
    },
    /// Two edges have one name.
    #[error("two edges are called `{name}`")]
    Twice {
        /// Their name.
        name: String,
    },
    /// There are more edges than are supported.
    #[error("{edges} edges are more than {EDGES_MAX}")]
    TooMany {
        /// How many there are.
        edges: usize,
    },
    /// The capacities are too large in all.
    #[error(
        "the capacities of all edges ask for {points} points on the ring, and {POINTS_MAX} are allowed: give each edge less"
    )]
    TooLarge {
        /// How many points they ask for.
        points: u64,
    },
    /// A capacity is none, or too much for one edge.
    #[error("a capacity of {percent} % is outside of 1 to {} %", Capacity::PERCENT_MAX)]
    Capacity {
        /// What was asked for.
        percent: u16,
    },
    /// The factor above which requests spill makes no sense.
    #[error(
        "spill above {asked} times the fair share: it has to be above 1 and at most {}",
        super::SPILL_ABOVE_MAX
    )]
    SpillAbove {
        /// What was asked for.
        asked: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(name: &str, percent: u16) -> Edge {
        Edge { name: name.to_owned(), capacity: Capacity::of_percent(percent).unwrap() }
    }

    #[test]
    fn edges_are_numbered_by_their_names_whatever_order_they_came_in() {
        let edges = Edges::new(vec![edge("c", 100), edge("a", 50), edge("b", 200)]).unwrap();
        let names: Vec<_> = edges.as_slice().iter().map(|edge| edge.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((edges.number("b"), edges.number("d")), (Some(1), None));
        assert_eq!(edges.percent_in_all(), 350);
    }

    #[test]
    fn names_that_are_empty_long_or_there_twice_are_refused() {
        let refused = |edges| Edges::new(edges).unwrap_err().to_string();
        assert_eq!(refused(vec![edge("a", 1), edge("a", 2)]), "two edges are called `a`");
        assert_eq!(
            refused(vec![edge("", 1)]),
            "an edge's name has 0 bytes, and 1 to 255 are allowed"
        );
        assert!(refused(vec![edge(&"x".repeat(256), 1)]).contains("256 bytes"));
    }

    #[test]
    fn capacities_have_limits_one_by_one_and_in_all() {
        assert!(Capacity::of_percent(0).is_err());
        assert!(Capacity::of_percent(10_001).is_err());
        let large = |count: usize| {
            Edges::new((0..count).map(|n| edge(&n.to_string(), Capacity::PERCENT_MAX)).collect())
        };
        // Each counts as a hundred ordinary ones.
        assert!(large(655).is_ok());
        assert!(large(656).unwrap_err().to_string().contains("give each edge less"));
        let many = (0..=EDGES_MAX).map(|n| edge(&n.to_string(), 1)).collect();
        assert_eq!(Edges::new(many).unwrap_err().to_string(), "65537 edges are more than 65536");
    }

    #[test]
    fn points_are_in_proportion_to_capacity_and_at_least_one() {
        let points = |percent| Capacity::of_percent(percent).unwrap().points(POINTS);
        assert_eq!([1, 50, 100, 250, 10_000].map(points), [1, 64, 128, 320, 12_800]);
        assert_eq!(Capacity::of_percent(1).unwrap().points(1), 1);
    }
}
