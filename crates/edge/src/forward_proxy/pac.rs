//! The file that tells a browser what to ask the proxy for, and what not: a function in JavaScript,
//! as Netscape's "Navigator Proxy Auto-Config File Format" of 1996 has it.

use std::{
    fmt::{self, Write},
    str::FromStr,
};

use super::PRIVATE;
use crate::network::Network;
use crate::site::Host;

/// The media type.
pub const CONTENT_TYPE: &str = "application/x-ns-proxy-autoconfig";

/// Where it is asked for; the second is where browsers look that are told nothing (WPAD).
pub const PATHS: [&str; 2] = ["/proxy.pac", "/wpad.dat"];

/// What browsers ask for themselves, besides names without a dot and this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exception {
    /// Hosts that are written as addresses of this IPv4 network.
    Network(Network),
    /// Names.
    Host(Host),
}

/// Why a text is no exception.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no exception: write a name (a.example, *.example) or an IPv4 network (10.0.0.0/8)"
)]
pub struct ExceptionError(String);

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Host(host) => host.fmt(f),
        }
    }
}

impl FromStr for Exception {
    type Err = ExceptionError;

    fn from_str(text: &str) -> Result<Self, ExceptionError> {
        let malformed = || ExceptionError(text.to_owned());
        match text.parse::<Network>() {
            Ok(network) if network.ipv4().is_some() => Ok(Self::Network(network)),
            Ok(_) => Err(malformed()),
            Err(_) => text.parse().map(Self::Host).map_err(|_| malformed()),
        }
    }
}

/// The exceptions where none are named: what a proxy refuses to reach.
pub fn private() -> Vec<Exception> {
    PRIVATE.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The file: a browser that reached the proxy as `authority` asks it for everything but the
/// `exceptions`. `authority` is a host and a port as HTTP reads them, and so cannot end a string.
pub fn file(kind: Kind, authority: &str, exceptions: &[Exception]) -> String {
    let mut direct = String::from("isPlainHostName(host) || host === \"localhost\"");
    for exception in exceptions {
        // Writing to a string cannot fail.
        let _ = match exception {
            Exception::Host(Host::Exact(name)) => write!(direct, " ||\n      host === \"{name}\""),
            Exception::Host(Host::Below(name)) => {
                write!(direct, " ||\n      dnsDomainIs(host, \".{name}\")")
            }
            Exception::Host(Host::Any) => write!(direct, " ||\n      true"),
            Exception::Network(network) => {
                let (address, mask) = network.ipv4().expect("others are refused when read");
                write!(direct, " ||\n      numeric && isInNet(host, \"{address}\", \"{mask}\")")
            }
        };
    }
    let kind = match kind {
        Kind::Clear => "PROXY",
        Kind::Tls => "HTTPS",
    };
    format!(
        "function FindProxyForURL(url, host) {{\n  \
         host = host.toLowerCase();\n  \
         // Only an address is held against networks: a name would be looked up for that.\n  \
         var numeric = /^\\d+(\\.\\d+){{3}}$/.test(host);\n  \
         if ({direct}) {{\n    return \"DIRECT\";\n  }}\n  \
         return \"{kind} {authority}\";\n}}\n"
    )
}

/// How a browser speaks to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP in clear.
    Clear,
    /// HTTP over TLS.
    Tls,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_the_proxy_and_what_goes_past_it() {
        let exceptions =
            ["intra.example", "*.corp.example", "10.0.0.0/8"].map(|text| text.parse().unwrap());
        let file = file(Kind::Clear, "proxy.example:3128", &exceptions);
        for part in [
            "return \"PROXY proxy.example:3128\";",
            "host === \"intra.example\"",
            "dnsDomainIs(host, \".corp.example\")",
            "numeric && isInNet(host, \"10.0.0.0\", \"255.0.0.0\")",
        ] {
            assert!(file.contains(part), "{part} is not in {file}");
        }
        assert!(super::file(Kind::Tls, "a:1", &[]).contains("return \"HTTPS a:1\";"));
    }

    #[test]
    fn an_exception_is_a_name_or_a_network_that_browsers_know() {
        assert!("fd00::/8".parse::<Exception>().is_err());
        assert!("a\"b".parse::<Exception>().is_err());
        assert!(private().contains(&"10.0.0.0/8".parse().unwrap()));
    }
}
