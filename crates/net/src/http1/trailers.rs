//! The fields behind a chunked body: read as strictly as those of a head, and trusted with less.

use http::HeaderMap;
use nigh_edge::forward;

use super::{Name, Present, Refusal, grammar};

/// A trailer section that [`super::Body`] found whole; yields each line's name, as it was written,
/// and value.
///
/// RFC 9110, section 6.5.1: what frames, routes, authenticates or modifies a request, and what says
/// how its content is coded, has to be known before the content; a recipient that merges such a
/// trailer into the head can be lied to. Length, codings, Host and Connection refuse the message; the
/// others that are known to be forbidden are left out here.
#[derive(Clone, Debug)]
pub struct Trailers<'b> {
    left: &'b [u8],
}

/// Two readers that differ on these differ on where the message ends, or whom it is for.
const REFUSED: Present =
    Present::of(&[Name::ContentLength, Name::TransferEncoding, Name::Host, Name::Connection]);

const DROPPED: Present = Present::of(&[
    Name::Accept,
    Name::AcceptEncoding,
    Name::AcceptLanguage,
    Name::Authorization,
    Name::CacheControl,
    Name::CdnLoop,
    Name::ContentEncoding,
    Name::ContentType,
    Name::Cookie,
    Name::EarlyData,
    Name::Expect,
    Name::Forwarded,
    Name::IfMatch,
    Name::IfModifiedSince,
    Name::IfNoneMatch,
    Name::IfRange,
    Name::IfUnmodifiedSince,
    Name::KeepAlive,
    Name::MaxForwards,
    Name::Origin,
    Name::Pragma,
    Name::ProxyAuthorization,
    Name::ProxyConnection,
    Name::Range,
    Name::Te,
    Name::Trailer,
    Name::Upgrade,
    Name::UserAgent,
    Name::Via,
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedProto,
]);

/// What a response must not say behind its content either: what frames it, what caches and browsers
/// act on, who is let in. Names that the edge does not ask for in a head, so no [`Name`]s.
const DROPPED_OTHERS: [&str; 15] = [
    "age",
    "cdn-cache-control",
    "content-range",
    "date",
    "expires",
    "http2-settings",
    "location",
    "proxy-authenticate",
    "proxy-authentication-info",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "vary",
    "warning",
    "www-authenticate",
];

/// Whether a trailer of this name goes no further, in either direction.
fn is_dropped(name: &[u8]) -> bool {
    let is_it = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
    match Name::of(name) {
        Some(name) => DROPPED.has(name) || REFUSED.has(name),
        None => {
            DROPPED_OTHERS.iter().any(is_it) || str::from_utf8(name).is_ok_and(forward::is_mistaken)
        }
    }
}

/// The trailers that may be passed on, of those that another codec read: an origin's, or a client's
/// over HTTP/2.
pub(crate) fn admissible(trailers: &HeaderMap) -> HeaderMap {
    let kept = trailers.iter().filter(|(name, _)| !is_dropped(name.as_str().as_bytes()));
    let mut admitted = HeaderMap::new();
    for (name, value) in kept {
        admitted.append(name.clone(), value.clone());
    }
    admitted
}

impl<'b> Trailers<'b> {
    /// The trailers in `section`: the range that [`super::Part::End`] names, of the bytes that the
    /// step was given.
    pub fn new(section: &'b [u8]) -> Self {
        Self { left: section }
    }

    /// Every line, those that go no further included: a request may be refused for them.
    pub(crate) fn all(mut self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        std::iter::from_fn(move || self.line())
    }

    fn line(&mut self) -> Option<(&'b str, &'b [u8])> {
        let (line, len) = grammar::field_line(self.left).ok().flatten()?;
        self.left = &self.left[len..];
        Some((line.name, line.value))
    }

    /// Checks every line of `section`, and answers its length without the empty line that ends it.
    pub(super) fn check(section: &[u8], fields: usize) -> Result<usize, Refusal> {
        let mut at = 0;
        let mut lines = 0;
        loop {
            match (&section[at..], lines) {
                (b"\r\n", _) => return Ok(at),
                ([b' ' | b'\t', ..], 0) => return Err(Refusal::SpaceBeforeFields),
                ([b' ' | b'\t', ..], _) => return Err(Refusal::LineFolded),
                _ => {}
            }
            let read = grammar::field_line(&section[at..])?;
            let (line, len) = read.expect("a section ends with an empty line or half a line's end");
            if Name::of(line.name.as_bytes()).is_some_and(|name| REFUSED.has(name)) {
                return Err(Refusal::TrailerForbidden);
            }
            lines += 1;
            if lines > fields {
                return Err(Refusal::TooManyFields);
            }
            at += len;
        }
    }
}

impl<'b> Iterator for Trailers<'b> {
    type Item = (&'b str, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (name, value) = self.line()?;
            if !is_dropped(name.as_bytes()) {
                return Some((name, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_that_would_change_the_request_are_left_out() {
        let section = b"Checksum: 7 \r\nCookie: a=b\r\nx-time:\r\nAUTHORIZATION: me\r\n";
        let kept: Vec<_> = Trailers::new(section).collect();
        assert_eq!(kept, [("Checksum", &b"7"[..]), ("x-time", b"")]);
    }

    #[test]
    fn both_directions_share_one_table() {
        let mut map = HeaderMap::new();
        let others = ["content-length", "host", "connection", "x_forwarded_for"];
        for name in DROPPED_OTHERS.into_iter().chain(others) {
            map.insert(name, http::HeaderValue::from_static("1"));
            let line = format!("{name}: 1\r\n");
            assert_eq!(Trailers::new(line.as_bytes()).count(), 0, "{name}");
        }
        for (name, value) in [("grpc-status", "0"), ("server-timing", "a"), ("server-timing", "b")]
        {
            map.append(name, http::HeaderValue::from_static(value));
        }
        let kept = admissible(&map);
        let kept: Vec<_> =
            kept.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected = [("grpc-status", b"0"), ("server-timing", b"a"), ("server-timing", b"b")];
        assert_eq!(kept, expected.map(|(name, value)| (name, &value[..])));
    }

    #[test]
    fn trailers_that_would_frame_the_message_refuse_it() {
        for name in ["Content-Length", "transfer-encoding", "HOST", "connection"] {
            let section = format!("a: b\r\n{name}: 1\r\n\r\n");
            let checked = Trailers::check(section.as_bytes(), 10);
            assert_eq!(checked, Err(Refusal::TrailerForbidden), "{name}");
        }
    }

    #[test]
    fn trailers_are_counted_like_fields() {
        assert_eq!(Trailers::check(b"a: b\r\nc: d\r\n\r\n", 2), Ok(12));
        assert_eq!(Trailers::check(b"a: b\r\nc: d\r\n\r\n", 1), Err(Refusal::TooManyFields));
    }
}
