//! Compressing responses here, for origins that do not: which, in which coding, and what becomes of
//! their fields. RFC 9110, sections 8.4, 8.8.3 and 12.5.3. docs/compression.md has the shape of it.
//!
//! Under a rule that compresses, Accept-Encoding is narrowed to the one coding that a response would
//! come in ([`Compress::narrow`]), in the key as in what the origin sees. So there are as many variants as
//! codings, and each is a stored response like any other.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use nigh_cache::{
    directives::{RequestDirectives, ResponseDirectives},
    fields::Fields,
    list::{self, EntityTag},
    normal::Codings,
    vary::Vary,
};

/// Types that are compressed where a rule names none: text in all its forms.
pub const TYPES: [&str; 7] = [
    "text/*",
    "*+json",
    "*+xml",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/wasm",
];

/// Bytes from which on a response is compressed where a rule says nothing: below, it fits the packet
/// that carries its head.
pub const LEAST: u64 = 1024;

/// A type that waits for each of its events, and so is compressed only by name.
const EVENTS: &[u8] = b"text/event-stream";

/// Fields about the bytes as they were before. RFC 9530; RFC 1864 (Content-MD5).
const ABOUT_BYTES: [&str; 6] =
    ["content-length", "accept-ranges", "content-md5", "content-digest", "repr-digest", "digest"];

/// A content coding that can be made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All, best first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in Content-Encoding.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    const fn as_codings(self) -> Codings {
        match self {
            Self::Zstd => Codings::ZSTD,
            Self::Brotli => Codings::BR,
            Self::Gzip => Codings::GZIP,
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What of the responses under a rule is compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    offered: Box<[Codings]>,
    codings: Box<[Coding]>,
    types: Box<[Box<str>]>,
    least: u64,
}

/// What a request's fields are taken to say under a rule that compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// Instead of Accept-Encoding.
    pub codings: Codings,
    /// Range and If-Range do not count.
    pub whole: bool,
}

impl Compress {
    /// Responses of `types` (in lower case, with a star for the rest at either end) from `least` bytes
    /// on, in one of `codings`, best first.
    pub fn new(codings: &[Coding], types: impl IntoIterator<Item = Box<str>>, least: u64) -> Self {
        Self {
            offered: codings.iter().map(|coding| coding.as_codings()).collect(),
            codings: codings.into(),
            types: types.into_iter().collect(),
            least,
        }
    }

    /// The codings, best first.
    pub fn codings(&self) -> &[Coding] {
        &self.codings
    }

    /// The types.
    pub fn types(&self) -> &[Box<str>] {
        &self.types
    }

    /// Bytes from which on a response is compressed.
    pub const fn least(&self) -> u64 {
        self.least
    }

    /// What a request's fields are taken to say. Allocates nothing.
    ///
    /// A range is one of the content as it is. A client that goes on with If-Range and a date may hold
    /// the beginning of a compressed response, whose date is the same: it gets the whole.
    pub fn narrow(&self, request: &impl Fields) -> Narrowed {
        let narrowed = Codings::narrowed(request, &self.offered);
        let as_it_is = if narrowed.contains(Codings::IDENTITY) {
            Codings::IDENTITY
        } else {
            Codings::default()
        };
        if RequestDirectives::parse(request).no_transform {
            return Narrowed { codings: as_it_is, whole: false };
        }
        if request.first("range").is_none() || narrowed == as_it_is {
            return Narrowed { codings: narrowed, whole: false };
        }
        let is_dated = |condition: &[u8]| EntityTag::parse(list::trim(condition)).is_none();
        match request.first("if-range").is_some_and(is_dated) {
            true => Narrowed { codings: narrowed, whole: true },
            false => Narrowed { codings: as_it_is, whole: false },
        }
    }

    /// The coding that a response with these fields and of so many bytes is to be sent in, to a request
    /// with the narrowed fields `asked`, if any. Allocates nothing for what has a coding, is short or of
    /// another type.
    pub fn coding(
        &self,
        asked: &impl Fields,
        status: StatusCode,
        fields: &impl Fields,
        length: Option<u64>,
    ) -> Option<Coding> {
        let has = |name| fields.first(name).is_some();
        if !has_whole_content(status) || has("content-range") || has("content-encoding") {
            return None;
        }
        let kind = fields.first("content-type").map(essence)?;
        let wanted = self.narrow(asked).codings;
        // Who refuses the content as it is gets even the shortest compressed.
        let is_short =
            length.is_some_and(|length| length < self.least) && wanted.contains(Codings::IDENTITY);
        if length == Some(0) || is_short || !self.is_of_types(kind) || forbids(fields) {
            return None;
        }
        self.best(wanted)
    }

