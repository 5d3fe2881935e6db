//! An answer of several ranges: multipart/byteranges, RFC 9110, section 14.6.
//!
//! Every length is known before the first byte is sent, so the answer needs no chunked coding.

use std::io::Write as _;

use super::{ContentRange, Span};

/// The plan of a multipart/byteranges answer. The boundary must not occur in the content: the caller
/// draws it at random, long enough.
#[derive(Clone, Copy, Debug)]
pub struct Multipart<'a> {
    /// What separates the parts: 1 to 70 characters that need no quotes (RFC 2046, section 5.1.1).
    pub boundary: &'a str,
    /// The Content-Type of the representation, said again in each part.
    pub content_type: Option<&'a [u8]>,
    /// The ranges, in the order sent.
    pub spans: &'a [Span],
    /// The length of the representation.
    pub complete: u64,
}

impl Multipart<'_> {
    /// The Content-Type of the answer.
    pub fn answer_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Writes, in place of what `out` held, what stands before the content of part `at`.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn head(&self, at: usize, out: &mut Vec<u8>) {
        out.clear();
        let range = ContentRange { span: self.spans[at], complete: Some(self.complete) };
        if at > 0 {
            out.extend_from_slice(b"\r\n");
        }
        write!(out, "--{}\r\n", self.boundary).expect("a vector takes every write");
        if let Some(content_type) = self.content_type {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(content_type);
            out.extend_from_slice(b"\r\n");
        }
        write!(out, "Content-Range: {range}\r\n\r\n").expect("a vector takes every write");
    }

    /// What stands behind the content of the last part.
    pub fn tail(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// The length of the whole answer in bytes.
    pub fn length(&self) -> u64 {
        let mut head = Vec::new();
        let parts: u64 = (0..self.spans.len())
            .map(|at| {
                self.head(at, &mut head);
                head.len() as u64 + self.spans[at].len()
            })
            .sum();
        parts + self.tail().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planned_length_is_the_length() {
        let spans = [Span { start: 0, end: 2 }, Span { start: 8, end: 10 }];
        let plan = Multipart {
            boundary: "b",
            content_type: Some(b"text/plain"),
            spans: &spans,
            complete: 10,
        };
        let (mut answer, mut head) = (Vec::new(), Vec::new());
        for (at, content) in [b"01", b"89"].into_iter().enumerate() {
            plan.head(at, &mut head);
            answer.extend_from_slice(&head);
            answer.extend_from_slice(content);
        }
        answer.extend_from_slice(plan.tail().as_bytes());
        let expected = "--b\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
                        --b\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--b--\r\n";
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
        assert_eq!(plan.length(), expected.len() as u64);
        assert_eq!(plan.answer_type(), "multipart/byteranges; boundary=b");
    }
}
