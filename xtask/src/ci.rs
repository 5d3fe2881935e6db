//! Everything that must hold before a change is done: cheap steps first, each with its time.
//!
//! A step that fails ends the run, since what follows would most often fail for the same reason.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{self, Failure};
use crate::spelling;
use crate::tidy;
use crate::workspace::{Workspace, cargo};

/// Runs all steps.
pub(crate) fn run() -> Result<(), Failure> {
    let workspace = Workspace::read()?;
    let lock_path = workspace.root.join("Cargo.lock");
    let lock = || {
        fs::read(&lock_path)
            .map_err(|error| Failure::Found(format!("cannot read Cargo.lock: {error}")))
    };
    let lock_before = lock()?;

    let mut report = Report::default();
    report.cargo("format", &["fmt", "--all", "--check"])?;
    report.step("tidy", |_| tidy::run())?;
    report.step("spelling", |_| spelling::run())?;
    report.cargo(
        "lint",
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"],
    )?;
    // What no default feature builds.
    report.cargo(
        "lint of control state in etcd",
        &[
            "clippy",
            "--package=nigh-net",
            "--features=etcd",
            "--all-targets",
            "--locked",
            "--",
            "-Dwarnings",
        ],
    )?;
    if command::answers("cargo", &["nextest", "--version"]) {
        report.cargo("tests", &["nextest", "run", "--workspace", "--locked"])?;
        report.cargo("doc tests", &["test", "--workspace", "--doc", "--locked"])?;
    } else {
        report.cargo("tests, doc tests", &["test", "--workspace", "--locked"])?;
    }
    report.step("docs", |closing| {
        let mut doc = cargo();
        doc.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-Dwarnings");
        watched(&mut doc, closing)
    })?;
    // A workspace of its own, which nothing else builds: its harnesses and its lock file go stale.
    report.cargo("fuzz targets", &["check", "--manifest-path", "fuzz/Cargo.toml", "--locked"])?;
    report.step("foreign programs", |closing| {
        // As a process of its own, so that its lines are seen like those of the other steps.
        watched(cargo().args(["run", "--quiet", "--package", "xtask", "--", "foreign"]), closing)
    })?;
    report.step("lockfile", |_| {
        if lock()? == lock_before {
            Ok(())
        } else {
            Err(Failure::Found("Cargo.lock was rewritten: build, look at it, commit it".into()))
        }
    })?;
    report.print();
    Ok(())
}

/// The steps that are done, and the lines with which test runners close.
#[derive(Debug, Default)]
struct Report {
    times: Vec<(&'static str, Duration)>,
    closing: Vec<String>,
}

impl Report {
    fn cargo(&mut self, name: &'static str, arguments: &[&str]) -> Result<(), Failure> {
        self.step(name, |closing| watched(cargo().args(arguments), closing))
    }

    fn step(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Vec<String>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("\n== {name}");
        let started = Instant::now();
        let outcome = work(&mut self.closing);
        let time = started.elapsed();
        self.times.push((name, time));
        println!("== {name}: {:.1} s", time.as_secs_f64());
        if outcome.is_err() {
            self.print();
        }
        outcome.map_err(|failure| Failure::Found(format!("step {name:?} {failure}")))
    }

    fn print(&self) {
        println!("\n== Times");
        for (name, time) in &self.times {
            println!("{:>8.1} s  {name}", time.as_secs_f64());
        }
        let total: Duration = self.times.iter().map(|(_, time)| *time).sum();
        println!("{:>8.1} s  in all", total.as_secs_f64());
        println!("\n== Test runners' closing lines");
        for line in &self.closing {
            println!("{line}");
        }
    }
}

fn watched(command: &mut Command, closing: &mut Vec<String>) -> Result<(), Failure> {
    println!("$ {}", command::shown(command));
    command::run_watched(command, |line| {
        if is_closing(line) {
            closing.push(line.trim().to_owned());
        }
    })
}

/// Whether `line` is how nextest, cargo test or one of our runners counts its tests.
fn is_closing(line: &str) -> bool {
    let line = line.trim();
    let counts = line.contains(" passed");
    counts
        && (line.starts_with("Summary [")
            || line.starts_with("test result:") && !line.contains(" 0 passed; 0 failed")
            || line.starts_with("conformance:")
            || line.starts_with("foreign:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_told_from_others() {
        assert!(is_closing("     Summary [   1.2s] 10 tests run: 10 passed, 0 skipped"));
        assert!(is_closing("test result: ok. 3 passed; 0 failed; 0 ignored"));
        assert!(is_closing("conformance: 237 passed, 6 failed"));
        assert!(!is_closing("test result: ok. 0 passed; 0 failed; 0 ignored"));
        assert!(!is_closing("        PASS [   0.005s] xtask json::tests::values"));
        assert!(!is_closing("passed: conformance"));
    }
}
