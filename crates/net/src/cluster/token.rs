//! Join tokens: what lets one edge into a cluster, once.
//!
//! A token is text, to be carried by hand: where to join, by what the authority is known, and a secret.
//! Who has it can join, so it is short-lived and good once; the authority keeps a hash of the secret.

use std::{fmt, str::FromStr, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use nigh_base::{
    Wall,
    machine::Secrets,
    wire::{Reader, WireError},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{authority::Fingerprint, name::Name};

/// What every token begins with: so that people and scanners for secrets know one.
const PREFIX: &str = "nigh1-";

/// For how long a token is good unless something else is said: it is used where it is made.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// For how long it may be good: who prepares machines a week ahead can, and no token is for ever.
pub const LIFETIME_MAX: Duration = Duration::from_hours(7 * 24);

/// Addresses in a token: a cluster with more has three that answer.
pub const ADDRESSES_MAX: usize = 4;

/// Bytes of the longest address: a domain name and a port.
pub const ADDRESS_MAX: usize = 253 + 1 + 5;

/// Bytes of a token's text, at most: all addresses as long as they may be, in base64.
pub const TEXT_MAX: usize = 2048;

/// Bytes that show whether a token was copied whole.
const CHECK: usize = 4;

/// A token's number, which is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenId([u8; 8]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host and a port, such as `edge.example.com:7300` or `[2001:db8::1]:7300`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAddress(String);

impl JoinAddress {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The port.
    ///
    /// # Panics
    /// Never: an address has one.
    pub fn port(&self) -> u16 {
        let port = self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.expect("an address was seen to have a port")
    }
}

impl fmt::Display for JoinAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for JoinAddress {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let is_address = || {
            let (host, port) = text.rsplit_once(':')?;
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let is_host = match inner {
                Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
                None => {
                    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
                    (1..=253).contains(&host.len()) && host.bytes().all(is_plain)
                }
            };
            let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port != 0);
            (is_host && is_port).then_some(())
        };
        is_address().map(|()| Self(text.to_owned())).ok_or(TokenError::Address)
    }
}

/// What lets one edge in. Nothing but [`Token::text`] repeats its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The cluster's name.
    pub cluster: Name,
    /// Where to join; they are tried in this order.
    pub addresses: Vec<JoinAddress>,
    /// What the authority is known by.
    pub fingerprint: Fingerprint,
    /// Its number.
    pub id: TokenId,
    /// Until when it is good. It says so to the person who holds it; what counts is what the authority
    /// has kept.
    pub expires: Wall,
    secret: [u8; 32],
}

/// What the authority keeps of a token: nothing with which one could join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the secret. The secret is drawn and has 256 bits, so that no slower hash is needed.
    pub hash: [u8; 32],
    /// Until when it is good.
    pub expires: Wall,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It begins otherwise.
    #[error("a token begins with {PREFIX}")]
    Prefix,
    /// It is longer than any token.
    #[error("a token has at most {TEXT_MAX} characters")]
    TooLong,
    /// A part is missing or was changed on the way.
    #[error("the token was not copied whole, or was changed: copy it once more")]
    Damaged,
    /// It is whole, and means nothing to this version.
    #[error("this version of nigh does not understand the token")]
    Content(#[from] WireError),
    /// An address in it is none.
    #[error("an address is HOST:PORT, such as edge.example.com:7300 or [2001:db8::1]:7300")]
    Address,
    /// It has no address, or too many.
    #[error("a token has one to {ADDRESSES_MAX} addresses")]
    Addresses,
}

impl Token {
    /// A new token.
    ///
    /// # Errors
    /// If there are no addresses, or too many.
    pub fn draw(
        cluster: Name,
        addresses: Vec<JoinAddress>,
        fingerprint: Fingerprint,
        expires: Wall,
        secrets: &mut dyn Secrets,
    ) -> Result<Self, TokenError> {
        if !(1..=ADDRESSES_MAX).contains(&addresses.len()) {
            return Err(TokenError::Addresses);
        }
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        secrets.fill(&mut id);
        secrets.fill(&mut secret);
        let expires = Wall::from_secs(expires.secs());
        Ok(Self { cluster, addresses, fingerprint, id: TokenId(id), expires, secret })
    }

    /// The token as it is handed on.
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        short(&mut bytes, self.cluster.as_str());
        bytes.push(u8::try_from(self.addresses.len()).expect("there are at most four"));
        self.addresses.iter().for_each(|address| {
            bytes.extend(
                (u16::try_from(address.0.len()).expect("its length is limited")).to_be_bytes(),
            );
            bytes.extend(address.0.as_bytes());
        });
        bytes.extend(self.fingerprint.0);
        bytes.extend(self.id.0);
        bytes.extend(self.secret);
        bytes.extend(self.expires.secs().to_be_bytes());
        let check = check(&bytes);
        bytes.extend(check);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What the authority keeps of it.
    pub fn kept(&self) -> Kept {
        Kept { hash: self.hash(), expires: self.expires }
    }

