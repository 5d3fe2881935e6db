//! What is said about routing tables, and its form in bytes: a tag, and fields in the order of the variant.

use nigh_base::wire::{Reader, Wire, WireError, write_list};

use crate::locate::{
    Contact,
    codec::{CONTACTS_MAX, Nonce, contacts},
    node::geometry::{self, Silence},
};

/// A question about a row, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a field is what the sentence on its variant says")]
pub enum Words {
    /// Who is in that row of your routing table?
    Row { nonce: Nonce, row: u8 },
    /// These.
    RowIs { nonce: Nonce, contacts: Vec<Contact> },
}

/// A row of another's table. Others have rows as well, if this one does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row;

impl geometry::Errand for Row {
    fn attempts(&self) -> u32 {
        1
    }

    fn is_upkeep(&self) -> bool {
        false
    }

    fn silence(&self) -> Silence {
        Silence::Doubtful
    }
}

impl geometry::Words for Words {
    const VERSION: u8 = 16;

    fn asks(&self) -> Option<Nonce> {
        match self {
            Self::Row { nonce, .. } => Some(*nonce),
            Self::RowIs { .. } => None,
        }
    }

    fn answers(&self) -> Option<Nonce> {
        match self {
            Self::RowIs { nonce, .. } => Some(*nonce),
            Self::Row { .. } => None,
        }
    }
}

impl Wire for Words {
    const MAX: usize = 10 + CONTACTS_MAX * Contact::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Row { nonce, row } => {
                out.push(1);
                out.extend_from_slice(&nonce.to_be_bytes());
                out.push(*row);
            }
            Self::RowIs { nonce, contacts } => {
                out.push(2);
                out.extend_from_slice(&nonce.to_be_bytes());
                write_list(contacts, out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            1 => Self::Row { nonce: reader.u64()?, row: reader.u8()? },
            2 => Self::RowIs { nonce: reader.u64()?, contacts: contacts(reader)? },
            tag => return Err(WireError::Unknown { what: "words of Pastry", tag }),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::locate::{
        circle::message::tests::examples,
        codec::tests::contact,
        node::{geometry::Bare, message::tests::have_one_form},
        pastry,
    };

    pub(in crate::locate::pastry) fn all()
    -> Vec<crate::locate::node::message::Message<pastry::Geometry>> {
        let contacts = (0..5).map(contact).collect();
        examples(Bare, vec![Words::Row { nonce: 7, row: 3 }, Words::RowIs { nonce: 7, contacts }])
    }

    #[test]
    fn every_message_has_one_form_and_passes_every_link() {
        let contacts = vec![contact(1); CONTACTS_MAX];
        let longest =
            crate::locate::circle::message::Words::Far(Words::RowIs { nonce: 1, contacts });
        have_one_form(&all(), vec![longest]);
    }
}
