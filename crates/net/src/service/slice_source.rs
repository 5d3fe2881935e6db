//! Where slices come from: one request for one slice, or a response that goes on from slice to slice.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use nigh_cache::{
    conditional,
    fields::Fields,
    flight::{Failure, Head, Reader},
    list,
    object::Object,
    pilot::Pilot,
    range::{ContentRange, Ranges, Span},
    slices::Sliced,
    storable::WhyNot,
    store::Boarding,
};
use nigh_edge::plan::Manner;

use super::{
    Ask, Service,
    carry::HELD_UP_MAX,
    fetch::{Task, target},
    slices::AHEAD_MAX,
};
use crate::{body::RequestBody, origin::Fetched};

/// Slices that a response claims which goes on: one more than its readers look ahead, so that they
/// find them taken.
const CLAIMED: u64 = AHEAD_MAX + 1;

/// How long such a response waits for somebody who wants its next slice.
const DEMAND_WAIT: Duration = Duration::from_secs(10);

/// What a 206 is good for that answers a request for one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It holds the whole representation.
    Whole,
    /// It is that slice of a longer one, of so many bytes.
    Slice(u64),
    /// It is what the client asked for, as if it had been asked for that.
    Client,
    /// Nothing.
    Nothing,
}

impl Fit {
    /// Judges the fields of a 206 to a request for `asked`; `client` has the client's own.
    pub(super) fn of(fields: &impl Fields, asked: Span, client: &impl Fields) -> Self {
        let Some(ContentRange { span, complete }) = ContentRange::of(fields) else {
            return Self::Nothing;
        };
        let is_whole = |length| span == Span { start: 0, end: length };
        let is_asked = |length: u64| Span::new(asked.start, asked.end.min(length)) == Some(span);
        let wanted = Ranges::parse(client)
            .and_then(|ranges| ranges.specs().first()?.resolve(complete.unwrap_or(u64::MAX)));
        match complete {
            Some(length) if is_whole(length) => Self::Whole,
            Some(length) if is_asked(length) && conditional::strong_validator(fields).is_some() => {
                Self::Slice(length)
            }
            _ if wanted == Some(span) => Self::Client,
            _ => Self::Nothing,
        }
    }
}

/// Whether a whole response may go on as slices: it has what tells two representations apart, and
/// its origin serves ranges.
pub(super) fn can_be_sliced(fields: &HeaderMap) -> bool {
    let mut units = Fields::values(fields, "accept-ranges").flat_map(list::elements);
    conditional::strong_validator(fields).is_some()
        && units.any(|unit| list::same_token(unit, b"bytes"))
}

impl Service {
    /// The slice that a request for a range asks for first; `None` if nothing is sliced, the last
    /// response of its key is known not to be fit for it, or nobody knows where the range begins.
    pub(super) fn first_slice(&self, ask: &Ask) -> Option<Span> {
        let size = self.store.slicing()?.size.bytes();
        let asked = ask.asked();
        if asked.authorized || asked.directives.no_store {
            // Most likely the answer is this client's alone.
            return None;
        }
        let why_not = self.store.refusal(self.store.key(&ask.key));
        if why_not.is_some_and(|why| why.is_lasting() || why == WhyNot::NoSlices) {
            return None;
        }
        let first = Ranges::parse(&ask.fields)?.specs().first()?.first()?;
        let start = first - first % size;
        Span::new(start, start.checked_add(size)?)
    }

    /// Whether a whole response goes on as slices of how many bytes in all, and how many of them it
    /// fills.
    pub(super) fn goes_on(&self, head: &Head, ask: &Ask) -> (Option<u64>, Count) {
        let above = self.store.slicing().map(|slicing| slicing.above.bytes());
        let long = head.length.filter(|&length| above.is_some_and(|above| length > above));
        let is_whole = ask.method == Method::GET && head.status == StatusCode::OK;
        let Some(length) = long.filter(|_| is_whole && can_be_sliced(&head.fields)) else {
            return (None, Count::None);
        };
        // Who asked for a range of it wants its front only if the range begins there.
        let begins = Ranges::parse(&ask.fields).map_or(Some(0), |it| it.specs().first()?.first());
        let wants_front = begins
            .zip(self.store.slicing())
            .is_some_and(|(first, slicing)| first < slicing.size.bytes());
        (Some(length), if wants_front { Count::Wanted } else { Count::None })
    }

