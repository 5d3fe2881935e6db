//! The disk store belongs to one process at a time: the new one takes it up when the old one has let go.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nigh_cache::purge::Purges;
use nigh_net::disk::{self, Disk, OpenError, Writer};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::Given;

/// How long a new process tries to take up a directory that the old one said it has let go of, and how
/// often. Clients wait meanwhile.
const TAKE_LIMIT: Duration = Duration::from_secs(5);
const TAKE_LOOK: Duration = Duration::from_millis(20);

/// How long the old process may take to write what waits, while it goes on serving.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// How long it may take to write the rest, while clients wait.
const LET_GO_LIMIT: Duration = Duration::from_secs(5);

/// Opens the disk store of `settings` and takes the place of the process that is replaced, if there is
/// one: what that holds is opened when it has let go, and if it does not, the edge serves without.
pub(crate) fn take_over(
    given: Given,
    settings: Option<&disk::Settings>,
    purges: &Arc<Purges>,
) -> anyhow::Result<Option<(Arc<Disk>, Writer)>> {
    let Some(settings) = settings else {
        given.take_over()?;
        return Ok(None);
    };
    let open = || Disk::open(settings, Arc::clone(purges));
    let opened = match open() {
        Err(OpenError::Locked { .. }) if given.replaces() => None,
        opened => Some(opened?),
    };
    given.take_over()?;
    if opened.is_some() {
        return Ok(opened);
    }
    let deadline = Instant::now() + TAKE_LIMIT;
    loop {
        match open() {
            Ok(opened) => return Ok(Some(opened)),
            Err(OpenError::Locked { .. }) if Instant::now() < deadline => {
                std::thread::sleep(TAKE_LOOK);
            }
            // To end now would leave nobody to serve.
            Err(error) => {
                error!("nothing is kept on disk until the next start: {error}");
                return Ok(None);
            }
        }
    }
}

/// Waits until all that was to be written is, so that letting go takes no time.
pub(crate) async fn settle(disk: &Disk) {
    let (sender, written) = oneshot::channel();
    disk.queue().sync(move |result| {
        // Who has stopped waiting need not know.
        let _ = sender.send(result);
    });
    if tokio::time::timeout(SETTLE_LIMIT, written).await.is_err() {
        warn!("the disk store is behind: what it has not written yet is lost to the new process");
    }
}

/// Ends the writing, and lets go of the directory.
pub(crate) fn let_go(writer: Writer) {
    if !writer.let_go(LET_GO_LIMIT) {
        warn!(
            "the disk store is still being written: the new process serves without it if need be"
        );
    }
}
