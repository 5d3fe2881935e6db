//! `nigh locate`, `nigh put`, `nigh fetch` and `nigh dht`: an overlay is asked from outside.

mod dht;
mod trace;
mod visitor;

use std::{
    fs,
    io::{Read, Write},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::error::ErrorKind;
use nigh_overlay::locate::{Command, Contact, Event, VALUE_MAX};
use serde_json::{Value, json};

pub(crate) use self::dht::run as dht;
use self::{
    trace::Step,
    visitor::{TICKET, ask},
};
use crate::cli;

/// Prints who is responsible for a key.
pub(crate) fn run(flags: &cli::Locate) -> anyhow::Result<()> {
    unless_closed(print_holders(flags))
}

/// Has a value held.
pub(crate) fn put(flags: &cli::Put) -> anyhow::Result<()> {
    unless_closed(print_put(flags))
}

/// Prints the value that is held under a key.
pub(crate) fn fetch(flags: &cli::Fetch) -> anyhow::Result<()> {
    unless_closed(print_value(flags))
}

/// Whoever reads the answer and closes the pipe wants no more of it: that is no failure.
fn unless_closed(printed: anyhow::Result<()>) -> anyhow::Result<()> {
    let is_closed = |error: &anyhow::Error| {
        let error = error.downcast_ref::<std::io::Error>();
        error.is_some_and(|it| it.kind() == std::io::ErrorKind::BrokenPipe)
    };
    printed.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error) })
}

fn print_holders(flags: &cli::Locate) -> anyhow::Result<()> {
    let key = flags.sought.key();
    let command = Command::Locate { ticket: TICKET, key, trace: true };
    let answer =
        ask("locate", flags.sought.overlay, &flags.visit, &format!("locate {key}"), command)?;
    let (Event::Located { holders, route, .. }, took) = answer else {
        return Err(another_answer(&answer.0));
    };
    let steps = trace::steps(flags.sought.overlay, key, &holders, &route);
    let mut out = std::io::stdout().lock();
    if flags.visit.json {
        let mut answer = json!({ "key": key.to_string(), "text": flags.sought.hashed(),
            "holders": holders.iter().map(contact).collect::<Vec<_>>(),
            "hops": passed(&steps), "unanswered": steps.len() - passed(&steps),
            "milliseconds": milliseconds(took) });
        if flags.trace {
            answer["route"] = steps.iter().enumerate().map(|(at, it)| it.json(at)).collect();
        }
        writeln!(out, "{answer}")?;
    } else {
        out.write_all(key_line(&flags.sought).as_bytes())?;
        out.write_all(in_words(&holders, &steps, took).as_bytes())?;
        if flags.trace {
            out.write_all(trace::table(&steps).as_bytes())?;
        }
    }
    Ok(out.flush()?)
}

fn print_put(flags: &cli::Put) -> anyhow::Result<()> {
    let key = flags.sought.key();
    let value = value(&flags.value)?;
    let (length, lifetime) = (value.len(), flags.lifetime);
    let command = Command::Put { ticket: TICKET, key, value, lifetime, refresh: false };
    let answer = ask("put", flags.sought.overlay, &flags.visit, &format!("put {key}"), command)?;
    let (Event::Stored { copies, .. }, took) = answer else {
        return Err(another_answer(&answer.0));
    };
    let mut out = std::io::stdout().lock();
    if flags.visit.json {
        let line = json!({ "key": key.to_string(), "text": flags.sought.hashed(), "bytes": length,
            "copies": copies, "seconds": lifetime.as_secs_f64(),
            "milliseconds": milliseconds(took) });
        writeln!(out, "{line}")?;
    } else {
        out.write_all(key_line(&flags.sought).as_bytes())?;
        let nodes = if copies == 1 { "1 node".to_owned() } else { format!("{copies} nodes") };
        let time = cli::in_units(lifetime);
        writeln!(out, "held      {length} bytes, by {nodes}, for {time}")?;
    }
    Ok(out.flush()?)
}

