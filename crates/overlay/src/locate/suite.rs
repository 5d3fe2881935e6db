//! What must hold of every overlay of [`Node`]s, on simulated networks: an overlay's tests name its geometry,
//! and have all of these.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use nigh_base::{Address, Key, Rng, machine::Coded};
use nigh_sim::{HostId, Latency, Network, World};

use super::{
    Command, Contact, Event, Failure, LEAVE_MAX, Overlay as _, Ticket, VALUE_MAX,
    node::{self, Node, Routing, geometry::Geometry},
};

/// An overlay that is put to these tests.
pub(in crate::locate) trait Subject:
    Geometry<Settings: Send + Sync> + Send
{
    /// How long the tables of a few dozen nodes take to be right again.
    const SETTLES: Duration;

    /// Its settings, with these for what every overlay is told.
    fn settings(node: node::Settings) -> Self::Settings;

    /// Who is responsible for `key` among all members, by the overlay's definition.
    fn owner(world: &World<Node<Self>>, key: Key) -> Contact;
}

/// The tests of an overlay.
macro_rules! suite {
    ($geometry:ty: $($test:ident)*) => {
        $(#[test]
        fn $test() {
            crate::locate::suite::$test::<$geometry>();
        })*
    };
    ($geometry:ty) => {
        crate::locate::suite::suite!($geometry:
            nodes_that_join_one_by_one_find_every_owner
            nodes_that_join_at_once_find_every_owner
            one_node_alone_owns_every_key
            when_a_third_die_at_once_the_others_find_every_owner
            rounds_shorter_than_the_waits_for_answers_hide_nobody_who_is_gone
            datagrams_that_are_lost_delay_lookups_and_lose_few
            who_leaves_is_missed_by_nobody
            one_seed_is_one_run_in_types_or_in_bytes
            a_visitor_asks_through_any_node_and_becomes_none
            a_way_in_is_tried_until_somebody_is_there_or_the_caller_ends_it
            what_cannot_be_done_fails_with_the_reason
            what_is_put_is_held_by_several_and_got_from_anywhere
            a_value_ends_with_its_lifetime_unless_it_is_put_again
            the_latest_of_two_values_wins
            values_outlive_their_holders_as_long_as_not_all_fail_at_once
            a_node_that_joins_is_given_what_it_owns_and_one_that_leaves_hands_it_on
            who_does_not_stand_in_for_the_owner_any_more_lets_go_of_a_value
            what_is_too_long_is_refused_before_it_travels
            a_node_that_is_asked_at_another_address_than_it_names_is_found_and_lets_others_in
            a_put_succeeds_though_a_node_that_stands_in_has_just_died
            who_leaves_hands_on_to_those_who_live_though_another_has_just_died
            a_put_is_answered_though_its_owner_leaves_meanwhile
        );
    };
}
pub(in crate::locate) use suite;

const HOUR: Duration = Duration::from_secs(3600);
const ROUTINGS: [Routing; 2] = [Routing::Recursive, Routing::Iterative];
/// No wrong answer.
const NONE: [String; 0] = [];

pub(in crate::locate) fn settings<G: Subject>(
    change: impl FnOnce(&mut node::Settings),
) -> Arc<G::Settings> {
    let mut settings = node::Settings::default();
    change(&mut settings);
    Arc::new(G::settings(settings))
}

pub(in crate::locate) fn network() -> Network {
    let mut network = Network::new(Latency::Constant(Duration::from_millis(30)));
    network.jitter = Duration::from_millis(20);
    network
}

pub(in crate::locate) fn node<G: Subject>(number: u32, settings: &Arc<G::Settings>) -> Node<G> {
    let address = HostId(number).address();
    Node::new(Key::of(address.to_string().as_bytes()), address, Arc::clone(settings))
}

pub(in crate::locate) fn run<T>(world: &mut World<T>, span: Duration)
where
    T: nigh_base::Machine + Send,
    T::Message: nigh_base::wire::Wire + Clone + Send,
    T::Command: Send,
    T::Event: Send,
{
    let end = world.now().after(span);
    world.run_until(end);
}

