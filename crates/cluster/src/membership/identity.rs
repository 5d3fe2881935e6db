//! Who a member is to SWIM: an edge in one of its lives.

use nigh_base::{
    Address,
    wire::{Reader, Wire, WireError},
};

use super::{Contact, Name};
use crate::hashing::key_hash;

/// An edge in one of its lives. Down is for ever for a life; who was declared down while it was
/// there begins another, and that of the higher generation counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// The hash of the name. Tables are gone through for every message, so it is compared first.
    hash: u64,
    pub(super) generation: u64,
    pub(super) name: Name,
    pub(super) address: Address,
}

impl Identity {
    pub(super) fn new(contact: Contact, generation: u64) -> Self {
        let Contact { name, address } = contact;
        Self { hash: key_hash(name.as_str().as_bytes()), generation, name, address }
    }
}

impl foca::Identity for Identity {
    /// The hash stands for the name: of 4,096 names two have one with a probability of 2^-41.
    type Addr = u64;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation.checked_add(1)?, ..self.clone() })
    }

    fn addr(&self) -> u64 {
        self.hash
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        // One generation at two addresses is two edges of one name. Whichever stays, all have to
        // choose the same.
        (self.generation, self.address) > (adversary.generation, adversary.address)
    }
}

impl Wire for Identity {
    const MAX: usize = Name::MAX + Address::MAX + 8;

    fn write(&self, out: &mut Vec<u8>) {
        self.name.write(out);
        self.address.write(out);
        out.extend_from_slice(&self.generation.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (name, address) = (Name::read(reader)?, Address::read(reader)?);
        if !address.is_of_one() {
            return Err(WireError::Impossible { what: "address" });
        }
        Ok(Self::new(Contact { name, address }, reader.u64()?))
    }
}
