//! From an HTTP/2 request to its answer. A hit is answered at once; what must be asked of the origin
//! becomes a task of its own.

use std::{
    borrow::Cow,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use nigh_cache::{
    fields::Fields,
    flight::{Failure, INTERIM_MAX, Interim, Truncated},
    key::Scheme,
};
use nigh_edge::{
    cache_status::CacheStatus,
    hop,
    plan::{self, Hit, Plan},
    problem::Problem,
    respond::{Audience, MapHead},
};
use tokio::sync::mpsc;

use super::{
    connect::connect,
    content::{Data, Piece},
    request::{content_length, join_cookies, target, without_host},
    streams::{Open, Streams},
};
use crate::{
    access_log::Line,
    body::{BodyBroken, RequestBody},
    clock,
    cluster::name::Name,
    forward_proxy::{Asked, Form, Proving, TunnelAsked, Tunnelling, Way},
    serve_http1::{Buffers, Client},
    service::{
        Answer, Ask, CONTINUE_WAIT, Chunk, Errand, Incoming, Service, Streamed, Work, is_declined,
    },
    sites::Sites,
};

/// How long a stream whose answer is complete is kept open for content that still comes. Closing it
/// resets it, and some clients throw away an answer that a reset follows (RFC 9113, section 8.1).
const LINGER: Duration = Duration::from_secs(2);

/// Stored content of more bytes is watched on its way: the client may leave it in the middle and go on
/// with other streams. What is shorter fits the smallest window that is common.
const LONG: usize = 16 * 1024;

/// What answers the requests of one connection.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) service: Rc<Service>,
    pub(super) client: Client,
    /// The sibling at the other end, by its certificate.
    pub(super) certified: Option<Name>,
    pub(super) streams: Rc<Streams>,
    pub(super) buffers: Buffers,
}

