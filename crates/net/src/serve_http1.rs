//! One HTTP/1 connection from a client: read heads, answer in order, keep it open. RFC 9112.
//!
//! The common case, a hit, is one read, one look into the store and one write: the head is judged
//! where it lies, the answer's head is written into a buffer that stays with the connection, and a
//! large body is sent from where it is stored.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Method, StatusCode, Version};
use hyper::body::Frame;
use nigh_cache::{
    fields::Fields,
    flight::{Failure, INTERIM_MAX, Interim},
    key::Scheme,
};
use nigh_edge::{
    cache_status::CacheStatus,
    plan::{self, Hit, Plan},
    problem::{self, Problem},
    reply::Content,
    respond::{self, Sink},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Notify, mpsc},
    time::{Instant, Sleep},
};

use crate::{
    access_log::Line,
    body::{Part, Pump, RequestBody},
    clock,
    http1::{self, Framing, Head, Refusal, Trailers, write},
    service::{Answer, Ask, IdlePlace, Limits, Service, Streamed, Upgraded},
    tunnel,
};

/// Bytes that a connection's buffers keep while it waits; larger ones are given back.
const RESTING_BUFFER: usize = 8 * 1024;

/// Bodies up to this many bytes are copied behind their head: one copy costs less than a second
/// slice in the kernel.
const COPIED_BODY: u64 = 4 * 1024;

/// Answers to pipelined requests gather until they are this many bytes.
const GATHERED: usize = 32 * 1024;

/// Slices of a large body that one write takes.
const SLICES: usize = 64;

/// Bytes that one read of a request's body makes room for.
const BODY_READ: usize = 32 * 1024;

/// After a last answer, how long and how many bytes of what the client still sends are thrown away,
/// so that closing does not destroy the answer on its way (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// How long a client that sent `Expect: 100-continue` is left waiting for the origin's word.
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// What a connection is, besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) scheme: Scheme,
}

/// How serving a connection ended.
#[derive(Debug)]
pub(crate) enum Ended<S> {
    /// It is closed, or will be when the stream is dropped.
    Closed,
    /// The client speaks HTTP/2: its preface, and what came with it, was read.
    Http2(S, Vec<u8>),
}

/// Serves a connection until it ends.
pub(crate) async fn serve<S>(stream: S, client: Client, service: Rc<Service>) -> Ended<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection::new(stream, client, service);
    match connection.negotiate().await {
        Ok(http1::Preface::Whole) => {
            return Ended::Http2(connection.stream, connection.input.bytes);
        }
        Ok(_) => {}
        Err(_) => return Ended::Closed,
    }
    // An error here is the client's going away; there is nobody to tell.
    let _ = connection.run().await;
    Ended::Closed
}

struct Connection<S> {
    stream: S,
    client: Client,
    service: Rc<Service>,
    input: Input,
    progress: http1::Progress,
    output: Output,
    buffers: Buffers,
    timer: Timer,
    place: IdlePlace,
}

/// What was read and not yet used.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    start: usize,
}

/// What a plan and an answer are worked out in; kept, so that nothing is allocated.
#[derive(Debug, Default)]
struct Buffers {
    key: Vec<u8>,
    selecting: Vec<u8>,
    text: Vec<u8>,
}

/// An HTTP/1 head being written.
#[derive(Debug, Default)]
struct Output(Vec<u8>);

impl Sink for Output {
    fn status(&mut self, status: StatusCode) {
        write::status_line(&mut self.0, status);
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        write::field(&mut self.0, name, value);
    }
}

/// One clock a connection, set again only when it rings early: pushing a deadline out is free.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
}

impl Timer {
    fn new() -> Self {
        let deadline = Instant::now();
        Self { sleep: Box::pin(tokio::time::sleep_until(deadline)), deadline }
    }

    fn set(&mut self, limit: Duration) {
        self.deadline = Instant::now() + limit;
    }

    /// True once the deadline has passed. Asked only when there is nothing else to do.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        if self.sleep.deadline() > self.deadline {
            self.sleep.as_mut().reset(self.deadline);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                return true;
            }
            self.sleep.as_mut().reset(self.deadline);
        }
        false
    }

    /// Runs `io` until it is done or the deadline passes.
    async fn bound<T>(&mut self, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut io = pin!(io);
        poll_fn(|cx| match io.as_mut().poll(cx) {
            Poll::Pending if self.poll_expired(cx) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        })
        .await
    }
}

