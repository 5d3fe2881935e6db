//! Answers from slices: each is found in memory, read from the disk or fetched, in order of need.
//! `docs/slices.md` has the whole.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http::HeaderMap;
use nigh_cache::{
    flight::{Failure, Interim, Reader, Truncated, Verdict},
    object::Object,
    pilot::Pilot,
    range::Span,
    run::Run,
    slices::Sliced,
    store::Boarding,
};
use nigh_edge::{
    cache_status::{CacheStatus, Forward},
    plan::{Fetch, Hit, Manner, Plan},
    problem::Problem,
    reply::{Content, Part},
};
use tokio::sync::mpsc;

use super::{Answer, Ask, Incoming, Service, Work, incoming::Chunk};
use crate::{
    body::RequestBody,
    buffers::{self, Reserved},
    disk::{Lost, Reading},
};

/// Slices that are brought together from memory at once; an answer from more goes slice by slice, so
/// that a slow client keeps one in memory at a time.
const GATHERED_MAX: u64 = 16;

/// How far a reader that reads on has fetched what comes next, in slices.
pub(super) const AHEAD_MAX: u64 = 4;

/// Slices after which a reader looks ahead again, once what it had fetched ahead was gone before it
/// was read.
const RESUMED_AFTER: u64 = 8;

/// The part of the memory that a core's slices may take which are being fetched ahead.
const AHEAD_PART: u64 = 8;

/// Slices that are looked for before an answer begins, to say of it whether it was a hit; of a longer
/// answer the first ones decide.
const LOOKED_AT_MAX: usize = 1 << 10;

/// How often a slice is asked for that breaks off or fails.
const TRIES_MAX: u32 = 3;

/// How often a request is planned anew because the origin's object changed.
const REPLANS_MAX: usize = 2;

/// The content of an answer, slice by slice.
pub(crate) struct Slices {
    service: Rc<Service>,
    ask: Rc<Ask>,
    master: Object,
    sliced: Sliced,
    /// The next byte, and the one behind the last.
    at: u64,
    end: u64,
    state: State,
    /// Read already, to know that there is something to send.
    first: Option<Chunk>,
    tries: u32,
    /// Slices to be fetched ahead.
    ahead: u64,
    /// The slice behind the last one that was.
    asked_ahead: u64,
    /// Where looking ahead begins again, after it was in vain.
    resumes_at: u64,
    /// Why it broke off.
    failure: Failure,
    /// What it takes while it is sent.
    _reserved: Reserved,
}

enum State {
    /// The next byte's slice is to be looked for.
    Between,
    /// It is not in memory.
    Awaited(Pin<Box<dyn Future<Output = Result<Found, Failure>>>>),
    /// It comes from the disk.
    Reading(Reading),
    /// It comes; so many of its bytes were read before.
    Flying { reader: Reader, skip: u64 },
}

/// What became of looking for a slice.
enum Found {
    Stored(Object),
    Flying(Reader),
}

