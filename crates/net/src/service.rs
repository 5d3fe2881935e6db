//! What one core does with requests, whichever protocol brought them: plan, ask the origin, answer.
//!
//! Everything here belongs to one thread but the store, which all share. A miss becomes a flight
//! (`nigh_cache::flight`): a task of its own that no client's leaving ends.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use http::{HeaderMap, Method, Request, StatusCode, Uri, Version, header};
use nigh_base::Wall;
use nigh_cache::{
    conditional::{self, Validators},
    directives::ResponseDirectives,
    fields::Fields,
    flight::{Failure, Flight, Head, Interim, News, Reader, Verdict},
    freshness::{Reuse, Terms},
    invalidate::{self, Target},
    key::Scheme,
    object::Object,
    pilot::{self, Pilot},
    storable::{self, Asked, Cookies, WhyNot},
    store::{Boarding, Store},
    update,
    vary::{self, Vary},
};
use nigh_edge::{
    cache_status::CacheStatus,
    forward::{self, Hop, Identity},
    plan::{self, Fetch, Hit, Manner, Plan},
    problem::{self, Problem},
    respond::{self, Additions, Sink},
};
use tokio::sync::mpsc;

use crate::{
    access_log::{Line, Log},
    body::RequestBody,
    clock,
    counters::Counters,
    http1,
    origin::{Fetched, Origin},
};

/// What one client may take, in bytes and in time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of an HTTP/1 message's parts.
    pub http1: http1::Limits,
    /// From a connection's or a head's first byte to the end of the head.
    pub head_time: Duration,
    /// Between two requests on a connection.
    pub idle_time: Duration,
    /// For one write to make progress.
    pub write_time: Duration,
    /// Between two reads of a request's body.
    pub body_time: Duration,
    /// A tunnel without a byte in either direction.
    pub tunnel_idle: Duration,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// Connections at once, in all.
    pub connections: usize,
    /// Streams at once on an HTTP/2 connection.
    pub http2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http1: http1::Limits::default(),
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            write_time: Duration::from_secs(60),
            body_time: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(600),
            body_bytes: u64::MAX,
            connections: 10_000,
            http2_streams: 128,
        }
    }
}

/// A request in its own right, for when it must outlive the connection's buffer.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Box<str>,
    pub(crate) path_and_query: Box<str>,
    pub(crate) fields: HeaderMap,
    pub(crate) client: SocketAddr,
    pub(crate) key: Box<[u8]>,
    pub(crate) selecting: Box<[u8]>,
}

/// What a request gets that the store alone could not answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A stored response after all.
    Stored(Hit),
    /// The origin's response, on its way.
    Streamed(Streamed),
    /// Our own word.
    Problem(Problem, CacheStatus),
    /// Another protocol from here on.
    Upgraded(Upgraded),
}

/// A response on its way from the origin.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) head: Arc<Head>,
    pub(crate) reader: Reader,
    pub(crate) status: CacheStatus,
    /// The client holds it already: 304 instead of the body.
    pub(crate) not_modified: bool,
    /// The client is the one whose request was sent.
    pub(crate) first: bool,
}

/// An origin that agreed to speak another protocol.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) fields: HeaderMap,
    pub(crate) upgrade: hyper::upgrade::OnUpgrade,
    pub(crate) status: CacheStatus,
}

/// One core's half of the edge.
#[derive(Debug)]
pub struct Service {
    store: Arc<Store>,
    origin: Rc<Origin>,
    identity: Identity,
    limits: Limits,
    counters: Arc<Counters>,
    fallback_authority: String,
    log: Option<Log>,
    draining: Cell<bool>,
    /// Connections that wait idly, each under its number.
    idle: RefCell<Vec<Option<Waker>>>,
}

