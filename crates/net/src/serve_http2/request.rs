//! What an HTTP/2 request says, held to what HTTP/1 is held to. RFC 9113, section 8.

use http::{HeaderMap, HeaderValue, Method, header};
use nigh_cache::key::Scheme;

use crate::http1;

/// The authority, and path and query, that a request asks for, as strictly as HTTP/1 is read; `None`
/// if it names none, or two. RFC 9113, sections 8.3.1 and 8.5.
pub(super) fn target(head: &http::request::Parts, scheme: Scheme) -> Option<(&str, &str)> {
    let is_connect = head.method == Method::CONNECT;
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(only), None) => Some(http1::authority(only.as_bytes())?),
        _ => return None,
    };
    let authority = match head.uri.authority() {
        // Whoever asks for a tunnel says where in the one place that is for it.
        None => host.filter(|_| !is_connect)?,
        // And a tunnel has no port by default. One with a scheme, a path or a protocol inside (RFC 8441)
        // is reset by `h2`.
        Some(named) if is_connect && named.port().is_none() => return None,
        Some(named) => {
            let named = http1::authority(named.as_str().as_bytes())?;
            host.is_none_or(|host| is_same_site(named, host, scheme)).then_some(named)?
        }
    };
    let place = head.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    // Raw bytes beyond ASCII are no URI, whatever the reader before us lets pass.
    let is_visible = |place: &&str| place.bytes().all(|byte| byte.is_ascii_graphic());
    let place = match place.filter(is_visible) {
        // It has none.
        None if is_connect => "/",
        Some("*") if head.method == Method::OPTIONS => "*",
        Some(place) if place.starts_with('/') => place,
        _ => return None,
    };
    Some((authority, place))
}

fn is_same_site(one: &str, other: &str, scheme: Scheme) -> bool {
    let default = match scheme {
        Scheme::Http => ":80",
        Scheme::Https => ":443",
    };
    let bare = |authority| str::strip_suffix(authority, default).unwrap_or(authority);
    bare(one).eq_ignore_ascii_case(bare(other))
}

/// A client may send each cookie on a line of its own, to compress them better; everyone else
/// expects one line. RFC 9113, section 8.2.3.
pub(super) fn join_cookies(fields: &mut HeaderMap) {
    let mut crumbs = fields.get_all(header::COOKIE).iter();
    let Some(first) = crumbs.next() else { return };
    let mut joined = first.as_bytes().to_vec();
    let crumbs = crumbs.map(HeaderValue::as_bytes);
    crumbs.for_each(|crumb| joined.extend([b"; ", crumb].concat()));
    if joined.len() > first.len() {
        let joined = HeaderValue::from_bytes(&joined).expect("values and \"; \" are a value");
        fields.insert(header::COOKIE, joined);
    }
}

/// The authority travels in `:authority`; a Host beside it says the same or is ignored (RFC 9113,
/// section 8.3.1).
pub(super) fn without_host(fields: &HeaderMap) -> HeaderMap {
    let mut fields = fields.clone();
    fields.remove(header::HOST);
    fields
}

/// The length that a request's content has by its own words: `None` if it says none, an error if it
/// says several, or if a value has space around it. That the content is as long is held by `h2`, as
/// are names. RFC 9113, sections 8.1.1 and 8.2.1.
pub(super) fn content_length(fields: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let mut values = fields.values().map(HeaderValue::as_bytes);
    if values.any(|value| is_space(value.first()) || is_space(value.last())) {
        return Err(Malformed);
    }
    let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(None) };
    if lengths.any(|other| other != first) {
        return Err(Malformed);
    }
    let length = first.to_str().ok().and_then(|digits| digits.parse().ok());
    length.map(Some).ok_or(Malformed)
}

/// A request that is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[cfg(test)]
mod tests {
    use http::{Request, Uri, uri};

    use super::*;

