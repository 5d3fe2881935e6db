//! A directory that is there for as long as its test runs.

use std::{fs, path::PathBuf};

/// A directory of this name, which no other test has; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    /// A name for a directory; whoever wants it there makes it.
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nigh-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        Self(path)
    }

    /// Its path, as an argument.
    pub(crate) fn argument(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
