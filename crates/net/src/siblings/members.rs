//! Which edges a cluster has, how each stands, and who of them owns what: a *view*. A view never changes
//! but for loads; what comes after it knows the rings before.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use nigh_base::Time;
use nigh_cluster::{
    hashing::{self, Capacity, Edge, Edges, Loads, Placement, Ring, Spill},
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

/// Rings before the one that serves, which are remembered, and for how long. What was not asked for by
/// then is seldom worth a question.
const EARLIER_MAX: usize = 4;
const EARLIER_TIME: Duration = Duration::from_hours(1);

/// Below so many requests under way an owner is not passed by: the mean of a handful says nothing.
const LOAD_FLOOR: u64 = 16;

/// After so many questions in a row that found nothing, earlier owners are asked no more: what they had is
/// handed over, or gone.
const FRUITLESS_MAX: u32 = 1000;

/// Why edges make a ring.
const BOUNDED: &str = "names differ, and capacities have bounds";

/// Keys that were forgotten one by one and are remembered for that: some MiB at most.
const FORGOTTEN_MAX: usize = 1 << 16;

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

/// What an edge is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// For what it owns: it is on the ring.
    Serves,
    /// For what it holds, until it has left.
    Drains,
    /// For nothing.
    Away,
}

/// The edges of a cluster, how they stand, and who of them owns what; shared by all cores.
#[derive(Debug)]
pub struct Members {
    pub(super) cluster: Name,
    /// What this edge is called.
    name: Name,
    /// By name.
    pub(super) list: Vec<Member>,
    standings: Vec<Standing>,
    /// This edge, if it is one of them.
    pub(super) own: Option<usize>,
    ring: Arc<Ring>,
    /// The places in `list` of those on the ring, in its order.
    on_ring: Vec<usize>,
    /// Rings before, the latest first.
    earlier: Vec<Earlier>,
    /// What each said last of its load, in their order.
    loads: Vec<AtomicU32>,
    lasting: Arc<Lasting>,
}

/// A ring that served once.
#[derive(Clone, Debug)]
struct Earlier {
    ring: Arc<Ring>,
    ended: Time,
}

/// What outlives a view.
#[derive(Debug)]
struct Lasting {
    /// Which of the others' objects are in demand here.
    marks: Mutex<Marks>,
    clock: Monotonic,
    /// Questions to earlier owners since one found something.
    fruitless: AtomicU32,
    distrust: Mutex<Distrust>,
    /// Requests that are under way here.
    under_way: AtomicU64,
    /// When an owner has too much to do.
    spill: Spill,
}

impl Lasting {
    fn begin(spill: Spill) -> Arc<Self> {
        Arc::new(Self {
            marks: Mutex::default(),
            clock: Monotonic::start(),
            fruitless: AtomicU32::new(0),
            distrust: Mutex::default(),
            under_way: AtomicU64::new(0),
            spill,
        })
    }
}

/// What earlier owners are not asked for: this edge was told to forget it, and they perhaps were not.
#[derive(Debug, Default)]
struct Distrust {
    /// Hashes of what was forgotten one by one.
    forgotten: BTreeSet<u64>,
    /// When everything was, or too much: rings that had ended by then count for nothing.
    since: Time,
}

/// A request that is under way, and counts as this edge's load.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Lasting>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Member {
    /// Whether a cluster can have these edges: they are not too many, no two have one name, and capacities
    /// are within their bounds.
    pub fn make_a_cluster(list: &[Self]) -> bool {
        let names: BTreeSet<_> = list.iter().map(|member| &member.name).collect();
        let have_capacity = list.iter().all(|it| (1..=CAPACITY_MAX).contains(&it.capacity));
        have_capacity && list.len() <= MEMBERS_MAX && names.len() == list.len()
    }

    fn edge(&self) -> Edge {
        let percent = u16::try_from(self.capacity.saturating_mul(100)).ok();
        let capacity = percent.and_then(|percent| Capacity::of_percent(percent).ok());
        Edge { name: self.name.to_string(), capacity: capacity.expect("1 to CAPACITY_MAX") }
    }
}

