//! Content that is not all there yet: it comes from a flight, slice by slice, or from the disk.

use std::{
    future::poll_fn,
    io::IoSlice,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use nigh_cache::{
    flight::{Reader, Truncated},
    range::Span,
    run::Run,
};

use super::{pieces::Pieces, slices::Slices};

/// A piece of content, read without copying.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Fetched, or read.
    Bytes(Bytes),
    /// From memory.
    Run(Run),
}

/// Content on its way.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// What a flight brings, or only a range of it.
    Flight(Cut),
    /// Slices of a stored object.
    Slices(Box<Slices>),
    /// A body on the disk.
    Pieces(Box<Pieces>),
}

/// The part of a flight's body that was asked for.
#[derive(Debug)]
pub(crate) struct Cut {
    reader: Reader,
    skip: u64,
    /// Bytes that are still to come; `None` for all there are.
    left: Option<u64>,
}

impl Incoming {
    /// What `reader` brings, or `range` of it.
    pub(crate) fn flight(reader: Reader, range: Option<Span>) -> Self {
        let skip = range.map_or(0, |range| range.start);
        Self::Flight(Cut { reader, skip, left: range.map(Span::len) })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// If the content broke off.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk>, Truncated>> {
        match self {
            Self::Flight(cut) => cut.poll_chunk(cx).map_ok(|bytes| bytes.map(Chunk::Bytes)),
            Self::Slices(slices) => slices.poll_chunk(cx),
            Self::Pieces(pieces) => pieces.poll_chunk(cx),
        }
    }

    /// [`Self::poll_chunk`] as a future.
    ///
    /// # Errors
    /// If the content broke off.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Chunk>, Truncated> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The trailer fields, once all of a body has come.
    pub(crate) fn trailers(&self) -> Option<Arc<HeaderMap>> {
        match self {
            Self::Flight(cut) if cut.left.is_none() => cut.reader.trailers(),
            Self::Flight(_) | Self::Slices(_) | Self::Pieces(_) => None,
        }
    }
}

impl Cut {
    fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, Truncated>> {
        loop {
            if self.left == Some(0) {
                return Poll::Ready(Ok(None));
            }
            let Some(mut bytes) = ready!(self.reader.poll_chunk(cx))? else {
                return Poll::Ready(if self.left.is_none() { Ok(None) } else { Err(Truncated) });
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            bytes.advance(skipped);
            self.skip -= skipped as u64;
            if let Some(left) = &mut self.left {
                bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= bytes.len() as u64;
            }
            if !bytes.is_empty() {
                return Poll::Ready(Ok(Some(bytes)));
            }
        }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.remaining(),
            Self::Run(run) => run.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.chunk(),
            Self::Run(run) => run.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.chunks_vectored(slices),
            Self::Run(run) => run.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Run(run) => run.advance(count),
        }
    }
}
