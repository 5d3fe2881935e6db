//! One fetch, many readers.
//!
//! A *flight* is a fetch from the origin that belongs to nobody in particular. Its [`Pilot`](crate::pilot::Pilot) brings
//! the head and the bytes; each [`Reader`] takes them at its own pace, on any core. A flight that
//! *keeps* holds every byte from the first, so a reader may board at any time and the body can
//! become a stored object. One that does not keep holds a window, and the pilot waits for the
//! slowest reader.
//!
//! ```text
//! pilot:  interim* -> head (shared by all | for the first alone) -> push* -> land
//!              \-> fail        at any moment; dropping the pilot is a failure too
//! reader: verdict -> chunk* -> end
//! ```

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use crate::{
    account::{Charge, allocated},
    freshness::Terms,
    object::{BLOCK_OVERHEAD, Large, Object},
    storable::WhyNot,
};

/// How far the fastest byte may run ahead of the slowest reader of a flight that does not keep.
pub const WINDOW: u64 = 256 * 1024;

/// Bytes of a response that are brought home for the next one who asks, where all who were aboard wanted
/// its head alone. What is longer is kept in slices, of which one comes with the head; and what cannot
/// be sliced is worth its bytes to nobody yet.
pub const HEAD_ONLY_MAX: u64 = 8 << 20;

/// Interim responses kept for readers that wait for the head; later ones are dropped.
pub const INTERIM_MAX: usize = 16;

/// A response's head on its way to readers.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The fields as they go to clients and into the store: hop-by-hop ones removed.
    pub fields: HeaderMap,
    /// Fields for the first asker's eyes only; they are in no stored object.
    pub for_first: HeaderMap,
    /// The length of the body that follows, where the origin said so.
    pub length: Option<u64>,
    /// The Content-Length field as it came, also where no body follows (HEAD).
    pub announced: Option<http::HeaderValue>,
    /// When and how it may be reused.
    pub terms: Terms,
    /// Whether it goes into the store, or why not.
    pub stored: Result<(), WhyNot>,
    /// What chose this variant: the names it varies on, and the values that were asked with.
    pub vary: Arc<[http::HeaderName]>,
    /// See `vary`.
    pub selecting: Box<[u8]>,
    /// It was made of a stored response: the origin was not asked.
    pub from_store: bool,
    /// Another cache answers for it: it is kept for those who wait for it now, and goes when they have
    /// it.
    pub passing: bool,
}

impl Head {
    /// Whether the body is said to be longer than what is brought for a head: see [`HEAD_ONLY_MAX`].
    fn is_long(&self) -> bool {
        self.length.is_some_and(|length| length > HEAD_ONLY_MAX)
    }
}

/// An interim (1xx) response.
#[derive(Clone, Debug)]
pub struct Interim {
    /// 102 to 199, but 101.
    pub status: StatusCode,
    /// Its fields.
    pub fields: Arc<HeaderMap>,
}

/// Why a fetch brought no answer. Says who can act: the origin, if nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection to the origin: refused, unreachable, no such name, TLS failed.
    #[error("the origin cannot be reached")]
    Unreachable,
    /// Connecting or waiting for the first byte took longer than the limit.
    #[error("the origin did not answer in time")]
    TimedOut,
    /// The origin closed or reset the connection before a whole head came.
    #[error("the origin closed the connection before it answered")]
    Closed,
    /// What came is no HTTP response.
    #[error("the origin's answer is not HTTP")]
    Garbage,
    /// The origin asks a forward proxy's client for a proxy's password, as only the proxy may.
    #[error("the destination answered as a proxy would that asks for a password")]
    Challenge,
    /// The client's own body broke off, so the request could not be sent.
    #[error("the request's body broke off")]
    RequestBroken,
    /// A forward proxy's rules leave no address of the destination.
    #[error("the destination may not be reached")]
    OutOfReach,
    /// The fetch was given up inside nigh.
    #[error("the fetch was given up")]
    GivenUp,
    /// A further slice came, and is of another representation than the first.
    #[error("the origin's object changed in between")]
    Changed,
    /// The origin answered the question for a further slice with something else.
    #[error("the origin did not give the rest of its object")]
    Withheld,
    /// There is no room for another answer to pass through nigh.
    #[error("this edge has no room for it now")]
    NoRoom,
}