impl Answering {
    /// Answers a request, or sees to it that it will be.
    pub(super) fn begin(&mut self, request: Request<RecvStream>, mut to: SendResponse<Piece>) {
        let open = self.streams.open();
        let (mut head, body) = request.into_parts();
        if let Some(certified) = &self.certified {
            match self.service.errand(&mut self.client, certified, &head) {
                Errand::Ask => {}
                Errand::Done => {
                    let mut done = Response::new(());
                    *done.status_mut() = StatusCode::NO_CONTENT;
                    return drop(to.send_response(done, true));
                }
                Errand::Nonsense => return to.send_reset(Reason::PROTOCOL_ERROR),
            }
        }
        let Self { service, client, streams, buffers, .. } = self;
        let limits = service.limits();
        let Ok(length) = content_length(&head.headers) else {
            // It counts like a request, and gets less of an answer than one.
            service.refusal(client);
            return to.send_reset(Reason::PROTOCOL_ERROR);
        };
        join_cookies(&mut head.headers);
        let read = target(&head, client.scheme);
        // What cannot be read is not repeated in the log either.
        let (authority, path_and_query) = read.unwrap_or(("", "-"));
        let has_body = !body.is_end_stream();
        let sites = service.sites();
        let mut pac = None;
        let route = match way(&head, read, client, &sites) {
            // It is counted when it is begun anew.
            Way::Prove(proving) => {
                let request = Request::from_parts(head, body);
                tokio::task::spawn_local(self.proved().begin_later(*proving, request, to, open));
                return;
            }
            _ if let Some(problem) = service.refusal(client) => Err(problem),
            Way::Follow(route) => Ok(route),
            Way::Refuse(problem) => {
                service.counters().refuse(problem);
                Err(problem)
            }
            Way::Pac => {
                let forward = sites.forward().expect("it is its file");
                pac = Some(forward.pac(authority, client));
                Err(Problem::UnknownHost)
            }
            Way::Tunnel(destination) => {
                let asked = TunnelAsked {
                    to: destination,
                    method: "CONNECT",
                    authority: authority.into(),
                    target: authority.into(),
                    version: "HTTP/2.0",
                    agent: head.headers.first("user-agent").unwrap_or_default().into(),
                };
                let tunnelling = Tunnelling::new(service, client.address, asked);
                tokio::task::spawn_local(connect(tunnelling, body, to, Rc::clone(streams), open));
                return;
            }
        };
        let planned = if let Err(problem @ Problem::TooManyRequests(_)) = route {
            Plan::Refuse(problem)
        } else if read.is_none() {
            Plan::Refuse(Problem::BadTarget)
        } else if head.headers.len() > limits.http1.fields {
            Plan::Refuse(Problem::TooManyFields)
        } else if path_and_query.len() > limits.http1.target_bytes {
            Plan::Refuse(Problem::TargetTooLong)
        } else if length.is_some_and(|length| length > limits.body_bytes) {
            Plan::Refuse(Problem::BodyTooLarge)
        } else if let Ok(route) = &route {
            let (rule, from) = (route.rule(), client.address);
            // Siblings have let their client in already.
            let admitted = match client.sibling {
                Some(_) => Ok(()),
                None => service.admit(route, &head.method, path_and_query, from, &head.headers),
            };
            route.write_key(client.scheme, authority, path_and_query, &mut buffers.key);
            let asked = plan::Request {
                method: &head.method,
                fields: &head.headers,
                has_body,
                upgrade: false,
                bypass: rule.bypass,
                trusted: service.trusts(client.sibling),
            };
            match admitted {
                Ok(()) => service.plan(&asked, rule, &buffers.key, &mut buffers.selecting),
                Err(problem) => Plan::Refuse(problem),
            }
        } else {
            Plan::Refuse(route.as_ref().err().copied().unwrap_or(Problem::UnknownHost))
        };
        let ask = || {
            let route = route.clone().expect("what no site has is refused");
            let mut fields = without_host(&head.headers);
            route.clean(&head.method, &mut fields);
            Ask {
                method: head.method.clone(),
                version: head.version,
                scheme: route.scheme(client.scheme),
                authority: authority.into(),
                path_and_query: path_and_query.into(),
                logged: match route.logged(authority, path_and_query) {
                    Cow::Owned(logged) => Some(logged.into()),
                    Cow::Borrowed(_) => None,
                },
                route,
                fields,
                client: client.address,
                key: buffers.key.as_slice().into(),
                selecting: buffers.selecting.as_slice().into(),
                has_content: has_body,
                sibling: client.sibling,
            }
        };
        let audience = client.audience();
        let mut out = Out { service, method: &head.method, audience, text: &mut buffers.text };
        let (answer, cache) = match planned {
            Plan::Refuse(_) if let Some(file) = pac.take() => (out.pac(file), CacheStatus::EMPTY),
            Plan::Answer(hit) => {
                if let Some(what) = hit.meanwhile {
                    service.improve(ask(), hit.object.clone(), what);
                }
                out.stored(hit)
            }
            Plan::Refuse(problem) => {
                out.problem(problem, CacheStatus::EMPTY.detail(problem.word()))
            }
            Plan::Gather(_) | Plan::Fetch(_) => {
                let work = match planned {
                    Plan::Gather(hit) => {
                        if let Some(what) = hit.meanwhile {
                            service.improve(ask(), hit.object.clone(), what);
                        }
                        Work::Gather(hit)
                    }
                    Plan::Fetch(fetch) => Work::Fetch(fetch),
                    Plan::Answer(_) | Plan::Refuse(_) => unreachable!("answered above"),
                };
                let fetching = Fetching {
                    ask: Rc::new(ask()),
                    work,
                    body: RequestBody::stream(
                        body,
                        length,
                        &limits,
                        route.expect("what no site has is refused"),
                    ),
                    service: Rc::clone(service),
                    streams: Rc::clone(streams),
                    started: Instant::now(),
                };
                tokio::task::spawn_local(fetching.run(to, open));
                return;
            }
        };
        if service.is_logging() && client.sibling.is_none() {
            let target = match &route {
                // It has no path.
                _ if head.method == Method::CONNECT && read.is_some() => Cow::Borrowed(authority),
                Ok(route) => route.logged(authority, path_and_query),
                Err(Problem::Proxy(_)) if head.uri.scheme_str() == Some("http") => {
                    Cow::Owned(format!("http://{authority}{path_and_query}"))
                }
                Err(_) => Cow::Borrowed(path_and_query),
            };
            service.log(&Line {
                when: clock::now(),
                client: client.address,
                method: head.method.as_str(),
                authority,
                target: &target,
                version: "HTTP/2.0",
                referer: head.headers.first("referer").unwrap_or_default(),
                agent: head.headers.first("user-agent").unwrap_or_default(),
                status: answer.status(),
                bytes: answer.body().remaining() as u64,
                cache,
                micros: 0,
            });
        }
        let content = answer.body().remaining();
        if let Ok(route) = &route
            && client.sibling.is_none()
        {
            route.answered(&cache, content as u64);
        }
        if content > LONG || has_body {
            let (streams, service) = (Rc::clone(streams), Rc::clone(service));
            let under_way = service.begin();
            tokio::task::spawn_local(async move {
                let _under_way = under_way;
                let limit = service.limits().write_time;
                let sending = send_watched(&mut to, answer, &streams, limit).await;
                drop(open);
                if has_body {
                    linger(sending).await;
                }
            });
        } else {
            send(&mut to, answer, streams);
        }
    }
}

