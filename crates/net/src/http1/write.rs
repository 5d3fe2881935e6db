//! Responses as bytes: status lines, field lines, chunk sizes and trailers. RFC 9112, sections 4, 5
//! and 7.1.
//!
//! ```
//! use http::StatusCode;
//! use nigh_net::http1::write;
//! let mut head = Vec::new();
//! write::status_line(&mut head, StatusCode::OK);
//! write::number_field(&mut head, "content-length", 5);
//! write::end_of_head(&mut head);
//! assert_eq!(head, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
//! ```

use http::StatusCode;

/// The interim response that lets a waiting client send its content (RFC 9110, section 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What ends a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, no trailers, and the end of the body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends a status line. The version is ours whatever the client's is (RFC 9110, section 6.2); a
/// status without a registered phrase gets an empty one.
pub fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    // What a cache says most is one copy.
    match status {
        StatusCode::OK => return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        StatusCode::NOT_MODIFIED => return out.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\n"),
        _ => {}
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line.
///
/// # Panics
/// If `name` or `value` holds CR, LF or NUL: it was not validated where it came in, and would split
/// the response.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    assert!(!splits(name.as_bytes()), "a field's name that was not validated");
    assert!(!splits(value), "a field's value that was not validated");
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line whose value is a number.
///
/// # Panics
/// As [`field`].
pub fn number_field(out: &mut Vec<u8>, name: &str, value: u64) {
    field(out, name, Digits::decimal(value).as_bytes());
}

/// Appends a number in decimal.
pub fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(Digits::decimal(value).as_bytes());
}

/// Appends the empty line that ends a head.
pub fn end_of_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk with trailers, and the end of the body.
///
/// # Panics
/// As [`field`].
pub fn last_chunk<'a>(out: &mut Vec<u8>, trailers: impl IntoIterator<Item = (&'a str, &'a [u8])>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether `bytes` would end their line. Looks at all of them, which compilers turn into a few wide
/// comparisons.
fn splits(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |bad, &byte| bad | matches!(byte, b'\r' | b'\n' | 0))
}

/// The longest: `ffffffffffffffff\r\n`, or 2^64 - 1 in decimal.
const ROOM: usize = 20;

/// A number written out, on the stack: a chunk-size line for a vectored write, or decimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    bytes: [u8; ROOM],
    start: usize,
}

impl Digits {
    /// The chunk-size line of a chunk of `size` bytes, with its line end.
    ///
    /// # Panics
    /// If `size` is zero, which would end the body.
    pub fn chunk_size(size: usize) -> Self {
        assert!(size > 0, "an empty chunk ends the body");
        let mut digits = Self::written(size as u64, 16, ROOM - 2);
        digits.bytes[ROOM - 2..].copy_from_slice(b"\r\n");
        digits
    }

    /// `value` in decimal.
    pub fn decimal(value: u64) -> Self {
        Self::written(value, 10, ROOM)
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn written(mut value: u64, radix: u64, end: usize) -> Self {
        let mut bytes = [0; ROOM];
        let mut start = end;
        loop {
            start -= 1;
            let digit = u8::try_from(value % radix).expect("a digit is below its radix");
            bytes[start] = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            value /= radix;
            if value == 0 {
                return Self { bytes, start };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_without_a_phrase_keeps_its_space() {
        let mut out = Vec::new();
        for code in [200, 304, 404, 599] {
            status_line(&mut out, StatusCode::from_u16(code).unwrap());
        }
        let expected =
            "HTTP/1.1 200 OK|HTTP/1.1 304 Not Modified|HTTP/1.1 404 Not Found|HTTP/1.1 599 |";
        assert_eq!(out, expected.replace('|', "\r\n").as_bytes());
    }

    #[test]
    fn numbers_are_written_whole_at_both_ends_of_their_range() {
        for value in [0, 9, 10, 1234, u64::MAX] {
            assert_eq!(Digits::decimal(value).as_bytes(), value.to_string().as_bytes());
        }
        for size in [1, 15, 16, 0xabcdef, usize::MAX] {
            assert_eq!(Digits::chunk_size(size).as_bytes(), format!("{size:x}\r\n").as_bytes());
        }
    }

    #[test]
    fn the_last_chunk_carries_the_trailers() {
        let mut out = Vec::new();
        last_chunk(&mut out, []);
        assert_eq!(out, LAST_CHUNK);
        last_chunk(&mut out, [("a", &b"b"[..]), ("c", b"")]);
        assert_eq!(out[LAST_CHUNK.len()..], *b"0\r\na: b\r\nc: \r\n\r\n");
    }

    #[test]
    #[should_panic(expected = "not validated")]
    fn a_value_that_would_split_the_response_is_a_bug() {
        field(&mut Vec::new(), "location", b"/a\r\nset-cookie: b");
    }
}
