//! CONNECT: bytes both ways between a client and the destination that it names. RFC 9110, section
//! 9.3.6.

use std::io;

use bytes::Bytes;
use http::StatusCode;
use nigh_edge::{cache_status::CacheStatus, problem::Problem, respond::Sink};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    Connection,
    io::send,
    output::{Framed, write_problem},
};
use crate::{access_log::Line, clock, forward_proxy::Destination, http1::write};

/// A tunnel that was asked for, and that the rules let be.
pub(super) struct Tunnelling {
    pub(super) to: Destination,
    /// As the client wrote it, for the log.
    pub(super) authority: Box<str>,
    pub(super) agent: Box<[u8]>,
    pub(super) framed: Framed,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Opens a tunnel and stays in it until it ends; says whether the connection stays open, which it
    /// never does: what the client sent behind its request was meant for the tunnel.
    pub(super) async fn connect(&mut self, tunnelling: Tunnelling) -> io::Result<bool> {
        self.flush().await?;
        let since = Instant::now();
        let sites = self.service.sites();
        let opened = match sites.forward() {
            Some(forward) => {
                forward.open_tunnel(&tunnelling.to, &self.service.shared().buffers).await
            }
            None => Err(Problem::ConnectRefused),
        };
        match opened {
            Ok(tunnel) => {
                // Neither length nor coding: everything that follows is the tunnel's.
                self.output.status(StatusCode::OK);
                write::end_of_head(&mut self.output.0);
                let Self { stream, output, timer, input, flow, .. } = self;
                send(stream, timer, flow, &mut output.0, Bytes::new()).await?;
                let moved = tunnel.run(stream, input.unread(), flow.pace.as_ref()).await;
                input.discard();
                let status = CacheStatus::EMPTY;
                self.log_tunnel(&tunnelling, StatusCode::OK, moved.down, status, since);
            }
            Err(problem) => {
                self.service.counters().refuse(problem);
                let status = CacheStatus::EMPTY.detail(problem.word());
                let framed = Framed { persistent: false, ..tunnelling.framed };
                let (output, text) = (&mut self.output, &mut self.buffers.text);
                let bytes = write_problem(output, problem, status, &self.service, framed, text);
                self.log_tunnel(&tunnelling, problem.status(), bytes, status, since);
            }
        }
        Ok(false)
    }

    fn log_tunnel(
        &self,
        tunnelling: &Tunnelling,
        status: StatusCode,
        bytes: u64,
        cache: CacheStatus,
        since: Instant,
    ) {
        if !self.service.is_logging() {
            return;
        }
        self.service.log(&Line {
            when: clock::now(),
            client: self.client.address,
            method: "CONNECT",
            authority: "",
            target: &tunnelling.authority,
            version: if tunnelling.framed.http1_1 { "HTTP/1.1" } else { "HTTP/1.0" },
            referer: b"",
            agent: &tunnelling.agent,
            status,
            bytes,
            cache,
            micros: u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
    }
}
