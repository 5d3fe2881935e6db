//! Clients that were redirected here on their way to somewhere else: HTTP is answered as a proxy
//! would, TLS goes on to where it was going without being opened.

use std::{future::poll_fn, io, net::SocketAddr, pin::pin, rc::Rc, task::Poll, time::Duration};

use nigh_cache::key::Scheme;
use nigh_edge::{
    client::Network,
    forward_proxy::{
        Refusal,
        client_hello::{self, Read},
    },
    problem::Problem,
};
use socket2::SockRef;
use tokio::{io::AsyncReadExt, net::TcpStream};
use tracing::debug;

use super::{Destination, Forward, TunnelAsked, Tunnelling};
use crate::{
    serve_http1::{self, Client, Ended},
    service::{Service, Whose},
};

/// An address at which redirected clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirected {
    /// The address; each family has its own.
    pub address: SocketAddr,
    /// How they are sent here.
    pub mode: Mode,
}

/// How clients are sent here, and so where it stands to what they were going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By nftables' `redirect`: the kernel has changed the destination, and says what it was.
    Redirect,
    /// By nftables' `tproxy`: the connection's own local address is where it was going.
    Tproxy,
}

impl Mode {
    /// Its name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Tproxy => "tproxy",
        }
    }

    /// Where a connection was going. Fails for one that was not redirected.
    fn original(self, stream: &TcpStream) -> io::Result<SocketAddr> {
        let local = stream.local_addr()?;
        match self {
            Self::Tproxy => Ok(local),
            Self::Redirect => {
                let socket = SockRef::from(stream);
                let original = match local {
                    SocketAddr::V4(_) => socket.original_dst_v4()?,
                    SocketAddr::V6(_) => socket.original_dst_v6()?,
                };
                original.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
            }
        }
    }
}

/// Serves a connection that was redirected here, until it ends.
pub(crate) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    network: Option<Network>,
    mode: Mode,
    service: &Rc<Service>,
) {
    let sites = service.sites();
    let Some(forward) = sites.forward() else { return };
    let original = match mode.original(&stream) {
        Ok(original) => original,
        Err(error) => return debug!(%error, %address, "a connection was not redirected here"),
    };
    let client = Client { network, original: Some(original), ..Client::new(address, Scheme::Http) };
    match first_byte(&stream, service).await {
        // What a handshake begins with, and what a method does.
        Some(22) => Redirection { stream, client, original, service, forward }.tunnel().await,
        Some(b'A'..=b'Z') => match serve_http1::serve(stream, client, Rc::clone(service)).await {
            Ended::Broken(stream) => {
                drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
            }
            // HTTP/2 in clear is something that a client and a proxy agree on; these two never met.
            Ended::Http2(..) | Ended::Closed => {}
        },
        Some(_) => debug!(%address, %original, "neither HTTP nor TLS: closed"),
        None => {}
    }
}

/// The first byte that a client sends, in time; it stays unread.
async fn first_byte(stream: &TcpStream, service: &Rc<Service>) -> Option<u8> {
    let place = service.place(Whose::Client);
    let limit = service.limits().head_time;
    let mut peeking = pin!(tokio::time::timeout(limit, async {
        let mut byte = [0];
        let count = stream.peek(&mut byte).await.ok()?;
        (count == 1).then_some(byte[0])
    }));
    poll_fn(|cx| match peeking.as_mut().poll(cx) {
        Poll::Pending if place.is_over(cx) => Poll::Ready(None),
        peeked => peeked.map(|peeked| peeked.ok().flatten()),
    })
    .await
}

/// A client of TLS, on its way.
struct Redirection<'a> {
    stream: TcpStream,
    client: Client,
    original: SocketAddr,
    service: &'a Rc<Service>,
    forward: &'a Rc<Forward>,
}

impl Redirection<'_> {
    async fn tunnel(mut self) {
        let rules = &self.forward.proxy.settings.rules;
        if !rules.serves(self.client.address.ip()) {
            return self.refused(self.asked(None), Problem::Proxy(Refusal::Client));
        }
        let limit = self.service.limits().head_time;
        let hello = tokio::time::timeout(limit, read_hello(&mut self.stream)).await;
        let Ok(Ok((first, name))) = hello else {
            self.service.counters().tls_failed();
            return debug!(address = %self.client.address, "no whole ClientHello: closed");
        };
        let tunnelling = self.asked(name.as_deref());
        if name.is_some_and(|name| rules.denies_host(&name)) {
            return self.refused(tunnelling, Problem::Proxy(Refusal::Destination));
        }
        match tunnelling.open().await {
            Ok(opened) => {
                let flow = self.service.flow(&self.client);
                tunnelling.run(opened, &mut self.stream, &first, flow.pace.as_ref()).await;
            }
            Err(problem) => self.refused(tunnelling, problem),
        }
    }

    fn asked(&self, name: Option<&str>) -> Tunnelling {
        let original = self.original.to_string().into_boxed_str();
        let port = self.original.port();
        let target = name.map(|name| format!("{name}:{port}").into());
        let asked = TunnelAsked {
            to: Destination { host: self.original.ip().to_string().into(), port },
            method: "TLS",
            target: target.unwrap_or_else(|| original.clone()),
            authority: original,
            version: "-",
            agent: Box::default(),
        };
        Tunnelling::new(self.service, self.client.address, asked)
    }

    /// Nothing can be said to a client of TLS: the connection is reset.
    fn refused(&self, tunnelling: Tunnelling, problem: Problem) {
        tunnelling.refused(problem, 0);
        drop(SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)));
    }
}

/// Reads a client's first message; says what was read, and the name that it asks for.
async fn read_hello(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Option<Box<str>>)> {
    let mut bytes = Vec::new();
    loop {
        match client_hello::read(&bytes) {
            Read::Hello(name) => return Ok((bytes, name)),
            Read::Invalid => return Err(io::ErrorKind::InvalidData.into()),
            Read::Partial { wanted } => {
                while bytes.len() < wanted {
                    if stream.read_buf(&mut bytes).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}
