//! The answer to a request that the origin was asked about, as it comes.

use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    task::Poll,
};

use bytes::{Buf, Bytes};
use http::StatusCode;
use nigh_cache::flight::Failure;
use nigh_edge::{
    cache_status::CacheStatus,
    problem::Problem,
    respond::{Audience, Sink},
};
use tokio::io::AsyncWrite;

use super::{
    GATHERED,
    io::{Timer, send},
    output::{Framed, Output, end_head, write_hit, write_problem},
};
use crate::{
    flow::Flow,
    http1::write,
    service::{Answer, Chunk, Incoming, Service, Streamed},
};

/// Chunks up to this many bytes are gathered with what goes before them.
const COPIED_CHUNK: usize = 4 * 1024;

/// What was sent, for the log.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) status: StatusCode,
    pub(super) bytes: u64,
    pub(super) cache: CacheStatus,
}

/// Where an answer goes.
pub(super) struct Out<'a, W> {
    pub(super) writer: &'a mut W,
    pub(super) timer: &'a mut Timer,
    pub(super) flow: &'a Flow,
    pub(super) output: &'a mut Output,
}

impl<W: AsyncWrite + Unpin> Out<'_, W> {
    pub(super) async fn answer(
        mut self,
        answer: Answer,
        framed: &mut Framed,
        service: &Service,
        text: &mut Vec<u8>,
    ) -> (io::Result<()>, Record) {
        let mut record = Record { status: StatusCode::OK, bytes: 0, cache: CacheStatus::EMPTY };
        let sent = match answer {
            Answer::Stored(hit) => {
                record.status = hit.reply.shape.status(&hit.object);
                record.cache = hit.status;
                record.bytes = hit.reply.content.remaining() as u64;
                let content = write_hit(self.output, hit, service, *framed, text);
                send(self.writer, self.timer, self.flow, &mut self.output.0, content).await
            }
            Answer::Gathered(hit, content) => {
                record.status = hit.reply.shape.status(&hit.object);
                record.cache = hit.status;
                write_hit(self.output, hit, service, *framed, text);
                match self.content(content, false, &mut record.bytes).await {
                    Ok(()) => Ok(()),
                    Err(Broken { error, .. }) => Err(error),
                }
            }
            Answer::Streamed(streamed) => {
                self.stream(streamed, framed, service, text, &mut record).await
            }
            Answer::Problem(problem, status) => {
                record.status = problem.status();
                record.cache = status;
                record.bytes = write_problem(self.output, problem, status, service, *framed, text);
                send(self.writer, self.timer, self.flow, &mut self.output.0, Bytes::new()).await
            }
            Answer::Upgraded(_) => unreachable!("upgrades were taken out before"),
        };
        (sent, record)
    }

    pub(super) async fn stream(
        &mut self,
        streamed: Streamed,
        framed: &mut Framed,
        service: &Service,
        text: &mut Vec<u8>,
        record: &mut Record,
    ) -> io::Result<()> {
        let start = self.output.0.len();
        service.write_streamed(self.output, &streamed, Audience::Client, text);
        record.status = streamed.status();
        let length = streamed.length();
        let Streamed { head, content, status, not_modified, .. } = streamed;
        record.cache = status;
        let bodiless = framed.head_only
            || not_modified
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut chunked = false;
        if bodiless {
            if let Some(announced) = head.announced.as_ref().filter(|_| framed.head_only) {
                self.output.field("content-length", announced.as_bytes());
            }
        } else if let Some(length) = length {
            write::number_field(&mut self.output.0, "content-length", length);
        } else if framed.http1_1 {
            self.output.field("transfer-encoding", b"chunked");
            chunked = true;
        } else {
            // RFC 9112, section 6.3: the end of the connection is the end of the content.
            framed.persistent = false;
        }
        end_head(self.output, *framed);
        if bodiless {
            return send(self.writer, self.timer, self.flow, &mut self.output.0, Bytes::new())
                .await;
        }
        match self.content(content, chunked, &mut record.bytes).await {
            Ok(()) => Ok(()),
            Err(Broken { promised: false, .. }) => {
                // The client learns what happened.
                self.output.0.truncate(start);
                let problem = Problem::Origin(Failure::Closed);
                record.status = problem.status();
                record.bytes = write_problem(self.output, problem, status, service, *framed, text);
                self.send(Bytes::new()).await
            }
            // Here the connection's end would mean the content's end (RFC 9112, section 8).
            Err(Broken { error, .. })
                if error.kind() == ErrorKind::UnexpectedEof && length.is_none() && !chunked =>
            {
                Err(ErrorKind::ConnectionAborted.into())
            }
            Err(Broken { error, .. }) => Err(error),
        }
    }

    async fn send(&mut self, content: impl Buf) -> io::Result<()> {
        send(self.writer, self.timer, self.flow, &mut self.output.0, content).await
    }

    /// Sends what is gathered, and content as it comes.
    async fn content(
        &mut self,
        mut content: Incoming,
        chunked: bool,
        bytes: &mut u64,
    ) -> Result<(), Broken> {
        // Whatever is there already goes out with the head.
        let mut promised = false;
        loop {
            let next = poll_fn(|cx| Poll::Ready(content.poll_chunk(cx))).await;
            let chunk = match next {
                Poll::Ready(chunk) => chunk,
                Poll::Pending => {
                    promised = true;
                    self.send(Bytes::new()).await?;
                    content.chunk().await
                }
            };
            // The client sees an unfinished message, never a short one that looks whole.
            let broken = |_| Broken { promised, error: ErrorKind::UnexpectedEof.into() };
            let Some(chunk) = chunk.map_err(broken)? else { break };
            let length = chunk.remaining();
            *bytes += length as u64;
            if chunked {
                let size = write::Digits::chunk_size(length);
                self.output.0.extend_from_slice(size.as_bytes());
            }
            match chunk {
                Chunk::Bytes(chunk) if length <= COPIED_CHUNK && self.output.0.len() < GATHERED => {
                    self.output.0.extend_from_slice(&chunk);
                }
                chunk => {
                    promised = true;
                    self.send(chunk).await?;
                }
            }
            if chunked {
                self.output.0.extend_from_slice(write::CHUNK_END);
            }
        }
        if chunked {
            match content.trailers() {
                None => self.output.0.extend_from_slice(write::LAST_CHUNK),
                Some(trailers) => write::last_chunk(
                    &mut self.output.0,
                    trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
                ),
            }
        }
        Ok(self.send(Bytes::new()).await?)
    }
}

/// Content that was not sent to its end.
struct Broken {
    /// Some of the answer was sent.
    promised: bool,
    error: io::Error,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self { promised: true, error }
    }
}
