//! What is held: values, items, swarms.

use super::*;
use crate::locate::kademlia::{
    Announce,
    krpc::{ITEM_MAX, Item, SALT_MAX, code},
};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_value_is_held_by_the_nodes_nearest_to_its_key() {
    let mut world = joined(32, &settings(|_| ()), 1);
    let key = Key::of(b"greeting");
    let stored = put(&mut world, HostId(5), key, b"hello");
    assert!(matches!(stored, Event::Locate(locate::Event::Stored { copies: 8, .. })), "{stored:?}");
    for (rank, contact) in nearest(&world, key).into_iter().enumerate() {
        let node = world.machine(HostId::at(contact.address).unwrap()).unwrap();
        assert_eq!(node.held(), usize::from(rank < 8), "{rank}");
    }
    for host in [HostId(0), HostId(17), HostId(31)] {
        assert_eq!(get(&mut world, host, key), Some(Bytes::from_static(b"hello")));
    }
    assert_eq!(get(&mut world, HostId(3), Key::of(b"another")), None);
}

#[test]
fn a_value_outlives_all_who_held_it_at_first() {
    let mut world = joined(40, &settings(|_| ()), 2);
    let key = Key::of(b"greeting");
    put(&mut world, HostId(5), key, b"hello");
    let first: Vec<Contact> = nearest(&world, key)[..8].to_vec();
    for contact in first {
        world.crash(HostId::at(contact.address).unwrap());
        run(&mut world, 2 * HOUR);
    }
    let host = world.hosts().find(|it| world.is_up(*it)).unwrap();
    assert_eq!(get(&mut world, host, key), Some(Bytes::from_static(b"hello")));
}

/// Who holds something under `key`.
fn holders(world: &World<Node>, key: Key) -> Vec<Contact> {
    let all = nearest(world, key).into_iter();
    all.filter(|it| {
        let node = world.machine(HostId::at(it.address).unwrap()).unwrap();
        node.values.get(key, world.now()).is_some()
    })
    .collect()
}

#[test]
fn who_is_not_among_the_nearest_any_more_hands_a_value_over_and_drops_it() {
    let mut world = joined(12, &settings(|_| ()), 22);
    let key = Key::of(b"greeting");
    put(&mut world, HostId(5), key, b"hello");
    let (first, mut rng) = (holders(&world, key), Rng::new(23));
    for number in 12..40 {
        let host = world.add(node(number, &settings(|_| ())));
        let via = vec![HostId(u32::try_from(rng.below(12)).unwrap()).address()];
        order(&mut world, host, locate::Command::Join { via });
        run(&mut world, Duration::from_secs(2));
    }
    run(&mut world, 3 * HOUR);
    let right = nearest(&world, key)[..8].to_vec();
    assert_ne!(first, right);
    assert_eq!(holders(&world, key), right);
}

#[test]
fn nodes_that_leave_hand_their_values_to_others_who_lack_them() {
    let mut world = joined(24, &settings(|_| ()), 24);
    let key = Key::of(b"greeting");
    put(&mut world, HostId(5), key, b"hello");
    // All who hold it leave, one after the other, long before it would be stored again.
    for contact in nearest(&world, key)[..8].to_vec() {
        let host = HostId::at(contact.address).unwrap();
        let left = told(&mut world, host, Command::Locate(locate::Command::Leave));
        assert_eq!(left, [Event::Locate(locate::Event::Left { untaken: 0 })]);
        world.crash(host);
    }
    let host = world.hosts().find(|it| world.is_up(*it)).unwrap();
    assert_eq!(get(&mut world, host, key), Some(Bytes::from_static(b"hello")));
    let held = holders(&world, key);
    assert!(nearest(&world, key)[..8].iter().all(|it| held.contains(it)), "{held:?}");
}

#[test]
fn the_last_node_to_leave_says_how_many_values_nobody_has_taken() {
    let mut world = joined(2, &settings(|_| ()), 25);
    for number in 0..20 {
        put(&mut world, HostId(0), Key::of(&[number]), b"hello");
    }
    // The other has died, and nobody has noticed.
    world.crash(HostId(1));
    let left = told(&mut world, HostId(0), Command::Locate(locate::Command::Leave));
    assert_eq!(left, [Event::Locate(locate::Event::Left { untaken: 20 })]);
    assert!(!world.machine(HostId(0)).unwrap().is_member());
}

