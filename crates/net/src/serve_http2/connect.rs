//! CONNECT on a stream of HTTP/2: the stream's content is the tunnel's, both ways. RFC 9113, section
//! 8.5.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{Method, Response};
use nigh_edge::{cache_status::CacheStatus, respond::Audience};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    answer::{Out, send_watched},
    content::{Data, Piece},
    streams::{Open, Streams},
};
use crate::forward_proxy::Tunnelling;

/// Opens a tunnel and stays in it until it ends.
pub(super) async fn connect(
    tunnelling: Tunnelling,
    body: RecvStream,
    mut to: SendResponse<Piece>,
    streams: Rc<Streams>,
    _open: Open,
) {
    let opened = tokio::select! {
        biased;
        opened = tunnelling.open() => opened,
        // The client wants no tunnel any more.
        _ = poll_fn(|cx| to.poll_reset(cx)) => return streams.withdrew(),
    };
    streams.answered();
    match opened {
        Ok(opened) => {
            let Ok(sending) = to.send_response(Response::new(()), false) else { return };
            let mut stream = Content { body, sending, left: Bytes::new(), streams };
            // The connection has a pace of its own.
            tunnelling.run(opened, &mut stream, b"", None).await;
        }
        Err(problem) => {
            let status = CacheStatus::EMPTY.detail(problem.word());
            let service = Rc::clone(tunnelling.service());
            let mut text = Vec::with_capacity(64);
            let (method, audience) = (&Method::CONNECT, Audience::Client);
            let mut out = Out { service: &service, method, audience, text: &mut text };
            let (answer, _) = out.problem(problem, status);
            let bytes = answer.body().remaining() as u64;
            tunnelling.refused(problem, bytes);
            send_watched(&mut to, answer, &streams, service.limits().write_time).await;
        }
    }
}

/// A stream's content as bytes. One that is dropped before it has ended is reset.
struct Content {
    body: RecvStream,
    sending: SendStream<Piece>,
    /// What came and was not read yet.
    left: Bytes,
    streams: Rc<Streams>,
}

impl AsyncRead for Content {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.left.is_empty() {
            match ready!(this.body.poll_data(cx)) {
                Some(Ok(bytes)) => this.left = bytes,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = this.left.len().min(buffer.remaining());
        buffer.put_slice(&this.left.split_to(count));
        // The client may send as much again. That the stream is gone shows at the next read.
        drop(this.body.flow_control().release_capacity(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Content {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.sending.reserve_capacity(bytes.len());
        let mut room = this.sending.capacity();
        while room == 0 {
            match ready!(this.sending.poll_capacity(cx)) {
                Some(Ok(capacity)) => room = capacity,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = bytes.len().min(room);
        let data = Data::Bytes(Bytes::copy_from_slice(&bytes[..count]));
        let sent = this.sending.send_data(Piece::new(data, &this.streams), false);
        Poll::Ready(sent.map(|()| count).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let end = Piece::new(Data::Bytes(Bytes::new()), &this.streams);
        Poll::Ready(this.sending.send_data(end, true).map_err(io::Error::other))
    }
}
