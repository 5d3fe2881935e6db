//! Bodies in pieces: what lies where, what no flipped bit gets past, and what moves a record.

use super::*;
use crate::{object::INLINE_MAX, pilot, run::Run};

/// Room for some records of several pieces.
const ROOMY: Settings = Settings { size: 16 << 20, segment: 2 << 20 };
const URL: &str = "http://example.com/long";
const LINES: [(&str, &str); 2] = [("cache-control", "max-age=60"), ("etag", "\"v\"")];

fn long(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    std::iter::repeat_with(|| rng.next_u64().to_le_bytes()).flatten().take(length).collect()
}

/// A store with this body, and the log in which it was written.
fn written(disk: &Simulated, settings: Settings, body: &[u8]) -> Log<Simulated> {
    let (store, mut log) = (memory(), found(disk, settings, 2));
    put(&store, URL, &LINES, &HeaderMap::new(), body);
    assert_eq!(log.append(&find(&store, URL, &HeaderMap::new()).unwrap()), Ok(true));
    log.seal().unwrap();
    log
}

/// What `store` makes of the record, of which it reads as much as it needs.
fn restored(store: &Store, log: &mut Log<Simulated>) -> Option<Object> {
    let place = *log.index().clone().find(URL.as_bytes()).first()?;
    let mut read = |length| log.storage().read_at(place.segment, place.offset, length).unwrap();
    let bytes = read(place.front());
    let needed = place.needed(&bytes)?;
    let bytes = if needed > bytes.len() { read(needed) } else { bytes };
    match store.restore(store.key(URL.as_bytes()), &place, &bytes) {
        Restored::Object(object) => Some(object),
        _ => None,
    }
}

/// A store with a log beneath it, and the object that it has read there.
fn beneath(log: &mut Log<Simulated>) -> (Arc<Queue>, Arc<Store>, Object) {
    let queue = Arc::new(Queue::new(Arc::clone(log.index()), Waker::noop().clone()));
    let store = memory();
    store.put_beneath(Arc::clone(&queue));
    let object = restored(&store, log).unwrap();
    (queue, store, object)
}

#[test]
fn a_long_body_stays_on_the_disk_and_a_short_one_comes_along() {
    let piece = PIECE;
    for length in [INLINE_MAX, INLINE_MAX + 1, piece - 1, piece, piece + 1, 3 * piece + 5] {
        let disk = Simulated::new(1, 1 << 24);
        let body = long(length, 3);
        let mut log = written(&disk, ROOMY, &body);
        let store = memory();
        let object = restored(&store, &mut log).unwrap();
        assert_eq!((object.length(), object.is_whole()), (Some(length as u64), true));
        assert_eq!(object.beneath().is_some(), length > INLINE_MAX, "{length}");
        assert_eq!(body_on(log.storage(), &object).as_ref(), Some(&body), "{length}");
        assert!(store.statistics().used < 2 * INLINE_MAX as u64, "{length}");
    }
}

#[test]
fn a_head_that_is_longer_than_the_first_read_is_read_again() {
    let (store, disk) = (memory(), Simulated::new(1, 1 << 24));
    let mut log = found(&disk, ROOMY, 2);
    let value = "v".repeat(10_000);
    let lines = [("cache-control", "max-age=60"), ("x-long", &*value)];
    put(&store, URL, &lines, &HeaderMap::new(), &long(70_000, 1));
    log.append(&find(&store, URL, &HeaderMap::new()).unwrap()).unwrap();
    log.flush().unwrap();
    let object = restored(&memory(), &mut log).unwrap();
    assert_eq!(object.fields().to_map()["x-long"], value);
}

