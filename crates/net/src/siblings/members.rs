//! Which edges a cluster has, and who of them owns what.

use std::{net::SocketAddr, sync::Arc};

use nigh_cluster::{
    hashing::{self, Capacity, Edge, Edges, Placement, Ring},
    hot::Marks,
};
use parking_lot::Mutex;

use crate::{
    clock::Monotonic,
    cluster::{identity::Identity, name::Name},
};

/// Edges of one cluster: so many has [`nigh_edge::upstream::Upstream`].
pub const MEMBERS_MAX: usize = nigh_edge::upstream::ORIGINS_MAX;

/// The greatest capacity of an edge, beside one of which nothing else is said: what takes more should be
/// several.
pub const CAPACITY_MAX: u32 = 100;

/// An edge of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Name,
    /// Where its siblings come in.
    pub address: SocketAddr,
    /// Its share of the keys, beside the others'.
    pub capacity: u32,
}

/// The edges of a cluster and who of them owns what; shared by all cores, and never changed.
#[derive(Debug)]
pub struct Members {
    pub(super) cluster: Name,
    /// By name.
    pub(super) list: Vec<Member>,
    pub(super) own: usize,
    pub(super) ring: Ring,
    /// Which of the others' objects are in demand here.
    marks: Mutex<Marks>,
    pub(super) clock: Monotonic,
}

impl Member {
    fn edge(&self) -> Edge {
        let percent = u16::try_from(self.capacity.saturating_mul(100)).ok();
        let capacity = percent.and_then(|percent| Capacity::of_percent(percent).ok());
        Edge { name: self.name.to_string(), capacity: capacity.expect("1 to CAPACITY_MAX") }
    }
}

impl Members {
    /// The edges of `cluster`, of which the one called `own` is this one.
    ///
    /// # Panics
    /// If it is not among them, two have one name, one has no capacity or more than [`CAPACITY_MAX`], or
    /// they are more than [`MEMBERS_MAX`]: whoever reads settings refuses that.
    pub fn new(cluster: &Name, own: &Name, mut list: Vec<Member>) -> Arc<Self> {
        assert!(list.len() <= MEMBERS_MAX, "a cluster has at most {MEMBERS_MAX} edges");
        list.sort_by(|one, other| one.name.cmp(&other.name));
        let at = list.iter().position(|member| member.name == *own).expect("it is one of them");
        let edges = Edges::new(list.iter().map(Member::edge).collect());
        let ring = Ring::new(edges.expect("names differ, and capacities have bounds"));
        let (cluster, marks, clock) = (cluster.clone(), Mutex::default(), Monotonic::start());
        Arc::new(Self { cluster, list, own: at, ring, marks, clock })
    }

    /// The names of the edges that should serve what is stored under `key`, its owner first.
    pub fn order(&self, key: &[u8]) -> impl Iterator<Item = &str> {
        self.ring.order(hash_of(key, 0)).map(|at| self.list[at].name.as_str())
    }

    /// This edge's name.
    pub(crate) fn own(&self) -> &str {
        self.list[self.own].name.as_str()
    }

    /// Whether an edge of this name is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|member| member.name.as_str() == name)
    }

    /// Whether who has shown a certificate of the cluster's authority is one of them.
    pub(crate) fn believes(&self, identity: &Identity) -> bool {
        self.has(identity.name.as_str())
    }

    /// Marks that something of another edge's is asked for; whether it is in demand.
    pub(crate) fn is_hot(&self, hash: u64) -> bool {
        self.marks.lock().is_hot(hash, self.clock.now())
    }
}

/// Where an object lies among the edges, or a slice of it. The first slice is where the object is.
pub(crate) fn hash_of(key: &[u8], slice: u64) -> u64 {
    match slice {
        0 => hashing::key_hash(key),
        // No URI has a space.
        later => hashing::key_hash(&[key, b" ", later.to_string().as_bytes()].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, cluster::testing};

    fn members() -> Arc<Members> {
        let member = |name: &str, host: u8| Member {
            name: testing::name(name),
            address: ([127, 0, 0, host], 1).into(),
            capacity: 1,
        };
        let list = vec![member("b", 1), member("a", 2)];
        Members::new(&testing::name("eu"), &testing::name("b"), list)
    }

    #[test]
    fn edges_are_in_the_order_of_their_names_however_they_are_listed() {
        let members = members();
        assert_eq!((members.own(), members.own, members.list[0].name.as_str()), ("b", 1, "a"));
        assert_eq!(members.order(b"key").count(), 2);
    }

    #[test]
    fn who_shows_a_certificate_is_believed_if_it_is_one_of_them() {
        let (members, now) = (members(), clock::now());
        let authority = testing::authority(now);
        for (name, believed) in [("a", true), ("b", true), ("c", false)] {
            let shown = testing::edge(&authority, name, now);
            assert_eq!(members.believes(shown.identity()), believed, "{name}");
        }
    }

    #[test]
    fn the_first_slice_lies_where_its_object_does_and_others_where_their_numbers_say() {
        let key = b"http://example.com/a";
        assert_eq!(hash_of(key, 0), hashing::key_hash(key));
        assert_eq!(hash_of(key, 12), hashing::key_hash(b"http://example.com/a 12"));
    }
}
