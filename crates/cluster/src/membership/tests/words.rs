//! What members carry, and how all come to know it.

use super::{super::Carried, *};

fn carried(world: &World<Node>, host: HostId, other: HostId) -> Option<Carried> {
    world.machine(host).unwrap().member(&name(other)).and_then(|it| it.carried)
}

/// How many know that `other` carries `it`.
fn knowing(world: &World<Node>, other: HostId, it: Carried) -> usize {
    all(world).into_iter().filter(|&host| carried(world, host, other) == Some(it)).count()
}

#[test]
fn what_a_member_carries_reaches_all_within_seconds() {
    let mut network = network();
    network.loss = 0.1;
    let mut world = settled(40, network, 21);
    run(&mut world, 5);
    let word = Carried { capacity: 4, load: 17, draining: true };
    world.command(HostId(3), Command::Carry(word));
    run(&mut world, 3);
    assert_eq!(knowing(&world, HostId(3), word), 39);
    let event = Event::Carries { name: name(HostId(3)), carried: word };
    assert_eq!(told(&mut world).iter().filter(|(_, it)| *it == event).count(), 39);
}

#[test]
fn a_load_that_changes_all_the_time_is_told_now_and_then_and_the_last_one_reaches_all() {
    let mut world = settled(10, network(), 22);
    run(&mut world, 5);
    let word = |load| Carried { capacity: 1, load, draining: false };
    let start = world.now();
    for tenth in 0..200 {
        let at = start.after(Duration::from_millis(100) * tenth);
        world.command_at(at, HostId(0), Command::Carry(word(tenth + 1)));
    }
    run(&mut world, 30);
    assert_eq!(knowing(&world, HostId(0), word(200)), 9);
    // In twenty seconds, one at once and one every five.
    let heard = told(&mut world)
        .into_iter()
        .filter(|(host, it)| *host == HostId(9) && matches!(it, Event::Carries { .. }))
        .count();
    assert!((4..=6).contains(&heard), "{heard}");
}

#[test]
fn who_joins_late_learns_what_all_carry() {
    let mut world = joined(30, network(), 23);
    run(&mut world, 10);
    for host in world.hosts() {
        let word = Carried { capacity: host.0 + 1, load: 2 * host.0, draining: host.0 % 2 == 0 };
        world.command(host, Command::Carry(word));
    }
    // Long enough that nobody passes it on any more.
    run(&mut world, 60);
    let late = world.add(Node::new(contact(HostId(30)), BORN, Settings::default()));
    world.command(late, Command::Join { via: vec![contact(HostId(7))] });
    run(&mut world, 10);
    for host in (0..30).map(HostId) {
        let word = Carried { capacity: host.0 + 1, load: 2 * host.0, draining: host.0 % 2 == 0 };
        assert_eq!(carried(&world, late, host), Some(word), "{host:?}");
    }
}

#[test]
fn words_that_changed_beyond_a_cut_are_known_after_it() {
    let mut world = settled(20, network(), 24);
    run(&mut world, 5);
    let (one, other): (Vec<HostId>, Vec<HostId>) = world.hosts().partition(|it| it.0 < 10);
    world.network_mut().part(&one, &other);
    run(&mut world, 30);
    let word = Carried { capacity: 9, load: 9, draining: true };
    world.command(HostId(2), Command::Carry(word));
    run(&mut world, 30);
    assert_eq!(knowing(&world, HostId(2), word), 9);
    world.network_mut().heal();
    run(&mut world, 60);
    assert_eq!(knowing(&world, HostId(2), word), 19);
}

#[test]
fn an_old_word_never_takes_the_place_of_a_newer_one() {
    use super::super::{identity::Identity, ledger::Shared, record::Record};

    let record = |of: u32, generation, version, load| Record {
        name: name(HostId(of)),
        generation,
        version,
        carried: Carried { capacity: 1, load, draining: false },
        leaving: false,
    };
    let shared = Shared::new(record(0, 1, 0, 0));
    let mut ledger = shared.lock();
    assert!(!ledger.take(record(1, 5, 1, 1)), "nobody knows that member");
    ledger.note(&foca::Member::alive(Identity::new(contact(HostId(1)), 5)));
    for (generation, version, is_news) in
        [(5, 2, true), (5, 2, false), (5, 1, false), (6, 0, true), (5, 9, false), (6, 1, true)]
    {
        let news = ledger.take(record(1, generation, version, 10));
        assert_eq!(news, is_news, "{generation}, {version}");
    }
    assert!(!ledger.take(record(0, 2, 0, 7)), "nobody else speaks for this node");
    assert_eq!((ledger.echo, ledger.own.carried.load), (Some((2, 0)), 0));
}
