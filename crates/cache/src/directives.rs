//! What Cache-Control says, on requests and on responses, and its targeted form CDN-Cache-Control.
//!
//! RFC 9111, section 5.2; RFC 9213 (targeted fields); RFC 5861 (stale-while-revalidate and
//! stale-if-error); RFC 8246 (immutable). Doubt is read conservatively: of two values the more
//! cautious one counts, a restriction holds whatever is written behind its `=`, a permission only
//! when it is written as the standard has it, and a number that is none makes a response stale.

mod targeted;

use http::HeaderName;

pub use targeted::TARGETED;

use crate::{
    fields::Fields,
    list::{self, elements, name_and_value, quoted, same_token, trim},
};

/// The longest time that is told apart, in seconds: 2^31, as RFC 9111, section 1.2.2 has it.
pub const SECONDS_MAX: u32 = 1 << 31;

/// How many field names a qualified `private` or `no-cache` may list. A longer list counts as none,
/// so the directive is about the whole response.
pub const QUALIFIED_MAX: usize = 32;

/// What a request allows and asks for (RFC 9111, section 5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Nothing is reused without asking the origin.
    pub no_cache: bool,
    /// Nothing of this exchange is kept.
    pub no_store: bool,
    /// The content is passed on as it is.
    pub no_transform: bool,
    /// A stored response, or 504.
    pub only_if_cached: bool,
    /// The greatest age that is accepted, in seconds.
    pub max_age: Option<u32>,
    /// For how long the response must stay fresh, in seconds.
    pub min_fresh: Option<u32>,
    /// How stale a response is accepted.
    pub max_stale: Option<MaxStale>,
    /// How stale a response is accepted when the origin fails, in seconds (RFC 5861, section 4).
    pub stale_if_error: Option<u32>,
}

/// How stale a response a client accepts (RFC 9111, section 5.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaxStale {
    /// By this many seconds.
    Seconds(u32),
    /// However stale.
    Any,
}

impl RequestDirectives {
    /// Reads Cache-Control and, where that is absent, `Pragma: no-cache` (section 5.4). Allocates
    /// nothing.
    pub fn parse(fields: &impl Fields) -> Self {
        let mut found = Self::default();
        let mut lines = fields.values("cache-control").peekable();
        if lines.peek().is_none() {
            found.no_cache = pragma_no_cache(fields);
            return found;
        }
        lines.flat_map(elements).for_each(|element| found.take(element));
        found
    }

    fn take(&mut self, element: &[u8]) {
        let (name, value) = directive(element);
        if same_token(name, b"no-cache") {
            self.no_cache = true;
        } else if same_token(name, b"no-store") {
            self.no_store = true;
        } else if same_token(name, b"no-transform") {
            self.no_transform = true;
        } else if same_token(name, b"only-if-cached") {
            self.only_if_cached = true;
        } else if same_token(name, b"max-age") {
            smaller(&mut self.max_age, seconds(value).unwrap_or(0));
        } else if same_token(name, b"min-fresh") {
            let asked = seconds(value).unwrap_or(SECONDS_MAX);
            self.min_fresh = Some(self.min_fresh.map_or(asked, |held| held.max(asked)));
        } else if same_token(name, b"max-stale") {
            let asked = match value {
                Value::None => MaxStale::Any,
                value => MaxStale::Seconds(seconds(value).unwrap_or(0)),
            };
            self.max_stale = Some(self.max_stale.map_or(asked, |held| held.min(asked)));
        } else if same_token(name, b"stale-if-error") {
            smaller(&mut self.stale_if_error, seconds(value).unwrap_or(0));
        }
    }
}

/// What `private` or `no-cache` is about (RFC 9111, sections 5.2.2.4 and 5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The directive is not there.
    #[default]
    Absent,
    /// The whole response.
    Whole,
    /// These fields of it.
    Fields(Vec<HeaderName>),
}

impl Scope {
    /// Whether the directive is about the whole response.
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// The fields that the directive names.
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }

    /// Widens the scope by one more occurrence of the directive.
    fn widen(&mut self, names: Option<Vec<HeaderName>>) {
        match (&mut *self, names) {
            (Self::Whole, _) => {}
            (_, None) => *self = Self::Whole,
            (Self::Absent, Some(names)) => *self = Self::Fields(names),
            (Self::Fields(held), Some(names)) => {
                held.extend(names);
                if held.len() > QUALIFIED_MAX {
                    *self = Self::Whole;
                }
            }
        }
    }
}

/// Where a response's directives were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// In Cache-Control, or nowhere: Expires counts too.
    #[default]
    CacheControl,
    /// In this targeted field; Cache-Control and Expires do not count.
    Targeted(&'static str),
}

