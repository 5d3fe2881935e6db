//! Kademlia, as the mainline DHT of BitTorrent speaks it. Here is what its messages and the things in
//! them are, without I/O.

pub mod filter;
pub mod item;
pub mod krpc;
pub mod secure_id;
