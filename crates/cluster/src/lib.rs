//! Edges that act as one cache. [`hashing`]: who serves what, so that all agree without asking.
//! [`control`]: what all agree on.

pub mod control;
pub mod hashing;
