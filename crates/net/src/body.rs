//! A request's body on its way from a client to the origin: passed on as it comes, at the pace of
//! the slower of the two.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use hyper::body::{Body, Frame, SizeHint};
use nigh_edge::site::Rule;
use tokio::{sync::mpsc, time::Instant};

use crate::{flow::KeptUp, http1::trailers, service::Limits, sites::Route};

/// Parts of a body that may wait between client and origin. One more is read only when one went.
const WAITING_PARTS: usize = 2;

/// Why a request's body did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyBroken {
    /// It broke off or was malformed.
    #[error("the request's body broke off")]
    Off,
    /// More came than is accepted.
    #[error("the request's body is too long")]
    TooLong,
    /// Behind it stood a field that is not taken.
    #[error("the request's trailers have a field that is not taken")]
    FieldRefused,
}

/// What has become of a body, for whoever waits for the answer to its request.
#[derive(Debug)]
pub(crate) struct Progress {
    kept: Cell<KeptUp>,
    /// Bytes a second below which nothing moves.
    least: u64,
    broken: Cell<Option<BodyBroken>>,
    complete: Cell<bool>,
    wanted: Cell<bool>,
}

impl Progress {
    fn new(least: u64) -> Rc<Self> {
        Rc::new(Self {
            kept: Cell::new(KeptUp::from(Instant::now())),
            least,
            broken: Cell::new(None),
            complete: Cell::new(false),
            wanted: Cell::new(false),
        })
    }

    /// When the body last came fast enough, or its end did.
    pub(crate) fn moved(&self) -> Instant {
        self.kept.get().at()
    }

    /// Why it did not come to its end, if that is known already.
    pub(crate) fn broken(&self) -> Option<BodyBroken> {
        self.broken.get()
    }

    /// Whether it came to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.get()
    }

    /// Whether the origin would take more of it than the client has sent.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// Notes what came.
    fn note(&self, part: Noted) -> Noted {
        let now = Instant::now();
        let mut kept = self.kept.get();
        match part.as_ref().and_then(|part| part.as_ref().ok()?.data_ref()) {
            Some(data) => drop(kept.moved(data.len(), self.least, now)),
            None => kept = KeptUp::from(now),
        }
        self.kept.set(kept);
        self.wanted.set(false);
        if part.is_none() {
            self.complete.set(true);
        }
        if let Some(Err(broken)) = part {
            self.broken.set(Some(broken));
        }
        part
    }
}

