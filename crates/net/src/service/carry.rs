//! A response's body on its way to a flight, from the origin or the store: as it is, or compressed as it comes.

use std::{cell::Cell, io, pin::pin, rc::Rc, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, StatusCode};
use hyper::body::Frame;
use nigh_cache::{
    flight::{Abandoned, Failure},
    pilot::Pilot,
    run::Run,
};
use nigh_edge::site::{self, Coding};
use tokio::{sync::Semaphore, time::Instant};

use super::{Ask, Service, fetch::seen_by_origin};
use crate::{buffers::Reserved, compress::Encoder, http1::trailers, origin::Fetched};

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

/// Responses that a core compresses at once: each encoder takes up to 2 MiB.
const ENCODERS_MAX: usize = 32;

/// Where a body comes from.
pub(super) enum Source {
    /// The origin.
    Origin(Fetched),
    /// A stored response.
    Stored(Run),
}

impl Source {
    /// Its next frame; `None` at its end.
    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Failure> {
        match self {
            Self::Origin(fetched) => fetched.frame().await,
            Self::Stored(run) => {
                let length = run.remaining().min(PIECE);
                Ok((length > 0).then(|| Frame::data(run.copy_to_bytes(length))))
            }
        }
    }
}

/// How much is being compressed on this core.
#[derive(Debug)]
pub(super) struct Compressing {
    encoders: Rc<Cell<usize>>,
    /// One thread beside the core's own compresses for it.
    elsewhere: Semaphore,
}

impl Default for Compressing {
    fn default() -> Self {
        Self { encoders: Rc::default(), elsewhere: Semaphore::new(1) }
    }
}

/// A place among the encoders of a core.
#[derive(Debug)]
pub(super) struct Place(Rc<Cell<usize>>);

impl Compressing {
    /// A place for one more encoder, if there is one.
    pub(super) fn place(&self) -> Option<Place> {
        let held = self.encoders.get();
        (held < ENCODERS_MAX).then(|| {
            self.encoders.set(held + 1);
            Place(Rc::clone(&self.encoders))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The compression of one response.
#[derive(Debug)]
pub(super) struct Coder {
    /// Out while another thread works with it.
    encoder: Option<Encoder>,
    /// Bytes that it was given.
    taken: usize,
    /// Whether some of them may not have come out.
    holds_back: bool,
    _place: Place,
}

impl Coder {
    /// Compression of a body of `length` bytes, if that is known.
    fn new(coding: Coding, length: Option<u64>, place: Place) -> Self {
        Self {
            encoder: Some(Encoder::new(coding, length)),
            taken: 0,
            holds_back: false,
            _place: place,
        }
    }

    fn encoder(&mut self) -> &mut Encoder {
        self.encoder.as_mut().expect("it is out only while it is waited for")
    }

    /// Compresses a piece of at most [`PIECE`] bytes; what comes out, if anything.
    async fn write(&mut self, piece: Bytes, elsewhere: &Semaphore) -> io::Result<Bytes> {
        self.holds_back = true;
        self.taken += piece.len();
        if self.taken <= HERE_MAX {
            self.encoder().write(&piece)?;
            return Ok(self.encoder().take());
        }
        let _turn = elsewhere.acquire().await.expect("it is never closed");
        let mut encoder = self.encoder.take().expect("it is out only while it is waited for");
        let work = tokio::task::spawn_blocking(move || {
            let written = encoder.write(&piece);
            (encoder, written)
        });
        let (encoder, written) = work.await.map_err(io::Error::other)?;
        self.encoder = Some(encoder);
        written.map(|()| self.encoder().take())
    }

    fn flush(&mut self) -> io::Result<Bytes> {
        self.holds_back = false;
        self.encoder().flush()?;
        Ok(self.encoder().take())
    }

    fn finish(mut self) -> io::Result<Bytes> {
        self.encoder.take().expect("it is out only while it is waited for").finish()
    }
}

/// A body's passage through this edge: what it takes as far as the store does not keep it, and how long
/// readers that are behind may still make the others wait.
pub(super) struct Passage {
    bytes: u64,
    reserved: Option<Reserved>,
    patience: Duration,
}

impl Passage {
    /// Of a body that takes so many bytes if it is not kept.
    pub(super) const fn of(bytes: u64) -> Self {
        Self { bytes, reserved: None, patience: HELD_UP_MAX }
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
        let Some(place) = self.compressing.place() else {
            // Left as it is, and stored so: a variant like the others, only longer.
            compress.confirm(fields);
            self.counters.left_uncompressed();
            return None;
        };
        let coding = compress.apply(&*seen, status, fields)?;
        self.counters.compressed();
        Some(Coder::new(coding, length, place))
    }

    /// Brings a body to its end, or the flight.
    pub(super) async fn carry(
        &self,
        mut pilot: Pilot,
        mut source: Source,
        coder: Option<Coder>,
        passage: Passage,
    ) {
        match self.carry_all(&mut pilot, &mut source, coder, passage).await {
            Ok(trailers) => pilot.land(trailers),
            Err(Broken::Origin(failure)) => {
                self.counters.origin_failure();
                pilot.fail(failure);
            }
            Err(Broken::NoRoom) => pilot.fail(Failure::NoRoom),
            Err(Broken::Here) => pilot.fail(Failure::GivenUp),
            Err(Broken::Unwanted) => {}
        }
    }

    async fn carry_all(
        &self,
        pilot: &mut Pilot,
        source: &mut Source,
        mut coder: Option<Coder>,
        mut passage: Passage,
    ) -> Result<Option<HeaderMap>, Broken> {
        let mut trailer = None;
        loop {
            let holds_back = coder.as_ref().is_some_and(|coder| coder.holds_back);
            let frame = tokio::select! {
                biased;
                frame = source.frame() => frame,
                () = pilot.abandoned() => return Err(Broken::Unwanted),
                () = tokio::time::sleep(HOLD_BACK), if holds_back => {
                    let held = coder.as_mut().map(Coder::flush).transpose()?.unwrap_or_default();
                    self.push(pilot, &held, &mut passage).await?;
                    continue;
                }
            };
            let Some(frame) = frame.map_err(Broken::Origin)? else { break };
            match (frame.into_data(), &mut coder) {
                (Ok(data), None) => self.push(pilot, &data, &mut passage).await?,
                (Ok(mut data), Some(coder)) => {
                    while !data.is_empty() {
                        let piece = data.split_to(data.len().min(PIECE));
                        let out = coder.write(piece, &self.compressing.elsewhere).await?;
                        self.push(pilot, &out, &mut passage).await?;
                        tokio::task::yield_now().await;
                    }
                }
                (Err(other), _) => {
                    let admitted = other.into_trailers().map(|all| trailers::admissible(&all));
                    trailer = admitted.ok();
                }
            }
        }
        if let Some(coder) = coder {
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
