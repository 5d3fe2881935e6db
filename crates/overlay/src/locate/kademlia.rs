//! Kademlia, as BitTorrent's mainline DHT speaks it: keys and nodes are numbers, and a key belongs to the
//! nodes whose numbers differ from it in the least significant bits.
//!
//! Maymounkov, Mazières, "Kademlia: a peer-to-peer information system based on the XOR metric", IPTPS
//! 2002; BEP 5, 32, 33, 42, 43, 44 and 51. What was changed, and every timer and limit:
//! docs/kademlia.md.
//!
//! ```text
//! krpc     what is said, and its bytes
//! table    the nodes that this one knows, by the bits that they share with it
//! search   from a key to the nodes nearest to it
//! lookups  what the caller wants, from its search to its end
//! purpose  what it is for
//! found    what it finds on its way
//! storing  what is stored with those it ends at
//! ask      questions that wait for an answer
//! command  what the caller may ask, and is told
//! serve    answers to others' questions
//! fit      how long they may be
//! handing  values that change hands
//! upkeep   joining, refreshing, the nodes that have fallen silent
//! place    the own id, which has to fit the address (BEP 42)
//! token    who stores something is reached where it says
//! limit    how much one address may ask
//! peers    swarms and who is in them
//! host     whose an address is
//! near     what is held for others, by how near to the node it lies
//! items    what is held under names that follow from it (BEP 44)
//! values   what is held under any key
//! item     names and signatures of items
//! secure_id  ids that fit an address
//! filter   sets of addresses that can be counted (BEP 33)
//! ```

mod ask;
mod command;
pub mod filter;
mod fit;
mod found;
pub mod fuzz;
mod handing;
pub(in crate::locate) mod host;
pub mod item;
mod items;
pub mod krpc;
mod limit;
mod lookups;
mod near;
mod peers;
mod place;
mod purpose;
mod search;
pub mod secure_id;
mod serve;
mod storing;
mod table;
mod token;
mod upkeep;
mod values;

use std::{hash::Hash as _, sync::Arc, time::Duration};

use nigh_base::{
    Address, Digest, Key, Machine, Rtt, Time, Timers,
    machine::{Context, Input, Output},
};

use self::{
    ask::Questions,
    handing::Handing,
    items::Items,
    krpc::{Body, Message},
    limit::Limits,
    lookups::Lookups,
    peers::Swarms,
    place::Votes,
    table::{Shape, Table},
    token::Tokens,
    upkeep::Upkeep,
    values::Values,
};
pub use self::{
    command::{Announce, Command, Event, PEERS_FOUND_MAX},
    search::PATHS_MAX,
};
use super::{self as locate, Contact, Overlay};

/// How a node behaves. Nodes of one DHT may differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Nodes of a bucket, and those that hold what is stored: k.
    pub bucket: usize,
    /// Questions of one lookup at once: alpha.
    pub parallel: usize,
    /// On how many disjoint paths a lookup goes, at most [`PATHS_MAX`]; with 1 it goes as in the paper.
    pub paths: usize,
    /// Whether, of the nodes that would do, those with the shortest round trips are kept.
    pub by_proximity: bool,
    /// Whether nodes with IPv4 addresses are known and asked.
    pub v4: bool,
    /// The same for IPv6 (BEP 32).
    pub v6: bool,
    /// Whether it only asks, and answers nothing (BEP 43).
    pub read_only: bool,
    /// Whether the id is changed to one that fits the address at which others see this node (BEP 42).
    pub fits_address: bool,
    /// Questions a second that one address may ask in the long run; ten times as many at once. None: as
    /// many as it likes.
    pub questions_a_second: Option<u32>,
    /// The mean time between two rounds of upkeep; each is drawn from half to one and a half.
    pub upkeep_every: Duration,
    /// How often what is held under any key is stored again (section 2.5: an hour).
    pub republish_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bucket: 8,
            parallel: 4,
            paths: 1,
            by_proximity: false,
            v4: true,
            v6: false,
            read_only: false,
            fits_address: true,
            questions_a_second: Some(50),
            upkeep_every: Duration::from_secs(5),
            republish_every: Duration::from_secs(3600),
        }
    }
}

