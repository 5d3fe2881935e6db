//! The names of clusters and edges: labels of the domain name system, in lower case.

use std::{fmt, str::FromStr, sync::Arc};

/// The domain below which clusters lie. `internal` is kept for private use, so that no name in it is
/// anybody else's.
const DOMAIN: &str = "nigh.internal";

/// Bytes of the longest name. RFC 1035, section 2.3.4.
pub const NAME_MAX: usize = 63;

/// Under this name the authority itself answers who joins and who renews. No edge may have it: so
/// that no edge, however it behaves, can have tokens shown to it.
pub const AUTHORITY: &str = "authority";

/// The name of a cluster, or of an edge in it: 1 to 63 lower-case letters, digits and hyphens, with no
/// hyphen at either end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name under which the authority answers.
    pub fn of_authority() -> Self {
        Self(AUTHORITY.into())
    }

    /// The domain of the cluster of this name: `NAME.nigh.internal`.
    pub fn domain(&self) -> String {
        format!("{self}.{DOMAIN}")
    }

    /// The domain name of the edge of this name in `cluster`, 141 bytes at most.
    pub fn within(&self, cluster: &Self) -> String {
        format!("{self}.{}", cluster.domain())
    }

    /// The name of the edge whose domain name in `cluster` this is.
    pub fn read_within(domain: &str, cluster: &Self) -> Option<Self> {
        domain.strip_suffix(&cluster.domain())?.strip_suffix('.')?.parse().ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {NAME_MAX} lower-case letters, digits and hyphens, and begins and ends with a \
     letter or a digit"
)]
pub struct NameError;

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let has_ends = matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last))
            if is_plain(first) && is_plain(last));
        let is_name =
            has_ends && bytes.len() <= NAME_MAX && bytes.iter().all(|&b| is_plain(b) || b == b'-');
        if is_name { Ok(Self(text.into())) } else { Err(NameError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label_in_lower_case() {
        let longest = "x".repeat(63);
        for text in ["eu", "eu-1", "1", "a--b", &longest] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
        let longer = "x".repeat(64);
        for text in ["", "-a", "a-", "EU", "a.b", "a_b", "a b", "ä", "*", "a\0", &longer] {
            assert_eq!(text.parse::<Name>(), Err(NameError), "{text}");
        }
    }

    #[test]
    fn a_domain_name_is_read_in_its_own_cluster_alone() {
        let (eu, us): (Name, Name) = ("eu".parse().unwrap(), "us".parse().unwrap());
        let edge: Name = "eu-1".parse().unwrap();
        let domain = edge.within(&eu);
        assert_eq!(domain, "eu-1.eu.nigh.internal");
        assert_eq!(Name::read_within(&domain, &eu), Some(edge));
        assert_eq!(Name::read_within(&domain, &us), None);
        for wrong in ["eu.nigh.internal", "a.b.eu.nigh.internal", "xeu.nigh.internal", ""] {
            assert_eq!(Name::read_within(wrong, &eu), None, "{wrong}");
        }
    }
}
