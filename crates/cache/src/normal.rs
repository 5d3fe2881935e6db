//! Accept-Encoding, brought down to what matters: which of the codings that servers use are welcome.
//!
//! RFC 9110, section 12.5.3. Browsers, tools and crawlers write the same wish in many ways; without
//! this step each way would be a variant of its own. For the same reason nigh sends its origin the
//! normal form ([`Codings::field`]): a response must never be chosen by something that the secondary
//! key does not hold.

use std::ops::BitOr;

use crate::{
    fields::Fields,
    list::{elements, same_token, split, trim},
};

/// A set of content codings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Codings(u8);

impl Codings {
    /// The content as it is, in no coding.
    pub const IDENTITY: Self = Self(1);
    /// gzip, and its old name x-gzip.
    pub const GZIP: Self = Self(2);
    /// Brotli.
    pub const BR: Self = Self(4);
    /// Zstandard.
    pub const ZSTD: Self = Self(8);

    const KNOWN: [(&[u8], Self); 5] = [
        (b"gzip", Self::GZIP),
        (b"x-gzip", Self::GZIP),
        (b"br", Self::BR),
        (b"zstd", Self::ZSTD),
        (b"identity", Self::IDENTITY),
    ];

    /// What a request accepts; None if it does not say, which is not the same as identity alone.
    /// Allocates nothing.
    pub fn accepted(fields: &impl Fields) -> Option<Self> {
        let mut lines = fields.values("accept-encoding").peekable();
        lines.peek()?;
        let (mut welcome, mut refused, mut rest) = (Self::default(), Self::default(), None);
        for (name, weight) in lines.flat_map(elements).map(weighted) {
            // Nobody is sent what they may not have wanted.
            let weight = weight.unwrap_or(0);
            let known = Self::KNOWN.iter().find(|(known, _)| same_token(known, name));
            match known {
                Some(&(_, coding)) if weight > 0 => welcome = welcome | coding,
                Some(&(_, coding)) => refused = refused | coding,
                None if name == b"*" => rest = Some(weight > 0),
                None => {}
            }
        }
        let all = Self::IDENTITY | Self::GZIP | Self::BR | Self::ZSTD;
        let unnamed = Self(all.0 & !(welcome.0 | refused.0));
        Some(match rest {
            Some(true) => welcome | unnamed,
            Some(false) => welcome,
            // Identity is welcome unless it is refused; other codings only by name.
            None => Self(welcome.0 | (unnamed.0 & Self::IDENTITY.0)),
        })
    }

    /// What is left of the codings that a request accepts for a server that has each response as it is
    /// and in `offered`, and nothing else: the one of `offered` that is most welcome, the first of
    /// equals, unless the content as it is is more so; and with it the content as it is, if that is
    /// welcome at all. Allocates nothing.
    pub fn narrowed(fields: &impl Fields, offered: &[Self]) -> Self {
        let mut weights: [Option<u16>; 4] = [None; 4];
        let mut rest = None;
        let place = |coding: Self| coding.0.trailing_zeros() as usize;
        for (name, weight) in fields.values("accept-encoding").flat_map(elements).map(weighted) {
            let weight = weight.unwrap_or(0);
            match Self::KNOWN.iter().find(|(known, _)| same_token(known, name)) {
                Some(&(_, coding)) => {
                    // As `accepted` has it: welcome once is welcome.
                    let held = &mut weights[place(coding)];
                    *held = Some(held.map_or(weight, |held| held.max(weight)));
                }
                None if name == b"*" => rest = Some(weight),
                None => {}
            }
        }
        let weight = |coding: Self| weights[place(coding)].or(rest);
        // Nobody prefers what they do not mention.
        let as_it_is = weight(Self::IDENTITY);
        let mut best = (as_it_is.unwrap_or(0).max(1), Self::default());
        for &coding in offered {
            let weight = weight(coding).unwrap_or(0);
            if weight > best.0 || (weight == best.0 && best.1 == Self::default()) {
                best = (weight, coding);
            }
        }
        let welcome = if as_it_is == Some(0) { Self::default() } else { Self::IDENTITY };
        best.1 | welcome
    }

