//! The fields of a stored response, packed: a well-known name takes one byte instead of fifteen.
//!
//! ```text
//! field := token:u8 [ length:u8 name ] length:u16 value      the name only where the token is 0
//! ```
//! A packed head is read in place. Content-Length is never in it: the body knows its length.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::fields::Fields;

/// Names that responses often carry. Disks keep packed heads (`disk`): new names go to the end.
const NAMES: [&str; 48] = [
    "", // 0: the name is spelled out
    "date",
    "server",
    "content-type",
    "last-modified",
    "etag",
    "cache-control",
    "accept-ranges",
    "expires",
    "vary",
    "content-encoding",
    "age",
    "via",
    "location",
    "content-language",
    "content-location",
    "content-disposition",
    "content-range",
    "cdn-cache-control",
    "set-cookie",
    "link",
    "pragma",
    "warning",
    "x-cache",
    "x-powered-by",
    "x-request-id",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
    "strict-transport-security",
    "content-security-policy",
    "referrer-policy",
    "permissions-policy",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-max-age",
    "cross-origin-resource-policy",
    "cross-origin-opener-policy",
    "cross-origin-embedder-policy",
    "timing-allow-origin",
    "alt-svc",
    "server-timing",
    "surrogate-control",
    "surrogate-key",
    "cache-tag",
];

/// Fields that differ from response to response even on one site. All others are packed apart, so
/// that responses that agree on them can share them (`common`).
const OWN: [&str; 16] = [
    "date",
    "last-modified",
    "etag",
    "age",
    "expires",
    "location",
    "content-location",
    "content-range",
    "content-disposition",
    "content-digest",
    "repr-digest",
    "set-cookie",
    "link",
    "cache-tag",
    "surrogate-key",
    "x-request-id",
];

/// A response's packed fields, borrowed: those that others share, and its own.
#[derive(Clone, Copy)]
pub struct PackedFields<'a> {
    common: &'a [u8],
    own: &'a [u8],
}

impl<'a> PackedFields<'a> {
    /// Reads what [`pack`] wrote.
    pub(crate) const fn new(common: &'a [u8], own: &'a [u8]) -> Self {
        Self { common, own }
    }

    /// The packed bytes, which make one head when they are put together.
    pub(crate) const fn packed(self) -> [&'a [u8]; 2] {
        [self.common, self.own]
    }

    /// Every field line; lines of one name in the order received.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        Lines(self.common).chain(Lines(self.own))
    }

    /// The fields as a map, for whoever must edit them. Allocates.
    pub fn to_map(self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.iter() {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
            {
                map.append(name, value);
            }
        }
        map
    }
}

impl std::fmt::Debug for PackedFields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

impl Fields for PackedFields<'_> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.iter().filter(move |(n, _)| *n == name).map(|(_, value)| value)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&token, mut rest) = self.0.split_first()?;
        let name = if token == 0 {
            let (&len, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(usize::from(len))?;
            rest = after;
            std::str::from_utf8(name).ok()?
        } else {
            NAMES.get(usize::from(token)).copied()?
        };
        let (len, after) = rest.split_first_chunk::<2>()?;
        let (value, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        self.0 = after;
        Some((name, value))
    }
}

/// Packs `fields` behind what `own` and `common` hold; false if one is too long to keep.
pub(crate) fn pack(fields: &HeaderMap, common: &mut Vec<u8>, own: &mut Vec<u8>) -> bool {
    for (name, value) in fields {
        if name == http::header::CONTENT_LENGTH {
            continue;
        }
        let name = name.as_str();
        let (Ok(name_len), Ok(value_len)) = (u8::try_from(name.len()), u16::try_from(value.len()))
        else {
            return false;
        };
        let out = if OWN.contains(&name) { &mut *own } else { &mut *common };
        match NAMES.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok()) {
            Some(token) => out.push(token),
            None => {
                out.extend_from_slice(&[0, name_len]);
                out.extend_from_slice(name.as_bytes());
            }
        }
        out.extend_from_slice(&value_len.to_le_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_read_back_and_lines_of_a_name_keep_their_order() {
        let mut fields = HeaderMap::new();
        for (name, value) in
            [("etag", "\"a\""), ("x-own", "1"), ("link", "a"), ("link", "b"), ("x-empty", "")]
        {
            fields.append(name, HeaderValue::from_static(value));
        }
        fields.append("content-length", HeaderValue::from_static("3"));
        let (mut common, mut own) = (Vec::new(), b"before".to_vec());
        assert!(pack(&fields, &mut common, &mut own));
        let packed = PackedFields::new(&common, &own[6..]);
        assert_eq!(packed.iter().count(), 5);
        assert_eq!(packed.values("link").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(packed.first("x-empty"), Some(&b""[..]));
        fields.remove("content-length");
        assert_eq!(packed.to_map(), fields);
    }

    #[test]
    fn a_value_too_long_to_keep_is_not_packed() {
        let mut fields = HeaderMap::new();
        fields
            .append("a", HeaderValue::from_bytes(&vec![b'x'; usize::from(u16::MAX) + 1]).unwrap());
        assert!(!pack(&fields, &mut Vec::new(), &mut Vec::new()));
    }
}