    /// Makes a response's fields those of the compressed one, if it is to be: [`Self::coding`] says in
    /// which coding.
    pub fn apply(
        &self,
        asked: &impl Fields,
        status: StatusCode,
        fields: &mut HeaderMap,
    ) -> Option<Coding> {
        if status == StatusCode::NOT_MODIFIED {
            // The client named the tag that a compressed response has.
            if self.best(self.narrow(asked).codings).is_some()
                && asked.values("if-none-match").any(|line| names_weak(line, fields))
            {
                weaken(fields);
            }
            return None;
        }
        let length = fields.first("content-length").and_then(list::digits);
        let coding = self.coding(asked, status, fields, length);
        // RFC 9110, section 15.3.7: a part has the Vary that the whole would have.
        self.confirm(fields);
        let coding = coding?;
        for name in ABOUT_BYTES {
            fields.remove(name);
        }
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        weaken(fields);
        Some(coding)
    }

    fn best(&self, wanted: Codings) -> Option<Coding> {
        self.codings.iter().copied().find(|coding| wanted.contains(coding.as_codings()))
    }

    /// Says of a response that is left as it is, or was confirmed by the origin, that it is one of
    /// several variants, if it is.
    pub fn confirm(&self, fields: &mut HeaderMap) {
        let may = fields.first("content-type").is_some_and(|kind| self.is_of_types(essence(kind)));
        if may && !forbids(fields) {
            vary_on_codings(fields);
        }
    }

    fn is_of_types(&self, kind: &[u8]) -> bool {
        let is_named = |held: &&str| list::same_token(held.as_bytes(), kind);
        let fits = |held: &str| match (held.strip_prefix('*'), held.strip_suffix('*')) {
            (Some(end), _) => ends_like(kind, end.as_bytes()),
            (_, Some(start)) => {
                list::same_token(kind.get(..start.len()).unwrap_or_default(), start.as_bytes())
            }
            (None, None) => list::same_token(held.as_bytes(), kind),
        };
        let mut types = self.types.iter().map(|held| &**held);
        match list::same_token(kind, EVENTS) {
            true => types.any(|held| is_named(&held)),
            false => types.any(fits),
        }
    }
}

/// Removes from trailers what is about the bytes as they were before.
pub fn remove_digests(trailers: &mut HeaderMap) {
    for name in ABOUT_BYTES {
        trailers.remove(name);
    }
}

fn ends_like(kind: &[u8], end: &[u8]) -> bool {
    let at = kind.len().checked_sub(end.len());
    at.is_some_and(|at| list::same_token(&kind[at..], end))
}

/// A media type without its parameters.
pub(super) fn essence(value: &[u8]) -> &[u8] {
    list::trim(value.split(|&byte| byte == b';').next().unwrap_or_default())
}

/// Whether a response is to be passed on as it is: whatever other field its storing goes by, this word
/// of Cache-Control's is for everyone.
fn forbids(fields: &impl Fields) -> bool {
    ResponseDirectives::parse(fields).no_transform || RequestDirectives::parse(fields).no_transform
}

/// Whether responses of this status have content, and it is a representation from end to end.
fn has_whole_content(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 204 | 205 | 206 | 304)
}

fn names_weak(line: &[u8], fields: &HeaderMap) -> bool {
    let tag = fields.get(header::ETAG).and_then(|tag| EntityTag::parse(tag.as_bytes()));
    list::entity_tags(line).any(|held| held.weak && tag.is_some_and(|tag| tag.same_weakly(held)))
}

/// The tag of bytes that are made anew each time is a weak one: they are equivalent, and no more.
fn weaken(fields: &mut HeaderMap) {
    let Some(tag) = fields.get(header::ETAG) else { return };
    if EntityTag::parse(tag.as_bytes()).is_some_and(|tag| !tag.weak) {
        let weak = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat());
        fields.insert(header::ETAG, weak.expect("a value behind two letters is a value"));
    }
}

