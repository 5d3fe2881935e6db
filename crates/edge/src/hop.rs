//! The mark of a request that one edge of a cluster sends another: the field `Nigh-Hop`, a structured
//! item (RFC 9651). It is believed where the other end has shown an edge's certificate, and nowhere
//! else.
//!
//! ```text
//! Nigh-Hop: "eu-1";scheme=https;for="192.0.2.7";slice=1048576;purges=17
//! ```

use std::{fmt, net::IpAddr};

use nigh_cache::key::Scheme;

use crate::forward::is_same_name;

/// The field's name.
pub const NAME: &str = "nigh-hop";

/// What the field says of an answer that is none: another edge is to be asked.
pub const DECLINED: &str = "declined";

/// Bytes of the longest mark that is read: a name, an address and two numbers.
const LENGTH_MAX: usize = 512;

/// Who sent a request on, and on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    /// The edge that was asked. Without quotes and backslashes, as names of edges are.
    pub from: &'a str,
    /// The scheme that its client used.
    pub scheme: Scheme,
    /// That client's address.
    pub client: IpAddr,
    /// It brings together slices of so many bytes itself, and wants the first one of what is sliced so.
    pub slice: Option<u64>,
    /// The purge up to which it has forgotten; 0 where there was none. Who has not come so far gives it
    /// nothing unvalidated.
    pub purges: u64,
}

impl<'a> Mark<'a> {
    /// Reads the field's value; `None` if it is no mark. Parameters that it does not know are passed by,
    /// so that an edge of a later version may say more.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= LENGTH_MAX)?;
        let mut parts = text.split(';').map(|part| part.trim_matches(' '));
        let from = unquoted(parts.next()?)?;
        let (mut scheme, mut client, mut slice, mut purges) = (None, None, None, 0);
        for part in parts {
            match part.split_once('=')? {
                ("scheme", "http") => scheme = Some(Scheme::Http),
                ("scheme", "https") => scheme = Some(Scheme::Https),
                ("for", address) => client = Some(unquoted(address)?.parse().ok()?),
                ("slice", bytes) => slice = Some(bytes.parse().ok().filter(|&it| it > 0)?),
                ("purges", number) => purges = number.parse().ok()?,
                _ => {}
            }
        }
        Some(Self { from, scheme: scheme?, client: client?, slice, purges })
    }
}

impl fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, scheme, client, slice, purges } = self;
        write!(f, "\"{from}\";scheme={};for=\"{client}\"", scheme.as_str())?;
        slice.map_or(Ok(()), |bytes| write!(f, ";slice={bytes}"))?;
        if *purges > 0 { write!(f, ";purges={purges}") } else { Ok(()) }
    }
}

/// Whether a field of this name could be taken for the mark.
pub fn is_named(name: &str) -> bool {
    is_same_name(name, NAME)
}

/// The content of a string without escapes.
fn unquoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.is_empty() && !inner.contains(['"', '\\'])).then_some(inner)
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let marks = [("192.0.2.7", None, 0), ("2001:db8::7", Some(1 << 20), 17)];
        for (client, slice, purges) in marks {
            let client = client.parse().unwrap();
            let mark = Mark { from: "eu-1", scheme: Scheme::Https, client, slice, purges };
            assert_eq!(Mark::parse(mark.to_string().as_bytes()), Some(mark));
        }
    }

    #[test]
    fn a_mark_of_a_later_version_is_read_as_far_as_it_is_known() {
        let mark = Mark::parse(br#""a"; scheme=http; for="::1"; revision=7"#).unwrap();
        assert_eq!((mark.from, mark.scheme, mark.slice), ("a", Scheme::Http, None));
    }

    #[test]
    fn what_is_no_mark_is_not_guessed_at() {
        for text in [
            "",
            "a;scheme=http;for=\"::1\"",
            "\"a\"",
            "\"a\";scheme=http",
            "\"a\";for=\"::1\"",
            "\"a\";scheme=ftp;for=\"::1\"",
            "\"a\";scheme=http;for=\"here\"",
            "\"a\";scheme=http;for=\"::1\";slice=0",
            "\"a\";scheme=http;for=\"::1\";slice=x",
            "\"a\";scheme=http;for=\"::1\";purges=-1",
            "\"a\";scheme=http;for=\"::1\";",
            "\"\";scheme=http;for=\"::1\"",
        ] {
            assert_eq!(Mark::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Mark::parse(b"\"\xff\";scheme=http;for=\"::1\""), None);
        let long = format!("\"{}\";scheme=http;for=\"::1\"", "a".repeat(LENGTH_MAX));
        assert_eq!(Mark::parse(long.as_bytes()), None);
    }

    #[test]
    fn whatever_is_read_is_the_same_when_it_was_written_again() {
        let mut rng = Rng::new(7);
        let mut read = 0;
        for _ in 0..10_000 {
            let mut text = br#""eu-1";scheme=https;for="192.0.2.7";slice=64"#.to_vec();
            for _ in 0..=rng.below(2) {
                let at = rng.index(text.len());
                text[at] = u8::try_from(rng.below(256)).unwrap();
            }
            if let Some(mark) = Mark::parse(&text) {
                read += 1;
                assert_eq!(Mark::parse(mark.to_string().as_bytes()), Some(mark.clone()), "{mark}");
            }
        }
        assert!(read > 100, "{read}");
    }

    #[test]
    fn the_mark_has_one_name_however_an_origin_reads_it() {
        for name in ["nigh-hop", "Nigh-Hop", "nigh_hop", "NIGH_HOP"] {
            assert!(is_named(name), "{name}");
        }
        assert!(!is_named("nigh-hops"));
    }
}
