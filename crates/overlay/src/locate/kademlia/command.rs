//! What the local caller may ask of a node, and is told: what every overlay does, and what BitTorrent's DHT
//! does beside it.

use bytes::Bytes;
use nigh_base::{
    Address, Key,
    wire::{Reader, Wire, WireError, write_bytes},
};

use super::krpc::{ITEM_MAX, Item, SALT_MAX, Signed};
use crate::locate::{self, Ticket, flag};

/// What the local caller may ask of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What every overlay does.
    Locate(locate::Command),
    /// Who is in a swarm? [`Event::Peers`] follows.
    Peers {
        /// The caller's name for it.
        ticket: Ticket,
        /// The swarm.
        info_hash: Key,
        /// As what this node is a peer itself, if it is one.
        announce: Option<Announce>,
        /// Whether it is of interest how many there are (BEP 33), rather than who.
        scrape: bool,
    },
    /// What is the item of that name (BEP 44)? [`Event::Item`] follows.
    Item {
        /// The caller's name for it.
        ticket: Ticket,
        /// Its name.
        target: Key,
        /// The salt that went into its name, if it did.
        salt: Bytes,
    },
    /// Have an item held (BEP 44). [`Event::ItemStored`] follows.
    PutItem {
        /// The caller's name for it.
        ticket: Ticket,
        /// Which.
        item: Box<Item>,
        /// The number that the held one must have.
        cas: Option<i64>,
    },
    /// Which swarms do the nodes near to a key know (BEP 51)? [`Event::Samples`] follows.
    Samples {
        /// The caller's name for it.
        ticket: Ticket,
        /// Near to what.
        target: Key,
    },
}

/// As what a node is a peer of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Announce {
    /// Where it listens; none if that is where this node is reached.
    pub port: Option<u16>,
    /// Whether it has all of it.
    pub seed: bool,
}

/// What the local caller is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What every overlay says.
    Locate(locate::Event),
    /// Who is in a swarm, as far as was found.
    Peers {
        /// As asked.
        ticket: Ticket,
        /// At most [`PEERS_FOUND_MAX`].
        peers: Vec<Address>,
        /// How many nodes know of this peer now.
        announced: u8,
        /// Seeds and other peers, about, if that was asked for.
        counts: Option<(f64, f64)>,
    },
    /// What was found of a name.
    Item {
        /// As asked.
        ticket: Ticket,
        /// The one with the highest number; its signature holds.
        item: Option<Item>,
    },
    /// An item is held.
    ItemStored {
        /// As asked.
        ticket: Ticket,
        /// By how many nodes.
        copies: u8,
        /// Why another did not take it, if one did not.
        refused: Option<i64>,
    },
    /// Some swarms.
    Samples {
        /// As asked.
        ticket: Ticket,
        /// At most [`PEERS_FOUND_MAX`].
        info_hashes: Vec<Key>,
    },
    /// This node has another id now, which fits the address at which others see it.
    Moved {
        /// The id.
        key: Key,
        /// The address.
        seen_at: Address,
    },
}

/// Peers, or names of swarms, of which one lookup tells.
pub const PEERS_FOUND_MAX: usize = 2048;

impl From<locate::Command> for Command {
    fn from(command: locate::Command) -> Self {
        Self::Locate(command)
    }
}

/// An item that is put is recorded up to so many bytes more than it may have, which show that.
const LONGER: usize = 1;

/// For recordings of a node's inputs; commands do not travel.
impl Wire for Command {
    const MAX: usize = 1 + {
        let (locate, put) = (locate::Command::MAX, 160 + ITEM_MAX + SALT_MAX);
        if locate > put { locate } else { put }
    };

