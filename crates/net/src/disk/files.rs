//! Segments as files of one directory.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, IoSliceMut},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use nigh_base::machine::DiskError;
use nigh_cache::disk::{Storage, file_name, number_of};
use parking_lot::Mutex;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// Files that are held open; the oldest are closed first, and opened again when they are read.
const OPEN_MAX: usize = 512;

/// The directory, and the files that are open. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    open: Mutex<BTreeMap<u32, Arc<File>>>,
}

impl Files {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Whether it can be read shows now.
        fs::read_dir(path)?;
        Ok(Self(Arc::new(Inner { path: path.to_owned(), open: Mutex::default() })))
    }

    /// The file of a segment; `make` one if there is none.
    pub(super) fn file(&self, segment: u32, make: bool) -> io::Result<Arc<File>> {
        let mut open = self.0.open.lock();
        if let Some(file) = open.get(&segment) {
            return Ok(Arc::clone(file));
        }
        let path = self.0.path.join(file_name(segment));
        let file =
            File::options().read(true).write(true).create(make).truncate(false).open(path)?;
        let file = Arc::new(file);
        if open.len() >= OPEN_MAX {
            open.pop_first();
        }
        open.insert(segment, Arc::clone(&file));
        Ok(file)
    }

    /// `length` bytes of a segment.
    pub(super) async fn read(
        &self,
        segment: u32,
        offset: u64,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let file = self.file(segment, false)?;
        let mut bytes = vec![0; length];
        if read_now(&file, &mut bytes, offset)? == length {
            return Ok(bytes);
        }
        let reading = tokio::task::spawn_blocking(move || {
            file.read_exact_at(&mut bytes, offset).map(|()| bytes)
        });
        reading.await.map_err(io::Error::other)?
    }
}

/// Reads what the kernel has in memory, and says how much of `bytes` that is: none, if the file system
/// cannot tell.
pub(super) fn read_now(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    match preadv2(file, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => Ok(read),
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
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
            let file = self.file(segment, false)?;
            let mut bytes = vec![0; length];
            let mut filled = 0;
            while filled < length {
                match file.read_at(&mut bytes[filled..], offset + filled as u64) {
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
        let write = || self.file(segment, true)?.write_all_at(bytes, offset);
        write().map_err(|error| known(&error))
    }

    fn sync(&mut self, segment: u32) -> Result<(), DiskError> {
        let sync = || self.file(segment, false)?.sync_data();
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