/// What a response permits and forbids (RFC 9111, section 5.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// May be stored where it otherwise might not.
    pub public: bool,
    /// Not for shared caches.
    pub private: Scope,
    /// To be validated before each reuse.
    pub no_cache: Scope,
    /// Not to be stored.
    pub no_store: bool,
    /// The content is passed on as it is.
    pub no_transform: bool,
    /// Never reused when stale.
    pub must_revalidate: bool,
    /// Never reused when stale, by shared caches.
    pub proxy_revalidate: bool,
    /// To be stored only by who knows what its status asks for.
    pub must_understand: bool,
    /// Will not change while fresh (RFC 8246).
    pub immutable: bool,
    /// The freshness lifetime in seconds.
    pub max_age: Option<u32>,
    /// The freshness lifetime in shared caches, in seconds.
    pub s_maxage: Option<u32>,
    /// For how long it may be reused stale while it is validated, in seconds.
    pub stale_while_revalidate: Option<u32>,
    /// For how long it may be reused stale when the origin fails, in seconds.
    pub stale_if_error: Option<u32>,
    /// Where all this was read.
    pub source: Source,
}

impl ResponseDirectives {
    /// Reads the first targeted field of [`TARGETED`] that is there, valid and not empty, and if
    /// there is none, Cache-Control.
    pub fn parse(fields: &impl Fields) -> Self {
        Self::parse_for(fields, &TARGETED)
    }

    /// As [`Self::parse`], for another list of targeted fields.
    pub fn parse_for(fields: &impl Fields, heeded: &[&'static str]) -> Self {
        let mut found = Self::default();
        for &name in heeded {
            if let Some(dictionary) = targeted::dictionary(fields, name) {
                found.source = Source::Targeted(name);
                dictionary.iter().for_each(|(key, entry)| found.take_member(key.as_str(), entry));
                return found;
            }
        }
        for element in fields.values("cache-control").flat_map(elements) {
            let (name, value) = directive(element);
            found.take(name, value);
        }
        found
    }

    /// Whether the response says itself for how long it is fresh, Expires aside.
    pub fn has_lifetime(&self) -> bool {
        self.max_age.is_some() || self.s_maxage.is_some()
    }

    /// Whether a shared cache must not reuse it stale, come what may: must-revalidate,
    /// proxy-revalidate, s-maxage (which means the same, section 5.2.2.10) and no-cache.
    pub fn never_stale(&self) -> bool {
        self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage.is_some()
            || self.no_cache.is_whole()
    }

    fn take(&mut self, name: &[u8], value: Value<'_>) {
        let mut longest = [0; 24];
        let Some(lower) = longest.get_mut(..name.len()) else { return };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        match &*lower {
            b"private" => self.private.widen(field_names(value)),
            b"no-cache" => self.no_cache.widen(field_names(value)),
            b"no-store" => self.no_store = true,
            b"no-transform" => self.no_transform = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"public" => self.public |= matches!(value, Value::None),
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable |= matches!(value, Value::None),
            b"max-age" => smaller(&mut self.max_age, seconds(value).unwrap_or(0)),
            b"s-maxage" => smaller(&mut self.s_maxage, seconds(value).unwrap_or(0)),
            b"stale-while-revalidate" => {
                smaller(&mut self.stale_while_revalidate, seconds(value).unwrap_or(0));
            }
            b"stale-if-error" => smaller(&mut self.stale_if_error, seconds(value).unwrap_or(0)),
            _ => {} // An extension that we do not know says nothing to us (section 5.2.3).
        }
    }
}

/// Whether Pragma says no-cache (RFC 9111, section 5.4).
pub(crate) fn pragma_no_cache(fields: &impl Fields) -> bool {
    fields.values("pragma").flat_map(elements).any(|element| same_token(element, b"no-cache"))
}

/// What stands behind a directive's name.
#[derive(Clone, Copy)]
enum Value<'a> {
    None,
    Token(&'a [u8]),
    Quoted(&'a [u8]),
    Number(u64),
    Malformed,
}

/// A directive's name and value; white space around `=` is no part of the grammar, so it spoils the
/// value but does not hide the name.
fn directive(element: &[u8]) -> (&[u8], Value<'_>) {
    let (name, value) = name_and_value(element);
    let value = match value {
        None => Value::None,
        Some(_) if name != trim(name) => Value::Malformed,
        Some(text) if list::is_token(text) => Value::Token(text),
        Some(text) => quoted(text).map_or(Value::Malformed, Value::Quoted),
    };
    (trim(name), value)
}

/// A number of seconds, as a token or quoted (section 5.2), at most [`SECONDS_MAX`].
fn seconds(value: Value<'_>) -> Option<u32> {
    let number = match value {
        Value::Token(text) | Value::Quoted(text) => list::digits(text)?,
        Value::Number(number) => number,
        Value::None | Value::Malformed => return None,
    };
    u32::try_from(number.min(u64::from(SECONDS_MAX))).ok()
}

/// The field names of a qualified directive; None if it is not qualified, or not clearly.
fn field_names(value: Value<'_>) -> Option<Vec<HeaderName>> {
    let (Value::Token(text) | Value::Quoted(text)) = value else { return None };
    // A single quote is allowed in a name, but whoever writes one here meant something else.
    if text.contains(&b'\'') {
        return None;
    }
    let names: Option<Vec<_>> = elements(text)
        .map(|name| HeaderName::from_bytes(name).ok())
        .take(QUALIFIED_MAX + 1)
        .collect();
    names.filter(|names| !names.is_empty() && names.len() <= QUALIFIED_MAX)
}

fn smaller(held: &mut Option<u32>, found: u32) {
    *held = Some(held.map_or(found, |held| held.min(found)));
}

#[cfg(test)]
mod tests;
