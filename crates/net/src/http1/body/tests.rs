//! Bodies as they are decoded, cut in every way.

use super::*;

/// The content of `text` read in pieces of every size, with the refusal that ended it; `|` is CRLF.
fn check(text: &str, limits: &Limits) -> Result<(String, usize), Refusal> {
    let bytes = text.replace('|', "\r\n").into_bytes();
    let whole = decode(&bytes, limits, bytes.len());
    for piece in 1..bytes.len() {
        assert_eq!(decode(&bytes, limits, piece), whole, "{text} by {piece}");
    }
    whole
}

/// Content, and how many bytes the body took.
fn decode(bytes: &[u8], limits: &Limits, piece: usize) -> Result<(String, usize), Refusal> {
    let mut body = Body::new(Framing::Chunked, limits);
    let (mut used, mut available, mut content) = (0, 0, Vec::new());
    loop {
        match body.step(&bytes[used..available])? {
            Part::Data(range) => {
                content.extend_from_slice(&bytes[used..][range.clone()]);
                used += range.end;
            }
            Part::End { consumed, .. } => {
                return Ok((String::from_utf8(content).unwrap(), used + consumed));
            }
            Part::More(consumed) => {
                used += consumed;
                assert!(available < bytes.len(), "the body does not end");
                available = bytes.len().min(available + piece);
            }
        }
    }
}

#[test]
fn chunks_are_joined_and_what_follows_the_body_is_left() {
    let limits = Limits::default();
    assert_eq!(check("0||", &limits), Ok((String::new(), 5)));
    assert_eq!(check("3|abc|A;x=y|0123456789|0|T: u||GET", &limits).unwrap().0, "abc0123456789");
    assert_eq!(check("1|a|0||0||", &limits), Ok(("a".to_owned(), 11)));
    assert_eq!(check("0000000000000001|a|0||", &limits).unwrap().0, "a");
}

#[test]
fn a_size_may_be_as_large_as_64_bits() {
    let mut body = Body::new(Framing::Chunked, &Limits::default());
    assert_eq!(body.step(b"ffffffffffffffff\r\nabc"), Ok(Part::Data(18..21)));
    assert_eq!(body.step(b""), Ok(Part::More(0)));
    assert!(!body.is_ended());
}

#[test]
fn extensions_are_bounded_by_the_line_and_by_the_body() {
    let limits = Limits { chunk_line_bytes: 8, extension_bytes: 10, ..Limits::default() };
    assert_eq!(check("1;abcdef|a|0||", &limits).unwrap().0, "a");
    assert_eq!(check("1;abcdefg|a|0||", &limits), Err(Refusal::ChunkLineTooLong));
    assert_eq!(check("1;abcdef|a|1;abcdef|a|0||", &limits), Err(Refusal::ChunkLineTooLong));
}

#[test]
fn trailers_are_bounded_in_bytes_and_in_number() {
    let limits = Limits { trailer_bytes: 12, fields: 2, ..Limits::default() };
    assert_eq!(
        check("0|a: b|c:d||", &Limits { trailer_bytes: 13, ..limits.clone() }).unwrap().1,
        16
    );
    assert_eq!(check("0|a: b|c:d||", &limits), Err(Refusal::TrailersTooLarge));
    assert_eq!(
        check("0|a:|c:|e:||", &Limits { trailer_bytes: 20, ..limits }),
        Err(Refusal::TooManyFields)
    );
}

#[test]
fn an_unfinished_trailer_section_is_left_where_it_is() {
    let mut body = Body::new(Framing::Chunked, &Limits::default());
    assert_eq!(body.step(b"0\r\nT: u\r\n"), Ok(Part::More(3)));
    assert_eq!(body.step(b"T: u\r\n\r\nX"), Ok(Part::End { trailers: 0..6, consumed: 8 }));
    assert!(body.is_ended());
}

#[test]
fn a_length_counts_down_to_its_end_and_no_further() {
    let mut body = Body::new(Framing::Length(5), &Limits::default());
    assert_eq!(body.step(b"abc"), Ok(Part::Data(0..3)));
    assert_eq!(body.step(b""), Ok(Part::More(0)));
    assert_eq!(body.step(b"defg"), Ok(Part::Data(0..2)));
    assert!(body.is_ended());
    assert_eq!(body.step(b"fg"), Ok(Part::End { trailers: 0..0, consumed: 0 }));
    assert!(Body::new(Framing::None, &Limits::default()).is_ended());
}
