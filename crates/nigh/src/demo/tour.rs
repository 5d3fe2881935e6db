//! `nigh demo --tour`: clients ask all edges all the time, while an edge is killed and comes back, and
//! everything is purged. Then the origin dies. What clients and the origin saw is printed.

use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use http::{Method, StatusCode};
use nigh_load::{Load, Object, Origin, Pace, Popular, Tally};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Event, PAGE_FRESH, Stage, fleet::Fleet};
use crate::small_http as small;

/// Clients, and what they ask for in a second, all together: little enough for a laptop.
const PACE: Pace = Pace { connections: 12, rate: Some(400.0) };

/// What they ask for.
const OBJECTS: u64 = 400;

/// Bytes of the longest object; they are from a twentieth of it on.
const OBJECT_BYTES: u32 = 40_000;

/// How long each part of the tour is.
const PART: Duration = Duration::from_secs(2);

/// The edge that is killed.
const VICTIM: usize = 1;

/// How often all edges are purged, one after the other. An answer has come by two edges at most where all
/// are well, and by three where one was passed by, so that after so many rounds none of them has what
/// another one had kept.
const ROUNDS: usize = 3;

/// Shows everything, and fails if a client was failed.
pub(super) fn run(
    stage: &Stage,
    fleet: &mut Fleet<'_>,
    origin: &mut Origin,
    events: &Receiver<Event>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let objects = (0..OBJECTS).map(|number| Object { number, bytes: bytes_of(number) }).collect();
    let edges: Vec<SocketAddr> = fleet.edges.iter().map(|one| one.planned.http).collect();
    let load = Load::start(edges, Popular::new(objects), PACE, 1)?;
    let mut show = Show { stage, origin_before: 0, before: Tally::default() };
    let name = fleet.edges[VICTIM].planned.name.clone();

    let rate = PACE.rate.unwrap_or_default();
    stage.say(
        "load",
        &format!("{} clients ask all edges, {rate} times a second", PACE.connections),
    )?;
    wait(events)?;
    show.tell("filled", "each object came from the origin once, for both clusters", &load, origin)?;

    load.killed(VICTIM);
    let said = fleet.kill(VICTIM)?;
    stage.say("kill", &said)?;
    wait(events)?;
    let detail = "its share was fetched once more, by those who answer for it now";
    show.tell("killed", detail, &load, origin)?;

    let said = fleet.revive(VICTIM)?;
    load.back(VICTIM);
    stage.say("revive", &said)?;
    wait(events)?;
    show.tell("back", &format!("{name} takes its share again"), &load, origin)?;

    let edition = origin.publish();
    for _ in 0..ROUNDS {
        runtime.block_on(purge(fleet))?;
    }
    load.purged(edition);
    stage.say(
        "purge",
        "there is a new edition of everything, and all edges have forgotten the old one",
    )?;
    wait(events)?;
    show.tell("purged", "nobody has seen the old edition since", &load, origin)?;
    let (tally, asked) = (load.stop(), origin.requests());

    let victim = fleet.edges[0].planned.http;
    stale(stage, &runtime, victim, origin, events)?;
    finish(stage, &tally, asked, began)
}

/// From a twentieth of the longest to the longest.
fn bytes_of(number: u64) -> u32 {
    OBJECT_BYTES / 20 * (1 + u32::try_from(number % 20).expect("below 20"))
}

/// Lets the load go on for a part of the tour.
fn wait(events: &Receiver<Event>) -> anyhow::Result<()> {
    match events.recv_timeout(PART) {
        Err(RecvTimeoutError::Timeout) => Ok(()),
        _ => bail!("the tour was ended"),
    }
}

/// Has all edges forget everything.
async fn purge(fleet: &Fleet<'_>) -> anyhow::Result<()> {
    for one in &fleet.edges {
        let name = &one.planned.name;
        let got = small::ask(Method::POST, one.planned.admin, "/v1/purge?all").await;
        let status = got.with_context(|| format!("{name} cannot be purged"))?.status;
        ensure!(status == StatusCode::OK, "{name} answered {status} to a purge");
    }
    Ok(())
}

/// What clients and the origin saw, part by part.
struct Show<'s> {
    stage: &'s Stage,
    origin_before: u64,
    before: Tally,
}

impl Show<'_> {
    fn tell(&mut self, what: &str, text: &str, load: &Load, origin: &Origin) -> anyhow::Result<()> {
        let (tally, asked) = (load.tally(), origin.requests());
        let requests = tally.requests - self.before.requests;
        let failed = tally.failed - self.before.failed;
        let cut = tally.cut - self.before.cut;
        let from_origin = asked - self.origin_before;
        let fields = json!({ "what": what, "text": text, "requests": requests,
            "failed_requests": failed, "cut_connections": cut, "origin_requests": from_origin });
        let mut words = format!("{what:>6}  {text}\n        {requests} requests, {failed} failed");
        if cut > 0 {
            words += &format!("; {cut} connections were cut, and asked again elsewhere");
        }
        words += &format!("; {from_origin} came from the origin");
        (self.before, self.origin_before) = (tally, asked);
        self.stage.tell(&words, &fields)
    }
}

/// An origin that dies, and a page that is stale meanwhile.
fn stale(
    stage: &Stage,
    runtime: &Runtime,
    edge: SocketAddr,
    origin: &mut Origin,
    events: &Receiver<Event>,
) -> anyhow::Result<()> {
    let ask = |text: &str, expected: &str| -> anyhow::Result<()> {
        let got = runtime.block_on(small::ask(Method::GET, edge, "/"))?;
        let lines = got.fields.get_all("cache-status").iter();
        let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        let status = lines.join(", ");
        ensure!(got.status == StatusCode::OK, "the edge answered {}", got.status);
        ensure!(status.contains(expected), "expected {expected}, and the edge said: {status}");
        let words = format!("   GET  {text}\n        Cache-Status: {status}");
        let fields = json!({ "what": "request", "text": text, "cache_status": status });
        stage.tell(&words, &fields)
    };
    ask("a page that is fresh for two seconds", "fwd=uri-miss")?;
    origin.stop();
    stage.say("dead", "the origin has died")?;
    if let Ok(Event::End) = events.recv_timeout(PAGE_FRESH + Duration::from_secs(1)) {
        bail!("the tour was ended");
    }
    ask("it is stale by now, and nobody notices", "stale")?;
    origin.start_again().context("the origin does not come back")?;
    stage.say("alive", "the origin is back")
}

fn finish(stage: &Stage, tally: &Tally, asked: u64, began: Instant) -> anyhow::Result<()> {
    let hits = 1.0 - asked as f64 / tally.requests.max(1) as f64;
    let seconds = began.elapsed().as_secs_f64();
    let Tally { requests, failed, cut, .. } = tally;
    let p99 = tally.quantile(0.99).as_secs_f64() * 1e3;
    let words = format!(
        "   end  {requests} requests, {failed} failed; {asked} came from the origin: {:.1} % hits; \
         99 of 100 took {p99:.0} ms at most",
        hits * 100.0
    );
    let fields: Value = json!({ "what": "end", "requests": requests, "failed_requests": failed,
        "cut_connections": cut, "origin_requests": asked, "hit_ratio": hits, "p99_milliseconds": p99,
        "seconds": seconds });
    stage.tell(&words, &fields)?;
    ensure!(*failed == 0, "clients were failed: {}", tally.words.join("; "));
    Ok(())
}
