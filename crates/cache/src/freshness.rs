//! For how long a response is fresh, how old it is, and what may be done with it when it is neither.
//!
//! RFC 9111, section 4.2. What reuse needs to know is worked out once, when the response arrives, and
//! kept as [`Terms`]; deciding on a request is then a few comparisons of integers.
//!
//! ```text
//! initial age   = max(response time - Date, Age + (response time - request time))     4.2.3
//! current age   = initial age + (now - response time)
//! time to live  = lifetime - current age
//! ```

mod explain;
mod sources;

use http::StatusCode;
use nigh_base::Wall;

pub use explain::Explanation;
pub(crate) use sources::single_date;

use crate::{
    directives::{
        MaxStale, RequestDirectives, ResponseDirectives, SECONDS_MAX, Source as ReadFrom,
    },
    fields::Fields,
};

/// The part of the time since Last-Modified for which a response without explicit lifetime is fresh:
/// a tenth, the fraction that section 4.2.2 names as typical.
pub const HEURISTIC_DIVISOR: u64 = 10;

/// The longest heuristic lifetime, in seconds: a day. Nobody said that the response may live so long,
/// so what changes at last is noticed within a day.
pub const HEURISTIC_MAX: u32 = 86_400;

/// How stale a response may be, in seconds, that is served because the origin cannot be reached and
/// nothing in it says otherwise: a week, enough for a long weekend without the one who has the keys.
pub const DISCONNECTED_MAX: u32 = 7 * 86_400;

/// Which rule gave a lifetime (section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lifetime {
    /// None did: the response is never fresh.
    None = 0,
    /// A tenth of the time since Last-Modified.
    Heuristic,
    /// Expires minus Date.
    Expires,
    /// max-age.
    MaxAge,
    /// s-maxage.
    SharedMaxAge,
}

impl Lifetime {
    /// All of them, by the numbers that disks keep.
    const ALL: [Self; 5] =
        [Self::None, Self::Heuristic, Self::Expires, Self::MaxAge, Self::SharedMaxAge];

    /// The rule's name, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Heuristic => "heuristic",
            Self::Expires => "expires",
            Self::MaxAge => "max-age",
            Self::SharedMaxAge => "s-maxage",
        }
    }
}

/// The terms on which a stored response may be reused. 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    response_time: Wall,
    initial_age: u32,
    lifetime: u32,
    stale_while_revalidate: u32,
    stale_if_error: u32,
    source: Lifetime,
    flags: u8,
}

const NO_CACHE: u8 = 1;
const NEVER_STALE: u8 = 2;
const IMMUTABLE: u8 = 4;
const TARGETED: u8 = 8;
const COPY: u8 = 16;

/// What may be done with a stored response for a request (section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Answer with it.
    Fresh,
    /// Answer with it: it is stale, and the client's max-stale allows that.
    Stale,
    /// Answer with it, and validate it meanwhile (RFC 5861, section 3).
    StaleWhileRevalidate,
    /// Ask the origin first.
    Validate(Reason),
}

/// Why the origin must be asked before a stored response is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The response says no-cache.
    ResponseNoCache,
    /// The request says no-cache.
    RequestNoCache,
    /// The request's max-age is exceeded.
    RequestMaxAge,
    /// The request's min-fresh is not met.
    RequestMinFresh,
    /// It is stale.
    Stale,
    /// It may have been purged without this edge having heard of it.
    PurgesUnknown,
}

impl Reason {
    /// Whether the client asked for this, not the response: `fwd=request` in Cache-Status instead of
    /// `fwd=stale` (RFC 9211, section 2.2).
    pub const fn is_the_clients(self) -> bool {
        matches!(self, Self::RequestNoCache | Self::RequestMaxAge | Self::RequestMinFresh)
    }

    /// A stable name, for Cache-Status and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResponseNoCache => "response-no-cache",
            Self::RequestNoCache => "request-no-cache",
            Self::RequestMaxAge => "request-max-age",
            Self::RequestMinFresh => "request-min-fresh",
            Self::Stale => "stale",
            Self::PurgesUnknown => "purges-unknown",
        }
    }
}

