//! The origins that clients of a forward proxy asked for, each with its connections: made when they are
//! first asked for, and dropped when nobody has for a while.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use nigh_cache::key::Scheme;
use nigh_edge::site::{Rule, Rules};

use super::Egress;
use crate::{
    board::Tally,
    origin::{self, Origin},
    sites::Site,
    upstream::{Member, Upstream},
};

/// Destinations that a core keeps connections to; the one that was not asked for the longest makes
/// room.
pub(super) const KEPT_MAX: usize = 1024;

/// How long a destination is kept that nobody asks for: a little longer than its connections are.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(60);

/// Connections to one destination at once, a core.
const CONNECTIONS: usize = 256;

/// One core's destinations.
#[derive(Debug)]
pub(super) struct Destinations {
    egress: Rc<Egress>,
    connect_limit: Duration,
    /// What they have answered, all in all.
    tally: Arc<Tally>,
    held: RefCell<BTreeMap<Box<str>, Held>>,
}

#[derive(Debug)]
struct Held {
    site: Rc<Site>,
    used: Instant,
}

/// How the answers of a destination are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caching {
    /// As a shared cache may.
    Shared,
    /// Not at all: who answers may not be whom the client named.
    Never,
}

impl Destinations {
    pub(super) fn new(egress: Rc<Egress>, connect_limit: Duration, tally: Arc<Tally>) -> Self {
        Self { egress, connect_limit, tally, held: RefCell::default() }
    }

    /// A destination; `host` is without brackets.
    pub(super) fn find(&self, host: &str, port: u16, caching: Caching, now: Instant) -> Rc<Site> {
        let mut name = format!("{host} {port}").into_boxed_str();
        name.make_ascii_lowercase();
        if caching == Caching::Never {
            name = format!("{name} never").into();
        }
        let mut held = self.held.borrow_mut();
        if let Some(found) = held.get_mut(&name) {
            found.used = now;
            return Rc::clone(&found.site);
        }
        if held.len() >= KEPT_MAX {
            let oldest =
                held.iter().min_by_key(|(_, held)| held.used).map(|(name, _)| name.clone());
            held.remove(&oldest.expect("there are some"));
        }
        let site = self.make(host, port, caching);
        held.insert(name, Held { site: Rc::clone(&site), used: now });
        site
    }

    /// Lets go of what was not asked for lately.
    pub(super) fn drop_idle(&self, now: Instant) {
        self.held.borrow_mut().retain(|_, held| now < held.used + KEPT_FOR);
    }

    fn make(&self, host: &str, port: u16, caching: Caching) -> Rc<Site> {
        let settings = origin::Settings {
            port,
            keep_host: true,
            connect_limit: self.connect_limit,
            connections: CONNECTIONS,
            ..origin::Settings::of(Scheme::Http, host)
        };
        let origin = Origin::through(settings.clone(), Rc::clone(&self.egress));
        let member = Member { settings, tls: None, weight: 1 };
        let upstream = Upstream::start(vec![member], None, vec![origin], None);
        let rules = match caching {
            Caching::Shared => Rules::default(),
            Caching::Never => Rules::everywhere(Rule { bypass: true, ..Rule::default() }),
        };
        Rc::new(Site::new(rules, upstream, Arc::clone(&self.tally)))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.borrow().len()
    }
}
