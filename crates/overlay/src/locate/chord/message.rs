//! What Chord nodes say to each other, and its form in bytes.
//!
//! ```text
//! version (1) | to: 0, or 1 and a key | tag | fields, in the order of the variant
//! ```
//! Numbers are big-endian. An answer carries the number of what it answers, which a stranger cannot
//! guess, and is heard only from the address that was asked.

use bytes::Bytes;
use nigh_base::{
    Address, Key,
    wire::{Reader, Wire, WireError, write_bytes, write_list},
};

use crate::locate::{
    Contact, VALUE_MAX,
    codec::{CONTACTS_MAX, Nonce, contacts, maybe, option},
    holdings::Offer,
    peer,
};

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// For whom at the address it is: one host may be several nodes. None for whichever is there.
    pub to: Option<Key>,
    /// What it says.
    pub body: Body,
}

/// What a datagram says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Body {
    /// Who is next on the way to `key`? The step of an iterative lookup.
    Next { nonce: Nonce, key: Key },
    /// These, the nearest before the key first.
    Closer { nonce: Nonce, contacts: Vec<Contact> },
    /// The key's successor, and its successors.
    Owner { nonce: Nonce, contacts: Vec<Contact> },
    /// What is your predecessor, and who are your successors?
    Neighbours { nonce: Nonce },
    /// These.
    NeighboursAre { nonce: Nonce, neighbours: Box<Neighbours> },
    /// I think you are my successor.
    Notify { key: Key },
    /// Are you there?
    Ping { nonce: Nonce },
    /// I am.
    Pong { nonce: Nonce },
    /// The node that you mean is not here.
    Stranger { nonce: Nonce },
    /// I go: these are my neighbours.
    Leaving { key: Key, neighbours: Box<Neighbours> },
    /// Pass on towards `key`, and let its predecessor answer `origin`. The step of a recursive
    /// lookup; no origin yet means the sender, and number 0 that no word is wanted back.
    Route { nonce: Nonce, lookup: u64, key: Key, origin: Option<Address>, hops: u8 },
    /// I have it, and see to it.
    Taken { nonce: Nonce },
    /// The answer to a recursive lookup, as [`Body::Owner`].
    Found { lookup: u64, hops: u8, contacts: Vec<Contact> },
    /// Hold this, and have it held by as many as `copies` in all; 0 says that it is such a copy.
    Store { nonce: Nonce, copies: u8, offer: Box<Offer> },
    /// It is held by so many; by 0 if a newer value is held and stays.
    Stored { nonce: Nonce, copies: u8 },
    /// There is no room for it.
    Full { nonce: Nonce },
    /// What do you hold under `key`?
    Fetch { nonce: Nonce, key: Key },
    /// This, or nothing.
    Value { nonce: Nonce, value: Option<Bytes> },
}

/// Who stands next to a node. In a box, as what is rare and large: lookups are most of all
/// datagrams, and a simulator holds millions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Neighbours {
    /// The node before it, if it knows one.
    pub predecessor: Option<Contact>,
    /// Those behind it, the nearest first.
    pub successors: Vec<Contact>,
}

impl Body {
    /// The number that answers to this, or that this answers.
    pub(super) const fn nonce(&self) -> Option<Nonce> {
        match self {
            Self::Next { nonce, .. }
            | Self::Closer { nonce, .. }
            | Self::Owner { nonce, .. }
            | Self::Neighbours { nonce }
            | Self::NeighboursAre { nonce, .. }
            | Self::Ping { nonce }
            | Self::Pong { nonce }
            | Self::Stranger { nonce }
            | Self::Route { nonce, .. }
            | Self::Taken { nonce }
            | Self::Store { nonce, .. }
            | Self::Stored { nonce, .. }
            | Self::Full { nonce }
            | Self::Fetch { nonce, .. }
            | Self::Value { nonce, .. } => Some(*nonce),
            Self::Notify { .. } | Self::Leaving { .. } | Self::Found { .. } => None,
        }
    }

    /// Whether it asks for an answer.
    pub(super) const fn is_question(&self) -> bool {
        matches!(
            self,
            Self::Next { .. }
                | Self::Neighbours { .. }
                | Self::Ping { .. }
                | Self::Route { .. }
                | Self::Store { .. }
                | Self::Fetch { .. }
        )
    }
}

