//! `nigh demo`: an origin, and clusters `eu` and `us` of three edges each, on this machine. In one
//! process, or with `--processes` in several. `nigh kill` and `nigh revive` reach it from elsewhere, and
//! `--tour` shows it under load.

mod clusters;
mod fleet;
pub(crate) mod place;
mod tour;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use anyhow::Context;
use nigh_load::{Origin, Terms};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    clusters::{CLUSTERS, HOST, Planned},
    fleet::{Fleet, Together},
    place::Place,
};
use crate::cli;

/// How long the origin thinks about each answer: what a hit saves.
const THINKING: Duration = Duration::from_millis(20);

/// For how long its page is fresh: short, so that the tour need not wait, but more than the second that
/// Date may have been cut by.
const PAGE_FRESH: Duration = Duration::from_secs(2);

/// What is asked for as an example. It is fresh for an hour.
const OBJECT: &str = "/object/1/1000";

/// Bytes of the longest order.
const ORDER_MAX: u64 = 100;

/// How long whoever gives an order may take to say it.
const ORDER_PATIENCE: Duration = Duration::from_secs(1);

/// Runs the demo until Ctrl-C or SIGTERM, or the tour to its end.
pub(crate) fn run(flags: &cli::Demo) -> anyhow::Result<()> {
    let began = Instant::now();
    let place = Place::take(flags.dir.as_deref())?;
    let terms = Terms { page_fresh: PAGE_FRESH, thinking: THINKING, ..Terms::default() };
    let mut origin = Origin::start((Ipv4Addr::LOCALHOST, 0).into(), terms)
        .context("the origin cannot listen")?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // From here on nobody is left behind by a signal.
    let (tell, events) = channel();
    hear_signals(&runtime, &tell)?;
    hear_orders(&place, tell)?;
    let edges = place.edges();
    std::fs::create_dir_all(&edges).with_context(|| format!("cannot make {}", edges.display()))?;
    let planned = runtime.block_on(clusters::plan(&edges, origin.address(), flags.tour))?;
    let together = match flags.processes {
        true => None,
        false => Some(runtime.block_on(Together::open(&edges))?),
    };
    let mut fleet = Fleet::start(&place, origin.address(), planned, together)?;
    let stage = Stage { json: flags.json };
    introduce(&stage, &fleet, origin.address(), began)?;
    let done = if flags.tour {
        tour::run(&stage, &mut fleet, &mut origin, &events)
    } else {
        advise(&stage, &fleet).and_then(|()| serve(&stage, &mut fleet, &events))
    };
    fleet.end();
    runtime.shutdown_background();
    done
}

/// Where the show is seen.
struct Stage {
    json: bool,
}

impl Stage {
    fn say(&self, what: &str, text: &str) -> anyhow::Result<()> {
        self.tell(&format_args!("{what:>6}  {text}"), &json!({ "what": what, "text": text }))
    }

    /// Says something in words, or to a script.
    fn tell(
        &self,
        words: &dyn std::fmt::Display,
        fields: &serde_json::Value,
    ) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self.json {
            true => writeln!(out, "{fields}")?,
            false => writeln!(out, "{words}")?,
        }
        Ok(out.flush()?)
    }
}

fn introduce(
    stage: &Stage,
    fleet: &Fleet<'_>,
    origin: SocketAddr,
    began: Instant,
) -> anyhow::Result<()> {
    stage.say("origin", &format!("a slow site answers on http://{origin}"))?;
    for planned in fleet.first() {
        let fields = json!({ "what": "edge", "name": planned.name,
            "http": planned.http.to_string(), "admin": planned.admin.to_string() });
        let words = format!(
            "  {}  serves on http://{}, admin on {}",
            planned.name, planned.http, planned.admin
        );
        stage.tell(&words, &fields)?;
    }
    let count = fleet.first().count() / CLUSTERS.len();
    let took = began.elapsed().as_secs_f64();
    let clusters = CLUSTERS.join(" and ");
    stage.say("ready", &format!("{clusters}, of {count} edges each, after {took:.1} s"))
}