impl Members {
    /// The edges of `cluster`, of which the one called `own` is this one. All are on the ring; before, all
    /// but this one were, which has just begun.
    ///
    /// # Panics
    /// If they do not make a cluster ([`Member::make_a_cluster`]), or this one is not among them: whoever
    /// reads settings refuses that.
    pub fn new(cluster: &Name, own: &Name, list: Vec<Member>, spill: Spill) -> Arc<Self> {
        let standing = |_: &Name| Standing::Serves;
        let mut first = Self::of(cluster, own, list, standing, Lasting::begin(spill));
        assert!(first.own.is_some(), "it is one of them");
        let others = first.list.iter().filter(|member| member.name != *own);
        let ring = Ring::new(Edges::new(others.map(Member::edge).collect()).expect(BOUNDED));
        first.earlier.push(Earlier { ring: Arc::new(ring), ended: first.now() });
        Arc::new(first)
    }

    /// The edges of another cluster, its parent, as the edge called `name` sees them, which is none of
    /// them: all serve.
    ///
    /// # Panics
    /// If they do not make a cluster ([`Member::make_a_cluster`]).
    pub fn of_parent(cluster: &Name, name: &Name, list: Vec<Member>) -> Arc<Self> {
        let standing = |_: &Name| Standing::Serves;
        let members = Self::of(cluster, name, list, standing, Lasting::begin(Spill::DEFAULT));
        // One of them may have the same name.
        Arc::new(Self { own: None, ..members })
    }

    fn of(
        cluster: &Name,
        own: &Name,
        mut list: Vec<Member>,
        standing: impl Fn(&Name) -> Standing,
        lasting: Arc<Lasting>,
    ) -> Self {
        assert!(Member::make_a_cluster(&list), "these edges make no cluster");
        list.sort_by(|one, other| one.name.cmp(&other.name));
        let at = list.iter().position(|member| member.name == *own);
        let standings: Vec<_> = list.iter().map(|member| standing(&member.name)).collect();
        let on_ring = (0..list.len()).filter(|at| standings[*at] == Standing::Serves);
        let on_ring: Vec<_> = on_ring.collect();
        let edges = Edges::new(on_ring.iter().map(|at| list[*at].edge()).collect());
        let ring = Arc::new(Ring::new(edges.expect(BOUNDED)));
        let loads = list.iter().map(|_| AtomicU32::new(0)).collect();
        let (cluster, name, earlier) = (cluster.clone(), own.clone(), Vec::new());
        Self { cluster, name, list, standings, own: at, ring, on_ring, earlier, loads, lasting }
    }

    /// The view that comes after this one; `None` if it would be the same.
    ///
    /// # Panics
    /// As [`Members::new`].
    pub fn next(
        &self,
        list: Vec<Member>,
        standing: impl Fn(&Name) -> Standing,
    ) -> Option<Arc<Self>> {
        let lasting = Arc::clone(&self.lasting);
        let mut next = Self::of(&self.cluster, &self.name, list, standing, lasting);
        let is_same_ring = next.ring.edges() == self.ring.edges();
        if is_same_ring && next.list == self.list && next.standings == self.standings {
            return None;
        }
        let now = self.lasting.clock.now();
        next.earlier.clone_from(&self.earlier);
        if is_same_ring {
            next.ring = Arc::clone(&self.ring);
        } else {
            next.earlier.insert(0, Earlier { ring: Arc::clone(&self.ring), ended: now });
            self.lasting.fruitless.store(0, Ordering::Relaxed);
        }
        next.earlier.retain(|earlier| now.since(earlier.ended) < EARLIER_TIME);
        next.earlier.truncate(EARLIER_MAX);
        for (member, load) in self.list.iter().zip(&self.loads) {
            next.told_load(&member.name, load.load(Ordering::Relaxed));
        }
        Some(Arc::new(next))
    }

    /// Whether the same edges are on the ring as in another view.
    pub fn has_ring_of(&self, other: &Self) -> bool {
        self.ring.edges() == other.ring.edges()
    }

