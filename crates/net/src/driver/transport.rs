//! What a driver's datagrams travel on: UDP, where an address is all that is known of a sender, or a
//! cluster's own, where senders are known by certificate.

use std::io;

use bytes::Bytes;
use nigh_base::Address;
use tokio::net::UdpSocket;

use super::sockets;
use crate::cluster::datagrams::Datagrams;

#[derive(Debug)]
pub(super) enum Transport {
    Udp(Udp),
    Cluster(Datagrams),
}

#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
    is_ipv6: bool,
    datagram: Box<[u8]>,
}

impl Transport {
    pub(super) fn udp(socket: UdpSocket, is_ipv6: bool, longest: usize) -> Self {
        Self::Udp(Udp { socket, is_ipv6, datagram: vec![0; longest].into() })
    }

    /// Waits until the first datagram can be sent.
    pub(super) async fn ready(&self) {
        if let Self::Udp(udp) = self {
            // Until the runtime has seen the socket once, sending without waiting fails. It fails for
            // no other reason than a runtime that ends.
            drop(udp.socket.writable().await);
        }
    }

    /// Waits until [`Transport::try_receive`] may have something. Nothing is lost if this is dropped.
    pub(super) async fn readable(&mut self) {
        match self {
            // Errors are seen when it is read.
            Self::Udp(udp) => drop(udp.socket.readable().await),
            Self::Cluster(datagrams) => datagrams.readable().await,
        }
    }

    /// The next datagram, and whom it is from; none if there is none now.
    pub(super) fn try_receive(&mut self) -> io::Result<Option<(Address, Bytes)>> {
        let Udp { socket, datagram, .. } = match self {
            Self::Udp(udp) => udp,
            Self::Cluster(datagrams) => return Ok(datagrams.try_receive()),
        };
        match socket.try_recv_from(datagram) {
            Ok((length, from)) => {
                Ok(Some((from.into(), Bytes::copy_from_slice(&datagram[..length]))))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends one now, or not at all.
    pub(super) fn try_send(&self, to: Address, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(udp) => {
                udp.socket.try_send_to(message, sockets::target(to, udp.is_ipv6)).map(drop)
            }
            Self::Cluster(datagrams) => datagrams.send(to, message).map_err(io::Error::other),
        }
    }

    /// Takes leave of those who are connected.
    pub(super) async fn close(self) {
        if let Self::Cluster(datagrams) = self {
            datagrams.close().await;
        }
    }
}
