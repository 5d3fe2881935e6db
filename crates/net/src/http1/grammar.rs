//! The plain reader: the grammar of a head, byte by byte, naming the first thing that is wrong.
//!
//! RFC 9112, sections 2 to 5. It judges strictly in the order in which bytes arrive, so a head gets
//! one verdict, whether it comes whole or a byte at a time. It runs when the fast reader stumbles:
//! on a refusal, on a head cut by the network, and on HTTP/1.2 to 1.9, which `httparse` does not
//! know. Trailers are read by its [`field_line`] too.

use std::str;

use httparse::Header;

use super::{Limits, Refusal};

/// A head as the plain reader sees it.
#[derive(Debug)]
pub(super) struct Plain<'b> {
    /// The method's name.
    pub(super) method: &'b str,
    /// The request target, raw.
    pub(super) target: &'b str,
    /// The digit after `HTTP/1.`.
    pub(super) minor: u8,
    /// How many bytes the head has, its last empty line included.
    pub(super) len: usize,
}

/// Reads a head that begins at the first byte of `bytes` into `lines`; nothing yet if all is well
/// so far and more is needed.
pub(super) fn head<'b>(
    bytes: &'b [u8],
    limits: &Limits,
    lines: &mut Vec<Header<'b>>,
) -> Result<Option<Plain<'b>>, Refusal> {
    let Some((mut plain, mut at)) = request_line(bytes, limits)? else { return Ok(None) };
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t') if lines.is_empty() => return Err(Refusal::SpaceBeforeFields),
            Some(b' ' | b'\t') => return Err(Refusal::LineFolded),
            _ => {}
        }
        match line_end(&bytes[at..]) {
            End::Crlf => {
                plain.len = at + 2;
                return Ok(Some(plain));
            }
            End::Unknown => return Ok(None),
            End::Bare(refusal) => return Err(refusal),
            End::Other => {}
        }
        let Some((line, len)) = field_line(&bytes[at..])? else { return Ok(None) };
        if lines.len() == limits.fields.min(super::FIELDS) {
            return Err(Refusal::TooManyFields);
        }
        lines.push(line);
        at += len;
    }
}

/// Section 3: method SP target SP version CRLF, with exactly one space each. Answers the line's
/// length too.
fn request_line<'b>(
    bytes: &'b [u8],
    limits: &Limits,
) -> Result<Option<(Plain<'b>, usize)>, Refusal> {
    let method = run(bytes, is_token);
    if method > limits.method_bytes {
        return Err(Refusal::MethodTooLong);
    }
    match bytes.get(method) {
        None => return Ok(None),
        Some(b' ') if method > 0 => {}
        Some(_) => return line_end(&bytes[method..]).or(Refusal::Method),
    }
    let rest = &bytes[method + 1..];
    let target = run(rest, |byte| byte > b' ' && byte != 0x7f);
    if target > limits.target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    match rest.get(target) {
        None => return Ok(None),
        Some(b' ') if target > 0 => {}
        Some(b'\r' | b'\n') => return line_end(&rest[target..]).or(Refusal::VersionMissing),
        Some(_) => return Err(Refusal::TargetBytes),
    }
    let Ok(target) = str::from_utf8(&rest[..target]) else { return Err(Refusal::TargetBytes) };
    let at = method + 1 + target.len() + 1;
    let Some(minor) = version(&bytes[at..])? else { return Ok(None) };
    match line_end(&bytes[at + VERSION.len()..]) {
        End::Crlf => {}
        End::Unknown => return Ok(None),
        End::Bare(refusal) => return Err(refusal),
        End::Other => return Err(Refusal::VersionMalformed),
    }
    let method = str::from_utf8(&bytes[..method]).map_err(|_| Refusal::Method)?;
    Ok(Some((Plain { method, target, minor, len: 0 }, at + VERSION.len() + 2)))
}

/// `d` stands for a digit: a version has one on each side, no more (section 2.3).
const VERSION: &[u8; 8] = b"HTTP/d.d";

/// The minor version, once all eight bytes are there.
fn version(bytes: &[u8]) -> Result<Option<u8>, Refusal> {
    for (&pattern, &byte) in VERSION.iter().zip(bytes) {
        let fits = if pattern == b'd' { byte.is_ascii_digit() } else { byte == pattern };
        if !fits {
            return Err(Refusal::VersionMalformed);
        }
    }
    match bytes.get(..VERSION.len()) {
        None => Ok(None),
        Some(whole) if whole[5] == b'1' => Ok(Some(whole[7] - b'0')),
        Some(_) => Err(Refusal::VersionUnsupported),
    }
}

/// Section 5: name ":" OWS value OWS CRLF. Answers the line's length too; nothing yet if its end
/// is not there.
pub(super) fn field_line(bytes: &[u8]) -> Result<Option<(Header<'_>, usize)>, Refusal> {
    let name = run(bytes, is_token);
    match bytes.get(name) {
        None => return Ok(None),
        Some(b':') if name > 0 => {}
        Some(b' ' | b'\t') if name > 0 => return Err(Refusal::SpaceBeforeColon),
        Some(_) => return line_end(&bytes[name..]).or(Refusal::FieldName),
    }
    let rest = &bytes[name + 1..];
    let value = run(rest, |byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
    match line_end(&rest[value..]) {
        End::Crlf => {}
        End::Unknown => return Ok(None),
        End::Bare(refusal) => return Err(refusal),
        End::Other => return Err(Refusal::FieldValue),
    }
    let len = name + 1 + value + 2;
    let name = str::from_utf8(&bytes[..name]).map_err(|_| Refusal::FieldName)?;
    Ok(Some((Header { name, value: trimmed(&rest[..value]) }, len)))
}

/// What stands where a line may end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// CRLF.
    Crlf,
    /// Too few bytes to tell.
    Unknown,
    /// One half of a line end.
    Bare(Refusal),
    /// Something else.
    Other,
}

impl End {
    /// For a place where no line may end, and nothing else may stand: half a line end is named, a
    /// whole one and everything else is `refusal`.
    fn or<T>(self, refusal: Refusal) -> Result<Option<T>, Refusal> {
        match self {
            Self::Unknown => Ok(None),
            Self::Bare(bare) => Err(bare),
            Self::Crlf | Self::Other => Err(refusal),
        }
    }
}

/// What `bytes` begin with. Section 2.2: a line ends with CRLF, and neither half stands alone.
pub(super) fn line_end(bytes: &[u8]) -> End {
    match *bytes {
        [] | [b'\r'] => End::Unknown,
        [b'\r', b'\n', ..] => End::Crlf,
        [b'\r', ..] => End::Bare(Refusal::BareCr),
        [b'\n', ..] => End::Bare(Refusal::BareLf),
        _ => End::Other,
    }
}

/// How many bytes `bytes` begin with that are `good`.
fn run(bytes: &[u8], good: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !good(byte)).unwrap_or(bytes.len())
}

/// A character of a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `value` without the optional white space around it (RFC 9110, section 5.6.3): space and tab,
/// nothing else.
pub(super) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
