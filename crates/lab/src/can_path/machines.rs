//! The same ways by machines: nodes of CAN as they run, beside the rule that is walked.

use std::sync::Arc;

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{
    Contact,
    can::{Settings, settled::Settled},
};

use super::{
    LOOKUPS, ratio,
    space::{Trips, Zones, walk},
};
use crate::{
    rings::{NEVER, contacts, random_key},
    settled,
};

/// Nodes of which the ways are compared, as a power of two.
pub(super) const SIZE: u32 = 10;
pub(super) const DIMENSIONS: usize = 2;

/// What became of the ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) size: u32,
    /// The mean hops of the ways that are walked, and of the same by machines.
    pub(super) walked: f64,
    pub(super) machines: f64,
    /// Ways that do not end at the owner, of either.
    pub(super) wrong: usize,
}

/// Nodes that joined one after the other.
pub(super) fn compare(size: u32, rng: &Rng) -> Beside {
    let all = contacts(1 << size);
    let drawn: Vec<(usize, Key)> = {
        let mut rng = rng.fork(0);
        (0..LOOKUPS).map(|_| (rng.index(all.len()), random_key(&mut rng))).collect()
    };
    let settings =
        Settings { node: settled::settings(), dimensions: DIMENSIONS, ..Settings::default() };
    let network = Settled::new(Arc::new(settings), &all);
    let machines = all.iter().map(|&me| network.node(me, Time::START.after(NEVER)));
    let asked: Vec<(Contact, Key)> = drawn.iter().map(|&(by, key)| (all[by], key)).collect();
    let gone = settled::go(machines, &asked, &mut rng.fork(1));

    let keys: Vec<Key> = all.iter().map(|it| it.key).collect();
    let spaces = [Zones::joined(DIMENSIONS, &keys)];
    // No way depends on them.
    let trips = Trips::spread(all.len(), &mut rng.fork(2));
    let (mut walked, mut machines, mut wrong) = (0, 0, 0);
    for (&(from, key), gone) in drawn.iter().zip(&gone) {
        match (walk(&spaces, from, key, &trips, false), gone) {
            (Some((steps, _)), Some((found, hops))) if *found == network.owner(key) => {
                walked += steps;
                machines += *hops as usize;
            }
            _ => wrong += 1,
        }
    }
    let mean = |sum| ratio(sum, drawn.len() - wrong);
    Beside { size, walked: mean(walked), machines: mean(machines), wrong }
}
