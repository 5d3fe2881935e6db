//! Networks of clients, and lists of those that are let in. RFC 4632 (CIDR); RFC 4291.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Networks that one list may have: each request is held against them one by one.
pub const NETWORKS_MAX: usize = 1000;

/// A network: an address and how many of its first bits count. IPv4 is kept as IPv6 maps it, so that
/// a client is the same one however the socket shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No address, or no number of bits.
    #[error("`{0}` is no network: write 192.0.2.0/24, 2001:db8::/32 or an address alone")]
    Malformed(String),
    /// An address inside the network, not the network's own.
    #[error("`{0}` has bits behind its {1} that count: write {2}")]
    Inside(String, u8, String),
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

const fn mask(bits: u8) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - bits) }
}

impl Network {
    /// The network of so many bits that an address lies in; IPv4's have up to 32.
    fn around(address: IpAddr, bits: u8) -> Option<Self> {
        let bits = match address {
            IpAddr::V4(_) if bits <= 32 => bits + 96,
            IpAddr::V6(_) if bits <= 128 => bits,
            _ => return None,
        };
        Some(Self { address: mapped(address) & mask(bits), bits })
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        mapped(address) & mask(self.bits) == self.address
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let malformed = || NetworkError::Malformed(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(bits.parse::<u8>().map_err(|_| malformed())?))
            }
            Some(_) => return Err(malformed()),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        let network = Self::around(address, bits).ok_or_else(malformed)?;
        if network.address == mapped(address) {
            Ok(network)
        } else {
            Err(NetworkError::Inside(text.to_owned(), bits, network.to_string()))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = Ipv6Addr::from_bits(self.address);
        match (v6.to_ipv4_mapped(), self.bits.checked_sub(96)) {
            (Some(v4), Some(bits)) => write!(f, "{}/{bits}", Ipv4Addr::from_bits(v4.to_bits())),
            _ => write!(f, "{v6}/{}", self.bits),
        }
    }
}

/// Who is let in: of all networks in both lists that a client lies in, the longest says; of two as
/// long, the one that denies. Who lies in none is let in, unless somebody is allowed by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Let in.
    pub allow: Box<[Network]>,
    /// Not let in.
    pub deny: Box<[Network]>,
}

impl Admission {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a client is let in. Allocates nothing.
    pub fn admits(&self, client: IpAddr) -> bool {
        let longest = |list: &[Network]| {
            list.iter().filter(|held| held.contains(client)).map(|held| held.bits).max()
        };
        match (longest(&self.allow), longest(&self.deny)) {
            (None, None) => self.allow.is_empty(),
            (allowed, denied) => allowed > denied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Box<[Network]> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_longest_network_says_whether_a_client_is_let_in() {
        let lists = Admission {
            allow: list(&["10.0.0.0/8", "10.1.2.0/24", "2001:db8::/32"]),
            deny: list(&["10.1.0.0/16", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0"]),
        };
        for (client, admitted) in [
            ("10.9.9.9", true),
            ("10.1.9.9", false),
            ("10.1.2.4", true),
            ("::ffff:10.1.2.4", true),
            ("10.1.2.3", false),
            ("2001:db8::1", false),
            ("192.0.2.1", false),
            ("2001:db9::1", false),
        ] {
            assert_eq!(lists.admits(client.parse().unwrap()), admitted, "{client}");
        }
    }

    #[test]
    fn who_is_in_no_list_is_let_in_unless_some_are_by_name() {
        let client = "192.0.2.1".parse().unwrap();
        assert!(Admission::default().admits(client));
        let deny = list(&["198.51.100.0/24"]);
        assert!(Admission { deny: deny.clone(), ..Admission::default() }.admits(client));
        assert!(!Admission { allow: deny, ..Admission::default() }.admits(client));
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "192.0.2.1/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.1".parse::<Network>().unwrap().to_string(), "192.0.2.1/32");
        for text in ["", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "a/8", "::/129", "1.2.3/8"] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Malformed(_))), "{text}");
        }
        let inside = "192.0.2.7/24".parse::<Network>().unwrap_err();
        assert!(inside.to_string().ends_with("write 192.0.2.0/24"), "{inside}");
    }
}