impl Answering {
    /// The same, for a request that has to wait for something to be found out.
    fn proved(&self) -> Self {
        Self {
            service: Rc::clone(&self.service),
            client: self.client,
            certified: self.certified.clone(),
            streams: Rc::clone(&self.streams),
            buffers: Buffers::default(),
        }
    }

    /// Begins a request anew once it is found out what has to be known of it.
    async fn begin_later(
        mut self,
        proving: Proving,
        request: Request<RecvStream>,
        to: SendResponse<Piece>,
        open: Open,
    ) {
        let sites = self.service.sites();
        if let Some(forward) = sites.forward() {
            self.client.proof = Some(forward.prove(proving).await);
        }
        self.begin(request, to);
        drop(open);
    }
}

/// Where a request leads: to a site, or through a forward proxy. To HTTP/2 every target is absolute,
/// but nobody asks a proxy for https: with that scheme it is the proxy itself that is asked.
fn way(
    head: &http::request::Parts,
    read: Option<(&str, &str)>,
    client: &Client,
    sites: &Sites,
) -> Way {
    let Some((authority, path_and_query)) = read else {
        return Way::Refuse(Problem::BadTarget);
    };
    let forward = sites.forward().filter(|_| client.sibling.is_none());
    let Some(forward) = forward else {
        return match sites.route(authority, path_and_query) {
            Some(route) => Way::Follow(route),
            None => Way::Refuse(Problem::UnknownHost),
        };
    };
    let form = match head.uri.scheme_str() {
        _ if head.method == Method::CONNECT => Form::Connect,
        Some("http") => Form::Absolute(Scheme::Http),
        _ => Form::Origin,
    };
    forward.judge(
        &Asked {
            method: &head.method,
            form,
            authority,
            path_and_query,
            credentials: head.headers.first("proxy-authorization"),
            client,
        },
        sites,
    )
}

/// Sends an answer whose content is there. If the client does not want it any more, nobody does.
fn send(to: &mut SendResponse<Piece>, answer: Response<Data>, streams: &Rc<Streams>) {
    let (head, content) = answer.into_parts();
    let ends = !content.has_remaining();
    if let Ok(mut sending) = to.send_response(Response::from_parts(head, ()), ends)
        && !ends
    {
        drop(sending.send_data(Piece::new(content, streams), true));
    }
}

