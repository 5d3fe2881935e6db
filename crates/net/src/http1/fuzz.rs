//! Fuzz harnesses: our two readers against each other, and ours against hyper's server.
//!
//! Each harness is a function of bytes that panics when its property fails; the test feeds them
//! seeded mutations of the smuggling corpus. The property against hyper: what we accept, hyper
//! reads the same way, or is known to refuse; what we refuse and hyper accepts, we refuse by a rule
//! that is listed as stricter.

use std::collections::BTreeMap;

use super::{
    Limits, Refusal,
    connection::{Ending, Reading, read},
    grammar, hyper_server,
};

/// Rules by which we refuse what hyper accepts. Whatever is not here, hyper must refuse as well.
const STRICTER: &[Refusal] = &[
    // hyper takes LF for a line end, and passes over any number of empty lines.
    Refusal::BareLf,
    Refusal::BlankLines,
    // hyper leaves the target's form, the authority and Host to its user.
    Refusal::TargetForm,
    Refusal::TargetFragment,
    Refusal::TargetScheme,
    Refusal::Userinfo,
    Refusal::HostMissing,
    Refusal::HostRepeated,
    Refusal::HostInvalid,
    // hyper takes equal lengths for one, lets Transfer-Encoding overrule Content-Length, and leaves
    // codings beneath chunked, chunked twice and empty elements to its user.
    Refusal::LengthRepeated,
    Refusal::LengthBesideCoding,
    Refusal::CodingUnsupported,
    Refusal::CodingInvalid,
    // hyper reads any number of zeros, white space behind a size, and anything for an extension.
    Refusal::ChunkSizeTooLarge,
    Refusal::ChunkExtension,
    Refusal::ChunkLineTooLong,
    // hyper leaves trailers to its user.
    Refusal::TrailerForbidden,
    // hyper's limits are others.
    Refusal::MethodTooLong,
    Refusal::TargetTooLong,
    Refusal::HeadTooLarge,
    Refusal::TooManyFields,
    Refusal::TrailersTooLarge,
];

/// The fast reader and the plain one agree, and cutting the bytes changes nothing.
///
/// # Panics
/// If not.
pub fn against_ourselves(bytes: &[u8]) {
    let limits = Limits::default();
    let mut plain = Vec::new();
    let slow = grammar::head(bytes, &limits, &mut plain);
    let mut lines = [httparse::EMPTY_HEADER; super::FIELDS];
    let mut request = httparse::Request::new(&mut lines);
    let fast = request.parse(bytes);
    match (fast, &slow) {
        (Ok(httparse::Status::Complete(len)), Ok(Some(head))) => {
            assert_eq!((request.method, request.path), (Some(head.method), Some(head.target)));
            assert_eq!((request.version, len), (Some(head.minor), head.len));
            assert_eq!(request.headers, &*plain);
        }
        (Ok(httparse::Status::Complete(_)), Err(refusal)) => {
            // An empty line is the connection's business, and never comes here.
            let blank = bytes.starts_with(b"\r") && *refusal == Refusal::Method;
            let limit = matches!(refusal.status().as_u16(), 414 | 431 | 501);
            let known = blank || limit || *refusal == Refusal::BareLf;
            assert!(known, "httparse takes what is {refusal:?}");
        }
        (Ok(httparse::Status::Complete(_)), Ok(None)) => panic!("httparse sees an end too early"),
        (_, Ok(Some(head))) => assert!(head.minor > 1, "httparse refuses what is well-formed"),
        (_, Err(_) | Ok(None)) => {}
    }
    let whole = read(bytes, &limits, bytes.len().max(1));
    for piece in [1, 2, 7] {
        let pieces = read(bytes, &limits, piece);
        assert_eq!(pieces.requests, whole.requests, "by {piece}");
        // A head that never ends may be refused early when it is seen whole.
        let waits = pieces.ending == Ending::Starved && matches!(whole.ending, Ending::Refused(_));
        assert!(waits || pieces.ending == whole.ending, "{pieces:?} but {whole:?}");
    }
}

/// We and hyper agree on every request, as far as the list above says. Answers how many requests
/// both read.
///
/// # Panics
/// If not.
pub fn against_hyper(bytes: &[u8]) -> usize {
    let ours = read(bytes, &Limits::default(), bytes.len().max(1));
    let theirs = hyper_server::read(bytes);
    for (at, our) in ours.requests.iter().enumerate() {
        let Some(their) = theirs.get(at) else {
            assert!(hyper_refuses(bytes, &ours, at), "hyper does not see request {at} of {ours:?}");
            return at;
        };
        assert_eq!(our.method, their.method);
        assert_eq!(our.version, their.version);
        assert!(same_target(&our.target, &their.target), "{} is {}", our.target, their.target);
        assert_eq!(by_name(&our.fields), by_name(&their.fields));
        let stricter = !our.whole && is_stricter(ours.ending);
        if stricter {
            return at;
        }
        assert_eq!(our.whole, their.whole, "{ours:?} but {their:?}");
        if our.whole {
            assert_eq!(our.body, their.body);
            let known = by_name(&their.trailers);
            assert!(
                by_name(&our.trailers).iter().all(|(name, line)| known.get(name) == Some(line))
            );
        }
    }
    if theirs.len() > ours.requests.len() {
        let close_is_hidden = ours.ending == Ending::Closed && connection_is_no_text(&ours);
        assert!(close_is_hidden || is_stricter(ours.ending), "hyper goes on after {ours:?}");
    }
    ours.requests.len()
}

fn is_stricter(ending: Ending) -> bool {
    matches!(ending, Ending::Refused(refusal) if STRICTER.contains(&refusal))
}

/// Whether hyper is known not to read request `at`, where we are the more lenient.
fn hyper_refuses(bytes: &[u8], ours: &Reading, at: usize) -> bool {
    let request = &ours.requests[at];
    // RFC 9110, section 2.5: a higher minor version is read as the highest we know.
    let newer =
        bytes.windows(8).any(|text| text.starts_with(b"HTTP/1.") && matches!(text[7], b'2'..=b'9'));
    // http's URIs are narrower than what browsers send.
    newer || request.target.parse::<http::Uri>().is_err()
}

/// hyper looks for options in Connection only if its value is visible ASCII.
fn connection_is_no_text(ours: &Reading) -> bool {
    let last = ours.requests.last().expect("a connection is closed by a request");
    last.fields.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("connection")
            && !value.iter().all(|byte| (b' '..0x7f).contains(byte))
    })
}

/// hyper writes a URI's scheme in lower case, and a slash for an empty path.
fn same_target(ours: &str, theirs: &str) -> bool {
    let bare = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
    ours == theirs || (ours.contains("://") && bare(ours) == bare(theirs))
}

fn by_name(lines: &[(String, Vec<u8>)]) -> BTreeMap<String, Vec<&[u8]>> {
    let mut map = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in lines {
        map.entry(name.to_ascii_lowercase()).or_default().push(&**value);
    }
    map
}

#[cfg(test)]
mod tests;
