//! HTTP/2 towards clients: hyper speaks it, this file turns its requests into ours and our answers
//! into its. RFC 9113.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioIo, TokioTimer};
use nigh_cache::flight::{INTERIM_MAX, Reader, Truncated};
use nigh_edge::{
    cache_status::CacheStatus,
    plan::{self, Hit, Plan},
    problem::Problem,
    reply::Content,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::Instant,
};

use crate::{
    body::RequestBody,
    executor::Local,
    serve_http1::Client,
    service::{Answer, Ask, Service, Streamed},
};

/// Bytes of a stream, and of a connection, that a client may send ahead of what is read.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of a connection that may wait to be sent.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that a client may reset before they are answered, in a row: resetting is cheap for it and
/// costs us a request (the "rapid reset" of 2023).
const PENDING_RESETS: usize = 32;

/// Serves an HTTP/2 connection until it ends, or, when the draining begins, until its streams have.
pub(crate) async fn serve<S>(stream: S, client: Client, service: Rc<Service>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = service.limits();
    let idle = limits.idle_time;
    let mut builder = hyper::server::conn::http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(u32::try_from(limits.http1.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        // A client that is gone is found out; one that is only quiet is asked.
        .keep_alive_interval(idle)
        .keep_alive_timeout(limits.head_time);
    let place = service.idle_place();
    let answering = hyper::service::service_fn({
        let service = Rc::clone(&service);
        move |request| answer(request, client, Rc::clone(&service))
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), answering));
    let mut told = false;
    std::future::poll_fn(|cx| {
        if !told && place.is_over(cx) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        // An error is the client's doing, or its going away: there is nobody to tell.
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

async fn answer(
    request: Request<Incoming>,
    client: Client,
    service: Rc<Service>,
) -> Result<Response<Outgoing>, std::convert::Infallible> {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = authority.or(host).unwrap_or_default();
    let path_and_query = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut key = Vec::with_capacity(128);
    nigh_cache::key::write(client.scheme, authority, path_and_query, &mut key);
    let has_body = !body.is_end_stream();
    let mut selecting = Vec::new();
    let asked =
        plan::Request { method: &head.method, fields: &head.headers, has_body, upgrade: false };
    let planned = if path_and_query.len() > service.limits().http1.target_bytes {
        Plan::Refuse(Problem::TargetTooLong)
    } else if body.size_hint().lower() > service.limits().body_bytes {
        Plan::Refuse(Problem::BodyTooLarge)
    } else {
        service.plan(&asked, &key, &mut selecting)
    };
    let ask = || Ask {
        method: head.method.clone(),
        version: head.version,
        scheme: client.scheme,
        authority: authority.into(),
        path_and_query: path_and_query.into(),
        fields: without_host(&head.headers),
        client: client.address,
        key: key.as_slice().into(),
        selecting: selecting.as_slice().into(),
    };
    let mut out = Out { service: &service, method: &head.method, text: Vec::with_capacity(64) };
    let (response, cache) = match planned {
        Plan::Answer(hit) => {
            if hit.refresh {
                service.refresh(ask(), hit.object.clone());
            }
            out.stored(hit)
        }
        Plan::Refuse(problem) => out.problem(problem, CacheStatus::EMPTY.detail(problem.word())),
        Plan::Fetch(fetch) => {
            let too_long = Rc::new(Cell::new(false));
            let limit = service.limits().body_bytes;
            let body = RequestBody::stream(body, limit, Rc::clone(&too_long));
            // hyper cannot send interim responses over HTTP/2 yet, so they stay unheard.
            let (interims, _unheard) = mpsc::channel(INTERIM_MAX);
            match service.fetch(ask(), fetch, body, interims).await {
                Answer::Stored(hit) => out.stored(hit),
                Answer::Streamed(streamed) => out.streamed(streamed),
                Answer::Problem(_, cache) if too_long.get() => {
                    out.problem(Problem::BodyTooLarge, cache)
                }
                Answer::Problem(problem, cache) => out.problem(problem, cache),
                Answer::Upgraded(_) => unreachable!("HTTP/2 has no Upgrade (RFC 9113, 8.6)"),
            }
        }
    };
    if service.is_logging() {
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        service.log(&ask().line(response.status(), bytes, cache, started.elapsed()));
    }
    Ok(response)
}

/// The authority travels in `:authority`; a Host beside it says the same or is ignored (RFC 9113,
/// section 8.3.1).
fn without_host(fields: &HeaderMap) -> HeaderMap {
    let mut fields = fields.clone();
    fields.remove(header::HOST);
    fields
}

/// Makes hyper's responses of ours.
struct Out<'a> {
    service: &'a Service,
    method: &'a Method,
    text: Vec<u8>,
}

impl Out<'_> {
    fn stored(&mut self, hit: Hit) -> (Response<Outgoing>, CacheStatus) {
        let mut head = empty_head();
        self.service.write_stored(&mut head, &hit, &mut self.text);
        let cache = hit.status;
        (Response::from_parts(head, Outgoing::Stored(hit.reply.content)), cache)
    }

    fn streamed(&mut self, streamed: Streamed) -> (Response<Outgoing>, CacheStatus) {
        let mut head = empty_head();
        self.service.write_streamed(&mut head, &streamed, &mut self.text);
        let Streamed { head: origin, reader, status, not_modified, .. } = streamed;
        let bodiless = *self.method == Method::HEAD
            || not_modified
            || matches!(origin.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = if *self.method == Method::HEAD {
            origin.announced.clone()
        } else {
            origin.length.filter(|_| !bodiless).map(http::HeaderValue::from)
        };
        if let Some(length) = length {
            head.headers.insert(header::CONTENT_LENGTH, length);
        }
        let body = if bodiless {
            Outgoing::Stored(Content::Empty)
        } else {
            Outgoing::Stream { reader, left: origin.length, ended: false }
        };
        (Response::from_parts(head, body), status)
    }

    fn problem(
        &mut self,
        problem: Problem,
        cache: CacheStatus,
    ) -> (Response<Outgoing>, CacheStatus) {
        let mut head = empty_head();
        let body = problem.body();
        self.service.write_own(&mut head, problem.status(), body.len(), cache, &mut self.text);
        let body = if *self.method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
        (Response::from_parts(head, Outgoing::Own(body)), cache)
    }
}

fn empty_head() -> http::response::Parts {
    let (mut head, ()) = Response::new(()).into_parts();
    head.headers.reserve(16);
    head
}

/// The content of an answer on its way into an HTTP/2 stream.
#[derive(Debug)]
enum Outgoing {
    /// From the store.
    Stored(Content),
    /// From the origin.
    Stream { reader: Reader, left: Option<u64>, ended: bool },
    /// Our own words.
    Own(Bytes),
}

/// One frame's worth of it.
#[derive(Debug)]
enum Piece {
    Stored(Content),
    Bytes(Bytes),
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        match self {
            Self::Stored(content) => content.remaining(),
            Self::Bytes(bytes) => bytes.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Stored(content) => content.chunk(),
            Self::Bytes(bytes) => bytes.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        match self {
            Self::Stored(content) => content.chunks_vectored(slices),
            Self::Bytes(bytes) => bytes.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Stored(content) => content.advance(count),
            Self::Bytes(bytes) => bytes.advance(count),
        }
    }
}

impl Body for Outgoing {
    type Data = Piece;
    type Error = Truncated;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Truncated>>> {
        match self.get_mut() {
            Self::Stored(content) => {
                let all = std::mem::replace(content, Content::Empty);
                let some = all.has_remaining();
                Poll::Ready(some.then(|| Ok(Frame::data(Piece::Stored(all)))))
            }
            Self::Own(bytes) => {
                let all = std::mem::take(bytes);
                Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(Piece::Bytes(all)))))
            }
            Self::Stream { ended: true, .. } => Poll::Ready(None),
            Self::Stream { reader, left, ended } => match reader.poll_chunk(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(truncated)) => Poll::Ready(Some(Err(truncated))),
                Poll::Ready(Ok(Some(chunk))) => {
                    if let Some(left) = left {
                        *left = left.saturating_sub(chunk.len() as u64);
                    }
                    Poll::Ready(Some(Ok(Frame::data(Piece::Bytes(chunk)))))
                }
                Poll::Ready(Ok(None)) => {
                    *ended = true;
                    let trailers = reader.trailers().map(|trailers| (*trailers).clone());
                    Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stored(content) => !content.has_remaining(),
            Self::Own(bytes) => bytes.is_empty(),
            Self::Stream { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stored(content) => SizeHint::with_exact(content.remaining() as u64),
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
