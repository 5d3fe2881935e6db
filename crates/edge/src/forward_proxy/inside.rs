//! Which addresses lie inside: where nobody may be led from outside. RFC 6890 and the
//! registries of special-purpose addresses that it founded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Loopback and private networks: those whose machines a proxy serves if nothing else is said.
pub const PRIVATE: [&str; 8] = [
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// The IPv4 address that packets to an IPv6 address end at: mapped and compatible addresses (RFC 4291,
/// section 2.5.5), NAT64 (RFC 6052, section 2.1) and 6to4 (RFC 3056, section 2).
pub(super) fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

/// Whether an address is of a machine's or a network's inside: nobody outside could reach it, so
/// nobody may reach it through a proxy.
pub(super) fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_inside_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_inside_v4(address),
            None => is_inside_v6(address),
        },
    }
}

fn is_inside_v4(address: Ipv4Addr) -> bool {
    matches!(
        address.octets(),
        // This network; private; shared by a carrier's customers (RFC 6598); loopback.
        [0 | 10 | 127, ..] | [100, 64..=127, ..]
        // Link-local, where clouds keep their machines' secrets; private.
        | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..]
        // Protocol assignments; multicast; reserved, and broadcast.
        | [192, 0, 0, _] | [224..=255, ..]
    )
}

fn is_inside_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        // Unique local; link-local and the site-local of old.
        || first & 0xfe00 == 0xfc00
        || first & 0xff80 == 0xfe80
        // A network's own NAT64 (RFC 8215), and Teredo (RFC 4380): what lies behind cannot be told.
        || (first, second, third) == (0x64, 0xff9b, 1)
        || (first, second) == (0x2001, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_inside_is_known_however_it_is_written() {
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.168.1.1",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::203.0.113.1",
            "2001:0:a::1",
            "2002:c0a8:101::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_inside(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.18.0.1",
            "223.255.255.255",
            "::ffff:198.18.0.1",
            "64:ff9b::1.1.1.1",
            "2001:db8::1",
            "2002:101:101::1",
            "2606:4700::1111",
        ] {
            assert!(!is_inside(outside.parse().unwrap()), "{outside}");
        }
    }
}
