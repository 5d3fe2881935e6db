//! Which stored responses a successful unsafe request makes worthless. RFC 9111, section 4.4.
//!
//! The target URI itself, and what Location and Content-Location point at, if that is of the same
//! origin: else one site could empty another's cache. A method whose safety is unknown counts as
//! unsafe. References are resolved as RFC 3986, section 5.2 says.

use http::{Method, StatusCode};

use crate::{fields::Fields, key::Scheme, list::trim};

/// The longest Location that is followed, in bytes: as long as the longest URI that is served by
/// default. A longer one invalidates nothing.
pub const LOCATION_MAX: usize = 8 * 1024;

/// The target URI of a request, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and, if written, port.
    pub authority: &'a [u8],
    /// Path and query, beginning with `/`.
    pub path: &'a [u8],
}

/// The paths (with their queries, on the origin of `target`) that are invalid after a response of
/// `status` to `method`: none, or `target` first and up to two more.
pub fn targets(
    method: &Method,
    status: StatusCode,
    target: &Target<'_>,
    fields: &impl Fields,
) -> Vec<Vec<u8>> {
    let worked = status.is_success() || status.is_redirection();
    if is_safe(method) || !worked {
        return Vec::new();
    }
    let mut paths = vec![target.path.to_vec()];
    for name in ["location", "content-location"] {
        let path = fields.first(name).and_then(|reference| target.resolve(reference));
        paths.extend(path.filter(|path| !paths.contains(path)).into_iter().collect::<Vec<_>>());
    }
    paths
}

/// Whether a method is registered as safe (RFC 9110, section 9.2.1, and the IANA registry).
pub fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PROPFIND" | "QUERY" | "REPORT" | "SEARCH"
    )
}

impl Target<'_> {
    /// Whether `reference` points at this very URI, fragments aside.
    pub fn is_same(&self, reference: &[u8]) -> bool {
        self.resolve(reference).is_some_and(|path| path == self.path)
    }

    /// The path and query that `reference` points at, if that is on this origin (RFC 3986, 5.2.2).
    pub fn resolve(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let reference = until(trim(reference), b"#");
        if reference.len() > LOCATION_MAX {
            return None;
        }
        let (scheme, rest) = match scheme(reference) {
            Some((name, rest)) => (name, rest),
            None => (self.scheme.as_str().as_bytes(), reference),
        };
        if !scheme.eq_ignore_ascii_case(self.scheme.as_str().as_bytes()) {
            return None;
        }
        if let Some(rest) = rest.strip_prefix(b"//") {
            let authority = until(rest, b"/?");
            return self.is_my_authority(authority).then(|| absolute(&rest[authority.len()..]));
        }
        // A scheme without an authority is no URI of HTTP (RFC 9110, section 4.2).
        if rest.len() != reference.len() {
            return None;
        }
        let base = until(self.path, b"?");
        Some(match reference.first() {
            None => self.path.to_vec(),
            Some(b'/') => absolute(reference),
            Some(b'?') => [base, reference].concat(),
            Some(_) => {
                let folder = base.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
                absolute(&[&base[..folder], reference].concat())
            }
        })
    }

    fn is_my_authority(&self, authority: &[u8]) -> bool {
        let port = self.scheme.default_port();
        let (mine, theirs) = (host_and_port(self.authority), host_and_port(authority));
        mine.0.eq_ignore_ascii_case(theirs.0)
            && mine.1.unwrap_or(port) == theirs.1.unwrap_or(port)
            && !authority.contains(&b'@')
    }
}

/// Host and port of an authority; a port that is no number is port 0, which nobody serves.
fn host_and_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let closing = authority.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    match authority[closing..].iter().rposition(|&byte| byte == b':') {
        None => (authority, None),
        Some(at) => {
            let (host, port) = authority.split_at(closing + at);
            let number = match &port[1..] {
                b"" => None,
                text => {
                    crate::list::digits(text).map(|n| u16::try_from(n).unwrap_or(0)).or(Some(0))
                }
            };
            (host, number)
        }
    }
}

