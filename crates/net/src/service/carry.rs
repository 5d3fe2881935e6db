//! A response's body on its way to a flight, from the origin or the store: as it is, or compressed as it comes.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::pin,
    rc::Rc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, StatusCode};
use hyper::body::Frame;
use nigh_cache::{
    flight::{Abandoned, Failure},
    pilot::Pilot,
    run::Run,
};
use nigh_edge::site::{self, Coding, Rule};
use tokio::{sync::Semaphore, time::Instant};

use super::{Ask, Service, fetch::seen_by_origin, resume::Resumable};
use crate::{
    buffers::Reserved, compress::Encoder, counters::Counters, http1::trailers, origin::Fetched,
};

/// How long, in all, the readers of a response that is not kept wait for those who are behind.
pub(super) const HELD_UP_MAX: Duration = Duration::from_secs(10);

/// Bytes that are compressed in one go: less than a millisecond, after which other connections have
/// their turn.
const PIECE: usize = 16 * 1024;

/// Bytes of a response that the serving thread compresses itself; what comes after these is compressed
/// by another.
const HERE_MAX: usize = 64 * 1024;

/// How long an encoder may hold back what it has, while the origin brings no more.
const HOLD_BACK: Duration = Duration::from_millis(20);

/// Responses that a core compresses at once: [`Encoder::new`] says what each takes.
const ENCODERS_MAX: usize = 32;

/// How long the encoder of a response that is not kept may have nothing to do, because its reader or its
/// origin is slow, before another response may have its place.
const IDLE_MAX: Duration = Duration::from_millis(200);

/// Where a body comes from.
pub(super) enum Source {
    /// The origin.
    Origin(Fetched),
    /// Another edge.
    Sibling(Box<Resumable>),
    /// A stored response.
    Stored(Run),
}

impl Source {
    /// Its next frame; `None` at its end.
    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Failure> {
        match self {
            Self::Origin(fetched) => fetched.frame().await,
            Self::Sibling(response) => response.frame().await,
            Self::Stored(run) => {
                let length = run.remaining().min(PIECE);
                Ok((length > 0).then(|| Frame::data(run.copy_to_bytes(length))))
            }
        }
    }
}

/// What is being compressed on this core.
#[derive(Debug)]
pub(super) struct Compressing {
    /// Those that have a place, [`ENCODERS_MAX`] at most.
    places: Rc<RefCell<Vec<Rc<Work>>>>,
    /// One thread beside the core's own compresses for it.
    elsewhere: Semaphore,
}

impl Default for Compressing {
    fn default() -> Self {
        Self { places: Rc::default(), elsewhere: Semaphore::new(1) }
    }
}

/// An encoder, and how busy it is.
#[derive(Debug)]
struct Work {
    /// Out while another thread works with it.
    encoder: RefCell<Option<Encoder>>,
    /// When it last had something to do.
    at: Cell<Instant>,
    /// What it makes is kept: it waits for no reader, and who asks later gets it too.
    kept: Cell<bool>,
}

impl Work {
    /// Since when it has had nothing to do, if that is long enough to make way for others.
    fn idle_since(&self) -> Option<Instant> {
        let is_idle = !self.kept.get() && self.at.get().elapsed() >= IDLE_MAX;
        (is_idle && self.encoder.borrow().is_some()).then(|| self.at.get())
    }
}

impl Compressing {
    /// Whether one more response can be compressed, and nobody has to make way for it.
    pub(super) fn has_room(&self) -> bool {
        self.places.borrow().len() < ENCODERS_MAX
    }

    /// Makes room for one more, if need be in place of the one that has had nothing to do for longest:
    /// what still comes of that leaves as it is, within its coding. So whoever reads nothing takes
    /// nothing from others. Says whether there is room now.
    fn make_room(&self, counters: &Counters) -> bool {
        if self.has_room() {
            return true;
        }
        let mut places = self.places.borrow_mut();
        let idle = places.iter().enumerate().filter_map(|(at, it)| Some((it.idle_since()?, at)));
        let Some((_, longest)) = idle.min() else { return false };
        let let_go = places[longest].encoder.borrow_mut().as_mut().map(Encoder::let_go);
        // One that fails will fail its response, and leave then.
        if !matches!(let_go, Some(Ok(()))) {
            return false;
        }
        places.swap_remove(longest);
        counters.left_uncompressed();
        true
    }
}

