//! One HTTP request, from head to plan: pure functions between the store and whoever speaks HTTP.
//!
//! ```text
//! host -> site: whose request it is, and under which rule
//! head -> plan -> Answer: reply -> respond (the head, line by line) and content
//!             \-> Fetch: forward (the head as the origin gets it)
//!              \-> Refuse: problem
//! upstream: which of a site's origins is asked
//! hop: what edges of a cluster say of a request that one sends the other
//! forward_proxy: who may use a forward proxy, and where it may go
//! ```
//!
//! ```
//! use nigh_edge::cache_status::{CacheStatus, Forward};
//! let status = CacheStatus::forwarded(Forward::UriMiss).detail("no-store");
//! assert_eq!(status.to_string(), "nigh; fwd=uri-miss; detail=no-store");
//! ```

pub mod cache_status;
pub mod client;
pub mod forward;
pub mod forward_proxy;
pub mod hop;
pub mod network;
pub mod plan;
pub mod problem;
pub mod reply;
pub mod respond;
pub mod site;
#[cfg(test)]
mod testing;
pub mod upstream;
