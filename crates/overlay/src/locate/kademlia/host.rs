//! Whose an address is: all ports of an IPv4 address, and all addresses of an IPv6 network of 64 bits, which
//! is what one host is given, count as one.

use std::ops::RangeInclusive;

use nigh_base::Address;

use super::secure_id;

/// Who is given an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::locate) struct Host([u8; 16]);

impl Host {
    pub(in crate::locate) fn of(address: Address) -> Self {
        let mut bytes = address.ip_bytes();
        if address.as_v4().is_none() {
            bytes[8..].fill(0);
        }
        Self(bytes)
    }

    /// The host, if it may have no more than one place among nodes (libtorrent's `restrict_routing_ips` and
    /// `restrict_search_ips`). None in local networks, which are exempt there as well: all nodes of a
    /// laboratory may share 127.0.0.1.
    pub(in crate::locate) fn of_one_place(address: Address) -> Option<Self> {
        (!secure_id::is_local(address.ip())).then(|| Self::of(address))
    }

    /// All of its addresses.
    pub(super) fn addresses(self) -> RangeInclusive<Address> {
        let (first, mut last) = (Address::v6(self.0, 0), self.0);
        if first.as_v4().is_none() {
            last[8..].fill(0xff);
        }
        first..=Address::v6(last, u16::MAX)
    }

    /// Bytes that no other host has.
    pub(super) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv4_address_is_a_host_and_an_ipv6_network_of_64_bits_is_one() {
        for (one, other, is_same) in [
            ("192.0.2.1:1", "192.0.2.1:65535", true),
            ("192.0.2.1:1", "192.0.2.2:1", false),
            ("[2001:db8::1]:1", "[2001:db8::ffff:0:0:1]:2", true),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false),
            ("[::ffff:192.0.2.1]:9", "192.0.2.1:1", true),
            ("192.0.2.1:1", "[::1]:1", false),
        ] {
            let (one, other) = (address(one), address(other));
            let host = Host::of(one);
            assert_eq!(host == Host::of(other), is_same, "{one} and {other}");
            assert!(host.addresses().contains(&one));
            assert_eq!(host.addresses().contains(&other), is_same, "{one} and {other}");
        }
    }

    #[test]
    fn hosts_of_local_networks_may_have_any_number_of_places() {
        for local in ["127.0.0.1:1", "10.0.0.1:1", "192.168.1.1:1", "[::1]:1", "[fe80::1]:1"] {
            assert_eq!(Host::of_one_place(address(local)), None, "{local}");
        }
        for other in ["192.0.2.1:1", "198.18.1.1:1", "[2001:db8::1]:1"] {
            assert!(Host::of_one_place(address(other)).is_some(), "{other}");
        }
    }
}