    /// All that belong, by their names, each with how it stands and the load that it has told.
    pub fn iter(&self) -> impl Iterator<Item = (&Member, Standing, u32)> {
        let loads = self.loads.iter().map(|load| load.load(Ordering::Relaxed));
        let with_standings = self.list.iter().zip(&self.standings);
        with_standings.zip(loads).map(|((member, standing), load)| (member, *standing, load))
    }

    /// Of each in the order of [`Self::iter`], the part of all keys that it owns: nothing where it is not on
    /// the ring. It takes as long as there are points on it.
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.list.len()];
        for (at, share) in self.on_ring.iter().zip(self.ring.shares()) {
            shares[*at] = share;
        }
        shares
    }

    /// How many of those in the order of `key` are passed by if it is in demand, because they have more
    /// than their share of the load.
    pub fn passes_by(&self, key: &[u8]) -> usize {
        self.passed_by(hash_of(key, 0))
    }

    /// An edge has said so of its load.
    pub fn told_load(&self, name: &Name, load: u32) {
        if let Some(at) = self.list.iter().position(|member| member.name == *name) {
            self.loads[at].store(load, Ordering::Relaxed);
        }
    }

    /// Requests that are under way at this edge.
    pub fn under_way(&self) -> u64 {
        self.lasting.under_way.load(Ordering::Relaxed)
    }

    /// One request more is under way here, until what is returned goes.
    pub(crate) fn begin(&self) -> UnderWay {
        self.lasting.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.lasting))
    }

    /// The names of the edges that should serve what is stored under `key`, its owner first.
    pub fn order(&self, key: &[u8]) -> impl Iterator<Item = &str> {
        self.places(hash_of(key, 0)).map(|at| self.list[at].name.as_str())
    }

    /// The places of the edges that should serve what has this hash, its owner first.
    pub(crate) fn places(&self, hash: u64) -> impl Iterator<Item = usize> {
        self.ring.order(hash).map(|at| self.on_ring[at])
    }

    /// Whether this edge is the first that should serve what has this hash. Where nobody is on the ring,
    /// it is.
    pub(crate) fn owns(&self, hash: u64) -> bool {
        self.owner(hash).is_none_or(|at| Some(at) == self.own)
    }

    /// This edge's place, if it is on its own ring.
    pub(crate) fn own_on_ring(&self) -> Option<usize> {
        self.own.filter(|own| self.on_ring.contains(own))
    }

    /// The place of the edge that owns what has this hash.
    pub(crate) fn owner(&self, hash: u64) -> Option<usize> {
        self.ring.owner(hash).map(|at| self.on_ring[at])
    }

    /// How many of the edges that should serve what has this hash are passed by, because they have more
    /// than their share of the load. The next one has room.
    pub(crate) fn passed_by(&self, hash: u64) -> usize {
        let load = |at: usize| match Some(at) == self.own {
            true => self.under_way(),
            false => u64::from(self.loads[at].load(Ordering::Relaxed)),
        };
        if self.owner(hash).is_none_or(|owner| load(owner) < LOAD_FLOOR) {
            return 0;
        }
        let mut loads = Loads::new(self.ring.edges());
        for (edge, at) in self.on_ring.iter().enumerate() {
            loads.set(edge, load(*at));
        }
        let chosen = self.lasting.spill.choose(&*self.ring, hash, &loads);
        chosen.and_then(|edge| self.ring.order(hash).position(|it| it == edge)).unwrap_or(0)
    }

    /// Who owned what has this hash before this edge did, if it may still hold it.
    pub(crate) fn former_owner(&self, hash: u64) -> Option<usize> {
        if self.earlier.is_empty() || self.lasting.fruitless.load(Ordering::Relaxed) > FRUITLESS_MAX
        {
            return None;
        }
        let (now, distrust) = (self.now(), self.lasting.distrust.lock());
        if distrust.forgotten.contains(&hash) {
            return None;
        }
        let since = distrust.since;
        drop(distrust);
        let counts =
            |earlier: &&Earlier| now.since(earlier.ended) < EARLIER_TIME && earlier.ended >= since;
        let owners = self.earlier.iter().filter(counts).filter_map(|Earlier { ring, .. }| {
            let name = &ring.edges().as_slice()[ring.owner(hash)?].name;
            self.place(name)
        });
        let mut owners = owners.filter(|at| Some(*at) != self.own);
        owners.find(|at| self.standings[*at] != Standing::Away)
    }

    /// What is stored under `key` was forgotten here, and is not taken from earlier owners again.
    pub fn forgot(&self, key: &[u8]) {
        let mut distrust = self.lasting.distrust.lock();
        distrust.forgotten.insert(hash_of(key, 0));
        if distrust.forgotten.len() > FORGOTTEN_MAX {
            *distrust = Distrust { forgotten: BTreeSet::new(), since: self.after_all() };
        }
    }

    /// The same for whatever earlier owners hold.
    pub fn forgot_all(&self) {
        self.lasting.distrust.lock().since = self.after_all();
    }

    /// A time at which all rings before have ended.
    fn after_all(&self) -> Time {
        self.now().after(Duration::from_nanos(1))
    }

    /// What a question for what another edge holds came to.
    pub(crate) fn asked_for_held(&self, has_found: bool) {
        let fruitless = &self.lasting.fruitless;
        if has_found {
            fruitless.store(0, Ordering::Relaxed);
        } else {
            fruitless.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// This edge's name.
    pub(crate) fn own(&self) -> &str {
        self.name.as_str()
    }

    /// The time on the clock of all views.
    pub(super) fn now(&self) -> Time {
        self.lasting.clock.now()
    }

    /// The place of the edge of this name, if it is one of them.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|member| member.name.as_str() == name)
    }

    /// Whether who has shown a certificate of the cluster's authority is one of them.
    pub(crate) fn believes(&self, identity: &Identity) -> bool {
        self.place(identity.name.as_str()).is_some()
    }

    /// Marks that something of another edge's is asked for; whether it is in demand.
    pub(crate) fn is_hot(&self, hash: u64) -> bool {
        self.lasting.marks.lock().is_hot(hash, self.now())
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
        Members::new(&testing::name("eu"), &testing::name("b"), list, Spill::DEFAULT)
    }

    #[test]
    fn edges_are_in_the_order_of_their_names_however_they_are_listed() {
        let members = members();
        assert_eq!(
            (members.own(), members.own, members.list[0].name.as_str()),
            ("b", Some(1), "a")
        );
        assert_eq!(members.order(b"key").count(), 2);
    }

    fn named<'a>(members: &'a Members, which: impl Iterator<Item = usize> + 'a) -> Vec<&'a str> {
        which.map(|at| members.list[at].name.as_str()).collect()
    }

    /// Hashes of some keys.
    fn hashes() -> impl Iterator<Item = u64> {
        (0..200_u32).map(|number| hashing::key_hash(&number.to_be_bytes()))
    }

    #[test]
    fn edges_make_a_cluster_if_each_is_there_once_with_a_capacity() {
        let list = members().list.clone();
        assert!(Member::make_a_cluster(&list));
        let twice = [&list[..], &list[..1]].concat();
        assert!(!Member::make_a_cluster(&twice));
        for capacity in [0, CAPACITY_MAX + 1] {
            let list = [list[1].clone(), Member { capacity, ..list[0].clone() }];
            assert!(!Member::make_a_cluster(&list));
        }
        let many = (0..MEMBERS_MAX)
            .map(|number| Member { name: testing::name(&format!("e{number}")), ..list[0].clone() });
        let many: Vec<_> = many.chain([list[1].clone()]).collect();
        assert!(!Member::make_a_cluster(&many) && Member::make_a_cluster(&many[1..]));
    }

    #[test]
    fn who_drains_or_is_away_is_not_on_the_ring_and_one_that_is_alone_owns_all() {
        let members = members();
        assert!(members.next(members.list.clone(), |_| Standing::Serves).is_none());
        for standing in [Standing::Drains, Standing::Away] {
            let is_own = |name: &Name| name.as_str() == "b";
            let of = |name: &Name| if is_own(name) { Standing::Serves } else { standing };
            let next = members.next(members.list.clone(), of).unwrap();
            assert!(!next.has_ring_of(&members) && next.place("a") == Some(0));
            assert!(hashes().all(|hash| named(&next, next.places(hash)) == ["b"]));
        }
        let nobody = members.next(members.list.clone(), |_| Standing::Away).unwrap();
        assert!(hashes().all(|hash| nobody.owns(hash) && nobody.places(hash).next().is_none()));
    }

    #[test]
    fn a_view_knows_who_owned_before_and_asks_while_that_finds_something() {
        let members = members();
        let is_own = |name: &Name| name.as_str() == "b";
        let drains = |name: &Name| {
            if is_own(name) { Standing::Serves } else { Standing::Drains }
        };
        let next = members.next(members.list.clone(), drains).unwrap();
        assert!(hashes().any(|hash| members.owns(hash)));
        for hash in hashes() {
            let was = |view: &Members| named(view, view.former_owner(hash).into_iter()).len();
            // This one has just begun: all that it owns was the other's.
            assert_eq!((was(&members), was(&next)), (1, 1));
        }
        let others = hashes().find(|hash| !members.owns(*hash)).unwrap();
        (0..=FRUITLESS_MAX).for_each(|_| next.asked_for_held(false));
        assert_eq!(next.former_owner(others), None);
        next.asked_for_held(true);
        assert!(next.former_owner(others).is_some());
        // Who is gone is not asked; another ring makes questions worth while again.
        let away = |name: &Name| if is_own(name) { Standing::Serves } else { Standing::Away };
        let away = next.next(next.list.clone(), away).unwrap();
        assert_eq!(away.former_owner(others), None);
        assert!(next.has_ring_of(&away));
    }

    #[test]
    fn what_was_forgotten_here_is_not_taken_from_earlier_owners_again() {
        let members = members();
        let key = b"http://www.example/a";
        let asks = |key: &[u8]| members.former_owner(hash_of(key, 0)).is_some();
        assert!(asks(key));
        members.forgot(key);
        assert!(!asks(key) && asks(b"http://www.example/b"));
        (0..=FORGOTTEN_MAX).for_each(|number| members.forgot(&number.to_be_bytes()));
        assert!(!asks(b"http://www.example/b"), "there are too many to know them one by one");
        let next = members.next(members.list.clone(), |name| match name.as_str() {
            "b" => Standing::Serves,
            _ => Standing::Drains,
        });
        let next = next.unwrap();
        assert!(hashes().any(|hash| next.former_owner(hash).is_some()), "that is another ring");
        next.forgot_all();
        assert!(hashes().all(|hash| next.former_owner(hash).is_none()));
    }

    #[test]
    fn rings_before_are_a_few_at_most() {
        let mut members = members();
        for round in 0..10 {
            let of = |name: &Name| {
                let serves = name.as_str() == "b" || round % 2 == 1;
                if serves { Standing::Serves } else { Standing::Away }
            };
            members = members.next(members.list.clone(), of).unwrap();
        }
        assert_eq!(members.earlier.len(), EARLIER_MAX);
    }

    #[test]
    fn an_owner_that_has_more_than_its_share_is_passed_by_and_one_that_has_little_is_not() {
        let members = members();
        let of_other = hashes().find(|hash| !members.owns(*hash)).unwrap();
        let told = |load| {
            members.told_load(&testing::name("a"), load);
            members.passed_by(of_other)
        };
        assert_eq!([0, 15, 16, 1000, 15].map(told), [0, 0, 1, 1, 0]);
        // As much is under way here.
        let mine: Vec<_> = (0..40).map(|_| members.begin()).collect();
        assert_eq!([40, 70].map(told), [0, 1]);
        drop(mine);
    }

    #[test]
    fn requests_that_are_under_way_count_over_views() {
        let members = members();
        let one = members.begin();
        let next = members.next(members.list.clone(), |_| Standing::Drains).unwrap();
        let other = next.begin();
        assert_eq!((members.under_way(), next.under_way()), (2, 2));
        drop((one, other));
        assert_eq!(next.under_way(), 0);
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
