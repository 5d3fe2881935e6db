//! Chord on the lecture's ring, message by message, and on simulated networks.

mod rings;
mod slides;
mod strangers;
mod values;

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Machine, Rng, Time, space::clockwise::Circle};
use nigh_sim::{HostId, Latency, Network, World};

use super::{Node, Routing, Settings, settled::Ring};
use crate::locate::{Command, Contact, Event, Ticket};

const ROUTINGS: [Routing; 3] = [Routing::Iterative, Routing::Recursive, Routing::Blind];

fn settings(change: impl FnOnce(&mut Settings)) -> Arc<Settings> {
    let mut settings = Settings::default();
    change(&mut settings);
    Arc::new(settings)
}

fn network() -> Network {
    let mut network = Network::new(Latency::Constant(Duration::from_millis(30)));
    network.jitter = Duration::from_millis(20);
    network
}

/// The node of host `number`, by the paper's rule for keys.
fn node(number: u32, settings: &Arc<Settings>) -> Node {
    let address = HostId(number).address();
    let key = settings.circle.wrap(Key::of(address.to_string().as_bytes()));
    Node::new(key, address, Arc::clone(settings))
}

/// A ring whose nodes have joined one after the other, through one that is drawn.
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
        world.command(host, Command::Join { via });
        run(&mut world, Duration::from_secs(2));
        assert!(world.machine(host).unwrap().is_member(), "node {number} has not joined");
    }
    run(&mut world, Duration::from_secs(60));
    world
}

fn run<T>(world: &mut World<T>, span: Duration)
where
    T: Machine + Send,
    T::Message: nigh_base::wire::Wire + Clone + Send,
    T::Command: Send,
    T::Event: Send,
{
    let end = world.now().after(span);
    world.run_until(end);
}

/// All members that are up, in the order of their keys.
fn members(world: &World<Node>) -> Vec<Contact> {
    let up = world.hosts().filter_map(|host| world.machine(host));
    let mut contacts: Vec<Contact> = up.filter(|it| it.is_member()).map(Node::contact).collect();
    contacts.sort_unstable();
    contacts
}

/// Holds that every member knows its next nodes and the one before it.
fn assert_whole(world: &World<Node>) {
    let all = members(world);
    for (place, me) in all.iter().enumerate() {
        let node = world.machine(HostId::at(me.address).unwrap()).unwrap();
        let behind: Vec<Contact> = (1..all.len())
            .take(node.settings.successors)
            .map(|step| all[(place + step) % all.len()])
            .collect();
        assert_eq!(node.successors(), behind, "successors of {me:?}");
        if all.len() > 1 {
            let before = all[(place + all.len() - 1) % all.len()];
            assert_eq!(node.predecessor(), Some(before), "predecessor of {me:?}");
        }
    }
}

/// Who is responsible for `key` among all members.
fn owner(world: &World<Node>, key: Key) -> Contact {
    let all = members(world);
    all[all.partition_point(|it| it.key < key) % all.len()]
}

/// Asks every member for a key of its own, and says which answers were wrong, and how many hops the
/// others took.
fn look_up_everywhere(world: &mut World<Node>, seed: u64) -> (Vec<String>, f64) {
    world.take_events();
    let mut rng = Rng::new(seed);
    let all = members(world);
    for (number, contact) in all.iter().enumerate() {
        let circle: Circle =
            world.machine(HostId(0)).map_or(Circle::WHOLE, |it| it.settings.circle);
        let key = circle.wrap(Key::of(&rng.next_u64().to_be_bytes()));
        let locate = Command::Locate { ticket: Ticket(number as u64), key, trace: false };
        world.command(HostId::at(contact.address).unwrap(), locate);
    }
    run(world, Duration::from_secs(30));
    let (mut right, mut hops_in_all, mut wrong) = (0u32, 0, Vec::new());
    for told in world.take_events() {
        if let Event::Located { key, holders, hops, .. } = &told.event
            && holders.first() == Some(&owner(world, *key))
        {
            right += 1;
            hops_in_all += hops;
        } else {
            wrong.push(format!("{told:?}"));
        }
    }
    assert_eq!(wrong.len() + right as usize, all.len(), "each is answered once");
    (wrong, f64::from(hops_in_all) / f64::from(right.max(1)))
}

fn settled_world(
    count: u32,
    settings: &Arc<Settings>,
    network: Network,
    seed: u64,
    threads: u32,
) -> World<Node> {
    let contacts = (0..count).map(|number| node(number, settings).contact()).collect();
    let ring = Ring::new(Arc::clone(settings), contacts);
    let mut world = World::on_threads(seed, network, threads);
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let first = Time::START.after(rng.between(Duration::ZERO, settings.stabilise_every));
        world.add(ring.node(node(number, settings).contact(), first, |_| 0));
    }
    world
}
