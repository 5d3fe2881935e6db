//! Where a request's content ends: RFC 9112, section 6, with no room for a second opinion.

use super::{Refusal, Version, grammar};

/// How a request's content is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// This many bytes; zero if the client said so.
    Length(u64),
    /// The chunked coding tells.
    Chunked,
}

/// The fields that frame, gathered in one walk over a head.
#[derive(Debug, Default)]
pub(super) struct Framed<'b> {
    length: Option<&'b [u8]>,
    lengths: usize,
    coding: Option<&'b [u8]>,
    codings: usize,
    /// Whether each line of Transfer-Encoding before the last was a list of codings other than
    /// chunked.
    beneath_are_others: bool,
}

impl<'b> Framed<'b> {
    /// Takes note of one line of Content-Length.
    pub(super) fn length(&mut self, value: &'b [u8]) {
        self.length = Some(value);
        self.lengths += 1;
    }

    /// Takes note of one line of Transfer-Encoding.
    pub(super) fn coding(&mut self, value: &'b [u8]) {
        let before = self.coding.replace(value);
        let others = before.is_none_or(|before| coding(before) == Coding::Others);
        self.beneath_are_others = others && (self.codings == 0 || self.beneath_are_others);
        self.codings += 1;
    }

    /// Section 6.3, for requests.
    #[inline]
    pub(super) fn decide(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.length, self.coding) {
            (None, None) => Ok(Framing::None),
            (Some(_), None) if self.lengths > 1 => Err(Refusal::LengthRepeated),
            (Some(length), None) => number(length).map(Framing::Length),
            (Some(_), Some(_)) => Err(Refusal::LengthBesideCoding),
            (None, Some(_)) if version == Version::Http10 => Err(Refusal::CodingInOldVersion),
            (None, Some(last)) => match coding(last) {
                Coding::Chunked if self.codings == 1 => Ok(Framing::Chunked),
                Coding::Chunked | Coding::OthersThenChunked if self.beneath_are_others => {
                    Err(Refusal::CodingUnsupported)
                }
                _ => Err(Refusal::CodingInvalid),
            },
        }
    }
}

/// RFC 9110, section 8.6: digits and nothing else. A sign, a list or an empty value is refused, and
/// so is what 64 bits do not hold.
fn number(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() {
        return Err(Refusal::LengthInvalid);
    }
    value.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        digit
            .and_then(|digit| sum.checked_mul(10)?.checked_add(digit))
            .ok_or(Refusal::LengthInvalid)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// Exactly `chunked`.
    Chunked,
    /// Well-formed codings without chunked among them.
    Others,
    /// Well-formed codings, then `chunked` once, last.
    OthersThenChunked,
    /// Anything else.
    Malformed,
}

/// Reads one line of Transfer-Encoding. Empty elements and parameters are malformed: no sender
/// that means well writes them, and readers differ on them.
fn coding(value: &[u8]) -> Coding {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Coding::Chunked;
    }
    let mut ended = false;
    for element in value.split(|&byte| byte == b',').map(grammar::trimmed) {
        if ended || element.is_empty() || !element.iter().all(|&byte| grammar::is_token(byte)) {
            return Coding::Malformed;
        }
        ended = element.eq_ignore_ascii_case(b"chunked");
    }
    if ended { Coding::OthersThenChunked } else { Coding::Others }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lengths: &[&str], codings: &[&str]) -> Result<Framing, Refusal> {
        let mut framed = Framed::default();
        lengths.iter().for_each(|value| framed.length(value.as_bytes()));
        codings.iter().for_each(|value| framed.coding(value.as_bytes()));
        framed.decide(Version::Http11)
    }

    #[test]
    fn a_length_is_digits_on_one_line() {
        assert_eq!(check(&[], &[]), Ok(Framing::None));
        assert_eq!(check(&["0"], &[]), Ok(Framing::Length(0)));
        assert_eq!(check(&["007"], &[]), Ok(Framing::Length(7)));
        assert_eq!(check(&["18446744073709551615"], &[]), Ok(Framing::Length(u64::MAX)));
        for value in ["", "+5", "-5", "5,5", "5 5", "0x5", "5.0", "18446744073709551616", "٥"] {
            assert_eq!(check(&[value], &[]), Err(Refusal::LengthInvalid), "{value}");
        }
        assert_eq!(check(&["5", "5"], &[]), Err(Refusal::LengthRepeated));
        assert_eq!(check(&["5"], &["chunked"]), Err(Refusal::LengthBesideCoding));
    }

    #[test]
    fn chunked_is_the_only_coding_and_others_beneath_it_are_not_implemented() {
        assert_eq!(check(&[], &["Chunked"]), Ok(Framing::Chunked));
        for codings in [&["gzip, chunked"][..], &["gzip", "chunked"], &["a", "b,c", "d ,\tchunked"]]
        {
            assert_eq!(check(&[], codings), Err(Refusal::CodingUnsupported), "{codings:?}");
        }
        for codings in [
            &[""][..],
            &["gzip"],
            &["xchunked"],
            &["chunked, gzip"],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["chunked", "gzip", "chunked"],
            &["chunked", "gzip"],
            &["chunked,"],
            &[",chunked"],
            &["chunked;q=1"],
            &["\"chunked\""],
            &["gzip", "", "chunked"],
            &["a;b, chunked"],
        ] {
            assert_eq!(check(&[], codings), Err(Refusal::CodingInvalid), "{codings:?}");
        }
    }
}
