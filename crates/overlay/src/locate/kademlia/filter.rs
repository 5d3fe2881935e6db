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

/// Whether an address may be in a filter; if not, it is not. With 1,000 in it, four of ten others seem
/// to be there.
pub fn may_have(filter: &[u8; FILTER_BYTES], ip: IpAddr) -> bool {
    bits_of(ip).iter().all(|bit| filter[bit / 8] & 1 << (bit % 8) != 0)
}

/// Puts all that is in `other` into a filter.
pub fn unite(filter: &mut [u8; FILTER_BYTES], other: &[u8; FILTER_BYTES]) {
    filter.iter_mut().zip(other).for_each(|(byte, other)| *byte |= other);
}

/// How many addresses are likely to be in a filter, from 0.5 (none) to some 7,800 (all bits are set).
/// BEP 33 has nodes put in no more than 6,000.
pub fn estimate(filter: &[u8; FILTER_BYTES]) -> f64 {
    let zeros: u32 = filter.iter().map(|byte| byte.count_zeros()).sum();
    let bits = BITS as f64;
    // The BEP's upper bound; and a lower one, since no zero at all would be infinitely many.
    let zeros = f64::from(zeros).clamp(1.0, bits - 1.0);
    libm::log(zeros / bits) / (2.0 * libm::log(1.0 - 1.0 / bits))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// 192.0.2.0 to 192.0.2.255, and 2001:DB8:: to 2001:DB8::3E7.
    const VECTOR: &str = "
        F6C3F5EA A07FFD91 BDE89F77 7F26FB2B FF37BDB8 FB2BBAA2 FD3DDDE7 BACFFF75 EE7CCBAE
        FE5EEDB1 FBFAFF67 F6ABFF5E 43DDBCA3 FD9B9FFD F4FFD3E9 DFF12D1B DF59DB53 DBE9FA5B
        7FF3B8FD FCDE1AFB 8BEDD7BE 2F3EE71E BBBFE93B CDEEFE14 8246C2BC 5DBFF7E7 EFDCF24F
        D8DC7ADF FD8FFFDF DDFFF7A4 BBEEDF5C B95CE81F C7FCFF1F F4FFFFDF E5F7FDCB B7FD79B3
        FA1FC77B FE07FFF9 05B7B7FF C7FEFEFF E0B8370B B0CD3F5B 7F2BD93F EB4386CF DD6F7FD5
        BFAF2E9E BFFFFEEC D67ADBF7 C67F17EF D5D75EBA 6FFEBA7F FF47A91E B1BFBB53 E8ABFB57
        62ABE8FF 237279BF EFBFEEF5 FFC5FEBF DFE5ADFF ADFEE1FB 737FFFFB FD9F6AEF FEEE76B6
        FD8F72EF";

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

    #[test]
    fn the_vector_of_bep_33_comes_out_and_counts() {
        let filter = example();
        let digits: String = filter.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(digits, VECTOR.split_whitespace().collect::<String>());
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
        assert!((none - 0.5).abs() < 0.01, "{none}");
        assert!((full - 7_806.0).abs() < 1.0, "{full}");
    }
}
