//! Many nodes of a DHT that do nothing but answer: one socket and one id each, and each knows all others.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nigh_base::{Address, Key, wire::Wire as _};
use nigh_overlay::locate::{
    Contact,
    kademlia::{
        krpc::{Body, Message, Method, NODES_SENT, Query, Response},
        secure_id,
    },
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// So many: a table of a node has some forty of them.
const NODES: u8 = 250;

/// The nodes, until this is dropped.
#[derive(Debug)]
pub(super) struct Crowd {
    first: SocketAddrV4,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Has them listen.
    pub(super) fn start() -> io::Result<Self> {
        let address = |number: u8| SocketAddrV4::new(Ipv4Addr::new(198, 18, number, 1), 6881);
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            let socket = UdpSocket::bind(address(number))?;
            socket.set_nonblocking(true)?;
            let at = Address::from(SocketAddr::from(address(number)));
            let key = secure_id::bound(at.ip(), Key::of(&[number]));
            nodes.push((socket, Contact { key, address: at }));
        }
        let ends = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                answer(&nodes);
            }
        });
        Ok(Self { first: address(1), ends, thread: Some(thread) })
    }

    /// One through which others may come in.
    pub(super) const fn first(&self) -> SocketAddrV4 {
        self.first
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers what has come, or waits for a tenth of a second.
fn answer(nodes: &[(UdpSocket, Contact)]) {
    let mut waiting: Vec<PollFd<'_>> =
        nodes.iter().map(|(socket, _)| PollFd::new(socket, PollFlags::IN)).collect();
    if poll(&mut waiting, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 })).is_err() {
        return;
    }
    let mut buffer = [0; 2048];
    for ((socket, me), waiting) in nodes.iter().zip(&waiting) {
        if waiting.revents().is_empty() {
            continue;
        }
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answered(&buffer[..length], *me, nodes) {
                // A node that is gone already does not want it.
                let _ = socket.send_to(&answer.encode(), from);
            }
        }
    }
}

/// The answer of a node to a question.
fn answered(bytes: &[u8], me: Contact, nodes: &[(UdpSocket, Contact)]) -> Option<Message> {
    let message = Message::decode(bytes).ok()?;
    let Body::Query(Query { method, .. }) = message.body else { return None };
    let mut response = Response::of(me.key);
    if let Method::FindNode { target: near } | Method::GetPeers { info_hash: near, .. } = method {
        let mut all: Vec<Contact> = nodes.iter().map(|(_, contact)| *contact).collect();
        all.sort_unstable_by_key(|it| it.key.xor(near));
        all.truncate(NODES_SENT);
        response.nodes = Some(all);
        response.token = Some(b"crowd"[..].into());
    }
    let body = Body::Response(Box::new(response));
    Some(Message { transaction: message.transaction, version: None, body })
}
