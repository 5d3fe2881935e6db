//! A judge beside the machines: ways by the rule as the paper writes it (Middleware 2001, table 1), walked
//! over settled tables. No message, no clock.
//!
//! ```text
//! the key is among the leaves      the nearest of those that are there
//! there is a node in its cell      that one, if it is there
//! else                             one that shares no fewer digits and is nearer, of all who are known
//! ```
//! Which one of these last the paper leaves open.

use std::cmp::Reverse;

use nigh_base::{Key, Rng, Time, space::prefix::Digits};
use nigh_overlay::locate::{
    Contact,
    circle::Rule,
    pastry::{Node, settled::Settled},
};

use crate::{
    pastry_path::ratio,
    rings::{NEVER, random_key},
};

/// So many nodes have a value: the paper's k.
pub(super) const REPLICAS: usize = 5;
/// Rows beyond these are empty: nobody shares so many digits with another.
const ROWS: u32 = 12;
/// Nothing but a mistake leads farther.
const HOPS_MAX: u32 = 64;

/// Who is taken where the cell of a key is empty, or its node gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Any that fits.
    Any,
    /// Of those that share the most digits the nearest, as our nodes do.
    Best,
}

/// Mean hops of lookups of random keys.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Hops {
    /// To the owner.
    pub(super) owner: f64,
    /// To the first on the way that is one of the [`REPLICAS`] nearest.
    pub(super) replica: f64,
}

/// Nodes and their tables, as all had settled; some of them may have died since.
pub(super) struct Walk<'a> {
    all: &'a Settled,
    nodes: Vec<Node>,
    /// In the order of the keys.
    is_dead: Vec<bool>,
    /// Those that are there.
    living: Vec<Contact>,
    digits: Digits,
}

impl<'a> Walk<'a> {
    pub(super) fn new(all: &'a Settled, rng: &mut Rng, is_dead: impl Fn(Contact) -> bool) -> Self {
        let contacts = all.contacts();
        let never = Time::START.after(NEVER);
        let node = |&me| all.node(me, never, |fit: &[Contact]| rng.index(fit.len()));
        Self {
            nodes: contacts.iter().map(node).collect(),
            is_dead: contacts.iter().map(|&it| is_dead(it)).collect(),
            living: contacts.iter().copied().filter(|&it| !is_dead(it)).collect(),
            digits: Digits::new(all.settings().digit_bits),
            all,
        }
    }

    /// Of `lookups` random keys, each from a random node that is there.
    pub(super) fn hops(&self, choice: Choice, lookups: u64, rng: &mut Rng) -> Hops {
        let (mut owner, mut replica, mut right) = (0, 0, 0);
        for _ in 0..lookups {
            let (from, key) = (self.living[rng.index(self.living.len())], random_key(rng));
            if let Some([to_replica, to_owner]) = self.way(from, key, choice, rng) {
                replica += u64::from(to_replica);
                owner += u64::from(to_owner);
                right += 1;
            }
        }
        let mean = |sum| ratio(sum, right);
        Hops { owner: mean(owner), replica: mean(replica) }
    }

    /// How many hops it is to the first of the replicas, and to the owner; none if the way ends at another.
    fn way(&self, from: Contact, key: Key, choice: Choice, rng: &mut Rng) -> Option<[u32; 2]> {
        let replicas = self.nearest(key);
        let (mut here, mut hops, mut to_replica) = (from, 0, None);
        loop {
            if to_replica.is_none() && replicas.contains(&here) {
                to_replica = Some(hops);
            }
            let Some(next) = self.next(here, key, choice, rng) else {
                return to_replica.filter(|_| here == replicas[0]).map(|it| [it, hops]);
            };
            (here, hops) = (next, hops + 1);
            assert!(hops < HOPS_MAX, "a way that does not end");
        }
    }

