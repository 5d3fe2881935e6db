//! Who may use a proxy, and where it may go: to which addresses, names and ports. Addresses are judged
//! as they are connected to, never by the name that led to them: a name may mean something else a
//! moment later.

use std::{fmt, net::IpAddr, str::FromStr};

use super::{
    inside::{PRIVATE, embedded, is_inside},
    ports::Ports,
};
use crate::{
    network::Network,
    site::{Host, Sites},
};

/// What may be denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Addresses.
    Network(Network),
    /// Names.
    Host(Host),
}

/// Why a text is no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no destination: write a network (10.0.0.0/8) or a name (a.example, *.example)")]
pub struct DestinationError(String);

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Host(host) => host.fmt(f),
        }
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        match text.parse() {
            // Digits and dots alone would be a name that looks like an address.
            Ok(host) if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
                Ok(Self::Host(host))
            }
            _ => Err(DestinationError(text.to_owned())),
        }
    }
}

/// The rules of one proxy.
#[derive(Debug)]
pub struct Rules {
    clients: Vec<Network>,
    allow: Vec<Network>,
    denied: Vec<Network>,
    denied_hosts: Sites<()>,
    connect_ports: Vec<Ports>,
    http_ports: Vec<Ports>,
}

impl Rules {
    /// Rules: whose machines are served (loopback and private networks if nothing is said), which
    /// inside may be reached, what may not be reached, and the ports of CONNECT and of http.
    pub fn new(
        clients: Option<Vec<Network>>,
        allow: Vec<Network>,
        deny: Vec<Destination>,
        connect_ports: Vec<Ports>,
        http_ports: Vec<Ports>,
    ) -> Self {
        let private = || PRIVATE.iter().map(|text| text.parse().expect("a network")).collect();
        let (mut denied, mut hosts) = (Vec::new(), Vec::new());
        for destination in deny {
            match destination {
                Destination::Network(network) => denied.push(network),
                Destination::Host(host) => hosts.push(host),
            }
        }
        hosts.sort();
        hosts.dedup();
        Self {
            clients: clients.unwrap_or_else(private),
            allow,
            denied,
            denied_hosts: Sites::new([(hosts, ())]),
            connect_ports,
            http_ports,
        }
    }

    /// Whether everyone on the Internet is served.
    pub fn is_open(&self) -> bool {
        self.clients.iter().any(Network::is_everything)
    }

    /// Whether a client is served.
    pub fn serves(&self, client: IpAddr) -> bool {
        has(&self.clients, client)
    }

    /// Whether CONNECT may reach a port.
    pub fn connects_to(&self, port: u16) -> bool {
        self.connect_ports.iter().any(|ports| ports.contains(port))
    }

    /// Whether a request for http may reach a port.
    pub fn fetches_from(&self, port: u16) -> bool {
        self.http_ports.iter().any(|ports| ports.contains(port))
    }

    /// Whether a host, with or without a port, is denied by its name.
    pub fn denies_host(&self, authority: &str) -> bool {
        self.denied_hosts.find(authority).is_some()
    }

    /// Whether an address may be connected to; `is_own` if it is one of this machine's. What is
    /// denied is so even where it is allowed, too.
    pub fn reaches(&self, address: IpAddr, is_own: bool) -> bool {
        let behind = match address {
            IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        let either = |networks: &[Network]| {
            has(networks, address) || behind.is_some_and(|address| has(networks, address))
        };
        !either(&self.denied) && (either(&self.allow) || !is_own && !is_inside(address))
    }
}

fn has(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> Rules {
        let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        let deny = deny.iter().map(|text| text.parse().unwrap()).collect();
        Rules::new(None, allow, deny, Ports::CONNECT.into(), Ports::HTTP.into())
    }

    fn reaches(rules: &Rules, address: &str) -> bool {
        rules.reaches(address.parse().unwrap(), false)
    }

    #[test]
    fn the_inside_is_out_of_reach_unless_it_is_allowed() {
        let closed = rules(&[], &[]);
        assert!(reaches(&closed, "1.1.1.1") && reaches(&closed, "2606:4700::1111"));
        for inside in
            ["127.0.0.1", "10.1.1.1", "169.254.169.254", "fd00:ec2::254", "::ffff:10.1.1.1"]
        {
            assert!(!reaches(&closed, inside), "{inside}");
        }
        let some = rules(&["10.1.0.0/16"], &[]);
        assert!(reaches(&some, "10.1.1.1") && reaches(&some, "64:ff9b::10.1.1.1"));
        assert!(!reaches(&some, "10.2.1.1"));
    }

    #[test]
    fn this_machine_is_out_of_reach_by_its_public_address_too() {
        let address = "1.1.1.1".parse().unwrap();
        assert!(!rules(&[], &[]).reaches(address, true));
        assert!(rules(&["1.1.1.1"], &[]).reaches(address, true));
    }

    #[test]
    fn what_is_denied_is_denied_although_it_is_allowed() {
        let rules = rules(&["10.0.0.0/8"], &["10.9.0.0/16", "1.1.1.0/24", "*.ads.example"]);
        assert!(reaches(&rules, "10.1.1.1"));
        for denied in ["10.9.1.1", "1.1.1.7", "::ffff:1.1.1.7", "64:ff9b::1.1.1.7"] {
            assert!(!reaches(&rules, denied), "{denied}");
        }
        assert!(rules.denies_host("x.ADS.example.:80") && !rules.denies_host("ads.example"));
    }

    #[test]
    fn http_and_tunnels_have_ports_of_their_own() {
        let rules = rules(&[], &[]);
        for (port, http, tunnels) in
            [(22, false, false), (25, false, false), (80, true, false), (8080, true, false)]
        {
            assert_eq!((rules.fetches_from(port), rules.connects_to(port)), (http, tunnels));
        }
        assert!(!rules.fetches_from(443) && rules.connects_to(443));
    }

    #[test]
    fn neighbours_are_served_and_strangers_are_not() {
        let rules = rules(&[], &[]);
        for served in ["127.0.0.1", "192.168.7.7", "::ffff:10.0.0.1", "fe80::1"] {
            assert!(rules.serves(served.parse().unwrap()), "{served}");
        }
        for stranger in ["203.0.113.1", "2001:db8::1", "100.64.0.1"] {
            assert!(!rules.serves(stranger.parse().unwrap()), "{stranger}");
        }
        let everyone =
            Rules::new(Some(vec!["0.0.0.0/0".parse().unwrap()]), vec![], vec![], vec![], vec![]);
        assert!(everyone.is_open() && !rules.is_open());
    }

    #[test]
    fn a_destination_is_a_network_or_a_name() {
        assert!(matches!("10.0.0.0/8".parse(), Ok(Destination::Network(_))));
        assert!(matches!("*.example".parse(), Ok(Destination::Host(_))));
        for text in ["10.0.0", "http://a", "a:80", ""] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
