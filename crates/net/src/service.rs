//! What one core does with requests, whichever protocol brought them: plan, ask the origin, answer.
//!
//! Everything here belongs to one thread but the store, which all share. A miss becomes a flight
//! (`nigh_cache::flight`): a task of its own that no client's leaving ends.

mod beneath;
mod carry;
mod compress_stored;
mod fetch;
mod incoming;
mod links;
mod outgoing;
mod pieces;
mod places;
mod resume;
mod slice_fit;
mod slice_source;
mod slices;
mod travel;

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Method, StatusCode, Version, header};
use nigh_cache::{
    conditional::{self},
    directives::RequestDirectives,
    fields::Fields,
    flight::Head,
    invalidate::Target,
    key::Scheme,
    range::ContentRange,
    storable::Asked,
    store::Store,
    vary,
};
use nigh_edge::{
    cache_status::CacheStatus,
    client,
    forward::Identity,
    forward_proxy::pac,
    plan::{self, Hit, Manner, Meanwhile, Plan},
    problem::{self, Problem},
    respond::{self, Additions, Audience, Sink},
    site::{Methods, Rule, Seen, Server, Visit},
};

pub(crate) use self::{
    incoming::{Chunk, Incoming},
    places::Place,
    travel::{Errand, is_declined},
};
use self::{pieces::Gathered, places::Places};
use crate::{
    access_log::{self, Line, Log},
    buffers::{Account, Reserved},
    clients::Clients,
    clock,
    counters::Counters,
    disk::Disk,
    flow::Flow,
    http1,
    serve_http1::{Client, Sibling},
    siblings::{Siblings, UnderWay},
    sites::{Route, Sites},
    trusted::Trusted,
};

/// How long a client that sent `Expect: 100-continue` is left waiting for the origin's word.
pub(crate) const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// How often a request is planned anew because the disk does not have a body that it should have: once
/// for each variant that one would find.
const LOOKS_MAX: usize = 4;

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
    /// Bytes a second, on average over the two times above, below which there is no progress.
    pub min_rate: u64,
    /// Bytes of all buffers, and of what passes through unkept.
    pub buffers: u64,
    /// What a client network may take.
    pub clients: client::Limits,
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
            min_rate: 256,
            buffers: 512 << 20,
            clients: client::Limits::default(),
            tunnel_idle: Duration::from_secs(600),
            body_bytes: u64::MAX,
            connections: 10_000,
            http2_streams: 128,
        }
    }
}

/// How far a core is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It serves.
    Serving,
    /// Another process serves in its place: a connection may ask once more, and the answer says that
    /// it is the last. To close an idle one could cut off a request that is on its way.
    Leaving,
    /// As when it ends; but other edges of the cluster are answered still, so that what lies here is
    /// handed on.
    Draining,
    /// Idle connections end, busy ones after their answer.
    Ending,
}

impl Phase {
    /// What a connection makes of it.
    const fn of(self, whose: Whose) -> Self {
        match (self, whose) {
            (Self::Draining, Whose::Client) => Self::Ending,
            (Self::Draining, Whose::Sibling) => Self::Serving,
            (phase, _) => phase,
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Client,
    /// Another edge of the cluster.
    Sibling,
}

/// A request in its own right, for when it must outlive the connection's buffer.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Box<str>,
    pub(crate) path_and_query: Box<str>,
    /// Its target in the log, where that is another.
    pub(crate) logged: Option<Box<str>>,
    /// Whose it is, and under which rule: both of the moment at which it came.
    pub(crate) route: Route,
    pub(crate) fields: HeaderMap,
    pub(crate) client: SocketAddr,
    pub(crate) key: Box<[u8]>,
    pub(crate) selecting: Box<[u8]>,
    /// Content followed, or another protocol was offered.
    pub(crate) has_content: bool,
    /// It came from another edge of the cluster, so that it goes to no further one.
    pub(crate) sibling: Option<Sibling>,
}

/// What is to be done for a request that cannot be answered at once.
#[derive(Debug)]
pub(crate) enum Work {
    /// Ask the origin.
    Fetch(plan::Fetch),
    /// Bring together what is stored.
    Gather(Hit),
}

/// What a request gets that the store alone could not answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A stored response after all.
    Stored(Hit),
    /// A stored response whose content comes slice by slice, or from the disk.
    Gathered(Hit, Incoming),
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
    pub(crate) content: Incoming,
    pub(crate) status: CacheStatus,
    /// The client holds it already: 304 instead of the body.
    pub(crate) not_modified: bool,
    /// The client is the one whose request was sent.
    pub(crate) first: bool,
    /// The client gets only this range of it.
    pub(crate) range: Option<ContentRange>,
    /// What it takes while it is sent.
    pub(crate) reserved: Option<Reserved>,
}

