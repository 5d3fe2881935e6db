//! Asking the origin: who flies, who waits, and what becomes of the answer.

use std::{rc::Rc, sync::Arc};

use http::{HeaderMap, Method, Request, StatusCode, Uri, Version, header};
use nigh_base::Wall;
use nigh_cache::{
    conditional::{self, Validators},
    directives::ResponseDirectives,
    flight::{Failure, Flight, Head, Interim, News, Reader, Verdict},
    freshness::{Reuse, Terms},
    invalidate::{self, Target},
    object::Object,
    pilot::{self, Pilot},
    storable::{self, Asked, Cookies, WhyNot},
    store::Boarding,
    update,
    vary::{self, Vary},
};
use nigh_edge::{
    cache_status::CacheStatus,
    forward::{self, Hop},
    plan::{Fetch, Hit, Manner},
    problem::Problem,
};
use tokio::sync::mpsc;

use super::{Answer, Ask, Service, Streamed, Upgraded};
use crate::{body::RequestBody, clock, origin::Fetched};

impl Service {
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
                // Nobody asked for another protocol (RFC 9110, section 7.8).
                Ok(fetched) if fetched.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    self.counters.origin_failure();
                    return pilot.fail(Failure::Garbage);
                }
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
        *request.uri_mut() = target(&ask.path_and_query);
        let mut fields = ask.fields.clone();
        // Where the body's framing is ours to say, hyper says it.
        fields.remove(header::CONTENT_LENGTH);
        // An expectation of HTTP/1.0 is none (RFC 9110, section 10.1.1).
        let expects = fields.get(header::EXPECT).filter(|_| ask.version > Version::HTTP_10).cloned();
        // hyper sends the trailers that Trailer announces, and no others.
        let trailers: Vec<_> = fields.get_all(header::TRAILER).iter().cloned().collect();
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
        for names in trailers.into_iter().filter(|_| !request.body().is_empty()) {
            fields.append(header::TRAILER, names);
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

/// The target as hyper takes it: what it refuses and browsers send is percent-encoded. Another
/// target would be another resource, stored under this one's key.
fn target(path_and_query: &str) -> Uri {
    Uri::try_from(path_and_query).unwrap_or_else(|_| {
        let encoded: String = path_and_query
            .bytes()
            .map(|byte| match byte {
                b'"' | b'<' | b'>' | b'`' | b'^' | b'{' | b'}' | b'|' | b'\\' | 0x7f.. => {
                    format!("%{byte:02X}")
                }
                _ => char::from(byte).to_string(),
            })
            .collect();
        // Only its length can be wrong now, which the limit on targets keeps below 64 KiB.
        Uri::try_from(encoded).unwrap_or_default()
    })
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
