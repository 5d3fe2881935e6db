//! Where a peer can be reached: an IP address and a port in 18 bytes, since tables hold many.
//!
//! `std::net::SocketAddr` takes 32 bytes, for a flow label and a scope that overlays never use.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use crate::wire::{Reader, Wire, WireError};

/// An IP address and a port. IPv4 is held as IPv6 maps it, so that a peer has one address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    ip: [u8; 16],
    port: u16,
}

impl Address {
    /// The IPv4 address `ip` with `port`.
    pub const fn v4(ip: [u8; 4], port: u16) -> Self {
        let [a, b, c, d] = ip;
        Self { ip: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d], port }
    }

    /// The IPv6 address `ip` with `port`. One that maps an IPv4 address is that IPv4 address.
    pub const fn v6(ip: [u8; 16], port: u16) -> Self {
        Self { ip, port }
    }

    /// The four bytes, if it is an IPv4 address.
    pub fn as_v4(self) -> Option<[u8; 4]> {
        Ipv6Addr::from(self.ip).to_ipv4_mapped().map(|ip| ip.octets())
    }

    /// The sixteen bytes, if it is an IPv6 address.
    pub fn as_v6(self) -> Option<[u8; 16]> {
        self.as_v4().is_none().then_some(self.ip)
    }

    /// Whether one machine may be reached there: it has a port, and is no address of all, of many or
    /// of none.
    pub fn is_of_one(self) -> bool {
        let ip = Ipv6Addr::from(self.ip).to_canonical();
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        self.port != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
    }

    /// The IP address.
    pub fn ip(self) -> IpAddr {
        IpAddr::V6(self.ip.into()).to_canonical()
    }

    /// The sixteen bytes of the IP address, with IPv4 as IPv6 maps it.
    pub const fn ip_bytes(self) -> [u8; 16] {
        self.ip
    }

    /// The same machine at another port.
    #[must_use]
    pub const fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The port.
    pub const fn port(self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: address.port() }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        Self::new(address.ip(), address.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&SocketAddr::from(*self), f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `4` and four bytes, or `6` and sixteen; then the port. Big-endian.
impl Wire for Address {
    const MAX: usize = 1 + 16 + 2;

    fn write(&self, out: &mut Vec<u8>) {
        match self.as_v4() {
            Some(ip) => {
                out.push(4);
                out.extend_from_slice(&ip);
            }
            None => {
                out.push(6);
                out.extend_from_slice(&self.ip);
            }
        }
        out.extend_from_slice(&self.port.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let ip = match reader.u8()? {
            4 => {
                let ip = reader.array()?;
                return Ok(Self::v4(ip, reader.u16()?));
            }
            6 => reader.array()?,
            tag => return Err(WireError::Unknown { what: "address family", tag }),
        };
        let address = Self { ip, port: reader.u16()? };
        // One address has one form, or two keys in a table would be the same peer.
        if address.as_v4().is_some() {
            return Err(WireError::NotCanonical { what: "IPv4 address" });
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_all_or_none_is_not_of_one() {
        let is_of_one = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap()).is_of_one();
        for text in ["192.0.2.7:4000", "127.0.0.1:1", "[2001:db8::7]:4000", "[::1]:9"] {
            assert!(is_of_one(text), "{text}");
        }
        for text in [
            "0.0.0.0:4000",
            "[::]:4000",
            "192.0.2.7:0",
            "224.0.0.1:4000",
            "[ff02::1]:4000",
            "255.255.255.255:4000",
        ] {
            assert!(!is_of_one(text), "{text}");
        }
    }

    #[test]
    fn an_address_is_small_and_survives_both_ways() {
        assert_eq!(size_of::<Address>(), 18);
        for text in ["192.0.2.7:4000", "[2001:db8::7]:4000"] {
            let socket: SocketAddr = text.parse().unwrap();
            let address = Address::from(socket);
            assert_eq!(SocketAddr::from(address), socket);
            assert_eq!(Address::decode(&address.encode()), Ok(address));
            assert_eq!(address.to_string(), text);
            let again = match (address.as_v4(), address.as_v6()) {
                (Some(ip), None) => Address::v4(ip, address.port()),
                (None, Some(ip)) => Address::v6(ip, address.port()),
                both => panic!("{both:?}"),
            };
            assert_eq!(again, address);
        }
    }

    #[test]
    fn a_mapped_address_has_one_form_on_the_wire() {
        let mut bytes = vec![6];
        bytes.extend_from_slice(&Address::v4([192, 0, 2, 7], 9).ip);
        bytes.extend_from_slice(&[0, 9]);
        assert_eq!(Address::decode(&bytes), Err(WireError::NotCanonical { what: "IPv4 address" }));
    }
}
