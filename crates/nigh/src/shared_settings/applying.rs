//! Settings for all: their commit, and the wait until every edge runs them.

use std::time::Duration;

use nigh_cluster::{
    control::{Error, Fault, Revision, Value},
    family::QualifiedName,
    sharing::{Applying, applying, runs},
};
use tokio::time::{sleep, timeout};

use super::Sharing;

/// How long whoever applies waits for edges: one that is cut off is gone after its lease.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long it waits before it asks again what edges run.
const PAUSE: Duration = Duration::from_millis(200);

/// Why nothing was applied, as far as that is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// They are too long.
    #[error("that is too much for control state: {0}")]
    TooLong(#[from] Fault),
    /// Somebody else came first.
    #[error("nothing is applied: the settings in control state are others by now, revision {0}")]
    Outdated(Revision),
    /// They were not committed.
    #[error("nothing is applied on any edge: {0}")]
    Nowhere(#[source] Error),
    /// They may have been.
    #[error(
        "it is not known whether the settings were applied: {0}; if they were, each edge runs them \
         when it hears of them: look at the revision in `nigh status`"
    )]
    Perhaps(#[source] Error),
}

impl Sharing {
    /// Has all edges run these settings: the ones that are known to belong, and whoever else serves in
    /// this cluster. Waits until they do, [`WAIT_MAX`] at most; the rest follows by itself. With
    /// `after`, only if nobody has applied others since that revision.
    ///
    /// # Errors
    /// Why they were not, or perhaps not, committed.
    pub(crate) async fn apply(
        &self,
        text: &str,
        after: Option<Revision>,
        edges: impl Iterator<Item = QualifiedName>,
    ) -> Result<Applying, Failed> {
        let began = self.clock.now();
        let committing = self.control.commit(applying(Value::new(text)?, after)?);
        let revision = match committing.await {
            Ok(revision) => revision,
            Err(Error::Conflict) => {
                let entry = self.read().await.map_err(Failed::Nowhere)?;
                let revision = entry.map_or(Revision::NONE, |entry| entry.revision);
                return Err(Failed::Outdated(revision));
            }
            Err(error @ Error::Unavailable { .. }) => return Err(Failed::Perhaps(error)),
            Err(error) => return Err(Failed::Nowhere(error)),
        };
        let mut applying = Applying::new(revision, began, edges);
        let waiting = async {
            // What control state does not say now, it says later.
            while self.hear(&mut applying).await.is_err() {
                sleep(PAUSE).await;
            }
        };
        // Whoever has not been heard of by then is still waited for, and is told so.
        let _ = timeout(WAIT_MAX, waiting).await;
        Ok(applying)
    }

    /// Follows what edges say until nobody is waited for any more.
    async fn hear(&self, applying: &mut Applying) -> Result<(), Error> {
        let listing = self.control.list(&runs()).await?;
        applying.listed(self.clock.now(), &listing);
        if applying.is_done() {
            return Ok(());
        }
        let mut watch = self.control.watch(&runs(), listing.revision).await?;
        while !applying.is_done() {
            let commit = watch.next().await?;
            applying.saw(self.clock.now(), &commit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use nigh_cluster::{
        control::{Change, Control, Transaction, model::Bounds, twin::Twin},
        membership::Name,
        sharing::{Applied, Run, runs_key},
    };
    use nigh_net::clock::Monotonic;

    use super::*;
    use crate::control_state::failing::{Failing, Fails};

    fn sharing(control: Arc<dyn Control>) -> Sharing {
        Sharing { control, clock: Monotonic::start(), task: Mutex::new(None) }
    }

    fn edge(edge: &str) -> QualifiedName {
        let name = |text| Name::new(text).unwrap();
        QualifiedName { cluster: name("eu"), edge: name(edge) }
    }

    async fn say(control: &dyn Control, name: &str, revision: u64) {
        let run = Run { revision: Revision(revision), refused: None };
        let put = Change::Put { value: run.to_value(), lease: None };
        let put = Transaction::new([], [(runs_key(&edge(name)), put)]).unwrap();
        control.commit(put).await.unwrap();
    }

    #[tokio::test]
    async fn settings_whose_answer_is_lost_may_have_been_applied_and_it_is_said() {
        let failed = |fails| async move {
            let sharing = sharing(Arc::new(Failing::new(fails)));
            sharing.apply("x", None, std::iter::empty()).await.unwrap_err()
        };
        let perhaps = failed(Fails::Answers).await;
        assert!(matches!(perhaps, Failed::Perhaps(_)), "{perhaps}");
        let unsure = failed(Fails::All).await;
        assert!(unsure.to_string().contains("not known whether the settings were applied"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_that_says_nothing_is_waited_for_and_not_for_ever() {
        let control = Arc::new(Twin::new(Bounds::default()));
        let sharing = sharing(Arc::clone(&control) as Arc<dyn Control>);
        say(control.as_ref(), "slow", 0).await;
        say(control.as_ref(), "quick", 99).await;
        let applying = sharing.apply("x", None, [edge("gone")].into_iter()).await.unwrap();
        assert!(!applying.is_done());
        let edges = applying.edges().map(|(edge, applied)| (edge.edge.as_str(), applied));
        let edges: Vec<_> = edges.collect();
        assert_eq!(edges[0], ("gone", &Applied::Away));
        assert!(matches!(edges[1], ("quick", Applied::Runs(_))), "{edges:?}");
        assert_eq!(edges[2], ("slow", &Applied::Waiting));
        // Whoever comes second is told what is there.
        let (first, late) = (applying.revision(), Some(Revision::NONE));
        let outdated = sharing.apply("y", late, std::iter::empty()).await.unwrap_err();
        assert!(matches!(outdated, Failed::Outdated(there) if there == first), "{outdated}");
    }
}
