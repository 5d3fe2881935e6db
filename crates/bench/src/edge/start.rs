//! nigh's starts with many objects on its disk: when it answers, when it knows them all, and what its
//! index takes.

use super::{
    Error,
    load::Load,
    peer::{End, Peer, Site},
};
use crate::{
    host::{check_interrupt, progress},
    process::memory_bytes,
};
use std::{
    io, thread,
    time::{Duration, Instant},
};

/// Connections that fill the disk, and for how long at a time.
const CONNECTIONS: usize = 64;
const FILL_SECONDS: u32 = 5;
/// A disk that does not fill for so many times is no longer waited for.
const FILLS_MAX: u32 = 60;
/// Time for a program to finish what it does in the background.
const SETTLE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(2);
/// Whoever has not found everything by then has failed.
const FOUND_LIMIT: Duration = Duration::from_secs(120);

/// What was asked of it, and what came.
#[derive(Clone, Debug)]
pub(crate) struct Starts {
    /// Objects on the disk at the end of the fill.
    pub(crate) objects: f64,
    /// Memory of a process that knows them all, less that of one that knows none.
    pub(crate) index_bytes: f64,
    /// After an orderly end, with the files in the page cache.
    pub(crate) warm: Vec<Start>,
    /// After an orderly end, with files that the device has to read.
    pub(crate) cold: Vec<Start>,
    /// After `kill -9`, so that the end of the log is gone through record by record.
    pub(crate) killed: Vec<Start>,
}

/// One start, from the command to:
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// The first answer.
    pub(crate) first: Duration,
    /// Everything found.
    pub(crate) found: Duration,
    /// So many objects.
    pub(crate) objects: f64,
}

impl Starts {
    /// Bytes of memory an object.
    pub(crate) fn index_bytes_per_object(&self) -> f64 {
        self.index_bytes / self.objects
    }
}

/// Fills the disk of `peer`, which is nigh, and starts it anew `runs` times in each way.
pub(crate) fn measure(
    peer: &mut Peer,
    site: &Site<'_>,
    core: usize,
    objects: u32,
    runs: u32,
) -> Result<Starts, Error> {
    let silent = |error| Error::Silent("nigh".to_owned(), error);
    thread::sleep(SETTLE);
    let empty_bytes = memory_bytes(&peer.server.processes());
    fill(peer, core, site, objects)?;
    peer.end(End::Asked);
    start(peer, site)?;
    thread::sleep(SETTLE);
    let index_bytes = memory_bytes(&peer.server.processes()) - empty_bytes;
    let objects = peer.metric("nigh_disk_objects").map_err(silent)?;
    let (mut warm, mut cold, mut killed) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        check_interrupt()?;
        peer.end(End::Asked);
        warm.push(start(peer, site)?);
        peer.end(End::Asked);
        peer.cool().map_err(silent)?;
        cold.push(start(peer, site)?);
        peer.end(End::Killed);
        killed.push(start(peer, site)?);
        progress(&format!(
            "start {} of {runs}: found after {:.2} s warm, {:.2} s cold, {:.2} s killed",
            run + 1,
            warm[warm.len() - 1].found.as_secs_f64(),
            cold[cold.len() - 1].found.as_secs_f64(),
            killed[killed.len() - 1].found.as_secs_f64(),
        ));
    }
    Ok(Starts { objects, index_bytes, warm, cold, killed })
}

fn fill(peer: &Peer, core: usize, site: &Site<'_>, objects: u32) -> Result<(), Error> {
    let script = include_str!("../../lua/twice.lua");
    let load = Load::Scripted { connections: CONNECTIONS, script };
    for _ in 0..FILLS_MAX {
        check_interrupt()?;
        load.run(peer, FILL_SECONDS, core, &site.scratch.memory)
            .map_err(|error| Error::Load(peer.kind, error))?;
        let stored = peer.metric("nigh_disk_objects");
        let stored = stored.map_err(|error| Error::Silent("nigh".to_owned(), error))?;
        progress(&format!("start: {stored} objects on the disk"));
        if stored >= f64::from(objects) {
            return Ok(());
        }
    }
    Err(Error::Silent("nigh".to_owned(), io::ErrorKind::TimedOut.into()))
}

/// Starts it, and waits until nothing is left to be found.
fn start(peer: &mut Peer, site: &Site<'_>) -> Result<Start, Error> {
    let silent = |error| Error::Silent("nigh".to_owned(), error);
    let began = Instant::now();
    let first = peer.start_again(site)?;
    while peer.metric("nigh_disk_unread_segments").map_err(silent)? > 0.0 {
        if began.elapsed() > FOUND_LIMIT {
            return Err(silent(io::ErrorKind::TimedOut.into()));
        }
        thread::sleep(POLL);
    }
    let found = began.elapsed();
    let objects = peer.metric("nigh_disk_objects").map_err(silent)?;
    Ok(Start { first, found, objects })
}