/// What a reader learns first.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The response; its body follows in chunks.
    Head(Arc<Head>),
    /// The stored object was confirmed or completed by the origin: answer from it.
    Object(Object),
    /// The response is for the first asker alone: fetch for yourself.
    Alone,
    /// No response came.
    Failed(Failure),
}

/// What a reader meets while it waits for the verdict.
#[derive(Debug)]
pub enum News {
    /// An interim response to pass on.
    Interim(Interim),
    /// The verdict.
    Verdict(Verdict),
}

/// The body broke off: what was read so far is not the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response's body broke off")]
pub struct Truncated;

/// A fetch in progress.
#[derive(Debug)]
pub struct Flight(Mutex<State>);

#[derive(Debug)]
struct State {
    keep: bool,
    spoiled: bool,
    /// Whether anybody has boarded beside the first asker.
    joined: bool,
    /// Those who have boarded so far and wanted more than the head.
    bodies: usize,
    interim: Vec<Interim>,
    verdict: Option<Verdict>,
    /// Sealed blocks, of which the first has the number `first`; then the block being filled.
    blocks: VecDeque<Bytes>,
    first: usize,
    tail: Vec<u8>,
    /// All bytes that ever came.
    length: u64,
    end: Option<Result<Option<Arc<HeaderMap>>, Truncated>>,
    readers: Vec<Seat>,
    pilot: Option<Waker>,
    cargo: Option<Cargo>,
}

/// What keeps the bytes that readers still hold on the store's account.
#[derive(Debug)]
pub(crate) enum Cargo {
    /// The charge for blocks that were copied into an object.
    Blocks(Charge),
    /// The blocks that an object shares.
    Large(#[expect(dead_code, reason = "held for its drop")] Arc<Large>),
}

#[derive(Debug, Default)]
struct Seat {
    taken: bool,
    /// The verdict was heard: who sits here may have promised the body to a client.
    headed: bool,
    /// How many bytes were read.
    at: u64,
    /// The next byte: the number of its block, and its place there.
    block: usize,
    skip: usize,
    /// It held others up, and gets no more; if it heard no verdict yet, that becomes `Alone`.
    cut: bool,
    waker: Option<Waker>,
}

impl Flight {
    /// A flight with its first asker aboard, whose request is the one that is sent. It keeps until
    /// told otherwise.
    pub(crate) fn new() -> (Arc<Self>, Reader) {
        let flight = Arc::new(Self(Mutex::new(State {
            keep: true,
            spoiled: false,
            joined: false,
            bodies: 1,
            interim: Vec::new(),
            verdict: None,
            blocks: VecDeque::new(),
            first: 0,
            tail: Vec::new(),
            length: 0,
            end: None,
            readers: vec![Seat { taken: true, ..Seat::default() }],
            pilot: None,
            cargo: None,
        })));
        let reader = Reader { flight: Arc::clone(&flight), seat: 0, interims: 0, head_only: false };
        (flight, reader)
    }

    /// Boards a flight that keeps; `None` if its first bytes are gone already.
    pub(crate) fn board(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.0.lock();
        if !state.keep {
            return None;
        }
        state.joined = true;
        state.bodies += 1;
        // Seat 0 is the first asker's for good: who sits there decides who hears `Alone`.
        let free = state.readers.iter().skip(1).position(|seat| !seat.taken).map(|at| at + 1);
        let seat = free.unwrap_or_else(|| {
            state.readers.push(Seat::default());
            state.readers.len() - 1
        });
        state.readers[seat] = Seat { taken: true, ..Seat::default() };
        let pilot = state.pilot.take();
        drop(state);
        if let Some(pilot) = pilot {
            pilot.wake();
        }
        Some(Reader { flight: Arc::clone(self), seat, interims: 0, head_only: false })
    }

