//! The machine contract: a conversation with peers as a value that takes inputs and emits outputs.
//!
//! ```text
//! Input -> handle(input, context) -> outputs in the context's outbox
//!             ^                          |
//!             '---- a runner: sockets, or a virtual clock <---'
//! ```
//! A machine does no I/O, reads no clock and draws no entropy; it is given all three. So the same
//! code runs on sockets, on a virtual clock, and in a fuzzer. docs/machines.md says what machine
//! and runner promise each other.

use std::fmt;

use bytes::Bytes;

use crate::{
    Address, Digest, Rng, Time,
    wire::{Wire, WireError},
};

/// A protocol as a function of its inputs, the time and the seed.
pub trait Machine: Sized {
    /// What peers say to each other in datagrams.
    type Message: fmt::Debug;
    /// What the local caller may ask for.
    type Command: fmt::Debug;
    /// What the local caller is told.
    type Event: fmt::Debug;

    /// Takes one input and emits what follows. Never blocks; a stranger's input is never an error.
    fn handle(&mut self, input: Input<Self::Message, Self::Command>, cx: &mut Context<'_, Self>);

    /// When the next [`Input::Wake`] is wanted. An early, late or repeated one is harmless, and
    /// after one at `t` this is later than `t` or none.
    fn wake_at(&self) -> Option<Time>;

    /// Feeds the whole state to `digest`: two machines with one digest go on alike.
    fn digest(&self, digest: &mut Digest);

    /// Panics if an invariant of the state is broken. The simulator asks after every input,
    /// production never does.
    fn check(&self) {}
}

/// Everything that can happen to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<M, C> {
    /// The instant named by [`Machine::wake_at`] has come.
    Wake,
    /// From the local caller.
    Command(C),
    /// A datagram; `from` may be forged.
    Message {
        /// Who sent it, as the network says.
        from: Address,
        /// What it says.
        message: M,
    },
    /// A link stands: dialled (odd numbers) or accepted (even ones, given by the runner).
    Opened {
        /// Its number.
        link: Link,
        /// The other end.
        peer: Address,
    },
    /// The next bytes of a link, in order, cut anywhere.
    Received {
        /// Of which link.
        link: Link,
        /// What came.
        bytes: Bytes,
    },
    /// A link has room: after the machine has sent [`LINK_QUEUE_FULL`] bytes since it was opened or
    /// last drained, once fewer than that are unsent. So a machine that counts what it sends and
    /// stops there goes on when this comes.
    Drained {
        /// Of which link.
        link: Link,
    },
    /// A link is gone, or was never made: the other end closed it, or it broke. What came before has
    /// been received, and nothing more comes of it; there is no closing of one direction alone.
    Closed {
        /// Which.
        link: Link,
    },
    /// A write is durable.
    Saved {
        /// Where.
        slot: Slot,
    },
    /// What was asked for from the disk; none if nothing was ever saved there.
    Loaded {
        /// From where.
        slot: Slot,
        /// What lies there.
        bytes: Option<Bytes>,
    },
    /// A save or a load did not succeed; what the slot holds is unknown.
    Failed {
        /// Where.
        slot: Slot,
        /// Why.
        cause: DiskError,
    },
}

/// Everything that a machine can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<M, E> {
    /// To the local caller.
    Event(E),
    /// A datagram, which may be lost, late, doubled or overtaken.
    Message {
        /// To whom.
        to: Address,
        /// What to say.
        message: M,
    },
    /// Dial; [`Input::Opened`] or [`Input::Closed`] follows.
    Open {
        /// An odd number that the machine has not used before.
        link: Link,
        /// Whom.
        peer: Address,
    },
    /// More bytes behind those that were sent, on a link that was opened; on one that is gone they
    /// are nothing. A runner closes a link with more than [`LINK_QUEUE_MAX`] bytes unsent: a machine
    /// stops at [`LINK_QUEUE_FULL`] until [`Input::Drained`].
    Send {
        /// On which link.
        link: Link,
        /// What.
        bytes: Bytes,
    },
    /// Close when what was sent has left. [`Input::Closed`] does not follow.
    Close {
        /// Which link.
        link: Link,
    },
    /// Make `bytes` the content of `slot`, durably and as a whole; [`Input::Saved`] or
    /// [`Input::Failed`] follows. What depends on it is said only then.
    Save {
        /// Where.
        slot: Slot,
        /// What.
        bytes: Bytes,
    },
    /// Read `slot`; [`Input::Loaded`] or [`Input::Failed`] follows.
    Load {
        /// Where.
        slot: Slot,
    },
}

/// Bytes unsent on a link at which a machine stops sending.
pub const LINK_QUEUE_FULL: usize = 256 * 1024;
/// Bytes unsent on a link at which the runner closes it: the machine did not stop.
pub const LINK_QUEUE_MAX: usize = 4 * LINK_QUEUE_FULL;

/// A byte stream to a peer, by number: odd if this machine dialled, even if it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u64);

/// A named place on disk that holds one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

/// Why a disk did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DiskError {
    /// There is no room.
    #[error("the disk is full")]
    Full,
    /// The device failed (EIO).
    #[error("the disk failed")]
    Failed,
    /// What lies there is not what was written.
    #[error("the content is damaged")]
    Damaged,
    /// There is no such file.
    #[error("no such file")]
    Absent,
    /// The power is off: nothing happens until the restart. Only a simulated disk says so.
    #[error("the machine has crashed")]
    Crashed,
}

