//! Signed URLs: who has one may ask for what it names, until it expires. HMAC-SHA-256 (RFC 2104, FIPS
//! 180-4) under a key that the edge and whoever makes the URLs share.
//!
//! ```text
//! /path?query&nigh-key=ID&nigh-expires=SECONDS[&nigh-net=NETWORK]&nigh-signature=HEX
//! \_______________________ these bytes are signed ______________/
//! /any/path?query&nigh-prefix=/any/&nigh-key=ID&nigh-expires=SECONDS[&nigh-net=NETWORK]&nigh-signature=HEX
//!                 \_______________________ these bytes are signed _____________________/
//! ```
//! docs/signed-urls.md says it for those who make them. The bytes are those of the request's target,
//! as it was sent: nothing is decoded, so nothing can be read in two ways.

use std::{borrow::Cow, net::IpAddr, ops::Range};

use hmac::{Hmac, Mac};
use nigh_base::Wall;
use sha2::Sha256;

use super::path;
use crate::network::Network;

/// How the parameters of a signature begin; no other parameter of a signed URL does.
pub const PARAMETERS: &str = "nigh-";

/// The parameter that has the signature.
const SIGNATURE: &str = "nigh-signature";

/// How often encoded a signature is known in what others read.
const ENCODED_MAX: u8 = 4;

/// What stands in a signature's place.
const REDACTED: &[u8] = b"redacted";

/// Keys that one rule may have: the one that signs, those before it, and some to spare.
pub const KEYS_MAX: usize = 16;

/// Bytes of the shortest key: shorter ones can be guessed.
pub const KEY_MIN: usize = 16;

/// Letters of the longest key's name.
const ID_MAX: usize = 64;

/// A key with its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: Box<str>,
    secret: Box<[u8]>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why something is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its name could not stand in a URL.
    #[error("`{0}` names no key: use up to {ID_MAX} letters, digits, `-`, `.` and `_`")]
    Id(String),
    /// It is too short.
    #[error("the key `{0}` has fewer than {KEY_MIN} bytes: make one with `openssl rand -hex 32`")]
    Short(String),
}

impl Key {
    /// A key. A line break at its end, as files have it, does not count.
    ///
    /// # Errors
    /// If its name cannot stand in a URL, or it is too short.
    pub fn new(id: &str, secret: &[u8]) -> Result<Self, KeyError> {
        Self::check_id(id)?;
        let secret = secret.strip_suffix(b"\n").unwrap_or(secret);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.len() < KEY_MIN {
            return Err(KeyError::Short(id.to_owned()));
        }
        Ok(Self { id: id.into(), secret: secret.into() })
    }

    /// Holds a name to what can stand in a URL.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check_id(id: &str) -> Result<(), KeyError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_id = (1..=ID_MAX).contains(&id.len()) && id.bytes().all(is_plain);
        is_id.then_some(()).ok_or_else(|| KeyError::Id(id.to_owned()))
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

/// Why a request's signature does not let it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none, or it is not written as one.
    #[error("this needs a signed URL")]
    Missing,
    /// It was not made with a key that is valid here, or is for something else.
    #[error("the URL's signature is wrong")]
    Wrong,
    /// It was right.
    #[error("the URL's signature has expired")]
    Expired,
    /// It is right, for others.
    #[error("the URL was signed for another network")]
    Network,
}

/// What a URL is signed for.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// All paths that begin so, instead of the one URL.
    pub prefix: Option<&'a str>,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// Whom it is for, if not everybody.
    pub network: Option<Network>,
}

/// Why a URL cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    /// It has parameters of a signature already.
    #[error("the URL has parameters that begin with {PARAMETERS}: they belong to signatures")]
    Taken,
    /// What is no prefix.
    #[error(
        "`{0}` is no prefix: it begins and ends with /, has no &, ?, %, ; or backslash, and no dot before a /"
    )]
    Prefix(String),
    /// The path is not below it.
    #[error("the URL's path does not begin with the prefix `{0}`")]
    Outside(String),
}

/// Signs a target (path and query): what is to be asked for instead of it.
///
/// # Errors
/// If it has a signature already, or the prefix is none, or is not its own.
pub fn sign(target: &str, key: &Key, grant: &Grant<'_>) -> Result<String, CannotSign> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if query.split('&').any(|pair| pair.starts_with(PARAMETERS)) {
        return Err(CannotSign::Taken);
    }
    let mut terms = String::new();
    if let Some(prefix) = grant.prefix {
        if !is_prefix(prefix) {
            return Err(CannotSign::Prefix(prefix.to_owned()));
        }
        if !is_below(path, prefix) {
            return Err(CannotSign::Outside(prefix.to_owned()));
        }
        terms += &format!("nigh-prefix={prefix}&");
    }
    terms += &format!("nigh-key={}&nigh-expires={}", key.id, grant.expires);
    if let Some(network) = &grant.network {
        terms += &format!("&nigh-net={network}");
    }
    let separator = if target.contains('?') { '&' } else { '?' };
    let unsigned = format!("{target}{separator}{terms}");
    let signed = if grant.prefix.is_some() { &terms } else { &unsigned };
    let mac = key.mac(signed).finalize().into_bytes();
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{unsigned}&nigh-signature={hex}"))
}

