//! A tunnel, from when it is asked for to its line in the access log. RFC 9110, section 9.3.6.

use std::{net::SocketAddr, rc::Rc, time::Instant};

use http::StatusCode;
use nigh_edge::{cache_status::CacheStatus, problem::Problem};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Destination, Opened};
use crate::{
    access_log::{self, Line},
    clients::Pace,
    clock,
    service::Service,
    tunnel::{self, Moved},
};

/// A tunnel that was asked for, and that the rules let be. It is told of when it is dropped, so that
/// each is, whether it ends in order, breaks off, or stands when the process ends: a line in the access
/// log, and the bytes that went through.
#[derive(Debug)]
pub(crate) struct Tunnelling {
    service: Rc<Service>,
    client: SocketAddr,
    asked: TunnelAsked,
    since: Instant,
    status: StatusCode,
    cache: CacheStatus,
    /// Of an answer in our own name.
    bytes: u64,
    moved: Moved,
}

/// Where a tunnel is to lead, and how it was asked for, in the log's words.
#[derive(Debug)]
pub(crate) struct TunnelAsked {
    pub(crate) to: Destination,
    pub(crate) method: &'static str,
    pub(crate) authority: Box<str>,
    pub(crate) target: Box<str>,
    pub(crate) version: &'static str,
    pub(crate) agent: Box<[u8]>,
}

impl Tunnelling {
    /// A tunnel that a client asks for now.
    pub(crate) fn new(service: &Rc<Service>, client: SocketAddr, asked: TunnelAsked) -> Self {
        Self {
            service: Rc::clone(service),
            client,
            asked,
            since: Instant::now(),
            status: access_log::client_gone(),
            cache: CacheStatus::EMPTY,
            bytes: 0,
            moved: Moved::default(),
        }
    }

    /// Whose it is.
    pub(crate) const fn service(&self) -> &Rc<Service> {
        &self.service
    }

    /// Connects to where it is to lead.
    ///
    /// # Errors
    /// The problem that tells the client why there is no tunnel.
    pub(crate) async fn open(&self) -> Result<Opened, Problem> {
        let sites = self.service.sites();
        let forward = sites.forward().ok_or(Problem::ConnectRefused)?;
        forward.open_tunnel(&self.asked.to, &self.service.shared().buffers).await
    }

    /// The client is told why there is no tunnel, in so many bytes.
    pub(crate) fn refused(mut self, problem: Problem, bytes: u64) {
        self.service.counters().refuse(problem);
        self.status = problem.status();
        self.cache = CacheStatus::EMPTY.detail(problem.word());
        self.bytes = bytes;
    }

    /// The client was told that it stands: brings both sides together until it ends; `first` is what
    /// the client sent already.
    pub(crate) async fn run<S>(
        mut self,
        opened: Opened,
        client: &mut S,
        first: &[u8],
        pace: Option<&Pace>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.status = StatusCode::OK;
        let Opened { stream, limits, _held: held } = opened;
        tunnel::relay(client, first, stream, limits, pace, &self.moved).await;
        drop(held);
    }
}

impl Drop for Tunnelling {
    fn drop(&mut self) {
        let (up, down) = (self.moved.up.get(), self.moved.down.get());
        self.service.counters().tunnelled(up, down);
        if !self.service.is_logging() {
            return;
        }
        let TunnelAsked { method, authority, target, version, agent, .. } = &self.asked;
        self.service.log(&Line {
            when: clock::now(),
            client: self.client,
            method,
            authority,
            target,
            version,
            referer: b"",
            agent,
            status: self.status,
            bytes: self.bytes + down,
            cache: self.cache,
            micros: u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
    }
}
