//! What happens, as it happens: `GET /v1/events`, as server-sent events (WHATWG HTML, section 9.2).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{extract::State, response::Response};
use bytes::Bytes;
use nigh_net::{board::Change, clock, disk};
use serde::Serialize;
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc, watch,
    },
    time::{MissedTickBehavior, interval, timeout},
};
use utoipa::ToSchema;

use super::{Asked, body, recent};
use crate::{
    control::{Applied, Refused},
    edge::Running,
    settings::Difference,
};

/// Events that a listener may be behind, before it misses the oldest.
const BEHIND_MAX: usize = 256;

/// After so long without an event a listener hears a comment, so that both sides know that the other
/// one is there.
const SILENCE: Duration = Duration::from_secs(15);

/// How often the disk is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// One event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// Other settings are in effect.
    Reloaded { difference: Difference, waiting_for_restart: Vec<String>, certificate_renewed: bool },
    /// Settings were refused; nothing has changed.
    ReloadRefused { detail: String },
    /// Something was purged: by rule `id`, or so many variants of URLs.
    Purged { what: String, soft: bool, id: Option<u32>, variants: Option<usize> },
    /// Most workers see an origin fail.
    OriginDown { origin: String },
    /// Most workers see it answer again.
    OriginUp { origin: String },
    /// The disk has failed to write or to read, or what it read was not what was written; in all so
    /// far.
    DiskTrouble { failures: u64, unreadable: u64, damaged: u64 },
    /// An edge of the cluster is drained by name, this one or another.
    Drained { edge: String },
    /// It is taken back.
    TakenBack { edge: String },
    /// The edge is ending.
    Draining,
    /// This listener was too slow, and has missed so many events.
    Missed { events: u64 },
}

impl Event {
    const fn name(&self) -> &'static str {
        match self {
            Self::Reloaded { .. } => "reloaded",
            Self::ReloadRefused { .. } => "reload-refused",
            Self::Purged { .. } => "purged",
            Self::OriginDown { .. } => "origin-down",
            Self::OriginUp { .. } => "origin-up",
            Self::DiskTrouble { .. } => "disk-trouble",
            Self::Drained { .. } => "drained",
            Self::TakenBack { .. } => "taken-back",
            Self::Draining => "draining",
            Self::Missed { .. } => "missed",
        }
    }

    /// As it goes to listeners.
    fn rendered(&self) -> Bytes {
        #[derive(Serialize)]
        struct Dated<'e> {
            time_ms: u64,
            #[serde(flatten)]
            event: &'e Event,
        }
        let dated = Dated { time_ms: clock::now().millis(), event: self };
        let data = serde_json::to_string(&dated).expect("keys are text");
        format!("event: {}\ndata: {data}\n\n", self.name()).into()
    }
}

/// Where events are told, and who listens.
#[derive(Debug)]
pub(crate) struct Events {
    told: broadcast::Sender<Bytes>,
    /// Counts up when all who listen are sent away.
    ends: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self { told: broadcast::Sender::new(BEHIND_MAX), ends: watch::Sender::default() }
    }
}

impl Events {
    /// Tells everybody who listens.
    pub(crate) fn publish(&self, event: &Event) {
        if self.told.receiver_count() > 0 {
            // They may have gone meanwhile.
            let _ = self.told.send(event.rendered());
        }
    }

    /// Sends away whoever listens now: another process is about to serve.
    pub(crate) fn end(&self) {
        self.ends.send_modify(|count| *count += 1);
    }

    /// Tells what came of other settings.
    pub(crate) fn reloaded(&self, came: &Result<Applied, Refused>) {
        self.publish(&match came {
            Ok(applied) => Event::Reloaded {
                difference: applied.difference.clone(),
                waiting_for_restart: applied.waiting.clone(),
                certificate_renewed: applied.certificate,
            },
            Err(refused) => Event::ReloadRefused { detail: refused.to_string() },
        });
    }
}

