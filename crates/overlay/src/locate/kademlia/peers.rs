//! Swarms, and who is in them: what announce_peer brings (BEP 5) and others ask for.

use std::{collections::BTreeMap, time::Duration};

use nigh_base::{Address, Key, Rng, Time};

use super::{
    filter,
    krpc::{FILTER_BYTES, Filters, PEERS_SENT, SAMPLES_MAX, Samples},
};

/// A peer that was not announced again for so long is gone. BEP 5 leaves it open; clients announce each
/// quarter to half of an hour.
const LIFE: Duration = Duration::from_secs(45 * 60);
/// Swarms that a node knows of; beyond, the one with the fewest peers goes.
const SWARMS_MAX: usize = 4096;
/// Peers of one swarm; beyond, the one that was announced first goes.
const PEERS_MAX: usize = 1000;
/// Peers of all swarms together, some 10 MiB.
const ALL_MAX: usize = 200_000;
/// Seconds until other swarms are named (BEP 51): there are ever new ones, so it need not be long.
const SAMPLES_EVERY: u32 = 60;

#[derive(Clone, Copy, Debug, Hash)]
struct Peer {
    address: Address,
    is_seed: bool,
    announced: Time,
}

/// The swarms of which a node knows.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Swarms {
    /// The one that was announced last is the last.
    swarms: BTreeMap<Key, Vec<Peer>>,
    all: usize,
}

impl Swarms {
    /// A peer has announced itself.
    pub(super) fn announced(&mut self, info_hash: Key, address: Address, is_seed: bool, now: Time) {
        self.make_room(info_hash, now);
        let swarm = self.swarms.entry(info_hash).or_default();
        let before = swarm.len();
        swarm.retain(|it| it.address != address && now.since(it.announced) < LIFE);
        if swarm.len() == PEERS_MAX {
            swarm.remove(0);
        }
        swarm.push(Peer { address, is_seed, announced: now });
        self.all = self.all + swarm.len() - before;
    }

    /// Has room for one peer more: those who are gone leave first.
    fn make_room(&mut self, info_hash: Key, now: Time) {
        let is_full = |it: &Self| {
            it.all >= ALL_MAX
                || it.swarms.len() >= SWARMS_MAX && !it.swarms.contains_key(&info_hash)
        };
        if is_full(self) {
            self.expire(now);
        }
        while is_full(self) {
            let smallest = self.swarms.iter().filter(|it| *it.0 != info_hash);
            let Some((&key, _)) = smallest.min_by_key(|(_, peers)| peers.len()) else { return };
            self.all -= self.swarms.remove(&key).map_or(0, |peers| peers.len());
        }
    }

    /// Drops peers that were not announced again.
    pub(super) fn expire(&mut self, now: Time) {
        self.swarms.retain(|_, peers| {
            peers.retain(|it| now.since(it.announced) < LIFE);
            !peers.is_empty()
        });
        self.all = self.swarms.values().map(Vec::len).sum();
    }

    fn living(&self, info_hash: Key, now: Time) -> impl Iterator<Item = &Peer> {
        let peers = self.swarms.get(&info_hash).map_or(&[][..], |it| it);
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
        let mut some: Vec<Key> = self.swarms.keys().copied().collect();
        let count = u32::try_from(some.len()).expect("far fewer are kept");
        draw(&mut some, SAMPLES_MAX, rng);
        Samples { interval: SAMPLES_EVERY, count, some }
    }

    pub(super) fn check(&self) {
        assert!(self.swarms.len() <= SWARMS_MAX, "too many swarms");
        assert!(self.all <= ALL_MAX, "too many peers");
        assert_eq!(self.all, self.swarms.values().map(Vec::len).sum::<usize>(), "peers");
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

    fn peer(number: u16) -> Address {
        Address::v4([192, 0, 2, 1], number)
    }

    #[test]
    fn a_peer_is_named_until_it_was_silent_for_three_quarters_of_an_hour() {
        let (mut swarms, mut rng) = (Swarms::default(), Rng::new(1));
        let (swarm, start) = (Key::from(1), Time::from_secs(100));
        swarms.announced(swarm, peer(1), false, start);
        swarms.announced(swarm, peer(2), true, start.after(LIFE / 2));
        let mut at = |time: Time, without_seeds| {
            swarms.some(swarm, false, without_seeds, time, &mut rng).unwrap_or_default()
        };
        assert_eq!(at(start.after(LIFE / 2), false), [peer(1), peer(2)]);
        assert_eq!(at(start.after(LIFE / 2), true), [peer(1)]);
        assert_eq!(at(start.after(LIFE), false), [peer(2)]);
        assert!(at(start.after(LIFE * 2), false).is_empty());
    }

    #[test]
    fn a_peer_that_announces_itself_again_is_one_peer() {
        let mut swarms = Swarms::default();
        for _ in 0..3 {
            swarms.announced(Key::from(1), peer(1), false, Time::START);
        }
        assert_eq!(swarms.all, 1);
        swarms.check();
    }

    #[test]
    fn many_swarms_leave_those_with_the_most_peers() {
        let mut swarms = Swarms::default();
        for number in 0..2 * SWARMS_MAX as u64 {
            swarms.announced(Key::from(number), peer(1), false, Time::START);
            if number == 7 {
                swarms.announced(Key::from(7), peer(2), false, Time::START);
            }
        }
        swarms.check();
        assert!(swarms.swarms.contains_key(&Key::from(7)));
        assert!(swarms.swarms.contains_key(&Key::from(2 * SWARMS_MAX as u64 - 1)));
    }

    #[test]
    fn of_a_large_swarm_the_latest_are_known_and_some_are_drawn() {
        let (mut swarms, mut rng) = (Swarms::default(), Rng::new(2));
        for number in 1..=u16::try_from(PEERS_MAX + 100).unwrap() {
            swarms.announced(Key::from(1), peer(number), false, Time::START);
        }
        let mut found = Vec::new();
        for _ in 0..400 {
            let some = swarms.some(Key::from(1), false, false, Time::START, &mut rng).unwrap();
            assert_eq!(some.len(), PEERS_SENT);
            found.extend(some);
        }
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), PEERS_MAX);
        assert!(!found.contains(&peer(1)));
    }
}
