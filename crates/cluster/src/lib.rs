//! Edges that act as one cache. [`hashing`]: who serves what, so that all agree without asking.
//! [`membership`]: who is there.

pub mod hashing;
pub mod membership;
