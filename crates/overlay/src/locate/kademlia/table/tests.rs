//! The routing table: whose places are whose, and what becomes of them.

use super::*;
use nigh_base::Address;

fn contact(number: u8) -> Contact {
    Contact { key: Key::of(&[number]), address: Address::v4([192, 0, 2, number], 6881) }
}

#[test]
fn whoever_was_first_at_an_id_or_an_address_stays_until_it_leaves_two_questions_unanswered() {
    let shape = Shape { bucket: 8, by_proximity: false };
    let (first, start) = (contact(1), Time::from_secs(1000));
    for other in
        [Contact { address: contact(2).address, ..first }, Contact { key: contact(2).key, ..first }]
    {
        let mut table = Table::new(Key::default(), shape.clone());
        let answered = |table: &mut Table, contact, now| {
            table.answered(contact, Duration::from_millis(1), true, now)
        };
        answered(&mut table, first, start);
        assert_eq!(answered(&mut table, other, start), Heard::Spare);
        let later = start.after(FRESH);
        assert_eq!(answered(&mut table, other, later), Heard::Doubt(first));
        table.missed(first, later);
        assert_eq!(answered(&mut table, other, later), Heard::Doubt(first));
        assert!(table.get(first).is_some());
        table.missed(first, later);
        assert_eq!(answered(&mut table, other, later), Heard::New);
        assert!(table.get(first).is_none() && table.get(other).is_some());
        table.check();
    }
}

/// A table that has heard those nodes, who have answered one after the other.
fn table(heard: &[Contact]) -> Table {
    let mut table = Table::new(Key::default(), Shape { bucket: 8, by_proximity: false });
    for &contact in heard {
        table.answered(contact, Duration::from_millis(1), true, Time::from_secs(1000));
        table.check();
    }
    table
}

/// One host, at that port, with any id.
fn at_port(port: u16) -> Contact {
    let address = Address::v4([198, 51, 100, 1], port);
    Contact { key: Key::of(&port.to_be_bytes()), address }
}

#[test]
fn a_host_has_one_place_whatever_its_ports_and_ids_are() {
    let mut table = table(&(1..200).map(at_port).collect::<Vec<_>>());
    assert_eq!(table.nodes().map(|it| it.contact).collect::<Vec<_>>(), [at_port(1)]);
    assert!(!table.has_place(at_port(300)));
    // Another of it takes the place once it is gone.
    let later = Time::from_secs(1000).after(FRESH);
    let answered = |table: &mut Table, port| {
        table.answered(at_port(port), Duration::from_millis(1), true, later)
    };
    assert_eq!(answered(&mut table, 2), Heard::Doubt(at_port(1)));
    (0..MISSES_MAX).for_each(|_| table.missed(at_port(1), later));
    assert!(table.has_place(at_port(2)));
    assert_eq!(answered(&mut table, 2), Heard::New);
    table.check();
    assert_eq!(table.nodes().map(|it| it.contact).collect::<Vec<_>>(), [at_port(2)]);
}

#[test]
fn of_spares_a_host_is_one_as_well() {
    let mut all: Vec<Contact> = (1..=200).map(contact).collect();
    // Far from the table's own id 0, so that all belong into its first bucket.
    all.iter_mut().chain([]).for_each(|it| it.key = Key::power(159).plus(it.key.low(159)));
    let (nodes, spares) = all.split_at(8);
    let mut heard = nodes.to_vec();
    heard.extend((1..100).map(|port| {
        let key = Key::power(159).plus(at_port(port).key.low(159));
        Contact { key, ..at_port(port) }
    }));
    heard.extend(&spares[..3]);
    let mut table = table(&heard);
    assert_eq!(table.buckets[0].spares.len(), 4);
    for contact in nodes {
        (0..MISSES_MAX).for_each(|_| table.missed(*contact, Time::from_secs(1000)));
        table.check();
    }
    assert_eq!(table.nodes().filter(|it| nodes.contains(&it.contact)).count(), 4);
}

#[test]
fn nodes_of_a_local_network_may_all_have_one_address() {
    let local = |port: u16| Contact { address: Address::v4([127, 0, 0, 1], port), ..at_port(port) };
    let table = table(&(1..200).map(local).collect::<Vec<_>>());
    assert!(table.len() > 16, "{}", table.len());
}

#[test]
fn with_another_key_a_table_keeps_whom_it_knows_and_what_it_knows_of_them() {
    let mut table = table(&(1..=200).map(contact).collect::<Vec<_>>());
    let count = |table: &Table| -> (usize, usize) {
        (table.len(), table.buckets.iter().map(|it| it.spares.len()).sum())
    };
    let (missing, before) = (table.nodes().next().unwrap().contact, count(&table));
    table.missed(missing, Time::from_secs(1000));
    table.rekey(Key::power(159).plus(Key::from(1)));
    table.check();
    let after = count(&table);
    // The half that was near is far now, and has a bucket for itself.
    assert!(after.0 >= 8 && after.0 + after.1 > 24, "{before:?} {after:?}");
    let is_kept = |it: &Known| it.contact == missing && it.misses == 1;
    let mut all = table.buckets.iter().flat_map(|it| it.nodes.iter().chain(&it.spares));
    assert!(all.any(is_kept));
}

#[test]
fn a_spare_takes_the_place_of_one_that_is_forgotten() {
    let mut table = table(&(1..=200).map(contact).collect::<Vec<_>>());
    let before = table.len();
    let forgotten = table.buckets[0].nodes[3].contact;
    table.forget(forgotten);
    table.check();
    assert!(table.get(forgotten).is_none());
    assert_eq!((table.len(), table.buckets[0].spares.len()), (before, 7));
}

#[test]
fn whoever_is_gone_does_not_count() {
    let mut table = table(&(1..=4).map(contact).collect::<Vec<_>>());
    for number in 1..=4 {
        assert_eq!(table.living(), 5 - usize::from(number));
        (0..MISSES_MAX).for_each(|_| table.missed(contact(number), Time::from_secs(1000)));
    }
    assert_eq!((table.living(), table.len()), (0, 4));
}