const VERSION: u8 = 1;

impl Wire for Message {
    /// The longest is a list of 32 contacts of IPv6 and a predecessor.
    const MAX: usize = 64 + (CONTACTS_MAX + 1) * Contact::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        option(self.to.as_ref(), out);
        let mut nonce = |tag: u8, nonce: u64| {
            out.push(tag);
            out.extend_from_slice(&nonce.to_be_bytes());
        };
        match &self.body {
            Body::Next { nonce: n, key } => {
                nonce(1, *n);
                key.write(out);
            }
            Body::Closer { nonce: n, contacts } => {
                nonce(2, *n);
                write_list(contacts, out);
            }
            Body::Owner { nonce: n, contacts } => {
                nonce(3, *n);
                write_list(contacts, out);
            }
            Body::Neighbours { nonce: n } => nonce(4, *n),
            Body::NeighboursAre { nonce: n, neighbours } => {
                nonce(5, *n);
                neighbours.write(out);
            }
            Body::Notify { key } => {
                out.push(6);
                key.write(out);
            }
            Body::Ping { nonce: n } => nonce(7, *n),
            Body::Pong { nonce: n } => nonce(8, *n),
            Body::Stranger { nonce: n } => nonce(9, *n),
            Body::Leaving { key, neighbours } => {
                out.push(10);
                key.write(out);
                neighbours.write(out);
            }
            Body::Route { nonce: n, lookup, key, origin, hops } => {
                nonce(11, *n);
                out.extend_from_slice(&lookup.to_be_bytes());
                key.write(out);
                option(origin.as_ref(), out);
                out.push(*hops);
            }
            Body::Taken { nonce: n } => nonce(12, *n),
            Body::Found { lookup, hops, contacts } => {
                nonce(13, *lookup);
                out.push(*hops);
                write_list(contacts, out);
            }
            Body::Store { nonce: n, copies, offer } => {
                nonce(14, *n);
                out.push(*copies);
                offer.write(out);
            }
            Body::Stored { nonce: n, copies } => {
                nonce(15, *n);
                out.push(*copies);
            }
            Body::Full { nonce: n } => nonce(16, *n),
            Body::Fetch { nonce: n, key } => {
                nonce(17, *n);
                key.write(out);
            }
            Body::Value { nonce: n, value } => {
                nonce(18, *n);
                match value {
                    None => out.push(0),
                    Some(value) => {
                        out.push(1);
                        write_bytes(value, out);
                    }
                }
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.u8()? {
            VERSION => {}
            tag => return Err(WireError::Unknown { what: "version of Chord", tag }),
        }
        let to = maybe(reader, Key::read)?;
        let body = match reader.u8()? {
            1 => Body::Next { nonce: reader.u64()?, key: Key::read(reader)? },
            2 => Body::Closer { nonce: reader.u64()?, contacts: contacts(reader)? },
            3 => Body::Owner { nonce: reader.u64()?, contacts: contacts(reader)? },
            4 => Body::Neighbours { nonce: reader.u64()? },
            5 => Body::NeighboursAre {
                nonce: reader.u64()?,
                neighbours: Box::new(Neighbours::read(reader)?),
            },
            6 => Body::Notify { key: Key::read(reader)? },
            7 => Body::Ping { nonce: reader.u64()? },
            8 => Body::Pong { nonce: reader.u64()? },
            9 => Body::Stranger { nonce: reader.u64()? },
            10 => Body::Leaving {
                key: Key::read(reader)?,
                neighbours: Box::new(Neighbours::read(reader)?),
            },
            11 => Body::Route {
                nonce: reader.u64()?,
                lookup: reader.u64()?,
                key: Key::read(reader)?,
                origin: maybe(reader, peer)?,
                hops: reader.u8()?,
            },
            12 => Body::Taken { nonce: reader.u64()? },
            13 => Body::Found {
                lookup: reader.u64()?,
                hops: reader.u8()?,
                contacts: contacts(reader)?,
            },
            14 => Body::Store {
                nonce: reader.u64()?,
                copies: reader.u8()?,
                offer: Box::new(Offer::read(reader)?),
            },
            15 => Body::Stored { nonce: reader.u64()?, copies: reader.u8()? },
            16 => Body::Full { nonce: reader.u64()? },
            17 => Body::Fetch { nonce: reader.u64()?, key: Key::read(reader)? },
            18 => Body::Value {
                nonce: reader.u64()?,
                value: maybe(reader, |reader| reader.bytes("value", VALUE_MAX))?,
            },
            tag => return Err(WireError::Unknown { what: "message of Chord", tag }),
        };
        Ok(Self { to, body })
    }
}

impl Wire for Neighbours {
    const MAX: usize = 2 + (CONTACTS_MAX + 1) * Contact::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        option(self.predecessor.as_ref(), out);
        write_list(&self.successors, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { predecessor: maybe(reader, Contact::read)?, successors: contacts(reader)? })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::locate::codec::{self, tests::contact};

