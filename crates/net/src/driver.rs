//! The driver: runs a machine on sockets, timers and a directory.
//!
//! ```text
//!  UDP socket --- datagrams ---.                 .--> datagrams, events
//!  TCP streams -- link events --+-> one input -> machine -> outbox, in order
//!  timer, commands, disk ------'                 '--> links, saves and loads
//! ```
//! One task has the machine: it picks an input, reads the clock once, lets the machine handle it and
//! carries out what came of it before it picks the next. Each link has a task of its own that moves
//! bytes, and the disk is worked on threads that may block. docs/machines.md says what a machine may
//! rely on.
//!
//! Fairness: which source is asked first is chosen at random each time, a flood of datagrams is
//! taken in batches, and a wake that is due comes between two batches. A machine that is wrong, and
//! always wants to be woken, gets no more than this share.
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use nigh_base::{Machine, machine::Coded, wire::Wire};
//! use nigh_net::{driver::{Driver, Settings}, entropy};
//!
//! async fn first_event<T>(machine: T, command: T::Command) -> Option<T::Event>
//! where
//!     T: Machine<Message: Wire>,
//! {
//!     let settings =
//!         Settings { listen: ([127, 0, 0, 1], 0).into(), slots: None, seed: entropy::seed() };
//!     let (driver, mut handle) = Driver::bind(Coded::new(machine), settings).ok()?;
//!     let asking = async move {
//!         handle.commands.send(command).await.ok()?;
//!         handle.events.recv().await
//!     };
//!     // The handle is gone when the event is there, and so the driver stops.
//!     let (_machine, event) = tokio::join!(driver.run(), asking);
//!     event
//! }
//! ```

mod counters;
mod disk;
mod handle;
mod link;
mod links;
mod queue;
mod recording;
mod slots;
mod sockets;
#[cfg(test)]
mod tests;
mod transport;
mod udp;