/// Sends an answer whose content is there, and waits until it was taken; resets the stream if none of
/// it is for `limit`. `None` if the client does not want it any more.
pub(super) async fn send_watched(
    to: &mut SendResponse<Piece>,
    answer: Response<Data>,
    streams: &Rc<Streams>,
    limit: Duration,
) -> Option<SendStream<Piece>> {
    let (head, content) = answer.into_parts();
    let ends = !content.has_remaining();
    let mut sending = to.send_response(Response::from_parts(head, ()), ends).ok()?;
    if !ends {
        let (piece, watch) = Piece::watched(content, streams);
        sending.send_data(piece, true).ok()?;
        if !watch.moves(limit).await {
            sending.send_reset(Reason::CANCEL);
            return None;
        }
    }
    Some(sending)
}

/// Keeps a stream open for a while.
async fn linger(stream: Option<SendStream<Piece>>) {
    if let Some(mut stream) = stream {
        let reset = poll_fn(|cx| stream.poll_reset(cx));
        drop(tokio::time::timeout(LINGER, reset).await);
    }
}

/// A request that the origin must be asked about.
#[derive(Debug)]
struct Fetching {
    ask: Rc<Ask>,
    work: Work,
    body: RequestBody,
    service: Rc<Service>,
    streams: Rc<Streams>,
    started: Instant,
}

impl Fetching {
    async fn run(self, mut to: SendResponse<Piece>, open: Open) {
        let Self { ask, work, body, service, streams, started } = self;
        let _under_way = service.begin();
        // What a client has asked for is logged and counted where it came in.
        let is_clients = ask.sibling.is_none();
        let logged = (is_clients && service.is_logging()).then(|| Rc::clone(&ask));
        let (method, route, audience) = (ask.method.clone(), ask.route.clone(), ask.audience());
        let progress = body.progress();
        let mut expects = progress.is_some() && ask.fields.contains_key(header::EXPECT);
        let answer = {
            let (interims, mut heard) = mpsc::channel(INTERIM_MAX);
            let mut answering = pin!(service.answer(ask, work, body, interims));
            let mut patience = pin!(tokio::time::sleep(CONTINUE_WAIT));
            let answer = loop {
                tokio::select! {
                    biased;
                    Some(interim) = heard.recv() => send_interim(&mut to, interim, &mut expects),
                    answer = &mut answering => break answer,
                    // The client wants no answer any more.
                    _ = poll_fn(|cx| to.poll_reset(cx)) => {
                        streams.withdrew();
                        if let Some(ask) = logged {
                            service.log(&ask.gone(started.elapsed()));
                        }
                        return;
                    }
                    () = &mut patience, if expects => {
                        let go_on = Interim { status: StatusCode::CONTINUE, fields: Arc::default() };
                        send_interim(&mut to, go_on, &mut expects);
                    }
                }
            };
            // Those that came in one piece with the head.
            while let Ok(interim) = heard.try_recv() {
                send_interim(&mut to, interim, &mut expects);
            }
            streams.answered();
            answer
        };
        let mut text = Vec::with_capacity(64);
        let mut out = Out { service: &service, method: &method, audience, text: &mut text };
        let broken = progress.as_ref().and_then(|progress| progress.broken());
        let (sending, record) = match answer {
            Answer::Streamed(streamed) => stream(&mut to, streamed, &mut out, &streams).await,
            Answer::Gathered(hit, content) => {
                let (answer, cache) = out.stored(hit);
                let response = Response::from_parts(answer.into_parts().0, ());
                let mut record = (response.status(), 0, cache);
                let limit = service.limits().write_time;
                let sending = match to.send_response(response, false) {
                    Ok(sending) => {
                        send_chunks(sending, None, content, limit, &streams, &mut record.1).await
                    }
                    Err(_) => None,
                };
                (sending, record)
            }
            other => {
                let (answer, cache) = match other {
                    Answer::Stored(hit) => out.stored(hit),
                    Answer::Problem(_, cache) if broken == Some(BodyBroken::TooLong) => {
                        out.problem(Problem::BodyTooLarge, cache)
                    }
                    Answer::Problem(_, cache) if broken == Some(BodyBroken::FieldRefused) => {
                        out.problem(Problem::FieldRefused, cache)
                    }
                    Answer::Problem(problem, cache) => out.problem(problem, cache),
                    Answer::Streamed(_) | Answer::Gathered(..) => unreachable!("taken out before"),
                    Answer::Upgraded(_) => {
                        unreachable!("HTTP/2 has no Upgrade (RFC 9113, section 8.6)")
                    }
                };
                let record = (answer.status(), answer.body().remaining() as u64, cache);
                let limit = service.limits().write_time;
                (send_watched(&mut to, answer, &streams, limit).await, record)
            }
        };
        let (status, bytes, cache) = record;
        if is_clients {
            route.answered(&cache, bytes);
        }
        if let Some(ask) = logged {
            service.log(&ask.line(status, bytes, cache, started.elapsed()));
        }
        drop(open);
        if progress.is_some_and(|progress| !progress.is_complete()) {
            linger(sending).await;
        }
    }
}