/// The compression of one response.
#[derive(Debug)]
pub(super) struct Coder {
    work: Rc<Work>,
    places: Rc<RefCell<Vec<Rc<Work>>>>,
    /// Bytes that it was given.
    taken: usize,
    /// Whether some of them may not have come out.
    holds_back: bool,
}

impl Coder {
    /// Compression of a body of `length` bytes, if that is known. There is room for it.
    fn new(coding: Coding, length: Option<u64>, compressing: &Compressing) -> Self {
        let work = Rc::new(Work {
            encoder: RefCell::new(Some(Encoder::new(coding, length))),
            at: Cell::new(Instant::now()),
            kept: Cell::new(true),
        });
        compressing.places.borrow_mut().push(Rc::clone(&work));
        let places = Rc::clone(&compressing.places);
        Self { work, places, taken: 0, holds_back: false }
    }

    /// Works with the encoder on this thread.
    fn here<T>(&self, work: impl FnOnce(&mut Encoder) -> T) -> T {
        self.work.at.set(Instant::now());
        work(self.work.encoder.borrow_mut().as_mut().expect(HERE))
    }

    /// Compresses a piece of at most [`PIECE`] bytes; what comes out, if anything.
    async fn write(&mut self, piece: Bytes, elsewhere: &Semaphore) -> io::Result<Bytes> {
        self.holds_back = true;
        self.taken += piece.len();
        if self.taken <= HERE_MAX || !self.here(|encoder| encoder.compresses()) {
            return self.here(|encoder| encoder.write(&piece).map(|()| encoder.take()));
        }
        let _turn = elsewhere.acquire().await.expect("it is never closed");
        let mut encoder = self.work.encoder.take().expect(HERE);
        let work = tokio::task::spawn_blocking(move || {
            let written = encoder.write(&piece);
            (encoder, written)
        });
        let (encoder, written) = work.await.map_err(io::Error::other)?;
        self.work.encoder.replace(Some(encoder));
        self.here(|encoder| written.map(|()| encoder.take()))
    }

    fn flush(&mut self) -> io::Result<Bytes> {
        self.holds_back = false;
        let mut encoder = self.work.encoder.borrow_mut();
        let encoder = encoder.as_mut().expect(HERE);
        encoder.flush()?;
        Ok(encoder.take())
    }

    fn finish(self) -> io::Result<Bytes> {
        self.work.encoder.take().expect(HERE).finish()
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        self.places.borrow_mut().retain(|held| !Rc::ptr_eq(held, &self.work));
    }
}

/// Why an encoder can be worked with.
const HERE: &str = "it is out only while it is waited for";

/// A body's passage through this edge: what compresses it, what it takes as far as the store does not
/// keep it, and how long readers that are behind may still make the others wait.
pub(super) struct Passage {
    coder: Option<Coder>,
    bytes: u64,
    reserved: Option<Reserved>,
    patience: Duration,
}

impl Passage {
    /// Of a body that takes so many bytes if it is not kept.
    pub(super) const fn of(bytes: u64, coder: Option<Coder>) -> Self {
        Self { coder, bytes, reserved: None, patience: HELD_UP_MAX }
    }

    /// Whether nothing compresses it.
    pub(super) const fn is_as_it_came(&self) -> bool {
        self.coder.is_none()
    }

    /// Notes whether what is compressed is kept.
    fn note(&self, pilot: &Pilot) {
        if let Some(coder) = &self.coder {
            coder.work.kept.set(pilot.keeps());
        }
    }
}

/// Why a body does not come to its end.
pub(super) enum Broken {
    Origin(Failure),
    Here,
    NoRoom,
    Unwanted,
}

impl From<Abandoned> for Broken {
    fn from(_: Abandoned) -> Self {
        Self::Unwanted
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        tracing::warn!(%error, "a response cannot be compressed to its end");
        Self::Here
    }
}

