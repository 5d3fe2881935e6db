//! What all cores know of sites and origins: requests by site, and which origins are well.
//!
//! Each core writes what it sees itself, in memory of its own; who asks sums up. An origin is up if
//! most cores see it so.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nigh_edge::cache_status::Outcome;
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// Changes of origins that a listener may be behind, before it loses the oldest.
const CHANGES_MAX: usize = 64;

/// What stands in a site's place for all that a forward proxy passes on. No host is written so.
pub const FORWARD: &str = "[forward]";

/// What the cores of one edge have seen.
#[derive(Clone, Debug)]
pub struct Board(Arc<Shared>);

/// A name, and the number of the core that knows it.
type OfCore = (Box<str>, usize);

#[derive(Debug)]
struct Shared {
    cores: AtomicUsize,
    /// By the site's name.
    sites: Mutex<BTreeMap<OfCore, Arc<Tally>>>,
    /// By the origin's URL. A core may have several: sites that share an origin
    /// with different others each have their own.
    origins: Mutex<BTreeMap<OfCore, Vec<Weak<Seen>>>>,
    changes: broadcast::Sender<Change>,
}

/// What one site has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteNumbers {
    /// Requests that were answered, by [`Outcome::number`].
    pub requests_by: [u64; Outcome::ALL.len()],
    /// Bytes of content, of answers that have ended, likewise.
    pub bytes_by: [u64; Outcome::ALL.len()],
}

impl SiteNumbers {
    /// Requests that were answered.
    pub fn requests(&self) -> u64 {
        self.requests_by.iter().sum()
    }

    /// Of these, from the store.
    pub const fn hits(&self) -> u64 {
        self.requests_by[Outcome::Hit.number()] + self.requests_by[Outcome::StaleHit.number()]
    }

    /// Bytes of content, of answers that have ended.
    pub fn bytes(&self) -> u64 {
        self.bytes_by.iter().sum()
    }
}

/// The upper bounds of [`Times`], in milliseconds.
pub const BOUNDS_MS: [u64; 10] = [2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000];

/// How long an origin takes to the head of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Answers that took at most so long, by [`BOUNDS_MS`]; then those that took longer. Each is counted
    /// once.
    pub counts: [u64; BOUNDS_MS.len() + 1],
    /// All of them together, in microseconds.
    pub sum_micros: u64,
}

/// How the cores see an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Cores that know it.
    pub cores: usize,
    /// Of these, who see it well.
    pub cores_up: usize,
}

impl Health {
    /// Whether most see it well.
    pub const fn is_up(self) -> bool {
        self.cores_up * 2 > self.cores
    }
}

/// An origin went down, or came up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its URL.
    pub origin: String,
    /// What most cores see from now on.
    pub up: bool,
}

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Shared {
            cores: AtomicUsize::new(0),
            sites: Mutex::default(),
            origins: Mutex::default(),
            changes: broadcast::Sender::new(CHANGES_MAX),
        }))
    }
}

impl Board {
    /// One more core's end of it.
    pub(crate) fn core(&self) -> Core {
        let number = self.0.cores.fetch_add(1, Ordering::Relaxed);
        Core { number, board: self.clone() }
    }

    /// What each site has answered since the start, by the first of its hosts. A site that a reload
    /// takes away takes its numbers along.
    pub fn sites(&self) -> BTreeMap<String, SiteNumbers> {
        let mut sites = BTreeMap::<String, SiteNumbers>::new();
        for ((name, _), tally) in &*self.0.sites.lock() {
            let sum = sites.entry(name.to_string()).or_default();
            take_in(&mut sum.requests_by, &tally.requests);
            take_in(&mut sum.bytes_by, &tally.bytes);
        }
        sites
    }

    /// How each origin is, by its URL.
    pub fn origins(&self) -> BTreeMap<String, Health> {
        let mut origins = BTreeMap::<String, Health>::new();
        let mut views = self.0.origins.lock();
        views.retain(|_, views| views.iter().any(|view| view.strong_count() > 0));
        for ((url, _), views) in &*views {
            add(origins.entry(url.to_string()).or_default(), views);
        }
        origins
    }

    /// How long each origin takes, by its URL.
    pub fn origin_times(&self) -> BTreeMap<String, Times> {
        let mut times = BTreeMap::<String, Times>::new();
        for ((url, _), views) in &*self.0.origins.lock() {
            for seen in views.iter().filter_map(Weak::upgrade) {
                let sum = times.entry(url.to_string()).or_default();
                take_in(&mut sum.counts, &seen.counts);
                sum.sum_micros += seen.sum_micros.load(Ordering::Relaxed);
            }
        }
        times
    }

    /// Hears of every origin that goes down or comes up from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }
}

fn take_in<const N: usize>(sums: &mut [u64; N], counters: &[AtomicU64; N]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.load(Ordering::Relaxed);
    }
}

/// Adds to a counter that has one writer: no lock is taken.
fn increase(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// Adds how one core sees an origin: well, if none of its sites sees it otherwise.
fn add(sum: &mut Health, views: &[Weak<Seen>]) {
    let mut views = views.iter().filter_map(Weak::upgrade).peekable();
    if views.peek().is_some() {
        sum.cores += 1;
        sum.cores_up += usize::from(views.all(|seen| seen.up.load(Ordering::Relaxed)));
    }
}

/// One core's end.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    number: usize,
    board: Board,
}

