//! The request as it goes on to the origin: what a proxy removes, adds and corrects.
//! RFC 9110, section 7.6; RFC 7239 (Forwarded); RFC 8586 (CDN-Loop).

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{
        ACCEPT_ENCODING, CONNECTION, EXPECT, FORWARDED, HOST, MAX_FORWARDS, TE, UPGRADE, VIA,
    },
};
use nigh_cache::{fields::Fields, key::Scheme, list, normal::Codings, storable};

use crate::{cache_status::NAME, hop};

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Removes the fields that belong to the connection they came on: the known ones, and those that
/// Connection lists.
pub fn remove_hop_by_hop(fields: &mut HeaderMap) {
    let listed: Vec<HeaderName> = storable::connection_listed(fields).collect();
    for name in listed {
        fields.remove(name);
    }
    for name in storable::HOP_BY_HOP {
        fields.remove(name);
    }
}

/// Fields that [`to_origin`] writes: what the client sent under these names is not what the origin
/// saw, so a response that varies on one of them answers no other request.
pub const WRITTEN: [&str; 8] = [
    "host",
    "via",
    "cdn-loop",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "te",
];

/// Whether an origin may take two fields for one: behind CGI's variables, and what took after them,
/// `-` and `_` in a name are the same, as the case of letters is (RFC 3875, section 4.1.18).
pub fn is_same_name(one: &str, other: &str) -> bool {
    let read = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.bytes().map(read).eq(other.bytes().map(read))
}

/// Whether some origins take a field of this name for one of [`WRITTEN`]: a client could say there
/// what it may not here.
pub fn is_mistaken(name: &str) -> bool {
    name.contains('_') && WRITTEN.iter().any(|written| is_same_name(name, written))
}

/// Takes out what only edges say to each other.
pub fn remove_hop_mark(fields: &mut HeaderMap) {
    remove_named(fields, hop::is_named);
}

/// Takes out the fields whose name `is_it` says.
pub(crate) fn remove_named(fields: &mut HeaderMap, is_it: impl Fn(&str) -> bool) {
    let names: Vec<_> = fields.keys().filter(|name| is_it(name.as_str())).cloned().collect();
    for name in names {
        fields.remove(name);
    }
}

/// Who asked, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The scheme the client used.
    pub scheme: Scheme,
    /// The authority the client asked for.
    pub authority: &'a str,
    /// The HTTP version the client spoke.
    pub version: Version,
}

/// Who this edge is, in the fields that say who was passed.
#[derive(Clone, Debug)]
pub struct Identity {
    /// CDN-Loop's name for this process. One edge behind another is no loop, so it is not the same
    /// for all.
    cdn_id: HeaderValue,
    /// What its member of Cache-Status begins with: a token, or a string.
    cache_name: Box<[u8]>,
    via_1_0: HeaderValue,
    via_1_1: HeaderValue,
    via_2: HeaderValue,
}

impl Identity {
    /// An identity that `nonce` tells from every other edge's.
    pub fn new(nonce: u32) -> Self {
        let text = |text: String| HeaderValue::try_from(text).expect("letters, digits and spaces");
        Self {
            cdn_id: text(format!("{NAME}-{nonce:08x}")),
            cache_name: NAME.as_bytes().into(),
            via_1_0: text(format!("1.0 {NAME}")),
            via_1_1: text(format!("1.1 {NAME}")),
            via_2: text(format!("2 {NAME}")),
        }
    }

    /// The same, called `name` among the edges of a cluster. It has letters, digits and hyphens.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        // A token begins with a letter (RFC 9651, section 3.3.4).
        let is_token = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let name = if is_token { name.to_owned() } else { format!("\"{name}\"") };
        Self { cache_name: name.into_bytes().into(), ..self }
    }

    /// What its member of Cache-Status begins with.
    pub(crate) const fn cache_name(&self) -> &[u8] {
        &self.cache_name
    }

    /// Whether a request has passed through here before. RFC 8586, section 2.
    pub fn is_loop<'a>(&self, cdn_loop: impl Iterator<Item = &'a [u8]>) -> bool {
        cdn_loop.flat_map(list::elements).any(|member| {
            let id = member.split(|&byte| byte == b';').next().unwrap_or_default();
            id.trim_ascii().eq_ignore_ascii_case(self.cdn_id.as_bytes())
        })
    }

    /// The Via member for a message received with `version`. RFC 9110, section 7.6.3.
    pub fn via(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_2 => &self.via_2,
            Version::HTTP_10 => &self.via_1_0,
            _ => &self.via_1_1,
        }
    }
}

/// How often a request may still be forwarded, if it says so and its method lets it: OPTIONS, as
/// TRACE ends here anyway. What is no number limits nothing. RFC 9110, section 7.6.2.
pub fn max_forwards(method: &Method, fields: &impl Fields) -> Option<u64> {
    let said = fields.first(MAX_FORWARDS.as_str()).filter(|_| *method == Method::OPTIONS)?;
    std::str::from_utf8(said).ok()?.parse().ok()
}