    /// The master of slices for a response.
    pub(super) fn master(
        &self,
        pilot: &Pilot,
        head: &Head,
        complete: u64,
    ) -> Result<(Object, Sliced), WhyNot> {
        head.stored?;
        let slicing = self.store.slicing().ok_or(WhyNot::NoSlices)?;
        if !head.for_first.is_empty() {
            // The first asker's own fields are in no stored object.
            return Err(WhyNot::NoSlices);
        }
        let master = pilot.master(head, complete, slicing.size.bytes()).ok_or(WhyNot::NoRoom)?;
        let sliced = master.sliced().ok_or(WhyNot::NoSlices)?;
        Ok((master, sliced))
    }

    /// A response is the beginning of slices: stores their master, and fills them from slice `first`
    /// on; one, or as many as somebody wants.
    pub(super) async fn pour(
        &self,
        pilot: Pilot,
        (master, sliced): (Object, Sliced),
        fetched: Fetched,
        first: u64,
        count: Count,
    ) {
        let claim = |index: u64| {
            let mut key = Vec::new();
            sliced.write_key(master.key(), index, &mut key);
            match self.store.board(self.store.key(&key), b"", None) {
                Boarding::First(reader, pilot) => Some(Claim { index, reader, pilot }),
                Boarding::Later(_) | Boarding::Stored(_) => None,
            }
        };
        let claimed = match count {
            Count::None => 0,
            Count::One => 1,
            Count::Wanted => CLAIMED,
        };
        let mut next = first + claimed.min(sliced.count() - first);
        // Before anybody looks for them.
        let mut claims: VecDeque<Claim> = (first..next).filter_map(claim).collect();
        pilot.found(master.clone());
        let mut source = Source { fetched, rest: Bytes::new() };
        while let Some(Claim { index, reader, pilot }) = claims.pop_front() {
            let is_wanted = async { index == first || within_wait(&pilot).await };
            if !is_wanted.await
                || self.fill(pilot, Some(reader), &master, index, &mut source).await.is_err()
            {
                return;
            }
            if count == Count::Wanted && next < sliced.count() {
                match claim(next) {
                    Some(claim) => claims.push_back(claim),
                    // Somebody else has it: from there on, slices are asked for one by one.
                    None => next = sliced.count(),
                }
                next += 1;
            }
        }
        source.end(count).await;
    }

    /// Fetches one slice, unless the disk has it.
    pub(super) async fn fly_slice(
        self: Rc<Self>,
        pilot: Pilot,
        ask: Rc<Ask>,
        master: Object,
        index: u64,
    ) {
        let Some(sliced) = master.sliced() else { return };
        let span = sliced.span(index);
        let key = pilot.key().to_vec();
        let key = self.store.key(&key);
        if let Some(disk) = &self.disk
            && disk.load(&self.store, key, || self.store.holds(key)).await
            && let Some(object) = self.store.variants(key).into_iter().next()
        {
            return pilot.held(object);
        }
        let Some(target) = target(&ask.sent()) else { return };
        let task = Task {
            ask: Rc::clone(&ask),
            target,
            validate: None,
            manner: Manner::Slice,
            conditions: false,
            slice: Some(span),
        };
        let request = self.request(&task, RequestBody::Empty);
        self.counters.origin_request();
        let sent = tokio::select! {
            biased;
            sent = ask.route.upstream().send(request, None) => sent,
            () = pilot.abandoned() => return,
        };
        let fetched = match sent {
            Ok(fetched) => fetched,
            Err(failure) => {
                self.counters.origin_failure();
                return pilot.fail(failure);
            }
        };
        // As those of the master were.
        let mut fields = fetched.head.headers.clone();
        ask.route.rule().arrive(&mut fields);
        match belongs(&master, span, fetched.head.status, &fields) {
            Belongs::Yes => {}
            Belongs::No => {
                // What is stored is not the origin's any more.
                self.store.outdate(self.store.key(master.key()), &master);
                return pilot.fail(Failure::Changed);
            }
            Belongs::Unknown => return pilot.fail(Failure::GivenUp),
        }
        let mut source = Source { fetched, rest: Bytes::new() };
        if self.fill(pilot, None, &master, index, &mut source).await.is_ok() {
            source.end(Count::One).await;
        }
    }

