//! Endpoints on loopback: who is heard, and what is not.
//!
//! Nothing here waits for a length of time but to show that nothing comes; there, a later message that
//! does come says that the wait is over.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use nigh_base::Address;
use parking_lot::Mutex;
use tokio::{net::UdpSocket, time::timeout};

use super::{Book, Counts, DATAGRAM_MAX, Datagrams, QUEUE, SendError, Settings};
use crate::cluster::{
    authority::{Authority, LIFETIME},
    credentials::{Credentials, Shown},
    testing::{SetClock, authority, edge, name},
    tls::Trust,
};

/// How long nothing may happen: far more than anything here takes on a busy computer.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    clock: SetClock,
    authority: Authority,
}

struct Edge {
    datagrams: Datagrams,
    trust: Arc<Trust>,
    book: Arc<Book>,
    address: Address,
}

impl Cluster {
    fn new() -> Self {
        let clock = SetClock::new();
        let authority = authority(clock.now());
        Self { clock, authority }
    }

    fn credentials(&self, edge_name: &str) -> Credentials {
        edge(&self.authority, edge_name, self.clock.now())
    }

    fn edge(&self, edge_name: &str) -> Edge {
        self.edge_with(&self.credentials(edge_name))
    }

    fn edge_with(&self, credentials: &Credentials) -> Edge {
        let trust = Trust::of(credentials, self.clock.clock()).unwrap();
        let book = Arc::new(Book::default());
        let settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            trust: Arc::clone(&trust),
            shown: Shown::new(credentials),
            book: Arc::clone(&book),
        };
        let datagrams = Datagrams::bind(settings).unwrap();
        let address = datagrams.address().into();
        Edge { datagrams, trust, book, address }
    }
}

/// Writes into each edge's book where the others are.
fn introduce(edges: &[(&str, &Edge)]) {
    for (_, edge) in edges {
        edge.book.set(edges.iter().map(|(known, other)| (name(known), other.address))).unwrap();
    }
}

impl Edge {
    fn send(&self, to: &Self, message: &str) {
        self.datagrams.send(to.address, message.as_bytes()).unwrap();
    }

    async fn next(&mut self) -> (Address, Bytes) {
        let next = async {
            loop {
                self.datagrams.readable().await;
                if let Some(next) = self.datagrams.try_receive() {
                    return next;
                }
            }
        };
        timeout(PATIENCE, next).await.expect("nothing came")
    }

    async fn hears(&mut self, from: &Self, message: &str) {
        assert_eq!(self.next().await, (from.address, Bytes::copy_from_slice(message.as_bytes())));
    }

    fn counts(&self) -> Counts {
        self.datagrams.counters().read()
    }

    /// Waits until it has counted something.
    async fn counted(&self, what: impl Fn(Counts) -> bool) {
        let counted = async {
            while !what(self.counts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, counted).await.expect("it was not counted");
    }
}

#[tokio::test]
async fn datagrams_go_both_ways_over_one_connection() {
    let cluster = Cluster::new();
    let (mut a, mut b) = (cluster.edge("a"), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &b)]);
    a.send(&b, "one");
    b.hears(&a, "one").await;
    b.send(&a, "two");
    a.hears(&b, "two").await;
    a.send(&b, "three");
    b.hears(&a, "three").await;
    assert_eq!((a.counts().dialled, b.counts().dialled), (1, 0));
}

#[tokio::test]
async fn who_was_started_again_is_spoken_to_on_the_connection_that_it_knows() {
    let cluster = Cluster::new();
    let (mut a, mut former) = (cluster.edge("a"), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &former)]);
    a.send(&former, "one");
    former.hears(&a, "one").await;
    // Its former process is still there, as a dead one is for its others.
    let mut b = cluster.edge("b");
    introduce(&[("a", &a), ("b", &b)]);
    b.send(&a, "I am back");
    a.hears(&b, "I am back").await;
    a.send(&b, "two");
    b.hears(&a, "two").await;
}