/// What was sent, for the log.
type Record = (StatusCode, u64, CacheStatus);

/// Passes an interim response on; a 100 only to who still waits for it. RFC 9113, section 8.1; RFC
/// 8297.
fn send_interim(to: &mut SendResponse<Piece>, interim: Interim, expects: &mut bool) {
    if interim.status == StatusCode::CONTINUE && !std::mem::take(expects) {
        return;
    }
    let mut response = Response::new(());
    *response.status_mut() = interim.status;
    *response.headers_mut() = Arc::unwrap_or_clone(interim.fields);
    // One that cannot be sent is one that nobody waits for.
    drop(to.send_informational(response));
}

/// Sends an answer as it comes from the origin.
async fn stream(
    to: &mut SendResponse<Piece>,
    streamed: Streamed,
    out: &mut Out<'_>,
    streams: &Rc<Streams>,
) -> (Option<SendStream<Piece>>, Record) {
    let (response, cache, bodiless) = out.streamed(&streamed);
    let mut content = streamed.content;
    let mut record = (response.status(), 0, cache);
    if bodiless {
        return (to.send_response(response, true).ok(), record);
    }
    // Nothing is promised yet: of an answer that breaks off at once the client learns what happened.
    let first = poll_fn(|cx| Poll::Ready(content.poll_chunk(cx))).await;
    if let Poll::Ready(Err(_)) = first {
        let (answer, cache) = out.problem(Problem::Origin(Failure::Closed), cache);
        record = (answer.status(), answer.body().remaining() as u64, cache);
        let limit = out.service.limits().write_time;
        return (send_watched(to, answer, streams, limit).await, record);
    }
    let Ok(sending) = to.send_response(response, false) else { return (None, record) };
    let first = match first {
        Poll::Ready(first) => Some(first),
        Poll::Pending => None,
    };
    let limit = out.service.limits().write_time;
    let sent = send_chunks(sending, first, content, limit, streams, &mut record.1).await;
    (sent, record)
}

/// Sends content as it comes, of which `first` was read already. `None` if it was not sent to its end.
async fn send_chunks(
    mut sending: SendStream<Piece>,
    first: Option<Result<Option<Chunk>, Truncated>>,
    mut content: Incoming,
    limit: Duration,
    streams: &Rc<Streams>,
    sent: &mut u64,
) -> Option<SendStream<Piece>> {
    let mut next = match first {
        Some(first) => Some(first),
        None => chunk(&mut content, &mut sending).await,
    };
    loop {
        match next {
            Some(Ok(Some(bytes))) => {
                let length = bytes.remaining();
                // Made before there is room for it: it is what the client keeps waiting.
                let piece = Piece::new(Data::Chunk(bytes), streams);
                match tokio::time::timeout(limit, has_room(&mut sending, length)).await {
                    Ok(true) if sending.send_data(piece, false).is_ok() => {}
                    Ok(_) => break,
                    // The client takes other streams' content, perhaps, but not this one's.
                    Err(_) => {
                        sending.send_reset(Reason::CANCEL);
                        break;
                    }
                }
                *sent += length as u64;
                next = chunk(&mut content, &mut sending).await;
            }
            Some(Ok(None)) => {
                let ended = match content.trailers() {
                    Some(trailers) => sending.send_trailers((*trailers).clone()),
                    None => sending.send_data(Piece::new(Data::Bytes(Bytes::new()), streams), true),
                };
                // Only a client that has reset the stream hears no end, and it wants none.
                drop(ended);
                return Some(sending);
            }
            // The client sees an unfinished message, never a short one that looks whole.
            Some(Err(_)) => {
                sending.send_reset(Reason::INTERNAL_ERROR);
                break;
            }
            None => break,
        }
    }
    None
}

