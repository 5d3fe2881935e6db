//! The store, flights and pilots together: what comes in, who reads it meanwhile, what leaves.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use nigh_base::{Rng, Wall};

use super::*;
use crate::{
    directives::RequestDirectives,
    flight::{Abandoned, Failure, Head, Reader, Truncated, Verdict},
    freshness::{Reason, Reuse},
    pilot::Pilot,
    purge::What,
    run::Run,
    testing::{ARRIVED, fields, head},
};

fn store(kib: u64) -> Arc<Store> {
    Store::new(Settings::new(ByteSize::kib(kib), 7))
}

/// Polls once.
fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn ready<F: Future>(future: F) -> F::Output {
    match poll(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Brings bytes, and waits for room.
async fn push(pilot: &mut Pilot, bytes: Bytes) -> Result<(), Abandoned> {
    pilot.push(&bytes);
    pilot.room().await
}

/// What is stored without selecting values: what an asker has seen before it boards.
fn known(store: &Store, key: &str) -> Option<Object> {
    let variants = store.variants(store.key(key.as_bytes()));
    variants.into_iter().find(|object| object.selecting().is_empty())
}

fn first(store: &Arc<Store>, key: &str) -> (Reader, Pilot) {
    match store.board(store.key(key.as_bytes()), b"", known(store, key).as_ref(), Course::Onward) {
        Boarding::First(reader, pilot) => (reader, pilot),
        Boarding::Later(_) => panic!("{key} is being fetched already"),
        Boarding::Stored(_) => panic!("{key} is stored"),
    }
}

fn later(store: &Arc<Store>, key: &str) -> Reader {
    match store.board(store.key(key.as_bytes()), b"", known(store, key).as_ref(), Course::Onward) {
        Boarding::Later(reader) => reader,
        Boarding::First(..) | Boarding::Stored(_) => {
            panic!("nobody fetches {key}, or nobody may join")
        }
    }
}

/// Fetches `body` for `key`, as a miss does.
fn put(store: &Arc<Store>, key: &str, asked: &HeaderMap, vary: &str, body: &[u8]) {
    let (_first, mut pilot) = first(store, key);
    let lines = [("cache-control", "max-age=60"), ("vary", vary)];
    pilot.head(head(asked, &lines[..if vary.is_empty() { 1 } else { 2 }], None));
    for chunk in body.chunks(10_000) {
        let _ = ready(push(&mut pilot, Bytes::copy_from_slice(chunk)));
    }
    pilot.land(None);
}

fn get(store: &Store, key: &str, asked: &HeaderMap) -> Option<Vec<u8>> {
    let object = store.find(store.key(key.as_bytes()), asked, &mut Vec::new())?;
    let mut run = Run::whole(object);
    Some(run.copy_to_bytes(run.remaining()).to_vec())
}

fn read_all(reader: &mut Reader) -> Result<Vec<u8>, Truncated> {
    let mut all = Vec::new();
    while let Poll::Ready(chunk) = poll(reader.chunk()) {
        match chunk? {
            Some(chunk) => all.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(all)
}

#[test]
fn what_was_put_is_found_byte_for_byte_whatever_its_length() {
    let store = store(64 << 10);
    let mut rng = Rng::new(1);
    let none = HeaderMap::new();
    for length in [0, 1, 4095, 4096, 32 * 1024, 32 * 1024 + 1, 65_536, 200_001, 1 << 20] {
        let body: Vec<u8> = (0..length).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
        let key = format!("http://a/{length}");
        put(&store, &key, &none, "", &body);
        assert_eq!(get(&store, &key, &none), Some(body), "{length}");
    }
    assert_eq!(get(&store, "http://a/2", &none), None);
}

/// Every key that a listing shows, page by page, and how many pages there were.
fn listed(store: &Store, prefix: &str, limit: usize, budget: usize) -> (Vec<String>, usize) {
    let (mut keys, mut pages, mut from) = (Vec::new(), 0, Some(Position::default()));
    while let Some(at) = from {
        let (page, next) = store.page(at, prefix.as_bytes(), limit, budget);
        assert!(page.len() <= limit);
        keys.extend(page.iter().map(|object| String::from_utf8_lossy(object.key()).into_owned()));
        (pages, from) = (pages + 1, next);
    }
    keys.sort();
    (keys, pages)
}

#[test]
fn a_listing_shows_what_begins_so_once_whatever_the_size_of_its_pages() {
    let store = store(64 << 10);
    for n in 0..300 {
        put(&store, &format!("http://a/{n}"), &HeaderMap::new(), "", b"x");
        put(&store, &format!("http://b/{n}"), &HeaderMap::new(), "", b"x");
    }
    let mut expected: Vec<String> = (0..300).map(|n| format!("http://b/{n}")).collect();
    expected.sort();
    for (limit, budget) in [(1000, 1_000_000), (7, 1_000_000), (1000, 13), (1, 1)] {
        assert_eq!(listed(&store, "http://b/", limit, budget).0, expected, "{limit} {budget}");
    }
    assert!(listed(&store, "", 100, 1000).1 >= 6);
    store.purge(Rule { what: What::Host((*b"b").into()), soft: false, at: Wall::from_secs(1) });
    assert_eq!(listed(&store, "http://b/", 100, 1000).0, Vec::<String>::new());
}

#[test]
fn variants_are_found_by_what_selected_them_and_the_oldest_make_room() {
    let store = store(1 << 10);
    let asked = |n: usize| fields(&[("x-who", &n.to_string())]);
    for n in 0..VARIANTS_MAX + 3 {
        put(&store, "http://a/", &asked(n), "x-who", n.to_string().as_bytes());
    }
    assert_eq!(store.variants(store.key(b"http://a/")).len(), VARIANTS_MAX);
    assert_eq!(get(&store, "http://a/", &asked(0)), None);
    assert_eq!(get(&store, "http://a/", &asked(VARIANTS_MAX + 2)), Some(b"18".to_vec()));
    put(&store, "http://a/", &asked(18), "x-who", b"again");
    assert_eq!(get(&store, "http://a/", &asked(18)), Some(b"again".to_vec()));
    assert_eq!(store.variants(store.key(b"http://a/")).len(), VARIANTS_MAX);
    assert_eq!(store.remove(store.key(b"http://a/")), VARIANTS_MAX);
    assert_eq!(store.statistics().objects, 0);
}

#[test]
fn the_ceiling_holds_whatever_comes_and_every_byte_is_given_back() {
    for policy in evict::Kind::ALL {
        // One shard, and two, of which each takes room from the other.
        for (kib, turns, bytes) in [(700, 3_000, 60_000), (9 << 10, 600, 800_000)] {
            let settings = Settings { policy, ..Settings::new(ByteSize::kib(kib), 7) };
            holds_its_ceiling(&Store::new(settings), turns, bytes);
        }
    }
}

/// Bodies of less than so many bytes come and go.
fn holds_its_ceiling(store: &Arc<Store>, turns: usize, bytes: usize) {
    let empty = store.statistics().used;
    let mut rng = Rng::new(2);
    let none = HeaderMap::new();
    let mut held = Vec::new();
    for _ in 0..turns {
        let key = format!("http://a/{}", rng.below(800));
        match rng.below(10) {
            0 => drop(store.remove(store.key(key.as_bytes()))),
            1 => held.extend(store.find(store.key(key.as_bytes()), &none, &mut Vec::new())),
            2 => held.truncate(rng.index(20)),
            _ => put(store, &key, &none, "", &vec![0; rng.index(bytes)]),
        }
        let now = store.statistics();
        assert!(now.used <= now.ceiling, "{store:?}");
    }
    assert!(store.statistics().evicted > 100, "{:?}", store.statistics());
    drop(held);
    for n in 0..800 {
        store.remove(store.key(format!("http://a/{n}").as_bytes()));
    }
    let left = store.statistics();
    assert_eq!(left.objects, 0);
    // What is left are the fields that objects shared.
    assert!(left.used - empty < 512, "{left:?}");
}

#[test]
fn copies_make_room_before_what_came_from_the_origin() {
    let store = store(1 << 10);
    for n in 0..30 {
        let (_first, mut pilot) = first(&store, &format!("http://copy/{n}"));
        let copy = head(&HeaderMap::new(), &[("cache-control", "max-age=60")], None);
        pilot.head(Head { terms: copy.terms.copied(ARRIVED, 10), ..copy });
        pilot.push(&Bytes::from(vec![0; 1_000]));
        pilot.land(None);
    }
    let mut count = 0;
    while store.statistics().evicted == 0 {
        put(&store, &format!("http://a/{count}"), &HeaderMap::new(), "", &[0; 20_000]);
        count += 1;
    }
    let holds = |n: &i32| store.holds(store.key(format!("http://a/{n}").as_bytes()));
    assert!((0..count).all(|n| holds(&n)), "they are larger, and came from the origin");
}

#[test]
fn a_body_that_outgrows_the_store_reaches_its_readers_and_is_not_kept() {
    let store = store(512);
    let (mut one, mut pilot) = first(&store, "http://a/");
    let mut two = later(&store, "http://a/");
    pilot.head(head(&HeaderMap::new(), &[("cache-control", "max-age=60")], None));
    for reader in [&mut one, &mut two] {
        assert!(matches!(ready(reader.verdict()), Verdict::Head(_)));
    }
    let (mut sent, mut seen) = (0, [0, 0]);
    for _ in 0..200 {
        assert_eq!(ready(push(&mut pilot, Bytes::from(vec![1; 8_192]))), Ok(()));
        sent += 8_192;
        for (reader, seen) in [&mut one, &mut two].into_iter().zip(&mut seen) {
            *seen += read_all(reader).unwrap().len();
        }
        assert!(store.statistics().used <= store.statistics().ceiling);
    }
    pilot.land(None);
    assert_eq!(seen, [sent, sent]);
    assert_eq!(store.statistics().objects, 0);
    drop((one, two));
    assert_eq!(store.statistics().used, 0);
}

#[test]
fn a_pilot_waits_for_the_slowest_reader_of_what_is_not_kept() {
    let store = store(512);
    let (mut reader, mut pilot) = store.fly_alone(store.key(b"http://a/"));
    let private = Head {
        stored: Err(WhyNot::Private),
        ..head(&HeaderMap::new(), &[("cache-control", "private")], None)
    };
    pilot.head(private);
    let window = Bytes::from(vec![1; usize::try_from(crate::flight::WINDOW).unwrap()]);
    assert!(poll(push(&mut pilot, window)).is_pending());
    assert!(matches!(poll(reader.chunk()), Poll::Ready(Ok(Some(_)))));
    assert_eq!(ready(push(&mut pilot, Bytes::from_static(b"x"))), Ok(()));
    drop(reader);
    assert!(ready(push(&mut pilot, Bytes::from_static(b"x"))).is_err(), "nobody is left to read");
    assert!(poll(pilot.abandoned()).is_ready());
}

/// A fetch of `http://a/` with `riders` readers, which turns out larger than what may be stored; the
/// first `hearing` of them have heard the head.
fn outgrown(riders: usize, hearing: usize) -> (Vec<Reader>, Pilot) {
    let store = Store::new(Settings {
        object_max: ByteSize::kib(8),
        ..Settings::new(ByteSize::kib(512), 7)
    });
    let (reader, mut pilot) = first(&store, "http://a/");
    let mut readers = vec![reader];
    readers.extend((1..riders).map(|_| later(&store, "http://a/")));
    pilot.head(head(&HeaderMap::new(), &[("cache-control", "max-age=60")], None));
    for reader in &mut readers[..hearing] {
        assert!(matches!(ready(reader.verdict()), Verdict::Head(_)));
    }
    pilot.push(&Bytes::from(vec![1; 10_000]));
    (readers, pilot)
}

/// Reads what is there.
fn drain(reader: &mut Reader) {
    while let Poll::Ready(Ok(Some(_))) = poll(reader.chunk()) {}
}

#[test]
fn who_has_not_begun_to_read_what_is_not_kept_does_not_hold_up_the_others() {
    let (mut readers, mut pilot) = outgrown(3, 1);
    for _ in 0..100 {
        drain(&mut readers[0]);
        assert_eq!(ready(push(&mut pilot, Bytes::from(vec![1; 10_000]))), Ok(()));
    }
    for reader in &mut readers[1..] {
        assert!(matches!(ready(reader.verdict()), Verdict::Alone));
    }
}

#[test]
fn the_first_asker_is_released_too_if_others_read_before_it() {
    let (mut readers, mut pilot) = outgrown(2, 0);
    // Nobody reads: the first one is waited for, and the other fetches for itself.
    assert!(matches!(ready(readers[1].verdict()), Verdict::Alone));
    assert!(matches!(ready(readers[0].verdict()), Verdict::Head(_)));
    assert!(poll(push(&mut pilot, Bytes::from(vec![1; 300_000]))).is_pending());

    let store = store(512);
    let (mut one, mut pilot) = first(&store, "http://a/");
    let mut two = later(&store, "http://a/");
    pilot.head(head(&HeaderMap::new(), &[("cache-control", "max-age=60")], None));
    assert!(matches!(ready(two.verdict()), Verdict::Head(_)));
    pilot.push(&Bytes::from(vec![1; 600_000]));
    assert!(matches!(ready(one.verdict()), Verdict::Alone));
}

#[test]
fn a_fast_reader_that_has_left_is_no_measure_for_the_others() {
    let store = store(512);
    let (mut slow, mut pilot) = first(&store, "http://a/");
    let mut fast = later(&store, "http://a/");
    pilot.head(head(&HeaderMap::new(), &[("cache-control", "max-age=60")], None));
    for reader in [&mut slow, &mut fast] {
        assert!(matches!(ready(reader.verdict()), Verdict::Head(_)));
    }
    pilot.push(&Bytes::from(vec![1; 10_000]));
    drain(&mut fast);
    drop(fast);
    // More than the store takes of one object.
    pilot.push(&Bytes::from(vec![1; 100_000]));
    pilot.land(None);
    assert_eq!(read_all(&mut slow).map(|bytes| bytes.len()), Ok(110_000));
}

#[test]
fn who_makes_others_wait_for_too_long_is_cut_off_and_nobody_else() {
    let (mut readers, mut pilot) = outgrown(3, 3);
    let window = usize::try_from(crate::flight::WINDOW).unwrap();
    pilot.push(&Bytes::from(vec![1; window]));
    // All are slow: there is nobody to protect.
    pilot.cut_slow();
    assert!(poll(pilot.room()).is_pending());
    drain(&mut readers[0]);
    drain(&mut readers[1]);
    assert!(poll(pilot.room()).is_pending());
    pilot.cut_slow();
    assert_eq!(ready(pilot.room()), Ok(()));
    pilot.land(None);
    assert!(matches!(ready(readers[0].chunk()), Ok(None)));
    assert!(matches!(ready(readers[1].chunk()), Ok(None)));
    assert!(matches!(ready(readers[2].chunk()), Err(Truncated)));
}

#[test]
fn passengers_of_what_may_not_be_shared_are_released_and_the_next_ones_do_not_wait() {
    let store = store(512);
    let key = store.key(b"http://a/");
    let (mut one, mut pilot) = first(&store, "http://a/");
    let mut two = later(&store, "http://a/");
    assert!(poll(two.verdict()).is_pending());
    let lines = [("cache-control", "private")];
    pilot.head(Head { stored: Err(WhyNot::Private), ..head(&HeaderMap::new(), &lines, None) });
    assert!(matches!(ready(one.verdict()), Verdict::Head(_)));
    assert!(matches!(ready(two.verdict()), Verdict::Alone));
    let Boarding::First(_, alone) = store.board(key, b"", None, Course::Onward) else {
        panic!("it waits in vain")
    };
    assert!(!alone.can_be_joined());
    assert_eq!(store.refusal(key), Some(WhyNot::Private));
}

#[test]
fn the_last_reader_to_leave_a_full_window_lets_the_pilot_go() {
    use std::sync::atomic::AtomicBool;
    struct Flag(AtomicBool);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let store = store(512);
    let (reader, mut pilot) = store.fly_alone(store.key(b"http://a/"));
    let lines = [("cache-control", "private")];
    pilot.head(Head { stored: Err(WhyNot::Private), ..head(&HeaderMap::new(), &lines, None) });
    let woken = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let window = Bytes::from(vec![1; usize::try_from(crate::flight::WINDOW).unwrap()]);
    let mut push = pin!(push(&mut pilot, window));
    assert!(push.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(reader);
    assert!(woken.0.load(Ordering::Relaxed), "nobody told the pilot");
    assert!(matches!(push.poll(&mut Context::from_waker(&waker)), Poll::Ready(Err(_))));
}

#[test]
fn a_fetch_that_nobody_waits_for_is_given_up_before_its_head_and_finished_after() {
    let store = store(512);
    let (reader, mut pilot) = first(&store, "http://a/");
    assert!(poll(pilot.abandoned()).is_pending());
    drop(reader);
    assert!(poll(pilot.abandoned()).is_ready());
    pilot.head(head(&HeaderMap::new(), &[("cache-control", "max-age=60")], None));
    assert!(poll(pilot.abandoned()).is_pending(), "the store wants it");
}

/// A flight that was begun for a head alone, which has come.
fn for_head(store: &Arc<Store>, length: Option<u64>, passing: bool) -> (Reader, Pilot) {
    let (mut reader, mut pilot) = first(store, "http://a/");
    reader.wants_head_only();
    let lines = [("cache-control", "max-age=60")];
    pilot.head(Head { passing, ..head(&HeaderMap::new(), &lines, length) });
    assert!(matches!(ready(reader.verdict()), Verdict::Head(_)));
    (reader, pilot)
}

#[test]
fn what_was_asked_for_its_head_alone_is_finished_unless_it_is_long_or_another_caches() {
    let limit = crate::flight::HEAD_ONLY_MAX;
    for (length, passing, is_wanted) in [
        (Some(limit), false, true),
        (None, false, true),
        (Some(limit + 1), false, false),
        (Some(1), true, false),
    ] {
        let store = store(128 << 10);
        let key = store.key(b"http://a/");
        let (reader, pilot) = for_head(&store, length, passing);
        assert!(poll(pilot.abandoned()).is_pending(), "somebody is aboard");
        drop(reader);
        assert_eq!(poll(pilot.abandoned()).is_pending(), is_wanted, "{length:?} {passing}");
        let boarding = store.board(key, b"", None, Course::Onward);
        assert_eq!(matches!(boarding, Boarding::Later(_)), is_wanted, "{length:?} {passing}");
        drop(boarding);
        pilot.abandon();
        let why = (!is_wanted && !passing).then_some(WhyNot::HeadOnly);
        assert_eq!(store.refusal(key), why, "{length:?} {passing}");
    }
}

#[test]
fn a_long_body_is_given_up_for_those_who_want_its_head_alone_and_for_nobody_else() {
    let limit = crate::flight::HEAD_ONLY_MAX;
    for (length, is_given_up) in [(None, false), (Some(limit), false), (Some(limit + 1), true)] {
        let store = store(128 << 10);
        let (mut reader, _pilot) = for_head(&store, length, false);
        let Verdict::Head(head) = ready(reader.verdict()) else { panic!("it came") };
        assert_eq!(reader.gives_body_up(&head), is_given_up, "{length:?}");
        let _other = later(&store, "http://a/");
        assert!(!reader.gives_body_up(&head), "{length:?}: somebody wants it");
    }
}

#[test]
fn what_turns_out_long_is_given_up_where_nobody_wanted_more_than_its_head() {
    let store = store(128 << 10);
    let half = Bytes::from(vec![1; usize::try_from(crate::flight::HEAD_ONLY_MAX / 2).unwrap()]);
    let (reader, mut pilot) = for_head(&store, None, false);
    drop(reader);
    assert_eq!(ready(push(&mut pilot, half.clone())), Ok(()));
    assert_eq!(ready(push(&mut pilot, half.clone())), Ok(()));
    assert_eq!(ready(push(&mut pilot, Bytes::from_static(b"more"))), Err(Abandoned));
    pilot.abandon();
    // Who wants the body is enough, also if he leaves.
    let (reader, mut pilot) = for_head(&store, None, false);
    drop((reader, later(&store, "http://a/")));
    for _ in 0..3 {
        assert_eq!(ready(push(&mut pilot, half.clone())), Ok(()));
    }
    pilot.land(None);
    assert_eq!(store.statistics().objects, 1);
}

#[test]
fn what_is_on_its_way_when_its_key_is_invalidated_is_not_stored() {
    let store = store(512);
    let key = store.key(b"http://a/");
    let (mut reader, mut pilot) = first(&store, "http://a/");
    pilot.head(head(&HeaderMap::new(), &[("cache-control", "max-age=60")], None));
    store.remove(key);
    let Boarding::First(..) = store.board(key, b"", None, Course::Onward) else {
        panic!("joined an outdated fetch")
    };
    assert_eq!(ready(push(&mut pilot, Bytes::from_static(b"old"))), Ok(()));
    pilot.land(None);
    assert_eq!(read_all(&mut reader).unwrap(), b"old");
    assert_eq!(store.statistics().objects, 0);
}

#[test]
fn what_another_cache_answers_for_reaches_all_who_wait_and_is_not_stored() {
    let store = store(512);
    let (mut one, mut pilot) = first(&store, "http://a/");
    let mut two = later(&store, "http://a/");
    pilot.head(Head {
        passing: true,
        ..head(&HeaderMap::new(), &[("cache-control", "max-age=60")], Some(3))
    });
    pilot.push(&Bytes::from_static(b"abc"));
    pilot.land(None);
    for reader in [&mut one, &mut two] {
        assert_eq!(read_all(reader).unwrap(), b"abc");
    }
    drop((one, two));
    assert!(known(&store, "http://a/").is_none());
    assert_eq!(store.statistics().used, 0);
}

#[test]
fn a_confirmation_for_one_client_alone_leaves_nothing_behind() {
    let store = store(512);
    let key = store.key(b"http://a/");
    put(&store, "http://a/", &HeaderMap::new(), "", b"body");
    let old = store.find(key, &HeaderMap::new(), &mut Vec::new()).unwrap();
    let (mut one, pilot) = first(&store, "http://a/");
    let mut two = later(&store, "http://a/");
    let secret = fields(&[("cache-control", "private"), ("x-user", "alice")]);
    pilot.confirm(&old, &secret, *old.terms(), Err(WhyNot::Private));
    let Verdict::Object(object) = ready(one.verdict()) else { panic!("it was confirmed") };
    assert_eq!(object.fields().to_map()["x-user"], "alice");
    assert!(matches!(ready(two.verdict()), Verdict::Alone));
    assert!(store.find(key, &HeaderMap::new(), &mut Vec::new()).is_none());
}

#[test]
fn an_asker_whose_object_landed_meanwhile_does_not_fetch_it_again() {
    let store = store(512);
    put(&store, "http://a/", &HeaderMap::new(), "", b"body");
    let key = store.key(b"http://a/");
    let Boarding::Stored(object) = store.board(key, b"", None, Course::Onward) else {
        panic!("it is stored")
    };
    let Boarding::First(..) = store.board(key, b"", Some(&object), Course::Onward) else {
        panic!("it is stale")
    };
}

#[test]
fn a_pilot_that_is_lost_fails_its_readers_and_stores_nothing() {
    let store = store(512);
    for after_head in [false, true] {
        let (mut reader, mut pilot) = first(&store, "http://a/");
        if after_head {
            pilot.head(head(&HeaderMap::new(), &[("cache-control", "max-age=60")], Some(10)));
            assert_eq!(ready(push(&mut pilot, Bytes::from_static(b"half"))), Ok(()));
        }
        drop(pilot);
        if after_head {
            assert!(matches!(ready(reader.verdict()), Verdict::Head(_)));
            assert!(read_all(&mut reader).is_err());
        } else {
            assert!(matches!(ready(reader.verdict()), Verdict::Failed(Failure::GivenUp)));
        }
    }
    assert_eq!(store.statistics().objects, 0);
    assert_eq!(store.statistics().used, 0);
}

#[test]
fn a_body_shorter_than_was_said_is_not_stored() {
    let store = store(512);
    let (_reader, mut pilot) = first(&store, "http://a/");
    pilot.head(head(&HeaderMap::new(), &[("cache-control", "max-age=60")], Some(10)));
    assert_eq!(ready(push(&mut pilot, Bytes::from_static(b"short"))), Ok(()));
    pilot.land(None);
    assert_eq!(store.statistics().objects, 0);
}

fn put_part(store: &Arc<Store>, tag: &str, range: &str, body: &'static [u8]) {
    let (_reader, mut pilot) = store.fly_alone(store.key(b"http://a/"));
    let lines = [("cache-control", "max-age=60"), ("etag", tag), ("content-range", range)];
    let status = StatusCode::PARTIAL_CONTENT;
    pilot.head(Head { status, ..head(&HeaderMap::new(), &lines, Some(body.len() as u64)) });
    assert_eq!(ready(push(&mut pilot, Bytes::from_static(body))), Ok(()));
    pilot.land(None);
}

#[test]
fn parts_of_one_representation_grow_together_until_they_are_whole() {
    let store = store(512);
    let find = || store.find(store.key(b"http://a/"), &HeaderMap::new(), &mut Vec::new()).unwrap();
    put_part(&store, "\"a\"", "bytes 6-9/10", b"6789");
    put_part(&store, "\"a\"", "bytes 0-2/10", b"012");
    assert!(!find().is_whole());
    assert_eq!(find().length(), Some(10));
    let mut run = Run::new(find(), 7..9);
    assert_eq!(run.copy_to_bytes(2), "78");
    put_part(&store, "\"a\"", "bytes 2-7/10", b"234567");
    assert!(find().is_whole());
    assert_eq!(get(&store, "http://a/", &HeaderMap::new()), Some(b"0123456789".to_vec()));
}

#[test]
fn parts_of_different_representations_never_mix() {
    for tag in ["\"b\"", "W/\"a\""] {
        let store = store(512);
        put_part(&store, if tag == "\"b\"" { "\"a\"" } else { tag }, "bytes 0-4/10", b"01234");
        put_part(&store, tag, "bytes 5-9/10", b"56789");
        let found = store.find(store.key(b"http://a/"), &HeaderMap::new(), &mut Vec::new());
        let found = found.unwrap();
        assert!(!found.is_whole(), "{tag}");
        assert_eq!(Run::new(found, 5..10).copy_to_bytes(5), "56789");
    }
}

#[test]
fn a_run_reads_any_range_of_any_body_in_any_steps() {
    let store = store(64 << 10);
    let mut rng = Rng::new(3);
    let body: Vec<u8> = (0..300_000).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
    for length in [1, 1_000, 32 * 1024, 70_000, 300_000] {
        put(&store, "http://a/", &HeaderMap::new(), "", &body[..length]);
        let found = store.find(store.key(b"http://a/"), &HeaderMap::new(), &mut Vec::new());
        let object = found.unwrap();
        for _ in 0..100 {
            let start = rng.index(length);
            let end = start + 1 + rng.index(length - start);
            let mut run = Run::new(object.clone(), start as u64..end as u64);
            let mut read = Vec::new();
            while run.has_remaining() {
                let mut slices = [std::io::IoSlice::new(&[]); 3];
                let filled = run.chunks_vectored(&mut slices);
                let offered: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                assert!(offered.starts_with(run.chunk()) && !offered.is_empty());
                let step = 1 + rng.index(offered.len());
                read.extend_from_slice(&offered[..step]);
                run.advance(step);
            }
            assert_eq!(read, body[start..end]);
        }
    }
}

#[test]
fn many_threads_fetch_and_read_one_another_and_lose_nothing() {
    let store = store(64 << 10);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                for _ in 0..2_000 {
                    let n = rng.below(50);
                    let key = format!("http://a/{n}");
                    let body =
                        vec![u8::try_from(n).unwrap(); 1 + usize::try_from(n * 900).unwrap()];
                    let boarding =
                        store.board(store.key(key.as_bytes()), b"", None, Course::Onward);
                    if let Boarding::First(_reader, mut pilot) = boarding {
                        let lines = [("cache-control", "max-age=60")];
                        pilot.head(head(&HeaderMap::new(), &lines, Some(body.len() as u64)));
                        let _ = ready(push(&mut pilot, Bytes::from(body.clone())));
                        pilot.land(None);
                    } else if let Boarding::Later(mut reader) = boarding {
                        let read = read_all(&mut reader).unwrap();
                        assert!(body.starts_with(&read));
                    }
                    if let Some(found) = get(store, &key, &HeaderMap::new()) {
                        assert_eq!(found, body);
                    }
                    assert!(store.statistics().used <= store.statistics().ceiling);
                }
            });
        }
    });
}

