//! What is known of client networks, in a table of fixed size that all cores share.
//!
//! A network has eight places where it may stand, by a hash that nobody outside can foresee. Who comes
//! new takes the place of the one that owes the least: that is nearest to what a newcomer is, and to
//! throw out a network at its limit one needs eight others at theirs. A network with connections is
//! never thrown out; if all eight have some, the newcomer is let through uncounted.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nigh_base::Time;
use parking_lot::Mutex;
use twox_hash::XxHash3_64;

use super::{Limits, Network, rate::Paid};

/// Networks that are known at once: 3 MiB.
pub const ENTRIES: usize = SHARDS * SETS * WAYS;

/// Locks: cores seldom want the same one.
const SHARDS: usize = 64;
/// Groups of places under one lock.
const SETS: usize = 128;
/// Places where a network may stand.
const WAYS: usize = 8;

/// How far bandwidth may be ahead of time, in nanoseconds: a quarter of a second's worth at once.
const BANDWIDTH_BURST: u64 = 250_000_000;

/// Bytes that are written in one go under a limit of bandwidth: a sixteenth of a second's worth, within
/// bounds.
const PIECE_TIME: Duration = Duration::from_nanos(62_500_000);
const PIECE_MIN: u64 = 1024;
const PIECE_MAX: u64 = 64 * 1024;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    network: Option<Network>,
    requests: Paid,
    bytes: Paid,
    connections: u32,
}

impl Entry {
    /// When nothing is known of it any more that would matter.
    fn is_free_at(&self) -> Paid {
        self.requests.max(self.bytes)
    }
}

/// What client networks take, held against what they may.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    seed: u64,
    shards: Box<[Mutex<Box<[Entry]>>]>,
    uncounted: AtomicU64,
}

