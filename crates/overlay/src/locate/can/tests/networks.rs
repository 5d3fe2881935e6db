//! Networks that grow, shrink and break: in the end each point is one node's.

use nigh_base::Rng;
use nigh_sim::HostId;

use super::*;
use crate::locate::{
    Command,
    can::{
        settled,
        zone::{VOLUME, Zone},
    },
    suite::{host, joined, look_up_everywhere, network, run},
};

/// No wrong answer.
const NONE: [String; 0] = [];

/// All zones of all members, in order.
fn zones(world: &World<Node>) -> Vec<(Zone, Contact)> {
    let of = |it: Contact| {
        let zones = world.machine(host(it)).unwrap().zones().to_vec();
        zones.into_iter().map(move |zone| (zone, it))
    };
    let mut all: Vec<_> = members(world).into_iter().flat_map(of).collect();
    all.sort_unstable();
    all
}

/// What two members have at once, and how much of the space nobody has.
fn faults(world: &World<Node>) -> (Vec<Zone>, u64) {
    let all = zones(world);
    let volume: u64 = all.iter().map(|it| it.0.volume()).sum();
    let twice = all.windows(2).filter(|it| it[0].0.overlaps(it[1].0)).map(|it| it[1].0).collect();
    (twice, VOLUME.saturating_sub(volume))
}

/// Members that do not have exactly one zone.
fn not_with_one_zone(world: &World<Node>) -> Vec<Contact> {
    let mut all = members(world);
    all.retain(|it| world.machine(host(*it)).unwrap().zones().len() != 1);
    all
}

#[test]
fn nodes_that_join_one_by_one_halve_the_zone_in_which_their_key_lies() {
    let world = joined::<Geometry>(40, &settings(|_| {}), network(), 1);
    let contacts: Vec<Contact> = (0..40)
        .map(|number| suite::node::<Geometry>(number, &settings(|_| {})).contact())
        .collect();
    let expected = settled::zones(contacts.iter().map(|it| it.key));
    let expected: Vec<_> = expected.into_iter().map(|(zone, at)| (zone, contacts[at])).collect();
    assert_eq!(zones(&world), expected);
}

#[test]
fn whoever_comes_goes_or_fails_in_the_end_each_point_is_one_nodes_and_each_node_has_one_zone() {
    for seed in 0..10 {
        let dimensions = [2, 3, 4, 10][usize::try_from(seed % 4).unwrap()];
        let settings = settings(|it| it.dimensions = dimensions);
        let mut world = joined::<Geometry>(32, &settings, network(), seed);
        let mut rng = Rng::new(seed);
        for number in 32..52 {
            let up: Vec<HostId> = members(&world).into_iter().map(host).collect();
            let drawn = up[rng.index(up.len())];
            match rng.below(4) {
                0 => world.crash(drawn),
                1 => world.command(drawn, Command::Leave),
                _ => {}
            }
            let new = world.add(suite::node(number, &settings));
            let via = up.into_iter().filter(|it| *it != drawn).map(|it| it.address()).collect();
            world.command(new, Command::Join { via });
            run(&mut world, Duration::from_millis(rng.below(2_000)));
        }
        let mut hosts: Vec<HostId> = members(&world).into_iter().map(host).collect();
        rng.shuffle(&mut hosts);
        hosts[..hosts.len() / 3].iter().for_each(|&host| world.crash(host));
        run(&mut world, Geometry::SETTLES);
        assert_eq!(faults(&world), (vec![], 0), "seed {seed}");
        assert_eq!(not_with_one_zone(&world), [], "seed {seed}");
        assert_eq!(look_up_everywhere(&mut world, seed, false).0, NONE, "seed {seed}");
    }
}

#[test]
fn no_zone_is_lost_or_doubled_when_either_side_fails_while_it_changes_hands() {
    for seed in 0..40u32 {
        let settings = settings(|_| {});
        let mut network = network();
        (network.loss, network.duplication) = (0.1, 0.1);
        let mut world = joined::<Geometry>(6, &settings, network, seed.into());
        let new = world.add(suite::node(6, &settings));
        world.command(new, Command::Join { via: vec![HostId(0).address()] });
        let key = suite::node::<Geometry>(6, &settings).contact().key;
        let owner = host(Geometry::owner(&world, key));
        run(&mut world, Duration::from_millis(u64::from(seed) * 20));
        world.crash(if seed % 2 == 0 { new } else { owner });
        run(&mut world, Geometry::SETTLES);
        assert_eq!(faults(&world), (vec![], 0), "seed {seed}");
        assert_eq!(members(&world).len(), 6, "seed {seed}");
    }
}

#[test]
fn many_that_join_at_once_while_datagrams_are_lost_have_each_their_zone() {
    for seed in 0..4 {
        let settings = settings(|it| it.dimensions = 2);
        let mut network = network();
        (network.loss, network.duplication, network.reordering) = (0.1, 0.1, 0.2);
        let mut world = joined::<Geometry>(2, &settings, network, seed);
        for number in 2..32 {
            let host = world.add(suite::node(number, &settings));
            world.command(host, Command::Join { via: vec![HostId(number % 2).address()] });
        }
        run(&mut world, Duration::from_secs(200));
        assert_eq!(members(&world).len(), 32, "seed {seed}");
        assert_eq!(faults(&world), (vec![], 0), "seed {seed}");
        assert_eq!(not_with_one_zone(&world), [], "seed {seed}");
    }
}

#[test]
fn a_network_that_was_cut_in_two_heals_into_one() {
    for seed in 0..4 {
        let mut world = joined::<Geometry>(30, &settings(|_| {}), network(), seed);
        let mut hosts: Vec<HostId> = world.hosts().collect();
        Rng::new(seed).shuffle(&mut hosts);
        let (some, others) = hosts.split_at(12);
        world.network_mut().part(some, others);
        run(&mut world, Duration::from_secs(300));
        // Each side has the whole space.
        let volume: u64 = zones(&world).iter().map(|it| it.0.volume()).sum();
        assert_eq!(volume, 2 * VOLUME, "seed {seed}");
        world.network_mut().heal();
        run(&mut world, Duration::from_secs(600));
        assert_eq!(faults(&world), (vec![], 0), "seed {seed}");
        assert_eq!(look_up_everywhere(&mut world, seed, false).0, NONE, "seed {seed}");
    }
}
