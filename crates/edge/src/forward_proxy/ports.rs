//! Ports as an operator writes them: 443, or 1024-65535 for all between. RFC 9293, section 3.1.

use std::{fmt, str::FromStr};

/// A port, or all from one to another, both included; never 0, which no connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// Why a text names no ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no port from 1 to 65535: write 443, or 1024-65535 for all between")]
pub struct PortsError(String);

impl Ports {
    /// What CONNECT may reach if nothing else is said: TLS, and HTTP within it.
    pub const CONNECT: [Self; 1] = [Self { first: 443, last: 443 }];

    /// What http may reach if nothing else is said: its own port, and those that are nobody's by
    /// privilege. Below are mail, files and remote shells, some of which take an HTTP request's body for
    /// commands of theirs.
    pub const HTTP: [Self; 2] =
        [Self { first: 80, last: 80 }, Self { first: 1024, last: u16::MAX }];

    /// Whether a port is among them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| match text.parse() {
            Ok(port) if port > 0 && !text.starts_with('+') => Some(port),
            _ => None,
        };
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(PortsError(text.to_owned())),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_they_are_read() {
        for (text, within, outside) in [("443", 443, 444), ("8000-8999", 8999, 7999)] {
            let ports: Ports = text.parse().unwrap();
            assert_eq!(ports.to_string(), text);
            assert!(ports.contains(within) && !ports.contains(outside), "{text}");
        }
        for text in ["", "0", "0-80", "+80", "65536", "80-", "-80", "90-80", "80-90-100", "http"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }
}
