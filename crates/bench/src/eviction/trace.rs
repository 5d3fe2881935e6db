//! Request traces: the three formats of published ones, told apart by their names.
//!
//! - `*.oracleGeneral.bin`: libCacheSim's records of 24 bytes, little-endian: u32 time, u64 key,
//!   u32 bytes, i64 next access.
//! - `*request.trace.xz`: lines of text, "time key bytes" (AdaptSize).
//! - other `*.trace.xz`: big-endian 32-bit keys without sizes (cache2k); each counts as one byte.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The longest trace that is read, unpacked: a guard against the wrong file.
const BYTES_MAX: u64 = 1 << 32;
const ORACLE_RECORD_BYTES: usize = 24;

/// A stream of requests.
pub(crate) struct Trace {
    /// The file's name up to the first dot.
    pub(crate) name: String,
    pub(crate) requests: Vec<Request>,
    /// How many objects there are.
    pub(crate) objects: usize,
}

/// One request.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Number of the object, from zero in order of appearance.
    pub(crate) object: usize,
    pub(crate) bytes: u32,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file or directory cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(PathBuf, #[source] io::Error),
    /// It ends in the middle of a record, or a line is not three numbers.
    #[error("{path} has a broken record, number {record}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Which record, from zero.
        record: usize,
    },
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
        let requests = if name.ends_with(".oracleGeneral.bin") {
            oracle(&path)?
        } else if name.ends_with("request.trace.xz") {
            lines(&path)?
        } else if name.ends_with(".trace.xz") {
            keys(&path)?
        } else {
            continue;
        };
        traces.push(number(name.split('.').next().unwrap_or_default(), &requests));
    }
    if traces.is_empty() {
        return Err(Error::None(directory.to_owned()));
    }
    Ok(traces)
}

/// Numbers the objects densely; a key with another size is another object.
fn number(name: &str, requests: &[(u64, u32)]) -> Trace {
    let mut numbers = HashMap::new();
    let requests = requests
        .iter()
        .map(|&(key, bytes)| {
            let next = numbers.len();
            Request { object: *numbers.entry((key, bytes)).or_insert(next), bytes }
        })
        .collect();
    Trace { name: name.to_owned(), requests, objects: numbers.len() }
}

fn oracle(path: &Path) -> Result<Vec<(u64, u32)>, Error> {
    let bytes = fs::read(path).map_err(|error| Error::Unreadable(path.to_owned(), error))?;
    let parse = |(record, bytes): (usize, &[u8])| {
        let key = bytes.get(4..12).and_then(|key| key.try_into().ok()).map(u64::from_le_bytes);
        let size = bytes.get(12..16).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
        let whole = bytes.len() == ORACLE_RECORD_BYTES;
        key.zip(size).filter(|_| whole).ok_or_else(|| broken(path, record))
    };
    bytes.chunks(ORACLE_RECORD_BYTES).enumerate().map(parse).collect()
}

fn lines(path: &Path) -> Result<Vec<(u64, u32)>, Error> {
    let text = String::from_utf8_lossy(&unpack(path)?).into_owned();
    let parse = |(record, line): (usize, &str)| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let key = words.next().and_then(|word| word.parse().ok());
        let size = words.next().and_then(|word| word.parse().ok());
        key.zip(size).ok_or_else(|| broken(path, record))
    };
    text.lines().enumerate().map(parse).collect()
}

fn keys(path: &Path) -> Result<Vec<(u64, u32)>, Error> {
    let bytes = unpack(path)?;
    let parse = |(record, bytes): (usize, &[u8])| {
        let key = bytes.try_into().map(u32::from_be_bytes);
        let key = key.map_err(|_| broken(path, record))?;
        Ok((u64::from(key), 1))
    };
    bytes.chunks(4).enumerate().map(parse).collect()
}

fn broken(path: &Path, record: usize) -> Error {
    Error::Broken { path: path.to_owned(), record }
}

fn unpack(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::Unreadable(path.to_owned(), error);
    let packed = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(io::BufReader::new(packed), true)
        .take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}
