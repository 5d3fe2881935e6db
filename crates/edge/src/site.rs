//! Sites: from a request's host to the site that it belongs to, and from its path to the rule that
//! says how it is cached.
//!
//! A host is found by its hash: the exact name first, then the longest wildcard that covers it, then
//! the site for all others.

mod admission;
mod compress;
mod cookies;
mod field_rules;
mod guard;
pub mod links;
mod methods;
mod path;
mod pattern;
mod query;
mod rule;
mod seen;
pub mod signed;
mod types;

use std::{fmt, str::FromStr};

use hashbrown::HashTable;
use twox_hash::XxHash3_64;

pub use admission::{Admission, NETWORKS_MAX};
pub use compress::{Coding, Compress, LEAST, Narrowed, TYPES, remove_digests};
pub use field_rules::{FieldRules, RESERVED};
pub use guard::{Guard, Server, Visit};
pub use methods::{Methods, UnknownMethod};
pub use pattern::{Pattern, PatternError};
pub use query::{Order, Query};
pub use rule::{Name, Rule, RuleNumber, Rules};
pub use seen::Seen;

/// Bytes of the longest host name (RFC 1035, section 2.3.4). It bounds the labels that a lookup
/// takes off, too.
pub const HOST_MAX: usize = 253;

/// Which hosts a site answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// This one; in lower case.
    Exact(Box<str>),
    /// Every one below this name, at any depth; in lower case, without the star and its dot.
    Below(Box<str>),
    /// Every one that no other site has.
    Any,
}

/// Why a text names no hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It has a scheme or a path.
    #[error("`{0}` is more than a host: write its name alone, such as www.example.com")]
    NotAlone(String),
    /// It has a port.
    #[error("`{0}` has a port: a site answers for its host on every port, so leave it out")]
    Port(String),
    /// It is no name and no address.
    #[error("`{0}` is no host: write www.example.com, *.example.com or *")]
    Malformed(String),
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains('/') {
            return Err(HostError::NotAlone(text.to_owned()));
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if !below && is_bracketed_address(name) {
            return Ok(Self::Exact(name.to_ascii_lowercase().into()));
        }
        if let Some((host, port)) = name.rsplit_once(':')
            && !host.contains(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(HostError::Port(text.to_owned()));
        }
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > HOST_MAX || !name.split('.').all(is_label) {
            return Err(HostError::Malformed(text.to_owned()));
        }
        let name = name.to_ascii_lowercase().into();
        Ok(if below { Self::Below(name) } else { Self::Exact(name) })
    }
}

fn is_bracketed_address(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Sites under their hosts. Never changed: another list is another value.
#[derive(Debug)]
pub struct Sites<S> {
    sites: Vec<S>,
    exact: Hosts,
    below: Hosts,
    any: Option<usize>,
}

impl<S> Sites<S> {
    /// Sites, each with its hosts.
    ///
    /// # Panics
    /// If two sites have the same host: whoever reads settings refuses that.
    pub fn new(sites: impl IntoIterator<Item = (Vec<Host>, S)>) -> Self {
        let (mut exact, mut below) = (Hosts::default(), Hosts::default());
        let (mut any, mut all) = (None, Vec::new());
        for (number, (hosts, site)) in sites.into_iter().enumerate() {
            for host in hosts {
                match host {
                    Host::Exact(name) => exact.insert(name, number),
                    Host::Below(name) => below.insert(name, number),
                    Host::Any => {
                        assert!(any.is_none(), "one site at most is for every host");
                        any = Some(number);
                    }
                }
            }
            all.push(site);
        }
        Self { sites: all, exact, below, any }
    }

    /// The site for an authority as a request names it: with or without a port, in any case.
    /// Allocates nothing.
    pub fn find(&self, authority: &str) -> Option<&S> {
        self.number(host_of(authority)).or(self.any).map(|number| &self.sites[number])
    }

    /// The site for every host that no other has.
    pub fn any(&self) -> Option<&S> {
        self.any.map(|number| &self.sites[number])
    }

    /// Every site, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &S> {
        self.sites.iter()
    }

    fn number(&self, host: &str) -> Option<usize> {
        let mut lower = [0; HOST_MAX];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        let lower = std::str::from_utf8(lower).expect("only the case of ASCII was changed");
        if let Some(number) = self.exact.find(lower) {
            return Some(number);
        }
        if self.below.is_empty() {
            return None;
        }
        let parents = std::iter::successors(Some(lower), |name| Some(name.split_once('.')?.1));
        parents.skip(1).find_map(|parent| self.below.find(parent))
    }
}

