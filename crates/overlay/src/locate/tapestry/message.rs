//! What nodes of Tapestry say to each other alone, and its form in bytes: a tag, and fields in the order
//! of the variant.

use nigh_base::{
    Key, Time,
    wire::{Reader, Wire, WireError, write_list},
};

use crate::locate::{
    Contact,
    codec::{CONTACTS_MAX, Nonce, contacts, maybe, option},
    flag,
    node::geometry::{self, Silence, Step},
};

/// How far a lookup has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Level {
    /// So many digits are resolved.
    pub level: u8,
    /// Whether it is for a value: whoever has it will do.
    pub wants_holders: bool,
}

/// As many digits as a key has at most.
const LEVEL_MAX: u8 = 160;

fn level(reader: &mut Reader<'_>) -> Result<u8, WireError> {
    match reader.u8()? {
        level if level <= LEVEL_MAX => Ok(level),
        _ => Err(WireError::Impossible { what: "level" }),
    }
}

impl Wire for Level {
    const MAX: usize = 2;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.level);
        out.push(self.wants_holders.into());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { level: level(reader)?, wants_holders: flag(reader)? })
    }
}

/// A question, or its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Words {
    /// Who is in that row of your routing table, and who shares more digits with you?
    Row { nonce: Nonce, row: u8 },
    /// These, or some of them.
    RowIs { nonce: Nonce, contacts: Vec<Contact> },
    /// Do you have me in your table?
    Points { nonce: Nonce },
    /// I do, or do not.
    DoesPoint { nonce: Nonce, is_so: bool },
    /// I hold a value under `key`: point to me. So many digits are resolved on my way to its owner.
    Publish { nonce: Nonce, key: Key, level: u8 },
    /// The next on the way, if I am not the owner.
    Onward { nonce: Nonce, step: Option<Step<Level>> },
    /// Do you hold a value under `key`?
    Has { nonce: Nonce, key: Key },
    /// I do, or do not.
    Holds { nonce: Nonce, is_so: bool },
}

/// What a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Errand {
    /// A row of another's table, to fill a hole or find somebody nearer.
    Row,
    /// That row of the root of the own key: what this node, which joins, begins with.
    Copy { row: u32 },
    /// That row of a node with a hole that this one, which has joined, may fill.
    Spread { row: u32 },
    /// Whether one who asks for a row points here.
    Back,
    /// The next on the way to the owner of `key`, from a node at which so many digits are resolved.
    Publish { key: Key, level: u8 },
    /// Whether one who publishes a value has it: asked then, for the first time or again.
    Point { key: Key, holder: Contact, asked: Time, is_repeat: bool },
}

impl geometry::Errand for Errand {
    fn attempts(&self) -> u32 {
        match self {
            Self::Copy { .. } => 3,
            Self::Spread { .. } | Self::Publish { .. } => 2,
            // Who publishes is asked again under another number, so that it is known which one was answered.
            Self::Row | Self::Back | Self::Point { .. } => 1,
        }
    }

    fn is_upkeep(&self) -> bool {
        matches!(self, Self::Row | Self::Copy { .. } | Self::Spread { .. })
    }

    fn silence(&self) -> Silence {
        match self {
            Self::Row | Self::Spread { .. } | Self::Publish { .. } => Silence::Doubtful,
            Self::Copy { .. } | Self::Back | Self::Point { .. } => Silence::Nothing,
        }
    }
}

impl geometry::Words for Words {
    const VERSION: u8 = 17;

    fn asks(&self) -> Option<Nonce> {
        match self {
            Self::Row { nonce, .. }
            | Self::Points { nonce }
            | Self::Publish { nonce, .. }
            | Self::Has { nonce, .. } => Some(*nonce),
            _ => None,
        }
    }

    fn answers(&self) -> Option<Nonce> {
        match self {
            Self::RowIs { nonce, .. }
            | Self::DoesPoint { nonce, .. }
            | Self::Onward { nonce, .. }
            | Self::Holds { nonce, .. } => Some(*nonce),
            _ => None,
        }
    }
}

