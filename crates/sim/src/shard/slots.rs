//! Slots on a host's simulated disk: written beside, made durable, then renamed over the old one.

use std::time::Duration;

use bytes::Bytes;
use nigh_base::{
    Digest, Machine, Rng, Time,
    machine::{DiskError, Input, Slot},
    wire::Wire,
};

use super::{Shard, What, slot_file};
use crate::{
    HostId,
    disk::Disk,
    queue::{Entry, Place},
};

/// How long a disk takes for what it is asked.
const DISK_TIME: Duration = Duration::from_millis(2);
/// What a host's disk holds.
const DISK_BYTES: u64 = 1 << 30;
/// What labels the disks' streams of randomness among all of a seed.
const DISKS: u64 = 0x6469_736b_6469_736b;
/// A slot's content has its digest in front.
const SEAL: usize = 8;

/// A disk operation that is over.
#[derive(Debug)]
pub(crate) struct Done {
    life: u32,
    slot: Slot,
    what: Operation,
}

#[derive(Debug)]
enum Operation {
    /// What was written to that file is made durable and put into place; or the write had failed.
    Save(Result<String, DiskError>),
    Load,
}

impl<T> Shard<T>
where
    T: Machine,
    T::Message: Wire + Clone,
{
    /// The disk of a host, made when it is first needed.
    pub(crate) fn disk(&mut self, id: HostId) -> &mut Disk {
        let seed = self.seed;
        self.host(id)
            .more()
            .disk
            .get_or_insert_with(|| Disk::new(Rng::new(seed ^ DISKS).fork(id.0.into()), DISK_BYTES))
    }

    pub(super) fn save(&mut self, id: HostId, slot: Slot, bytes: &Bytes, now: Time) {
        let number = self.host(id).next_number();
        let file = format!("{}.{number}", slot_file(slot));
        let sealed = [&seal(bytes).to_le_bytes()[..], bytes].concat();
        let written = self.disk(id).write_at(&file, 0, &sealed);
        self.finish_later(id, slot, Operation::Save(written.map(|()| file)), now);
    }

    pub(super) fn load(&mut self, id: HostId, slot: Slot, now: Time) {
        self.finish_later(id, slot, Operation::Load, now);
    }

    fn finish_later(&mut self, id: HostId, slot: Slot, what: Operation, now: Time) {
        let host = self.host(id);
        let life = host.life;
        let place =
            Place { at: now.after(DISK_TIME), to: id.0, from: id.0, number: host.next_number() };
        self.queue.push(Entry { place, what: What::Disk(Box::new(Done { life, slot, what })) });
    }

    pub(super) fn disk_done(
        &mut self,
        id: HostId,
        done: Done,
    ) -> Option<Input<T::Message, T::Command>> {
        let Done { life, slot, what } = done;
        if life != self.host(id).life {
            return None;
        }
        let disk = self.disk(id);
        Some(match what {
            Operation::Save(written) => {
                let placed = written.and_then(|file| {
                    disk.sync(&file)?;
                    disk.rename(&file, &slot_file(slot))?;
                    disk.sync_directory()
                });
                match placed {
                    Ok(()) => Input::Saved { slot },
                    Err(cause) => Input::Failed { slot, cause },
                }
            }
            Operation::Load => match read(disk, slot) {
                Ok(bytes) => Input::Loaded { slot, bytes },
                Err(cause) => Input::Failed { slot, cause },
            },
        })
    }
}

fn read(disk: &mut Disk, slot: Slot) -> Result<Option<Bytes>, DiskError> {
    let file = slot_file(slot);
    let length = match disk.length(&file) {
        Ok(length) => usize::try_from(length).map_err(|_| DiskError::Damaged)?,
        Err(DiskError::Absent) => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let sealed = disk.read_at(&file, 0, length)?;
    let Some((found, bytes)) = sealed.split_at_checked(SEAL) else {
        return Err(DiskError::Damaged);
    };
    if found != seal(bytes).to_le_bytes() {
        return Err(DiskError::Damaged);
    }
    Ok(Some(Bytes::copy_from_slice(bytes)))
}

fn seal(bytes: &[u8]) -> u64 {
    let mut digest = Digest::default();
    std::hash::Hasher::write(&mut digest, bytes);
    digest.value()
}
