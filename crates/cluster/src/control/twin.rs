//! Control state in memory: what the engines do, without their files and sockets.
//!
//! Its time is what it was told last, so a simulator or a test decides when leases lapse. Machines
//! that need no futures use [`super::model::State`] itself.

use std::future::ready;

use nigh_base::Time;
use parking_lot::Mutex;

use super::{
    Answer, Control, Entry, Error, Key, Lease, LeaseId, Listing, Prefix, Revision, Transaction,
    Ttl, Watch,
    local::Local,
    model::{Bounds, State},
};

/// Control state that is gone with its last holder. Every future is ready when it is made, but for
/// those of a watch.
#[derive(Debug)]
pub struct Twin {
    local: Local,
    /// Held over each change, so that plans and steps alternate.
    now: Mutex<Time>,
}

impl Twin {
    /// Nothing yet, at the start of time.
    pub fn new(bounds: Bounds) -> Self {
        Self { local: Local::new(State::new(bounds)), now: Mutex::new(Time::START) }
    }

    /// It is `now`: leases whose time is over end, in the order in which it ran out. Time never
    /// goes back.
    pub fn advance(&self, now: Time) {
        let mut current = self.now.lock();
        *current = now.max(*current);
        while let Some(step) = self.local.ask(|state| state.plan_lapse(*current)) {
            self.local.apply(step, *current);
        }
    }

    fn commit_now(&self, transaction: &Transaction) -> Result<Revision, Error> {
        let now = self.now.lock();
        let step = self.local.ask(|state| state.plan(transaction, *now))?;
        self.local.apply(step, *now);
        Ok(self.local.ask(State::revision))
    }

    fn grant_now(&self, ttl: Ttl) -> Result<Lease, Error> {
        let now = self.now.lock();
        let (lease, step) = self.local.ask(|state| state.plan_grant(ttl))?;
        self.local.apply(step, *now);
        Ok(lease)
    }

    fn revoke_now(&self, lease: LeaseId) -> Result<(), Error> {
        let now = self.now.lock();
        let step = self.local.ask(|state| state.plan_revoke(lease))?;
        self.local.apply(step, *now);
        Ok(())
    }
}

impl Control for Twin {
    fn get<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>> {
        Box::pin(ready(Ok(self.local.ask(|state| state.get(key).cloned()))))
    }

    fn list<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Listing> {
        Box::pin(ready(Ok(self.local.ask(|state| state.list(prefix)))))
    }

    fn commit(&self, transaction: Transaction) -> Answer<'_, Revision> {
        Box::pin(ready(self.commit_now(&transaction)))
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        Box::pin(ready(self.local.watch(prefix, after)))
    }

    fn grant(&self, ttl: Ttl) -> Answer<'_, Lease> {
        Box::pin(ready(self.grant_now(ttl)))
    }

    fn keep_alive(&self, lease: LeaseId) -> Answer<'_, ()> {
        Box::pin(ready(self.local.keep_alive(lease, *self.now.lock())))
    }

    fn revoke(&self, lease: LeaseId) -> Answer<'_, ()> {
        Box::pin(ready(self.revoke_now(lease)))
    }
}
