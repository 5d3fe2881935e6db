//! A cluster cut in two, and how it becomes one again.

use std::time::Duration;

use nigh_base::Rng;
use nigh_cluster::membership::{Event, Node, Settings, State};
use nigh_sim::{HostId, World};

use super::share;
use crate::clusters;

/// How long the cut lasts, and how long the healing may take.
const CUT: Duration = Duration::from_secs(120);
const HEALED_WITHIN_SECS: u64 = 1200;
const STEP: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) nodes: u32,
    /// From the cut until nobody sees anybody over there.
    pub(super) parted_secs: f64,
    /// From the healing until half of all pairs see each other again.
    pub(super) half_secs: f64,
    /// Until all do.
    pub(super) healed_secs: f64,
    /// Lives begun, for each member.
    pub(super) lives: f64,
}

pub(super) fn find(nodes: u32, rng: &mut Rng) -> Cut {
    let settings = Settings::default();
    let begins = clusters::some_time(&settings);
    let mut world = clusters::settled(nodes, &settings, clusters::network(0.0), rng, begins);
    clusters::run(&mut world, Duration::from_secs(5));
    let (one, other): (Vec<HostId>, Vec<HostId>) = world.hosts().partition(|it| it.0 < nodes / 2);
    world.network_mut().part(&one, &other);
    let (all, across) = pairs(nodes, &one, &other);
    let start = world.now();
    let parted_secs = until(&mut world, |world| seen(world) == all - across).unwrap_or(f64::NAN);
    world.run_until(start.after(CUT));
    world.take_events();
    world.network_mut().heal();
    let enough = all - across / 2;
    let half_secs = until(&mut world, |world| seen(world) >= enough).unwrap_or(f64::NAN);
    let healed_secs = until(&mut world, |world| seen(world) == all).map(|it| half_secs + it);
    let healed_secs = healed_secs.unwrap_or(f64::NAN);
    let events = world.take_events();
    let lives = events.iter().filter(|told| matches!(told.event, Event::Renewed { .. })).count();
    Cut { nodes, parted_secs, half_secs, healed_secs, lives: share(lives as u64, nodes.into()) }
}

/// All ordered pairs, and those across the cut.
fn pairs(nodes: u32, one: &[HostId], other: &[HostId]) -> (u64, u64) {
    let nodes = u64::from(nodes);
    (nodes * (nodes - 1), 2 * (one.len() as u64) * (other.len() as u64))
}

/// How many pairs see each other.
fn seen(world: &World<Node>) -> u64 {
    let nodes = world.hosts().filter_map(|host| world.machine(host));
    let is_up = |state| matches!(state, State::Up | State::Suspect);
    nodes.map(|node| node.count(is_up) as u64).sum()
}

/// Seconds until it is so, if it ever is.
fn until(world: &mut World<Node>, is_so: impl Fn(&World<Node>) -> bool) -> Option<f64> {
    let start = world.now();
    for _ in 0..HEALED_WITHIN_SECS {
        if is_so(world) {
            return Some(world.now().since(start).as_secs_f64());
        }
        clusters::run(world, STEP);
    }
    None
}