#[test]
fn a_flipped_bit_anywhere_is_found_when_its_piece_is_read() {
    let disk = Simulated::new(1, 1 << 24);
    let body = long(2 * 128 * 1024 + 77, 3);
    let mut log = written(&disk, ROOMY, &body);
    let place = log.index().find(URL.as_bytes())[0];
    let object = restored(&memory(), &mut log).unwrap();
    let beneath = object.beneath().unwrap();
    let end = beneath.offset(beneath.length());
    // Every byte of what lies before the body, and some in it, its first and last among them.
    let mut places: Vec<u64> = (place.offset..=beneath.offset(0)).collect();
    places.extend((0..beneath.length()).step_by(4_001).map(|byte| beneath.offset(byte)));
    places.push(end - 1);
    for at in places {
        let rotten = Simulated(Rc::new(RefCell::new(disk.0.borrow().clone())));
        rotten.0.borrow_mut().rot_at(&file_name(place.segment), at, at % 8);
        let mut again = found(&rotten, ROOMY, 3);
        let Some(object) = restored(&memory(), &mut again) else {
            assert!(at < beneath.offset(0), "{at} is in the body");
            continue;
        };
        assert!(at >= beneath.offset(0), "{at} lies before the body");
        let beneath = object.beneath().unwrap();
        let all = 0..3;
        let holds = |number: usize| {
            let piece = number..number + 1;
            let Span { start, end } = beneath.span(&piece);
            let length = usize::try_from(end - start).unwrap();
            let bytes = rotten.clone().read_at(place.segment, beneath.offset(start), length);
            beneath.holds(&piece, &bytes.unwrap())
        };
        let hit = usize::try_from((at - beneath.offset(0)) / PIECE as u64).unwrap();
        let whole: Vec<usize> = all.filter(|&number| holds(number)).collect();
        let others: Vec<usize> = (0..3).filter(|&number| number != hit).collect();
        assert_eq!(whole, others, "{at}");
    }
}

#[test]
fn no_piece_passes_for_another() {
    let disk = Simulated::new(1, 1 << 24);
    let mut log = written(&disk, ROOMY, &vec![7; 3 * 128 * 1024]);
    let object = restored(&memory(), &mut log).unwrap();
    let beneath = object.beneath().unwrap();
    let piece = vec![7; 128 * 1024];
    assert!(beneath.holds(&(1..2), &piece) && beneath.holds(&(0..2), &vec![7; 2 * 128 * 1024]));
    assert!(!beneath.holds(&(0..1), &piece[1..]), "too short");
    // Alike as they are, each has a check of its own, at each place another.
    let again = Simulated::new(1, 1 << 24);
    let mut other = found(&again, ROOMY, 9);
    let store = memory();
    put(&store, URL, &LINES, &HeaderMap::new(), &vec![7; 3 * 128 * 1024]);
    other.append(&find(&store, URL, &HeaderMap::new()).unwrap()).unwrap();
    other.flush().unwrap();
    let theirs = |disk: &Simulated, log: &Log<Simulated>| {
        let place = log.index().find(URL.as_bytes())[0];
        disk.clone().read_at(place.segment, place.offset, 400).unwrap()
    };
    assert_ne!(theirs(&disk, &log), theirs(&again, &other));
}

#[test]
fn a_body_that_was_read_is_written_again_with_its_segment_and_found_at_its_new_place() {
    let settings = Settings { size: 4 << 20, segment: 1 << 20 };
    let disk = Simulated::new(1, 1 << 24);
    let body = long(200_000, 3);
    let mut log = written(&disk, settings, &body);
    let queue = Arc::new(Queue::new(Arc::clone(log.index()), Waker::noop().clone()));
    let store = memory();
    store.put_beneath(queue);
    let object = restored(&store, &mut log).unwrap();
    let other = memory();
    let mut moved = 0;
    for number in 0..60 {
        // Nobody looks for the key: it is in memory, and its body is read.
        store.body_is_read(&object);
        let url = format!("http://example.com/{number}");
        put(&other, &url, &LINES, &HeaderMap::new(), &long(150_000, number));
        log.append(&find(&other, &url, &HeaderMap::new()).unwrap()).unwrap();
        log.flush().unwrap();
        moved += u64::from(body_on(log.storage(), &object).is_none());
    }
    assert!(moved > 0, "its segment has left");
    let (fresh, mut log) = (memory(), found(&disk, settings, 3));
    let again = restored(&fresh, &mut log).unwrap();
    assert_ne!(again.beneath().unwrap().place().segment, object.beneath().unwrap().place().segment);
    assert_eq!(body_on(log.storage(), &again), Some(body));
}