/// The scheme of an absolute URI and what follows its colon (RFC 3986, section 3.1).
fn scheme(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().position(|byte| b":/?".contains(byte))?;
    let name = &text[..colon];
    let valid = name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    (text[colon] == b':' && valid).then(|| (name, &text[colon + 1..]))
}

/// The part of `text` before the first of `ends`.
fn until<'a>(text: &'a [u8], ends: &[u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| ends.contains(byte)).unwrap_or(text.len());
    &text[..end]
}

/// An absolute path and its query, the path without `.` and `..` (RFC 3986, section 5.2.4).
fn absolute(text: &[u8]) -> Vec<u8> {
    let path = until(text, b"?");
    let query = &text[path.len()..];
    let mut out: Vec<u8> = Vec::with_capacity(text.len() + 1);
    let segments = path.strip_prefix(b"/").unwrap_or(path);
    let last = segments.iter().filter(|&&byte| byte == b'/').count();
    for (at, segment) in segments.split(|&byte| byte == b'/').enumerate() {
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    let parent = out.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                    out.truncate(parent);
                }
                if at == last {
                    out.push(b'/');
                }
            }
            segment => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    out.extend_from_slice(query);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::map;

    const TARGET: Target<'_> =
        Target { scheme: Scheme::Http, authority: b"a.example:80", path: b"/b/c?d" };

    fn check(method: &str, status: u16, lines: &[(&'static str, &str)], expected: &[&str]) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let found: Vec<_> = targets(&method, status, &TARGET, &map(lines))
            .into_iter()
            .map(|path| String::from_utf8(path).unwrap())
            .collect();
        assert_eq!(found, expected, "{method} {status} {lines:?}");
    }

    #[test]
    fn unsafe_and_unknown_methods_invalidate_when_they_succeed() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "get"] {
            check(method, 200, &[], &["/b/c?d"]);
            check(method, 303, &[], &["/b/c?d"]);
            check(method, 404, &[], &[]);
            check(method, 500, &[], &[]);
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"] {
            check(method, 200, &[("location", "/x")], &[]);
        }
    }

    #[test]
    fn locations_of_the_same_origin_are_invalid_too() {
        let both = [("location", "/x"), ("content-location", "y?z#f")];
        check("POST", 201, &both, &["/b/c?d", "/x", "/b/y?z"]);
        check("POST", 201, &[("location", ""), ("content-location", "c?d")], &["/b/c?d"]);
    }

    #[test]
    fn locations_of_other_origins_are_left_alone() {
        for other in [
            "http://b.example/x",
            "https://a.example/x",
            "http://a.example:81/x",
            "http://u@a.example/x",
            "//b.example/x",
            "http:/x",
            "mailto:a@a.example",
            "http://a.example:port/x",
        ] {
            check("POST", 201, &[("location", other)], &["/b/c?d"]);
        }
    }

    #[test]
    fn references_resolve_as_uris_do() {
        for (reference, path) in [
            ("http://A.Example/x", "/x"),
            ("HTTP://a.example:80", ""),
            ("//a.example:/x/", "/x/"),
            ("?q", "/b/c?q"),
            ("../x", "/x"),
            ("../../../x/./y/..", "/x/"),
            (".", "/b/"),
            ("/x/../y?../z", "/y?../z"),
            ("x:y/", ""),
        ] {
            let found = TARGET.resolve(reference.as_bytes());
            let expected = match (reference, path) {
                ("x:y/", _) => None,
                (_, "") => Some(b"/".to_vec()),
                (_, path) => Some(path.as_bytes().to_vec()),
            };
            assert_eq!(found, expected, "{reference}");
        }
    }

    #[test]
    fn a_location_longer_than_any_uri_invalidates_nothing() {
        let long = format!("/{}", "x".repeat(LOCATION_MAX));
        check("POST", 201, &[("location", &long)], &["/b/c?d"]);
    }
}
