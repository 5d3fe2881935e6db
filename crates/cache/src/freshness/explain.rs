//! The sum behind a time to live, as data, for people who ask why.

use nigh_base::Wall;

use super::{Lifetime, Terms, capped, sources};
use crate::fields::Fields;

impl Terms {
    /// The sum behind [`Self::ttl`], as data. `fields` are the stored ones.
    pub fn explain(&self, fields: &impl Fields, now: Wall) -> Explanation {
        let (age_value, apparent_age) =
            (sources::age_value(fields), sources::apparent_age(self.response_time, fields));
        Explanation {
            source: self.source,
            targeted: self.is_targeted(),
            lifetime: self.lifetime,
            age_value,
            apparent_age,
            response_delay: match self.initial_age > apparent_age {
                true => self.initial_age.saturating_sub(age_value),
                false => 0,
            },
            initial_age: self.initial_age,
            resident: capped(now.since(self.response_time).as_secs()),
            age: self.age(now),
            ttl: self.ttl(now),
            stale_while_revalidate: self.stale_while_revalidate(),
            stale_if_error: if self.never_stale() { 0 } else { self.stale_if_error },
            never_stale: self.never_stale(),
            no_cache: self.no_cache(),
        }
    }
}

/// The parts of a response's freshness, in seconds (RFC 9111, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Which rule gave the lifetime.
    pub source: Lifetime,
    /// Whether it was read in a targeted field.
    pub targeted: bool,
    /// The freshness lifetime.
    pub lifetime: u32,
    /// What Age said on arrival.
    pub age_value: u32,
    /// How long before its arrival Date lay.
    pub apparent_age: u32,
    /// How long the origin took to answer, as far as that made the response older.
    pub response_delay: u32,
    /// The age on arrival.
    pub initial_age: u32,
    /// How long it has been here.
    pub resident: u32,
    /// Its age now.
    pub age: u32,
    /// What is left of the lifetime.
    pub ttl: i64,
    /// For how long it may be reused stale while it is validated.
    pub stale_while_revalidate: u32,
    /// For how long it may be reused stale when the origin fails.
    pub stale_if_error: u32,
    /// Whether it must never be reused stale.
    pub never_stale: bool,
    /// Whether every reuse is validated.
    pub no_cache: bool,
}