    /// What it brings is outdated already: it must not be stored.
    pub(crate) fn spoil(&self) {
        self.0.lock().spoiled = true;
    }

    /// Whether several wanted what it brings.
    pub(crate) fn was_joined(&self) -> bool {
        self.0.lock().joined
    }

    pub(crate) fn is_spoiled(&self) -> bool {
        self.0.lock().spoiled
    }

    /// Changes the state and wakes every reader whose news it may be.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock();
        let out = change(&mut state);
        // Nearly always there is one reader, and it is taken without an allocation.
        let mut first = None;
        let mut more = Vec::new();
        for waker in state.readers.iter_mut().filter_map(|seat| seat.waker.take()) {
            if first.is_none() { first = Some(waker) } else { more.push(waker) }
        }
        drop(state);
        for waker in first.into_iter().chain(more) {
            waker.wake();
        }
        out
    }

    /// Passes an interim response on.
    pub(crate) fn interim(&self, interim: Interim) {
        self.change(|state| {
            if state.interim.len() < INTERIM_MAX && state.verdict.is_none() {
                state.interim.push(interim);
            }
        });
    }

    /// Announces the verdict; the first one stands.
    pub(crate) fn decide(&self, verdict: Verdict, keep: bool) {
        self.change(|state| {
            if state.verdict.is_none() {
                state.verdict = Some(verdict);
                state.keep = keep;
            }
        });
    }

    /// Room in the block being filled, in bytes.
    pub(crate) fn tail_room(&self) -> usize {
        let state = self.0.lock();
        state.tail.capacity() - state.tail.len()
    }

    /// Appends to the block being filled, which has `room` for it; seals it when it is full.
    pub(crate) fn append(&self, bytes: &[u8]) {
        self.change(|state| {
            state.tail.extend_from_slice(bytes);
            state.length += bytes.len() as u64;
            if state.tail.len() == state.tail.capacity() {
                state.seal();
            }
        });
    }

    /// Starts a block of `capacity` bytes, or lets the one being filled grow to it.
    pub(crate) fn grow_tail(&self, capacity: usize) {
        let mut state = self.0.lock();
        let more = capacity.saturating_sub(state.tail.len());
        state.tail.reserve_exact(more);
    }

    /// Adds bytes that nobody keeps, as they are.
    pub(crate) fn pass(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.change(|state| {
            state.length += bytes.len() as u64;
            state.blocks.push_back(bytes);
        });
    }

    /// Stops keeping: what every reader has read is dropped from now on, and its part of `charge`
    /// given back. Of several readers, those are cut off that would hold the others up: who is far
    /// behind the fastest, and who does not read yet, because another answer has to be sent first.
    pub(crate) fn stop_keeping(&self, charge: Charge) {
        self.change(|state| {
            state.keep = false;
            state.seal();
            state.cargo = Some(Cargo::Blocks(charge));
            let taken = || state.readers.iter().filter(|seat| seat.taken);
            let fastest = taken().map(|seat| seat.at).max().unwrap_or(0);
            // One may wait with its reading: nobody else is there to wait for it.
            let is_read = taken().any(|seat| seat.headed);
            let waiting = state.readers.iter().position(|seat| seat.taken).filter(|_| !is_read);
            for (at, seat) in state.readers.iter_mut().enumerate() {
                // Who has left may have been faster than anyone who is here.
                let is_far_behind = fastest.saturating_sub(seat.at) > WINDOW;
                let holds_up = is_far_behind || !seat.headed;
                seat.cut = seat.taken && holds_up && waiting != Some(at);
            }
            drop(state.trim());
        });
    }

    /// Cuts off the readers that are a window behind, if there are others who wait for them.
    pub(crate) fn cut_slow(&self) {
        self.change(|state| {
            let length = state.length;
            let is_slow = |seat: &Seat| length - seat.at >= WINDOW;
            if state.reading().all(is_slow) {
                return;
            }
            state.readers.iter_mut().filter(|seat| seat.taken && is_slow(seat)).for_each(|seat| {
                seat.cut = true;
            });
            drop(state.trim());
        });
    }

