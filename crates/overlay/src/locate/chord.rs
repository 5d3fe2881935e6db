//! Chord: keys and nodes on one circle; a key belongs to its successor, the first node clockwise.
//!
//! Stoica, Morris, Karger, Kaashoek, Balakrishnan, "Chord: a scalable peer-to-peer lookup service
//! for internet applications", SIGCOMM 2001, and IEEE/ACM ToN 11(1), 2003. What was changed, and
//! every timer and limit: docs/chord.md.
//!
//! ```text
//! message  what is said, and its bytes
//! ring     join, stabilise, notify, leave: successors and predecessor
//! successors  the nodes behind this one
//! fingers  the table of far nodes; proximity: the nearest of several that would do
//! lookup   from a key to its successor, iteratively or recursively
//! walk     whom an iterative lookup has asked, and asks next
//! hold     values, their copies and their end
//! handover  values that change hands, when a node comes or leaves
//! request  questions that wait for an answer
//! several  virtual nodes: one host, many places on the circle
//! settled  a ring as it is when all has settled, for simulations
//! ```

mod fingers;
pub mod fuzz;
mod handover;
mod hold;
mod lookup;
pub mod message;
mod request;
mod ring;
pub mod settled;
mod several;
mod successors;
mod walk;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use nigh_base::{
    Address, Digest, Key, Machine, Rtt, Time, Timers,
    machine::{Context, Input, Output},
    space::clockwise::Circle,
};

use self::{
    fingers::{Choice, Fingers},
    handover::{Leaving, Passage},
    lookup::Lookups,
    message::{Body, Message, Neighbours},
    request::Requests,
    ring::Lost,
    successors::{Frame, Successors},
};
use super::{Command, Contact, Event, codec::CONTACTS_MAX, holdings::Holdings};

pub use several::{PLACES_MAX, Several};

/// How a node of a ring behaves. All nodes of a ring have the same `circle`; the rest is each
/// node's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The circle on which keys lie.
    pub circle: Circle,
    /// How many successors a node knows: r. The ring survives while one of them does.
    pub successors: usize,
    /// How many nodes hold a value: k, at most one more than `successors`.
    pub copies: u8,
    /// How lookups go.
    pub routing: Routing,
    /// Among so many candidates a finger is chosen by its round trip, at most as many as there are
    /// successors; 1 takes the first, as in the paper.
    pub proximity: usize,
    /// The mean time between two rounds of upkeep; each is drawn from half to one and a half.
    pub stabilise_every: Duration,
    /// How many fingers a round looks up.
    pub fingers_a_round: u32,
}

/// How a lookup goes from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Routing {
    /// The asker asks each node on the way for the next: it sees all, and pays a round trip a hop.
    Iterative,
    /// Each node passes the question on and is told that it was taken; the last one answers the
    /// asker. A hop costs one way, and who waits for whom are neighbours.
    Recursive,
    /// The same without word that it was taken: half the messages, and what is lost is noticed only
    /// by the asker.
    Blind,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            circle: Circle::WHOLE,
            successors: 8,
            copies: 3,
            routing: Routing::Iterative,
            proximity: 1,
            stabilise_every: Duration::from_secs(5),
            fingers_a_round: 1,
        }
    }
}

impl Settings {
    /// Holds that the numbers fit together.
    ///
    /// # Panics
    /// If they do not; the message says which.
    fn check(&self) {
        assert!((1..=CONTACTS_MAX).contains(&self.successors), "1 to 32 successors");
        assert!(self.copies >= 1, "a value is held by one node at least");
        assert!(usize::from(self.copies) <= self.successors + 1, "copies lie with successors");
        assert!((1..=self.successors).contains(&self.proximity), "candidates are successors");
        assert!(self.stabilise_every > Duration::ZERO, "upkeep takes time");
    }
}

/// Whether a node is part of a ring.
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
    Stabilise,
    /// The next try to join.
    Join,
    /// The next round over what is held.
    Hold,
    /// The end of the time in which a node that leaves hands on what it holds.
    Leave,
    /// The end of the time in which neighbours ask whether it has left.
    Farewell,
}