/// Whether a request for `target` is let in.
///
/// # Errors
/// Why it is not.
pub fn verify(target: &str, keys: &[Key], client: IpAddr, now: Wall) -> Result<(), Refusal> {
    let token = Token::read(target).ok_or(Refusal::Missing)?;
    let key = keys.iter().find(|key| *key.id == *token.key).ok_or(Refusal::Wrong)?;
    // Compared in a time that says nothing of where it differs.
    key.mac(token.signed).verify_slice(&token.signature).map_err(|_| Refusal::Wrong)?;
    // From here on, what it says was said by who has the key.
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    if token.prefix.is_some_and(|prefix| !is_prefix(prefix) || !is_below(path, prefix)) {
        return Err(Refusal::Wrong);
    }
    if now.secs() >= token.expires {
        return Err(Refusal::Expired);
    }
    match token.network {
        Some(network) if !network.contains(client) => Err(Refusal::Network),
        _ => Ok(()),
    }
}

/// A target or another text with URLs in it as others may read it: with no signature that lets them in.
/// One that stands in another URL's query, percent-encoded, is taken out too, however it is written.
pub fn redacted(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while at < text.len() {
        let Some(value) = signature_at(text, at) else {
            at += 1;
            continue;
        };
        out.extend_from_slice(&text[copied..value.start]);
        out.extend_from_slice(REDACTED);
        (at, copied) = (value.end, value.end);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

/// Where the value lies of a signature whose name begins here: up to what parts it from the next in a
/// URL, or the URL from the text around it.
fn signature_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    if !matches!(text[at], b'n' | b'N' | b'%') {
        return None;
    }
    let mut name_end = at;
    for expected in SIGNATURE.bytes() {
        let (byte, next) = letter(text, name_end, ENCODED_MAX)?;
        if !byte.eq_ignore_ascii_case(&expected) {
            return None;
        }
        name_end = next;
    }
    let (separator, start) = letter(text, name_end, ENCODED_MAX)?;
    if separator != b'=' {
        return None;
    }
    // Only where the whole parameter is encoded does an encoded `&` part it from the next.
    let is_encoded = start - name_end > 1;
    let mut end = start;
    while let Some((byte, next)) = letter(text, end, ENCODED_MAX) {
        let parts = b"&#\"<>".contains(&byte) || byte <= b' ';
        if parts && (is_encoded || next - end == 1) {
            break;
        }
        end = next;
    }
    (end > start).then_some(start..end)
}

/// The byte that is written here, percent-encoded as often as `rounds` says at most, and where it ends.
fn letter(text: &[u8], at: usize, rounds: u8) -> Option<(u8, usize)> {
    let mut byte = *text.get(at)?;
    let mut end = at + 1;
    for round in (0..rounds).rev() {
        let digit = |at| {
            let (byte, next) = letter(text, at, round)?;
            Some((char::from(byte).to_digit(16)?, next))
        };
        if byte != b'%' {
            break;
        }
        let Some((high, middle)) = digit(end) else { break };
        let Some((low, next)) = digit(middle) else { break };
        byte = u8::try_from(high * 16 + low).expect("two digits of sixteen");
        end = next;
    }
    Some((byte, end))
}

/// A signature's parameters as a request has them.
struct Token<'a> {
    signed: &'a str,
    prefix: Option<&'a str>,
    key: &'a str,
    expires: u64,
    network: Option<Network>,
    signature: [u8; 32],
}