/// Adds Accept-Encoding to Vary, unless it is there.
fn vary_on_codings(fields: &mut HeaderMap) {
    const NAME: HeaderName = header::ACCEPT_ENCODING;
    let vary = Vary::parse(fields);
    if vary != Vary::Star && !vary.names().contains(&NAME) {
        fields.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Lines, fields};

    fn rule() -> Compress {
        Compress::new(&Coding::ALL, TYPES.map(Box::from), 10)
    }

    fn applied(asked: Lines<'_>, status: u16, response: Lines<'_>) -> (Option<Coding>, HeaderMap) {
        let mut fields_of = fields(response);
        let status = StatusCode::from_u16(status).unwrap();
        (rule().apply(&fields(asked), status, &mut fields_of), fields_of)
    }

    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
    const ALL: Lines<'_> = &[("accept-encoding", "gzip, br, zstd")];

    #[test]
    fn a_compressed_response_says_nothing_of_the_bytes_that_it_was_made_of() {
        let (coding, found) = applied(
            ALL,
            200,
            &[
                HTML,
                ("content-length", "100"),
                ("accept-ranges", "bytes"),
                ("content-md5", "x"),
                ("repr-digest", "x"),
                ("etag", "\"a\""),
                ("vary", "Cookie"),
            ],
        );
        assert_eq!(coding, Some(Coding::Zstd));
        let expected = fields(&[
            HTML,
            ("content-encoding", "zstd"),
            ("etag", "W/\"a\""),
            ("vary", "Cookie"),
            ("vary", "Accept-Encoding"),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_to_be_touched_is_not() {
        let long = ("content-length", "100");
        for (asked, status, response) in [
            (ALL, 200, &[("content-type", "image/png"), long][..]),
            (ALL, 200, &[("content-type", "text/event-stream")]),
            (ALL, 200, &[long]),
            (ALL, 200, &[HTML, ("content-length", "9")]),
            (ALL, 200, &[HTML, long, ("content-encoding", "gzip")]),
            (ALL, 200, &[HTML, long, ("cache-control", "no-transform")]),
            (
                ALL,
                200,
                &[
                    HTML,
                    long,
                    ("cache-control", "no-transform"),
                    ("cdn-cache-control", "max-age=1"),
                ],
            ),
            (ALL, 206, &[HTML, long]),
            (ALL, 200, &[HTML, long, ("content-range", "bytes 0-9/100")]),
            (&[], 200, &[HTML, long]),
            (&[("accept-encoding", "deflate")], 200, &[HTML, long]),
            (&[ALL[0], ("cache-control", "no-transform")], 200, &[HTML, long]),
            (&[ALL[0], ("range", "bytes=0-")], 200, &[HTML, long]),
        ] {
            let (coding, mut found) = applied(asked, status, response);
            assert_eq!(coding, None, "{response:?}");
            found.remove("vary");
            assert_eq!(found, fields(response));
        }
    }

    #[test]
    fn every_variant_of_what_may_be_compressed_says_that_it_is_one() {
        for (asked, response) in [
            (&[][..], &[HTML][..]),
            (ALL, &[HTML, ("content-length", "9")]),
            (ALL, &[HTML, ("content-encoding", "br")]),
            (ALL, &[HTML, ("content-range", "bytes 0-1/9")]),
        ] {
            assert_eq!(applied(asked, 200, response).1["vary"], "Accept-Encoding");
        }
        let star = applied(ALL, 200, &[HTML, ("vary", "*")]).1;
        assert_eq!(star["vary"], "*");
        assert!(!applied(ALL, 200, &[("content-type", "image/png")]).1.contains_key("vary"));
    }

    #[test]
    fn types_are_named_in_whole_or_in_part() {
        for (kind, expected) in [
            ("TEXT/HTML", true),
            ("image/svg+xml", true),
            ("application/problem+json;x=y", true),
            ("application/json", true),
            ("application/jsonx", false),
            ("application/octet-stream", false),
            ("", false),
        ] {
            let (coding, _) = applied(ALL, 200, &[("content-type", kind)]);
            assert_eq!(coding.is_some(), expected, "{kind}");
        }
    }

    #[test]
    fn who_refuses_the_content_as_it_is_gets_the_shortest_compressed() {
        let asked = &[("accept-encoding", "gzip, identity;q=0")];
        assert_eq!(applied(asked, 404, &[HTML, ("content-length", "1")]).0, Some(Coding::Gzip));
        assert_eq!(applied(asked, 404, &[HTML, ("content-length", "0")]).0, None);
    }

    #[test]
    fn a_range_is_one_of_the_content_as_it_is() {
        let range = ("range", "bytes=5-");
        for (condition, codings, whole) in [
            (None, Codings::IDENTITY, false),
            (Some("\"a\""), Codings::IDENTITY, false),
            (Some("W/\"a\""), Codings::IDENTITY, false),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), Codings::IDENTITY | Codings::ZSTD, true),
        ] {
            let mut asked = fields(&[ALL[0], range]);
            if let Some(condition) = condition {
                asked.insert("if-range", condition.parse().unwrap());
            }
            assert_eq!(rule().narrow(&asked), Narrowed { codings, whole }, "{condition:?}");
        }
        let plain = fields(&[range, ("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert!(!rule().narrow(&plain).whole, "it never got anything compressed");
    }

    #[test]
    fn a_304_has_the_tag_that_the_client_asked_with() {
        for (held, tag) in [("W/\"a\"", "W/\"a\""), ("\"a\"", "\"a\""), ("W/\"b\"", "\"a\"")] {
            let (coding, found) =
                applied(&[ALL[0], ("if-none-match", held)], 304, &[("etag", "\"a\"")]);
            assert_eq!((coding, &found["etag"]), (None, &tag.parse().unwrap()), "{held}");
        }
    }
}
