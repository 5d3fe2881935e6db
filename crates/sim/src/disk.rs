//! A simulated disk that does to its files, by the seed, what power cuts and failing devices do.
//!
//! What was written can be read at once, but is durable only after [`Disk::sync`]; that a file has
//! been made, removed or renamed is durable only after [`Disk::sync_directory`], for POSIX does not
//! let `fsync` of a file speak for the directory that names it. Of what is not durable, a crash
//! leaves
//!
//! | of | what |
//! | --- | --- |
//! | each write | all, nothing, its first sectors, or any of its sectors; whatever became of others |
//! | each change of a length | the new length or the old one |
//! | changes of the directory | the first so many, in order, as from a journal |
//! | bytes that a length covers and no write has reached | zeros, noise, or what lay at that place in a file that was removed or cut |
//!
//! With data this is harsher than the file systems in common use; with names it is like those that
//! have a journal, while some others reorder these changes too (Pillai et al., "All File Systems Are
//! Not Created Equal", OSDI 2014). Sectors are never torn.
//!
//! An operation may also fail, and then have been done all the same. A `sync` that failed may have
//! forgotten what it was to write, as on Linux: the next one succeeds without it (Rebello et al.,
//! "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
//!
//! A test tries each crash point of a script:
//!
//! ```
//! use nigh_base::{Rng, machine::DiskError};
//! use nigh_sim::disk::Disk;
//!
//! fn script(disk: &mut Disk) -> Result<(), DiskError> {
//!     disk.write_at("greeting", 0, b"hello")?;
//!     disk.sync("greeting")?;
//!     disk.sync_directory()
//! }
//! for n in 0.. {
//!     let mut disk = Disk::new(Rng::new(7), 1 << 20);
//!     disk.crash_after(n);
//!     if script(&mut disk).is_ok() {
//!         disk.crash();
//!         disk.restart();
//!         assert_eq!(disk.read_at("greeting", 0, 5).unwrap(), b"hello");
//!         break;
//!     }
//!     assert!(disk.crashed());
//! }
//! ```

mod directory;
mod faults;
mod file;

use std::{collections::BTreeMap, hash::Hash};

use nigh_base::{Digest, Rng, machine::DiskError};

use directory::{Directory, Inode};
pub use faults::Faults;
use file::{Debris, File};

/// What a disk writes as a whole: a write is torn between two of these, never within one.
pub const SECTOR: usize = 512;

/// A directory of files, of which a part is durable.
///
/// An operation costs what it reads or writes, and a write that lengthens a file one step for each
/// file; a crash costs a copy of the whole disk. Memory is held twice for each byte of a file,
/// holes included. [`DiskError::Damaged`] is never reported: rot is for the reader to notice.
#[derive(Clone, Debug)]
pub struct Disk {
    rng: Rng,
    faults: Faults,
    capacity: u64,
    taken: u64,
    power: Power,
    operations: u64,
    crash_at: Option<u64>,
    directory: Directory,
    files: BTreeMap<Inode, File>,
    debris: Debris,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Power {
    On,
    Off,
    /// The machine runs, but its disk is gone.
    Unplugged,
}

/// How much of an operation is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Whole,
    /// So much as the seed says, for it is going to fail.
    Part,
}

impl Disk {
    /// An empty disk that holds `capacity` bytes of content; names take no room.
    pub fn new(rng: Rng, capacity: u64) -> Self {
        Self {
            rng,
            faults: Faults::default(),
            capacity,
            taken: 0,
            power: Power::On,
            operations: 0,
            crash_at: None,
            directory: Directory::default(),
            files: BTreeMap::new(),
            debris: Debris::default(),
        }
    }

    /// How it misbehaves from now on.
    pub const fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Writes `bytes` at `offset`, makes the file if there is none, and fills what lies between its
    /// end and `offset` with zeros.
    ///
    /// # Errors
    /// [`DiskError::Full`] if not all of it fits: the file has then been made, and some of the
    /// first bytes that fit have been written.
    pub fn write_at(&mut self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.operate(|disk, extent| {
            let inode = disk.directory.find_or_make(file);
            disk.files.entry(inode).or_default();
            let fitting = disk.room(inode).saturating_sub(offset).min(bytes.len() as u64);
            let whole = fitting == bytes.len() as u64;
            let count = match extent {
                Extent::Whole if whole => fitting,
                Extent::Whole | Extent::Part => disk.rng.below(fitting + 1),
            };
            if count > 0 {
                let bytes = &bytes[..in_memory(count)];
                content(&mut disk.files, inode).write(in_memory(offset), bytes, &mut disk.debris);
            }
            if whole { Ok(()) } else { Err(DiskError::Full) }
        })
    }

