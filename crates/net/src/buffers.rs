//! One account for the memory of all connections' buffers and of what passes through unkept.
//!
//! Reservations stand for what may be held, not for each byte: a connection, a request that the origin
//! is asked about, its body, a response in passing. A hit on an open connection reserves nothing. What a
//! connection's own buffers take beyond what it keeps while idle is added before it waits.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::Version;
use nigh_cache::flight::WINDOW;

/// A connection in clear, with what its two buffers keep while it is idle.
pub(crate) const CONNECTION: u64 = 16 * 1024;
/// What TLS adds: a record each way, and records that wait to be sent.
pub(crate) const TLS: u64 = 32 * 1024;
/// What HTTP/2 adds: header tables, frames that are read, and what is gathered to be sent.
pub(crate) const HTTP2: u64 = 64 * 1024;

/// A request of which the origin is asked, with the piece of its answer that is being sent.
const FETCH_HTTP1: u64 = 32 * 1024;
const FETCH_HTTP2: u64 = 64 * 1024;
/// A request's body between client and origin: three reads, or the stream's window.
const BODY_HTTP1: u64 = 96 * 1024;
const BODY_HTTP2: u64 = 256 * 1024;

/// What lies between the two sides of a tunnel: a read in each direction.
pub(crate) const TUNNEL: u64 = 32 * 1024;

/// What may be held, and what is, in bytes.
#[derive(Debug)]
pub struct Account {
    used: AtomicU64,
    ceiling: u64,
}

impl Account {
    /// Of which `ceiling` bytes may be reserved.
    pub(crate) fn new(ceiling: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), ceiling })
    }

    /// Bytes reserved now; never above the ceiling.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be reserved.
    pub const fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// Whether so many bytes could be reserved now.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.ceiling
    }

    /// Reserves `bytes`; `None` if they do not fit now.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reserved> {
        let mut reserved = Reserved { account: Arc::clone(self), bytes: 0 };
        reserved.resize(bytes).then_some(reserved)
    }
}

/// What a request needs while the origin is asked about it.
pub(crate) fn fetch(version: Version, has_content: bool) -> u64 {
    let (request, body) = match version {
        Version::HTTP_2 => (FETCH_HTTP2, BODY_HTTP2),
        _ => (FETCH_HTTP1, BODY_HTTP1),
    };
    if has_content { request + body } else { request }
}

/// What a response of this length needs that only passes through.
pub(crate) fn passing(length: Option<u64>) -> u64 {
    length.map_or(WINDOW, |length| length.min(WINDOW))
}

/// Bytes that are reserved until this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    account: Arc<Account>,
    bytes: u64,
}

impl Reserved {
    /// Reserves so many in all from now on; false, and nothing changes, if they do not fit.
    pub(crate) fn resize(&mut self, bytes: u64) -> bool {
        let used = &self.account.used;
        if bytes <= self.bytes {
            if bytes < self.bytes {
                used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            }
        } else {
            let more = bytes - self.bytes;
            let fits =
                |used: u64| used.checked_add(more).filter(|sum| *sum <= self.account.ceiling);
            if used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
                return false;
            }
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_never_above_the_ceiling_and_comes_back() {
        let account = Account::new(100);
        let mut one = account.reserve(60).unwrap();
        assert!(account.reserve(41).is_none() && !account.has_room(41));
        let two = account.reserve(40).unwrap();
        assert!(!one.resize(61) && account.used() == 100);
        assert!(one.resize(10) && account.used() == 50);
        drop((one, two));
        assert_eq!(account.used(), 0);
        assert!(account.reserve(u64::MAX).is_none());
    }

    #[test]
    fn a_short_response_in_passing_needs_no_window() {
        assert_eq!([passing(Some(0)), passing(Some(10))], [0, 10]);
        assert_eq!([passing(Some(u64::MAX)), passing(None)], [WINDOW; 2]);
    }
}
