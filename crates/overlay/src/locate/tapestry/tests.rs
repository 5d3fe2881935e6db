//! Tapestry by the paper's figures, and on simulated networks.

use std::{sync::Arc, time::Duration};

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
