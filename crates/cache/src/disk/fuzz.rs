//! What the disk store must do with any bytes that lie on its disk: not panic, and never give an
//! object that nobody wrote.
//!
//! A segment whose bytes were drawn would hold nothing, for no check would hold. So these begin with
//! a log that is in order and change it as the input says.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, StatusCode};
use nigh_base::{ByteSize, Rng, Wall, machine::DiskError};

use super::{
    Log, Place, Restored, Settings, Storage,
    record::{self, Frame, HEAD, HEAD_CHECK, Record, Stored},
    segment::{HEADER, Header},
};
use crate::{
    directives::ResponseDirectives,
    flight::Head,
    freshness::Terms,
    object::Object,
    purge::{Purges, Rule, What},
    run::Run,
    slices::Sliced,
    store::{self, Boarding, Course, Store},
};

const SETTINGS: Settings = Settings { size: 1 << 20, segment: 1 << 16 };
/// Objects on the disk.
const OBJECTS: u8 = 6;
/// Changes that are made, at most.
const CHANGES_MAX: usize = 8;
/// A change: kind, place (two bytes), byte.
const CHANGE: usize = 4;

/// Segments in memory.
#[derive(Clone, Debug, Default)]
struct Shelf(BTreeMap<u32, Vec<u8>>);

impl Storage for Shelf {
    fn list(&mut self) -> Result<Vec<(u32, u64)>, DiskError> {
        Ok(self.0.iter().map(|(&number, bytes)| (number, bytes.len() as u64)).collect())
    }

    fn read_at(&mut self, segment: u32, offset: u64, length: usize) -> Result<Vec<u8>, DiskError> {
        let bytes = self.0.get(&segment).ok_or(DiskError::Absent)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length).min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }

    fn write_at(&mut self, segment: u32, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let held = self.0.entry(segment).or_default();
        let start = usize::try_from(offset).expect("a segment fits into memory");
        held.resize(held.len().max(start + bytes.len()), 0);
        held[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, _: u32) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_directory(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn remove(&mut self, segment: u32) -> Result<(), DiskError> {
        self.0.remove(&segment).map(drop).ok_or(DiskError::Absent)
    }
}

/// Segments that were changed: what is found is what was written. Where a change has the checks of a
/// head made anew, as no disk would, lengths that cannot be are refused without a panic.
pub fn segments(input: &[u8]) {
    let (mut shelf, mut forged) = (written(), false);
    for change in input.chunks_exact(CHANGE).take(CHANGES_MAX) {
        let &[kind, place, more, byte] = change else { unreachable!("chunks of four") };
        let Some(bytes) = shelf.0.values_mut().next() else { return };
        if bytes.is_empty() {
            continue;
        }
        let at = usize::from(u16::from_le_bytes([place, more])) % bytes.len();
        match kind % 5 {
            0 => bytes[at] ^= byte,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, byte),
            3 => bytes.extend_from_slice(&[byte; 9]),
            _ => forged |= forge(bytes, usize::from(place), usize::from(more), byte),
        }
    }
    let store = memory();
    let purges = Arc::clone(store.purges());
    let opened = Log::open(shelf, SETTINGS, purges, Rng::new(2));
    let mut log = opened.expect("its list can be had");
    while log.find_more() {}
    for number in 0..OBJECTS {
        for object in held(&mut log, &store, number) {
            let (was, whole) = (made(&memory(), number), object.sliced().is_none());
            assert!(forged || *object.terms() == *was.terms(), "others' terms");
            assert!(forged || !whole || body(&object) == body(&was), "a body that nobody wrote");
        }
    }
    // And it goes on.
    let object = made(&memory(), OBJECTS);
    let there = log.append(&object).expect("no fault") && log.seal().is_ok();
    assert!(there && held(&mut log, &store, OBJECTS).iter().all(|it| body(it) == body(&object)));
}

