//! Heads of answers as they go out: what is common to all ways of answering.

use http::StatusCode;
use nigh_cache::flight::Interim;
use nigh_edge::{
    cache_status::CacheStatus,
    plan::Hit,
    problem::Problem,
    reply::Content,
    respond::{self, Audience, Sink},
};

use crate::{
    http1::write,
    service::{Service, Upgraded},
};

/// How the answer to one request must be framed.
#[derive(Clone, Copy)]
pub(super) struct Framed {
    /// It is an answer to HEAD: no content follows, whatever the head says.
    pub(super) head_only: bool,
    /// HTTP/1.0 knows no chunks and no interim responses.
    pub(super) http1_1: bool,
    /// The connection stays open behind it.
    pub(super) persistent: bool,
}

/// An HTTP/1 head being written.
#[derive(Debug, Default)]
pub(super) struct Output(pub(super) Vec<u8>);

impl Sink for Output {
    fn status(&mut self, status: StatusCode) {
        write::status_line(&mut self.0, status);
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        write::field(&mut self.0, name, value);
    }
}

/// Ends a head, with what Connection has to say. RFC 9112, section 9.6.
pub(super) fn end_head(output: &mut Output, framed: Framed) {
    match (framed.persistent, framed.http1_1) {
        (true, true) => {}
        (true, false) => output.field("connection", b"keep-alive"),
        (false, _) => output.field("connection", b"close"),
    }
    write::end_of_head(&mut output.0);
}

/// Writes the head of an answer from the store; its content is the caller's to send.
pub(super) fn write_hit(
    output: &mut Output,
    hit: Hit,
    service: &Service,
    framed: Framed,
    text: &mut Vec<u8>,
) -> Content {
    service.write_stored(output, &hit, Audience::Client, text);
    end_head(output, framed);
    hit.reply.content
}

/// Writes an answer of our own; says how many bytes of content it has.
pub(super) fn write_problem(
    output: &mut Output,
    problem: Problem,
    status: CacheStatus,
    service: &Service,
    framed: Framed,
    text: &mut Vec<u8>,
) -> u64 {
    let body = problem.body();
    service.count_problem(problem);
    service.write_own(output, problem.status(), body.len(), problem.allowed(), status, text);
    if let Some(seconds) = problem.retry_after() {
        write::number_field(&mut output.0, "retry-after", u64::from(seconds));
    }
    end_head(output, framed);
    if framed.head_only {
        return 0;
    }
    output.0.extend_from_slice(body.as_bytes());
    body.len() as u64
}

pub(super) fn write_interim(interim: &Interim, output: &mut Output) {
    output.status(interim.status);
    for (name, value) in &*interim.fields {
        output.field(name.as_str(), value.as_bytes());
    }
    write::end_of_head(&mut output.0);
}

pub(super) fn write_upgrade(
    upgraded: &Upgraded,
    service: &Service,
    output: &mut Output,
    text: &mut Vec<u8>,
) {
    respond::streamed(
        output,
        StatusCode::SWITCHING_PROTOCOLS,
        upgraded.fields.iter(),
        &service.additions(upgraded.status, Audience::Client),
        text,
    );
    write::end_of_head(&mut output.0);
}
