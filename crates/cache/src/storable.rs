//! Whether a response may be kept by a shared cache, and which of its fields.
//!
//! RFC 9111, section 3, with what the product adds on top: a response that nothing could ever reuse is
//! not kept, and neither is one with Set-Cookie unless it says that it is for everybody ([`Cookies`]).

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use nigh_base::Wall;

use crate::{
    date,
    directives::{RequestDirectives, ResponseDirectives, Source},
    fields::Fields,
    freshness::Terms,
    invalidate::Target,
    list::{EntityTag, elements, same_token},
    range::ContentRange,
    vary::Vary,
};

/// What the rules need to know of the request as it went to the origin.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target URI.
    pub target: Target<'a>,
    /// Its Cache-Control.
    pub directives: RequestDirectives,
    /// Whether it carried Authorization.
    pub authorized: bool,
    /// Whether it carried content, or offered another protocol: what came back answers that, and no
    /// plain request.
    pub has_content: bool,
}

/// When a response with Set-Cookie may be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cookies {
    /// When it says public. The default: cookies are nearly always one person's.
    #[default]
    IfPublic,
    /// When it says public, or for how long it is fresh: what RFC 9111, section 7.3 allows.
    IfExplicit,
}

/// Why a response is not kept. The names are stable: they appear in Cache-Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyNot {
    /// The method's responses are not kept, or this one lacks what it takes.
    #[error("method")]
    Method,
    /// The request says no-store.
    #[error("request-no-store")]
    RequestNoStore,
    /// The response says no-store.
    #[error("no-store")]
    NoStore,
    /// The response says private.
    #[error("private")]
    Private,
    /// The request carried Authorization, and the response does not allow sharing.
    #[error("authorization")]
    Authorization,
    /// The response sets a cookie, and does not allow sharing.
    #[error("set-cookie")]
    SetCookie,
    /// The response varies on something that is not in the request.
    #[error("vary-star")]
    VaryStar,
    /// The status is interim, or answers the conditions of this one request.
    #[error("status-not-final")]
    StatusNotFinal,
    /// The standard that defines the status forbids keeping it, or what it is about is not kept.
    #[error("status-never-stored")]
    StatusNeverStored,
    /// The response says must-understand, and the status is none we know.
    #[error("status-not-understood")]
    StatusNotUnderstood,
    /// A 206 that holds several ranges.
    #[error("partial-multiple")]
    PartialMultiple,
    /// A 206 whose Content-Range does not say clearly what it holds.
    #[error("partial-unclear")]
    PartialUnclear,
    /// Nothing says that a response of this status may be kept.
    #[error("no-freshness")]
    NoFreshness,
    /// It is not fresh, and could not be validated either.
    #[error("no-freshness-and-no-validator")]
    NoFreshnessAndNoValidator,
    /// It is an error, and a stored response may still be served in its place.
    #[error("stale-stands")]
    StaleStands,
    /// It is longer than the store keeps, or there is no room.
    #[error("no-room")]
    NoRoom,
    /// Its ranges do not belong together for certain, so it is not kept in slices.
    #[error("no-slices")]
    NoSlices,
    /// Its path names a file of another type: it may be one person's page under a made-up name.
    #[error("unexpected-type")]
    UnexpectedType,
    /// It is long, and only its head was asked for. The next GET's response may well be kept.
    #[error("head-only")]
    HeadOnly,
}