fn rule(what: What, soft: bool) -> Rule {
    Rule { what, soft, at: Wall::from_secs(1_010) }
}

fn prefix(text: &str) -> What {
    What::Prefix(text.as_bytes().into())
}

#[test]
fn a_purge_rule_removes_what_it_concerns_and_nothing_that_is_younger() {
    let store = store(1_000);
    let none = HeaderMap::new();
    for key in ["http://a/x/1", "http://a/x/2", "http://a/y"] {
        put(&store, key, &none, "", b"old");
    }
    store.purge(rule(prefix("http://a/x/"), false));
    assert_eq!(get(&store, "http://a/x/1", &none), None);
    assert_eq!(get(&store, "http://a/y", &none).unwrap(), b"old");
    put(&store, "http://a/x/1", &none, "", b"new");
    assert_eq!(get(&store, "http://a/x/1", &none).unwrap(), b"new");
    assert_eq!(store.statistics().objects, 3, "nobody has looked for the other one yet");
    let mut sweep = Sweep::default();
    while !store.sweep(&mut sweep, 10) {}
    assert_eq!(store.statistics().objects, 2);
    assert!(store.purges().is_empty(), "nothing is older than the rule");
    assert_eq!(get(&store, "http://a/x/1", &none).unwrap(), b"new");
}