#[test]
fn a_newcomer_is_given_what_it_ought_to_hold() {
    let mut world = joined(24, &settings(|_| ()), 26);
    let keys: Vec<Key> = (0..40u8).map(|number| Key::of(&[number])).collect();
    for (number, &key) in (0..).zip(&keys) {
        put(&mut world, HostId(number % 24), key, b"hello");
    }
    let host = world.add(node(24, &settings(|_| ())));
    let me = world.machine(host).unwrap().contact();
    order(&mut world, host, locate::Command::Join { via: vec![HostId(3).address()] });
    run(&mut world, Duration::from_secs(60));
    let is_its = |key: &&Key| nearest(&world, **key)[..8].contains(&me);
    let its: Vec<Key> = keys.iter().filter(is_its).copied().collect();
    let held = |world: &World<Node>, key: &Key| holders(world, *key).contains(&me);
    assert!(its.len() > 5, "{}", its.len());
    // A nearest holder whose bucket is full does not learn of it: it has the value within the hour.
    let given = its.iter().filter(|it| held(&world, it)).count();
    assert!(its.len() - given <= 1, "{given} of {}", its.len());
    let all = world.machine(host).unwrap().held();
    assert!(all <= its.len() + 3, "{all}: who gives knows not all nodes, but most that are near");
    run(&mut world, 2 * HOUR);
    assert!(its.iter().all(|it| held(&world, it)));
}

#[test]
fn a_value_ends_with_its_lifetime_unless_its_publisher_puts_it_again() {
    for refresh in [false, true] {
        let mut world = joined(10, &settings(|_| ()), 3);
        let (ticket, key, value) = (Ticket(1), Key::of(b"a"), Bytes::from_static(b"b"));
        let put =
            locate::Command::Put { ticket, key, value: value.clone(), lifetime: HOUR, refresh };
        order(&mut world, HostId(5), put);
        run(&mut world, 3 * HOUR);
        assert_eq!(get(&mut world, HostId(1), key), refresh.then_some(value));
    }
}

#[test]
fn a_value_that_is_too_long_is_refused_at_once() {
    let mut world = joined(2, &settings(|_| ()), 4);
    let failed = put(&mut world, HostId(0), Key::of(b"a"), &[0; locate::VALUE_MAX + 1]);
    let why = locate::Failure::ValueTooLong;
    assert_eq!(failed, Event::Locate(locate::Event::Failed { ticket: Ticket(1), why }));
}

#[test]
fn peers_that_announce_themselves_find_each_other() {
    let mut world = joined(32, &settings(|_| ()), 5);
    let info_hash = Key::of(b"a torrent");
    let peers =
        |announce, scrape| Command::Peers { ticket: Ticket(1), info_hash, announce, scrape };
    for (host, port, seed) in [(3, Some(7001), true), (9, None, false)] {
        let announce = Some(Announce { port, seed });
        let done = told(&mut world, HostId(host), peers(announce, false)).pop();
        assert!(matches!(done, Some(Event::Peers { announced: 8, .. })), "{done:?}");
    }
    let found = told(&mut world, HostId(20), peers(None, true)).pop();
    let Some(Event::Peers { peers: found, announced: 0, counts: Some((seeds, others)), .. }) =
        found
    else {
        panic!("{found:?}")
    };
    assert_eq!(found, [HostId(3).address().with_port(7001), HostId(9).address()]);
    assert!((0.5..1.5).contains(&seeds) && (0.5..1.5).contains(&others), "{seeds} {others}");
    // Who has all of it has no use for others who have.
    let seed = Some(Announce { port: None, seed: true });
    let found = told(&mut world, HostId(21), peers(seed, false)).pop();
    let Some(Event::Peers { peers: found, .. }) = found else { panic!("{found:?}") };
    assert_eq!(found, [HostId(9).address()]);
    run(&mut world, HOUR);
    let found = told(&mut world, HostId(20), peers(None, false)).pop();
    assert!(matches!(found, Some(Event::Peers { peers, .. }) if peers.is_empty()), "they are gone");
}