/// The next of the content; `None` if the client does not want it any more.
async fn chunk(
    content: &mut Incoming,
    sending: &mut SendStream<Piece>,
) -> Option<Result<Option<Chunk>, Truncated>> {
    tokio::select! {
        biased;
        chunk = content.chunk() => Some(chunk),
        _ = poll_fn(|cx| sending.poll_reset(cx)) => None,
    }
}

/// Waits until the client lets some of a piece come; false if it does not want it any more.
async fn has_room(sending: &mut SendStream<Piece>, length: usize) -> bool {
    sending.reserve_capacity(length);
    sending.capacity() > 0 || matches!(poll_fn(|cx| sending.poll_capacity(cx)).await, Some(Ok(_)))
}

/// Writes heads for `h2`.
pub(super) struct Out<'a> {
    pub(super) service: &'a Service,
    pub(super) method: &'a Method,
    pub(super) audience: Audience,
    pub(super) text: &'a mut Vec<u8>,
}

impl Out<'_> {
    fn stored(&mut self, hit: Hit) -> (Response<Data>, CacheStatus) {
        let mut head = MapHead::default();
        self.service.write_stored(&mut head, &hit, self.audience, self.text);
        (response(head, Data::Stored(hit.reply.content)), hit.status)
    }

    /// The head of an answer on its way, and whether no content follows.
    fn streamed(&mut self, streamed: &Streamed) -> (Response<()>, CacheStatus, bool) {
        let mut head = MapHead::default();
        self.service.write_streamed(&mut head, streamed, self.audience, self.text);
        let Streamed { head: origin, status, not_modified, .. } = streamed;
        let to_head = *self.method == Method::HEAD;
        let bodiless = to_head
            || *not_modified
            || matches!(origin.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = if to_head {
            origin.announced.clone()
        } else {
            streamed.length().filter(|_| !bodiless).map(HeaderValue::from)
        };
        if let Some(length) = length {
            head.fields.insert(header::CONTENT_LENGTH, length);
        }
        (response(head, ()), *status, bodiless)
    }

    /// The file that tells browsers about a forward proxy.
    fn pac(&mut self, file: String) -> Response<Data> {
        let mut head = MapHead::default();
        self.service.write_pac(&mut head, file.len(), self.text);
        let file = if *self.method == Method::HEAD { Bytes::new() } else { Bytes::from(file) };
        response(head, Data::Bytes(file))
    }

    pub(super) fn problem(
        &mut self,
        problem: Problem,
        cache: CacheStatus,
    ) -> (Response<Data>, CacheStatus) {
        let mut head = MapHead::default();
        let body = problem.body();
        self.service.count_problem(problem);
        let (status, allowed) = (problem.status(), problem.allowed());
        self.service.write_own(&mut head, status, body.len(), allowed, cache, self.text);
        if self.audience == Audience::Sibling && is_declined(problem) {
            head.fields.insert(hop::NAME, HeaderValue::from_static(hop::DECLINED));
        }
        if let Some(seconds) = problem.retry_after() {
            head.fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let body = if *self.method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
        (response(head, Data::Bytes(body)), cache)
    }
}

fn response<T>(head: MapHead, content: T) -> Response<T> {
    let mut response = Response::new(content);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    response
}