impl Streamed {
    /// The status that the client gets.
    pub(crate) fn status(&self) -> StatusCode {
        match self.range {
            _ if self.not_modified => StatusCode::NOT_MODIFIED,
            Some(_) => StatusCode::PARTIAL_CONTENT,
            None => self.head.status,
        }
    }

    /// Bytes of the content, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.range.map_or(self.head.length, |range| Some(range.span.len()))
    }
}

/// An origin that agreed to speak another protocol.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) fields: HeaderMap,
    pub(crate) upgrade: hyper::upgrade::OnUpgrade,
    pub(crate) status: CacheStatus,
    /// What it takes while it is open.
    pub(crate) reserved: Option<Reserved>,
}

/// What clients may take, as it was at the start, and what all cores together count of it.
#[derive(Clone, Debug)]
pub struct Shared {
    limits: Limits,
    /// What client networks take; `None` if they are not limited.
    pub clients: Option<Arc<Clients>>,
    /// What all buffers take.
    pub buffers: Arc<Account>,
    /// Whether what is stored may be served.
    pub trusted: Arc<Trusted>,
    /// A core needs room and has no connection that waits: another one may have.
    room_wanted: Arc<AtomicBool>,
}

impl Shared {
    pub(crate) fn new(limits: Limits, trusted: Arc<Trusted>) -> Self {
        let (clients, buffers) = (Clients::new(&limits.clients), Account::new(limits.buffers));
        Self { limits, clients, buffers, trusted, room_wanted: Arc::default() }
    }
}

/// One core's half of the edge.
#[derive(Debug)]
pub struct Service {
    store: Arc<Store>,
    sites: RefCell<Rc<Sites>>,
    identity: Identity,
    limits: RefCell<Rc<Limits>>,
    shared: Shared,
    counters: Arc<Counters>,
    log: Option<Log>,
    disk: Option<Arc<Disk>>,
    phase: Cell<Phase>,
    /// What is compressed here.
    compressing: carry::Compressing,
    /// Links that are being followed.
    following: Cell<usize>,
    /// The other edges of the cluster, if there are any.
    siblings: RefCell<Option<Rc<Siblings>>>,
    /// Those of its parent, if it has one.
    parent: RefCell<Option<Rc<Siblings>>>,
    /// Slices that are being fetched ahead.
    reading_ahead: Cell<u64>,
    /// Where its connections are found.
    places: RefCell<Places>,
}

