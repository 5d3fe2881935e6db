//! Blocks of addresses, and the network that an address belongs to.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// A client network: the front of an address, IPv4 as IPv6 maps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(u128);

impl Network {
    /// The network of so many bits in which `address` lies.
    pub fn of(address: IpAddr, bits: u8) -> Self {
        Self(mapped(address) & mask(address, bits))
    }

    /// As a number.
    pub(super) const fn bits(self) -> u128 {
        self.0
    }
}

/// Bits in front of an IPv4 address that IPv6 maps.
const MAPPED: u32 = 96;

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `bits` of an address of this family.
fn mask(address: IpAddr, bits: u8) -> u128 {
    let kept = match address.to_canonical() {
        IpAddr::V4(_) => u32::from(bits) + MAPPED,
        IpAddr::V6(_) => u32::from(bits),
    };
    u128::MAX.checked_shl(128_u32.saturating_sub(kept)).unwrap_or(0)
}

/// Addresses with a common front: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    network: Network,
    is_ipv4: bool,
    bits: u8,
}

/// Why a text is no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no block of addresses: write 192.0.2.0/24 or 2001:db8::/32, or one address")]
pub struct BlockError(String);

impl Block {
    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_ipv4 && Network::of(address, self.bits) == self.network
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let front = Ipv6Addr::from_bits(self.network.0).to_canonical();
        write!(f, "{front}/{}", self.bits)
    }
}

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let wrong = || BlockError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        let network = Network::of(address, bits);
        // A bit behind the front is a mistake in one of the two.
        if bits > most || network.bits() != mapped(address) {
            return Err(wrong());
        }
        Ok(Self { network, is_ipv4: address.is_ipv4(), bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_what_has_its_front() {
        let holds = |block: &str, address: &str| {
            block.parse::<Block>().unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "192.0.2.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "192.0.2.1"));
        assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::") && !holds("2001:db8::/32", "2001:db9::"));
    }

    #[test]
    fn what_is_no_block_is_told() {
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "::1/129", "a/8", "10.0.0.0/", "10.0.0/8"] {
            assert!(text.parse::<Block>().is_err(), "{text}");
        }
    }
}