#[test]
fn what_was_on_its_way_when_it_was_purged_is_not_kept_and_nobody_joins_it() {
    let store = store(1_000);
    let none = HeaderMap::new();
    let (_reader, mut pilot) = first(&store, "http://a/x");
    store.purge(rule(prefix("http://a/"), false));
    // Who asks now fetches anew.
    let (_other, mut newer) = first(&store, "http://a/x");
    pilot.head(head(&none, &[("cache-control", "max-age=60")], None));
    let _ = ready(push(&mut pilot, Bytes::from_static(b"old")));
    pilot.land(None);
    assert_eq!(get(&store, "http://a/x", &none), None);
    newer.head(head(&none, &[("cache-control", "max-age=60")], None));
    let _ = ready(push(&mut newer, Bytes::from_static(b"new")));
    newer.land(None);
    assert_eq!(get(&store, "http://a/x", &none).unwrap(), b"new");
}

fn swept(store: &Store) {
    let mut sweep = Sweep::default();
    while !store.sweep(&mut sweep, 10) {}
}

#[test]
fn what_began_before_a_purge_and_comes_after_a_sweep_is_held_against_it() {
    let store = store(1_000);
    let none = HeaderMap::new();
    let fetched = |pilot: Pilot| {
        let mut pilot = pilot;
        pilot.head(head(&none, &[("cache-control", "max-age=60")], None));
        let _ = ready(push(&mut pilot, Bytes::from_static(b"old")));
        pilot.land(None);
    };
    let (_reader, concerned) = first(&store, "http://a/x");
    let (_other, not_concerned) = first(&store, "http://b/x");
    store.purge(rule(prefix("http://a/"), false));
    swept(&store);
    assert_eq!(store.purges().len(), 1, "what is on its way is older");
    fetched(concerned);
    fetched(not_concerned);
    assert_eq!(get(&store, "http://a/x", &none), None);
    assert_eq!(get(&store, "http://b/x", &none).unwrap(), b"old");
    swept(&store);
    assert!(store.purges().is_empty());
}

