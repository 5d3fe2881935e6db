//! Lookups right after a part of the nodes has failed, while all tables still name them.

use std::{collections::BTreeSet, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{Contact, Event};
use nigh_sim::HostId;

use super::{fail, settings, settled};
use crate::{
    rings::{self, NEVER, Questions},
    sample::Sample,
};

pub(super) const LOOKUPS: u64 = 10_000;

/// What became of the lookups.
#[derive(Clone, Debug)]
pub(super) struct Unrepaired {
    pub(super) percent: u32,
    pub(super) lookups: u64,
    /// Lookups that did not find the node that is responsible now.
    pub(super) failed: u64,
    /// How many nodes between the asker and the owner answered, for each lookup that found it.
    pub(super) ways: Sample,
    /// How many questions went to nodes that had failed.
    pub(super) timeouts: Sample,
}

/// What the benchmark of RingsNetwork/rings (July 2026) found in the same set-up: the mean way and
/// the mean number of time-outs.
pub(super) fn by_others(percent: u32) -> [f64; 2] {
    match percent {
        0 => [3.841, 0.0],
        10 => [3.973, 0.419],
        20 => [4.114, 0.972],
        30 => [4.418, 1.980],
        40 => [4.691, 3.291],
        50 => [5.502, 6.938],
        _ => unreachable!("the table has six rows"),
    }
}

pub(super) fn find(nodes: u32, percent: u32, rng: &mut Rng) -> Unrepaired {
    let (mut world, ring) = settled(nodes, settings(NEVER), rng, |_| Time::START.after(NEVER));
    let left = fail(&mut world, percent, rng);
    let alive: BTreeSet<HostId> = left.iter().copied().collect();
    let those_left: Vec<Contact> =
        ring.contacts().iter().copied().filter(|&it| alive.contains(&rings::host(it))).collect();
    let owner = |key: Key| {
        let place = those_left.partition_point(|it| it.key < key);
        those_left[place % those_left.len()]
    };
    let questions = Questions {
        count: LOOKUPS,
        span: Duration::ZERO,
        // A lookup ends after as many time-outs as it may have.
        rest: Duration::from_secs(600),
        pieces: 1,
        trace: true,
    };
    let draw = || (left[rng.index(left.len())], rings::random_key(rng));
    let (mut failed, mut ways, mut timeouts) = (0, Vec::new(), Vec::new());
    let unanswered = rings::ask(&mut world, questions, draw, |question, _, event| {
        let Event::Located { holders, route, .. } = event else {
            failed += 1;
            return;
        };
        // Whoever wants something goes to the first that is there.
        let (first, dead) = rings::first_there(&holders, |host| alive.contains(&host));
        if first != Some(owner(question.key)) {
            failed += 1;
            return;
        }
        let way = rings::way(&route, holders[0]);
        ways.push(f64::from(way.between));
        timeouts.push(f64::from(way.timeouts + dead));
    });
    if ways.is_empty() {
        // Of none that was found nothing can be said.
        (ways, timeouts) = (vec![0.0], vec![0.0]);
    }
    Unrepaired {
        percent,
        lookups: LOOKUPS,
        failed: failed + unanswered as u64,
        ways: Sample::new(ways),
        timeouts: Sample::new(timeouts),
    }
}