    /// Fills one slice. `claimed` is the seat that kept it from others.
    async fn fill(
        &self,
        mut pilot: Pilot,
        claimed: Option<Reader>,
        master: &Object,
        index: u64,
        source: &mut Source,
    ) -> Result<(), Failure> {
        let sliced = master.sliced().ok_or(Failure::GivenUp)?;
        let mut left = sliced.span(index).len();
        pilot.head(Head {
            status: StatusCode::OK,
            fields: HeaderMap::new(),
            for_first: HeaderMap::new(),
            length: Some(left),
            announced: None,
            terms: *master.terms(),
            stored: Ok(()),
            vary: [].into(),
            selecting: [].into(),
            from_store: false,
        });
        drop(claimed);
        let mut patience = HELD_UP_MAX;
        while left > 0 {
            let came = tokio::select! {
                biased;
                came = source.next(left) => came,
                () = pilot.abandoned() => return Err(Failure::GivenUp),
            };
            let bytes = match came {
                Ok(bytes) => bytes,
                Err(failure) => {
                    self.counters.origin_failure();
                    pilot.fail(failure);
                    return Err(failure);
                }
            };
            left -= bytes.len() as u64;
            pilot.push(&bytes);
            if self.wait_for_room(&pilot, &mut patience).await.is_err() {
                return Err(Failure::GivenUp);
            }
        }
        pilot.land(None);
        Ok(())
    }
}

/// How many slices a response fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// None: others are wanted.
    None,
    /// The one that it was asked for.
    One,
    /// As many as somebody wants.
    Wanted,
}

/// A slice that is about to be filled.
struct Claim {
    index: u64,
    reader: Reader,
    pilot: Pilot,
}

/// Whether anybody wants a claimed slice in time.
async fn within_wait(pilot: &Pilot) -> bool {
    tokio::time::timeout(DEMAND_WAIT, pilot.joined()).await.is_ok()
}

/// A response's body, slice by slice.
struct Source {
    fetched: Fetched,
    /// Bytes behind the last slice.
    rest: Bytes,
}

impl Source {
    /// Some bytes, at most `wanted`.
    async fn next(&mut self, wanted: u64) -> Result<Bytes, Failure> {
        while self.rest.is_empty() {
            let frame = self.fetched.frame().await?.ok_or(Failure::Closed)?;
            self.rest = frame.into_data().unwrap_or_default();
        }
        let length = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.rest.len());
        Ok(self.rest.split_to(length))
    }

    /// Hears the end of the response, which gives its connection back.
    async fn end(mut self, count: Count) {
        // The rest of one that nobody wants is not waited for.
        if self.rest.is_empty() && count != Count::None {
            drop(self.fetched.frame().await);
        }
    }
}

/// Whether a response brings a slice of the stored representation.
enum Belongs {
    Yes,
    /// The representation is another one now, or is not served in ranges.
    No,
    /// The origin could not say.
    Unknown,
}

fn belongs(master: &Object, span: Span, status: StatusCode, fields: &HeaderMap) -> Belongs {
    let asked = ContentRange { span, complete: master.length() };
    let stored = master.fields();
    let is_same = conditional::strong_validator(&stored)
        .is_some_and(|held| conditional::strong_validator(fields) == Some(held));
    match status {
        StatusCode::PARTIAL_CONTENT if is_same && ContentRange::of(fields) == Some(asked) => {
            Belongs::Yes
        }
        status if status.is_server_error() => Belongs::Unknown,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Belongs::Unknown,
        _ => Belongs::No,
    }
}
