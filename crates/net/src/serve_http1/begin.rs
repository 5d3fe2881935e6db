//! From a head to an answer, or to what must be asked of the origin. A hit ends here.

use std::{borrow::Cow, rc::Rc};

use bytes::Buf;
use http::{Method, StatusCode, Version};
use nigh_cache::{fields::Fields, key::Scheme};
use nigh_edge::{
    cache_status::CacheStatus,
    plan::{self, Plan},
    problem::Problem,
    reply::Content,
    respond,
};

use super::{
    Buffers, Client,
    output::{Framed, Output, end_head, write_hit, write_problem},
};
use crate::{
    access_log::Line,
    clock,
    forward_proxy::{Asked, Form, Proving, TunnelAsked, Tunnelling, Way},
    http1::{self, Framing, Head},
    service::{Ask, Service, Work},
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
    /// A tunnel is asked for.
    Tunnel { tunnelling: Box<Tunnelling>, framed: Framed },
    /// Something must be found out before this head can be judged: nothing was done.
    Prove(Box<Proving>),
}

pub(super) struct Fetching {
    pub(super) ask: Rc<Ask>,
    pub(super) work: Work,
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
    /// Or why it has none.
    route: Result<Route, Problem>,
}

/// Where a head leads: to a site, or through a forward proxy.
fn way(head: &Head<'_>, client: &Client, sites: &Sites) -> Way {
    let target = &head.target;
    let authority = target.authority.unwrap_or_else(|| sites.nameless());
    let Some(forward) = sites.forward() else {
        return match sites.route(authority, target.path_and_query) {
            Some(route) => Way::Follow(route),
            None => Way::Refuse(Problem::UnknownHost),
        };
    };
    let form = match (target.form, target.scheme) {
        (http1::Form::Authority, _) => Form::Connect,
        (_, Some(http1::Scheme::Http)) => Form::Absolute(Scheme::Http),
        (_, Some(http1::Scheme::Https)) => Form::Absolute(Scheme::Https),
        (_, None) => Form::Origin,
    };
    let asked = Asked {
        method: &method_of(head),
        form,
        authority,
        path_and_query: target.path_and_query,
        credentials: head.fields.first("proxy-authorization"),
        client,
    };
    forward.judge(&asked, sites)
}

impl<'h> Judged<'h> {
    fn new(
        head: &'h Head<'h>,
        client: Client,
        sites: &'h Sites,
        route: Result<Route, Problem>,
    ) -> Self {
        let authority = head.target.authority.unwrap_or_else(|| sites.nameless());
        Self {
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
            route,
        }
    }

    fn plan(&self, service: &Service, buffers: &mut Buffers) -> Plan {
        let head = self.head;
        match (&self.route, head.framing) {
            (Err(problem), _) => Plan::Refuse(*problem),
            (_, Framing::Length(length)) if length > service.limits().body_bytes => {
                Plan::Refuse(Problem::BodyTooLarge)
            }
            (Ok(route), _) => {
                let (rule, place) = (route.rule(), head.target.path_and_query);
                let from = self.client.address;
                let admitted = service.admit(route, &self.method, place, from, &head.fields);
                route.write_key(self.client.scheme, self.authority, place, &mut buffers.key);
                let request = plan::Request {
                    method: &self.method,
                    fields: &head.fields,
                    has_body: self.has_body,
                    // Whoever is led through wants what CONNECT is for, under its limits.
                    upgrade: head.upgrade && !route.is_forward(),
                    bypass: rule.bypass,
                    trusted: service.trusts(self.client.sibling),
                };
                match admitted {
                    Ok(()) => service.plan(&request, rule, &buffers.key, &mut buffers.selecting),
                    Err(problem) => Plan::Refuse(problem),
                }
            }
        }
    }

    fn ask(&self, buffers: &Buffers) -> Ask {
        let head = self.head;
        let lines = head.fields.iter().map(|(name, value)| (name.as_bytes(), value));
        let route = self.route.clone().expect("what no site has is refused");
        let mut fields = respond::to_map(lines);
        route.clean(&self.method, &mut fields);
        Ask {
            method: self.method.clone(),
            version: version_of(head),
            scheme: route.scheme(self.client.scheme),
            authority: self.authority.into(),
            path_and_query: head.target.path_and_query.into(),
            logged: match route.logged(self.authority, head.target.path_and_query) {
                Cow::Owned(logged) => Some(logged.into()),
                Cow::Borrowed(_) => None,
            },
            route,
            fields,
            client: self.client.address,
            key: buffers.key.as_slice().into(),
            selecting: buffers.selecting.as_slice().into(),
            has_content: self.has_body || head.upgrade,
            sibling: None,
        }
    }

    fn fetching(&self, work: Work, buffers: &Buffers) -> Box<Fetching> {
        Box::new(Fetching {
            ask: Rc::new(self.ask(buffers)),
            work,
            framing: self.head.framing,
            framed: self.framed,
            expect_continue: self.head.expect_continue && self.has_body,
        })
    }

