//! Watching over a body that another edge gives: that edge may stop in its midst without a word.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use super::{FAR, Hedges, Sibling, Siblings};
use crate::counters::Counters;

/// Who gives a body.
#[derive(Debug)]
pub(crate) struct Watch {
    sibling: Rc<Sibling>,
    hedges: Rc<RefCell<Hedges>>,
    counters: Arc<Counters>,
}

impl Watch {
    pub(super) fn new(
        siblings: &Siblings,
        sibling: &Rc<Sibling>,
        counters: &Arc<Counters>,
    ) -> Self {
        Self {
            sibling: Rc::clone(sibling),
            hedges: Rc::clone(&siblings.hedges),
            counters: Arc::clone(counters),
        }
    }

    /// Ends when the edge stands still, and another one may be asked for the rest: as of a head that does
    /// not come, out of the same budget unless the edge is left out already. An origin that is slow with the body does not count, since the
    /// edge says that it is there. To be dropped when something comes.
    pub(crate) async fn stands_still(&self) {
        let Self { sibling, hedges, counters } = self;
        loop {
            sibling.silent(FAR, counters).await;
            if !sibling.is_available() {
                // Others have found that out.
                return counters.sibling_failure();
            }
            if hedges.borrow_mut().take() {
                counters.sibling_hedge();
                counters.sibling_failure();
                return sibling.failed();
            }
        }
    }
}
