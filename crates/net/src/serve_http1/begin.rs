//! From a head to an answer, or to what must be asked of the origin. A hit ends here.

use std::rc::Rc;

use bytes::Buf;
use http::{Method, StatusCode, Version};
use nigh_cache::fields::Fields;
use nigh_edge::{
    cache_status::CacheStatus,
    plan::{self, Plan},
    problem::Problem,
    reply::Content,
    respond,
};

use super::{
    Buffers, Client,
    output::{Framed, Output, write_hit, write_problem},
};
use crate::{
    access_log::Line,
    clock,
    http1::{self, Framing, Head},
    service::{Ask, Service},
    sites::{Route, Sites},
};

/// Bodies up to this many bytes are copied behind their head: one copy costs less than a second
/// slice in the kernel.
const COPIED_BODY: u64 = 4 * 1024;

/// What became of a head.
pub(super) enum Begun {
    /// The answer lies in the output; the connection stays open, or not.
    Answered { persistent: bool },
    /// Its head does; this is its content.
    Content { content: Content, persistent: bool },
    /// The origin must be asked.
    Fetch(Box<Fetching>),
}

pub(super) struct Fetching {
    pub(super) ask: Rc<Ask>,
    pub(super) fetch: plan::Fetch,
    pub(super) framing: Framing,
    pub(super) framed: Framed,
    pub(super) expect_continue: bool,
}

impl Fetching {
    /// Whether it is a request that may be worked on while earlier ones are, and be answered later.
    /// RFC 9112, section 9.3.2.
    pub(super) fn may_wait(&self) -> bool {
        self.ask.method.is_safe() && !self.ask.has_content
    }
}

/// What can be done with a request before its turn to be answered.
pub(super) enum Early {
    /// Ask the origin.
    Fetch(Box<Fetching>),
    /// Nothing: it needs nobody else's answer, and its own depends on when it is given. Another request
    /// may follow it, or not.
    Nothing { persistent: bool },
}

/// A head, and what is to be done with it.
struct Judged<'h> {
    head: &'h Head<'h>,
    client: Client,
    method: Method,
    authority: &'h str,
    framed: Framed,
    has_body: bool,
    /// `None` if no site has the host.
    route: Option<Route>,
}

impl<'h> Judged<'h> {
    fn new(
        head: &'h Head<'h>,
        client: Client,
        service: &Service,
        sites: &'h Sites,
        buffers: &mut Buffers,
        refusal: Option<Problem>,
    ) -> (Self, Plan) {
        let authority = head.target.authority.unwrap_or_else(|| sites.nameless());
        let place = head.target.path_and_query;
        let judged = Self {
            head,
            client,
            method: method_of(head),
            authority,
            framed: Framed {
                head_only: head.method == http1::Method::Head,
                http1_1: head.version == http1::Version::Http11,
                persistent: head.persistent,
            },
            has_body: !matches!(head.framing, Framing::None | Framing::Length(0)),
            route: sites.route(authority, place),
        };
        let planned = match (&judged.route, head.framing) {
            _ if let Some(problem) = refusal => Plan::Refuse(problem),
            (None, _) => Plan::Refuse(Problem::UnknownHost),
            (_, Framing::Length(length)) if length > service.limits().body_bytes => {
                Plan::Refuse(Problem::BodyTooLarge)
            }
            (Some(route), _) => {
                let rule = route.rule();
                rule.write_key(client.scheme, authority, place, &mut buffers.key);
                let request = plan::Request {
                    method: &judged.method,
                    fields: &head.fields,
                    has_body: judged.has_body,
                    upgrade: head.upgrade,
                    bypass: rule.bypass,
                };
                service.plan(&request, rule, &buffers.key, &mut buffers.selecting)
            }
        };
        (judged, planned)
    }

    fn ask(&self, buffers: &Buffers) -> Ask {
        let head = self.head;
        let lines = head.fields.iter().map(|(name, value)| (name.as_bytes(), value));
        let route = self.route.clone().expect("what no site has is refused");
        let mut fields = respond::to_map(lines);
        route.rule().remove_cookies(&self.method, &mut fields);
        Ask {
            method: self.method.clone(),
            version: version_of(head),
            scheme: self.client.scheme,
            authority: self.authority.into(),
            path_and_query: head.target.path_and_query.into(),
            route,
            fields,
            client: self.client.address,
            key: buffers.key.as_slice().into(),
            selecting: buffers.selecting.as_slice().into(),
            has_content: self.has_body || head.upgrade,
        }
    }

