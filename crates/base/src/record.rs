//! Recordings: all that one machine was given, so that the same can be given to it again.
//!
//! A machine is a function of its inputs, the times, its seed and the secrets it drew. A
//! [`Recorder`] writes these down while a runner works; [`replay()`] gives them to a fresh machine
//! and says whether it came to the same state. So what went wrong on sockets can be watched under a
//! debugger, as often as one likes.
//!
//! ```text
//! recording = "nighrec" version(1) seed(8) start(8) check(4) record*
//! record    = length(4) check(4) body(length)
//! body      = 1 outputs(4) time(8) input      an input, and a fingerprint of what came out before
//!           | 2 bytes                         secrets drawn during the input before
//!           | 3 outputs(4) state(8) ending(1) the end: nothing follows
//! ```
//! Numbers are big-endian. A check covers everything from the first byte to the end of its body, so
//! a record that is damaged, missing or out of order is noticed where it stands. An input stands
//! in the recording before the machine is given it, and secrets as they are drawn: if the machine
//! panics, the input that did it is the last one.
//!
//! A recording holds the machine's secrets. Who has the file can speak in its name.

mod entry;
mod reading;
mod replay;
#[cfg(test)]
mod tests;

use std::{fmt, hash::Hasher};

pub use entry::Entry;
pub use reading::{End, RecordError, Recording};
pub use replay::{Replayed, replay, replay_with};

use crate::{
    ByteSize, Digest, Machine, Rng, Time,
    machine::{Context, Input, Outbox, Output, Secrets},
    wire::Wire,
};

/// Writes down what one machine is given. It does no I/O: the runner [takes](Recorder::take) the
/// bytes and keeps them.
pub struct Recorder<T: Machine> {
    tape: Tape,
    outputs: Digest,
    limit: u64,
    ending: Option<Ending>,
    forms: Forms<T>,
    scratch: Vec<u8>,
}

/// Why a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The machine was stopped.
    Stopped,
    /// The recording had reached its limit; the machine went on without it.
    Limit,
}

/// How a machine's values are written. As functions, so that only who begins a recording must show
/// that there is a way, and runners work for machines whose commands have no form.
struct Forms<T: Machine> {
    input: Form<Input<T::Message, T::Command>>,
    message: Form<T::Message>,
}

type Form<V> = fn(&V, &mut Vec<u8>);

impl<T: Machine> Recorder<T> {
    /// Begins a recording of `machine`, which is given `Rng::new(seed)` for its numbers and has
    /// handled nothing yet. It ends at `limit`, which only what is drawn during the last input may
    /// exceed.
    pub fn new(machine: &T, seed: u64, limit: ByteSize) -> Self
    where
        T::Message: Wire,
        T::Command: Wire,
    {
        Self {
            tape: Tape::new(seed, state_of(machine)),
            outputs: Digest::default(),
            limit: limit.bytes(),
            ending: None,
            forms: Forms { input: entry::write, message: T::Message::write },
            scratch: Vec::new(),
        }
    }

    /// Gives `input` to `machine`, as [`Machine::handle`] would, and writes it down.
    pub fn handle(
        &mut self,
        machine: &mut T,
        input: Input<T::Message, T::Command>,
        now: Time,
        rng: &mut Rng,
        secrets: &mut dyn Secrets,
        outbox: &mut Outbox<T>,
    ) {
        if self.ending.is_none() {
            self.scratch.clear();
            entry::begin(fingerprint(self.outputs), now, &mut self.scratch);
            (self.forms.input)(&input, &mut self.scratch);
            let size = self.tape.size + framed(self.scratch.len()) + framed(END_BYTES);
            if size > self.limit {
                self.end(machine, Ending::Limit);
            } else {
                self.tape.append(&self.scratch);
            }
        }
        if self.ending.is_some() {
            return machine.handle(input, &mut Context::new(now, rng, secrets, outbox));
        }
        let before = outbox.len();
        let mut witness = Witness { secrets, tape: &mut self.tape };
        machine.handle(input, &mut Context::new(now, rng, &mut witness, outbox));
        let outputs = &outbox[before..];
        fold(&mut self.outputs, outputs, self.forms.message, &mut self.scratch);
    }

