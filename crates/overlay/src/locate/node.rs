//! A node of an overlay in which a key has one owner: all of it but the geometry.
//!
//! A node finds its way in, looks keys up, holds values and hands them on, asks questions and waits for
//! answers, and remembers whom it has lost. Where a key belongs and who is next on the way there is the
//! [`Geometry`]'s: Pastry, Koorde and Viceroy on a [circle](super::circle), Tapestry, CAN.
//!
//! ```text
//! geometry what an overlay has of its own
//! message  what is said, and its bytes
//! lookup   from a key to its owner, recursively or iteratively
//! walk     whom an iterative lookup has asked, and asks next
//! join     coming in and going
//! known    whom a node knows, meets and loses
//! hold     values, their copies and their end
//! handing  values that change hands, when a node comes or leaves
//! request  questions that wait for an answer
//! taken    lookups of others that were taken, so that none is passed on twice
//! ```

#[cfg(test)]
mod amplification;
pub mod geometry;
mod handing;
mod hold;
mod join;
mod known;
mod lookup;
pub mod message;
mod request;
mod taken;
mod walk;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use nigh_base::{
    Address, Digest, Machine, Rtt, Time, Timers,
    machine::{Input, Output},
};

use self::{
    geometry::{Cx, Geometry},
    handing::Handing,
    known::Remembered,
    lookup::{Lookup, Purpose},
    message::{Body, Datagram, Message, Says},
    request::Request,
    taken::Taken,
};
use super::{Command, Contact, Event, Overlay, VIA_MAX, holdings::Holdings, pending::Pending};

pub(in crate::locate) use self::request::For;

/// What every overlay can be told about its nodes' behaviour.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How many nodes hold a value.
    pub copies: u8,
    /// How lookups go.
    pub routing: Routing,
    /// The mean time between two rounds of upkeep; each is drawn from half to one and a half.
    pub upkeep_every: Duration,
}

/// How a lookup goes from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Routing {
    /// Each node passes the question on and is told that it was taken; the last one answers the asker.
    Recursive,
    /// The asker asks each node on the way for the next: it sees all, and pays a round trip a hop.
    Iterative,
}

impl Default for Settings {
    fn default() -> Self {
        Self { copies: 3, routing: Routing::Recursive, upkeep_every: Duration::from_secs(5) }
    }
}

impl Settings {
    /// Holds that the numbers fit together.
    ///
    /// # Panics
    /// If they do not; the message says which.
    fn check(&self) {
        assert!(self.copies >= 1, "a value is held by one node at least");
        assert!(self.upkeep_every > Duration::ZERO, "upkeep takes time");
    }
}

/// Whether a node is part of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Standing {
    Outside,
    /// It knows ways in, and asks through them.
    Visitor,
    Joining,
    Member,
}

/// What a node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// An answer to the question of that number.
    Request(u64),
    /// The end of the lookup of that number, or of what others do about it.
    Lookup(u64),
    /// The next round of upkeep.
    Round,
    /// What the overlay wants to be woken for.
    Own,
    /// The next try to join.
    Join,
    /// The next round over what is held.
    Hold,
    /// The next step through what is held, for those who have come in.
    Hand,
    /// The end of the time in which a node that leaves hands on what it holds.
    Leave,
    /// The end of the time in which neighbours ask whether it has left.
    Farewell,
}

/// One node of an overlay, as a machine.
#[derive(Debug)]
pub struct Node<G: Geometry> {
    me: Contact,
    settings: Arc<G::Settings>,
    /// What it knows by the rules of its overlay.
    pub(in crate::locate) geometry: G,
    standing: Standing,
    requests: Pending<Request<G>>,
    lookups: Pending<Lookup<G::Carry>>,
    taken: Taken,
    timers: Timers<Timer>,
    /// Of all answers together, but those of nodes that are being met.
    rtt: Rtt,
    /// Counts the rounds of upkeep.
    rounds: u32,
    /// Nodes that were known and did not answer any more.
    lost: Remembered,
    /// Nodes that were known, did not answer another, and are there.
    there: Remembered,
    /// Where nodes may be that let this one in.
    via: Vec<Address>,
    join_attempts: u32,
    holdings: Holdings,
    handing: Handing,
    /// The number that the caller is told with [`Event::Left`].
    untaken: usize,
}

