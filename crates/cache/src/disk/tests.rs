//! The log on a simulated disk: what comes back, what leaves, and what no fault may bring about.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, task::Waker};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue};
use nigh_base::{ByteSize, Rng, Wall, machine::DiskError};
use nigh_sim::disk::Disk;

mod pieces;

use super::*;
use crate::{
    object::Object,
    purge::{Rule, SOFT_WINDOW, What},
    range::Span,
    run::Run,
    store::{self, Boarding, Course, Store},
    testing::head,
};

mod scripts;

/// When everything is purged here, a while after it arrived.
const PURGED: Wall = Wall::from_secs(1_010);
/// Keys of a script.
const KEYS: u64 = 12;

/// A simulated disk as the log sees it. Clones are the same disk.
#[derive(Clone, Debug)]
struct Simulated(Rc<RefCell<Disk>>);

impl Simulated {
    fn new(seed: u64, capacity: u64) -> Self {
        Self(Rc::new(RefCell::new(Disk::new(Rng::new(seed), capacity))))
    }
}

impl Storage for Simulated {
    fn list(&mut self) -> Result<Vec<(u32, u64)>, DiskError> {
        let mut disk = self.0.borrow_mut();
        let names = disk.names();
        let numbers = names.iter().filter_map(|name| Some((number_of(name)?, name)));
        numbers.map(|(number, name)| Ok((number, disk.length(name)?))).collect()
    }

    fn read_at(&mut self, segment: u32, offset: u64, length: usize) -> Result<Vec<u8>, DiskError> {
        self.0.borrow_mut().read_at(&file_name(segment), offset, length)
    }

    fn write_at(&mut self, segment: u32, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.0.borrow_mut().write_at(&file_name(segment), offset, bytes)
    }

    fn sync(&mut self, segment: u32) -> Result<(), DiskError> {
        self.0.borrow_mut().sync(&file_name(segment))
    }

    fn sync_directory(&mut self) -> Result<(), DiskError> {
        self.0.borrow_mut().sync_directory()
    }

    fn remove(&mut self, segment: u32) -> Result<(), DiskError> {
        self.0.borrow_mut().remove(&file_name(segment))
    }
}

const SMALL: Settings = Settings { size: 40_000, segment: 4_000 };

fn memory() -> Arc<Store> {
    Store::new(store::Settings::new(ByteSize::mib(64), 7))
}

