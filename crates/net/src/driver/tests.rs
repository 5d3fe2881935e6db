//! Drivers on loopback: what a machine asks for happens, and what happens it is told.
//!
//! Nothing here waits for a length of time: a test waits for an event, and fails if there is none
//! for [`PATIENCE`].

mod cluster;
mod links;
mod probe;
mod recordings;
mod slots;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use nigh_base::{
    Address, Digest, Machine, Time,
    machine::{Coded, Context, Input, Slot},
};
use tokio::{
    net::UdpSocket,
    task::{JoinHandle, LocalSet},
    time::timeout,
};

use self::probe::{Ask, Probe, Told};
use super::{Counts, Driver, EVENTS, Handle, Settings};

/// How long nothing may happen: far more than anything here takes on a busy computer.
const PATIENCE: Duration = Duration::from_secs(60);

/// More pings than are sent in [`PATIENCE`]: on a busy computer an answer may take long.
const PATIENT: u64 = 10_000;

/// A driver that runs a probe.
struct Node {
    handle: Handle<Ask, Told>,
    running: JoinHandle<Coded<Probe>>,
}

impl Node {
    fn start(slots: Option<&Path>, record: Option<&Path>) -> Self {
        let settings = Settings { slots: slots.map(Path::to_owned), ..settings() };
        let (mut driver, handle) = Driver::bind(Coded::new(Probe::default()), settings).unwrap();
        if let Some(path) = record {
            driver.record(path).unwrap();
        }
        Self { handle, running: tokio::task::spawn_local(driver.run()) }
    }

    fn new() -> Self {
        Self::start(None, None)
    }

    fn address(&self) -> Address {
        self.handle.address.into()
    }

    fn counts(&self) -> Counts {
        self.handle.counters.read()
    }

    async fn ask(&self, ask: Ask) {
        self.handle.commands.send(ask).await.unwrap();
    }

    async fn next(&mut self) -> Told {
        in_time(self.handle.events.recv()).await.expect("the driver runs")
    }

    /// Everything that it is told up to and with the answer to a ping to `to`.
    async fn until_answer(&mut self, to: &Self) -> Vec<Told> {
        self.ask(Ask::Ping(to.address(), PATIENT)).await;
        let mut told = Vec::new();
        while told.last() != Some(&Told::Answered(to.address())) {
            told.push(self.next().await);
        }
        told
    }

    async fn stop(self) -> Coded<Probe> {
        drop(self.handle);
        in_time(self.running).await.unwrap()
    }
}

fn settings() -> Settings {
    Settings { listen: ([127, 0, 0, 1], 0).into(), slots: None, seed: 1 }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("something happens in time")
}

/// Runs a test on one thread; machines need not be `Send`.
fn on_loopback(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.unwrap(), test);
}

/// A directory that goes when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nigh-driver-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn datagrams_cross_both_ways() {
    on_loopback(async {
        let (mut a, mut b) = (Node::new(), Node::new());
        assert_eq!(a.until_answer(&b).await, [Told::Answered(b.address())]);
        assert_eq!(b.until_answer(&a).await, [Told::Answered(a.address())]);
        assert!(a.counts().datagrams_in >= 2 && a.counts().datagrams_out >= 2);
    });
}

#[test]
fn wakes_come_until_a_machine_gives_up() {
    on_loopback(async {
        let mut a = Node::new();
        // It is there, so that nobody else has the port, and never answers.
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = silent.local_addr().unwrap().into();
        a.ask(Ask::Ping(to, 3)).await;
        assert_eq!(a.next().await, Told::Lost(to));
        let counts = a.counts();
        assert!(counts.wakes >= 3, "{counts:?}");
        assert_eq!(counts.datagrams_out, 3);
    });
}

#[test]
fn a_datagram_that_cannot_be_sent_is_counted_and_ends_nothing() {
    on_loopback(async {
        let (mut a, b) = (Node::new(), Node::new());
        // A socket on 127.0.0.1 has no way to IPv6, nor for what is longer than a datagram.
        let nowhere: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
        a.ask(Ask::Ping(nowhere.into(), PATIENT)).await;
        a.ask(Ask::Shout(b.address())).await;
        assert_eq!(a.until_answer(&b).await, [Told::Answered(b.address())]);
        assert!(a.counts().send_errors >= 2, "{:?}", a.counts());
    });
}

