//! Networks, and which addresses lie inside: where nobody may be led from outside. RFC 6890 and the
//! registries of special-purpose addresses that it founded.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

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

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    length: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor one with a length.
    #[error("`{0}` is no network: write 10.0.0.0/8, 2001:db8::/32, or an address alone")]
    Malformed(String),
    /// Bits behind the length: most likely the length is wrong.
    #[error("`{0}` has bits behind its length: the network is {1}")]
    Bits(String, Network),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let malformed = || NetworkError::Malformed(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|length| *length <= most).ok_or_else(malformed)?
            }
            Some(_) => return Err(malformed()),
        };
        let network = Self { first: first(address, length), length };
        if network.first == address {
            Ok(network)
        } else {
            Err(NetworkError::Bits(text.to_owned(), network))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl Network {
    /// Whether an address is one of them; an IPv4 address counts as such however it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = match self.first {
            IpAddr::V4(_) => address.to_canonical(),
            IpAddr::V6(_) => address,
        };
        address.is_ipv4() == self.first.is_ipv4() && first(address, self.length) == self.first
    }

    /// Whether it has every address there is of its family.
    pub const fn is_everything(&self) -> bool {
        self.length == 0
    }

    /// Its first address and its mask, if it is IPv4's.
    pub const fn ipv4(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        match self.first {
            IpAddr::V4(address) => Some((address, Ipv4Addr::from_bits(mask_v4(self.length)))),
            IpAddr::V6(_) => None,
        }
    }
}

const fn mask_v4(length: u8) -> u32 {
    match u32::MAX.checked_shl(32 - length as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

fn first(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & mask_v4(length)).into(),
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

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

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (text, address, has) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "fd00::1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("fc00::/7", "fdff::1", true),
            ("fc00::/7", "fe00::", false),
            ("::/0", "2001:db8::1", true),
        ] {
            assert_eq!(network(text).contains(address.parse().unwrap()), has, "{text} {address}");
        }
    }

    #[test]
    fn a_text_that_is_no_network_says_what_to_write() {
        for text in ["", "10", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/+8", "a/8", "1/"] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Malformed(_))), "{text}");
        }
        let said = "10.1.2.3/8".parse::<Network>().unwrap_err().to_string();
        assert_eq!(said, "`10.1.2.3/8` has bits behind its length: the network is 10.0.0.0/8");
    }

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
