//! Asking the origin: who flies, who waits, and what becomes of the answer.

use std::{borrow::Cow, rc::Rc, sync::Arc};

use http::{HeaderMap, Method, StatusCode, Uri, header};
use nigh_base::Wall;
use nigh_cache::{
    conditional,
    directives::ResponseDirectives,
    flight::{Failure, Head, Interim, News, Reader, Verdict},
    freshness::{Reuse, Terms},
    object::Object,
    pilot::{self, Pilot},
    range::{ContentRange, Ranges, Resolved, Span},
    storable::{self, Asked, Cookies, WhyNot},
    store::Boarding,
    update,
    vary::{self, Vary},
};
use nigh_edge::{
    cache_status::{CacheStatus, Forward},
    forward, hop,
    plan::{Fetch, Hit, Manner, Meanwhile},
    problem::Problem,
    site::Rule,
};
use tokio::sync::mpsc;

use super::{
    Answer, Ask, Incoming, Service, Streamed, Upgraded,
    beneath::Looked,
    carry::{Passage, Source},
    outgoing::{Beyond, target},
    resume::Resumable,
    slice_fit::Fit,
    slice_source::{Count, Poured},
    travel::{Giver, Kept},
};
use crate::{body::RequestBody, buffers, clock, origin::Fetched};

impl Service {
    /// Validates or compresses an object that was answered with, if nobody does so already.
    pub(crate) fn improve(self: &Rc<Self>, ask: Ask, object: Object, how: Meanwhile) {
        let Some(target) = target(&ask.sent()) else { return };
        let key = self.store.key(&ask.key);
        if let Boarding::First(mut reader, pilot) = self.store.board(
            key,
            &ask.selecting,
            Some(&object),
            self.course(&ask, Manner::Shared, 0),
        ) {
            let service = Rc::clone(self);
            let improving = async move {
                if how == Meanwhile::Compress {
                    return service.compress_again(pilot, &ask, object).await;
                }
                let manner = Manner::Shared;
                let task = Task {
                    ask: Rc::new(ask).flying(manner),
                    target,
                    validate: Some(object),
                    manner,
                    conditions: false,
                    slice: None,
                };
                service.fly(pilot, task, RequestBody::Empty).await;
            };
            tokio::task::spawn_local(async move {
                // Somebody must want it until it is known whether the store does.
                let wanted = async {
                    reader.verdict().await;
                    drop(reader);
                };
                tokio::join!(improving, wanted);
            });
        }
    }

