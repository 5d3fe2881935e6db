//! Control state in a file of one machine, by `redb`.
//!
//! The state itself is in memory, where the rules are ([`State`]); the file holds what it needs to be
//! there again. A commit is planned, written in one transaction of `redb` and synced, and only then
//! seen by anybody. So reads and watches never touch the disk.
//!
//! ```text
//! commit -> plan (State) -> tables, fsync -> apply (State) -> watchers, answer
//! ```
//! When writing fails, nobody knows what reached the disk: the answer is that the commit may have
//! been made, and before the next one the file is opened and read anew.

mod durable;
mod tables;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nigh_base::Time;
use nigh_cluster::control::{
    Answer, Bound, Control, Entry, Error, Key, Lease, LeaseId, Listing, Prefix, Revision,
    Transaction, Ttl, Watch,
    model::{Bounds, State},
};
use tokio::{
    sync::{Mutex, Notify, Semaphore},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, sleep_until},
};
use tracing::warn;

use self::durable::Durable;
pub use self::{durable::OpenError, tables::ReadError};

/// Changes that wait for their turn. A sync takes some milliseconds, so the last of them waits for
/// some seconds.
const WAITING_MAX: usize = 1024;
/// After a lease could not be ended, it is tried again after this.
const PAUSE: Duration = Duration::from_secs(1);

/// Control state in a file. It belongs to the runtime on which it was opened.
#[derive(Debug)]
pub struct Redb {
    shared: Arc<Shared>,
    lapsing: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    durable: Durable,
    clock: Clock,
    /// Changes are made one by one, in the order in which they came.
    turn: Arc<Mutex<()>>,
    waiting: Semaphore,
    /// A lease was granted: it may be the next to lapse.
    granted: Notify,
}

impl Redb {
    /// Opens the file, and makes it if there is none. The whole of it is read and checked, and each
    /// lease has its whole time again. While it is open, nobody else can open it.
    ///
    /// # Errors
    /// Why the file cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime with a clock.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path.to_owned(), Bounds::default()).await
    }

    async fn open_with(path: PathBuf, bounds: Bounds) -> Result<Self, OpenError> {
        let clock = Clock(Instant::now());
        let durable = spawn_blocking(move || Durable::open(path, bounds, clock.now()))
            .await
            .expect("opening does not panic and is not cancelled")?;
        let shared = Arc::new(Shared {
            durable,
            clock,
            turn: Arc::default(),
            waiting: Semaphore::new(WAITING_MAX),
            granted: Notify::new(),
        });
        let lapsing = tokio::spawn(lapse(shared.clone()));
        Ok(Self { shared, lapsing })
    }

    /// Waits for the change that is under way and closes the file, so that another process can open
    /// it. Changes that come later are refused as unavailable.
    pub async fn close(&self) {
        self.lapsing.abort();
        let shared = self.shared.clone();
        let _turn = self.shared.turn.lock().await;
        spawn_blocking(move || shared.durable.close()).await.expect("closing does not panic");
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        self.lapsing.abort();
    }
}

impl Shared {
    /// Makes a change on a thread that may wait for the disk. Once begun, it is ended, also if
    /// nobody waits for it any more.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Durable, Time) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let full = |_| Error::Full { what: Bound::Commits };
        let _place = self.waiting.try_acquire().map_err(full)?;
        let turn = self.turn.clone().lock_owned().await;
        let shared = self.clone();
        let work = spawn_blocking(move || {
            let outcome = change(&shared.durable, shared.clock.now());
            drop(turn);
            outcome
        });
        work.await.map_err(Error::unavailable)?
    }
}

/// Ends leases when their time is over.
async fn lapse(shared: Arc<Shared>) {
    loop {
        let granted = shared.granted.notified();
        let Some(next) = shared.durable.local().ask(State::next_lapse) else {
            granted.await;
            continue;
        };
        if shared.clock.now() < next {
            tokio::select! {
                () = sleep_until(shared.clock.instant(next)) => {}
                () = granted => {}
            }
        } else if let Err(error) = shared.change(|durable, now| durable.lapse(now)).await {
            warn!(%error, "a lease that is over cannot be ended yet");
            sleep(PAUSE).await;
        }
    }
}

impl Control for Redb {
    fn get<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>> {
        Box::pin(async { Ok(self.shared.durable.local().ask(|state| state.get(key).cloned())) })
    }

    fn list<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Listing> {
        Box::pin(async { Ok(self.shared.durable.local().ask(|state| state.list(prefix))) })
    }

    fn commit(&self, transaction: Transaction) -> Answer<'_, Revision> {
        Box::pin(self.shared.change(move |durable, now| durable.commit(&transaction, now)))
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        Box::pin(async move { self.shared.durable.local().watch(prefix, after) })
    }

    fn grant(&self, ttl: Ttl) -> Answer<'_, Lease> {
        Box::pin(async move {
            let lease = self.shared.change(move |durable, now| durable.grant(ttl, now)).await?;
            self.shared.granted.notify_one();
            Ok(lease)
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> Answer<'_, ()> {
        let now = self.shared.clock.now();
        Box::pin(async move { self.shared.durable.local().keep_alive(lease, now) })
    }

    fn revoke(&self, lease: LeaseId) -> Answer<'_, ()> {
        Box::pin(self.shared.change(move |durable, now| durable.revoke(lease, now)))
    }
}

/// The runtime's clock, so that a test can stop it.
#[derive(Clone, Copy, Debug)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> Time {
        Time::START.after(self.0.elapsed())
    }

    fn instant(self, time: Time) -> Instant {
        self.0 + time.since(Time::START)
    }
}

#[cfg(test)]
mod tests;
