//! The hosts of one thread: takes what is due, calls the machine, carries out what it asks for.

use std::hash::Hasher;

use nigh_base::{
    Digest, Machine, Time,
    machine::{Context, DiskError, Input, Link, Outbox, Output, Slot},
    wire::Wire,
};

use crate::{
    HostId, Network,
    host::{Host, More, NEVER},
    queue::{Alarm, Entry, Place, Queue, Reversed},
    stream::{BROKEN_AFTER, DIAL_LIMIT, Room, Signal},
};

mod slots;
mod window;

use window::Window;

/// What is due at a host.
#[derive(Debug)]
pub(crate) enum What<T: Machine> {
    Command(T::Command),
    Message(T::Message),
    /// A message that has passed the host's own line.
    Through(T::Message),
    Signal(Box<Signal>),
    /// A disk operation of that life is over.
    Disk(Box<slots::Done>),
}

/// An event of a machine, and where and when it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<E> {
    /// When.
    pub at: Time,
    /// By whose machine.
    pub host: HostId,
    /// What.
    pub event: E,
}

/// What has happened in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inputs that machines have handled.
    pub inputs: u64,
    /// Datagrams that machines have sent.
    pub sent: u64,
    /// Datagrams that never arrived, whatever the reason.
    pub lost: u64,
}

/// Bytes that a datagram has besides its message: IPv4 and UDP.
const HEADERS: usize = 28;
/// Datagrams that wait for a paused host, as in a socket's buffer; later ones are lost.
const PAUSED_MAX: usize = 1000;
/// Who has caused what comes from outside the world.
pub(crate) const OUTSIDE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Shard<T: Machine> {
    seed: u64,
    number: u32,
    of: u32,
    pub(crate) hosts: Vec<Host<T>>,
    queue: Queue<Entry<What<T>>>,
    alarms: Queue<Alarm>,
    pub(crate) told: Vec<Told<T::Event>>,
    pub(crate) counts: Counts,
    /// What goes to the hosts of other shards, by shard.
    pub(crate) outgoing: Vec<Vec<Entry<What<T>>>>,
    outbox: Outbox<T>,
    /// What is due in the window that is running, by ranges of hosts.
    window: Window<T>,
    /// Whether invariants are checked after every input.
    pub(crate) checked: bool,
}

