//! Bytes both ways between a client and an origin that have agreed on another protocol.

use std::{io, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    time::timeout,
};
use tracing::debug;

/// Bytes in each direction that may lie in between.
const BUFFER: usize = 16 * 1024;

/// Tunnels until both sides have ended, one fails, or neither has sent anything for `idle`.
/// `first` is what the client sent already.
pub(crate) async fn run<S>(client: &mut S, first: &[u8], upgrade: OnUpgrade, idle: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let origin = match upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => return debug!(%error, "the origin's upgrade failed"),
    };
    let (client_read, client_write) = tokio::io::split(client);
    let (origin_read, mut origin_write) = tokio::io::split(origin);
    if origin_write.write_all(first).await.is_err() {
        return;
    }
    let up = copy(client_read, origin_write, idle);
    let down = copy(origin_read, client_write, idle);
    // A failure on one side ends both; a clean end of one leaves the other to finish.
    let _ = tokio::try_join!(up, down);
}

async fn copy<R, W>(mut from: ReadHalf<R>, mut to: WriteHalf<W>, idle: Duration) -> io::Result<()>
where
    R: AsyncRead,
    W: AsyncWrite,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = timeout(idle, from.read(&mut buffer)).await??;
        if read == 0 {
            return to.shutdown().await;
        }
        timeout(idle, to.write_all(&buffer[..read])).await??;
        to.flush().await?;
    }
}
