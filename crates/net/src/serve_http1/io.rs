//! Bytes in and out of one connection, and the clock that both are held to.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, Sleep},
};

use crate::{
    clients::Pace,
    flow::{Flow, KeptUp},
};

/// Slices of a large body that one write takes.
const SLICES: usize = 64;

/// What was read and not yet used.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) bytes: Vec<u8>,
    start: usize,
}

impl Input {
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Throws away what was read.
    pub(super) fn discard(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Reads more behind what is there; zero at the end of the stream.
    pub(super) async fn fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        at_least: usize,
    ) -> io::Result<usize> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve(at_least);
        stream.read_buf(&mut self.bytes).await
    }
}

/// One clock a connection, set again only when it rings early: pushing a deadline out is free.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    pub(super) deadline: Instant,
}

impl Timer {
    pub(super) fn new() -> Self {
        let deadline = Instant::now();
        Self { sleep: Box::pin(tokio::time::sleep_until(deadline)), deadline }
    }

    pub(super) fn set(&mut self, limit: Duration) {
        self.deadline = Instant::now() + limit;
    }

    /// True once the deadline has passed. Asked only when there is nothing else to do.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        if self.sleep.deadline() > self.deadline {
            self.sleep.as_mut().reset(self.deadline);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                return true;
            }
            self.sleep.as_mut().reset(self.deadline);
        }
        false
    }

    /// Runs `io` until it is done or the deadline passes.
    pub(super) async fn bound<T>(
        &mut self,
        io: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut io = pin!(io);
        poll_fn(|cx| match io.as_mut().poll(cx) {
            Poll::Pending if self.poll_expired(cx) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        })
        .await
    }
}

/// Sends what is gathered and `content` behind it, in as few writes as the kernel takes, as `flow` says.
pub(super) async fn send<W: AsyncWrite + Unpin, B: Buf>(
    writer: &mut W,
    timer: &mut Timer,
    flow: &Flow,
    gathered: &mut Vec<u8>,
    mut content: B,
) -> io::Result<()> {
    let mut done = 0;
    timer.set(flow.limit);
    let mut kept = KeptUp::from(timer.deadline - flow.limit);
    while done < gathered.len() || content.has_remaining() {
        let mut turn = usize::MAX;
        if let Some(pace) = &flow.pace {
            turn = pace.piece().min(gathered.len() - done + content.remaining());
            // Boxed: a clock of its own would otherwise lie in every connection.
            let waited = Box::pin(wait_for_turn(pace, turn, flow)).await;
            kept.excuse(waited);
            timer.deadline += waited;
        }
        let written = poll_fn(|cx| {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut filled = 0;
            if done < gathered.len() {
                slices[0] = IoSlice::new(&gathered[done..]);
                filled = 1;
            }
            filled += content.chunks_vectored(&mut slices[filled..]);
            let writing = match &slices[..filled] {
                [one] if one.len() <= turn => Pin::new(&mut *writer).poll_write(cx, one),
                [one, ..] if turn < usize::MAX => {
                    Pin::new(&mut *writer).poll_write(cx, &one[..one.len().min(turn)])
                }
                several => Pin::new(&mut *writer).poll_write_vectored(cx, several),
            };
            match writing {
                Poll::Pending if timer.poll_expired(cx) => {
                    flow.counters.slow_client();
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
                other => other,
            }
        });
        let written = written.await?;
        if let Some(pace) = &flow.pace {
            pace.give_back(turn - written);
        }
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let from_gathered = written.min(gathered.len() - done);
        done += from_gathered;
        content.advance(written - from_gathered);
        let is_over = done == gathered.len() && !content.has_remaining();
        if !is_over && kept.moved(written, flow.least, Instant::now()) {
            timer.set(flow.limit);
        }
    }
    gathered.clear();
    // A TCP stream has nothing to flush; TLS may.
    writer.flush().await
}

/// Waits until so many bytes may be written; says for how long.
async fn wait_for_turn(pace: &Pace, bytes: usize, flow: &Flow) -> Duration {
    let wait = pace.reserve(bytes);
    if !wait.is_zero() {
        flow.counters.bandwidth_limited();
        tokio::time::sleep(wait).await;
    }
    wait
}
