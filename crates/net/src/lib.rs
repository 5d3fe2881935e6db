//! Real sockets, clocks and entropy: serves clients, fetches from origins.
//!
//! ```text
//! listen -> tls -> serve_http1 | serve_http2 -> service -> sites -> upstream -> origin
//!                                                   |-> siblings -> origin
//!                                                   \-> store (nigh-cache), as far as trusted
//! ```
//! Everything but the store belongs to one thread: a current-thread runtime a core.
//!
//! Conversations with peers are machines (`nigh_base::machine`), which [`driver`] runs: on UDP, or on
//! the datagrams of a [`cluster`], whose members know each other by certificate.

pub mod access_log;
pub mod board;
mod body;
pub mod buffers;
pub mod clients;
pub mod clock;
pub mod cluster;
mod compress;
pub mod control;
pub mod counters;
pub mod disk;
pub mod driver;
pub mod entropy;
mod executor;
mod flow;
pub mod forward_proxy;
pub mod http1;
pub mod inherited;
pub mod listen;
pub mod origin;
mod serve_http1;
mod serve_http2;
pub mod server;
pub mod service;
pub mod siblings;
pub mod sites;
pub mod tls;
pub mod trusted;
mod tunnel;
pub mod upstream;
