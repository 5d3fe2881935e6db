//! Spelling, by typos, whose ready-made program is on PyPI: seconds, where building it takes minutes.

use std::process::Command;

use crate::command::{self, Failure};
use crate::foreign;
use crate::workspace::Workspace;

const TYPOS: &str = "typos==1.52.0";

/// Checks all files that git does not ignore; `typos.toml` has the exceptions.
pub(crate) fn run() -> Result<(), Failure> {
    let workspace = Workspace::read()?;
    let tools = workspace.target.join("tools").join(TYPOS);
    let program = tools.join("bin").join("typos");
    if !program.exists() {
        foreign::need(&[foreign::PIP])?;
        command::run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"])
                .args(["--disable-pip-version-check", "--root-user-action", "ignore"])
                .arg("--target")
                .arg(&tools)
                .arg(TYPOS),
        )?;
    }
    command::run(
        Command::new(program).arg("--config").arg("typos.toml").current_dir(workspace.root),
    )
}
