//! What a 304, or the answer to a HEAD, does to a stored response.
//!
//! RFC 9111, sections 3.2, 4.3.4 and 4.3.5. The caller works out new [`Terms`] from the merged fields
//! and asks [`storable::judge`] again: an update can make a response private.
//!
//! A 304 to a question that named one stored response and nothing else is about that response, whatever
//! validator it carries: origins that compress are known to answer `"a-gzip"` with a 304 that says
//! `"a"`. Section 4.3.4 would leave such a response alone; its ETag is never overwritten here.
//!
//! [`Terms`]: crate::freshness::Terms
//! [`storable::judge`]: crate::storable::judge

use http::{HeaderMap, StatusCode, header};
use nigh_base::Wall;

use crate::{
    directives::ResponseDirectives,
    fields::Fields,
    list::digits,
    storable::{date_value, fields_to_drop},
};

/// Fields that an update leaves as they were stored: they are about the stored content, which was not
/// sent again (RFC 9111, section 3.2; RFC 9110, section 8.8.3 for ETag, which names those bytes; RFC
/// 9530 for digests: what is stored may be in another coding than what the origin speaks of).
pub const NEVER_UPDATED: [&str; 8] = [
    "content-encoding",
    "content-length",
    "content-md5",
    "content-range",
    "etag",
    "content-digest",
    "repr-digest",
    "digest",
];

/// Replaces stored fields by those of a 304 or of the answer to a HEAD that arrived at `received`
/// (RFC 9111, section 3.2). The stored Age goes: the age now counts from this answer. If `fresh` has
/// no Date, `received` is it.
///
/// If Vary changed, the response must be filed under a new secondary key.
pub fn merge(stored: &mut HeaderMap, fresh: &HeaderMap, received: Wall) {
    let dropped = fields_to_drop(fresh, &ResponseDirectives::parse(fresh));
    stored.remove(header::AGE);
    stored.insert(header::DATE, date_value(received));
    for name in fresh.keys() {
        if dropped.contains(name) || NEVER_UPDATED.contains(&name.as_str()) {
            continue;
        }
        stored.remove(name);
        for value in fresh.get_all(name) {
            stored.append(name.clone(), value.clone());
        }
    }
}

/// What the answer to a HEAD means for a stored response to GET (section 4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It is about the same representation: [`merge`] its fields.
    Update,
    /// The representation has changed: the stored response is stale.
    Outdate,
    /// It says nothing about the stored response.
    Nothing,
}

/// Compares the answer to a HEAD with a stored 200 whose whole content has `length` bytes; None if
/// that is not known.
pub fn head(
    stored: &impl Fields,
    length: Option<u64>,
    status: StatusCode,
    fresh: &impl Fields,
) -> Head {
    if status != StatusCode::OK {
        return Head::Nothing;
    }
    let same = |name| {
        let new = fresh.first(name);
        new.is_none() || new == stored.first(name)
    };
    let same_length = match (fresh.first("content-length"), length) {
        (Some(new), Some(old)) => digits(new) == Some(old),
        (Some(_), None) => false,
        (None, _) => true,
    };
    match same("etag") && same("last-modified") && same_length {
        true => Head::Update,
        false => Head::Outdate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::map;

    type Lines<'a> = &'a [(&'static str, &'a str)];

    const RECEIVED: Wall = Wall::from_secs(1_794_960_000);
    const LM: (&str, &str) = ("last-modified", "Wed, 01 Jan 2020 00:00:00 GMT");

    #[test]
    fn an_update_never_touches_what_describes_the_stored_content() {
        for name in NEVER_UPDATED {
            let mut stored = map(&[(name, "old"), ("x", "old")]);
            merge(&mut stored, &map(&[(name, "new"), ("x", "new")]), RECEIVED);
            assert_eq!(
                (&stored[name], &stored["x"]),
                (&"old".parse().unwrap(), &"new".parse().unwrap())
            );
        }
    }

    #[test]
    fn an_update_replaces_every_line_and_keeps_what_is_not_named() {
        let mut stored = map(&[
            ("a", "1"),
            ("b", "1"),
            ("b", "2"),
            ("age", "7200"),
            ("date", "Wed, 01 Jan 2020 00:00:00 GMT"),
        ]);
        let fresh = [
            ("b", "3"),
            ("b", "4"),
            ("content-type", "text/html"),
            ("connection", "c"),
            ("c", "1"),
            ("keep-alive", "x"),
            ("cache-control", "private=\"d\""),
            ("d", "1"),
        ];
        merge(&mut stored, &map(&fresh), RECEIVED);
        let expected = map(&[
            ("a", "1"),
            ("b", "3"),
            ("b", "4"),
            ("content-type", "text/html"),
            ("cache-control", "private=\"d\""),
            ("date", "Wed, 18 Nov 2026 00:00:00 GMT"),
        ]);
        assert_eq!(stored, expected);
    }

    #[test]
    fn a_head_updates_the_same_representation_and_outdates_another() {
        let stored: Lines<'_> = &[("etag", "\"a\""), LM];
        for (status, fresh, expected) in [
            (200, &[][..] as Lines<'_>, Head::Update),
            (200, &[("etag", "\"a\""), ("content-length", "5")], Head::Update),
            (200, &[("etag", "\"b\"")], Head::Outdate),
            (200, &[("last-modified", "Thu, 02 Jan 2020 00:00:00 GMT")], Head::Outdate),
            (200, &[("content-length", "6")], Head::Outdate),
            (410, &[("etag", "\"b\"")], Head::Nothing),
            (304, &[], Head::Nothing),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let found = head(&map(stored), Some(5), status, &map(fresh));
            assert_eq!(found, expected, "{status} {fresh:?}");
        }
    }
}