impl fmt::Debug for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slices")
            .field("at", &self.at)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Answers what the store alone could not: by fetching, or by bringing slices together.
    pub(crate) async fn answer(
        self: &Rc<Self>,
        ask: Rc<Ask>,
        work: Work,
        body: RequestBody,
        interims: mpsc::Sender<Interim>,
    ) -> Answer {
        let mut answer = match work {
            Work::Gather(hit) => Answer::Stored(hit),
            Work::Fetch(fetch) => self.fetch(Rc::clone(&ask), fetch, body, interims.clone()).await,
        };
        for _ in 0..=REPLANS_MAX {
            let hit = match answer {
                Answer::Stored(hit) if hit.reply.content.is_awaited() => ask.narrowed(hit),
                other => return other,
            };
            let answered = match hit.object.sliced() {
                Some(_) => self.bring_together(&ask, hit).await,
                None => self.bring_from_disk(hit).await,
            };
            if let Some(answer) = answered {
                return answer;
            }
            // In a cluster, others may still have what this one has seen change.
            let again = if self.siblings().is_some() { ask.validated() } else { Rc::clone(&ask) };
            let (ask, plan) = self.plan_again(&again);
            answer = match plan {
                Plan::Answer(hit) | Plan::Gather(hit) => {
                    if let Some(what) = hit.meanwhile {
                        self.improve((*ask).clone(), hit.object.clone(), what);
                    }
                    Answer::Stored(hit)
                }
                Plan::Fetch(fetch) => {
                    self.fetch(ask, fetch, RequestBody::Empty, interims.clone()).await
                }
                Plan::Refuse(problem) => Answer::Problem(problem, CacheStatus::EMPTY),
            };
        }
        Answer::Problem(Problem::Origin(Failure::Changed), CacheStatus::EMPTY)
    }

    /// The content of a hit from slices, if all of it is there and not too much.
    pub(super) fn gather_slices(&self, hit: &Hit) -> Option<Content> {
        let (sliced, span) = sliced(hit)?;
        let (first, last) = (sliced.index_of(span.start), sliced.index_of(span.end - 1));
        if last - first >= GATHERED_MAX {
            return None;
        }
        let find = |index: u64| {
            let object = self.find_slice(&hit.object, &sliced, index)?;
            let here = sliced.span(index);
            let wanted = here.overlap(span)?;
            Some((object, wanted.start - here.start..wanted.end - here.start))
        };
        if first == last {
            let (slice, bytes) = find(first)?;
            if slice.beneath().is_some() {
                let mut reading = self.read(&slice, bytes).ok()?;
                return reading.now().ok()?.map(Content::Bytes);
            }
            return Some(Content::Run(Run::new(slice, bytes)));
        }
        let run = |index: u64| {
            let (slice, bytes) = find(index).filter(|(slice, _)| slice.beneath().is_none())?;
            Some(Run::new(slice, bytes))
        };
        let parts: Option<VecDeque<Part>> =
            (first..=last).map(|index| run(index).map(Part::Run)).collect();
        parts.map(Content::Parts)
    }

    /// Begins an answer from slices: waits for its first bytes. `None` if the origin's object is no
    /// longer the one that is stored.
    async fn bring_together(self: &Rc<Self>, ask: &Rc<Ask>, mut hit: Hit) -> Option<Answer> {
        let Some((sliced, span)) = sliced(&hit) else { return Some(Answer::Stored(hit)) };
        if let Some(content) = self.gather_slices(&hit) {
            hit.reply.content = content;
            return Some(Answer::Stored(hit));
        }
        let is_held = |index| {
            let key = sliced.key(hit.object.key(), index);
            let key = self.store.key(&key);
            self.store.holds(key) || self.store.may_lie_beneath(key)
        };
        let mut slices = sliced.index_of(span.start)..=sliced.index_of(span.end - 1);
        let is_here = slices.by_ref().take(LOOKED_AT_MAX).all(is_held);
        if ask.asked().directives.only_if_cached && !(is_here && slices.all(is_held)) {
            return Some(Answer::Problem(Problem::OnlyIfCached, CacheStatus::EMPTY));
        }
        if hit.status.hit && !is_here {
            let ttl = hit.status.ttl;
            hit.status = CacheStatus { ttl, ..CacheStatus::forwarded(Forward::Partial) };
        }
        let Some(reserved) = self.reserve(buffers::fetch(ask.version, false)) else {
            return Some(Answer::Problem(Problem::Origin(Failure::NoRoom), hit.status));
        };
        let mut slices = Box::new(Slices {
            service: Rc::clone(self),
            ask: Rc::clone(ask),
            master: hit.object.clone(),
            sliced,
            at: span.start,
            end: span.end,
            state: State::Between,
            first: None,
            tries: 0,
            ahead: 1,
            asked_ahead: 0,
            resumes_at: 0,
            failure: Failure::GivenUp,
            _reserved: reserved,
        });
        match poll_fn(|cx| slices.poll_chunk(cx)).await {
            Ok(first) => {
                slices.first = first;
                Some(Answer::Gathered(hit, Incoming::Slices(slices)))
            }
            Err(Truncated) if slices.failure == Failure::Changed => None,
            // What the origin says instead is for this client to hear.
            Err(Truncated) if slices.failure == Failure::Withheld => {
                let fetch = Fetch {
                    directives: ask.asked().directives,
                    status: CacheStatus::forwarded(Forward::Partial),
                    stale: None,
                    manner: Manner::Alone,
                    trusted: self.trusts(ask.sibling),
                };
                let (unheard, _) = mpsc::channel(1);
                Some(self.fetch(Rc::clone(ask), fetch, RequestBody::Empty, unheard).await)
            }
            Err(Truncated) => Some(Answer::Problem(Problem::Origin(slices.failure), hit.status)),
        }
    }

    /// A slice in memory.
    fn find_slice(&self, master: &Object, sliced: &Sliced, index: u64) -> Option<Object> {
        let key = sliced.key(master.key(), index);
        let none = HeaderMap::new();
        let object = self.store.find(self.store.key(&key), &none, &mut Vec::new());
        object.filter(|object| object.length() == Some(sliced.span(index).len()))
    }

    /// Looks for a slice until it is found, or comes.
    async fn seek_slice(
        self: Rc<Self>,
        ask: Rc<Ask>,
        master: Object,
        sliced: Sliced,
        index: u64,
    ) -> Result<Found, Failure> {
        let key = sliced.key(master.key(), index);
        let key = self.store.key(&key);
        let mut failure = Failure::GivenUp;
        let mut alone = false;
        for _ in 0..TRIES_MAX {
            let fly = |reader: Reader, pilot: Pilot| {
                let service = Rc::clone(&self);
                let (ask, master) = (Rc::clone(&ask), master.clone());
                tokio::task::spawn_local(service.fly_slice(pilot, ask, master, index));
                reader
            };
            let boarding = match alone {
                true => {
                    let (reader, pilot) = self.store.fly_alone(key);
                    Boarding::First(reader, pilot)
                }
                false => self.store.board(key, b"", None, self.course(&ask, Manner::Slice, index)),
            };
            let mut reader = match boarding {
                Boarding::Stored(object) => return Ok(Found::Stored(object)),
                Boarding::Later(reader) => reader,
                Boarding::First(reader, pilot) => fly(reader, pilot),
            };
            match reader.verdict().await {
                Verdict::Head(_) => return Ok(Found::Flying(reader)),
                Verdict::Object(object) => return Ok(Found::Stored(object)),
                Verdict::Alone => alone = true,
                // Perhaps it was given up for another reader's sake, or its connection was.
                Verdict::Failed(why @ (Failure::Closed | Failure::GivenUp)) => failure = why,
                Verdict::Failed(why) => return Err(why),
            }
        }
        Err(failure)
    }

    /// Has a slice fetched that nobody waits for yet.
    fn read_ahead(self: &Rc<Self>, ask: &Rc<Ask>, master: &Object, sliced: &Sliced, index: u64) {
        let key = sliced.key(master.key(), index);
        let key = self.store.key(&key);
        let taken = (self.reading_ahead.get() + 1).saturating_mul(sliced.size);
        if self.store.holds(key)
            || taken > self.store.ceiling() / AHEAD_PART
            || !ask.route.upstream().has_many_connections(1)
        {
            return;
        }
        if let Boarding::First(mut reader, pilot) =
            self.store.board(key, b"", None, self.course(ask, Manner::Slice, index))
        {
            let service = Rc::clone(self);
            let (ask, master) = (Rc::clone(ask), master.clone());
            self.reading_ahead.set(self.reading_ahead.get() + 1);
            tokio::task::spawn_local(async move {
                // Somebody must want it until it is known whether the store does.
                let wanted = async {
                    reader.verdict().await;
                    drop(reader);
                };
                tokio::join!(Rc::clone(&service).fly_slice(pilot, ask, master, index), wanted);
                service.reading_ahead.set(service.reading_ahead.get() - 1);
            });
        }
    }
}

