//! `nigh node --replay`: a recorded node once more, without any network.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, anyhow, bail};
use nigh_base::{
    Machine,
    machine::Coded,
    record::{self, RecordError},
};
use nigh_overlay::locate::Overlay;
use serde_json::json;

/// Gives the recording in `path` to `machine`, and fails unless it does what it did then.
pub(super) fn run<T: Overlay>(path: &Path, machine: Coded<T>, as_json: bool) -> anyhow::Result<()> {
    let recording = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let replayed = record::replay(&recording, machine).map_err(|error| {
        let next = match error {
            RecordError::OtherMachine { .. } => {
                "; it needs the flags of the recorded node, and the port that it got"
            }
            _ => "",
        };
        anyhow!(error).context(format!("cannot replay {}{next}", path.display()))
    })?;
    let agrees = replayed.agrees();
    let recorded = replayed.recorded_digest.map(|digest| format!("{digest:016x}"));
    let digest = format!("{:016x}", replayed.digest);
    let mut out = std::io::stdout().lock();
    if as_json {
        let line = json!({ "what": "replayed", "inputs": replayed.inputs,
            "recorded_digest": recorded, "digest": digest, "departed": replayed.departed,
            "agrees": agrees, "cut_at": replayed.cut_at });
        writeln!(out, "{line}")?;
    } else {
        let recorded = recorded.unwrap_or_else(|| match replayed.cut_at {
            Some(at) => format!("{NO_END}, it is cut off in the record at byte {at}"),
            None => NO_END.to_owned(),
        });
        writeln!(out, "inputs    {}", replayed.inputs)?;
        writeln!(out, "recorded  {recorded}")?;
        writeln!(out, "replayed  {digest}")?;
        writeln!(out, "agrees    {}", in_words(&replayed))?;
    }
    out.flush()?;
    match (replayed.departed, replayed.recorded_digest) {
        _ if agrees => Ok(()),
        (None, None) => Err(anyhow!(without_end(&replayed))),
        _ => bail!("the node does not come to the state that was recorded"),
    }
}

/// Why a recording that was followed to its last input proves nothing of the state behind it.
fn without_end<T: Machine>(replayed: &record::Replayed<T>) -> String {
    let why = match replayed.cut_at {
        Some(at) => format!("it is cut off in the record at byte {at}"),
        None => "the node was not stopped in order".to_owned(),
    };
    format!("the recording has no end to compare with: {why}")
}

fn in_words<T: Machine>(replayed: &record::Replayed<T>) -> String {
    match (replayed.agrees(), replayed.departed) {
        (true, _) => {
            "yes: it does at each input what it did, and comes to the same state".to_owned()
        }
        (false, Some(input)) => {
            format!("no: at input {input}, counted from 0, it does something else")
        }
        (false, None) if replayed.recorded_digest.is_none() => {
            "as far as it goes: it does at each input what it did".to_owned()
        }
        (false, None) => "no: it does what it did, and comes to another state".to_owned(),
    }
}

/// What stands in the place of the recorded digest.
const NO_END: &str = "none: the recording has no end";
