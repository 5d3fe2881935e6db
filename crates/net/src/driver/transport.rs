//! What a driver's datagrams travel on: UDP, where an address is all that is known of a sender, or a
//! cluster's own, where senders are known by certificate.

use std::io;

use bytes::Bytes;
use nigh_base::Address;
use tracing::debug;

use super::{
    counters::{Counters, count},
    udp::Udp,
};
use crate::cluster::datagrams::Datagrams;

#[derive(Debug)]
pub(super) enum Transport {
    Udp(Udp),
    Cluster(Datagrams),
}

impl Transport {
    /// Waits until the first datagram can be sent.
    pub(super) async fn ready(&self) {
        if let Self::Udp(udp) = self {
            udp.ready().await;
        }
    }

    /// Waits until [`Transport::try_receive`] may have something. Nothing is lost if this is dropped.
    pub(super) async fn readable(&mut self) {
        match self {
            Self::Udp(udp) => udp.readable().await,
            Self::Cluster(datagrams) => datagrams.readable().await,
        }
    }

    /// The next datagram, and whom it is from; none if there is none now.
    pub(super) fn try_receive(&mut self) -> io::Result<Option<(Address, Bytes)>> {
        match self {
            Self::Udp(udp) => udp.try_receive(),
            Self::Cluster(datagrams) => Ok(datagrams.try_receive()),
        }
    }

    /// Sends a datagram, at the latest with [`Transport::flush`]. One that cannot be sent then is lost, as
    /// it might be on the way.
    pub(super) fn send(&mut self, to: Address, message: Bytes, counters: &Counters) {
        match self {
            Self::Udp(udp) => udp.send(to, message, counters),
            Self::Cluster(datagrams) => match datagrams.send(to, &message) {
                Ok(()) => count(&counters.datagrams_out),
                Err(error) => {
                    count(&counters.send_errors);
                    debug!(%error, %to, "a datagram was not sent");
                }
            },
        }
    }

    /// Has all datagrams leave that were sent.
    pub(super) fn flush(&mut self, counters: &Counters) {
        if let Self::Udp(udp) = self {
            udp.flush(counters);
        }
    }

    /// Takes leave of those who are connected.
    pub(super) async fn close(self) {
        if let Self::Cluster(datagrams) = self {
            datagrams.close().await;
        }
    }
}
