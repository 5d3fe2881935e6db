//! The response's head as it goes to the client, written into whatever the protocol needs: bytes
//! for HTTP/1, a map for HTTP/2.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use nigh_base::Wall;
use nigh_cache::{
    conditional, date,
    object::Object,
    purge,
    range::{ContentRange, Unsatisfied},
};

use crate::{
    cache_status::{CacheStatus, write_number},
    forward::Identity,
    site::Methods,
};

/// Takes a response's head, line by line.
pub trait Sink {
    /// The status; once, and first.
    fn status(&mut self, status: StatusCode);
    /// One field line. The name is lower case, the value free of line breaks.
    fn field(&mut self, name: &str, value: &[u8]);
}

/// A head as a map, for HTTP/2. Its values lie one behind the other in one allocation.
#[derive(Debug)]
pub struct MapHead {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub fields: HeaderMap,
    values: BytesMut,
}

impl Default for MapHead {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            fields: HeaderMap::with_capacity(16),
            values: BytesMut::with_capacity(512),
        }
    }
}

impl Sink for MapHead {
    fn status(&mut self, status: StatusCode) {
        self.status = status;
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.values.extend_from_slice(value);
        let value = HeaderValue::from_maybe_shared(self.values.split().freeze());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            self.fields.append(name, value);
        }
    }
}

/// What the edge adds to every response that it passes on.
#[derive(Clone, Copy, Debug)]
pub struct Additions<'a> {
    /// Who this edge is.
    pub identity: &'a Identity,
    /// What happened here.
    pub cache_status: CacheStatus,
    /// Whom it is for.
    pub audience: Audience,
}

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A client.
    Client,
    /// Another edge of the cluster, which keeps what caches are told.
    Sibling,
}

impl Audience {
    /// Whether it gets to see a field.
    fn sees(self, name: &str) -> bool {
        self == Self::Sibling || !is_for_caches(name)
    }
}

impl Additions<'_> {
    fn write(&self, sink: &mut impl Sink, version: Version, scratch: &mut Vec<u8>) {
        sink.field("via", self.identity.via(version).as_bytes());
        scratch.clear();
        self.cache_status.write(self.identity.cache_name(), scratch);
        sink.field("cache-status", scratch);
    }
}

/// Which of a stored response's fields are sent, and what is said of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All of it.
    Whole {
        /// Bytes of the content, said even if it is not sent (HEAD); `None` where no length may be
        /// said (204).
        length: Option<u64>,
    },
    /// 304.
    NotModified,
    /// 206 with one range.
    Range(ContentRange),
    /// 206 with several ranges.
    Ranges {
        /// The multipart type.
        content_type: String,
        /// Bytes of the multipart content.
        length: u64,
    },
    /// 416.
    Unsatisfiable(Unsatisfied),
}

impl Shape {
    /// The status of an answer of this shape from `object`.
    pub fn status(&self, object: &Object) -> StatusCode {
        match self {
            Self::Whole { .. } => object.status(),
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Range(_) | Self::Ranges { .. } => StatusCode::PARTIAL_CONTENT,
            Self::Unsatisfiable(_) => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }

    /// Whether a stored field goes into an answer of this shape.
    fn sends(&self, name: &str, to: Audience) -> bool {
        match self {
            _ if name == "age" || !to.sees(name) => false,
            Self::Whole { .. } | Self::Range(_) => true,
            Self::NotModified => conditional::in_not_modified(name),
            Self::Ranges { .. } => name != "content-type",
            Self::Unsatisfiable(_) => matches!(name, "date" | "etag" | "vary"),
        }
    }
}

/// Whether a field is for caches alone: the tags by which they are told to forget.
fn is_for_caches(name: &str) -> bool {
    purge::TAG_FIELDS.contains(&name)
}

/// Writes the head of an answer from a stored response. Allocates nothing of its own.
pub fn stored(
    sink: &mut impl Sink,
    object: &Object,
    shape: &Shape,
    now: Wall,
    additions: &Additions<'_>,
    scratch: &mut Vec<u8>,
) {
    sink.status(shape.status(object));
    for (name, value) in object.fields().iter() {
        if shape.sends(name, additions.audience) {
            sink.field(name, value);
        }
    }
    let mut number = |name: &str, number: u64| {
        scratch.clear();
        write_number(i64::try_from(number).unwrap_or(i64::MAX), scratch);
        sink.field(name, scratch);
    };
    match shape {
        Shape::Whole { length: None } | Shape::NotModified => {}
        Shape::Whole { length: Some(length) } => number("content-length", *length),
        Shape::Range(range) => {
            number("content-length", range.span.len());
            sink.field("content-range", range.to_string().as_bytes());
        }
        Shape::Ranges { content_type, length } => {
            number("content-length", *length);
            sink.field("content-type", content_type.as_bytes());
        }
        Shape::Unsatisfiable(unsatisfied) => {
            number("content-length", 0);
            sink.field("content-range", unsatisfied.to_string().as_bytes());
        }
    }
    scratch.clear();
    write_number(i64::from(object.terms().age(now)), scratch);
    sink.field("age", scratch);
    additions.write(sink, Version::HTTP_11, scratch);
}

/// Writes the head of a response on its way from the origin. Hop-by-hop fields are gone already.
pub fn streamed<'a>(
    sink: &mut impl Sink,
    status: StatusCode,
    fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    additions: &Additions<'_>,
    scratch: &mut Vec<u8>,
) {
    sink.status(status);
    for (name, value) in fields {
        if name != http::header::CONTENT_LENGTH && additions.audience.sees(name.as_str()) {
            sink.field(name.as_str(), value.as_bytes());
        }
    }
    additions.write(sink, Version::HTTP_11, scratch);
}

/// Writes the head of an answer of our own with `length` bytes of body. `allowed` is for the statuses
/// that say what is.
#[expect(clippy::too_many_arguments, reason = "a head is made of so much")]
pub fn own(
    sink: &mut impl Sink,
    status: StatusCode,
    content_type: &str,
    length: usize,
    allowed: Methods,
    now: Wall,
    additions: &Additions<'_>,
    scratch: &mut Vec<u8>,
) {
    sink.status(status);
    sink.field("date", &date::format(now));
    // RFC 9110, section 8.6: 204 says no length.
    if status != StatusCode::NO_CONTENT {
        sink.field("content-type", content_type.as_bytes());
        scratch.clear();
        write_number(i64::try_from(length).unwrap_or(i64::MAX), scratch);
        sink.field("content-length", scratch);
    }
    if matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NO_CONTENT) {
        // RFC 9110, sections 9.3.7 and 15.5.6: what is allowed is said, as far as this edge knows.
        sink.field("allow", allowed.allow().as_bytes());
    }
    additions.write(sink, Version::HTTP_11, scratch);
}

/// The fields of a client's head as a map. Allocates; the hit path does without.
pub fn to_map<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(16);
    for (name, value) in lines {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            map.append(name, value);
        }
    }
    map
}