/// What came, for whoever asked.
type Noted = Option<Result<Frame<Bytes>, BodyBroken>>;

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
        /// What has become of it.
        progress: Rc<Progress>,
    },
    /// An HTTP/2 stream's body.
    Stream {
        /// The stream.
        incoming: RecvStream,
        /// Its length, where the client said so.
        length: Option<u64>,
        /// Bytes that may still come.
        left: u64,
        /// Whose rule its trailers are held to.
        route: Route,
        /// What has become of it.
        progress: Rc<Progress>,
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
        (pump, Self::Pumped { parts, ended: false, length, progress: Progress::new(0) })
    }

    /// A body from an HTTP/2 stream, within these limits and under the rule of its request.
    pub(crate) fn stream(
        incoming: RecvStream,
        length: Option<u64>,
        limits: &Limits,
        route: Route,
    ) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        let progress = Progress::new(limits.min_rate);
        Self::Stream { incoming, length, left: limits.body_bytes, route, progress }
    }

    /// Whether there is no body at all.
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether trailers may follow: over HTTP/2 always, over HTTP/1 behind chunks only.
    pub(crate) const fn may_have_trailers(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Pumped { length, .. } => length.is_none(),
            Self::Stream { .. } => true,
        }
    }

    /// What becomes of it; `None` if there is nothing to move.
    pub(crate) fn progress(&self) -> Option<Rc<Progress>> {
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
            Self::Empty | Self::Pumped { ended: true, .. } => Poll::Ready(None),
            Self::Pumped { parts, ended, progress, .. } => {
                progress.wanted.set(true);
                let part = match ready!(parts.poll_recv(cx)) {
                    Some(Part::Frame(frame)) => Some(Ok(frame)),
                    Some(Part::End) => {
                        *ended = true;
                        None
                    }
                    Some(Part::Broken) | None => Some(Err(BodyBroken::Off)),
                };
                Poll::Ready(progress.note(part))
            }
            Self::Stream { incoming, left, route, progress, .. } => loop {
                progress.wanted.set(true);
                let part = match ready!(poll_stream(incoming, cx)) {
                    None => None,
                    Some(Err(_)) => Some(Err(BodyBroken::Off)),
                    Some(Ok(frame)) => match admit(frame, left, route.rule()).transpose() {
                        None => continue,
                        admitted => admitted,
                    },
                };
                // Its reader may ask no further.
                progress.complete.set(incoming.is_end_stream());
                break Poll::Ready(progress.note(part));
            },
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
            Self::Pumped { length, .. } | Self::Stream { length, .. } => {
                length.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

/// The next of a stream's content, or its trailers.
fn poll_stream(
    incoming: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
    if let Some(data) = ready!(incoming.poll_data(cx)) {
        return Poll::Ready(Some(data.and_then(|data| {
            // It is taken on: the client may send as much again.
            incoming.flow_control().release_capacity(data.len())?;
            Ok(Frame::data(data))
        })));
    }
    let trailers = ready!(incoming.poll_trailers(cx)).transpose();
    Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
}

/// What of a frame goes to the origin: content within the limit, and trailers that may be passed on
/// under `rule`. `None` if nothing of it does.
fn admit(
    frame: Frame<Bytes>,
    left: &mut u64,
    rule: &Rule,
) -> Result<Option<Frame<Bytes>>, BodyBroken> {
    match frame.into_data() {
        Ok(data) => {
            *left = left.checked_sub(data.len() as u64).ok_or(BodyBroken::TooLong)?;
            Ok(Some(Frame::data(data)))
        }
        Err(other) => {
            let Ok(mut all) = other.into_trailers() else { return Ok(None) };
            // What goes no further is refused as what would.
            rule.admit_trailers(&mut all).map_err(|_| BodyBroken::FieldRefused)?;
            let kept = trailers::admissible(&all);
            Ok((!kept.is_empty()).then(|| Frame::trailers(kept)))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_body_that_outgrows_its_limit_says_so() {
        let (mut left, rule) = (5, Rule::default());
        assert!(admit(Frame::data(Bytes::from_static(b"abc")), &mut left, &rule).is_ok());
        let more = admit(Frame::data(Bytes::from_static(b"def")), &mut left, &rule);
        assert_eq!(more.err(), Some(BodyBroken::TooLong));
    }

    #[test]
    fn trailers_are_passed_on_if_they_may_be() {
        let mut map = HeaderMap::new();
        map.insert("x-sum", HeaderValue::from_static("1"));
        map.insert("authorization", HeaderValue::from_static("me"));
        let rule = Rule::default();
        let frame = admit(Frame::trailers(map.clone()), &mut 0, &rule).unwrap().unwrap();
        let passed = frame.into_trailers().unwrap();
        assert!(passed.contains_key("x-sum") && !passed.contains_key("authorization"));
        map.remove("x-sum");
        assert!(admit(Frame::trailers(map), &mut 0, &rule).unwrap().is_none());
    }

    #[test]
    fn a_pump_that_goes_away_is_no_end() {
        let (pump, mut body) = RequestBody::pumped(None);
        let progress = body.progress().unwrap();
        drop(pump);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(Err(broken))) = Pin::new(&mut body).poll_frame(&mut cx) else {
            panic!("an error was expected");
        };
        assert_eq!((broken, progress.broken()), (BodyBroken::Off, Some(BodyBroken::Off)));
    }
}