    fn next(&self, here: Contact, key: Key, choice: Choice, rng: &mut Rng) -> Option<Contact> {
        let (place, nearness) = (self.place(here), |it: Contact| Rule::Nearest.order(it.key, key));
        let (count, half) = (self.nodes.len(), self.all.settings().circle.leaves / 2);
        let leaf = |step: usize| self.all.contacts()[(place + count + step - half) % count];
        let is_nearer = |it: &Contact| nearness(*it) < nearness(here) && self.is_there(*it);
        let leaves = (0..=2 * half).map(leaf);
        let (lowest, highest) = (leaf(0).key, leaf(2 * half).key);
        let nearest = || leaves.clone().filter(is_nearer).min_by_key(|&it| nearness(it));
        if key.minus(lowest) <= highest.minus(lowest) {
            return nearest();
        }
        let node = &self.nodes[place];
        if let Some(cell) = node.cell(key).filter(|&it| self.is_there(it)) {
            return Some(cell);
        }
        let shared = |it: Contact| self.digits.shared(it.key, key);
        let fits = |it: &Contact| shared(*it) >= shared(here) && is_nearer(it);
        let fit: Vec<Contact> = leaves.clone().chain(self.cells(node)).filter(fits).collect();
        match choice {
            // Where all are dead that share as many digits, only the leaves are left.
            _ if fit.is_empty() => nearest(),
            Choice::Any => Some(fit[rng.index(fit.len())]),
            Choice::Best => fit.into_iter().min_by_key(|&it| (Reverse(shared(it)), nearness(it))),
        }
    }

    /// All who are in a node's table.
    fn cells(&self, node: &Node) -> impl Iterator<Item = Contact> {
        let (me, bits) = (node.contact().key, Key::BITS / self.digits.count());
        let digits = (0..ROWS).flat_map(move |row| (0..1u64 << bits).map(move |it| (row, it)));
        digits.filter_map(move |(row, digit)| {
            let below = Key::BITS - (row + 1) * bits;
            let prefix = me.minus(me.low(below + bits));
            node.cell(prefix.plus(Key::from(digit).shifted_up(below)))
        })
    }

    /// The [`REPLICAS`] nearest of those that are there.
    fn nearest(&self, key: Key) -> Vec<Contact> {
        let count = self.living.len();
        let place = self.living.partition_point(|it| it.key < key);
        let near = (0..2 * REPLICAS).map(|step| (place + count + step - REPLICAS) % count);
        let mut near: Vec<Contact> = near.map(|at| self.living[at]).collect();
        near.sort_by_key(|it| Rule::Nearest.order(it.key, key));
        near.truncate(REPLICAS);
        near
    }

    fn place(&self, contact: Contact) -> usize {
        self.all.contacts().binary_search(&contact).expect("a node of the network")
    }

    fn is_there(&self, contact: Contact) -> bool {
        !self.is_dead[self.place(contact)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pastry_repair::{Kind, settings},
        rings::contacts,
    };

    #[test]
    fn every_way_ends_at_the_owner_and_comes_by_a_replica_no_later() {
        let all = Settled::new(settings(Kind::Never), contacts(300));
        let dead = |it: Contact| it.key.bytes()[19].is_multiple_of(10);
        let living = all.contacts().iter().copied().filter(|&it| !dead(it)).collect();
        let left = Settled::new(settings(Kind::Never), living);
        let mut rng = Rng::new(1);
        let walk = Walk::new(&all, &mut rng, dead);
        for _ in 0..500 {
            let (from, key) = (walk.living[rng.index(walk.living.len())], random_key(&mut rng));
            for choice in [Choice::Any, Choice::Best] {
                let [replica, owner] = walk.way(from, key, choice, &mut rng).unwrap();
                assert!(replica <= owner);
            }
            let nearest = walk.nearest(key);
            assert_eq!(nearest[0], left.owner(key));
            assert_eq!(walk.next(nearest[0], key, Choice::Any, &mut rng), None);
        }
    }

    #[test]
    fn ways_are_those_of_the_machines_where_nobody_is_dead() {
        let all = Settled::new(settings(Kind::Never), contacts(300));
        let mut rng = Rng::new(1);
        let walk = Walk::new(&all, &mut rng, |_| false);
        for _ in 0..500 {
            let key = random_key(&mut rng);
            for node in walk.nodes.iter().take(20) {
                let next = walk.next(node.contact(), key, Choice::Best, &mut Rng::new(1));
                assert_eq!(next, node.next(key), "{node:?} {key:?}");
            }
        }
    }
}
