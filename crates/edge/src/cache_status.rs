//! The Cache-Status field: what this cache did with the request, and why. RFC 9211.

use std::fmt;

/// The name that nigh's member carries, when no other is set. RFC 9211, section 2.
pub const NAME: &str = "nigh";

/// Why a request went on to the origin. RFC 9211, section 2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The cache was set not to handle it.
    Bypass,
    /// The method is one that must reach the origin.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// Something is, but no variant that these fields select.
    VaryMiss,
    /// The request's own directives ask for it.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is only a part of what was asked for.
    Partial,
}

impl Forward {
    /// The token of RFC 9211.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// What became of a request, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from the store.
    Hit,
    /// Answered from the store, with what was stale.
    StaleHit,
    /// Went on to the origin.
    Forwarded(Forward),
    /// Answered in our own name.
    Own,
}

impl Outcome {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Hit,
        Self::StaleHit,
        Self::Forwarded(Forward::Bypass),
        Self::Forwarded(Forward::Method),
        Self::Forwarded(Forward::UriMiss),
        Self::Forwarded(Forward::VaryMiss),
        Self::Forwarded(Forward::Request),
        Self::Forwarded(Forward::Stale),
        Self::Forwarded(Forward::Partial),
        Self::Own,
    ];

    /// Its place in [`Self::ALL`].
    pub const fn number(self) -> usize {
        match self {
            Self::Hit => 0,
            Self::StaleHit => 1,
            Self::Forwarded(why) => 2 + why as usize,
            Self::Own => 9,
        }
    }

    /// A stable word: RFC 9211's token where it has one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::StaleHit => "stale-hit",
            Self::Forwarded(why) => why.as_str(),
            Self::Own => "own",
        }
    }
}

/// What happened to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Why it was forwarded; `None` for a hit or an answer of our own.
    pub forward: Option<Forward>,
    /// Answered from the store without asking the origin.
    pub hit: bool,
    /// The status that the origin gave, where it differs from what the client gets.
    pub forward_status: Option<u16>,
    /// Seconds of freshness left; negative when stale.
    pub ttl: Option<i64>,
    /// The response went into the store.
    pub stored: bool,
    /// The request waited for another one's fetch.
    pub collapsed: bool,
    /// More, for people: why it was not stored, or why it was answered stale.
    pub detail: Option<&'static str>,
}

impl CacheStatus {
    /// Neither hit nor forwarded: an answer of our own.
    pub const EMPTY: Self = Self {
        forward: None,
        hit: false,
        forward_status: None,
        ttl: None,
        stored: false,
        collapsed: false,
        detail: None,
    };

    /// Answered from the store.
    pub const fn hit(ttl: i64) -> Self {
        Self { hit: true, ttl: Some(ttl), ..Self::EMPTY }
    }

    /// Went on to the origin.
    pub const fn forwarded(why: Forward) -> Self {
        Self { forward: Some(why), ..Self::EMPTY }
    }

    /// What became of a request, for whoever counts: how the cache answered it, or why it did not.
    pub fn outcome(&self) -> Outcome {
        match (self.hit, self.forward) {
            (true, _) if self.ttl.is_some_and(|ttl| ttl <= 0) => Outcome::StaleHit,
            (true, _) => Outcome::Hit,
            (false, Some(why)) => Outcome::Forwarded(why),
            (false, None) => Outcome::Own,
        }
    }

    /// The same, with a detail.
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Appends the field's value to `out`, of the cache called `name`. Allocates only when `out` must
    /// grow.
    pub fn write(&self, name: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        if self.hit {
            out.extend_from_slice(b"; hit");
        }
        if let Some(why) = self.forward {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(why.as_str().as_bytes());
        }
        if let Some(status) = self.forward_status {
            out.extend_from_slice(b"; fwd-status=");
            write_number(i64::from(status), out);
        }
        if let Some(ttl) = self.ttl {
            out.extend_from_slice(b"; ttl=");
            write_number(ttl, out);
        }
        if self.stored {
            out.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(detail.as_bytes());
        }
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(NAME.as_bytes(), &mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

/// Appends a decimal number without allocating.
pub fn write_number(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_number_and_a_word_of_its_own() {
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.number(), number, "{outcome:?}");
            let same = Outcome::ALL.iter().filter(|other| other.as_str() == outcome.as_str());
            assert_eq!(same.count(), 1, "{outcome:?}");
        }
    }

    #[test]
    fn a_hit_whose_time_is_over_is_a_stale_one() {
        assert_eq!(CacheStatus::hit(5).outcome(), Outcome::Hit);
        assert_eq!(CacheStatus::hit(0).outcome(), Outcome::StaleHit);
        assert_eq!(CacheStatus::EMPTY.outcome(), Outcome::Own);
        let forwarded = CacheStatus::forwarded(Forward::Partial);
        assert_eq!(forwarded.outcome(), Outcome::Forwarded(Forward::Partial));
    }

    #[test]
    fn a_hit_says_how_long_it_stays_fresh() {
        assert_eq!(CacheStatus::hit(3599).to_string(), "nigh; hit; ttl=3599");
        assert_eq!(
            CacheStatus::hit(-30).detail("stale").to_string(),
            "nigh; hit; ttl=-30; detail=stale"
        );
    }

    #[test]
    fn a_forwarded_request_says_why_and_what_became_of_it() {
        let status = CacheStatus {
            forward_status: Some(304),
            stored: true,
            collapsed: true,
            ..CacheStatus::forwarded(Forward::Stale)
        };
        assert_eq!(status.to_string(), "nigh; fwd=stale; fwd-status=304; stored; collapsed");
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, -1, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
