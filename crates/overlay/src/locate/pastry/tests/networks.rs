//! Networks that grow, shrink, break and are cut in two.

use nigh_base::machine::Coded;

use super::{super::leaves::distance, *};
use crate::locate::Failure;

/// No wrong answer.
const NONE: [String; 0] = [];

#[test]
fn nodes_that_join_one_by_one_know_their_leaves_and_find_every_owner() {
    for repair in REPAIRS {
        let mut world = joined(64, &settings(|it| it.repair = repair), 1);
        run(&mut world, Duration::from_secs(60));
        assert_eq!(wrong_leaves(&world), [], "{repair:?}");
        for trace in [false, true] {
            let (wrong, hops) = look_up_everywhere(&mut world, 2, trace);
            assert_eq!(wrong, NONE, "{repair:?}, trace {trace}");
            assert!((1.0..2.2).contains(&hops), "{hops} hops");
        }
    }
}

#[test]
fn a_table_that_grew_has_a_node_in_nearly_every_cell_for_which_there_is_one() {
    let mut world = joined(64, &settings(|_| {}), 3);
    run(&mut world, Duration::from_secs(300));
    let all = members(&world);
    let settled = Settled::new(settings(|_| {}), all.clone());
    let (mut filled, mut possible) = (0, 0);
    for me in all {
        let node = world.machine(HostId::at(me.address).unwrap()).unwrap();
        filled += node.cells();
        possible += settled.node(me, Time::START, |_| 0).cells();
    }
    assert!(filled <= possible && filled * 100 >= possible * 98, "{filled} of {possible}");
}

#[test]
fn one_node_alone_owns_every_key() {
    let mut world = joined(1, &settings(|_| {}), 4);
    assert_eq!(look_up_everywhere(&mut world, 1, false), (vec![], 0.0));
    assert_eq!(look_up_everywhere(&mut world, 2, true), (vec![], 0.0));
}

#[test]
fn when_a_third_die_at_once_the_others_find_every_owner() {
    for repair in REPAIRS {
        for routing in [Routing::Recursive, Routing::Iterative] {
            let settings = settings(|it| (it.repair, it.routing) = (repair, routing));
            let mut world = settled_world(64, &settings, network(), 5);
            world.check_always();
            run(&mut world, Duration::from_secs(10));
            let mut hosts: Vec<HostId> = world.hosts().collect();
            Rng::new(11).shuffle(&mut hosts);
            hosts[..21].iter().for_each(|&host| world.crash(host));
            // At once, round the dead.
            let (wrong, _) = look_up_everywhere(&mut world, 6, false);
            assert!(wrong.len() <= 1, "{repair:?}, {routing:?}: {wrong:?}");
            run(&mut world, Duration::from_secs(90));
            assert_eq!(wrong_leaves(&world), [], "{repair:?}");
            assert_eq!(look_up_everywhere(&mut world, 7, false).0, NONE, "{repair:?}, {routing:?}");
        }
    }
}

#[test]
fn datagrams_that_are_lost_delay_lookups_and_lose_few() {
    for routing in [Routing::Recursive, Routing::Iterative] {
        let settings = settings(|it| it.routing = routing);
        let mut network = network();
        (network.loss, network.duplication, network.reordering) = (0.1, 0.1, 0.2);
        let mut world = settled_world(100, &settings, network, 8);
        world.check_always();
        run(&mut world, Duration::from_secs(60));
        let (wrong, _) = look_up_everywhere(&mut world, 4, false);
        // All are answered; but an owner that misses two questions is taken for gone.
        assert!(wrong.iter().all(|it| it.contains("Located")), "{routing:?}: {wrong:?}");
        assert!(wrong.len() <= 5, "{routing:?}: {wrong:?}");
    }
}