    /// Whether it is the token that this was kept of. The time that this takes says nothing.
    pub fn is(&self, kept: &Kept) -> bool {
        self.hash().ct_eq(&kept.hash).into()
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > TEXT_MAX {
            return Err(TokenError::TooLong);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Damaged)?;
        let (content, shown) = bytes.split_last_chunk::<CHECK>().ok_or(TokenError::Damaged)?;
        if check(content) != *shown {
            return Err(TokenError::Damaged);
        }
        let mut reader = Reader::new(content);
        let length = usize::from(reader.u8()?);
        let cluster = text_of(reader.take(length)?, "name of a cluster")?;
        let cluster = cluster.parse().map_err(|_| WireError::Impossible { what: "name" })?;
        let count = usize::from(reader.u8()?);
        if !(1..=ADDRESSES_MAX).contains(&count) {
            return Err(TokenError::Addresses);
        }
        let mut addresses = Vec::new();
        for _ in 0..count {
            let length = usize::from(reader.u16()?);
            addresses.push(text_of(reader.take(length)?, "address")?.parse()?);
        }
        let fingerprint = Fingerprint(reader.array()?);
        let (id, secret) = (TokenId(reader.array()?), reader.array()?);
        let expires = Wall::from_secs(u64::from_be_bytes(reader.array()?));
        reader.end()?;
        Ok(Self { cluster, addresses, fingerprint, id, expires, secret })
    }
}

/// Says nothing of the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("cluster", &self.cluster)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn short(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).expect("a name has at most 63 bytes"));
    bytes.extend(text.as_bytes());
}

fn text_of<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, WireError> {
    str::from_utf8(bytes).map_err(|_| WireError::Impossible { what })
}

fn check(content: &[u8]) -> [u8; CHECK] {
    let digest: [u8; 32] = Sha256::digest(content).into();
    *digest.first_chunk().expect("a digest is longer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsSecrets;

    fn token(addresses: &[&str]) -> Token {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let (cluster, expires) = ("eu".parse().unwrap(), Wall::from_secs(1_000));
        let fingerprint = Fingerprint([7; 32]);
        Token::draw(cluster, addresses, fingerprint, expires, &mut OsSecrets::new()).unwrap()
    }

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let long = format!("{}:65535", "x".repeat(253));
        for addresses in [&["a.example:7300"][..], &["[::1]:1"], &[long.as_str(); 4]] {
            let token = token(addresses);
            let text = token.text();
            assert!(text.len() <= TEXT_MAX, "{}", text.len());
            assert_eq!(format!(" {text}\n").parse(), Ok(token));
        }
    }

    #[test]
    fn a_token_that_was_changed_anywhere_is_no_token() {
        let text = token(&["a.example:7300"]).text();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed.parse::<Token>().is_err(), "byte {at}");
            assert!(text[..at].parse::<Token>().is_err(), "{at} bytes");
        }
        assert_eq!("x".repeat(3000).parse::<Token>(), Err(TokenError::TooLong));
        assert_eq!("nigh2-AAAA".parse::<Token>(), Err(TokenError::Prefix));
    }

    #[test]
    fn what_is_whole_but_means_nothing_is_told_without_a_panic() {
        let with_check = |content: &[u8]| {
            let bytes = [content, &check(content)].concat();
            format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)).parse::<Token>()
        };
        let read = token(&["a:1"]).text();
        let content = URL_SAFE_NO_PAD.decode(&read[PREFIX.len()..]).unwrap();
        let content = &content[..content.len() - CHECK];
        assert!(with_check(content).is_ok());
        for length in 0..content.len() {
            assert!(with_check(&content[..length]).is_err(), "{length}");
        }
        assert!(with_check(&[content, b"x"].concat()).is_err());
        assert!(with_check(&[255; 40]).is_err());
    }

    #[test]
    fn only_the_token_itself_is_known_again_and_its_secret_is_not_shown() {
        let (one, other) = (token(&["a:1"]), token(&["a:1"]));
        assert!(one.is(&one.kept()) && !one.is(&other.kept()));
        assert_ne!(one.kept().hash, one.secret);
        assert!(!format!("{one:?}").contains("secret"));
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for text in ["a.example:7300", "192.0.2.1:1", "[2001:db8::1]:65535"] {
            assert_eq!(text.parse::<JoinAddress>().unwrap().as_str(), text);
        }
        for text in ["", ":1", "a", "a:0", "a:65536", "a:+1", "::1:7", "[::1]", "a b:1", "a/b:1"] {
            assert_eq!(text.parse::<JoinAddress>(), Err(TokenError::Address), "{text}");
        }
    }
}
