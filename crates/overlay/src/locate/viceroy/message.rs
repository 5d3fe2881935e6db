//! What is said about levels, and its form in bytes: a tag, and fields in the order of the variant. And what a
//! lookup carries: one byte.

use nigh_base::{
    Key,
    wire::{Reader, Wire, WireError, write_list},
};

use super::links::Kind;
use crate::locate::{
    Contact,
    codec::{Nonce, maybe, option},
    node::geometry::{self, Silence},
};

/// The most contacts in an answer.
pub(in crate::locate) const NAMED_MAX: usize = 4;

/// Which part of its way a lookup is in. PODC 2002, section 5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Up to the first level.
    #[default]
    Up,
    /// Down, each level halving what is left of the circle.
    Down,
    /// About, along the circle and the circle of a level, to the key.
    About,
}

impl Wire for Phase {
    const MAX: usize = 1;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Up => 0,
            Self::Down => 1,
            Self::About => 2,
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            0 => Self::Up,
            1 => Self::Down,
            2 => Self::About,
            tag => return Err(WireError::Unknown { what: "phase", tag }),
        })
    }
}

/// On which side of a place a node is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Clockwise: at the place, or behind it.
    Behind,
    /// At it, or before it.
    Before,
}

impl Side {
    /// How far a node lies from a place, on this side.
    pub(super) const fn distance(self, place: Key, key: Key) -> Key {
        match self {
            Self::Behind => key.minus(place),
            Self::Before => place.minus(key),
        }
    }
}

impl Wire for Side {
    const MAX: usize = 1;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(matches!(self, Self::Before).into());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.u8()? {
            0 => Ok(Self::Behind),
            1 => Ok(Self::Before),
            tag => Err(WireError::Unknown { what: "side", tag }),
        }
    }
}

/// A question for nodes of a level, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Words {
    /// I am on level `mine`. Who is nearest to `place` on that side, of those on `level` whom you know?
    Seek { nonce: Nonce, mine: u8, level: u8, place: Key, side: Side },
    /// I am on level `mine`. These, the nearest first; and who lies farthest on that side, and knows more.
    Found { nonce: Nonce, mine: u8, contacts: Vec<Contact>, beyond: Option<Contact> },
}

/// What a question for nodes of a level is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errand {
    /// A link of that kind; so many have been asked along the circle before.
    Link(Kind, u8),
    /// Whether the one that is asked fits as such a link.
    Fits(Kind),
    /// The same of one that has spoken: whether it is on the level that it said.
    Claim(Kind),
    /// On which level a leaf is.
    Level,
}

impl geometry::Errand for Errand {
    fn attempts(&self) -> u32 {
        2
    }

    /// All but what strangers may cause.
    fn is_upkeep(&self) -> bool {
        !matches!(self, Self::Claim(_))
    }

    fn silence(&self) -> Silence {
        Silence::Doubtful
    }
}

impl geometry::Words for Words {
    const VERSION: u8 = 20;

    fn asks(&self) -> Option<Nonce> {
        match self {
            Self::Seek { nonce, .. } => Some(*nonce),
            Self::Found { .. } => None,
        }
    }

    fn answers(&self) -> Option<Nonce> {
        match self {
            Self::Found { nonce, .. } => Some(*nonce),
            Self::Seek { .. } => None,
        }
    }
}

impl Wire for Words {
    const MAX: usize = 12 + (NAMED_MAX + 1) * Contact::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Seek { nonce, mine, level, place, side } => {
                out.push(1);
                out.extend_from_slice(&nonce.to_be_bytes());
                out.extend([*mine, *level]);
                place.write(out);
                side.write(out);
            }
            Self::Found { nonce, mine, contacts, beyond } => {
                out.push(2);
                out.extend_from_slice(&nonce.to_be_bytes());
                out.push(*mine);
                write_list(contacts, out);
                option(beyond.as_ref(), out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            1 => Self::Seek {
                nonce: reader.u64()?,
                mine: reader.u8()?,
                level: reader.u8()?,
                place: Key::read(reader)?,
                side: Side::read(reader)?,
            },
            2 => Self::Found {
                nonce: reader.u64()?,
                mine: reader.u8()?,
                contacts: reader.list("contacts", NAMED_MAX)?,
                beyond: maybe(reader, Contact::read)?,
            },
            tag => return Err(WireError::Unknown { what: "words of Viceroy", tag }),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::locate::{
        circle::message::{Words as OfCircle, tests::examples},
        codec::tests::{addresses_of_nobody_or_of_many, contact},
        node::message::{Body, Message, tests::have_one_form},
        viceroy,
    };

    pub(in crate::locate::viceroy) fn all() -> Vec<Message<viceroy::Geometry>> {
        let place = Key::of(b"place");
        let seek = |side| Words::Seek { nonce: 7, mine: 3, level: 4, place, side };
        let found = |count, beyond| Words::Found {
            nonce: 7,
            mine: 3,
            contacts: (0..count).map(contact).collect(),
            beyond,
        };
        let words = || {
            vec![seek(Side::Behind), seek(Side::Before), found(0, None), found(4, Some(contact(9)))]
        };
        let phases = [Phase::Up, Phase::Down, Phase::About];
        phases.into_iter().flat_map(|phase| examples(phase, words())).collect()
    }

    #[test]
    fn every_message_has_one_form_and_passes_every_link() {
        let (contacts, beyond) = (vec![contact(1); NAMED_MAX], Some(contact(1)));
        let longest = Words::Found { nonce: 1, mine: 2, contacts, beyond };
        assert!(longest.encode().len() <= Words::MAX);
        have_one_form(&all(), vec![OfCircle::Far(longest)]);
    }

    #[test]
    fn nobody_is_sent_to_addresses_of_nobody_or_of_many() {
        for address in addresses_of_nobody_or_of_many() {
            let nobody = Contact { key: Key::from(1), address };
            for (contacts, beyond) in [(vec![nobody], None), (vec![], Some(nobody))] {
                let words = Words::Found { nonce: 1, mine: 2, contacts, beyond };
                let body = Body::Own(OfCircle::Far(words));
                let written = Message::<viceroy::Geometry> { from: None, body }.encode();
                let refused = WireError::Impossible { what: "address" };
                let read = Message::<viceroy::Geometry>::decode(&written);
                assert_eq!(read, Err(refused), "{address}");
            }
        }
    }
}