/// Nodes that have joined one after the other, through one that is drawn.
pub(in crate::locate) fn joined<G: Subject>(
    count: u32,
    settings: &Arc<G::Settings>,
    network: Network,
    seed: u64,
) -> World<Node<G>> {
    let mut world = World::new(seed, network);
    world.check_always();
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let host = world.add(node(number, settings));
        let via = match number {
            0 => vec![],
            _ => vec![HostId(u32::try_from(rng.below(number.into())).unwrap()).address()],
        };
        world.command(host, Command::Join { via });
        let start = world.now();
        while !world.machine(host).unwrap().is_member() {
            run(&mut world, Duration::from_secs(1));
            assert!(world.now().since(start) < HOUR, "node {number} has not joined");
        }
    }
    world
}

/// All members that are up, in the order of their keys.
pub(in crate::locate) fn members<G: Subject>(world: &World<Node<G>>) -> Vec<Contact> {
    let up = world.hosts().filter_map(|host| world.machine(host));
    let mut contacts: Vec<Contact> = up.filter(|it| it.is_member()).map(Node::contact).collect();
    contacts.sort_unstable();
    contacts
}

pub(in crate::locate) fn host(contact: Contact) -> HostId {
    HostId::at(contact.address).unwrap()
}

/// Asks every member for a key of its own, and says which answers were wrong, and how many hops the
/// others took.
pub(in crate::locate) fn look_up_everywhere<G: Subject>(
    world: &mut World<Node<G>>,
    seed: u64,
    trace: bool,
) -> (Vec<String>, f64) {
    world.take_events();
    let mut rng = Rng::new(seed);
    let all = members(world);
    for (number, &contact) in all.iter().enumerate() {
        let key = Key::of(&rng.next_u64().to_be_bytes());
        let locate = Command::Locate { ticket: Ticket(number as u64), key, trace };
        world.command(host(contact), locate);
    }
    run(world, Duration::from_secs(30));
    let (mut right, mut hops_in_all, mut wrong) = (0u32, 0, Vec::new());
    for told in world.take_events() {
        if let Event::Located { key, holders, hops, .. } = &told.event
            && holders.first() == Some(&G::owner(world, *key))
        {
            right += 1;
            hops_in_all += hops;
        } else {
            let right = match told.event {
                Event::Located { key, .. } => Some(G::owner(world, key)),
                _ => None,
            };
            wrong.push(format!("{told:?}, and right is {right:?}"));
        }
    }
    assert_eq!(wrong.len() + right as usize, all.len(), "each is answered once");
    (wrong, f64::from(hops_in_all) / f64::from(right.max(1)))
}