use std::{
    collections::VecDeque, fmt, future::pending, net::SocketAddr, path::Path, sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use nigh_base::{
    ByteSize, Machine, Rng,
    machine::{Context, Input, Outbox, Output, Slot},
    wire::Wire,
};
use tokio::{
    select,
    sync::mpsc::{self, error::TrySendError},
    task::coop,
    time::sleep_until,
};
use tracing::debug;

pub use counters::{Counters, Counts};
pub use handle::{BindError, COMMANDS, EVENTS, Handle, HandleOf, Settings};

use self::{
    counters::count,
    disk::{Disk, Done, Work},
    links::{LinkEvent, Links},
    recording::Recording,
    slots::Directory,
    transport::Transport,
    udp::Udp,
};
use crate::{clock::Monotonic, cluster::datagrams::Datagrams, entropy::OsSecrets};

/// A machine and all that it runs on.
pub struct Driver<T: Machine<Message = Bytes>> {
    machine: T,
    clock: Monotonic,
    seed: u64,
    rng: Rng,
    secrets: OsSecrets,
    outbox: Outbox<T>,
    transport: Transport,
    links: Links,
    disk: Disk,
    /// What the driver itself has to say: links and saves that it refused at once.
    refusals: VecDeque<Input<Bytes, T::Command>>,
    commands: mpsc::Receiver<T::Command>,
    events: mpsc::Sender<T::Event>,
    counters: Arc<Counters>,
    recording: Option<Recording<T>>,
}

/// What comes next.
enum Next<C> {
    Wake,
    Datagrams,
    Command(C),
    Link(LinkEvent),
    Disk(Done),
    Refusals,
}

impl<T: Machine<Message = Bytes>> Driver<T> {
    /// Opens the sockets and the directory for `machine`, which [`Driver::run`] then runs.
    ///
    /// # Errors
    /// If the address or the directory cannot be had.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub fn bind(machine: T, settings: Settings) -> Result<(Self, HandleOf<T>), BindError> {
        Self::bind_with(settings, |_| machine)
    }

    /// The same for a machine that is made from the address: the system may have chosen its port.
    ///
    /// # Errors
    /// As [`Driver::bind`].
    ///
    /// # Panics
    /// As [`Driver::bind`], and if `machine` does.
    pub fn bind_with(
        settings: Settings,
        machine: impl FnOnce(SocketAddr) -> T,
    ) -> Result<(Self, HandleOf<T>), BindError> {
        let Settings { listen, slots, seed } = settings;
        let cannot_listen = |source| BindError::Listen { address: listen, source };
        let (socket, listener, address) = sockets::bind(listen).map_err(cannot_listen)?;
        let directory = slots.as_deref().map(Directory::open).transpose()?;
        let transport = Transport::Udp(Udp::new(socket, address.is_ipv6(), DATAGRAM_BYTES));
        let links = |counters| Links::new(listener, address, counters);
        Ok(Self::assemble(machine(address), transport, address, links, directory, seed))
    }

    /// The same on the datagrams of a cluster: who a message is from is known by certificate. There
    /// are no links, which strangers could open: those that the machine asks for are refused. `slots`
    /// and `seed` are as in [`Settings`].
    ///
    /// # Errors
    /// If the directory cannot be had.
    ///
    /// # Panics
    /// As [`Driver::bind`].
    pub fn over(
        datagrams: Datagrams,
        machine: T,
        slots: Option<&Path>,
        seed: u64,
    ) -> Result<(Self, HandleOf<T>), BindError> {
        let address = datagrams.address();
        let directory = slots.map(Directory::open).transpose()?;
        let transport = Transport::Cluster(datagrams);
        Ok(Self::assemble(machine, transport, address, Links::none, directory, seed))
    }

    fn assemble(
        machine: T,
        transport: Transport,
        address: SocketAddr,
        links: impl FnOnce(Arc<Counters>) -> Links,
        directory: Option<Directory>,
        seed: u64,
    ) -> (Self, HandleOf<T>) {
        let counters = Arc::new(Counters::default());
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (events, event_receiver) = mpsc::channel(EVENTS);
        let driver = Self {
            machine,
            clock: Monotonic::start(),
            seed,
            rng: Rng::new(seed),
            secrets: OsSecrets::new(),
            outbox: Vec::new(),
            transport,
            links: links(Arc::clone(&counters)),
            disk: Disk::new(directory),
            refusals: VecDeque::new(),
            commands,
            events,
            counters: Arc::clone(&counters),
            recording: None,
        };
        let handle = Handle { commands: command_sender, events: event_receiver, address, counters };
        (driver, handle)
    }

    /// The machine, which has handled nothing yet.
    pub const fn machine(&self) -> &T {
        &self.machine
    }

    /// Records the run into a new file at `path`, for [`nigh_base::record::replay()`], up to
    /// [`RECORDING`]. The file holds the machine's secrets. Writing it holds the machine up where
    /// the disk is slow: this is for looking into what went wrong.
    ///
    /// # Errors
    /// If the file is there already or cannot be made.
    pub fn record(&mut self, path: &Path) -> Result<(), BindError>
    where
        T::Command: Wire,
    {
        let recording = Recording::begin(path, &self.machine, self.seed)
            .map_err(|source| BindError::Record { path: path.to_owned(), source })?;
        self.recording = Some(recording);
        Ok(())
    }

    /// Runs the machine until the last sender of commands is dropped, and returns it.
    ///
    /// What it had asked for by then is finished, within bounds of time: what was sent on links
    /// leaves, and saves reach the disk. It is told of neither.
    ///
    /// Dropping the future stops at once; a save that has begun still happens as a whole.
    pub async fn run(mut self) -> T {
        self.transport.ready().await;
        while let Some(next) = self.next().await {
            let was_wake = matches!(next, Next::Wake);
            self.turn(next).await;
            // The timer may be a turn of the runtime late; a flood must not make it later.
            if !was_wake && self.due().is_some_and(|due| due <= Instant::now()) {
                self.turn(Next::Wake).await;
            }
            self.transport.flush(&self.counters);
            // Nothing above has to wait when much is ready: links' tasks and the poll for new
            // datagrams get their turn here.
            coop::consume_budget().await;
        }
        self.links.stop().await;
        self.transport.close().await;
        self.disk.finish().await;
        if let Some(recording) = &mut self.recording {
            recording.finish(&self.machine);
        }
        self.machine
    }

    /// What comes next; none when the caller has no more commands. Nothing is lost if this is
    /// dropped.
    async fn next(&mut self) -> Option<Next<T::Command>> {
        let due = self.due();
        // `select!` begins at a random branch: a source that is always ready keeps nobody out.
        select! {
            () = until(due) => Some(Next::Wake),
            () = self.transport.readable() => Some(Next::Datagrams),
            command = self.commands.recv() => command.map(Next::Command),
            event = self.links.next() => Some(Next::Link(event)),
            done = self.disk.next() => Some(Next::Disk(done)),
            () = coop::consume_budget(), if !self.refusals.is_empty() => Some(Next::Refusals),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.machine.wake_at().and_then(|time| self.clock.instant(time))
    }

    async fn turn(&mut self, next: Next<T::Command>) {
        match next {
            Next::Wake => {
                count(&self.counters.wakes);
                self.take(Input::Wake).await;
            }
            Next::Datagrams => self.take_datagrams().await,
            Next::Command(command) => {
                count(&self.counters.commands);
                self.take(Input::Command(command)).await;
            }
            Next::Link(event) => {
                if let Some(input) = self.links.input(event) {
                    self.take(input).await;
                }
            }
            Next::Disk(done) => {
                if done.has_failed() {
                    count(&self.counters.disk_failures);
                }
                self.take(done.input()).await;
            }
            Next::Refusals => {
                // Only those that are there: what the machine answers to them may be refused too.
                for _ in 0..self.refusals.len() {
                    let refusal = self.refusals.pop_front().expect("as many as were counted");
                    self.take(refusal).await;
                }
            }
        }
    }

    async fn take_datagrams(&mut self) {
        for _ in 0..DATAGRAM_BATCH {
            match self.transport.try_receive() {
                Ok(Some((from, message))) => {
                    count(&self.counters.datagrams_in);
                    self.take(Input::Message { from, message }).await;
                }
                Ok(None) => return,
                // An earlier datagram came back as unreachable, or the kernel has no memory: both
                // pass, and the next one may be whole.
                Err(error) => {
                    count(&self.counters.receive_errors);
                    debug!(%error, "a datagram was not received");
                    return;
                }
            }
        }
    }

    /// Lets the machine handle one input, and carries out what comes of it.
    async fn take(&mut self, input: Input<Bytes, T::Command>) {
        let now = self.clock.now();
        let mut outbox = std::mem::take(&mut self.outbox);
        let Self { machine, rng, secrets, .. } = self;
        match &mut self.recording {
            Some(recording) => recording.handle(machine, input, now, rng, secrets, &mut outbox),
            None => machine.handle(input, &mut Context::new(now, rng, secrets, &mut outbox)),
        }
        for output in outbox.drain(..) {
            self.carry_out(output).await;
        }
        self.outbox = outbox;
    }

    async fn carry_out(&mut self, output: Output<Bytes, T::Event>) {
        match output {
            Output::Event(event) => self.tell(event).await,
            Output::Message { to, message } => self.transport.send(to, message, &self.counters),
            Output::Open { link, peer } => {
                if !self.links.open(link, peer) {
                    self.refuse(Input::Closed { link });
                }
            }
            Output::Send { link, bytes } => self.links.send(link, bytes),
            Output::Close { link } => self.links.close(link),
            Output::Save { slot, bytes } => {
                count(&self.counters.saves);
                self.work(slot, Work::Save(bytes));
            }
            Output::Load { slot } => {
                count(&self.counters.loads);
                self.work(slot, Work::Load);
            }
        }
    }

    async fn tell(&mut self, event: T::Event) {
        count(&self.counters.events);
        let unread = match self.events.try_send(event) {
            Ok(()) => false,
            Err(TrySendError::Closed(_)) => true,
            Err(TrySendError::Full(event)) => {
                // Peers do not wait for a caller that does not read.
                self.transport.flush(&self.counters);
                self.events.send(event).await.is_err()
            }
        };
        if unread {
            count(&self.counters.events_unread);
        }
    }

    fn work(&mut self, slot: Slot, work: Work) {
        if let Err(cause) = self.disk.ask(slot, work) {
            count(&self.counters.disk_failures);
            self.refuse(Input::Failed { slot, cause });
        }
    }

    fn refuse(&mut self, refusal: Input<Bytes, T::Command>) {
        self.refusals.push_back(refusal);
        let count = self.refusals.len();
        assert!(
            count <= REFUSALS,
            "the machine goes on asking for what it was refused {count} times"
        );
    }
}

impl<T: Machine<Message = Bytes>> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("transport", &self.transport).finish_non_exhaustive()
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

/// The longest datagram in bytes, which is what UDP carries: machines have narrower limits of their
/// own, and longer ones must come in whole to be seen as too long.
pub const DATAGRAM_BYTES: usize = <Bytes as Wire>::MAX;
/// Datagrams that are taken before the timer and the other sources are asked again. At some
/// microseconds for each, a wake is late by less than the millisecond that timers are exact to.
pub const DATAGRAM_BATCH: usize = 64;
/// What was refused and not yet said. It grows only if the machine answers each refusal by asking
/// for more than one thing, which no limit of time would end.
const REFUSALS: usize = 65_536;
/// The size at which a recording ends: hours of a node that talks, and a file that still fits into
/// memory for its replay.
pub const RECORDING: ByteSize = ByteSize::mib(256);
