//! Measurements of nigh beside its peers: `cargo xtask bench NAME`. Never shipped.

mod eviction;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures nigh beside its peers.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Subcommand)]
enum Measurement {
    /// Hit ratios of the eviction policies on request traces, beside libcachesim's
    Eviction(eviction::Arguments),
}

fn main() -> ExitCode {
    let result: Result<String, Box<dyn std::error::Error>> = match Arguments::parse().measurement {
        Measurement::Eviction(arguments) => eviction::run(&arguments).map_err(Into::into),
    };
    report(result)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a report is what this is for")]
fn report(result: Result<String, Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
