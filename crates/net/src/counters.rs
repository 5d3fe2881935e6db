//! What each core counts, and the sum of all of them.
//!
//! Every core has its own counters: adding to one costs an increment in its own cache line. Who
//! reads sums them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use nigh_edge::{forward_proxy::Refusal, problem::Problem};
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
    /// A request sent to another edge of the cluster.
    sibling_request: "nigh_sibling_requests_total", "Requests sent to other edges of the cluster.";
    /// One of them that was answered.
    sibling_answer: "nigh_sibling_answers_total", "Of these, requests that were answered.";
    /// One of them that failed, or was declined.
    sibling_failure: "nigh_sibling_failures_total", "Of these, requests that failed or were declined, so that the next edge or the origin was asked.";
    /// A response of another edge that broke off, and went on at the next one.
    sibling_resumed: "nigh_sibling_resumed_total", "Responses of other edges that broke off and went on at the next one.";
    /// One that broke off for its client too.
    sibling_cut: "nigh_sibling_cut_total", "Responses of other edges that broke off and could not go on.";
    /// A request for what another edge may hold.
    held_request: "nigh_sibling_held_requests_total", "Requests to other edges for what they hold already, before the origin was asked.";
    /// One of them that brought it.
    held_answer: "nigh_sibling_held_answers_total", "Of these, requests that brought it, so that the origin was not asked.";
    /// A request that passed by an owner which has too much to do.
    spilled: "nigh_sibling_spilled_total", "Requests for what is in demand that passed by an edge with more than its share of the load.";
    /// A request of another edge.
    sibling_served: "nigh_sibling_served_total", "Requests of other edges of the cluster that came in here.";
    /// A copy of what another edge serves was kept.
    sibling_copy: "nigh_sibling_copies_total", "Short-lived copies kept of what other edges serve.";
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
    /// A connection that waited for its client, closed to make room for others.
    idle_closed: "nigh_idle_closed_total", "Idle connections closed to make room for others.";
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
    /// A request from a network that is not let in.
    network_refused: "nigh_protected_total{by=\"network\"}", "Requests that a site's rules did not let in.";
    /// A request with a method that is not let in.
    method_refused: "nigh_protected_total{by=\"method\"}", "Requests that a site's rules did not let in.";
    /// A request with a field that is not let in.
    field_refused: "nigh_protected_total{by=\"field\"}", "Requests that a site's rules did not let in.";
    /// A request without a signature that lets it in.
    signature_refused: "nigh_protected_total{by=\"signature\"}", "Requests that a site's rules did not let in.";
    /// A response that was not kept because its path names a file of another type.
    deceptive: "nigh_unexpected_types_total", "Responses not kept because their path names a file of another type.";
    /// A response that was compressed here.
    compressed: "nigh_compressed_total", "Responses that were compressed here.";
    /// A response that was to be compressed, and was not because too many were already.
    left_uncompressed: "nigh_left_uncompressed_total", "Responses left as they were, or left so from some point on, because too many were being compressed.";
    /// What a response linked to, and was fetched ahead.
    link_followed: "nigh_links_followed_total", "Links that were followed ahead of anyone's asking.";
    /// A tunnel that a forward proxy opened.
    tunnel: "nigh_tunnels_total", "Tunnels opened.";
    /// A byte that a tunnel brought to its destination.
    tunnel_up: "nigh_tunnel_bytes_total{direction=\"up\"}", "Bytes through tunnels, counted when they end.";
    /// A byte that a tunnel brought to its client.
    tunnel_down: "nigh_tunnel_bytes_total{direction=\"down\"}", "Bytes through tunnels, counted when they end.";
    /// A client that a forward proxy does not serve.
    proxy_client: "nigh_proxy_refusals_total{reason=\"client\"}", "Requests that the forward proxy refused, by reason.";
    /// A destination that it may not reach.
    proxy_destination: "nigh_proxy_refusals_total{reason=\"destination\"}", "Requests that the forward proxy refused, by reason.";
    /// A port that CONNECT may not reach.
    proxy_port: "nigh_proxy_refusals_total{reason=\"port\"}", "Requests that the forward proxy refused, by reason.";
    /// No password, or a wrong one.
    proxy_credentials: "nigh_proxy_refusals_total{reason=\"credentials\"}", "Requests that the forward proxy refused, by reason.";
    /// Too many wrong passwords.
    proxy_attempts: "nigh_proxy_refusals_total{reason=\"attempts\"}", "Requests that the forward proxy refused, by reason.";
    /// No room for one more tunnel.
    proxy_tunnels: "nigh_proxy_refusals_total{reason=\"tunnels\"}", "Requests that the forward proxy refused, by reason.";
    /// No request for a proxy.
    proxy_other: "nigh_proxy_refusals_total{reason=\"other\"}", "Requests that the forward proxy refused, by reason.";
    /// A redirected client that named a host which is elsewhere.
    host_elsewhere: "nigh_hosts_elsewhere_total", "Redirected requests for a host that is not where they were going.";
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

    /// Bytes that went through a tunnel.
    pub fn tunnelled(&self, up: u64, down: u64) {
        self.add(&self.tunnel_up, up);
        self.add(&self.tunnel_down, down);
    }

    /// A request that a forward proxy refused, if that is what the problem is. What is found out of
    /// reach when it is connected to is counted there.
    pub fn refuse(&self, problem: Problem) {
        match problem {
            Problem::Proxy(Refusal::Client) => self.proxy_client(),
            Problem::Proxy(Refusal::Destination) => self.proxy_destination(),
            Problem::Proxy(Refusal::ConnectPort | Refusal::HttpPort) => self.proxy_port(),
            Problem::Proxy(Refusal::Credentials) => self.proxy_credentials(),
            Problem::Proxy(Refusal::Attempts(_)) => self.proxy_attempts(),
            Problem::Proxy(Refusal::Tunnels) => self.proxy_tunnels(),
            Problem::Proxy(Refusal::Scheme | Refusal::NotASite | Refusal::NoHost) => {
                self.proxy_other();
            }
            _ => {}
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
