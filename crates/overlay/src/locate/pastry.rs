//! Pastry: keys and nodes on one circle, read as strings of digits; a key belongs to the node that is
//! numerically nearest.
//!
//! Rowstron, Druschel, "Pastry: scalable, decentralized object location, and routing for large-scale
//! peer-to-peer systems", Middleware 2001; with Bamboo's upkeep: Rhea, Geels, Roscoe, Kubiatowicz,
//! "Handling churn in a DHT", USENIX 2004. What was changed, and every timer and limit:
//! docs/pastry.md.
//!
//! ```text
//! message  what is said, and its bytes
//! leaves   the leaf set: the nearest nodes on each side
//! table    the routing table: far nodes by shared digits
//! route    the next node on the way to a key
//! lookup   from a key to its owner, recursively or iteratively
//! walk     whom an iterative lookup has asked, and asks next
//! join     coming in and going
//! upkeep   what keeps leaves and table true: reactive or periodic
//! hold     values, their copies and their end
//! handing  values that change hands, when a node comes or leaves
//! request  questions that wait for an answer
//! settled  an overlay as it is when all has settled, for simulations
//! ```

pub mod fuzz;
mod handing;
mod hold;
mod join;
mod leaves;
mod lookup;
pub mod message;
mod request;
mod route;
pub mod settled;
mod table;
mod upkeep;
mod walk;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use nigh_base::{
    Address, Digest, Key, Machine, Rtt, Time, Timers,
    machine::{Context, Input, Output},
    space::prefix::Digits,
};

use self::{
    handing::Handing,
    leaves::Leaves,
    lookup::{Lookups, Purpose},
    message::{Body, Message},
    request::Requests,
    table::Table,
    upkeep::Lost,
};
use super::{Command, Contact, Event, Overlay, VIA_MAX, codec::CONTACTS_MAX, holdings::Holdings};

pub use handing::LEAVE_MAX;

/// How a node behaves. All nodes of an overlay have the same `digit_bits`; the rest is each node's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Bits of a digit: the paper's b, 1, 2 or 4. More make lookups shorter and tables longer.
    pub digit_bits: u32,
    /// How many leaves a node has, half of them on each side: the paper's L, even, 2 to 32.
    pub leaves: usize,
    /// How many nodes hold a value, at most one more than half of the leaves.
    pub copies: u8,
    /// How lookups go.
    pub routing: Routing,
    /// What is done about nodes that are gone.
    pub repair: Repair,
    /// Whether a cell of the table goes to the node with the shortest round trip; else to the first.
    pub locality: bool,
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

/// When a node looks for others in the place of those that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repair {
    /// At once, as in Pastry.
    Reactive,
    /// With the next exchange of leaf sets and rows, as in Bamboo.
    Periodic,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            digit_bits: 4,
            leaves: 16,
            copies: 3,
            routing: Routing::Recursive,
            repair: Repair::Periodic,
            locality: true,
            upkeep_every: Duration::from_secs(5),
        }
    }
}

impl Settings {
    /// Holds that the numbers fit together.
    ///
    /// # Panics
    /// If they do not; the message says which.
    fn check(&self) {
        assert!(matches!(self.digit_bits, 1 | 2 | 4), "a digit has 1, 2 or 4 bits");
        let is_even = self.leaves.is_multiple_of(2);
        assert!(is_even && (2..=CONTACTS_MAX).contains(&self.leaves), "2 to 32 leaves, evenly");
        assert!(self.copies >= 1, "a value is held by one node at least");
        assert!(usize::from(self.copies) <= self.leaves / 2 + 1, "copies lie with leaves");
        assert!(self.upkeep_every > Duration::ZERO, "upkeep takes time");
    }

    fn digits(&self) -> Digits {
        Digits::new(self.digit_bits)
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
    /// The end of the lookup of that number.
    Lookup(u64),
    /// The next round of upkeep.
    Round,
    /// The next try to join.
    Join,
    /// The next round over what is held.
    Hold,
    /// The end of the time in which a node that leaves hands on what it holds.
    Leave,
    /// The end of the time in which leaves ask whether it has left.
    Farewell,
}

/// One node of Pastry, as a machine.
#[derive(Debug)]
pub struct Node {
    me: Contact,
    settings: Arc<Settings>,
    standing: Standing,
    leaves: Leaves,
    table: Table,
    requests: Requests,
    lookups: Lookups,
    timers: Timers<Timer>,
    /// Of all answers together.
    rtt: Rtt,
    /// Counts the rounds of upkeep.
    rounds: u32,
    lost: Lost,
    /// Where nodes may be that let this one in.
    via: Vec<Address>,
    join_attempts: u32,
    /// While it joins: who was on the way to the nearest node.
    way: Vec<Contact>,
    holdings: Holdings,
    handing: Handing,
    /// The number that the caller is told with [`Event::Left`].
    untaken: usize,
}

impl Node {
    /// A node that belongs to no overlay yet; [`Command::Join`] changes that.
    ///
    /// # Panics
    /// If the settings do not fit together.
    pub fn new(key: Key, address: Address, settings: Arc<Settings>) -> Self {
        settings.check();
        Self {
            me: Contact { key, address },
            leaves: Leaves::new(key, settings.leaves / 2),
            table: Table::new(key, settings.digits()),
            settings,
            standing: Standing::Outside,
            requests: Requests::default(),
            lookups: Lookups::default(),
            timers: Timers::default(),
            rtt: Rtt::default(),
            rounds: 0,
            lost: Lost::default(),
            via: Vec::new(),
            join_attempts: 0,
            way: Vec::new(),
            holdings: Holdings::default(),
            handing: Handing::default(),
            untaken: 0,
        }
    }

