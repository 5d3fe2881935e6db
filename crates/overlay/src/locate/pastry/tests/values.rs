//! Put and Get: copies, expiry, renewal, and nodes that come and go in between.

use bytes::Bytes;

use super::*;
use crate::locate::{Failure, Overlay as _, VALUE_MAX};

const HOUR: Duration = Duration::from_secs(3600);

fn put(
    world: &mut World<Node>,
    by: HostId,
    name: &str,
    lifetime: Duration,
    refresh: bool,
) -> Event {
    let (key, value) = (Key::of(name.as_bytes()), Bytes::copy_from_slice(name.as_bytes()));
    world.take_events();
    world.command(by, Command::Put { ticket: Ticket(1), key, value, lifetime, refresh });
    run(world, Duration::from_secs(5));
    world.take_events().pop().expect("a put is answered").event
}

fn get(world: &mut World<Node>, by: HostId, name: &str) -> Event {
    world.take_events();
    world.command(by, Command::Get { ticket: Ticket(2), key: Key::of(name.as_bytes()) });
    run(world, Duration::from_secs(10));
    world.take_events().pop().expect("a get is answered").event
}

fn value(name: &str) -> Event {
    Event::Value { ticket: Ticket(2), value: Some(Bytes::copy_from_slice(name.as_bytes())) }
}

fn holders(world: &World<Node>) -> usize {
    world.hosts().filter_map(|host| world.machine(host)).filter(|it| it.held() > 0).count()
}

fn world(seed: u64) -> World<Node> {
    let settings = settings(|it| it.upkeep_every = Duration::from_secs(2));
    let mut world = settled_world(30, &settings, network(), seed);
    world.check_always();
    world
}

#[test]
fn what_is_put_is_held_by_the_three_nearest_and_got_from_anywhere() {
    let mut world = world(1);
    let stored = Event::Stored { ticket: Ticket(1), copies: 3 };
    assert_eq!(put(&mut world, HostId(3), "a", HOUR, false), stored);
    assert_eq!(holders(&world), 3);
    let mut all = members(&world);
    all.sort_by_key(|it| nearness(it.key, Key::of(b"a")));
    for holder in &all[..3] {
        assert_eq!(world.machine(HostId::at(holder.address).unwrap()).unwrap().held(), 1);
    }
    for host in [0, 3, 9, 29] {
        assert_eq!(get(&mut world, HostId(host), "a"), value("a"));
    }
    assert_eq!(get(&mut world, HostId(5), "b"), Event::Value { ticket: Ticket(2), value: None });
}

#[test]
fn a_value_ends_with_its_lifetime_unless_it_is_put_again() {
    let mut world = world(2);
    put(&mut world, HostId(3), "once", Duration::from_secs(60), false);
    put(&mut world, HostId(3), "again", Duration::from_secs(120), true);
    assert_eq!(get(&mut world, HostId(4), "once"), value("once"));
    run(&mut world, Duration::from_secs(600));
    let nothing = Event::Value { ticket: Ticket(2), value: None };
    assert_eq!(get(&mut world, HostId(4), "once"), nothing);
    assert_eq!(get(&mut world, HostId(4), "again"), value("again"));
    // Without the one who puts it again, that ends too.
    world.crash(HostId(3));
    run(&mut world, Duration::from_secs(300));
    assert_eq!(get(&mut world, HostId(4), "again"), nothing);
    assert_eq!(holders(&world), 0);
}

#[test]
fn the_latest_of_two_values_wins() {
    let mut world = world(3);
    for text in ["first", "second"] {
        let (key, value) = (Key::of(b"k"), Bytes::copy_from_slice(text.as_bytes()));
        let (ticket, lifetime, refresh) = (Ticket(1), HOUR, false);
        world.command(HostId(1), Command::Put { ticket, key, value, lifetime, refresh });
        run(&mut world, Duration::from_secs(5));
    }
    let value = Some(Bytes::from_static(b"second"));
    assert_eq!(get(&mut world, HostId(7), "k"), Event::Value { ticket: Ticket(2), value });
}