/// Takes one off what [`max_forwards`] says.
pub fn count_forward(method: &Method, fields: &mut HeaderMap) {
    if let Some(left) = max_forwards(method, fields) {
        fields.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

/// Turns a client's fields into those of the request to the origin. Host is what the client asked
/// for: whoever chooses the origin may write another.
pub fn to_origin(fields: &mut HeaderMap, hop: Hop<'_>, identity: &Identity) {
    to_destination(fields, hop, identity);
    let asked = HeaderValue::try_from(hop.authority).ok();
    append_to_list(fields, X_FORWARDED_FOR, &hop.client.to_string());
    fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(hop.scheme.as_str()));
    if let Some(asked) = asked {
        fields.insert(X_FORWARDED_HOST, asked);
    }
    // An open quote in what the client sent would swallow our element.
    let closed = |value: &HeaderValue| {
        value.as_bytes().iter().filter(|&&byte| byte == b'"').count() % 2 == 0
    };
    if !fields.get_all(FORWARDED).iter().all(closed) {
        fields.remove(FORWARDED);
    }
    append_to_list(fields, FORWARDED, &forwarded(hop));
    remove_named(fields, is_mistaken);
}

/// The same for a forward proxy's request, whose destination is the client's choice: strangers do not
/// learn who asked (RFC 7239, section 8.3).
pub fn to_destination(fields: &mut HeaderMap, hop: Hop<'_>, identity: &Identity) {
    let wants_trailers = fields
        .get_all(TE)
        .iter()
        .flat_map(|value| list::elements(value.as_bytes()))
        .any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    remove_hop_by_hop(fields);
    // Expect is met here: the body is asked for when the origin's connection can take it.
    fields.remove(EXPECT);
    if wants_trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Ok(asked) = HeaderValue::try_from(hop.authority) {
        fields.insert(HOST, asked);
    }
    fields.append(VIA, identity.via(hop.version).clone());
    fields.append(CDN_LOOP, identity.cdn_id.clone());
}

/// One element of Forwarded. RFC 7239, section 4: an IPv6 address is bracketed, and like an
/// authority with a port it must be quoted.
fn forwarded(hop: Hop<'_>) -> String {
    let proto = hop.scheme.as_str();
    let authority = hop.authority;
    match hop.client {
        IpAddr::V4(v4) => format!("for={v4};host=\"{authority}\";proto={proto}"),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => format!("for={v4};host=\"{authority}\";proto={proto}"),
            None => format!("for=\"[{v6}]\";host=\"{authority}\";proto={proto}"),
        },
    }
}

/// Appends to a list field, on the line that is there already: some origins read one line only.
fn append_to_list(fields: &mut HeaderMap, name: HeaderName, element: &str) {
    let mut line = Vec::new();
    for value in fields.get_all(&name) {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&line) {
        fields.insert(name, value);
    }
}

/// Makes Accept-Encoding what the cache key says it is, so that the stored variant suits everyone
/// who selects it.
pub fn normalise_accept_encoding(fields: &mut HeaderMap) {
    if let Some(codings) = Codings::accepted(fields) {
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static(codings.field()));
    }
}

/// Puts the upgrade fields back on a request that is to be tunnelled. RFC 9110, section 7.8.
pub fn ask_upgrade(fields: &mut HeaderMap, protocol: HeaderValue) {
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(UPGRADE, protocol);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn hop(client: &str) -> Hop<'static> {
        Hop {
            client: client.parse().unwrap(),
            scheme: Scheme::Https,
            authority: "www.example.com:8443",
            version: Version::HTTP_11,
        }
    }

    #[test]
    fn fields_of_the_connection_are_removed_and_those_it_lists() {
        let mut fields = map(&[
            ("connection", "close, X-Private"),
            ("connection", "x-more"),
            ("x-private", "1"),
            ("x-more", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut fields);
        assert_eq!(fields, map(&[("accept", "*/*")]));
    }

    #[test]
    fn the_origin_learns_who_asked_for_what_and_through_whom() {
        let mut fields =
            map(&[("x-forwarded-for", "198.51.100.7"), ("host", "spoofed"), ("te", "trailers")]);
        to_origin(&mut fields, hop("192.0.2.1"), &Identity::new(7));
        for (name, value) in [
            ("host", "www.example.com:8443"),
            ("via", "1.1 nigh"),
            ("cdn-loop", "nigh-00000007"),
            ("x-forwarded-for", "198.51.100.7, 192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "www.example.com:8443"),
            ("forwarded", "for=192.0.2.1;host=\"www.example.com:8443\";proto=https"),
            ("te", "trailers"),
        ] {
            assert_eq!(fields[name], value, "{name}");
        }
    }

    #[test]
    fn an_ipv6_client_is_quoted_and_bracketed() {
        assert!(forwarded(hop("2001:db8::1")).starts_with("for=\"[2001:db8::1]\";"));
        assert!(forwarded(hop("::ffff:192.0.2.1")).starts_with("for=192.0.2.1;"));
    }

    #[test]
    fn a_name_that_is_no_token_is_a_string() {
        assert_eq!(Identity::new(7).cache_name(), b"nigh");
        assert_eq!(Identity::new(7).named("eu-1").cache_name(), b"eu-1");
        assert_eq!(Identity::new(7).named("1-eu").cache_name(), b"\"1-eu\"");
    }

    #[test]
    fn a_request_that_was_here_before_is_a_loop() {
        let me = Identity::new(7);
        let is_loop = |line: &str| me.is_loop([line.as_bytes()].into_iter());
        assert!(is_loop("foo; a=b, NIGH-00000007;v=1"));
        assert!(!is_loop("nigh-00000008, nigh"));
        assert!(!is_loop(""));
    }
}
