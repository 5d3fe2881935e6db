//! `nigh purge`: has a running edge forget what it has stored. What it asks for: `admin::purge`.

use std::io::Write;

use anyhow::bail;
use http::Method;

use crate::{ask, cli};

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
    let answer = flags.edge.edge()?.ask(Method::POST, &path)?;
    let mut out = std::io::stdout().lock();
    if flags.edge.json {
        writeln!(out, "{answer}")?;
    } else {
        let how = if flags.soft { "stale" } else { "forgotten" };
        let what = match answer["variants"].as_u64() {
            Some(variants) => format!("{variants} in memory"),
            None => format!("rule {}", answer["id"]),
        };
        let disk = match answer["durable"].as_bool() {
            None => "",
            Some(true) => ", on disk too",
            Some(false) => ", but not on disk",
        };
        writeln!(out, "{how}: {what}{disk}, in {} us", answer["micros"])?;
    }
    if let Some(problem) = answer["problem"].as_str() {
        bail!("{problem}");
    }
    Ok(())
}

fn pair(name: &str, value: &str) -> String {
    format!("{name}={}", ask::percent_encode(value))
}
