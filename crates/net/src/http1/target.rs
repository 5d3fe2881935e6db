//! What a request asks for: the four forms of a target, and the host. RFC 9112, sections 3.2 and
//! 3.3; RFC 9110, section 7.2.

use std::net::Ipv6Addr;

use super::{Method, Refusal};

/// A request target with its authority, read and found valid; nothing is decoded or normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// The target as it stood in the request line.
    pub raw: &'b str,
    /// Which of the four forms it has.
    pub form: Form,
    /// The scheme, if the target names one.
    pub scheme: Option<Scheme>,
    /// Host and port as the client wrote them: the target's if it names an authority (section
    /// 3.2.2), else Host's. None if Host is empty, or missing from an HTTP/1.0 request.
    pub authority: Option<&'b str>,
    /// The authority's host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub host: Option<&'b str>,
    /// The authority's port, if it is written out.
    pub port: Option<u16>,
    /// The path, beginning with `/`; `*` for OPTIONS of the server as a whole; empty for CONNECT.
    pub path: &'b str,
    /// What follows the first `?`.
    pub query: Option<&'b str>,
    /// Path, `?` and query in one piece; as `path` if there is no query.
    pub path_and_query: &'b str,
}

/// The form of a request target (section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, for CONNECT only.
    Authority,
    /// `*`, for OPTIONS only.
    Asterisk,
}

/// The scheme of an absolute target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl<'b> Target<'b> {
    /// Reads `raw` beside the value of the request's only Host, if there is one. Host is checked
    /// even where the target overrules it.
    pub(super) fn read(
        method: Method,
        raw: &'b str,
        host: Option<&'b [u8]>,
    ) -> Result<Self, Refusal> {
        let (form, scheme, own, place) = split(method, raw)?;
        let mut query = None;
        for (at, byte) in place.bytes().enumerate() {
            match byte {
                b'?' if query.is_none() => query = Some(at),
                b'#' => return Err(Refusal::TargetFragment),
                _ => {}
            }
        }
        let host = match host {
            None => None,
            Some(value) => Authority::read(value)?,
        };
        let authority = match own {
            None => host,
            Some(own) => Some(Authority::read(own.as_bytes())?.ok_or(Refusal::HostInvalid)?),
        };
        if form == Form::Authority && authority.is_none_or(|authority| authority.port.is_none()) {
            return Err(Refusal::TargetForm);
        }
        let (path, query) = match query {
            None => (place, None),
            Some(at) => (&place[..at], Some(&place[at + 1..])),
        };
        Ok(Self {
            raw,
            form,
            scheme,
            authority: authority.map(|authority| authority.whole),
            host: authority.map(|authority| authority.host),
            port: authority.and_then(|authority| authority.port),
            path,
            query,
            path_and_query: place,
        })
    }
}

type Parts<'b> = (Form, Option<Scheme>, Option<&'b str>, &'b str);

/// Form, scheme, the target's own authority, and path with query.
fn split(method: Method, raw: &str) -> Result<Parts<'_>, Refusal> {
    match (raw, method) {
        (_, Method::Connect) => return Ok((Form::Authority, None, Some(raw), "")),
        (_, _) if raw.starts_with('/') => return Ok((Form::Origin, None, None, raw)),
        ("*", Method::Options) => return Ok((Form::Asterisk, None, None, raw)),
        _ => {}
    }
    let (scheme, rest) = raw.split_once("://").ok_or(Refusal::TargetForm)?;
    let scheme = if scheme.eq_ignore_ascii_case("http") {
        Scheme::Http
    } else if scheme.eq_ignore_ascii_case("https") {
        Scheme::Https
    } else {
        return Err(Refusal::TargetScheme);
    };
    let (authority, place) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let place = match (place, method) {
        // Section 3.2.4: the last proxy turns an OPTIONS without a path into one for `*`.
        ("", Method::Options) => "*",
        ("", _) => "/",
        // A query after no path is a URI too, but no client sends it as a target, and it would be the
        // one place that does not begin with a slash.
        _ if !place.starts_with('/') => return Err(Refusal::TargetForm),
        _ => place,
    };
    Ok((Form::Absolute, Some(scheme), Some(authority), place))
}

/// A valid host with an optional port.
#[derive(Clone, Copy, Debug)]
struct Authority<'b> {
    whole: &'b str,
    host: &'b str,
    port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// RFC 3986, sections 3.2.2 and 3.2.3, narrowed to what a name or an address may be; nothing if
    /// `value` is empty.
    fn read(value: &'b [u8]) -> Result<Option<Self>, Refusal> {
        let end = match value.first() {
            None => return Ok(None),
            Some(b'[') => address(value)?,
            Some(_) => {
                value.iter().position(|&byte| !NAME[usize::from(byte)]).unwrap_or(value.len())
            }
        };
        let port = match &value[end..] {
            // RFC 3986, section 3.2.3 lets the digits be missing.
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(digits.iter().try_fold(0u16, |port, byte| {
                let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
                let port = digit.and_then(|digit| port.checked_mul(10)?.checked_add(digit));
                port.ok_or_else(|| no_authority(value))
            })?),
            _ => return Err(no_authority(value)),
        };
        let Ok(whole) = str::from_utf8(value) else { return Err(Refusal::HostInvalid) };
        let host = &whole[..end];
        if host.is_empty() {
            Err(Refusal::HostInvalid)
        } else {
            Ok(Some(Self { whole, host, port }))
        }
    }
}