/// One node of a Chord ring, as a machine.
#[derive(Debug)]
pub struct Node {
    me: Contact,
    settings: Arc<Settings>,
    standing: Standing,
    /// Clockwise, without this node: empty if it is alone.
    successors: Successors,
    predecessor: Option<Contact>,
    /// When the predecessor was last heard.
    predecessor_heard: Time,
    fingers: Fingers,
    requests: Requests,
    lookups: Lookups,
    timers: Timers<Timer>,
    rtt: Rtt,
    /// Counts the rounds of upkeep.
    rounds: u32,
    more: Option<Box<More>>,
}

/// What a node has only while it needs it: a million nodes are held.
#[derive(Debug, Default, Hash)]
struct More {
    /// The keys of all places of this host, if it has several.
    places: Arc<[Key]>,
    /// Where nodes may be that let this one in.
    via: Vec<Address>,
    join_attempts: u32,
    lost: Lost,
    /// How often it has stabilised within this round without waiting for the next.
    hastened: usize,
    choices: Vec<Choice>,
    holdings: Holdings,
    passages: Vec<Passage>,
    leaving: Option<Box<Leaving>>,
    /// The number that the caller is told with [`Event::Left`].
    farewell: Option<usize>,
}

impl Node {
    /// A node that belongs to no ring yet; [`Command::Join`] changes that.
    ///
    /// # Panics
    /// If the settings do not fit together, or the key is not on the circle.
    pub fn new(key: Key, address: Address, settings: Arc<Settings>) -> Self {
        settings.check();
        assert!(settings.circle.has(key), "{key} lies outside of the circle");
        Self {
            me: Contact { key, address },
            settings,
            standing: Standing::Outside,
            successors: Successors::default(),
            predecessor: None,
            predecessor_heard: Time::START,
            fingers: Fingers::default(),
            requests: Requests::default(),
            lookups: Lookups::default(),
            timers: Timers::default(),
            rtt: Rtt::default(),
            rounds: 0,
            more: None,
        }
    }

    /// Says at which places of the circle this node's host is.
    fn beside(&mut self, places: &Arc<[Key]>) {
        if places.len() > 1 {
            self.more().places = Arc::clone(places);
        }
    }

    /// This node.
    pub const fn contact(&self) -> Contact {
        self.me
    }

    /// Whether it is part of a ring.
    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// Its successors, the nearest first; none if it is alone.
    pub fn successors(&self) -> &[Contact] {
        &self.successors
    }

    /// Its predecessor, if it knows one.
    pub const fn predecessor(&self) -> Option<Contact> {
        self.predecessor
    }

    /// The finger of that number: the first node at least 2^`exponent` behind this one, as far as
    /// it knows, or one that is nearer by proximity.
    pub fn finger(&self, exponent: u32) -> Option<Contact> {
        let near = self.successors.first().copied()?;
        let reach = self.settings.circle.distance(self.me.key, near.key);
        if Key::power(exponent) <= reach { Some(near) } else { self.fingers.at(exponent) }
    }

