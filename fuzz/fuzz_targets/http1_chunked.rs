//! The chunked coding: one reading however it is cut, and what was read, coded anew, reads the same.
#![no_main]

use nigh_net::http1::{Body, Framing, Limits, Part, Refusal, write};

/// What came of a body: its content, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    content: Vec<u8>,
    /// Bytes used up by a whole body; nothing if more must come.
    end: Result<Option<usize>, Refusal>,
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { trailer_bytes: 1024, extension_bytes: 256, ..Limits::default() };
    let whole = read(bytes, &limits, bytes.len().max(1));
    for piece in [1, 2, 3, 7] {
        let pieces = read(bytes, &limits, piece);
        // A trailer section that never ends may be refused early when much of it is seen at once.
        let waits = pieces.end == Ok(None) && whole.end.is_err();
        assert!(waits || pieces.end == whole.end, "by {piece}: {pieces:?} but {whole:?}");
        assert_eq!(pieces.content, whole.content, "by {piece}");
    }
    if let Ok(Some(_)) = whole.end {
        let coded = coded(&whole.content);
        let again = read(&coded, &Limits::default(), coded.len());
        assert_eq!(again, Reading { content: whole.content, end: Ok(Some(coded.len())) });
    }
});

/// Reads a body of which `piece` bytes come at a time.
fn read(bytes: &[u8], limits: &Limits, piece: usize) -> Reading {
    let mut body = Body::new(Framing::Chunked, limits);
    let mut content = Vec::new();
    let (mut used, mut there) = (0, 0);
    let end = loop {
        let step = match body.step(&bytes[used..there]) {
            Ok(step) => step,
            Err(refusal) => break Err(refusal),
        };
        match step {
            Part::Data(range) => {
                assert!(!range.is_empty() && used + range.end <= there, "data lies in the bytes");
                content.extend_from_slice(&bytes[used..there][range.clone()]);
                used += range.end;
            }
            Part::End { trailers, consumed } => {
                assert!(trailers.end <= consumed && used + consumed <= there);
                assert!(body.is_ended(), "an end is an end");
                break Ok(Some(used + consumed));
            }
            Part::More(count) => {
                used += count;
                assert!(used <= there, "no more is used up than came");
                if there == bytes.len() {
                    break Ok(None);
                }
                there = bytes.len().min(there + piece);
            }
        }
    };
    Reading { content, end }
}

/// The content in chunks of growing size.
fn coded(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut left, mut size) = (content, 1);
    while !left.is_empty() {
        let (chunk, rest) = left.split_at(size.min(left.len()));
        out.extend_from_slice(write::Digits::chunk_size(chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(write::CHUNK_END);
        (left, size) = (rest, size * 2);
    }
    out.extend_from_slice(write::LAST_CHUNK);
    out
}
