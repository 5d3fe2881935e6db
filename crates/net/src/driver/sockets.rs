//! Opening a driver's sockets: datagrams and links on one port.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use nigh_base::Address;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

/// Opens both on `address`, and says which port they have.
pub(super) fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let mut tries = 1;
    loop {
        let datagrams = open(address, Type::DGRAM, Protocol::UDP)?;
        // A burst waits here while the machine is busy. The kernel gives what it allows.
        drop(datagrams.set_recv_buffer_size(BUFFER_BYTES));
        drop(datagrams.set_send_buffer_size(BUFFER_BYTES));
        let datagrams = UdpSocket::from_std(datagrams.into())?;
        let bound = datagrams.local_addr()?;
        match listen(bound) {
            Ok(listener) => return Ok((datagrams, listener, bound)),
            // The port was chosen for datagrams, and somebody else may have its other half.
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && address.port() == 0
                    && tries < PORT_TRIES =>
            {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// `to` as a socket of that family names it.
pub(super) fn target(to: Address, is_ipv6: bool) -> SocketAddr {
    match SocketAddr::from(to) {
        SocketAddr::V4(to) if is_ipv6 => (to.ip().to_ipv6_mapped(), to.port()).into(),
        to => to,
    }
}

/// From where links are dialled, if the driver is held to one address: peers then see the one that
/// they know from datagrams.
pub(super) fn source(bound: SocketAddr) -> Option<IpAddr> {
    Some(bound.ip()).filter(|ip| !ip.is_unspecified())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if kind == Type::STREAM {
        // Links of an earlier run may still be ending on this port.
        socket.set_reuse_address(true)?;
    }
    if address.is_ipv6() {
        // `[::]` is for both families, as everywhere.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What is asked of the kernel for datagrams, each way: some thousand small ones.
const BUFFER_BYTES: usize = 1 << 20;
/// Links that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;
/// How often the system is asked for a port whose other half is free too. Of 28,000 ports few are
/// in use, so the second try nearly always succeeds.
const PORT_TRIES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_for_both_families_is_given_mapped_addresses() {
        let four = Address::v4([192, 0, 2, 1], 80);
        assert_eq!(target(four, false).to_string(), "192.0.2.1:80");
        assert_eq!(target(four, true).to_string(), "[::ffff:192.0.2.1]:80");
        let six = Address::from("[2001:db8::1]:80".parse::<SocketAddr>().unwrap());
        assert_eq!(target(six, true).to_string(), "[2001:db8::1]:80");
    }

    #[tokio::test]
    async fn both_sockets_have_one_port() {
        let (datagrams, listener, bound) = bind(([127, 0, 0, 1], 0).into()).unwrap();
        assert_eq!(datagrams.local_addr().unwrap(), bound);
        assert_eq!(listener.local_addr().unwrap(), bound);
    }
}
