//! HTTP/2 towards clients: hyper speaks it, this file turns its requests into ours and our answers
//! into its. RFC 9113.

mod streams;

use std::{
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioIo, TokioTimer};
use nigh_cache::{
    flight::{INTERIM_MAX, Reader, Truncated},
    key::Scheme,
};
use nigh_edge::{
    cache_status::CacheStatus,
    plan::{self, Hit, Plan},
    problem::Problem,
    reply::Content,
    respond::MapHead,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::Instant,
};

use self::streams::{Open, Step, Streams, Waiting};
use crate::{
    body::{BodyBroken, RequestBody},
    executor::Local,
    http1,
    serve_http1::Client,
    service::{Answer, Ask, Service, Streamed},
};

/// Bytes of a stream, and of a connection, that a client may send ahead of what is read.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How long the unread body of a request that was refused is kept open.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of a connection that may wait to be sent.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that a client may reset before they are answered, in a row: resetting is cheap for it and
/// costs us a request (the "rapid reset" of 2023).
const PENDING_RESETS: usize = 32;

/// Serves an HTTP/2 connection until it ends; when the draining begins or nothing was asked for too
/// long, until its streams have.
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
    let streams = Streams::new();
    let answering = hyper::service::service_fn({
        let (service, streams) = (Rc::clone(&service), Rc::clone(&streams));
        move |request| answer(request, client, Rc::clone(&service), streams.open())
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answering));
    let mut timer = pin!(tokio::time::sleep(limits.head_time));
    let mut told = None;
    std::future::poll_fn(|cx| {
        loop {
            if told.is_none() && place.is_over(cx) {
                told = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
            // An error is the client's doing, or its going away: there is nobody to tell.
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let now = Instant::now();
            let due = match streams.next(told, limits) {
                Some((due, Step::End)) if due <= now => return Poll::Ready(()),
                Some((due, Step::Goodbye)) if due <= now => {
                    told = Some(now);
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                Some((due, _)) => due,
                None => now + idle,
            };
            // Most that happens postpones; a timer that is early looks again.
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

async fn answer(
    request: Request<Incoming>,
    client: Client,
    service: Rc<Service>,
    open: Open,
) -> Result<Response<Outgoing>, std::convert::Infallible> {
    let started = Instant::now();
    let limits = service.limits();
    let (mut head, body) = request.into_parts();
    join_cookies(&mut head.headers);
    let read = target(&head, client.scheme);
    // What cannot be read is not repeated in the log either.
    let (authority, path_and_query) = read.unwrap_or(("", "-"));
    let mut key = Vec::with_capacity(128);
    nigh_cache::key::write(client.scheme, authority, path_and_query, &mut key);
    let has_body = !body.is_end_stream();
    let mut selecting = Vec::new();
    let asked =
        plan::Request { method: &head.method, fields: &head.headers, has_body, upgrade: false };
    let planned = if read.is_none() {
        Plan::Refuse(Problem::BadTarget)
    } else if head.headers.len() > limits.http1.fields {
        Plan::Refuse(Problem::TooManyFields)
    } else if path_and_query.len() > limits.http1.target_bytes {
        Plan::Refuse(Problem::TargetTooLong)
    } else if body.size_hint().lower() > limits.body_bytes {
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
        has_content: has_body,
    };
    let mut out = Out { service: &service, method: &head.method, text: Vec::with_capacity(64) };
    let (response, cache) = match planned {
        Plan::Answer(hit) => {
            if hit.refresh {
                service.refresh(ask(), hit.object.clone());
            }
            out.stored(hit)
        }
        Plan::Refuse(problem) => {
            if has_body {
                linger(body);
            }
            out.problem(problem, CacheStatus::EMPTY.detail(problem.word()))
        }
        Plan::Fetch(fetch) => {
            let body = RequestBody::stream(body, limits.body_bytes);
            let progress = body.progress();
            let too_long =
                || progress.is_some_and(|progress| progress.broken() == Some(BodyBroken::TooLong));
            // hyper cannot send interim responses over HTTP/2 yet, so they stay unheard.
            let (interims, _unheard) = mpsc::channel(INTERIM_MAX);
            // Boxed: a hit's future is moved several times on its way into its task, and should be small.
            match Box::pin(service.fetch(ask(), fetch, body, interims)).await {
                Answer::Stored(hit) => out.stored(hit),
                Answer::Streamed(streamed) => out.streamed(streamed),
                Answer::Problem(_, cache) if too_long() => {
                    out.problem(Problem::BodyTooLarge, cache)
                }
                Answer::Problem(problem, cache) => out.problem(problem, cache),
                Answer::Upgraded(_) => unreachable!("HTTP/2 has no Upgrade (RFC 9113, 8.6)"),
            }
        }
    };
    if service.is_logging() {
        let bytes = response.body().length().unwrap_or(0);
        service.log(&ask().line(response.status(), bytes, cache, started.elapsed()));
    }
    Ok(response.map(|source| Outgoing { source, open }))
}

/// Keeps a body that is not wanted open for a while, unread. Dropping it resets the stream, and some
/// clients throw away the answer that came before the reset (RFC 9113, section 8.1).
fn linger(body: Incoming) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(LINGER).await;
        drop(body);
    });
}

/// The authority, and path and query, that a request asks for, as strictly as HTTP/1 is read; `None`
/// if it names none, or two. RFC 9113, section 8.3.1.
fn target(head: &http::request::Parts, scheme: Scheme) -> Option<(&str, &str)> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(only), None) => Some(http1::authority(only.as_bytes())?),
        _ => return None,
    };
    let authority = match head.uri.authority() {
        None => host?,
        Some(named) => {
            let named = http1::authority(named.as_str().as_bytes())?;
            host.is_none_or(|host| is_same_site(named, host, scheme)).then_some(named)?
        }
    };
    let place = head.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let place = match place {
        // CONNECT has none.
        None if head.method == Method::CONNECT => "/",
        Some("*") if head.method == Method::OPTIONS => "*",
        Some(place) if place.starts_with('/') => place,
        _ => return None,
    };
    Some((authority, place))
}

