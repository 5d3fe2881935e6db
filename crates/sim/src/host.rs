//! One host: its machine, its streams of randomness, and what it has besides.

use nigh_base::{Address, Digest, Machine, Rng, Time, machine::Secrets};

use crate::{disk::Disk, queue::Entry, shard::What, stream::Streams};

/// A host of a world, by number, counted from zero in the order in which hosts were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

/// The port of every host.
const PORT: u16 = 4000;
/// As many hosts as 10.0.0.0/8 has addresses.
pub(crate) const HOSTS_MAX: u32 = 1 << 24;

impl HostId {
    /// Where the host is reached: 10.0.0.0 and its number, port 4000.
    pub const fn address(self) -> Address {
        let [_, a, b, c] = self.0.to_be_bytes();
        Address::v4([10, a, b, c], PORT)
    }

    /// The host that is reached there, if a host of that number exists.
    pub fn at(address: Address) -> Option<Self> {
        match address.as_v4() {
            Some([10, a, b, c]) if address.port() == PORT => {
                Some(Self(u32::from_be_bytes([0, a, b, c])))
            }
            _ => None,
        }
    }

    /// The number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A host and its machine. A million of them are held, so what most never need is in a box.
#[derive(Debug)]
pub(crate) struct Host<T: Machine> {
    /// None while the host is down.
    pub(crate) machine: Option<T>,
    pub(crate) rng: Rng,
    pub(crate) secrets: SeededSecrets,
    /// When the next wake stands in the queue; `NEVER` if none does.
    pub(crate) wake: Time,
    /// Counts what this host has caused.
    pub(crate) number: u32,
    /// Which of its lives this is: what an earlier one waited for does not come.
    pub(crate) life: u32,
    /// All that has happened to it.
    pub(crate) trace: Digest,
    pub(crate) more: Option<Box<More<T>>>,
}

/// A stream of secrets that follow from the world's seed, in eight bytes.
#[derive(Debug)]
pub(crate) struct SeededSecrets(u64);

impl Secrets for SeededSecrets {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        Rng::new(self.0).next_u64()
    }
}

/// What some hosts have.
#[derive(Debug)]
pub(crate) struct More<T: Machine> {
    pub(crate) streams: Streams,
    pub(crate) disk: Option<Disk>,
    /// What came while the host was paused; none if it is not.
    pub(crate) paused: Option<Vec<Entry<What<T>>>>,
    /// When its line is free, each way.
    pub(crate) up_free: Time,
    pub(crate) down_free: Time,
}

pub(crate) const NEVER: Time = Time::from_nanos(u64::MAX);
/// What labels the streams of secrets among all streams of a seed.
const SECRETS: u64 = 0x7365_6372_6574_7321;

impl<T: Machine> Host<T> {
    pub(crate) fn new(seed: u64, id: HostId, machine: T) -> Self {
        Self {
            machine: Some(machine),
            rng: Rng::new(seed).fork(id.0.into()),
            secrets: SeededSecrets(Rng::new(seed ^ SECRETS).fork(id.0.into()).next_u64()),
            wake: NEVER,
            number: 0,
            life: 0,
            trace: Digest::default(),
            more: None,
        }
    }

    pub(crate) fn more(&mut self) -> &mut More<T> {
        self.more.get_or_insert_with(|| {
            Box::new(More {
                streams: Streams::default(),
                disk: None,
                paused: None,
                up_free: Time::START,
                down_free: Time::START,
            })
        })
    }

    /// The number of the next thing that it causes.
    pub(crate) const fn next_number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }
}
