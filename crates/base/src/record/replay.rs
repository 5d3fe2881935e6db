//! Replay: a fresh machine is given a recording, and what comes of it is compared.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Entry, RecordError, Recording, fingerprint, fold, state_of};
use crate::{
    Digest, Machine, Rng,
    machine::{Context, Secrets},
    wire::Wire,
};

/// What came of a replay.
#[derive(Debug)]
pub struct Replayed<T> {
    /// The machine, behind the last input.
    pub machine: T,
    /// How many inputs it was given.
    pub inputs: u64,
    /// The digest of its state now.
    pub digest: u64,
    /// That of the recorded machine; none if the recording has no end.
    pub recorded_digest: Option<u64>,
    /// The first input, counted from zero, during which something else came out of it or it drew
    /// other secrets. What the last input of a recording without an end does is not known.
    pub departed: Option<u64>,
    /// Where the recording is cut off, if it is: a byte from its start. What was before was replayed.
    pub cut_at: Option<usize>,
}

impl<T> Replayed<T> {
    /// Whether it did all that the recorded machine did, and came to the same state.
    pub fn agrees(&self) -> bool {
        self.departed.is_none() && self.recorded_digest == Some(self.digest)
    }
}

/// Gives `recording` to `machine`, which must be as the recorded one was when it began.
///
/// # Errors
/// If the bytes are no recording, or not of this machine. That they end too early is none.
///
/// # Panics
/// If the machine does, or its [check](Machine::check), which is asked after every input.
pub fn replay<T>(recording: &[u8], machine: T) -> Result<Replayed<T>, RecordError>
where
    T: Machine,
    T::Message: Wire,
    T::Command: Wire,
{
    replay_with(recording, machine, |_, _| {})
}

/// The same with inputs that `alter` may change first, each with its number from zero: what would
/// have been?
///
/// # Errors
/// As [`replay()`].
///
/// # Panics
/// As [`replay()`].
pub fn replay_with<T>(
    recording: &[u8],
    mut machine: T,
    mut alter: impl FnMut(u64, &mut Entry<T::Message, T::Command>),
) -> Result<Replayed<T>, RecordError>
where
    T: Machine,
    T::Message: Wire,
    T::Command: Wire,
{
    let mut recording = Recording::open(recording)?;
    let (recorded, given) = (recording.start(), state_of(&machine));
    if recorded != given {
        return Err(RecordError::OtherMachine { recorded, given });
    }
    let mut rng = Rng::new(recording.seed());
    let (mut outbox, mut scratch) = (Vec::new(), Vec::new());
    let mut outputs = Digest::default();
    let mut inputs = 0;
    let mut departed = None;
    let mut cut_at = None;
    loop {
        let mut entry = match recording.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(RecordError::Cut { at }) => {
                cut_at = Some(at);
                break;
            }
            Err(error) => return Err(error),
        };
        if entry.outputs != fingerprint(outputs) {
            departed.get_or_insert_with(|| before(inputs));
        }
        alter(inputs, &mut entry);
        let mut secrets = Recorded { draws: entry.secrets.into(), differ: false };
        machine
            .handle(entry.input, &mut Context::new(entry.now, &mut rng, &mut secrets, &mut outbox));
        machine.check();
        if secrets.differ || !secrets.draws.is_empty() {
            departed.get_or_insert(inputs);
        }
        fold(&mut outputs, &outbox, T::Message::write, &mut scratch);
        outbox.clear();
        inputs += 1;
    }
    if recording.end().is_some_and(|end| end.outputs != fingerprint(outputs)) {
        departed.get_or_insert_with(|| before(inputs));
    }
    if recording.end().is_none() {
        // Its secrets may be missing.
        departed = departed.filter(|&input| input + 1 < inputs);
    }
    let digest = state_of(&machine);
    let recorded_digest = recording.end().map(|end| end.state);
    Ok(Replayed { machine, inputs, digest, recorded_digest, departed, cut_at })
}

/// The input before this one. Before the first, only a forged recording tells of outputs.
const fn before(input: u64) -> u64 {
    input.saturating_sub(1)
}

/// The secrets of one input. A machine that draws others gets zeros, and the replay says so.
struct Recorded {
    draws: VecDeque<Bytes>,
    differ: bool,
}

impl Secrets for Recorded {
    fn fill(&mut self, bytes: &mut [u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.draws.pop_front() {
            Some(draw) if draw.len() == bytes.len() => bytes.copy_from_slice(&draw),
            _ => {
                bytes.fill(0);
                self.differ = true;
            }
        }
    }
}
