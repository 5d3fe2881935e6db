//! Values that change hands: to a node that has come in and is one of the nearest, and from one that leaves.
//!
//! Maymounkov, Mazières (IPTPS 2002), section 2.5: who learns of a new node gives it the values to which it is
//! one of the k nearest, but only if no other that is known is nearer to the key, since all who hold them
//! learn of it. It is asked first, as for others it may be an old one.

use std::collections::VecDeque;

use nigh_base::{Key, machine::Context};

use super::{
    Event, Family, Node, Standing, Timer,
    ask::For,
    krpc::{Method, Response},
    lookups::LOOKUPS_MAX,
    purpose::{Purpose, Put, Putter},
    search::Told,
    values::Version,
};
use crate::locate::{self, Contact, LEAVE_MAX};

/// Values on their way at once: with 1 KB each, what a network takes in its stride.
const WINDOW: usize = 16;
/// Values that a node hands on when it leaves, those nearest to it. Its neighbours are asked for each, and answer
/// an address some 900 questions in that time; what lies farther is left to those who hold it as well.
const LEAVING_MAX: usize = 400;
/// Newcomers that are remembered from one round to the next.
const NEWCOMERS_MAX: usize = 32;
/// Values that are gone through when there are newcomers, those nearest to this node: of others it is seldom
/// the nearest holder, and the hour in which all are stored again does the rest.
const LOOKED_AT_MAX: usize = 4096;
/// Values that wait for newcomers.
const OFFERS_MAX: usize = 4096;
/// Of them, those that are offered in a round, with two questions each: in five seconds no address may ask much
/// more.
const OFFERS_A_ROUND: usize = 100;

/// What changes hands.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Handing {
    newcomers: Vec<Contact>,
    offers: VecDeque<(Contact, Key)>,
    /// Offers that have no answer yet.
    under_way: usize,
    /// How many more may be made in this round.
    allowed: usize,
    leaving: Option<Leaving>,
}

/// A node on its way out.
#[derive(Clone, Debug, Default, Hash)]
struct Leaving {
    queue: VecDeque<Key>,
    under_way: usize,
    /// Values that somebody else holds now, or did already.
    held: usize,
    /// Values that nobody has taken.
    untaken: usize,
    /// Whether lookups are being begun: one may end at once.
    begins: bool,
}

impl Handing {
    pub(super) const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    pub(super) fn check(&self) {
        assert!(self.newcomers.len() <= NEWCOMERS_MAX, "newcomers");
        assert!(self.offers.len() <= OFFERS_MAX && self.under_way <= WINDOW, "offers");
        if let Some(leaving) = &self.leaving {
            assert!(leaving.queue.len() <= LEAVING_MAX && leaving.under_way <= WINDOW, "leaving");
        }
    }
}

impl Node {
    /// Somebody is known who was not before.
    pub(super) fn new_node(&mut self, contact: Contact) {
        let newcomers = &mut self.handing.newcomers;
        let may_come = self.standing == Standing::Member && newcomers.len() < NEWCOMERS_MAX;
        if may_come && self.values.len() > 0 && !newcomers.contains(&contact) {
            newcomers.push(contact);
        }
    }

    /// Offers newcomers what they ought to hold.
    pub(super) fn welcome(&mut self, cx: &mut Context<'_, Self>) {
        let newcomers = std::mem::take(&mut self.handing.newcomers);
        if !newcomers.is_empty() {
            let keys: Vec<Key> = self.values.keys().take(LOOKED_AT_MAX).collect();
            for key in keys {
                for family in self.families() {
                    self.offer(key, family, &newcomers);
                }
            }
        }
        self.handing.allowed = OFFERS_A_ROUND;
        self.make_offers(cx);
    }

    /// A value goes to the newcomers of that family who are among the nearest to its key, if no other who is
    /// known is nearer than this node.
    fn offer(&mut self, key: Key, family: Family, newcomers: &[Contact]) {
        let mine = self.me.key.xor(key);
        let nearest = self.table(family).nearest(key, self.settings.bucket);
        let is_new = |it: &Contact| newcomers.contains(it);
        if nearest.iter().any(|it| it.key.xor(key) < mine && !is_new(it)) {
            return;
        }
        let offers = &mut self.handing.offers;
        for &contact in nearest.iter().filter(|it| is_new(it)) {
            if offers.len() < OFFERS_MAX {
                offers.push_back((contact, key));
            }
        }
    }