impl Service {
    /// What compresses a response, if it is to be; its fields are then those of the compressed one.
    pub(super) fn coder(
        &self,
        ask: &Ask,
        status: StatusCode,
        fields: &mut HeaderMap,
        length: Option<u64>,
    ) -> Option<Coder> {
        let compress = ask.route.rule().compress.as_ref()?;
        // Under what is said of the connection alone, nothing is filed.
        let seen = seen_by_origin(&ask.fields);
        if ask.method == Method::HEAD {
            compress.apply(&*seen, status, fields);
            return None;
        }
        if compress.coding(&*seen, status, &*fields, length).is_some()
            && !self.compressing.make_room(&self.counters)
        {
            // Left as it is, and kept so until there is room: a variant like the others, only longer.
            compress.confirm(fields);
            self.counters.left_uncompressed();
            return None;
        }
        let coding = compress.apply(&*seen, status, fields)?;
        self.counters.compressed();
        Some(Coder::new(coding, length, &self.compressing))
    }

    /// Brings a body to its end, or the flight; its trailers as far as `rule` lets them through.
    pub(super) async fn carry(
        &self,
        mut pilot: Pilot,
        mut source: Source,
        rule: &Rule,
        passage: Passage,
    ) {
        match self.carry_all(&mut pilot, &mut source, rule, passage).await {
            Ok(trailers) => pilot.land(trailers),
            Err(Broken::Origin(failure)) => {
                if !matches!(source, Source::Sibling(_)) {
                    self.counters.origin_failure();
                }
                pilot.fail(failure);
            }
            Err(Broken::NoRoom) => pilot.fail(Failure::NoRoom),
            Err(Broken::Here) => pilot.fail(Failure::GivenUp),
            Err(Broken::Unwanted) => pilot.abandon(),
        }
    }

    async fn carry_all(
        &self,
        pilot: &mut Pilot,
        source: &mut Source,
        rule: &Rule,
        mut passage: Passage,
    ) -> Result<Option<HeaderMap>, Broken> {
        let mut trailer = None;
        passage.note(pilot);
        loop {
            let holds_back = passage.coder.as_ref().is_some_and(|coder| coder.holds_back);
            let frame = tokio::select! {
                biased;
                frame = source.frame() => frame,
                () = pilot.abandoned() => return Err(Broken::Unwanted),
                () = tokio::time::sleep(HOLD_BACK), if holds_back => {
                    let held = passage.coder.as_mut().map(Coder::flush).transpose()?;
                    self.push(pilot, &held.unwrap_or_default(), &mut passage).await?;
                    continue;
                }
            };
            let Some(frame) = frame.map_err(Broken::Origin)? else { break };
            match frame.into_data() {
                Ok(data) if passage.coder.is_none() => {
                    self.push(pilot, &data, &mut passage).await?;
                }
                Ok(mut data) => {
                    while !data.is_empty()
                        && let Some(coder) = &mut passage.coder
                    {
                        let piece = data.split_to(data.len().min(PIECE));
                        let out = coder.write(piece, &self.compressing.elsewhere).await?;
                        self.push(pilot, &out, &mut passage).await?;
                        tokio::task::yield_now().await;
                    }
                }
                Err(other) => {
                    trailer = other.into_trailers().ok().map(|all| {
                        let mut kept = trailers::admissible(&all);
                        rule.arrive_apart(&mut kept);
                        kept
                    });
                }
            }
        }
        if let Some(coder) = passage.coder.take() {
            self.push(pilot, &coder.finish()?, &mut passage).await?;
            trailer.iter_mut().for_each(site::remove_digests);
        }
        Ok(trailer.filter(|kept| !kept.is_empty()))
    }

    /// Brings bytes to the flight, and waits until more may come.
    async fn push(
        &self,
        pilot: &mut Pilot,
        bytes: &Bytes,
        passage: &mut Passage,
    ) -> Result<(), Broken> {
        if bytes.is_empty() {
            return Ok(());
        }
        pilot.push(bytes);
        passage.note(pilot);
        // The store had no room for it, or has none for the rest.
        if passage.reserved.is_none() && !pilot.keeps() {
            self.widen(passage)?;
        }
        Ok(self.wait_for_room(pilot, &mut passage.patience).await?)
    }

    /// Reserves what a body takes that is not kept.
    pub(super) fn widen(&self, passage: &mut Passage) -> Result<(), Broken> {
        passage.reserved = self.reserve(passage.bytes);
        passage.reserved.as_ref().map(|_| ()).ok_or(Broken::NoRoom)
    }

    /// Waits until the readers have taken enough; `patience` is how long those who are behind may
    /// still make the others wait.
    pub(super) async fn wait_for_room(
        &self,
        pilot: &Pilot,
        patience: &mut Duration,
    ) -> Result<(), Abandoned> {
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
}
