//! One HTTP/1 connection from a client: read heads, answer in order, keep it open. RFC 9112.
//!
//! The common case, a hit, is one read, one look into the store and one write: the head is judged
//! where it lies, the answer's head is written into a buffer that stays with the connection, and a
//! large body is sent from where it is stored.

mod answer;
mod begin;
mod body;
mod connect;
mod fetch;
mod io;
mod output;
mod pipeline;

use std::{
    future::poll_fn,
    io::{self as std_io, ErrorKind},
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use nigh_cache::{flight::Failure, key::Scheme};
use nigh_edge::{
    cache_status::CacheStatus,
    client::Network,
    problem::{self, Problem},
    reply::Content,
    respond::Sink,
    site::Methods,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use self::{
    begin::{Begun, Position, begin},
    io::{Input, Timer, send},
    output::Output,
};
use crate::{
    access_log::Line,
    buffers::Reserved,
    clock,
    flow::Flow,
    forward_proxy::{Proof, Proving},
    http1::{self, Refusal, write},
    service::{Phase, Place, Service, Whose},
};

/// Bytes that a connection's buffers keep while it waits; larger ones are given back.
const RESTING_BUFFER: usize = 8 * 1024;

/// Answers to pipelined requests gather until they are this many bytes.
const GATHERED: usize = 32 * 1024;

/// After a last answer, how long and how many bytes of what the client still sends are thrown away,
/// so that closing does not destroy the answer on its way (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// What a connection is, besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) scheme: Scheme,
    /// Whose limits it is held to, if there are any.
    pub(crate) network: Option<Network>,
    /// Where it was going, if it was redirected here.
    pub(crate) original: Option<SocketAddr>,
    /// What was found out for the request that is to be judged, for a forward proxy.
    pub(crate) proof: Option<Proof>,
    /// It is another edge of the cluster, which asks on behalf of a client.
    pub(crate) sibling: Option<Sibling>,
}

/// What another edge says of a request besides whose it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sibling {
    /// Its place among the members, as they were seen when it asked.
    pub(crate) place: usize,
    /// It brings together slices of so many bytes itself.
    pub(crate) slice: Option<u64>,
    /// The purge up to which it has forgotten.
    pub(crate) purges: u64,
}

impl Client {
    /// A client that came here of its own will, that is not limited, and of which nothing is known.
    pub(crate) const fn new(address: SocketAddr, scheme: Scheme) -> Self {
        Self { address, scheme, network: None, original: None, proof: None, sibling: None }
    }
}

/// How serving a connection ended.
#[derive(Debug)]
pub(crate) enum Ended<S> {
    /// It is closed, or will be when the stream is dropped.
    Closed,
    /// Content broke off that only the connection's end delimits: it must be reset, not closed.
    Broken(S),
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
    match connection.run().await {
        Err(error) if error.kind() == ErrorKind::ConnectionAborted => {
            Ended::Broken(connection.stream)
        }
        // Any other error here is the client's going away; there is nobody to tell.
        _ => Ended::Closed,
    }
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
    flow: Flow,
    place: Place,
    /// What its buffers take beyond what they keep while it is idle.
    grown: Reserved,
}

