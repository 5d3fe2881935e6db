//! What the streams of one connection are doing, and when the connection has waited long enough.

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::time::Instant;

use crate::{flow::KeptUp, service::Limits};

/// How long a connection on which nothing is open may take to end once it was told to.
const GOODBYE: Duration = Duration::from_secs(5);

/// Requests that a client may withdraw before they are answered, beyond those that it let be answered:
/// withdrawing is cheap for it and costs us and the origin a request (the "rapid reset" of 2023).
const WITHDRAWN_MAX: u32 = 200;

/// What a connection's streams are doing.
#[derive(Debug)]
pub(super) struct Streams {
    /// Answers that are being worked out or are on their way.
    open: Cell<usize>,
    /// Pieces of content that wait for the client to take them.
    waiting: Cell<usize>,
    /// Whether there was a request at all.
    asked: Cell<bool>,
    /// Requests that were withdrawn, less those that were answered.
    withdrawn: Cell<u32>,
    /// While pieces wait: when they last moved fast enough. Else, while no stream is open: since when.
    kept: Cell<KeptUp>,
    /// Bytes a second below which they do not.
    least: u64,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// No new streams: the client is told.
    Goodbye,
    /// Nothing more is waited for.
    End,
}

impl Streams {
    pub(super) fn new(least: u64) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            waiting: Cell::new(0),
            asked: Cell::new(false),
            withdrawn: Cell::new(0),
            kept: Cell::new(KeptUp::from(Instant::now())),
            least,
        })
    }

    /// What is to be done next and when, if nothing moves until then; `told` is when the client was
    /// told that the connection ends, `stuck` since when nothing could be sent of what has to be.
    pub(super) fn next(
        &self,
        told: Option<Instant>,
        stuck: Option<Instant>,
        limits: &Limits,
    ) -> Option<(Instant, Step)> {
        let moved = self.kept.get().at();
        if let Some(stuck) = stuck {
            return Some((stuck + limits.write_time, Step::End));
        }
        if self.open.get() > 0 {
            // The origin, the client's body, long content: all have limits of their own.
            return None;
        }
        if self.waiting.get() > 0 {
            return Some((moved + limits.write_time, Step::End));
        }
        Some(match told {
            Some(told) => (told.max(moved) + GOODBYE, Step::End),
            None if self.asked.get() => (moved + limits.idle_time, Step::Goodbye),
            None => (moved + limits.head_time, Step::Goodbye),
        })
    }

    /// A stream was opened; it is open until what is answered is dropped.
    pub(super) fn open(self: &Rc<Self>) -> Open {
        self.asked.set(true);
        self.open.set(self.open.get() + 1);
        Open(Rc::clone(self))
    }

    /// A piece of a stream's content was made; it waits until it is dropped.
    pub(super) fn piece(self: &Rc<Self>) -> Waiting {
        // More content is no progress while older content is stuck.
        if self.waiting.get() == 0 {
            self.restart();
        }
        self.waiting.set(self.waiting.get() + 1);
        Waiting(Rc::clone(self))
    }

    /// A request was answered.
    pub(super) fn answered(&self) {
        self.withdrawn.set(self.withdrawn.get().saturating_sub(1));
    }

    /// The client withdrew a request.
    pub(super) fn withdrew(&self) {
        self.withdrawn.set(self.withdrawn.get() + 1);
    }

    /// Whether the client withdraws more than is sensible.
    pub(super) fn is_abused(&self) -> bool {
        self.withdrawn.get() > WITHDRAWN_MAX
    }

    /// Whether content waits for the client to take it.
    pub(super) fn are_waited_for(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Bytes a second below which the client is too slow.
    pub(super) const fn least(&self) -> u64 {
        self.least
    }

    fn restart(&self) {
        self.kept.set(KeptUp::from(Instant::now()));
    }

    /// Whether nothing is asked for, and nothing on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.open.get() == 0 && self.waiting.get() == 0
    }
}

/// Holds a stream open.
#[derive(Debug)]
pub(super) struct Open(Rc<Streams>);

impl Open {}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if self.0.is_quiet() {
            self.0.restart();
        }
    }
}

/// Goes with a piece of content until the last of it was written.
#[derive(Debug)]
pub(super) struct Waiting(Rc<Streams>);

impl Waiting {
    /// Some of it was written.
    pub(super) fn moved(&self, bytes: usize) {
        let mut kept = self.0.kept.get();
        kept.moved(bytes, self.0.least, Instant::now());
        self.0.kept.set(kept);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        if self.0.is_quiet() {
            self.0.restart();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Streams, and when they began.
    fn begun() -> (Rc<Streams>, Instant) {
        let streams = Streams::new(0);
        let begun = streams.kept.get().at();
        (streams, begun)
    }

    #[test]
    fn a_connection_without_a_request_is_told_then_ended() {
        let (streams, begun) = begun();
        let limits = Limits::default();
        let told = begun + limits.head_time;
        assert_eq!(streams.next(None, None, &limits), Some((told, Step::Goodbye)));
        assert_eq!(streams.next(Some(told), None, &limits), Some((told + GOODBYE, Step::End)));
    }

    #[test]
    fn a_connection_is_idle_from_the_end_of_its_last_stream() {
        let (streams, _) = begun();
        let limits = Limits::default();
        let (first, second) = (streams.open(), streams.open());
        drop(first);
        assert_eq!(streams.next(None, None, &limits), None);
        assert_eq!(streams.next(Some(Instant::now()), None, &limits), None);
        drop(second);
        let idle = streams.kept.get().at() + limits.idle_time;
        assert_eq!(streams.next(None, None, &limits), Some((idle, Step::Goodbye)));
    }

    #[test]
    fn a_client_may_withdraw_many_requests_if_it_lets_others_be_answered() {
        let (streams, _) = begun();
        for _ in 0..WITHDRAWN_MAX * 2 {
            streams.withdrew();
            streams.answered();
        }
        (0..WITHDRAWN_MAX).for_each(|_| streams.withdrew());
        assert!(!streams.is_abused());
        streams.withdrew();
        assert!(streams.is_abused());
    }

    #[test]
    fn content_that_nobody_takes_ends_the_connection() {
        let (streams, _) = begun();
        let limits = Limits::default();
        let open = streams.open();
        let piece = streams.piece();
        // The whole content was handed over; it still waits.
        let other = streams.open();
        drop(open);
        let stuck = streams.kept.get().at();
        assert_eq!(streams.next(None, None, &limits), None, "something else is going on");
        // Neither another stream nor its content is progress.
        let more = streams.piece();
        drop(other);
        assert_eq!(streams.kept.get().at(), stuck);
        assert_eq!(streams.next(None, None, &limits), Some((stuck + limits.write_time, Step::End)));
        while Instant::now() == stuck {}
        piece.moved(1);
        assert!(streams.kept.get().at() > stuck);
        drop((piece, more));
        assert!(matches!(streams.next(None, None, &limits), Some((_, Step::Goodbye))));
    }
}
