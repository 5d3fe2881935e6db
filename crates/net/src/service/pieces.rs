//! Answers from bodies that lie on the disk, piece by piece: docs/disk.md.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    ops::Range,
    task::{Context, Poll, ready},
};

use nigh_cache::{flight::Truncated, object::Object};
use nigh_edge::{
    plan::Hit,
    reply::{Content, Part},
};

use super::{Answer, Incoming, Service, incoming::Chunk};
use crate::disk::{Lost, Reading};

/// What became of bringing the content of a hit together at once.
pub(super) enum Gathered {
    /// It is there.
    Whole(Hit),
    /// Somebody else has to be waited for, or it is too much at once.
    Later(Hit),
    /// What was stored is not there any more.
    Lost,
}

/// The content of an answer, as it comes from the disk.
pub(crate) struct Pieces {
    reading: Reading,
    /// What comes after it.
    parts: VecDeque<Part>,
    /// Read already, to know that there is something to send.
    first: VecDeque<Chunk>,
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}

impl Service {
    /// The content of a hit, if all of it can be had at once and is not too much.
    pub(super) fn gather(&self, mut hit: Hit) -> Gathered {
        let Content::Awaited(span) = hit.reply.content else { return Gathered::Later(hit) };
        if hit.object.beneath().is_none() {
            return match self.gather_slices(&hit) {
                Some(content) => {
                    hit.reply.content = content;
                    Gathered::Whole(hit)
                }
                None => Gathered::Later(hit),
            };
        }
        let reading = self.read(&hit.object, span.start..span.end);
        match reading.and_then(|mut reading| reading.now()) {
            Ok(Some(bytes)) => {
                hit.reply.content = Content::Bytes(bytes);
                hit.status.detail.get_or_insert("disk");
                Gathered::Whole(hit)
            }
            Ok(None) => Gathered::Later(hit),
            Err(Lost) => Gathered::Lost,
        }
    }

    /// Begins to read bytes of a body that lies on the disk.
    pub(super) fn read(&self, object: &Object, bytes: Range<u64>) -> Result<Reading, Lost> {
        match &self.disk {
            Some(disk) => Reading::new(disk, &self.store, object, bytes),
            None => {
                self.store.body_is_lost(object);
                Err(Lost)
            }
        }
    }

    /// Begins an answer from the disk: waits for its first bytes. `None` if they are not there.
    pub(super) async fn bring_from_disk(&self, mut hit: Hit) -> Option<Answer> {
        hit.status.detail.get_or_insert("disk");
        let (bytes, parts) = match std::mem::replace(&mut hit.reply.content, Content::Empty) {
            Content::Awaited(span) => (span.start..span.end, VecDeque::new()),
            Content::AwaitedParts(parts) => (0..0, parts),
            content => {
                hit.reply.content = content;
                return Some(Answer::Stored(hit));
            }
        };
        // Before the first bytes of a range stands its head.
        let needed = if parts.is_empty() { 1 } else { 2 };
        let reading = self.read(&hit.object, bytes).ok()?;
        let mut pieces = Box::new(Pieces { reading, parts, first: VecDeque::new() });
        let mut first = VecDeque::with_capacity(needed);
        while first.len() < needed {
            let chunk = poll_fn(|cx| pieces.poll_chunk(cx)).await.ok()?;
            first.push_back(chunk?);
        }
        pieces.first = first;
        Some(Answer::Gathered(hit, Incoming::Pieces(pieces)))
    }
}

impl Pieces {
    /// The next bytes; `None` at the end.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk>, Truncated>> {
        if let Some(first) = self.first.pop_front() {
            return Poll::Ready(Ok(Some(first)));
        }
        loop {
            match ready!(self.reading.poll_bytes(cx)) {
                Ok(Some(bytes)) => return Poll::Ready(Ok(Some(Chunk::Bytes(bytes)))),
                Ok(None) => {}
                Err(Lost) => return Poll::Ready(Err(Truncated)),
            }
            match self.parts.pop_front() {
                None => return Poll::Ready(Ok(None)),
                Some(Part::Delimiter(bytes)) => {
                    return Poll::Ready(Ok(Some(Chunk::Bytes(bytes))));
                }
                Some(Part::Run(run)) => return Poll::Ready(Ok(Some(Chunk::Run(run)))),
                Some(Part::Awaited(span)) => self.reading.go_on(span),
            }
        }
    }
}
