//! What one client network may take: requests, connections and bandwidth.
//!
//! Rates are held by the generic cell rate algorithm (ITU-T I.371, the same as a leaky bucket): of each
//! network one number is kept, the time at which it will have paid for what it took. All cores share
//! one table, whose size is fixed; time is an argument.

mod address;
mod rate;
mod table;

use std::{net::IpAddr, time::Duration};

pub use address::Network;
pub use rate::{PER_SECOND_MAX, Rate};
pub use table::{ENTRIES, Table};

/// Bits of an address that tell IPv4 clients apart, if nobody says otherwise.
pub const IPV4_PREFIX: u8 = 32;
/// The same for IPv6: what one customer gets at least (RFC 6177).
pub const IPV6_PREFIX: u8 = 64;

/// What a client network may take. What is `None` is not limited.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Requests, on average.
    pub requests: Option<Rate>,
    /// How many of them at once.
    pub burst: u32,
    /// Connections at once.
    pub connections: Option<u32>,
    /// Bytes of answers, on average.
    pub bandwidth: Option<Rate>,
    /// Bits of an IPv4 address that make a network.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that make a network.
    pub ipv6_prefix: u8,
    /// Who is not limited.
    pub exempt: Vec<crate::network::Network>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: None,
            burst: 1,
            connections: None,
            bandwidth: None,
            ipv4_prefix: IPV4_PREFIX,
            ipv6_prefix: IPV6_PREFIX,
            exempt: Vec::new(),
        }
    }
}

impl Limits {
    /// Whether there is any.
    pub const fn are_set(&self) -> bool {
        self.requests.is_some() || self.connections.is_some() || self.bandwidth.is_some()
    }

    /// The network of a client; `None` if that is not limited.
    fn network(&self, address: IpAddr) -> Option<Network> {
        let of = |bits| Network::of(address, bits);
        if self.exempt.iter().any(|block| block.contains(address)) {
            return None;
        }
        Some(match address.to_canonical() {
            IpAddr::V4(_) => of(self.ipv4_prefix),
            IpAddr::V6(_) => of(self.ipv6_prefix),
        })
    }
}

/// How long a client that asks too much is to wait, in whole seconds: Retry-After (RFC 9110, section
/// 10.2.3).
pub fn retry_after(wait: Duration) -> u32 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_address_or_half_an_ipv6_one_and_exempt_ones_are_none() {
        let exempt = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
        let limits = Limits { exempt, ..Limits::default() };
        let of = |text: &str| limits.network(text.parse().unwrap());
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        for exempt in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8:1:2::3"] {
            assert_eq!(of(exempt), None, "{exempt}");
        }
    }

    #[test]
    fn whoever_is_to_wait_waits_a_second_at_least() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_500, 60)] {
            assert_eq!(retry_after(Duration::from_millis(millis)), seconds);
        }
    }
}
