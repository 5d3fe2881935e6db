//! From a request's head to a plan: answer from the store, ask the origin, or refuse.
//!
//! Pure, but for the look into the store. RFC 9111, section 4, decides what may be reused; this file
//! decides in which order the questions are asked.

use http::{Method, StatusCode};
use nigh_base::Wall;
use nigh_cache::{
    directives::RequestDirectives,
    fields::Fields,
    freshness::{Reason, Reuse},
    key::Key,
    list,
    object::Object,
    range::{ContentRange, Ranges, Span},
    storable,
    store::Store,
};

use crate::{
    cache_status::{CacheStatus, Forward},
    problem::Problem,
    reply::{Content, Reply, reply},
    respond::Shape,
};

/// A request's head as the plan sees it.
#[derive(Debug)]
pub struct Request<'a, F> {
    /// The method.
    pub method: &'a Method,
    /// The fields, wherever they lie.
    pub fields: &'a F,
    /// Whether content follows.
    pub has_body: bool,
    /// Whether it offers another protocol.
    pub upgrade: bool,
    /// Whether the operator lets it go by the cache.
    pub bypass: bool,
    /// Whether all is forgotten that was purged: otherwise what is stored is validated before it answers,
    /// and stands in for nobody.
    pub trusted: bool,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Plan {
    /// Answer from the store.
    Answer(Hit),
    /// Answer from the store with bytes that have to be brought together first: from slices, of which
    /// some may have to be fetched, or from the disk.
    Gather(Hit),
    /// Ask the origin.
    Fetch(Fetch),
    /// Answer in our own name.
    Refuse(Problem),
}

/// An answer from the store.
#[derive(Debug)]
pub struct Hit {
    /// What is stored.
    pub object: Object,
    /// How it answers.
    pub reply: Reply,
    /// What to say of it.
    pub status: CacheStatus,
    /// What is to be done with it meanwhile, if anything.
    pub meanwhile: Option<Meanwhile>,
}

/// What is done with a stored response while it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// It is stale, and is validated.
    Validate,
    /// It was left as it is, and is compressed.
    Compress,
}

/// A request to the origin.
#[derive(Debug)]
pub struct Fetch {
    /// What the request asked of caches.
    pub directives: RequestDirectives,
    /// Why.
    pub status: CacheStatus,
    /// What is stored and may not be used without asking; it may be confirmed, or stand in for an
    /// origin that fails.
    pub stale: Option<Object>,
    /// How.
    pub manner: Manner,
    /// Whether what is stored, or was asked for by others, may answer: [`Request::trusted`].
    pub trusted: bool,
}

/// How a request goes to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// For everyone who asks the same: conditions and ranges of the one client are left out, and the
    /// answer may be kept.
    Shared,
    /// For everyone who asks the same, or for a range of it: in slices, the first of which is asked for.
    Slice,
    /// For this client alone, as it asked; the answer may be kept if its rules allow.
    Alone,
    /// As another protocol.
    Tunnel,
}

impl Manner {
    /// The method with which a request goes this way that came with `method`. For everyone who asks the
    /// same that is GET: what it brings answers a HEAD too, and may be kept (RFC 9110, section 9.3.2; RFC
    /// 9111, section 4).
    #[must_use]
    pub fn method(self, method: &Method) -> Method {
        match (self, method) {
            (Self::Shared | Self::Slice, &Method::HEAD) => Method::GET,
            _ => method.clone(),
        }
    }

    /// The same where nothing is sliced.
    #[must_use]
    pub const fn not_sliced(self) -> Self {
        match self {
            Self::Slice => Self::Alone,
            other => other,
        }
    }
}

/// Fields that make a request one of a kind: it goes to the origin as it is.
const ALONE: [&str; 2] = ["if-match", "if-unmodified-since"];

fn wants_websocket(fields: &impl Fields) -> bool {
    fields.values("upgrade").flat_map(list::elements).any(|it| list::same_token(it, b"websocket"))
}