/// Which bytes of which slices a hit wants.
fn sliced(hit: &Hit) -> Option<(Sliced, Span)> {
    match hit.reply.content {
        Content::Awaited(span) => Some((hit.object.sliced()?, span)),
        _ => None,
    }
}

impl Slices {
    /// The next piece; `None` at the end.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk>, Truncated>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Some(first)));
        }
        while self.at < self.end {
            let index = self.sliced.index_of(self.at);
            let here = self.sliced.span(index);
            let said = match &mut self.state {
                State::Between => ready!(self.seek(index, here, cx)),
                State::Awaited(seeking) => {
                    let found = ready!(seeking.as_mut().poll(cx));
                    self.found(found, here)
                }
                State::Reading(reading) => match ready!(reading.poll_bytes(cx)) {
                    Ok(Some(bytes)) => {
                        self.at += bytes.len() as u64;
                        self.tries = 0;
                        Some(Ok(Some(Chunk::Bytes(bytes))))
                    }
                    Ok(None) => {
                        self.state = State::Between;
                        None
                    }
                    // The rest is looked for again: the origin has it.
                    Err(Lost) => self.broke_off(),
                },
                State::Flying { reader, skip } => match ready!(reader.poll_chunk(cx)) {
                    Ok(Some(mut bytes)) => {
                        let skipped = usize::try_from(*skip).unwrap_or(usize::MAX).min(bytes.len());
                        bytes.advance(skipped);
                        *skip -= skipped as u64;
                        let wanted = here.end.min(self.end) - self.at;
                        bytes.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
                        self.at += bytes.len() as u64;
                        if self.at == here.end {
                            (self.state, self.tries) = (State::Between, 0);
                        }
                        (!bytes.is_empty()).then(|| Ok(Some(Chunk::Bytes(bytes))))
                    }
                    // It broke off: the rest is asked for again.
                    Ok(None) | Err(Truncated) => self.broke_off(),
                },
            };
            if let Some(said) = said {
                return Poll::Ready(said);
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Looks for a slice; what is to be said of it, if anything.
    fn seek(
        &mut self,
        index: u64,
        here: Span,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Option<Chunk>, Truncated>>> {
        if let Some(object) = self.service.find_slice(&self.master, &self.sliced, index) {
            self.look_ahead(index);
            return Poll::Ready(self.stored(object, here));
        }
        let service = Rc::clone(&self.service);
        let (ask, master) = (Rc::clone(&self.ask), self.master.clone());
        let mut seeking = Box::pin(service.seek_slice(ask, master, self.sliced, index));
        // It is asked for before what comes behind it.
        self.missed(index);
        let sought = seeking.as_mut().poll(cx);
        self.look_ahead(index);
        match sought {
            Poll::Pending => {
                self.state = State::Awaited(seeking);
                Poll::Pending
            }
            Poll::Ready(found) => Poll::Ready(self.found(found, here)),
        }
    }

    /// Takes what was found; what is to be said of it, if anything.
    fn found(
        &mut self,
        found: Result<Found, Failure>,
        here: Span,
    ) -> Option<Result<Option<Chunk>, Truncated>> {
        self.state = State::Between;
        match found {
            Ok(Found::Stored(object)) => self.stored(object, here),
            Ok(Found::Flying(reader)) => {
                self.state = State::Flying { reader, skip: self.at - here.start };
                None
            }
            Err(failure) => {
                self.failure = failure;
                Some(Err(Truncated))
            }
        }
    }

    /// Takes a slice that is stored; what is to be said of it, if anything.
    fn stored(&mut self, object: Object, here: Span) -> Option<Result<Option<Chunk>, Truncated>> {
        if object.length() != Some(here.len()) {
            return Some(Err(Truncated));
        }
        let end = here.end.min(self.end);
        let wanted = self.at - here.start..end - here.start;
        if object.beneath().is_some() {
            match self.service.read(&object, wanted) {
                Ok(reading) => self.state = State::Reading(reading),
                Err(Lost) => return self.broke_off(),
            }
            return None;
        }
        let run = Run::new(object, wanted);
        (self.at, self.tries) = (end, 0);
        Some(Ok(Some(Chunk::Run(run))))
    }

    /// The slice's bytes broke off; whether that is the answer's end.
    fn broke_off(&mut self) -> Option<Result<Option<Chunk>, Truncated>> {
        self.state = State::Between;
        self.tries += 1;
        (self.tries >= TRIES_MAX).then(|| {
            self.failure = Failure::Closed;
            Err(Truncated)
        })
    }

    /// The slice that comes next is not in memory: learns from that how far to look ahead.
    fn missed(&mut self, index: u64) {
        let key = self.sliced.key(self.master.key(), index);
        let store = &self.service.store;
        if index >= self.asked_ahead {
            if self.ahead == 0 && index >= self.resumes_at {
                self.ahead = 1;
            }
        } else if store.is_on_its_way(store.key(&key)) {
            // This reader is faster than what was fetched for it.
            self.ahead = (self.ahead * 2).clamp(1, AHEAD_MAX);
        } else {
            // It was gone before it was read: there is no room for more.
            (self.ahead, self.resumes_at) = (0, index + RESUMED_AFTER);
        }
    }

    /// Sees to it that what comes next will be there.
    fn look_ahead(&mut self, index: u64) {
        let last = self.sliced.index_of(self.end - 1);
        for next in index + 1..=(index + self.ahead).min(last) {
            self.service.read_ahead(&self.ask, &self.master, &self.sliced, next);
            self.asked_ahead = self.asked_ahead.max(next + 1);
        }
    }
}