    /// This node.
    pub const fn contact(&self) -> Contact {
        self.me
    }

    /// Whether it is part of an overlay.
    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// Its leaf set, in the order of the keys.
    pub fn leaves(&self) -> Vec<Contact> {
        let mut leaves: Vec<Contact> = self.leaves.contacts().collect();
        leaves.sort_unstable();
        leaves
    }

    /// The node in the cell of its routing table in which `key` belongs.
    pub fn cell(&self, key: Key) -> Option<Contact> {
        self.table.at(key).map(|peer| peer.contact)
    }

    /// How many cells of its routing table are filled.
    pub const fn cells(&self) -> usize {
        self.table.len()
    }

    /// How many lookups are under way.
    pub fn pending_lookups(&self) -> usize {
        self.lookups.len()
    }

    fn receive(&mut self, from: Address, message: Message, cx: &mut Context<'_, Self>) {
        let Message { from: key, body } = message;
        if let Body::Found { lookup, hops, contacts } = body {
            return self.found(lookup, hops, contacts, cx);
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
        self.reply(from, body, cx);
        sender.into_iter().for_each(|it| self.greet(it, cx));
    }

    /// Answers a question.
    fn reply(&mut self, from: Address, body: Body, cx: &mut Context<'_, Self>) {
        match body {
            Body::Next { nonce, key, without } => self.name_next(from, nonce, key, &without, cx),
            Body::Leaves { nonce } => {
                let contacts = self.leaves.contacts().collect();
                self.say(from, Body::LeavesAre { nonce, contacts }, cx);
            }
            Body::Row { nonce, row } => {
                let contacts = self.table.row(row.into()).collect();
                self.say(from, Body::RowIs { nonce, contacts }, cx);
            }
            Body::Ping { nonce } => self.say(from, Body::Pong { nonce }, cx),
            Body::Route { nonce, lookup, key, origin, hops } => {
                self.say(from, Body::Taken { nonce }, cx);
                self.route(lookup, key, origin.unwrap_or(from), hops, cx);
            }
            Body::Store { nonce, copies, offer } => self.store(from, nonce, *offer, copies, cx),
            Body::Fetch { nonce, key } => {
                let value = self.held_value(key, cx.now);
                self.say(from, Body::Value { nonce, value }, cx);
            }
            _ => {}
        }
    }

    fn command(&mut self, command: Command, cx: &mut Context<'_, Self>) {
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

    fn wake(&mut self, cx: &mut Context<'_, Self>) {
        while let Some(timer) = self.timers.expired(cx.now) {
            match timer {
                Timer::Request(nonce) => self.unanswered(nonce, cx),
                Timer::Lookup(lookup) => self.lookup_overdue(lookup, cx),
                Timer::Round => self.round(cx),
                Timer::Join => self.try_to_join(cx),
                Timer::Hold => self.keep_up(cx),
                Timer::Leave => self.leave_overdue(cx),
                Timer::Farewell => self.farewell(cx),
            }
        }
    }
}

impl Overlay for Node {
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
        format!("{} leaves, {} cells", self.leaves.iter().count(), self.table.len())
    }
}

impl Machine for Node {
    type Message = Message;
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, input: Input<Message, Command>, cx: &mut Context<'_, Self>) {
        match input {
            Input::Wake => self.wake(cx),
            Input::Message { from, message } => self.receive(from, message, cx),
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
        self.standing.hash(digest);
        self.leaves.hash(digest);
        self.table.hash(digest);
        self.requests.hash(digest);
        self.lookups.hash(digest);
        self.timers.hash(digest);
        self.rtt.hash(digest);
        self.lost.hash(digest);
        self.via.hash(digest);
        self.way.hash(digest);
        self.holdings.hash(digest);
        self.handing.hash(digest);
        self.untaken.hash(digest);
        digest.write_u32(self.rounds);
        digest.write_u32(self.join_attempts);
    }

    /// What holds of every node at every moment, whatever happens around it.
    fn check(&self) {
        self.leaves.check();
        self.table.check();
        self.requests.check();
        self.lookups.check();
        self.lost.check();
        self.holdings.check();
        self.handing.check(self.holdings.len());
        if self.is_member() {
            assert!(self.timers.next().is_some(), "a member that has nothing to wait for");
        } else {
            assert!(self.leaves.is_empty() && self.table.len() == 0, "a table of no member");
        }
    }
}

#[cfg(test)]
mod tests;
