//! Reading a body that lies on the disk: some pieces at a time, each checked before a byte of it is
//! used.

use std::{
    io,
    ops::Range,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use nigh_cache::{
    disk::{Beneath, WAITS_MAX},
    object::Object,
    range::Span,
    store::Store,
};
use tokio::task::JoinHandle;
use tracing::debug;

use super::{Disk, buffers::Buffer, files::Segment};

/// A part of a body, on its way from the disk. It holds the file: a segment that leaves meanwhile can
/// be read to the end.
#[derive(Debug)]
pub(crate) struct Reading {
    disk: Arc<Disk>,
    store: Arc<Store>,
    object: Object,
    segment: Arc<Segment>,
    /// The next byte, and the one behind the last.
    at: u64,
    end: u64,
    waiting: Option<Waiting>,
    /// The device was waited for.
    waited: bool,
    counted: bool,
}

/// A read that a thread does which may wait.
#[derive(Debug)]
struct Waiting {
    thread: JoinHandle<io::Result<Buffer>>,
    pieces: Range<usize>,
}

/// The body is not there any more, or not what was written. It was counted, and the object has left the
/// memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// How a thread reads what the kernel does not have.
enum Way {
    /// Past the page cache.
    Direct,
    /// Through the page cache, into which the kernel may be reading it already.
    Cached,
}

/// What became of a read that does not wait.
enum Tried {
    Read(Buffer, Range<usize>),
    /// The kernel does not have it in memory.
    Waits(Buffer, Range<usize>, Way),
}

impl Reading {
    /// Begins to read bytes of the body of `object`, which lies beneath `store` on `disk`.
    pub(crate) fn new(
        disk: &Arc<Disk>,
        store: &Arc<Store>,
        object: &Object,
        bytes: Range<u64>,
    ) -> Result<Self, Lost> {
        let segment = match object.beneath() {
            Some(beneath) => disk.files.segment(beneath.place().segment, false),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        match segment {
            Ok(segment) => Ok(Self {
                disk: Arc::clone(disk),
                store: Arc::clone(store),
                object: object.clone(),
                segment,
                at: bytes.start,
                end: bytes.end,
                waiting: None,
                waited: false,
                counted: false,
            }),
            Err(error) => Err(disk.lose(store, object, Some(error))),
        }
    }

    /// All of it, if one read gives it and that need not wait.
    pub(crate) fn now(&mut self) -> Result<Option<Bytes>, Lost> {
        if self.pieces().len() > Buffer::pieces_max() {
            return Ok(None);
        }
        let whole = self.pieces();
        match self.try_read()? {
            Tried::Read(buffer, pieces) if pieces == whole => {
                self.checked(buffer, &pieces).map(Some)
            }
            Tried::Read(..) | Tried::Waits(..) => Ok(None),
        }
    }

    /// The next bytes; `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        if self.waiting.is_none() {
            if self.at == self.end {
                return Poll::Ready(Ok(None));
            }
            match self.try_read()? {
                Tried::Read(buffer, pieces) => {
                    return Poll::Ready(self.checked(buffer, &pieces).map(Some));
                }
                Tried::Waits(buffer, pieces, way) => self.wait(buffer, pieces, way),
            }
        }
        let waiting = self.waiting.as_mut().expect("just begun, or before");
        let read = ready!(Pin::new(&mut waiting.thread).poll(cx));
        let pieces = waiting.pieces.clone();
        self.waiting = None;
        Poll::Ready(match read.map_err(io::Error::other).flatten() {
            Ok(buffer) => self.checked(buffer, &pieces).map(Some),
            Err(error) => Err(self.lost(Some(error))),
        })
    }

    /// Goes on with other bytes of the body.
    pub(crate) const fn go_on(&mut self, span: Span) {
        (self.at, self.end) = (span.start, span.end);
    }

    fn beneath(&self) -> &Beneath {
        self.object.beneath().expect("its body lies on the disk")
    }

    /// The pieces that are still wanted.
    fn pieces(&self) -> Range<usize> {
        self.beneath().pieces(Span { start: self.at, end: self.end })
    }

    fn try_read(&self) -> Result<Tried, Lost> {
        let mut pieces = self.pieces();
        pieces.end = pieces.end.min(pieces.start + Buffer::pieces_max());
        let span = self.beneath().span(&pieces);
        let length = usize::try_from(span.len()).expect("a few pieces");
        let offset = self.beneath().offset(span.start);
        let mut buffer = Buffer::take(offset, length);
        if self.beneath().waits() < WAITS_MAX
            && self.segment.is_cached(offset, length) == Some(false)
        {
            return Ok(Tried::Waits(buffer, pieces, Way::Direct));
        }
        let read = self.segment.read_now(&mut buffer, offset);
        let read = read.map_err(|error| self.lost(Some(error)))?;
        if read == length {
            return Ok(Tried::Read(buffer, pieces));
        }
        // Not in memory, or not all of it.
        let first = pieces.start..pieces.start + 1;
        let piece = usize::try_from(self.beneath().span(&first).len()).expect("a piece");
        let whole = read / piece;
        if whole == 0 {
            return Ok(Tried::Waits(buffer, pieces, Way::Cached));
        }
        buffer.cut(0..whole * piece);
        pieces.end = pieces.start + whole;
        Ok(Tried::Read(buffer, pieces))
    }

    fn wait(&mut self, mut buffer: Buffer, pieces: Range<usize>, way: Way) {
        let is_first = !std::mem::replace(&mut self.waited, true);
        if is_first && self.beneath().was_waited_for().is_multiple_of(WAITS_MAX) {
            self.promote();
        }
        let offset = self.beneath().offset(self.beneath().span(&pieces).start);
        let segment = Arc::clone(&self.segment);
        let thread = tokio::task::spawn_blocking(move || {
            match way {
                Way::Direct => segment.read_direct(&mut buffer, offset)?,
                Way::Cached => segment.read(&mut buffer, offset)?,
            }
            Ok(buffer)
        });
        self.waiting = Some(Waiting { thread, pieces });
    }

    /// What is wanted of these pieces, if they are what was written.
    fn checked(&mut self, mut buffer: Buffer, pieces: &Range<usize>) -> Result<Bytes, Lost> {
        if !self.beneath().holds(pieces, &buffer) {
            return Err(self.lost(None));
        }
        let span = self.beneath().span(pieces);
        let place = |byte: u64| usize::try_from(byte - span.start).expect("within the buffer");
        let end = span.end.min(self.end);
        buffer.cut(place(self.at)..place(end));
        self.at = end;
        if !std::mem::replace(&mut self.counted, true) {
            self.disk.read.fetch_add(1, Ordering::Relaxed);
            self.store.body_is_read(&self.object);
        }
        Ok(Bytes::from_owner(buffer))
    }

    /// Brings all of the body into memory, if that has room for it.
    fn promote(&self) {
        let (disk, store) = (Arc::clone(&self.disk), Arc::clone(&self.store));
        let object = self.object.clone();
        tokio::spawn(async move {
            let Some(mut promotion) = store.promotion(&object) else { return };
            let whole = 0..object.length().unwrap_or(0);
            let Ok(mut reading) = Self::new(&disk, &store, &object, whole) else { return };
            (reading.counted, reading.waited) = (true, true);
            loop {
                match std::future::poll_fn(|cx| reading.poll_bytes(cx)).await {
                    Ok(Some(bytes)) => promotion.push(&bytes),
                    Ok(None) => return promotion.finish(&store),
                    Err(Lost) => return,
                }
            }
        });
    }

    fn lost(&self, error: Option<io::Error>) -> Lost {
        self.disk.lose(&self.store, &self.object, error)
    }
}

impl Disk {
    /// The body of `object` cannot be read, or is not what was written.
    fn lose(&self, store: &Store, object: &Object, error: Option<io::Error>) -> Lost {
        store.body_is_lost(object);
        if let Some(beneath) = object.beneath() {
            match error {
                None => self.forget(beneath.place(), &self.damaged, "is damaged"),
                // Its segment has left, and perhaps it lies in another one now.
                Some(_) if !self.queue.index().holds(beneath.place()) => {}
                Some(error) => {
                    debug!(%error, "a read of the disk store failed");
                    self.forget(beneath.place(), &self.unreadable, "cannot be read");
                }
            }
        }
        Lost
    }
}
