//! A request's body on its way from a client to the origin: passed on as it comes, at the pace of
//! the slower of the two.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

/// Parts of a body that may wait between client and origin. One more is read only when one went.
const WAITING_PARTS: usize = 2;

/// The client's body broke off, was malformed or too long.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request's body broke off")]
pub(crate) struct BodyBroken;

/// The body of a request to the origin.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// There is none.
    Empty,
    /// Read from an HTTP/1 connection by its own task.
    Pumped {
        /// What was read; the end is said, so that a reader who went away is no end.
        parts: mpsc::Receiver<Part>,
        /// The end was said.
        ended: bool,
        /// Its length, where the client said so.
        length: Option<u64>,
        /// When it last moved.
        progress: Rc<Cell<Instant>>,
    },
    /// An HTTP/2 stream's body.
    Stream {
        /// The stream.
        incoming: Incoming,
        /// When it last moved.
        progress: Rc<Cell<Instant>>,
        /// Bytes that may still come.
        left: u64,
        /// Set when more came.
        too_long: Rc<Cell<bool>>,
    },
}

/// What a pump brings.
#[derive(Debug)]
pub(crate) enum Part {
    /// Content, or trailers.
    Frame(Frame<Bytes>),
    /// The body is complete.
    End,
    /// It broke off.
    Broken,
}

/// The other end of [`RequestBody::Pumped`].
pub(crate) type Pump = mpsc::Sender<Part>;

impl RequestBody {
    /// A body that a task pumps.
    pub(crate) fn pumped(length: Option<u64>) -> (Pump, Self) {
        let (pump, parts) = mpsc::channel(WAITING_PARTS);
        (
            pump,
            Self::Pumped {
                parts,
                ended: false,
                length,
                progress: Rc::new(Cell::new(Instant::now())),
            },
        )
    }

    /// A body from an HTTP/2 stream, of at most `limit` bytes; `too_long` says whether more came.
    pub(crate) fn stream(incoming: Incoming, limit: u64, too_long: Rc<Cell<bool>>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream { incoming, progress: Rc::new(Cell::new(Instant::now())), left: limit, too_long }
    }

    /// Whether there is no body at all.
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// When it last moved; `None` if there is nothing to move.
    pub(crate) fn progress(&self) -> Option<Rc<Cell<Instant>>> {
        match self {
            Self::Empty => None,
            Self::Pumped { progress, .. } | Self::Stream { progress, .. } => {
                Some(Rc::clone(progress))
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyBroken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyBroken>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Pumped { ended: true, .. } => Poll::Ready(None),
            Self::Pumped { parts, ended, progress, .. } => {
                progress.set(Instant::now());
                parts.poll_recv(cx).map(|part| match part {
                    Some(Part::Frame(frame)) => Some(Ok(frame)),
                    Some(Part::End) => {
                        *ended = true;
                        None
                    }
                    Some(Part::Broken) | None => Some(Err(BodyBroken)),
                })
            }
            Self::Stream { incoming, progress, left, too_long } => {
                progress.set(Instant::now());
                Pin::new(incoming).poll_frame(cx).map(|frame| {
                    frame.map(|frame| {
                        let frame = frame.map_err(|_| BodyBroken)?;
                        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                        *left = left.checked_sub(length).ok_or_else(|| {
                            too_long.set(true);
                            BodyBroken
                        })?;
                        Ok(frame)
                    })
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Pumped { .. } => false,
            Self::Stream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Pumped { length, .. } => {
                length.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Self::Stream { incoming, .. } => incoming.size_hint(),
        }
    }
}
