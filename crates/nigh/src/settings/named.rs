//! What settings name: files, and secrets in files or variables, read whole and within limits.
//!
//! A regular file is read and nothing else: a pipe or a device could keep its reader waiting for ever,
//! and has no end. Even a regular file can keep its reader waiting (on a network's file system), so
//! that a running edge reads on a thread of its own: see `control`.

use std::{
    env, fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nigh_base::ByteSize;

/// Bytes of certificates or a private key, in PEM: several times all roots of a system.
pub(crate) const PEM_MAX: ByteSize = ByteSize::mib(4);

/// Bytes of any other secret.
pub(crate) const SECRET_MAX: ByteSize = ByteSize::kib(64);

/// Where a secret lies; it is never part of the settings themselves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Secret {
    File(PathBuf),
    /// The variable of this name holds it.
    Environment(String),
}

/// Why something that settings name cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The file is not there, or this process may not read it.
    #[error("cannot read {path}")]
    File { path: PathBuf, source: io::Error },
    /// It is a pipe, a device, a socket or a directory.
    #[error("cannot read {path}: it is no regular file")]
    Irregular { path: PathBuf },
    /// It is longer than what it is for can be.
    #[error("cannot read {path}: it has more than {max}")]
    TooLong { path: PathBuf, max: ByteSize },
    /// It is to be text.
    #[error("cannot read {path}: it is no text in UTF-8")]
    NoText { path: PathBuf },
    /// The variable is not set, or is no text.
    #[error("the variable {name} holds no key")]
    Variable { name: String },
}

/// What is in a regular file, which may have `max`. Waits for the file system.
///
/// # Errors
/// If it cannot be read, is no regular file or is longer.
pub(crate) fn read(path: &Path, max: ByteSize) -> Result<Vec<u8>, Unreadable> {
    let failed = |source| Unreadable::File { path: path.to_owned(), source };
    // To open a pipe would wait for its other end, and to open a terminal could make it this process'.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Unreadable::Irregular { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(max.bytes() + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max.bytes() {
        return Err(Unreadable::TooLong { path: path.to_owned(), max });
    }
    Ok(bytes)
}

/// The same for text.
///
/// # Errors
/// As [`read`], and if it is none.
pub(crate) fn read_text(path: &Path, max: ByteSize) -> Result<String, Unreadable> {
    String::from_utf8(read(path, max)?).map_err(|_| Unreadable::NoText { path: path.to_owned() })
}

impl Secret {
    /// The secret itself, which may have `max`, as [`read`] reads it.
    ///
    /// # Errors
    /// As [`read`], and if the variable is not set.
    pub(crate) fn read(&self, max: ByteSize) -> Result<Vec<u8>, Unreadable> {
        match self {
            Self::File(path) => read(path, max),
            Self::Environment(name) => env::var(name)
                .map(String::into_bytes)
                .map_err(|_| Unreadable::Variable { name: name.clone() }),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) => write!(f, "the variable {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use super::*;

    #[test]
    fn a_regular_file_is_read_up_to_its_limit_and_through_links() {
        let folder = env::temp_dir().join(format!("nigh-named-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "\u{e9}23").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link, ByteSize::new(4)).unwrap(), "\u{e9}23".as_bytes());
        let long = read(&file, ByteSize::new(3)).unwrap_err().to_string();
        assert!(long.ends_with("file: it has more than 3B"), "{long}");
        fs::write(&file, b"\xff").unwrap();
        assert!(matches!(read_text(&file, SECRET_MAX), Err(Unreadable::NoText { .. })));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn whatever_could_keep_its_reader_waiting_is_not_read() {
        let folder = env::temp_dir().join(format!("nigh-irregular-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (pipe, socket) = (folder.join("pipe"), folder.join("socket"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [&*pipe, &*folder, Path::new("/dev/zero")] {
            let refused = read(path, SECRET_MAX);
            assert!(matches!(refused, Err(Unreadable::Irregular { .. })), "{refused:?}");
        }
        assert!(matches!(read(&socket, SECRET_MAX), Err(Unreadable::File { .. })));
        fs::remove_dir_all(&folder).unwrap();
    }
}
