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
};

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
    origins: Mutex<BTreeMap<OfCore, Vec<Weak<AtomicBool>>>>,
    changes: broadcast::Sender<Change>,
}

/// What one site has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteNumbers {
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, from the store.
    pub hits: u64,
    /// Bytes of content, of answers that have ended.
    pub bytes: u64,
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
            sum.requests += tally.requests.load(Ordering::Relaxed);
            sum.hits += tally.hits.load(Ordering::Relaxed);
            sum.bytes += tally.bytes.load(Ordering::Relaxed);
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

    /// Hears of every origin that goes down or comes up from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }
}

/// Adds how one core sees an origin: well, if none of its sites sees it otherwise.
fn add(sum: &mut Health, views: &[Weak<AtomicBool>]) {
    let mut views = views.iter().filter_map(Weak::upgrade).peekable();
    if views.peek().is_some() {
        sum.cores += 1;
        sum.cores_up += usize::from(views.all(|view| view.load(Ordering::Relaxed)));
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
        let seen = Arc::new(AtomicBool::new(true));
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
    requests: AtomicU64,
    hits: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    /// A request was answered, from the store or not, with so many bytes of content.
    pub(crate) fn answered(&self, hit: bool, bytes: u64) {
        let add = |counter: &AtomicU64, by: u64| {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        };
        add(&self.requests, 1);
        add(&self.hits, u64::from(hit));
        add(&self.bytes, bytes);
    }
}

/// How one core sees one origin of one site.
#[derive(Debug)]
pub(crate) struct View {
    origin: String,
    seen: Arc<AtomicBool>,
    board: Board,
}

impl View {
    /// Sees it well, or not, from now on; says so if that changes what most see.
    pub(crate) fn set(&self, up: bool) {
        if self.seen.load(Ordering::Relaxed) == up {
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
        self.seen.store(up, Ordering::Relaxed);
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
    fn sites_are_summed_over_cores_and_forgotten_with_their_site() {
        let board = Board::default();
        let cores = [board.core(), board.core()];
        let tallies: Vec<_> = cores.iter().map(|core| core.tally("x")).collect();
        tallies[0].answered(true, 10);
        tallies[1].answered(false, 5);
        // A reload that keeps the site goes on counting.
        cores[0].tally("x").answered(true, 1);
        assert_eq!(board.sites()["x"], SiteNumbers { requests: 3, hits: 2, bytes: 16 });
        drop(tallies);
        cores.iter().for_each(Core::forget_sites);
        assert!(board.sites().is_empty());
    }
}
