//! Names of nodes that fit where they are (BEP 42), so that nobody chooses many near a key.
//!
//! The first 21 bits are those of a CRC-32C over a part of the IP address and three bits of choice,
//! which are the last three of the name. So an IPv4 address allows eight beginnings.

use std::net::IpAddr;

use nigh_base::Key;

/// Whether a node at `ip` may have the name `id`. In a local network it may have any.
pub fn fits(id: Key, ip: IpAddr) -> bool {
    is_local(ip) || id.xor(bound(ip, id)).shifted_down(Key::BITS - BOUND_BITS) == Key::default()
}

/// `random` with the beginning that a node at `ip` has to have: a name that [`fits`].
#[must_use]
pub fn bound(ip: IpAddr, random: Key) -> Key {
    let choice = random.bytes()[Key::BYTES - 1] & 7;
    let crc = match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let ip = ip.to_bits() & 0x030f_3fff;
            crc32c(&(ip | u32::from(choice) << 29).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let [half @ .., _, _, _, _, _, _, _, _] = ip.octets();
            let half = u64::from_be_bytes(half) & 0x0103_070f_1f3f_7fff;
            crc32c(&(half | u64::from(choice) << 61).to_be_bytes())
        }
    };
    let beginning = Key::from(u64::from(crc >> (u32::BITS - BOUND_BITS)));
    beginning.shifted_up(Key::BITS - BOUND_BITS).plus(random.low(Key::BITS - BOUND_BITS))
}

/// Bits of a name that follow from the address.
const BOUND_BITS: u32 = 21;

/// Local networks, which are exempt. BEP 42 lists those of IPv4; what is alike of IPv6 is so here.
pub(super) fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

/// The checksum of Castagnoli's polynomial, of which BEP 42 takes 4 or 8 bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc = TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ crc >> 8;
    }
    !crc
}

/// What each byte comes to.
const TABLE: [u32; 256] = {
    let (mut table, mut byte) = ([0; 256], 0u32);
    while byte < 256 {
        let (mut crc, mut bit) = (byte, 0);
        while bit < 8 {
            let carried = if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            crc = crc >> 1 ^ carried;
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;

    /// The IPv4 address, the random byte and the name, as BEP 42 has them.
    const VECTORS: [(&str, u8, &str); 5] = [
        ("124.31.75.21", 1, "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
        ("21.75.31.124", 86, "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
        ("65.23.51.170", 22, "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
        ("84.124.73.14", 65, "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
        ("43.213.53.83", 90, "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
    ];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn random(rng: &mut Rng) -> Key {
        Key::of(&rng.next_u64().to_le_bytes())
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        // Its appendix B.4: 32 bytes of zeros, of ones, rising and falling.
        let rising: [u8; 32] = std::array::from_fn(|n| n.to_le_bytes()[0]);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&rising), 0x46dd_794e);
        assert_eq!(crc32c(&rising.map(|n| 31 - n)), 0x113f_db5c);
    }

    #[test]
    fn the_names_of_bep_42_fit_their_addresses_and_no_others() {
        for (place, (address, random, name)) in VECTORS.into_iter().enumerate() {
            let id: Key = name.parse().unwrap();
            assert_eq!(id.bytes()[19], random);
            assert!(fits(id, ip(address)), "{address}");
            assert_eq!(bound(ip(address), id), id);
            for (other, _, _) in VECTORS.into_iter().skip(place + 1) {
                assert!(!fits(id, ip(other)), "{address} and {other}");
            }
        }
    }

    #[test]
    fn a_name_that_is_made_fits_and_its_first_21_bits_count() {
        let mut rng = Rng::new(1);
        for address in ["198.51.100.7", "2001:db8::7", "2001:db8:1:2:3:4:5:6"].map(ip) {
            for _ in 0..100 {
                let made = bound(address, random(&mut rng));
                assert!(fits(made, address));
                for bit in 0..Key::BITS {
                    let other = made.xor(Key::power(Key::BITS - 1 - bit));
                    // The last three bits are the choice, which the beginning follows from.
                    let counts = !(21..Key::BITS - 3).contains(&bit);
                    assert_eq!(fits(other, address), !counts, "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn an_address_has_eight_beginnings() {
        let mut rng = Rng::new(2);
        for address in ["198.51.100.7", "2001:db8::7"].map(ip) {
            let beginnings: std::collections::BTreeSet<u64> =
                (0..1000).map(|_| bound(address, random(&mut rng)).top() >> 43).collect();
            assert_eq!(beginnings.len(), 8);
        }
    }

    #[test]
    fn those_bits_of_an_address_count_that_bep_42_masks() {
        let as_mask = |mask: u128, byte: &u8| mask << 8 | u128::from(*byte);
        let four = [0x03, 0x0f, 0x3f, 0xff].iter().fold(0, as_mask);
        let address = std::net::Ipv4Addr::new(198, 51, 100, 7);
        let made = bound(address.into(), Key::of(b"nigh"));
        for bit in 0..32 {
            let other = IpAddr::V4((address.to_bits() ^ 1 << bit).into());
            assert_eq!(fits(made, other), four >> bit & 1 == 0, "bit {bit} of IPv4");
        }
        let six = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff].iter().fold(0, as_mask) << 64;
        let address: std::net::Ipv6Addr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        let made = bound(address.into(), Key::of(b"nigh"));
        for bit in 0..128 {
            let other = IpAddr::V6((address.to_bits() ^ 1 << bit).into());
            assert_eq!(fits(made, other), six >> bit & 1 == 0, "bit {bit} of IPv6");
        }
    }

    #[test]
    fn of_ipv6_the_upper_half_counts_and_what_maps_ipv4_is_ipv4() {
        let made = bound(ip("2001:db8::7"), Key::of(b"nigh"));
        assert!(fits(made, ip("2001:db8::ffff:1")));
        assert!(!fits(made, ip("2001:db9::7")));
        let made = bound(ip("198.51.100.7"), Key::of(b"nigh"));
        assert!(fits(made, ip("::ffff:198.51.100.7")));
    }

    #[test]
    fn in_local_networks_any_name_fits() {
        let local =
            ["10.1.2.3", "172.16.0.1", "172.31.0.1", "192.168.1.1", "169.254.1.1", "127.0.0.1"];
        for address in local.into_iter().chain(["::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"]) {
            assert!(fits(Key::from(1), ip(address)), "{address}");
        }
        for address in ["172.32.0.1", "9.255.255.255", "2001:db8::1"] {
            assert!(!fits(Key::from(1), ip(address)), "{address}");
        }
    }
}