impl Service {
    /// A service for one core.
    pub(crate) fn new(
        store: Arc<Store>,
        sites: Rc<Sites>,
        identity: Identity,
        shared: Shared,
        counters: Arc<Counters>,
        log: Option<Log>,
        disk: Option<Arc<Disk>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            store,
            sites: RefCell::new(sites),
            identity,
            limits: RefCell::new(Rc::new(shared.limits.clone())),
            shared,
            counters,
            log,
            disk,
            phase: Cell::new(Phase::Serving),
            compressing: carry::Compressing::default(),
            following: Cell::new(0),
            siblings: RefCell::default(),
            parent: RefCell::default(),
            reading_ahead: Cell::new(0),
            places: RefCell::default(),
        })
    }

    /// The limits as they are now.
    pub(crate) fn limits(&self) -> Rc<Limits> {
        Rc::clone(&self.limits.borrow())
    }

    /// From here on, these limits hold; what waits already goes on waiting as long as it was to.
    pub(crate) fn exchange_limits(&self, limits: Limits) {
        *self.limits.borrow_mut() = Rc::new(limits);
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What all cores count together.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether what is stored may answer whoever asks now, itself or through a sibling.
    pub(crate) fn trusts(&self, sibling: Option<Sibling>) -> bool {
        self.shared.trusted.allows(sibling.map_or(0, |sibling| sibling.purges))
    }

    /// Whether a request is one too many of its client's network. That counts it.
    pub(crate) fn refusal(&self, client: &Client) -> Option<Problem> {
        let (clients, network) = (self.shared.clients.as_ref()?, client.network?);
        let seconds = clients.request(network).err()?;
        self.counters.request_limited();
        Some(Problem::TooManyRequests(seconds))
    }

    /// How a client is written to.
    pub(crate) fn flow(&self, client: &Client) -> Flow {
        let limited = self.shared.clients.as_ref().zip(client.network);
        Flow {
            limit: self.limits().write_time,
            least: self.limits().min_rate,
            pace: limited.and_then(|(clients, network)| clients.pace(network)),
            counters: Arc::clone(&self.counters),
        }
    }

    /// Reserves memory for buffers; that there is none is counted, and makes room for the next.
    pub(crate) fn reserve(&self, bytes: u64) -> Option<Reserved> {
        let reserved = self.shared.buffers.reserve(bytes);
        if reserved.is_none() {
            self.counters.no_room();
            self.ask_for_room();
        }
        reserved
    }

    /// The sites as they are now.
    pub(crate) fn sites(&self) -> Rc<Sites> {
        Rc::clone(&self.sites.borrow())
    }

    /// From here on, requests are these sites'.
    pub(crate) fn exchange_sites(&self, sites: Rc<Sites>) {
        *self.sites.borrow_mut() = sites;
    }

    /// A request is under way until what is returned goes: that is an edge's load in its cluster.
    pub(crate) fn begin(&self) -> Option<UnderWay> {
        self.siblings.borrow().as_ref().map(|siblings| siblings.members().begin())
    }

    /// The other edges of the cluster as they are now, if there are any.
    pub(crate) fn siblings(&self) -> Option<Rc<Siblings>> {
        self.siblings.borrow().clone()
    }

    /// The edges of the parent as they are now, if there is one.
    pub(crate) fn parent(&self) -> Option<Rc<Siblings>> {
        self.parent.borrow().clone()
    }

    /// From here on, these are the other edges.
    pub(crate) fn exchange_siblings(&self, siblings: Rc<Siblings>) {
        *self.siblings.borrow_mut() = Some(siblings);
    }

    /// From here on, these are those of the parent.
    pub(crate) fn exchange_parent(&self, parent: Option<Rc<Siblings>>) {
        *self.parent.borrow_mut() = parent;
    }

    pub(crate) fn additions(&self, cache_status: CacheStatus, audience: Audience) -> Additions<'_> {
        Additions { identity: &self.identity, cache_status, audience }
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

    /// Goes on to a later phase, and lets every connection know.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.places.borrow_mut().wake();
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether the answer that is written next is its connection's last.
    pub(crate) fn is_draining(&self) -> bool {
        self.phase() > Phase::Serving
    }

    /// A place where a connection can be found by [`Self::enter`] and [`Self::make_room`].
    pub(crate) fn place(self: &Rc<Self>, whose: Whose) -> Place {
        Place::new(Rc::clone(self), whose)
    }

    /// Ends some of the connections that have waited longest for their clients, because others need
    /// what they hold; says how many.
    pub(crate) fn make_room(&self) -> usize {
        let dismissed = self.places.borrow_mut().dismiss();
        (0..dismissed).for_each(|_| self.counters.idle_closed());
        dismissed
    }

    /// How many of this core's connections were told to, and have not ended yet.
    pub(crate) fn leaving(&self) -> usize {
        self.places.borrow().leaving()
    }

    /// The same where nothing is left at all: if none waits here, the other cores are asked.
    pub(crate) fn ask_for_room(&self) -> usize {
        let dismissed = self.make_room();
        if dismissed == 0 {
            self.shared.room_wanted.store(true, Ordering::Relaxed);
        }
        dismissed
    }

    /// There was room for a connection: whoever has asked for some before asks again if need be.
    pub(crate) fn has_found_room(&self) {
        // Read first: that is all it costs where nobody has asked.
        if self.shared.room_wanted.load(Ordering::Relaxed) {
            self.shared.room_wanted.store(false, Ordering::Relaxed);
        }
    }

    /// Makes room if a core has asked for it.
    pub(crate) fn make_room_if_wanted(&self) {
        if self.shared.room_wanted.swap(false, Ordering::Relaxed) {
            self.ask_for_room();
        }
    }

    /// Writes the head of an answer from the store.
    pub(crate) fn write_stored(
        &self,
        sink: &mut impl Sink,
        hit: &Hit,
        audience: Audience,
        text: &mut Vec<u8>,
    ) {
        if hit.status.hit {
            self.counters.hit();
        }
        if hit.status.ttl.is_some_and(|ttl| ttl <= 0) {
            self.counters.stale();
        }
        let additions = self.additions(hit.status, audience);
        respond::stored(sink, &hit.object, &hit.reply.shape, clock::now(), &additions, text);
    }

    /// Writes the head of a response on its way, but for its length.
    pub(crate) fn write_streamed(
        &self,
        sink: &mut impl Sink,
        streamed: &Streamed,
        audience: Audience,
        text: &mut Vec<u8>,
    ) {
        let Streamed { head, status, not_modified, first, range, .. } = streamed;
        if status.hit {
            self.counters.hit();
        } else {
            self.counters.forwarded();
        }
        let own = if *first { Some(head.for_first.iter()) } else { None };
        let fields = head.fields.iter().chain(own.into_iter().flatten());
        let additions = self.additions(*status, audience);
        if *not_modified {
            let fields = fields.filter(|(name, _)| conditional::in_not_modified(name.as_str()));
            respond::streamed(sink, StatusCode::NOT_MODIFIED, fields, &additions, text);
        } else {
            respond::streamed(sink, streamed.status(), fields, &additions, text);
            if let Some(range) = range {
                sink.field("content-range", range.to_string().as_bytes());
            }
        }
    }

    /// Writes the head of an answer of our own.
    pub(crate) fn write_own(
        &self,
        sink: &mut impl Sink,
        status: StatusCode,
        length: usize,
        allowed: Methods,
        cache: CacheStatus,
        text: &mut Vec<u8>,
    ) {
        self.counters.own();
        let (now, additions) = (clock::now(), self.additions(cache, Audience::Client));
        let kind = problem::CONTENT_TYPE;
        respond::own(sink, status, kind, length, allowed, now, &additions, text);
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            // RFC 9110, section 11.7.1; RFC 7617, section 2.1.
            let challenge = b"Basic realm=\"nigh\", charset=\"UTF-8\"";
            sink.field("proxy-authenticate", challenge);
        }
    }

    /// Writes the head of the file that tells browsers about a forward proxy.
    pub(crate) fn write_pac(&self, sink: &mut impl Sink, length: usize, text: &mut Vec<u8>) {
        self.counters.own();
        let (now, additions) = (clock::now(), self.additions(CacheStatus::EMPTY, Audience::Client));
        let (status, kind) = (StatusCode::OK, pac::CONTENT_TYPE);
        respond::own(sink, status, kind, length, Methods::USUAL, now, &additions, text);
    }

    /// Whether a site's origin may be asked for what is not yet waited for: not if that could take the
    /// connections which others wait for. `begun` requests may still be about to take theirs.
    pub(crate) fn may_ask_early(&self, route: &Route, begun: usize) -> bool {
        route.upstream().has_many_connections(begun)
    }

    /// Lets a request for `target` in and further on, if its rule does.
    pub(crate) fn admit<F: Fields>(
        &self,
        route: &Route,
        method: &Method,
        target: &str,
        client: SocketAddr,
        fields: &F,
    ) -> Result<(), Problem> {
        let server = if route.is_forward() { Server::Beyond } else { Server::Here };
        let (client, now) = (client.ip(), clock::now());
        route.rule().admit(&Visit { method, target, server, client, fields, now })
    }

    /// Counts an answer of our own that is a guard's word.
    pub(crate) fn count_problem(&self, problem: Problem) {
        match problem {
            Problem::NetworkRefused => self.counters.network_refused(),
            Problem::MethodRefused(_) => self.counters.method_refused(),
            Problem::FieldRefused => self.counters.field_refused(),
            Problem::Signature(_) => self.counters.signature_refused(),
            _ => {}
        }
    }

    /// Plans a request whose key was written to `key`, under its rule.
    pub(crate) fn plan<F: Fields>(
        &self,
        request: &plan::Request<'_, F>,
        rule: &Rule,
        key: &[u8],
        selecting: &mut Vec<u8>,
    ) -> Plan {
        if self.identity.is_loop(request.fields.values("cdn-loop")) {
            return Plan::Refuse(Problem::Loop);
        }
        let plan::Request { method, fields, has_body, upgrade, bypass, trusted } = *request;
        let fields = &Seen::new(fields, rule);
        let request = &plan::Request { method, fields, has_body, upgrade, bypass, trusted };
        let key = self.store.key(key);
        for _ in 0..LOOKS_MAX {
            let hit = match plan::plan(request, &self.store, key, clock::now(), selecting) {
                Plan::Gather(hit) => hit,
                Plan::Answer(mut hit) => {
                    if hit.meanwhile.is_none()
                        && self.is_to_be_compressed(rule, method, fields, &hit.object)
                    {
                        hit.meanwhile = Some(Meanwhile::Compress);
                    }
                    return Plan::Answer(hit);
                }
                Plan::Fetch(fetch) if rule.compress.is_some() && selecting.is_empty() => {
                    // Nothing stored says so yet, but who takes another coding waits for another
                    // answer.
                    vary::selecting(&[header::ACCEPT_ENCODING], fields, selecting);
                    return Plan::Fetch(fetch);
                }
                other => return other,
            };
            match self.gather(hit) {
                Gathered::Whole(hit) => return Plan::Answer(hit),
                Gathered::Later(hit) => return Plan::Gather(hit),
                // What is stored is another thing now.
                Gathered::Lost => {}
            }
        }
        plan::plan(request, &self.store, key, clock::now(), selecting)
    }
}

