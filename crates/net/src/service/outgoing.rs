//! Requests as they leave this edge: to an origin, or to another edge of the cluster.

use http::{Method, Request, Uri, Version, header};
use nigh_cache::{conditional::Validators, range::Span};
use nigh_edge::{
    forward::{self, Hop},
    plan::Manner,
};

use super::{Service, fetch::Task};
use crate::body::RequestBody;

/// Who gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    Origin,
    Sibling,
}

impl Service {
    /// The request as it leaves this edge.
    pub(super) fn request(
        &self,
        task: &Task,
        body: RequestBody,
        beyond: Beyond,
    ) -> Request<RequestBody> {
        let Task { ask, target, validate, manner, conditions, slice } = task;
        let mut request = Request::new(body);
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = target.clone();
        let mut fields = ask.fields.clone();
        forward::count_forward(&ask.method, &mut fields);
        // Where the body's framing is ours to say, hyper says it.
        fields.remove(header::CONTENT_LENGTH);
        // An expectation of HTTP/1.0 is none (RFC 9110, section 10.1.1).
        let expects =
            fields.get(header::EXPECT).filter(|_| ask.version > Version::HTTP_10).cloned();
        // hyper sends the trailers that Trailer announces, and no others.
        let trailers: Vec<_> = fields.get_all(header::TRAILER).iter().cloned().collect();
        let hop = Hop {
            client: ask.client.ip(),
            scheme: ask.scheme,
            authority: &ask.authority,
            version: ask.version,
        };
        match beyond {
            Beyond::Origin if !ask.route.is_forward() => {
                forward::to_origin(&mut fields, hop, &self.identity);
            }
            // It says itself to the origin who asked.
            Beyond::Origin | Beyond::Sibling => {
                forward::to_destination(&mut fields, hop, &self.identity);
            }
        }
        if let Some(expects) = expects.filter(|_| !request.body().is_empty()) {
            fields.insert(header::EXPECT, expects);
        }
        for names in trailers.into_iter().filter(|_| !request.body().is_empty()) {
            fields.append(header::TRAILER, names);
        }
        if *manner != Manner::Tunnel {
            // Whatever comes back may be stored under the normalised value.
            forward::normalise_accept_encoding(&mut fields);
        }
        let is_for_everyone = matches!(manner, Manner::Shared | Manner::Slice);
        // With a HEAD a range says nothing (RFC 9110, section 14.2), and not every origin knows.
        if is_for_everyone || ask.method == Method::HEAD {
            fields.remove(header::RANGE);
            fields.remove(header::IF_RANGE);
        }
        if is_for_everyone {
            if let Some(Span { start, end }) = slice {
                let range = format!("bytes={start}-{}", end - 1);
                fields.insert(header::RANGE, range.parse().expect("digits"));
            }
            if validate.is_some() || !*conditions {
                fields.remove(header::IF_NONE_MATCH);
                fields.remove(header::IF_MODIFIED_SINCE);
            }
            if let Some(old) = validate {
                let packed = old.fields();
                let validators = Validators::of(&packed);
                let mut insert = |name, value: Option<&[u8]>| {
                    if let Some(Ok(value)) = value.map(http::HeaderValue::from_bytes) {
                        fields.insert(name, value);
                    }
                };
                insert(header::IF_NONE_MATCH, validators.if_none_match);
                insert(header::IF_MODIFIED_SINCE, validators.if_modified_since);
            }
        }
        *request.headers_mut() = fields;
        request
    }
}

/// The target as hyper takes it, or `None` if it takes it in no way. What it refuses and clients send
/// is percent-encoded: another target would be another resource, stored under this one's key.
pub(super) fn target(path_and_query: &str) -> Option<Uri> {
    if let Ok(target) = Uri::try_from(path_and_query) {
        return Some(target);
    }
    let mut encoded = String::with_capacity(path_and_query.len() + 16);
    for byte in path_and_query.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'`' | b'^' | b'{' | b'}' | b'|' | b'\\' | 0x7f.. => {
                encoded.push_str(&format!("%{byte:02X}"));
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    Uri::try_from(encoded).ok()
}
