//! Lookups among nodes that lie, and on several paths.

use super::*;

fn address(number: u8) -> Address {
    Address::v4([192, 0, 2, number], 6881)
}

fn contact(number: u8) -> Contact {
    Contact { key: Key::from(u64::from(number)), address: address(number) }
}

/// A lookup of the nodes nearest to the key 0, to which node `n` has the distance `n`.
fn search(paths: usize, via: &[Address]) -> Search {
    let manner = Manner { goal: Goal::All, wanted: 8, parallel: 4, paths, trace: false };
    Search::new(Key::default(), manner, &[], via)
}

/// The same on one path, of the nearest alone or of all, which knows those.
fn search_among(goal: Goal, known: std::ops::RangeInclusive<u8>) -> Search {
    let manner = Manner { goal, wanted: 8, parallel: 4, paths: 1, trace: false };
    Search::new(Key::default(), manner, &known.map(contact).collect::<Vec<_>>(), &[])
}

/// Whom it asks now.
fn asks(search: &mut Search) -> Vec<Key> {
    std::iter::from_fn(|| search.next()).map(|(key, _)| key.unwrap()).collect()
}

fn keys(numbers: std::ops::RangeInclusive<u64>) -> Vec<Key> {
    numbers.map(Key::from).collect()
}

/// Node `number` answers, and names those.
fn answers(search: &mut Search, number: u8, named: &[Contact]) {
    let round_trip = Duration::from_millis(1);
    let named = named.iter().copied();
    search.answered(contact(number), round_trip, Told::default(), named, Key::MAX);
}

/// Asks all who are to be asked; who is none of `there` does not answer.
fn go_on(search: &mut Search, there: std::ops::Range<u8>) {
    while let Some((_, asked)) = search.next() {
        match there.clone().find(|it| address(*it) == asked) {
            Some(number) => answers(search, number, &[]),
            None => search.failed(asked),
        }
    }
}

fn found(search: &Search) -> Vec<Key> {
    search.holders().into_iter().map(|it| it.contact.key).collect()
}

#[test]
fn wrong_ids_and_wrong_addresses_of_honest_nodes_keep_none_of_them_out() {
    for wrong in [
        // Their addresses under far ids, and their ids at addresses where nobody is.
        (10..18).map(|n| Contact { key: Key::MAX, address: address(n) }).collect::<Vec<_>>(),
        (10..18)
            .map(|n| Contact { key: Key::from(u64::from(n)), address: address(n + 100) })
            .collect(),
    ] {
        let mut search = search(1, &[address(200), address(201)]);
        assert!(search.next().is_some() && search.next().is_some());
        answers(&mut search, 200, &wrong);
        answers(&mut search, 201, &(10..18).map(contact).collect::<Vec<_>>());
        go_on(&mut search, 10..18);
        assert!(search.is_done());
        assert_eq!(found(&search), (10..18u64).map(Key::from).collect::<Vec<_>>());
    }
}

#[test]
fn whoever_has_answered_is_not_forgotten_for_nearer_ones_that_are_not_there() {
    let mut search = search(1, &(200..206).map(address).collect::<Vec<_>>());
    let mut made_up = (0..u64::MAX).map(|n| Contact {
        key: Key::from(1 + n),
        address: Address::v4([198, 51, 100, u8::try_from(n).unwrap()], 1),
    });
    for _ in 200..206 {
        let Some((_, asked)) = search.next() else { break };
        let liar = (200..206).find(|it| address(*it) == asked).unwrap();
        let lies: Vec<Contact> = made_up.by_ref().take(16).collect();
        answers(&mut search, liar, &lies);
        go_on(&mut search, 0..0);
    }
    assert!(!found(&search).is_empty());
    search.check();
}

#[test]
fn one_way_in_is_dealt_out_to_all_paths() {
    let mut search = search(4, &[address(200)]);
    assert_eq!(search.next(), Some((None, address(200))));
    assert_eq!(search.next(), None);
    answers(&mut search, 200, &(1..9).map(contact).collect::<Vec<_>>());
    assert!(search.paths.iter().all(|path| path.iter().any(|it| it.state == State::Fresh)));
}