fn put<G: Subject>(
    world: &mut World<Node<G>>,
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

fn get<G: Subject>(world: &mut World<Node<G>>, by: HostId, name: &str) -> Event {
    world.take_events();
    world.command(by, Command::Get { ticket: Ticket(2), key: Key::of(name.as_bytes()) });
    run(world, Duration::from_secs(10));
    world.take_events().pop().expect("a get is answered").event
}

fn value(name: &str) -> Event {
    Event::Value { ticket: Ticket(2), value: Some(Bytes::copy_from_slice(name.as_bytes())) }
}

const NOTHING: Event = Event::Value { ticket: Ticket(2), value: None };

fn holders<G: Subject>(world: &World<Node<G>>) -> Vec<HostId> {
    let up = world.hosts().filter(|&host| world.machine(host).is_some_and(|it| it.held() > 0));
    up.collect()
}

/// A network for values, whose upkeep is quick.
fn quick<G: Subject>(count: u32, seed: u64) -> World<Node<G>> {
    let settings = settings::<G>(|it| it.upkeep_every = Duration::from_secs(2));
    let mut world = joined(count, &settings, network(), seed);
    run(&mut world, G::SETTLES);
    world
}

/// The tests, each generic over the geometry.
macro_rules! tests {
    ($($(#[$meta:meta])* fn $name:ident<$G:ident>() $body:block)*) => {
        $($(#[$meta])* pub(in crate::locate) fn $name<$G: Subject>() $body)*
    };
}

tests! {

fn nodes_that_join_one_by_one_find_every_owner<G>() {
    for routing in ROUTINGS {
        let mut world = joined::<G>(64, &settings::<G>(|it| it.routing = routing), network(), 1);
        run(&mut world, G::SETTLES);
        for trace in [false, true] {
            let (wrong, hops) = look_up_everywhere(&mut world, 2, trace);
            assert_eq!(wrong, NONE, "{routing:?}, trace {trace}");
            assert!((1.0..12.0).contains(&hops), "{hops} hops");
        }
    }
}

fn nodes_that_join_at_once_find_every_owner<G>() {
    let settings = settings::<G>(|_| {});
    let mut world = joined::<G>(8, &settings, network(), 2);
    for number in 8..40 {
        let host = world.add(node(number, &settings));
        world.command(host, Command::Join { via: vec![HostId(number % 8).address()] });
    }
    run(&mut world, G::SETTLES);
    assert_eq!(members(&world).len(), 40);
    assert_eq!(look_up_everywhere(&mut world, 2, false).0, NONE);
}

fn one_node_alone_owns_every_key<G>() {
    let mut world = joined::<G>(1, &settings::<G>(|_| {}), network(), 4);
    assert_eq!(look_up_everywhere(&mut world, 1, false), (vec![], 0.0));
    assert_eq!(look_up_everywhere(&mut world, 2, true), (vec![], 0.0));
}

fn when_a_third_die_at_once_the_others_find_every_owner<G>() {
    for routing in ROUTINGS {
        let settings = settings::<G>(|it| it.routing = routing);
        let mut world = joined::<G>(64, &settings, network(), 5);
        run(&mut world, G::SETTLES);
        let mut hosts: Vec<HostId> = world.hosts().collect();
        Rng::new(11).shuffle(&mut hosts);
        hosts[..21].iter().for_each(|&host| world.crash(host));
        run(&mut world, G::SETTLES);
        assert_eq!(look_up_everywhere(&mut world, 7, false).0, NONE, "{routing:?}");
    }
}

fn rounds_shorter_than_the_waits_for_answers_hide_nobody_who_is_gone<G>() {
    let upkeep_every = Duration::from_millis(100);
    let settings = settings::<G>(|it| it.upkeep_every = upkeep_every);
    let mut world = joined::<G>(24, &settings, network(), 5);
    run(&mut world, upkeep_every * 100);
    let mut hosts: Vec<HostId> = world.hosts().collect();
    Rng::new(3).shuffle(&mut hosts);
    hosts[..8].iter().for_each(|&host| world.crash(host));
    run(&mut world, Duration::from_secs(20));
    assert_eq!(look_up_everywhere(&mut world, 7, false).0, NONE);
}

fn datagrams_that_are_lost_delay_lookups_and_lose_few<G>() {
    for routing in ROUTINGS {
        let settings = settings::<G>(|it| it.routing = routing);
        let mut network = network();
        (network.loss, network.duplication, network.reordering) = (0.1, 0.1, 0.2);
        let mut world = joined::<G>(64, &settings, network, 9);
        run(&mut world, G::SETTLES);
        let (wrong, _) = look_up_everywhere(&mut world, 4, false);
        // All are answered; but an owner that misses two questions is gone round. A fifth of all questions has
        // no answer.
        assert!(wrong.iter().all(|it| it.contains("Located")), "{routing:?}: {wrong:?}");
        assert!(wrong.len() <= 8, "{routing:?}: {wrong:?}");
    }
}

fn who_leaves_is_missed_by_nobody<G>() {
    let mut world = joined::<G>(30, &settings::<G>(|_| {}), network(), 12);
    run(&mut world, G::SETTLES);
    world.take_events();
    for host in [3, 4, 17, 20].map(HostId) {
        world.command(host, Command::Leave);
        run(&mut world, Duration::from_secs(1));
        world.crash(host);
    }
    let left = Event::Left { untaken: 0 };
    assert_eq!(world.take_events().iter().filter(|told| told.event == left).count(), 4);
    // No time-out of a neighbour has passed yet.
    assert_eq!(look_up_everywhere(&mut world, 7, false).0, NONE);
}

fn one_seed_is_one_run_in_types_or_in_bytes<G>() {
    let settings = settings::<G>(|_| {});
    let mut network = network();
    network.loss = 0.05;
    let ask = |number: u32| {
        let key = Key::of(&number.to_be_bytes());
        Command::Locate { ticket: Ticket(number.into()), key, trace: number.is_multiple_of(2) }
    };
    let via = |number: u32| match number {
        0 => vec![],
        _ => vec![HostId(number / 2).address()],
    };
    let in_types = |threads| {
        let mut world = World::on_threads(9, network.clone(), threads);
        for number in 0..24 {
            let host = world.add(node::<G>(number, &settings));
            world.command(host, Command::Join { via: via(number) });
        }
        run(&mut world, G::SETTLES);
        (0..24).for_each(|number| world.command(HostId(number), ask(number)));
        run(&mut world, Duration::from_secs(30));
        world.digest()
    };
    let digest = in_types(1);
    assert_eq!(digest, in_types(1), "again");
    assert_eq!(digest, in_types(2), "two threads");
    let mut world = World::new(9, network.clone());
    for number in 0..24 {
        let host = world.add(Coded::new(node::<G>(number, &settings)));
        world.command(host, Command::Join { via: via(number) });
    }
    run(&mut world, G::SETTLES);
    (0..24).for_each(|number| world.command(HostId(number), ask(number)));
    run(&mut world, Duration::from_secs(30));
    assert_eq!(digest, world.digest(), "in bytes");
}

fn a_visitor_asks_through_any_node_and_becomes_none<G>() {
    let settings = settings::<G>(|_| {});
    let mut world = joined::<G>(30, &settings, network(), 6);
    run(&mut world, G::SETTLES);
    world.take_events();
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
    assert_eq!((holders[0], holders.len()), (G::owner(&world, key), 3));
    let answered: Vec<_> = route.iter().filter(|hop| hop.round_trip.is_some()).collect();
    assert_eq!(answered.len(), hops as usize, "{route:?}");
    assert_eq!(answered.last().unwrap().key, Some(holders[0].key));
    assert_eq!(answered.last().unwrap().gap, G::gap(holders[0].key, key));
    let stored = Event::Stored { ticket: Ticket(1), copies: 3 };
    assert_eq!(put(&mut world, visitor, "v", HOUR, false), stored);
    assert_eq!(get(&mut world, visitor, "v"), value("v"));
    assert_eq!(members(&world).len(), 30);
    for host in world.hosts().filter(|it| *it != visitor) {
        let node = world.machine(host).unwrap();
        assert!(node.geometry.peer(self::node::<G>(30, &settings).contact().key).is_none());
    }
}

fn a_way_in_is_tried_until_somebody_is_there_or_the_caller_ends_it<G>() {
    let settings = settings::<G>(|_| {});
    let mut world = World::new(1, network());
    world.check_always();
    let [a, b, late] = [0, 1, 2].map(|number| world.add(node::<G>(number, &settings)));
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

fn what_cannot_be_done_fails_with_the_reason<G>() {
    let settings = settings::<G>(|_| {});
    let mut world = World::new(1, network());
    world.check_always();
    for number in 0..2 {
        world.add(node::<G>(number, &settings));
    }
    let (first, outside) = (HostId(0), HostId(1));
    let locate = || Command::Locate { ticket: Ticket(1), key: Key::from(1), trace: false };
    let failed = |why| Event::Failed { ticket: Ticket(1), why };
    let told = |world: &mut World<Node<G>>| {
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
        world.add(node::<G>(number, &settings));
    }
    world.command(first, Command::Join { via: vec![] });
    for number in 2..6 {
        world.command(HostId(number), Command::Join { via: vec![first.address()] });
        run(&mut world, Duration::from_secs(5));
    }
    let key = node::<G>(3, &settings).contact().key;
    let twin = world.add(Node::new(key, HostId(6).address(), Arc::clone(&settings)));
    world.command(twin, Command::Join { via: vec![first.address()] });
    assert_eq!(told(&mut world), Some(Event::JoinFailed(Failure::KeyTaken)));
    // Once that one is gone, the key is free, and the node that takes it is found.
    world.crash(HostId(3));
    world.command(twin, Command::Join { via: vec![first.address()] });
    assert_eq!(told(&mut world), Some(Event::Joined));
    run(&mut world, G::SETTLES);
    assert_eq!(look_up_everywhere(&mut world, 1, false).0, NONE);
}

fn what_is_put_is_held_by_several_and_got_from_anywhere<G>() {
    let mut world = quick::<G>(30, 1);
    let stored = Event::Stored { ticket: Ticket(1), copies: 3 };
    assert_eq!(put(&mut world, HostId(3), "a", HOUR, false), stored);
    let holders = holders(&world);
    assert_eq!(holders.len(), 3);
    assert!(holders.contains(&host(G::owner(&world, Key::of(b"a")))));
    for host in [0, 3, 9, 29] {
        assert_eq!(get(&mut world, HostId(host), "a"), value("a"));
    }
    assert_eq!(get(&mut world, HostId(5), "b"), NOTHING);
}

fn a_value_ends_with_its_lifetime_unless_it_is_put_again<G>() {
    let mut world = quick::<G>(30, 2);
    put(&mut world, HostId(3), "once", Duration::from_secs(60), false);
    put(&mut world, HostId(3), "again", Duration::from_secs(120), true);
    assert_eq!(get(&mut world, HostId(4), "once"), value("once"));
    run(&mut world, Duration::from_secs(600));
    assert_eq!(get(&mut world, HostId(4), "once"), NOTHING);
    assert_eq!(get(&mut world, HostId(4), "again"), value("again"));
    // Without the one who puts it again, that ends too.
    world.crash(HostId(3));
    run(&mut world, Duration::from_secs(300));
    assert_eq!(get(&mut world, HostId(4), "again"), NOTHING);
    assert_eq!(holders(&world), []);
}

fn the_latest_of_two_values_wins<G>() {
    let mut world = quick::<G>(30, 3);
    world.take_events();
    for text in ["first", "second"] {
        let (key, value) = (Key::of(b"k"), Bytes::copy_from_slice(text.as_bytes()));
        let (ticket, lifetime, refresh) = (Ticket(1), HOUR, false);
        world.command(HostId(1), Command::Put { ticket, key, value, lifetime, refresh });
        run(&mut world, Duration::from_secs(5));
    }
    let value = Some(Bytes::from_static(b"second"));
    assert_eq!(get(&mut world, HostId(7), "k"), Event::Value { ticket: Ticket(2), value });
}

fn values_outlive_their_holders_as_long_as_not_all_fail_at_once<G>() {
    let mut world = quick::<G>(30, 4);
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        put(&mut world, HostId(3), name, HOUR, false);
    }
    // The owner and another at once, again and again, with time for repair in between.
    for round in 0..5 {
        let owner = G::owner(&world, Key::of(names[round].as_bytes()));
        let mut others = members(&world);
        others.retain(|it| *it != owner);
        let other = others[round * 3 % others.len()];
        [owner, other].into_iter().for_each(|it| world.crash(host(it)));
        run(&mut world, Duration::from_secs(250));
    }
    let asker = host(members(&world)[0]);
    for name in names {
        assert_eq!(get(&mut world, asker, name), value(name));
    }
}

fn a_node_that_joins_is_given_what_it_owns_and_one_that_leaves_hands_it_on<G>() {
    let settings =
        settings::<G>(|it| (it.upkeep_every, it.copies) = (Duration::from_secs(2), 1));
    let mut world = joined::<G>(10, &settings, network(), 5);
    run(&mut world, G::SETTLES);
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
        let owner = host(G::owner(&world, key));
        let held = world.machine(owner).unwrap().held_value(key, world.now());
        assert!(held.is_some(), "{name}");
        assert_eq!(get(&mut world, HostId(15), name), value(name));
    }
    for number in 0..10 {
        world.take_events();
        world.command(HostId(number), Command::Leave);
        run(&mut world, LEAVE_MAX + Duration::from_secs(2));
        assert_eq!(world.take_events().pop().unwrap().event, Event::Left { untaken: 0 });
        world.crash(HostId(number));
    }
    for name in &names {
        assert_eq!(get(&mut world, HostId(15), name), value(name));
    }
}

fn who_does_not_stand_in_for_the_owner_any_more_lets_go_of_a_value<G>() {
    let settings = settings::<G>(|it| it.upkeep_every = Duration::from_secs(2));
    let mut world = joined::<G>(6, &settings, network(), 7);
    run(&mut world, G::SETTLES);
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

fn what_is_too_long_is_refused_before_it_travels<G>() {
    let mut world = joined::<G>(2, &settings::<G>(|_| {}), network(), 7);
    world.take_events();
    let (ticket, key, lifetime) = (Ticket(9), Key::from(1), HOUR);
    let value = Bytes::from(vec![0; VALUE_MAX + 1]);
    world.command(HostId(0), Command::Put { ticket, key, value, lifetime, refresh: true });
    run(&mut world, Duration::from_nanos(1));
    let told = world.take_events();
    assert_eq!(told[0].event, Event::Failed { ticket, why: Failure::ValueTooLong });
}

fn a_node_that_is_asked_at_another_address_than_it_names_is_found_and_lets_others_in<G>() {
    let settings = settings::<G>(|_| {});
    let mut world = World::new(1, network());
    world.check_always();
    let named = Address::v4([203, 0, 113, 5], 4000);
    let first = world.add(Node::<G>::new(Key::of(b"first"), named, Arc::clone(&settings)));
    world.command(first, Command::Join { via: vec![] });
    run(&mut world, Duration::from_secs(1));
    world.take_events();
    let visitor = world.add(node(1, &settings));
    world.command(visitor, Command::Visit { via: vec![first.address()] });
    let (ticket, key) = (Ticket(3), Key::of(b"x"));
    world.command(visitor, Command::Locate { ticket, key, trace: false });
    run(&mut world, Duration::from_secs(10));
    let holders = vec![Contact { key: Key::of(b"first"), address: first.address() }];
    let located = Event::Located { ticket, key, holders, hops: 1, route: vec![] };
    assert_eq!(world.take_events().pop().map(|it| it.event), Some(located));
    let joiner = world.add(node(2, &settings));
    world.command(joiner, Command::Join { via: vec![first.address()] });
    run(&mut world, Duration::from_secs(10));
    assert_eq!(world.take_events().pop().map(|it| it.event), Some(Event::Joined));
}

fn a_put_succeeds_though_a_node_that_stands_in_has_just_died<G>() {
    let mut world = quick::<G>(12, 1);
    let key = Key::of(b"a");
    let owner = host(G::owner(&world, key));
    let nearest = G::nearest(world.machine(owner).unwrap(), key, 3);
    world.crash(host(nearest[1]));
    let others = members(&world);
    let by = others.iter().map(|it| host(*it)).find(|it| *it != owner).unwrap();
    let told = put(&mut world, by, "a", HOUR, false);
    assert!(matches!(told, Event::Stored { ticket: Ticket(1), .. }), "{told:?}");
}

fn who_leaves_hands_on_to_those_who_live_though_another_has_just_died<G>() {
    for dead in [1, 2] {
        let settings = settings::<G>(|it| it.copies = 1);
        let mut world = joined::<G>(3, &settings, network(), 1);
        run(&mut world, G::SETTLES);
        let (first, live) = (HostId(0), HostId(3 - dead));
        let names = (0..).map(|number| format!("name {number}"));
        let is_own = |it: &String| host(G::owner(&world, Key::of(it.as_bytes()))) == first;
        let names: Vec<String> = names.filter(is_own).take(12).collect();
        for name in &names {
            put(&mut world, first, name, HOUR, false);
        }
        world.crash(HostId(dead));
        world.command(first, Command::Leave);
        run(&mut world, LEAVE_MAX + Duration::from_secs(2));
        assert_eq!(world.take_events().pop().unwrap().event, Event::Left { untaken: 0 });
        let live = world.machine(live).unwrap();
        let is_lost =
            |it: &&String| live.held_value(Key::of(it.as_bytes()), world.now()).is_none();
        assert_eq!(names.iter().filter(is_lost).count(), 0);
    }
}

fn a_put_is_answered_though_its_owner_leaves_meanwhile<G>() {
    let mut world = joined::<G>(3, &settings::<G>(|_| {}), network(), 1);
    run(&mut world, G::SETTLES);
    world.take_events();
    let (owner, ticket) = (HostId(0), Ticket(9));
    let mut keys = (0u32..).map(|number| Key::of(&number.to_be_bytes()));
    let key = keys.find(|key| host(G::owner(&world, *key)) == owner).unwrap();
    let (value, lifetime, refresh) = (Bytes::new(), HOUR, false);
    world.crash(HostId(1));
    world.command(owner, Command::Put { ticket, key, value, lifetime, refresh });
    world.command(owner, Command::Leave);
    run(&mut world, LEAVE_MAX + Duration::from_secs(2));
    let told: Vec<Event> = world.take_events().into_iter().map(|it| it.event).collect();
    assert!(matches!(told[..], [Event::Stored { ticket: Ticket(9), .. }, _]), "{told:?}");
}

}
