//! Values that change hands: to a node that has come in and owns them now, and from one that leaves.
//!
//! A value is on its way until its new holder has said that it has it, and only a few are at once. A
//! node that has come in has answered before it is given anything.

use std::collections::{BTreeSet, VecDeque};

use nigh_base::{Address, Key};

use super::{
    Node, Timer,
    geometry::{Cx, Geometry},
    request::For,
};
use crate::locate::{Contact, LEAVE_MAX};

/// Values on their way at once: with 1 KB each, what a network takes in its stride.
const WINDOW: usize = 16;
/// Nodes that a value is offered to.
const OFFERS_MAX: u8 = 4;

/// A value for which a holder is looked for: so many nodes had no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::locate) struct Bequest {
    key: Key,
    refusals: u8,
}

/// What has yet to change hands: of what is held each key once at most.
#[derive(Debug, Default, Hash)]
pub(super) struct Handing {
    queue: VecDeque<Bequest>,
    under_way: usize,
    is_leaving: bool,
    untaken: usize,
}

impl Handing {
    pub(super) const fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    pub(super) fn check(&self, held: usize) {
        assert!(self.under_way <= WINDOW, "too much is under way");
        assert!(self.queue.len() <= held + WINDOW, "more is handed on than was held");
    }
}

impl<G: Geometry> Node<G> {
    /// A node has come in nearby: what it owns now, and this node did before, it is given.
    pub(in crate::locate) fn give_its_own(&mut self, to: Contact, cx: &mut Cx<'_, G>) {
        if self.handing.is_leaving {
            return;
        }
        let keys: Vec<Key> = self.holdings.keys().filter(|&key| G::is_its(self, key, to)).collect();
        let begun: BTreeSet<Key> = self.handing.queue.iter().map(|it| it.key).collect();
        let new = keys.into_iter().filter(|key| !begun.contains(key));
        self.handing.queue.extend(new.map(|key| Bequest { key, refusals: 0 }));
        self.hand_on(cx);
    }

    pub(super) fn begin_to_leave(&mut self, cx: &mut Cx<'_, G>) {
        let others: BTreeSet<Address> =
            self.geometry.neighbours().iter().map(|it| it.address).collect();
        let orphans = self.orphans(&others, cx.now);
        let queue = orphans.into_iter().map(|key| Bequest { key, refusals: 0 }).collect();
        (self.handing.queue, self.handing.is_leaving) = (queue, true);
        self.timers.set(Timer::Leave, cx.now.after(LEAVE_MAX));
        self.hand_on(cx);
    }

    /// Sends the next values, each to the first other node that stands in for its owner and has not refused it.
    fn hand_on(&mut self, cx: &mut Cx<'_, G>) {
        while self.handing.under_way < WINDOW
            && let Some(bequest) = self.handing.queue.pop_front()
        {
            let Bequest { key, refusals } = bequest;
            let others = self.others(key, OFFERS_MAX.into());
            let to = others.get(usize::from(refusals)).copied();
            let is_sent = to.is_some_and(|to| self.send_value(to, key, For::Hand(bequest), cx));
            if is_sent {
                self.handing.under_way += 1;
            } else if self.held_value(key, cx.now).is_some() {
                self.handing.untaken += 1;
            }
        }
        if self.handing.is_leaving && self.handing.under_way == 0 {
            let untaken = self.handing.untaken;
            self.end_handing(untaken, cx);
        }
    }

    /// A node has taken a value, or has not.
    pub(super) fn handed(&mut self, bequest: Bequest, is_taken: bool, cx: &mut Cx<'_, G>) {
        self.handing.under_way = self.handing.under_way.saturating_sub(1);
        let refusals = bequest.refusals + 1;
        if !is_taken && refusals < OFFERS_MAX {
            self.handing.queue.push_back(Bequest { refusals, ..bequest });
        } else if !is_taken {
            self.handing.untaken += 1;
        }
        self.hand_on(cx);
    }

    /// The time of a node that leaves is over.
    pub(super) fn leave_overdue(&mut self, cx: &mut Cx<'_, G>) {
        let Handing { queue, under_way, untaken, .. } = &self.handing;
        let untaken = queue.len() + under_way + untaken;
        self.end_handing(untaken, cx);
    }

    fn end_handing(&mut self, untaken: usize, cx: &mut Cx<'_, G>) {
        self.handing = Handing::default();
        self.drop_holdings();
        self.depart(untaken, cx);
    }
}