impl<'a> Token<'a> {
    fn read(target: &'a str) -> Option<Self> {
        let (_, query) = target.split_once('?')?;
        let (unsigned, signature) = target.rsplit_once("&nigh-signature=")?;
        let signature = from_hex(signature)?;
        let before = query.len().checked_sub("&nigh-signature=".len() + 64)?;
        let mut pairs =
            query[..before].split('&').skip_while(|pair| !pair.starts_with(PARAMETERS)).peekable();
        let first = *pairs.peek()?;
        let mut value = |name: &str| {
            let pair = pairs.next_if(|pair| pair.starts_with(name))?;
            pair[name.len()..].strip_prefix('=')
        };
        let prefix = value("nigh-prefix");
        let key = value("nigh-key")?;
        let expires = value("nigh-expires")?;
        let network = value("nigh-net").map(str::parse).transpose().ok()?;
        if pairs.next().is_some() || !expires.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // A prefix is signed without the URL that it is used with.
        let start =
            if prefix.is_some() { first.as_ptr().addr() - target.as_ptr().addr() } else { 0 };
        let signed = &unsigned[start..];
        Some(Self { signed, prefix, key, expires: expires.parse().ok()?, network, signature })
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 64 || !text.bytes().all(is_hex) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn is_prefix(text: &str) -> bool {
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"&?#".contains(&byte));
    text.starts_with('/') && text.ends_with('/') && clean && path::is_plain(text)
}

/// Whether a path lies below a prefix, whatever the origin makes of it.
fn is_below(path: &str, prefix: &str) -> bool {
    let is_clear =
        |path| path::readings(path).is_some_and(|all| all.iter().all(|it| it.starts_with(prefix)));
    path.starts_with(prefix) && is_clear(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn key(id: &str) -> Key {
        Key::new(id, b"0123456789abcdef0123456789abcdef\n").unwrap()
    }

    fn grant() -> Grant<'static> {
        Grant { prefix: None, expires: 2_000_000_000, network: None }
    }

    fn asks(target: &str, now: u64) -> Result<(), Refusal> {
        verify(target, &[key("a"), key("b")], CLIENT, Wall::from_secs(now))
    }

    #[test]
    fn a_signature_is_what_openssl_makes_of_the_same_bytes() {
        // printf %s '/v/a.mp4?x=1&nigh-key=a&nigh-expires=2000000000' |
        //     openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        assert_eq!(
            sign("/v/a.mp4?x=1", &key("a"), &grant()).unwrap(),
            "/v/a.mp4?x=1&nigh-key=a&nigh-expires=2000000000&nigh-signature=\
             27234d573d09aaeed6288871205341059817a2e1d7c8fa4913fd0925206cad0d"
        );
        let below = Grant {
            prefix: Some("/v/"),
            network: Some("192.0.2.0/24".parse().unwrap()),
            ..grant()
        };
        assert_eq!(
            sign("/v/a.mp4", &key("a"), &below).unwrap(),
            "/v/a.mp4?nigh-prefix=/v/&nigh-key=a&nigh-expires=2000000000&nigh-net=192.0.2.0/24\
             &nigh-signature=476de280196532a05ada452a278032796922c15853033b3380d8b0398d8e73b4"
        );
    }

    #[test]
    fn a_signed_url_is_good_until_it_expires_and_for_nothing_else() {
        for target in ["/a", "/a?", "/a?b=1&c", "/a?nigh"] {
            let signed = sign(target, &key("b"), &grant()).unwrap();
            assert_eq!(asks(&signed, 1_999_999_999), Ok(()), "{signed}");
            assert_eq!(asks(&signed, 2_000_000_000), Err(Refusal::Expired));
            assert_eq!(asks(&signed.replacen("/a", "/A", 1), 0), Err(Refusal::Wrong));
            assert_eq!(asks(&signed.replace("2000000000", "3000000000"), 0), Err(Refusal::Wrong));
            assert_eq!(asks(&signed.replace("nigh-key=b", "nigh-key=a"), 0), Err(Refusal::Wrong));
            assert_eq!(asks(&signed.replace("nigh-key=b", "nigh-key=c"), 0), Err(Refusal::Wrong));
            assert_eq!(asks(&format!("{signed}&x=1"), 0), Err(Refusal::Missing));
            assert_eq!(
                asks(&signed.replace("nigh-expires", "nigh-expire"), 0),
                Err(Refusal::Missing)
            );
        }
        for target in ["/a", "/a?nigh-signature=", "/a&nigh-signature=00", "/?nigh-key=a"] {
            assert_eq!(asks(target, 0), Err(Refusal::Missing), "{target}");
        }
    }

    #[test]
    fn every_change_of_a_byte_is_found() {
        let signed = sign("/a?b", &key("a"), &grant()).unwrap();
        for at in 0..signed.len() {
            let mut other = signed.clone().into_bytes();
            other[at] ^= 1;
            let Ok(other) = String::from_utf8(other) else { continue };
            assert!(asks(&other, 0).is_err(), "{other}");
        }
    }