    /// Asks the origin, or waits for whoever does.
    pub(super) async fn fetch(
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
        let (ask, mut fetch) = match self.look_beneath(ask, fetch).await {
            Looked::Answer(answer) => return answer,
            Looked::Fetch(ask, fetch) => (ask, fetch),
        };
        let key = self.store.key(&ask.key);
        let slice = match fetch.manner {
            Manner::Slice => self.first_slice(&ask),
            _ => None,
        };
        let is_sliced = fetch.stale.as_ref().is_some_and(|stale| stale.sliced().is_some());
        match (fetch.manner, slice) {
            (Manner::Slice, Some(_)) => {}
            // It is confirmed for everyone, and then gives the range.
            (Manner::Slice, None) if is_sliced => fetch.manner = Manner::Shared,
            (manner, _) => fetch.manner = manner.not_sliced(),
        }
        let is_head = ask.method == Method::HEAD;
        if is_head && self.store.refusal(key) == Some(WhyNot::HeadOnly) {
            fetch.manner = Manner::Alone;
        }
        let (reader, pilot) = match fetch.manner {
            Manner::Tunnel => return self.tunnel(ask, target, fetch).await,
            Manner::Alone => self.store.fly_alone(key),
            // What others wait for may have been asked for before a purge that is not heard of yet.
            Manner::Shared | Manner::Slice if !fetch.trusted => {
                fetch.manner = fetch.manner.not_sliced();
                self.store.fly_alone(key)
            }
            Manner::Shared | Manner::Slice => {
                let first = slice.map_or(0, |slice| slice.start / slice.len());
                let course = self.course(&ask, fetch.manner, first);
                match self.store.board(key, &ask.selecting, fetch.stale.as_ref(), course) {
                    Boarding::First(reader, pilot) => (reader, pilot),
                    Boarding::Stored(object) => match self.landed(object, &ask, &fetch) {
                        Some(answer) => return answer,
                        None => {
                            fetch.manner = fetch.manner.not_sliced();
                            self.store.fly_alone(key)
                        }
                    },
                    Boarding::Later(reader) => {
                        self.counters.collapsed();
                        if let Some(answer) =
                            self.wait(reader, &ask, &fetch, &interims, false).await
                        {
                            return answer;
                        }
                        fetch.manner = fetch.manner.not_sliced();
                        self.store.fly_alone(key)
                    }
                }
            }
        };
        // A body that nobody can share is not asked for in vain.
        if is_head && !pilot.can_be_joined() {
            fetch.manner = Manner::Alone;
        }
        // Where nobody can share the answer, the client's own conditions may save it a body.
        let conditions = fetch.manner == Manner::Alone || !pilot.can_be_joined();
        let task = Task {
            ask: ask.flying(fetch.manner),
            target: target.clone(),
            validate: fetch.stale.clone().filter(|_| match fetch.manner {
                Manner::Shared => true,
                Manner::Slice => is_sliced,
                Manner::Alone | Manner::Tunnel => false,
            }),
            manner: fetch.manner,
            conditions,
            slice: slice.filter(|_| fetch.manner == Manner::Slice),
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
        // Others could not wait until it was read, or its first slice was no good: it is fetched again,
        // for this client.
        fetch.manner = Manner::Alone;
        let (reader, pilot) = self.store.fly_alone(key);
        let task = Task {
            ask: Rc::clone(&ask),
            target,
            validate: None,
            manner: fetch.manner,
            conditions: true,
            slice: None,
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
        if ask.method == Method::HEAD {
            reader.wants_head_only();
        }
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
                if fetch.stale.is_none() && object.sliced().is_none() {
                    // It was stored as it is, and the origin was not asked.
                    let hit = CacheStatus::hit(object.terms().ttl(now));
                    let status = CacheStatus { collapsed: !first, ..hit };
                    let hit = Hit::new(object, &ask.method, &ask.fields, status, now)?;
                    return usable.then_some(Answer::Stored(hit));
                }
                let confirmed =
                    fetch.stale.as_ref().is_some_and(|stale| stale.sliced() == object.sliced());
                let forward_status = match fetch.manner {
                    _ if confirmed => Some(304),
                    _ if !first => None,
                    Manner::Slice => Some(206),
                    _ => Some(200),
                };
                let status = CacheStatus { forward_status, stored: true, ttl, ..status };
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
                    _ if head.from_store => {
                        let hit = CacheStatus::hit(head.terms.ttl(now)).detail("compressed");
                        status = CacheStatus { collapsed: !first, ..hit };
                    }
                    // Its owner says so.
                    Ok(()) if head.passing => {}
                    Ok(()) if reader.gives_body_up(&head) => {
                        status.detail = Some(WhyNot::HeadOnly.as_str());
                    }
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
                let is_shared = matches!(fetch.manner, Manner::Shared | Manner::Slice);
                let not_modified = is_shared && outcome == conditional::Outcome::NotModified;
                let range = if is_shared { range_of(&head, ask) } else { None };
                let content = Incoming::flight(reader, range.map(|range| range.span));
                let reserved = None;
                let streamed =
                    Streamed { head, content, status, not_modified, first, range, reserved };
                Some(Answer::Streamed(streamed))
            }
        }
    }

    /// Whether a response that another request brought answers this one (RFC 9111, section 4).
    fn suits(&self, head: &Head, ask: &Ask, fetch: &Fetch, now: Wall) -> bool {
        let mut selecting = Vec::new();
        vary::selecting(&head.vary, &ask.fields, &mut selecting);
        head.stored.is_ok()
            && head.status != StatusCode::PARTIAL_CONTENT
            && *selecting == *head.selecting
            && head.terms.reuse(&fetch.directives, now) == Reuse::Fresh
    }