impl Ask {
    /// Its path and query as the origin gets them.
    pub(crate) fn sent(&self) -> Cow<'_, str> {
        self.route.rule().target(&self.method, &self.path_and_query)
    }

    /// The request that goes to the origin in this manner: of a HEAD the GET that answers everybody.
    fn flying(self: &Rc<Self>, manner: Manner) -> Rc<Self> {
        let method = manner.method(&self.method);
        if method == self.method {
            return Rc::clone(self);
        }
        let mut fields = self.fields.clone();
        // With a HEAD they have said nothing (RFC 9110, section 14.2).
        fields.remove(header::RANGE);
        fields.remove(header::IF_RANGE);
        Rc::new(Self { method, fields, ..(**self).clone() })
    }

    /// The target URI.
    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            scheme: self.scheme,
            authority: self.authority.as_bytes(),
            path: self.path_and_query.as_bytes(),
        }
    }

    /// What the storing rules need to know of it.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            method: &self.method,
            target: self.target(),
            directives: RequestDirectives::parse(&self.fields),
            authorized: self.fields.contains_key(header::AUTHORIZATION),
            has_content: self.has_content,
        }
    }

    /// The line about a request whose client went away before it was answered: 499, as other servers'
    /// logs have it.
    pub(crate) fn gone(&self, took: Duration) -> Line<'_> {
        self.line(access_log::client_gone(), 0, CacheStatus::EMPTY, took)
    }

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
            target: self.logged.as_deref().unwrap_or(&self.path_and_query),
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
