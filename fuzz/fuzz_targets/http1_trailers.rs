//! A trailer section: only what may come behind the content is passed on, and that reads back.
//!
//! The input is the section as it stands behind the last chunk, its empty line included.
#![no_main]

use nigh_net::http1::{Body, Framing, Limits, Part, Trailers, write};

/// Fields that would change what the message is, or whom it is for (RFC 9110, section 6.5.1).
const NEVER: [&str; 8] = [
    "content-length",
    "transfer-encoding",
    "host",
    "connection",
    "authorization",
    "cookie",
    "cache-control",
    "content-encoding",
];

libfuzzer_sys::fuzz_target!(|section: &[u8]| {
    let coded = [&b"0\r\n"[..], section].concat();
    let Some(kept) = read(&coded) else { return };
    for (name, value) in &kept {
        assert!(!NEVER.iter().any(|never| name.eq_ignore_ascii_case(never)), "{name} is passed on");
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a value is one line");
    }
    let mut again = Vec::new();
    write::last_chunk(&mut again, kept.iter().map(|(name, value)| (name.as_str(), &**value)));
    assert_eq!(read(&again).as_ref(), Some(&kept), "what is passed on reads back");
});

/// The trailers of a body without content; nothing if it is refused or incomplete.
fn read(coded: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut body = Body::new(Framing::Chunked, &Limits::default());
    let mut used = 0;
    // The first step may use up the last chunk's line only.
    for _ in 0..2 {
        match body.step(&coded[used..]).ok()? {
            Part::Data(_) => return None,
            Part::More(count) => used += count,
            Part::End { trailers, .. } => {
                let lines = Trailers::new(&coded[used..][trailers]);
                let copied = lines.map(|(name, value)| (name.to_owned(), value.to_owned()));
                return Some(copied.collect());
            }
        }
    }
    None
}