impl WhyNot {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 19] = [
        Self::Method,
        Self::RequestNoStore,
        Self::NoStore,
        Self::Private,
        Self::Authorization,
        Self::SetCookie,
        Self::VaryStar,
        Self::StatusNotFinal,
        Self::StatusNeverStored,
        Self::StatusNotUnderstood,
        Self::PartialMultiple,
        Self::PartialUnclear,
        Self::NoFreshness,
        Self::NoFreshnessAndNoValidator,
        Self::StaleStands,
        Self::NoRoom,
        Self::NoSlices,
        Self::UnexpectedType,
        Self::HeadOnly,
    ];

    /// Whether the request is the reason: the next one's response may well be kept.
    pub const fn is_the_requests(self) -> bool {
        matches!(self, Self::Method | Self::RequestNoStore | Self::Authorization)
    }

    /// Whether the next response is likely to be no different: the origin said so of this one.
    pub const fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::NoStore
                | Self::Private
                | Self::SetCookie
                | Self::VaryStar
                | Self::NoFreshness
                | Self::NoFreshnessAndNoValidator
                | Self::NoRoom
                | Self::UnexpectedType
        )
    }

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryStar => "vary-star",
            Self::StatusNotFinal => "status-not-final",
            Self::StatusNeverStored => "status-never-stored",
            Self::StatusNotUnderstood => "status-not-understood",
            Self::PartialMultiple => "partial-multiple",
            Self::PartialUnclear => "partial-unclear",
            Self::NoFreshness => "no-freshness",
            Self::NoFreshnessAndNoValidator => "no-freshness-and-no-validator",
            Self::StaleStands => "stale-stands",
            Self::NoRoom => "no-room",
            Self::NoSlices => "no-slices",
            Self::UnexpectedType => "unexpected-type",
            Self::HeadOnly => "head-only",
        }
    }
}

/// Whether a shared cache may keep a response (RFC 9111, section 3). `terms` are the response's.
///
/// # Errors
/// The first reason why not.
pub fn judge(
    asked: &Asked<'_>,
    status: StatusCode,
    fields: &impl Fields,
    directives: &ResponseDirectives,
    terms: &Terms,
    cookies: Cookies,
) -> Result<(), WhyNot> {
    by_request(asked, fields, directives)?;
    by_status(status, fields, directives)?;
    if directives.private.is_whole() {
        return Err(WhyNot::Private);
    }
    // Section 3.5: a request with credentials is answered for one person unless the answer says not.
    let shared = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if asked.authorized && !shared {
        return Err(WhyNot::Authorization);
    }
    let explicit = has_explicit_lifetime(fields, directives);
    let for_all = directives.public || (explicit && cookies == Cookies::IfExplicit);
    if fields.first("set-cookie").is_some() && !for_all {
        return Err(WhyNot::SetCookie);
    }
    if Vary::parse(fields) == Vary::Star {
        return Err(WhyNot::VaryStar);
    }
    if !(explicit || directives.public || heuristically_cacheable(status)) {
        return Err(WhyNot::NoFreshness);
    }
    // Never fresh, never to be validated, never to be served stale: it would lie here for nothing.
    let fresh_once = terms.lifetime() > 0 && !terms.no_cache();
    let stale_once = !terms.never_stale()
        && (terms.stale_while_revalidate() > 0 || directives.stale_if_error.unwrap_or(0) > 0);
    if fresh_once || stale_once || has_validator(fields) {
        Ok(())
    } else {
        Err(WhyNot::NoFreshnessAndNoValidator)
    }
}

fn by_request(
    asked: &Asked<'_>,
    fields: &impl Fields,
    directives: &ResponseDirectives,
) -> Result<(), WhyNot> {
    if asked.directives.no_store {
        return Err(WhyNot::RequestNoStore);
    }
    match *asked.method {
        Method::GET if asked.has_content => Err(WhyNot::Method),
        Method::GET => Ok(()),
        // RFC 9110, section 9.3.3: a POST's response is kept for later GETs if it says for how long,
        // and that it is what a GET would have given.
        Method::POST if has_explicit_lifetime(fields, directives) => fields
            .first("content-location")
            .is_some_and(|location| asked.target.is_same(location))
            .then_some(())
            .ok_or(WhyNot::Method),
        _ => Err(WhyNot::Method),
    }
}

