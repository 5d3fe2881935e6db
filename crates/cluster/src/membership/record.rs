//! What a member carries, and the record in which it says so.

use nigh_base::wire::{Reader, Wire, WireError};

use super::Name;

/// What an edge says of itself. What the numbers count is the caller's; it is the same everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Carried {
    /// How much it can do, beside the others: its weight on the ring.
    pub capacity: u32,
    /// How much it does now.
    pub load: u32,
    /// Whether it is to be given no new work.
    pub draining: bool,
}

/// What an edge carries, and which of its words this is: the one with the higher stamp counts,
/// whatever the way it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) name: Name,
    /// In which life it was said.
    pub(super) generation: u64,
    /// The how manieth word.
    pub(super) version: u64,
    pub(super) carried: Carried,
    /// Whether the edge is about to leave: then its going is no failure.
    pub(super) leaving: bool,
}

const DRAINING: u8 = 1;
const LEAVING: u8 = 2;

impl Record {
    pub(super) const fn stamp(&self) -> (u64, u64) {
        (self.generation, self.version)
    }
}

impl Wire for Record {
    const MAX: usize = Name::MAX + 8 + 8 + 4 + 4 + 1;

    fn write(&self, out: &mut Vec<u8>) {
        self.name.write(out);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.carried.capacity.to_be_bytes());
        out.extend_from_slice(&self.carried.load.to_be_bytes());
        let draining = if self.carried.draining { DRAINING } else { 0 };
        out.push(draining | if self.leaving { LEAVING } else { 0 });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let name = Name::read(reader)?;
        let (generation, version) = (reader.u64()?, reader.u64()?);
        let (capacity, load) = (reader.u32()?, reader.u32()?);
        let flags = reader.u8()?;
        if flags & !(DRAINING | LEAVING) != 0 {
            return Err(WireError::Unknown { what: "set of flags", tag: flags });
        }
        let carried = Carried { capacity, load, draining: flags & DRAINING != 0 };
        Ok(Self { name, generation, version, carried, leaving: flags & LEAVING != 0 })
    }
}
