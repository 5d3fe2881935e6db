//! Requests that came while earlier ones are still worked on: what must be asked of the origin is
//! asked at once, and all are answered in their order. RFC 9112, section 9.3.2.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Buf;
use nigh_cache::flight::INTERIM_MAX;
use nigh_edge::reply::Content;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::Instant,
};

use super::{
    Connection, GATHERED,
    begin::{Begun, Fetching, begin},
    fetch::Asked,
    output::Output,
};
use crate::{
    body::RequestBody,
    http1,
    service::{Answer, Service},
};

/// Requests of one connection that are worked on at once. Further ones wait in the kernel, and so
/// does the client.
const AHEAD: usize = 64;

/// Bytes that one read makes room for.
const READ: usize = 4096;

/// A request whose turn to be answered will come.
enum Turn {
    /// It is answered, but for sending it.
    Answered { output: Output, content: Content, persistent: bool },
    /// The origin was asked.
    Asked { asked: Asked, key: Box<[u8]>, answering: Ahead },
}

/// A fetch that was begun and is gone on with when its turn comes: the origin's answer comes
/// meanwhile, by a task of its own.
struct Ahead {
    fetch: Pin<Box<dyn Future<Output = Answer>>>,
    answer: Option<Answer>,
}

impl Future for Ahead {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.get_mut();
        match this.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => this.fetch.as_mut().poll(cx),
        }
    }
}

impl Turn {
    /// Asks the origin.
    fn ask(fetching: Fetching, service: &Rc<Service>, cx: &mut Context<'_>) -> Self {
        let Fetching { ask, fetch, framed, .. } = fetching;
        let (interims, interim) = mpsc::channel(INTERIM_MAX);
        let logged = service.is_logging().then(|| Rc::clone(&ask));
        let asked = Asked { framed, interim, logged, since: Instant::now(), followed: false };
        let key = ask.key.clone();
        let service = Rc::clone(service);
        let mut fetch: Pin<Box<dyn Future<Output = Answer>>> =
            Box::pin(async move { service.fetch(ask, fetch, RequestBody::Empty, interims).await });
        let answer = match fetch.as_mut().poll(cx) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        };
        Self::Asked { asked, key, answering: Ahead { fetch, answer } }
    }

    fn asks_for(&self, wanted: &[u8]) -> bool {
        matches!(self, Self::Asked { key, .. } if **key == *wanted)
    }

    /// Whether a request can follow it at all.
    fn is_persistent(&self) -> bool {
        match self {
            Self::Answered { persistent, .. } => *persistent,
            Self::Asked { asked, .. } => asked.framed.persistent,
        }
    }
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Whether more has come than the requests that were read.
    pub(super) fn has_more(&self) -> bool {
        !self.input.unread().is_empty()
    }

    /// Answers `first` and what the client asks meanwhile, in order; says whether the connection stays
    /// open.
    pub(super) async fn pipeline(&mut self, first: Fetching) -> io::Result<bool> {
        let service = Rc::clone(&self.service);
        let mut turns = VecDeque::new();
        let mut first = Some(first);
        while let Some(turn) = poll_fn(|cx| {
            turns.extend(first.take().map(|first| Turn::ask(first, &service, cx)));
            if !turns.is_empty() && !service.is_draining() {
                self.look_ahead(&mut turns, cx);
            }
            Poll::Ready(turns.pop_front())
        })
        .await
        {
            let persistent = match turn {
                Turn::Answered { mut output, content, persistent } => {
                    self.output.0.append(&mut output.0);
                    if content.has_remaining() || self.output.0.len() >= GATHERED {
                        self.send_content(content).await?;
                    }
                    persistent
                }
                Turn::Asked { mut asked, mut answering, .. } => {
                    asked.followed = !turns.is_empty();
                    self.finish_ahead(asked, Pin::new(&mut answering)).await?
                }
            };
            if !persistent {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Begins what has come already, up to a request that has to wait for its turn: it stays unread.
    fn look_ahead(&mut self, turns: &mut VecDeque<Turn>, cx: &mut Context<'_>) {
        let service = Rc::clone(&self.service);
        while turns.len() < AHEAD && turns.back().is_some_and(Turn::is_persistent) {
            let Self { stream, client, input, progress, buffers, .. } = &mut *self;
            let mut scratch = http1::Scratch::new();
            let mut output = Output::default();
            let limits = &service.limits().http1;
            let (begun, length) = match http1::parse(input.unread(), limits, progress, &mut scratch)
            {
                Ok(Some(head)) => (begin(&head, *client, &service, &mut output, buffers), head.len),
                Ok(None) => match pin!(input.fill(stream, READ)).poll(cx) {
                    Poll::Ready(Ok(1..)) => continue,
                    // Whatever it is, it is found out when nothing is left to answer.
                    _ => return,
                },
                Err(_) => {
                    *progress = http1::Progress::default();
                    return;
                }
            };
            turns.push_back(match begun {
                Begun::Answered { persistent } => {
                    Turn::Answered { output, content: Content::Empty, persistent }
                }
                Begun::Content { content, persistent } => {
                    Turn::Answered { output, content, persistent }
                }
                // One that waits for an earlier one's fetch could hold that up.
                Begun::Fetch(fetching)
                    if fetching.may_wait()
                        && !turns.iter().any(|turn| turn.asks_for(&fetching.ask.key)) =>
                {
                    Turn::ask(*fetching, &service, cx)
                }
                Begun::Fetch(_) => return,
            });
            input.consume(length);
        }
    }
}