/// Makes the plan. `scratch` is left holding the values that select a variant.
///
/// Allocates nothing when the answer is in the store.
pub fn plan<F: Fields>(
    request: &Request<'_, F>,
    store: &Store,
    key: Key<'_>,
    now: Wall,
    scratch: &mut Vec<u8>,
) -> Plan {
    scratch.clear();
    let directives = RequestDirectives::parse(request.fields);
    let trusted = request.trusted;
    let fetch =
        |status, stale, manner| Plan::Fetch(Fetch { directives, status, stale, manner, trusted });
    match *request.method {
        Method::TRACE => return Plan::Refuse(Problem::TraceRefused),
        Method::CONNECT => return Plan::Refuse(Problem::ConnectRefused),
        // Only what is asked for in earnest, and could not mean something else to the origin than to
        // us: HTTP/2 in clear is offered by many clients on every request, and tunnelling it would
        // hide what follows.
        Method::GET if request.upgrade && !request.has_body && wants_websocket(request.fields) => {
            return fetch(
                CacheStatus::forwarded(Forward::Bypass).detail("upgrade"),
                None,
                Manner::Tunnel,
            );
        }
        Method::GET | Method::HEAD if request.bypass && directives.only_if_cached => {
            return Plan::Refuse(Problem::OnlyIfCached);
        }
        _ if request.bypass => {
            return fetch(CacheStatus::forwarded(Forward::Bypass), None, Manner::Alone);
        }
        Method::GET | Method::HEAD if !request.has_body => {}
        _ => return fetch(CacheStatus::forwarded(Forward::Method), None, Manner::Alone),
    }
    // Only worked out where the store does not answer.
    let missed = || manner_of_miss(request, &directives);
    // Where something is stored, a HEAD goes as it is: it says as much of that, and costs nobody a body
    // (RFC 9111, section 4.3.5).
    let manner = || if request.method == Method::HEAD { Manner::Alone } else { missed() };
    let Some(object) = store.find(key, request.fields, scratch) else {
        if directives.only_if_cached && !store.may_lie_beneath(key) {
            return Plan::Refuse(Problem::OnlyIfCached);
        }
        // The chain was walked and some variant's names were read: then it is not the URI that is
        // missing.
        let why = if scratch.is_empty() { Forward::UriMiss } else { Forward::VaryMiss };
        return fetch(CacheStatus::forwarded(why), None, missed());
    };
    let ttl = object.terms().ttl(now);
    let reuse = match object.terms().reuse(&directives, now) {
        reuse @ Reuse::Validate(_) => reuse,
        reuse if trusted => reuse,
        _ => Reuse::Validate(Reason::PurgesUnknown),
    };
    if let Reuse::Validate(reason) = reuse {
        if directives.only_if_cached {
            return Plan::Refuse(Problem::OnlyIfCached);
        }
        let why = if reason.is_the_clients() { Forward::Request } else { Forward::Stale };
        let mut status = CacheStatus::forwarded(why);
        if reason != Reason::Stale {
            status = status.detail(reason.as_str());
        }
        // A range is asked for alone, but a whole object is confirmed for everyone, and then gives it. Of
        // slices, one is asked for in the same breath, and several ranges are never made.
        let validates = request.method == Method::GET
            && !is_one_of_a_kind(request.fields)
            && object.is_whole()
            && object.sliced().is_none_or(|_| manner() != Manner::Alone)
            && storable::has_validator(&object.fields());
        let manner = match validates {
            true if object.sliced().is_some() => manner(),
            true => Manner::Shared,
            false => manner(),
        };
        let is_range = matches!(manner, Manner::Slice | Manner::Alone);
        let stale = (validates || is_range || object.is_whole()).then_some(object);
        return fetch(status, stale, manner);
    }
    let Some(reply) = reply(&object, request.method, request.fields, now) else {
        if directives.only_if_cached {
            return Plan::Refuse(Problem::OnlyIfCached);
        }
        // Either bytes are missing, or a precondition fails that the origin alone may judge.
        let why = if object.is_whole() { Forward::Request } else { Forward::Partial };
        return fetch(CacheStatus::forwarded(why), None, manner());
    };
    let status = CacheStatus::hit(ttl);
    let (status, meanwhile) = match reuse {
        Reuse::StaleWhileRevalidate => {
            (status.detail("stale-while-revalidate"), Some(Meanwhile::Validate))
        }
        Reuse::Stale => (status.detail("max-stale"), None),
        Reuse::Fresh | Reuse::Validate(_) => (status, None),
    };
    let hit = Hit { object, reply, status, meanwhile };
    if hit.reply.content.is_awaited() { Plan::Gather(hit) } else { Plan::Answer(hit) }
}

