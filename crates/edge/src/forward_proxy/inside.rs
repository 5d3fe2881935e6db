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

/// Whether an address is not everybody's: of a machine's or a network's inside, or of no place at
/// all. Nobody may reach it through a proxy unless that is said. What IANA's registries of
/// special-purpose addresses do not call globally reachable (RFC 6890, section 2.2), and a few more.
pub(super) fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_inside_v4(address),
        IpAddr::V6(address) => match (address.segments(), embedded(address)) {
            // Two ways of writing an IPv4 address, the second of them for a translator.
            ([0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, ..], Some(address)) => {
                is_inside_v4(address)
            }
            (segments, _) => is_inside_v6(segments),
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
        // Protocol assignments; the 6to4 relays of old (RFC 7526).
        | [192, 0, 0, _] | [192, 88, 99, _]
        // Examples (RFC 5737); laboratories (RFC 2544, appendix C.2.2).
        | [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18 | 19, ..]
        // Multicast; reserved, and broadcast.
        | [224..=255, ..]
    )
}

/// 2000::/3 is all that is given out for unicast (RFC 4291, section 2.4): what lies outside is
/// loopback, unique local, link-local, multicast, a network's own NAT64 (RFC 8215), a black hole (RFC
/// 6666), segments (RFC 9602), or nobody's yet.
fn is_inside_v6([first, second, ..]: [u16; 8]) -> bool {
    first & 0xe000 != 0x2000
        // Protocol assignments: Teredo (RFC 4380), where what lies behind cannot be told, laboratories
        // (RFC 5180), and nothing that serves the web.
        || first == 0x2001 && second < 0x200
        // Examples (RFC 3849, RFC 9637).
        || (first, second) == (0x2001, 0xdb8)
        || first == 0x3fff && second < 0x1000
        // 6to4: whoever relays it decides what lies behind.
        || first == 0x2002
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
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:198.18.0.1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:1.1.1.1",
            "::1.1.1.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "100:0:0:1::1",
            "2001:0:a::1",
            "2001:2::1",
            "2001:10::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:c0a8:101::1",
            "2002:101:101::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
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
            "192.0.3.1",
            "192.88.98.1",
            "198.17.255.255",
            "198.20.0.1",
            "198.51.101.1",
            "203.0.112.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2000::1",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "3fff:1000::1",
            "2606:4700::1111",
        ] {
            assert!(!is_inside(outside.parse().unwrap()), "{outside}");
        }
    }
}
