//! Reading a recording. Its bytes may be a stranger's, or half of what was written.
//!
//! Nothing is allocated that the bytes do not fill, and every error says where.

use std::hash::Hasher;

use super::{
    Ending, HEADER_BYTES, MAGIC, VERSION,
    entry::{self, Body, Entry},
    fingerprint,
};
use crate::{
    Digest, Time,
    wire::{Reader, Wire, WireError},
};

/// A recording, read from its front.
#[derive(Clone, Debug)]
pub struct Recording<'a> {
    bytes: &'a [u8],
    at: usize,
    chain: Digest,
    seed: u64,
    start: u64,
    last: Time,
    end: Option<End>,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The fingerprint of all that had come out of the machine.
    pub outputs: u32,
    /// The digest of the state that the machine had come to.
    pub state: u64,
    /// Why it ends.
    pub ending: Ending,
}

/// Why bytes are no recording, or none of this machine. Places are bytes from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// They begin otherwise.
    #[error("this is no recording")]
    NotARecording,
    /// They were written by another version.
    #[error("a recording of version {found}, {VERSION} is what can be read")]
    Version {
        /// Which.
        found: u8,
    },
    /// They end in the middle of the record at `at`. What is before it can be read.
    #[error("cut off in the record at byte {at}")]
    Cut {
        /// Where the record begins.
        at: usize,
    },
    /// The check of the record at `at` does not hold, for itself or for what is before it.
    #[error("damaged at byte {at} or missing something before it")]
    Damaged {
        /// Where the record begins.
        at: usize,
    },
    /// The record at `at` is none: its check holds, so it was written so.
    #[error("no record at byte {at}")]
    Malformed {
        /// Where the record begins.
        at: usize,
        /// What is wrong with it; places are bytes from the start of its body.
        source: WireError,
    },
    /// The record at `at` may not stand there: secrets without an input, an input before the time of
    /// the one before it, or anything behind the end.
    #[error("the record at byte {at} is out of place")]
    OutOfPlace {
        /// Where the record begins.
        at: usize,
    },
    /// The machine was in another state when its recording began: it is another one, or was set up
    /// in another way.
    #[error("recorded from a machine that began at {recorded:016x}, this one is at {given:016x}")]
    OtherMachine {
        /// The digest of the recorded machine before its first input.
        recorded: u64,
        /// That of the one which was given.
        given: u64,
    },
}

/// A record whose check holds.
struct Record<'a> {
    body: &'a [u8],
    next: usize,
    chain: Digest,
}

impl<'a> Recording<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// If there is none, or one of another version.
    pub fn open(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(RecordError::NotARecording);
        }
        let header = bytes.get(..HEADER_BYTES).ok_or(RecordError::Cut { at: 0 })?;
        let mut reader = Reader::new(&header[MAGIC.len()..]);
        let malformed = |source| RecordError::Malformed { at: 0, source };
        let version = reader.u8().map_err(malformed)?;
        if version != VERSION {
            return Err(RecordError::Version { found: version });
        }
        let seed = reader.u64().map_err(malformed)?;
        let start = reader.u64().map_err(malformed)?;
        let check = reader.u32().map_err(malformed)?;
        let mut chain = Digest::default();
        chain.write(&header[..HEADER_BYTES - size_of_val(&check)]);
        if fingerprint(chain) != check {
            return Err(RecordError::Damaged { at: 0 });
        }
        Ok(Self { bytes, at: HEADER_BYTES, chain, seed, start, last: Time::START, end: None })
    }

    /// The seed of the machine's numbers.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The digest of the machine before its first input.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The next input; none behind the last. After an error there is only that error.
    ///
    /// # Errors
    /// If the next records are none, or may not stand there.
    pub fn next_entry<M: Wire, C: Wire>(&mut self) -> Result<Option<Entry<M, C>>, RecordError> {
        let at = self.at;
        let Some(record) = self.record(at, self.chain)? else { return Ok(None) };
        if self.end.is_some() {
            return Err(RecordError::OutOfPlace { at });
        }
        let mut entry = match decode(at, record.body)? {
            Body::Input(entry) if entry.now >= self.last => entry,
            Body::Input(_) | Body::Secrets => return Err(RecordError::OutOfPlace { at }),
            Body::End(end) => {
                (self.at, self.chain, self.end) = (record.next, record.chain, Some(end));
                // Anything behind the end is an error already now.
                return self.next_entry();
            }
        };
        let (mut next, mut chain) = (record.next, record.chain);
        // What is wrong with the record behind them is that record's error, at the next call.
        while let Ok(Some(record)) = self.record(next, chain)
            && let Some(bytes) = entry::secrets(record.body)
        {
            entry.secrets.push(bytes);
            (next, chain) = (record.next, record.chain);
        }
        (self.at, self.chain, self.last) = (next, chain, entry.now);
        Ok(Some(entry))
    }

    /// How it ends, once the last input was read; none if the machine was not stopped in order.
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// The record at `at`, before which the chain is `chain`; none at the end of the bytes.
    fn record(&self, at: usize, mut chain: Digest) -> Result<Option<Record<'a>>, RecordError> {
        if at == self.bytes.len() {
            return Ok(None);
        }
        let mut reader = Reader::new(&self.bytes[at..]);
        let cut = |_| RecordError::Cut { at };
        let length = reader.u32().map_err(cut)?;
        let check = reader.u32().map_err(cut)?;
        // Where a usize is smaller than the length, the bytes cannot be there.
        let length = usize::try_from(length).map_err(|_| RecordError::Cut { at })?;
        let body = reader.take(length).map_err(cut)?;
        chain.write(body);
        if fingerprint(chain) != check {
            return Err(RecordError::Damaged { at });
        }
        Ok(Some(Record { body, next: self.bytes.len() - reader.rest(), chain }))
    }
}

fn decode<M: Wire, C: Wire>(at: usize, body: &[u8]) -> Result<Body<M, C>, RecordError> {
    Body::decode(body).map_err(|source| RecordError::Malformed { at, source })
}

impl End {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.push(entry::END);
        out.extend_from_slice(&self.outputs.to_be_bytes());
        out.extend_from_slice(&self.state.to_be_bytes());
        out.push(match self.ending {
            Ending::Stopped => 0,
            Ending::Limit => 1,
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            outputs: reader.u32()?,
            state: reader.u64()?,
            ending: match reader.u8()? {
                0 => Ending::Stopped,
                1 => Ending::Limit,
                tag => return Err(WireError::Unknown { what: "ending", tag }),
            },
        })
    }
}
