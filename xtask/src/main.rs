//! The project's chores, as `cargo xtask <chore>`: one file a chore, and no dependencies.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "chores talk to whoever runs them")]

mod bench;
mod ci;
mod command;
mod conformance;
mod foreign;
mod json;
mod spelling;
mod tidy;
mod workspace;

use std::env;
use std::process::ExitCode;

use command::Failure;

const HELP: &str = "\
The project's chores. Usage: cargo xtask <chore> [arguments]

  tidy              rules that no compiler checks: layers, dependencies, file length, dead links
  spelling          typos, which pip installs under target/ if it is not there
  ci                everything that must hold before a change is done, in order, with times
  foreign           tests whose judges are foreign programs: conformance, varnishtest, shell scripts
  conformance       the HTTP cache test suite from npm against nigh edge
      --id TEST     one test, with all that went over the wire
      --bless       record what got better in tests/conformance/expected.json
      --proxy-url URL --origin-port PORT
                    judge another cache, one that runs already
  bench NAME [...]  a measurement of crates/bench, in a release build
  help              this page

tests/conformance/README.md and CONTRIBUTING.md say more.";

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((chore, rest)) = arguments.split_first() else {
        eprintln!("{HELP}");
        return ExitCode::from(EXIT_USAGE);
    };
    let outcome = match chore.as_str() {
        "tidy" => without_arguments(rest).and_then(|()| tidy::run()),
        "ci" => without_arguments(rest).and_then(|()| ci::run()),
        "spelling" => without_arguments(rest).and_then(|()| spelling::run()),
        "foreign" => without_arguments(rest).and_then(|()| foreign::run()),
        "conformance" => conformance::run(rest),
        "bench" => bench::run(rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        unknown => Err(Failure::Usage(format!("there is no chore {unknown:?}: cargo xtask help"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            match failure {
                Failure::Usage(_) => ExitCode::from(EXIT_USAGE),
                Failure::Found(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn without_arguments(arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => Ok(()),
        [first, ..] => Err(Failure::Usage(format!("this chore takes no arguments, got {first:?}"))),
    }
}
