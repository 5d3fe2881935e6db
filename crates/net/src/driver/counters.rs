//! What a driver counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {
        /// A driver's counters, which it goes on counting.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])* pub(super) $name: AtomicU64,)*
        }

        /// What they stood at.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Reads them, one after the other.
            pub fn read(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Datagrams that came in.
    datagrams_in;
    /// Times that receiving one failed.
    receive_errors;
    /// Datagrams that went out.
    datagrams_out;
    /// Datagrams that did not: too long, no way to the peer, no room in the kernel's buffer.
    send_errors;
    /// Links that are open or being dialled now.
    links_open;
    /// Links that were dialled.
    links_dialled;
    /// Links that were accepted.
    links_accepted;
    /// Links that were not dialled because as many as allowed were open.
    links_refused;
    /// Links that were closed because the machine sent more than their queue may hold.
    links_overrun;
    /// Times that accepting failed, mostly for want of file descriptors.
    accept_errors;
    /// Bytes that came in on links.
    link_bytes_in;
    /// Bytes that went out on links.
    link_bytes_out;
    /// Wakes.
    wakes;
    /// Commands.
    commands;
    /// Events.
    events;
    /// Events that nobody reads any more.
    events_unread;
    /// Saves that were asked for.
    saves;
    /// Loads that were asked for.
    loads;
    /// Saves and loads that failed.
    disk_failures;
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// So many more. Links count too, and their tasks may run on other threads.
pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// One less, of what is there now.
pub(super) fn uncount(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}
