//! What a small object costs in memory beside its own bytes.

use super::{origin::EdgeOrigin, peer::Peer, rate::unique, set::get_all};
use crate::{
    http1::Connection,
    process::{memory_bytes, shared_bytes},
};
use std::{io, thread, time::Duration};

/// So many of the objects are asked for again, to see whether they were kept.
const CHECKED: u32 = 2_000;
/// Time for a peer to finish what it does in the background.
const SETTLE: Duration = Duration::from_secs(1);

/// A cache that was filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) objects: f64,
    /// Memory of the peer's processes, and of the whole machine's tmpfs and kernel.
    pub(crate) own_bytes_before: f64,
    pub(crate) own_bytes: f64,
    pub(crate) shared_bytes: f64,
    /// Of those that were checked, how many had to be fetched again.
    pub(crate) lost: f64,
    pub(crate) checked: f64,
}

impl Fill {
    /// Bytes that an object adds to the peer's processes.
    pub(crate) fn bytes_per_object(&self) -> f64 {
        (self.own_bytes - self.own_bytes_before) / self.objects
    }
}

/// Fills `peer` with distinct objects of 1 KiB.
pub(crate) fn fill(peer: &Peer, origin: &EdgeOrigin, objects: u32) -> io::Result<Fill> {
    let seed = unique();
    let address = peer.server.address();
    let path = |number: u32| format!("/o/1k?{seed}-{number}");
    let processes = peer.server.processes();
    // What a peer sets up for its first requests is no part of the objects.
    Connection::open(address)?.get("/o/1k", None)?;
    thread::sleep(SETTLE);
    let (own_before, shared_before) = (memory_bytes(&processes), shared_bytes());
    get_all(address, &address.to_string(), &(0..objects).map(path).collect::<Vec<_>>())?;
    thread::sleep(SETTLE);
    let (own, shared) = (memory_bytes(&processes), shared_bytes());
    let asked = origin.requests()?;
    let mut connection = Connection::open(address)?;
    let step = (objects / CHECKED).max(1) as usize;
    let checked: Vec<String> = (0..objects).step_by(step).map(path).collect();
    checked.iter().try_for_each(|path| connection.get(path, None).map(drop))?;
    let lost = origin.requests()?.saturating_sub(asked + 1);
    let count = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    Ok(Fill {
        objects: f64::from(objects),
        own_bytes_before: own_before,
        own_bytes: own,
        shared_bytes: shared - shared_before,
        lost: count(lost),
        checked: count(checked.len() as u64),
    })
}
