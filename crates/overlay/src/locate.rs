//! Locating: from a key to the nodes that are responsible for it. What every structured overlay
//! does, whatever its geometry; an overlay is a [`Machine`] with these commands and events.

use std::time::Duration;

use bytes::Bytes;
use nigh_base::{
    Address, Key, Machine,
    wire::{Reader, Wire, WireError, write_bytes},
};

#[cfg(test)]
mod alone;
pub mod can;
pub mod chord;
pub mod circle;
pub mod codec;
pub mod fuzz;
pub mod holdings;
pub mod kademlia;
pub mod koorde;
pub mod node;
pub mod pastry;
mod pending;
#[cfg(test)]
mod suite;
pub mod tapestry;
pub mod viceroy;

/// A node of an overlay: its name, and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contact {
    /// Its place in the key space.
    pub key: Key,
    /// Where it listens.
    pub address: Address,
}

impl Wire for Contact {
    const MAX: usize = Key::BYTES + Address::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        self.key.write(out);
        self.address.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { key: Key::read(reader)?, address: peer(reader)? })
    }
}

/// An address at which a peer may be reached, from a peer.
pub(crate) fn peer(reader: &mut Reader<'_>) -> Result<Address, WireError> {
    let address = Address::read(reader)?;
    if address.is_of_one() { Ok(address) } else { Err(WireError::Impossible { what: "address" }) }
}

/// The nodes of an overlay that one host runs, as a machine: what the commands below mean to each kind.
pub trait Overlay: Machine<Message: Wire, Command: From<Command> + Wire> {
    /// What an event says that every overlay has; none if only this kind tells it.
    fn told(event: Self::Event) -> Option<Event>;

    /// Its nodes: one, or one for each place of the host.
    fn contacts(&self) -> Vec<Contact>;

    /// How many values it holds.
    fn held(&self) -> usize;

    /// Whom it knows, in a few words for its operator.
    fn acquaintances(&self) -> String;
}

/// The caller's name for what it asked, given back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The longest value that an overlay holds, in bytes: with all that goes with it, it fits into a
/// datagram that passes every IPv6 link (1280 bytes) without being cut.
pub const VALUE_MAX: usize = 1024;
/// The longest time that a value is held without being put again.
pub const LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How long a node that leaves hands on what it holds. Whoever supervises it mostly waits 10 s.
pub const LEAVE_MAX: Duration = Duration::from_secs(8);
/// As many addresses are tried for a way in.
pub const VIA_MAX: usize = 16;

/// What the local caller may ask of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Become part of the overlay that nodes at these addresses belong to; without any, begin one.
    /// [`Event::Joined`] or [`Event::JoinFailed`] follows. Nodes that do not answer are asked again
    /// for as long as the caller wants: it may name others, or [leave](Command::Leave).
    Join {
        /// Where nodes may be, at most [`VIA_MAX`].
        via: Vec<Address>,
    },
    /// Ask for a way through these addresses without becoming part of the overlay.
    Visit {
        /// Where nodes may be, at most [`VIA_MAX`].
        via: Vec<Address>,
    },
    /// Go: hand on what is held nowhere else, and tell the neighbours. [`Event::Left`] follows.
    Leave,
    /// Who is responsible for `key`? [`Event::Located`] or [`Event::Failed`] follows.
    Locate {
        /// The caller's name for it.
        ticket: Ticket,
        /// Of what.
        key: Key,
        /// Whether the way there is of interest.
        trace: bool,
    },
    /// Have `value` held under `key`. [`Event::Stored`] or [`Event::Failed`] follows.
    Put {
        /// The caller's name for it.
        ticket: Ticket,
        /// Under what.
        key: Key,
        /// At most [`VALUE_MAX`] bytes.
        value: Bytes,
        /// How long, at most [`LIFETIME_MAX`].
        lifetime: Duration,
        /// Whether this node puts it again before that, for as long as it runs.
        refresh: bool,
    },
    /// What is held under `key`? [`Event::Value`] or [`Event::Failed`] follows.
    Get {
        /// The caller's name for it.
        ticket: Ticket,
        /// Under what.
        key: Key,
    },
}

/// What the local caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node is part of the overlay.
    Joined,
    /// It cannot be let in.
    JoinFailed(Failure),
    /// This node has left.
    Left {
        /// Values that it held, as far as it knows alone, and that nobody has taken in time.
        untaken: usize,
    },
    /// Who is responsible.
    Located {
        /// As asked.
        ticket: Ticket,
        /// As asked.
        key: Key,
        /// The one who is responsible, then those who stand in for it, as the last node on the way
        /// names them: none of them need have been asked whether it is there.
        holders: Vec<Contact>,
        /// How many nodes were passed on the way, the responsible one among them.
        hops: u32,
        /// Each of them, if that was asked for.
        route: Vec<Hop>,
    },
    /// A value is held.
    Stored {
        /// As asked.
        ticket: Ticket,
        /// By how many nodes.
        copies: u8,
    },
    /// What is held; none if nothing is.
    Value {
        /// As asked.
        ticket: Ticket,
        /// The value.
        value: Option<Bytes>,
    },
    /// It could not be done.
    Failed {
        /// As asked.
        ticket: Ticket,
        /// Why.
        why: Failure,
    },
}

