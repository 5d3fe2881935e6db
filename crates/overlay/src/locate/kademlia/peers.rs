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
mod tests {
    use super::*;

    /// A peer that has an address for itself.
    fn peer(number: u32) -> Address {
        let [_, a, b, c] = number.to_be_bytes();
        Address::v4([21, a, b, c], 6881)
    }

    /// Swarms as they are known to the node with the id 0, so that the number of a swarm is its distance.
    struct Known {
        swarms: Swarms,
        rng: Rng,
        now: Time,
    }

    impl Known {
        fn new() -> Self {
            let swarms = Swarms::new(Key::default());
            Self { swarms, rng: Rng::new(1), now: Time::from_secs(100) }
        }

        fn announced(&mut self, swarm: u64, address: Address, is_seed: bool) {
            self.swarms.announced(Key::from(swarm), address, is_seed, self.now, &mut self.rng);
        }

        fn some(&mut self, swarm: u64, without_seeds: bool) -> Vec<Address> {
            let swarm = Key::from(swarm);
            let some = self.swarms.some(swarm, false, without_seeds, self.now, &mut self.rng);
            some.unwrap_or_default()
        }

        fn is_known(&self, swarm: u64) -> bool {
            self.swarms.swarms.contains_key(&Key::from(swarm))
        }
    }

    #[test]
    fn a_peer_is_named_until_it_was_silent_for_three_quarters_of_an_hour() {
        let mut known = Known::new();
        let start = known.now;
        known.announced(1, peer(1), false);
        known.now = start.after(LIFE / 2);
        known.announced(1, peer(2), true);
        assert_eq!(known.some(1, false), [peer(1), peer(2)]);
        assert_eq!(known.some(1, true), [peer(1)]);
        known.now = start.after(LIFE);
        assert_eq!(known.some(1, false), [peer(2)]);
        known.swarms.expire(known.now);
        assert_eq!(known.swarms.all, 1);
        known.swarms.check();
        known.now = start.after(LIFE * 2);
        assert!(known.some(1, false).is_empty());
        known.swarms.expire(known.now);
        assert!(known.swarms.swarms.is_empty() && known.swarms.hosts.is_empty());
    }

    #[test]
    fn a_peer_that_announces_itself_again_is_one_peer() {
        let mut known = Known::new();
        (0..3).for_each(|_| known.announced(1, peer(1), false));
        assert_eq!(known.swarms.all, 1);
        known.swarms.check();
    }

    #[test]
    fn of_too_many_swarms_the_farthest_go_whoever_announces_and_however_often() {
        let mut known = Known::new();
        let max = SWARMS_MAX as u64;
        for number in 1..=max {
            known.announced(2 * number, peer(u32::try_from(number).unwrap()), false);
        }
        // Larger swarms that lie farther do not drive out smaller ones that lie nearer.
        for number in 1..=max {
            for other in 0..3 {
                let address = peer(u32::try_from(100_000 + 3 * number + other).unwrap());
                known.announced(4 * max + number, address, false);
            }
        }
        assert!((1..=max).all(|number| known.is_known(2 * number)));
        known.announced(1, peer(1), false);
        assert!(known.is_known(1) && !known.is_known(2 * max) && known.is_known(2 * max - 2));
        known.swarms.check();
    }

    #[test]
    fn one_address_drives_out_what_it_has_announced_itself_and_nothing_else() {
        let mut known = Known::new();
        let honest = 3000;
        for number in 0..honest {
            known.announced(u64::from(1_000_000 + number), peer(number), false);
        }
        for number in 0..20_000u16 {
            // Each from another port, into swarms that lie nearer than all others.
            known.announced(u64::from(number), Address::v4([198, 51, 100, 1], 1 + number), true);
        }
        known.swarms.check();
        assert!((0..honest).all(|number| known.is_known(u64::from(1_000_000 + number))));
        assert_eq!(known.swarms.all, honest as usize + ALL_OF_HOST);
        assert!(known.is_known(0) && !known.is_known(ALL_OF_HOST as u64), "the nearest stay");
    }

    #[test]
    fn one_address_has_few_places_in_a_swarm_and_keeps_the_latest() {
        let mut known = Known::new();
        known.announced(1, peer(1), false);
        let port = |port| Address::v4([198, 51, 100, 1], port);
        let six =
            |last| Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 7, last, 0, 0, 0, 0, 0, 0, 1], 9);
        for number in 1..=1000 {
            known.now = known.now.after(Duration::from_millis(1));
            known.announced(1, port(number), false);
            known.announced(1, six(u8::try_from(number % 256).unwrap()), false);
        }
        known.swarms.check();
        assert_eq!(known.swarms.all, 1 + 2 * PEERS_OF_HOST);
        let found = known.some(1, false);
        assert!(found.contains(&peer(1)) && found.contains(&port(1000)), "{found:?}");
        assert!(!found.contains(&port(1000 - 8)), "{found:?}");
    }

    #[test]
    fn in_a_full_swarm_who_was_there_keeps_its_place_in_turn_and_some_are_drawn() {
        let mut known = Known::new();
        let max = u32::try_from(PEERS_MAX).unwrap();
        (0..max).for_each(|number| known.announced(1, peer(number), false));
        let mut found = Vec::new();
        for _ in 0..400 {
            let some = known.some(1, false);
            assert_eq!(some.len(), PEERS_SENT);
            found.extend(some);
        }
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), PEERS_MAX);
        // A thousand others come: half of them are taken in, each in the place of one that is drawn.
        (max..2 * max).for_each(|number| known.announced(1, peer(number), false));
        known.swarms.check();
        let swarm = &known.swarms.swarms[&Key::from(1)];
        let left = (0..max).filter(|it| swarm.places.contains_key(&peer(*it))).count();
        assert!((550..650).contains(&left), "{left} of {max}");
    }

    #[test]
    fn after_a_change_of_the_id_other_swarms_are_near() {
        let mut known = Known::new();
        (1..4).for_each(|swarm| known.announced(swarm, peer(1), false));
        known.swarms.moved(Key::from(3));
        known.swarms.check();
        assert_eq!(known.some(2, false), [peer(1)]);
        let nearest = known.swarms.swarms.first_key_value().unwrap();
        assert_eq!(nearest.0.xor(Key::from(3)), Key::from(3));
        assert!(known.swarms.samples(&mut known.rng).some.contains(&Key::from(2)));
    }
}