    fn make_offers(&mut self, cx: &mut Context<'_, Self>) {
        while self.handing.under_way < WINDOW
            && self.handing.allowed > 0
            && let Some((contact, key)) = self.handing.offers.pop_front()
        {
            let method = Method::Fetch { target: key };
            let is_held = self.values.get(key, cx.now).is_some();
            if is_held && self.ask(Some(contact.key), contact.address, For::Offer(key), method, cx)
            {
                self.handing.under_way += 1;
                self.handing.allowed -= 1;
            }
        }
    }

    /// A newcomer has told what it holds under a key: it is given the value unless it has that, or a newer one.
    pub(super) fn offered(
        &mut self,
        contact: Contact,
        key: Key,
        response: &Response,
        cx: &mut Context<'_, Self>,
    ) {
        let told = Told::of(response);
        let held = self.values.get(key, cx.now).filter(|it| told.number < Some(it.number));
        let method = held.and_then(|Version { value, number, lifetime }| {
            let number = Some(number);
            let put = Put { by: Putter::Holder, value, lifetime, number };
            Purpose::Put(put).storing(key, &told)
        });
        let is_given = method.is_some_and(|method| {
            self.ask(Some(contact.key), contact.address, For::Hand, method, cx)
        });
        if !is_given {
            self.offer_ended(cx);
        }
    }

    /// A newcomer has a value now, or does not want it, or does not answer.
    pub(super) fn offer_ended(&mut self, cx: &mut Context<'_, Self>) {
        self.handing.under_way = self.handing.under_way.saturating_sub(1);
        self.make_offers(cx);
    }

    /// Goes: hands on what it holds to those of the nearest who lack it, as far as there is time.
    pub(super) fn leave(&mut self, cx: &mut Context<'_, Self>) {
        if self.handing.is_leaving() {
            return;
        }
        let is_alone = self.families().all(|it| self.table(it).living() == 0);
        if is_alone || self.standing != Standing::Member {
            let untaken = if is_alone { self.values.len() } else { 0 };
            return self.left(untaken, cx);
        }
        self.timers.clear(Timer::Upkeep);
        self.timers.set(Timer::Leave, cx.now.after(LEAVE_MAX));
        let queue = self.values.keys().take(LEAVING_MAX).collect();
        let leaving = Leaving { queue, ..Leaving::default() };
        self.handing = Handing { leaving: Some(leaving), ..Handing::default() };
        self.hand_on(cx);
    }

    /// Looks for others who are to hold what this one holds.
    fn hand_on(&mut self, cx: &mut Context<'_, Self>) {
        while let Some(key) = self.next_to_hand_on() {
            let put = self.values.get(key, cx.now).map(|it| {
                let (value, lifetime, number) = (it.value, it.lifetime, Some(it.number));
                Purpose::Put(Put { by: Putter::Leaver, value, lifetime, number })
            });
            let Some(leaving) = &mut self.handing.leaving else { return };
            let Some(put) = put else { continue };
            leaving.under_way += 1;
            leaving.begins = true;
            self.look_up(key, put, cx);
            if let Some(leaving) = &mut self.handing.leaving {
                leaving.begins = false;
            }
        }
        if let Some(leaving) = &self.handing.leaving
            && leaving.under_way == 0
            && leaving.queue.is_empty()
        {
            let untaken = leaving.untaken;
            self.left(untaken, cx);
        }
    }

    /// The next value that is to change hands, if another may be on its way.
    fn next_to_hand_on(&mut self) -> Option<Key> {
        let has_room = self.lookups.len() < LOOKUPS_MAX;
        let leaving = self.handing.leaving.as_mut()?;
        if !has_room || leaving.begins || leaving.under_way >= WINDOW {
            return None;
        }
        leaving.queue.pop_front()
    }

    /// Somebody else holds a value now, or nobody does.
    pub(super) fn handed_on(&mut self, is_held: bool, cx: &mut Context<'_, Self>) {
        let Some(leaving) = &mut self.handing.leaving else { return };
        leaving.under_way -= 1;
        leaving.held += usize::from(is_held);
        leaving.untaken += usize::from(!is_held);
        if !leaving.begins {
            self.hand_on(cx);
        }
    }

    /// The time of a node that leaves is over.
    pub(super) fn leave_overdue(&mut self, cx: &mut Context<'_, Self>) {
        let Some(leaving) = self.handing.leaving.take() else { return };
        // If nobody has answered at all, nobody is there.
        let untaken = if leaving.held > 0 { leaving.untaken } else { self.values.len() };
        self.left(untaken, cx);
    }

    fn left(&mut self, untaken: usize, cx: &mut Context<'_, Self>) {
        self.handing = Handing::default();
        self.standing = Standing::Outside;
        for timer in [Timer::Upkeep, Timer::Join, Timer::Leave] {
            self.timers.clear(timer);
        }
        cx.tell(Event::Locate(locate::Event::Left { untaken }));
    }
}
