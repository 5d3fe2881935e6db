//! What nodes say to each other, and its form in bytes.
//!
//! ```text
//! version, which names the overlay | from: 0, or 1 and the key of the member who sends | tag |
//! fields, in the order of the variant
//! ```
//! Numbers are big-endian. An answer carries the number of what it answers, which a stranger cannot
//! guess, and is heard only from the address that was asked.

use bytes::Bytes;
use nigh_base::{
    Address, Key,
    wire::{Reader, Wire, WireError, write_bytes, write_list},
};

use super::geometry::{Geometry, Step, Words};
use crate::locate::{
    Contact, VALUE_MAX,
    codec::{CONTACTS_MAX, Nonce, contacts, maybe, option},
    holdings::Offer,
    peer,
};

/// A datagram of the overlay of that geometry.
pub type Message<G> = Datagram<<G as Geometry>::Carry, <G as Geometry>::Words>;

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Datagram<C, W> {
    /// Who sends it, if that is a member of the overlay.
    pub from: Option<Key>,
    /// What it says.
    pub body: Body<C, W>,
}

/// What a datagram says among nodes of that geometry.
pub(super) type Says<G> = Body<<G as Geometry>::Carry, <G as Geometry>::Words>;

/// The most nodes that a question goes round.
pub const WITHOUT_MAX: usize = 8;
/// Next steps in one answer: the next, and who may stand in for it.
pub const STEPS_MAX: usize = 3;

/// What a datagram says: `C` is what a lookup carries, `W` what is said in one overlay alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Body<C, W> {
    /// Who is next on the way to `key`, as if these were not there? The step of an iterative lookup.
    Next { nonce: Nonce, key: Key, carry: C, without: Vec<Key> },
    /// This one, and who may stand in for it.
    Closer { nonce: Nonce, steps: Vec<Step<C>> },
    /// I am responsible, and these come after me.
    Owner { nonce: Nonce, contacts: Vec<Contact> },
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
    Route { nonce: Nonce, lookup: u64, key: Key, carry: C, origin: Option<Address>, hops: u8 },
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
    /// What only nodes of one overlay say.
    Own(W),
    /// I am not responsible, but know that these hold what is looked for.
    Holders { nonce: Nonce, contacts: Vec<Contact> },
    /// The same as the answer to a recursive lookup.
    FoundHolders { lookup: u64, hops: u8, contacts: Vec<Contact> },
}

impl<C, W: Words> Body<C, W> {
    /// The number of the question that this answers; none if it answers nothing.
    pub(super) fn answers(&self) -> Option<Nonce> {
        match self {
            Self::Closer { nonce, .. }
            | Self::Owner { nonce, .. }
            | Self::Holders { nonce, .. }
            | Self::Pong { nonce }
            | Self::Stranger { nonce }
            | Self::Taken { nonce }
            | Self::Stored { nonce, .. }
            | Self::Full { nonce }
            | Self::Value { nonce, .. } => Some(*nonce),
            Self::Own(words) => words.answers(),
            _ => None,
        }
    }

    /// The number that an answer to this has to carry; none if it asks nothing.
    pub(super) fn asks(&self) -> Option<Nonce> {
        match self {
            Self::Next { nonce, .. }
            | Self::Ping { nonce }
            | Self::Route { nonce, .. }
            | Self::Store { nonce, .. }
            | Self::Fetch { nonce, .. } => Some(*nonce),
            Self::Own(words) => words.asks(),
            _ => None,
        }
    }
}

/// What goes before the lists and values of the longest messages.
const HEAD_MAX: usize = 64;

