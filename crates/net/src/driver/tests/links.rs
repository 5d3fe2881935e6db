//! Links between drivers, and between a driver and a bare socket.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use bytes::Bytes;
use nigh_base::machine::{LINK_QUEUE_FULL, Link};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
};

use super::{
    super::{
        counters::Counters,
        link::{CLOSE_TIME, Line},
        links::LinkEvent,
        queue::{Order, SendQueue},
    },
    Ask, Node, Told, in_time, on_loopback,
    probe::{self, Manner},
};

/// The first link that is dialled, and the first that is accepted.
const DIALLED: Link = Link(1);
const ACCEPTED: Link = Link(2);

const MEGABYTES: u64 = 8 << 20;

fn pour(to: &Node, bytes: u64, manner: Manner) -> Ask {
    Ask::Pour { to: to.address(), bytes, manner }
}

#[test]
fn megabytes_cross_a_link_in_order_and_the_sender_waits_for_room() {
    on_loopback(async {
        let (mut a, mut b) = (Node::new(), Node::new());
        a.ask(pour(&b, MEGABYTES, Manner::Patient)).await;
        assert_eq!(a.next().await, Told::Opened(DIALLED));
        assert_eq!(a.next().await, Told::Poured(DIALLED));
        assert_eq!(b.next().await, Told::Opened(ACCEPTED));
        // The machine that receives looks at every byte.
        assert_eq!(b.next().await, Told::Sunk { link: ACCEPTED, bytes: MEGABYTES });
        assert_eq!(b.next().await, Told::Closed(ACCEPTED));
        assert_eq!(a.counts().links_overrun, 0);
        let a = a.stop().await;
        let least = MEGABYTES / (2 * LINK_QUEUE_FULL as u64);
        assert!(a.machine().drained >= least, "{} of {least}", a.machine().drained);
    });
}

#[test]
fn links_both_ways_at_once_do_not_hold_each_other_up() {
    on_loopback(async {
        let (mut a, mut b) = (Node::new(), Node::new());
        a.ask(pour(&b, MEGABYTES, Manner::Patient)).await;
        b.ask(pour(&a, MEGABYTES, Manner::Patient)).await;
        for node in [&mut a, &mut b] {
            let mut told = Vec::new();
            while !told.contains(&Told::Poured(DIALLED)) {
                told.push(node.next().await);
            }
        }
    });
}

#[test]
fn a_link_closes_once_and_not_for_who_closed_it() {
    on_loopback(async {
        let (mut a, mut b) = (Node::new(), Node::new());
        a.ask(pour(&b, 1000, Manner::Patient)).await;
        assert_eq!(a.next().await, Told::Opened(DIALLED));
        assert_eq!(a.next().await, Told::Poured(DIALLED));
        while b.next().await != Told::Closed(ACCEPTED) {}
        // Nothing more comes of it, at either end.
        assert_eq!(a.until_answer(&b).await, [Told::Answered(b.address())]);
        assert_eq!(b.until_answer(&a).await, [Told::Answered(a.address())]);
        assert_eq!((a.counts().links_open, b.counts().links_open), (0, 0));
    });
}

#[test]
fn a_dial_that_is_refused_is_closed() {
    on_loopback(async {
        let mut a = Node::new();
        // It has the port and does not listen.
        let deaf = TcpSocket::new_v4().unwrap();
        deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = deaf.local_addr().unwrap().into();
        a.ask(Ask::Pour { to, bytes: 1, manner: Manner::Patient }).await;
        assert_eq!(a.next().await, Told::Closed(DIALLED));
        assert_eq!(a.counts().links_open, 0);
    });
}

#[test]
fn a_driver_that_vanishes_closes_its_links() {
    on_loopback(async {
        let (mut a, mut b) = (Node::new(), Node::new());
        a.ask(pour(&b, 1, Manner::Silent)).await;
        assert_eq!(a.next().await, Told::Opened(DIALLED));
        assert_eq!(b.next().await, Told::Opened(ACCEPTED));
        b.running.abort();
        assert_eq!(a.next().await, Told::Closed(DIALLED));
    });
}

