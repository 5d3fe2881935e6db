//! `nigh demo --tour`: clients ask all edges all the time, while one is killed and comes back, one more
//! joins, and everything is purged. Then the origin dies. What clients and the origin saw is printed.

use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use http::{Method, StatusCode};
use nigh_load::{Load, Object, Origin, Pace, Popular, Tally};
use serde_json::{Value, json};

use super::{Event, PAGE_FRESH, Stage, answer, clusters::HOST, fleet::Fleet};
use crate::{
    ask::{Address, Edge, Place},
    forget, small_http as small,
};

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

/// How long a purge of all may take: what it waits for edges, and what control state takes.
const PURGE_PATIENCE: Duration = forget::WAIT_MAX.saturating_add(Duration::from_secs(5));

/// What is said to whoever gives an order.
const REFUSED: &str = "refused a tour takes no orders: start nigh demo without --tour";

/// How often all edges are purged, one after the other, where each forgets by itself. An answer has come by two edges at most where all
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
    let began = Instant::now();
    let objects = (0..OBJECTS).map(|number| Object { number, bytes: bytes_of(number) }).collect();
    let edges: Vec<SocketAddr> = fleet.first().map(|planned| planned.http).collect();
    let load = Load::start(edges, Popular::new(objects), PACE, 1)?;
    let shown = parts(stage, fleet, origin, &load, events);
    let (tally, asked) = (load.stop(), origin.requests());
    let shown = shown.and_then(|()| stale(stage, fleet.edges[0].planned.http, origin, events));
    // Whoever reads along learns what was seen also of a tour that was ended.
    finish(stage, &tally, asked, began, shown.is_ok())?;
    shown?;
    ensure!(tally.failed == 0, "clients were failed: {}", tally.words.join("; "));
    Ok(())
}

/// What happens while clients ask.
fn parts(
    stage: &Stage,
    fleet: &mut Fleet<'_>,
    origin: &Origin,
    load: &Load,
    events: &Receiver<Event>,
) -> anyhow::Result<()> {
    let mut show = Show { stage, origin_before: 0, before: Tally::default() };
    let name = fleet.edges[VICTIM].planned.name.clone();

    let rate = PACE.rate.unwrap_or_default();
    stage.say(
        "load",
        &format!("{} clients ask all edges, {rate} times a second", PACE.connections),
    )?;
    wait(events, PART)?;
    show.tell("filled", "each object came from the origin once, for both clusters", load, origin)?;

    load.killed(VICTIM);
    let said = fleet.kill(VICTIM)?;
    stage.say("kill", &said)?;
    wait(events, PART)?;
    let detail = "its share was fetched once more, by those who answer for it now";
    show.tell("killed", detail, load, origin)?;

    let said = fleet.revive(VICTIM)?;
    load.back(VICTIM);
    stage.say("revive", &said)?;
    wait(events, PART)?;
    show.tell("back", &format!("{name} takes its share again"), load, origin)?;

    join(stage, fleet)?;
    wait(events, PART)?;
    let detail = "its share came from those that had it, and only what nobody had from the origin";
    show.tell("joined", detail, load, origin)?;

    let edition = origin.publish();
    match fleet.forgets_together() {
        true => purge(stage, fleet)?,
        false => purge_each(stage, fleet)?,
    }
    load.purged(edition);
    wait(events, PART)?;
    show.tell("purged", "nobody has seen the old edition since", load, origin)
}

/// Has the edge that comes later come.
fn join(stage: &Stage, fleet: &mut Fleet<'_>) -> anyhow::Result<()> {
    let newcomer = fleet.edges.iter().position(|one| one.planned.comes_later);
    let number = newcomer.context("nobody is to come later")?;
    fleet.revive(number)?;
    stage.say("join", &format!("{} is new among them", fleet.edges[number].planned.name))
}

/// From a twentieth of the longest to the longest.
fn bytes_of(number: u64) -> u32 {
    OBJECT_BYTES / 20 * (1 + u32::try_from(number % 20).expect("below 20"))
}

/// Lets so much time pass. Orders are refused meanwhile.
fn wait(events: &Receiver<Event>, time: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + time;
    loop {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Ok(Event::Order(_, mut from)) => answer(&mut from, REFUSED),
            Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => bail!("the tour was ended"),
        }
    }
}

/// Has all edges forget everything, by one call to one of them.
fn purge(stage: &Stage, fleet: &Fleet<'_>) -> anyhow::Result<()> {
    let planned = &fleet.edges[0].planned;
    let asked = Edge::at(Place::At(Address::Tcp(planned.admin.to_string())), None)?;
    let answer = asked.ask_within(PURGE_PATIENCE, Method::POST, "/v1/purge?all")?;
    ensure!(answer["done"] == true, "the purge is not done: {answer}");
    let mut each = Vec::new();
    for one in &fleet.edges {
        let name = &one.planned.name;
        let at = answer["edges"].as_array().into_iter().flatten().find(|at| at["name"] == **name);
        let at = at.filter(|at| at["state"] == "forgotten");
        let at = at.with_context(|| format!("{name} has not forgotten: {answer}"))?;
        each.push(format!("{name} after {} ms", at["millis"]));
    }
    let text = format!(
        "there is a new edition of everything; told to forget by one call, {}",
        each.join(", ")
    );
    let words = format!("{:>6}  {text}", "purge");
    stage.tell(&words, &json!({ "what": "purge", "text": text, "edges": answer["edges"] }))
}

/// Has each edge forget everything, where each forgets by itself.
fn purge_each(stage: &Stage, fleet: &Fleet<'_>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for one in std::iter::repeat_n(&fleet.edges, ROUNDS).flatten() {
        let name = &one.planned.name;
        let got = small::ask(Method::POST, one.planned.admin, "/v1/purge?all");
        let got = runtime.block_on(got).with_context(|| format!("{name} cannot be purged"))?;
        ensure!(got.status == StatusCode::OK, "{name} answered {} to a purge", got.status);
    }
    let text = "there is a new edition of everything, and each edge was told to forget the old one: \
                processes would share purges through an etcd";
    stage.say("purge", text)
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
    edge: SocketAddr,
    origin: &mut Origin,
    events: &Receiver<Event>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ask = |text: &str, expected: &str| -> anyhow::Result<()> {
        let got = runtime.block_on(small::ask_of(HOST, Method::GET, edge, "/"))?;
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
    wait(events, PAGE_FRESH + Duration::from_secs(1))?;
    ask("it is stale by now, and nobody notices", "stale")?;
    origin.start_again().context("the origin does not come back")?;
    stage.say("alive", "the origin is back")
}

fn finish(
    stage: &Stage,
    tally: &Tally,
    asked: u64,
    began: Instant,
    is_whole: bool,
) -> anyhow::Result<()> {
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
        "seconds": seconds, "whole": is_whole });
    stage.tell(&words, &fields)
}
