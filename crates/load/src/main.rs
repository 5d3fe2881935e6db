//! `nigh-load`: the load and its origin for scripts, which tell it in lines what they do.
//!
//! ```text
//! nigh-load origin ADDR:PORT                  prints its address; lines: publish, requests
//! nigh-load ask SECONDS RATE EDGE...          lines: killed N, back N, purged EDITION, tally
//! ```
//! Edges are numbered from 0. Every line is answered by one. Both end with their input, and `ask` then,
//! or when its time is over, with a last line: the tally as JSON. It ends with 1 if a request failed.

use std::{
    io::{self, BufRead, Write},
    net::SocketAddr,
    process::ExitCode,
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use nigh_load::{Load, Object, Origin, Pace, Popular, Tally, Terms};

/// What is asked for: from 1 to 40 thousand bytes each.
const OBJECTS: u64 = 400;
const BYTES_STEP: u32 = 1_000;

/// Clients at once: enough that a rate is kept up while many wait for an edge that is far away.
const CONNECTIONS: usize = 64;

const USAGE: &str = "nigh-load origin ADDR:PORT, or nigh-load ask SECONDS RATE EDGE...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = match words[..] {
        ["origin", address] => origin(address).map(|()| ExitCode::SUCCESS),
        ["ask", seconds, rate, ref edges @ ..] if !edges.is_empty() => ask(seconds, rate, edges),
        _ => Err(io::Error::other(USAGE)),
    };
    ran.unwrap_or_else(|error| {
        // Where even that cannot be said, the code says it.
        drop(writeln!(io::stderr(), "nigh-load: {error}"));
        ExitCode::from(2)
    })
}

fn origin(address: &str) -> io::Result<()> {
    let origin = Origin::start(parsed(address)?, Terms::default())?;
    say(origin.address())?;
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "publish" => say(origin.publish())?,
            "requests" => say(origin.requests())?,
            other => say(format_args!("unknown: {other}"))?,
        }
    }
    Ok(())
}

fn ask(seconds: &str, rate: &str, edges: &[&str]) -> io::Result<ExitCode> {
    let edges: Vec<SocketAddr> =
        edges.iter().map(|edge| parsed(edge)).collect::<io::Result<_>>()?;
    let count = edges.len();
    let pace = Pace { connections: CONNECTIONS, rate: Some(parsed(rate)?) };
    let deadline = Instant::now() + Duration::from_secs_f64(parsed(seconds)?);
    let load = Load::start(edges, Popular::new(objects()), pace, 1)?;
    let (tell, lines) = channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    // Until the time is over, or the input.
    let left = || deadline.saturating_duration_since(Instant::now());
    while let Ok(line) = lines.recv_timeout(left()) {
        obey(&load, &line, count)?;
    }
    let tally = load.stop();
    say(json(&tally))?;
    tally.words.iter().try_for_each(|words| writeln!(io::stderr(), "failed: {words}"))?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn obey(load: &Load, line: &str, edges: usize) -> io::Result<()> {
    let edge = |text: &str| parsed::<usize>(text).ok().filter(|edge| *edge < edges);
    let done = match line.split_once(' ') {
        None if line == "tally" => return say(json(&load.tally())),
        Some(("killed", text)) => edge(text).map(|edge| load.killed(edge)),
        Some(("back", text)) => edge(text).map(|edge| load.back(edge)),
        Some(("purged", text)) => text.parse().ok().map(|edition| load.purged(edition)),
        _ => None,
    };
    match done {
        Some(()) => say("ok"),
        None => say(format_args!("unknown: {line}")),
    }
}

fn objects() -> Vec<Object> {
    let bytes = |number: u64| BYTES_STEP * (1 + u32::try_from(number % 40).unwrap_or_default());
    (0..OBJECTS).map(|number| Object { number, bytes: bytes(number) }).collect()
}

fn json(tally: &Tally) -> String {
    let millis = |share| tally.quantile(share).as_secs_f64() * 1e3;
    let Tally { requests, failed, cut, reopened, .. } = tally;
    let (p50, p99) = (millis(0.5), millis(0.99));
    format!(
        "{{\"requests\": {requests}, \"failed\": {failed}, \"cut\": {cut}, \"reopened\": {reopened}, \
         \"p50_milliseconds\": {p50:.1}, \"p99_milliseconds\": {p99:.1}}}"
    )
}

fn parsed<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("`{text}` cannot be read; {USAGE}")))
}

fn say(what: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}")?;
    out.flush()
}