/// `value`, if it is a host with an optional port and nothing else: as strict as Host is read.
pub(crate) fn authority(value: &[u8]) -> Option<&str> {
    Some(Authority::read(value).ok()??.whole)
}

/// The length of the IPv6 address in brackets that `value` begins with. Zone identifiers mean
/// something on the sender's machine only, and are refused.
fn address(value: &[u8]) -> Result<usize, Refusal> {
    let end = value.iter().position(|&byte| byte == b']').ok_or_else(|| no_authority(value))?;
    let address = str::from_utf8(&value[1..end]).ok();
    let valid = address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    if valid { Ok(end + 1) } else { Err(no_authority(value)) }
}

/// Why `value` is no authority.
#[cold]
fn no_authority(value: &[u8]) -> Refusal {
    if value.contains(&b'@') { Refusal::Userinfo } else { Refusal::HostInvalid }
}

/// The bytes of names and IPv4 addresses: RFC 3986's "unreserved".
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, raw: &'static str, host: &'static str) -> Result<String, Refusal> {
        let target = Target::read(method, raw, Some(host.as_bytes()))?;
        let Target { form, host, port, path, query, .. } = target;
        let (host, query) = (host.unwrap_or("-"), query.unwrap_or("-"));
        Ok(format!("{form:?} {host} {} {path} {query}", port.unwrap_or(0)))
    }

    fn reads(method: Method, raw: &'static str, host: &'static str, expected: &str) {
        assert_eq!(check(method, raw, host).as_deref(), Ok(expected), "{raw} at {host}");
    }

    fn refuses(method: Method, raw: &'static str, host: &'static str, refusal: Refusal) {
        assert_eq!(check(method, raw, host), Err(refusal), "{raw} at {host}");
    }

    #[test]
    fn each_form_is_read_for_the_method_that_may_use_it() {
        reads(Method::Get, "/a/b?c=d?e", "x.org", "Origin x.org 0 /a/b c=d?e");
        reads(Method::Get, "//x/?", "x.org:81", "Origin x.org 81 //x/ ");
        reads(Method::Get, "HTTP://y.org:8080/a", "x.org", "Absolute y.org 8080 /a -");
        reads(Method::Get, "https://y.org", "", "Absolute y.org 0 / -");
        reads(Method::Options, "http://y.org", "y.org", "Absolute y.org 0 * -");
        reads(Method::Options, "*", "x.org", "Asterisk x.org 0 * -");
        reads(Method::Connect, "[::1]:443", "x.org", "Authority [::1] 443  -");
        refuses(Method::Get, "*", "x.org", Refusal::TargetForm);
        refuses(Method::Get, "x.org:80", "x.org", Refusal::TargetForm);
        refuses(Method::Get, "a/b", "x.org", Refusal::TargetForm);
        refuses(Method::Get, "http://x.org?q", "x.org", Refusal::TargetForm);
        refuses(Method::Connect, "x.org", "x.org", Refusal::TargetForm);
        refuses(Method::Connect, "/", "x.org", Refusal::HostInvalid);
        refuses(Method::Get, "ftp://x.org/", "x.org", Refusal::TargetScheme);
        refuses(Method::Get, "/a#b", "x.org", Refusal::TargetFragment);
    }

    #[test]
    fn an_authority_is_a_name_or_an_address_with_an_optional_port() {
        reads(Method::Get, "/", "a_b-c.~9", "Origin a_b-c.~9 0 / -");
        reads(Method::Get, "/", "127.0.0.1:", "Origin 127.0.0.1 0 / -");
        reads(Method::Get, "/", "[2001:db8::1]:8443", "Origin [2001:db8::1] 8443 / -");
        reads(Method::Get, "/", "", "Origin - 0 / -");
        for host in [
            ":80",
            "a b",
            "a/b",
            "a,b",
            "a%41",
            "a:b",
            "a:65536",
            "a:+1",
            "a:1:2",
            "[::1",
            "[::1]a",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "::1",
            "ä.org",
            "a\\b",
            "a?b",
            "a;b",
        ] {
            refuses(Method::Get, "/", host, Refusal::HostInvalid);
        }
        refuses(Method::Get, "/", "u@x.org", Refusal::Userinfo);
        refuses(Method::Get, "http://u:p@x.org/", "x.org", Refusal::Userinfo);
        refuses(Method::Get, "http:///a", "x.org", Refusal::HostInvalid);
    }

    #[test]
    fn an_authority_alone_is_read_as_strictly_as_a_host() {
        for valid in ["x.org", "x.org:8443", "[::1]:443"] {
            assert_eq!(authority(valid.as_bytes()), Some(valid));
        }
        for invalid in ["", "u@x.org", "a/b", "a:b", "[::1", "a%41", "a,b"] {
            assert_eq!(authority(invalid.as_bytes()), None, "{invalid}");
        }
    }

    #[test]
    fn host_is_checked_even_where_the_target_overrules_it() {
        refuses(Method::Get, "http://x.org/", "a b", Refusal::HostInvalid);
    }
}
