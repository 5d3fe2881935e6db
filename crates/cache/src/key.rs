//! The primary cache key: scheme, host, path and query of the target URI. RFC 9111, section 2.

use twox_hash::XxHash3_64;

/// The scheme of a target URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The scheme as it is written in a URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that goes without saying.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A key and its hash, borrowed from whoever wrote it down.
///
/// The hash is keyed by the store's secret seed, so that a stranger cannot aim at one chain; keys
/// are compared whole, so that a collision is never another's answer.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) hash: u64,
}

impl<'a> Key<'a> {
    /// The key that `bytes` spell, hashed with `seed`.
    pub(crate) fn new(bytes: &'a [u8], seed: u64) -> Self {
        Self { bytes, hash: XxHash3_64::oneshot_with_seed(seed, bytes) }
    }

    /// The key as text: the target URI. Always what [`write()`] wrote.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Writes the key of a target into `out`, which is cleared first: no allocation once it has grown.
///
/// The authority is lower-cased and loses its scheme's default port and nothing else is changed:
/// the origin alone knows which paths or queries mean the same (RFC 3986, section 6.2.3).
pub fn write(scheme: Scheme, authority: &str, path_and_query: &str, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(scheme.as_str().as_bytes());
    out.extend_from_slice(b"://");
    let default = match scheme {
        Scheme::Http => ":80",
        Scheme::Https => ":443",
    };
    let authority = authority.strip_suffix(default).unwrap_or(authority);
    let start = out.len();
    out.extend_from_slice(authority.as_bytes());
    out[start..].make_ascii_lowercase();
    if !path_and_query.starts_with('/') {
        out.push(b'/');
    }
    out.extend_from_slice(path_and_query.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_uri_with_its_host_normalised() {
        for (scheme, authority, target, key) in [
            (Scheme::Http, "Example.com", "/a?B=c", "http://example.com/a?B=c"),
            (Scheme::Http, "example.com:80", "/", "http://example.com/"),
            (Scheme::Https, "example.com:443", "/", "https://example.com/"),
            (Scheme::Https, "example.com:80", "/", "https://example.com:80/"),
            (Scheme::Http, "[::1]:8080", "?q", "http://[::1]:8080/?q"),
        ] {
            let mut out = b"left over".to_vec();
            write(scheme, authority, target, &mut out);
            assert_eq!(std::str::from_utf8(&out), Ok(key));
        }
    }
}