/// Stores a response, as a miss does.
fn put(
    store: &Arc<Store>,
    key: &str,
    lines: &[(&'static str, &str)],
    asked: &HeaderMap,
    body: &[u8],
) {
    let Boarding::First(_reader, mut pilot) =
        store.board(store.key(key.as_bytes()), b"never asked", None, Course::Onward)
    else {
        panic!("{key} is being fetched")
    };
    pilot.head(head(asked, lines, Some(body.len() as u64)));
    pilot.push(&Bytes::copy_from_slice(body));
    pilot.land(None);
}

fn find(store: &Store, key: &str, asked: &HeaderMap) -> Option<Object> {
    store.find(store.key(key.as_bytes()), asked, &mut Vec::new())
}

/// A body, wherever it lies; `None` if it is not what was written.
fn body_on(disk: &mut impl Storage, object: &Object) -> Option<Vec<u8>> {
    let Some(beneath) = object.beneath() else { return Some(body(object)) };
    let all = beneath.pieces(Span::new(0, beneath.length())?);
    let pieces = all.map(|number| {
        let piece = number..number + 1;
        let Span { start, end } = beneath.span(&piece);
        let length = usize::try_from(end - start).unwrap();
        let read = disk.read_at(beneath.place().segment, beneath.offset(start), length);
        read.ok().filter(|bytes| beneath.holds(&piece, bytes))
    });
    pieces.collect::<Option<Vec<_>>>().map(|pieces| pieces.concat())
}

fn body(object: &Object) -> Vec<u8> {
    let mut run = Run::whole(object.clone());
    run.copy_to_bytes(run.remaining()).to_vec()
}

/// What a number and a version of it stand for: the body tells both, or the length of a master of
/// slices, which each fifth version is.
fn made(number: u64, version: u64) -> Object {
    thread_local!(static STORE: Arc<Store> = memory());
    let store = STORE.with(Arc::clone);
    store.remove(store.key(key(number).as_bytes()));
    let lines = [("cache-control", "max-age=60"), ("etag", "\"v\""), ("cache-tag", tag(number))];
    if is_master(version) {
        put_master(&store, &key(number), &lines, master_length(number, version));
    } else {
        let mut rng = Rng::new(number).fork(version);
        let mut body = format!("{number} {version} ").into_bytes();
        body.resize(body.len() + rng.index(700), u8::try_from(version % 251).unwrap());
        put(&store, &key(number), &lines, &HeaderMap::new(), &body);
    }
    find(&store, &key(number), &HeaderMap::new()).unwrap()
}

/// Whether a version is a master of slices.
fn is_master(version: u64) -> bool {
    version % 5 == 4
}

/// The tag of a number.
fn tag(number: u64) -> &'static str {
    if number.is_multiple_of(2) { "even" } else { "odd" }
}

/// A length that tells number and version.
fn master_length(number: u64, version: u64) -> u64 {
    (1 << 40) + (number << 32) + version
}

/// Stores a master of slices.
fn put_master(store: &Arc<Store>, key: &str, lines: &[(&'static str, &str)], length: u64) {
    const SLICE: u64 = 1 << 20;
    let boarding = store.board(store.key(key.as_bytes()), b"never asked", None, Course::Onward);
    let Boarding::First(_reader, pilot) = boarding else { panic!("{key} is being fetched") };
    let head = head(&HeaderMap::new(), lines, Some(length));
    let master = pilot.master(&head, length, SLICE).unwrap();
    pilot.found(master);
}

fn key(number: u64) -> String {
    format!("http://example.com/{number}")
}

fn open(disk: &Simulated, settings: Settings, seed: u64) -> Log<Simulated> {
    Log::open(disk.clone(), settings, Arc::default(), Rng::new(seed)).unwrap()
}

fn found(disk: &Simulated, settings: Settings, seed: u64) -> Log<Simulated> {
    let mut log = open(disk, settings, seed);
    while log.find_more() {}
    log
}

/// The version of `number` that the log holds. Panics on any other content.
fn version(log: &mut Log<Simulated>, number: u64) -> Option<u64> {
    thread_local!(static STORE: Arc<Store> = memory());
    let (version, stale) = version_by(log, &STORE.with(Arc::clone), number)?;
    assert!(!stale, "nobody has said so");
    Some(version)
}

/// The same by the purge rules of `store`, and whether they have made it stale.
fn version_by(log: &mut Log<Simulated>, store: &Arc<Store>, number: u64) -> Option<(u64, bool)> {
    let key = key(number);
    store.remove(store.key(key.as_bytes()));
    let places = log.index().clone().find(key.as_bytes());
    for place in places {
        let read = log.storage().read_at(place.segment, place.offset, place.length);
        let Ok(bytes) = read else { continue };
        match store.restore(store.key(key.as_bytes()), &place, &bytes) {
            Restored::Object(object) => {
                let body = match object.sliced() {
                    Some(_) => Vec::new(),
                    None => {
                        let Some(body) = body_on(log.storage(), &object) else { continue };
                        body
                    }
                };
                return Some(judge(&object, &body, number));
            }
            Restored::Damaged | Restored::Nothing => {}
            Restored::NoRoom => panic!("there is room"),
        }
    }
    None
}

/// The version of `number` that `object` is, with its body, and whether it was made stale.
fn judge(object: &Object, body: &[u8], number: u64) -> (u64, bool) {
    let version = match object.sliced() {
        Some(sliced) => {
            let version = sliced.length & 0xffff_ffff;
            assert_eq!(sliced.length, master_length(number, version), "another's slices");
            version
        }
        None => {
            let text = String::from_utf8_lossy(body);
            let mut words = text.split(' ').map(|word| word.parse::<u64>().ok());
            assert_eq!(words.next(), Some(Some(number)), "another's body");
            words.next().flatten().expect("a version")
        }
    };
    let was = made(number, version);
    assert_eq!(object.sliced().is_some(), was.sliced().is_some());
    if object.sliced().is_none() {
        assert_eq!(body, self::body(&was), "a body that nobody wrote");
    }
    assert_eq!(object.fields().to_map(), was.fields().to_map());
    let stale = object.terms() != was.terms();
    assert!(!stale || *object.terms() == was.terms().outdated(PURGED, SOFT_WINDOW));
    (version, stale)
}

#[test]
fn an_object_comes_back_with_its_fields_terms_and_body() {
    let disk = Simulated::new(1, 1 << 24);
    let mut log = found(&disk, Settings::new(ByteSize::mib(16)), 2);
    let store = memory();
    let lines = [
        ("cache-control", "max-age=60, stale-if-error=9"),
        ("vary", "accept-language"),
        ("etag", "\"a\""),
        ("x-own", "something of its own"),
    ];
    let asked = |language: &'static str| {
        HeaderMap::from_iter([(http::header::ACCEPT_LANGUAGE, HeaderValue::from_static(language))])
    };
    let bodies = [("de", vec![1; 20]), ("en", vec![2; 60_000]), ("fr", vec![])];
    let mut wanted = Vec::new();
    for (language, body) in &bodies {
        put(&store, "http://a/x", &lines, &asked(language), body);
        let object = find(&store, "http://a/x", &asked(language)).unwrap();
        assert_eq!(log.append(&object), Ok(true));
        wanted.push(object);
    }
    log.flush().unwrap();
    // The end of the process is no more than that.
    let mut log = found(&disk, Settings::new(ByteSize::mib(16)), 3);
    let fresh = memory();
    for place in log.index().clone().find(b"http://a/x") {
        let bytes = log.storage().read_at(place.segment, place.offset, place.length).unwrap();
        let restored = fresh.restore(fresh.key(b"http://a/x"), &place, &bytes);
        assert!(matches!(restored, Restored::Object(_)), "{restored:?}");
    }
    for ((language, _), wanted) in bodies.iter().zip(wanted) {
        let object = find(&fresh, "http://a/x", &asked(language)).unwrap();
        assert_eq!(body_on(log.storage(), &object).unwrap(), body(&wanted));
        assert_eq!(object.terms(), wanted.terms());
        assert_eq!(object.status(), wanted.status());
        assert_eq!(object.vary(), wanted.vary());
        assert_eq!(object.fields().to_map(), wanted.fields().to_map());
    }
}

#[test]
fn what_is_in_memory_is_newer_than_what_is_read() {
    let disk = Simulated::new(1, 1 << 20);
    let mut log = found(&disk, SMALL, 2);
    log.append(&made(1, 1)).unwrap();
    log.flush().unwrap();
    let store = memory();
    put(&store, &key(1), &[("cache-control", "max-age=60")], &HeaderMap::new(), b"newer");
    let place = log.index().find(key(1).as_bytes())[0];
    let bytes = log.storage().read_at(place.segment, place.offset, place.length).unwrap();
    let Restored::Object(object) = store.restore(store.key(key(1).as_bytes()), &place, &bytes)
    else {
        panic!("it was read")
    };
    assert_eq!(body(&object), b"newer");
}

#[test]
fn what_was_removed_stays_removed_after_a_restart() {
    let disk = Simulated::new(1, 1 << 20);
    let mut log = found(&disk, SMALL, 2);
    for number in 0..4 {
        log.append(&made(number, 1)).unwrap();
    }
    log.flush().unwrap();
    log.remove(key(0).as_bytes()).unwrap();
    log.remove_variant(key(1).as_bytes(), b"").unwrap();
    log.remove_variant(key(2).as_bytes(), b"another").unwrap();
    // Before it has reached the file.
    log.append(&made(4, 1)).unwrap();
    log.remove(key(4).as_bytes()).unwrap();
    log.append(&made(0, 2)).unwrap();
    log.flush().unwrap();
    let wanted = [Some(2), None, Some(1), Some(1), None];
    let versions = |log: &mut Log<_>| [0, 1, 2, 3, 4].map(|number| version(log, number));
    assert_eq!(versions(&mut log), wanted);
    assert_eq!(versions(&mut found(&disk, SMALL, 3)), wanted);
    let mut log = found(&disk, SMALL, 4);
    log.remove_all().unwrap();
    log.append(&made(7, 1)).unwrap();
    log.flush().unwrap();
    let mut log = found(&disk, SMALL, 5);
    assert_eq!(versions(&mut log), [None; 5]);
    assert_eq!(version(&mut log, 7), Some(1));
    assert_eq!(log.index().len(), 1);
}

#[test]
fn what_is_removed_before_it_was_found_is_not_found() {
    let disk = Simulated::new(1, 1 << 20);
    let mut log = found(&disk, SMALL, 2);
    log.append(&made(1, 1)).unwrap();
    log.append(&made(2, 1)).unwrap();
    log.seal().unwrap();
    let mut log = open(&disk, SMALL, 3);
    log.remove(key(1).as_bytes()).unwrap();
    log.append(&made(2, 2)).unwrap();
    log.flush().unwrap();
    while log.find_more() {}
    assert_eq!([version(&mut log, 1), version(&mut log, 2)], [None, Some(2)]);
    let mut log = found(&disk, SMALL, 4);
    assert_eq!([version(&mut log, 1), version(&mut log, 2)], [None, Some(2)]);
}

#[test]
fn the_oldest_leave_unless_they_were_asked_for_and_the_size_is_kept() {
    let disk = Simulated::new(1, 1 << 20);
    let mut log = found(&disk, SMALL, 2);
    for number in 0..500 {
        log.append(&made(number, 1)).unwrap();
        log.flush().unwrap();
        // Two that somebody wants all the time.
        for wanted in [3, 5].into_iter().filter(|&wanted| wanted <= number) {
            assert_eq!(version(&mut log, wanted), Some(1), "after {number}");
        }
        let used: u64 = log.storage().list().unwrap().iter().map(|&(_, length)| length).sum();
        assert!(used <= SMALL.size, "{used} bytes");
    }
    assert_eq!(version(&mut log, 1), None, "nobody asked for it");
    assert_eq!(version(&mut log, 499), Some(1));
    let statistics = log.statistics();
    assert!(statistics.rewritten > 0 && statistics.evicted > 300, "{statistics:?}");
    assert_eq!(statistics.written - statistics.rewritten, 500);
    let known = log.index().len();
    let mut log = found(&disk, SMALL, 3);
    assert_eq!((log.index().len(), version(&mut log, 3)), (known, Some(1)));
}

#[test]
fn a_record_that_is_too_long_is_not_written() {
    let disk = Simulated::new(1, 1 << 20);
    let mut log = found(&disk, SMALL, 2);
    let store = memory();
    put(&store, &key(1), &[("cache-control", "max-age=60")], &HeaderMap::new(), &[0; 2_000]);
    let object = find(&store, &key(1), &HeaderMap::new()).unwrap();
    assert_eq!(log.append(&object), Ok(false));
}

#[test]
fn a_full_disk_lets_the_oldest_go_and_a_vanished_one_gives_nothing() {
    let disk = Simulated::new(1, 20_000);
    let mut log = found(&disk, SMALL, 2);
    let mut refused = 0;
    for number in 0..200 {
        refused += u64::from(log.append(&made(number, 1)).is_err());
        refused += u64::from(log.flush().is_err());
    }
    assert!(refused > 0, "the disk holds half of what the log may take");
    let held = (0..200).filter(|&number| version(&mut log, number).is_some()).count();
    assert!(held > 10, "{held} objects");
    disk.0.borrow_mut().vanish();
    assert!((0..200).all(|number| version(&mut log, number).is_none()));
    for number in 0..20 {
        let _ = log.append(&made(number, 2)).and_then(|_| log.flush());
    }
    disk.0.borrow_mut().restart();
    log.append(&made(300, 1)).unwrap();
    log.seal().unwrap();
    let mut log = found(&disk, SMALL, 3);
    assert_eq!(version(&mut log, 300), Some(1));
    // What it would have replaced is outdated.
    assert!((0..20).all(|number| version(&mut log, number) != Some(1)));
}

#[test]
fn a_flipped_bit_anywhere_is_a_miss_or_nothing() {
    let disk = Simulated::new(1, 1 << 20);
    let mut log = found(&disk, SMALL, 2);
    for number in 0..KEYS {
        log.append(&made(number, number)).unwrap();
    }
    log.seal().unwrap();
    let (segment, length) = *log.storage().list().unwrap().last().unwrap();
    let mut intact = 0;
    for offset in 0..length {
        let bit = offset % 8;
        let rotten = Simulated(Rc::new(RefCell::new(disk.0.borrow().clone())));
        rotten.0.borrow_mut().rot_at(&file_name(segment), offset, bit);
        let mut again = found(&rotten, SMALL, 3);
        intact += (0..KEYS).filter(|&number| version(&mut again, number).is_some()).count() as u64;
    }
    let all = length * KEYS;
    assert!(intact > all / 2 && intact < all, "{intact} of {all}");
}

/// Which of `keys` the log holds, by the rules that were found with it.
fn held_after_restart(disk: &Simulated, settings: Settings, seed: u64, keys: u64) -> Vec<u64> {
    let store = memory();
    let purges = Arc::clone(store.purges());
    let mut log = Log::open(disk.clone(), settings, purges, Rng::new(seed)).unwrap();
    while log.find_more() {}
    let mut held = Vec::new();
    for number in 0..keys {
        let key = key(number);
        for place in log.index().clone().find(key.as_bytes()) {
            let read = log.storage().read_at(place.segment, place.offset, place.length).unwrap();
            let restored = store.restore(store.key(key.as_bytes()), &place, &read);
            held.extend(matches!(restored, Restored::Object(_)).then_some(number));
        }
    }
    held
}

fn about(text: &str) -> Rule {
    let what = What::Prefix(text.as_bytes().into());
    Rule { what, soft: false, at: Wall::from_secs(1_000) }
}

#[test]
fn a_purge_rule_is_durable_when_it_was_written_and_concerns_what_lies_before_it() {
    let disk = Simulated::new(1, 1 << 20);
    let store = memory();
    let purges = Arc::clone(store.purges());
    let mut log = Log::open(disk.clone(), SMALL, purges, Rng::new(2)).unwrap();
    while log.find_more() {}
    for number in 0..12 {
        log.append(&made(number, 1)).unwrap();
    }
    let (number, rule) = store.purge(about(&key(1)));
    log.purge(number, rule).unwrap();
    log.append(&made(11, 2)).unwrap();
    log.seal().unwrap();
    disk.0.borrow_mut().crash();
    disk.0.borrow_mut().restart();
    // 1, 10 and 11 begin alike, and 11 was written again.
    assert_eq!(held_after_restart(&disk, SMALL, 3, 12), [0, 2, 3, 4, 5, 6, 7, 8, 9, 11]);
}

#[test]
fn what_was_purged_is_not_written_again_when_its_segment_leaves() {
    let disk = Simulated::new(1, 1 << 20);
    let store = memory();
    let purges = Arc::clone(store.purges());
    let settings = Settings { size: 16_000, segment: 4_000 };
    let mut log = Log::open(disk.clone(), settings, purges, Rng::new(2)).unwrap();
    while log.find_more() {}
    log.append(&made(1, 1)).unwrap();
    log.append(&made(2, 1)).unwrap();
    log.flush().unwrap();
    for number in [1, 2] {
        assert_eq!(log.index().find(key(number).as_bytes()).len(), 1, "a hit");
    }
    let (number, rule) = store.purge(about(&key(1)));
    log.purge(number, rule).unwrap();
    for number in 100..140 {
        log.append(&made(number, 1)).unwrap();
        log.index().find(key(2).as_bytes());
    }
    log.flush().unwrap();
    assert!(!log.index().has(key(1).as_bytes()));
    assert!(log.index().has(key(2).as_bytes()));
}

#[test]
fn a_purge_that_a_failing_disk_owes_is_written_when_it_is_well() {
    for seed in 0..40 {
        let disk = Simulated::new(seed, 1 << 20);
        let store = memory();
        let purges = Arc::clone(store.purges());
        let mut log = Log::open(disk.clone(), SMALL, purges, Rng::new(seed)).unwrap();
        while log.find_more() {}
        log.append(&made(1, 1)).unwrap();
        log.append(&made(2, 1)).unwrap();
        log.seal().unwrap();
        disk.0.borrow_mut().faults_mut().failing = 0.7;
        let (number, rule) = store.purge(about(&key(1)));
        let durable = log.purge(number, rule).is_ok();
        disk.0.borrow_mut().faults_mut().failing = 0.0;
        if !durable {
            log.append(&made(3, 1)).unwrap();
            log.seal().unwrap();
        }
        disk.0.borrow_mut().crash();
        disk.0.borrow_mut().restart();
        let held = held_after_restart(&disk, SMALL, seed + 1, 3);
        assert_eq!(held, [2], "seed {seed}, durable at once: {durable}");
    }
}

#[test]
fn what_is_asked_for_once_stays_off_the_disk() {
    let disk = Simulated::new(1, 1 << 24);
    let mut log = found(&disk, Settings::new(ByteSize::mib(16)), 2);
    let queue = Arc::new(Queue::new(Arc::clone(log.index()), Waker::noop().clone()));
    let store = memory();
    store.put_beneath(Arc::clone(&queue));
    let lines = [("cache-control", "max-age=60")];
    let put = |number| put(&store, &key(number), &lines, &HeaderMap::new(), b"0 0 ");
    let work = |log: &mut Log<_>| {
        while queue.work(log).unwrap() {}
        log.flush().unwrap();
        [1, 2, 3].map(|number| queue.find(key(number).as_bytes()).len())
    };
    [1, 2, 3].into_iter().for_each(put);
    assert_eq!(work(&mut log), [0, 0, 0]);
    // A hit in memory, and a fetch after it has left.
    find(&store, &key(1), &HeaderMap::new()).unwrap();
    put(2);
    assert_eq!(work(&mut log), [1, 1, 0]);
    find(&store, &key(1), &HeaderMap::new()).unwrap();
    assert!(queue.is_empty(), "it is there already");
    store.remove(store.key(key(1).as_bytes()));
    assert!(queue.find(key(1).as_bytes()).is_empty(), "before anybody has done the work");
    assert_eq!(work(&mut log), [0, 1, 0]);
}

#[test]
fn what_is_removed_while_it_is_read_does_not_come_back() {
    let disk = Simulated::new(1, 1 << 20);
    let store = memory();
    let mut log = found(&disk, SMALL, 2);
    let queue = Arc::new(Queue::new(Arc::clone(log.index()), Waker::noop().clone()));
    store.put_beneath(Arc::clone(&queue));
    let key = key(1);
    let key = store.key(key.as_bytes());
    for worked_off in [false, true] {
        log.append(&made(1, 1)).unwrap();
        log.flush().unwrap();
        let place = queue.find(key.bytes())[0];
        let bytes = log.storage().read_at(place.segment, place.offset, place.length).unwrap();
        store.remove(key);
        if worked_off {
            while queue.work(&mut log).unwrap() {}
        }
        assert!(matches!(store.restore(key, &place, &bytes), Restored::Nothing));
        assert!(store.variants(key).is_empty(), "worked off: {worked_off}");
        while queue.work(&mut log).unwrap() {}
    }
}

#[test]
fn a_soft_purge_of_a_url_reaches_the_disk() {
    let disk = Simulated::new(1, 1 << 20);
    let store = memory();
    let mut log = found(&disk, SMALL, 2);
    let queue = Arc::new(Queue::new(Arc::clone(log.index()), Waker::noop().clone()));
    store.put_beneath(Arc::clone(&queue));
    put(&store, &key(1), &[("cache-control", "max-age=60")], &HeaderMap::new(), b"1 1 ");
    find(&store, &key(1), &HeaderMap::new()).unwrap();
    let at = Wall::from_secs(1_010);
    assert_eq!(store.purge_key(store.key(key(1).as_bytes()), Some(at)), 1);
    while queue.work(&mut log).unwrap() {}
    log.flush().unwrap();
    let (mut log, fresh) = (found(&disk, SMALL, 3), memory());
    let place = log.index().find(key(1).as_bytes())[0];
    let bytes = log.storage().read_at(place.segment, place.offset, place.length).unwrap();
    let restored = fresh.restore(fresh.key(key(1).as_bytes()), &place, &bytes);
    let Restored::Object(object) = restored else { panic!("{restored:?}") };
    assert_eq!(object.terms().ttl(at), 0);
}

#[test]
fn a_queue_that_is_closed_takes_nothing_more_and_is_worked_off() {
    let disk = Simulated::new(1, 1 << 20);
    let mut log = found(&disk, SMALL, 2);
    let queue = Queue::new(Arc::clone(log.index()), Waker::noop().clone());
    assert!(queue.asked_again(&made(1, 1)));
    queue.close();
    assert!(!queue.asked_again(&made(2, 1)));
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    queue.sync(move |_| sender.send(()).unwrap());
    assert!(receiver.recv().is_err(), "nobody waits for ever");
    assert!(queue.is_closed() && !queue.is_empty());
    while queue.work(&mut log).unwrap() {}
    assert!(queue.is_empty());
    log.flush().unwrap();
    assert_eq!([version(&mut log, 1), version(&mut log, 2)], [Some(1), None]);
    assert_eq!(queue.dropped(), 1);
}

#[test]
fn an_entry_of_the_index_takes_about_41_bytes_however_many_there_are() {
    let disk = Simulated::new(1, 1 << 26);
    let log = found(&disk, Settings::new(ByteSize::mib(64)), 2);
    // Two doublings, in eighths of one, so that no degree of fullness is missed.
    for eighths in 0..=16 {
        let entries = (40_000_u64 << (eighths / 8)) * (8 + eighths % 8) / 8;
        let index = log.index();
        while (index.len() as u64) < entries {
            let hash = Rng::new(index.len() as u64).next_u64();
            index.insert_for_tests(hash);
        }
        let bytes = index.allocated();
        let each = bytes as f64 / entries as f64;
        assert!((38.0..45.0).contains(&each), "{each:.1} bytes an entry of {entries}");
    }
}

#[test]
fn the_index_stays_as_small_while_entries_come_and_go() {
    let disk = Simulated::new(1, 1 << 26);
    let log = found(&disk, Settings::new(ByteSize::mib(64)), 2);
    let index = log.index();
    let hash = |number: u64| Rng::new(number).next_u64();
    let held = 50_000;
    for number in 0..held {
        index.insert_for_tests(hash(number));
    }
    for number in held..20 * held {
        assert!(index.remove(hash(number - held), None), "entry {number} was lost");
        index.insert_for_tests(hash(number));
    }
    assert_eq!(index.len() as u64, held);
    let each = index.allocated() as f64 / held as f64;
    assert!(each < 64.0, "{each:.1} bytes an entry");
}
