//! Datagrams over UDP, several with one call: what costs a node most is to go to the kernel and back.
//!
//! Those that are there are received together (recvmmsg), and those that one turn of the driver sends leave
//! together (sendmmsg), in order.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    os::fd::AsRawFd as _,
};

use bytes::Bytes;
use nigh_base::Address;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use tokio::{io::Interest, net::UdpSocket};
use tracing::debug;

use super::{
    counters::{Counters, add, count},
    sockets,
};

/// Datagrams of one call: the kernel's part of a datagram is far more than what is left of a call's then.
const TOGETHER: usize = 32;

/// A socket, and what came and is to go.
#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
    is_ipv6: bool,
    /// Room for [`TOGETHER`] of the longest datagrams. What is never touched takes no memory.
    buffer: Box<[u8]>,
    longest: usize,
    /// How many to ask for: as came last, and more once all came that were asked for.
    expected: usize,
    received: VecDeque<(Address, Bytes)>,
    leaving: Vec<(Address, Bytes)>,
}

impl Udp {
    pub(super) fn new(socket: UdpSocket, is_ipv6: bool, longest: usize) -> Self {
        Self {
            socket,
            is_ipv6,
            buffer: vec![0; TOGETHER * longest].into(),
            longest,
            expected: 1,
            received: VecDeque::new(),
            leaving: Vec::new(),
        }
    }

    pub(super) async fn ready(&self) {
        // Until the runtime has seen the socket once, sending without waiting fails. It fails for no
        // other reason than a runtime that ends.
        drop(self.socket.writable().await);
    }

    pub(super) async fn readable(&self) {
        if self.received.is_empty() {
            // Errors are seen when it is read.
            drop(self.socket.readable().await);
        }
    }

    /// The next datagram, and whom it is from; none if there is none now.
    pub(super) fn try_receive(&mut self) -> io::Result<Option<(Address, Bytes)>> {
        if self.received.is_empty() {
            self.receive()?;
        }
        Ok(self.received.pop_front())
    }

    /// Takes those that are there, up to as many as are expected.
    fn receive(&mut self) -> io::Result<()> {
        let Self { socket, buffer, longest, expected, received, .. } = self;
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(*expected, None);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffer
            .chunks_exact_mut(*longest)
            .take(*expected)
            .map(|room| [IoSliceMut::new(room)])
            .collect();
        let taken = socket.try_io(Interest::READABLE, || {
            let flags = MsgFlags::MSG_DONTWAIT;
            let taken = recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, flags, None)?;
            for message in taken {
                let bytes = message.iovs().next().map_or_else(Bytes::new, Bytes::copy_from_slice);
                if let Some(from) = message.address.as_ref().and_then(address) {
                    received.push_back((from, bytes));
                }
            }
            Ok(())
        });
        match taken {
            Ok(()) => {
                let all_came = received.len() == *expected;
                *expected = if all_came { 2 * received.len() } else { received.len().max(1) };
                *expected = (*expected).min(TOGETHER);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a datagram with the others of this turn.
    pub(super) fn send(&mut self, to: Address, message: Bytes, counters: &Counters) {
        self.leaving.push((to, message));
        if self.leaving.len() == TOGETHER {
            self.flush(counters);
        }
    }

    /// Sends what is leaving. What cannot be sent now is lost, as it might be on the way.
    pub(super) fn flush(&mut self, counters: &Counters) {
        while !self.leaving.is_empty() {
            let first = self.leaving[0].0;
            let sent = match self.send_together() {
                Ok(sent) => sent,
                Err(error) => {
                    count(&counters.send_errors);
                    debug!(%error, to = %first, "a datagram was not sent");
                    self.leaving.remove(0);
                    continue;
                }
            };
            add(&counters.datagrams_out, sent as u64);
            self.leaving.drain(..sent);
        }
    }

    /// How many of those that are leaving were sent, from the first on; an error is that of the first.
    fn send_together(&self) -> io::Result<usize> {
        let count = self.leaving.len();
        let mut headers = MultiHeaders::preallocate(count, None);
        let slices: Vec<[IoSlice<'_>; 1]> =
            self.leaving.iter().map(|(_, message)| [IoSlice::new(message)]).collect();
        let targets: Vec<Option<SockaddrStorage>> = self
            .leaving
            .iter()
            .map(|(to, _)| Some(sockets::target(*to, self.is_ipv6).into()))
            .collect();
        self.socket.try_io(Interest::WRITABLE, || {
            let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            Ok(sendmmsg(fd, &mut headers, &slices, &targets, [], flags)?.count())
        })
    }
}

fn address(of: &SockaddrStorage) -> Option<Address> {
    let v4 = of.as_sockaddr_in().map(|it| (it.ip(), it.port()).into());
    let address = v4.or_else(|| of.as_sockaddr_in6().map(|it| (it.ip(), it.port()).into()));
    address.map(|it: std::net::SocketAddr| it.into())
}

#[cfg(test)]
mod tests {
    use super::{super::DATAGRAM_BYTES, *};

    async fn socket(address: &str) -> Udp {
        let (socket, _, bound) = sockets::bind(address.parse().unwrap()).unwrap();
        let udp = Udp::new(socket, bound.is_ipv6(), DATAGRAM_BYTES);
        udp.ready().await;
        udp
    }

    fn address(of: &Udp) -> Address {
        of.socket.local_addr().unwrap().into()
    }

    #[tokio::test]
    async fn many_datagrams_of_one_turn_come_in_order_from_who_sent_them() {
        let counters = Counters::default();
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let (mut from, mut to) = (socket(at).await, socket(at).await);
            let sent: Vec<Bytes> = (0..100u8).map(|n| vec![n; usize::from(n)].into()).collect();
            for message in &sent {
                from.send(address(&to), message.clone(), &counters);
            }
            from.flush(&counters);
            let mut received = Vec::new();
            while received.len() < sent.len() {
                to.readable().await;
                while let Some((peer, message)) = to.try_receive().unwrap() {
                    assert_eq!(peer, address(&from));
                    received.push(message);
                }
            }
            assert_eq!(received, sent);
        }
        assert_eq!((counters.read().datagrams_out, counters.read().send_errors), (200, 0));
    }

    #[tokio::test]
    async fn one_that_cannot_be_sent_keeps_no_other_back() {
        let counters = Counters::default();
        let (mut from, mut to) = (socket("127.0.0.1:0").await, socket("127.0.0.1:0").await);
        let too_long = Bytes::from(vec![0; DATAGRAM_BYTES + 1]);
        for message in [b"a".to_vec().into(), too_long.clone(), too_long, b"b".to_vec().into()] {
            from.send(address(&to), message, &counters);
        }
        from.flush(&counters);
        assert_eq!((counters.read().datagrams_out, counters.read().send_errors), (2, 2));
        for expected in ["a", "b"] {
            let message = loop {
                to.readable().await;
                if let Some((_, message)) = to.try_receive().unwrap() {
                    break message;
                }
            };
            assert_eq!(message, expected);
        }
    }
}
