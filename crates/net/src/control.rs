//! The engines that keep control state (`nigh_cluster::control`): a file on one machine, or an etcd
//! that a fleet shares.
//!
//! Whoever uses control state holds an `Arc<dyn Control>`, and so does not know which.

#[cfg(feature = "etcd")]
pub mod etcd;
pub mod redb;
