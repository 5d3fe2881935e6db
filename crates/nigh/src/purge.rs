//! `nigh purge`: has a running edge forget what it has stored. What it asks for: `admin::purge`.

use std::{io::Write, time::Duration};

use anyhow::bail;
use http::Method;
use serde_json::Value;

use crate::{ask, cli, forget};

/// How long a purge may take: what an edge waits for others, and what control state takes.
const PATIENCE: Duration = forget::WAIT_MAX.saturating_add(Duration::from_secs(20));

/// Asks the edge's admin address.
pub(crate) fn run(flags: &cli::Purge) -> anyhow::Result<()> {
    let what = &flags.what;
    let mut query: Vec<String> = what.urls.iter().map(|url| pair("url", url)).collect();
    for (name, value) in [("prefix", &what.prefix), ("host", &what.host), ("tag", &what.tag)] {
        query.extend(value.iter().map(|value| pair(name, value)));
    }
    query.extend(what.all.then(|| "all".to_owned()));
    query.extend(flags.soft.then(|| "soft".to_owned()));
    let path = format!("/v1/purge?{}", query.join("&"));
    let answer = flags.edge.edge()?.ask_within(PATIENCE, Method::POST, &path)?;
    let mut out = std::io::stdout().lock();
    if flags.edge.json {
        writeln!(out, "{answer}")?;
    } else {
        let how = if flags.soft { "stale" } else { "forgotten" };
        let what = match answer["variants"].as_u64() {
            Some(variants) => format!("{variants} in memory"),
            None if answer["edges"].is_array() => format!("purge {}", answer["id"]),
            None => format!("rule {}", answer["id"]),
        };
        let disk = match answer["durable"].as_bool() {
            None => "",
            Some(true) => ", on disk too",
            Some(false) => ", but not on disk",
        };
        writeln!(out, "{how}: {what}{disk}, in {} us", answer["micros"])?;
        for edge in edges(&answer) {
            let (name, state) = (named(edge), text(&edge["state"]));
            match edge["millis"].as_u64() {
                Some(millis) => writeln!(out, "  {name}: {state} after {millis} ms")?,
                None => writeln!(out, "  {name}: {state}")?,
            }
        }
    }
    if let Some(problem) = answer["problem"].as_str() {
        bail!("{problem}");
    }
    if answer["done"] == false {
        let waited = edges(&answer).filter(|edge| edge["state"] == "waiting");
        let waited: Vec<String> = waited.map(named).collect();
        bail!("partial: {} may serve it until they are heard of or found gone", waited.join(", "));
    }
    Ok(())
}

fn edges(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["edges"].as_array().into_iter().flatten()
}

/// An edge, with the cluster whose it is: names are unique in one alone.
pub(crate) fn named(edge: &Value) -> String {
    format!("{}/{}", text(&edge["cluster"]), text(&edge["name"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn pair(name: &str, value: &str) -> String {
    format!("{name}={}", ask::percent_encode(value))
}
