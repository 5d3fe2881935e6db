//! What membership costs while nothing happens.

use std::time::Duration;

use nigh_base::Rng;
use nigh_cluster::membership::{Counters, Settings};

use super::PERIOD;
use crate::clusters;

/// How long is counted, and what passes before.
const SPAN: Duration = Duration::from_secs(60);
const BEFORE: Duration = Duration::from_secs(10);

/// What a member sends a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    pub(super) nodes: u32,
    pub(super) loss: f64,
    pub(super) datagrams: f64,
    pub(super) bytes: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far fewer bytes are sent than 2^53")]
pub(super) fn find(nodes: u32, loss: f64, rng: &mut Rng) -> Quiet {
    let settings = Settings { probe_every: PERIOD, ..Settings::default() };
    let begins = clusters::some_time(&settings);
    let mut world = clusters::settled(nodes, &settings, clusters::network(loss), rng, begins);
    let mut counted = |span| {
        clusters::run(&mut world, span);
        world.take_events();
        let nodes = world.hosts().filter_map(|host| world.machine(host));
        nodes.map(|node| node.counters()).fold(Counters::default(), |sum, it| Counters {
            sent: sum.sent + it.sent,
            sent_bytes: sum.sent_bytes + it.sent_bytes,
            refused: sum.refused + it.refused,
        })
    };
    let (before, behind) = (counted(BEFORE), counted(SPAN));
    let each = |count: u64| count as f64 / f64::from(nodes) / SPAN.as_secs_f64();
    let datagrams = each(behind.sent - before.sent);
    Quiet { nodes, loss, datagrams, bytes: each(behind.sent_bytes - before.sent_bytes) }
}
