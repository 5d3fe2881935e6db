//! Networks that grow, shrink, break and are cut in two.

use nigh_sim::Latency;

use super::*;

/// No wrong answer.
const NONE: [String; 0] = [];

#[test]
fn nodes_that_join_one_by_one_know_their_leaves_and_find_every_owner() {
    for repair in REPAIRS {
        let mut world = suite::joined(64, &settings(|it| it.circle.repair = repair), network(), 1);
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
    let mut world = suite::joined(64, &settings(|_| {}), network(), 3);
    run(&mut world, Duration::from_secs(300));
    let all = members(&world);
    let settled = Settled::new(settings(|_| {}), all.clone());
    let (mut filled, mut possible) = (0, 0);
    for me in all {
        let node = world.machine(host(me)).unwrap();
        filled += node.cells();
        possible += settled.node(me, Time::START, |_| 0).cells();
    }
    assert!(filled <= possible && filled * 100 >= possible * 98, "{filled} of {possible}");
}

#[test]
fn when_a_third_die_at_once_the_others_find_every_owner() {
    for repair in REPAIRS {
        for routing in [Routing::Recursive, Routing::Iterative] {
            let settings = settings(|it| {
                (it.circle.repair, it.circle.node.routing) = (repair, routing);
            });
            let mut world = settled_world(64, &settings, network(), 5);
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
fn a_network_that_was_cut_in_two_heals_into_one() {
    for repair in REPAIRS {
        for seed in 0..3 {
            let settings = settings(|it| it.circle.repair = repair);
            let mut world = settled_world(40, &settings, network(), seed);
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
fn with_locality_ways_are_shorter_in_time() {
    use nigh_sim::Places;
    let trip = |locality| {
        let settings = settings(|it| it.locality = locality);
        let mut rng = Rng::new(13);
        let places = Arc::new(Places::spread(200, Duration::from_millis(60), &mut rng));
        let latency = Latency::Placed(places);
        let mut world = settled_world(200, &settings, Network::new(latency.clone()), 13);
        run(&mut world, Duration::from_secs(300));
        let far = |host: HostId| {
            let node = world.machine(host).unwrap();
            let row: Vec<Contact> = node.geometry.far.row(0).collect();
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
