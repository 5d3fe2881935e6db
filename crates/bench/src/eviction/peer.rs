//! libcachesim, the published policies' own simulator, asked through a small Python script.

use super::{replay::Ratios, trace::Trace};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const SCRIPT: &str = include_str!("../../py/libcachesim_replay.py");

/// One answer.
pub(crate) struct Cell {
    pub(crate) policy: String,
    pub(crate) capacity: u64,
    pub(crate) ratios: Ratios,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not installed.
    #[error(
        "libcachesim is not there ({0}); get it with\n  python3 -m venv target/libcachesim\n  \
         target/libcachesim/bin/pip install libcachesim==0.3.5\nor measure with --alone"
    )]
    Missing(PathBuf),
    /// The trace cannot be handed over.
    #[error("no room for the trace in {0}")]
    Scratch(PathBuf, #[source] io::Error),
    /// The script failed, or spoke in riddles.
    #[error("libcachesim gave no figures for {trace}: {said}")]
    Silent {
        /// The trace's name.
        trace: String,
        /// What it said instead.
        said: String,
    },
}

/// The hit ratios of libcachesim's policies on `trace` at each of `capacities`.
pub(crate) fn ask(python: &Path, trace: &Trace, capacities: &[u64]) -> Result<Vec<Cell>, Error> {
    let known = Command::new(python).args(["-c", "import libcachesim"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        return Err(Error::Missing(python.to_owned()));
    }
    let scratch = std::env::temp_dir().join(format!("nigh-eviction-{}", std::process::id()));
    let answer = ask_in(&scratch, python, trace, capacities);
    // What is left behind is in the directory for such things.
    let _ = fs::remove_dir_all(&scratch);
    answer
}

fn ask_in(
    scratch: &Path,
    python: &Path,
    trace: &Trace,
    capacities: &[u64],
) -> Result<Vec<Cell>, Error> {
    let no_room = |error| Error::Scratch(scratch.to_owned(), error);
    let (requests, figures) = (scratch.join("requests.bin"), scratch.join("figures"));
    fs::create_dir_all(scratch).map_err(no_room)?;
    fs::write(&requests, oracle(trace)).map_err(no_room)?;
    let output = Command::new(python)
        .args(["-c", SCRIPT])
        .args([&requests, &figures])
        .args(capacities.iter().map(u64::to_string))
        .output()
        .map_err(no_room)?;
    let text = fs::read_to_string(&figures).unwrap_or_default();
    let cells: Option<Vec<Cell>> = text.lines().map(parse).collect();
    let silent = || Error::Silent {
        trace: trace.name.clone(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    };
    cells.filter(|cells| output.status.success() && !cells.is_empty()).ok_or_else(silent)
}

/// The trace in libCacheSim's own format, with the time of each object's next request for Belady.
fn oracle(trace: &Trace) -> Vec<u8> {
    let mut next = vec![-1; trace.objects];
    let mut nexts = vec![-1; trace.requests.len()];
    for (time, request) in (1i64..=i64::MAX).zip(&trace.requests).collect::<Vec<_>>().iter().rev() {
        let index = usize::try_from(time - 1).expect("an index");
        nexts[index] = std::mem::replace(&mut next[request.object], *time);
    }
    let mut bytes = Vec::new();
    for (time, (request, next)) in (0u32..).zip(trace.requests.iter().zip(nexts)) {
        bytes.extend(time.to_le_bytes());
        bytes.extend((request.object as u64).to_le_bytes());
        bytes.extend(request.bytes.to_le_bytes());
        bytes.extend(next.to_le_bytes());
    }
    bytes
}

fn parse(line: &str) -> Option<Cell> {
    let mut words = line.split(' ');
    Some(Cell {
        policy: words.next()?.to_owned(),
        capacity: words.next()?.parse().ok()?,
        ratios: Ratios { objects: words.next()?.parse().ok()?, bytes: words.next()?.parse().ok()? },
    })
}
