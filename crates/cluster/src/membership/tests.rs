//! Clusters in simulated networks.

mod clusters;
mod strangers;
mod words;

use std::{collections::BTreeSet, time::Duration};

use nigh_base::Rng;
use nigh_sim::{HostId, Latency, Network, World};

use super::{Command, Contact, Event, Name, Node, Settings, State, fuzz::BORN};

fn network() -> Network {
    let mut network = Network::new(Latency::Constant(Duration::from_millis(5)));
    network.jitter = Duration::from_millis(5);
    network
}

fn name(host: HostId) -> Name {
    Name::new(&format!("edge-{:03}", host.0)).unwrap()
}

fn contact(host: HostId) -> Contact {
    Contact { name: name(host), address: host.address() }
}

fn contacts(count: u32) -> Vec<Contact> {
    (0..count).map(|number| contact(HostId(number))).collect()
}

/// A world in which all have joined through the first, at random moments.
fn joined(count: u32, network: Network, seed: u64) -> World<Node> {
    let mut world = World::new(seed, network);
    world.check_always();
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let host = world.add(Node::new(contact(HostId(number)), BORN, Settings::default()));
        let via = if number == 0 { vec![] } else { vec![contact(HostId(0))] };
        let at = world.now().after(rng.between(Duration::ZERO, Duration::from_secs(2)));
        world.command_at(at, host, Command::Join { via });
    }
    world
}

/// A world in which all know each other from the start.
fn settled(count: u32, network: Network, seed: u64) -> World<Node> {
    let mut world = World::new(seed, network);
    world.check_always();
    let (all, mut rng) = (contacts(count), Rng::new(seed));
    for contact in &all {
        let host = world.add(Node::settled(contact.clone(), BORN, &all, Settings::default()));
        let at = world.now().after(rng.between(Duration::ZERO, Duration::from_secs(1)));
        world.command_at(at, host, Command::Join { via: vec![] });
    }
    world
}

fn run(world: &mut World<Node>, secs: u64) {
    world.run_until(world.now().after(Duration::from_secs(secs)));
}

/// Those whom `host` takes for up, suspected ones too.
fn seen(world: &World<Node>, host: HostId) -> BTreeSet<Name> {
    let members = world.machine(host).unwrap().members();
    let is_up = |state| matches!(state, State::Up | State::Suspect);
    members.into_iter().filter(|it| is_up(it.state)).map(|it| it.name).collect()
}

/// Whether all of `hosts` see each other and nobody else.
fn agree(world: &World<Node>, hosts: &[HostId]) -> bool {
    hosts.iter().all(|&host| {
        let others = hosts.iter().filter(|&&it| it != host).map(|&it| name(it)).collect();
        seen(world, host) == others
    })
}

fn all(world: &World<Node>) -> Vec<HostId> {
    world.hosts().filter(|&host| world.is_up(host)).collect()
}

/// How `host` knows `other` to stand.
fn state(world: &World<Node>, host: HostId, other: HostId) -> State {
    world.machine(host).unwrap().member(&name(other)).unwrap().state
}

/// The events since this was last asked, of all hosts.
fn told(world: &mut World<Node>) -> Vec<(HostId, Event)> {
    world.take_events().into_iter().map(|told| (told.host, told.event)).collect()
}
