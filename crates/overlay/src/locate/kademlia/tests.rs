//! Kademlia on simulated networks.

mod networks;
mod stored;
mod strangers;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use nigh_base::{Key, Rng};
use nigh_sim::{HostId, Latency, Network, World};

use super::{Command, Event, Node, Settings};
use crate::locate::{self, Contact, Overlay as _, Ticket};

fn settings(change: impl FnOnce(&mut Settings)) -> Arc<Settings> {
    let mut settings = Settings { questions_a_second: None, ..Settings::default() };
    change(&mut settings);
    Arc::new(settings)
}

fn network() -> Network {
    let mut network = Network::new(Latency::Constant(Duration::from_millis(30)));
    network.jitter = Duration::from_millis(20);
    network
}

fn node(number: u32, settings: &Arc<Settings>) -> Node {
    let address = HostId(number).address();
    Node::new(Key::of(address.to_string().as_bytes()), address, Arc::clone(settings))
}

/// Nodes that have joined one after the other, through one that is drawn.
fn joined(count: u32, settings: &Arc<Settings>, seed: u64) -> World<Node> {
    let mut world = World::new(seed, network());
    world.check_always();
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let host = world.add(node(number, settings));
        let via = match number {
            0 => vec![],
            _ => vec![HostId(u32::try_from(rng.below(number.into())).unwrap()).address()],
        };
        order(&mut world, host, locate::Command::Join { via });
        run(&mut world, Duration::from_secs(2));
        assert!(world.machine(host).unwrap().is_member(), "node {number} has not joined");
    }
    run(&mut world, Duration::from_secs(120));
    world
}

fn run(world: &mut World<Node>, span: Duration) {
    let end = world.now().after(span);
    world.run_until(end);
}

fn order(world: &mut World<Node>, host: HostId, command: locate::Command) {
    world.command(host, Command::Locate(command));
}

/// What `host` is told once it was given a command.
fn told(world: &mut World<Node>, host: HostId, command: Command) -> Vec<Event> {
    world.take_events();
    world.command(host, command);
    run(world, Duration::from_secs(30));
    let events = world.take_events();
    events.into_iter().filter(|told| told.host == host).map(|told| told.event).collect()
}

fn put(world: &mut World<Node>, host: HostId, key: Key, value: &[u8]) -> Event {
    let (ticket, lifetime) = (Ticket(1), Duration::from_secs(86_400));
    let value = Bytes::copy_from_slice(value);
    let put = locate::Command::Put { ticket, key, value, lifetime, refresh: false };
    told(world, host, Command::Locate(put)).pop().unwrap()
}

fn get(world: &mut World<Node>, host: HostId, key: Key) -> Option<Bytes> {
    let get = locate::Command::Get { ticket: Ticket(2), key };
    match told(world, host, Command::Locate(get)).pop() {
        Some(Event::Locate(locate::Event::Value { value, .. })) => value,
        other => panic!("{other:?}"),
    }
}

/// All members that are up, the nearest to `key` first.
fn nearest(world: &World<Node>, key: Key) -> Vec<Contact> {
    let up = world.hosts().filter_map(|host| world.machine(host));
    let mut all: Vec<Contact> = up.filter(|it| it.is_member()).map(Node::contact).collect();
    all.sort_by_key(|it| it.key.xor(key));
    all
}

/// Asks every member for a key of its own: how many have named the nearest node first, and how many all of
/// the nearest ones, of how many.
fn look_up_everywhere(world: &mut World<Node>, seed: u64) -> (usize, usize, usize) {
    world.take_events();
    let mut rng = Rng::new(seed);
    let all = nearest(world, Key::default());
    for (number, contact) in all.iter().enumerate() {
        let key = Key::of(&rng.next_u64().to_be_bytes());
        let locate =
            locate::Command::Locate { ticket: Ticket(number as u64), key, trace: number % 2 == 0 };
        order(world, HostId::at(contact.address).unwrap(), locate);
    }
    run(world, Duration::from_secs(30));
    let (mut first, mut whole) = (0, 0);
    for told in world.take_events() {
        let Event::Locate(locate::Event::Located { key, holders, .. }) = told.event else {
            panic!("{told:?}")
        };
        let right = nearest(world, key);
        first += usize::from(holders.first() == right.first());
        whole += usize::from(holders.get(..8) == Some(&right[..8]));
    }
    (first, whole, all.len())
}
