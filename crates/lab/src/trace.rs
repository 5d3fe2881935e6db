//! Request traces: the three formats of published ones, told apart by the names of their files, and
//! one that is drawn.
//!
//! - `*.oracleGeneral.bin`: libCacheSim's records of 24 bytes, little-endian: u32 time, u64 key,
//!   u32 bytes, i64 next access.
//! - `*request.trace`: lines of text, "time key bytes" (AdaptSize).
//! - other `*.trace`: big-endian 32-bit keys without sizes (cache2k); each counts as one byte.

use std::collections::BTreeMap;

use nigh_base::Rng;

const ORACLE_RECORD_BYTES: usize = 24;

/// A stream of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The file's name, without its folder; empty if it was drawn.
    pub file: String,
    /// The file's name up to the first dot.
    pub name: String,
    /// What was asked for, in order.
    pub requests: Vec<Request>,
    /// How many objects there are.
    pub objects: usize,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number of the object, from zero in order of appearance.
    pub object: usize,
    /// Its size.
    pub bytes: u32,
}

/// Why a trace cannot be read. Somebody gave the wrong file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// Its name does not say what is in it.
    #[error("only *.oracleGeneral.bin and *.trace are known formats")]
    Unknown,
    /// It ends in the middle of a record, or a line is not three numbers.
    #[error("record {record} is broken")]
    Broken {
        /// Which one, from zero.
        record: usize,
    },
    /// There is nothing in it.
    #[error("there is no request in it")]
    Empty,
}

impl Trace {
    /// Whether a file of this name is a trace.
    pub fn is_named(file: &str) -> bool {
        format_of(file).is_some()
    }

    /// What is in a file of this name, unpacked. It takes some 100 bytes of memory a request.
    ///
    /// # Errors
    /// If the name or the contents are of no known format.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, TraceError> {
        let requests = format_of(file).ok_or(TraceError::Unknown)?(bytes)?;
        if requests.is_empty() {
            return Err(TraceError::Empty);
        }
        Ok(numbered(file, file.split('.').next().unwrap_or_default(), &requests))
    }

    /// Requests whose popularity falls as a power of the rank, as that of web pages does (Breslau,
    /// Cao, Fan, Phillips, Shenker, "Web Caching and Zipf-like Distributions", INFOCOM 1999).
    pub(crate) fn drawn(objects: u32, requests: usize, rng: &mut Rng) -> Self {
        let mut sum = 0.0;
        let upto: Vec<f64> = (1..=objects)
            .map(|rank| {
                sum += libm::pow(f64::from(rank), -POPULARITY);
                sum
            })
            .collect();
        let requests: Vec<(u64, u32)> = (0..requests)
            .map(|_| {
                let place = rng.unit() * sum;
                (upto.partition_point(|&upto| upto <= place) as u64, 1)
            })
            .collect();
        numbered("", "drawn", &requests)
    }
}

/// In the paper it is 0.64 to 0.83.
const POPULARITY: f64 = 0.8;

type Read = fn(&[u8]) -> Result<Vec<(u64, u32)>, TraceError>;

fn format_of(file: &str) -> Option<Read> {
    if file.ends_with(".oracleGeneral.bin") {
        Some(oracle)
    } else if file.ends_with("request.trace") {
        Some(lines)
    } else if file.ends_with(".trace") {
        Some(keys)
    } else {
        None
    }
}

/// Numbers the objects densely; a key with another size is another object.
fn numbered(file: &str, name: &str, requests: &[(u64, u32)]) -> Trace {
    let mut numbers = BTreeMap::new();
    let requests = requests
        .iter()
        .map(|&(key, bytes)| {
            let next = numbers.len();
            Request { object: *numbers.entry((key, bytes)).or_insert(next), bytes }
        })
        .collect();
    Trace { file: file.to_owned(), name: name.to_owned(), requests, objects: numbers.len() }
}

fn oracle(bytes: &[u8]) -> Result<Vec<(u64, u32)>, TraceError> {
    let parse = |(record, bytes): (usize, &[u8])| {
        let key = bytes.get(4..12).and_then(|key| key.try_into().ok()).map(u64::from_le_bytes);
        let size = bytes.get(12..16).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
        let whole = bytes.len() == ORACLE_RECORD_BYTES;
        key.zip(size).filter(|_| whole).ok_or(TraceError::Broken { record })
    };
    bytes.chunks(ORACLE_RECORD_BYTES).enumerate().map(parse).collect()
}

fn lines(bytes: &[u8]) -> Result<Vec<(u64, u32)>, TraceError> {
    let parse = |(record, line): (usize, &str)| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let key = words.next().and_then(|word| word.parse().ok());
        let size = words.next().and_then(|word| word.parse().ok());
        key.zip(size).ok_or(TraceError::Broken { record })
    };
    String::from_utf8_lossy(bytes).lines().enumerate().map(parse).collect()
}

fn keys(bytes: &[u8]) -> Result<Vec<(u64, u32)>, TraceError> {
    let parse = |(record, bytes): (usize, &[u8])| {
        let key = bytes.try_into().map(u32::from_be_bytes);
        let key = key.map_err(|_| TraceError::Broken { record })?;
        Ok((u64::from(key), 1))
    };
    bytes.chunks(4).enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(file: &str, bytes: &[u8]) -> Result<Vec<(usize, u32)>, TraceError> {
        let trace = Trace::parse(file, bytes)?;
        Ok(trace.requests.iter().map(|request| (request.object, request.bytes)).collect())
    }

    #[test]
    fn the_three_formats_are_told_apart_by_name() {
        let text = b"0 7 10\n1 8 20\n2 7 10\n3 7 11\n";
        assert_eq!(objects("a-request.trace", text).unwrap(), [(0, 10), (1, 20), (0, 10), (2, 11)]);
        let keys = [0, 0, 1, 0, 0, 0, 0, 9, 0, 0, 1, 0];
        assert_eq!(objects("web.trace", &keys).unwrap(), [(0, 1), (1, 1), (0, 1)]);
        let mut oracle = [0; 48];
        oracle[4] = 3;
        oracle[12] = 64;
        assert_eq!(objects("x.oracleGeneral.bin", &oracle).unwrap(), [(0, 64), (1, 0)]);
        assert_eq!(Trace::parse("x.oracleGeneral.bin", &oracle).unwrap().name, "x");
        assert_eq!(objects("web.csv", b"").unwrap_err(), TraceError::Unknown);
        assert!(Trace::is_named("web.trace") && !Trace::is_named("README.md"));
    }

    #[test]
    fn what_is_broken_is_named_and_what_is_empty_refused() {
        let broken = |record| Err(TraceError::Broken { record });
        assert_eq!(objects("a-request.trace", b"0 7 10\n1 8\n"), broken(1));
        assert_eq!(objects("web.trace", &[0, 0, 0, 1, 0]), broken(1));
        assert_eq!(objects("x.oracleGeneral.bin", &[0; 30]), broken(1));
        assert_eq!(objects("web.trace", b""), Err(TraceError::Empty));
    }

    #[test]
    fn drawn_requests_are_as_popular_as_their_ranks_say() {
        let trace = Trace::drawn(1000, 100_000, &mut Rng::new(1));
        let mut counts = vec![0u32; trace.objects];
        trace.requests.iter().for_each(|request| counts[request.object] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // The first is 16^0.8 = 9.2 times as popular as the sixteenth.
        let ratio = f64::from(counts[0]) / f64::from(counts[15]);
        assert!((ratio - 9.2).abs() < 0.8, "{ratio}");
    }
}
