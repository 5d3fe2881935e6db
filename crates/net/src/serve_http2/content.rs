//! Content on its way into an HTTP/2 stream.

use std::{io::IoSlice, rc::Rc};

use bytes::{Buf, Bytes};
use nigh_edge::reply::Content;

use super::streams::{Streams, Waiting};

/// Content that is there already.
#[derive(Debug)]
pub(super) enum Data {
    /// From the store.
    Stored(Content),
    /// Fetched, or our own words.
    Bytes(Bytes),
}

/// Content that was handed to the connection: it is advanced as the client lets it go, and tells
/// so.
#[derive(Debug)]
pub(super) struct Piece {
    data: Data,
    waiting: Waiting,
}

impl Piece {
    pub(super) fn new(data: Data, streams: &Rc<Streams>) -> Self {
        Self { data, waiting: streams.piece() }
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        match self {
            Self::Stored(content) => content.remaining(),
            Self::Bytes(bytes) => bytes.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Stored(content) => content.chunk(),
            Self::Bytes(bytes) => bytes.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Stored(content) => content.chunks_vectored(slices),
            Self::Bytes(bytes) => bytes.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Stored(content) => content.advance(count),
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
        self.waiting.moved();
        self.data.advance(count);
    }
}
