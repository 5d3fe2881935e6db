//! Swarms, and who is in them: what announce_peer brings (BEP 5) and others ask for.
//!
//! A node has room for so much. Whoever announces a lot drives out what he has announced himself first, and
//! then what lies farthest from this node, of which others know: no single address takes the room of the
//! swarms that belong here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nigh_base::{Address, Key, Rng, Time};

use super::{
    filter,
    host::Host,
    krpc::{FILTER_BYTES, Filters, PEERS_SENT, SAMPLES_MAX, Samples},
};

/// A peer that was not announced again for so long is gone. BEP 5 leaves it open; clients announce each
/// quarter to half of an hour.
const LIFE: Duration = Duration::from_secs(45 * 60);
/// Swarms that a node knows of; beyond, the one that lies farthest from the node goes.
const SWARMS_MAX: usize = 4096;
/// Peers of one swarm; beyond, a new one takes the place of one that is drawn, or is dropped: each as often.
const PEERS_MAX: usize = 1000;
/// Of them, those of one host: some share an address. Beyond, the one that was announced first goes.
const PEERS_OF_HOST: usize = 8;
/// Peers of one host in all swarms together; beyond, the one in the farthest swarm goes.
const ALL_OF_HOST: usize = 512;
/// Peers of all swarms together, some 30 MiB; beyond, the farthest swarm goes.
const ALL_MAX: usize = 200_000;
/// Seconds until other swarms are named (BEP 51): there are ever new ones, so it need not be long.
const SAMPLES_EVERY: u32 = 60;

#[derive(Clone, Copy, Debug, Hash)]
struct Peer {
    address: Address,
    is_seed: bool,
    announced: Time,
}

/// The peers of a swarm, in no order.
#[derive(Clone, Debug, Default, Hash)]
struct Swarm {
    peers: Vec<Peer>,
    /// Where each is.
    places: BTreeMap<Address, usize>,
}

impl Swarm {
    fn get_mut(&mut self, address: Address) -> Option<&mut Peer> {
        self.places.get(&address).map(|&place| &mut self.peers[place])
    }

    fn insert(&mut self, peer: Peer) {
        self.places.insert(peer.address, self.peers.len());
        self.peers.push(peer);
    }

    fn remove(&mut self, address: Address) {
        let Some(place) = self.places.remove(&address) else { return };
        self.peers.swap_remove(place);
        if let Some(moved) = self.peers.get(place) {
            self.places.insert(moved.address, place);
        }
    }

    /// If a host has as many peers here as it may have: the one that was announced first.
    fn first_of(&self, host: Host) -> Option<Address> {
        let of_host = || self.places.range(host.addresses()).map(|(_, &place)| &self.peers[place]);
        let is_full = of_host().count() >= PEERS_OF_HOST;
        of_host().min_by_key(|it| it.announced).filter(|_| is_full).map(|it| it.address)
    }
}

/// The swarms of which a node knows. An announcement takes time in proportion to the logarithm of what is
/// known, all in all.
#[derive(Clone, Debug, Hash)]
pub(super) struct Swarms {
    me: Key,
    /// By their distance from this node.
    swarms: BTreeMap<Key, Swarm>,
    /// The peers of each host, and how far from this node their swarms are.
    hosts: BTreeMap<Host, BTreeSet<(Key, Address)>>,
    all: usize,
}

impl Swarms {
    pub(super) const fn new(me: Key) -> Self {
        Self { me, swarms: BTreeMap::new(), hosts: BTreeMap::new(), all: 0 }
    }

    /// This node has another id now.
    pub(super) fn moved(&mut self, me: Key) {
        let turned = self.me.xor(me);
        self.me = me;
        let swarms = std::mem::take(&mut self.swarms);
        self.swarms = swarms.into_iter().map(|(gap, it)| (gap.xor(turned), it)).collect();
        for peers in self.hosts.values_mut() {
            *peers = peers.iter().map(|&(gap, it)| (gap.xor(turned), it)).collect();
        }
    }

    /// A peer has announced itself.
    pub(super) fn announced(
        &mut self,
        info_hash: Key,
        address: Address,
        is_seed: bool,
        now: Time,
        rng: &mut Rng,
    ) {
        let peer = Peer { address, is_seed, announced: now };
        let gap = info_hash.xor(self.me);
        if let Some(known) = self.swarms.get_mut(&gap).and_then(|it| it.get_mut(address)) {
            *known = peer;
        } else if self.make_room(gap, address, rng) {
            self.swarms.entry(gap).or_default().insert(peer);
            self.hosts.entry(Host::of(address)).or_default().insert((gap, address));
            self.all += 1;
        }
    }

