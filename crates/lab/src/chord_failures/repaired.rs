//! Figure 11: a part of the nodes fails, the ring repairs itself, and then keys are looked up.

use std::{collections::BTreeSet, time::Duration};

use nigh_base::{Rng, Time};
use nigh_overlay::locate::{
    Contact, Event,
    chord::{Node, settled::Ring},
};
use nigh_sim::{HostId, World};

use super::{FIGURE_11, UPKEEP, fail, settings, settled, share};
use crate::rings::{self, Questions};

/// In each ring.
pub(super) const LOOKUPS: u64 = 20_000;
/// A ring that is not right after so long is looked at as it is.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Rounds of upkeep after that, in which fingers are set right.
const ROUNDS_MORE: u32 = 4;

/// What became of the lookups.
#[derive(Clone, Debug)]
pub(super) struct Repaired {
    pub(super) percent: u32,
    pub(super) lookups: u64,
    /// Lookups that did not find the node that was responsible, since it had failed.
    pub(super) of_failed_nodes: u64,
    /// Lookups that did not find it although it is there.
    pub(super) of_others: u64,
    /// How long it took until every successor and predecessor was right; the longest of all rings.
    pub(super) repaired_after: Duration,
}

impl Repaired {
    pub(super) fn failed_share(&self) -> f64 {
        share(self.of_failed_nodes + self.of_others, self.lookups)
    }
}

pub(super) fn find(nodes: u32, percent: u32, rng: &mut Rng) -> Repaired {
    let first = |rng: &mut Rng| Time::START.after(rng.between(Duration::ZERO, UPKEEP));
    let (mut world, ring) = settled(nodes, settings(UPKEEP), rng, first);
    world.run_until(Time::START.after(UPKEEP));
    let left = fail(&mut world, percent, rng);
    let repaired_after = repair(&mut world, &ring, &left);
    let end = world.now().after(ROUNDS_MORE * UPKEEP);
    world.run_until(end);

    let questions = Questions {
        count: LOOKUPS,
        span: UPKEEP,
        rest: Duration::from_secs(60),
        pieces: 30,
        trace: false,
    };
    let mut found =
        Repaired { percent, lookups: 0, of_failed_nodes: 0, of_others: 0, repaired_after };
    let draw = || (left[rng.index(left.len())], rings::random_key(rng));
    let alive: BTreeSet<HostId> = left.iter().copied().collect();
    let mut judge = |owner: Contact, holder: Option<Contact>| {
        found.lookups += 1;
        let is_there = alive.contains(&rings::host(owner));
        if holder != Some(owner) && is_there {
            found.of_others += 1;
        } else if holder != Some(owner) {
            found.of_failed_nodes += 1;
        }
    };
    let unanswered = rings::ask(&mut world, questions, draw, |question, _, event| {
        let owner = ring.successor(question.key);
        match event {
            Event::Located { holders, .. } => judge(owner, holders.first().copied()),
            _ => judge(owner, None),
        }
    });
    found.lookups += unanswered as u64;
    found.of_others += unanswered as u64;
    found
}

/// Lets upkeep go on until the ring of those that are left is right; how long that took.
fn repair(world: &mut World<Node>, ring: &Ring, left: &[HostId]) -> Duration {
    let start = world.now();
    let alive: BTreeSet<HostId> = left.iter().copied().collect();
    let those_left: Vec<Contact> =
        ring.contacts().iter().copied().filter(|&it| alive.contains(&rings::host(it))).collect();
    while world.now().since(start) < PATIENCE {
        if is_right(world, &those_left) {
            return world.now().since(start);
        }
        let next = world.now().after(Duration::from_secs(5));
        world.run_until(next);
    }
    PATIENCE
}

/// Whether every node knows the next one and the one before it. Nodes come in the order of keys.
fn is_right(world: &World<Node>, nodes: &[Contact]) -> bool {
    nodes.iter().zip(nodes.iter().cycle().skip(1)).all(|(&one, &next)| {
        let node = |it| world.machine(rings::host(it)).expect("it did not fail");
        node(one).successors().first() == Some(&next) && node(next).predecessor() == Some(one)
    })
}

/// Adds up the rings of each part that failed.
pub(super) fn by_percent(trials: &[Repaired]) -> Vec<Repaired> {
    let sum = |percent: u32| {
        let mut trials = trials.iter().filter(|it| it.percent == percent).cloned();
        let first = trials.next().expect("each part has its rings");
        trials.fold(first, |sum, it| Repaired {
            percent,
            lookups: sum.lookups + it.lookups,
            of_failed_nodes: sum.of_failed_nodes + it.of_failed_nodes,
            of_others: sum.of_others + it.of_others,
            repaired_after: sum.repaired_after.max(it.repaired_after),
        })
    };
    FIGURE_11.map(sum).to_vec()
}
