//! Edges that act as one cache. [`hashing`]: who serves what, so that all agree without asking; [`hot`]:
//! what an edge keeps a copy of though another serves it.

pub mod hashing;
pub mod hot;