fn print_value(flags: &cli::Fetch) -> anyhow::Result<()> {
    let key = flags.sought.key();
    let command = Command::Get { ticket: TICKET, key };
    let answer =
        ask("fetch", flags.sought.overlay, &flags.visit, &format!("fetch {key}"), command)?;
    let (Event::Value { value, .. }, took) = answer else {
        return Err(another_answer(&answer.0));
    };
    let mut out = std::io::stdout().lock();
    if flags.visit.json {
        let mut line = json!({ "key": key.to_string(), "text": flags.sought.hashed(),
            "bytes": value.as_ref().map(Bytes::len), "milliseconds": milliseconds(took) });
        if flags.output.is_none() {
            line["value_hex"] = value.as_deref().map(hex).into();
            line["value_text"] = value.as_deref().and_then(|it| str::from_utf8(it).ok()).into();
        }
        writeln!(out, "{line}")?;
    }
    let Some(value) = value else {
        bail!("nothing is held under {key}: it was never put, or its time is over");
    };
    match &flags.output {
        Some(path) => {
            fs::write(path, &value).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None if flags.visit.json => {}
        None => out.write_all(&value)?,
    }
    Ok(out.flush()?)
}

/// The value that is meant by `text`. Ends with 2 if it is too long: nothing is sent then.
fn value(text: &str) -> anyhow::Result<Bytes> {
    let value = given(text, VALUE_MAX)?;
    if value.len() > VALUE_MAX {
        let message = format!("a value has at most {VALUE_MAX} bytes, and this one is longer");
        cli::used_wrongly("put", ErrorKind::ValueValidation, &message);
    }
    Ok(value.into())
}

/// The bytes of `text`, or of standard input if it is `-`: of that only one more than `max`.
fn given(text: &str, max: usize) -> anyhow::Result<Vec<u8>> {
    if text != "-" {
        return Ok(text.as_bytes().to_vec());
    }
    let mut given = Vec::new();
    let read = std::io::stdin().lock().take(max as u64 + 1).read_to_end(&mut given);
    read.context("cannot read standard input")?;
    Ok(given)
}

fn key_line(sought: &cli::Sought) -> String {
    match sought.hashed() {
        Some(text) => format!("key       {}, SHA-1 of {text:?}\n", sought.key()),
        None => format!("key       {}\n", sought.key()),
    }
}

fn in_words(holders: &[Contact], steps: &[Step], took: Duration) -> String {
    let mut out = String::new();
    for (at, Contact { key, address }) in holders.iter().enumerate() {
        let what = if at == 0 { "holder" } else { "stand-in" };
        out += &format!("{what:8}  {address} as {key}\n");
    }
    let count =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let passed = passed(steps);
    let missed = match steps.len() - passed {
        0 => String::new(),
        missed => format!(" and {} without an answer", count(missed, "question")),
    };
    out + &format!("way       {}{missed}, {:.2} ms\n", count(passed, "node"), milliseconds(took))
}

/// How many nodes the way has passed, the holder among them.
fn passed(steps: &[Step]) -> usize {
    steps.iter().filter(|step| !step.was_missed()).count()
}

fn contact(contact: &Contact) -> Value {
    json!({ "key": contact.key.to_string(), "address": contact.address.to_string() })
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The machine answers each command in its way; another answer is our mistake.
fn another_answer(event: &Event) -> anyhow::Error {
    anyhow!("the answer is none to the question: {event:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_anything_else_is() {
        let error = |kind| -> anyhow::Result<()> { Err(std::io::Error::from(kind).into()) };
        assert!(unless_closed(error(std::io::ErrorKind::BrokenPipe)).is_ok());
        assert!(unless_closed(error(std::io::ErrorKind::StorageFull)).is_err());
        assert!(unless_closed(Err(anyhow!("nothing is held"))).is_err());
        assert!(unless_closed(Ok(())).is_ok());
    }

    #[test]
    fn a_time_has_no_more_digits_than_were_measured() {
        assert_eq!(milliseconds(Duration::from_nanos(12_345_678)).to_string(), "12.346");
    }
}