/// A record, at the front of `input` behind a byte that says whether the checks hold: it is read
/// within its bounds, or refused.
pub fn record(input: &[u8]) {
    let Some((&checks, bytes)) = input.split_first() else { return };
    let (mut bytes, frame) = (bytes.to_vec(), Frame { salt: 1, offset: HEADER });
    if checks.is_multiple_of(2) {
        record::check_record(&mut bytes, frame);
    }
    let mut again = Vec::new();
    let moved = Frame { salt: 2, offset: 8 };
    let is_whole = record::write_again(&bytes, frame, moved, &mut again);
    if let Some(rule) = record::read_rule(&bytes, frame) {
        assert_eq!(Rule::from_bytes(&rule.to_bytes()), Some(rule), "a rule reads back");
    }
    let place = Place::of_record(frame, bytes.len());
    let Some(record) = Record::read(&bytes, &place) else { return };
    // Pieces of a body are read later, and may not be what was written.
    assert!(
        is_whole || matches!(record.body, Stored::Beneath(_)),
        "what reads can be written again"
    );
    if !is_whole {
        return;
    }
    let content = record.key.len() + record.selecting.len();
    assert!(HEAD + content <= bytes.len(), "longer than it is");
    drop(record.fields.to_map());
    let place = Place::of_record(moved, again.len());
    let again = Record::read(&again, &place).expect("it was written again");
    assert_eq!(again.key, record.key);
    if let (Stored::Whole(again), Stored::Whole(body)) = (again.body, record.body) {
        assert_eq!(again, body);
    }
}

/// A purge rule as bytes: what reads is written and reads the same, and concerns keys without panic.
pub fn rule(bytes: &[u8]) {
    let Some(rule) = Rule::from_bytes(bytes) else { return };
    assert_eq!(Rule::from_bytes(&rule.to_bytes()).as_ref(), Some(&rule), "a rule reads back");
    let mut fields = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        fields.insert("cache-tag", value);
    }
    for key in [bytes, b"http://a.example/b"] {
        assert!(!rule.concerns(key, &fields) || rule.may_concern(key));
    }
    let purges = Purges::default();
    purges.found(rule, (1, 0));
    assert_eq!(purges.len(), 1);
}

/// How an object is sliced, as bytes: the slices are the object, without gap or overlap.
pub fn sliced(bytes: &[u8]) {
    let Some(sliced) = Sliced::from_bytes(bytes) else { return };
    assert_eq!(sliced.to_bytes(), bytes, "it is written as it was");
    let last = sliced.count() - 1;
    for index in [0, last / 2, last] {
        let span = sliced.span(index);
        assert!(span.start < span.end && span.end <= sliced.length);
        assert_eq!([sliced.index_of(span.start), sliced.index_of(span.end - 1)], [index; 2]);
        assert!(index == last || sliced.span(index + 1).start == span.end);
    }
    assert_eq!(sliced.span(last).end, sliced.length);
    let key = sliced.key(b"a", last);
    assert!(key.starts_with(b"a "));
}

fn memory() -> Arc<Store> {
    Store::new(store::Settings::new(ByteSize::mib(16), 7))
}

fn key(number: u8) -> String {
    format!("http://a.example/{number}")
}

/// An object, another one for each number.
fn made(store: &Arc<Store>, number: u8) -> Object {
    let key = key(number);
    let key = store.key(key.as_bytes());
    let Boarding::First(_reader, mut pilot) =
        store.board(key, b"never asked", None, Course::Onward)
    else {
        unreachable!("nobody else asks")
    };
    let mut fields = HeaderMap::new();
    fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
    fields.insert("cache-tag", HeaderValue::from_static("some"));
    let directives = ResponseDirectives::parse(&fields);
    let arrived = Wall::from_secs(1_000);
    let body = vec![number; 100 + usize::from(number) * 50];
    let head = Head {
        status: StatusCode::OK,
        terms: Terms::new(arrived, arrived, StatusCode::OK, &fields, &directives),
        fields,
        for_first: HeaderMap::new(),
        length: Some(body.len() as u64),
        announced: None,
        stored: Ok(()),
        vary: [].into(),
        selecting: [].into(),
        from_store: false,
        passing: false,
    };
    if number % 3 == 1 {
        let length = 1 << 30;
        let master = pilot.master(&head, length, 1 << 20).expect("there is room");
        pilot.found(master);
    } else {
        pilot.head(head);
        pilot.push(&Bytes::from(body));
        pilot.land(None);
    }
    store.find(key, &HeaderMap::new(), &mut Vec::new()).expect("it is stored")
}

