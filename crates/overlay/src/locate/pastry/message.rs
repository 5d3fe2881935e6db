//! What nodes of Pastry say to each other, and its form in bytes.
//!
//! ```text
//! version (1) | from: 0, or 1 and the key of the member who sends | tag | fields, in the order of the variant
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
    /// Who sends it, if that is a member of the overlay.
    pub from: Option<Key>,
    /// What it says.
    pub body: Body,
}

/// The most nodes that a question goes round.
pub const WITHOUT_MAX: usize = 8;

/// What a datagram says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Body {
    /// Who is next on the way to `key`, as if these were not there? The step of an iterative lookup.
    Next { nonce: Nonce, key: Key, without: Vec<Key> },
    /// This one, and who may stand in for it.
    Closer { nonce: Nonce, contacts: Vec<Contact> },
    /// I am the nearest, and these come after me.
    Owner { nonce: Nonce, contacts: Vec<Contact> },
    /// Who is in your leaf set?
    Leaves { nonce: Nonce },
    /// These.
    LeavesAre { nonce: Nonce, contacts: Vec<Contact> },
    /// Who is in that row of your routing table?
    Row { nonce: Nonce, row: u8 },
    /// These.
    RowIs { nonce: Nonce, contacts: Vec<Contact> },
    /// Are you there?
    Ping { nonce: Nonce },
    /// I am.
    Pong { nonce: Nonce },
    /// There is no member here.
    Stranger { nonce: Nonce },
    /// I go.
    Leaving,
    /// Pass on towards `key`, and let its owner answer `origin`. The step of a recursive lookup; no
    /// origin yet means the sender.
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

impl Body {
    /// The number of the question that this answers; none if it answers nothing.
    pub(super) const fn answers(&self) -> Option<Nonce> {
        match self {
            Self::Closer { nonce, .. }
            | Self::Owner { nonce, .. }
            | Self::LeavesAre { nonce, .. }
            | Self::RowIs { nonce, .. }
            | Self::Pong { nonce }
            | Self::Stranger { nonce }
            | Self::Taken { nonce }
            | Self::Stored { nonce, .. }
            | Self::Full { nonce }
            | Self::Value { nonce, .. } => Some(*nonce),
            _ => None,
        }
    }

    /// The number that an answer to this has to carry; none if it asks nothing.
    pub(super) const fn asks(&self) -> Option<Nonce> {
        match self {
            Self::Next { nonce, .. }
            | Self::Leaves { nonce }
            | Self::Row { nonce, .. }
            | Self::Ping { nonce }
            | Self::Route { nonce, .. }
            | Self::Store { nonce, .. }
            | Self::Fetch { nonce, .. } => Some(*nonce),
            _ => None,
        }
    }
}

const VERSION: u8 = 1;

impl Wire for Message {
    /// The longest is a list of 32 contacts of IPv6.
    const MAX: usize = 64 + CONTACTS_MAX * Contact::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        option(self.from.as_ref(), out);
        self.body.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.u8()? {
            VERSION => {}
            tag => return Err(WireError::Unknown { what: "version of Pastry", tag }),
        }
        Ok(Self { from: maybe(reader, Key::read)?, body: Body::read(reader)? })
    }
}