    /// Ends the recording, if its limit has not, with the state that `machine` has come to.
    pub fn finish(&mut self, machine: &T) {
        if self.ending.is_none() {
            self.end(machine, Ending::Stopped);
        }
    }

    /// Whether it has ended, and why.
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Bytes that wait to be taken.
    pub const fn waiting_bytes(&self) -> usize {
        self.tape.waiting.len()
    }

    /// What was written since the last time; whole records.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tape.waiting)
    }

    fn end(&mut self, machine: &T, ending: Ending) {
        let mut body = Vec::with_capacity(END_BYTES);
        let end = End { outputs: fingerprint(self.outputs), state: state_of(machine), ending };
        end.write(&mut body);
        self.tape.append(&body);
        self.ending = Some(ending);
    }
}

impl<T: Machine> fmt::Debug for Recorder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("bytes", &self.tape.size)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

/// Passes secrets on and writes them down.
struct Witness<'a> {
    secrets: &'a mut dyn Secrets,
    tape: &'a mut Tape,
}

impl Secrets for Witness<'_> {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.secrets.fill(bytes);
        if !bytes.is_empty() {
            let mut body = Vec::with_capacity(1 + bytes.len());
            entry::write_secrets(bytes, &mut body);
            self.tape.append(&body);
        }
    }
}

/// Records, one behind the other.
struct Tape {
    /// What was not taken yet.
    waiting: Vec<u8>,
    size: u64,
    chain: Digest,
}

impl Tape {
    fn new(seed: u64, start: u64) -> Self {
        let mut waiting = Vec::from(MAGIC);
        waiting.push(VERSION);
        waiting.extend_from_slice(&seed.to_be_bytes());
        waiting.extend_from_slice(&start.to_be_bytes());
        let mut chain = Digest::default();
        chain.write(&waiting);
        waiting.extend_from_slice(&fingerprint(chain).to_be_bytes());
        Self { size: waiting.len() as u64, waiting, chain }
    }

    fn append(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len()).expect("an input is smaller than 4 GiB");
        self.chain.write(body);
        self.waiting.extend_from_slice(&length.to_be_bytes());
        self.waiting.extend_from_slice(&fingerprint(self.chain).to_be_bytes());
        self.waiting.extend_from_slice(body);
        self.size += framed(body.len());
    }
}

/// The bytes of a record whose body has `body` bytes.
const fn framed(body: usize) -> u64 {
    4 + 4 + body as u64
}

fn state_of<T: Machine>(machine: &T) -> u64 {
    let mut digest = Digest::default();
    machine.digest(&mut digest);
    digest.value()
}

/// Half of a digest. One in 2^32 changes goes unnoticed, which is enough against accidents.
fn fingerprint(digest: Digest) -> u32 {
    let [.., a, b, c, d] = digest.value().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Folds `outputs` in. Of events only the number: they need no form in bytes.
fn fold<M, E>(
    digest: &mut Digest,
    outputs: &[Output<M, E>],
    message_form: Form<M>,
    scratch: &mut Vec<u8>,
) {
    for output in outputs {
        scratch.clear();
        let (tag, number) = match output {
            Output::Event(_) => (0, 0),
            Output::Message { to, message } => {
                to.write(scratch);
                message_form(message, scratch);
                (1, 0)
            }
            Output::Open { link, peer } => {
                peer.write(scratch);
                (2, link.0)
            }
            Output::Send { link, bytes } => {
                scratch.extend_from_slice(bytes);
                (3, link.0)
            }
            Output::Close { link } => (4, link.0),
            Output::Save { slot, bytes } => {
                scratch.extend_from_slice(bytes);
                (5, slot.0)
            }
            Output::Load { slot } => (6, slot.0),
        };
        digest.write_u8(tag);
        digest.write_u64(number);
        digest.write_usize(scratch.len());
        digest.write(scratch);
    }
}

/// What a recording begins with.
const MAGIC: [u8; 7] = *b"nighrec";
/// The form described above. Another form gets another number.
const VERSION: u8 = 1;
/// The magic, the version, the seed, the digest at the start and their check.
const HEADER_BYTES: usize = 7 + 1 + 8 + 8 + 4;
/// The body of the last record.
const END_BYTES: usize = 1 + 4 + 8 + 1;
