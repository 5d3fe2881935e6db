//! The HTTP cache test suite from npm, against our edge or any other cache.
//!
//! `tests/conformance/run.mjs` does the work; this installs the suite and builds what is judged.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{self, Failure};
use crate::foreign;
use crate::workspace::Workspace;

/// Installs what is missing and judges with the given `arguments` of `run.mjs`.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    foreign::need(&[foreign::NODE, foreign::NPM])?;
    let workspace = Workspace::read()?;
    let suite = workspace.target.join("conformance");
    let own = workspace.root.join("tests/conformance");
    install(&own, &suite)?;

    let mut judge = Command::new("node");
    judge.arg("--no-warnings").arg(own.join("run.mjs")).arg("--suite").arg(&suite);
    let is_ours = !arguments.iter().any(|argument| argument.starts_with("--proxy-url"));
    if is_ours {
        foreign::need(&foreign::TO_BUILD)?;
        judge.arg("--cache").arg(workspace.build()?.join("nigh"));
    }
    command::run(judge.args(arguments))
}

/// Puts what `package-lock.json` pins into `suite`, unless exactly that is there already.
fn install(own: &Path, suite: &Path) -> Result<(), Failure> {
    let lock = own.join("package-lock.json");
    let installed = suite.join("installed.json");
    let wanted = fs::read(&lock).map_err(|error| trouble("read", &lock, &error))?;
    if fs::read(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    fs::create_dir_all(suite).map_err(|error| trouble("make", suite, &error))?;
    for name in ["package.json", "package-lock.json"] {
        let from = own.join(name);
        fs::copy(&from, suite.join(name)).map_err(|error| trouble("copy", &from, &error))?;
    }
    command::run(Command::new("npm").current_dir(suite).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]))?;
    fs::write(&installed, wanted).map_err(|error| trouble("write", &installed, &error))
}

fn trouble(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::Found(format!("cannot {verb} {}: {error}", path.display()))
}
