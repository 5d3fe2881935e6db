//! A state in this process, and who watches it: the twin is no more than this, and the `redb` engine
//! puts a file beneath it.
//!
//! A watcher is a place in the history and a waker: it is never queued for, however slow it is.
//! When the history has left it behind, it is told to list anew.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use nigh_base::Time;
use parking_lot::Mutex;

use super::{
    Answer, Bound, Commit, Error, LeaseId, Prefix, Revision, Watch,
    model::{State, Step},
};

/// Watches at a time: some for each edge of a large fleet, if this process serves them all.
pub const WATCHES_MAX: usize = 4096;

/// A state that several threads share.
pub struct Local {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    state: State,
    /// Who watches; a waker where it waits.
    watchers: BTreeMap<u64, Option<Waker>>,
    next_watcher: u64,
}

impl Local {
    /// Begins with this state.
    pub fn new(state: State) -> Self {
        let shared = Shared { state, watchers: BTreeMap::new(), next_watcher: 0 };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Asks the state, or plans on it.
    pub fn ask<T>(&self, ask: impl FnOnce(&State) -> T) -> T {
        ask(&self.shared.lock().state)
    }

    /// As [`super::Control::keep_alive`]. What it changes need not be durable.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub fn keep_alive(&self, lease: LeaseId, now: Time) -> Result<(), Error> {
        self.shared.lock().state.keep_alive(lease, now)
    }

    /// Does what was planned, and wakes who watches.
    ///
    /// # Panics
    /// As [`State::apply`].
    pub fn apply(&self, step: Step, now: Time) {
        let mut shared = self.shared.lock();
        let commits = step.commit.is_some();
        shared.state.apply(step, now);
        if commits {
            shared.wake();
        }
    }

    /// Goes on with a state that was read anew from where it is kept; watchers go on where they are.
    pub fn replace(&self, state: State) {
        let mut shared = self.shared.lock();
        shared.state = state;
        shared.wake();
    }

    /// As [`super::Control::watch`].
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::Ahead`], [`Error::Full`].
    pub fn watch(&self, prefix: &Prefix, after: Revision) -> Result<Box<dyn Watch>, Error> {
        let mut shared = self.shared.lock();
        shared.state.next(prefix, after)?;
        if shared.watchers.len() >= WATCHES_MAX {
            return Err(Error::Full { what: Bound::Watches });
        }
        let number = shared.next_watcher;
        shared.next_watcher += 1;
        shared.watchers.insert(number, None);
        let shared = self.shared.clone();
        Ok(Box::new(Watcher { shared, number, prefix: prefix.clone(), after }))
    }
}

impl Shared {
    fn wake(&mut self) {
        for waker in self.watchers.values_mut().filter_map(Option::take) {
            waker.wake();
        }
    }
}

struct Watcher {
    shared: Arc<Mutex<Shared>>,
    number: u64,
    prefix: Prefix,
    after: Revision,
}

impl Watcher {
    fn poll(&mut self, context: &Context<'_>) -> Poll<Result<Commit, Error>> {
        let mut shared = self.shared.lock();
        let seen = shared.state.next(&self.prefix, self.after)?;
        self.after = seen.after;
        if let Some(commit) = seen.commit {
            return Poll::Ready(Ok(commit));
        }
        shared.watchers.insert(self.number, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Watch for Watcher {
    fn next(&mut self) -> Answer<'_, Commit> {
        Box::pin(poll_fn(|context| self.poll(context)))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.lock().watchers.remove(&self.number);
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, after, .. } = self;
        f.debug_struct("Watcher").field("prefix", prefix).field("after", after).finish()
    }
}

/// The revision alone: a state may be large, and its values secret.
impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("revision", &self.shared.lock().state.revision()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Change, Key, Transaction, Value, model::Bounds},
        *,
    };

    #[test]
    fn there_is_room_for_so_many_watches_and_those_that_end_make_some() {
        let local = Local::new(State::new(Bounds::default()));
        let watch = || local.watch(&Prefix::ALL, Revision::NONE);
        let mut watches: Vec<_> = (0..WATCHES_MAX).map(|_| watch().unwrap()).collect();
        assert!(matches!(watch(), Err(Error::Full { what: Bound::Watches })));
        drop(watches.pop());
        assert!(watch().is_ok());
    }

    #[test]
    fn a_watch_goes_on_when_the_state_was_read_anew() {
        let local = Local::new(State::new(Bounds::default()));
        let mut watch = local.watch(&Prefix::ALL, Revision::NONE).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut next = watch.next();
        assert!(next.as_mut().poll(&mut context).is_pending());
        let mut state = State::new(Bounds::default());
        let put = Change::Put { value: Value::new("x").unwrap(), lease: None };
        let changes = [(Key::new("a").unwrap(), put)];
        let transaction = Transaction::new([], changes.clone()).unwrap();
        state.commit(&transaction, Time::START).unwrap();
        local.replace(state);
        let Poll::Ready(Ok(commit)) = next.as_mut().poll(&mut context) else {
            panic!("nothing is seen");
        };
        assert_eq!(commit.changes, changes);
    }
}
