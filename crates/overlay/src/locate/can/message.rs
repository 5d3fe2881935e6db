//! What is said about zones, and its form in bytes: a tag, and fields in the order of the variant.

use nigh_base::{
    Key, Time,
    wire::{Reader, Wire, WireError, write_list},
};

use super::{
    ZONES_MAX,
    zone::{REALITIES_MAX, Zone},
};
use crate::locate::{
    Contact,
    codec::{Nonce, maybe, option},
    flag,
    node::geometry::{self, Silence},
};

/// The most zones of neighbours in one datagram.
pub const NAMED_MAX: usize = 22;
/// So often a lookup goes on to a node that is not nearer.
pub(super) const DETOURS_MAX: u8 = 3;

/// A node, and a zone that is said to be its.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Named {
    /// Who.
    pub contact: Contact,
    /// One of its zones.
    pub zone: Zone,
}

impl Wire for Named {
    const MAX: usize = Contact::MAX + Zone::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        self.contact.write(out);
        self.zone.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { contact: Contact::read(reader)?, zone: Zone::read(reader)? })
    }
}

/// A zone that is to change hands; whoever takes it says the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gift {
    /// A secret of the one who gives.
    pub token: Nonce,
    /// What is given.
    pub zone: Zone,
}

impl Wire for Gift {
    const MAX: usize = 8 + Zone::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.token.to_be_bytes());
        self.zone.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { token: reader.u64()?, zone: Zone::read(reader)? })
    }
}

/// To a lookup with that instead of a reality all are alike.
pub(super) const ANY_REALITY: u8 = REALITIES_MAX;

/// What a lookup carries: where it may end, and what it needs while greed alone does not lead on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Way {
    /// It ends at the owner of its key in that reality: the first is that of whoever is responsible. With
    /// [`REALITIES_MAX`] it goes through all, and ends where the value is held.
    pub reality: u8,
    /// Whether whoever is asked stands in for an owner that was silent.
    pub stands_in: bool,
    /// How often it went on to a node that was not nearer.
    pub detours: u8,
    /// The first bytes of the key of the node that sent it on the last detour.
    pub from: u32,
}

impl Wire for Way {
    const MAX: usize = 7;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.reality);
        out.push(self.stands_in.into());
        out.push(self.detours);
        out.extend_from_slice(&self.from.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let reality = reader.u8()?;
        let (stands_in, detours, from) = (flag(reader)?, reader.u8()?, reader.u32()?);
        if reality > ANY_REALITY {
            return Err(WireError::Impossible { what: "reality" });
        }
        if detours > DETOURS_MAX {
            return Err(WireError::Impossible { what: "detours" });
        }
        Ok(Self { reality, stands_in, detours, from })
    }
}

/// What nodes of CAN say beside what all say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Words {
    /// Which are your zones, and who is around them? These are mine.
    State { nonce: Nonce, zones: Vec<Zone> },
    /// These, and these.
    StateIs { nonce: Nonce, zones: Vec<Zone>, named: Vec<Named> },
    /// Let the node of that key, which asks, have half of a zone in that reality; or only a whole one, of several.
    Split { nonce: Nonce, key: Key, reality: u8, whole: bool },
    /// This may be yours, and these are around it; nothing if not now.
    Offer { nonce: Nonce, gift: Option<Gift>, named: Vec<Named> },
    /// I take what you have offered.
    Take { nonce: Nonce, token: Nonce },
    /// It is yours, if it is.
    Yours { nonce: Nonce, zone: Option<Zone> },
    /// Take this.
    Give(Gift),
    /// The node of that key seems to be gone.
    Gone(Key),
    /// I have too many zones in that reality: ask me for one, if you can hand yours to another.
    Relieve { reality: u8 },
}

/// What questions about zones are for.
#[derive(Clone, Debug, Hash)]
pub enum Errand {
    /// How a neighbour stands; asked then.
    State(Time),
    /// Whether a node is a neighbour; asked then.
    Meet(Time),
    /// A zone for this node.
    Split {
        /// In that reality.
        reality: u8,
        /// Only a whole one, of several.
        whole: bool,
    },
    /// The zone that was offered, and who is around it.
    Take(Zone, Vec<Named>),
    /// Two halves of one zone in there; so often somebody may be asked yet.
    Search(Zone, u8),
}

impl geometry::Errand for Errand {
    fn attempts(&self) -> u32 {
        match self {
            Self::State(_) | Self::Split { .. } | Self::Take(..) => 3,
            Self::Meet(_) => 2,
            Self::Search(..) => 1,
        }
    }

    fn is_upkeep(&self) -> bool {
        !matches!(self, Self::Search(..) | Self::Meet(_))
    }

    /// A zone changes hands when its owner is gone: nobody is gone who has missed one question.
    fn silence(&self) -> Silence {
        match self {
            Self::State(_) | Self::Take(..) => Silence::Doubtful,
            Self::Split { .. } | Self::Meet(_) | Self::Search(..) => Silence::Nothing,
        }
    }
}

impl geometry::Words for Words {
    const VERSION: u8 = 18;

    fn asks(&self) -> Option<Nonce> {
        match self {
            Self::State { nonce, .. } | Self::Split { nonce, .. } | Self::Take { nonce, .. } => {
                Some(*nonce)
            }
            _ => None,
        }
    }