/// A log in order: objects, a removal and a rule, sealed.
fn written() -> Shelf {
    let store = memory();
    let mut log = Log::open(Shelf::default(), SETTINGS, Arc::default(), Rng::new(1))
        .expect("its list can be had");
    let all = (0..OBJECTS).try_for_each(|number| log.append(&made(&store, number)).map(drop));
    let gone = log.remove(b"http://a.example/gone");
    let what = What::Prefix(b"http://b.example/"[..].into());
    let rule = log.purge(1, Rule { what, soft: false, at: Wall::from_secs(1) });
    all.and(gone).and(rule).and_then(|()| log.seal()).expect("nothing fails in memory");
    log.into_storage()
}

/// Changes a byte of the head of a record and makes its check hold; false if there is no such record.
fn forge(bytes: &mut [u8], record: usize, at: usize, byte: u8) -> bool {
    let mut shelf = Shelf([(1, bytes.to_vec())].into());
    let Ok(Some(Header { salt, .. })) = Header::read(&mut shelf, 1) else { return false };
    let mut offset = HEADER;
    for _ in 0..record % usize::from(OBJECTS) {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(rest) = bytes.get(start..) else { return false };
        let Some(head) = record::Head::read(rest, Frame { salt, offset }) else { return false };
        offset += head.length();
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let Some(head) = bytes.get_mut(start..).filter(|rest| rest.len() >= HEAD) else { return false };
    head[at % HEAD_CHECK] = byte;
    record::check_head(head, Frame { salt, offset });
    true
}

/// What the log gives for a number.
fn held(log: &mut Log<Shelf>, store: &Arc<Store>, number: u8) -> Vec<Object> {
    let key = key(number);
    let places = log.index().find(key.as_bytes());
    let mut objects = Vec::new();
    for place in places {
        let read = log.storage().read_at(place.segment, place.offset, place.length);
        let Ok(bytes) = read else { continue };
        let restored = store.restore(store.key(key.as_bytes()), &place, &bytes);
        if let Restored::Object(object) = restored {
            objects.push(object);
        }
    }
    objects
}

/// The body that is in memory.
fn body(object: &Object) -> Vec<u8> {
    if object.sliced().is_some() || object.beneath().is_some() {
        return Vec::new();
    }
    let mut run = Run::whole(object.clone());
    run.copy_to_bytes(run.remaining()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(seed: u64, rounds: usize, front: &[u8], harness: fn(&[u8])) {
        let mut rng = Rng::new(seed);
        for _ in 0..rounds {
            let mut input = front.to_vec();
            for _ in 0..rng.index(40) {
                input.push(u8::try_from(rng.below(256)).unwrap());
            }
            for byte in &mut input[..front.len()] {
                if rng.one_in(16) {
                    *byte = u8::try_from(rng.below(256)).unwrap();
                }
            }
            harness(&input);
        }
    }

    #[test]
    fn segments_that_were_changed_hold_what_was_written_or_nothing() {
        segments(b"");
        drive(1, 3_000, b"", segments);
    }

    #[test]
    fn records_are_read_within_their_bounds() {
        let mut whole = vec![0];
        let frame = Frame { salt: 1, offset: HEADER };
        record::write(&made(&memory(), 2), None, 5, frame, &mut whole);
        record(&whole);
        drive(2, 20_000, &whole[..HEAD + 40], record);
        drive(3, 20_000, &whole, record);
    }

    #[test]
    fn rules_hold_their_promises() {
        drive(4, 20_000, b"\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08http://a.example/", rule);
    }

    #[test]
    fn slices_hold_their_promises() {
        drive(
            5,
            20_000,
            &[1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7],
            |it| {
                sliced(&it[..24]);
            },
        );
    }
}