impl Terms {
    /// Bytes that they take on a disk.
    pub(crate) const BYTES: usize = 32;

    /// Their form on a disk: little-endian numbers in the order of the fields, then zeros.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.response_time.millis().to_le_bytes());
        let numbers =
            [self.initial_age, self.lifetime, self.stale_while_revalidate, self.stale_if_error];
        for (place, number) in bytes[8..24].chunks_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[24..26].copy_from_slice(&[self.source as u8, self.flags]);
        bytes
    }

    /// The terms that have this form, if there are any.
    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("in it"));
        let millis = u64::from_le_bytes(*bytes.first_chunk().expect("in it"));
        let source = Lifetime::ALL.into_iter().find(|source| *source as u8 == bytes[24])?;
        Some(Self {
            response_time: Wall::from_millis(millis),
            initial_age: word(8),
            lifetime: word(12),
            stale_while_revalidate: word(16),
            stale_if_error: word(20),
            source,
            flags: bytes[25],
        })
    }

    /// The terms of a response that was asked for at `request_time` and arrived at `response_time`.
    pub fn new(
        request_time: Wall,
        response_time: Wall,
        status: StatusCode,
        fields: &impl Fields,
        directives: &ResponseDirectives,
    ) -> Self {
        let (source, lifetime) = sources::lifetime(response_time, status, fields, directives);
        let delay = capped(response_time.since(request_time).as_secs());
        let age = sources::age_value(fields).saturating_add(delay).min(SECONDS_MAX);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        Self {
            response_time,
            initial_age: age.max(sources::apparent_age(response_time, fields)),
            lifetime,
            stale_while_revalidate: directives.stale_while_revalidate.unwrap_or(0),
            stale_if_error: directives.stale_if_error.unwrap_or(0),
            source,
            flags: flag(directives.no_cache.is_whole(), NO_CACHE)
                | flag(directives.never_stale(), NEVER_STALE)
                | flag(directives.immutable, IMMUTABLE)
                | flag(directives.source != ReadFrom::CacheControl, TARGETED),
        }
    }

    /// When the response arrived.
    pub const fn response_time(&self) -> Wall {
        self.response_time
    }

    /// How old it was on arrival, in seconds: the corrected initial age of section 4.2.3.
    pub const fn initial_age(&self) -> u32 {
        self.initial_age
    }

    /// How old it is, in seconds; what Age says in an answer (section 5.1).
    pub fn age(&self, now: Wall) -> u32 {
        let resident = capped(now.since(self.response_time).as_secs());
        self.initial_age.saturating_add(resident).min(SECONDS_MAX)
    }

    /// The same, stale since `since` at the latest, but served for `window` seconds from then while it
    /// is revalidated, if it may ever be served stale.
    pub(crate) fn outdated(self, since: Wall, window: u32) -> Self {
        let lifetime = self.lifetime.min(self.age(since));
        // What it would have allowed anyway counts from its own end.
        let rest = self.stale_while_revalidate.saturating_sub(lifetime.abs_diff(self.lifetime));
        Self { lifetime, stale_while_revalidate: rest.max(window), ..self }
    }

    /// The same, of a copy that another cache answers for: it is fresh for `most` seconds from `now` on
    /// at the longest, and then that cache is asked, whoever waits.
    #[must_use]
    pub fn copied(self, now: Wall, most: u32) -> Self {
        let lifetime = self.lifetime.min(self.age(now).saturating_add(most));
        Self { lifetime, stale_while_revalidate: 0, flags: self.flags | COPY, ..self }
    }

    /// Whether another cache answers for it: then it is not worth a place on a disk.
    pub const fn is_copy(&self) -> bool {
        self.flags & COPY != 0
    }

    /// For how long it is fresh, counted from its making, in seconds.
    pub const fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// Which rule gave the lifetime.
    pub const fn source(&self) -> Lifetime {
        self.source
    }

    /// Whether the lifetime was read in a targeted field.
    pub const fn is_targeted(&self) -> bool {
        self.flags & TARGETED != 0
    }

    /// For how long it stays fresh, in seconds; zero or less when it is stale.
    pub fn ttl(&self, now: Wall) -> i64 {
        i64::from(self.lifetime) - i64::from(self.age(now))
    }

    /// Whether it says that it must not be reused stale, whatever happens.
    pub const fn never_stale(&self) -> bool {
        self.flags & NEVER_STALE != 0
    }

    /// Whether it says no-cache: every reuse is validated.
    pub const fn no_cache(&self) -> bool {
        self.flags & NO_CACHE != 0
    }

    /// Whether it says that it does not change while fresh (RFC 8246).
    pub const fn immutable(&self) -> bool {
        self.flags & IMMUTABLE != 0
    }

    /// For how long it may be reused stale while it is validated, in seconds; zero if it may not.
    pub const fn stale_while_revalidate(&self) -> u32 {
        if self.never_stale() { 0 } else { self.stale_while_revalidate }
    }

    /// What may be done with it for a request with `asked` (section 4; request directives in 5.2.1).
    pub fn reuse(&self, asked: &RequestDirectives, now: Wall) -> Reuse {
        if self.no_cache() {
            return Reuse::Validate(Reason::ResponseNoCache);
        }
        if asked.no_cache {
            return Reuse::Validate(Reason::RequestNoCache);
        }
        // max-age=0 is how clients ask for validation; an age of zero does not get around it.
        let age = self.age(now);
        if asked.max_age.is_some_and(|most| age > most || most == 0) {
            return Reuse::Validate(Reason::RequestMaxAge);
        }
        let ttl = self.ttl(now);
        if asked.min_fresh.is_some_and(|least| ttl < i64::from(least)) {
            return Reuse::Validate(Reason::RequestMinFresh);
        }
        match ttl {
            1.. => Reuse::Fresh,
            _ if self.never_stale() => Reuse::Validate(Reason::Stale),
            _ if allowed(asked.max_stale, -ttl) => Reuse::Stale,
            _ if -ttl < i64::from(self.stale_while_revalidate) => Reuse::StaleWhileRevalidate,
            _ => Reuse::Validate(Reason::Stale),
        }
    }

    /// Whether it may be served in place of an error (a status of 500, 502, 503 or 504, or no answer)
    /// because it or the client explicitly allows that for what is stale (stale-if-error, RFC 5861,
    /// section 4), or because it is fresh by its own terms.
    pub fn may_serve_on_error(&self, asked: &RequestDirectives, now: Wall) -> bool {
        let longest = self.stale_if_error.max(asked.stale_if_error.unwrap_or(0));
        self.may_be_stale(asked) && -self.ttl(now) < i64::from(longest)
    }

    /// Whether it may be served, stale, because the origin cannot be reached: allowed by RFC 9111,
    /// section 4.2.4, unless it or the client forbids it; for [`DISCONNECTED_MAX`], or longer where
    /// stale-if-error says so.
    pub fn may_serve_disconnected(&self, asked: &RequestDirectives, now: Wall) -> bool {
        let within = -self.ttl(now) < i64::from(DISCONNECTED_MAX);
        (self.may_be_stale(asked) && within) || self.may_serve_on_error(asked, now)
    }

    fn may_be_stale(&self, asked: &RequestDirectives) -> bool {
        !self.never_stale() && !asked.no_cache
    }
}

fn allowed(max_stale: Option<MaxStale>, staleness: i64) -> bool {
    match max_stale {
        None => false,
        Some(MaxStale::Any) => true,
        Some(MaxStale::Seconds(most)) => staleness <= i64::from(most),
    }
}

fn capped(secs: u64) -> u32 {
    u32::try_from(secs).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}

#[cfg(test)]
mod tests;
