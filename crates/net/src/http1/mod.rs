//! The server's side of HTTP/1, as pure functions over bytes: no socket, no clock, no runtime.
//!
//! RFC 9112, read strictly: a message that two readers could take for different messages is
//! refused, and the connection with it, because the reader behind us may be the other one. Three
//! layers, each usable alone:
//!
//! ```text
//! bytes -> parse -> Head    one request's head, borrowed from the connection's buffer
//!       -> Body  -> Part    where the content lies in the next bytes, and where it ends
//! write <- status, fields, chunk sizes, trailers
//! ```
//! The head is read by `httparse`, whose loops are fast; what it lets pass or cannot explain goes
//! to a plain reader (`grammar`), which is slow, whole, and names what is wrong. The two are
//! fuzzed against each other and against hyper.
//!
//! ```
//! use nigh_net::http1::{self, Limits, Progress, Scratch};
//! let bytes = b"GET /a?b HTTP/1.1\r\nHost: example.org\r\n\r\n";
//! let mut scratch = Scratch::new();
//! let head = http1::parse(bytes, &Limits::default(), &mut Progress::default(), &mut scratch);
//! let head = head.unwrap().expect("the head is complete");
//! assert_eq!((head.target.authority, head.target.path), (Some("example.org"), "/a"));
//! assert_eq!(head.len, bytes.len());
//! ```

mod body;
mod framing;
mod grammar;
mod head;
mod lines;
mod names;
mod refusal;
mod target;
pub(crate) mod trailers;
pub mod write;

#[cfg(any(test, feature = "fuzz"))]
mod connection;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
#[cfg(any(test, feature = "fuzz"))]
mod hyper_server;
#[cfg(test)]
mod smuggling;

pub use body::{Body, Chunked, Part};
pub use framing::Framing;
pub use head::{Head, Method, Progress, Scratch, Version, parse};
pub use lines::{Iter, Lines};
pub use names::{Name, Present};
pub use refusal::Refusal;
pub(crate) use target::authority;
pub use target::{Form, Scheme, Target};
pub use trailers::Trailers;

/// The most field lines that a head may have, whatever the limits say: the room in a [`Scratch`].
pub const FIELDS: usize = 100;

/// What one peer may make us hold or read, per message.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a whole head, request line and last empty line included. More is answered 431.
    pub head_bytes: usize,
    /// Bytes of a method's name. More is answered 501 (RFC 9112, section 3).
    pub method_bytes: usize,
    /// Bytes of a request target. More is answered 414.
    pub target_bytes: usize,
    /// Field lines of a head, and again of a trailer section; at most [`FIELDS`]. More is
    /// answered 431.
    pub fields: usize,
    /// Bytes of one chunk-size line with its extensions, without its line end.
    pub chunk_line_bytes: usize,
    /// Bytes of chunk extensions in a whole body: they are thrown away, so they are worth little,
    /// and a body of one-byte chunks could be mostly them.
    pub extension_bytes: usize,
    /// Bytes of a trailer section, its last empty line included. More is answered 431.
    pub trailer_bytes: usize,
}

impl Limits {
    /// Room for large cookies; nginx gives 32 KiB, HAProxy and hyper about 16 and 400.
    pub const HEAD_BYTES: usize = 64 * 1024;
    /// The longest registered method has 17.
    pub const METHOD_BYTES: usize = 64;
    /// RFC 9110, section 4.1 asks for 8000 at least.
    pub const TARGET_BYTES: usize = 16 * 1024;
    /// Sixteen digits and a signature or two.
    pub const CHUNK_LINE_BYTES: usize = 1024;
    /// As much as hyper allows.
    pub const EXTENSION_BYTES: usize = 16 * 1024;
    /// Checksums, timings and gRPC's status fit many times over.
    pub const TRAILER_BYTES: usize = 16 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: Self::HEAD_BYTES,
            method_bytes: Self::METHOD_BYTES,
            target_bytes: Self::TARGET_BYTES,
            fields: FIELDS,
            chunk_line_bytes: Self::CHUNK_LINE_BYTES,
            extension_bytes: Self::EXTENSION_BYTES,
            trailer_bytes: Self::TRAILER_BYTES,
        }
    }
}

/// Whether a connection in clear begins with HTTP/2's preface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preface {
    /// It does not: read it as HTTP/1.
    Absent,
    /// Every byte so far is the preface's, and more must come before anyone can tell.
    Partial,
    /// The whole preface is there: read it as HTTP/2, preface included.
    Whole,
}

/// Tells HTTP/2 with prior knowledge from HTTP/1 at the start of a connection (RFC 9113,
/// sections 3.3 and 3.4). No bytes at all are [`Preface::Partial`].
pub fn http2_preface(bytes: &[u8]) -> Preface {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    if bytes.starts_with(PREFACE) {
        Preface::Whole
    } else if PREFACE.starts_with(bytes) {
        Preface::Partial
    } else {
        Preface::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_of_http2_is_told_from_http1_as_soon_as_a_byte_differs() {
        let whole = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes";
        for len in 0..whole.len() {
            let expected = if len < 24 { Preface::Partial } else { Preface::Whole };
            assert_eq!(http2_preface(&whole[..len]), expected, "{len} bytes");
        }
        assert_eq!(http2_preface(b"PRIME / HTTP/1.1\r\n"), Preface::Absent);
        assert_eq!(http2_preface(b"GET "), Preface::Absent);
    }
}