    fn write(&self, out: &mut Vec<u8>) {
        let ticket = |tag: u8, ticket: &Ticket, out: &mut Vec<u8>| {
            out.push(tag);
            out.extend_from_slice(&ticket.0.to_be_bytes());
        };
        match self {
            Self::Locate(command) => {
                out.push(1);
                command.write(out);
            }
            Self::Peers { ticket: name, info_hash, announce, scrape } => {
                ticket(2, name, out);
                info_hash.write(out);
                out.push((*scrape).into());
                out.push(announce.is_some().into());
                if let Some(Announce { port, seed }) = announce {
                    out.extend_from_slice(&port.unwrap_or(0).to_be_bytes());
                    out.push((*seed).into());
                }
            }
            Self::Item { ticket: name, target, salt } => {
                ticket(3, name, out);
                target.write(out);
                write_bytes(&salt[..salt.len().min(SALT_MAX)], out);
            }
            Self::PutItem { ticket: name, item, cas } => {
                ticket(4, name, out);
                write_bytes(&item.value[..item.value.len().min(ITEM_MAX + LONGER)], out);
                out.push(item.signed.is_some().into());
                if let Some(Signed { key, number, salt, signature }) = &item.signed {
                    out.extend_from_slice(key);
                    out.extend_from_slice(&number.to_be_bytes());
                    write_bytes(&salt[..salt.len().min(SALT_MAX + LONGER)], out);
                    out.extend_from_slice(signature);
                }
                out.push(cas.is_some().into());
                out.extend(cas.iter().flat_map(|number| number.to_be_bytes()));
            }
            Self::Samples { ticket: name, target } => {
                ticket(5, name, out);
                target.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let tag = reader.u8()?;
        if tag == 1 {
            return locate::Command::read(reader).map(Self::Locate);
        }
        let ticket = Ticket(reader.u64()?);
        Ok(match tag {
            2 => {
                let info_hash = Key::read(reader)?;
                let scrape = flag(reader)?;
                let announce = if flag(reader)? {
                    let port = Some(reader.u16()?).filter(|port| *port != 0);
                    Some(Announce { port, seed: flag(reader)? })
                } else {
                    None
                };
                Self::Peers { ticket, info_hash, announce, scrape }
            }
            3 => {
                let target = Key::read(reader)?;
                Self::Item { ticket, target, salt: reader.bytes("salt", SALT_MAX)? }
            }
            4 => {
                let value = reader.bytes("value", ITEM_MAX + LONGER)?;
                let signed = if flag(reader)? {
                    Some(Signed {
                        key: reader.array()?,
                        number: i64::from_be_bytes(reader.array()?),
                        salt: reader.bytes("salt", SALT_MAX + LONGER)?[..].into(),
                        signature: reader.array()?,
                    })
                } else {
                    None
                };
                let cas = match flag(reader)? {
                    true => Some(i64::from_be_bytes(reader.array()?)),
                    false => None,
                };
                Self::PutItem { ticket, item: Box::new(Item { value, signed }), cas }
            }
            5 => Self::Samples { ticket, target: Key::read(reader)? },
            tag => return Err(WireError::Unknown { what: "command", tag }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_recorded_as_it_was_given() {
        let (ticket, target, info_hash) = (Ticket(7), Key::from(1), Key::from(2));
        let value = Bytes::from_static(b"i1e");
        let peers = |announce| Command::Peers { ticket, info_hash, announce, scrape: true };
        let put = |item, cas| Command::PutItem { ticket, item: Box::new(item), cas };
        let long = Bytes::from(vec![b'1'; ITEM_MAX]);
        for command in [
            Command::Locate(locate::Command::Get { ticket, key: target }),
            peers(None),
            peers(Some(Announce { port: Some(6881), seed: true })),
            peers(Some(Announce { port: None, seed: false })),
            Command::Item { ticket, target, salt: Bytes::from_static(b"salt") },
            put(Item::of(value.clone()), None),
            put(Item::sign(&[1; 32], b"salt", -3, value), Some(-4)),
            put(Item::sign(&[1; 32], &[7; SALT_MAX], i64::MAX, long), Some(i64::MIN)),
            Command::Samples { ticket, target },
        ] {
            let written = command.encode();
            assert!(written.len() <= Command::MAX);
            assert_eq!(Command::decode(&written), Ok(command));
        }
    }
}
