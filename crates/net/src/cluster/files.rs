//! Files that only their owner may read, and that are there as a whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Bytes of the longest file that is read: several times a key with its certificates.
const FILE_MAX: u64 = 64 * 1024;

/// A directory that belongs to its owner alone (mode 0700), with files of mode 0600. Everything blocks.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).recursive(true).create(path)?;
        Ok(Self(path.to_owned()))
    }

    /// The directory at `path`, whether it is there or not.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the file `name` in it is.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Whether it holds `name`.
    pub fn holds(&self, name: &str) -> bool {
        self.path_of(name).exists()
    }

    /// Makes `text` the content of `name`, durably: whoever reads it, at whatever moment, finds the
    /// old one or the new.
    ///
    /// # Errors
    /// If it cannot be written; `name` is as it was then.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let beside = self.0.join(format!(".{name}.{}.new", std::process::id()));
        let put = || {
            // One that a crash has left behind is nobody's.
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut new = options.open(&beside)?;
            new.write_all(text.as_bytes())?;
            new.sync_all()?;
            fs::rename(&beside, self.path_of(name))
        };
        put().inspect_err(|_| drop(fs::remove_file(&beside)))?;
        self.sync()
    }

    /// What `name` holds; none if there is no such file.
    ///
    /// # Errors
    /// If it cannot be read, is no text, or is longer than any file of ours.
    pub fn read(&self, name: &str) -> io::Result<Option<String>> {
        let file = match File::open(self.path_of(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut text = String::new();
        file.take(FILE_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(Some(text))
    }

    /// Removes `name`, durably; says whether it was there.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        match fs::remove_file(self.path_of(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed?,
        }
        self.sync()?;
        Ok(true)
    }

    /// The names of all files in it, in no order; those that a write has not finished are none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| entry.map(|entry| entry.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        let names = names.into_iter().filter_map(|name| name.into_string().ok());
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cluster::testing::Folder;

    #[test]
    fn a_file_is_its_owners_alone_and_exchanged_as_a_whole() {
        let folder = Folder::new("files");
        let directory = Directory::make(&folder.path().join("a/b")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.path()), 0o700);
        assert_eq!(directory.read("x").unwrap(), None);
        directory.write("x", "old").unwrap();
        directory.write("x", "new").unwrap();
        assert_eq!(directory.read("x").unwrap().as_deref(), Some("new"));
        assert_eq!(mode(&directory.path_of("x")), 0o600);
        assert_eq!(directory.names().unwrap(), ["x"]);
        assert!(directory.remove("x").unwrap() && !directory.remove("x").unwrap());
        fs::write(directory.path_of("y"), vec![b'y'; 65_537]).unwrap();
        assert!(directory.read("y").is_err());
    }
}
