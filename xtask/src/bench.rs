//! Measurements: `crates/bench` in a release build.

use crate::command::{self, Failure};
use crate::workspace::cargo;

/// Runs the measurement that `arguments` name.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if arguments.is_empty() {
        return Err(Failure::Usage("which measurement? cargo xtask bench help lists them".into()));
    }
    command::run(
        cargo()
            .args(["run", "--quiet", "--release", "--locked", "--package", "nigh-bench", "--"])
            .args(arguments),
    )
}
