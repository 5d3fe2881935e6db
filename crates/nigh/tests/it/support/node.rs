//! `nigh node` processes on loopback, and rings of them.

use std::{
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

use serde_json::Value;

use super::{
    PATIENCE,
    process::{NIGH, Process, nigh},
};

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    process: Process,
    /// Where it listens.
    pub(crate) address: String,
    /// Its keys.
    pub(crate) keys: Vec<String>,
}

impl Node {
    /// A node that begins a ring on any port, with more flags.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(NIGH);
        // Upkeep is seldom by default; a test has no time for that.
        command.args(["node", "--listen", "127.0.0.1:0", "--json", "--upkeep", "200ms"]);
        command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = Process::start(&mut command);
        let line: Value = serde_json::from_str(&process.line("listening")).unwrap();
        let keys = line["keys"].as_array().unwrap();
        let keys = keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        let address = line["listen"].as_str().unwrap().to_owned();
        let node = Self { process, address, keys };
        node.line(r#""joined""#);
        node
    }

    /// A node that joins through this one.
    #[track_caller]
    pub(crate) fn joined_by(&self, flags: &[&str]) -> Self {
        Self::start(&[&["--join", &self.address], flags].concat())
    }

    /// The next line of its outputs that contains `words`.
    #[track_caller]
    pub(crate) fn line(&self, words: &str) -> String {
        self.process.line(words)
    }

    /// Sends it SIGTERM, and waits for what it says then.
    #[track_caller]
    pub(crate) fn end(mut self) -> ExitStatus {
        self.process.terminate();
        self.line(r#""left""#);
        self.process.ended()
    }
}

/// Waits until every one of `nodes`, which are a whole ring, names the right holder for each of
/// their keys, and the next ones as stand-ins.
#[track_caller]
pub(crate) fn settled(nodes: &[&Node]) {
    let deadline = Instant::now() + PATIENCE;
    let mut keys: Vec<&str> = nodes.iter().flat_map(|it| &it.keys).map(String::as_str).collect();
    keys.sort_unstable();
    for (at, key) in keys.iter().enumerate() {
        // Who is asked may leave itself out.
        let count = (keys.len() - 1).clamp(1, 3);
        let expected: Vec<&str> = keys.iter().cycle().skip(at).take(count).copied().collect();
        for via in nodes {
            loop {
                let ran = nigh(&["locate", key, "--via", &via.address, "--json"]);
                let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
                let holders = answer["holders"].as_array();
                let holders = holders.into_iter().flatten().map(|holder| &holder["key"]);
                if holders.take(count).eq(&expected) {
                    break;
                }
                assert!(Instant::now() < deadline, "{key} is not with {expected:?}: {ran:?}");
            }
        }
    }
}