#[test]
fn who_leaves_is_missed_by_nobody() {
    let mut world = settled_world(30, &settings(|_| {}), network(), 12);
    world.check_always();
    run(&mut world, Duration::from_secs(1));
    for host in [3, 4, 17, 20].map(HostId) {
        world.command(host, Command::Leave);
        run(&mut world, Duration::from_secs(1));
        world.crash(host);
    }
    let left = Event::Left { untaken: 0 };
    assert_eq!(world.take_events().iter().filter(|told| told.event == left).count(), 4);
    // No time-out of a neighbour has passed yet.
    let all = members(&world);
    for (place, me) in all.iter().enumerate() {
        let node = world.machine(HostId::at(me.address).unwrap()).unwrap();
        let next = [place + 1, place + all.len() - 1].map(|at| Some(all[at % all.len()]));
        assert_eq!(node.leaves.next(), next, "{me:?}");
    }
    assert_eq!(look_up_everywhere(&mut world, 7, false).0, NONE);
}

#[test]
fn a_network_that_was_cut_in_two_heals_into_one() {
    for repair in REPAIRS {
        for seed in 0..3 {
            let settings = settings(|it| it.repair = repair);
            let mut world = settled_world(40, &settings, network(), seed);
            world.check_always();
            let mut hosts: Vec<HostId> = world.hosts().collect();
            Rng::new(seed).shuffle(&mut hosts);
            let (some, others) = hosts.split_at(15);
            world.network_mut().part(some, others);
            run(&mut world, Duration::from_secs(300));
            for side in [some, others] {
                for &host in side {
                    let leaves = world.machine(host).unwrap().leaves();
                    let is_here = |it: &Contact| side.contains(&HostId::at(it.address).unwrap());
                    assert!(leaves.iter().all(is_here), "seed {seed}: {host:?} waits");
                }
            }
            world.network_mut().heal();
            run(&mut world, Duration::from_secs(300));
            assert_eq!(wrong_leaves(&world), [], "{repair:?}, seed {seed}");
            let (wrong, _) = look_up_everywhere(&mut world, seed, false);
            assert_eq!(wrong, NONE, "{repair:?}, seed {seed}");
        }
    }
}

#[test]
fn one_seed_is_one_run_in_types_or_in_bytes() {
    let settings = settings(|_| {});
    let mut network = network();
    network.loss = 0.05;
    let contacts: Vec<Contact> = (0..40).map(|number| node(number, &settings).contact()).collect();
    let all = Settled::new(Arc::clone(&settings), contacts.clone());
    let first = Time::from_secs(1);
    let machine = |me: Contact| all.node(me, first, |fit| fit.len() / 2);
    let ask = |number: u64| {
        let key = Key::of(&number.to_be_bytes());
        Command::Locate { ticket: Ticket(number), key, trace: number.is_multiple_of(2) }
    };
    let in_types = |threads| {
        let mut world = World::on_threads(9, network.clone(), threads);
        for (number, &contact) in (0..).zip(&contacts) {
            let host = world.add(machine(contact));
            world.command(host, ask(number));
        }
        run(&mut world, Duration::from_secs(30));
        world.digest()
    };
    let digest = in_types(1);
    assert_eq!(digest, in_types(1), "again");
    assert_eq!(digest, in_types(2), "two threads");
    let mut world = World::new(9, network.clone());
    for (number, &contact) in (0..).zip(&contacts) {
        let host = world.add(Coded::new(machine(contact)));
        world.command(host, ask(number));
    }
    run(&mut world, Duration::from_secs(30));
    assert_eq!(digest, world.digest(), "in bytes");
}

#[test]
fn with_locality_ways_are_shorter_in_time() {
    use nigh_sim::Places;
    let trip = |locality| {
        let settings = settings(|it| it.locality = locality);
        let mut rng = Rng::new(13);
        let places = Arc::new(Places::spread(200, Duration::from_millis(60), &mut rng));
        let latency = Latency::Placed(places);
        let mut world = settled_world(200, &settings, Network::new(latency.clone()), 13);
        world.check_always();
        run(&mut world, Duration::from_secs(300));
        let far = |host: HostId| {
            let node = world.machine(host).unwrap();
            let row: Vec<Contact> = node.table.row(0).collect();
            let delays =
                row.iter().map(|it| latency.between(host, HostId::at(it.address).unwrap()));
            delays.sum::<Duration>() / u32::try_from(row.len()).unwrap()
        };
        let sum: Duration = world.hosts().map(far).sum();
        (sum / 200, look_up_everywhere(&mut world, 1, false).0)
    };
    let ((near, wrong), (far, wrong_without)) = (trip(true), trip(false));
    assert_eq!((wrong, wrong_without), (vec![], vec![]));
    assert!(near * 3 < far * 2, "{near:?} and {far:?}");
}