#[tokio::test]
async fn the_longest_datagram_arrives_and_a_longer_one_is_told() {
    let cluster = Cluster::new();
    let (a, mut b) = (cluster.edge("a"), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &b)]);
    let longest = "x".repeat(DATAGRAM_MAX);
    a.send(&b, &longest);
    b.hears(&a, &longest).await;
    let longer = vec![b'x'; DATAGRAM_MAX + 1];
    assert_eq!(a.datagrams.send(b.address, &longer), Err(SendError::TooLong));
    let nobody = Address::v4([127, 0, 0, 1], 1);
    assert_eq!(a.datagrams.send(nobody, b"x"), Err(SendError::Nobody));
}

#[tokio::test]
async fn the_sender_is_who_its_certificate_says_and_at_the_address_in_the_book() {
    let cluster = Cluster::new();
    let (a, mut b) = (cluster.edge("a"), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &b)]);
    // In b's book, a is elsewhere: where the packets come from says nothing.
    let elsewhere = Address::v4([192, 0, 2, 1], 7300);
    b.book.set([(name("a"), elsewhere)]).unwrap();
    a.send(&b, "x");
    assert_eq!(b.next().await.0, elsewhere);
}

#[tokio::test]
async fn strangers_are_not_heard() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let (a, mut b) = (cluster.edge("a"), cluster.edge("b"));
    // An authority of the same name, and an edge of ours that is in no book.
    let (stranger, unknown) = (other.edge("c"), cluster.edge("d"));
    introduce(&[("a", &a), ("b", &b), ("c", &stranger)]);
    unknown.book.set([(name("b"), b.address)]).unwrap();
    stranger.send(&b, "let me in");
    stranger.counted(|counts| counts.lost_out == 1).await;
    unknown.send(&b, "me too");
    b.counted(|counts| counts.refused >= 1).await;
    a.send(&b, "I belong");
    b.hears(&a, "I belong").await;
    assert!(b.datagrams.try_receive().is_none());
    // Nor are they spoken to.
    b.send(&stranger, "who are you");
    b.counted(|counts| counts.lost_out == 1).await;
}

#[tokio::test]
async fn a_revoked_edge_is_not_heard_on_a_connection_that_it_has_either() {
    let cluster = Cluster::new();
    let credentials = cluster.credentials("a");
    let (mut a, mut b) = (cluster.edge_with(&credentials), cluster.edge("b"));
    let c = cluster.edge("c");
    introduce(&[("a", &a), ("b", &b), ("c", &c)]);
    a.send(&b, "one");
    b.hears(&a, "one").await;
    b.send(&a, "two");
    a.hears(&b, "two").await;
    // What waits already is not handed on.
    a.send(&b, "three");
    timeout(PATIENCE, b.datagrams.readable()).await.unwrap();
    let identity = credentials.identity();
    b.trust.revoke(&[(identity.serial.join(), identity.ends)].into());
    assert!(b.datagrams.try_receive().is_none());
    // A new connection is refused as well.
    b.counted(|counts| {
        _ = a.datagrams.send(b.address, b"four");
        counts.refused > 0
    })
    .await;
    // Nothing is sent to it.
    b.send(&a, "five");
    b.counted(|counts| counts.lost_out > 0).await;
    c.send(&b, "six");
    b.hears(&c, "six").await;
    assert!(b.datagrams.try_receive().is_none() && a.datagrams.try_receive().is_none());
}

#[tokio::test]
async fn a_certificate_that_ends_ends_its_connection() {
    let cluster = Cluster::new();
    let (a, mut b) = (cluster.edge("a"), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &b)]);
    a.send(&b, "one");
    b.hears(&a, "one").await;
    a.send(&b, "two");
    timeout(PATIENCE, b.datagrams.readable()).await.unwrap();
    cluster.clock.advance(LIFETIME + Duration::from_secs(1));
    assert!(b.datagrams.try_receive().is_none());
    assert_eq!(b.counts().lost_in, 1);
}

