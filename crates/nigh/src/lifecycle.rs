//! The life of an edge process once it serves: signals in, and in the end a drain, or another process
//! in its place.

use std::{
    future::pending,
    path::Path,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval, sleep},
};
use tracing::{error, info, warn};

use crate::{
    edge::Edge,
    handover::{self, Failed, Program, Successor},
    systemd::Manager,
};

/// How often the end of the last connection is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// The first process of a container, whose end is the container's.
const FIRST_PROCESS: u32 = 1;

/// The signals that an edge acts on. They are heard from when this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Without a file there is nothing to read again, and the signal ends the process as ever.
    hangup: Option<Signal>,
    replace: Signal,
}

impl Signals {
    /// Must be called within a runtime.
    pub(crate) fn new(file: Option<&Path>) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: file.map(|_| signal(SignalKind::hangup())).transpose()?,
            replace: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Why an edge stops serving.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to.
    Told,
    /// This process is ready to serve in its place.
    Replaced(Successor),
}

/// Acts on signals until the edge is to stop serving. `reload` reads the settings again.
pub(crate) async fn run(
    edge: &Edge,
    mut signals: Signals,
    manager: &Manager,
    program: &Program,
    reload: impl Fn(),
) -> End {
    let mut successor = None;
    let mut watchdog = Watchdog::new(manager);
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return told(successor),
            _ = signals.interrupt.recv() => return told(successor),
            () = edge.running.drain.asked() => return told(successor),
            () = received(&mut signals.hangup) => {
                manager.reloading();
                reload();
                manager.ready(&status(edge));
            }
            _ = signals.replace.recv() => match &successor {
                Some(successor) => info!(pid = Successor::id(successor), "a new process is on its way"),
                None => successor = start(edge, program),
            },
            done = ready(&mut successor) => match done {
                Ok(mut ready) => {
                    info!(pid = ready.id(), "the new process is ready to take over");
                    if let Some(disk) = &edge.running.disk {
                        handover::disk::settle(disk).await;
                    }
                    match ready.is_there() {
                        Ok(()) => return End::Replaced(ready),
                        Err(failed) => not_replaced(failed),
                    }
                }
                Err(failed) => not_replaced(failed),
            },
            () = watchdog.due() => watchdog.look(edge, manager),
        }
    }
}

/// What the service manager shows of an edge that serves.
pub(crate) fn status(edge: &Edge) -> String {
    let addresses = edge.running.addresses.iter();
    let shown = addresses.map(|(scheme, address)| format!("{}://{address}", scheme.as_str()));
    format!("serving on {}", shown.collect::<Vec<_>>().join(", "))
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

fn start(edge: &Edge, program: &Program) -> Option<Successor> {
    if std::process::id() == FIRST_PROCESS {
        error!("this is its container's first process, whose end is the container's: replace that");
        return None;
    }
    let started = edge.descriptors().map_err(Failed::from);
    match started.and_then(|sockets| Successor::start(program, sockets)) {
        Ok(successor) => {
            info!(pid = successor.id(), "a new process is started: {}", program.path().display());
            Some(successor)
        }
        Err(failed) => {
            not_replaced(failed);
            None
        }
    }
}

fn not_replaced(failed: Failed) {
    error!(
        "the new process does not take over, and this one goes on: {:#}",
        anyhow::Error::from(failed)
    );
}

/// Waits until the successor, if there is one, is ready or has failed; it is taken out then.
async fn ready(successor: &mut Option<Successor>) -> Result<Successor, Failed> {
    let Some(waited_for) = successor else { return pending().await };
    let ready = waited_for.ready().await;
    let taken = successor.take().expect("it was there before");
    ready.map(|()| taken)
}

/// The edge ends, and whoever was to replace it too.
fn told(successor: Option<Successor>) -> End {
    if let Some(mut successor) = successor
        && let Err(error) = successor.end()
    {
        warn!(%error, "the new process could not be ended");
    }
    End::Told
}

/// Waits until the edge that another one replaces has no connection left: until `limit` has passed, or
/// it is told to end.
pub(crate) fn linger(edge: &Edge, limit: Duration) -> std::io::Result<()> {
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let empty = async {
            let deadline = Instant::now() + limit;
            while !edge.is_empty() && Instant::now() < deadline {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = empty => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Tells the service manager that all is well, as long as every worker goes round.
#[derive(Debug)]
struct Watchdog {
    pings: Option<Interval>,
    beats: Vec<u64>,
}

impl Watchdog {
    fn new(manager: &Manager) -> Self {
        let pings = manager.watchdog().map(|every| {
            let mut pings = interval(every);
            pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pings
        });
        Self { pings, beats: Vec::new() }
    }

    async fn due(&mut self) {
        match &mut self.pings {
            Some(pings) => drop(pings.tick().await),
            None => pending().await,
        }
    }

    fn look(&mut self, edge: &Edge, manager: &Manager) {
        let beats = edge.beats();
        if all_went_on(&self.beats, &beats) {
            manager.ping();
        } else {
            warn!("a worker stands still: the watchdog is not told that all is well");
        }
        self.beats = beats;
    }
}

/// Whether every worker has gone round between two looks; `before` is empty at the first.
fn all_went_on(before: &[u64], now: &[u64]) -> bool {
    before.is_empty() || before.iter().zip(now).all(|(before, now)| now > before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_stands_still_is_enough_for_an_alarm() {
        assert!(all_went_on(&[], &[0, 0]));
        assert!(all_went_on(&[1, 7], &[2, 8]));
        assert!(!all_went_on(&[1, 7], &[2, 7]));
    }
}
