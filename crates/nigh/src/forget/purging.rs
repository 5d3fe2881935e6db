//! A purge of the whole cluster: its commit, and the wait until every edge has heard of it.

use std::time::Duration;

use nigh_cluster::{
    control::{Error, Fault, Value, Watch},
    family::QualifiedName,
    forgetting::{LEASE, Purge, purges, purging, reached},
};
use tokio::time::{sleep, timeout};

use super::Forgetting;

/// How long a purge waits for edges: one that is cut off is out after its lease, and control state needs
/// some time to notice.
pub(crate) const WAIT_MAX: Duration = LEASE.saturating_add(Duration::from_secs(5));

/// How often it is tried again when other purges come first. Each time at least one of them is made.
const TRIES_MAX: usize = 64;

/// How long it waits before it asks again how far edges have come.
const PAUSE: Duration = Duration::from_millis(200);

/// Why nothing was purged, as far as that is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// It names too much.
    #[error("that is too much for one purge: {0}")]
    TooLong(#[from] Fault),
    /// Others always came first.
    #[error("nothing is purged: {TRIES_MAX} other purges came first, so ask again")]
    Busy,
    /// It was not committed.
    #[error("nothing is purged on any edge: {0}")]
    Nowhere(#[source] Error),
    /// It may have been.
    #[error(
        "it is not known whether anything is purged: {0}; if it was committed, each edge forgets \
         when it hears of it, so ask again"
    )]
    Perhaps(#[source] Error),
}

impl Forgetting {
    /// Has all `edges` forget what `value` names, and whoever else serves in this cluster; waits until
    /// they have, [`WAIT_MAX`] at most. A purge that is not done by then goes on by itself.
    ///
    /// # Errors
    /// Why it was not, or perhaps not, begun.
    pub(crate) async fn purge(
        &self,
        value: &Value,
        edges: impl Iterator<Item = QualifiedName>,
    ) -> Result<Purge, Failed> {
        let began = self.trusted.now();
        let (number, mut watch) = self.commit(value).await?;
        let mut purge = Purge::new(number, began, edges);
        let waiting = async {
            // What control state does not say now, it says later.
            while self.hear(&mut purge, watch.take()).await.is_err() {
                sleep(PAUSE).await;
            }
        };
        // Whoever has not been heard of by then is still waited for, and is told so.
        let _ = timeout(WAIT_MAX, waiting).await;
        Ok(purge)
    }

    /// Commits the purge that comes after all others; its number, and a watch on what edges say to it.
    ///
    /// The watch begins before the purge. An etcd tells one that begins in its past what it has missed
    /// ten times a second only, and most edges have answered sooner.
    async fn commit(&self, value: &Value) -> Result<(u64, Option<Box<dyn Watch>>), Failed> {
        let mut watch = None;
        for _ in 0..TRIES_MAX {
            let listing = self.control.list(&purges()).await.map_err(Failed::Nowhere)?;
            let (number, transaction) = purging(&listing, value.clone())?;
            if watch.is_none() {
                watch = self.control.watch(&reached(), listing.revision).await.ok();
            }
            match self.control.commit(transaction).await {
                Ok(_) => return Ok((number, watch)),
                Err(Error::Conflict) => {}
                Err(error @ Error::Unavailable { .. }) => return Err(Failed::Perhaps(error)),
                Err(error) => return Err(Failed::Nowhere(error)),
            }
        }
        Err(Failed::Busy)
    }

    /// Follows what edges say until nobody is waited for any more, by `watch` if there is one.
    async fn hear(&self, purge: &mut Purge, watch: Option<Box<dyn Watch>>) -> Result<(), Error> {
        let listing = self.control.list(&reached()).await?;
        purge.listed(self.trusted.now(), &listing);
        if purge.is_done() {
            return Ok(());
        }
        let mut watch = match watch {
            Some(watch) => watch,
            None => self.control.watch(&reached(), listing.revision).await?,
        };
        while !purge.is_done() {
            let commit = watch.next().await?;
            purge.saw(self.trusted.now(), &commit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use nigh_cluster::control::Control;
    use nigh_net::trusted::Trusted;

    use super::*;
    use crate::{
        control_state::failing::{Failing, Fails},
        forget::Named,
    };

    async fn failed(fails: Fails) -> (Failed, usize) {
        let control = Arc::new(Failing::new(fails));
        let shared = Arc::clone(&control) as Arc<dyn Control>;
        let forgetting =
            Forgetting { control: shared, trusted: Trusted::always(), task: Mutex::new(None) };
        let value = Named::EVERYTHING.to_value().unwrap();
        let failed = forgetting.purge(&value, std::iter::empty()).await.unwrap_err();
        (failed, control.0.list(&purges()).await.unwrap().entries.len())
    }

    #[tokio::test]
    async fn a_purge_whose_answer_is_lost_may_have_been_made_and_it_is_said() {
        let (failed, made) = failed(Fails::Answers).await;
        assert!(matches!(failed, Failed::Perhaps(_)), "{failed}");
        assert!(failed.to_string().contains("not known whether anything is purged"), "{failed}");
        assert_eq!(made, 1, "as it was here");
    }

    #[tokio::test]
    async fn where_nothing_can_be_asked_nothing_was_purged() {
        let (failed, made) = failed(Fails::All).await;
        assert!(matches!(failed, Failed::Nowhere(_)), "{failed}");
        assert_eq!(made, 0);
    }
}
