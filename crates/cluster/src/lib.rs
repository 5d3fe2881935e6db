//! Edges that act as one cache. [`hashing`]: who serves what, so that all agree without asking.
//! [`control`]: what all agree on. [`forgetting`]: how a purge reaches all of them.

pub mod control;
pub mod forgetting;
pub mod hashing;
