//! CONNECT on a stream of HTTP/2: the stream's content is the tunnel's, both ways. RFC 9113, section
//! 8.5.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{Method, Response, StatusCode};
use nigh_edge::{cache_status::CacheStatus, problem::Problem};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    answer::{Out, send_watched},
    content::{Data, Piece},
    streams::{Open, Streams},
};
use crate::{
    access_log::Line, clock, forward_proxy::Destination, serve_http1::Client, service::Service,
};

/// A tunnel that was asked for, and that the rules let be.
pub(super) struct Tunnelling {
    pub(super) to: Destination,
    /// As the client wrote it, for the log.
    pub(super) authority: Box<str>,
    pub(super) agent: Box<[u8]>,
    pub(super) client: Client,
    pub(super) service: Rc<Service>,
    pub(super) streams: Rc<Streams>,
}

impl Tunnelling {
    /// Opens the tunnel and stays in it until it ends.
    pub(super) async fn run(self, body: RecvStream, mut to: SendResponse<Piece>, _open: Open) {
        let since = Instant::now();
        let sites = self.service.sites();
        let opened = match sites.forward() {
            Some(forward) => forward.open_tunnel(&self.to, &self.service.shared().buffers).await,
            None => Err(Problem::ConnectRefused),
        };
        self.streams.answered();
        match opened {
            Ok(tunnel) => {
                let Ok(sending) = to.send_response(Response::new(()), false) else { return };
                let streams = Rc::clone(&self.streams);
                let mut stream = Content { body, sending, left: Bytes::new(), streams };
                // The connection has a pace of its own.
                let moved = tunnel.run(&mut stream, b"", None).await;
                self.log(StatusCode::OK, moved.down, CacheStatus::EMPTY, since);
            }
            Err(problem) => {
                self.service.counters().refuse(problem);
                let status = CacheStatus::EMPTY.detail(problem.word());
                let mut text = Vec::with_capacity(64);
                let method = &Method::CONNECT;
                let mut out = Out { service: &self.service, method, text: &mut text };
                let (answer, status) = out.problem(problem, status);
                let bytes = answer.body().remaining() as u64;
                let limit = self.service.limits().write_time;
                send_watched(&mut to, answer, &self.streams, limit).await;
                self.log(problem.status(), bytes, status, since);
            }
        }
    }

    fn log(&self, status: StatusCode, bytes: u64, cache: CacheStatus, since: Instant) {
        if !self.service.is_logging() {
            return;
        }
        self.service.log(&Line {
            when: clock::now(),
            client: self.client.address,
            method: "CONNECT",
            authority: "",
            target: &self.authority,
            version: "HTTP/2.0",
            referer: b"",
            agent: &self.agent,
            status,
            bytes,
            cache,
            micros: u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
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
