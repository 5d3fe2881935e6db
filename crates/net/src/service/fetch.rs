//! Asking the origin: who flies, who waits, and what becomes of the answer.

use std::{borrow::Cow, pin::pin, rc::Rc, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Request, StatusCode, Uri, Version, header};
use nigh_base::Wall;
use nigh_cache::{
    conditional::{self, Validators},
    directives::ResponseDirectives,
    flight::{Abandoned, Failure, Head, Interim, News, Reader, Verdict},
    freshness::{Reuse, Terms},
    invalidate,
    object::Object,
    pilot::{self, Pilot},
    storable::{self, Asked, Cookies, WhyNot},
    store::Boarding,
    update,
    vary::{self, Vary},
};
use nigh_edge::{
    cache_status::{CacheStatus, Forward},
    forward::{self, Hop},
    plan::{Fetch, Hit, Manner},
    problem::Problem,
};
use tokio::{sync::mpsc, time::Instant};

use super::{Answer, Ask, Service, Streamed, Upgraded, beneath::Looked};
use crate::{body::RequestBody, buffers, clock, http1::trailers, origin::Fetched};

/// How long, in all, the readers of a response that is not kept wait for those who are behind.
const HELD_UP_MAX: Duration = Duration::from_secs(10);

impl Service {
    /// Validates a stale object that was answered with, if nobody does so already.
    pub(crate) fn refresh(self: &Rc<Self>, ask: Ask, object: Object) {
        let Some(target) = target(&ask.sent()) else { return };
        let key = self.store.key(&ask.key);
        if let Boarding::First(mut reader, pilot) =
            self.store.board(key, &ask.selecting, Some(&object))
        {
            let service = Rc::clone(self);
            let task = Task {
                ask: Rc::new(ask),
                target,
                validate: Some(object),
                manner: Manner::Shared,
                conditions: false,
            };
            tokio::task::spawn_local(async move {
                // Somebody must want it until it is known whether the store does.
                let wanted = async {
                    reader.verdict().await;
                    drop(reader);
                };
                tokio::join!(service.fly(pilot, task, RequestBody::Empty), wanted);
            });
        }
    }

    /// Asks the origin, or waits for whoever does.
    pub(crate) async fn fetch(
        self: &Rc<Self>,
        ask: Rc<Ask>,
        fetch: Fetch,
        body: RequestBody,
        interims: mpsc::Sender<Interim>,
    ) -> Answer {
        let cost = buffers::fetch(ask.version, ask.has_content);
        let Some(taken) = self.reserve(cost) else {
            return Answer::Problem(Problem::Origin(Failure::NoRoom), fetch.status);
        };
        let mut answer = self.fetch_with_room(ask, fetch, body, interims).await;
        if let Answer::Streamed(Streamed { reserved, .. })
        | Answer::Upgraded(Upgraded { reserved, .. }) = &mut answer
        {
            *reserved = Some(taken);
        }
        answer
    }

    async fn fetch_with_room(
        self: &Rc<Self>,
        ask: Rc<Ask>,
        fetch: Fetch,
        body: RequestBody,
        interims: mpsc::Sender<Interim>,
    ) -> Answer {
        let Some(target) = target(&ask.sent()) else {
            return Answer::Problem(Problem::BadTarget, fetch.status);
        };
        let (ask, fetch) = match self.look_beneath(ask, fetch).await {
            Looked::Answer(answer) => return answer,
            Looked::Fetch(ask, fetch) => (ask, fetch),
        };
        let key = self.store.key(&ask.key);
        let (reader, pilot) = match fetch.manner {
            Manner::Tunnel => return self.tunnel(ask, target, fetch).await,
            Manner::Alone => self.store.fly_alone(key),
            Manner::Shared => match self.store.board(key, &ask.selecting, fetch.stale.as_ref()) {
                Boarding::First(reader, pilot) => (reader, pilot),
                Boarding::Stored(object) => match self.landed(object, &ask, &fetch) {
                    Some(answer) => return answer,
                    None => self.store.fly_alone(key),
                },
                Boarding::Later(reader) => {
                    self.counters.collapsed();
                    if let Some(answer) = self.wait(reader, &ask, &fetch, &interims, false).await {
                        return answer;
                    }
                    self.store.fly_alone(key)
                }
            },
        };
        // Where nobody can share the answer, the client's own conditions may save it a body.
        let conditions = fetch.manner == Manner::Alone || !pilot.can_be_joined();
        let task = Task {
            ask: Rc::clone(&ask),
            target: target.clone(),
            validate: fetch.stale.clone().filter(|_| fetch.manner == Manner::Shared),
            manner: fetch.manner,
            conditions,
        };
        let progress = body.progress();
        self.launch(pilot, task, body);
        match self.wait(reader, &ask, &fetch, &interims, true).await {
            // The origin waited for the client.
            Some(Answer::Problem(Problem::Origin(Failure::TimedOut), status))
                if progress.is_some_and(|progress| progress.is_wanted()) =>
            {
                return Answer::Problem(Problem::Body(StatusCode::REQUEST_TIMEOUT), status);
            }
            Some(answer) => return answer,
            None => {}
        }
        // Others could not wait until it was read: it is fetched again, for this client.
        let (reader, pilot) = self.store.fly_alone(key);
        let task = Task {
            ask: Rc::clone(&ask),
            target,
            validate: None,
            manner: fetch.manner,
            conditions: true,
        };
        self.launch(pilot, task, RequestBody::Empty);
        self.wait(reader, &ask, &fetch, &interims, true).await.unwrap_or(LOST)
    }

