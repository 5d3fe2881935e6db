//! Whether what is stored may be served, as all cores see it: until when this edge surely hears of
//! purges, and how far it has come with them. Whoever speaks with control state says so; the rule is
//! that of `nigh_cluster::forgetting`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use nigh_base::Time;

use crate::clock::Boottime;

/// The trust of one edge. To ask costs two reads, and where it can end also one of the clock.
#[derive(Debug)]
pub struct Trusted {
    /// A lease runs out while this machine is suspended.
    clock: Boottime,
    /// In nanoseconds of the clock; [`ALWAYS`] for ever.
    until: AtomicU64,
    /// The purge up to which all are applied.
    reached: AtomicU64,
    /// The newest purge that was heard of.
    heard: AtomicU64,
}

/// Later than any time.
const ALWAYS: u64 = u64::MAX;

impl Trusted {
    /// For an edge that forgets by itself: trusted for ever.
    pub fn always() -> Arc<Self> {
        Self::until(ALWAYS)
    }

    /// For an edge that forgets together with others: not trusted before [`Self::publish`] says so.
    pub fn not_yet() -> Arc<Self> {
        Self::until(0)
    }

    fn until(until: u64) -> Arc<Self> {
        let (clock, until) = (Boottime::start(), AtomicU64::new(until));
        Arc::new(Self { clock, until, reached: AtomicU64::default(), heard: AtomicU64::default() })
    }

    /// The time by the clock that trust ends by.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// From now on: until when it is trusted, if it is, and the purge up to which all *are* applied.
    /// When a lower number is said than before, there was no trust.
    pub fn publish(&self, until: Option<Time>, reached: u64) {
        // Who reads them in between sees the new number with the old time: that is as true.
        self.reached.store(reached, Ordering::Release);
        self.heard.store(reached, Ordering::Release);
        self.until.store(until.map_or(0, Time::nanos), Ordering::Release);
    }

    /// Purges up to this one are about to be applied. To be said before the first rule is in the store: who
    /// looks there from then on takes nothing from an edge that has not come as far.
    pub fn hear(&self, purge: u64) {
        self.heard.fetch_max(purge, Ordering::Release);
    }

    /// The newest purge that was heard of, applied or not.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::Acquire)
    }

    /// Whether what is stored may be served to somebody who has come as far as `asker`: a sibling
    /// says so with its request, and for a client it is 0.
    pub fn allows(&self, asker: u64) -> bool {
        let until = self.until.load(Ordering::Acquire);
        let is_in_time = until == ALWAYS || self.now().nanos() < until;
        is_in_time && asker <= self.reached()
    }

    /// The purge up to which all are applied.
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_forgets_alone_is_trusted_but_by_a_sibling_that_knows_of_purges() {
        let trusted = Trusted::always();
        assert!(trusted.allows(0));
        assert!(!trusted.allows(1));
    }

    #[test]
    fn trust_begins_when_it_is_said_and_ends_by_the_clock_though_nobody_says_so() {
        let trusted = Trusted::not_yet();
        assert!(!trusted.allows(0));
        trusted.publish(Some(trusted.now().after(Duration::from_secs(600))), 7);
        assert!(trusted.allows(0) && trusted.allows(7) && !trusted.allows(8));
        trusted.publish(Some(trusted.now()), 7);
        assert!(!trusted.allows(0), "the time is over");
        trusted.publish(None, 7);
        assert!(!trusted.allows(0));
        assert_eq!(trusted.reached(), 7);
    }
}
