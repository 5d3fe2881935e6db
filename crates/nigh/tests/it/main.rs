//! The binary as a user meets it: a real `nigh` process, raw sockets before it, and behind it an
//! origin that does what the test says, when the test says it.
//!
//! Nothing here sleeps until something has probably happened. A test waits for a byte, a line or a
//! request, and [`support::PATIENCE`] only bounds how long a failure takes to show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

mod support;

mod admin;
mod admin_access;
mod apply;
mod asking;
mod bodies;
mod broken_origin;
mod chaos;
mod client_limits;
mod cluster;
mod cluster_live;
mod cluster_parent;
mod cluster_slow;
mod cluster_trust;
mod collapsing;
mod command;
mod compression;
mod conditions;
mod demo;
mod dht;
mod dht_live;
mod disk;
mod drained;
mod draining;
mod explaining;
mod forward_proxy;
mod forwarding;
mod handover;
mod heads;
mod hits;
mod http10;
mod http2;
mod interim;
mod limits;
mod links;
mod logs;
mod node;
mod overlay_live;
mod pieces;
mod pipelining;
mod prefetch;
mod protection;
mod purge;
mod ranges;
mod reload;
mod ring;
mod settings;
mod sim;
mod sites;
mod slices;
mod slow_clients;
mod smuggling;
mod staleness;
mod systemd;
mod trailers;
mod trust;
mod tunnels;
