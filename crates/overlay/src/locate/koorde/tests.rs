//! Koorde by the paper's figures, and on simulated networks.

mod networks;
mod routing;
mod strangers;

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_sim::World;

use super::{Geometry, Node, Settings, message::Carry, settled::Settled};
use crate::locate::{
    Contact, circle,
    node::{self as common, geometry::Geometry as _},
    suite::{self, Subject, host, look_up_everywhere, members, network, run},
};

impl Subject for Geometry {
    const SETTLES: Duration = Duration::from_secs(90);

    fn settings(node: common::Settings) -> Settings {
        let circle = circle::Settings { node, ..circle::Settings::default() };
        Settings { circle, ..Settings::default() }
    }

    fn owner(world: &World<Node>, key: Key) -> Contact {
        members(world).into_iter().min_by_key(|it| it.key.minus(key)).unwrap()
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

/// A settled overlay of that many nodes, and all its machines in the order of their keys.
fn settled(count: u32, settings: &Arc<Settings>) -> (Settled, Vec<Node>) {
    let contacts = (0..count).map(|number| node(number, settings).contact()).collect();
    let all = Settled::new(Arc::clone(settings), contacts);
    let nodes = all.contacts().iter().map(|&me| all.node(me, Time::START)).collect();
    (all, nodes)
}
