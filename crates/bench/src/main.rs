//! Measurements of nigh beside its peers: `cargo xtask bench NAME`. Never shipped.

mod cluster;
mod dht;
mod edge;
mod eviction;
mod hashing;
mod host;
mod http1;
mod markdown;
mod origin;
mod page;
mod process;
mod purges;
mod reads;
mod sim;

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
    /// Edges as one cache: hit ratios on traces beside nginx and Varnish, hops, joins, hot objects, purges
    Cluster(cluster::Arguments),
    /// Questions to one node of BitTorrent's DHT on one core, beside libtorrent and the crate mainline
    Dht(dht::Arguments),
    /// Hits, misses, disks, large objects and memory beside nginx, HAProxy, Varnish and Traffic Server
    Edge(edge::Arguments),
    /// Hit ratios of the eviction policies on request traces, beside libcachesim's
    Eviction(eviction::Arguments),
    /// Who serves a key: look-ups, movement and spread beside hashring, anchorhash, maglev and jumphash
    Hashing(hashing::Arguments),
    /// A page of small objects and one large object over long round trips
    Page(page::Arguments),
    /// Purge rules in a store of millions of objects: what adding one costs, and sweeping
    Purges(purges::Arguments),
    /// Reads from a disk, by threads and by io_uring, on one core
    Reads(reads::Arguments),
    /// Chord rings of up to a million nodes in the simulator: inputs a second, bytes a node
    Sim(sim::Arguments),
    /// nigh under churn for minutes: whether its memory stays where it was told to
    Soak(edge::soak::Arguments),
    /// One end of `page`, in its network namespace
    #[command(hide = true)]
    PageClient(page::client::Arguments),
    /// The other end of `page`
    #[command(hide = true)]
    PageOrigin(page::site::Arguments),
}

// As nigh itself has it: what is measured is what is shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result: Result<String, Box<dyn std::error::Error>> = match Arguments::parse().measurement {
        Measurement::Cluster(arguments) => cluster::run(&arguments).map_err(Into::into),
        Measurement::Dht(arguments) => dht::run(&arguments).map_err(Into::into),
        Measurement::Edge(arguments) => edge::run(&arguments).map_err(Into::into),
        Measurement::Eviction(arguments) => eviction::run(&arguments).map_err(Into::into),
        Measurement::Hashing(arguments) => hashing::run(&arguments).map_err(Into::into),
        Measurement::Page(arguments) => page::run(&arguments).map_err(Into::into),
        Measurement::Purges(arguments) => purges::run(&arguments),
        Measurement::Reads(arguments) => reads::run(&arguments).map_err(Into::into),
        Measurement::Sim(arguments) => sim::run(&arguments).map_err(Into::into),
        Measurement::Soak(arguments) => edge::soak::run(&arguments).map_err(Into::into),
        Measurement::PageClient(arguments) => page::client::run(&arguments).map_err(Into::into),
        Measurement::PageOrigin(arguments) => page::site::run(&arguments).map_err(Into::into),
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
