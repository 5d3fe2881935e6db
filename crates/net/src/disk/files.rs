//! Segments as files of one directory.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, IoSliceMut},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use nigh_base::machine::DiskError;
use nigh_cache::disk::{Storage, file_name, number_of};
use parking_lot::Mutex;
use rustix::{
    fs::OFlags,
    io::{Errno, ReadWriteFlags, preadv2},
};

use super::{buffers::Buffer, cachestat::is_cached};

/// Segments that are held open, by two descriptors each; the oldest are closed first, and opened again
/// when they are read.
const OPEN_MAX: usize = 512;

/// A segment's file.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    path: PathBuf,
    /// The same past the page cache, once it was asked for; `None` if the file system has no such way.
    direct: OnceLock<Option<File>>,
}

impl Segment {
    /// Whether the kernel has all of a part in memory; `None` if it does not tell.
    pub(super) fn is_cached(&self, offset: u64, length: usize) -> Option<bool> {
        is_cached(&self.file, offset, length)
    }

    /// Reads what the kernel has in memory, and says how much of `bytes` that is: none, if the file system
    /// cannot tell. What is missing, the kernel begins to read.
    pub(super) fn read_now(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut slices = [IoSliceMut::new(bytes)];
        match preadv2(&self.file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(read),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::INTR) => {
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Fills `bytes`, through the page cache. It may wait for the device.
    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// Fills `buffer`, which was taken for this offset, past the page cache where the file system can. It
    /// may wait for the device.
    pub(super) fn read_direct(&self, buffer: &mut Buffer, offset: u64) -> io::Result<()> {
        let length = buffer.len();
        let read = self.direct().and_then(|file| {
            let (blocks, first) = buffer.blocks();
            let read = file.read_at(blocks, offset - first as u64);
            read.ok().map(|read| read >= first + length)
        });
        match read {
            Some(true) => Ok(()),
            // There is no such way here, or not today: the other one knows why.
            Some(false) | None => self.read(buffer, offset),
        }
    }

    fn direct(&self) -> Option<&File> {
        let flags = OFlags::DIRECT.bits().cast_signed();
        let open = || File::options().read(true).custom_flags(flags).open(&self.path).ok();
        self.direct.get_or_init(open).as_ref()
    }
}

/// The directory, and the files that are open. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    open: Mutex<BTreeMap<u32, Arc<Segment>>>,
}

impl Files {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Whether it can be read shows now.
        fs::read_dir(path)?;
        Ok(Self(Arc::new(Inner { path: path.to_owned(), open: Mutex::default() })))
    }

    /// The file of a segment; `make` one if there is none.
    pub(super) fn segment(&self, number: u32, make: bool) -> io::Result<Arc<Segment>> {
        let mut open = self.0.open.lock();
        if let Some(file) = open.get(&number) {
            return Ok(Arc::clone(file));
        }
        let path = self.0.path.join(file_name(number));
        let file =
            File::options().read(true).write(true).create(make).truncate(false).open(&path)?;
        let file = Arc::new(Segment { file, path, direct: OnceLock::new() });
        if open.len() >= OPEN_MAX {
            open.pop_first();
        }
        open.insert(number, Arc::clone(&file));
        Ok(file)
    }

    /// `length` bytes of a segment.
    pub(super) async fn read(
        &self,
        segment: u32,
        offset: u64,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let file = self.segment(segment, false)?;
        let mut bytes = vec![0; length];
        if file.read_now(&mut bytes, offset)? == length {
            return Ok(bytes);
        }
        let reading =
            tokio::task::spawn_blocking(move || file.read(&mut bytes, offset).map(|()| bytes));
        reading.await.map_err(io::Error::other)?
    }
}

/// What became of an operation, as the log wants to know it.
fn known(error: &io::Error) -> DiskError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            DiskError::Full
        }
        ErrorKind::NotFound => DiskError::Absent,
        _ => DiskError::Failed,
    }
}

impl Storage for Files {
    fn list(&mut self) -> Result<Vec<(u32, u64)>, DiskError> {
        let list = || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&self.0.path)? {
                let entry = entry?;
                let name = entry.file_name();
                if let Some(number) = name.to_str().and_then(number_of) {
                    found.push((number, entry.metadata()?.len()));
                }
            }
            Ok(found)
        };
        list().map_err(|error| known(&error))
    }

    fn read_at(&mut self, segment: u32, offset: u64, length: usize) -> Result<Vec<u8>, DiskError> {
        let read = || {
            let file = self.segment(segment, false)?;
            let mut bytes = vec![0; length];
            let mut filled = 0;
            while filled < length {
                match file.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        };
        read().map_err(|error| known(&error))
    }

    fn write_at(&mut self, segment: u32, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let write = || self.segment(segment, true)?.file.write_all_at(bytes, offset);
        write().map_err(|error| known(&error))
    }

    fn sync(&mut self, segment: u32) -> Result<(), DiskError> {
        let sync = || self.segment(segment, false)?.file.sync_data();
        sync().map_err(|error| known(&error))
    }

    fn sync_directory(&mut self) -> Result<(), DiskError> {
        let sync = || File::open(&self.0.path)?.sync_all();
        sync().map_err(|error| known(&error))
    }

    fn remove(&mut self, segment: u32) -> Result<(), DiskError> {
        // Who is reading it has it open.
        self.0.open.lock().remove(&segment);
        fs::remove_file(self.0.path.join(file_name(segment))).map_err(|error| known(&error))
    }
}