    /// Up to `length` bytes from `offset`; fewer, or none, where the file ends before.
    ///
    /// # Errors
    /// [`DiskError::Absent`] if there is no such file.
    pub fn read_at(
        &mut self,
        file: &str,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, DiskError> {
        self.operate(|disk, _| {
            let inode = disk.find(file)?;
            let content = disk.files[&inode].visible();
            let start = in_memory(offset.min(content.len() as u64));
            let end = start.saturating_add(length).min(content.len());
            Ok(content[start..end].to_vec())
        })
    }

    /// How many bytes a file has.
    ///
    /// # Errors
    /// [`DiskError::Absent`] if there is no such file.
    pub fn length(&mut self, file: &str) -> Result<u64, DiskError> {
        self.operate(|disk, _| {
            let inode = disk.find(file)?;
            Ok(disk.files[&inode].visible().len() as u64)
        })
    }

    /// Cuts a file to `length`, or lengthens it with zeros.
    ///
    /// # Errors
    /// [`DiskError::Absent`] if there is no such file, [`DiskError::Full`] if there is no room for
    /// the zeros; nothing is done then.
    pub fn truncate(&mut self, file: &str, length: u64) -> Result<(), DiskError> {
        self.operate(|disk, _| {
            let inode = disk.find(file)?;
            if length > disk.room(inode) {
                return Err(DiskError::Full);
            }
            let content = content(&mut disk.files, inode);
            content.set_length(in_memory(length), &mut disk.debris);
            Ok(())
        })
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`DiskError::Absent`] if there is no such file.
    pub fn remove(&mut self, file: &str) -> Result<(), DiskError> {
        self.operate(|disk, _| {
            disk.find(file)?;
            disk.directory.remove(file);
            Ok(())
        })
    }

    /// Gives the file `from` the name `to`, which another file loses in the same moment.
    ///
    /// # Errors
    /// [`DiskError::Absent`] if there is no file `from`.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.operate(|disk, _| {
            disk.find(from)?;
            disk.directory.rename(from, to);
            Ok(())
        })
    }

    /// The names of all files, in order. No operation: it neither fails nor counts, and while the
    /// disk does not answer there are none.
    pub fn names(&self) -> Vec<String> {
        match self.power {
            Power::On => self.directory.names().cloned().collect(),
            Power::Off | Power::Unplugged => Vec::new(),
        }
    }

    /// Makes the content and the length of a file durable, though not its name.
    ///
    /// # Errors
    /// [`DiskError::Absent`] if there is no such file.
    pub fn sync(&mut self, file: &str) -> Result<(), DiskError> {
        self.operate(|disk, extent| {
            let inode = disk.find(file)?;
            let content = content(&mut disk.files, inode);
            match extent {
                Extent::Whole => content.sync(&mut disk.debris),
                Extent::Part => content.settle(&mut disk.rng, &mut disk.debris),
            }
            Ok(())
        })
    }

    /// Makes durable which files there are and how they are named.
    ///
    /// # Errors
    /// Only those that any operation may have.
    pub fn sync_directory(&mut self) -> Result<(), DiskError> {
        self.operate(|disk, extent| {
            let count = match extent {
                Extent::Whole => disk.directory.unsynced(),
                Extent::Part => disk.rng.index(disk.directory.unsynced() + 1),
            };
            disk.directory.commit(count);
            disk.drop_unnamed();
            Ok(())
        })
    }

    /// The bytes that can still be written: by the lengths that are visible, so that a removal
    /// gives space at once. A crash that undoes it may leave more on the disk than it holds, and
    /// then there are none.
    pub fn free(&self) -> u64 {
        let used: u64 =
            self.directory.inodes().map(|inode| self.files[&inode].visible().len() as u64).sum();
        match self.power {
            Power::On => self.capacity.saturating_sub(self.taken).saturating_sub(used),
            Power::Off | Power::Unplugged => 0,
        }
    }

    /// How many operations there have been, those included that failed, but none that came while
    /// the power was off or the disk unplugged.
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// Feeds the whole state: two disks with one digest go on alike.
    pub fn digest(&self, digest: &mut Digest) {
        let Self { rng, faults, capacity, taken, power, operations, crash_at, .. } = self;
        (rng.clone().next_u64(), faults.failing.to_bits(), capacity, taken).hash(digest);
        (power, operations, crash_at).hash(digest);
        (&self.directory, &self.files, &self.debris).hash(digest);
    }

    /// The way of every operation: whether it is done, how far, and what its caller is told.
    fn operate<T>(
        &mut self,
        work: impl FnOnce(&mut Self, Extent) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        match self.power {
            Power::On => {}
            Power::Off => return Err(DiskError::Crashed),
            Power::Unplugged => return Err(DiskError::Failed),
        }
        self.operations += 1;
        if self.crash_at == Some(self.operations) {
            // What the work answers is lost with the power, as in the failure below.
            if !self.rng.one_in(3) {
                drop(work(self, Extent::Whole));
            }
            self.crash();
            return Err(DiskError::Crashed);
        }
        if self.rng.chance(self.faults.failing) {
            if self.rng.one_in(2) {
                drop(work(self, Extent::Part));
            }
            return Err(DiskError::Failed);
        }
        work(self, Extent::Whole)
    }

    /// Drops the files that no name leads to, nor will after any crash.
    fn drop_unnamed(&mut self) {
        let named = self.directory.reachable();
        for (_, file) in self.files.extract_if(.., |inode, _| !named.contains(inode)) {
            self.debris.bury(file.durable(), 0);
        }
    }

    fn find(&self, file: &str) -> Result<Inode, DiskError> {
        self.directory.find(file).ok_or(DiskError::Absent)
    }

    /// The length that a file can grow to.
    fn room(&self, inode: Inode) -> u64 {
        self.free().saturating_add(self.files[&inode].visible().len() as u64)
    }
}

fn content(files: &mut BTreeMap<Inode, File>, inode: Inode) -> &mut File {
    files.get_mut(&inode).expect("a name leads to a file")
}

/// A place or a length that lies within a file, or within the room for one.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a simulated disk lies in memory")
}

/// Unsynced changes of one file, or of the directory, beyond which the oldest becomes durable by
/// itself: a kernel writes back too, sooner or later, and a script that never syncs stays cheap.
const UNSYNCED_MAX: usize = 1024;

#[cfg(test)]
mod tests;
