//! From a head to an answer, or to what must be asked of the origin. A hit ends here.

use std::rc::Rc;

use bytes::Buf;
use http::{Method, Version};
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

/// Judges a head and answers it at once, if the store can.
pub(super) fn begin(
    head: &Head<'_>,
    client: Client,
    service: &Rc<Service>,
    output: &mut Output,
    buffers: &mut Buffers,
) -> Begun {
    let method = method_of(head);
    let target = &head.target;
    let scheme = client.scheme;
    let authority = target.authority.unwrap_or_else(|| service.fallback_authority());
    nigh_cache::key::write(scheme, authority, target.path_and_query, &mut buffers.key);
    let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
    let framed = Framed {
        head_only: method == Method::HEAD,
        http1_1: head.version == http1::Version::Http11,
        persistent: head.persistent && !service.is_draining(),
    };
    let request =
        plan::Request { method: &method, fields: &head.fields, has_body, upgrade: head.upgrade };
    let planned = service.plan(&request, &buffers.key, &mut buffers.selecting);
    let ask = |buffers: &Buffers| Ask {
        method: method.clone(),
        version: version_of(head),
        scheme,
        authority: authority.into(),
        path_and_query: target.path_and_query.into(),
        fields: respond::to_map(head.fields.iter().map(|(name, value)| (name.as_bytes(), value))),
        client: client.address,
        key: buffers.key.as_slice().into(),
        selecting: buffers.selecting.as_slice().into(),
        has_content: has_body || head.upgrade,
    };
    let log = |status, bytes, cache| {
        if service.is_logging() {
            service.log(&Line {
                when: clock::now(),
                client: client.address,
                method: head.method_name,
                authority,
                target: target.path_and_query,
                version: if framed.http1_1 { "HTTP/1.1" } else { "HTTP/1.0" },
                referer: head.fields.first("referer").unwrap_or_default(),
                agent: head.fields.first("user-agent").unwrap_or_default(),
                status,
                bytes,
                cache,
                micros: 0,
            });
        }
    };
    match planned {
        Plan::Answer(hit) => {
            if hit.refresh {
                service.refresh(ask(buffers), hit.object.clone());
            }
            let bytes = hit.reply.content.remaining() as u64;
            log(hit.reply.shape.status(&hit.object), bytes, hit.status);
            let mut content = write_hit(output, hit, service, framed, &mut buffers.text);
            if bytes > COPIED_BODY {
                return Begun::Content { content, persistent: framed.persistent };
            }
            while content.has_remaining() {
                let chunk = content.chunk();
                output.0.extend_from_slice(chunk);
                content.advance(chunk.len());
            }
            Begun::Answered { persistent: framed.persistent }
        }
        Plan::Refuse(problem) => {
            // What follows an unread body is not known to be a request, and what follows CONNECT was
            // meant for a tunnel.
            let unread = has_body || method == Method::CONNECT;
            let framed = Framed { persistent: framed.persistent && !unread, ..framed };
            let status = CacheStatus::EMPTY.detail(problem.word());
            let bytes = write_problem(output, problem, status, service, framed, &mut buffers.text);
            log(problem.status(), bytes, status);
            Begun::Answered { persistent: framed.persistent }
        }
        Plan::Fetch(_) if matches!(head.framing, Framing::Length(n) if n > service.limits().body_bytes) =>
        {
            let framed = Framed { persistent: false, ..framed };
            let problem = Problem::BodyTooLarge;
            let status = CacheStatus::EMPTY.detail(problem.word());
            let bytes = write_problem(output, problem, status, service, framed, &mut buffers.text);
            log(problem.status(), bytes, status);
            Begun::Answered { persistent: false }
        }
        Plan::Fetch(fetch) => Begun::Fetch(Box::new(Fetching {
            ask: Rc::new(ask(buffers)),
            fetch,
            framing: head.framing,
            framed,
            expect_continue: head.expect_continue && has_body,
        })),
    }
}

pub(super) fn method_of(head: &Head<'_>) -> Method {
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

pub(super) const fn version_of(head: &Head<'_>) -> Version {
    match head.version {
        http1::Version::Http10 => Version::HTTP_10,
        http1::Version::Http11 => Version::HTTP_11,
    }
}
