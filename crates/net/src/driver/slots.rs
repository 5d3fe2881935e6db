//! Slots on a file system: each a file that is replaced as a whole, and known to be whole.
//!
//! ```text
//! slot-<16 hex digits> = "nighslt1" digest(8) content
//! ```
//! The digest covers the slot's number, the length and the content, so that what was damaged, cut
//! off or put under another name is noticed. A save writes a new file, makes it durable (fsync),
//! gives it the slot's name and makes that durable too: after a crash, the old content is there or
//! the new, never some of both.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    hash::Hasher,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use nigh_base::{
    Digest,
    machine::{DiskError, Slot},
};
use tracing::warn;

use super::BindError;

/// A directory of slots, held by one driver.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked while this is alive.
    _lock: File,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, BindError> {
        let cannot = |source| BindError::Slots { path: path.to_owned(), source };
        // Machines keep keys here, which are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(cannot)?;
        let lock = private().open(path.join("lock")).map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(BindError::SlotsInUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(cannot(source)),
        }
    }

    /// Makes `content` the slot's, durably. Blocks.
    pub(super) fn save(&self, slot: Slot, content: &[u8]) -> Result<(), DiskError> {
        let new = self.path_of(slot).with_extension("new");
        let replaced = self.replace(slot, content, &new);
        if replaced.is_err() {
            // Half a file takes room that may be what is missing. There may be none.
            drop(fs::remove_file(&new));
        }
        replaced.map_err(|error| {
            warn!(%error, slot = slot.0, path = %self.path.display(), "a save failed");
            cause(&error)
        })
    }

    fn replace(&self, slot: Slot, content: &[u8], new: &Path) -> io::Result<()> {
        let mut file = private().truncate(true).open(new)?;
        file.write_all(&MAGIC)?;
        file.write_all(&check(slot, content).to_be_bytes())?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(new, self.path_of(slot))?;
        File::open(&self.path)?.sync_all()
    }

    /// What the slot holds; none if nothing was ever saved there. Blocks.
    pub(super) fn load(&self, slot: Slot) -> Result<Option<Bytes>, DiskError> {
        let mut bytes = Vec::new();
        let read = File::open(self.path_of(slot))
            .and_then(|file| file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                warn!(%error, slot = slot.0, path = %self.path.display(), "a load failed");
                return Err(DiskError::Failed);
            }
        }
        let content = content_of(slot, bytes.into());
        if content.is_none() {
            warn!(slot = slot.0, path = %self.path.display(), "the content of a slot is damaged");
        }
        content.map(Some).ok_or(DiskError::Damaged)
    }

    fn path_of(&self, slot: Slot) -> PathBuf {
        self.path.join(format!("slot-{:016x}", slot.0))
    }
}

fn content_of(slot: Slot, mut bytes: Bytes) -> Option<Bytes> {
    if bytes.len() > FILE_BYTES {
        return None;
    }
    let (magic, rest) = bytes.split_first_chunk()?;
    let (digest, content) = rest.split_first_chunk()?;
    let is_whole = *magic == MAGIC && u64::from_be_bytes(*digest) == check(slot, content);
    is_whole.then(|| bytes.split_off(FRAME_BYTES))
}

fn check(slot: Slot, content: &[u8]) -> u64 {
    let mut digest = Digest::default();
    digest.write_u64(slot.0);
    digest.write_usize(content.len());
    digest.write(content);
    digest.value()
}

fn cause(error: &io::Error) -> DiskError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::Full,
        _ => DiskError::Failed,
    }
}

/// How files are made that only the owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true).mode(0o600);
    options
}

const MAGIC: [u8; 8] = *b"nighslt1";
/// The magic and the digest.
const FRAME_BYTES: usize = 8 + 8;
/// The most that one slot holds: a table of peers is a hundredth of it, and it is written whole at
/// every save.
pub(super) const SLOT_BYTES: usize = 16 << 20;
const FILE_BYTES: usize = FRAME_BYTES + SLOT_BYTES;

#[cfg(test)]
mod tests {
    use super::{super::tests::Folder, *};

    fn saved(content: &[u8]) -> (Folder, Directory) {
        let folder = Folder::new();
        let directory = Directory::open(folder.path()).unwrap();
        directory.save(Slot(7), content).unwrap();
        (folder, directory)
    }

    fn file(folder: &Folder, slot: u64) -> PathBuf {
        folder.path().join(format!("slot-{slot:016x}"))
    }

    #[test]
    fn the_last_content_is_what_is_there() {
        let (_folder, directory) = saved(b"old");
        directory.save(Slot(7), b"new").unwrap();
        assert_eq!(directory.load(Slot(7)), Ok(Some(Bytes::from_static(b"new"))));
        assert_eq!(directory.load(Slot(8)), Ok(None));
        directory.save(Slot(7), b"").unwrap();
        assert_eq!(directory.load(Slot(7)), Ok(Some(Bytes::new())));
    }

    #[test]
    fn damage_of_any_byte_and_any_cut_is_noticed() {
        let (folder, directory) = saved(b"content");
        let whole = fs::read(file(&folder, 7)).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(file(&folder, 7), damaged).unwrap();
            assert_eq!(directory.load(Slot(7)), Err(DiskError::Damaged), "byte {place}");
            fs::write(file(&folder, 7), &whole[..place]).unwrap();
            assert_eq!(directory.load(Slot(7)), Err(DiskError::Damaged), "cut to {place}");
        }
    }

    #[test]
    fn the_content_of_another_slot_is_damage() {
        let (folder, directory) = saved(b"content");
        fs::rename(file(&folder, 7), file(&folder, 8)).unwrap();
        assert_eq!(directory.load(Slot(8)), Err(DiskError::Damaged));
    }

    #[test]
    fn a_save_that_a_crash_cut_off_leaves_the_old_content() {
        let (folder, directory) = saved(b"old");
        fs::write(file(&folder, 7).with_extension("new"), b"nighslt1 and a half").unwrap();
        assert_eq!(directory.load(Slot(7)), Ok(Some(Bytes::from_static(b"old"))));
        directory.save(Slot(7), b"new").unwrap();
        assert_eq!(directory.load(Slot(7)), Ok(Some(Bytes::from_static(b"new"))));
    }

    #[test]
    fn a_directory_has_one_driver_at_a_time() {
        let (folder, directory) = saved(b"");
        let second = Directory::open(folder.path());
        assert!(matches!(second, Err(BindError::SlotsInUse { .. })));
        drop(directory);
        assert!(Directory::open(folder.path()).is_ok());
    }

    #[test]
    fn a_device_without_room_is_full_and_a_broken_one_has_failed() {
        let of = |code| cause(&io::Error::from_raw_os_error(code));
        assert_eq!(of(libc::ENOSPC), DiskError::Full);
        assert_eq!(of(libc::EDQUOT), DiskError::Full);
        assert_eq!(of(libc::EIO), DiskError::Failed);
        assert_eq!(of(libc::EROFS), DiskError::Failed);
    }
}
