//! `nigh drain`: takes an edge off the rings of its cluster, and back. What it asks for: `admin::drains`.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::bail;
use http::Method;

use crate::{admin, ask, cli};

/// How long it may take: what an edge waits for its ring, and what control state takes.
const PATIENCE: Duration = admin::RING_MAX.saturating_add(Duration::from_secs(20));

/// What is said where all edges are drained, or gone.
const NOBODY_LEFT: &str = "no edge of the cluster is on the ring any more: none owns anything, each asks the \
                           parent or the origin for itself, and /healthz says of none that clients should \
                           come to it; `nigh drain EDGE --undo` takes one back";

/// Asks the edge's admin address.
pub(crate) fn run(flags: &cli::Drain) -> anyhow::Result<()> {
    let edge = flags.asked.edge()?;
    let mut out = io::stdout().lock();
    let Some(name) = &flags.edge else {
        let answer = edge.ask_within(PATIENCE, Method::GET, "/v1/drains")?;
        if flags.asked.json {
            writeln!(out, "{answer}")?;
            return Ok(());
        }
        let drained = answer.as_array().map_or(&[][..], Vec::as_slice);
        if drained.is_empty() {
            writeln!(out, "no edge is drained")?;
        }
        for name in drained.iter().filter_map(|name| name.as_str()) {
            writeln!(out, "{name}")?;
        }
        return Ok(());
    };
    let method = if flags.undo { Method::DELETE } else { Method::PUT };
    let path = format!("/v1/drains/{}", ask::percent_encode(name));
    let answer = edge.ask_within(PATIENCE, method, &path)?;
    if flags.asked.json {
        writeln!(out, "{answer}")?;
    } else {
        let already = if answer["changed"] == true { "" } else { " already" };
        let drained = if flags.undo { "not drained" } else { "drained" };
        let on_ring = if answer["on_ring"] == true { "on" } else { "off" };
        writeln!(out, "{name} is {drained}{already}: it is {on_ring} the ring")?;
    }
    out.flush()?;
    if answer["on_ring"] == true && !flags.undo {
        bail!("{name} is still on the ring: it hears of this when it reaches control state");
    }
    // It may be meant so: clients may have another cluster to go to.
    if answer["edges_on_ring"] == 0 {
        writeln!(io::stderr().lock(), "nigh: {NOBODY_LEFT}")?;
    }
    Ok(())
}