#[test]
fn a_rotten_piece_is_not_written_again() {
    let settings = Settings { size: 4 << 20, segment: 1 << 20 };
    let disk = Simulated::new(1, 1 << 24);
    let mut log = written(&disk, settings, &long(200_000, 3));
    let object = restored(&memory(), &mut log).unwrap();
    let beneath = object.beneath().unwrap();
    let name = file_name(beneath.place().segment);
    disk.0.borrow_mut().rot_at(&name, beneath.offset(199_999), 3);
    let store = memory();
    for number in 0..60 {
        log.index().was_read(beneath);
        let url = format!("http://example.com/{number}");
        put(&store, &url, &LINES, &HeaderMap::new(), &long(150_000, number));
        log.append(&find(&store, &url, &HeaderMap::new()).unwrap()).unwrap();
        log.flush().unwrap();
    }
    assert!(!log.index().has(URL.as_bytes()));
}

#[test]
fn a_head_that_was_renewed_is_written_anew_with_a_copy_of_the_body() {
    let disk = Simulated::new(1, 1 << 24);
    let body = long(300_000, 3);
    let mut log = written(&disk, ROOMY, &body);
    let (queue, store, object) = beneath(&mut log);
    let mut fields = object.fields().to_map();
    fields.insert("x-new", "1".parse().unwrap());
    pilot::update(&store, &object, &fields, *object.terms());
    assert!(queue.find(URL.as_bytes()).is_empty(), "the old head is not found any more");
    let held = find(&store, URL, &HeaderMap::new()).unwrap();
    assert_eq!(body_on(log.storage(), &held).as_ref(), Some(&body), "they share the body");
    while queue.work(&mut log).unwrap() {}
    log.flush().unwrap();
    let mut log = found(&disk, ROOMY, 3);
    let again = restored(&memory(), &mut log).unwrap();
    assert_eq!(again.fields().to_map()["x-new"], "1");
    assert_eq!(body_on(log.storage(), &again), Some(body));
}

#[test]
fn a_renewed_head_whose_body_has_rotted_leaves_nothing_on_the_disk() {
    let disk = Simulated::new(1, 1 << 24);
    let mut log = written(&disk, ROOMY, &long(300_000, 3));
    let (queue, store, object) = beneath(&mut log);
    let beneath = object.beneath().unwrap();
    disk.0.borrow_mut().rot_at(&file_name(beneath.place().segment), beneath.offset(5), 1);
    pilot::update(&store, &object, &object.fields().to_map(), *object.terms());
    while queue.work(&mut log).unwrap() {}
    log.flush().unwrap();
    assert!(!log.index().has(URL.as_bytes()));
    assert!(!found(&disk, ROOMY, 3).index().has(URL.as_bytes()));
}

#[test]
fn a_body_that_is_waited_for_comes_into_memory_and_the_disk_is_not_told() {
    let disk = Simulated::new(1, 1 << 24);
    let body = long(300_000, 3);
    let mut log = written(&disk, ROOMY, &body);
    let (queue, store, object) = beneath(&mut log);
    let beneath = object.beneath().unwrap();
    assert!((1..=16).all(|waits| beneath.was_waited_for() == waits));
    let mut promotion = store.promotion(&object).unwrap();
    for block in body.chunks(256 * 1024) {
        promotion.push(block);
    }
    promotion.finish(&store);
    let held = find(&store, URL, &HeaderMap::new()).unwrap();
    assert_eq!(self::body(&held), body);
    assert!(queue.is_empty() && queue.index().has(URL.as_bytes()));
    assert!(store.promotion(&held).is_none(), "it is there");
    let mut run = Run::new(held, 131_071..131_073);
    assert_eq!(run.copy_to_bytes(2), body[131_071..131_073]);
}