impl Service {
    /// A service for one core.
    pub fn new(
        store: Arc<Store>,
        origin: Rc<Origin>,
        identity: Identity,
        limits: Limits,
        counters: Arc<Counters>,
        log: Option<Log>,
    ) -> Rc<Self> {
        let fallback_authority = origin.authority().to_owned();
        Rc::new(Self {
            store,
            origin,
            identity,
            limits,
            counters,
            fallback_authority,
            log,
            draining: Cell::new(false),
            idle: RefCell::default(),
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The authority of a request that names none (HTTP/1.0 without Host).
    pub(crate) fn fallback_authority(&self) -> &str {
        &self.fallback_authority
    }

    pub(crate) fn additions(&self, cache_status: CacheStatus) -> Additions<'_> {
        Additions { identity: &self.identity, cache_status }
    }

    pub(crate) fn is_logging(&self) -> bool {
        self.log.is_some()
    }

    pub(crate) fn log(&self, line: &Line<'_>) {
        if let Some(log) = &self.log {
            self.counters.lines_dropped(log.add(line));
        }
    }

    /// Hands over what the log has gathered.
    pub fn flush_log(&self) {
        if let Some(log) = &self.log {
            self.counters.lines_dropped(log.flush());
        }
    }

    /// No new requests from here on: idle connections end, busy ones after their answer.
    pub fn drain(&self) {
        self.draining.set(true);
        for waker in self.idle.borrow_mut().iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// A place where a connection can be found by [`Self::drain`].
    pub(crate) fn idle_place(self: &Rc<Self>) -> IdlePlace {
        let mut idle = self.idle.borrow_mut();
        let free = idle.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            idle.push(None);
            idle.len() - 1
        });
        IdlePlace { service: Rc::clone(self), at }
    }

    /// Writes the head of an answer from the store.
    pub(crate) fn write_stored(&self, sink: &mut impl Sink, hit: &Hit, text: &mut Vec<u8>) {
        if hit.status.hit {
            self.counters.hit();
        }
        if hit.status.ttl.is_some_and(|ttl| ttl <= 0) {
            self.counters.stale();
        }
        let additions = self.additions(hit.status);
        respond::stored(sink, &hit.object, &hit.reply.shape, clock::now(), &additions, text);
    }

    /// Writes the head of a response on its way, but for its length.
    pub(crate) fn write_streamed(
        &self,
        sink: &mut impl Sink,
        streamed: &Streamed,
        text: &mut Vec<u8>,
    ) {
        self.counters.forwarded();
        let Streamed { head, status, not_modified, first, .. } = streamed;
        let own = if *first { Some(head.for_first.iter()) } else { None };
        let fields = head.fields.iter().chain(own.into_iter().flatten());
        let additions = self.additions(*status);
        if *not_modified {
            let fields = fields.filter(|(name, _)| conditional::in_not_modified(name.as_str()));
            respond::streamed(sink, StatusCode::NOT_MODIFIED, fields, &additions, text);
        } else {
            respond::streamed(sink, head.status, fields, &additions, text);
        }
    }

    /// Writes the head of an answer of our own.
    pub(crate) fn write_own(
        &self,
        sink: &mut impl Sink,
        status: StatusCode,
        length: usize,
        cache: CacheStatus,
        text: &mut Vec<u8>,
    ) {
        self.counters.own();
        let additions = self.additions(cache);
        respond::own(sink, status, problem::CONTENT_TYPE, length, clock::now(), &additions, text);
    }

    /// Plans a request whose key was written to `key`.
    pub(crate) fn plan<F: Fields>(
        &self,
        request: &plan::Request<'_, F>,
        key: &[u8],
        selecting: &mut Vec<u8>,
    ) -> Plan {
        if self.identity.is_loop(request.fields.values("cdn-loop")) {
            return Plan::Refuse(Problem::Loop);
        }
        plan::plan(request, &self.store, self.store.key(key), clock::now(), selecting)
    }

    /// Validates a stale object that was answered with, if nobody does so already.
    pub(crate) fn refresh(self: &Rc<Self>, ask: Ask, object: Object) {
        let key = self.store.key(&ask.key);
        if let Boarding::First(flight) = self.store.board(key, &ask.selecting) {
            let pilot = self.pilot(flight, &ask, true);
            let service = Rc::clone(self);
            let task =
                Task { ask, validate: Some(object), manner: Manner::Shared, conditions: false };
            tokio::task::spawn_local(
                async move { service.fly(pilot, task, RequestBody::Empty).await },
            );
        }
    }

    /// Asks the origin, or waits for whoever does.
    pub(crate) async fn fetch(
        self: &Rc<Self>,
        ask: Ask,
        fetch: Fetch,
        body: RequestBody,
        interims: mpsc::Sender<Interim>,
    ) -> Answer {
        match fetch.manner {
            Manner::Tunnel => self.tunnel(ask, fetch).await,
            Manner::Alone => {
                let flight = Flight::new();
                let reader = flight.board_first();
                let pilot = self.pilot(flight, &ask, false);
                self.take_off(pilot, &ask, &fetch, body, true);
                self.wait(reader, &ask, &fetch, &interims, true).await.unwrap_or(LOST)
            }
            Manner::Shared => self.share(ask, fetch, interims).await,
        }
    }

    /// Fetches for everyone who asks the same, or waits for who does.
    async fn share(
        self: &Rc<Self>,
        ask: Ask,
        fetch: Fetch,
        interims: mpsc::Sender<Interim>,
    ) -> Answer {
        let boarding = self.store.board(self.store.key(&ask.key), &ask.selecting);
        let (flight, boarded) = match boarding {
            Boarding::First(flight) => (flight, true),
            Boarding::Alone(flight) => (flight, false),
            Boarding::Later(flight) => {
                if let Some(reader) = flight.board_later() {
                    self.counters.collapsed();
                    if let Some(answer) = self.wait(reader, &ask, &fetch, &interims, false).await {
                        return answer;
                    }
                }
                (Flight::new(), false)
            }
        };
        let reader = flight.board_first();
        let pilot = self.pilot(flight, &ask, boarded);
        self.take_off(pilot, &ask, &fetch, RequestBody::Empty, !boarded);
        self.wait(reader, &ask, &fetch, &interims, true).await.unwrap_or(LOST)
    }

    fn pilot(&self, flight: Arc<Flight>, ask: &Ask, boarded: bool) -> Pilot {
        let selecting = boarded.then_some(&*ask.selecting);
        Pilot::new(flight, Arc::clone(&self.store), &ask.key, selecting)
    }

    fn take_off(
        self: &Rc<Self>,
        pilot: Pilot,
        ask: &Ask,
        fetch: &Fetch,
        body: RequestBody,
        conditions: bool,
    ) {
        let task = Task {
            ask: ask.clone(),
            validate: fetch.stale.clone().filter(|_| fetch.manner == Manner::Shared),
            manner: fetch.manner,
            conditions,
        };
        let service = Rc::clone(self);
        tokio::task::spawn_local(async move { service.fly(pilot, task, body).await });
    }

    /// Waits for a flight's verdict and makes an answer of it; `None` if it is not for this client.
    async fn wait(
        &self,
        mut reader: Reader,
        ask: &Ask,
        fetch: &Fetch,
        interims: &mpsc::Sender<Interim>,
        first: bool,
    ) -> Option<Answer> {
        let verdict = loop {
            match reader.news().await {
                // A client that does not take them in time goes without.
                News::Interim(interim) => drop(interims.try_send(interim)),
                News::Verdict(verdict) => break verdict,
            }
        };
        let now = clock::now();
        let status = CacheStatus { collapsed: !first, ..fetch.status };
        match verdict {
            Verdict::Alone => None,
            Verdict::Failed(failure) => {
                Some(match fetch.fallback(&ask.method, &ask.fields, None, now) {
                    Some(hit) => Answer::Stored(hit),
                    None => Answer::Problem(Problem::Origin(failure), status),
                })
            }
            Verdict::Object(object) => {
                let usable = first || object.terms().reuse(&fetch.directives, now) == Reuse::Fresh;
                let ttl = Some(object.terms().ttl(now));
                let status = CacheStatus { forward_status: Some(304), stored: true, ttl, ..status };
                let hit = Hit::new(object, &ask.method, &ask.fields, status, now)?;
                usable.then_some(Answer::Stored(hit))
            }
            Verdict::Head(head) => {
                if !first && !self.suits(&head, ask, fetch, now) {
                    return None;
                }
                if let Some(hit) = fetch.fallback(&ask.method, &ask.fields, Some(head.status), now)
                {
                    return Some(Answer::Stored(hit));
                }
                let mut status =
                    CacheStatus { forward_status: Some(head.status.as_u16()), ..status };
                match head.stored {
                    Ok(()) => {
                        status.stored = true;
                        status.ttl = Some(head.terms.ttl(now));
                    }
                    Err(why) => status.detail = Some(why.as_str()),
                }
                let outcome =
                    conditional::evaluate(&ask.method, &ask.fields, head.status, &head.fields, now);
                let not_modified =
                    fetch.manner == Manner::Shared && outcome == conditional::Outcome::NotModified;
                Some(Answer::Streamed(Streamed { head, reader, status, not_modified, first }))
            }
        }
    }

    /// Whether a response that another request brought answers this one (RFC 9111, section 4).
    fn suits(&self, head: &Head, ask: &Ask, fetch: &Fetch, now: Wall) -> bool {
        let mut selecting = Vec::new();
        vary::selecting(&head.vary, &ask.fields, &mut selecting);
        head.stored.is_ok()
            && *selecting == *head.selecting
            && head.terms.reuse(&fetch.directives, now) == Reuse::Fresh
    }

    /// Brings one response from the origin to a flight.
    async fn fly(self: Rc<Self>, pilot: Pilot, task: Task, body: RequestBody) {
        let Task { ask, mut validate, manner, conditions } = task;
        let mut body = Some(body);
        loop {
            let requested = clock::now();
            let request_body = body.take().unwrap_or(RequestBody::Empty);
            let request = self.request(&ask, manner, validate.as_ref(), conditions, request_body);
            let (interim_out, mut interim_in) = mpsc::channel(nigh_cache::flight::INTERIM_MAX);
            let sending = self.origin.send(request, Some(interim_out));
            let mut sending = std::pin::pin!(sending);
            let sent = loop {
                tokio::select! {
                    biased;
                    Some(mut interim) = interim_in.recv() => {
                        if let Some(fields) = Arc::get_mut(&mut interim.fields) {
                            forward::remove_hop_by_hop(fields);
                        }
                        pilot.interim(interim);
                    }
                    sent = &mut sending => break sent,
                }
            };
            self.counters.origin_request();
            let mut fetched = match sent {
                Ok(fetched) => fetched,
                Err(failure) => {
                    self.counters.origin_failure();
                    return pilot.fail(failure);
                }
            };
            let received = clock::now();
            if let Some(old) = validate.take_if(|_| fetched.head.status == StatusCode::NOT_MODIFIED)
            {
                forward::remove_hop_by_hop(&mut fetched.head.headers);
                let fresh = &fetched.head.headers;
                if !update::select(&old.fields(), fresh, update::Question::This).is_selected() {
                    // A 304 about something else: ask again for the whole.
                    continue;
                }
                let (fields, terms) = merged(&old, fresh, requested, received);
                pilot.confirm(&old, &fields, terms);
                // Its end gives the connection back.
                while let Ok(Some(_)) = fetched.frame().await {}
                return;
            }
            return self.deliver(pilot, &ask, validate, fetched, requested, received).await;
        }
    }

    /// Hands a response over to the flight, and to the store if its rules allow.
    async fn deliver(
        &self,
        mut pilot: Pilot,
        ask: &Ask,
        stale: Option<Object>,
        mut fetched: Fetched,
        requested: Wall,
        received: Wall,
    ) {
        let status = fetched.head.status;
        let mut fields = std::mem::take(&mut fetched.head.headers);
        let target = Target {
            scheme: ask.scheme,
            authority: ask.authority.as_bytes(),
            path: ask.path_and_query.as_bytes(),
        };
        self.invalidate(ask, status, &target, &fields);
        let directives = ResponseDirectives::parse(&fields);
        let terms = Terms::new(requested, received, status, &fields, &directives);
        let asked = Asked {
            method: &ask.method,
            target,
            directives: nigh_cache::directives::RequestDirectives::parse(&ask.fields),
            authorized: ask.fields.contains_key(header::AUTHORIZATION),
        };
        let mut stored =
            storable::judge(&asked, status, &fields, &directives, &terms, Cookies::default());
        if let Some(stale) = &stale
            && status.is_server_error()
            && stale.terms().may_serve_on_error(&asked.directives, received)
        {
            stored = Err(WhyNot::StaleStands);
        }
        if ask.method == Method::HEAD {
            self.learn_from_head(ask, status, &fields, requested, received);
        }
        let length = fetched.length().filter(|_| ask.method != Method::HEAD);
        let announced = fields.get(header::CONTENT_LENGTH).cloned();
        let for_first = take_qualified(&mut fields, &directives);
        storable::strip(&mut fields, &directives, received);
        let vary = Vary::parse(&fields);
        let mut selecting = Vec::new();
        vary::selecting(vary.names(), &ask.fields, &mut selecting);
        pilot.head(Head {
            status,
            fields,
            for_first,
            length,
            announced,
            terms,
            stored,
            vary: vary.names().into(),
            selecting: selecting.into(),
        });
        let mut trailers = None;
        loop {
            let frame = tokio::select! {
                biased;
                frame = fetched.frame() => frame,
                () = pilot.abandoned() => return,
            };
            match frame {
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if pilot.push(data).await.is_err() {
                            return;
                        }
                    }
                    Err(other) => trailers = other.into_trailers().ok(),
                },
                Ok(None) => return pilot.land(trailers),
                Err(failure) => {
                    self.counters.origin_failure();
                    return pilot.fail(failure);
                }
            }
        }
    }

    /// RFC 9111, section 4.4.
    fn invalidate(&self, ask: &Ask, status: StatusCode, target: &Target<'_>, fields: &HeaderMap) {
        let mut key = Vec::new();
        for path in invalidate::targets(&ask.method, status, target, fields) {
            if let Ok(path) = std::str::from_utf8(&path) {
                nigh_cache::key::write(ask.scheme, &ask.authority, path, &mut key);
                self.store.remove(self.store.key(&key));
            }
        }
    }

    /// RFC 9111, section 4.3.5.
    fn learn_from_head(
        &self,
        ask: &Ask,
        status: StatusCode,
        fresh: &HeaderMap,
        requested: Wall,
        received: Wall,
    ) {
        let key = self.store.key(&ask.key);
        let Some(old) = self.store.find(key, &ask.fields, &mut Vec::new()) else { return };
        match update::head(&old.fields(), old.length(), status, fresh) {
            update::Head::Update => {
                let mut fresh = fresh.clone();
                forward::remove_hop_by_hop(&mut fresh);
                let (fields, terms) = merged(&old, &fresh, requested, received);
                pilot::update(&self.store, &old, &fields, terms);
            }
            update::Head::Outdate => self.store.outdate(key, &old),
            update::Head::Nothing => {}
        }
    }

    /// The request as it goes to the origin.
    fn request(
        &self,
        ask: &Ask,
        manner: Manner,
        validate: Option<&Object>,
        conditions: bool,
        body: RequestBody,
    ) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = ask.method.clone();
        // A path was read by a stricter parser than this one; what it will not take is the root.
        *request.uri_mut() = Uri::try_from(&*ask.path_and_query).unwrap_or_default();
        let mut fields = ask.fields.clone();
        // Where the body's framing is ours to say, hyper says it.
        fields.remove(header::CONTENT_LENGTH);
        let expects = fields.get(header::EXPECT).cloned();
        let hop = Hop {
            client: ask.client.ip(),
            scheme: ask.scheme,
            authority: &ask.authority,
            version: ask.version,
        };
        forward::to_origin(&mut fields, hop, &self.identity, self.origin.host());
        if let Some(expects) = expects.filter(|_| !request.body().is_empty()) {
            fields.insert(header::EXPECT, expects);
        }
        if manner == Manner::Shared {
            forward::normalise_accept_encoding(&mut fields);
            fields.remove(header::IF_RANGE);
            if validate.is_some() || !conditions {
                fields.remove(header::IF_NONE_MATCH);
                fields.remove(header::IF_MODIFIED_SINCE);
            }
            if let Some(old) = validate {
                let packed = old.fields();
                let validators = Validators::of(&packed);
                let mut insert = |name, value: Option<&[u8]>| {
                    if let Some(Ok(value)) = value.map(http::HeaderValue::from_bytes) {
                        fields.insert(name, value);
                    }
                };
                insert(header::IF_NONE_MATCH, validators.if_none_match);
                insert(header::IF_MODIFIED_SINCE, validators.if_modified_since);
            }
        }
        *request.headers_mut() = fields;
        request
    }

    /// Asks the origin to speak another protocol. RFC 9110, section 7.8.
    async fn tunnel(self: &Rc<Self>, ask: Ask, fetch: Fetch) -> Answer {
        let protocol = ask.fields.get(header::UPGRADE).cloned();
        let mut request = self.request(&ask, Manner::Tunnel, None, true, RequestBody::Empty);
        if let Some(protocol) = protocol {
            forward::ask_upgrade(request.headers_mut(), protocol);
        }
        self.counters.origin_request();
        let requested = clock::now();
        match self.origin.send(request, None).await {
            Ok(mut fetched) if fetched.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                let fields = std::mem::take(&mut fetched.head.headers);
                let status = CacheStatus { forward_status: Some(101), ..fetch.status };
                Answer::Upgraded(Upgraded { fields, upgrade: fetched.into_upgrade(), status })
            }
            // It declined, and its answer is an answer like any other.
            Ok(fetched) => {
                let flight = Flight::new();
                let reader = flight.board_first();
                let pilot = self.pilot(flight, &ask, false);
                let service = Rc::clone(self);
                let declined = ask.clone();
                tokio::task::spawn_local(async move {
                    let received = clock::now();
                    service.deliver(pilot, &declined, None, fetched, requested, received).await;
                });
                let (unheard, _) = mpsc::channel(1);
                self.wait(reader, &ask, &fetch, &unheard, true).await.unwrap_or(LOST)
            }
            Err(failure) => Answer::Problem(Problem::Origin(failure), fetch.status),
        }
    }
}

