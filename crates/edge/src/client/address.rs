//! The network that a client belongs to, which is counted as one.

use std::net::IpAddr;

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