    /// Ready when more bytes may be brought; `Err` when nobody wants them.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), Abandoned>> {
        let mut state = self.0.lock();
        if !state.is_wanted() {
            return Poll::Ready(Err(Abandoned));
        }
        let slowest = state.slowest().filter(|_| !state.keep);
        if slowest.is_none_or(|slowest| state.length.saturating_sub(slowest) < WINDOW) {
            return Poll::Ready(Ok(()));
        }
        state.pilot = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready once nobody wants what the flight brings, which then cannot be boarded any more.
    pub(crate) fn poll_abandoned(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if !state.is_wanted() {
            return Poll::Ready(());
        }
        state.pilot = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready once anybody has boarded beside the first asker.
    pub(crate) fn poll_joined(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.joined {
            return Poll::Ready(());
        }
        state.pilot = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether nobody has wanted more than the head so far.
    pub(crate) fn is_for_head(&self) -> bool {
        self.0.lock().bodies == 0
    }

    /// The body is over: all of it is there, or it broke off. The first word stands.
    pub(crate) fn end(&self, end: Result<Option<Arc<HeaderMap>>, Truncated>) {
        self.change(|state| {
            if state.end.is_none() {
                state.end = Some(end);
            }
        });
    }

    /// The kept body: sealed blocks and the block being filled, which stays for readers.
    pub(crate) fn kept(&self) -> (Vec<Bytes>, u64) {
        let mut state = self.0.lock();
        state.tail.shrink_to_fit();
        state.seal();
        (state.blocks.iter().cloned().collect(), state.length)
    }

    /// Keeps what accounts for the bytes until the last reader is gone.
    pub(crate) fn hold(&self, cargo: Cargo) {
        self.0.lock().cargo = Some(cargo);
    }

    pub(crate) fn length(&self) -> u64 {
        self.0.lock().length
    }

    /// How many readers are aboard.
    pub fn readers(&self) -> usize {
        self.0.lock().readers.iter().filter(|seat| seat.taken).count()
    }
}

/// Nobody is left who wants the fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

impl State {
    /// Where the slowest reader stands; `None` if there is none.
    fn slowest(&self) -> Option<u64> {
        self.reading().map(|seat| seat.at).min()
    }

    /// Whether somebody is aboard, or the next one who asks is to find it. If not, nobody boards any more.
    fn is_wanted(&mut self) -> bool {
        if self.reading().next().is_some() {
            return true;
        }
        let is_worth_keeping = match &self.verdict {
            // Before the head came, nobody knows whether it will be kept.
            None => false,
            Some(Verdict::Head(head)) if self.bodies == 0 => {
                !head.passing && !head.is_long() && self.length <= HEAD_ONLY_MAX
            }
            Some(_) => true,
        };
        self.keep &= is_worth_keeping;
        self.keep
    }

    fn reading(&self) -> impl Iterator<Item = &Seat> {
        self.readers.iter().filter(|seat| seat.taken && !seat.cut)
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.blocks.push_back(Bytes::from(tail));
        }
    }

    /// Drops the blocks that every reader has read; whoever drops the last of a window wakes the
    /// pilot that is returned.
    #[must_use]
    fn trim(&mut self) -> Option<Waker> {
        if self.keep {
            return None;
        }
        let slowest = self.reading().map(|seat| seat.block).min().unwrap_or(usize::MAX);
        while self.first < slowest && self.blocks.pop_front().is_some() {
            self.first += 1;
        }
        if let Some(Cargo::Blocks(charge)) = &mut self.cargo {
            let held: u64 =
                self.blocks.iter().map(|block| allocated(block.len()) + BLOCK_OVERHEAD).sum();
            charge.shrink_to(charge.bytes().min(held));
        }
        self.pilot.take()
    }

    /// The bytes that `seat` reads next: a sealed block's rest without a copy, or a copy of what is
    /// new in the block being filled.
    fn take_next(&mut self, seat: usize) -> Option<Bytes> {
        let place = &mut self.readers[seat];
        let bytes = loop {
            let index = place.block.checked_sub(self.first).expect("unread blocks are held");
            match self.blocks.get(index) {
                // Read up to the end while it was being filled, sealed since.
                Some(block) if place.skip == block.len() => {
                    (place.block, place.skip) = (place.block + 1, 0);
                }
                Some(block) => {
                    let bytes = block.slice(place.skip..);
                    (place.block, place.skip) = (place.block + 1, 0);
                    break bytes;
                }
                None => {
                    let new = self.tail.get(place.skip..).filter(|new| !new.is_empty())?;
                    let bytes = Bytes::copy_from_slice(new);
                    place.skip = self.tail.len();
                    break bytes;
                }
            }
        };
        place.at += bytes.len() as u64;
        Some(bytes)
    }
}

/// One client's seat on a flight. Dropping it leaves the flight to the others.
#[derive(Debug)]
pub struct Reader {
    flight: Arc<Flight>,
    seat: usize,
    interims: usize,
    head_only: bool,
}

impl Reader {
    /// Says that whoever sits here wants no more than the head. Once is enough; it cannot be taken back.
    pub fn wants_head_only(&mut self) {
        if !std::mem::replace(&mut self.head_only, true) {
            let mut state = self.flight.0.lock();
            state.bodies -= 1;
        }
    }