#[test]
fn a_machine_that_does_not_stop_sending_loses_the_link() {
    on_loopback(async {
        let (mut a, b) = (Node::new(), Node::new());
        a.ask(pour(&b, probe::RUDE_BYTES, Manner::Rude)).await;
        assert_eq!(a.next().await, Told::Opened(DIALLED));
        assert_eq!(a.next().await, Told::Closed(DIALLED));
        assert_eq!(a.counts().links_overrun, 1);
        assert_eq!(a.until_answer(&b).await, [Told::Answered(b.address())]);
    });
}

#[test]
fn what_was_sent_before_a_close_arrives_though_the_driver_stops() {
    on_loopback(async {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = peer.local_addr().unwrap().into();
        let bytes = 3 * LINK_QUEUE_FULL as u64;
        let mut a = Node::new();
        a.ask(Ask::Pour { to, bytes, manner: Manner::Hasty }).await;
        assert_eq!(a.next().await, Told::Opened(DIALLED));
        let (mut stream, _) = in_time(peer.accept()).await.unwrap();
        // What the peer sends meanwhile is read by nobody, and must not reset the link.
        stream.write_all(b"unread").await.unwrap();
        let reading = tokio::task::spawn_local(async move {
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.map(|_| received)
        });
        a.stop().await;
        let received = in_time(reading).await.unwrap().unwrap();
        let expected = bytes.to_be_bytes().into_iter().chain((0..bytes).map(probe::byte));
        assert!(received.into_iter().eq(expected));
    });
}

#[test]
fn a_peer_that_keeps_its_end_open_does_not_hold_the_driver_up() {
    on_loopback(async {
        let mut a = Node::new();
        let address = SocketAddr::from(a.address());
        // One with which nothing is spoken, and one that has got what was sent and does not close.
        let _idle = TcpStream::connect(address).await.unwrap();
        assert_eq!(a.next().await, Told::Opened(ACCEPTED));
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = silent.local_addr().unwrap().into();
        a.ask(Ask::Pour { to, bytes: 1, manner: Manner::Hasty }).await;
        assert_eq!(a.next().await, Told::Opened(DIALLED));
        let (_open, _) = in_time(silent.accept()).await.unwrap();
        let begun = Instant::now();
        a.stop().await;
        assert!(begun.elapsed() < CLOSE_TIME / 2, "it took {:?}", begun.elapsed());
    });
}

#[test]
fn a_link_is_read_only_as_far_as_the_driver_has_room() {
    on_loopback(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (events, mut heard) = mpsc::channel(1);
        let (queue, counters) = (Arc::new(SendQueue::default()), Arc::new(Counters::default()));
        let line = Line { link: ACCEPTED, queue, events, counters: Arc::clone(&counters) };
        tokio::spawn(line.carry(stream));
        let writing = tokio::spawn(async move { peer.write_all(&vec![0; 4 << 20]).await });
        let mut received = 0;
        while received < 4 << 20 {
            let Some(LinkEvent::Received { bytes, .. }) = in_time(heard.recv()).await else {
                panic!("the link ends after {received} bytes");
            };
            received += bytes.len() as u64;
            let read = counters.link_bytes_in.load(Ordering::Relaxed);
            assert!(read <= received + 64 * 1024, "{read} read, {received} received");
        }
        in_time(writing).await.unwrap().unwrap();
        assert!(matches!(in_time(heard.recv()).await, Some(LinkEvent::Closed { .. })));
    });
}

#[test]
fn a_link_that_is_broken_off_ends_at_once_though_nobody_reads() {
    on_loopback(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (events, mut heard) = mpsc::channel(1);
        let (queue, counters) = (Arc::new(SendQueue::default()), Arc::new(Counters::default()));
        let line = Line { link: ACCEPTED, queue: Arc::clone(&queue), events, counters };
        queue.push(Bytes::from(vec![0; 512 << 10]));
        tokio::spawn(line.carry(stream));
        queue.tell(Order::Break);
        assert!(matches!(in_time(heard.recv()).await, Some(LinkEvent::Closed { .. })));
        let mut rest = Vec::new();
        match in_time(peer.read_to_end(&mut rest)).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    });
}
