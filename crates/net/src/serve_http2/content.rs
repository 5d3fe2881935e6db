//! Content on its way into an HTTP/2 stream.

use std::{cell::Cell, convert::Infallible, io::IoSlice, rc::Rc, time::Duration};

use bytes::{Buf, Bytes};
use nigh_edge::reply::Content;
use tokio::{sync::oneshot, time::Instant};

use super::streams::{Streams, Waiting};
use crate::{flow::KeptUp, service::Chunk};

/// Content that is there already.
#[derive(Debug)]
pub(super) enum Data {
    /// From the store.
    Stored(Content),
    /// As it comes.
    Chunk(Chunk),
    /// Our own words.
    Bytes(Bytes),
}

/// Content that was handed to the connection: it is advanced as the client lets it go, and tells
/// so.
#[derive(Debug)]
pub(super) struct Piece {
    data: Data,
    waiting: Waiting,
    watched: Option<Watched>,
}

/// The end of a watch that is within the piece.
#[derive(Debug)]
struct Watched {
    kept: Rc<Cell<KeptUp>>,
    least: u64,
    _gone: oneshot::Sender<Infallible>,
}

/// Watches over a piece from without.
#[derive(Debug)]
pub(super) struct Watch {
    kept: Rc<Cell<KeptUp>>,
    gone: oneshot::Receiver<Infallible>,
}

impl Piece {
    pub(super) fn new(data: Data, streams: &Rc<Streams>) -> Self {
        Self { data, waiting: streams.piece(), watched: None }
    }

    /// A piece, and how it fares.
    pub(super) fn watched(data: Data, streams: &Rc<Streams>) -> (Self, Watch) {
        let (held, gone) = oneshot::channel();
        let kept = Rc::new(Cell::new(KeptUp::from(Instant::now())));
        let watched = Watched { kept: Rc::clone(&kept), least: streams.least(), _gone: held };
        let piece = Self { data, waiting: streams.piece(), watched: Some(watched) };
        (piece, Watch { kept, gone })
    }
}

impl Watch {
    /// Waits until the client has taken the piece, or wants it no more; false if it did not keep up for
    /// `limit`.
    pub(super) async fn moves(mut self, limit: Duration) -> bool {
        loop {
            let due = self.kept.get().at() + limit;
            if tokio::time::timeout_at(due, &mut self.gone).await.is_ok() {
                return true;
            }
            if self.kept.get().at() + limit == due {
                return false;
            }
        }
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        match self {
            Self::Stored(content) => content.remaining(),
            Self::Chunk(chunk) => chunk.remaining(),
            Self::Bytes(bytes) => bytes.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Stored(content) => content.chunk(),
            Self::Chunk(chunk) => chunk.chunk(),
            Self::Bytes(bytes) => bytes.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Stored(content) => content.chunks_vectored(slices),
            Self::Chunk(chunk) => chunk.chunks_vectored(slices),
            Self::Bytes(bytes) => bytes.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Stored(content) => content.advance(count),
            Self::Chunk(chunk) => chunk.advance(count),
            Self::Bytes(bytes) => bytes.advance(count),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.waiting.moved(count);
        if let Some(watched) = &self.watched {
            let mut kept = watched.kept.get();
            kept.moved(count, watched.least, Instant::now());
            watched.kept.set(kept);
        }
        self.data.advance(count);
    }
}