/// An authority's host: without the port, and without the dot at its end.
fn host_of(authority: &str) -> &str {
    let host = match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// Names, by hash. The hash needs no secret: the names are the operator's, not strangers'.
#[derive(Debug, Default)]
struct Hosts(HashTable<(Box<str>, usize)>);

impl Hosts {
    fn insert(&mut self, name: Box<str>, number: usize) {
        assert!(self.find(&name).is_none(), "two sites have the host {name}");
        let hash = XxHash3_64::oneshot(name.as_bytes());
        self.0
            .insert_unique(hash, (name, number), |(name, _)| XxHash3_64::oneshot(name.as_bytes()));
    }

    fn find(&self, name: &str) -> Option<usize> {
        let held =
            self.0.find(XxHash3_64::oneshot(name.as_bytes()), |(held, _)| **held == *name)?;
        Some(held.1)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(hosts: &[&[&str]]) -> Sites<usize> {
        let parse = |hosts: &[&str]| hosts.iter().map(|host| host.parse().unwrap()).collect();
        Sites::new(hosts.iter().enumerate().map(|(number, hosts)| (parse(hosts), number)))
    }

    #[test]
    fn an_exact_name_goes_before_a_wildcard_and_a_longer_wildcard_before_a_shorter() {
        let sites = sites(&[
            &["*.example.com"],
            &["www.example.com", "example.com"],
            &["*.img.example.com"],
            &["*"],
        ]);
        for (authority, site) in [
            ("www.example.com", 1),
            ("WWW.Example.COM:8080", 1),
            ("example.com.", 1),
            ("a.example.com", 0),
            ("a.b.example.com:443", 0),
            ("img.example.com", 0),
            ("a.img.example.com", 2),
            ("a.b.img.example.com", 2),
            ("notexample.com", 3),
            ("com", 3),
            ("", 3),
            ("[::1]:80", 3),
        ] {
            assert_eq!(sites.find(authority), Some(&site), "{authority}");
        }
    }

    #[test]
    fn a_host_that_no_site_has_is_found_nowhere() {
        let sites = sites(&[&["www.example.com"], &["*.example.org"], &["[::1]", "192.0.2.1"]]);
        for authority in ["example.com", "example.org", "x.www.example.com", "", ".", "[::2]"] {
            assert_eq!(sites.find(authority), None, "{authority}");
        }
        assert_eq!(sites.find(&"a.".repeat(4000)), None);
        assert_eq!(sites.find("[::1]:8443"), Some(&2));
        assert_eq!(sites.find("192.0.2.1:80"), Some(&2));
    }

    #[test]
    fn a_host_is_a_name_alone() {
        for text in ["www.example.com", "*.example.com", "*", "[::1]", "192.0.2.1", "a_b.x"] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), text);
        }
        assert_eq!("Example.COM.".parse(), Ok(Host::Exact("example.com".into())));
        assert!(matches!("http://a".parse::<Host>(), Err(HostError::NotAlone(_))));
        assert!(matches!("a:80".parse::<Host>(), Err(HostError::Port(_))));
        for text in ["", "a..b", "*a", "*.", "a b", "a.*.b", "[::1", "::1"] {
            assert!(matches!(text.parse::<Host>(), Err(HostError::Malformed(_))), "{text}");
        }
    }
}
