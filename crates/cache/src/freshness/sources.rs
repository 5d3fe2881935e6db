//! Where lifetime and age are read: the fields of the response. RFC 9111, sections 4.2.1 to 4.2.3.

use http::StatusCode;
use nigh_base::Wall;

use super::{HEURISTIC_DIVISOR, HEURISTIC_MAX, Lifetime, capped};
use crate::{
    date,
    directives::{ResponseDirectives, SECONDS_MAX, Source, pragma_no_cache},
    fields::Fields,
    list::{digits, trim},
    storable,
};

/// The freshness lifetime and the rule that gave it (section 4.2.1): s-maxage, max-age, Expires minus
/// Date, a tenth of the time since Last-Modified, in this order.
pub(super) fn lifetime(
    response_time: Wall,
    status: StatusCode,
    fields: &impl Fields,
    directives: &ResponseDirectives,
) -> (Lifetime, u32) {
    if let Some(secs) = directives.s_maxage {
        return (Lifetime::SharedMaxAge, secs);
    }
    if let Some(secs) = directives.max_age {
        return (Lifetime::MaxAge, secs);
    }
    let date = single_date(fields, "date", response_time).unwrap_or(response_time).secs();
    if directives.source == Source::CacheControl && fields.first("expires").is_some() {
        // Invalid, or on several lines: already expired (sections 4.2.1 and 5.3).
        let expires = single_date(fields, "expires", response_time).map_or(0, Wall::secs);
        return (Lifetime::Expires, capped(expires.saturating_sub(date)));
    }
    let heuristic = directives.public || storable::heuristically_cacheable(status);
    let modified = single_date(fields, "last-modified", response_time);
    match modified {
        Some(modified) if heuristic && !pragma_no_cache(fields) => {
            let tenth = date.saturating_sub(modified.secs()) / HEURISTIC_DIVISOR;
            (Lifetime::Heuristic, capped(tenth).min(HEURISTIC_MAX))
        }
        _ => (Lifetime::None, 0),
    }
}

/// The date in the field `name`; None if it is absent, invalid, or there are two.
pub(crate) fn single_date(fields: &impl Fields, name: &'static str, now: Wall) -> Option<Wall> {
    let mut lines = fields.values(name);
    let first = lines.next()?;
    lines.next().is_none().then(|| date::parse_at(first, now)).flatten()
}

/// How far Date lies before the arrival; zero without a valid Date (section 4.2.3).
pub(super) fn apparent_age(response_time: Wall, fields: &impl Fields) -> u32 {
    single_date(fields, "date", response_time)
        .map_or(0, |date| capped(response_time.since(date).as_secs()))
}

/// What Age says (section 5.1); [`SECONDS_MAX`] when it is there and cannot be trusted.
///
/// Of a list the first member counts. Several lines, or a list as an intermediary joins several lines
/// (with a space behind the comma), come from two caches that each wrote their own: which of them is
/// right is unknown, and so is the age. Section 5.1 would also let a cache ignore an invalid value;
/// taking the response for stale errs on the side of asking once more.
pub(super) fn age_value(fields: &impl Fields) -> u32 {
    let mut lines = fields.values("age");
    let Some(line) = lines.next() else { return 0 };
    let comma = line.iter().position(|&byte| byte == b',');
    let joined = comma.is_some_and(|at| matches!(line.get(at + 1), Some(b' ' | b'\t')));
    if joined || lines.next().is_some() {
        return SECONDS_MAX;
    }
    digits(trim(&line[..comma.unwrap_or(line.len())])).map_or(SECONDS_MAX, capped)
}