#[test]
fn a_body_that_is_longer_than_the_memory_keeps_stays_where_it_is() {
    let disk = Simulated::new(1, 1 << 24);
    let mut log = written(&disk, ROOMY, &long(300_000, 3));
    let mut settings = store::Settings::new(ByteSize::mib(64), 7);
    settings.object_max = ByteSize::kib(100);
    let store = Store::new(settings);
    let object = restored(&store, &mut log).unwrap();
    assert!(store.promotion(&object).is_none());
}

#[test]
fn a_soft_purge_by_rule_needs_no_copy_of_what_lies_beneath() {
    let disk = Simulated::new(1, 1 << 24);
    let mut log = written(&disk, ROOMY, &long(300_000, 3));
    let queue = Arc::new(Queue::new(Arc::clone(log.index()), Waker::noop().clone()));
    let store = memory();
    store.put_beneath(Arc::clone(&queue));
    restored(&store, &mut log).unwrap();
    let at = Wall::from_secs(1_010);
    store.purge(Rule { soft: true, at, ..about(URL) });
    assert!(find(&store, URL, &HeaderMap::new()).is_none(), "it is read again");
    assert!(queue.is_empty());
    let object = restored(&store, &mut log).unwrap();
    assert_eq!(object.terms().ttl(at), 0);
    assert!(find(&store, URL, &HeaderMap::new()).is_some_and(|held| held.is(&object)));
}

#[test]
fn a_power_cut_at_any_operation_leaves_no_wrong_piece() {
    let settings = Settings { size: 3 << 20, segment: 1 << 20 };
    let store = memory();
    let body = |number: u64, version: u64| {
        let length = 33_000 + usize::try_from(number * 29_000).unwrap();
        long(length, number * 1_000 + version)
    };
    for seed in 0..4 {
        for point in 0.. {
            let disk = Simulated::new(seed, 1 << 24);
            let mut log = open(&disk, settings, seed);
            let mut rng = Rng::new(seed);
            let mut versions = [0; 6];
            disk.0.borrow_mut().crash_after(point);
            for _ in 0..40 {
                let number = rng.index(versions.len());
                versions[number] += 1;
                let (url, number) = (key(number as u64), number as u64);
                let bytes = body(number, versions[usize::try_from(number).unwrap()]);
                put(&store, &url, &LINES, &HeaderMap::new(), &bytes);
                let object = find(&store, &url, &HeaderMap::new()).unwrap();
                log.index().find(key(0).as_bytes());
                let done = log.append(&object).and_then(|_| match rng.below(4) {
                    0 => log.seal(),
                    _ => log.flush(),
                });
                if done.is_err() {
                    break;
                }
            }
            let crashed = disk.0.borrow().crashed();
            disk.0.borrow_mut().crash();
            disk.0.borrow_mut().restart();
            let mut log = found(&disk, settings, seed + 1);
            for (number, versions) in (0..).zip(versions) {
                let fresh = memory();
                for place in log.index().clone().find(key(number).as_bytes()) {
                    let read = log.storage().read_at(place.segment, place.offset, place.length);
                    let restored =
                        fresh.restore(fresh.key(key(number).as_bytes()), &place, &read.unwrap());
                    let Restored::Object(object) = restored else { continue };
                    let Some(found) = body_on(log.storage(), &object) else { continue };
                    let is_one = (1..=versions).any(|version| body(number, version) == found);
                    assert!(is_one, "seed {seed}, point {point}: {number}");
                }
            }
            if !crashed {
                assert!(point > 40, "seed {seed}: {point}");
                break;
            }
        }
    }
}
