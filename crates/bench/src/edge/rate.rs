//! How fast a peer is, and what each request costs it.

use super::{
    Error,
    load::{Load, Outcome},
    origin::EdgeOrigin,
    peer::Peer,
    set,
};
use crate::{
    host::progress,
    process::{busy_seconds, cpu_seconds, device_bytes, own_cpu_seconds},
};
use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// A run is repeated when processes that are no part of it used more of a core than this.
const OTHERS_MAX: f64 = 0.15;
/// How often a run is tried, if others keep the machine busy.
const ATTEMPTS: u32 = 3;
const WARM_UP_SECONDS: u32 = 1;
/// How often all objects are asked for, until the peer has them: some are stored at the second time,
/// and not while the disk is behind.
const FILLS_MAX: u32 = 16;
const BYTES_PER_GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) outcome: Outcome,
    /// Processor seconds that the peer used, all its processes together.
    pub(crate) cpu_seconds: f64,
    /// Shares of one core: the peer's, the load's, the origin's, and everybody else's.
    pub(crate) busy: f64,
    pub(crate) load_busy: f64,
    pub(crate) origin_busy: f64,
    pub(crate) others_busy: f64,
    pub(crate) origin_requests: f64,
    /// What the device read for the peer.
    pub(crate) device_bytes: f64,
}

impl Sample {
    /// What a GiB costs the peer.
    pub(crate) fn cpu_seconds_per_gib(&self) -> f64 {
        self.cpu_seconds / self.outcome.bytes * BYTES_PER_GIB
    }

    /// What 100,000 requests cost the peer.
    pub(crate) fn cpu_seconds_per_100k(&self) -> f64 {
        self.cpu_seconds / self.outcome.requests * 1e5
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.outcome.requests / self.outcome.seconds
    }

    /// What the clients received.
    pub(crate) fn gigabits_per_second(&self) -> f64 {
        self.outcome.bytes * 8.0 / self.outcome.seconds / 1e9
    }
}

/// Who takes part in a run.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) origin: &'a EdgeOrigin,
    /// The load's core.
    pub(crate) core: usize,
    /// For the load's files.
    pub(crate) scratch: &'a Path,
    /// Whether the device has to read everything anew.
    pub(crate) cold: bool,
}

impl Around<'_> {
    /// Fills the peer's cache, and lets it set up what it sets up for its first requests.
    pub(crate) fn warm_up(&self, load: &Load) -> Result<(), Error> {
        let Some(objects) = load.objects() else {
            return self.load(load, WARM_UP_SECONDS).map(drop);
        };
        let silent = |error| Error::Silent(self.peer.kind.to_string(), error);
        let server = self.peer.server.address();
        let mut fetched = 0;
        for _ in 0..FILLS_MAX {
            let before = self.requests()?;
            set::get_all(server, &server.to_string(), &objects).map_err(silent)?;
            fetched = self.requests()?.saturating_sub(before + 1);
            if fetched == 0 {
                return Ok(());
            }
        }
        progress(&format!("{} still asks its origin for {fetched}", self.peer.kind));
        Ok(())
    }

    /// Measures one run, again if others disturb it.
    pub(crate) fn sample(&self, load: &Load, seconds: u32) -> Result<Sample, Error> {
        let mut sample = self.attempt(load, seconds)?;
        for _ in 1..ATTEMPTS {
            if sample.others_busy <= OTHERS_MAX {
                break;
            }
            let again = self.attempt(load, seconds)?;
            if again.others_busy < sample.others_busy {
                sample = again;
            }
        }
        Ok(sample)
    }

    fn attempt(&self, load: &Load, seconds: u32) -> Result<Sample, Error> {
        if self.cold {
            self.peer.cool().map_err(|error| Error::Silent(self.peer.kind.to_string(), error))?;
        }
        let (peers, origins) = (self.peer.server.processes(), self.origin.processes());
        let read = || {
            let cpu = [cpu_seconds(&peers), own_cpu_seconds(), cpu_seconds(&origins)];
            (cpu, busy_seconds(), device_bytes(&peers))
        };
        let asked = self.requests()?;
        let (start, before) = (Instant::now(), read());
        let outcome = self.load(load, seconds)?;
        let (wall, after) = (start.elapsed().as_secs_f64(), read());
        // The question itself is one of the requests.
        let asked = self.requests()?.saturating_sub(asked + 1);
        let [peer, load, origin] = [0, 1, 2].map(|index| after.0[index] - before.0[index]);
        let all = after.1 - before.1;
        Ok(Sample {
            outcome,
            cpu_seconds: peer,
            busy: peer / wall,
            load_busy: load / wall,
            origin_busy: origin / wall,
            others_busy: ((all - peer - load - origin) / wall).max(0.0),
            origin_requests: f64::from(u32::try_from(asked).unwrap_or(u32::MAX)),
            device_bytes: after.2 - before.2,
        })
    }

    fn requests(&self) -> Result<u64, Error> {
        self.origin.requests().map_err(|error| Error::Silent("origin".to_owned(), error))
    }

    fn load(&self, load: &Load, seconds: u32) -> Result<Outcome, Error> {
        let outcome = load.run(self.peer, seconds, self.core, self.scratch);
        outcome.map_err(|error| Error::Load(self.peer.kind, error))
    }
}

/// A word that keeps the keys of one run apart from those of all others of this process, whose
/// peers all begin empty.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("run{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
