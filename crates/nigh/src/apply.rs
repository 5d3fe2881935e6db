//! `nigh apply`: the sites of a settings file for all edges of a cluster. What it asks for:
//! `admin::settings`.

use std::{io::Write, time::Duration};

use anyhow::{Context, bail};
use http::{HeaderValue, header};
use serde_json::Value;

use crate::{
    cli,
    purge::named,
    settings::{self, FILE_MAX, read_text},
    shared_settings,
};

/// How long applying may take: what an edge waits for others, and what control state takes.
const PATIENCE: Duration = shared_settings::WAIT_MAX.saturating_add(Duration::from_secs(20));

/// Checks the file here, and asks the edge's admin address.
pub(crate) fn run(flags: &cli::Apply) -> anyhow::Result<()> {
    // All that is wrong with it is said with its place before anybody is asked.
    settings::read(&flags.file)?;
    let text = read_text(&flags.file, FILE_MAX)?;
    let sites = settings::sections(&text).with_context(|| flags.file.display().to_string())?;
    let condition = flags.after.map(|revision| match revision {
        0 => (header::IF_NONE_MATCH, HeaderValue::from_static("*")),
        revision => {
            let tag = HeaderValue::try_from(format!("\"{revision}\""));
            (header::IF_MATCH, tag.expect("a number in quotes"))
        }
    });
    let edge = flags.edge.edge()?;
    let answer = edge.put_within(PATIENCE, "/v1/settings", sites, condition)?;
    let edges = || answer["edges"].as_array().into_iter().flatten();
    let mut out = std::io::stdout().lock();
    if flags.edge.json {
        writeln!(out, "{answer}")?;
    } else {
        writeln!(out, "applied: revision {}", answer["revision"])?;
        for edge in edges() {
            let (name, state) = (named(edge), text_of(&edge["state"]));
            match (edge["millis"].as_u64(), edge["problem"].as_str()) {
                (Some(millis), Some(why)) => {
                    writeln!(out, "  {name}: {state} after {millis} ms: {why}")?;
                }
                (Some(millis), None) => writeln!(out, "  {name}: {state} after {millis} ms")?,
                (None, _) => writeln!(out, "  {name}: {state}")?,
            }
        }
    }
    out.flush()?;
    if answer["done"] == false {
        let missing =
            edges().filter(|edge| edge["state"] == "waiting" || edge["state"] == "refused");
        let missing: Vec<String> = missing.map(named).collect();
        bail!("partial: not (yet) on {}", missing.join(", "));
    }
    Ok(())
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