    /// Tells a browser what to ask the forward proxy for.
    fn send_pac(
        &self,
        service: &Service,
        sites: &Sites,
        output: &mut Output,
        buffers: &mut Buffers,
    ) -> Begun {
        let forward = sites.forward().expect("it is its file");
        let file = forward.pac(self.authority, &self.client);
        service.write_pac(output, file.len(), &mut buffers.text);
        end_head(output, self.framed);
        let sent = if self.framed.head_only { "" } else { file.as_str() };
        output.0.extend_from_slice(sent.as_bytes());
        self.log(service, StatusCode::OK, sent.len() as u64, CacheStatus::EMPTY);
        Begun::Answered { persistent: self.framed.persistent }
    }

    /// What follows an unread body is not known to be a request, and what follows CONNECT was meant
    /// for a tunnel.
    fn persists_refusal(&self) -> bool {
        self.framed.persistent && !self.has_body && self.method != Method::CONNECT
    }

    /// The version's name, for the log.
    const fn version(&self) -> &'static str {
        if self.framed.http1_1 { "HTTP/1.1" } else { "HTTP/1.0" }
    }

    fn log(&self, service: &Service, status: StatusCode, bytes: u64, cache: CacheStatus) {
        if service.is_logging() {
            let head = self.head;
            let target = match &self.route {
                // It has no path.
                _ if self.method == Method::CONNECT => Cow::Borrowed(head.target.raw),
                Ok(route) => route.logged(self.authority, head.target.path_and_query),
                Err(Problem::Proxy(_)) => Cow::Borrowed(head.target.raw),
                Err(_) => Cow::Borrowed(head.target.path_and_query),
            };
            service.log(&Line {
                when: clock::now(),
                client: self.client.address,
                method: head.method_name,
                authority: self.authority,
                target: &target,
                version: self.version(),
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
    let route = match way(head, &client, &sites) {
        Way::Follow(route) => Ok(route),
        Way::Refuse(problem) => Err(problem),
        Way::Tunnel(_) | Way::Pac | Way::Prove(_) => return Early::Nothing { persistent: false },
    };
    let judged = Judged::new(head, client, &sites, route);
    match judged.plan(service, buffers) {
        // What is one too many is told so in its turn; what is not begun now is counted then.
        Plan::Fetch(_) if service.refusal(&client).is_some() => {
            Early::Nothing { persistent: judged.persists_refusal() }
        }
        Plan::Fetch(fetch) => Early::Fetch(judged.fetching(Work::Fetch(fetch), buffers)),
        Plan::Answer(_) | Plan::Gather(_) => {
            Early::Nothing { persistent: judged.framed.persistent }
        }
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
    let may_stay = position == Position::Followed || !service.is_draining();
    let route = match way(head, &client, &sites) {
        // It is counted when it comes again.
        Way::Prove(proving) => return Begun::Prove(proving),
        _ if let Some(problem) = service.refusal(&client) => Err(problem),
        Way::Follow(route) => Ok(route),
        Way::Refuse(problem) => {
            service.counters().refuse(problem);
            Err(problem)
        }
        Way::Pac => {
            let mut judged = Judged::new(head, client, &sites, Err(Problem::UnknownHost));
            judged.framed.persistent &= may_stay && !judged.has_body;
            return judged.send_pac(service, &sites, output, buffers);
        }
        Way::Tunnel(to) => {
            let judged = Judged::new(head, client, &sites, Err(Problem::ConnectRefused));
            let asked = TunnelAsked {
                to,
                method: "CONNECT",
                authority: judged.authority.into(),
                target: judged.authority.into(),
                version: judged.version(),
                agent: head.fields.first("user-agent").unwrap_or_default().into(),
            };
            let tunnelling = Box::new(Tunnelling::new(service, client.address, asked));
            return Begun::Tunnel { tunnelling, framed: judged.framed };
        }
    };
    let mut judged = Judged::new(head, client, &sites, route);
    judged.framed.persistent &= may_stay;
    match judged.plan(service, buffers) {
        Plan::Answer(hit) => {
            if let Some(what) = hit.meanwhile {
                service.improve(judged.ask(buffers), hit.object.clone(), what);
            }
            let bytes = hit.reply.content.remaining() as u64;
            if let Ok(route) = &judged.route {
                route.answered(&hit.status, bytes);
            }
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
        Plan::Gather(hit) => {
            if let Some(what) = hit.meanwhile {
                service.improve(judged.ask(buffers), hit.object.clone(), what);
            }
            Begun::Fetch(judged.fetching(Work::Gather(hit), buffers))
        }
        Plan::Fetch(fetch) => Begun::Fetch(judged.fetching(Work::Fetch(fetch), buffers)),
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
