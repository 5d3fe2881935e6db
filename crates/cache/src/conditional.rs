//! Conditional requests from both sides: what a client's conditions mean for a stored response, and
//! the conditions under which the origin is asked.
//!
//! RFC 9110, section 13; RFC 9111, sections 4.3.1 and 4.3.2.

use http::{Method, StatusCode};
use nigh_base::Wall;

use crate::{
    date,
    fields::Fields,
    freshness::single_date,
    list::{EntityTag, entity_tags, trim},
};

/// How to answer a conditional request with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As if it had no conditions.
    Proceed,
    /// With 304: the client holds it already.
    NotModified,
    /// The stored response does not meet If-Match or If-Unmodified-Since. Whether the representation
    /// meets them only its origin knows (section 13.1.1): ask there, and do not answer 412 from here.
    PreconditionFailed,
}

/// Evaluates the conditions of a request against the stored response that was selected for it, in the
/// order of RFC 9110, section 13.2.2; If-Range is for [`range_applies`]. `received` is when the
/// response was: it stands in for a missing Last-Modified and Date (RFC 9111, section 4.3.2).
/// Allocates nothing.
pub fn evaluate(
    method: &Method,
    request: &impl Fields,
    status: StatusCode,
    stored: &impl Fields,
    received: Wall,
) -> Outcome {
    // Section 13.2.1: conditions count only where the answer without them would be a success.
    if !status.is_success() || !(method == Method::GET || method == Method::HEAD) {
        return Outcome::Proceed;
    }
    let tag = stored.first("etag").and_then(EntityTag::parse);
    let modified = last_modified(stored, received);
    if let Some(matched) = tags_match(request, "if-match", tag, EntityTag::same_strongly) {
        if !matched {
            return Outcome::PreconditionFailed;
        }
    } else if let Some(since) = single_date(request, "if-unmodified-since", received)
        && modified > since
    {
        return Outcome::PreconditionFailed;
    }
    let held = match tags_match(request, "if-none-match", tag, EntityTag::same_weakly) {
        Some(matched) => matched,
        None => single_date(request, "if-modified-since", received)
            .is_some_and(|since| modified <= since),
    };
    if held { Outcome::NotModified } else { Outcome::Proceed }
}

/// Whether a request that would change what has the strong entity tag `tag` may do so, as far as its
/// If-Match says. RFC 9110, section 13.1.1.
pub fn meets_if_match(request: &impl Fields, tag: &[u8]) -> bool {
    let tag = EntityTag::parse(tag);
    tags_match(request, "if-match", tag, EntityTag::same_strongly).unwrap_or(true)
}

/// Whether any tag in the field `name` matches, or it is `*`; None if the request lacks the field.
fn tags_match<'a>(
    request: &'a impl Fields,
    name: &'static str,
    stored: Option<EntityTag<'a>>,
    same: fn(EntityTag<'a>, EntityTag<'a>) -> bool,
) -> Option<bool> {
    let mut lines = request.values(name).peekable();
    lines.peek()?;
    Some(lines.any(|line| {
        line == b"*" || stored.is_some_and(|stored| entity_tags(line).any(|tag| same(tag, stored)))
    }))
}

/// When the representation last changed, as far as the stored response tells: Last-Modified, else
/// Date, else when it was received (RFC 9111, section 4.3.2).
fn last_modified(stored: &impl Fields, received: Wall) -> Wall {
    single_date(stored, "last-modified", received)
        .or_else(|| single_date(stored, "date", received))
        .unwrap_or(received)
}

/// Whether the Range of a request applies to the stored response: it has no If-Range, or the one it
/// has matches strongly (RFC 9110, section 13.1.5). If not, the client gets the whole.
pub fn range_applies(request: &impl Fields, stored: &impl Fields) -> bool {
    let mut lines = request.values("if-range");
    let Some(condition) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    let condition = trim(condition);
    if let Some(asked) = EntityTag::parse(condition) {
        let tag = stored.first("etag").and_then(EntityTag::parse);
        return tag.is_some_and(|tag| tag.same_strongly(asked));
    }
    let Some(asked) = date::parse(condition) else { return false };
    strong_date(stored).is_some_and(|(modified, _)| modified == asked)
}

/// Last-Modified, if it can serve as a strong validator: it lies at least a second before Date, so
/// the representation did not change twice in the second it names (RFC 9110, section 8.8.2.2).
fn strong_date<F: Fields>(stored: &F) -> Option<(Wall, &[u8])> {
    let modified = single_date(stored, "last-modified", Wall::default())?;
    let date = single_date(stored, "date", Wall::default())?;
    let text = stored.first("last-modified")?;
    (date.secs() > modified.secs()).then_some((modified, text))
}

/// What a stored response is validated by, as field values to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// For If-None-Match: the entity tag as it was received, weak or strong.
    pub if_none_match: Option<&'a [u8]>,
    /// For If-Modified-Since: Last-Modified as it was received.
    pub if_modified_since: Option<&'a [u8]>,
}

impl<'a> Validators<'a> {
    /// The validators of a stored response. Both are sent where both are there (RFC 9111, 4.3.1): an
    /// origin that knows entity tags ignores the date. They take the place of the client's own
    /// conditions, which are evaluated against what comes back.
    pub fn of(stored: &'a impl Fields) -> Self {
        let valid_tag = |text: &&[u8]| EntityTag::parse(text).is_some();
        let valid_date = |text: &&[u8]| date::parse(text).is_some();
        Self {
            if_none_match: stored.first("etag").filter(valid_tag),
            if_modified_since: stored.first("last-modified").filter(valid_date),
        }
    }

    /// Whether there are none, so that the origin can only be asked for the whole.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The strong validator of a stored response: what If-Range takes when the missing parts are asked
/// for, and what two parts must share to be combined (RFC 9110, section 15.3.7.3; RFC 9111, 3.4).
pub fn strong_validator(stored: &impl Fields) -> Option<&[u8]> {
    let tag = stored.first("etag");
    match tag.and_then(EntityTag::parse) {
        Some(parsed) => tag.filter(|_| !parsed.weak),
        None => strong_date(stored).map(|(_, text)| text),
    }
}

/// Whether a stored response's field goes into a 304 that is made from it. RFC 9110, section 15.4.5
/// requires Cache-Control, Content-Location, Date, ETag, Expires and Vary; of the rest, what describes
/// content that is not sent stays away.
pub fn in_not_modified(name: &str) -> bool {
    !matches!(
        name,
        "content-encoding"
            | "content-language"
            | "content-length"
            | "content-md5"
            | "content-range"
            | "content-type"
            | "content-digest"
            | "repr-digest"
            | "accept-ranges"
            | "set-cookie"
    )
}

#[cfg(test)]
mod tests;