/// What a plan and an answer are worked out in; kept, so that nothing is allocated.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) key: Vec<u8>,
    pub(crate) selecting: Vec<u8>,
    pub(crate) text: Vec<u8>,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(stream: S, client: Client, service: Rc<Service>) -> Self {
        let place = service.place(Whose::Client);
        let flow = service.flow(&client);
        let grown = service.reserve(0).expect("nothing fits always");
        Self {
            stream,
            client,
            service,
            input: Input::default(),
            progress: http1::Progress::default(),
            output: Output::default(),
            buffers: Buffers::default(),
            timer: Timer::new(),
            flow,
            place,
            grown,
        }
    }

    /// Reads until it is clear which version of HTTP this is.
    async fn negotiate(&mut self) -> std_io::Result<http1::Preface> {
        self.timer.set(self.service.limits().head_time);
        loop {
            if self.read().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let preface = http1::http2_preface(self.input.unread());
            if preface != http1::Preface::Partial {
                return Ok(preface);
            }
        }
    }

    async fn read(&mut self) -> std_io::Result<usize> {
        // A connection that has not said a word yet is as idle as one between two requests.
        let silent = self.input.unread().is_empty();
        let Self { stream, input, timer, place, .. } = self;
        let mut reading = pin!(input.fill(stream, 4096));
        poll_fn(|cx| match reading.as_mut().poll(cx) {
            Poll::Pending if silent && place.is_over(cx) => Poll::Ready(Ok(0)),
            Poll::Pending if timer.poll_expired(cx) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                place.go_on();
                Poll::Ready(read)
            }
        })
        .await
    }

    async fn run(&mut self) -> std_io::Result<()> {
        loop {
            let service = Rc::clone(&self.service);
            let begun = {
                let mut scratch = http1::Scratch::new();
                let Self { input, progress, output, buffers, client, .. } = &mut *self;
                match http1::parse(input.unread(), &service.limits().http1, progress, &mut scratch)
                {
                    Ok(Some(head)) => {
                        let length = head.len;
                        // What came with it was sent before its sender could know that this ends.
                        let is_followed =
                            service.phase() == Phase::Leaving && input.unread().len() > length;
                        let position =
                            if is_followed { Position::Followed } else { Position::Last };
                        let begun = begin(&head, *client, &service, position, output, buffers);
                        // What has to be proved first is read again.
                        if !matches!(begun, Begun::Prove(_)) {
                            input.consume(length);
                            client.proof = None;
                        }
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
                // Boxed: what a miss needs would otherwise lie in every idle connection.
                Some(Begun::Fetch(fetching)) if fetching.may_wait() => {
                    Box::pin(self.pipeline(*fetching)).await?
                }
                Some(Begun::Fetch(fetching)) => Box::pin(self.fetch(*fetching)).await?,
                Some(Begun::Tunnel { tunnelling, framed }) => {
                    Box::pin(self.connect(*tunnelling, framed)).await?
                }
                Some(Begun::Prove(proving)) => {
                    self.prove(*proving).await;
                    continue;
                }
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
    async fn wait_for_more(&mut self) -> std_io::Result<bool> {
        let begun = !self.input.unread().is_empty();
        if !begun {
            self.rest();
            self.timer.set(self.service.limits().idle_time);
        } else if !self.has_room() {
            let (failure, problem) = (Failure::NoRoom, Problem::from(Failure::NoRoom));
            let after = problem.retry_after();
            self.own_and_close(problem.status(), &failure.to_string(), after).await?;
            return Ok(false);
        } else if self.timer.deadline > Instant::now() + self.service.limits().head_time {
            // The head has begun: from now on it is the whole head that is late, not its bytes.
            self.timer.set(self.service.limits().head_time);
        }
        let Self { stream, input, timer, place, .. } = self;
        let read = {
            let mut reading = pin!(input.fill(stream, 4096));
            poll_fn(|cx| match reading.as_mut().poll(cx) {
                Poll::Ready(read) => {
                    place.go_on();
                    Poll::Ready(read.map(Some))
                }
                Poll::Pending if !begun && place.is_over(cx) => Poll::Ready(Ok(None)),
                Poll::Pending if timer.poll_expired(cx) => {
                    Poll::Ready(Err(ErrorKind::TimedOut.into()))
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
            Err(error) if error.kind() == ErrorKind::TimedOut && begun => {
                self.service.counters().slow_head();
                let detail = "the head took too long to arrive";
                self.own_and_close(StatusCode::REQUEST_TIMEOUT, detail, None).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Finds out what a forward proxy has to know of the next request.
    async fn prove(&mut self, proving: Proving) {
        let sites = self.service.sites();
        if let Some(forward) = sites.forward() {
            self.client.proof = Some(Box::pin(forward.prove(proving)).await);
        }
    }

    /// Gives large buffers back while nothing happens.
    fn rest(&mut self) {
        self.input.bytes.shrink_to(RESTING_BUFFER);
        self.output.0.shrink_to(RESTING_BUFFER);
        self.grown.resize(0);
    }

    /// Reserves what its buffers have grown by; false if there is no room for that.
    fn has_room(&mut self) -> bool {
        let beyond = |capacity: usize| capacity.saturating_sub(RESTING_BUFFER) as u64;
        let has_room = self
            .grown
            .resize(beyond(self.input.bytes.capacity()) + beyond(self.output.0.capacity()));
        if !has_room {
            self.service.counters().no_room();
        }
        has_room
    }

    async fn refuse(&mut self, refusal: Refusal) -> std_io::Result<()> {
        self.service.counters().refused();
        self.own_and_close(refusal.status(), &refusal.to_string(), None).await
    }

    /// Answers what is no request, but counts like one: who sends much of that is told to wait, too.
    async fn own_and_close(
        &mut self,
        status: StatusCode,
        detail: &str,
        retry_after: Option<u32>,
    ) -> std_io::Result<()> {
        let service = Rc::clone(&self.service);
        let (status, body, cache, retry_after) = match service.refusal(&self.client) {
            None => (status, problem::body(status, detail), CacheStatus::EMPTY, retry_after),
            Some(limited) => {
                let cache = CacheStatus::EMPTY.detail(limited.word());
                (limited.status(), limited.body(), cache, limited.retry_after())
            }
        };
        let (output, text) = (&mut self.output, &mut self.buffers.text);
        service.write_own(output, status, body.len(), Methods::USUAL, cache, text);
        if let Some(seconds) = retry_after {
            write::number_field(&mut self.output.0, "retry-after", u64::from(seconds));
        }
        self.output.field("connection", b"close");
        write::end_of_head(&mut self.output.0);
        self.output.0.extend_from_slice(body.as_bytes());
        if service.is_logging() {
            // What cannot be read is not repeated either.
            service.log(&Line {
                when: clock::now(),
                client: self.client.address,
                method: "-",
                authority: "",
                target: "-",
                version: "HTTP/1.1",
                referer: b"",
                agent: b"",
                status,
                bytes: body.len() as u64,
                cache,
                micros: 0,
            });
        }
        self.close().await
    }

    async fn flush(&mut self) -> std_io::Result<()> {
        if self.output.0.is_empty() {
            return Ok(());
        }
        self.grow()?;
        let Self { stream, output, timer, flow, .. } = self;
        send(stream, timer, flow, &mut output.0, Bytes::new()).await
    }

    /// Sends the gathered output and stored content behind it.
    async fn send_content(&mut self, content: Content) -> std_io::Result<()> {
        self.grow()?;
        let Self { stream, output, timer, flow, .. } = self;
        send(stream, timer, flow, &mut output.0, content).await
    }

    /// Reserves what it holds while the client takes its time.
    fn grow(&mut self) -> std_io::Result<()> {
        if self.output.0.capacity() > RESTING_BUFFER && !self.has_room() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    /// Says goodbye: what is gathered goes out, and what still comes in is thrown away for a while.
    async fn close(&mut self) -> std_io::Result<()> {
        self.flush().await?;
        self.timer.set(LINGER);
        let Self { stream, timer, input, .. } = self;
        timer.bound(stream.shutdown()).await?;
        let mut thrown = 0;
        while thrown < LINGER_BYTES {
            input.discard();
            match timer.bound(input.fill(stream, 4096)).await {
                Ok(0) | Err(_) => break,
                Ok(n) => thrown += n,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
