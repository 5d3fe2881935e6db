//! Edges that act as one cache. [`hashing`]: who serves what, so that all agree without asking.

pub mod hashing;
