//! Networks as an operator writes them: 192.0.2.0/24, 2001:db8::/32, or one address. RFC 4632 (CIDR);
//! RFC 4291. `::/0` is everybody, 0.0.0.0/0 everybody who has IPv4.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network: an address and how many of its first bits count. IPv4 is kept as IPv6 maps it, so that
/// a client is the same one however the socket shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    pub(crate) bits: u8,
}

/// What stands before an IPv4 address that IPv6 maps, and how long it is.
const MAPPED: u128 = 0xffff << 32;
const MAPPED_BITS: u8 = 96;

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No address, or no number of bits.
    #[error("`{0}` is no network: write 192.0.2.0/24, 2001:db8::/32 or an address alone")]
    Malformed(String),
    /// An address inside the network, not the network's own.
    #[error("`{0}` has bits behind its length: write {1}")]
    Inside(String, Network),
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
            IpAddr::V4(_) if bits <= 32 => bits + MAPPED_BITS,
            IpAddr::V6(_) if bits <= 128 => bits,
            _ => return None,
        };
        Some(Self { address: mapped(address) & mask(bits), bits })
    }

    /// Whether it has every address of a family.
    pub const fn is_everything(&self) -> bool {
        self.bits == 0 || (self.bits == MAPPED_BITS && self.address == MAPPED)
    }

    /// Its first address and its mask, if it is IPv4's.
    pub fn ipv4(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let bits = self.bits.checked_sub(MAPPED_BITS)?;
        let first = Ipv6Addr::from_bits(self.address).to_ipv4_mapped()?;
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        Some((first, Ipv4Addr::from_bits(mask)))
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
            Err(NetworkError::Inside(text.to_owned(), network))
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (text, address, has) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("10.0.0.0/8", "fd00::1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("fc00::/7", "fdff::1", true),
            ("fc00::/7", "fe00::", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", true),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), has, "{text} {address}");
        }
    }

    #[test]
    fn a_network_of_ipv4_has_a_mask() {
        for (text, first, mask) in [
            ("10.0.0.0/8", "10.0.0.0", "255.0.0.0"),
            ("0.0.0.0/0", "0.0.0.0", "0.0.0.0"),
            ("192.0.2.1", "192.0.2.1", "255.255.255.255"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.ipv4(), Some((first.parse().unwrap(), mask.parse().unwrap())));
            assert_eq!(network.is_everything(), text == "0.0.0.0/0");
        }
        let six: Network = "::/0".parse().unwrap();
        assert!(six.ipv4().is_none() && six.is_everything());
    }
}