    /// How many values it holds, its own and copies.
    pub fn held(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.holdings.len())
    }

    /// Bytes of its routing state: successors, predecessor and fingers, as a node of the paper has
    /// them.
    pub fn routing_bytes(&self) -> usize {
        (self.successors.len() + self.fingers.len() + usize::from(self.predecessor.is_some()))
            * size_of::<Contact>()
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// How far `key` lies behind this node.
    fn distance(&self, key: Key) -> Key {
        self.settings.circle.distance(self.me.key, key)
    }

    fn neighbours(&self) -> Neighbours {
        Neighbours { predecessor: self.predecessor, successors: self.successors.to_vec() }
    }

    /// Where successors are measured from.
    fn frame(&self) -> Frame {
        let (circle, limit) = (self.settings.circle, self.settings.successors);
        Frame { circle, me: self.me.key, limit }
    }

    fn next_successor(&self) -> Contact {
        self.successors.first().copied().unwrap_or(self.me)
    }

    /// Whether this node is responsible for `key`, as far as it knows.
    fn owns(&self, key: Key) -> bool {
        match self.predecessor {
            Some(predecessor) => self.settings.circle.within(key, predecessor.key, self.me.key),
            None => self.successors.is_empty(),
        }
    }

    fn reply(to: Address, body: Body, cx: &mut Context<'_, Self>) {
        cx.send(to, Message { to: None, body });
    }

    fn receive(&mut self, from: Address, message: Message, cx: &mut Context<'_, Self>) {
        let Message { to, body } = message;
        if body.is_question() || body.nonce().is_none() {
            let meant = to.is_none_or(|key| key == self.me.key);
            let found = matches!(body, Body::Found { .. });
            if !meant || (self.standing != Standing::Member && !found) {
                if let (true, Some(nonce)) = (body.is_question(), body.nonce()) {
                    Self::reply(from, Body::Stranger { nonce }, cx);
                }
                return;
            }
        }
        match body {
            Body::Next { nonce, key } => {
                let body = match self.owners(key) {
                    Some(contacts) => Body::Owner { nonce, contacts },
                    None => {
                        let contacts = self.preceding(key).into_iter().flatten().collect();
                        Body::Closer { nonce, contacts }
                    }
                };
                Self::reply(from, body, cx);
            }
            Body::Neighbours { nonce } => {
                let neighbours = Box::new(self.neighbours());
                Self::reply(from, Body::NeighboursAre { nonce, neighbours }, cx);
            }
            Body::Notify { key } => self.notified(Contact { key, address: from }, cx),
            Body::Ping { nonce } => Self::reply(from, Body::Pong { nonce }, cx),
            Body::Leaving { key, .. } => self.neighbour_left(Contact { key, address: from }, cx),
            Body::Route { nonce, lookup, key, origin, hops } => {
                let is_taken = self.pass_on(lookup, key, origin.or(Some(from)), hops, &[], cx);
                if nonce != 0 && is_taken {
                    Self::reply(from, Body::Taken { nonce }, cx);
                }
            }
            Body::Found { lookup, hops, contacts } => self.found(lookup, hops, contacts, cx),
            Body::Store { nonce, copies, offer } => self.store(from, nonce, *offer, copies, cx),
            Body::Fetch { nonce, key } => {
                let value = self.held_value(key, cx.now);
                Self::reply(from, Body::Value { nonce, value }, cx);
            }
            answer => self.answered(from, answer, cx),
        }
    }

    fn command(&mut self, command: Command, cx: &mut Context<'_, Self>) {
        match command {
            Command::Join { via } => self.join(via, cx),
            Command::Visit { mut via } => {
                via.truncate(super::VIA_MAX);
                self.more().via = via;
                if self.standing == Standing::Outside {
                    self.standing = Standing::Visitor;
                }
            }
            Command::Leave => self.leave(cx),
            Command::Locate { ticket, key, trace } => {
                self.look_up(key, lookup::Purpose::Caller(ticket), trace, cx);
            }
            Command::Put { ticket, key, value, lifetime, refresh } => {
                self.put(ticket, key, value, lifetime, refresh, cx);
            }
            Command::Get { ticket, key } => {
                self.look_up(key, lookup::Purpose::Get(ticket), false, cx);
            }
        }
    }

    fn wake(&mut self, cx: &mut Context<'_, Self>) {
        while let Some(timer) = self.timers.expired(cx.now) {
            match timer {
                Timer::Request(nonce) => self.unanswered(nonce, cx),
                Timer::Lookup(lookup) => self.lookup_overdue(lookup, cx),
                Timer::Stabilise => self.round(cx),
                Timer::Join => self.try_to_join(cx),
                Timer::Hold => self.keep_up(cx),
                Timer::Leave => self.leave_overdue(cx),
                Timer::Farewell => self.farewell(cx),
            }
        }
    }
}

impl Machine for Node {
    type Message = Message;
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, input: Input<Message, Command>, cx: &mut Context<'_, Self>) {
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
        self.standing.hash(digest);
        self.successors.hash(digest);
        self.predecessor.hash(digest);
        self.predecessor_heard.hash(digest);
        self.fingers.hash(digest);
        self.requests.hash(digest);
        self.lookups.hash(digest);
        self.timers.hash(digest);
        self.rtt.hash(digest);
        self.more.hash(digest);
        digest.write_u32(self.rounds);
    }

    /// What holds of every node at every moment, whatever happens around it.
    fn check(&self) {
        let me = self.me.key;
        self.successors.check(self.frame());
        assert!(self.predecessor.is_none_or(|it| it.key != me), "a predecessor of itself");
        self.fingers.check(self.settings.circle, me);
        self.requests.check();
        self.lookups.check();
        self.check_handover();
        if let Some(more) = &self.more {
            more.lost.check();
            more.holdings.check();
        }
        if self.standing == Standing::Member {
            assert!(self.timers.next().is_some(), "a member that has nothing to wait for");
        }
    }
}

#[cfg(test)]
mod tests;