    /// Brings one response from the origin to a flight.
    async fn fly(self: Rc<Self>, mut pilot: Pilot, task: Task, body: RequestBody) {
        let slice = task.slice.map_or(0, |slice| slice.start / slice.len());
        let road = self.road(&task.ask, task.manner, slice);
        let may_be_made_of_another = road.is_own()
            && task.manner == Manner::Shared
            && task.validate.is_none()
            && self.trusts(task.ask.sibling);
        if may_be_made_of_another {
            match self.compress_stored(pilot, &task.ask).await {
                Ok(()) => return,
                Err(back) => pilot = back,
            }
        }
        let requested = clock::now();
        let rule = task.ask.route.rule();
        let (interim_out, mut interim_in) = mpsc::channel(nigh_cache::flight::INTERIM_MAX);
        let sending = self.send(&task, body, road, Some(interim_out));
        let mut sending = std::pin::pin!(sending);
        let sent = loop {
            tokio::select! {
                biased;
                Some(interim) = interim_in.recv() => pilot.interim(passed_on(interim, rule)),
                sent = &mut sending => break sent,
                () = pilot.abandoned() => return,
            }
        };
        // Those that came in one piece with the head.
        while let Ok(interim) = interim_in.try_recv() {
            pilot.interim(passed_on(interim, rule));
        }
        let (mut fetched, giver) = match sent.and_then(|came| unchallenged(came, &task.ask)) {
            Ok(came) => came,
            Err(failure) => {
                self.counters.origin_failure();
                return pilot.fail(failure);
            }
        };
        let received = clock::now();
        let Task { ask, validate, manner, slice, .. } = &task;
        match validate {
            Some(old) if fetched.head.status == StatusCode::NOT_MODIFIED => {
                let mut fresh = std::mem::take(&mut fetched.head.headers);
                arrive(rule, giver, &mut fresh);
                let merged = Merged::new(old, fresh, ask, giver, (requested, received));
                pilot.confirm(old, &merged.fields, merged.terms, merged.stored);
                // Its end gives the connection back.
                while let Ok(Some(_)) = fetched.frame().await {}
                self.compress_confirmed(ask);
            }
            stale => {
                let (manner, slice) = (*manner, *slice);
                let came = Came { fetched, giver, requested, received, manner, slice };
                self.deliver(pilot, ask, stale.as_ref(), came).await;
            }
        }
    }

