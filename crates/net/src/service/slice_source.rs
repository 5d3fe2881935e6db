//! Where slices come from: one request for one slice, or a response that goes on from slice to slice.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use nigh_cache::{
    flight::{Failure, Head, Reader},
    object::Object,
    pilot::Pilot,
    slices::Sliced,
    store::Boarding,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Ask, Service, carry::HELD_UP_MAX, fetch::arrive, slice_fit::Belongs, slices::AHEAD_MAX,
    travel::Giver,
};
use crate::origin::Fetched;

/// Slices that a response claims which goes on: one more than its readers look ahead, so that they
/// find them taken.
const CLAIMED: u64 = AHEAD_MAX + 1;

/// How long such a response waits for somebody who wants its next slice.
const DEMAND_WAIT: Duration = Duration::from_secs(10);

/// How often it looks meanwhile whether somebody waits for a later one.
const LOOK_ROUND: Duration = Duration::from_millis(50);

/// Slices that others have fetched, one behind the other, after which it ends.
const SKIPPED_MAX: usize = 2;

impl Service {
    /// A response is the beginning of slices: stores their master, and fills them from slice `first`
    /// on; one, or as many as somebody wants.
    pub(super) async fn pour(
        &self,
        pilot: Pilot,
        (master, sliced): (Object, Sliced),
        poured: Poured,
    ) {
        let Poured { fetched, giver, first, count } = poured;
        let course = pilot.course();
        let claim = |index: u64| {
            let key = sliced.key(master.key(), index);
            match self.store.board(self.store.key(&key), b"", None, course) {
                Boarding::First(reader, pilot) => Claim { index, held: Some((reader, pilot)) },
                Boarding::Later(_) | Boarding::Stored(_) => Claim { index, held: None },
            }
        };
        let claimed = match count {
            Count::None => 0,
            Count::One => 1,
            Count::Wanted => CLAIMED,
        };
        let mut next = first + claimed.min(sliced.count() - first);
        // Before anybody looks for them.
        let mut claims: VecDeque<Claim> = (first..next).map(claim).collect();
        pilot.found(master.clone());
        let mut source = Source::new(fetched, giver);
        let mut skipped = 0;
        while let Some(Claim { index, held }) = claims.pop_front() {
            // Its readers look ahead from here on, and find the next one taken.
            if count == Count::Wanted && next < sliced.count() {
                claims.push_back(claim(next));
                next += 1;
            }
            let Some((reader, pilot)) = held else {
                skipped += 1;
                if skipped == SKIPPED_MAX || source.skip(sliced.span(index).len()).await.is_err() {
                    return;
                }
                continue;
            };
            skipped = 0;
            if index != first && !is_wanted(&pilot, &mut claims).await {
                return;
            }
            // What is not stored is there for those alone who are aboard.
            if source.passing && timeout(DEMAND_WAIT, pilot.joined()).await.is_err() {
                return;
            }
            let flying = (pilot, Some(reader));
            if self.fill(flying, &master, index, &mut source, &mut claims).await.is_err() {
                return;
            }
            if claims.is_empty() && next < sliced.count() {
                // There was no room to keep it: who wants more asks for it alone.
                return;
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
        let mut again = None;
        let (fetched, giver) = loop {
            let asking = again.as_ref().unwrap_or(&ask);
            let sent = tokio::select! {
                biased;
                sent = self.ask_for_slice(asking, span, Some(index)) => sent,
                () = pilot.abandoned() => return,
            };
            let (fetched, giver) = match sent {
                None => return,
                Some(Ok(came)) => came,
                Some(Err(failure)) => {
                    self.counters.origin_failure();
                    return pilot.fail(failure);
                }
            };
            // As those of the master were.
            let mut fields = fetched.head.headers.clone();
            arrive(ask.route.rule(), giver, &mut fields);
            match Self::belongs(&ask, &master, span, fetched.head.status, &fields) {
                Belongs::Yes => break (fetched, giver),
                // Its owner may have it of an older representation, and asks the origin then.
                Belongs::No if giver.is_sibling() && again.is_none() => {
                    again = Some(ask.validated());
                }
                Belongs::No => {
                    match giver {
                        Giver::Origin => self.disown(&ask, &master, &sliced).await,
                        Giver::Sibling(_) => {
                            self.store.outdate_slices(self.store.key(master.key()), &sliced);
                        }
                    }
                    return pilot.fail(Failure::Changed);
                }
                Belongs::Unknown => return pilot.fail(Failure::Withheld),
            }
        };
        let mut source = Source::new(fetched, giver);
        let flying = (pilot, None);
        if self.fill(flying, &master, index, &mut source, &mut VecDeque::new()).await.is_ok() {
            source.end(Count::One).await;
        }
    }

    /// Fills one slice, with the seat that kept it from others, if any; `claims` are those behind it.
    async fn fill(
        &self,
        (mut pilot, claimed): (Pilot, Option<Reader>),
        master: &Object,
        index: u64,
        source: &mut Source,
        claims: &mut VecDeque<Claim>,
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
            passing: source.passing,
        });
        drop(claimed);
        let mut patience = HELD_UP_MAX;
        while left > 0 {
            let came = tokio::select! {
                biased;
                came = source.next(left) => came,
                () = pilot.abandoned() => return Err(Failure::GivenUp),
                () = sleep(LOOK_ROUND), if !claims.is_empty() => {
                    claims.iter_mut().skip(1).for_each(Claim::release_if_awaited);
                    continue;
                }
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
            if !pilot.keeps() {
                // From here on the slowest reader's pace is its own, and nobody else's.
                claims.clear();
            }
            // Who waits for the one behind reads along; who waits for later ones would wait in vain.
            claims.iter_mut().skip(1).for_each(Claim::release_if_awaited);
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

impl Count {
    /// The same of a response whose head alone is wanted: the one slice that comes with that, unless
    /// another edge keeps it.
    pub(super) fn for_head(self, giver: Giver) -> Self {
        match self {
            _ if giver.is_passing() => Self::None,
            Self::Wanted => Self::One,
            Self::One | Self::None => self,
        }
    }
}

/// A slice that is to be filled, unless somebody else does.
struct Claim {
    index: u64,
    held: Option<(Reader, Pilot)>,
}

impl Claim {
    /// Gives it up if somebody waits for it: they fetch it themselves.
    fn release_if_awaited(&mut self) {
        if self.held.as_ref().is_some_and(|(_, pilot)| pilot.is_awaited()) {
            self.held = None;
        }
    }
}

/// Whether anybody wants a claimed slice in time. Who waits for those behind it meanwhile is let go.
async fn is_wanted(pilot: &Pilot, claims: &mut VecDeque<Claim>) -> bool {
    let end = Instant::now() + DEMAND_WAIT;
    while timeout(LOOK_ROUND, pilot.joined()).await.is_err() {
        if Instant::now() >= end {
            return false;
        }
        claims.iter_mut().for_each(Claim::release_if_awaited);
    }
    true
}

/// A response that is the beginning of slices.
pub(super) struct Poured {
    pub(super) fetched: Fetched,
    pub(super) giver: Giver,
    /// The slice that its body begins with.
    pub(super) first: u64,
    pub(super) count: Count,
}

/// A response's body, slice by slice.
struct Source {
    fetched: Fetched,
    /// Bytes behind the last slice.
    rest: Bytes,
    /// Another edge keeps them.
    passing: bool,
}

impl Source {
    fn new(fetched: Fetched, giver: Giver) -> Self {
        Self { fetched, rest: Bytes::new(), passing: giver.is_passing() }
    }

    /// Some bytes, at most `wanted`.
    async fn next(&mut self, wanted: u64) -> Result<Bytes, Failure> {
        while self.rest.is_empty() {
            let frame = self.fetched.frame().await?.ok_or(Failure::Closed)?;
            self.rest = frame.into_data().unwrap_or_default();
        }
        let length = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.rest.len());
        Ok(self.rest.split_to(length))
    }

    /// Passes by `count` bytes.
    async fn skip(&mut self, mut count: u64) -> Result<(), Failure> {
        while count > 0 {
            count -= self.next(count).await?.len() as u64;
        }
        Ok(())
    }

    /// Hears the end of the response, which gives its connection back.
    async fn end(mut self, count: Count) {
        // The rest of one that nobody wants is not waited for.
        if self.rest.is_empty() && count != Count::None {
            drop(self.fetched.frame().await);
        }
    }
}