    pub(in crate::locate::chord) fn examples() -> Vec<Message> {
        let contacts: Vec<Contact> = (0..5).map(contact).collect();
        let (nonce, key, value) = (7, Key::of(b"a"), Bytes::from_static(b"value"));
        let lifetime = Duration::from_secs(60);
        let bodies = [
            Body::Next { nonce, key },
            Body::Closer { nonce, contacts: contacts.clone() },
            Body::Owner { nonce, contacts: contacts.clone() },
            Body::Neighbours { nonce },
            Body::NeighboursAre {
                nonce,
                neighbours: Box::new(Neighbours {
                    predecessor: None,
                    successors: contacts.clone(),
                }),
            },
            Body::Notify { key },
            Body::Ping { nonce },
            Body::Pong { nonce },
            Body::Stranger { nonce },
            Body::Leaving {
                key,
                neighbours: Box::new(Neighbours {
                    predecessor: Some(contact(3)),
                    successors: vec![],
                }),
            },
            Body::Route { nonce, lookup: 9, key, origin: Some(contact(1).address), hops: 3 },
            Body::Taken { nonce },
            Body::Found { lookup: 9, hops: 4, contacts },
            Body::Store {
                nonce,
                copies: 2,
                offer: Box::new(Offer { key, stamp: 3, lifetime, value: value.clone() }),
            },
            Body::Stored { nonce, copies: 2 },
            Body::Full { nonce },
            Body::Fetch { nonce, key },
            Body::Value { nonce, value: Some(value) },
        ];
        let to = [None, Some(Key::of(b"b"))];
        bodies
            .into_iter()
            .zip(to.into_iter().cycle())
            .map(|(body, to)| Message { to, body })
            .collect()
    }

    #[test]
    fn every_message_reads_as_it_was_written() {
        for message in examples() {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn the_longest_message_keeps_its_limit() {
        let contact = Contact {
            key: Key::MAX,
            address: "[ffff::1]:1".parse::<std::net::SocketAddr>().unwrap().into(),
        };
        let successors = vec![contact; CONTACTS_MAX];
        let neighbours = Box::new(Neighbours { predecessor: Some(contact), successors });
        let body = Body::Leaving { key: Key::MAX, neighbours };
        let written = Message { to: Some(Key::MAX), body }.encode();
        assert!(written.len() <= Message::MAX, "{}", written.len());
        let body = Body::Closer { nonce: 1, contacts: vec![contact; CONTACTS_MAX + 1] };
        assert!(matches!(
            Message::decode(&Message { to: None, body }.encode()),
            Err(WireError::TooLong { length: 33, .. })
        ));
    }

    #[test]
    fn nobody_is_sent_to_addresses_of_nobody_or_of_many() {
        for address in codec::tests::addresses_of_nobody_or_of_many() {
            let contacts = vec![Contact { key: Key::from(1), address }];
            let (key, origin) = (Key::from(1), Some(address));
            for body in [
                Body::Closer { nonce: 1, contacts },
                Body::Route { nonce: 1, lookup: 2, key, origin, hops: 0 },
            ] {
                let written = Message { to: None, body }.encode();
                let refused = WireError::Impossible { what: "address" };
                assert_eq!(Message::decode(&written), Err(refused), "{address}");
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_have_one_form() {
        codec::tests::any_bytes_are_refused_or_have_one_form(&examples());
    }
}
