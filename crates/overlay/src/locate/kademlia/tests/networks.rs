//! Joining, finding, and what becomes of a network when nodes die.

use super::{super::krpc::Item, *};

#[test]
fn every_node_finds_the_nearest_to_any_key_and_nearly_always_all_behind_it() {
    let mut world = joined(64, &settings(|_| ()), 1);
    let (first, whole, all) = look_up_everywhere(&mut world, 2);
    // Those behind are as far as the nearest and others on the way know.
    assert!((first, all) == (64, 64) && whole >= 60, "{first}, {whole} of {all}");
}

#[test]
fn on_several_paths_every_node_finds_the_nearest_and_most_of_the_others() {
    let mut world = joined(64, &settings(|it| it.paths = 4), 1);
    let (first, whole, all) = look_up_everywhere(&mut world, 2);
    // Each path has its part of the eight, whether or not its nodes are among the nearest of all.
    assert!((first, all) == (64, 64) && whole > 32, "{first}, {whole} of {all}");
}

#[test]
fn one_node_alone_is_the_nearest_to_every_key() {
    let mut world = joined(1, &settings(|_| ()), 1);
    let key = Key::of(b"song.mp3");
    assert!(matches!(
        put(&mut world, HostId(0), key, b"la"),
        Event::Locate(locate::Event::Stored { copies: 1, .. })
    ));
    assert_eq!(get(&mut world, HostId(0), key), Some(Bytes::from_static(b"la")));
    let me = world.machine(HostId(0)).unwrap().contact();
    let locate = locate::Command::Locate { ticket: Ticket(3), key, trace: true };
    let found = told(&mut world, HostId(0), Command::Locate(locate)).pop();
    let Some(Event::Locate(locate::Event::Located { holders, hops, .. })) = found else {
        panic!("{found:?}")
    };
    assert_eq!((holders, hops), (vec![me], 0));
}

#[test]
fn when_a_third_die_at_once_the_others_find_what_is_left() {
    let mut world = joined(64, &settings(|_| ()), 3);
    for number in (0..64).step_by(3) {
        world.crash(HostId(number));
    }
    let (first, _, all) = look_up_everywhere(&mut world, 4);
    assert!(first + 1 >= all, "{first} of {all} at once");
    run(&mut world, Duration::from_secs(20 * 60));
    let (first, whole, all) = look_up_everywhere(&mut world, 5);
    assert!((first, all) == (42, 42) && whole >= 40, "{first}, {whole} of {all} after upkeep");
}

#[test]
fn with_a_tenth_of_all_datagrams_lost_nodes_find_nearly_all() {
    let mut world = joined(64, &settings(|_| ()), 6);
    world.network_mut().loss = 0.1;
    let (first, _, all) = look_up_everywhere(&mut world, 7);
    assert!(first * 10 >= all * 7, "{first} of {all}");
}

#[test]
fn halves_that_were_parted_are_one_again_when_they_hear_of_each_other() {
    let mut world = joined(32, &settings(|_| ()), 8);
    let (left, right): (Vec<HostId>, Vec<HostId>) = world.hosts().partition(|it| it.0 < 16);
    world.network_mut().part(&left, &right);
    run(&mut world, Duration::from_secs(5 * 60));
    world.network_mut().heal();
    run(&mut world, Duration::from_secs(30 * 60));
    assert_eq!(look_up_everywhere(&mut world, 9), (32, 32, 32));
}

#[test]
fn who_only_asks_is_in_nobodys_table_and_finds_all() {
    let mut world = joined(16, &settings(|_| ()), 10);
    let host = world.add(node(16, &settings(|it| it.read_only = true)));
    order(&mut world, host, locate::Command::Join { via: vec![HostId(0).address()] });
    run(&mut world, Duration::from_secs(60));
    let key = Key::of(b"a");
    let locate = locate::Command::Locate { ticket: Ticket(1), key, trace: false };
    let found = told(&mut world, host, Command::Locate(locate)).pop();
    let Some(Event::Locate(locate::Event::Located { holders, .. })) = found else {
        panic!("{found:?}")
    };
    let mut right = nearest(&world, key);
    right.retain(|it| it.address != host.address());
    assert_eq!(holders[..], right[..8]);
    let me = world.machine(host).unwrap().contact();
    for other in world.hosts().filter(|it| *it != host) {
        let node = world.machine(other).unwrap();
        assert!(node.tables.iter().all(|it| it.get(me).is_none()), "{other:?}");
    }
}

#[test]
fn a_visitor_asks_through_any_node_and_becomes_none() {
    let mut world = joined(16, &settings(|_| ()), 11);
    let key = Key::of(b"a");
    put(&mut world, HostId(3), key, b"value");
    let host = world.add(node(16, &settings(|_| ())));
    order(&mut world, host, locate::Command::Visit { via: vec![HostId(7).address()] });
    assert_eq!(get(&mut world, host, key), Some(Bytes::from_static(b"value")));
    assert!(!world.machine(host).unwrap().is_member());
}

#[test]
fn a_node_without_anybody_says_so() {
    let mut world = joined(1, &settings(|_| ()), 12);
    let host = world.add(node(1, &settings(|_| ())));
    let key = Key::of(b"a");
    let locate =
        || Command::Locate(locate::Command::Locate { ticket: Ticket(1), key, trace: false });
    let failed = |why| vec![Event::Locate(locate::Event::Failed { ticket: Ticket(1), why })];
    assert_eq!(told(&mut world, host, locate()), failed(locate::Failure::Outside));
    world.crash(HostId(0));
    order(&mut world, host, locate::Command::Visit { via: vec![HostId(0).address()] });
    let (ticket, target, item) = (Ticket(1), key, Box::new(Item::of(Bytes::from_static(b"0:"))));
    for command in [
        locate(),
        Command::Peers { ticket, info_hash: key, announce: None, scrape: true },
        Command::Item { ticket, target, salt: Bytes::new() },
        Command::PutItem { ticket, item, cas: None },
        Command::Samples { ticket, target },
    ] {
        let said = told(&mut world, host, command.clone());
        assert_eq!(said, failed(locate::Failure::Unreachable), "{command:?}");
    }
}

#[test]
fn a_node_that_nobody_lets_in_yet_joins_once_somebody_is_there() {
    let mut world = World::new(13, network());
    let (first, second) = (HostId(0), HostId(1));
    world.add(node(0, &settings(|_| ())));
    world.add(node(1, &settings(|_| ())));
    order(&mut world, second, locate::Command::Join { via: vec![first.address()] });
    run(&mut world, Duration::from_secs(60));
    assert!(!world.machine(second).unwrap().is_member());
    order(&mut world, first, locate::Command::Join { via: vec![] });
    run(&mut world, Duration::from_secs(15));
    assert!(world.machine(second).unwrap().is_member());
}

#[test]
fn the_same_seed_gives_the_same_network() {
    let digest = || joined(12, &settings(|_| ()), 14).digest();
    assert_eq!(digest(), digest());
}
