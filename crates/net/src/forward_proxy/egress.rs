//! The way out of a forward proxy: a name's addresses are held against the rules, and one of those
//! that are left is connected to. Nothing is looked up again between the two.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket},
    sync::Arc,
    time::Duration,
};

use nigh_cache::flight::Failure;
use tokio::{net::TcpStream, time::timeout};
use tracing::debug;

use super::Proxy;
use crate::counters::Counters;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// How long one of several addresses is tried before the next: one that swallows what is sent to it
/// must leave time for another.
const EACH: Duration = Duration::from_secs(3);

/// One core's way out.
#[derive(Debug)]
pub(crate) struct Egress {
    proxy: Arc<Proxy>,
    counters: Arc<Counters>,
}

impl Egress {
    pub(super) fn new(proxy: Arc<Proxy>, counters: Arc<Counters>) -> Self {
        Self { proxy, counters }
    }

    /// A connection to a host, given without brackets. The caller limits the time.
    ///
    /// # Errors
    /// `OutOfReach` if the rules leave no address, `Unreachable` if there is none or none answers.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let unreachable = |error: io::Error| {
            debug!(%error, host, port, "no connection to a destination");
            Failure::Unreachable
        };
        let mut addresses = self.resolve(host, port).await.map_err(unreachable)?;
        let found = addresses.len();
        addresses.retain(|address| self.reaches(*address));
        if addresses.is_empty() && found > 0 {
            self.counters.proxy_destination();
            return Err(Failure::OutOfReach);
        }
        addresses.truncate(ADDRESSES_MAX);
        let stream = first_of(&addresses).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        Ok(stream)
    }

    /// The addresses of a name, as this machine finds them; an address is its own. A lookup goes on
    /// when nobody waits for it any more, and counts as long.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        let turn = Arc::clone(&self.proxy.lookups).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let host = host.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
        });
        looking.await.map_err(io::Error::other)?
    }

    /// Whether the rules let an address be connected to.
    pub(super) fn reaches(&self, address: SocketAddr) -> bool {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let is_own = is_own(ip);
        let is_this_proxy = is_own && self.proxy.own_ports().any(|own| own == port);
        !is_this_proxy && self.proxy.settings.rules.reaches(address.ip(), is_own)
    }
}

/// A connection to the first of some addresses that takes one.
async fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for (number, address) in addresses.iter().enumerate() {
        let connecting = TcpStream::connect(address);
        let connected = if number + 1 == addresses.len() {
            connecting.await
        } else {
            let late = |_| Err(io::ErrorKind::TimedOut.into());
            timeout(EACH, connecting).await.unwrap_or_else(late)
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether an address is this machine's: then the kernel would send from it what is sent to it.
/// Nothing is sent.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    if address.is_loopback() || address.is_unspecified() {
        return true;
    }
    let from = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    from().is_ok_and(|from: SocketAddr| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_knows_its_own_addresses() {
        for own in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0"] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        for other in ["192.0.2.1", "2001:db8::1"] {
            assert!(!is_own(other.parse().unwrap()), "{other}");
        }
    }
}