#[test]
fn many_ports_of_a_host_count_once_and_wrong_ones_keep_nobody_out() {
    let port = |port: u16| Contact {
        key: Key::from(u64::from(port)),
        address: Address::v4([198, 51, 100, 1], port),
    };
    let mut search = search(1, &[address(200), address(201)]);
    assert!(search.next().is_some() && search.next().is_some());
    // A liar has a host with many ports, that are nearer to the key than any; and names ports of an
    // honest one at which nobody is.
    let mut lies: Vec<Contact> = (1..17).map(port).collect();
    let wrong = |at: u16| address(10).with_port(at);
    lies.extend((1..9).map(|at| Contact { key: Key::default(), address: wrong(at) }));
    answers(&mut search, 200, &lies);
    answers(&mut search, 201, &(10..18).map(contact).collect::<Vec<_>>());
    while let Some((_, asked)) = search.next() {
        let there = (1..17).map(port).chain((10..18).map(contact));
        match there.into_iter().find(|it| it.address == asked) {
            Some(it) => search.answered(
                it,
                Duration::from_millis(1),
                Told::default(),
                [].into_iter(),
                Key::MAX,
            ),
            None => search.failed(asked),
        }
    }
    assert!(search.is_done());
    let found = found(&search);
    assert_eq!(found.iter().filter(|it| **it < Key::from(10)).count(), 1, "{found:?}");
    assert_eq!(found[1..], (10..17u64).map(Key::from).collect::<Vec<_>>());
}

#[test]
fn the_answer_of_the_nearest_ends_a_lookup_of_it_alone_and_others_follow_unasked() {
    let mut search = search_among(Goal::Nearest, 3..=20);
    assert_eq!(asks(&mut search), keys(3..=6));
    answers(&mut search, 4, &[]);
    assert!(!search.is_done(), "a nearer one is asked");
    assert_eq!(found(&search), keys(4..=11), "behind the nearest that has answered");
    answers(&mut search, 3, &[contact(2), contact(1)]);
    assert!(!search.is_done(), "nearer ones are not asked yet");
    assert_eq!(asks(&mut search), keys(1..=2));
    answers(&mut search, 1, &[]);
    assert!(search.is_done());
    assert_eq!(found(&search), keys(1..=8));
    search.check();
}

#[test]
fn whoever_is_late_or_gone_is_not_the_nearest_unless_all_are() {
    let mut search = search_among(Goal::Nearest, 1..=3);
    assert_eq!(asks(&mut search), keys(1..=3));
    search.is_late(address(1));
    search.failed(address(2));
    assert!(!search.is_done());
    answers(&mut search, 3, &[]);
    assert!(search.is_done());
    assert_eq!(found(&search), keys(3..=3));

    let mut search = search_among(Goal::Nearest, 1..=2);
    assert_eq!(asks(&mut search), keys(1..=2));
    (1..=2).for_each(|number| search.is_late(address(number)));
    assert!(!search.is_done(), "nobody else is there");
    answers(&mut search, 2, &[]);
    assert!(search.is_done());
}

#[test]
fn of_those_who_are_named_behind_the_nearest_a_host_counts_once() {
    let mut search = search_among(Goal::Nearest, 1..=1);
    assert_eq!(asks(&mut search), keys(1..=1));
    let of = |number: u8, port| Contact {
        address: address(number).with_port(port),
        ..contact(10 + u8::try_from(port).unwrap())
    };
    let named =
        [of(1, 1), of(2, 2), of(2, 3), contact(30), Contact { key: Key::from(30), ..contact(31) }];
    answers(&mut search, 1, &named);
    assert!(search.is_done());
    assert_eq!(found(&search), [1, 12, 30].map(Key::from));
}

#[test]
fn a_late_node_leaves_its_place_to_the_next_and_is_awaited_if_all_are_looked_for() {
    for answers_late in [true, false] {
        let mut search = search_among(Goal::All, 1..=10);
        assert_eq!(asks(&mut search), keys(1..=4));
        search.is_late(address(2));
        (3..=4).for_each(|number| answers(&mut search, number, &[]));
        assert_eq!(asks(&mut search), keys(5..=7));
        [1, 5, 6, 7].into_iter().for_each(|number| answers(&mut search, number, &[]));
        assert_eq!(asks(&mut search), keys(8..=9), "one more than the eight nearest");
        (8..=9).for_each(|number| answers(&mut search, number, &[]));
        assert!(!search.is_done(), "the late one may answer");
        if answers_late {
            answers(&mut search, 2, &[]);
            assert_eq!(found(&search), keys(1..=8));
        } else {
            search.failed(address(2));
            assert_eq!(found(&search), [1, 3, 4, 5, 6, 7, 8, 9].map(Key::from));
        }
        assert!(search.is_done());
    }
}