    fn fetching(&self, fetch: plan::Fetch, buffers: &Buffers) -> Box<Fetching> {
        Box::new(Fetching {
            ask: Rc::new(self.ask(buffers)),
            fetch,
            framing: self.head.framing,
            framed: self.framed,
            expect_continue: self.head.expect_continue && self.has_body,
        })
    }

    /// What follows an unread body is not known to be a request, and what follows CONNECT was meant
    /// for a tunnel.
    fn persists_refusal(&self) -> bool {
        self.framed.persistent && !self.has_body && self.method != Method::CONNECT
    }

    fn log(&self, service: &Service, status: StatusCode, bytes: u64, cache: CacheStatus) {
        if service.is_logging() {
            let head = self.head;
            service.log(&Line {
                when: clock::now(),
                client: self.client.address,
                method: head.method_name,
                authority: self.authority,
                target: head.target.path_and_query,
                version: if self.framed.http1_1 { "HTTP/1.1" } else { "HTTP/1.0" },
                referer: head.fields.first("referer").unwrap_or_default(),
                agent: head.fields.first("user-agent").unwrap_or_default(),
                status,
                bytes,
                cache,
                micros: 0,
            });
        }
    }
}

/// Judges a head, and has it fetched if that is what it needs.
pub(super) fn begin_early(
    head: &Head<'_>,
    client: Client,
    service: &Service,
    buffers: &mut Buffers,
) -> Early {
    let sites = service.sites();
    let (judged, planned) = Judged::new(head, client, service, &sites, buffers, None);
    match planned {
        // What is one too many is told so in its turn; what is not begun now is counted then.
        Plan::Fetch(_) if service.refusal(&client).is_some() => {
            Early::Nothing { persistent: judged.persists_refusal() }
        }
        Plan::Fetch(fetch) => Early::Fetch(judged.fetching(fetch, buffers)),
        Plan::Answer(_) => Early::Nothing { persistent: judged.framed.persistent },
        Plan::Refuse(_) => Early::Nothing { persistent: judged.persists_refusal() },
    }
}

/// Where an answer stands among those that a connection owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Other requests were begun behind it, and will be answered.
    Followed,
    /// A connection that is to end may end with it.
    Last,
}

/// Judges a head and answers it at once, if the store can.
pub(super) fn begin(
    head: &Head<'_>,
    client: Client,
    service: &Rc<Service>,
    position: Position,
    output: &mut Output,
    buffers: &mut Buffers,
) -> Begun {
    let sites = service.sites();
    let refusal = service.refusal(&client);
    let (mut judged, planned) = Judged::new(head, client, service, &sites, buffers, refusal);
    judged.framed.persistent &= position == Position::Followed || !service.is_draining();
    match planned {
        Plan::Answer(hit) => {
            if hit.refresh {
                service.refresh(judged.ask(buffers), hit.object.clone());
            }
            let bytes = hit.reply.content.remaining() as u64;
            judged.log(service, hit.reply.shape.status(&hit.object), bytes, hit.status);
            let persistent = judged.framed.persistent;
            let mut content = write_hit(output, hit, service, judged.framed, &mut buffers.text);
            if bytes > COPIED_BODY {
                return Begun::Content { content, persistent };
            }
            while content.has_remaining() {
                let chunk = content.chunk();
                output.0.extend_from_slice(chunk);
                content.advance(chunk.len());
            }
            Begun::Answered { persistent }
        }
        Plan::Refuse(problem) => {
            judged.framed.persistent = judged.persists_refusal();
            let status = CacheStatus::EMPTY.detail(problem.word());
            let text = &mut buffers.text;
            let bytes = write_problem(output, problem, status, service, judged.framed, text);
            judged.log(service, problem.status(), bytes, status);
            Begun::Answered { persistent: judged.framed.persistent }
        }
        Plan::Fetch(fetch) => Begun::Fetch(judged.fetching(fetch, buffers)),
    }
}

fn method_of(head: &Head<'_>) -> Method {
    match head.method {
        http1::Method::Get => Method::GET,
        http1::Method::Head => Method::HEAD,
        http1::Method::Post => Method::POST,
        http1::Method::Put => Method::PUT,
        http1::Method::Delete => Method::DELETE,
        http1::Method::Connect => Method::CONNECT,
        http1::Method::Options => Method::OPTIONS,
        http1::Method::Trace => Method::TRACE,
        http1::Method::Patch => Method::PATCH,
        http1::Method::Other => {
            Method::from_bytes(head.method_name.as_bytes()).expect("the codec takes tokens only")
        }
    }
}

const fn version_of(head: &Head<'_>) -> Version {
    match head.version {
        http1::Version::Http10 => Version::HTTP_10,
        http1::Version::Http11 => Version::HTTP_11,
    }
}
