//! What a connection sends, gathered until it has nothing more to say: answers to requests that came
//! together leave in one write, and in one TLS record.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::flow::{Flow, KeptUp};

/// Bytes that are gathered before they are sent in any case.
const GATHERED: usize = 64 * 1024;

/// Bytes that stay allocated once everything was sent.
const RESTING: usize = 16 * 1024;

/// A stream that gathers what is written. Flushing is not sending: that is [`Cork::poll_send`].
#[derive(Debug)]
pub(super) struct Cork<S>(Rc<RefCell<Corked<S>>>);

#[derive(Debug)]
struct Corked<S> {
    stream: S,
    gathered: Vec<u8>,
    /// Bytes at the front of `gathered` that were sent.
    sent: usize,
    /// The stream holds bytes back that it was given.
    unflushed: bool,
    /// When the stream last took enough, or was first given something to take.
    kept: KeptUp,
    flow: Flow,
    /// Bytes that may be written before it is another connection's turn.
    turn: usize,
    /// Until when to wait for that turn.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Clone for Cork<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S> Cork<S> {
    pub(super) fn new(stream: S, flow: Flow) -> Self {
        let kept = KeptUp::from(Instant::now());
        Self(Rc::new(RefCell::new(Corked {
            stream,
            gathered: Vec::new(),
            sent: 0,
            unflushed: false,
            kept,
            flow,
            turn: 0,
            waiting: None,
        })))
    }

    /// While something waits for the client to take it: since when it takes too little.
    pub(super) fn stuck(&self) -> Option<Instant> {
        let corked = self.0.borrow();
        let is_stuck = corked.unflushed || !corked.gathered.is_empty();
        (is_stuck && corked.waiting.is_none()).then_some(corked.kept.at())
    }
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    /// Sends what was gathered.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(cx)
    }

    /// Sends what was gathered; true if that can never be.
    pub(super) fn is_broken(&self, cx: &mut Context<'_>) -> bool {
        matches!(self.poll_send(cx), Poll::Ready(Err(_)))
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    /// Waits until something may be written.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn == 0 {
            let unsent = self.gathered.len() - self.sent;
            let Some(pace) = &self.flow.pace else {
                self.turn = unsent;
                return Poll::Ready(());
            };
            self.turn = unsent.min(pace.piece());
            let wait = pace.reserve(self.turn);
            if !wait.is_zero() {
                self.flow.counters.bandwidth_limited();
                self.waiting = Some(Box::pin(sleep(wait)));
            }
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
            self.kept = KeptUp::from(Instant::now());
        }
        Poll::Ready(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.gathered.len() {
            ready!(self.poll_turn(cx));
            let unsent = &self.gathered[self.sent..];
            let unsent = &unsent[..unsent.len().min(self.turn)];
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, unsent))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
            self.unflushed = true;
            self.turn -= count;
            self.kept.moved(count, self.flow.least, Instant::now());
        }
        self.gathered.clear();
        self.gathered.shrink_to(RESTING);
        self.sent = 0;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cork<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cork<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut corked = self.0.borrow_mut();
        if corked.gathered.len() >= GATHERED {
            ready!(corked.poll_send(cx))?;
        }
        if corked.gathered.is_empty() && !corked.unflushed {
            corked.kept = KeptUp::from(Instant::now());
        }
        let room = GATHERED - corked.gathered.len();
        let taken = &bytes[..bytes.len().min(room)];
        corked.gathered.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut corked = self.0.borrow_mut();
        ready!(corked.poll_send(cx))?;
        Pin::new(&mut corked.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker, time::Duration};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::counters::Registry;

    fn flow() -> Flow {
        Flow {
            limit: Duration::from_secs(60),
            least: 0,
            pace: None,
            counters: Registry::default().register(),
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn nothing_leaves_before_it_is_sent() {
        block_on(async {
            let (near, mut far) = duplex(1024);
            let mut cork = Cork::new(near, flow());
            for word in ["one ", "two ", "three"] {
                cork.write_all(word.as_bytes()).await.unwrap();
                cork.flush().await.unwrap();
            }
            let mut read = [0; 64];
            let mut cx = Context::from_waker(Waker::noop());
            let mut buffer = ReadBuf::new(&mut read);
            assert!(Pin::new(&mut far).poll_read(&mut cx, &mut buffer).is_pending());
            assert!(cork.stuck().is_some());
            poll_fn(|cx| cork.poll_send(cx)).await.unwrap();
            assert_eq!(cork.stuck(), None);
            let count = far.read(&mut read).await.unwrap();
            assert_eq!(&read[..count], b"one two three");
        });
    }

    #[test]
    fn what_is_gathered_is_bounded_and_arrives_whole() {
        block_on(async {
            let (near, mut far) = duplex(1000);
            let mut cork = Cork::new(near, flow());
            let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
            let writing = async {
                cork.write_all(&sent).await.unwrap();
                assert!(cork.0.borrow().gathered.len() <= GATHERED);
                cork.shutdown().await.unwrap();
            };
            let mut read = Vec::new();
            let (_, count) = tokio::join!(writing, far.read_to_end(&mut read));
            count.unwrap();
            assert!(read == sent);
            assert!(cork.0.borrow().gathered.capacity() <= RESTING);
        });
    }
}
