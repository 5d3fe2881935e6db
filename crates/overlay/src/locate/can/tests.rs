//! CAN by the paper's figures, and on simulated networks.

mod networks;
mod routing;
mod strangers;

use std::{sync::Arc, time::Duration};

use nigh_base::Key;
use nigh_sim::World;

use super::{Geometry, Node, Settings};
use crate::locate::{
    Contact, node as common,
    suite::{self, Subject, members},
};

impl Subject for Geometry {
    const SETTLES: Duration = Duration::from_secs(120);

    fn settings(node: common::Settings) -> Settings {
        Settings { node, ..Settings::default() }
    }

    /// Whoever has the zone in which the key lies.
    fn owner(world: &World<Node>, key: Key) -> Contact {
        let has_it = |it: &&Contact| {
            let node = world.machine(suite::host(**it)).unwrap();
            node.zones().iter().any(|zone| zone.reality() == 0 && zone.has(key))
        };
        let owner = members(world).iter().find(has_it).copied();
        owner.unwrap_or(Contact { key, address: nigh_sim::HostId(9_999).address() })
    }
}

suite::suite!(Geometry);

fn settings(change: impl FnOnce(&mut Settings)) -> Arc<Settings> {
    let mut settings = Settings::default();
    change(&mut settings);
    Arc::new(settings)
}
