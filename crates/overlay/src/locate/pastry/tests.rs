//! Pastry by the paper's figures, and on simulated networks.

mod networks;
mod routing;
mod strangers;
mod values;

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Machine, Rng, Time};
use nigh_sim::{HostId, Latency, Network, World};

use super::{Node, Repair, Routing, Settings, leaves::nearness, settled::Settled};
use crate::locate::{Command, Contact, Event, Ticket};

const REPAIRS: [Repair; 2] = [Repair::Periodic, Repair::Reactive];

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
        world.command(host, Command::Join { via });
        run(&mut world, Duration::from_secs(2));
        assert!(world.machine(host).unwrap().is_member(), "node {number} has not joined");
    }
    world
}

fn settled_world(count: u32, settings: &Arc<Settings>, network: Network, seed: u64) -> World<Node> {
    let contacts = (0..count).map(|number| node(number, settings).contact()).collect();
    let all = Settled::new(Arc::clone(settings), contacts);
    let mut world = World::new(seed, network);
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let first = Time::START.after(rng.between(Duration::ZERO, settings.upkeep_every));
        let me = node(number, settings).contact();
        world.add(all.node(me, first, |fit| rng.index(fit.len())));
    }
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

/// Who is responsible for `key` among all members.
fn owner(world: &World<Node>, key: Key) -> Contact {
    members(world).into_iter().min_by_key(|it| nearness(it.key, key)).unwrap()
}

/// Which members do not know exactly the nearest on each side.
fn wrong_leaves(world: &World<Node>) -> Vec<Contact> {
    let all = members(world);
    let is_wrong = |&(place, me): &(usize, &Contact)| {
        let node = world.machine(HostId::at(me.address).unwrap()).unwrap();
        let half = (node.settings.leaves / 2).min(all.len() - 1);
        let mut right: Vec<Contact> = (1..=half)
            .flat_map(|step| [place + step, place + all.len() - step])
            .map(|at| all[at % all.len()])
            .collect();
        right.sort_unstable();
        right.dedup();
        node.leaves() != right
    };
    all.iter().enumerate().filter(is_wrong).map(|(_, me)| *me).collect()
}

/// Asks every member for a key of its own, and says which answers were wrong, and how many hops the
/// others took.
fn look_up_everywhere(world: &mut World<Node>, seed: u64, trace: bool) -> (Vec<String>, f64) {
    world.take_events();
    let mut rng = Rng::new(seed);
    let all = members(world);
    for (number, contact) in all.iter().enumerate() {
        let key = Key::of(&rng.next_u64().to_be_bytes());
        let locate = Command::Locate { ticket: Ticket(number as u64), key, trace };
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
            let right = match told.event {
                Event::Located { key, .. } => Some(owner(world, key)),
                _ => None,
            };
            wrong.push(format!("{told:?}, and right is {right:?}"));
        }
    }
    assert_eq!(wrong.len() + right as usize, all.len(), "each is answered once");
    (wrong, f64::from(hops_in_all) / f64::from(right.max(1)))
}
