//! Viceroy by the paper's definitions, and on simulated networks.

mod networks;
mod routing;
mod strangers;

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_sim::World;

use super::{
    Geometry, Kind, Node, Settings,
    settled::{Levels, Settled},
};
use crate::locate::{
    Contact, circle, node as common,
    suite::{self, Subject, host, look_up_everywhere, members, network, run},
};

impl Subject for Geometry {
    const SETTLES: Duration = Duration::from_secs(120);

    fn settings(node: common::Settings) -> Settings {
        Settings { circle: circle::Settings { node, ..circle::Settings::default() } }
    }

    fn owner(world: &World<Node>, key: Key) -> Contact {
        members(world).into_iter().min_by_key(|it| it.key.minus(key)).unwrap()
    }
}

suite::suite!(Geometry);

fn node(number: u32, settings: &Arc<Settings>) -> Node {
    suite::node(number, settings)
}

/// A settled overlay of that many nodes, and all its machines in the order of their keys.
fn settled(count: u32) -> (Settled, Levels, Vec<Node>) {
    let settings = Arc::new(Settings::default());
    let contacts = (0..count).map(|number| node(number, &settings).contact()).collect();
    let all = Settled::new(settings, contacts);
    let levels = Levels::draw(&all, &mut Rng::new(count.into()));
    let nodes = all.contacts().iter().map(|&me| all.node(&levels, me, Time::START)).collect();
    (all, levels, nodes)
}

/// Where a link of that kind from `me` leads by definition, given the level of each node of the overlay: to
/// the node of a level that is nearest to a place, on one side.
fn right_link(nodes: &[(Contact, u8)], me: (Contact, u8), kind: Kind) -> Option<Contact> {
    let ((me, level), levels) = (me, nodes.iter().map(|(_, level)| *level).max().unwrap());
    let right = me.key.plus(Key::power(160 - u32::from(level)));
    let (level, place) = match kind {
        Kind::Up if level > 1 => (level - 1, me.key),
        Kind::Left if level < levels => (level + 1, me.key),
        Kind::Right if level < levels => (level + 1, right),
        Kind::Next | Kind::Previous => (level, me.key),
        _ => return None,
    };
    let others = nodes.iter().filter(|it| it.1 == level && it.0 != me).map(|it| it.0);
    others.min_by_key(|it| match kind {
        Kind::Previous => place.minus(it.key),
        _ => it.key.minus(place),
    })
}