    /// Whether all of `other` are in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set as one byte, different for different sets.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set as a field value to send to an origin, best compression first.
    pub const fn field(self) -> &'static str {
        match (self.0 >> 1, self.contains(Self::IDENTITY)) {
            (0, true) => "identity",
            (1, true) => "gzip",
            (2, true) => "br",
            (3, true) => "br, gzip",
            (4, true) => "zstd",
            (5, true) => "zstd, gzip",
            (6, true) => "zstd, br",
            (_, true) => "zstd, br, gzip",
            (0, false) => "identity;q=0",
            (1, false) => "gzip, identity;q=0",
            (2, false) => "br, identity;q=0",
            (3, false) => "br, gzip, identity;q=0",
            (4, false) => "zstd, identity;q=0",
            (5, false) => "zstd, gzip, identity;q=0",
            (6, false) => "zstd, br, identity;q=0",
            (_, false) => "zstd, br, gzip, identity;q=0",
        }
    }
}

impl BitOr for Codings {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An element of an Accept field: what stands before the first `;`, and its weight in thousandths
/// (RFC 9110, section 12.4.2). The weight is None when what is written is none.
pub(crate) fn weighted(element: &[u8]) -> (&[u8], Option<u16>) {
    let mut parts = split(element, b';');
    let name = parts.next().unwrap_or_default();
    let weight = parts
        .filter(|part| !part.is_empty())
        .find_map(|part| match part {
            [b'q' | b'Q', rest @ ..] => trim(rest).strip_prefix(b"=").map(trim),
            _ => None,
        })
        .map_or(Some(1000), thousandths);
    (name, weight)
}

/// A qvalue: `0`, `0.5`, `1.000`.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text.split_first()? {
        (b'0', rest) => (0, rest),
        (b'1', rest) => (1000, rest),
        _ => return None,
    };
    let digits = match fraction {
        [] => &[],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut sum = 0u16;
    for at in 0..3 {
        let digit = digits.get(at).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        sum = sum * 10 + u16::from(digit - b'0');
    }
    (whole + sum <= 1000).then_some(whole + sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::map;

    fn field(lines: &[&str]) -> Option<&'static str> {
        let lines: Vec<_> = lines.iter().map(|line| ("accept-encoding", *line)).collect();
        Codings::accepted(&map(&lines)).map(Codings::field)
    }

    #[test]
    fn the_same_wish_written_in_many_ways_is_one() {
        for lines in [
            &["gzip, deflate, br"][..],
            &["br;q=1.0, gzip;q=0.8, *;q=0.1, zstd;q=0"],
            &["GZIP", "Br"],
            &["x-gzip,br,,compress"],
        ] {
            assert_eq!(field(lines), Some("br, gzip"), "{lines:?}");
        }
    }

    #[test]
    fn silence_emptiness_and_refusal_differ() {
        for (lines, expected) in [
            (&[][..], None),
            (&[""], Some("identity")),
            (&["gzip;q=0"], Some("identity")),
            (&["*"], Some("zstd, br, gzip")),
            (&["*;q=0"], Some("identity;q=0")),
            (&["gzip, *;q=0"], Some("gzip, identity;q=0")),
            (&["gzip, identity; q=0"], Some("gzip, identity;q=0")),
            (&["gzip;q=x"], Some("identity")),
            (&["gzip;q=0.001"], Some("gzip")),
            (&["gzip;q=1.5"], Some("identity")),
        ] {
            assert_eq!(field(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_server_of_few_codings_sees_the_one_that_is_most_welcome() {
        let offered = [Codings::ZSTD, Codings::BR, Codings::GZIP];
        for (lines, expected) in [
            (&[][..], "identity"),
            (&[""], "identity"),
            (&["gzip, deflate, br, zstd"], "zstd"),
            (&["gzip, deflate, br"], "br"),
            (&["gzip", "br;q=0.5"], "gzip"),
            (&["*"], "zstd"),
            (&["*;q=0.5, br;q=0"], "zstd"),
            (&["*, zstd;q=0.1"], "br"),
            (&["gzip;q=0.5, identity"], "identity"),
            (&["gzip;q=0.001"], "gzip"),
            (&["gzip, identity;q=0"], "gzip, identity;q=0"),
            (&["gzip, *;q=0"], "gzip, identity;q=0"),
            (&["identity;q=0"], "identity;q=0"),
            (&["deflate"], "identity"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("accept-encoding", *line)).collect();
            let narrowed = Codings::narrowed(&map(&lines), &offered);
            assert_eq!(narrowed.field(), expected, "{lines:?}");
        }
        let none = map(&[("accept-encoding", "gzip")]);
        assert_eq!(Codings::narrowed(&none, &[Codings::BR]).field(), "identity");
    }

    #[test]
    fn every_set_has_a_field_that_reads_back_as_it() {
        for bits in 0..16 {
            let set = Codings(bits);
            let found = Codings::accepted(&map(&[("accept-encoding", set.field())]));
            assert_eq!(found, Some(set), "{}", set.field());
        }
    }
}