impl<T> Shard<T>
where
    T: Machine,
    T::Message: Wire + Clone,
{
    pub(crate) fn new(seed: u64, number: u32, of: u32) -> Self {
        Self {
            seed,
            number,
            of,
            hosts: Vec::new(),
            queue: Queue::new(),
            alarms: Queue::new(),
            told: Vec::new(),
            counts: Counts::default(),
            outgoing: (0..of).map(|_| Vec::new()).collect(),
            outbox: Vec::new(),
            window: Window::default(),
            checked: false,
        }
    }

    pub(crate) fn host(&mut self, id: HostId) -> &mut Host<T> {
        &mut self.hosts[(id.0 / self.of) as usize]
    }

    /// Takes what another shard has sent.
    pub(crate) fn take(&mut self, entry: Entry<What<T>>) {
        self.queue.push(entry);
    }

    /// Puts `entry` where its host is.
    pub(crate) fn push(&mut self, entry: Entry<What<T>>) {
        let shard = entry.place.to % self.of;
        if entry.place.at < self.window.end {
            assert_eq!(entry.place.to, self.window.host, "felt by another host too soon");
            self.window.soon.push(Reversed(entry));
        } else if shard == self.number {
            self.queue.push(entry);
        } else {
            self.outgoing[shard as usize].push(entry);
        }
    }

    /// When the first thing is due.
    pub(crate) fn next_at(&mut self) -> Option<Time> {
        let (entry, alarm) = (self.queue.first(), self.alarms.first());
        entry.map(|place| place.at).into_iter().chain(alarm.map(|alarm| alarm.at)).min()
    }

    /// How much is to happen yet.
    pub(crate) fn pending(&self) -> usize {
        self.queue.len() + self.alarms.len()
    }

    /// Lets happen what is due before `end`, in windows in which hosts cannot feel each other.
    pub(crate) fn run_before(&mut self, end: Time, network: &Network) {
        while let Some(first) = self.next_at().filter(|&at| at < end) {
            self.run_window(first.after(network.lookahead()).min(end), network);
        }
    }

    /// Lets the first thing happen; a wake comes before what else comes to a host at that time.
    pub(crate) fn step(&mut self, network: &Network) {
        let entry = self.queue.first().map(|place| (place.at, place.to));
        let alarm = self.alarms.first().map(|alarm| (alarm.at, alarm.to));
        if alarm.is_some_and(|alarm| entry.is_none_or(|entry| alarm <= entry)) {
            if let Some(alarm) = self.alarms.pop() {
                self.ring(alarm, network);
            }
        } else if let Some(entry) = self.queue.pop() {
            self.happen(entry, network);
        }
    }

    /// A host wanted to be woken now.
    fn ring(&mut self, alarm: Alarm, network: &Network) {
        let Alarm { at, to } = alarm;
        let id = HostId(to);
        let host = self.host(id);
        // Only the wake that was set last counts, and a paused host sleeps on.
        if host.wake != at || host.more.as_ref().is_some_and(|more| more.paused.is_some()) {
            return;
        }
        host.wake = NEVER;
        let Some(machine) = &host.machine else { return };
        match machine.wake_at() {
            Some(wanted) if wanted <= at => self.handle(id, to, Input::Wake, at, network),
            // What it was set for has been cleared meanwhile.
            wanted => self.set_wake(id, wanted, at),
        }
    }

    fn happen(&mut self, entry: Entry<What<T>>, network: &Network) {
        let Place { at, to, from, number } = entry.place;
        let id = HostId(to);
        let Some(host) = self.hosts.get_mut((to / self.of) as usize) else {
            // Nobody has that address.
            return self.nobody(entry, network);
        };
        if let Some(paused) = host.more.as_mut().and_then(|more| more.paused.as_mut()) {
            if paused.len() < PAUSED_MAX || !matches!(entry.what, What::Message(_)) {
                paused.push(entry);
            } else {
                self.counts.lost += 1;
            }
            return;
        }
        let input = match entry.what {
            What::Message(message) => {
                if let Some(bandwidth) = network.bandwidth {
                    let size = message.encode().len() + HEADERS;
                    let free = &mut host.more().down_free;
                    let Some(at) = pass(free, at, size, bandwidth.down, bandwidth.queue) else {
                        self.counts.lost += 1;
                        return;
                    };
                    let place = Place { at, to, from, number };
                    return self.push(Entry { place, what: What::Through(message) });
                }
                self.heard(from, message)
            }
            What::Through(message) => self.heard(from, message),
            What::Command(command) => Some(Input::Command(command)),
            What::Signal(signal) => self.signal(id, HostId(from), *signal, at, network),
            What::Disk(done) => self.disk_done(id, *done),
        };
        match input {
            Some(input) if self.host(id).machine.is_some() => {
                self.handle(id, from, input, at, network);
            }
            Some(Input::Message { .. }) => self.counts.lost += 1,
            _ => {}
        }
    }

    /// Something comes to an address that no host has.
    fn nobody(&mut self, entry: Entry<What<T>>, network: &Network) {
        match entry.what {
            What::Message(_) => self.counts.lost += 1,
            What::Signal(signal) => {
                // Nothing is behind the address that could refuse: who dials it gives up.
                if let Signal::Dial { theirs } = *signal {
                    let Place { at, to, from, number } = entry.place;
                    let after = DIAL_LIMIT
                        .saturating_sub(network.latency.between(HostId(from), HostId(to)));
                    let place = Place { at: at.after(after), to: from, from: to, number };
                    let end = Box::new(Signal::End { mine: theirs });
                    self.push(Entry { place, what: What::Signal(end) });
                }
            }
            _ => unreachable!("only hosts wait for anything"),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of several sources of an input")]
    fn heard(&self, from: u32, message: T::Message) -> Option<Input<T::Message, T::Command>> {
        Some(Input::Message { from: HostId(from).address(), message })
    }

    fn handle(
        &mut self,
        id: HostId,
        from: u32,
        input: Input<T::Message, T::Command>,
        now: Time,
        network: &Network,
    ) {
        let woken = matches!(input, Input::Wake);
        let mut outbox = std::mem::take(&mut self.outbox);
        let checked = self.checked;
        let host = self.host(id);
        let kind = kind(&input);
        host.trace.write_u64(now.nanos());
        host.trace.write_u64(u64::from(from) << 8 | kind);
        let machine = host.machine.as_mut().expect("the caller has looked");
        let mut cx = Context::new(now, &mut host.rng, &mut host.secrets, &mut outbox);
        machine.handle(input, &mut cx);
        if checked {
            machine.check();
        }
        let wanted = machine.wake_at();
        assert!(
            !woken || wanted.is_none_or(|wanted| wanted > now),
            "after a wake at {now:?} the next is wanted at {wanted:?}: the machine would spin"
        );
        self.set_wake(id, wanted, now);
        self.counts.inputs += 1;
        for output in outbox.drain(..) {
            self.carry_out(id, output, now, network);
        }
        self.outbox = outbox;
    }

    /// Sees to it that a wake stands in the queue no later than `wanted`.
    pub(crate) fn set_wake(&mut self, id: HostId, wanted: Option<Time>, now: Time) {
        let Some(wanted) = wanted else { return };
        let host = self.host(id);
        let at = wanted.max(now);
        if at >= host.wake {
            return;
        }
        host.wake = at;
        // Within a window the host itself is looked at.
        if at >= self.window.end {
            self.alarms.push(Alarm { at, to: id.0 });
        }
    }

    fn carry_out(
        &mut self,
        id: HostId,
        output: Output<T::Message, T::Event>,
        now: Time,
        network: &Network,
    ) {
        match output {
            Output::Event(event) => self.told.push(Told { at: now, host: id, event }),
            Output::Message { to, message } => {
                self.counts.sent += 1;
                match HostId::at(to) {
                    Some(to) => self.datagram(id, to, message, now, network),
                    None => self.counts.lost += 1,
                }
            }
            Output::Open { link, peer } => {
                let peer = HostId::at(peer).unwrap_or(HostId(OUTSIDE));
                self.host(id).more().streams.dialled(link, peer);
                self.tell_end(id, link, Signal::Dial { theirs: link }, 0, now, network);
            }
            Output::Send { link, bytes } => self.send(id, link, bytes, now, network),
            Output::Close { link } => self.close(id, link, now, network),
            Output::Save { slot, bytes } => self.save(id, slot, &bytes, now),
            Output::Load { slot } => self.load(id, slot, now),
        }
    }

    fn datagram(
        &mut self,
        id: HostId,
        to: HostId,
        message: T::Message,
        now: Time,
        network: &Network,
    ) {
        let seed = self.seed;
        let host = self.host(id);
        let number = host.next_number();
        let mut leaves = now;
        if let Some(bandwidth) = network.bandwidth {
            let size = message.encode().len() + HEADERS;
            let free = &mut host.more().up_free;
            match pass(free, now, size, bandwidth.up, bandwidth.queue) {
                Some(at) => leaves = at,
                None => {
                    self.counts.lost += 1;
                    return;
                }
            }
        }
        match network.arrivals(seed, id, to, number, leaves).0 {
            [None, _] => self.counts.lost += 1,
            [Some(at), None] => {
                let place = Place { at, to: to.0, from: id.0, number };
                self.push(Entry { place, what: What::Message(message) });
            }
            [Some(at), Some(again)] => {
                let second = self.host(id).next_number();
                for (at, number) in [(at, number), (again, second)] {
                    let place = Place { at, to: to.0, from: id.0, number };
                    self.push(Entry { place, what: What::Message(message.clone()) });
                }
            }
        }
    }

    /// Sends `signal` along a link, behind all that was sent before; breaks the link if the other
    /// end cannot be reached.
    fn tell_end(
        &mut self,
        id: HostId,
        link: Link,
        signal: Signal,
        size: usize,
        now: Time,
        network: &Network,
    ) {
        let host = self.host(id);
        let number = host.next_number();
        let More { streams, up_free, .. } = host.more();
        let Some(stream) = streams.open.get_mut(&link) else { return };
        if stream.broken {
            return;
        }
        let mut leaves = now;
        if let (Some(bandwidth), true) = (network.bandwidth, size > 0) {
            // A stream waits for its line as long as it takes.
            leaves = pass(up_free, now, size, bandwidth.up, BROKEN_AFTER * 1000).unwrap_or(now);
        }
        let peer = stream.peer;
        if peer.0 == OUTSIDE || !network.reaches(id, peer) {
            stream.broken = true;
            let after = if stream.theirs.is_none() { DIAL_LIMIT } else { BROKEN_AFTER };
            let place = Place { at: now.after(after), to: id.0, from: id.0, number };
            let end = Box::new(Signal::End { mine: link });
            return self.push(Entry { place, what: What::Signal(end) });
        }
        let at = stream.in_order(leaves.after(network.latency.between(id, peer)));
        let place = Place { at, to: peer.0, from: id.0, number };
        self.push(Entry { place, what: What::Signal(Box::new(signal)) });
    }

    fn send(&mut self, id: HostId, link: Link, bytes: bytes::Bytes, now: Time, network: &Network) {
        let Some(stream) = self.host(id).more().streams.open.get_mut(&link) else { return };
        let theirs = stream.theirs.expect("a machine sends when the link is open, not before");
        let count = bytes.len();
        if stream.sent(count) == Room::Exceeded {
            // The machine did not stop where it should have: both ends learn that the link is gone.
            self.tell_end(id, link, Signal::End { mine: theirs }, 0, now, network);
            if let Some(stream) = self.host(id).more().streams.open.get_mut(&link) {
                stream.broken = true;
            }
            let number = self.host(id).next_number();
            let place = Place { at: now, to: id.0, from: id.0, number };
            let end = Box::new(Signal::End { mine: link });
            return self.push(Entry { place, what: What::Signal(end) });
        }
        self.tell_end(id, link, Signal::Data { mine: theirs, bytes }, count, now, network);
    }

    fn close(&mut self, id: HostId, link: Link, now: Time, network: &Network) {
        if let Some(stream) = self.host(id).more().streams.open.get(&link)
            && let Some(theirs) = stream.theirs
        {
            self.tell_end(id, link, Signal::End { mine: theirs }, 0, now, network);
        }
        self.host(id).more().streams.open.remove(&link);
    }

    /// What a signal means to the machine, if anything.
    fn signal(
        &mut self,
        id: HostId,
        from: HostId,
        signal: Signal,
        now: Time,
        network: &Network,
    ) -> Option<Input<T::Message, T::Command>> {
        let up = self.host(id).machine.is_some();
        match signal {
            Signal::Dial { theirs } if up => {
                let mine = self.host(id).more().streams.accepted(from, theirs);
                let signal = Signal::Accepted { mine: theirs, theirs: mine };
                self.tell_end(id, mine, signal, 0, now, network);
                Some(Input::Opened { link: mine, peer: from.address() })
            }
            Signal::Dial { theirs } => {
                self.answer_for_nobody(id, from, theirs, now, network);
                None
            }
            Signal::Accepted { mine, theirs } => {
                match self.host(id).more().streams.open.get_mut(&mine) {
                    Some(stream) if stream.theirs.is_none() => {
                        stream.theirs = Some(theirs);
                        Some(Input::Opened { link: mine, peer: from.address() })
                    }
                    // It was closed while it was dialled.
                    _ => {
                        self.answer_for_nobody(id, from, theirs, now, network);
                        None
                    }
                }
            }
            Signal::Data { mine, bytes } => {
                let theirs = self.host(id).more().streams.open.get(&mine).and_then(|it| it.theirs);
                let theirs = theirs?;
                let taken = Signal::Taken { mine: theirs, count: bytes.len() };
                self.tell_end(id, mine, taken, 0, now, network);
                Some(Input::Received { link: mine, bytes })
            }
            Signal::Taken { mine, count } => {
                let stream = self.host(id).more().streams.open.get_mut(&mine)?;
                (stream.taken(count) == Room::Again).then_some(Input::Drained { link: mine })
            }
            Signal::End { mine } => {
                self.host(id).more().streams.open.remove(&mine)?;
                Some(Input::Closed { link: mine })
            }
        }
    }

    /// Ends a link whose end here is nobody's.
    fn answer_for_nobody(
        &mut self,
        id: HostId,
        to: HostId,
        theirs: Link,
        now: Time,
        network: &Network,
    ) {
        let number = self.host(id).next_number();
        let after =
            if network.reaches(id, to) { network.latency.between(id, to) } else { BROKEN_AFTER };
        let place = Place { at: now.after(after), to: to.0, from: id.0, number };
        self.push(Entry { place, what: What::Signal(Box::new(Signal::End { mine: theirs })) });
    }

    /// Takes a host down at once: its machine, what it waited for, its links and what its disk had
    /// not made durable are gone.
    pub(crate) fn crash(&mut self, id: HostId, now: Time, network: &Network) {
        let links: Vec<Link> = match &self.host(id).more {
            Some(more) => more.streams.open.keys().copied().collect(),
            None => Vec::new(),
        };
        for link in links {
            self.close(id, link, now, network);
        }
        let host = self.host(id);
        host.machine = None;
        host.wake = NEVER;
        host.life += 1;
        if let Some(more) = &mut host.more {
            more.paused = None;
            if let Some(disk) = &mut more.disk {
                disk.crash();
            }
        }
    }

    /// Feeds all that has happened, and what has become of it, to `digest`.
    pub(crate) fn digest(&mut self, id: HostId, digest: &mut Digest) {
        let host = self.host(id);
        digest.write_u64(host.trace.value());
        match &host.machine {
            Some(machine) => machine.digest(digest),
            None => digest.write_u8(0),
        }
        if let Some(disk) = host.more.as_ref().and_then(|more| more.disk.as_ref()) {
            disk.digest(digest);
        }
    }
}

/// When `size` bytes have passed a line that is free at `free`; none if they would wait too long.
fn pass(
    free: &mut Time,
    now: Time,
    size: usize,
    bytes_per_second: u64,
    queue: std::time::Duration,
) -> Option<Time> {
    let start = now.max(*free);
    if start.since(now) > queue {
        return None;
    }
    let nanos = size as u64 * 1_000_000_000 / bytes_per_second.max(1);
    *free = start.after(std::time::Duration::from_nanos(nanos));
    Some(*free)
}

/// What of an input goes into a trace: not its content, so that a bare machine and one behind bytes
/// leave the same trace. What the content did shows in the state.
const fn kind<M, C>(input: &Input<M, C>) -> u64 {
    match input {
        Input::Wake => 1,
        Input::Command(_) => 2,
        Input::Message { .. } => 3,
        Input::Opened { .. } => 4,
        Input::Received { .. } => 5,
        Input::Drained { .. } => 6,
        Input::Closed { .. } => 7,
        Input::Saved { .. } => 8,
        Input::Loaded { .. } => 9,
        Input::Failed { cause: DiskError::Full, .. } => 10,
        Input::Failed { .. } => 11,
    }
}

/// The file of a slot.
fn slot_file(slot: Slot) -> String {
    format!("slot-{:016x}", slot.0)
}
