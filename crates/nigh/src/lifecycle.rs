//! The life of an edge process once it serves: signals in, and in the end a drain, or another process
//! in its place.

use std::{
    future::pending,
    path::Path,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinError, JoinHandle},
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

    /// Waits until the process is told to end.
    pub(crate) async fn told_to_end(&mut self) {
        tokio::select! {
            () = received(&mut self.terminate) => {}
            () = received(&mut self.interrupt) => {}
        }
    }
}

/// Ends the process, at once and from a thread of its own, when its standard input ends: whoever holds the
/// other end is gone then, however that came about, and be it before this is called.
///
/// # Errors
/// If there is no thread to be had.
pub(crate) fn end_with_input() -> std::io::Result<()> {
    let read = || {
        // What is said there is nothing to an edge, and an input that cannot be read has ended.
        let ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        error!(?ended, "whoever started this edge is gone: it ends");
        std::process::exit(1)
    };
    std::thread::Builder::new().name("input".to_owned()).spawn(read)?;
    Ok(())
}

/// Why an edge stops serving.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to.
    Told,
    /// This process is ready to serve in its place.
    Replaced {
        /// Which.
        successor: Successor,
        /// Whether the settings file may say something else than when it was started.
        reload: bool,
    },
}

/// What a process is told while it does what it does last before another one serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// To end, and the other one with it.
    pub(crate) end: bool,
    /// To read its settings again.
    pub(crate) reload: bool,
}

/// A handover that is under way. Dropped, it ends the new process.
type HandingOver<'e> = Pin<Box<dyn Future<Output = Result<Successor, Failed>> + 'e>>;

/// Acts on signals until the edge is to stop serving. `reload` has the settings read again, on a thread
/// of its own: signals are heard meanwhile, and so they are while another process is on its way.
pub(crate) async fn run(
    edge: &Edge,
    signals: &mut Signals,
    watchdog: &mut Watchdog,
    manager: &Manager,
    program: &Program,
    reload: impl Fn() -> JoinHandle<()>,
) -> End {
    let mut handover: Option<HandingOver<'_>> = None;
    // What was in effect when that began.
    let mut before = edge.running.now();
    let mut reloading = None;
    loop {
        tokio::select! {
            // Whoever was to replace it ends too.
            () = received(&mut signals.terminate) => return End::Told,
            () = received(&mut signals.interrupt) => return End::Told,
            () = edge.running.drain.asked() => return End::Told,
            () = may_receive(&mut signals.hangup), if reloading.is_none() => {
                manager.reloading();
                reloading = Some(reload());
            }
            () = ended(&mut reloading) => manager.ready(&status(edge)),
            () = received(&mut signals.replace) => match &handover {
                Some(_) => info!("a new process is on its way"),
                None => {
                    before = edge.running.now();
                    handover = start(edge, program);
                }
            },
            came = over(&mut handover) => match came {
                Ok(successor) => {
                    let is_read = reloading.is_none() && Arc::ptr_eq(&before, &edge.running.now());
                    let reload = !is_read && edge.running.control.file().is_some();
                    return End::Replaced { successor, reload };
                }
                Err(failed) => {
                    not_replaced(failed);
                    edge.resume_admin();
                }
            },
            () = watchdog.due() => watchdog.look(edge, manager),
        }
    }
}

/// Waits until a new process is ready and everything is done that only this one can do.
async fn hand_over(edge: &Edge, mut successor: Successor) -> Result<Successor, Failed> {
    successor.ready().await?;
    info!(pid = successor.id(), "the new process is ready to take over");
    let settled = async {
        if let Some(disk) = &edge.running.disk {
            handover::disk::settle(disk).await;
        }
    };
    // What was asked at the admin address is done while this process can still do it for good.
    tokio::join!(edge.finish_admin(), settled);
    successor.is_there()?;
    Ok(successor)
}

/// What the service manager shows of an edge that serves.
pub(crate) fn status(edge: &Edge) -> String {
    let addresses = edge.running.addresses.iter();
    let shown = addresses.map(|(scheme, address)| format!("{}://{address}", scheme.as_str()));
    format!("serving on {}", shown.collect::<Vec<_>>().join(", "))
}

async fn received(signal: &mut Signal) {
    signal.recv().await;
}

async fn may_receive(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => received(signal).await,
        None => pending().await,
    }
}

/// Waits for the end of a reload, if there is one; it is taken out then.
async fn ended(reloading: &mut Option<JoinHandle<()>>) {
    let Some(task) = reloading else { return pending().await };
    if let Err(error) = task.await {
        error!(%error, "the settings were not read to the end");
    }
    *reloading = None;
}

/// Waits for the end of a handover, if there is one; it is taken out then.
async fn over(handover: &mut Option<HandingOver<'_>>) -> Result<Successor, Failed> {
    let Some(task) = handover else { return pending().await };
    let came = task.await;
    *handover = None;
    came
}

fn start<'e>(edge: &'e Edge, program: &Program) -> Option<HandingOver<'e>> {
    if std::process::id() == FIRST_PROCESS {
        error!("this is its container's first process, whose end is the container's: replace that");
        return None;
    }
    let started = edge.descriptors().map_err(Failed::from);
    match started.and_then(|sockets| Successor::start(program, sockets)) {
        Ok(successor) => {
            info!(pid = successor.id(), "a new process is started: {}", program.path().display());
            Some(Box::pin(hand_over(edge, successor)))
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

/// Waits for what this process does last before another one serves; says what it is told meanwhile.
pub(crate) async fn told_before(
    done: JoinHandle<()>,
    edge: &Edge,
    signals: &mut Signals,
    watchdog: &mut Watchdog,
    manager: &Manager,
) -> Result<Told, JoinError> {
    let (mut done, mut told) = (pin!(done), Told::default());
    loop {
        tokio::select! {
            done = &mut done => return done.map(|()| told),
            () = received(&mut signals.terminate) => told.end = true,
            () = received(&mut signals.interrupt) => told.end = true,
            () = may_receive(&mut signals.hangup) => told.reload = true,
            () = watchdog.due() => watchdog.look(edge, manager),
        }
    }
}

/// Waits until the edge that another one replaces has no connection left: until `limit` has passed, or
/// it is told to end.
pub(crate) async fn linger(edge: &Edge, signals: &mut Signals, limit: Duration) {
    let empty = async {
        let deadline = Instant::now() + limit;
        while !edge.is_empty() && Instant::now() < deadline {
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = empty => {}
        () = received(&mut signals.terminate) => {}
        () = received(&mut signals.interrupt) => {}
    }
}

/// Tells the service manager that all is well, as long as every worker goes round.
#[derive(Debug)]
pub(crate) struct Watchdog {
    pings: Option<Interval>,
    beats: Vec<u64>,
}

impl Watchdog {
    /// Must be called within a runtime.
    pub(crate) fn new(manager: &Manager) -> Self {
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