#[tokio::test]
async fn an_edge_that_was_started_anew_is_heard_at_once() {
    let cluster = Cluster::new();
    let credentials = cluster.credentials("a");
    let (a, mut b) = (cluster.edge_with(&credentials), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &b)]);
    a.send(&b, "one");
    b.hears(&a, "one").await;
    drop(a);
    let mut a = cluster.edge_with(&credentials);
    introduce(&[("a", &a), ("b", &b)]);
    a.send(&b, "two");
    b.hears(&a, "two").await;
    b.send(&a, "three");
    a.hears(&b, "three").await;
}

#[tokio::test]
async fn what_waits_for_a_connection_is_bounded_and_the_oldest_are_lost() {
    let cluster = Cluster::new();
    let (a, mut b) = (cluster.edge("a"), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &b)]);
    for number in 0..QUEUE + 5 {
        a.send(&b, &number.to_string());
    }
    assert_eq!(a.counts().lost_out, 5);
    b.hears(&a, "5").await;
}

#[tokio::test]
async fn both_may_call_at_the_same_moment() {
    let cluster = Cluster::new();
    let (mut a, mut b) = (cluster.edge("a"), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &b)]);
    a.send(&b, "from a");
    b.send(&a, "from b");
    b.hears(&a, "from a").await;
    a.hears(&b, "from b").await;
    for number in 0..10 {
        a.send(&b, &number.to_string());
        b.hears(&a, &number.to_string()).await;
    }
}

/// Carries packets between one who calls it and `to`, and keeps those that were on their way there.
struct Relay {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    async fn start(to: Address) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let (to, seen) = (SocketAddr::from(to), Arc::new(Mutex::new(Vec::new())));
        let (carrying, kept) = (Arc::clone(&socket), Arc::clone(&seen));
        let caller = AtomicU16::new(0);
        tokio::spawn(async move {
            let mut packet = vec![0; 2048];
            loop {
                let (length, from) = carrying.recv_from(&mut packet).await.unwrap();
                let target = if from == to {
                    ([127, 0, 0, 1], caller.load(Ordering::Relaxed)).into()
                } else {
                    caller.store(from.port(), Ordering::Relaxed);
                    kept.lock().push(packet[..length].to_vec());
                    to
                };
                carrying.send_to(&packet[..length], target).await.unwrap();
            }
        });
        Self { socket, to, seen }
    }

    fn address(&self) -> Address {
        self.socket.local_addr().unwrap().into()
    }

    /// Sends all that it has seen once more, from where it came from.
    async fn replay(&self) -> usize {
        let seen = self.seen.lock().clone();
        for packet in &seen {
            self.socket.send_to(packet, self.to).await.unwrap();
        }
        seen.len()
    }
}

#[tokio::test]
async fn what_was_recorded_and_is_sent_again_arrives_once() {
    let cluster = Cluster::new();
    let (a, mut b) = (cluster.edge("a"), cluster.edge("b"));
    introduce(&[("a", &a), ("b", &b)]);
    let relay = Relay::start(b.address).await;
    a.book.set([(name("b"), relay.address())]).unwrap();
    a.datagrams.send(relay.address(), b"once").unwrap();
    b.hears(&a, "once").await;
    // Into the connection that exists, three times.
    for _ in 0..3 {
        assert!(relay.replay().await > 3, "the relay has seen the whole conversation");
    }
    a.datagrams.send(relay.address(), b"after").unwrap();
    b.hears(&a, "after").await;
    // And when the connection has ended, so that no packet number is remembered.
    drop(a);
    let again = cluster.edge("a");
    introduce(&[("a", &again), ("b", &b)]);
    again.send(&b, "anew");
    b.hears(&again, "anew").await;
    relay.replay().await;
    again.send(&b, "last");
    b.hears(&again, "last").await;
    assert!(b.datagrams.try_receive().is_none());
}