const fn longer(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

impl<C: Wire, W: Words> Wire for Datagram<C, W> {
    /// The longest is a list of 32 contacts of IPv6, or what one overlay says alone.
    const MAX: usize = HEAD_MAX
        + longer(longer(CONTACTS_MAX * Contact::MAX, STEPS_MAX * (Contact::MAX + C::MAX)), W::MAX);

    fn write(&self, out: &mut Vec<u8>) {
        out.push(W::VERSION);
        option(self.from.as_ref(), out);
        self.body.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let tag = reader.u8()?;
        if tag != W::VERSION {
            return Err(WireError::Unknown { what: "overlay", tag });
        }
        Ok(Self { from: maybe(reader, Key::read)?, body: Body::read(reader)? })
    }
}

const LEAVING: u8 = 7;
const OWN: u8 = 16;

impl<C: Wire, W: Words> Wire for Body<C, W> {
    const MAX: usize = Datagram::<C, W>::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        let mut numbered = |tag: u8, number: u64| {
            out.push(tag);
            out.extend_from_slice(&number.to_be_bytes());
        };
        match self {
            Self::Next { nonce, key, carry, without } => {
                numbered(1, *nonce);
                key.write(out);
                carry.write(out);
                write_list(without, out);
            }
            Self::Closer { nonce, steps } => {
                numbered(2, *nonce);
                write_list(steps, out);
            }
            Self::Owner { nonce, contacts } => {
                numbered(3, *nonce);
                write_list(contacts, out);
            }
            Self::Ping { nonce } => numbered(4, *nonce),
            Self::Pong { nonce } => numbered(5, *nonce),
            Self::Stranger { nonce } => numbered(6, *nonce),
            Self::Leaving => out.push(LEAVING),
            Self::Route { nonce, lookup, key, carry, origin, hops } => {
                numbered(8, *nonce);
                out.extend_from_slice(&lookup.to_be_bytes());
                key.write(out);
                carry.write(out);
                option(origin.as_ref(), out);
                out.push(*hops);
            }
            Self::Taken { nonce } => numbered(9, *nonce),
            Self::Found { lookup, hops, contacts } => {
                numbered(10, *lookup);
                out.push(*hops);
                write_list(contacts, out);
            }
            Self::Store { nonce, copies, offer } => {
                numbered(11, *nonce);
                out.push(*copies);
                offer.write(out);
            }
            Self::Stored { nonce, copies } => {
                numbered(12, *nonce);
                out.push(*copies);
            }
            Self::Full { nonce } => numbered(13, *nonce),
            Self::Fetch { nonce, key } => {
                numbered(14, *nonce);
                key.write(out);
            }
            Self::Value { nonce, value } => {
                numbered(15, *nonce);
                out.push(value.is_some().into());
                if let Some(value) = value {
                    write_bytes(value, out);
                }
            }
            Self::Own(words) => {
                out.push(OWN);
                words.write(out);
            }
            Self::Holders { nonce, contacts } => {
                numbered(17, *nonce);
                write_list(contacts, out);
            }
            Self::FoundHolders { lookup, hops, contacts } => {
                numbered(18, *lookup);
                out.push(*hops);
                write_list(contacts, out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let tag = reader.u8()?;
        match tag {
            LEAVING => return Ok(Self::Leaving),
            OWN => return W::read(reader).map(Self::Own),
            1..OWN | 17 | 18 => {}
            _ => return Err(WireError::Unknown { what: "message", tag }),
        }
        let nonce = reader.u64()?;
        Ok(match tag {
            1 => Self::Next {
                nonce,
                key: Key::read(reader)?,
                carry: C::read(reader)?,
                without: reader.list("keys", WITHOUT_MAX)?,
            },
            2 => Self::Closer { nonce, steps: reader.list("steps", STEPS_MAX)? },
            3 => Self::Owner { nonce, contacts: contacts(reader)? },
            4 => Self::Ping { nonce },
            5 => Self::Pong { nonce },
            6 => Self::Stranger { nonce },
            8 => Self::Route {
                nonce,
                lookup: reader.u64()?,
                key: Key::read(reader)?,
                carry: C::read(reader)?,
                origin: maybe(reader, peer)?,
                hops: reader.u8()?,
            },
            9 => Self::Taken { nonce },
            10 => Self::Found { lookup: nonce, hops: reader.u8()?, contacts: contacts(reader)? },
            11 => {
                Self::Store { nonce, copies: reader.u8()?, offer: Box::new(Offer::read(reader)?) }
            }
            12 => Self::Stored { nonce, copies: reader.u8()? },
            13 => Self::Full { nonce },
            14 => Self::Fetch { nonce, key: Key::read(reader)? },
            17 => Self::Holders { nonce, contacts: contacts(reader)? },
            18 => Self::FoundHolders {
                lookup: nonce,
                hops: reader.u8()?,
                contacts: contacts(reader)?,
            },
            _ => Self::Value {
                nonce,
                value: maybe(reader, |reader| reader.bytes("value", VALUE_MAX))?,
            },
        })
    }
}

#[cfg(test)]
pub(in crate::locate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::locate::{
        codec::{self, tests::contact},
        pastry,
    };

    /// One of each of what all nodes say, with that on the way, and these words.
    pub(in crate::locate) fn examples<C: Copy, W>(carry: C, words: Vec<W>) -> Vec<Datagram<C, W>> {
        let contacts: Vec<Contact> = (0..5).map(contact).collect();
        let steps = contacts[..3].iter().map(|&contact| Step { contact, carry }).collect();
        let (nonce, key, value) = (7, Key::of(b"a"), Bytes::from_static(b"value"));
        let offer =
            Offer { key, stamp: 3, lifetime: Duration::from_secs(60), value: value.clone() };
        let origin = Some(contact(1).address);
        let bodies = [
            Body::Next { nonce, key, carry, without: vec![Key::from(3)] },
            Body::Closer { nonce, steps },
            Body::Owner { nonce, contacts: contacts.clone() },
            Body::Ping { nonce },
            Body::Pong { nonce },
            Body::Stranger { nonce },
            Body::Leaving,
            Body::Route { nonce, lookup: 9, key, carry, origin, hops: 3 },
            Body::Taken { nonce },
            Body::Found { lookup: 9, hops: 4, contacts: contacts.clone() },
            Body::Holders { nonce, contacts: contacts.clone() },
            Body::FoundHolders { lookup: 9, hops: 4, contacts },
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
            .chain(words.into_iter().map(Body::Own))
            .zip(from.into_iter().cycle())
            .map(|(body, from)| Datagram { from, body })
            .collect()
    }

    /// Holds what must hold of the messages of an overlay: each reads as it was written, other bytes are
    /// refused or have one form, and the longest passes every link. `longest` is what it says itself at
    /// most.
    pub(in crate::locate) fn have_one_form<C, W>(examples: &[Datagram<C, W>], longest: Vec<W>)
    where
        C: Wire + Clone + std::fmt::Debug + PartialEq,
        W: Words,
    {
        for message in examples {
            assert_eq!(Datagram::decode(&message.encode()).as_ref(), Ok(message));
        }
        for words in longest {
            let message = Datagram::<C, W> { from: Some(Key::MAX), body: Body::Own(words) };
            let written = message.encode();
            assert!(written.len() <= Datagram::<C, W>::MAX, "{} bytes", written.len());
        }
        const { assert!(Datagram::<C, W>::MAX <= 1_352, "too long for every link") };
        codec::tests::any_bytes_are_refused_or_have_one_form(examples);
    }

    type Pastry = Message<pastry::Geometry>;

    #[test]
    fn the_longest_message_keeps_its_limit() {
        let address = "[ffff::1]:1".parse::<std::net::SocketAddr>().unwrap().into();
        let contact = Contact { key: Key::MAX, address };
        let from = Some(Key::MAX);
        let found = |count| Body::Found { lookup: 1, hops: 2, contacts: vec![contact; count] };
        let written = Pastry { from, body: found(CONTACTS_MAX) }.encode();
        assert!(written.len() <= Pastry::MAX, "{}", written.len());
        assert!(matches!(
            Pastry::decode(&Pastry { from, body: found(CONTACTS_MAX + 1) }.encode()),
            Err(WireError::TooLong { length: 33, .. })
        ));
    }

    #[test]
    fn more_next_steps_than_anybody_names_are_refused() {
        let contacts = (0..4).map(contact);
        let steps = contacts.map(|contact| Step { contact, carry: Default::default() }).collect();
        let written = Pastry { from: None, body: Body::Closer { nonce: 1, steps } }.encode();
        assert!(matches!(Pastry::decode(&written), Err(WireError::TooLong { length: 4, .. })));
    }

    #[test]
    fn nobody_is_sent_to_addresses_of_nobody_or_of_many() {
        for address in codec::tests::addresses_of_nobody_or_of_many() {
            let contacts = vec![Contact { key: Key::from(1), address }];
            let (key, origin, carry) = (Key::from(1), Some(address), Default::default());
            for body in [
                Body::Owner { nonce: 1, contacts },
                Body::Route { nonce: 1, lookup: 2, key, carry, origin, hops: 0 },
            ] {
                let written = Pastry { from: None, body }.encode();
                let refused = WireError::Impossible { what: "address" };
                assert_eq!(Pastry::decode(&written), Err(refused), "{address}");
            }
        }
    }

    #[test]
    fn a_node_of_another_overlay_is_not_understood() {
        let mut written = Pastry { from: None, body: Body::Leaving }.encode();
        written[0] ^= 1;
        assert!(matches!(
            Pastry::decode(&written),
            Err(WireError::Unknown { what: "overlay", .. })
        ));
    }
}
