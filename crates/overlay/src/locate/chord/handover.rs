//! Values that change hands: to a node that has come in and owns them now, and from one that leaves.
//!
//! Both go as conversations: a value is on its way until its new holder has said that it has it, and
//! only a few are at once. Nobody is sent a value by a word that might be forged: a new predecessor
//! must first answer a question whose number is secret.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use nigh_base::{Address, Key, machine::Context};

use super::{
    Node, Standing, Timer,
    message::{Body, Message},
    request::For,
};
use crate::locate::{Contact, Event, LEAVE_MAX};

/// Values on their way to one node: with 1 KB each, what a network takes in its stride.
const WINDOW: usize = 16;
/// New predecessors that are given values at once. What others own by now they are given when
/// nobody renews it.
const PASSAGES_MAX: usize = 4;
/// For so long at most a node that has left answers those who ask whether it has.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// What a new predecessor is given.
#[derive(Clone, Debug, Hash)]
pub(super) struct Passage {
    to: Contact,
    /// Behind which key its own begin.
    after: Key,
    keys: VecDeque<Key>,
    under_way: usize,
}

/// What a node that leaves has yet to hand on.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Leaving {
    keys: VecDeque<Bequest>,
    under_way: usize,
    untaken: usize,
}

/// A value for which a node is looked for: so many successors had no room for it.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Bequest {
    pub(super) key: Key,
    refusals: u8,
}

impl Node {
    /// There may be a new predecessor, and with it a new owner for the keys up to it: it is asked
    /// whether it is there, if there is anything for it.
    pub(super) fn meet(
        &mut self,
        before: Option<Contact>,
        to: Contact,
        cx: &mut Context<'_, Self>,
    ) {
        let (circle, me) = (self.settings.circle, self.me.key);
        let after = before.map_or(me, |it| it.key);
        let Some(more) = &mut self.more else { return };
        let passages = &mut more.passages;
        let begun = passages.iter().any(|it| it.to == to);
        let has_any = more.holdings.keys().any(|key| circle.within(key, after, to.key));
        if begun || !has_any || passages.len() >= PASSAGES_MAX {
            return;
        }
        passages.push(Passage { to, after, keys: VecDeque::new(), under_way: 0 });
        if !self.ask(to, For::Meet, |nonce| Body::Ping { nonce }, cx) {
            self.end_passage(to);
        }
    }

    /// It is there.
    pub(super) fn met(&mut self, to: Contact, cx: &mut Context<'_, Self>) {
        let circle = self.settings.circle;
        let Some(more) = &mut self.more else { return };
        let Some(passage) = more.passages.iter_mut().find(|it| it.to == to) else { return };
        let after = passage.after;
        passage.keys =
            more.holdings.keys().filter(|&it| circle.within(it, after, to.key)).collect();
        self.pass_values(to, cx);
    }

    /// It has said what became of one of the values.
    pub(super) fn passed(&mut self, to: Contact, cx: &mut Context<'_, Self>) {
        let Some(more) = &mut self.more else { return };
        if let Some(passage) = more.passages.iter_mut().find(|it| it.to == to) {
            passage.under_way = passage.under_way.saturating_sub(1);
            self.pass_values(to, cx);
        }
    }

    /// Ends what is under way to a node, which does not answer or has got all.
    pub(super) fn end_passage(&mut self, to: Contact) {
        self.more().passages.retain(|it| it.to != to);
    }

    fn pass_values(&mut self, to: Contact, cx: &mut Context<'_, Self>) {
        loop {
            let passages = &mut self.more().passages;
            let Some(passage) = passages.iter_mut().find(|it| it.to == to) else { return };
            if passage.under_way >= WINDOW {
                return;
            }
            let Some(key) = passage.keys.pop_front() else {
                if passage.under_way == 0 {
                    self.end_passage(to);
                }
                return;
            };
            passage.under_way += 1;
            if !self.send_value(to, key, For::Hand, cx) {
                self.passed(to, cx);
                return;
            }
        }
    }