/// A connection's place among those that wait idly; given up with it.
#[derive(Debug)]
pub(crate) struct IdlePlace {
    service: Rc<Service>,
    at: usize,
}

impl IdlePlace {
    /// Whether the draining has begun; if not, whoever asks is woken when it does.
    pub(crate) fn is_over(&self, cx: &Context<'_>) -> bool {
        if self.service.is_draining() {
            return true;
        }
        let mut idle = self.service.idle.borrow_mut();
        if !idle[self.at].as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            idle[self.at] = Some(cx.waker().clone());
        }
        false
    }
}

impl Drop for IdlePlace {
    fn drop(&mut self) {
        self.service.idle.borrow_mut()[self.at] = None;
    }
}

impl Ask {
    /// The line of the access log about this request.
    pub(crate) fn line(
        &self,
        status: StatusCode,
        bytes: u64,
        cache: CacheStatus,
        took: Duration,
    ) -> Line<'_> {
        let value = |name| self.fields.get(name).map_or(&[][..], |value| value.as_bytes());
        Line {
            when: clock::now(),
            client: self.client,
            method: self.method.as_str(),
            authority: &self.authority,
            target: &self.path_and_query,
            version: match self.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            referer: value(header::REFERER),
            agent: value(header::USER_AGENT),
            status,
            bytes,
            cache,
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// The first asker always hears a verdict; this stands where the types cannot say so.
const LOST: Answer = Answer::Problem(Problem::Origin(Failure::GivenUp), CacheStatus::EMPTY);

/// What a flight's task needs.
#[derive(Debug)]
struct Task {
    ask: Ask,
    validate: Option<Object>,
    manner: Manner,
    /// The client's own conditions go along.
    conditions: bool,
}

/// A stored response's fields and terms after the origin confirmed it. RFC 9111, section 4.3.4.
fn merged(old: &Object, fresh: &HeaderMap, requested: Wall, received: Wall) -> (HeaderMap, Terms) {
    let mut fields = old.fields().to_map();
    update::merge(&mut fields, fresh, received);
    let directives = ResponseDirectives::parse(&fields);
    let terms = Terms::new(requested, received, old.status(), &fields, &directives);
    storable::strip(&mut fields, &directives, received);
    (fields, terms)
}

/// Takes out the fields that a qualified private or no-cache keeps from everyone but the one who
/// asked. RFC 9111, sections 5.2.2.4 and 5.2.2.7.
fn take_qualified(fields: &mut HeaderMap, directives: &ResponseDirectives) -> HeaderMap {
    let mut taken = HeaderMap::new();
    for name in directives.private.fields().iter().chain(directives.no_cache.fields()) {
        for value in fields.get_all(name) {
            taken.append(name.clone(), value.clone());
        }
        fields.remove(name);
    }
    taken
}