impl Table {
    /// An empty table. `seed` must be secret: who knows it can fill the places of others.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let shard = || Mutex::new(vec![Entry::default(); SETS * WAYS].into_boxed_slice());
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { limits, seed, shards, uncounted: AtomicU64::new(0) }
    }

    /// The network of a client; `None` if that is not limited.
    pub fn network(&self, address: IpAddr) -> Option<Network> {
        self.limits.network(address)
    }

    /// A request comes; how long its client should wait before it comes again, if it is one too many.
    ///
    /// # Errors
    /// That time.
    pub fn request(&self, network: Network, now: Time) -> Result<(), Duration> {
        let Some(rate) = &self.limits.requests else { return Ok(()) };
        let burst = rate.nanos_for(u64::from(self.limits.burst));
        let cost = rate.nanos_for(1);
        self.with(network, |entry| entry.requests.take(cost, burst, now)).unwrap_or(Ok(()))
    }

    /// A connection comes; false if it is one too many. If not, [`Self::close`] must follow when it ends.
    pub fn open(&self, network: Network) -> bool {
        let Some(most) = self.limits.connections else { return true };
        let opened = self.with(network, |entry| {
            let may = entry.connections < most;
            entry.connections += u32::from(may);
            may
        });
        opened.unwrap_or(true)
    }

    /// A connection ends that was counted by [`Self::open`].
    pub fn close(&self, network: Network) {
        if self.limits.connections.is_some() {
            // One that was let through uncounted has no entry, or one that others opened.
            self.with_known(network, |entry| {
                entry.connections = entry.connections.saturating_sub(1);
            });
        }
    }

    /// Bytes that may be written at once to a client; `None` if its bandwidth is not limited.
    pub fn piece(&self) -> Option<usize> {
        let rate = self.limits.bandwidth.as_ref()?;
        let bytes = rate.in_time(PIECE_TIME).clamp(PIECE_MIN, PIECE_MAX);
        usize::try_from(bytes).ok()
    }

    /// So many bytes are to be written; says how long to wait before.
    pub fn reserve(&self, network: Network, bytes: usize, now: Time) -> Duration {
        let Some(rate) = &self.limits.bandwidth else { return Duration::ZERO };
        let cost = rate.nanos_for(bytes as u64);
        self.with(network, |entry| entry.bytes.reserve(cost, BANDWIDTH_BURST, now))
            .unwrap_or_default()
    }

    /// So many of them were not written.
    pub fn give_back(&self, network: Network, bytes: usize) {
        if let Some(rate) = &self.limits.bandwidth {
            let cost = rate.nanos_for(bytes as u64);
            self.with_known(network, |entry| entry.bytes.give_back(cost));
        }
    }

    /// How often a network was let through because there was no place for it.
    pub fn uncounted(&self) -> u64 {
        self.uncounted.load(Ordering::Relaxed)
    }

    /// Does something with a network's entry, which is made if there is none; `None` if there is no
    /// place for it.
    fn with<T>(&self, network: Network, act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let (shard, set) = self.place(network);
        let mut entries = self.shards[shard].lock();
        let ways = &mut entries[set * WAYS..][..WAYS];
        let at = ways.iter().position(|entry| entry.network == Some(network)).or_else(|| {
            let free = (0..WAYS).filter(|&way| ways[way].connections == 0);
            let least = free.min_by_key(|&way| ways[way].is_free_at())?;
            ways[least] = Entry { network: Some(network), ..Entry::default() };
            Some(least)
        });
        if at.is_none() {
            self.uncounted.fetch_add(1, Ordering::Relaxed);
        }
        at.map(|at| act(&mut ways[at]))
    }

    /// The same if there is an entry.
    fn with_known(&self, network: Network, act: impl FnOnce(&mut Entry)) {
        let (shard, set) = self.place(network);
        let mut entries = self.shards[shard].lock();
        let ways = &mut entries[set * WAYS..][..WAYS];
        if let Some(entry) = ways.iter_mut().find(|entry| entry.network == Some(network)) {
            act(entry);
        }
    }

    fn place(&self, network: Network) -> (usize, usize) {
        let hash = XxHash3_64::oneshot_with_seed(self.seed, &network.bits().to_le_bytes());
        let index = |hash: u64, below: usize| {
            usize::try_from(hash % below as u64).expect("less than a small number")
        };
        (index(hash, SHARDS), index(hash >> 32, SETS))
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;
    use crate::client::Rate;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits {
            requests: Rate::new(10, SECOND),
            burst: 20,
            connections: Some(3),
            bandwidth: Rate::new(1 << 20, SECOND),
            ..Limits::default()
        }
    }

    fn network(number: u32) -> Network {
        Network::of(IpAddr::V4(number.into()), 32)
    }

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn each_network_has_its_own_requests() {
        let table = Table::new(limits(), 1);
        for number in [1, 2] {
            let passed = (0..50).filter(|_| table.request(network(number), at(7)).is_ok()).count();
            assert_eq!(passed, 20);
        }
        assert_eq!(table.request(network(1), at(7)), Err(Duration::from_millis(100)));
        assert_eq!(table.request(network(1), at(107)), Ok(()));
    }

    #[test]
    fn connections_are_counted_until_they_end() {
        let table = Table::new(limits(), 1);
        let open = || table.open(network(1));
        assert_eq!([open(), open(), open(), open()], [true, true, true, false]);
        assert!(table.open(network(2)));
        table.close(network(1));
        assert_eq!([open(), open()], [true, false]);
    }

    #[test]
    fn bandwidth_is_paced_over_all_connections_of_a_network() {
        let table = Table::new(limits(), 1);
        let piece = table.piece().unwrap();
        assert_eq!(piece, 64 * 1024);
        let waits: Vec<_> = (0..64).map(|_| table.reserve(network(1), piece, at(0))).collect();
        // Four megabytes at one a second, a quarter of a second ahead.
        assert_eq!(waits[63], Duration::from_secs_f64(63.0 / 16.0 - 0.25));
        assert!(waits.is_sorted());
        table.give_back(network(1), piece);
        assert_eq!(table.reserve(network(1), piece, at(0)), waits[63]);
    }

    #[test]
    fn what_is_not_limited_is_let_through() {
        let table = Table::new(Limits::default(), 1);
        assert!(
            (0..100).all(|_| table.request(network(1), at(0)).is_ok() && table.open(network(1)))
        );
        assert_eq!(
            (table.piece(), table.reserve(network(1), 1 << 30, at(0))),
            (None, Duration::ZERO)
        );
    }

    #[test]
    fn many_addresses_neither_throw_out_who_is_at_its_limit_nor_let_the_table_grow() {
        let table = Table::new(limits(), 7);
        let mut now = at(0);
        let heavy = network(u32::MAX);
        while table.request(heavy, now).is_ok() {}
        let mut rng = Rng::new(3);
        let mut passed = 0;
        // A second in which one more address than the table has places asks once each, twenty times over.
        for step in 0..20 * ENTRIES as u64 {
            now = at(step * 1000 / (20 * ENTRIES as u64));
            let number = u32::try_from(rng.below(u64::from(u32::MAX))).unwrap();
            assert!(table.request(network(number), now).is_ok() || step > 0);
            if step % 64 == 0 {
                passed += usize::from(table.request(heavy, now).is_ok());
            }
        }
        assert!(passed <= 10, "{passed} requests in a second of which ten may pass");
    }

    #[test]
    fn who_has_connections_is_not_thrown_out() {
        let table = Table::new(limits(), 7);
        let held = network(1);
        assert!(table.open(held) && table.open(held));
        for number in 2..200_000 {
            assert!(table.request(network(number), at(0)).is_ok());
        }
        assert_eq!([table.open(held), table.open(held)], [true, false]);
    }

    #[test]
    fn where_all_places_hold_connections_a_newcomer_passes_uncounted() {
        let table = Table::new(limits(), 7);
        let place = table.place(network(0));
        let neighbours: Vec<_> =
            (1..).filter(|&it| table.place(network(it)) == place).take(WAYS).collect();
        assert!(neighbours.iter().all(|&it| table.open(network(it))));
        let before = table.uncounted();
        assert!((0..100).all(|_| table.request(network(0), at(0)).is_ok()));
        assert_eq!(table.uncounted() - before, 100);
        table.close(network(0));
        table.close(network(neighbours[0]));
        assert!((0..100).any(|_| table.request(network(0), at(0)).is_err()));
    }
}