    /// What a request of `method` for these pseudo-fields, and with these hosts, asks for.
    fn reads(method: &str, authority: &str, path: &'static str, hosts: &[&str]) -> Option<String> {
        let mut parts = uri::Parts::default();
        if !authority.is_empty() {
            parts.scheme = Some(uri::Scheme::HTTPS);
            parts.authority = Some(authority.parse().unwrap());
        }
        parts.path_and_query = Some(uri::PathAndQuery::from_static(path));
        let mut request = Request::new(());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = Uri::from_parts(parts).unwrap();
        for host in hosts {
            request.headers_mut().append(header::HOST, host.parse().unwrap());
        }
        let (head, ()) = request.into_parts();
        let (authority, place) = target(&head, Scheme::Https)?;
        Some(format!("{authority} {place}"))
    }

    #[test]
    fn an_authority_is_one_and_valid() {
        for (authority, hosts, expected) in [
            ("x.org", &[][..], Some("x.org /a?b")),
            ("", &["x.org:8443"], Some("x.org:8443 /a?b")),
            ("x.org", &["X.org:443"], Some("x.org /a?b")),
            ("[::1]:443", &["[::1]"], Some("[::1]:443 /a?b")),
            ("x.org", &["y.org"], None),
            ("x.org", &["x.org:80"], None),
            ("x.org", &["x.org", "x.org"], None),
            ("x.org", &[""], None),
            ("u@x.org", &[], None),
            ("x.org:a", &[], None),
            ("a;b", &[], None),
            ("", &[], None),
            ("", &["a/b"], None),
            ("", &["a b"], None),
        ] {
            if authority.parse::<uri::Authority>().is_ok() || authority.is_empty() {
                let read = reads("GET", authority, "/a?b", hosts);
                assert_eq!(read.as_deref(), expected, "{authority:?} {hosts:?}");
            }
        }
    }

    #[test]
    fn a_tunnel_has_an_authority_with_a_port_and_nothing_else() {
        let reads = |uri: &str, host: Option<&str>| {
            let mut request = Request::connect(uri).body(()).unwrap();
            if let Some(host) = host {
                request.headers_mut().insert(header::HOST, host.parse().unwrap());
            }
            let (head, ()) = request.into_parts();
            target(&head, Scheme::Http).map(|(authority, _)| authority.to_owned())
        };
        assert_eq!(reads("x.org:443", None).as_deref(), Some("x.org:443"));
        assert_eq!(reads("x.org:443", Some("X.org:443")).as_deref(), Some("x.org:443"));
        for (uri, host) in
            [("x.org", None), ("x.org:443", Some("y.org:443")), ("/", Some("x.org:443"))]
        {
            assert_eq!(reads(uri, host), None, "{uri} {host:?}");
        }
    }

    #[test]
    fn a_path_begins_with_a_slash() {
        assert_eq!(reads("OPTIONS", "x", "*", &[]).as_deref(), Some("x *"));
        assert_eq!(reads("GET", "x", "*", &[]), None);
        for path in ["a/b", "?q", "*a"] {
            let Ok(path) = uri::PathAndQuery::try_from(path) else { continue };
            let mut request = Request::new(());
            *request.uri_mut() =
                Uri::builder().scheme("https").authority("x").path_and_query(path).build().unwrap();
            let (head, ()) = request.into_parts();
            assert_eq!(target(&head, Scheme::Https), None, "{:?}", head.uri);
        }
    }

    #[test]
    fn cookies_are_one_line() {
        let mut fields = HeaderMap::new();
        join_cookies(&mut fields);
        assert!(fields.is_empty());
        for crumb in ["a=b", "c=d", "e"] {
            fields.append(header::COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut fields);
        assert_eq!((fields.len(), &fields[header::COOKIE]), (1, &"a=b; c=d; e".parse().unwrap()));
    }

    #[test]
    fn a_length_is_said_once_or_always_the_same() {
        let said = |lengths: &[&str]| {
            let mut fields = HeaderMap::new();
            for length in lengths {
                fields.append(header::CONTENT_LENGTH, length.parse().unwrap());
            }
            content_length(&fields)
        };
        assert_eq!(said(&[]), Ok(None));
        assert_eq!(said(&["12"]), Ok(Some(12)));
        assert_eq!(said(&["12", "12"]), Ok(Some(12)));
        for lengths in [&["12", "13"][..], &["x"], &["12, 12"], &["-1"], &[" 12"], &["12\t"]] {
            assert_eq!(said(lengths), Err(Malformed), "{lengths:?}");
        }
    }
}