    /// Has room for one peer more in the swarm at that distance, or says that there is none.
    fn make_room(&mut self, gap: Key, address: Address, rng: &mut Rng) -> bool {
        let host = Host::of(address);
        let swarm = self.swarms.get(&gap);
        if let Some(first) = swarm.and_then(|it| it.first_of(host)) {
            self.remove(gap, first);
            return true;
        }
        let peers = swarm.map_or(&[][..], |it| &it.peers);
        if peers.len() >= PEERS_MAX {
            let drawn = peers[rng.index(peers.len())].address;
            if rng.one_in(2) {
                return false;
            }
            self.remove(gap, drawn);
        }
        let of_host = self.hosts.get(&host).filter(|it| it.len() >= ALL_OF_HOST);
        if let Some(&(far, other)) = of_host.and_then(BTreeSet::last) {
            if far < gap {
                return false;
            }
            self.remove(far, other);
        }
        while self.all >= ALL_MAX
            || self.swarms.len() >= SWARMS_MAX && !self.swarms.contains_key(&gap)
        {
            match self.swarms.last_key_value() {
                Some((&far, _)) if far > gap => self.remove_swarm(far),
                _ => return false,
            }
        }
        true
    }

    fn remove(&mut self, gap: Key, address: Address) {
        let Some(swarm) = self.swarms.get_mut(&gap) else { return };
        swarm.remove(address);
        if swarm.peers.is_empty() {
            self.swarms.remove(&gap);
        }
        self.removed(gap, address);
    }

    fn remove_swarm(&mut self, gap: Key) {
        let Some(swarm) = self.swarms.remove(&gap) else { return };
        swarm.peers.iter().for_each(|it| self.removed(gap, it.address));
    }

    fn removed(&mut self, gap: Key, address: Address) {
        self.all -= 1;
        let host = Host::of(address);
        if let Some(peers) = self.hosts.get_mut(&host) {
            peers.remove(&(gap, address));
            if peers.is_empty() {
                self.hosts.remove(&host);
            }
        }
    }

    /// Drops peers that were not announced again.
    pub(super) fn expire(&mut self, now: Time) {
        let of_swarm = |(&gap, swarm): (&Key, &Swarm)| {
            let gone = swarm.peers.iter().filter(|it| now.since(it.announced) >= LIFE);
            gone.map(|it| (gap, it.address)).collect::<Vec<_>>()
        };
        let gone: Vec<(Key, Address)> = self.swarms.iter().flat_map(of_swarm).collect();
        gone.into_iter().for_each(|(gap, address)| self.remove(gap, address));
    }

    fn living(&self, info_hash: Key, now: Time) -> impl Iterator<Item = &Peer> {
        let peers = self.swarms.get(&info_hash.xor(self.me)).map_or(&[][..], |it| &it.peers);
        peers.iter().filter(move |it| now.since(it.announced) < LIFE)
    }

    /// Some peers of a swarm, drawn if there are many; none if none is known.
    pub(super) fn some(
        &self,
        info_hash: Key,
        v6: bool,
        without_seeds: bool,
        now: Time,
        rng: &mut Rng,
    ) -> Option<Vec<Address>> {
        let fits =
            |it: &&Peer| it.address.as_v4().is_none() == v6 && !(without_seeds && it.is_seed);
        let mut found: Vec<Address> =
            self.living(info_hash, now).filter(fits).map(|it| it.address).collect();
        draw(&mut found, PEERS_SENT, rng);
        (!found.is_empty()).then_some(found)
    }

    /// Who is in a swarm, as filters (BEP 33); none if nobody is known.
    pub(super) fn filters(&self, info_hash: Key, now: Time) -> Option<Box<Filters>> {
        let none = [0; FILTER_BYTES];
        let mut filters = Box::new(Filters { seeds: none, peers: none });
        let mut is_known = false;
        for peer in self.living(info_hash, now) {
            is_known = true;
            let of = if peer.is_seed { &mut filters.seeds } else { &mut filters.peers };
            filter::insert(of, peer.address.ip());
        }
        is_known.then_some(filters)
    }

    /// Some swarms (BEP 51), drawn if there are many.
    pub(super) fn samples(&self, rng: &mut Rng) -> Samples {
        let mut some: Vec<Key> = self.swarms.keys().map(|gap| gap.xor(self.me)).collect();
        let count = u32::try_from(some.len()).expect("far fewer are kept");
        draw(&mut some, SAMPLES_MAX, rng);
        Samples { interval: SAMPLES_EVERY, count, some }
    }

    pub(super) fn check(&self) {
        assert!(self.swarms.len() <= SWARMS_MAX, "too many swarms");
        assert!(self.all <= ALL_MAX, "too many peers");
        let of_swarms: usize = self.swarms.values().map(|it| it.peers.len()).sum();
        let of_hosts: usize = self.hosts.values().map(BTreeSet::len).sum();
        assert!(self.all == of_swarms && self.all == of_hosts, "peers are miscounted");
        for swarm in self.swarms.values() {
            assert!((1..=PEERS_MAX).contains(&swarm.peers.len()), "peers of a swarm");
            assert_eq!(swarm.peers.len(), swarm.places.len(), "places");
        }
        assert!(self.hosts.values().all(|it| it.len() <= ALL_OF_HOST), "too many of a host");
    }
}

/// Leaves `count` of them, each as likely as any other.
fn draw<T>(of: &mut Vec<T>, count: usize, rng: &mut Rng) {
    if of.len() > count {
        for place in 0..count {
            let other = place + rng.index(of.len() - place);
            of.swap(place, other);
        }
        of.truncate(count);
    }
}

#[cfg(test)]
mod tests;
