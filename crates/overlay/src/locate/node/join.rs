//! Coming in and going.
//!
//! ```text
//! n looks its own key up       as if it were not there: whoever is responsible is near
//! n asks what its overlay asks                             Geometry::joining
//! n -> its twin: Ping          if somebody has named a node of the same key
//! n is a member, and says so to all whom it has heard of   Geometry::let_in
//! ```

use std::time::Duration;

use nigh_base::{Address, Key};

use super::{
    Node, Standing, Timer,
    geometry::{Cx, Geometry},
    lookup::Purpose,
    message::Body,
    request::For,
};
use crate::locate::{Contact, Event, Failure, VIA_MAX};

/// So often a way in is looked for: with the longest waits that takes more than a day, and callers
/// mostly end it long before.
const JOIN_ATTEMPTS: u32 = 10_000;
/// How long a node that has left waits until it tells its caller: meanwhile it says so to those who ask.
const FAREWELL: Duration = Duration::from_millis(300);

impl<G: Geometry> Node<G> {
    pub(super) fn join(&mut self, mut via: Vec<Address>, cx: &mut Cx<'_, G>) {
        if self.is_member() {
            return;
        }
        self.timers.clear(Timer::Farewell);
        if via.is_empty() {
            G::alone(self);
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
    pub(super) fn try_to_join(&mut self, cx: &mut Cx<'_, G>) {
        if self.standing == Standing::Joining {
            self.join_attempts += 1;
            self.look_up(self.me.key, Purpose::Join, false, cx);
        }
    }

    /// Nobody has let this node in yet. Each wait is twice the one before, up to the longest for any
    /// answer: nodes may come up later than this one.
    pub(in crate::locate) fn join_again(&mut self, cx: &mut Cx<'_, G>) {
        if self.standing != Standing::Joining {
            return;
        }
        if self.join_attempts >= JOIN_ATTEMPTS {
            return self.refused(Failure::Unreachable, cx);
        }
        let wait = self.rtt.wait(self.join_attempts);
        self.timers.set(Timer::Join, cx.now.after(wait));
    }

    fn refused(&mut self, why: Failure, cx: &mut Cx<'_, G>) {
        self.standing = Standing::Outside;
        cx.tell(Event::JoinFailed(why));
    }

    /// The owner of this node's key is known, and those on the way to it.
    pub(super) fn join_found(&mut self, owner: Contact, way: Vec<Contact>, cx: &mut Cx<'_, G>) {
        if self.standing == Standing::Joining {
            G::joining(self, owner, way, cx);
        }
    }

    /// These are around the place of this node: it takes it, unless another of its key is there.
    pub(in crate::locate) fn take_place(&mut self, others: Vec<Contact>, cx: &mut Cx<'_, G>) {
        let is_twin = |it: &&Contact| it.key == self.me.key && it.address != self.me.address;
        match others.iter().find(is_twin).copied() {
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
    pub(super) fn twin_found(&mut self, key: Key, others: &[Contact], cx: &mut Cx<'_, G>) {
        if self.standing != Standing::Joining {
            return;
        }
        if key == self.me.key {
            return self.refused(Failure::KeyTaken, cx);
        }
        self.let_in(others, cx);
    }

    /// This node has its place.
    pub(super) fn let_in(&mut self, others: &[Contact], cx: &mut Cx<'_, G>) {
        if self.standing != Standing::Joining {
            return;
        }
        self.joined(cx);
        G::let_in(self, others, cx);
    }

    fn joined(&mut self, cx: &mut Cx<'_, G>) {
        self.standing = Standing::Member;
        self.timers.clear(Timer::Join);
        self.next_round(cx);
        cx.tell(Event::Joined);
    }

    /// Goes, once what nobody else holds is handed on.
    pub(super) fn leave(&mut self, cx: &mut Cx<'_, G>) {
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

    /// Tells its neighbours that it is gone; those who ask hear that there is no member here.
    pub(super) fn depart(&mut self, untaken: usize, cx: &mut Cx<'_, G>) {
        G::parting(self, cx);
        let neighbours = self.geometry.neighbours();
        neighbours.iter().for_each(|it| self.say(it.address, Body::Leaving, cx));
        self.standing = Standing::Outside;
        self.forget_all();
        self.untaken = untaken;
        for timer in [Timer::Round, Timer::Own, Timer::Leave, Timer::Hold] {
            self.timers.clear(timer);
        }
        self.timers.set(Timer::Farewell, cx.now.after(FAREWELL));
    }

    /// The neighbours have asked whether it is so.
    pub(super) fn farewell(&mut self, cx: &mut Cx<'_, G>) {
        cx.tell(Event::Left { untaken: self.untaken });
    }
}
