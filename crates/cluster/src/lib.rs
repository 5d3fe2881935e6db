//! Edges that act as one cache. [`hashing`]: who serves what, so that all agree without asking.
//! [`hot`]: what an edge keeps a copy of though another serves it. [`control`]: what all agree on.
//! [`forgetting`]: how a purge reaches all of them.

pub mod control;
pub mod forgetting;
pub mod hashing;
pub mod hot;