    /// Whether the body behind `head` is given up unless somebody comes who wants it: it is long, and
    /// nobody has wanted more than the head so far.
    pub fn gives_body_up(&self, head: &Head) -> bool {
        head.is_long() && self.flight.is_for_head()
    }

    /// The next interim response, or the verdict.
    pub async fn news(&mut self) -> News {
        poll_fn(|cx| self.poll_news(cx)).await
    }

    /// The verdict; interim responses are skipped.
    pub async fn verdict(&mut self) -> Verdict {
        loop {
            if let News::Verdict(verdict) = self.news().await {
                return verdict;
            }
        }
    }

    fn poll_news(&mut self, cx: &Context<'_>) -> Poll<News> {
        let mut state = self.flight.0.lock();
        // Interim responses are for the one whose request they answer: whether the final one will be
        // for others too, nobody knows yet.
        if self.seat == 0
            && let Some(interim) = state.interim.get(self.interims)
        {
            self.interims += 1;
            return Poll::Ready(News::Interim(interim.clone()));
        }
        let is_cut = state.readers[self.seat].cut;
        match &state.verdict {
            Some(verdict) => {
                let verdict = match verdict {
                    Verdict::Head(_) | Verdict::Object(_)
                        if is_cut || (!state.keep && self.seat != 0) =>
                    {
                        Verdict::Alone
                    }
                    other => other.clone(),
                };
                state.readers[self.seat].headed = true;
                Poll::Ready(News::Verdict(verdict))
            }
            None => {
                state.readers[self.seat].waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// If the body broke off.
    pub fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, Truncated>> {
        let mut state = self.flight.0.lock();
        if state.readers[self.seat].cut {
            return Poll::Ready(Err(Truncated));
        }
        if let Some(bytes) = state.take_next(self.seat) {
            let pilot = state.trim();
            drop(state);
            if let Some(pilot) = pilot {
                pilot.wake();
            }
            return Poll::Ready(Ok(Some(bytes)));
        }
        match &state.end {
            Some(Ok(_)) => Poll::Ready(Ok(None)),
            Some(Err(truncated)) => Poll::Ready(Err(*truncated)),
            None => {
                state.readers[self.seat].waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// [`Reader::poll_chunk`] as a future.
    ///
    /// # Errors
    /// If the body broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Truncated> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The trailer fields, once the body has ended.
    pub fn trailers(&self) -> Option<Arc<HeaderMap>> {
        self.flight.0.lock().end.clone().and_then(Result::ok).flatten()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.flight.0.lock();
        state.readers[self.seat].taken = false;
        state.readers[self.seat].waker = None;
        // Also where nothing is trimmed, the pilot may have to learn that it flies alone.
        let pilot = state.trim().or_else(|| state.pilot.take());
        drop(state);
        if let Some(pilot) = pilot {
            pilot.wake();
        }
    }
}