/// How a request goes for which nothing is stored that answers it. Of a HEAD that is everybody's GET, if
/// the request itself does not keep others from sharing what comes.
fn manner_of_miss<F: Fields>(request: &Request<'_, F>, directives: &RequestDirectives) -> Manner {
    let fields = request.fields;
    if is_one_of_a_kind(fields) {
        return Manner::Alone;
    }
    if request.method == Method::HEAD {
        // It knows no ranges (RFC 9110, section 14.2).
        let is_one_clients = directives.no_store || fields.first("authorization").is_some();
        return if is_one_clients { Manner::Alone } else { Manner::Shared };
    }
    match fields.first("range") {
        None => Manner::Shared,
        Some(_) if Ranges::parse(fields).is_some_and(|it| it.specs().len() == 1) => Manner::Slice,
        Some(_) => Manner::Alone,
    }
}

fn is_one_of_a_kind(fields: &impl Fields) -> bool {
    ALONE.iter().any(|name| fields.first(name).is_some())
}

impl Fetch {
    /// The stored response to fall back on, when the origin gives `status` or, for `None`, no answer
    /// at all. None if it may have been purged.
    pub fn fallback(
        &self,
        method: &Method,
        fields: &impl Fields,
        status: Option<StatusCode>,
        now: Wall,
    ) -> Option<Hit> {
        let object = self.stale.as_ref().filter(|_| self.trusted)?;
        let (allowed, detail) = match status {
            // RFC 5861, section 4.
            Some(status) if matches!(status.as_u16(), 500 | 502 | 503 | 504) => {
                (object.terms().may_serve_on_error(&self.directives, now), "stale-if-error")
            }
            Some(_) => return None,
            // RFC 9111, section 4.2.4.
            None => (
                object.terms().may_serve_on_error(&self.directives, now)
                    || object.terms().may_serve_disconnected(&self.directives, now),
                "stale-origin-failed",
            ),
        };
        if !allowed {
            return None;
        }
        let ttl = object.terms().ttl(now);
        // What is fresh needs nobody's leave: the client alone had wanted it fresher.
        let said = if ttl > 0 { self.status } else { self.status.detail(detail) };
        let forward_status = status.map(|status| status.as_u16());
        let status = CacheStatus { forward_status, ttl: Some(ttl), ..said };
        Hit::new(object.clone(), method, fields, status, now)
    }
}

impl Hit {
    /// The same, if it answers with the whole of what is brought together: only `span` of it, as if that
    /// had been asked for.
    #[must_use]
    pub fn narrowed(mut self, span: Span) -> Self {
        if let (Shape::Whole { length: Some(complete) }, Content::Awaited(_)) =
            (&self.reply.shape, &self.reply.content)
        {
            let range = ContentRange { span, complete: Some(*complete) };
            self.reply = Reply { shape: Shape::Range(range), content: Content::Awaited(span) };
        }
        self
    }

    /// The answer that `object` gives to a request; `None` if it cannot.
    pub fn new(
        object: Object,
        method: &Method,
        fields: &impl Fields,
        status: CacheStatus,
        now: Wall,
    ) -> Option<Self> {
        let reply = reply(&object, method, fields, now)?;
        Some(Self { object, reply, status, meanwhile: None })
    }
}

#[cfg(test)]
mod tests;