fn is_same_site(one: &str, other: &str, scheme: Scheme) -> bool {
    let default = match scheme {
        Scheme::Http => ":80",
        Scheme::Https => ":443",
    };
    let bare = |authority| str::strip_suffix(authority, default).unwrap_or(authority);
    bare(one).eq_ignore_ascii_case(bare(other))
}

/// A client may send each cookie on a line of its own, to compress them better; everyone else
/// expects one line. RFC 9113, section 8.2.3.
fn join_cookies(fields: &mut HeaderMap) {
    let mut crumbs = fields.get_all(header::COOKIE).iter();
    let Some(first) = crumbs.next() else { return };
    let mut joined = first.as_bytes().to_vec();
    let crumbs = crumbs.map(HeaderValue::as_bytes);
    crumbs.for_each(|crumb| joined.extend([b"; ", crumb].concat()));
    if joined.len() > first.len() {
        let joined = HeaderValue::from_bytes(&joined).expect("values and \"; \" are a value");
        fields.insert(header::COOKIE, joined);
    }
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
    fn stored(&mut self, hit: Hit) -> (Response<Source>, CacheStatus) {
        let mut head = MapHead::default();
        self.service.write_stored(&mut head, &hit, &mut self.text);
        let cache = hit.status;
        (response(head, Source::Stored(hit.reply.content)), cache)
    }

    fn streamed(&mut self, streamed: Streamed) -> (Response<Source>, CacheStatus) {
        let mut head = MapHead::default();
        self.service.write_streamed(&mut head, &streamed, &mut self.text);
        let Streamed { head: origin, reader, status, not_modified, .. } = streamed;
        let bodiless = *self.method == Method::HEAD
            || not_modified
            || matches!(origin.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = if *self.method == Method::HEAD {
            origin.announced.clone()
        } else {
            origin.length.filter(|_| !bodiless).map(HeaderValue::from)
        };
        if let Some(length) = length {
            head.fields.insert(header::CONTENT_LENGTH, length);
        }
        let body = if bodiless {
            Source::Stored(Content::Empty)
        } else {
            Source::Stream { reader, left: origin.length, ended: false }
        };
        (response(head, body), status)
    }

    fn problem(&mut self, problem: Problem, cache: CacheStatus) -> (Response<Source>, CacheStatus) {
        let mut head = MapHead::default();
        let body = problem.body();
        self.service.write_own(&mut head, problem.status(), body.len(), cache, &mut self.text);
        let body = if *self.method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
        (response(head, Source::Own(body)), cache)
    }
}

fn response(head: MapHead, body: Source) -> Response<Source> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    response
}

/// The content of an answer on its way into an HTTP/2 stream, which it holds open.
#[derive(Debug)]
struct Outgoing {
    source: Source,
    open: Open,
}

/// Where content comes from.
#[derive(Debug)]
enum Source {
    /// From the store.
    Stored(Content),
    /// From the origin.
    Stream { reader: Reader, left: Option<u64>, ended: bool },
    /// Our own words.
    Own(Bytes),
}

/// One frame's worth of it, or all of it: hyper hands it over at once, and it is advanced as the
/// client lets it go.
#[derive(Debug)]
struct Piece {
    data: Data,
    waiting: Waiting,
}