/// Events from now on, one after another: reloads, purges, origins that go down or come up, trouble
/// with the disk, edges of the cluster that are drained or taken back, the end. The first line is a
/// comment: from then on nothing is missed. A listener that is too slow is told how many events it has
/// missed.
#[utoipa::path(
    get,
    path = "/v1/events",
    responses((status = 200, description = "Server-sent events; the data of each is an `Event`.",
               body = String, content_type = "text/event-stream"))
)]
pub(super) async fn events(State(running): Asked) -> Response {
    let (out, pieces) = mpsc::channel(1);
    let Events { told, ends } = &running.events;
    tokio::spawn(tell(told.subscribe(), ends.subscribe(), out));
    body::pieces("text/event-stream", pieces)
}

/// Passes events on for as long as somebody reads.
async fn tell(
    mut events: broadcast::Receiver<Bytes>,
    mut ends: watch::Receiver<u64>,
    out: mpsc::Sender<Bytes>,
) {
    let mut piece = Bytes::from_static(b": listening\n\n");
    while out.send(piece).await.is_ok() {
        piece = tokio::select! {
            heard = timeout(SILENCE, events.recv()) => match heard {
                Ok(Ok(event)) => event,
                Ok(Err(RecvError::Lagged(events))) => Event::Missed { events }.rendered(),
                Ok(Err(RecvError::Closed)) => return,
                Err(_) => Bytes::from_static(b": still here\n\n"),
            },
            _ = ends.changed() => return,
            () = out.closed() => return,
        };
    }
}

/// Looks at what nobody tells of, for as long as the edge runs.
pub(crate) async fn watch(running: Arc<Running>) {
    let mut changes = running.board.changes();
    let mut looks = interval(LOOK);
    let mut samples = interval(recent::EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Trouble::default();
    loop {
        tokio::select! {
            changed = changes.recv() => match changed {
                Ok(Change { origin, up: true }) => running.events.publish(&Event::OriginUp { origin }),
                Ok(Change { origin, up: false }) => {
                    running.events.publish(&Event::OriginDown { origin });
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            _ = looks.tick() => {
                let numbers = running.disk.as_ref().map(|disk| disk.numbers()).unwrap_or_default();
                if let Some(event) = seen.look(&numbers) {
                    running.events.publish(&event);
                }
            }
            _ = samples.tick() => running.recent.keep(Instant::now(), running.registry.totals()),
        }
    }
}

/// What trouble there was with the disk when it was last looked at.
#[derive(Debug, Default)]
struct Trouble {
    failures: u64,
    unreadable: u64,
    damaged: u64,
}

impl Trouble {
    /// An event, if there is more of it now.
    fn look(&mut self, numbers: &disk::Numbers) -> Option<Event> {
        let disk::Numbers { unreadable, damaged, .. } = *numbers;
        let failures = numbers.log.failed;
        let more =
            failures > self.failures || unreadable > self.unreadable || damaged > self.damaged;
        *self = Self { failures, unreadable, damaged };
        more.then_some(Event::DiskTrouble { failures, unreadable, damaged })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_with_the_disk_is_told_when_there_is_more() {
        let mut seen = Trouble::default();
        let mut numbers = disk::Numbers::default();
        assert!(seen.look(&numbers).is_none());
        numbers.damaged = 2;
        assert!(matches!(seen.look(&numbers), Some(Event::DiskTrouble { damaged: 2, .. })));
        assert!(seen.look(&numbers).is_none());
    }

    #[test]
    fn a_slow_listener_is_told_how_many_events_it_has_missed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let events = Events::default();
            let (out, mut pieces) = mpsc::channel(1);
            tokio::spawn(tell(events.told.subscribe(), events.ends.subscribe(), out));
            for _ in 0..BEHIND_MAX + 44 {
                events.publish(&Event::Draining);
            }
            let mut heard = String::new();
            for _ in 0..3 {
                heard += std::str::from_utf8(&pieces.recv().await.unwrap()).unwrap();
            }
            assert!(heard.starts_with(": listening\n\nevent: missed\ndata: {"), "{heard}");
            assert!(heard.contains("\"event\":\"missed\",\"events\":44}\n\n"), "{heard}");
            assert!(heard.contains("event: draining\ndata: {\"time_ms\":"), "{heard}");
        });
    }
}