#[test]
fn a_visitor_asks_through_any_node_and_becomes_none() {
    let settings = settings(|_| {});
    let mut world = settled_world(30, &settings, network(), 6);
    world.check_always();
    let visitor = world.add(node(30, &settings));
    world.command(visitor, Command::Visit { via: vec![HostId(99).address(), HostId(8).address()] });
    let key = Key::of(b"v");
    world.command(visitor, Command::Locate { ticket: Ticket(3), key, trace: true });
    run(&mut world, Duration::from_secs(10));
    let Some(Event::Located { holders, hops, route, .. }) =
        world.take_events().pop().map(|it| it.event)
    else {
        panic!("no answer")
    };
    assert_eq!((holders[0], holders.len()), (owner(&world, key), 3));
    let answered: Vec<_> = route.iter().filter(|hop| hop.round_trip.is_some()).collect();
    assert_eq!(answered.len(), hops as usize, "{route:?}");
    assert_eq!(answered.last().unwrap().key, Some(holders[0].key));
    assert_eq!(answered.last().unwrap().gap, Some(distance(holders[0].key, key)));
    assert!(members(&world).iter().all(|it| it.address != visitor.address()));
    for host in world.hosts().filter(|it| *it != visitor) {
        let known = world.machine(host).unwrap().peer(node(30, &settings).contact().key);
        assert!(known.is_none());
    }
}

#[test]
fn a_way_in_is_tried_until_somebody_is_there_or_the_caller_ends_it() {
    let settings = settings(|_| {});
    let mut world = World::new(1, network());
    world.check_always();
    let [a, b, late] = [0, 1, 2].map(|number| world.add(node(number, &settings)));
    for host in [a, b] {
        world.command(host, Command::Join { via: vec![late.address()] });
    }
    run(&mut world, Duration::from_secs(200));
    assert_eq!(world.take_events(), []);
    world.command(b, Command::Leave);
    world.command(late, Command::Join { via: vec![] });
    run(&mut world, Duration::from_secs(15));
    let told = world.take_events().into_iter().map(|told| (told.host, told.event));
    let expected = [(b, Event::Left { untaken: 0 }), (late, Event::Joined), (a, Event::Joined)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(!world.machine(b).unwrap().is_member());
}

#[test]
fn what_cannot_be_done_fails_with_the_reason() {
    let settings = settings(|_| {});
    let mut world = World::new(1, network());
    world.check_always();
    for number in 0..2 {
        world.add(node(number, &settings));
    }
    let (first, outside) = (HostId(0), HostId(1));
    let locate = || Command::Locate { ticket: Ticket(1), key: Key::from(1), trace: false };
    let failed = |why| Event::Failed { ticket: Ticket(1), why };
    let told = |world: &mut World<Node>| {
        run(world, Duration::from_secs(30));
        world.take_events().pop().map(|it| it.event)
    };
    world.command(outside, locate());
    assert_eq!(told(&mut world), Some(failed(Failure::Outside)));
    world.command(outside, Command::Visit { via: vec![HostId(9).address()] });
    world.command(outside, locate());
    assert_eq!(told(&mut world), Some(failed(Failure::Unreachable)));
    // Of two nodes with one key the second is told.
    for number in 2..6 {
        world.add(node(number, &settings));
    }
    world.command(first, Command::Join { via: vec![] });
    for number in 2..6 {
        world.command(HostId(number), Command::Join { via: vec![first.address()] });
        run(&mut world, Duration::from_secs(5));
    }
    let key = node(3, &settings).contact().key;
    let twin = world.add(Node::new(key, HostId(6).address(), Arc::clone(&settings)));
    world.command(twin, Command::Join { via: vec![first.address()] });
    assert_eq!(told(&mut world), Some(Event::JoinFailed(Failure::KeyTaken)));
    // Once that one is gone, the key is free, and the node that takes it is found.
    world.crash(HostId(3));
    world.command(twin, Command::Join { via: vec![first.address()] });
    assert_eq!(told(&mut world), Some(Event::Joined));
    run(&mut world, Duration::from_secs(60));
    assert_eq!(wrong_leaves(&world), []);
}