impl<G: Geometry> Node<G> {
    /// A node that belongs to no overlay yet; [`Command::Join`] changes that.
    ///
    /// # Panics
    /// If the settings do not fit together.
    pub fn new(key: nigh_base::Key, address: Address, settings: Arc<G::Settings>) -> Self {
        (*settings).as_ref().check();
        let me = Contact { key, address };
        Self {
            me,
            geometry: G::new(me, &settings),
            settings,
            standing: Standing::Outside,
            requests: Pending::default(),
            lookups: Pending::default(),
            taken: Taken::default(),
            timers: Timers::default(),
            rtt: Rtt::default(),
            rounds: 0,
            lost: Remembered::default(),
            there: Remembered::default(),
            via: Vec::new(),
            join_attempts: 0,
            holdings: Holdings::default(),
            handing: Handing::default(),
            untaken: 0,
        }
    }

    /// A member whose first round comes at `first_round`, and who knows nobody yet: simulations give it
    /// what it would know when all has settled.
    pub(in crate::locate) fn settled(
        me: Contact,
        settings: Arc<G::Settings>,
        first_round: Time,
    ) -> Self {
        let mut node = Self::new(me.key, me.address, settings);
        node.standing = Standing::Member;
        node.timers.set(Timer::Round, first_round);
        node
    }

    /// This node.
    pub const fn contact(&self) -> Contact {
        self.me
    }

    /// How it behaves.
    pub fn settings(&self) -> &G::Settings {
        &self.settings
    }

    /// Whether it is part of an overlay.
    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// How many rounds of upkeep there were.
    pub(in crate::locate) const fn rounds(&self) -> u32 {
        self.rounds
    }

    /// The overlay wants to be woken then, and not when it wanted before.
    pub(in crate::locate) fn wake_own(&mut self, at: Time) {
        self.timers.set(Timer::Own, at);
    }

    fn common(&self) -> &Settings {
        (*self.settings).as_ref()
    }

    fn receive(&mut self, from: Address, message: Message<G>, cx: &mut Cx<'_, G>) {
        let Datagram { from: key, body } = message;
        if let Body::Found { lookup, hops, contacts } = body {
            return self.found(lookup, hops, contacts, cx);
        }
        if let Body::FoundHolders { lookup, hops, contacts } = body {
            return self.found_holders(lookup, hops, contacts, cx);
        }
        if body.answers().is_some() {
            return self.answered(from, key, body, cx);
        }
        if !self.is_member() {
            if let Some(nonce) = body.asks() {
                self.say(from, Body::Stranger { nonce }, cx);
            }
            return;
        }
        let sender = key.map(|key| Contact { key, address: from });
        if matches!(body, Body::Leaving) {
            // That may be forged: it is asked, and says itself that it is no member any more.
            return sender.into_iter().for_each(|it| self.suspect(it, cx));
        }
        self.reply(from, sender, body, cx);
        sender.into_iter().for_each(|it| self.greet(it, cx));
    }

    /// Answers a question.
    fn reply(&mut self, from: Address, sender: Option<Contact>, body: Says<G>, cx: &mut Cx<'_, G>) {
        match body {
            Body::Next { nonce, key, carry, without } => {
                self.name_next(from, nonce, (key, carry), &without, cx);
            }
            Body::Ping { nonce } => self.say(from, Body::Pong { nonce }, cx),
            Body::Route { nonce, lookup, key, carry, origin, hops } => {
                let is_taken = self.taken.has(from, nonce)
                    || self.route(lookup, (key, carry), origin.unwrap_or(from), hops, cx);
                if is_taken {
                    self.taken.remember(from, nonce);
                    self.say(from, Body::Taken { nonce }, cx);
                }
            }
            Body::Store { nonce, copies, offer } => self.store(from, nonce, *offer, copies, cx),
            Body::Fetch { nonce, key } => {
                let value = self.served_value(key, cx.now);
                self.say(from, Body::Value { nonce, value }, cx);
            }
            Body::Own(words) => G::asked(self, from, sender, words, cx),
            _ => {}
        }
    }

