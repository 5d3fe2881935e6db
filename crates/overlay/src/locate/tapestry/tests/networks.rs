//! Networks that grow, shrink, break and are cut in two; and values that are found near.

use bytes::Bytes;
use nigh_sim::{Latency, Places};

use super::*;
use crate::locate::{Ticket, node::geometry::Geometry as _, tapestry::message::Level};

/// No wrong answer.
const NONE: [String; 0] = [];

fn shuffled(rng: &mut Rng) -> impl FnMut(Contact, &mut Vec<Contact>) + '_ {
    |_, fit| rng.shuffle(fit)
}

#[test]
fn three_hundred_nodes_that_join_ten_a_second_leave_no_hole_and_agree_on_each_root() {
    let settings = settings(|_| {});
    let mut world = World::new(3, network());
    let mut rng = Rng::new(3);
    for number in 0..300u32 {
        let host = world.add(node(number, &settings));
        let via = match number {
            0 => vec![],
            _ => vec![HostId(u32::try_from(rng.below(number.into())).unwrap()).address()],
        };
        world.command(host, Command::Join { via });
        run(&mut world, Duration::from_millis(if number == 0 { 1_000 } else { 100 }));
    }
    run(&mut world, Duration::from_secs(60));
    assert_eq!(members(&world).len(), 300);
    assert_eq!(holes(&world), []);
    let all = Settled::new(Arc::clone(&settings), members(&world));
    for number in 0..10u32 {
        let key = Key::of(&number.to_be_bytes());
        for &from in all.contacts() {
            let (mut at, mut carry) = (from, Level::default());
            while let Some(step) =
                Geometry::next_hop(world.machine(host(at)).unwrap(), key, carry, &[])
            {
                (at, carry) = (step.contact, step.carry);
            }
            assert_eq!(at, all.owner(key), "{key} from {from:?}");
        }
    }
}

#[test]
fn a_node_that_joins_is_known_to_all_who_had_a_hole_for_it_within_two_seconds() {
    let settings = settings(|_| {});
    let mut world = suite::joined(40, &settings, network(), 4);
    run(&mut world, Duration::from_secs(60));
    for number in 40..60 {
        let host = world.add(node(number, &settings));
        world.command(host, Command::Join { via: vec![HostId(number % 7).address()] });
        run(&mut world, Duration::from_secs(2));
        assert!(world.machine(host).unwrap().is_member());
        assert_eq!(holes(&world), [], "node {number}");
    }
}

#[test]
fn nodes_that_have_lost_messages_when_they_joined_end_in_one_network() {
    let mut network = network();
    (network.loss, network.duplication, network.reordering) = (0.1, 0.1, 0.2);
    let mut world = suite::joined(40, &settings(|_| {}), network, 9);
    run(&mut world, Duration::from_secs(60));
    world.network_mut().loss = 0.0;
    run(&mut world, Duration::from_secs(60));
    assert_eq!(holes(&world), []);
}

#[test]
fn when_a_third_die_at_once_nodes_in_reserve_take_over() {
    let settings = settings(|_| {});
    let mut rng = Rng::new(5);
    let mut world = settled_world(64, &settings, network(), 5, shuffled(&mut rng));
    run(&mut world, Duration::from_secs(10));
    let mut hosts: Vec<HostId> = world.hosts().collect();
    Rng::new(11).shuffle(&mut hosts);
    hosts[..21].iter().for_each(|&host| world.crash(host));
    // At once, round the dead.
    let (wrong, _) = look_up_everywhere(&mut world, 6, false);
    assert!(wrong.len() <= 3, "{wrong:?}");
    run(&mut world, Duration::from_secs(90));
    assert_eq!(holes(&world), []);
    assert_eq!(look_up_everywhere(&mut world, 7, false).0, NONE);
}

#[test]
fn a_network_that_was_cut_in_two_heals_into_one() {
    for seed in 0..2 {
        let mut rng = Rng::new(seed);
        let settings = settings(|_| {});
        let mut world = settled_world(40, &settings, network(), seed, shuffled(&mut rng));
        let mut hosts: Vec<HostId> = world.hosts().collect();
        Rng::new(seed).shuffle(&mut hosts);
        let (some, others) = hosts.split_at(15);
        world.network_mut().part(some, others);
        run(&mut world, Duration::from_secs(300));
        world.network_mut().heal();
        run(&mut world, Duration::from_secs(300));
        assert_eq!(holes(&world), [], "seed {seed}");
        assert_eq!(look_up_everywhere(&mut world, seed, false).0, NONE, "seed {seed}");
    }
}

fn spread(count: usize) -> Latency {
    let places = Places::spread(count, Duration::from_millis(60), &mut Rng::new(13));
    Latency::Placed(Arc::new(places))
}

