//! One input in a recording, in bytes. Each has one form.

use bytes::Bytes;

use super::reading::End;
use crate::{
    Address, Time,
    machine::{DiskError, Input, Link, Slot},
    wire::{Reader, Wire, WireError},
};

/// One input, and what went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<M, C> {
    /// The fingerprint of all that had come out of the machine before.
    pub outputs: u32,
    /// The reading of the clock.
    pub now: Time,
    /// The input itself.
    pub input: Input<M, C>,
    /// The secrets that were drawn while it was handled, draw by draw.
    pub secrets: Vec<Bytes>,
}

/// The body of a record, read.
pub(super) enum Body<M, C> {
    /// An input whose secrets are still to come.
    Input(Entry<M, C>),
    /// They are read by [`secrets`].
    Secrets,
    End(End),
}

impl<M: Wire, C: Wire> Body<M, C> {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            INPUT => {
                let outputs = reader.u32()?;
                let now = Time::from_nanos(reader.u64()?);
                let input = read(&mut reader)?;
                Ok(Self::Input(Entry { outputs, now, input, secrets: Vec::new() }))
            }
            SECRETS if reader.rest() == 0 => Err(WireError::Short { at: 1, wanted: 1 }),
            SECRETS => Ok(Self::Secrets),
            END => {
                let end = End::read(&mut reader)?;
                reader.end()?;
                Ok(Self::End(end))
            }
            tag => Err(WireError::Unknown { what: "record", tag }),
        }
    }
}

/// Writes the beginning of an input's body; [`write()`] writes the rest.
pub(super) fn begin(outputs: u32, now: Time, out: &mut Vec<u8>) {
    out.push(INPUT);
    out.extend_from_slice(&outputs.to_be_bytes());
    out.extend_from_slice(&now.nanos().to_be_bytes());
}

pub(super) fn write_secrets(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(SECRETS);
    out.extend_from_slice(bytes);
}

/// The secrets in the body of a record, if it holds some.
pub(super) fn secrets(body: &[u8]) -> Option<Bytes> {
    match body {
        [SECRETS, bytes @ ..] if !bytes.is_empty() => Some(Bytes::copy_from_slice(bytes)),
        _ => None,
    }
}

pub(super) fn write<M: Wire, C: Wire>(input: &Input<M, C>, out: &mut Vec<u8>) {
    let mut number = |tag: u8, number: u64| {
        out.push(tag);
        out.extend_from_slice(&number.to_be_bytes());
    };
    match input {
        Input::Wake => out.push(WAKE),
        Input::Command(command) => {
            out.push(COMMAND);
            command.write(out);
        }
        Input::Message { from, message } => {
            out.push(MESSAGE);
            from.write(out);
            message.write(out);
        }
        Input::Opened { link, peer } => {
            number(OPENED, link.0);
            peer.write(out);
        }
        Input::Received { link, bytes } => {
            number(RECEIVED, link.0);
            out.extend_from_slice(bytes);
        }
        Input::Drained { link } => number(DRAINED, link.0),
        Input::Closed { link } => number(CLOSED, link.0),
        Input::Saved { slot } => number(SAVED, slot.0),
        Input::Loaded { slot, bytes: Some(bytes) } => {
            number(LOADED, slot.0);
            out.extend_from_slice(bytes);
        }
        Input::Loaded { slot, bytes: None } => number(LOADED_NOTHING, slot.0),
        Input::Failed { slot, cause } => {
            number(FAILED, slot.0);
            out.push(match cause {
                DiskError::Full => 0,
                DiskError::Failed => 1,
                DiskError::Damaged => 2,
                DiskError::Absent => 3,
                DiskError::Crashed => 4,
            });
        }
    }
}

fn read<M: Wire, C: Wire>(reader: &mut Reader<'_>) -> Result<Input<M, C>, WireError> {
    let input = match reader.u8()? {
        WAKE => Input::Wake,
        COMMAND => Input::Command(value("command", reader)?),
        MESSAGE => {
            Input::Message { from: Address::read(reader)?, message: value("message", reader)? }
        }
        OPENED => Input::Opened { link: Link(reader.u64()?), peer: Address::read(reader)? },
        RECEIVED => Input::Received { link: Link(reader.u64()?), bytes: rest(reader)? },
        DRAINED => Input::Drained { link: Link(reader.u64()?) },
        CLOSED => Input::Closed { link: Link(reader.u64()?) },
        SAVED => Input::Saved { slot: Slot(reader.u64()?) },
        LOADED => Input::Loaded { slot: Slot(reader.u64()?), bytes: Some(rest(reader)?) },
        LOADED_NOTHING => Input::Loaded { slot: Slot(reader.u64()?), bytes: None },
        FAILED => Input::Failed {
            slot: Slot(reader.u64()?),
            cause: match reader.u8()? {
                0 => DiskError::Full,
                1 => DiskError::Failed,
                2 => DiskError::Damaged,
                3 => DiskError::Absent,
                4 => DiskError::Crashed,
                tag => return Err(WireError::Unknown { what: "disk error", tag }),
            },
        },
        tag => return Err(WireError::Unknown { what: "input", tag }),
    };
    reader.end()?;
    Ok(input)
}

/// A value that takes all that is left, within its own limit.
fn value<T: Wire>(what: &'static str, reader: &mut Reader<'_>) -> Result<T, WireError> {
    let length = reader.rest();
    if length > T::MAX {
        return Err(WireError::TooLong { what, length, limit: T::MAX });
    }
    T::read(reader)
}

fn rest(reader: &mut Reader<'_>) -> Result<Bytes, WireError> {
    reader.take(reader.rest()).map(Bytes::copy_from_slice)
}

/// The records.
const INPUT: u8 = 1;
const SECRETS: u8 = 2;
pub(super) const END: u8 = 3;

/// The inputs.
const WAKE: u8 = 1;
const COMMAND: u8 = 2;
const MESSAGE: u8 = 3;
const OPENED: u8 = 4;
const RECEIVED: u8 = 5;
const DRAINED: u8 = 6;
const CLOSED: u8 = 7;
const SAVED: u8 = 8;
const LOADED: u8 = 9;
const LOADED_NOTHING: u8 = 10;
const FAILED: u8 = 11;
