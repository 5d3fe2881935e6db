//! The harnesses that nigh-net keeps among its tests, compiled here from the same files.
//!
//! Those files speak of their surroundings as `super`, so this module stands where
//! `nigh_net::http1` stands there. The plain reader of heads is private to the crate and comes along.
#![allow(
    dead_code,
    unused_imports,
    reason = "each target uses one harness, and none the test around it"
)]

use nigh_net::http1::{
    Body, FIELDS, Framing, Limits, Method, Part, Progress, Refusal, Scratch, Trailers, Version,
    parse,
};

#[path = "../../../crates/net/src/http1/connection.rs"]
mod connection;
#[path = "../../../crates/net/src/http1/fuzz.rs"]
mod fuzz;
#[path = "../../../crates/net/src/http1/grammar.rs"]
mod grammar;
#[path = "../../../crates/net/src/http1/hyper_server.rs"]
mod hyper_server;
#[path = "../../../crates/net/src/http1/smuggling.rs"]
mod smuggling;

/// See there.
pub(crate) fn against_ourselves(bytes: &[u8]) {
    fuzz::against_ourselves(bytes);
}

/// See there.
pub(crate) fn against_hyper(bytes: &[u8]) {
    fuzz::against_hyper(bytes);
}