#[test]
fn with_locality_the_first_of_each_cell_is_near() {
    let trip = |locality| {
        let settings = settings(|it| it.locality = locality);
        let (latency, mut rng) = (spread(100), Rng::new(13));
        let network = Network::new(latency.clone());
        let mut world = settled_world(100, &settings, network, 13, shuffled(&mut rng));
        run(&mut world, Duration::from_secs(60));
        let far = |me: HostId| {
            let node = world.machine(me).unwrap();
            let digits = (0..16u64).map(|digit| Key::from(digit).shifted_up(156));
            let first = digits.filter_map(|key| node.cell(key).first().copied());
            let ways: Vec<Duration> = first.map(|it| latency.between(me, host(it))).collect();
            ways.iter().sum::<Duration>() / u32::try_from(ways.len()).unwrap()
        };
        world.hosts().map(far).sum::<Duration>() / 100
    };
    let (near, far) = (trip(true), trip(false));
    assert!(near * 3 < far * 2, "{near:?} and {far:?}");
}

/// JSAC 2004, section III: who asks near a server finds it near, and does not go to the root.
#[test]
fn a_value_is_got_sooner_by_a_pointer_near_its_publisher_than_from_the_owner() {
    let mean = |pointers| {
        let settings = settings(|it| {
            (it.pointers, it.node.copies) = (pointers, 1);
            // Nothing changes.
            it.node.upkeep_every = Duration::from_secs(36_000);
        });
        let latency = spread(200);
        let near = |me: Contact, fit: &mut Vec<Contact>| {
            fit.sort_by_key(|it| latency.between(host(me), host(*it)));
        };
        let network = Network::new(latency.clone());
        let mut world = settled_world(200, &settings, network, 14, near);
        let (mut in_all, mut count) = (Duration::ZERO, 0);
        for number in 0..20u32 {
            let publisher = HostId(number);
            let (key, value) = (Key::of(&number.to_be_bytes()), Bytes::from_static(b"value"));
            let (ticket, lifetime, refresh) = (Ticket(1), Duration::from_secs(3600), true);
            world.command(publisher, Command::Put { ticket, key, value, lifetime, refresh });
            run(&mut world, Duration::from_secs(5));
            world.take_events();
            let mut others: Vec<HostId> = world.hosts().filter(|it| *it != publisher).collect();
            others.sort_by_key(|it| latency.between(publisher, *it));
            for &asker in &others[..5] {
                let start = world.now();
                world.command(asker, Command::Get { ticket: Ticket(2), key });
                run(&mut world, Duration::from_secs(2));
                let told = world.take_events().pop().unwrap();
                assert!(matches!(told.event, Event::Value { value: Some(_), .. }), "{told:?}");
                in_all += told.at.since(start);
                count += 1;
            }
        }
        in_all / count
    };
    let (pointed, from_owner) = (mean(true), mean(false));
    assert!(pointed * 3 < from_owner * 2, "{pointed:?} and {from_owner:?}");
}

#[test]
fn pointers_to_a_publisher_that_is_gone_delay_a_get_and_end() {
    let settings = settings(|_| {});
    let mut rng = Rng::new(6);
    let mut world = settled_world(40, &settings, network(), 6, shuffled(&mut rng));
    let (key, value) = (Key::of(b"key"), Bytes::from_static(b"value"));
    let owner = host(Geometry::owner(&world, key));
    let publisher = world.hosts().find(|it| *it != owner).unwrap();
    let (ticket, lifetime, refresh) = (Ticket(1), Duration::from_secs(3600), true);
    let put = Command::Put { ticket, key, value: value.clone(), lifetime, refresh };
    world.command(publisher, put);
    run(&mut world, Duration::from_secs(10));
    let pointers = |world: &World<Node>| {
        world.hosts().filter_map(|it| world.machine(it)).map(Node::pointers).sum::<usize>()
    };
    assert!(pointers(&world) >= 2, "{}", pointers(&world));
    world.crash(publisher);
    world.take_events();
    for asker in world.hosts().filter(|it| *it != publisher) {
        world.command(asker, Command::Get { ticket: Ticket(2), key });
    }
    run(&mut world, Duration::from_secs(20));
    let told = world.take_events();
    let right = Event::Value { ticket: Ticket(2), value: Some(value) };
    assert_eq!(told.iter().filter(|it| it.event == right).count(), 39);
    // Those of the holders that are left stay.
    let with_publisher = pointers(&world);
    run(&mut world, Duration::from_secs(700));
    assert!(pointers(&world) > 0 && pointers(&world) <= with_publisher);
}