/// Randomness that no stranger can guess: tokens, keys, the numbers of requests.
pub trait Secrets {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);

    /// A secret number.
    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// For simulators and tests only: whoever has seen a few numbers can work out the rest.
impl Secrets for Rng {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    fn number(&mut self) -> u64 {
        self.next_u64()
    }
}

/// What a machine may use while it handles one input.
pub struct Context<'a, T: Machine> {
    /// One reading for the whole input, never before an earlier one.
    pub now: Time,
    /// This machine's own stream, forked from the runner's seed.
    pub rng: &'a mut Rng,
    /// What strangers must not guess.
    pub secrets: &'a mut dyn Secrets,
    outbox: &'a mut Outbox<T>,
}

/// What a machine emitted, in order.
pub type Outbox<T> = Vec<Output<<T as Machine>::Message, <T as Machine>::Event>>;

impl<'a, T: Machine> Context<'a, T> {
    /// A context for one input, whose outputs go to `outbox`.
    pub fn new(
        now: Time,
        rng: &'a mut Rng,
        secrets: &'a mut dyn Secrets,
        outbox: &'a mut Outbox<T>,
    ) -> Self {
        Self { now, rng, secrets, outbox }
    }

    /// The same for a part of this machine that is a machine itself; its outputs go to `outbox`,
    /// from which the whole takes them.
    pub fn part<'b, P: Machine>(&'b mut self, outbox: &'b mut Outbox<P>) -> Context<'b, P> {
        Context { now: self.now, rng: self.rng, secrets: self.secrets, outbox }
    }

    /// Asks for `output`.
    pub fn emit(&mut self, output: Output<T::Message, T::Event>) {
        self.outbox.push(output);
    }

    /// Sends a datagram.
    pub fn send(&mut self, to: Address, message: T::Message) {
        self.emit(Output::Message { to, message });
    }

    /// Tells the local caller.
    pub fn tell(&mut self, event: T::Event) {
        self.emit(Output::Event(event));
    }
}

impl<T: Machine> fmt::Debug for Context<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

/// A machine whose messages are bytes: the one place where they are coded and read.
///
/// Sockets run it; the simulator runs it or the bare machine, and both go the same way.
pub struct Coded<T: Machine> {
    machine: T,
    outbox: Outbox<T>,
    refused: u64,
    last_refusal: Option<(Address, WireError)>,
}

impl<T: Machine> Coded<T> {
    /// The machine behind bytes.
    pub const fn new(machine: T) -> Self {
        Self { machine, outbox: Vec::new(), refused: 0, last_refusal: None }
    }

    /// The machine itself.
    pub const fn machine(&self) -> &T {
        &self.machine
    }

    /// How many datagrams were no message.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Who sent the last of them, and what was wrong with it.
    pub const fn last_refusal(&self) -> Option<(Address, WireError)> {
        self.last_refusal
    }
}

impl<T: Machine + fmt::Debug> fmt::Debug for Coded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coded")
            .field("machine", &self.machine)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

impl<T> Machine for Coded<T>
where
    T: Machine,
    T::Message: Wire,
{
    type Message = Bytes;
    type Command = T::Command;
    type Event = T::Event;

    fn handle(&mut self, input: Input<Bytes, T::Command>, cx: &mut Context<'_, Self>) {
        let input = match input {
            Input::Message { from, message } => match T::Message::decode(&message) {
                Ok(message) => Input::Message { from, message },
                Err(error) => {
                    self.refused += 1;
                    self.last_refusal = Some((from, error));
                    return;
                }
            },
            Input::Wake => Input::Wake,
            Input::Command(command) => Input::Command(command),
            Input::Opened { link, peer } => Input::Opened { link, peer },
            Input::Received { link, bytes } => Input::Received { link, bytes },
            Input::Drained { link } => Input::Drained { link },
            Input::Closed { link } => Input::Closed { link },
            Input::Saved { slot } => Input::Saved { slot },
            Input::Loaded { slot, bytes } => Input::Loaded { slot, bytes },
            Input::Failed { slot, cause } => Input::Failed { slot, cause },
        };
        self.machine.handle(input, &mut cx.part(&mut self.outbox));
        for output in self.outbox.drain(..) {
            cx.emit(match output {
                Output::Message { to, message } => {
                    let bytes = message.encode();
                    assert!(
                        bytes.len() <= T::Message::MAX,
                        "a message of {} bytes exceeds its own limit",
                        bytes.len()
                    );
                    Output::Message { to, message: bytes.into() }
                }
                Output::Event(event) => Output::Event(event),
                Output::Open { link, peer } => Output::Open { link, peer },
                Output::Send { link, bytes } => Output::Send { link, bytes },
                Output::Close { link } => Output::Close { link },
                Output::Save { slot, bytes } => Output::Save { slot, bytes },
                Output::Load { slot } => Output::Load { slot },
            });
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.machine.wake_at()
    }

    fn digest(&self, digest: &mut Digest) {
        self.machine.digest(digest);
    }

    fn check(&self) {
        self.machine.check();
    }
}