#[derive(Debug)]
enum Data {
    Stored(Content),
    Bytes(Bytes),
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        match &self.data {
            Data::Stored(content) => content.remaining(),
            Data::Bytes(bytes) => bytes.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.data {
            Data::Stored(content) => content.chunk(),
            Data::Bytes(bytes) => bytes.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        match &self.data {
            Data::Stored(content) => content.chunks_vectored(slices),
            Data::Bytes(bytes) => bytes.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, count: usize) {
        self.waiting.moved();
        match &mut self.data {
            Data::Stored(content) => content.advance(count),
            Data::Bytes(bytes) => bytes.advance(count),
        }
    }
}

impl Source {
    /// Bytes to come, where that is known.
    fn length(&self) -> Option<u64> {
        match self {
            Self::Stored(content) => Some(content.remaining() as u64),
            Self::Own(bytes) => Some(bytes.len() as u64),
            Self::Stream { left, .. } => *left,
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Result<Data, HeaderMap>, Truncated>>> {
        match self {
            Self::Stored(content) => {
                let all = std::mem::replace(content, Content::Empty);
                Poll::Ready(all.has_remaining().then(|| Ok(Ok(Data::Stored(all)))))
            }
            Self::Own(bytes) => {
                let all = std::mem::take(bytes);
                Poll::Ready((!all.is_empty()).then(|| Ok(Ok(Data::Bytes(all)))))
            }
            Self::Stream { ended: true, .. } => Poll::Ready(None),
            Self::Stream { reader, left, ended } => match reader.poll_chunk(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(truncated)) => Poll::Ready(Some(Err(truncated))),
                Poll::Ready(Ok(Some(chunk))) => {
                    if let Some(left) = left {
                        *left = left.saturating_sub(chunk.len() as u64);
                    }
                    Poll::Ready(Some(Ok(Ok(Data::Bytes(chunk)))))
                }
                Poll::Ready(Ok(None)) => {
                    *ended = true;
                    let trailers = reader.trailers().map(|trailers| (*trailers).clone());
                    Poll::Ready(trailers.map(|trailers| Ok(Err(trailers))))
                }
            },
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
        let Self { source, open } = self.get_mut();
        source.poll_next(cx).map(|next| {
            let next = next?;
            Some(next.map(|next| match next {
                Ok(data) => Frame::data(Piece { data, waiting: open.piece() }),
                Err(trailers) => Frame::trailers(trailers),
            }))
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stored(content) => !content.has_remaining(),
            Source::Own(bytes) => bytes.is_empty(),
            Source::Stream { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.source.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Uri, uri};
    use nigh_base::ByteSize;
    use nigh_cache::store::{self, Store};
    use nigh_edge::forward::Identity;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::LocalSet,
    };

    use super::*;
    use crate::{
        counters::Registry,
        origin::{self, Origin},
        service::Limits,
    };

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;

    const SOON: Duration = Duration::from_millis(10);

    /// The client's end of a connection.
    struct Wire(DuplexStream);

    impl Wire {
        async fn send(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
            let length = u8::try_from(payload.len()).unwrap();
            let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
            self.0.write_all(&[&head, payload].concat()).await.unwrap();
        }

        /// Speaks first, and lets so many bytes of each stream come.
        async fn begin(&mut self, window: u8) {
            self.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
            self.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window]).await;
        }

        /// `GET /` without an authority, which is answered 400 and a few words.
        async fn ask(&mut self) {
            self.send(HEADERS, 5, 1, &[0x82, 0x86, 0x84]).await;
        }

        /// Reads up to a frame of this kind, and answers its payload.
        async fn until(&mut self, kind: u8) -> Vec<u8> {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.unwrap();
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; usize::try_from(length).unwrap()];
                self.0.read_exact(&mut payload).await.unwrap();
                if head[3] == kind {
                    return payload;
                }
            }
        }
    }

    /// Serves one connection while `test` is its client; true if the serving ended.
    fn serving(limits: Limits, test: impl AsyncFnOnce(&mut Wire)) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        LocalSet::new().block_on(&runtime.unwrap(), async {
            let service = Service::new(
                Store::new(store::Settings::new(ByteSize::new(1 << 20), 1)),
                Origin::new(origin::Settings::parse("http://origin.invalid").unwrap(), None),
                Identity::new(1),
                limits,
                Registry::default().register(),
                None,
            );
            let (near, far) = duplex(64 * 1024);
            let client = Client { address: ([127, 0, 0, 1], 1).into(), scheme: Scheme::Http };
            let serving = tokio::task::spawn_local(serve(far, client, service));
            test(&mut Wire(near)).await;
            serving.is_finished()
        })
    }

    #[test]
    fn a_connection_on_which_nothing_is_asked_is_told_to_end() {
        serving(Limits { head_time: SOON, ..Limits::default() }, async |client| {
            client.begin(255).await;
            client.until(GOAWAY).await;
        });
    }

    #[test]
    fn a_connection_that_was_asked_once_is_told_to_end_when_it_is_idle() {
        serving(Limits { idle_time: SOON, ..Limits::default() }, async |client| {
            client.begin(255).await;
            client.ask().await;
            // The status is 400, from the table of RFC 7541.
            assert_eq!(client.until(HEADERS).await[0], 0x8c);
            assert!(client.until(DATA).await.starts_with(b"{"));
            client.until(GOAWAY).await;
        });
    }

    #[test]
    fn content_that_a_client_does_not_let_come_ends_the_connection() {
        let limits = Limits { write_time: SOON, ..Limits::default() };
        let ended = serving(limits, async |client| {
            client.begin(0).await;
            client.ask().await;
            client.until(HEADERS).await;
            let mut rest = Vec::new();
            client.0.read_to_end(&mut rest).await.unwrap();
        });
        assert!(ended);
    }

    #[test]
    fn content_that_a_client_lets_come_slowly_arrives() {
        serving(Limits::default(), async |client| {
            client.begin(1).await;
            client.ask().await;
            let mut content = Vec::new();
            while content.last() != Some(&b'\n') {
                content.extend(client.until(DATA).await);
                client.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]).await;
            }
            assert_eq!(content, Problem::BadTarget.body().into_bytes());
        });
    }

    /// What a request of `method` for these pseudo-fields, and with these hosts, asks for.
    fn reads(method: &str, authority: &str, path: &'static str, hosts: &[&str]) -> Option<String> {
        let mut parts = uri::Parts::default();
        if !authority.is_empty() {
            parts.scheme = Some(uri::Scheme::HTTPS);
            parts.authority = Some(authority.parse().unwrap());
        }
        parts.path_and_query = Some(uri::PathAndQuery::from_static(path));
        let mut request = Request::new(());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = Uri::from_parts(parts).unwrap();
        for host in hosts {
            request.headers_mut().append(header::HOST, host.parse().unwrap());
        }
        let (head, ()) = request.into_parts();
        let (authority, place) = target(&head, Scheme::Https)?;
        Some(format!("{authority} {place}"))
    }

    #[test]
    fn an_authority_is_one_and_valid() {
        for (authority, hosts, expected) in [
            ("x.org", &[][..], Some("x.org /a?b")),
            ("", &["x.org:8443"], Some("x.org:8443 /a?b")),
            ("x.org", &["X.org:443"], Some("x.org /a?b")),
            ("[::1]:443", &["[::1]"], Some("[::1]:443 /a?b")),
            ("x.org", &["y.org"], None),
            ("x.org", &["x.org:80"], None),
            ("x.org", &["x.org", "x.org"], None),
            ("x.org", &[""], None),
            ("u@x.org", &[], None),
            ("x.org:a", &[], None),
            ("a;b", &[], None),
            ("", &[], None),
            ("", &["a/b"], None),
            ("", &["a b"], None),
        ] {
            if authority.parse::<uri::Authority>().is_ok() || authority.is_empty() {
                let read = reads("GET", authority, "/a?b", hosts);
                assert_eq!(read.as_deref(), expected, "{authority:?} {hosts:?}");
            }
        }
    }

    #[test]
    fn a_path_begins_with_a_slash() {
        assert_eq!(reads("OPTIONS", "x", "*", &[]).as_deref(), Some("x *"));
        assert_eq!(reads("GET", "x", "*", &[]), None);
        for path in ["a/b", "?q", "*a"] {
            let Ok(path) = uri::PathAndQuery::try_from(path) else { continue };
            let mut request = Request::new(());
            *request.uri_mut() =
                Uri::builder().scheme("https").authority("x").path_and_query(path).build().unwrap();
            let (head, ()) = request.into_parts();
            assert_eq!(target(&head, Scheme::Https), None, "{:?}", head.uri);
        }
    }

    #[test]
    fn cookies_are_one_line() {
        let mut fields = HeaderMap::new();
        join_cookies(&mut fields);
        assert!(fields.is_empty());
        for crumb in ["a=b", "c=d", "e"] {
            fields.append(header::COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut fields);
        assert_eq!((fields.len(), &fields[header::COOKIE]), (1, &"a=b; c=d; e".parse().unwrap()));
    }
}