impl Core {
    /// Where this core counts what the site of this name answers.
    pub(crate) fn tally(&self, site: &str) -> Arc<Tally> {
        let mut sites = self.board.0.sites.lock();
        Arc::clone(sites.entry((site.into(), self.number)).or_default())
    }

    /// Forgets the sites that this core has no more.
    pub(crate) fn forget_sites(&self) {
        let held = |tally: &Arc<Tally>| Arc::strong_count(tally) > 1;
        self.board.0.sites.lock().retain(|(_, core), tally| *core != self.number || held(tally));
    }

    /// How this core sees an origin from now on, until it is told otherwise: well.
    pub(crate) fn view(&self, origin: String) -> View {
        let seen = Arc::new(Seen { up: AtomicBool::new(true), ..Seen::default() });
        let mut origins = self.board.0.origins.lock();
        let views = origins.entry((origin.as_str().into(), self.number)).or_default();
        views.retain(|view| view.strong_count() > 0);
        views.push(Arc::downgrade(&seen));
        View { origin, seen, board: self.board.clone() }
    }
}

/// What one core has answered for one site. One writer: additions take no lock.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: [AtomicU64; Outcome::ALL.len()],
    bytes: [AtomicU64; Outcome::ALL.len()],
}

impl Tally {
    /// A request was answered, with so many bytes of content.
    pub(crate) fn answered(&self, outcome: Outcome, bytes: u64) {
        increase(&self.requests[outcome.number()], 1);
        increase(&self.bytes[outcome.number()], bytes);
    }
}

/// What one core has seen of one origin of one site.
#[derive(Debug, Default)]
struct Seen {
    up: AtomicBool,
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_micros: AtomicU64,
}

/// How one core sees one origin of one site.
#[derive(Debug)]
pub(crate) struct View {
    origin: String,
    seen: Arc<Seen>,
    board: Board,
}

impl View {
    /// The head of an answer came after so long.
    pub(crate) fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_MS.partition_point(|bound| bound * 1000 < micros);
        increase(&self.seen.counts[at], 1);
        increase(&self.seen.sum_micros, micros);
    }

    /// Sees it well, or not, from now on; says so if that changes what most see.
    pub(crate) fn set(&self, up: bool) {
        if self.seen.up.load(Ordering::Relaxed) == up {
            return;
        }
        let origins = self.board.0.origins.lock();
        let most = || {
            let mut sum = Health::default();
            let same = origins.iter().filter(|((url, _), _)| **url == *self.origin);
            same.for_each(|(_, views)| add(&mut sum, views));
            sum.is_up()
        };
        let before = most();
        self.seen.up.store(up, Ordering::Relaxed);
        let after = most();
        drop(origins);
        if before != after {
            // Perhaps nobody listens.
            let _ = self.board.0.changes.send(Change { origin: self.origin.clone(), up: after });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "http://a";

    #[test]
    fn an_origin_is_up_while_most_cores_see_it_so_and_a_change_is_told_once() {
        let board = Board::default();
        let mut changes = board.changes();
        let views: Vec<View> = (0..3).map(|_| board.core().view(A.to_owned())).collect();
        let health = || board.origins()[A];
        views[0].set(false);
        assert_eq!((health().cores_up, health().is_up()), (2, true));
        views[1].set(false);
        views[2].set(false);
        assert_eq!((health().cores, health().cores_up, health().is_up()), (3, 0, false));
        views.iter().for_each(|view| view.set(true));
        assert!(health().is_up());
        let told: Vec<bool> =
            std::iter::from_fn(|| changes.try_recv().ok()).map(|change| change.up).collect();
        assert_eq!(told, [false, true]);
        drop(views);
        assert!(board.origins().is_empty());
    }

    #[test]
    fn a_core_with_several_views_sees_an_origin_well_if_all_of_them_do() {
        let board = Board::default();
        let core = board.core();
        let views = [core.view(A.to_owned()), core.view(A.to_owned())];
        views[1].set(false);
        assert_eq!(board.origins()[A], Health { cores: 1, cores_up: 0 });
    }

    #[test]
    fn times_are_counted_once_each_beneath_their_bound() {
        let board = Board::default();
        let view = board.core().view(A.to_owned());
        for millis in [0, 2, 3, 5_000, 9_000] {
            view.took(Duration::from_millis(millis));
        }
        let times = board.origin_times()[A];
        assert_eq!(times.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(times.sum_micros, 14_005_000);
    }

    #[test]
    fn sites_are_summed_over_cores_and_forgotten_with_their_site() {
        let board = Board::default();
        let cores = [board.core(), board.core()];
        let tallies: Vec<_> = cores.iter().map(|core| core.tally("x")).collect();
        tallies[0].answered(Outcome::Hit, 10);
        tallies[1].answered(Outcome::Own, 5);
        // A reload that keeps the site goes on counting.
        cores[0].tally("x").answered(Outcome::StaleHit, 1);
        let numbers = board.sites()["x"];
        assert_eq!((numbers.requests(), numbers.hits(), numbers.bytes()), (3, 2, 16));
        assert_eq!(numbers.bytes_by[Outcome::Own.number()], 5);
        drop(tallies);
        cores.iter().for_each(Core::forget_sites);
        assert!(board.sites().is_empty());
    }
}
