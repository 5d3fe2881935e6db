//! Filters of addresses (BEP 33): how many peers a swarm has, counted over nodes of which each knows
//! some. Filters of several nodes are united bit by bit, and an address counts once.

use std::net::IpAddr;

use nigh_base::Key;

use super::krpc::FILTER_BYTES;

const BITS: usize = 8 * FILTER_BYTES;

/// The two bits of an address: the first 32 bits of its SHA-1, little-endian, modulo their number.
fn bits_of(ip: IpAddr) -> [usize; 2] {
    let hash = match ip.to_canonical() {
        IpAddr::V4(ip) => Key::of(&ip.octets()),
        IpAddr::V6(ip) => Key::of(&ip.octets()),
    };
    let [a, b, c, d, ..] = hash.bytes();
    [[a, b], [c, d]].map(|pair| usize::from(u16::from_le_bytes(pair)) % BITS)
}

/// Puts an address into a filter.
pub fn insert(filter: &mut [u8; FILTER_BYTES], ip: IpAddr) {
    for bit in bits_of(ip) {
        filter[bit / 8] |= 1 << (bit % 8);
    }
}

/// Puts all that is in `other` into a filter.
pub fn unite(filter: &mut [u8; FILTER_BYTES], other: &[u8; FILTER_BYTES]) {
    filter.iter_mut().zip(other).for_each(|(byte, other)| *byte |= other);
}

/// How many addresses are likely to be in a filter, from 0 to some 7,800 (all bits are set). BEP 33 has nodes
/// put in no more than 6,000.
pub fn estimate(filter: &[u8; FILTER_BYTES]) -> f64 {
    let zeros: u32 = filter.iter().map(|byte| byte.count_zeros()).sum();
    let bits = BITS as f64;
    // No zero at all would be infinitely many. The BEP has an upper bound as well, by which half an address
    // would be in an empty filter.
    let zeros = f64::from(zeros).max(1.0);
    libm::log(bits / zeros) / (-2.0 * libm::log(1.0 - 1.0 / bits))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// 192.0.2.0 to 192.0.2.255, and 2001:DB8:: to 2001:DB8::3E7.
    const VECTOR: [&str; 8] = [
        "f6c3f5eaa07ffd91bde89f777f26fb2bff37bdb8fb2bbaa2fd3ddde7bacfff75",
        "ee7ccbaefe5eedb1fbfaff67f6abff5e43ddbca3fd9b9ffdf4ffd3e9dff12d1b",
        "df59db53dbe9fa5b7ff3b8fdfcde1afb8bedd7be2f3ee71ebbbfe93bcdeefe14",
        "8246c2bc5dbff7e7efdcf24fd8dc7adffd8fffdfddfff7a4bbeedf5cb95ce81f",
        "c7fcff1ff4ffffdfe5f7fdcbb7fd79b3fa1fc77bfe07fff905b7b7ffc7fefeff",
        "e0b8370bb0cd3f5b7f2bd93feb4386cfdd6f7fd5bfaf2e9ebffffeecd67adbf7",
        "c67f17efd5d75eba6ffeba7fff47a91eb1bfbb53e8abfb5762abe8ff237279bf",
        "efbfeef5ffc5febfdfe5adffadfee1fb737ffffbfd9f6aeffeee76b6fd8f72ef",
    ];

    fn v4(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn v6(last: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
    }

    fn example() -> [u8; FILTER_BYTES] {
        let mut filter = [0; FILTER_BYTES];
        (0..=255).for_each(|last| insert(&mut filter, v4(last)));
        (0..=0x3e7).for_each(|last| insert(&mut filter, v6(last)));
        filter
    }

    /// Whether an address may be in a filter; if not, it is not.
    fn may_have(filter: &[u8; FILTER_BYTES], ip: IpAddr) -> bool {
        bits_of(ip).iter().all(|bit| filter[bit / 8] & 1 << (bit % 8) != 0)
    }

    #[test]
    fn the_vector_of_bep_33_comes_out_and_counts() {
        let filter = example();
        let digits: String = filter.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digits, VECTOR.concat());
        assert!((estimate(&filter) - 1224.9308).abs() < 0.0001, "{}", estimate(&filter));
    }

    #[test]
    fn what_is_in_a_filter_is_found_there_and_others_mostly_not() {
        let filter = example();
        assert!((0..=255).all(|last| may_have(&filter, v4(last))));
        let others = (0x1000..0x1400).filter(|&last| may_have(&filter, v6(last))).count();
        assert!((450..550).contains(&others), "{others} of 1024");
        let mapped = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        let mut small = [0; FILTER_BYTES];
        insert(&mut small, v4(1));
        assert!(may_have(&small, mapped) && !may_have(&small, v4(2)));
    }

    #[test]
    fn a_union_is_the_filter_of_all() {
        let (mut even, mut odd) = ([0; FILTER_BYTES], [0; FILTER_BYTES]);
        for last in 0..=255 {
            insert(if last % 2 == 0 { &mut even } else { &mut odd }, v4(last));
        }
        let mut all = [0; FILTER_BYTES];
        (0..=255).for_each(|last| insert(&mut all, v4(last)));
        unite(&mut even, &odd);
        assert_eq!(even, all);
    }

    #[test]
    fn an_estimate_has_its_bounds() {
        let (none, full) = (estimate(&[0; FILTER_BYTES]), estimate(&[0xff; FILTER_BYTES]));
        assert!(none.abs() < f64::EPSILON, "{none}");
        assert!((full - 7_806.0).abs() < 1.0, "{full}");
    }
}
