//! Who is there: SWIM, by the `foca` crate, as a machine.
//!
//! Das, Gupta and Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group
//! Membership Protocol", DSN 2002. Each member pings one other a period; who does not answer is
//! asked for through others, then suspected, then declared down, and all of that rides on the pings.
//! Messages, timers, limits, and what was changed: docs/membership.md.
//!
//! ```text
//! node      the machine: commands, timers, joining, leaving
//! ledger    what is known of all others
//! runtime   what foca wants: timers, datagrams, numbers that fit the cluster
//! codec     what foca is given: bytes, a listener, randomness
//! identity  who a member is to SWIM
//! record    what it carries
//! message   what is said, and its bytes
//! ```
//! Who *belongs* to the cluster is not decided here, nor who is who: a runner hands in only
//! datagrams of members that have shown their certificate, and sends only to such.
//!
//! ```
//! use nigh_base::{Address, Machine, Rng, Time, machine::{Context, Input}};
//! use nigh_cluster::membership::{Command, Contact, Name, Node, Settings};
//!
//! let me = Contact { name: Name::new("edge-1")?, address: Address::v4([10, 0, 0, 1], 4400) };
//! let mut node = Node::new(me, 1, Settings::default());
//! let (mut rng, mut secrets, mut outbox) = (Rng::new(1), Rng::new(2), Vec::new());
//! let other = Contact { name: Name::new("edge-2")?, address: Address::v4([10, 0, 0, 2], 4400) };
//! node.handle(
//!     Input::Command(Command::Join { via: vec![other] }),
//!     &mut Context::new(Time::START, &mut rng, &mut secrets, &mut outbox),
//! );
//! assert!(!outbox.is_empty() && node.members().is_empty());
//! # Ok::<(), nigh_cluster::membership::NameError>(())
//! ```

mod codec;
pub mod fuzz;
mod identity;
mod ledger;
pub mod message;
mod name;
mod node;
mod record;
mod runtime;

use std::time::Duration;

use nigh_base::Address;

pub use self::{
    message::Message,
    name::{Name, NameError},
    node::{Counters, Node},
    record::Carried,
};

/// Members that a node knows at most, whatever their state. More are not believed in: an edge that
/// makes names up fills no memory.
pub const MEMBERS_MAX: usize = 4096;
/// Contacts that are kept of a command to join; later ones are dropped.
pub const VIA_MAX: usize = 64;

/// How a node behaves. All nodes of a cluster have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The protocol period of the paper: so often a node pings somebody.
    pub probe_every: Duration,
    /// How long it waits for the answer before it asks others to ping; less than half of the
    /// period, for the way through others is twice as long.
    pub answer_within: Duration,
    /// How many others are asked.
    pub indirect: u8,
    /// How often what is new is passed on beside pings; none is the paper's way, pings alone.
    pub gossip_every: Option<Duration>,
    /// Whom nobody has heard for so many periods, times the decimal logarithm of the members, is
    /// declared down.
    pub suspicion: u32,
    /// What is new is passed on so many times, times the decimal logarithm of the members: lambda.
    pub retransmit: u32,
    /// A load that changes is told at most so often.
    pub load_every: Duration,
    /// Whether a node that was stopped for a while, so that its timers are late, begins its waits
    /// anew: what it takes for silence may lie unread in its own queue.
    pub waits_anew: bool,
}

impl Settings {
    /// Holds that the numbers fit together.
    ///
    /// # Panics
    /// If they do not; the message says which.
    fn check(&self) {
        assert!(self.answer_within > Duration::ZERO, "an answer takes time");
        assert!(2 * self.answer_within < self.probe_every, "a period has room for two ways");
        assert!(self.gossip_every != Some(Duration::ZERO), "gossip takes time");
        assert!(self.indirect > 0, "somebody else is asked");
        assert!(self.suspicion > 0 && self.retransmit > 0, "a word is passed on, and waited for");
    }
}

impl Default for Settings {
    /// For edges in one place, as memberlist has them for a local network.
    fn default() -> Self {
        Self {
            probe_every: Duration::from_secs(1),
            answer_within: Duration::from_millis(400),
            indirect: 3,
            gossip_every: Some(Duration::from_millis(200)),
            suspicion: 4,
            retransmit: 4,
            load_every: Duration::from_secs(5),
            waits_anew: true,
        }
    }
}

/// An edge and where its gossip is heard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contact {
    /// Its name.
    pub name: Name,
    /// Its address.
    pub address: Address,
}

/// What the caller may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Become a member through any of these, and again through them whenever nobody else is left;
    /// with none, be the first. May be repeated: it adds ways in.
    Join {
        /// Edges that may be there; [`VIA_MAX`] at most are kept.
        via: Vec<Contact>,
    },
    /// Carry this from now on. Capacity and draining are told at once, a load by itself at most
    /// every [`Settings::load_every`].
    Carry(Carried),
    /// Tell all, then go. [`Event::Gone`] follows, and nothing else happens afterwards.
    Leave,
}

/// How a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It answers.
    Up,
    /// It did not answer, and is up until it is declared down.
    Suspect,
    /// It was declared down.
    Down,
    /// It went, and said so before.
    Left,
}

/// A member, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its name.
    pub name: Name,
    /// Where its gossip is heard.
    pub address: Address,
    /// Which of its lives this is: who was declared down and is there begins another.
    pub generation: u64,
    /// How often it has refuted in this life that it is down.
    pub incarnation: u16,
    /// How it stands.
    pub state: State,
    /// What it carries; none as long as its word has not come.
    pub carried: Option<Carried>,
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Somebody else is there: this node is a member.
    Joined,
    /// Nobody else is left, or nobody is reached.
    Alone,
    /// This node was declared down, and goes on in its next life.
    Renewed {
        /// Its number.
        generation: u64,
    },
    /// The node has left.
    Gone,
    /// A member is there: it is new, or was suspected, or begins another life.
    Up(Member),
    /// A member did not answer, here or elsewhere.
    Suspect(Name),
    /// A member was declared down.
    Down(Name),
    /// A member has left. If its word is late, [`Event::Down`] came before.
    Left(Name),
    /// A member carries something else.
    Carries {
        /// Who.
        name: Name,
        /// What.
        carried: Carried,
    },
}

#[cfg(test)]
mod tests;