    #[test]
    fn a_prefix_is_good_for_what_is_below_it_with_any_query() {
        let below = Grant { prefix: Some("/v/7/"), ..grant() };
        let signed = sign("/v/7/list.m3u8", &key("a"), &below).unwrap();
        let (_, token) = signed.split_once('?').unwrap();
        for target in [
            "/v/7/1.ts?",
            "/v/7/a/2.ts?x=1&",
            "/v/7/%7e?",
            "/v/7/?",
            "/v/7/a;b%20c../d%3f.ts?",
            "/v/7/a/../b?",
        ] {
            assert_eq!(asks(&format!("{target}{token}"), 0), Ok(()), "{target}");
        }
        for target in [
            "/v/8/1.ts?",
            "/v/7?",
            "/v/7/../8/1.ts?",
            "/v/7/%2e%2E/8?",
            "/v/7/..%2f8/x?",
            "/v/7/..\\8?",
            "/v/7/..;/8?",
            "/v/7/%2e%2e;x/8?",
            "/v/7/..%20/8?",
            "/v/7/..%00/8?",
            "/v/7/..\\?",
            "/v/7/..%3f?",
            "/v/7/a%2fb/%2e%2e/%2e%2e/8?",
            "/v/7/%u002e%u002e/8?",
        ] {
            assert_eq!(asks(&format!("{target}{token}"), 0), Err(Refusal::Wrong), "{target}");
        }
        // What stands before the prefix is not signed, so it says nothing.
        assert!(asks(&format!("/v/7/1.ts?nigh-expires=9999999999&{token}"), 0).is_err());
        for prefix in ["v/", "/v", "/v&/", "/v/../", "/v/%2e/", "/v?/"] {
            let grant = Grant { prefix: Some(prefix), ..grant() };
            assert!(
                matches!(sign("/v/1", &key("a"), &grant), Err(CannotSign::Prefix(_))),
                "{prefix}"
            );
        }
        let outside = sign("/w", &key("a"), &Grant { prefix: Some("/v/"), ..grant() });
        assert_eq!(outside, Err(CannotSign::Outside("/v/".to_owned())));
    }

    #[test]
    fn a_signature_for_a_network_is_good_for_its_clients() {
        for (network, expected) in [
            ("192.0.2.0/24", Ok(())),
            ("192.0.2.1/32", Ok(())),
            ("2001:db8::/32", Err(Refusal::Network)),
        ] {
            let grant = Grant { network: Some(network.parse().unwrap()), ..grant() };
            assert_eq!(asks(&sign("/a", &key("a"), &grant).unwrap(), 0), expected, "{network}");
        }
    }

    #[test]
    fn a_signature_is_read_by_nobody_else() {
        let signed = sign("/a?b", &key("a"), &grant()).unwrap();
        let shown = "/a?b&nigh-key=a&nigh-expires=2000000000&nigh-signature=redacted";
        assert_eq!(redacted(signed.as_bytes()), shown.as_bytes());
        for (text, shown) in [
            ("/a?nigh-signature=0f&x", "/a?nigh-signature=redacted&x"),
            (
                "/?nigh-signature=1#f?nigh-signature=2",
                "/?nigh-signature=redacted#f?nigh-signature=redacted",
            ),
            ("/?to=%2Fa%3Fnigh-signature%3D0f%26x", "/?to=%2Fa%3Fnigh-signature%3Dredacted%26x"),
            ("/?to=nigh-signature%253d0f", "/?to=nigh-signature%253dredacted"),
            ("/?nigh-signature==0f&x", "/?nigh-signature=redacted&x"),
            ("/?nigh-signature=%30f%26a&x", "/?nigh-signature=redacted&x"),
            ("/?nigh%2Dsignature=0f&x", "/?nigh%2Dsignature=redacted&x"),
            ("/?%256eigh-%73ignature%253D0f%2526x", "/?%256eigh-%73ignature%253Dredacted%2526x"),
            ("/?to=nigh-signature%25253D0f", "/?to=nigh-signature%25253Dredacted"),
            ("/?n%6%39gh-signature=0f", "/?n%6%39gh-signature=redacted"),
            (
                "bot (+https://a/?nigh-signature=0f; x) \"nigh-signature=1\"",
                "bot (+https://a/?nigh-signature=redacted x) \"nigh-signature=redacted\"",
            ),
            ("/nigh-signature", "/nigh-signature"),
            ("/nigh-signature=", "/nigh-signature="),
            ("/a?b", "/a?b"),
        ] {
            assert_eq!(redacted(text.as_bytes()), shown.as_bytes(), "{text}");
        }
        assert!(matches!(redacted(b"/a?b"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_key_has_a_name_and_some_length_and_is_not_shown() {
        assert!(matches!(Key::new("a b", &[0; 32]), Err(KeyError::Id(_))));
        assert!(matches!(Key::new("", &[0; 32]), Err(KeyError::Id(_))));
        assert!(matches!(Key::new("a", b"0123456789abcde\r\n"), Err(KeyError::Short(_))));
        assert_eq!(format!("{:?}", key("a")), "Key { id: \"a\", .. }");
        assert_eq!(sign("/a?nigh-x", &key("a"), &grant()), Err(CannotSign::Taken));
    }
}