/// What to try. All of it works as it is printed.
fn advise(stage: &Stage, fleet: &Fleet<'_>) -> anyhow::Result<()> {
    let [first, second, child] = [0, 1, 3].map(|number| &fleet.edges[number].planned);
    let is_usual = fleet.place.is_usual();
    let admin = |planned: &Planned| match is_usual {
        true => planned.name.clone(),
        false => planned.admin.to_string(),
    };
    let at = match is_usual {
        true => String::new(),
        false => format!(" --demo {}", fleet.place.path().display()),
    };
    let (own, other, name) = (admin(first), admin(second), &second.name);
    let get = |planned: &Planned| {
        format!("curl -so /dev/null -D- -H 'Host: {HOST}' http://{}{OBJECT}", planned.http)
    };
    let purge = match fleet.forgets_together() {
        true => "both clusters forget it, and each edge says when",
        false => "this edge alone forgets it: processes would share purges through an etcd",
    };
    for (what, text) in [
        ("try", format!("{}     a miss: the origin was asked", get(first))),
        ("again", format!("{}     a hit, in the other cluster: see Cache-Status", get(child))),
        ("why", format!("nigh explain http://{HOST}{OBJECT} --admin {own}     whose it is")),
        ("look", format!("nigh top --admin {other}     or nigh status --admin {other}")),
        ("purge", format!("nigh purge http://{HOST}{OBJECT} --admin {own}     {purge}")),
        ("kill", format!("nigh kill {name}{at}     and nigh revive {name}{at}")),
        ("files", fleet.place.edges().display().to_string()),
        ("end", "Ctrl-C ends the demo".to_owned()),
    ] {
        stage.say(what, &text)?;
    }
    Ok(())
}

/// What the demo is told while it runs.
enum Event {
    /// To end.
    End,
    /// To do something with an edge; what came of it is to be said there.
    Order(String, UnixStream),
}

fn serve(stage: &Stage, fleet: &mut Fleet<'_>, events: &Receiver<Event>) -> anyhow::Result<()> {
    while let Ok(event) = events.recv() {
        let Event::Order(text, mut from) = event else { break };
        let line = match obey(fleet, &text) {
            Ok(done) => {
                stage.say("told", &done)?;
                format!("done {done}")
            }
            Err(refused) => format!("refused {refused:#}"),
        };
        answer(&mut from, &line);
    }
    Ok(())
}

/// Says what came of an order.
fn answer(from: &mut UnixStream, line: &str) {
    // Who has left does not want to know.
    drop(writeln!(from, "{}", line.replace('\n', " ")));
}

fn obey(fleet: &mut Fleet<'_>, order: &str) -> anyhow::Result<String> {
    match order.split_once(' ') {
        Some(("kill", name)) => fleet.kill(fleet.number(name)?),
        Some(("revive", name)) => fleet.revive(fleet.number(name)?),
        _ => anyhow::bail!("`{order}` is no order"),
    }
}

fn hear_signals(runtime: &tokio::runtime::Runtime, tell: &Sender<Event>) -> anyhow::Result<()> {
    let _entered = runtime.enter();
    // Whoever closes the terminal ends the demo too.
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signal, tell) = (signal(kind)?, tell.clone());
        runtime.spawn(async move {
            signal.recv().await;
            // Who is not there any more is at the end already.
            drop(tell.send(Event::End));
        });
    }
    Ok(())
}

/// Takes orders on a thread of its own, one after the other.
fn hear_orders(place: &Place, tell: Sender<Event>) -> anyhow::Result<()> {
    let path = place.orders();
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(order) = read_order(&stream) else { continue };
            if tell.send(Event::Order(order, stream)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn read_order(stream: &UnixStream) -> Option<String> {
    stream.set_read_timeout(Some(ORDER_PATIENCE)).ok()?;
    let mut line = String::new();
    BufReader::new(stream).take(ORDER_MAX).read_line(&mut line).ok()?;
    line.strip_suffix('\n').map(str::to_owned)
}

/// `nigh kill EDGE`.
pub(crate) fn kill(flags: &cli::OfDemo) -> anyhow::Result<()> {
    order("kill", flags)
}

/// `nigh revive EDGE`.
pub(crate) fn revive(flags: &cli::OfDemo) -> anyhow::Result<()> {
    order("revive", flags)
}

fn order(what: &str, flags: &cli::OfDemo) -> anyhow::Result<()> {
    let (found, orders) = place::find(flags.demo.as_deref().map(Path::new))?;
    let edge = place::edge(&found, &flags.edge)?;
    let said = place::order(&orders, &format!("{what} {}", edge.name))?;
    writeln!(std::io::stdout().lock(), "{said}")?;
    Ok(())
}
