//! What is said about leaf sets, and its form in bytes: a tag, and fields in the order of the variant.

use std::hash::Hash;

use nigh_base::wire::{Reader, Wire, WireError, write_list};

use crate::locate::{
    Contact,
    codec::{CONTACTS_MAX, Nonce, contacts},
    node::geometry::{self, Silence},
};

/// What nodes on a circle say beside what all say: `W` is what is said about far links.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Words<W> {
    /// Who is in your leaf set?
    Leaves { nonce: Nonce },
    /// These.
    LeavesAre { nonce: Nonce, contacts: Vec<Contact> },
    /// Something about far links.
    Far(W),
}

/// What these questions are for.
#[derive(Clone, Debug, Hash)]
pub enum Errand<E> {
    /// A leaf's leaf set.
    Leaves,
    /// The leaf set of the owner of this node's place, before this one is let in.
    Join,
    /// Something about far links.
    Far(E),
}

impl<W: geometry::Words> geometry::Words for Words<W> {
    const VERSION: u8 = W::VERSION;

    fn asks(&self) -> Option<Nonce> {
        match self {
            Self::Leaves { nonce } => Some(*nonce),
            Self::LeavesAre { .. } => None,
            Self::Far(words) => words.asks(),
        }
    }

    fn answers(&self) -> Option<Nonce> {
        match self {
            Self::LeavesAre { nonce, .. } => Some(*nonce),
            Self::Leaves { .. } => None,
            Self::Far(words) => words.answers(),
        }
    }
}

impl<E: geometry::Errand> geometry::Errand for Errand<E> {
    fn attempts(&self) -> u32 {
        match self {
            Self::Leaves | Self::Join => 3,
            Self::Far(errand) => errand.attempts(),
        }
    }

    fn is_upkeep(&self) -> bool {
        match self {
            Self::Leaves | Self::Join => true,
            Self::Far(errand) => errand.is_upkeep(),
        }
    }

    fn silence(&self) -> Silence {
        match self {
            Self::Leaves => Silence::Gone,
            Self::Join => Silence::Nothing,
            Self::Far(errand) => errand.silence(),
        }
    }
}

impl<W: Wire> Wire for Words<W> {
    const MAX: usize = {
        let leaves = 10 + CONTACTS_MAX * Contact::MAX;
        if W::MAX > leaves { 1 + W::MAX } else { leaves }
    };

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaves { nonce } => {
                out.push(1);
                out.extend_from_slice(&nonce.to_be_bytes());
            }
            Self::LeavesAre { nonce, contacts } => {
                out.push(2);
                out.extend_from_slice(&nonce.to_be_bytes());
                write_list(contacts, out);
            }
            Self::Far(words) => {
                out.push(3);
                words.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            1 => Self::Leaves { nonce: reader.u64()? },
            2 => Self::LeavesAre { nonce: reader.u64()?, contacts: contacts(reader)? },
            3 => Self::Far(W::read(reader)?),
            tag => return Err(WireError::Unknown { what: "words on a circle", tag }),
        })
    }
}

#[cfg(test)]
pub(in crate::locate) mod tests {
    use super::*;
    use crate::locate::{
        codec::tests::contact,
        node::message::{Datagram, tests},
    };

    /// One of each of what nodes on a circle say, and these words about far links.
    pub(in crate::locate) fn examples<C: Copy, W>(
        carry: C,
        words: Vec<W>,
    ) -> Vec<Datagram<C, Words<W>>> {
        let contacts = (0..5).map(contact).collect();
        let leaves = [Words::Leaves { nonce: 7 }, Words::LeavesAre { nonce: 7, contacts }];
        let far = words.into_iter().map(Words::Far);
        tests::examples(carry, leaves.into_iter().chain(far).collect())
    }
}
