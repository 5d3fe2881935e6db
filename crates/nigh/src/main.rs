//! The `nigh` command: arguments in, exit code out. 0 done, 1 failed, 2 used wrongly.

mod admin;
mod apply;
mod ask;
mod belonging;
mod check;
mod cli;
mod cluster;
mod control;
mod control_state;
mod demo;
mod drain;
mod drains;
mod edge;
mod explain;
mod forget;
mod gossip;
mod handover;
mod lifecycle;
mod locate;
mod node;
mod persist;
mod prefetch;
mod privileges;
mod purge;
mod settings;
mod shared_settings;
mod sign;
mod sim;
mod small_http;
mod status;
mod systemd;
mod top;
mod trust;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;

use crate::cli::{Cli, Verb};

// A miss allocates much, in all sizes: with glibc's allocator it took 1.8 times the processor time
// (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A show says itself what happens, and breaks things on purpose.
    let level = if matches!(cli.verb, Verb::Demo(_)) { "error" } else { "info" };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("NIGH_LOG")
                .unwrap_or_else(|_| level.into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    // Both sides of TLS use the same provider.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("the provider is installed once, here");
    let done = match cli.verb {
        Verb::Edge(flags) => edge::run(&flags),
        Verb::Run(flags) => edge::run_file(&flags),
        Verb::Check(flags) => check::run(&flags),
        Verb::Explain(flags) => explain::run(&flags),
        Verb::Apply(flags) => apply::run(&flags),
        Verb::Purge(flags) => purge::run(&flags),
        Verb::Drain(flags) => drain::run(&flags),
        Verb::Sign(flags) => sign::run(&flags),
        Verb::Prefetch(flags) => prefetch::run(&flags),
        Verb::Status(flags) => status::run(&flags),
        Verb::Top(flags) => top::run(&flags),
        Verb::Demo(flags) => demo::run(&flags),
        Verb::Kill(flags) => demo::kill(&flags),
        Verb::Revive(flags) => demo::revive(&flags),
        Verb::Cluster(flags) => cluster::run(&flags),
        Verb::Node(flags) => node::run(&flags),
        Verb::Locate(flags) => locate::run(&flags),
        Verb::Put(flags) => locate::put(&flags),
        Verb::Fetch(flags) => locate::fetch(&flags),
        Verb::Dht(flags) => locate::dht(&flags),
        Verb::Sim(flags) => sim::run(&flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
