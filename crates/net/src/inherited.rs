//! Listening sockets that somebody else has opened: systemd, or the process that this one replaces.
//!
//! A connection that waits in a socket's queue is lost when the last process closes it, so each is
//! accepted from, or closed because nobody listens there any more.

use std::{
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
};

use socket2::Socket;
use tracing::warn;

/// Sockets, each with the name that whoever passed it on has given it.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(String, TcpListener)>,
    unix: Vec<(String, UnixListener)>,
}

impl Inherited {
    /// What of `descriptors` is a listening socket of TCP or one in the file system; the rest is closed,
    /// and told of.
    pub fn new(descriptors: Vec<(String, OwnedFd)>) -> Self {
        let mut inherited = Self::default();
        for (name, descriptor) in descriptors {
            let socket = Socket::from(descriptor);
            let bound = socket.local_addr().ok();
            let bound = bound.filter(|_| socket.is_listener().unwrap_or(false));
            match bound.filter(|_| socket.set_nonblocking(true).is_ok()) {
                Some(bound) if bound.as_socket().is_some() => {
                    inherited.tcp.push((name, socket.into()));
                }
                Some(bound) if bound.as_pathname().is_some() => {
                    inherited.unix.push((name, socket.into()));
                }
                _ => warn!(name, "a descriptor that was passed on is no listening socket: closed"),
            }
        }
        inherited
    }

    /// Takes all sockets of `address`. If that leaves the port open (0), those of a port of the same
    /// host that have this name.
    pub fn take(&mut self, name: &str, address: SocketAddr) -> Vec<TcpListener> {
        let fits = |held: &str, bound: SocketAddr| match address.port() {
            0 => held == name && bound.ip() == address.ip(),
            port => bound.ip() == address.ip() && bound.port() == port,
        };
        let bound = self
            .tcp
            .iter()
            .find_map(|(held, socket)| socket.local_addr().ok().filter(|bound| fits(held, *bound)));
        let Some(bound) = bound else { return Vec::new() };
        let is_taken =
            |(_, socket): &mut (String, TcpListener)| socket.local_addr().ok() == Some(bound);
        self.tcp.extract_if(.., is_taken).map(|(_, socket)| socket).collect()
    }

    /// The same, of those that have this name alone: what differs otherwise was opened in another way.
    pub fn take_named(&mut self, name: &str, address: SocketAddr) -> Vec<TcpListener> {
        let tcp = self.tcp.extract_if(.., |(held, _)| held == name).collect();
        let mut named = Self { tcp, unix: Vec::new() };
        let taken = named.take(name, address);
        self.tcp.append(&mut named.tcp);
        taken
    }

    /// Takes a socket in the file system, by the path that it was bound to.
    pub fn take_unix(&mut self, is_wanted: impl Fn(&Path) -> bool) -> Option<UnixListener> {
        let fits = |socket: &UnixListener| {
            socket.local_addr().is_ok_and(|bound| bound.as_pathname().is_some_and(&is_wanted))
        };
        let place = self.unix.iter().position(|(_, socket)| fits(socket))?;
        Some(self.unix.swap_remove(place).1)
    }

    /// Closes what nobody has taken.
    pub fn close(self) {
        for (name, _) in self.unix {
            warn!(name, "a socket that was passed on is closed: nothing listens there any more");
        }
        for (name, socket) in self.tcp {
            let address = socket.local_addr().map_or_else(|_| name.clone(), |it| it.to_string());
            warn!(
                name,
                "a socket that was passed on is closed: nothing listens on {address} any more"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(address: &str) -> TcpListener {
        TcpListener::bind(address).unwrap()
    }

    fn inherited(sockets: &[(&str, &TcpListener)]) -> Inherited {
        let copy = |socket: &TcpListener| OwnedFd::from(socket.try_clone().unwrap());
        Inherited::new(sockets.iter().map(|(name, it)| ((*name).to_owned(), copy(it))).collect())
    }

    fn ports(sockets: &[TcpListener]) -> Vec<u16> {
        sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect()
    }

    #[test]
    fn all_sockets_of_an_address_are_taken_and_no_others() {
        let (one, two) = (listening("127.0.0.1:0"), listening("127.0.0.1:0"));
        let mut held = inherited(&[("a", &one), ("b", &two), ("c", &one)]);
        let (first, second) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        assert_eq!(ports(&held.take("http", first)), [first.port(); 2]);
        assert!(held.take("http", first).is_empty());
        assert_eq!(ports(&held.take("http", second)), [second.port()]);
    }

    #[test]
    fn any_port_is_a_port_of_the_same_name() {
        let (one, two) = (listening("127.0.0.1:0"), listening("127.0.0.1:0"));
        let mut held = inherited(&[("http", &one), ("admin", &two)]);
        let any = "127.0.0.1:0".parse().unwrap();
        assert_eq!(ports(&held.take("admin", any)), [two.local_addr().unwrap().port()]);
        assert!(held.take("https", any).is_empty());
        assert_eq!(ports(&held.take("http", any)), [one.local_addr().unwrap().port()]);
    }

    #[test]
    fn a_socket_of_another_kind_is_not_taken_for_one_by_its_name() {
        let (one, two) = (listening("127.0.0.1:0"), listening("127.0.0.1:0"));
        let mut held = inherited(&[("http", &one), ("redirect", &two)]);
        let (first, second) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        assert!(held.take_named("redirect", first).is_empty());
        assert_eq!(ports(&held.take_named("redirect", second)), [second.port()]);
        assert_eq!(ports(&held.take("http", first)), [first.port()]);
    }

    #[test]
    fn what_is_no_listening_socket_is_left_out() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let connected =
            std::net::TcpStream::connect(listening("127.0.0.1:0").local_addr().unwrap());
        let connected = connected.unwrap();
        let descriptors =
            vec![("a".to_owned(), OwnedFd::from(file)), ("b".to_owned(), OwnedFd::from(connected))];
        let held = Inherited::new(descriptors);
        assert!(held.tcp.is_empty() && held.unix.is_empty());
    }
}