#[test]
fn a_flood_of_garbage_stops_nothing() {
    on_loopback(async {
        let (mut a, b) = (Node::new(), Node::new());
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = a.handle.address;
        let flood = tokio::task::spawn_local(async move {
            let mut rng = nigh_base::Rng::new(3);
            loop {
                let length = rng.index(1200);
                let garbage: Vec<u8> =
                    (0..length).map(|_| rng.next_u64().to_le_bytes()[0] | 0x80).collect();
                // The flood is told of no errors: it goes on.
                drop(stranger.send_to(&garbage, target).await);
                tokio::task::yield_now().await;
            }
        });
        // Datagrams and timers both go on: who does not answer is given up.
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let silent = silent.local_addr().unwrap().into();
        a.ask(Ask::Ping(silent, 3)).await;
        let mut told = Vec::new();
        while !told.contains(&Told::Lost(silent)) {
            told.extend(a.until_answer(&b).await);
        }
        flood.abort();
        assert!(a.stop().await.refused() > 0);
    });
}

#[test]
fn a_caller_who_reads_late_loses_no_event() {
    on_loopback(async {
        let mut a = Node::new();
        let many = u32::try_from(3 * EVENTS).unwrap();
        a.ask(Ask::Count(many)).await;
        for number in 0..many {
            assert_eq!(a.next().await, Told::Number(number));
        }
    });
}

#[test]
fn a_caller_who_reads_no_events_stops_nothing() {
    on_loopback(async {
        let Node { handle, running } = Node::new();
        let Handle { commands, events, counters, .. } = handle;
        drop(events);
        commands.send(Ask::Count(10)).await.unwrap();
        drop(commands);
        in_time(running).await.unwrap();
        assert_eq!(counters.read().events_unread, 10);
    });
}

#[test]
fn commands_that_wait_are_handled_before_the_driver_stops() {
    on_loopback(async {
        let mut a = Node::new();
        for _ in 0..super::COMMANDS {
            a.handle.commands.try_send(Ask::Count(1)).unwrap();
        }
        let (none, _) = tokio::sync::mpsc::channel(1);
        a.handle.commands = none;
        for _ in 0..super::COMMANDS {
            assert_eq!(a.next().await, Told::Number(0));
        }
        assert_eq!(in_time(a.handle.events.recv()).await, None);
    });
}

#[test]
fn a_wake_that_is_always_due_lets_everything_else_in() {
    on_loopback(async {
        let (driver, mut handle) = Driver::bind(Restless::default(), settings()).unwrap();
        let running = tokio::task::spawn_local(driver.run());
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..20 {
            other.send_to(b"hello", handle.address).await.unwrap();
            assert_eq!(in_time(handle.events.recv()).await, Some("datagram"));
            handle.commands.send(()).await.unwrap();
            assert_eq!(in_time(handle.events.recv()).await, Some("command"));
        }
        drop(handle);
        assert!(in_time(running).await.unwrap().wakes > 0);
    });
}

#[test]
fn two_drivers_have_no_address_in_common() {
    on_loopback(async {
        let a = Node::new();
        let settings = Settings { listen: a.handle.address, ..settings() };
        let second = Driver::bind(Coded::new(Probe::default()), settings);
        assert!(matches!(second, Err(super::BindError::Listen { .. })));
    });
}

/// A machine that is wrong: it always wants to be woken at once.
#[derive(Debug, Default)]
struct Restless {
    wakes: u64,
}

impl Machine for Restless {
    type Message = Bytes;
    type Command = ();
    type Event = &'static str;

    fn handle(&mut self, input: Input<Bytes, ()>, cx: &mut Context<'_, Self>) {
        match input {
            Input::Wake => self.wakes += 1,
            Input::Message { .. } => cx.tell("datagram"),
            Input::Command(()) => cx.tell("command"),
            _ => {}
        }
    }

    fn wake_at(&self) -> Option<Time> {
        Some(Time::START)
    }

    fn digest(&self, _: &mut Digest) {}
}

/// A slot for tests that need only one.
const SLOT: Slot = Slot(7);
