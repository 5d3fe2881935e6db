//! Bytes both ways between a client and an origin that have agreed on another protocol, or that a
//! forward proxy brings together.

use std::{cell::Cell, io, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::debug;

use crate::clients::Pace;

/// Bytes in each direction that may lie in between.
const BUFFER: usize = 16 * 1024;

/// How long a tunnel may stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Without a byte in either direction.
    pub(crate) idle: Duration,
    /// In all, if that is limited.
    pub(crate) total: Option<Duration>,
}

/// Bytes that went through a tunnel.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// To the origin.
    pub(crate) up: Cell<u64>,
    /// To the client.
    pub(crate) down: Cell<u64>,
}

/// Tunnels until both sides have ended, one fails, or nothing has moved in either direction for
/// `idle`. `first` is what the client sent already.
pub(crate) async fn run<S>(
    client: &mut S,
    first: &[u8],
    upgrade: OnUpgrade,
    idle: Duration,
    pace: Option<&Pace>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(idle, upgrade).await {
        Ok(Ok(upgraded)) => {
            let limits = Limits { idle, total: None };
            let moved = Moved::default();
            relay(client, first, TokioIo::new(upgraded), limits, pace, &moved).await;
        }
        Ok(Err(error)) => debug!(%error, "the origin's upgrade failed"),
        Err(_) => debug!("the origin's upgrade took too long"),
    }
}

/// Tunnels to `origin`, as [`run`] does, and within `limits`; `moved` says how much went through, also
/// if this is dropped before it ends.
pub(crate) async fn relay<C, O>(
    client: &mut C,
    first: &[u8],
    origin: O,
    limits: Limits,
    pace: Option<&Pace>,
    moved: &Moved,
) where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite,
{
    let (client_read, client_write) = tokio::io::split(client);
    let (origin_read, mut origin_write) = tokio::io::split(origin);
    let activity = Activity::new(limits.idle);
    let up = async {
        write(&mut origin_write, first, &activity, &moved.up, None).await?;
        copy(client_read, origin_write, &activity, &moved.up, None).await
    };
    let down = copy(origin_read, client_write, &activity, &moved.down, pace);
    let over = async {
        match limits.total {
            Some(total) => sleep(total).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // A failure on one side ends both; a clean end of one leaves the other to finish.
        ended = async { tokio::try_join!(up, down) } => {
            if let Err(error) = ended {
                debug!(%error, "a tunnel broke");
            }
        }
        () = activity.stopped() => debug!("a tunnel was idle"),
        () = over => debug!("a tunnel's time was over"),
    }
}

/// When anything last moved, in whichever direction: a download is no idle upload.
#[derive(Debug)]
struct Activity {
    last: Cell<Instant>,
    idle: Duration,
}

impl Activity {
    fn new(idle: Duration) -> Self {
        Self { last: Cell::new(Instant::now()), idle }
    }

    fn moved(&self, now: Instant) {
        self.last.set(now);
    }

    /// When the tunnel counts as idle, if nothing moves any more.
    fn deadline(&self) -> Instant {
        self.last.get() + self.idle
    }

    /// Waits until nothing has moved for as long as is allowed.
    async fn stopped(&self) {
        while self.deadline() > Instant::now() {
            sleep_until(self.deadline()).await;
        }
    }
}

async fn copy<R, W>(
    mut from: ReadHalf<R>,
    mut to: WriteHalf<W>,
    activity: &Activity,
    moved: &Cell<u64>,
    pace: Option<&Pace>,
) -> io::Result<()>
where
    R: AsyncRead,
    W: AsyncWrite,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        activity.moved(Instant::now());
        if read == 0 {
            return to.shutdown().await;
        }
        write(&mut to, &buffer[..read], activity, moved, pace).await?;
        to.flush().await?;
    }
}

async fn write<W: AsyncWrite>(
    to: &mut WriteHalf<W>,
    mut bytes: &[u8],
    activity: &Activity,
    moved: &Cell<u64>,
    pace: Option<&Pace>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut piece = bytes;
        if let Some(pace) = pace {
            piece = &bytes[..bytes.len().min(pace.piece())];
            sleep(pace.reserve(piece.len())).await;
        }
        let written = to.write(piece).await?;
        if let Some(pace) = pace {
            pace.give_back(piece.len() - written);
        }
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        activity.moved(Instant::now());
        moved.set(moved.get() + written as u64);
        bytes = &bytes[written..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn on_a_core(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test);
    }

    /// The far ends of a tunnel, and the tunnel.
    fn tunnel(idle: Duration) -> (DuplexStream, DuplexStream, impl Future<Output = Moved>) {
        tunnel_within(Limits { idle, total: None })
    }

    fn tunnel_within(limits: Limits) -> (DuplexStream, DuplexStream, impl Future<Output = Moved>) {
        let (client, mut near) = duplex(16);
        let (origin, far) = duplex(16);
        let tunnel = async move {
            let moved = Moved::default();
            relay(&mut near, b"first ", far, limits, None, &moved).await;
            moved
        };
        (client, origin, tunnel)
    }

    #[test]
    fn bytes_go_both_ways_until_both_sides_have_ended() {
        on_a_core(async {
            let (mut client, mut origin, tunnel) = tunnel(LONG);
            let ends = async {
                client.write_all(b"then more than fits at once").await.unwrap();
                client.shutdown().await.unwrap();
                let mut heard = String::new();
                origin.read_to_string(&mut heard).await.unwrap();
                // The client has ended, and the origin still speaks.
                origin.write_all(b"an answer").await.unwrap();
                drop(origin);
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                assert_eq!(answer, "an answer");
                heard
            };
            let (heard, moved) = tokio::join!(ends, tunnel);
            assert_eq!(heard, "first then more than fits at once");
            assert_eq!((moved.up.get(), moved.down.get()), (33, 9));
        });
    }

    #[test]
    fn a_tunnel_in_which_nothing_moves_ends() {
        on_a_core(async {
            let (_client, mut origin, tunnel) = tunnel(Duration::from_millis(5));
            tunnel.await;
            let mut heard = String::new();
            origin.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "first ");
        });
    }

    #[test]
    fn a_tunnel_whose_time_is_over_ends_although_it_is_used() {
        on_a_core(async {
            let total = Some(Duration::from_millis(5));
            let (mut client, mut origin, tunnel) = tunnel_within(Limits { idle: LONG, total });
            let talking = async { while client.write_all(b"on and on").await.is_ok() {} };
            let hearing = async { while origin.read_u8().await.is_ok() {} };
            tokio::join!(tunnel, talking, hearing);
        });
    }

    #[test]
    fn either_direction_keeps_both_open() {
        let activity = Activity::new(Duration::from_secs(10));
        let begun = activity.last.get();
        // One direction moves; the other is idle for longer than the limit.
        for seconds in [8, 16, 24] {
            activity.moved(begun + Duration::from_secs(seconds));
            assert_eq!(activity.deadline(), begun + Duration::from_secs(seconds + 10));
        }
    }
}
