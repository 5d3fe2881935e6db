//! What goes wrong on a simulated disk when a test asks for it: power, plugs, rot, and a full disk.

use std::collections::BTreeSet;

use super::{Disk, Power, content, in_memory};

/// How a disk misbehaves while it runs. The default is not at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The share of operations that fail with `DiskError::Failed`. Half of them have been done in part
    /// or as a whole nevertheless: a write is cut anywhere, a sync as the module says.
    pub failing: f64,
}

impl Disk {
    /// Lets somebody else take all that is free, until [`Disk::relieve`].
    pub fn fill(&mut self) {
        self.taken += self.free();
    }

    /// Gives back what [`Disk::fill`] took.
    pub const fn relieve(&mut self) {
        self.taken = 0;
    }

    /// The power fails: what is not durable meets its fate, and each operation is answered with
    /// `DiskError::Crashed` until [`Disk::restart`].
    pub fn crash(&mut self) {
        self.lose_unsynced();
        self.power = Power::Off;
    }

    /// Lets `operations` operations pass, and crashes at the one that follows: before it, or when
    /// it is done and not yet answered. So a write that was under way is torn like any other, and a
    /// sync may have happened though nobody was told. A later call replaces this one, a crash
    /// voids it, and `u64::MAX` is never.
    pub const fn crash_after(&mut self, operations: u64) {
        self.crash_at = self.operations.saturating_add(operations).checked_add(1);
    }

    /// Whether the power is off. A script that swallows errors ends well all the same, so ask here
    /// whether its crash point was reached.
    pub fn crashed(&self) -> bool {
        self.power == Power::Off
    }

    /// The disk is unplugged while the machine runs on: as with a crash, what is not durable meets
    /// its fate. Each operation fails with `DiskError::Failed` and there are no names, until
    /// [`Disk::restart`].
    pub fn vanish(&mut self) {
        self.lose_unsynced();
        self.power = Power::Unplugged;
    }

    /// Power and disk are back. Without a crash before, nothing changes: a process that ends takes
    /// nothing of what it has written with it.
    pub const fn restart(&mut self) {
        self.power = Power::On;
    }

    /// Flips so many bits at random places of what is durable, each place once; all of them, if
    /// there are no more. A read shows it unless the place has been written since.
    pub fn rot(&mut self, bits: u64) {
        let total = 8 * self.files.values().map(|file| file.durable().len() as u64).sum::<u64>();
        let mut places = BTreeSet::new();
        while (places.len() as u64) < bits.min(total) {
            places.insert(self.rng.below(total));
        }
        let mut start = 0;
        for file in self.files.values_mut() {
            let end = start + 8 * file.durable().len() as u64;
            for place in places.range(start..end) {
                file.flip(in_memory((place - start) / 8), place % 8);
            }
            start = end;
        }
    }

    /// Flips one bit of what is durable, the lowest being 0.
    ///
    /// # Panics
    /// If there is no such file, no such durable byte in it, or no such bit.
    pub fn rot_at(&mut self, file: &str, offset: u64, bit: u64) {
        assert!(bit < 8, "a byte has no bit {bit}");
        let inode = self.find(file).expect("the caller names a file that is there");
        let content = content(&mut self.files, inode);
        assert!(offset < content.durable().len() as u64, "byte {offset} is not durable");
        content.flip(in_memory(offset), bit);
    }

    fn lose_unsynced(&mut self) {
        self.crash_at = None;
        let kept = self.rng.index(self.directory.unsynced() + 1);
        self.directory.crash(kept);
        for file in self.files.values_mut() {
            file.crash(&mut self.rng, &mut self.debris);
        }
        self.drop_unnamed();
    }
}