    /// Goes: hands on what is not known to be held elsewhere, and says so to both neighbours.
    pub(super) fn leave(&mut self, cx: &mut Context<'_, Self>) {
        if self.is_leaving() {
            return;
        }
        if self.standing != Standing::Member {
            return self.depart(0, cx);
        }
        let others = self.heirs().chain(self.predecessor).map(|it| it.address);
        let others: BTreeSet<Address> = others.filter(|it| *it != self.me.address).collect();
        let keys = self.orphans(&others, cx.now);
        let keys = keys.into_iter().map(|key| Bequest { key, refusals: 0 }).collect();
        self.more().leaving = Some(Box::new(Leaving { keys, ..Leaving::default() }));
        self.timers.set(Timer::Leave, cx.now.after(LEAVE_MAX));
        self.bequeath(cx);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.leaving.is_some())
    }

    /// Those who may take what this node leaves behind; its other places leave as well.
    fn heirs(&self) -> impl Iterator<Item = Contact> {
        self.successors.iter().copied().filter(|it| it.address != self.me.address)
    }

    fn leaving(&mut self) -> Option<&mut Leaving> {
        self.more.as_mut()?.leaving.as_deref_mut()
    }

    /// Hands on as much as may be under way; behind the last of it, goes.
    fn bequeath(&mut self, cx: &mut Context<'_, Self>) {
        loop {
            let Some(leaving) = self.leaving() else { return };
            if leaving.under_way >= WINDOW {
                return;
            }
            let Some(bequest) = leaving.keys.pop_front() else {
                let (under_way, untaken) = (leaving.under_way, leaving.untaken);
                if under_way == 0 {
                    self.depart(untaken, cx);
                }
                return;
            };
            let heir = self.heirs().nth(bequest.refusals.into());
            let what = For::Bequeath(bequest);
            let is_sent = heir.is_some_and(|heir| self.send_value(heir, bequest.key, what, cx));
            let Some(leaving) = self.leaving() else { return };
            leaving.under_way += usize::from(is_sent);
            leaving.untaken += usize::from(!is_sent);
        }
    }

    /// What became of a value: one has it, has no room for it, or does not answer and is lost.
    pub(super) fn bequeathed(
        &mut self,
        bequest: Bequest,
        answer: Option<&Body>,
        cx: &mut Context<'_, Self>,
    ) {
        let Some(leaving) = self.leaving() else { return };
        leaving.under_way -= 1;
        match answer {
            Some(Body::Stored { .. }) => {}
            Some(_) => {
                let refusals = bequest.refusals + 1;
                leaving.keys.push_front(Bequest { refusals, ..bequest });
            }
            // The next one has its place in the list.
            None => leaving.keys.push_front(bequest),
        }
        self.bequeath(cx);
    }

    /// The time for that is over.
    pub(super) fn leave_overdue(&mut self, cx: &mut Context<'_, Self>) {
        if let Some(leaving) = self.leaving() {
            let untaken = leaving.untaken + leaving.under_way + leaving.keys.len();
            self.depart(untaken, cx);
        }
    }

    /// Tells the neighbours, and is no member any more. The caller is told a little later: until
    /// then those who ask whether this node is really gone hear that.
    fn depart(&mut self, untaken: usize, cx: &mut Context<'_, Self>) {
        let was_member = self.standing == Standing::Member;
        let neighbours = [self.successors.first().copied(), self.predecessor];
        let asked_soon = was_member && neighbours.iter().any(Option::is_some);
        for neighbour in neighbours.into_iter().flatten().filter(|_| was_member) {
            let neighbours = Box::new(self.neighbours());
            let body = Body::Leaving { key: self.me.key, neighbours };
            cx.send(neighbour.address, Message { to: Some(neighbour.key), body });
        }
        let wait = self.rtt.wait(0).min(FAREWELL_MAX);
        // Who waits for copies is told how many there are.
        let copying = self.more.as_mut().map(|more| more.holdings.end_copying());
        copying.into_iter().flatten().for_each(|it| self.made(it, cx));
        let more = self.more.take().unwrap_or_default();
        *self = Self::new(self.me.key, self.me.address, self.settings.clone());
        self.beside(&more.places);
        let untaken = more.farewell.unwrap_or(untaken);
        if asked_soon {
            self.more().farewell = Some(untaken);
            self.timers.set(Timer::Farewell, cx.now.after(wait));
        } else {
            cx.tell(Event::Left { untaken });
        }
    }

    /// Those who would ask have asked.
    pub(super) fn farewell(&mut self, cx: &mut Context<'_, Self>) {
        if let Some(untaken) = self.more().farewell.take() {
            cx.tell(Event::Left { untaken });
        }
    }

    /// Who joins again has not left.
    pub(super) fn no_farewell(&mut self) {
        if let Some(more) = &mut self.more {
            more.farewell = None;
            self.timers.clear(Timer::Farewell);
        }
    }

    /// Panics if more is handed on at once than may be.
    pub(super) fn check_handover(&self) {
        let Some(more) = &self.more else { return };
        assert!(more.passages.len() <= PASSAGES_MAX, "too many are given values");
        let under_way = more.passages.iter().map(|it| it.under_way);
        let under_way = under_way.chain(more.leaving.iter().map(|it| it.under_way));
        assert!(under_way.max().unwrap_or(0) <= WINDOW, "too much is under way");
    }
}