    fn command(&mut self, command: Command, cx: &mut Cx<'_, G>) {
        match command {
            Command::Join { via } => self.join(via, cx),
            Command::Visit { mut via } => {
                via.truncate(VIA_MAX);
                self.via = via;
                if self.standing == Standing::Outside {
                    self.standing = Standing::Visitor;
                }
            }
            Command::Leave => self.leave(cx),
            Command::Locate { ticket, key, trace } => {
                self.look_up(key, Purpose::Caller(ticket), trace, cx);
            }
            Command::Put { ticket, key, value, lifetime, refresh } => {
                self.put(ticket, key, value, lifetime, refresh, cx);
            }
            Command::Get { ticket, key } => self.look_up(key, Purpose::Get(ticket), false, cx),
        }
    }

    fn wake(&mut self, cx: &mut Cx<'_, G>) {
        while let Some(timer) = self.timers.expired(cx.now) {
            match timer {
                Timer::Request(nonce) => self.unanswered(nonce, cx),
                Timer::Lookup(lookup) => self.lookup_overdue(lookup, cx),
                Timer::Round => self.round(cx),
                Timer::Own => G::due(self, cx),
                Timer::Join => self.try_to_join(cx),
                Timer::Hold => self.keep_up(cx),
                Timer::Hand => self.look_through(cx),
                Timer::Leave => self.leave_overdue(cx),
                Timer::Farewell => self.farewell(cx),
            }
        }
    }
}

impl<G: Geometry> Overlay for Node<G> {
    fn told(event: Event) -> Option<Event> {
        Some(event)
    }

    fn contacts(&self) -> Vec<Contact> {
        vec![self.me]
    }

    fn held(&self) -> usize {
        self.holdings.len()
    }

    fn acquaintances(&self) -> String {
        self.geometry.acquaintances()
    }
}

impl<G: Geometry> Machine for Node<G> {
    type Message = Message<G>;
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, input: Input<Message<G>, Command>, cx: &mut Cx<'_, G>) {
        match input {
            Input::Wake => self.wake(cx),
            Input::Message { from, message } if from.is_of_one() => {
                self.receive(from, message, cx);
            }
            // Nobody can be answered there: the address is forged.
            Input::Message { .. } => {}
            Input::Command(command) => self.command(command, cx),
            // Nodes talk in datagrams: whoever calls has mistaken it for another.
            Input::Opened { link, .. } => cx.emit(Output::Close { link }),
            // It saves nothing.
            Input::Received { .. }
            | Input::Drained { .. }
            | Input::Closed { .. }
            | Input::Saved { .. }
            | Input::Loaded { .. }
            | Input::Failed { .. } => {}
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.timers.next()
    }

    fn digest(&self, digest: &mut Digest) {
        self.me.hash(digest);
        self.settings.hash(digest);
        self.geometry.hash(digest);
        self.standing.hash(digest);
        self.requests.hash(digest);
        self.lookups.hash(digest);
        self.taken.hash(digest);
        self.timers.hash(digest);
        self.rtt.hash(digest);
        self.lost.hash(digest);
        self.there.hash(digest);
        self.via.hash(digest);
        self.holdings.hash(digest);
        self.handing.hash(digest);
        self.untaken.hash(digest);
        digest.write_u32(self.rounds);
        digest.write_u32(self.join_attempts);
    }

    /// What holds of every node at every moment, whatever happens around it.
    fn check(&self) {
        G::check(self);
        request::check(&self.requests);
        lookup::check(&self.lookups);
        self.taken.check();
        self.lost.check();
        self.there.check();
        self.holdings.check();
        self.handing.check(self.holdings.len());
        if self.is_member() {
            assert!(self.timers.next().is_some(), "a member that has nothing to wait for");
        } else {
            let knows_nobody = self.geometry.neighbours().is_empty();
            assert!(knows_nobody, "a table of no member");
        }
    }
}

#[cfg(test)]
mod tests;