/// One step of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Who was asked; the key is not known of the first if only its address was given.
    pub key: Option<Key>,
    /// Where.
    pub address: Address,
    /// How long its answer took; none if it gave none.
    pub round_trip: Option<Duration>,
    /// Who had named it: the place in the route, counted from zero; none for this node itself.
    pub named_by: Option<u32>,
    /// How far it lies before the key.
    pub gap: Option<Key>,
}

/// Why something could not be done; who can act is said with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// The caller: join or visit first.
    #[error("this node is not part of an overlay, and knows no way into one")]
    Outside,
    /// The caller: ask for less at once, or later.
    #[error("too much is asked for at once")]
    Busy,
    /// The network, or the nodes on the way; trying again later may help.
    #[error("nobody on the way answers")]
    Unreachable,
    /// The caller: choose another key for this node.
    #[error("another node has this node's key")]
    KeyTaken,
    /// The caller: a shorter value.
    #[error("the value is longer than {VALUE_MAX} bytes")]
    ValueTooLong,
    /// Those who would hold it; trying again later may help.
    #[error("those who are responsible have no room")]
    Full,
}

/// As much of a value is recorded as shows that it is too long.
const PUT_MAX: usize = VALUE_MAX + 1;

/// For recordings of a node's inputs; commands do not travel.
impl Wire for Command {
    const MAX: usize = 32 + VALUE_MAX + VIA_MAX * Address::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        let addresses = |tag: u8, via: &[Address], out: &mut Vec<u8>| {
            out.push(tag);
            nigh_base::wire::write_list(&via[..via.len().min(VIA_MAX)], out);
        };
        match self {
            Self::Join { via } => addresses(1, via, out),
            Self::Visit { via } => addresses(2, via, out),
            Self::Leave => out.push(3),
            Self::Locate { ticket, key, trace } => {
                out.push(4);
                out.extend_from_slice(&ticket.0.to_be_bytes());
                key.write(out);
                out.push((*trace).into());
            }
            Self::Put { ticket, key, value, lifetime, refresh } => {
                out.push(5);
                out.extend_from_slice(&ticket.0.to_be_bytes());
                key.write(out);
                // The caller's mistakes are recorded as well: what is longer than may be stays so.
                write_bytes(&value[..value.len().min(PUT_MAX)], out);
                out.extend_from_slice(&millis(*lifetime).to_be_bytes());
                out.push((*refresh).into());
            }
            Self::Get { ticket, key } => {
                out.push(6);
                out.extend_from_slice(&ticket.0.to_be_bytes());
                key.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            1 => Self::Join { via: reader.list("addresses", VIA_MAX)? },
            2 => Self::Visit { via: reader.list("addresses", VIA_MAX)? },
            3 => Self::Leave,
            4 => Self::Locate {
                ticket: Ticket(reader.u64()?),
                key: Key::read(reader)?,
                trace: flag(reader)?,
            },
            5 => Self::Put {
                ticket: Ticket(reader.u64()?),
                key: Key::read(reader)?,
                value: reader.bytes("value", PUT_MAX)?,
                lifetime: Duration::from_millis(reader.u32()?.into()),
                refresh: flag(reader)?,
            },
            6 => Self::Get { ticket: Ticket(reader.u64()?), key: Key::read(reader)? },
            tag => return Err(WireError::Unknown { what: "command", tag }),
        })
    }
}

pub(crate) fn flag(reader: &mut Reader<'_>) -> Result<bool, WireError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(WireError::Unknown { what: "flag", tag }),
    }
}

/// A time as 32 bits of milliseconds; seven weeks is the longest.
pub(crate) fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_too_long_is_recorded_as_that() {
        let put = |length| Command::Put {
            ticket: Ticket(1),
            key: Key::from(2),
            value: Bytes::from(vec![3; length]),
            lifetime: Duration::from_secs(4),
            refresh: true,
        };
        for length in [0, VALUE_MAX, VALUE_MAX + 1] {
            assert_eq!(Command::decode(&put(length).encode()), Ok(put(length)));
        }
        for length in [VALUE_MAX + 2, 65_536, 1 << 20] {
            let written = put(length).encode();
            assert!(written.len() <= Command::MAX);
            assert_eq!(Command::decode(&written), Ok(put(VALUE_MAX + 1)));
        }
    }
}