impl Wire for Words {
    const MAX: usize = 10 + CONTACTS_MAX * Contact::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        let mut numbered = |tag: u8, nonce: &Nonce| {
            out.push(tag);
            out.extend_from_slice(&nonce.to_be_bytes());
        };
        match self {
            Self::Row { nonce, row } => {
                numbered(1, nonce);
                out.push(*row);
            }
            Self::RowIs { nonce, contacts } => {
                numbered(2, nonce);
                write_list(contacts, out);
            }
            Self::Points { nonce } => numbered(3, nonce),
            Self::DoesPoint { nonce, is_so } => {
                numbered(4, nonce);
                out.push((*is_so).into());
            }
            Self::Publish { nonce, key, level } => {
                numbered(5, nonce);
                key.write(out);
                out.push(*level);
            }
            Self::Onward { nonce, step } => {
                numbered(6, nonce);
                option(step.as_ref(), out);
            }
            Self::Has { nonce, key } => {
                numbered(7, nonce);
                key.write(out);
            }
            Self::Holds { nonce, is_so } => {
                numbered(8, nonce);
                out.push((*is_so).into());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let tag = reader.u8()?;
        if !(1..=8).contains(&tag) {
            return Err(WireError::Unknown { what: "words of Tapestry", tag });
        }
        let nonce = reader.u64()?;
        Ok(match tag {
            1 => Self::Row { nonce, row: reader.u8()? },
            2 => Self::RowIs { nonce, contacts: contacts(reader)? },
            3 => Self::Points { nonce },
            4 => Self::DoesPoint { nonce, is_so: flag(reader)? },
            5 => Self::Publish { nonce, key: Key::read(reader)?, level: level(reader)? },
            6 => Self::Onward { nonce, step: maybe(reader, Step::read)? },
            7 => Self::Has { nonce, key: Key::read(reader)? },
            _ => Self::Holds { nonce, is_so: flag(reader)? },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::locate::{
        codec::tests::{addresses_of_nobody_or_of_many, contact},
        node::message::{
            Body, Datagram, Message,
            tests::{examples, have_one_form},
        },
        tapestry::Geometry,
    };

    pub(in crate::locate::tapestry) fn all() -> Vec<Message<Geometry>> {
        let contacts = (0..5).map(contact).collect();
        let (nonce, key, carry) = (7, Key::of(b"a"), Level { level: 3, wants_holders: true });
        let step = Some(Step { contact: contact(2), carry });
        let words = vec![
            Words::Row { nonce, row: 3 },
            Words::RowIs { nonce, contacts },
            Words::Points { nonce },
            Words::DoesPoint { nonce, is_so: true },
            Words::Publish { nonce, key, level: 160 },
            Words::Onward { nonce, step },
            Words::Onward { nonce, step: None },
            Words::Has { nonce, key },
            Words::Holds { nonce, is_so: false },
        ];
        examples(carry, words)
    }

    #[test]
    fn every_message_has_one_form_and_passes_every_link() {
        let contacts = vec![contact(1); CONTACTS_MAX];
        have_one_form(&all(), vec![Words::RowIs { nonce: 1, contacts }]);
    }

    #[test]
    fn addresses_of_nobody_or_of_many_and_levels_beyond_a_key_are_refused() {
        let refused = |words, what| {
            let message: Message<Geometry> = Datagram { from: None, body: Body::Own(words) };
            let read = Message::<Geometry>::decode(&message.encode());
            assert_eq!(read, Err(WireError::Impossible { what }));
        };
        for address in addresses_of_nobody_or_of_many() {
            let contact = Contact { key: Key::from(1), address };
            refused(Words::RowIs { nonce: 1, contacts: vec![contact] }, "address");
            let step = Some(Step { contact, carry: Level::default() });
            refused(Words::Onward { nonce: 1, step }, "address");
        }
        refused(Words::Publish { nonce: 1, key: Key::from(1), level: 161 }, "level");
    }
}
