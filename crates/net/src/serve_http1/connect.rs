//! CONNECT: bytes both ways between a client and the destination that it names. RFC 9110, section
//! 9.3.6.

use std::io;

use bytes::Bytes;
use http::StatusCode;
use nigh_edge::{cache_status::CacheStatus, respond::Sink};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Connection,
    io::send,
    output::{Framed, write_problem},
};
use crate::{forward_proxy::Tunnelling, http1::write};

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Opens a tunnel and stays in it until it ends; says whether the connection stays open, which it
    /// never does: what the client sent behind its request was meant for the tunnel.
    pub(super) async fn connect(
        &mut self,
        tunnelling: Tunnelling,
        framed: Framed,
    ) -> io::Result<bool> {
        self.flush().await?;
        match tunnelling.open().await {
            Ok(opened) => {
                // Neither length nor coding: everything that follows is the tunnel's.
                self.output.status(StatusCode::OK);
                write::end_of_head(&mut self.output.0);
                let Self { stream, output, timer, input, flow, .. } = self;
                send(stream, timer, flow, &mut output.0, Bytes::new()).await?;
                tunnelling.run(opened, stream, input.unread(), flow.pace.as_ref()).await;
                input.discard();
            }
            Err(problem) => {
                let status = CacheStatus::EMPTY.detail(problem.word());
                let framed = Framed { persistent: false, ..framed };
                let (output, text) = (&mut self.output, &mut self.buffers.text);
                let bytes = write_problem(output, problem, status, &self.service, framed, text);
                tunnelling.refused(problem, bytes);
            }
        }
        Ok(false)
    }
}