impl Settings {
    /// Holds that the numbers fit together.
    ///
    /// # Panics
    /// If they do not; the message says which.
    fn check(&self) {
        assert!((1..=krpc::NODES_SENT).contains(&self.bucket), "1 to {} nodes", krpc::NODES_SENT);
        assert!((1..=16).contains(&self.parallel), "1 to 16 questions at once");
        assert!((1..=PATHS_MAX).contains(&self.paths), "1 to {PATHS_MAX} paths");
        assert!(self.v4 || self.v6, "a family of addresses");
        assert!(self.upkeep_every > Duration::ZERO, "upkeep takes time");
        assert!(self.republish_every > Duration::ZERO, "storing again takes time");
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
    Question(u64),
    /// The next round of upkeep.
    Upkeep,
    /// The next try to join.
    Join,
    /// The time to leave is over.
    Leave,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn of(address: Address) -> Self {
        if address.as_v4().is_some() { Self::V4 } else { Self::V6 }
    }
}

/// One node of a DHT, as a machine.
#[derive(Debug)]
pub struct Node {
    me: Contact,
    settings: Arc<Settings>,
    standing: Standing,
    /// For each family.
    tables: [Table; 2],
    questions: Questions,
    lookups: Lookups,
    timers: Timers<Timer>,
    rtt: Rtt,
    tokens: Tokens,
    limits: Limits,
    swarms: Swarms,
    items: Items,
    values: Values,
    votes: Votes,
    handing: Handing,
    upkeep: Upkeep,
}

impl Node {
    /// A node that belongs to no DHT yet; [`locate::Command::Join`] changes that.
    ///
    /// # Panics
    /// If the settings do not fit together.
    pub fn new(key: Key, address: Address, settings: Arc<Settings>) -> Self {
        settings.check();
        Self {
            me: Contact { key, address },
            tables: Self::tables(key, &settings),
            limits: Limits::new(settings.questions_a_second),
            settings,
            standing: Standing::Outside,
            questions: Questions::default(),
            lookups: Lookups::default(),
            timers: Timers::default(),
            rtt: Rtt::default(),
            tokens: Tokens::default(),
            swarms: Swarms::new(key),
            items: Items::new(key),
            values: Values::new(key),
            votes: Votes::default(),
            handing: Handing::default(),
            upkeep: Upkeep::default(),
        }
    }

    fn tables(key: Key, settings: &Settings) -> [Table; 2] {
        let shape = Shape { bucket: settings.bucket, by_proximity: settings.by_proximity };
        [Table::new(key, shape.clone()), Table::new(key, shape)]
    }

    /// This node.
    pub const fn contact(&self) -> Contact {
        self.me
    }

    /// Whether it is part of a DHT.
    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// How many nodes it knows, over IPv4 and over IPv6.
    pub fn known(&self) -> (usize, usize) {
        (self.table(Family::V4).len(), self.table(Family::V6).len())
    }

    fn table(&self, family: Family) -> &Table {
        &self.tables[family as usize]
    }

    fn table_mut(&mut self, family: Family) -> &mut Table {
        &mut self.tables[family as usize]
    }

    /// The families in which it knows nodes.
    fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let (v4, v6) = (self.settings.v4, self.settings.v6);
        let is_spoken = move |it: &Family| if *it == Family::V4 { v4 } else { v6 };
        Family::BOTH.into_iter().filter(is_spoken)
    }

    /// Whether others shall not remember it, and not ask it.
    fn is_read_only(&self) -> bool {
        self.settings.read_only || matches!(self.standing, Standing::Outside | Standing::Visitor)
    }

    fn receive(&mut self, from: Address, message: Message, cx: &mut Context<'_, Self>) {
        let Message { transaction, body, .. } = message;
        match body {
            Body::Query(query) => self.serve(from, transaction, query, cx),
            Body::Mistaken(error) => self.serve_mistaken(from, transaction, error, cx),
            Body::Response(response) => self.answered(from, &transaction, Ok(*response), cx),
            Body::Error(error) => self.answered(from, &transaction, Err(error), cx),
        }
    }

    fn wake(&mut self, cx: &mut Context<'_, Self>) {
        while let Some(timer) = self.timers.expired(cx.now) {
            match timer {
                Timer::Question(number) => self.overdue(number, cx),
                Timer::Upkeep => self.round(cx),
                Timer::Join => self.try_to_join(cx),
                Timer::Leave => self.leave_overdue(cx),
            }
        }
    }
}

impl Overlay for Node {
    fn told(event: Event) -> Option<locate::Event> {
        match event {
            Event::Locate(event) => Some(event),
            _ => None,
        }
    }

    fn contacts(&self) -> Vec<Contact> {
        vec![self.me]
    }

    fn held(&self) -> usize {
        self.values.len()
    }

    fn acquaintances(&self) -> String {
        let (v4, v6) = self.known();
        format!("{v4} nodes over IPv4, {v6} over IPv6")
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
        self.tables.hash(digest);
        self.questions.hash(digest);
        self.lookups.hash(digest);
        self.timers.hash(digest);
        self.rtt.hash(digest);
        self.tokens.hash(digest);
        self.limits.hash(digest);
        self.swarms.hash(digest);
        self.items.hash(digest);
        self.values.hash(digest);
        self.votes.hash(digest);
        self.handing.hash(digest);
        self.upkeep.hash(digest);
    }

    /// What holds of every node at every moment, whatever happens around it.
    fn check(&self) {
        self.tables.iter().for_each(Table::check);
        self.questions.check();
        self.lookups.check();
        self.swarms.check();
        self.items.check();
        self.values.check();
        self.handing.check();
        if self.standing == Standing::Member {
            assert!(self.timers.next().is_some(), "a member that has nothing to wait for");
        }
    }
}

#[cfg(test)]
mod tests;
