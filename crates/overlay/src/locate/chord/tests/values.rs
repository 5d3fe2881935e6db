//! Put and Get: copies, expiry, renewal, and nodes that come and go in between.

use bytes::Bytes;

use super::*;
use crate::locate::{Failure, VALUE_MAX};

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
    let settings = settings(|it| it.stabilise_every = Duration::from_secs(2));
    let mut world = settled_world(30, &settings, network(), seed, 1);
    world.check_always();
    world
}

#[test]
fn what_is_put_is_held_three_times_and_got_from_anywhere() {
    let mut world = world(1);
    assert_eq!(
        put(&mut world, HostId(3), "a", HOUR, false),
        Event::Stored { ticket: Ticket(1), copies: 3 }
    );
    assert_eq!(holders(&world), 3);
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
    assert_eq!(get(&mut world, HostId(4), "once"), Event::Value { ticket: Ticket(2), value: None });
    assert_eq!(get(&mut world, HostId(4), "again"), value("again"));
    // Without the one who puts it again, that ends too.
    world.crash(HostId(3));
    run(&mut world, Duration::from_secs(300));
    assert_eq!(
        get(&mut world, HostId(4), "again"),
        Event::Value { ticket: Ticket(2), value: None }
    );
    assert_eq!(holders(&world), 0);
}

#[test]
fn the_latest_of_two_values_wins() {
    let mut world = world(3);
    for text in ["first", "second"] {
        let (key, value) = (Key::of(b"k"), Bytes::copy_from_slice(text.as_bytes()));
        world.command(
            HostId(1),
            Command::Put { ticket: Ticket(1), key, value, lifetime: HOUR, refresh: false },
        );
        run(&mut world, Duration::from_secs(5));
    }
    assert_eq!(
        get(&mut world, HostId(7), "k"),
        Event::Value { ticket: Ticket(2), value: Some("second".into()) }
    );
}

#[test]
fn values_outlive_their_holders_as_long_as_not_all_fail_at_once() {
    let mut world = world(4);
    for name in ["a", "b", "c", "d", "e"] {
        put(&mut world, HostId(3), name, HOUR, false);
    }
    // Two of three at once, again and again, with time for repair in between.
    for _ in 0..5 {
        let owner = owner(&world, Key::of(b"a"));
        let node = world.machine(HostId::at(owner.address).unwrap()).unwrap();
        let next = node.successors()[0];
        for contact in [owner, next] {
            world.crash(HostId::at(contact.address).unwrap());
        }
        run(&mut world, Duration::from_secs(200));
    }
    let asker = HostId::at(members(&world)[0].address).unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(get(&mut world, asker, name), value(name));
    }
}

#[test]
fn a_node_that_joins_is_given_what_it_owns_now() {
    let settings = settings(|it| {
        (it.stabilise_every, it.copies) = (Duration::from_secs(2), 1);
    });
    let mut world = settled_world(10, &settings, network(), 5, 1);
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
    run(&mut world, Duration::from_secs(60));
    for name in &names {
        let owner = owner(&world, Key::of(name.as_bytes()));
        let node = world.machine(HostId::at(owner.address).unwrap()).unwrap();
        assert!(node.held_value(Key::of(name.as_bytes()), world.now()).is_some(), "{name}");
        assert_eq!(get(&mut world, HostId(15), name), value(name));
    }
    // And one that leaves hands on what it owned, though nobody has a copy.
    for number in 0..10 {
        world.command(HostId(number), Command::Leave);
        run(&mut world, Duration::from_secs(10));
    }
    for name in &names {
        assert_eq!(get(&mut world, HostId(15), name), value(name));
    }
}

#[test]
fn a_visitor_puts_and_gets_without_becoming_a_node() {
    let mut world = world(6);
    let settings = settings(|_| {});
    let visitor = world.add(node(30, &settings));
    world.command(visitor, Command::Visit { via: vec![HostId(99).address(), HostId(8).address()] });
    run(&mut world, Duration::from_secs(1));
    assert_eq!(
        put(&mut world, visitor, "v", HOUR, false),
        Event::Stored { ticket: Ticket(1), copies: 3 }
    );
    assert_eq!(get(&mut world, visitor, "v"), value("v"));
    world.command(visitor, Command::Locate { ticket: Ticket(3), key: Key::of(b"v"), trace: true });
    run(&mut world, Duration::from_secs(5));
    let Some(Event::Located { holders, hops, route, .. }) =
        world.take_events().pop().map(|it| it.event)
    else {
        panic!("no answer")
    };
    assert_eq!(holders[0], owner(&world, Key::of(b"v")));
    let answered = route.iter().filter(|hop| hop.round_trip.is_some()).count();
    assert_eq!(u32::try_from(answered).unwrap() + 1, hops, "{route:?}");
    // Each hop but the last is nearer than the one that named it.
    for hop in &route {
        if let Some(by) = hop.named_by {
            let before = route[by as usize].gap;
            assert!(
                before.is_none_or(
                    |before| hop.gap.unwrap() < before || hop.gap > Some(Key::power(159))
                )
            );
        }
    }
    assert_eq!(members(&world).len(), 30);
    assert!(!members(&world).iter().any(|it| it.address == visitor.address()));
}

#[test]
fn what_is_too_long_is_refused_before_it_travels() {
    let mut world = world(7);
    let value = Bytes::from(vec![0; VALUE_MAX + 1]);
    let command =
        Command::Put { ticket: Ticket(9), key: Key::from(1), value, lifetime: HOUR, refresh: true };
    let sent = world.counts().sent;
    world.command(HostId(0), command);
    run(&mut world, Duration::from_nanos(1));
    let told = world.take_events();
    assert_eq!(told[0].event, Event::Failed { ticket: Ticket(9), why: Failure::ValueTooLong });
    assert!(world.counts().sent <= sent + 5);
}