#[test]
fn names_of_swarms_are_sampled() {
    let mut world = joined(16, &settings(|_| ()), 6);
    let swarms: Vec<Key> = (0..20u8).map(|number| Key::of(&[number])).collect();
    for &info_hash in &swarms {
        let announce = Some(Announce { port: None, seed: false });
        let peers = Command::Peers { ticket: Ticket(1), info_hash, announce, scrape: false };
        told(&mut world, HostId(1), peers);
    }
    let samples = Command::Samples { ticket: Ticket(2), target: Key::of(b"anything") };
    let found = told(&mut world, HostId(2), samples).pop();
    let Some(Event::Samples { info_hashes, .. }) = found else { panic!("{found:?}") };
    // Each swarm is known to half of the nodes, and half of the nodes were asked.
    assert!(info_hashes.len() > 15 && info_hashes.iter().all(|it| swarms.contains(it)));
}

fn item_of(world: &mut World<Node>, host: u32, target: Key, salt: &'static [u8]) -> Option<Item> {
    let item = Command::Item { ticket: Ticket(1), target, salt: Bytes::from_static(salt) };
    match told(world, HostId(host), item).pop() {
        Some(Event::Item { item, .. }) => item,
        other => panic!("{other:?}"),
    }
}

fn put_item(world: &mut World<Node>, item: &Item, cas: Option<i64>) -> (u8, Option<i64>) {
    let put = Command::PutItem { ticket: Ticket(1), item: Box::new(item.clone()), cas };
    match told(world, HostId(1), put).pop() {
        Some(Event::ItemStored { copies, refused, .. }) => (copies, refused),
        other => panic!("{other:?}"),
    }
}

#[test]
fn items_are_found_by_their_names_and_the_newest_counts() {
    let mut world = joined(24, &settings(|_| ()), 7);
    let fixed = Item::of(Bytes::from_static(b"12:Hello World!"));
    assert_eq!(put_item(&mut world, &fixed, None), (8, None));
    assert_eq!(item_of(&mut world, 20, fixed.name(), b""), Some(fixed));

    let signed = |number, value| Item::sign(&[7; 32], b"salt", number, Bytes::from_static(value));
    let (first, second) = (signed(1, b"i1e"), signed(2, b"i2e"));
    assert_eq!(first.name(), second.name());
    assert_eq!(put_item(&mut world, &first, None), (8, None));
    assert_eq!(item_of(&mut world, 20, first.name(), b"salt"), Some(first.clone()));
    // Who holds it itself knows its salt.
    let far = HostId::at(nearest(&world, first.name()).last().unwrap().address).unwrap();
    assert_eq!(item_of(&mut world, far.0, first.name(), b"another salt"), None);
    assert_eq!(put_item(&mut world, &second, Some(7)), (0, Some(code::CAS_MISMATCH)));
    assert_eq!(put_item(&mut world, &second, Some(1)), (8, None));
    assert_eq!(put_item(&mut world, &first, None), (0, Some(code::NUMBER_TOO_LOW)));
    assert_eq!(put_item(&mut world, &signed(2, b"i3e"), None), (0, Some(code::NUMBER_TOO_LOW)));
    assert_eq!(item_of(&mut world, 20, first.name(), b"salt"), Some(second.clone()));
    let mut forged = second;
    forged.signed.as_mut().unwrap().number = 3;
    assert_eq!(put_item(&mut world, &forged, None), (0, Some(code::SIGNATURE_WRONG)));
    run(&mut world, 3 * HOUR);
    assert_eq!(item_of(&mut world, 20, forged.name(), b"salt"), None);
}

#[test]
fn an_item_that_is_too_long_is_refused_at_once() {
    let mut world = joined(2, &settings(|_| ()), 8);
    for (value, salt) in [(ITEM_MAX + 1, 0), (1, SALT_MAX + 1)] {
        let item = Item::sign(&[7; 32], &vec![0; salt], 1, vec![b'1'; value].into());
        let put = Command::PutItem { ticket: Ticket(1), item: Box::new(item), cas: None };
        let why = locate::Failure::ValueTooLong;
        let failed = Event::Locate(locate::Event::Failed { ticket: Ticket(1), why });
        assert_eq!(told(&mut world, HostId(1), put), [failed]);
    }
}
