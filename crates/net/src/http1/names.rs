//! The field names that the edge asks for by itself, told apart by one hash and one comparison.

/// Declares [`Name`]; the hash below is perfect for exactly this list, which the compiler checks.
macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A field name that nigh looks at. Others are carried, never judged.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
        }

        impl Name {
            const ALL: &[(Self, &'static str)] = &[$((Self::$variant, $text),)*];
        }
    };
}

names! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    Authorization = "authorization",
    CacheControl = "cache-control",
    CdnLoop = "cdn-loop",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentType = "content-type",
    Cookie = "cookie",
    EarlyData = "early-data",
    Expect = "expect",
    Forwarded = "forwarded",
    Host = "host",
    IfMatch = "if-match",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    IfUnmodifiedSince = "if-unmodified-since",
    KeepAlive = "keep-alive",
    MaxForwards = "max-forwards",
    Origin = "origin",
    Pragma = "pragma",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    Range = "range",
    Te = "te",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Via = "via",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedProto = "x-forwarded-proto",
}

/// How many names there are.
pub(super) const COUNT: usize = Name::ALL.len();

impl Name {
    /// The name that `text` is, in whatever case; a hash and at most one comparison.
    #[inline]
    pub fn of(text: &[u8]) -> Option<Self> {
        let (&first, &last) = (text.first()?, text.last()?);
        let (name, known) = TABLE[slot(text.len(), first, last)]?;
        text.eq_ignore_ascii_case(known.as_bytes()).then_some(name)
    }

    /// The name in lower case.
    pub fn text(self) -> &'static str {
        Self::ALL[usize::from(self as u8)].1
    }
}

/// A set of names: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present(u64);

impl Present {
    /// The set of these names; `const`, so that a path's questions are one mask.
    pub const fn of(names: &[Name]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < names.len() {
            bits |= 1 << names[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether `name` is in the set.
    #[inline]
    pub const fn has(self, name: Name) -> bool {
        self.0 & (1 << name as u8) != 0
    }

    /// Whether any name of `other` is in the set.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(super) fn add(&mut self, name: Name) {
        self.0 |= 1 << name as u8;
    }
}

const SLOTS: usize = 128;
const TABLE: [Option<(Name, &str)>; SLOTS] = table();

/// Factors found by search; letters are taken without their case bit, and no name begins or ends
/// with anything else.
const fn slot(len: usize, first: u8, last: u8) -> usize {
    (len + 4 * (first | 0x20) as usize + 24 * (last | 0x20) as usize) % SLOTS
}

const fn table() -> [Option<(Name, &'static str)>; SLOTS] {
    let mut table = [None; SLOTS];
    let mut at = 0;
    while at < COUNT {
        let (name, text) = Name::ALL[at];
        let bytes = text.as_bytes();
        let slot = slot(bytes.len(), bytes[0], bytes[bytes.len() - 1]);
        assert!(table[slot].is_none(), "two names share a slot: search for other factors");
        table[slot] = Some((name, text));
        at += 1;
    }
    assert!(COUNT <= u64::BITS as usize, "a set of names is one word");
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_else_is() {
        for &(name, text) in Name::ALL {
            assert_eq!(Name::of(text.as_bytes()), Some(name));
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), Some(name));
            assert_eq!(Name::of(text.replace('-', "_").as_bytes()).is_none(), text.contains('-'));
            assert_eq!(name.text(), text);
        }
        for other in ["", "x", "hots", "x-te", "content-length "] {
            assert_eq!(Name::of(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn a_set_of_names_answers_for_one_and_for_many() {
        const ASKED: Present = Present::of(&[Name::Range, Name::XForwardedProto]);
        assert!(ASKED.has(Name::Range));
        assert!(!ASKED.has(Name::Te));
        assert!(ASKED.intersects(Present::of(&[Name::Te, Name::Range])));
        assert!(!ASKED.intersects(Present::default()));
    }
}