#[test]
fn values_outlive_their_holders_as_long_as_not_all_fail_at_once() {
    let mut world = world(4);
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        put(&mut world, HostId(3), name, HOUR, false);
    }
    // Two of three at once, again and again, with time for repair in between.
    for _ in 0..5 {
        let mut all = members(&world);
        all.sort_by_key(|it| nearness(it.key, Key::of(b"a")));
        for contact in &all[..2] {
            world.crash(HostId::at(contact.address).unwrap());
        }
        run(&mut world, Duration::from_secs(250));
    }
    let asker = HostId::at(members(&world)[0].address).unwrap();
    for name in names {
        assert_eq!(get(&mut world, asker, name), value(name));
    }
}

#[test]
fn a_node_that_joins_is_given_what_it_owns_and_one_that_leaves_hands_it_on() {
    let settings = settings(|it| (it.upkeep_every, it.copies) = (Duration::from_secs(2), 1));
    let mut world = settled_world(10, &settings, network(), 5);
    world.check_always();
    let names: Vec<String> = (0..40).map(|number| format!("name {number}")).collect();
    for name in &names {
        put(&mut world, HostId(0), name, HOUR, false);
    }
    for number in 10..20 {
        let host = world.add(node(number, &settings));
        world.command(host, Command::Join { via: vec![HostId(0).address()] });
        run(&mut world, Duration::from_secs(10));
    }
    for name in &names {
        let key = Key::of(name.as_bytes());
        let owner = HostId::at(owner(&world, key).address).unwrap();
        let held = world.machine(owner).unwrap().held_value(key, world.now());
        assert!(held.is_some(), "{name}");
        assert_eq!(get(&mut world, HostId(15), name), value(name));
    }
    for number in 0..10 {
        world.take_events();
        world.command(HostId(number), Command::Leave);
        run(&mut world, Duration::from_secs(10));
        assert_eq!(world.take_events().pop().unwrap().event, Event::Left { untaken: 0 });
        world.crash(HostId(number));
    }
    for name in &names {
        assert_eq!(get(&mut world, HostId(15), name), value(name));
    }
}

#[test]
fn who_is_not_among_the_nearest_any_more_lets_go_of_a_value() {
    let settings = settings(|it| it.upkeep_every = Duration::from_secs(2));
    let mut world = settled_world(6, &settings, network(), 7);
    world.check_always();
    for number in 0..20 {
        put(&mut world, HostId(0), &format!("{number}"), HOUR, false);
    }
    for number in 6..36 {
        let host = world.add(node(number, &settings));
        world.command(host, Command::Join { via: vec![HostId(0).address()] });
        run(&mut world, Duration::from_secs(5));
    }
    run(&mut world, Duration::from_secs(600));
    let held: usize = world.hosts().map(|host| world.machine(host).unwrap().held()).sum();
    assert_eq!(held, 60);
}

#[test]
fn a_visitor_puts_and_gets_without_becoming_a_node() {
    let mut world = world(6);
    let visitor = world.add(node(30, &settings(|_| {})));
    world.command(visitor, Command::Visit { via: vec![HostId(8).address()] });
    let stored = Event::Stored { ticket: Ticket(1), copies: 3 };
    assert_eq!(put(&mut world, visitor, "v", HOUR, false), stored);
    assert_eq!(get(&mut world, visitor, "v"), value("v"));
    assert_eq!(members(&world).len(), 30);
}

#[test]
fn what_is_too_long_is_refused_before_it_travels() {
    let mut world = world(7);
    let (ticket, key, lifetime) = (Ticket(9), Key::from(1), HOUR);
    let value = Bytes::from(vec![0; VALUE_MAX + 1]);
    world.command(HostId(0), Command::Put { ticket, key, value, lifetime, refresh: true });
    run(&mut world, Duration::from_nanos(1));
    let told = world.take_events();
    assert_eq!(told[0].event, Event::Failed { ticket, why: Failure::ValueTooLong });
}