    /// Hands a response over to the flight, and to the store if its rules allow.
    async fn deliver(
        self: &Rc<Self>,
        mut pilot: Pilot,
        ask: &Rc<Ask>,
        stale: Option<&Object>,
        came: Came,
    ) {
        let Came { mut fetched, giver, requested, received, manner, slice } = came;
        let mut status = fetched.head.status;
        let slice = slice.or_else(|| self.first_of_all(giver, manner, status));
        let mut fields = std::mem::take(&mut fetched.head.headers);
        self.invalidate(&pilot, ask, status, &fields).await;
        let rule = ask.route.rule();
        arrive(rule, giver, &mut fields);
        let fit = match slice {
            Some(asked) if status == StatusCode::PARTIAL_CONTENT => {
                Some(Fit::of(&fields, fetched.length(), asked, &ask.fields))
            }
            _ => None,
        };
        match fit {
            Some(Fit::Nothing) => {
                self.store.note_unfit_for_slices(self.store.key(&ask.key));
                return pilot.for_nobody(WhyNot::NoSlices);
            }
            // Of a representation that was asked for without a range, this would be the 200.
            Some(Fit::Whole | Fit::Slice(_)) => {
                status = StatusCode::OK;
                fields.remove(header::CONTENT_RANGE);
                if fit != Some(Fit::Whole) {
                    // They were of this content alone (RFC 9530, section 2).
                    fields.remove("content-digest");
                    fields.remove("content-md5");
                }
            }
            Some(Fit::Client) | None => {}
        }
        let coder = match giver {
            Giver::Origin => self.coder(ask, status, &mut fields, fetched.length()),
            // It is as its owner keeps it.
            Giver::Sibling(_) => None,
        };
        let directives = rule.directives(status, &fields);
        let terms = Terms::new(requested, received, status, &fields, &directives);
        let terms = giver.terms(terms, received);
        let asked = ask.asked();
        let mut stored =
            storable::judge(&asked, status, &fields, &directives, &terms, Cookies::default());
        if let Some(stale) = stale
            && status.is_server_error()
            && stale.terms().may_serve_on_error(&asked.directives, received)
        {
            stored = Err(WhyNot::StaleStands);
        }
        if stored.is_ok() && rule.is_deceptive(&ask.path_and_query, status, &fields, &directives) {
            self.counters.deceptive();
            stored = Err(WhyNot::UnexpectedType);
        }
        if Vary::parse(&fields).names().iter().any(|name| forward::WRITTEN.contains(&name.as_str()))
        {
            // Chosen by a field that nigh writes: the client's own says nothing of it.
            stored = stored.and(Err(WhyNot::VaryStar));
        }
        if ask.method == Method::HEAD {
            self.learn_from_head(ask, status, &fields, giver, (requested, received));
        }
        let length = fetched.length().filter(|_| ask.method != Method::HEAD && coder.is_none());
        let is_empty = ask.method == Method::HEAD || status == StatusCode::NO_CONTENT;
        let passing = if is_empty { 0 } else { buffers::passing(length) };
        let mut passage = Passage::of(passing, coder);
        if stored.is_err() && self.widen(&mut passage).is_err() {
            return pilot.fail(Failure::NoRoom);
        }
        let announced = fields.get(header::CONTENT_LENGTH).cloned();
        let for_first = take_qualified(&mut fields, &directives);
        storable::strip(&mut fields, &directives, received);
        let vary = Vary::parse(&fields);
        let mut selecting = Vec::new();
        vary::selecting(vary.names(), &*seen_by_origin(&ask.fields), &mut selecting);
        self.follow_links(ask, status, &fields);
        let head = Head {
            status,
            fields,
            for_first,
            length,
            announced,
            terms,
            stored,
            vary: vary.names().into(),
            selecting: selecting.into(),
            from_store: false,
            passing: giver.is_passing() || giver.is_sibling() && manner == Manner::Alone,
        };
        if giver == Giver::Sibling(Kept::Copied) && !head.passing && head.stored.is_ok() {
            self.counters.sibling_copy();
        }
        let (complete, count) = match fit {
            Some(Fit::Slice(complete)) => (Some(complete), Count::One),
            _ if giver == Giver::Origin
                && manner == Manner::Shared
                && slice.is_none()
                && passage.is_as_it_came() =>
            {
                self.goes_on(&head, ask).await
            }
            _ => (None, Count::None),
        };
        let count = if pilot.is_for_head() { count.for_head(giver) } else { count };
        if let Some(complete) = complete {
            match self.master(&pilot, &head, complete) {
                Ok(master) => {
                    let first = slice.map_or(0, |slice| slice.start / master.1.size);
                    let poured = Poured { fetched, giver, first, count };
                    return self.pour(pilot, master, poured).await;
                }
                Err(why) if fit.is_some() => return pilot.for_nobody(why),
                Err(_) => {}
            }
        }
        let source = match giver {
            Giver::Origin => Source::Origin(fetched),
            Giver::Sibling(_) => {
                let head = (head.status, &head.fields);
                Source::Sibling(Resumable::new(self, ask, fetched, head))
            }
        };
        pilot.head(head);
        self.carry(pilot, source, rule, passage).await;
    }

