//! Which clients are let in, by lists of networks.

use std::net::IpAddr;

use crate::network::Network;

/// Networks that one list may have: each request is held against them one by one.
pub const NETWORKS_MAX: usize = 1000;

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
}
