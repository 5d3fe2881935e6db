//! A machine on the datagrams of a cluster.

use std::sync::Arc;

use nigh_base::machine::{Coded, Link};
use tokio::{net::UdpSocket, task::spawn_local};

use super::{Ask, Driver, Node, PATIENT, Probe, Told, on_loopback, probe::Manner};
use crate::cluster::{
    credentials::Shown,
    datagrams::{Book, Datagrams, Settings},
    testing::{SetClock, authority, edge, name},
    tls::Trust,
};

/// Two drivers whose machines know each other by certificate.
fn two() -> [Node; 2] {
    let clock = SetClock::new();
    let authority = authority(clock.now());
    let book = Arc::new(Book::default());
    let names = ["a", "b"];
    let endpoints = names.map(|name| {
        let credentials = edge(&authority, name, clock.now());
        let settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            trust: Trust::of(&credentials, clock.clock()).unwrap(),
            shown: Shown::new(&credentials),
            book: Arc::clone(&book),
        };
        Datagrams::bind(settings).unwrap()
    });
    let known = names.iter().zip(&endpoints);
    book.set(known.map(|(text, endpoint)| (name(text), endpoint.address().into()))).unwrap();
    endpoints.map(|endpoint| {
        let machine = Coded::new(Probe::default());
        let (driver, handle) = Driver::over(endpoint, machine, None, 1).unwrap();
        Node { handle, running: spawn_local(driver.run()) }
    })
}

#[test]
fn machines_talk_by_certificate_and_a_stranger_is_not_heard() {
    on_loopback(async {
        let [mut a, mut b] = two();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..100 {
            stranger.send_to(b"\x00 a ping, if this were UDP", a.handle.address).await.unwrap();
        }
        assert_eq!(a.until_answer(&b).await, [Told::Answered(b.address())]);
        assert_eq!(b.until_answer(&a).await, [Told::Answered(a.address())]);
        let counts = a.counts();
        assert!(counts.datagrams_in < 100, "{counts:?}");
        assert_eq!(a.stop().await.refused(), 0);
    });
}

#[test]
fn there_are_no_links_beside_them() {
    on_loopback(async {
        let [mut a, b] = two();
        let (to, manner) = (b.address(), Manner::Patient);
        a.ask(Ask::Pour { to, bytes: 10, manner }).await;
        assert_eq!(a.next().await, Told::Closed(Link(1)));
        assert!(tokio::net::TcpStream::connect(b.handle.address).await.is_err());
        // To a machine that nobody has heard of, nothing goes.
        let nobody = nigh_base::Address::v4([127, 0, 0, 1], 9);
        a.ask(Ask::Ping(nobody, 2)).await;
        assert_eq!(a.next().await, Told::Lost(nobody));
        assert_eq!(a.counts().send_errors, 2);
        a.ask(Ask::Ping(b.address(), PATIENT)).await;
        assert_eq!(a.next().await, Told::Answered(b.address()));
    });
}
