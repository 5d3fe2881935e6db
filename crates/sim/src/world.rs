//! A world: hosts, the network between them, one clock, one seed.

use std::{
    hash::Hasher,
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nigh_base::{Digest, Machine, Time, wire::Wire};

use crate::{
    HostId, Network,
    disk::Disk,
    host::{HOSTS_MAX, Host, NEVER},
    queue::{Entry, Place},
    shard::{Counts, OUTSIDE, Shard, Told, What},
};

/// Machines on a virtual clock.
///
/// All that happens follows from the seed, the network and what is asked of the world: two worlds
/// that were asked the same have one [`World::digest`], on however many threads they run.
#[derive(Debug)]
pub struct World<T: Machine> {
    seed: u64,
    network: Network,
    shards: Vec<Shard<T>>,
    hosts: u32,
    now: Time,
    /// Counts what was asked from outside.
    asked: u32,
}

impl<T> World<T>
where
    T: Machine + Send,
    T::Message: Wire + Clone + Send,
    T::Command: Send,
    T::Event: Send,
{
    /// A world without hosts, on this thread.
    pub fn new(seed: u64, network: Network) -> Self {
        Self::on_threads(seed, network, 1)
    }

    /// A world whose hosts are dealt out to `threads` threads. It pays with many hosts that have
    /// much to do within the network's least latency: the threads meet so often.
    ///
    /// # Panics
    /// If `threads` is zero.
    pub fn on_threads(seed: u64, network: Network, threads: u32) -> Self {
        assert!(threads > 0, "a world needs a thread");
        let shards = (0..threads).map(|number| Shard::new(seed, number, threads)).collect();
        Self { seed, network, shards, hosts: 0, now: Time::START, asked: 0 }
    }

    /// From now on every machine's invariants are checked after every input.
    pub fn check_always(&mut self) {
        self.shards.iter_mut().for_each(|shard| shard.checked = true);
    }

    /// Adds a host, up from now on.
    ///
    /// # Panics
    /// If there are 2^24 hosts already.
    pub fn add(&mut self, machine: T) -> HostId {
        assert!(self.hosts < HOSTS_MAX, "a world has 2^24 hosts at most");
        let id = HostId(self.hosts);
        self.hosts += 1;
        let wanted = machine.wake_at();
        let host = Host::new(self.seed, id, machine);
        let now = self.now;
        let shard = self.shard(id);
        shard.hosts.push(host);
        shard.set_wake(id, wanted, now);
        id
    }

    /// All hosts, up or down.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<T> {
        (0..self.hosts).map(HostId)
    }

    /// The machine of a host that is up.
    pub fn machine(&self, id: HostId) -> Option<&T> {
        let threads = self.shards.len();
        let shard = &self.shards[id.index() % threads];
        shard.hosts[id.index() / threads].machine.as_ref()
    }

    /// The time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The network; what is changed holds for what is sent from now on.
    pub const fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Asks the machine of a host, now.
    pub fn command(&mut self, id: HostId, command: T::Command) {
        self.command_at(self.now, id, command);
    }

    /// Asks the machine of a host when the time has come.
    ///
    /// # Panics
    /// If the time is over.
    pub fn command_at(&mut self, at: Time, id: HostId, command: T::Command) {
        assert!(at >= self.now, "it is {:?}, and {at:?} is over", self.now);
        self.asked += 1;
        let place = Place { at, to: id.0, from: OUTSIDE, number: self.asked };
        self.shard(id).push(Entry { place, what: What::Command(command) });
    }

    /// Takes a host down as a power cut does.
    pub fn crash(&mut self, id: HostId) {
        let now = self.now;
        let threads = self.shards.len();
        self.shards[id.index() % threads].crash(id, now, &self.network);
        self.exchange();
    }

    /// Brings a host up again with `machine`, which finds the disk as the crash left it.
    ///
    /// # Panics
    /// If the host is up.
    pub fn restart(&mut self, id: HostId, machine: T) {
        let now = self.now;
        let wanted = machine.wake_at();
        let shard = self.shard(id);
        let host = shard.host(id);
        assert!(host.machine.is_none(), "{id:?} is up");
        host.machine = Some(machine);
        if let Some(disk) = host.more.as_mut().and_then(|more| more.disk.as_mut()) {
            disk.restart();
        }
        shard.set_wake(id, wanted, now);
    }

    /// Whether a host is up; a paused one is.
    pub fn is_up(&self, id: HostId) -> bool {
        self.machine(id).is_some()
    }

    /// Stops a host in its tracks, as a machine that swaps or a process that is stopped: nothing
    /// is lost but datagrams beyond what a socket's buffer holds.
    pub fn pause(&mut self, id: HostId) {
        self.shard(id).host(id).more().paused.get_or_insert_default();
    }

    /// Lets a paused host go on with what came meanwhile.
    pub fn resume(&mut self, id: HostId) {
        let now = self.now;
        let shard = self.shard(id);
        let Some(paused) = shard.host(id).more().paused.take() else { return };
        for mut entry in paused {
            entry.place.at = now;
            shard.push(entry);
        }
        // A wake that came meanwhile was not heard.
        shard.host(id).wake = NEVER;
        let wanted = shard.host(id).machine.as_ref().and_then(Machine::wake_at);
        shard.set_wake(id, wanted, now);
    }

    /// The disk of a host.
    pub fn disk_mut(&mut self, id: HostId) -> &mut Disk {
        self.shard(id).disk(id)
    }

    /// Lets one thing happen, the first that is due; false if nothing is.
    pub fn step(&mut self) -> bool {
        let next = Shard::next_at;
        let due = self.shards.iter_mut().enumerate();
        let Some((at, index)) = due.filter_map(|(index, it)| Some((next(it)?, index))).min() else {
            return false;
        };
        self.now = at;
        self.shards[index].step(&self.network);
        self.exchange();
        true
    }

    /// When the next thing is due.
    pub fn next_at(&mut self) -> Option<Time> {
        self.shards.iter_mut().filter_map(Shard::next_at).min()
    }

    /// Lets happen all that is due before `end`; then it is `end`.
    pub fn run_until(&mut self, end: Time) {
        if let [shard] = &mut self.shards[..] {
            shard.run_before(end, &self.network);
        } else {
            self.run_threads(end);
        }
        self.now = self.now.max(end);
    }

    /// Each thread runs its hosts up to the first instant at which another's could be felt.
    fn run_threads(&mut self, end: Time) {
        let threads = self.shards.len();
        let (network, lookahead) = (&self.network, self.network.lookahead());
        let barrier = Barrier::new(threads);
        let next: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
        let mailboxes: Vec<Mutex<Vec<Entry<What<T>>>>> =
            (0..threads * threads).map(|_| Mutex::new(Vec::new())).collect();
        let mailbox = |from: usize, to: usize| {
            mailboxes[from * threads + to].lock().unwrap_or_else(PoisonError::into_inner)
        };
        let work = &|index: usize, shard: &mut Shard<T>| loop {
            let due = shard.next_at().map_or(u64::MAX, Time::nanos);
            next[index].store(due, Ordering::SeqCst);
            barrier.wait();
            let first = next.iter().map(|due| due.load(Ordering::SeqCst)).min();
            let first = Time::from_nanos(first.unwrap_or(u64::MAX));
            if first >= end {
                return;
            }
            shard.run_before(first.after(lookahead).min(end), network);
            for to in (0..threads).filter(|&to| to != index) {
                std::mem::swap(&mut shard.outgoing[to], &mut mailbox(index, to));
            }
            barrier.wait();
            for from in (0..threads).filter(|&from| from != index) {
                let mut arrived = mailbox(from, index);
                arrived.drain(..).for_each(|entry| shard.take(entry));
            }
        };
        std::thread::scope(|scope| {
            let (first, others) = self.shards.split_first_mut().expect("a world has a thread");
            for (index, shard) in others.iter_mut().enumerate() {
                scope.spawn(move || work(index + 1, shard));
            }
            work(0, first);
        });
    }

    /// Brings what was sent between shards to where it belongs, outside of a run.
    fn exchange(&mut self) {
        for from in 0..self.shards.len() {
            for to in 0..self.shards.len() {
                let entries = std::mem::take(&mut self.shards[from].outgoing[to]);
                entries.into_iter().for_each(|entry| self.shards[to].take(entry));
            }
        }
    }

    /// What machines have told since this was last asked, in order.
    pub fn take_events(&mut self) -> Vec<Told<T::Event>> {
        let told = self.shards.iter_mut().flat_map(|shard| std::mem::take(&mut shard.told));
        let mut told: Vec<Option<Told<T::Event>>> = told.map(Some).collect();
        // Events are large: where they go is sorted out first, and each is moved once.
        let mut order: Vec<(Time, HostId, usize)> = told
            .iter()
            .flatten()
            .enumerate()
            .map(|(index, told)| (told.at, told.host, index))
            .collect();
        order.sort_unstable();
        order.into_iter().filter_map(|(_, _, index)| told[index].take()).collect()
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.shards.iter().fold(Counts::default(), |sum, shard| Counts {
            inputs: sum.inputs + shard.counts.inputs,
            sent: sum.sent + shard.counts.sent,
            lost: sum.lost + shard.counts.lost,
        })
    }

    /// How much is to happen yet.
    pub fn pending(&self) -> usize {
        self.shards.iter().map(Shard::pending).sum()
    }

    /// A fingerprint of all that has happened and of every machine's state.
    pub fn digest(&mut self) -> u64 {
        let mut digest = Digest::default();
        digest.write_u64(self.now.nanos());
        for id in self.hosts() {
            self.shard(id).digest(id, &mut digest);
        }
        digest.value()
    }

    fn shard(&mut self, id: HostId) -> &mut Shard<T> {
        let threads = self.shards.len();
        &mut self.shards[id.index() % threads]
    }
}

#[cfg(test)]
mod tests;