    fn answers(&self) -> Option<Nonce> {
        match self {
            Self::StateIs { nonce, .. } | Self::Offer { nonce, .. } | Self::Yours { nonce, .. } => {
                Some(*nonce)
            }
            _ => None,
        }
    }
}

fn reality(reader: &mut Reader<'_>) -> Result<u8, WireError> {
    let reality = reader.u8()?;
    match reality < REALITIES_MAX {
        true => Ok(reality),
        false => Err(WireError::Impossible { what: "reality" }),
    }
}

const GIVE: u8 = 7;
const GONE: u8 = 8;
const RELIEVE: u8 = 9;

impl Wire for Words {
    const MAX: usize = 11 + ZONES_MAX * Zone::MAX + NAMED_MAX * Named::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        let mut numbered = |tag: u8, number: u64| {
            out.push(tag);
            out.extend_from_slice(&number.to_be_bytes());
        };
        match self {
            Self::State { nonce, zones } => {
                numbered(1, *nonce);
                write_list(zones, out);
            }
            Self::StateIs { nonce, zones, named } => {
                numbered(2, *nonce);
                write_list(zones, out);
                write_list(named, out);
            }
            Self::Split { nonce, key, reality, whole } => {
                numbered(3, *nonce);
                key.write(out);
                out.push(*reality);
                out.push((*whole).into());
            }
            Self::Offer { nonce, gift, named } => {
                numbered(4, *nonce);
                option(gift.as_ref(), out);
                write_list(named, out);
            }
            Self::Take { nonce, token } => {
                numbered(5, *nonce);
                out.extend_from_slice(&token.to_be_bytes());
            }
            Self::Yours { nonce, zone } => {
                numbered(6, *nonce);
                option(zone.as_ref(), out);
            }
            Self::Give(gift) => {
                out.push(GIVE);
                gift.write(out);
            }
            Self::Gone(key) => {
                out.push(GONE);
                key.write(out);
            }
            Self::Relieve { reality } => out.extend([RELIEVE, *reality]),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let tag = reader.u8()?;
        match tag {
            GIVE => return Gift::read(reader).map(Self::Give),
            GONE => return Key::read(reader).map(Self::Gone),
            RELIEVE => return Ok(Self::Relieve { reality: reality(reader)? }),
            1..GIVE => {}
            _ => return Err(WireError::Unknown { what: "words of CAN", tag }),
        }
        let nonce = reader.u64()?;
        Ok(match tag {
            1 => Self::State { nonce, zones: reader.list("zones", ZONES_MAX)? },
            2 => Self::StateIs {
                nonce,
                zones: reader.list("zones", ZONES_MAX)?,
                named: reader.list("neighbours", NAMED_MAX)?,
            },
            3 => {
                let (key, reality) = (Key::read(reader)?, reality(reader)?);
                Self::Split { nonce, key, reality, whole: flag(reader)? }
            }
            4 => Self::Offer {
                nonce,
                gift: maybe(reader, Gift::read)?,
                named: reader.list("neighbours", NAMED_MAX)?,
            },
            5 => Self::Take { nonce, token: reader.u64()? },
            _ => Self::Yours { nonce, zone: maybe(reader, Zone::read)? },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::locate::{
        can,
        codec::tests::{addresses_of_nobody_or_of_many, contact},
        node::message::{
            Body, Message,
            tests::{examples, have_one_form},
        },
    };

    pub(in crate::locate::can) fn all() -> Vec<Message<can::Geometry>> {
        let zones = vec![Zone::WHOLE, Zone::around(Key::MAX, 7).in_reality(3)];
        let named: Vec<Named> = (0u32..5)
            .map(|it| Named { contact: contact(it.into()), zone: Zone::around(Key::of(b"z"), it) })
            .collect();
        let gift = Gift { token: 5, zone: zones[1] };
        let (nonce, key) = (7, Key::of(b"k"));
        let way = Way { reality: ANY_REALITY, stands_in: true, detours: 2, from: 9 };
        let words = vec![
            Words::State { nonce, zones: zones.clone() },
            Words::StateIs { nonce, zones, named: named.clone() },
            Words::Split { nonce, key, reality: 3, whole: true },
            Words::Offer { nonce, gift: Some(gift), named },
            Words::Offer { nonce, gift: None, named: vec![] },
            Words::Take { nonce, token: 5 },
            Words::Yours { nonce, zone: Some(gift.zone) },
            Words::Yours { nonce, zone: None },
            Words::Give(gift),
            Words::Gone(key),
            Words::Relieve { reality: 1 },
        ];
        examples(way, words)
    }

    #[test]
    fn every_message_has_one_form_and_passes_every_link() {
        let zone = Zone::around(Key::MAX, 60);
        let named = vec![Named { contact: contact(1), zone }; NAMED_MAX];
        let longest = Words::StateIs { nonce: 1, zones: vec![zone; ZONES_MAX], named };
        have_one_form(&all(), vec![longest]);
    }

    #[test]
    fn no_zone_is_said_to_be_of_nobody_or_of_many() {
        for address in addresses_of_nobody_or_of_many() {
            let contact = Contact { key: Key::from(1), address };
            let named = vec![Named { contact, zone: Zone::WHOLE }];
            let words = Words::StateIs { nonce: 1, zones: vec![], named };
            let written = Message::<can::Geometry> { from: None, body: Body::Own(words) }.encode();
            let refused = WireError::Impossible { what: "address" };
            assert_eq!(Message::<can::Geometry>::decode(&written), Err(refused), "{address}");
        }
    }
}