#[test]
fn a_long_fetch_holds_up_a_bounded_number_of_rules_and_is_not_kept_beyond() {
    let store = store(1_000);
    let none = HeaderMap::new();
    let (_reader, mut pilot) = first(&store, "http://a/x");
    for number in 0..=purge::WAITING_MAX {
        store.purge(rule(prefix(&format!("http://b/{number}/")), false));
    }
    swept(&store);
    assert!(store.purges().is_empty());
    pilot.head(head(&none, &[("cache-control", "max-age=60")], None));
    let _ = ready(push(&mut pilot, Bytes::from_static(b"old")));
    pilot.land(None);
    assert_eq!(get(&store, "http://a/x", &none), None, "nobody knows what was purged meanwhile");
    put(&store, "http://a/x", &none, "", b"new");
    assert_eq!(get(&store, "http://a/x", &none).unwrap(), b"new");
}

#[test]
fn two_caches_that_take_each_other_for_the_owner_do_not_wait_for_each_other() {
    let store = store(1_000);
    let key = "http://a/x".as_bytes();
    let board = |course| store.board(store.key(key), b"", None, course);
    let Boarding::First(_across, _one) = board(Course::Across) else { panic!("nobody fetches it") };
    let Boarding::Later(_) = board(Course::Across) else { panic!("clients wait for one of them") };
    let Boarding::First(_onward, _two) = board(Course::Onward) else {
        panic!("the other cache would wait for itself")
    };
    let Boarding::Later(_) = board(Course::Onward) else { panic!("others wait for that one") };
}

#[test]
fn what_is_purged_softly_is_stale_and_served_while_it_is_revalidated() {
    let store = store(1_000);
    let none = HeaderMap::new();
    put(&store, "http://a/x", &none, "", b"old");
    put(&store, "http://a/y", &none, "", b"old");
    store.purge(rule(What::All, true));
    assert_eq!(store.purge_key(store.key(b"http://a/y"), Some(Wall::from_secs(1_010))), 1);
    let asked = RequestDirectives::default();
    for key in ["http://a/x", "http://a/y"] {
        let object = store.find(store.key(key.as_bytes()), &none, &mut Vec::new()).unwrap();
        let reuse = |secs| object.terms().reuse(&asked, Wall::from_secs(secs));
        assert_eq!(object.terms().ttl(Wall::from_secs(1_010)), 0);
        assert_eq!(reuse(1_011), Reuse::StaleWhileRevalidate);
        assert_eq!(reuse(1_069), Reuse::StaleWhileRevalidate);
        assert_eq!(reuse(1_070), Reuse::Validate(Reason::Stale));
        assert_eq!(get(&store, key, &none).unwrap(), b"old");
    }
}