    /// RFC 9111, section 4.3.5.
    fn learn_from_head(
        &self,
        ask: &Ask,
        status: StatusCode,
        fresh: &HeaderMap,
        giver: Giver,
        times: (Wall, Wall),
    ) {
        let key = self.store.key(&ask.key);
        let Some(old) = self.store.find(key, &ask.fields, &mut Vec::new()) else { return };
        if old.status() != StatusCode::OK {
            return;
        }
        match update::head(&old.fields(), old.length(), status, fresh) {
            update::Head::Update => {
                let merged = Merged::new(&old, fresh.clone(), ask, giver, times);
                // What this client alone may see changes nothing for the others.
                if merged.stored.is_ok() {
                    pilot::update(&self.store, &old, &merged.fields, merged.terms);
                }
            }
            update::Head::Outdate => self.store.outdate(key, &old),
            update::Head::Nothing => {}
        }
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
            slice: None,
        };
        let mut request = self.request(&task, RequestBody::Empty, Beyond::Origin);
        if let Some(protocol) = protocol {
            forward::ask_upgrade(request.headers_mut(), protocol);
        }
        self.counters.origin_request();
        let requested = clock::now();
        match ask.route.upstream().send(request, None).await {
            Ok(mut fetched) if fetched.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                let mut fields = std::mem::take(&mut fetched.head.headers);
                ask.route.rule().arrive(&mut fields);
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
                    let manner = Manner::Tunnel;
                    let giver = Giver::Origin;
                    let came = Came { fetched, giver, requested, received, manner, slice: None };
                    service.deliver(pilot, &declined, None, came).await;
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
pub(super) struct Task {
    pub(super) ask: Rc<Ask>,
    pub(super) target: Uri,
    pub(super) validate: Option<Object>,
    pub(super) manner: Manner,
    /// The client's own conditions go along.
    pub(super) conditions: bool,
    /// The bytes that are asked for.
    pub(super) slice: Option<Span>,
}

/// A response that came, with what it answers.
struct Came {
    fetched: Fetched,
    giver: Giver,
    requested: Wall,
    received: Wall,
    manner: Manner,
    slice: Option<Span>,
}

/// A response, unless a destination that a client named asks that client for a proxy's password. The
/// challenge is for the next hop alone, so it would not get through, and without one the client would
/// take the answer for ours (RFC 9110, sections 11.7.1 and 15.5.8).
fn unchallenged(came: (Fetched, Giver), ask: &Ask) -> Result<(Fetched, Giver), Failure> {
    let challenges = came.0.head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    if challenges && ask.route.is_forward() { Err(Failure::Challenge) } else { Ok(came) }
}

/// Makes a response's fields those that the operator wants, unless another edge has done so.
pub(super) fn arrive(rule: &Rule, giver: Giver, fields: &mut HeaderMap) {
    // An origin is no edge.
    fields.remove(hop::NAME);
    if giver == Giver::Origin {
        rule.arrive(fields);
    }
}

/// The range of a response that its client asked for, if it is to get that alone.
fn range_of(head: &Head, ask: &Ask) -> Option<ContentRange> {
    if ask.method != Method::GET || head.status != StatusCode::OK {
        return None;
    }
    let asked = Ranges::parse(&ask.fields)
        .filter(|_| conditional::range_applies(&ask.fields, &head.fields))?;
    match asked.resolve(head.length?) {
        Resolved::One(span) => Some(ContentRange { span, complete: head.length }),
        _ => None,
    }
}

/// A stored response after the origin confirmed it. RFC 9111, section 4.3.4.
struct Merged {
    fields: HeaderMap,
    terms: Terms,
    /// Whether it may stay in the store: what confirmed it may be for one client alone.
    stored: Result<(), WhyNot>,
}

impl Merged {
    fn new(
        old: &Object,
        mut fresh: HeaderMap,
        ask: &Ask,
        giver: Giver,
        (requested, received): (Wall, Wall),
    ) -> Self {
        forward::remove_hop_by_hop(&mut fresh);
        let mut fields = old.fields().to_map();
        update::merge(&mut fields, &fresh, received);
        if let Some(compress) = ask.route.rule().compress.as_ref().filter(|_| !giver.is_sibling()) {
            // As when it was stored: that there are variants is not the origin's word.
            compress.confirm(&mut fields);
        }
        let directives = ask.route.rule().directives(old.status(), &fields);
        let terms = Terms::new(requested, received, old.status(), &fields, &directives);
        let terms = giver.terms(terms, received);
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
pub(super) fn seen_by_origin(fields: &HeaderMap) -> Cow<'_, HeaderMap> {
    if !fields.contains_key(header::CONNECTION) {
        return Cow::Borrowed(fields);
    }
    let mut seen = fields.clone();
    forward::remove_hop_by_hop(&mut seen);
    Cow::Owned(seen)
}

/// An interim response without what belongs to the connection, frames a message, or is not wanted; and
/// without cookies, which are said in the head alone: that decides who may have them.
fn passed_on(mut interim: Interim, rule: &Rule) -> Interim {
    let fields = Arc::make_mut(&mut interim.fields);
    forward::remove_hop_by_hop(fields);
    fields.remove(header::CONTENT_LENGTH);
    fields.remove(header::SET_COOKIE);
    rule.arrive_apart(fields);
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