    fn launch(self: &Rc<Self>, pilot: Pilot, task: Task, body: RequestBody) {
        let service = Rc::clone(self);
        tokio::task::spawn_local(async move { service.fly(pilot, task, body).await });
    }

    /// The answer that a response gives which another one's fetch has just stored.
    fn landed(&self, object: Object, ask: &Ask, fetch: &Fetch) -> Option<Answer> {
        let now = clock::now();
        let fresh = object.terms().reuse(&fetch.directives, now) == Reuse::Fresh;
        let status = CacheStatus { collapsed: true, ..CacheStatus::hit(object.terms().ttl(now)) };
        let hit = fresh.then(|| Hit::new(object, &ask.method, &ask.fields, status, now))??;
        Some(Answer::Stored(hit))
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
                    // RFC 9111, section 5.2.2.2.
                    None if fetch.stale.as_ref().is_some_and(|old| old.terms().never_stale()) => {
                        Answer::Problem(Problem::CannotValidate, status)
                    }
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
                    // That it was not kept was known before.
                    Err(_) if status.forward == Some(Forward::Bypass) => {}
                    Err(why) => status.detail = Some(why.as_str()),
                }
                let outcome =
                    conditional::evaluate(&ask.method, &ask.fields, head.status, &head.fields, now);
                let not_modified =
                    fetch.manner == Manner::Shared && outcome == conditional::Outcome::NotModified;
                let reserved = None;
                Some(Answer::Streamed(Streamed {
                    head,
                    reader,
                    status,
                    not_modified,
                    first,
                    reserved,
                }))
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
        let requested = clock::now();
        let request = self.request(&task, body);
        let Task { ask, validate, .. } = task;
        let (interim_out, mut interim_in) = mpsc::channel(nigh_cache::flight::INTERIM_MAX);
        let sending = ask.route.upstream().send(request, Some(interim_out));
        let mut sending = std::pin::pin!(sending);
        self.counters.origin_request();
        let sent = loop {
            tokio::select! {
                biased;
                Some(interim) = interim_in.recv() => pilot.interim(passed_on(interim)),
                sent = &mut sending => break sent,
                () = pilot.abandoned() => return,
            }
        };
        // Those that came in one piece with the head.
        while let Ok(interim) = interim_in.try_recv() {
            pilot.interim(passed_on(interim));
        }
        let mut fetched = match sent {
            Ok(fetched) => fetched,
            Err(failure) => {
                self.counters.origin_failure();
                return pilot.fail(failure);
            }
        };
        let received = clock::now();
        match validate {
            Some(old) if fetched.head.status == StatusCode::NOT_MODIFIED => {
                let fresh = std::mem::take(&mut fetched.head.headers);
                let merged = Merged::new(&old, fresh, &ask, requested, received);
                pilot.confirm(&old, &merged.fields, merged.terms, merged.stored);
                // Its end gives the connection back.
                while let Ok(Some(_)) = fetched.frame().await {}
            }
            stale => self.deliver(pilot, &ask, stale, fetched, requested, received).await,
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
        self.invalidate(&pilot, ask, status, &fields);
        let directives = ask.route.rule().directives(status, &fields);
        let terms = Terms::new(requested, received, status, &fields, &directives);
        let asked = ask.asked();
        let mut stored =
            storable::judge(&asked, status, &fields, &directives, &terms, Cookies::default());
        if let Some(stale) = &stale
            && status.is_server_error()
            && stale.terms().may_serve_on_error(&asked.directives, received)
        {
            stored = Err(WhyNot::StaleStands);
        }
        if Vary::parse(&fields).names().iter().any(|name| forward::WRITTEN.contains(&name.as_str()))
        {
            // Chosen by a field that nigh writes: the client's own says nothing of it.
            stored = stored.and(Err(WhyNot::VaryStar));
        }
        if ask.method == Method::HEAD {
            self.learn_from_head(ask, status, &fields, requested, received);
        }
        let length = fetched.length().filter(|_| ask.method != Method::HEAD);
        let is_empty = ask.method == Method::HEAD || status == StatusCode::NO_CONTENT;
        let passing = if is_empty { 0 } else { buffers::passing(length) };
        let mut room = None;
        if stored.is_err() {
            room = self.reserve(passing);
            if room.is_none() {
                return pilot.fail(Failure::NoRoom);
            }
        }
        let announced = fields.get(header::CONTENT_LENGTH).cloned();
        let for_first = take_qualified(&mut fields, &directives);
        storable::strip(&mut fields, &directives, received);
        let vary = Vary::parse(&fields);
        let mut selecting = Vec::new();
        vary::selecting(vary.names(), &*seen_by_origin(&ask.fields), &mut selecting);
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
        let mut trailer = None;
        let mut patience = HELD_UP_MAX;
        loop {
            let frame = tokio::select! {
                biased;
                frame = fetched.frame() => frame,
                () = pilot.abandoned() => return,
            };
            match frame {
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) => {
                        pilot.push(&data);
                        // The store had no room for it, or has none for the rest.
                        if room.is_none() && !pilot.keeps() {
                            room = self.reserve(passing);
                            if room.is_none() {
                                return pilot.fail(Failure::NoRoom);
                            }
                        }
                        if self.wait_for_room(&pilot, &mut patience).await.is_err() {
                            return;
                        }
                    }
                    Err(other) => {
                        let admitted = other.into_trailers().map(|all| trailers::admissible(&all));
                        trailer = admitted.ok().filter(|kept| !kept.is_empty());
                    }
                },
                Ok(None) => return pilot.land(trailer),
                Err(failure) => {
                    self.counters.origin_failure();
                    return pilot.fail(failure);
                }
            }
        }
    }

    /// Waits until the readers have taken enough; `patience` is how long those who are behind may
    /// still make the others wait.
    async fn wait_for_room(&self, pilot: &Pilot, patience: &mut Duration) -> Result<(), Abandoned> {
        let mut room = pin!(pilot.room());
        loop {
            let since = Instant::now();
            if let Ok(room) = tokio::time::timeout(*patience, &mut room).await {
                *patience = patience.saturating_sub(since.elapsed());
                return room;
            }
            pilot.cut_slow();
            *patience = HELD_UP_MAX;
        }
    }

    /// RFC 9111, section 4.4.
    fn invalidate(&self, pilot: &Pilot, ask: &Ask, status: StatusCode, fields: &HeaderMap) {
        let mut key = Vec::new();
        for path in invalidate::targets(&ask.method, status, &ask.target(), fields) {
            if let Ok(path) = std::str::from_utf8(&path) {
                ask.route.write_other_key(ask.scheme, &ask.authority, path, &mut key);
                self.store.invalidate(self.store.key(&key), pilot);
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
        if old.status() != StatusCode::OK {
            return;
        }
        match update::head(&old.fields(), old.length(), status, fresh) {
            update::Head::Update => {
                let merged = Merged::new(&old, fresh.clone(), ask, requested, received);
                // What this client alone may see changes nothing for the others.
                if merged.stored.is_ok() {
                    pilot::update(&self.store, &old, &merged.fields, merged.terms);
                }
            }
            update::Head::Outdate => self.store.outdate(key, &old),
            update::Head::Nothing => {}
        }
    }

    /// The request as it goes to the origin.
    fn request(&self, task: &Task, body: RequestBody) -> Request<RequestBody> {
        let Task { ask, target, validate, manner, conditions } = task;
        let mut request = Request::new(body);
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = target.clone();
        let mut fields = ask.fields.clone();
        forward::count_forward(&ask.method, &mut fields);
        // Where the body's framing is ours to say, hyper says it.
        fields.remove(header::CONTENT_LENGTH);
        // An expectation of HTTP/1.0 is none (RFC 9110, section 10.1.1).
        let expects =
            fields.get(header::EXPECT).filter(|_| ask.version > Version::HTTP_10).cloned();
        // hyper sends the trailers that Trailer announces, and no others.
        let trailers: Vec<_> = fields.get_all(header::TRAILER).iter().cloned().collect();
        let hop = Hop {
            client: ask.client.ip(),
            scheme: ask.scheme,
            authority: &ask.authority,
            version: ask.version,
        };
        forward::to_origin(&mut fields, hop, &self.identity);
        if let Some(expects) = expects.filter(|_| !request.body().is_empty()) {
            fields.insert(header::EXPECT, expects);
        }
        for names in trailers.into_iter().filter(|_| !request.body().is_empty()) {
            fields.append(header::TRAILER, names);
        }
        if *manner != Manner::Tunnel {
            // Whatever comes back may be stored under the normalised value.
            forward::normalise_accept_encoding(&mut fields);
        }
        if *manner == Manner::Shared {
            fields.remove(header::RANGE);
            fields.remove(header::IF_RANGE);
            if validate.is_some() || !*conditions {
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
    async fn tunnel(self: &Rc<Self>, ask: Rc<Ask>, target: Uri, fetch: Fetch) -> Answer {
        let protocol = ask.fields.get(header::UPGRADE).cloned();
        let task = Task {
            ask: Rc::clone(&ask),
            target,
            validate: None,
            manner: Manner::Tunnel,
            conditions: true,
        };
        let mut request = self.request(&task, RequestBody::Empty);
        if let Some(protocol) = protocol {
            forward::ask_upgrade(request.headers_mut(), protocol);
        }
        self.counters.origin_request();
        let requested = clock::now();
        match ask.route.upstream().send(request, None).await {
            Ok(mut fetched) if fetched.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                let fields = std::mem::take(&mut fetched.head.headers);
                let status = CacheStatus { forward_status: Some(101), ..fetch.status };
                let upgrade = fetched.into_upgrade();
                Answer::Upgraded(Upgraded { fields, upgrade, status, reserved: None })
            }
            // It declined, and its answer is an answer like any other.
            Ok(fetched) => {
                let (reader, pilot) = self.store.fly_alone(self.store.key(&ask.key));
                let service = Rc::clone(self);
                let declined = Rc::clone(&ask);
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
    ask: Rc<Ask>,
    target: Uri,
    validate: Option<Object>,
    manner: Manner,
    /// The client's own conditions go along.
    conditions: bool,
}

/// The target as hyper takes it, or `None` if it takes it in no way. What it refuses and clients send
/// is percent-encoded: another target would be another resource, stored under this one's key.
fn target(path_and_query: &str) -> Option<Uri> {
    if let Ok(target) = Uri::try_from(path_and_query) {
        return Some(target);
    }
    let mut encoded = String::with_capacity(path_and_query.len() + 16);
    for byte in path_and_query.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'`' | b'^' | b'{' | b'}' | b'|' | b'\\' | 0x7f.. => {
                encoded.push_str(&format!("%{byte:02X}"));
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    Uri::try_from(encoded).ok()
}

/// A stored response after the origin confirmed it. RFC 9111, section 4.3.4.
struct Merged {
    fields: HeaderMap,
    terms: Terms,
    /// Whether it may stay in the store: what confirmed it may be for one client alone.
    stored: Result<(), WhyNot>,
}

impl Merged {
    fn new(old: &Object, mut fresh: HeaderMap, ask: &Ask, requested: Wall, received: Wall) -> Self {
        forward::remove_hop_by_hop(&mut fresh);
        let mut fields = old.fields().to_map();
        update::merge(&mut fields, &fresh, received);
        let directives = ask.route.rule().directives(old.status(), &fields);
        let terms = Terms::new(requested, received, old.status(), &fields, &directives);
        let asked = Asked { method: &Method::GET, ..ask.asked() };
        let cookies = Cookies::default();
        let mut stored =
            storable::judge(&asked, old.status(), &fields, &directives, &terms, cookies);
        if Vary::parse(&fields).names() != old.vary() {
            // It would have to be filed under another key; the next request does that.
            stored = stored.and(Err(WhyNot::VaryStar));
        }
        storable::strip(&mut fields, &directives, received);
        Self { fields, terms, stored }
    }
}

/// A client's fields without those that Connection lists: the origin did not see them, so they chose
/// nothing.
fn seen_by_origin(fields: &HeaderMap) -> Cow<'_, HeaderMap> {
    if !fields.contains_key(header::CONNECTION) {
        return Cow::Borrowed(fields);
    }
    let mut seen = fields.clone();
    forward::remove_hop_by_hop(&mut seen);
    Cow::Owned(seen)
}

/// An interim response without what belongs to the connection or frames a message.
fn passed_on(mut interim: Interim) -> Interim {
    let fields = Arc::make_mut(&mut interim.fields);
    forward::remove_hop_by_hop(fields);
    fields.remove(header::CONTENT_LENGTH);
    interim
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
