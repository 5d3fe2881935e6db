//! Coming in and going. Middleware 2001, section 2.4.
//!
//! ```text
//! n looks its own key up             each node on the way has a row that fits n
//! n -> last: Leaves                  the leaf set of the nearest node is n's as well, nearly
//! n -> each on the way: Row          n is a member now
//! n -> all who are named: Ping       so they hear of n, and n measures how far they are
//! ```

use std::time::Duration;

use nigh_base::{Address, Key, machine::Context};

use super::{Node, Standing, Timer, lookup::Purpose, message::Body, request::For};
use crate::locate::{Contact, Event, Failure, VIA_MAX};

/// So often a way in is looked for: with the longest waits that takes more than a day, and callers
/// mostly end it long before.
const JOIN_ATTEMPTS: u32 = 10_000;
/// How long a node that has left waits until it tells its caller: meanwhile it says so to those who ask.
const FAREWELL: Duration = Duration::from_millis(300);

impl Node {
    pub(super) fn join(&mut self, mut via: Vec<Address>, cx: &mut Context<'_, Self>) {
        if self.is_member() {
            return;
        }
        self.timers.clear(Timer::Farewell);
        if via.is_empty() {
            return self.joined(cx);
        }
        via.truncate(VIA_MAX);
        (self.via, self.join_attempts) = (via, 0);
        // Who is joining already goes on, through these.
        if self.standing != Standing::Joining {
            self.standing = Standing::Joining;
            self.try_to_join(cx);
        }
    }

    /// Looks up this node's own key, as if it were not there.
    pub(super) fn try_to_join(&mut self, cx: &mut Context<'_, Self>) {
        if self.standing == Standing::Joining {
            self.join_attempts += 1;
            self.look_up(self.me.key, Purpose::Join, false, cx);
        }
    }

    /// Nobody has let this node in yet. Each wait is twice the one before, up to the longest for any
    /// answer: nodes may come up later than this one.
    pub(super) fn join_again(&mut self, cx: &mut Context<'_, Self>) {
        if self.standing != Standing::Joining {
            return;
        }
        if self.join_attempts >= JOIN_ATTEMPTS {
            return self.refused(Failure::Unreachable, cx);
        }
        let wait = self.rtt.wait(self.join_attempts);
        self.timers.set(Timer::Join, cx.now.after(wait));
    }

    fn refused(&mut self, why: Failure, cx: &mut Context<'_, Self>) {
        self.standing = Standing::Outside;
        self.way.clear();
        cx.tell(Event::JoinFailed(why));
    }

    /// The node nearest to this one is known, and those on the way to it.
    pub(super) fn join_found(
        &mut self,
        nearest: Contact,
        way: Vec<Contact>,
        cx: &mut Context<'_, Self>,
    ) {
        if self.standing != Standing::Joining {
            return;
        }
        self.way = way;
        if !self.ask(nearest, For::Join, |nonce| Body::Leaves { nonce }, cx) {
            self.join_again(cx);
        }
    }

    /// The nearest node has named its leaves.
    pub(super) fn join_leaves_are(
        &mut self,
        by: Contact,
        contacts: Vec<Contact>,
        cx: &mut Context<'_, Self>,
    ) {
        if self.standing != Standing::Joining {
            return;
        }
        let is_twin = |it: &&Contact| it.key == self.me.key && it.address != self.me.address;
        let twin = contacts.iter().find(is_twin).copied();
        let mut others = contacts;
        others.push(by);
        match twin {
            // It may be this node itself, before it came back at another address.
            Some(twin) => {
                let ping = |nonce| Body::Ping { nonce };
                if !self.ask(twin, For::Twin(others), ping, cx) {
                    self.join_again(cx);
                }
            }
            None => self.let_in(&others, cx),
        }
    }

    /// Somebody is at the address at which another with this key was.
    pub(super) fn twin_found(&mut self, key: Key, others: &[Contact], cx: &mut Context<'_, Self>) {
        if self.standing != Standing::Joining {
            return;
        }
        if key == self.me.key {
            return self.refused(Failure::KeyTaken, cx);
        }
        self.let_in(others, cx);
    }

    /// This node has its place: it introduces itself to all whom it has heard of.
    pub(super) fn let_in(&mut self, others: &[Contact], cx: &mut Context<'_, Self>) {
        if self.standing != Standing::Joining {
            return;
        }
        self.joined(cx);
        others.iter().for_each(|&it| self.consider(it, cx));
        for node in std::mem::take(&mut self.way) {
            self.ask_row(node, cx);
        }
    }

    fn joined(&mut self, cx: &mut Context<'_, Self>) {
        self.standing = Standing::Member;
        self.timers.clear(Timer::Join);
        self.next_round(cx);
        cx.tell(Event::Joined);
    }

    /// Goes, once what nobody else holds is handed on.
    pub(super) fn leave(&mut self, cx: &mut Context<'_, Self>) {
        match self.standing {
            Standing::Member if self.handing.is_leaving() => {}
            Standing::Member => self.begin_to_leave(cx),
            Standing::Outside | Standing::Visitor | Standing::Joining => {
                self.standing = Standing::Outside;
                self.timers.clear(Timer::Join);
                cx.tell(Event::Left { untaken: 0 });
            }
        }
    }

    /// Tells its leaves that it is gone; those who ask hear that there is no member here.
    pub(super) fn depart(&mut self, untaken: usize, cx: &mut Context<'_, Self>) {
        let leaves: Vec<Contact> = self.leaves.contacts().collect();
        leaves.iter().for_each(|it| self.say(it.address, Body::Leaving, cx));
        self.standing = Standing::Outside;
        self.forget_all();
        self.untaken = untaken;
        for timer in [Timer::Round, Timer::Leave, Timer::Hold] {
            self.timers.clear(timer);
        }
        self.timers.set(Timer::Farewell, cx.now.after(FAREWELL));
    }

    /// The leaves have asked whether it is so.
    pub(super) fn farewell(&mut self, cx: &mut Context<'_, Self>) {
        cx.tell(Event::Left { untaken: self.untaken });
    }
}
