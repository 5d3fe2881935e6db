//! Tapestry by the paper's figures, and on simulated networks.

mod networks;
mod routing;
mod strangers;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_sim::{HostId, Network, World};

use super::{Geometry, Node, Settings, settled::Settled};
use crate::locate::{
    Command, Contact, Event, node as common,
    suite::{self, Subject, host, look_up_everywhere, members, network, run},
};

impl Subject for Geometry {
    const SETTLES: Duration = Duration::from_secs(90);

    fn settings(node: common::Settings) -> Settings {
        Settings { node, ..Settings::default() }
    }

    fn owner(world: &World<Node>, key: Key) -> Contact {
        Settled::new(settings(|_| {}), members(world)).owner(key)
    }
}

suite::suite!(Geometry);

fn settings(change: impl FnOnce(&mut Settings)) -> Arc<Settings> {
    let mut settings = Settings::default();
    change(&mut settings);
    Arc::new(settings)
}

/// Cells that are empty though somebody belongs there: the node, and one whom it should know.
fn holes(world: &World<Node>) -> Vec<(Contact, Contact)> {
    let all = members(world);
    let digits = settings(|_| {}).digits();
    let mut holes = Vec::new();
    for &me in &all {
        let node = world.machine(host(me)).unwrap();
        let mut cells = BTreeSet::new();
        for &other in all.iter().filter(|it| **it != me) {
            let row = digits.shared(me.key, other.key);
            if node.cell(other.key).iter().all(|it| !all.contains(it))
                && cells.insert((row, digits.at(other.key, row)))
            {
                holes.push((me, other));
            }
        }
    }
    holes
}

fn node(number: u32, settings: &Arc<Settings>) -> Node {
    suite::node(number, settings)
}

fn contacts(count: u32, settings: &Arc<Settings>) -> Vec<Contact> {
    (0..count).map(|number| node(number, settings).contact()).collect()
}

/// A settled network. `order` puts those who fit into a cell of the node in order.
fn settled_world(
    count: u32,
    settings: &Arc<Settings>,
    network: Network,
    seed: u64,
    mut order: impl FnMut(Contact, &mut Vec<Contact>),
) -> World<Node> {
    let all = Settled::new(Arc::clone(settings), contacts(count, settings));
    let mut world = World::new(seed, network);
    world.check_always();
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let every = settings.node.upkeep_every;
        let first = Time::START.after(rng.between(Duration::ZERO, every));
        let me = node(number, settings).contact();
        world.add(all.node(me, first, |fit| order(me, fit)));
    }
    world
}
