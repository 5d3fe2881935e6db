//! Nodes of an overlay in this process: drivers on one thread, each with its own sockets; they share
//! nothing.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use nigh_base::{Key, Rng, machine::Coded};
use nigh_net::{
    driver::{self, Driver, HandleOf},
    entropy,
};
use nigh_overlay::locate::{Command, Contact, Event, Overlay, Ticket};
use tokio::{
    task::{JoinHandle, spawn_local},
    time::timeout,
};

use super::PATIENCE;

/// What every overlay is put through: so many nodes, of which so many die at once.
pub(crate) const NODES: usize = 64;
pub(crate) const KILLED: usize = 21;
pub(crate) const VALUES: usize = 100;
pub(crate) const LOOKUPS: usize = 300;
/// Of them, those that are begun while nobody has noticed anything: one a node, since most wait for
/// nodes that are dead.
pub(crate) const EARLY: usize = NODES - KILLED;
/// Between two rounds; short, since tests wait for some of them.
pub(crate) const UPKEEP: Duration = Duration::from_millis(150);

/// One question at a time is asked of a node, so all have one ticket.
pub(crate) const TICKET: Ticket = Ticket(1);

/// A node and its driver; dropped, it is dead without a word.
pub(crate) struct Driven<T: Overlay> {
    pub(crate) contact: Contact,
    handle: HandleOf<Coded<T>>,
    running: JoinHandle<Coded<T>>,
}

impl<T: Overlay> Drop for Driven<T> {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl<T: Overlay + 'static> Driven<T> {
    /// A node on any port, that `make` makes of its address.
    pub(crate) fn start(make: impl FnOnce(SocketAddr) -> T) -> Self {
        let settings = driver::Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            slots: None,
            seed: entropy::seed(),
        };
        let (driver, handle) =
            Driver::bind_with(settings, |bound| Coded::new(make(bound))).unwrap();
        let contact = driver.machine().machine().contacts()[0];
        Self { contact, handle, running: spawn_local(driver.run()) }
    }

    /// What it says to `command`. It is told nothing else, so the next event is the answer.
    pub(crate) async fn ask(&mut self, command: Command) -> Event {
        self.handle.commands.send(command.into()).await.unwrap();
        T::told(in_time(self.handle.events.recv()).await.unwrap()).unwrap()
    }

    pub(crate) async fn join(&mut self, via: Option<Contact>) {
        let via = via.into_iter().map(|it| it.address).collect();
        assert_eq!(self.ask(Command::Join { via }).await, Event::Joined);
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("something happens in time")
}

/// Has each node ask some of `commands`, all nodes at once. The answers, in the same order.
pub(crate) async fn ask_all<T: Overlay + 'static>(
    nodes: &mut Vec<Driven<T>>,
    commands: Vec<Command>,
) -> Vec<Event> {
    let count = nodes.len();
    let mut shares: Vec<Vec<(usize, Command)>> = vec![Vec::new(); count];
    for (at, command) in commands.into_iter().enumerate() {
        shares[at % count].push((at, command));
    }
    let asked = std::mem::take(nodes).into_iter().zip(shares).map(|(mut node, share)| {
        spawn_local(async move {
            let mut answers = Vec::new();
            for (at, command) in share {
                answers.push((at, node.ask(command).await));
            }
            (node, answers)
        })
    });
    let mut answers = BTreeMap::new();
    for asked in asked.collect::<Vec<_>>() {
        let (node, some) = asked.await.unwrap();
        nodes.push(node);
        answers.extend(some);
    }
    answers.into_values().collect()
}

/// Keys as good as those of any content.
pub(crate) fn keys(seed: u64, count: usize) -> Vec<Key> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| Key::of(&rng.next_u64().to_be_bytes())).collect()
}

/// Has [`VALUES`] of all kinds of lengths put through all nodes; how many copies there are of each must be one
/// of `copies`.
pub(crate) async fn put_values<T: Overlay + 'static>(
    nodes: &mut Vec<Driven<T>>,
    copies: &[u8],
) -> BTreeMap<Key, Bytes> {
    let values: BTreeMap<Key, Bytes> = (0..VALUES)
        .map(|number| (Key::of(format!("key {number}").as_bytes()), vec![b'x'; number].into()))
        .collect();
    let lifetime = Duration::from_secs(3600);
    let put = |(&key, value): (&Key, &Bytes)| {
        let value = value.clone();
        Command::Put { ticket: TICKET, key, value, lifetime, refresh: false }
    };
    for answer in ask_all(nodes, values.iter().map(put).collect()).await {
        let Event::Stored { copies: made, .. } = answer else { panic!("{answer:?}") };
        assert!(copies.contains(&made), "{made} copies");
    }
    values
}

/// Has [`KILLED`] nodes die, which `rng` draws.
pub(crate) fn kill<T: Overlay>(nodes: &mut Vec<Driven<T>>, rng: &mut Rng) {
    for _ in 0..KILLED {
        let victim = rng.index(nodes.len());
        drop(nodes.swap_remove(victim));
    }
}
