//! What each core counts, and the sum of all of them.
//!
//! Every core has its own counters: adding to one costs an increment in its own cache line. Who
//! reads sums them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident: $metric:literal, $help:literal;)*) => {
        /// One core's counters.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])* $name: AtomicU64,)*
        }

        impl Counters {
            $($(#[doc = $doc])*
            pub fn $name(&self) {
                self.add(&self.$name, 1);
            })*
        }

        /// The sums over all cores, each with its name and its help text.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Totals {
            /// Every counter: its metric's name (with labels), its help text and its value.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$(($metric, $help, self.$name)),*].into_iter()
            }

            fn take_in(&mut self, one: &Counters) {
                $(self.$name += one.$name.load(Ordering::Relaxed);)*
            }
        }
    };
}

counters! {
    /// A request answered from the store.
    hit: "nigh_requests_total{cache=\"hit\"}", "Requests, by what the cache did.";
    /// A request that went on to the origin.
    forwarded: "nigh_requests_total{cache=\"forwarded\"}", "Requests, by what the cache did.";
    /// A request answered in our own name.
    own: "nigh_requests_total{cache=\"own\"}", "Requests, by what the cache did.";
    /// A request that joined another one's fetch.
    collapsed: "nigh_collapsed_total", "Requests that waited for another one's fetch.";
    /// A stale answer.
    stale: "nigh_stale_total", "Answers that were stale, as their rules allow.";
    /// A request sent to the origin.
    origin_request: "nigh_origin_requests_total", "Requests sent to the origin.";
    /// The origin gave no answer, or broke one off.
    origin_failure: "nigh_origin_failures_total", "Requests that the origin did not answer whole.";
    /// A request that could not be read.
    refused: "nigh_refused_total", "Requests refused because they could not be read, or in two ways.";
    /// A head that took too long.
    slow_head: "nigh_slow_heads_total", "Connections closed because a head took too long.";
    /// A connection accepted.
    accepted: "nigh_connections_accepted_total", "Connections accepted.";
    /// A connection ended.
    closed: "nigh_connections_closed_total", "Connections ended.";
    /// Accepting paused for want of file descriptors or connections.
    paused: "nigh_accept_pauses_total", "Times that accepting paused: out of descriptors or connections.";
    /// A request beyond its client network's limit.
    request_limited: "nigh_limited_total{limit=\"client-requests\"}", "Times that a limit was hit.";
    /// A connection beyond its client network's limit.
    connection_limited: "nigh_limited_total{limit=\"client-connections\"}", "Times that a limit was hit.";
    /// A write that waited because of its client network's limit.
    bandwidth_limited: "nigh_limited_total{limit=\"client-bandwidth\"}", "Times that a limit was hit.";
    /// A client that was cut because it moved too slowly.
    slow_client: "nigh_limited_total{limit=\"min-rate\"}", "Times that a limit was hit.";
    /// Something that the ceiling of all buffers left no room for.
    no_room: "nigh_limited_total{limit=\"buffers\"}", "Times that a limit was hit.";
    /// A TLS handshake that failed.
    tls_failed: "nigh_tls_failures_total", "TLS handshakes that failed.";
    /// A log line that was dropped because the disk was slower than the requests.
    log_dropped: "nigh_log_lines_dropped_total", "Access log lines dropped because the log could not keep up.";
}

impl Counters {
    /// Lines of the access log that were dropped.
    pub fn lines_dropped(&self, lines: u64) {
        if lines > 0 {
            self.add(&self.log_dropped, lines);
        }
    }

    #[expect(clippy::unused_self, reason = "reads as one of the counter's own verbs")]
    fn add(&self, counter: &AtomicU64, by: u64) {
        // One writer: a load and a store, without the lock that an atomic addition takes.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }
}

/// The counters of all cores.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<Vec<Arc<Counters>>>>);

impl Registry {
    /// Counters for one more core.
    pub fn register(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.0.lock().push(Arc::clone(&counters));
        counters
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.0.lock().iter().for_each(|one| totals.take_in(one));
        totals
    }
}