/// What became of a head.
enum Begun {
    /// The answer lies in the output; the connection stays open, or not.
    Answered { persistent: bool },
    /// Its head does; this is its content.
    Content { content: Content, persistent: bool },
    /// The origin must be asked.
    Fetch(Box<Fetching>),
}

struct Fetching {
    ask: Ask,
    fetch: plan::Fetch,
    framing: Framing,
    framed: Framed,
    expect_continue: bool,
    upgrade: bool,
}

/// How the answer to one request must be framed.
#[derive(Clone, Copy)]
struct Framed {
    /// It is an answer to HEAD: no content follows, whatever the head says.
    head_only: bool,
    /// HTTP/1.0 knows no chunks and no interim responses.
    http1_1: bool,
    /// The connection stays open behind it.
    persistent: bool,
}

impl Input {
    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Reads more behind what is there; zero at the end of the stream.
    async fn fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        at_least: usize,
    ) -> io::Result<usize> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve(at_least);
        stream.read_buf(&mut self.bytes).await
    }
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(stream: S, client: Client, service: Rc<Service>) -> Self {
        let place = service.idle_place();
        Self {
            stream,
            client,
            service,
            input: Input::default(),
            progress: http1::Progress::default(),
            output: Output::default(),
            buffers: Buffers::default(),
            timer: Timer::new(),
            place,
        }
    }

    /// Reads until it is clear which version of HTTP this is.
    async fn negotiate(&mut self) -> io::Result<http1::Preface> {
        self.timer.set(self.service.limits().head_time);
        loop {
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let preface = http1::http2_preface(self.input.unread());
            if preface != http1::Preface::Partial {
                return Ok(preface);
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.timer.bound(self.input.fill(&mut self.stream, 4096)).await
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            let service = Rc::clone(&self.service);
            let begun = {
                let mut scratch = http1::Scratch::new();
                let unread = self.input.unread();
                match http1::parse(
                    unread,
                    &service.limits().http1,
                    &mut self.progress,
                    &mut scratch,
                ) {
                    Ok(Some(head)) => {
                        let begun = begin(
                            &head,
                            self.client,
                            &service,
                            &mut self.output,
                            &mut self.buffers,
                        );
                        let len = head.len;
                        self.input.consume(len);
                        Some(begun)
                    }
                    Ok(None) => None,
                    Err(refusal) => return self.refuse(refusal).await,
                }
            };
            let persistent = match begun {
                None => {
                    self.flush().await?;
                    if !self.wait_for_more().await? {
                        return Ok(());
                    }
                    continue;
                }
                Some(Begun::Answered { persistent }) => persistent,
                Some(Begun::Content { content, persistent }) => {
                    self.send_content(content).await?;
                    persistent
                }
                Some(Begun::Fetch(fetching)) => self.fetch(*fetching).await?,
            };
            if !persistent {
                return self.close().await;
            }
            if self.output.0.len() >= GATHERED {
                self.flush().await?;
            }
        }
    }

    /// Waits for bytes of the next head, or for the rest of one; false when the connection is over.
    async fn wait_for_more(&mut self) -> io::Result<bool> {
        let begun = !self.input.unread().is_empty();
        if !begun {
            self.rest();
            self.timer.set(self.service.limits().idle_time);
        } else if self.timer.deadline > Instant::now() + self.service.limits().head_time {
            // The head has begun: from now on it is the whole head that is late, not its bytes.
            self.timer.set(self.service.limits().head_time);
        }
        let Self { stream, input, timer, place, .. } = self;
        let read = {
            let mut reading = pin!(input.fill(stream, 4096));
            poll_fn(|cx| match reading.as_mut().poll(cx) {
                Poll::Ready(read) => Poll::Ready(read.map(Some)),
                Poll::Pending if !begun && place.is_over(cx) => Poll::Ready(Ok(None)),
                Poll::Pending if timer.poll_expired(cx) => {
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        match read {
            Ok(Some(n)) => {
                if n > 0 && !begun {
                    self.timer.set(self.service.limits().head_time);
                }
                Ok(n > 0)
            }
            Ok(None) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && begun => {
                self.service.counters().slow_head();
                self.own_and_close(StatusCode::REQUEST_TIMEOUT, "the head took too long to arrive")
                    .await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives large buffers back while nothing happens.
    fn rest(&mut self) {
        self.input.bytes.shrink_to(RESTING_BUFFER);
        self.output.0.shrink_to(RESTING_BUFFER);
    }

    async fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        self.service.counters().refused();
        self.own_and_close(refusal.status(), &refusal.to_string()).await
    }

    async fn own_and_close(&mut self, status: StatusCode, detail: &str) -> io::Result<()> {
        let body = problem::body(status, detail);
        let service = Rc::clone(&self.service);
        service.write_own(
            &mut self.output,
            status,
            body.len(),
            CacheStatus::EMPTY,
            &mut self.buffers.text,
        );
        self.output.field("connection", b"close");
        write::end_of_head(&mut self.output.0);
        self.output.0.extend_from_slice(body.as_bytes());
        self.close().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.output.0.is_empty() {
            return Ok(());
        }
        let Self { stream, output, timer, .. } = self;
        send(stream, timer, self.service.limits().write_time, &mut output.0, Bytes::new()).await
    }

    /// Sends the gathered output and stored content behind it.
    async fn send_content(&mut self, content: Content) -> io::Result<()> {
        let limit = self.service.limits().write_time;
        let Self { stream, output, timer, .. } = self;
        send(stream, timer, limit, &mut output.0, content).await
    }

    /// Says goodbye: what is gathered goes out, and what still comes in is thrown away for a while.
    async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.timer.set(LINGER);
        let Self { stream, timer, input, .. } = self;
        timer.bound(stream.shutdown()).await?;
        let mut thrown = 0;
        while thrown < LINGER_BYTES {
            input.bytes.clear();
            input.start = 0;
            match timer.bound(input.fill(stream, 4096)).await {
                Ok(0) | Err(_) => break,
                Ok(n) => thrown += n,
            }
        }
        Ok(())
    }

    /// Asks the origin and sends its answer; says whether the connection stays open.
    async fn fetch(&mut self, fetching: Fetching) -> io::Result<bool> {
        self.flush().await?;
        let started = Instant::now();
        let Fetching { ask, fetch, framing, mut framed, expect_continue, upgrade } = fetching;
        let logged = self.service.is_logging().then(|| ask.clone());
        let service = Rc::clone(&self.service);
        let limits = service.limits();
        let mut body = http1::Body::new(framing, &limits.http1);
        let has_body = !body.is_ended();
        let (pump, request_body) = if has_body {
            let length = if let Framing::Length(length) = framing { Some(length) } else { None };
            let (pump, body) = RequestBody::pumped(length);
            (Some(pump), body)
        } else {
            (None, RequestBody::Empty)
        };
        let go = Notify::new();
        let mut waiting = expect_continue;
        if !waiting {
            go.notify_one();
        }
        let (interims, mut interim) = mpsc::channel(INTERIM_MAX);
        let Self { stream, input, output, timer, buffers, .. } = self;
        let (mut reader, mut writer) = tokio::io::split(&mut *stream);
        let mut pumped = !has_body;
        let mut refused = None;
        let sent = 'answered: {
            let mut pumping = pin!(async {
                match pump {
                    Some(pump) => pump_body(&mut reader, input, &mut body, pump, &go, limits).await,
                    None => Ok(()),
                }
            });
            let mut answering = pin!(service.fetch(ask, fetch, request_body, interims));
            let mut patience = pin!(tokio::time::sleep(CONTINUE_WAIT));
            let answer = loop {
                tokio::select! {
                    biased;
                    Some(interim) = interim.recv() => {
                        if interim.status == StatusCode::CONTINUE {
                            if std::mem::take(&mut waiting) {
                                output.0.extend_from_slice(write::CONTINUE);
                                go.notify_one();
                            }
                        } else if framed.http1_1 {
                            write_interim(&interim, output);
                        }
                        send(&mut writer, timer, limits.write_time, &mut output.0, Bytes::new()).await?;
                    }
                    answer = &mut answering => break answer,
                    done = &mut pumping, if !pumped => {
                        pumped = true;
                        refused = done.err();
                    }
                    () = &mut patience, if waiting => {
                        waiting = false;
                        output.0.extend_from_slice(write::CONTINUE);
                        send(&mut writer, timer, limits.write_time, &mut output.0, Bytes::new()).await?;
                        go.notify_one();
                    }
                }
            };
            // A client that was never told to go on may or may not send its body, and a body that was
            // refused has no end: nobody can tell what the next bytes are.
            framed.persistent &= !waiting && refused.is_none() && !service.is_draining();
            if let Answer::Upgraded(upgraded) = answer {
                assert!(upgrade, "only who asks for an upgrade gets one");
                write_upgrade(&upgraded, &service, output, &mut buffers.text);
                send(&mut writer, timer, limits.write_time, &mut output.0, Bytes::new()).await?;
                if let Some(ask) = &logged {
                    let status = StatusCode::SWITCHING_PROTOCOLS;
                    service.log(&ask.line(status, 0, upgraded.status, started.elapsed()));
                }
                break 'answered Err(upgraded);
            }
            let answer = match refused {
                Some(refusal) => {
                    Answer::Problem(Problem::Body(refusal.status()), CacheStatus::EMPTY)
                }
                None => answer,
            };
            let out = Out { writer: &mut writer, timer, limit: limits.write_time, output };
            let mut sending = pin!(out.answer(answer, &mut framed, &service, &mut buffers.text));
            loop {
                tokio::select! {
                    biased;
                    sent = &mut sending => break Ok(sent),
                    done = &mut pumping, if !pumped => pumped = done.is_ok(),
                }
            }
        };
        let (outcome, record) = match sent {
            Ok(sent) => sent,
            Err(upgraded) => {
                let idle = limits.tunnel_idle;
                tunnel::run(stream, input.unread(), upgraded.upgrade, idle).await;
                return Ok(false);
            }
        };
        if let Some(ask) = &logged {
            service.log(&ask.line(record.status, record.bytes, record.cache, started.elapsed()));
        }
        outcome?;
        Ok(framed.persistent && pumped)
    }
}

/// What was sent, for the log.
#[derive(Clone, Copy)]
struct Record {
    status: StatusCode,
    bytes: u64,
    cache: CacheStatus,
}

/// Where an answer goes.
struct Out<'a, W> {
    writer: &'a mut W,
    timer: &'a mut Timer,
    limit: Duration,
    output: &'a mut Output,
}

impl<W: AsyncWrite + Unpin> Out<'_, W> {
    async fn answer(
        mut self,
        answer: Answer,
        framed: &mut Framed,
        service: &Service,
        text: &mut Vec<u8>,
    ) -> (io::Result<()>, Record) {
        let mut record = Record { status: StatusCode::OK, bytes: 0, cache: CacheStatus::EMPTY };
        let sent = match answer {
            Answer::Stored(hit) => {
                record.status = hit.reply.shape.status(&hit.object);
                record.cache = hit.status;
                record.bytes = hit.reply.content.remaining() as u64;
                let content = write_hit(self.output, hit, service, *framed, text);
                send(self.writer, self.timer, self.limit, &mut self.output.0, content).await
            }
            Answer::Streamed(streamed) => {
                self.stream(streamed, framed, service, text, &mut record).await
            }
            Answer::Problem(problem, status) => {
                record.status = problem.status();
                record.cache = status;
                record.bytes = write_problem(self.output, problem, status, service, *framed, text);
                send(self.writer, self.timer, self.limit, &mut self.output.0, Bytes::new()).await
            }
            Answer::Upgraded(_) => unreachable!("upgrades were taken out before"),
        };
        (sent, record)
    }

    async fn stream(
        &mut self,
        streamed: Streamed,
        framed: &mut Framed,
        service: &Service,
        text: &mut Vec<u8>,
        record: &mut Record,
    ) -> io::Result<()> {
        let start = self.output.0.len();
        service.write_streamed(self.output, &streamed, text);
        let Streamed { head, mut reader, status, not_modified, .. } = streamed;
        record.status = if not_modified { StatusCode::NOT_MODIFIED } else { head.status };
        record.cache = status;
        let bodiless = framed.head_only
            || not_modified
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut chunked = false;
        if bodiless {
            if let Some(announced) = head.announced.as_ref().filter(|_| framed.head_only) {
                self.output.field("content-length", announced.as_bytes());
            }
        } else if let Some(length) = head.length {
            write::number_field(&mut self.output.0, "content-length", length);
        } else if framed.http1_1 {
            self.output.field("transfer-encoding", b"chunked");
            chunked = true;
        } else {
            // RFC 9112, section 6.3: the end of the connection is the end of the content.
            framed.persistent = false;
        }
        end_head(self.output, *framed);
        if bodiless {
            return send(self.writer, self.timer, self.limit, &mut self.output.0, Bytes::new())
                .await;
        }
        // Whatever is there already goes out with the head.
        let mut sent_any = false;
        loop {
            let next = poll_fn(|cx| Poll::Ready(reader.poll_chunk(cx))).await;
            let chunk = match next {
                Poll::Ready(chunk) => chunk,
                Poll::Pending => {
                    sent_any = true;
                    send(self.writer, self.timer, self.limit, &mut self.output.0, Bytes::new())
                        .await?;
                    reader.chunk().await
                }
            };
            match chunk {
                Ok(Some(chunk)) => {
                    record.bytes += chunk.len() as u64;
                    if chunked {
                        let size = write::Digits::chunk_size(chunk.len());
                        self.output.0.extend_from_slice(size.as_bytes());
                    }
                    if chunk.len() as u64 <= COPIED_BODY && self.output.0.len() < GATHERED {
                        self.output.0.extend_from_slice(&chunk);
                    } else {
                        sent_any = true;
                        send(self.writer, self.timer, self.limit, &mut self.output.0, chunk)
                            .await?;
                    }
                    if chunked {
                        self.output.0.extend_from_slice(write::CHUNK_END);
                    }
                }
                Ok(None) => break,
                Err(_) if !sent_any => {
                    // Nothing was promised yet: the client learns what happened.
                    self.output.0.truncate(start);
                    let problem = Problem::Origin(Failure::Closed);
                    record.status = problem.status();
                    write_problem(self.output, problem, status, service, *framed, text);
                    return send(
                        self.writer,
                        self.timer,
                        self.limit,
                        &mut self.output.0,
                        Bytes::new(),
                    )
                    .await;
                }
                // The client sees an unfinished message, never a short one that looks whole.
                Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        if chunked {
            match reader.trailers() {
                None => self.output.0.extend_from_slice(write::LAST_CHUNK),
                Some(trailers) => write::last_chunk(
                    &mut self.output.0,
                    trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
                ),
            }
        }
        send(self.writer, self.timer, self.limit, &mut self.output.0, Bytes::new()).await
    }
}

/// Judges a head and answers it at once, if the store can.
fn begin(
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
            // What follows an unread body is not known to be a request.
            let framed = Framed { persistent: framed.persistent && !has_body, ..framed };
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
            ask: ask(buffers),
            fetch,
            framing: head.framing,
            framed,
            expect_continue: head.expect_continue && has_body,
            upgrade: head.upgrade,
        })),
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

/// Ends a head, with what Connection has to say. RFC 9112, section 9.6.
fn end_head(output: &mut Output, framed: Framed) {
    match (framed.persistent, framed.http1_1) {
        (true, true) => {}
        (true, false) => output.field("connection", b"keep-alive"),
        (false, _) => output.field("connection", b"close"),
    }
    write::end_of_head(&mut output.0);
}

/// Writes the head of an answer from the store; its content is the caller's to send.
fn write_hit(
    output: &mut Output,
    hit: Hit,
    service: &Service,
    framed: Framed,
    text: &mut Vec<u8>,
) -> Content {
    service.write_stored(output, &hit, text);
    end_head(output, framed);
    hit.reply.content
}

/// Writes an answer of our own; says how many bytes of content it has.
fn write_problem(
    output: &mut Output,
    problem: Problem,
    status: CacheStatus,
    service: &Service,
    framed: Framed,
    text: &mut Vec<u8>,
) -> u64 {
    let body = problem.body();
    service.write_own(output, problem.status(), body.len(), status, text);
    end_head(output, framed);
    if framed.head_only {
        return 0;
    }
    output.0.extend_from_slice(body.as_bytes());
    body.len() as u64
}

fn write_interim(interim: &Interim, output: &mut Output) {
    output.status(interim.status);
    for (name, value) in &*interim.fields {
        output.field(name.as_str(), value.as_bytes());
    }
    write::end_of_head(&mut output.0);
}

fn write_upgrade(upgraded: &Upgraded, service: &Service, output: &mut Output, text: &mut Vec<u8>) {
    respond::streamed(
        output,
        StatusCode::SWITCHING_PROTOCOLS,
        upgraded.fields.iter(),
        &service.additions(upgraded.status),
        text,
    );
    write::end_of_head(&mut output.0);
}

/// Sends what is gathered and `content` behind it, in as few writes as the kernel takes; each must
/// make progress within `limit`.
async fn send<W: AsyncWrite + Unpin, B: Buf>(
    writer: &mut W,
    timer: &mut Timer,
    limit: Duration,
    gathered: &mut Vec<u8>,
    mut content: B,
) -> io::Result<()> {
    let mut done = 0;
    while done < gathered.len() || content.has_remaining() {
        timer.set(limit);
        let written = poll_fn(|cx| {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut filled = 0;
            if done < gathered.len() {
                slices[0] = IoSlice::new(&gathered[done..]);
                filled = 1;
            }
            filled += content.chunks_vectored(&mut slices[filled..]);
            let writing = match &slices[..filled] {
                [one] => Pin::new(&mut *writer).poll_write(cx, one),
                several => Pin::new(&mut *writer).poll_write_vectored(cx, several),
            };
            match writing {
                Poll::Pending if timer.poll_expired(cx) => {
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
                other => other,
            }
        });
        let written = written.await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let from_gathered = written.min(gathered.len() - done);
        done += from_gathered;
        content.advance(written - from_gathered);
    }
    gathered.clear();
    // A TCP stream has nothing to flush; TLS may.
    writer.flush().await
}

/// Why a body was not passed on to its end.
#[derive(Clone, Copy, Debug)]
enum BodyRefused {
    Malformed(Refusal),
    TooLong,
    Late,
    Gone,
}

impl BodyRefused {
    fn status(self) -> StatusCode {
        match self {
            Self::Malformed(refusal) => refusal.status(),
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Gone => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a request's body and passes it on as fast as the origin takes it.
async fn pump_body<R: AsyncRead + Unpin>(
    reader: &mut R,
    input: &mut Input,
    body: &mut http1::Body,
    pump: Pump,
    go: &Notify,
    limits: &Limits,
) -> Result<(), BodyRefused> {
    go.notified().await;
    let refuse = async |pump: &Pump, why| {
        // The origin must see a broken request, not a short one.
        let _ = pump.send(Part::Broken).await;
        Err(why)
    };
    let mut passed = 0;
    loop {
        let step = match body.step(input.unread()) {
            Ok(step) => step,
            Err(refusal) => return refuse(&pump, BodyRefused::Malformed(refusal)).await,
        };
        match step {
            http1::Part::Data(range) => {
                passed += range.len() as u64;
                if passed > limits.body_bytes {
                    return refuse(&pump, BodyRefused::TooLong).await;
                }
                let data = Bytes::copy_from_slice(&input.unread()[range.clone()]);
                input.consume(range.end);
                // When nobody takes it any more, it is read and thrown away: the answer may be on its
                // way, and the next request lies behind.
                let _ = pump.send(Part::Frame(Frame::data(data))).await;
            }
            http1::Part::More(used) => {
                input.consume(used);
                match tokio::time::timeout(limits.body_time, input.fill(reader, BODY_READ)).await {
                    Ok(Ok(n)) if n > 0 => {}
                    Ok(_) => return refuse(&pump, BodyRefused::Gone).await,
                    Err(_) => return refuse(&pump, BodyRefused::Late).await,
                }
            }
            http1::Part::End { trailers, consumed } => {
                let section = &input.unread()[trailers];
                let map = respond::to_map(
                    Trailers::new(section).map(|(name, value)| (name.as_bytes(), value)),
                );
                input.consume(consumed);
                if !map.is_empty() {
                    let _ = pump.send(Part::Frame(Frame::trailers(map))).await;
                }
                let _ = pump.send(Part::End).await;
                return Ok(());
            }
        }
    }
}
