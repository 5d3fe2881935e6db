//! Pastry by the paper's figures, and on simulated networks.

mod networks;
mod routing;
mod strangers;

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_sim::{HostId, Network, World};

use super::{Geometry, Node, Settings, settled::Settled};
use crate::locate::{
    Command, Contact, Event,
    circle::{self, Repair, leaves::nearness},
    node::{self as common, Routing},
    suite::{self, Subject, host, look_up_everywhere, members, network, run},
};

const REPAIRS: [Repair; 2] = [Repair::Periodic, Repair::Reactive];

impl Subject for Geometry {
    const SETTLES: Duration = Duration::from_secs(90);

    fn settings(node: common::Settings) -> Settings {
        let circle = circle::Settings { node, ..circle::Settings::default() };
        Settings { circle, ..Settings::default() }
    }

    fn owner(world: &World<Node>, key: Key) -> Contact {
        members(world).into_iter().min_by_key(|it| nearness(it.key, key)).unwrap()
    }
}

suite::suite!(Geometry);

fn settings(change: impl FnOnce(&mut Settings)) -> Arc<Settings> {
    let mut settings = Settings::default();
    change(&mut settings);
    Arc::new(settings)
}

fn node(number: u32, settings: &Arc<Settings>) -> Node {
    suite::node(number, settings)
}

fn settled_world(count: u32, settings: &Arc<Settings>, network: Network, seed: u64) -> World<Node> {
    let contacts = (0..count).map(|number| node(number, settings).contact()).collect();
    let all = Settled::new(Arc::clone(settings), contacts);
    let mut world = World::new(seed, network);
    world.check_always();
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let every = settings.circle.node.upkeep_every;
        let first = Time::START.after(rng.between(Duration::ZERO, every));
        let me = node(number, settings).contact();
        world.add(all.node(me, first, |fit| rng.index(fit.len())));
    }
    world
}

/// Which members do not know exactly the nearest on each side.
fn wrong_leaves(world: &World<Node>) -> Vec<Contact> {
    let all = members(world);
    let is_wrong = |&(place, me): &(usize, &Contact)| {
        let node = world.machine(host(*me)).unwrap();
        let half = (node.settings().circle.leaves / 2).min(all.len() - 1);
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