fn by_status(
    status: StatusCode,
    fields: &impl Fields,
    directives: &ResponseDirectives,
) -> Result<(), WhyNot> {
    match status.as_u16() {
        // 304, 412 and 416 answer the conditions and the ranges of one request.
        ..=199 | 304 | 412 | 416 => return Err(WhyNot::StatusNotFinal),
        // Its challenge is for the next hop alone (RFC 9110, section 11.7.1), and is left out.
        407 => return Err(WhyNot::StatusNeverStored),
        // RFC 6585, sections 3 to 6.
        428 | 429 | 431 | 511 => return Err(WhyNot::StatusNeverStored),
        206 => by_range(fields)?,
        _ => {}
    }
    if directives.must_understand && !understood(status) {
        return Err(WhyNot::StatusNotUnderstood);
    }
    // Section 5.2.2.3: who understands the status does not heed the no-store beside must-understand.
    if directives.no_store && !directives.must_understand {
        return Err(WhyNot::NoStore);
    }
    Ok(())
}

/// A 206 is understood when it holds one range and says which (section 3.3).
fn by_range(fields: &impl Fields) -> Result<(), WhyNot> {
    const MULTIPART: &[u8] = b"multipart/byteranges";
    let kind = fields.first("content-type").unwrap_or_default();
    if kind.get(..MULTIPART.len()).is_some_and(|kind| same_token(kind, MULTIPART)) {
        return Err(WhyNot::PartialMultiple);
    }
    ContentRange::of(fields).map(|_| ()).ok_or(WhyNot::PartialUnclear)
}

/// Whether a response of this status may be kept, and be fresh, without saying so (RFC 9110, section
/// 15.1).
pub fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether we know the status and do what its definition asks of caches: those of RFC 9110, and 422
/// to 451 as far as they ask for nothing.
pub fn understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=303 | 307 | 308 | 400..=411 | 413..=415 | 417 | 421 | 422 | 426 | 451
            | 500..=505
    )
}

/// Whether the response itself says for how long it is fresh (section 4.2.1), be it for no time.
fn has_explicit_lifetime(fields: &impl Fields, directives: &ResponseDirectives) -> bool {
    let expires = directives.source == Source::CacheControl && fields.first("expires").is_some();
    directives.has_lifetime() || expires
}

/// Whether the response can be validated: by an entity tag, or by Last-Modified (RFC 9110, 8.8).
pub fn has_validator(fields: &impl Fields) -> bool {
    fields.first("etag").and_then(EntityTag::parse).is_some()
        || fields.first("last-modified").and_then(date::parse).is_some()
}

/// Fields about one connection or one proxy (RFC 9110, section 7.6.1; RFC 9111, section 3.1), never
/// stored and never passed on, besides those that Connection lists.
pub const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// The names of the fields that must be left out when this response is stored: [`HOP_BY_HOP`], those
/// that Connection lists, and those of a qualified private or no-cache (RFC 9111, sections 3.1,
/// 5.2.2.4 and 5.2.2.7).
pub fn fields_to_drop(fields: &impl Fields, directives: &ResponseDirectives) -> Vec<HeaderName> {
    let mut names: Vec<_> = HOP_BY_HOP.into_iter().map(HeaderName::from_static).collect();
    names.extend(connection_listed(fields));
    names.extend_from_slice(directives.private.fields());
    names.extend_from_slice(directives.no_cache.fields());
    names
}

/// The fields that Connection lists, on requests and responses alike (RFC 9110, section 7.6.1).
pub fn connection_listed(fields: &impl Fields) -> impl Iterator<Item = HeaderName> {
    fields
        .values("connection")
        .flat_map(elements)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
}

/// Makes a response's fields ready for storing: leaves out [`fields_to_drop`] and adds the Date that
/// the origin forgot (RFC 9110, section 6.6.1).
pub fn strip(fields: &mut HeaderMap, directives: &ResponseDirectives, received: Wall) {
    for name in fields_to_drop(fields, directives) {
        fields.remove(name);
    }
    if !fields.contains_key(header::DATE) {
        fields.insert(header::DATE, date_value(received));
    }
}

/// A Date field's value.
pub(crate) fn date_value(when: Wall) -> HeaderValue {
    HeaderValue::from_bytes(&date::format(when)).expect("a date is written in visible characters")
}

#[cfg(test)]
mod tests;
