//! Swarms: who is named, and who goes when there are too many.

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
    let six = |last| Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 7, last, 0, 0, 0, 0, 0, 0, 1], 9);
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