impl Wire for Body {
    const MAX: usize = Message::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        let mut numbered = |tag: u8, number: u64| {
            out.push(tag);
            out.extend_from_slice(&number.to_be_bytes());
        };
        match self {
            Self::Next { nonce, key, without } => {
                numbered(1, *nonce);
                key.write(out);
                write_list(without, out);
            }
            Self::Closer { nonce, contacts } => {
                numbered(2, *nonce);
                write_list(contacts, out);
            }
            Self::Owner { nonce, contacts } => {
                numbered(3, *nonce);
                write_list(contacts, out);
            }
            Self::Leaves { nonce } => numbered(4, *nonce),
            Self::LeavesAre { nonce, contacts } => {
                numbered(5, *nonce);
                write_list(contacts, out);
            }
            Self::Row { nonce, row } => {
                numbered(6, *nonce);
                out.push(*row);
            }
            Self::RowIs { nonce, contacts } => {
                numbered(7, *nonce);
                write_list(contacts, out);
            }
            Self::Ping { nonce } => numbered(8, *nonce),
            Self::Pong { nonce } => numbered(9, *nonce),
            Self::Stranger { nonce } => numbered(10, *nonce),
            Self::Leaving => out.push(11),
            Self::Route { nonce, lookup, key, origin, hops } => {
                numbered(12, *nonce);
                out.extend_from_slice(&lookup.to_be_bytes());
                key.write(out);
                option(origin.as_ref(), out);
                out.push(*hops);
            }
            Self::Taken { nonce } => numbered(13, *nonce),
            Self::Found { lookup, hops, contacts } => {
                numbered(14, *lookup);
                out.push(*hops);
                write_list(contacts, out);
            }
            Self::Store { nonce, copies, offer } => {
                numbered(15, *nonce);
                out.push(*copies);
                offer.write(out);
            }
            Self::Stored { nonce, copies } => {
                numbered(16, *nonce);
                out.push(*copies);
            }
            Self::Full { nonce } => numbered(17, *nonce),
            Self::Fetch { nonce, key } => {
                numbered(18, *nonce);
                key.write(out);
            }
            Self::Value { nonce, value } => {
                numbered(19, *nonce);
                out.push(value.is_some().into());
                if let Some(value) = value {
                    write_bytes(value, out);
                }
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let tag = reader.u8()?;
        if tag == 11 {
            return Ok(Self::Leaving);
        }
        if !(1..=19).contains(&tag) {
            return Err(WireError::Unknown { what: "message of Pastry", tag });
        }
        let nonce = reader.u64()?;
        Ok(match tag {
            1 => Self::Next {
                nonce,
                key: Key::read(reader)?,
                without: reader.list("keys", WITHOUT_MAX)?,
            },
            2 => Self::Closer { nonce, contacts: contacts(reader)? },
            3 => Self::Owner { nonce, contacts: contacts(reader)? },
            4 => Self::Leaves { nonce },
            5 => Self::LeavesAre { nonce, contacts: contacts(reader)? },
            6 => Self::Row { nonce, row: reader.u8()? },
            7 => Self::RowIs { nonce, contacts: contacts(reader)? },
            8 => Self::Ping { nonce },
            9 => Self::Pong { nonce },
            10 => Self::Stranger { nonce },
            12 => Self::Route {
                nonce,
                lookup: reader.u64()?,
                key: Key::read(reader)?,
                origin: maybe(reader, peer)?,
                hops: reader.u8()?,
            },
            13 => Self::Taken { nonce },
            14 => Self::Found { lookup: nonce, hops: reader.u8()?, contacts: contacts(reader)? },
            15 => {
                Self::Store { nonce, copies: reader.u8()?, offer: Box::new(Offer::read(reader)?) }
            }
            16 => Self::Stored { nonce, copies: reader.u8()? },
            17 => Self::Full { nonce },
            18 => Self::Fetch { nonce, key: Key::read(reader)? },
            _ => Self::Value {
                nonce,
                value: maybe(reader, |reader| reader.bytes("value", VALUE_MAX))?,
            },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::locate::codec::{self, tests::contact};

    pub(in crate::locate::pastry) fn examples() -> Vec<Message> {
        let contacts: Vec<Contact> = (0..5).map(contact).collect();
        let (nonce, key, value) = (7, Key::of(b"a"), Bytes::from_static(b"value"));
        let offer =
            Offer { key, stamp: 3, lifetime: Duration::from_secs(60), value: value.clone() };
        let bodies = [
            Body::Next { nonce, key, without: vec![Key::from(3)] },
            Body::Closer { nonce, contacts: contacts.clone() },
            Body::Owner { nonce, contacts: contacts.clone() },
            Body::Leaves { nonce },
            Body::LeavesAre { nonce, contacts: contacts.clone() },
            Body::Row { nonce, row: 3 },
            Body::RowIs { nonce, contacts: contacts.clone() },
            Body::Ping { nonce },
            Body::Pong { nonce },
            Body::Stranger { nonce },
            Body::Leaving,
            Body::Route { nonce, lookup: 9, key, origin: Some(contact(1).address), hops: 3 },
            Body::Taken { nonce },
            Body::Found { lookup: 9, hops: 4, contacts },
            Body::Store { nonce, copies: 2, offer: Box::new(offer) },
            Body::Stored { nonce, copies: 2 },
            Body::Full { nonce },
            Body::Fetch { nonce, key },
            Body::Value { nonce, value: Some(value) },
            Body::Value { nonce, value: None },
        ];
        let from = [None, Some(Key::of(b"b"))];
        bodies
            .into_iter()
            .zip(from.into_iter().cycle())
            .map(|(body, from)| Message { from, body })
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
        let address = "[ffff::1]:1".parse::<std::net::SocketAddr>().unwrap().into();
        let contact = Contact { key: Key::MAX, address };
        let from = Some(Key::MAX);
        let found = |count| Body::Found { lookup: 1, hops: 2, contacts: vec![contact; count] };
        let written = Message { from, body: found(CONTACTS_MAX) }.encode();
        assert!(written.len() <= Message::MAX && Message::MAX <= 1_352, "{}", written.len());
        assert!(matches!(
            Message::decode(&Message { from, body: found(CONTACTS_MAX + 1) }.encode()),
            Err(WireError::TooLong { length: 33, .. })
        ));
    }

    #[test]
    fn nobody_is_sent_to_addresses_of_nobody_or_of_many() {
        for address in codec::tests::addresses_of_nobody_or_of_many() {
            let contacts = vec![Contact { key: Key::from(1), address }];
            let (key, origin) = (Key::from(1), Some(address));
            for body in [
                Body::LeavesAre { nonce: 1, contacts },
                Body::Route { nonce: 1, lookup: 2, key, origin, hops: 0 },
            ] {
                let written = Message { from: None, body }.encode();
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
