//! The request traces of a folder. What is in them, `nigh_lab` knows.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub(crate) use nigh_lab::{Request, Trace};

/// The longest trace that is read, unpacked: a guard against the wrong file.
const BYTES_MAX: u64 = 1 << 32;

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file or directory cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is not what its name says.
    #[error("{0} is no trace of requests")]
    Broken(PathBuf, #[source] nigh_lab::TraceError),
    /// The directory holds none.
    #[error("{0} holds no *.trace.xz and no *.oracleGeneral.bin")]
    None(PathBuf),
}

/// Every trace of a directory, by name.
pub(crate) fn load_all(directory: &Path) -> Result<Vec<Trace>, Error> {
    let unreadable = |error| Error::Unreadable(directory.to_owned(), error);
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    paths.sort();
    let mut traces = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let unpacked = name.strip_suffix(PACKED).unwrap_or(&name);
        if !Trace::is_named(unpacked) {
            continue;
        }
        let unreadable = |error| Error::Unreadable(path.clone(), error);
        let bytes = if unpacked == name { fs::read(&path) } else { unpack(&path) };
        let trace = Trace::parse(unpacked, &bytes.map_err(unreadable)?);
        traces.push(trace.map_err(|error| Error::Broken(path.clone(), error))?);
    }
    if traces.is_empty() {
        return Err(Error::None(directory.to_owned()));
    }
    Ok(traces)
}

/// The end of the names of files that xz has packed.
const PACKED: &str = ".xz";

fn unpack(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(io::BufReader::new(fs::File::open(path)?), true)
        .take(BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
