//! Values that change hands: to a node that has come in and owns them now, and from one that leaves.
//!
//! A value is on its way until its new holder has said that it has it, and only a few are at once. A
//! node that has come in has answered before it is given anything. What is its own is looked for in small
//! steps: a node that holds much must not be silent meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

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
const OFFERS_MAX: usize = 4;
/// Nodes that have come in and are not yet given all that is theirs; what others own by now they are given when
/// nobody renews it.
const NEWCOMERS_MAX: usize = 32;
/// Values that are looked at in one step, and the time between two: all 65,536 in a second.
const STEP: usize = 1_024;
const STEP_EVERY: Duration = Duration::from_millis(15);

/// A value for which a holder is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::locate) struct Bequest {
    key: Key,
    /// The nodes that have not taken it: they had no room, or are silent.
    offered: Vec<Key>,
}

/// What has yet to change hands.
#[derive(Debug, Default, Hash)]
pub(super) struct Handing {
    /// Who has come in, and from which key on what is held is still to be looked at for it.
    newcomers: VecDeque<(Contact, Key)>,
    /// The keys, and to whom each was offered.
    queue: BTreeMap<Key, Vec<Key>>,
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
        assert!(self.newcomers.len() <= NEWCOMERS_MAX, "too many are given values");
        assert!(self.queue.len() <= held + WINDOW, "more is handed on than was held");
    }
}

impl<G: Geometry> Node<G> {
    /// A node has come in nearby: what it owns now, and this node did before, it is given.
    pub(in crate::locate) fn give_its_own(&mut self, to: Contact, cx: &mut Cx<'_, G>) {
        let newcomers = &mut self.handing.newcomers;
        if self.handing.is_leaving || newcomers.len() >= NEWCOMERS_MAX {
            return;
        }
        newcomers.retain(|(other, _)| *other != to);
        newcomers.push_back((to, Key::default()));
        // Who came before it is being served.
        if newcomers.len() == 1 {
            self.look_through(cx);
        }
    }

    /// The next step through what is held, for the first of those who have come in.
    pub(super) fn look_through(&mut self, cx: &mut Cx<'_, G>) {
        let Some((to, first)) = self.handing.newcomers.pop_front() else { return };
        let keys: Vec<Key> = self.holdings.keys_from(first).take(STEP).collect();
        let is_known = self.geometry.peer(to.key).is_some_and(|peer| peer.contact == to);
        for &key in keys.iter().filter(|_| is_known) {
            if G::is_its(self, key, to) {
                self.handing.queue.entry(key).or_default();
            }
        }
        if let Some(last) = keys.last().filter(|_| is_known && keys.len() == STEP) {
            self.handing.newcomers.push_front((to, last.plus(Key::from(1))));
        }
        if !self.handing.newcomers.is_empty() {
            self.timers.set(Timer::Hand, cx.now.after(STEP_EVERY));
        }
        self.hand_on(cx);
    }

    pub(super) fn begin_to_leave(&mut self, cx: &mut Cx<'_, G>) {
        let others: BTreeSet<Address> =
            self.geometry.neighbours().iter().map(|it| it.address).collect();
        let orphans = self.orphans(&others, cx.now);
        let queue = orphans.into_iter().map(|key| (key, Vec::new())).collect();
        let (newcomers, under_way) = (VecDeque::new(), self.handing.under_way);
        self.handing = Handing { newcomers, queue, under_way, is_leaving: true, untaken: 0 };
        self.timers.set(Timer::Leave, cx.now.after(LEAVE_MAX));
        self.hand_on(cx);
    }

    /// Sends the next values, each to the first other node that stands in for its owner and was not offered it.
    fn hand_on(&mut self, cx: &mut Cx<'_, G>) {
        while self.handing.under_way < WINDOW
            && let Some((key, mut offered)) = self.handing.queue.pop_first()
        {
            let others = self.others(key, OFFERS_MAX);
            let to = others.into_iter().find(|it| !offered.contains(&it.key));
            let is_sent = to.is_some_and(|to| {
                offered.push(to.key);
                self.send_value(to, key, For::Hand(Bequest { key, offered }), cx)
            });
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
        let Bequest { key, offered } = bequest;
        if !is_taken && offered.len() < OFFERS_MAX {
            self.handing.queue.insert(key, offered);
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
        self.drop_holdings(cx);
        self.depart(untaken, cx);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use bytes::Bytes;
    use nigh_base::Time;

    use super::*;
    use crate::locate::{
        alone::{Alone, stranger},
        holdings::Offer,
        node::message::Body,
        pastry::{Geometry, settled::Settled},
        suite,
    };

    #[test]
    fn a_node_that_holds_much_gives_a_new_one_its_own_in_small_steps() {
        let settings = suite::settings::<Geometry>(|it| it.copies = 1);
        let contacts: Vec<Contact> =
            (0..40).map(|number| suite::node::<Geometry>(number, &settings).contact()).collect();
        let all = Settled::new(Arc::clone(&settings), contacts.clone());
        let mut alone: Alone<Geometry> =
            Alone::new(all.node(contacts[0], Time::from_secs(80_000), |_| 0));
        let lifetime = Duration::from_secs(3600);
        for number in 0..3_000 {
            let key = alone.own_key(number);
            let offer = Box::new(Offer { key, stamp: 0, lifetime, value: Bytes::new() });
            alone.hears(contacts[1], Body::Store { nonce: number, copies: 1, offer });
        }
        // Nearer to it than to the node are all but the first thousand.
        let newcomer = Contact { key: alone.own_key(2_000), ..stranger(Key::of(b"s")) };
        let sent = alone.hears(newcomer, Body::Ping { nonce: 9 });
        let [_, (_, Body::Ping { nonce })] = sent[..] else { panic!("{sent:?}") };
        let mut on_the_way = alone.hears(newcomer, Body::Pong { nonce });
        assert!(alone.node.handing.queue.len() <= 1_024, "{}", alone.node.handing.queue.len());
        let mut got = BTreeSet::new();
        while !on_the_way.is_empty() {
            let mut next = Vec::new();
            for (to, body) in on_the_way {
                let Body::Store { nonce, copies: 0, offer } = body else { panic!("{body:?}") };
                assert_eq!(to, newcomer.address);
                got.insert(offer.key);
                next.extend(alone.hears(newcomer, Body::Stored { nonce, copies: 1 }));
            }
            next.extend(alone.waits(Duration::from_millis(100)));
            on_the_way = next;
        }
        assert!(got.into_iter().eq((1_000..3_000).map(|number| alone.own_key(number))));
    }
}
