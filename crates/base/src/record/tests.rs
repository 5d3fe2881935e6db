//! Tests of recordings: what is written reads back, and what was damaged says where.

use bytes::Bytes;

use super::*;
use crate::{
    Address,
    machine::{DiskError, Link, Slot},
    wire::{Reader, WireError},
};

/// A machine whose state depends on everything that it is given.
#[derive(Debug, Default)]
struct Sum {
    state: Digest,
    /// Whether its invariant never holds.
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Add(u32);

impl Wire for Add {
    const MAX: usize = 4;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.u32().map(Self)
    }
}

impl Machine for Sum {
    type Message = Bytes;
    type Command = Add;
    type Event = u64;

    fn handle(&mut self, input: Input<Bytes, Add>, cx: &mut Context<'_, Self>) {
        let mut form = Vec::new();
        entry::write(&input, &mut form);
        self.state.write(&form);
        self.state.write_u64(cx.now.nanos());
        self.state.write_u64(cx.rng.next_u64());
        match input {
            Input::Command(Add(draws)) => {
                for _ in 0..draws % 8 {
                    self.state.write_u64(cx.secrets.number());
                }
            }
            Input::Message { from, message } => cx.send(from, message),
            _ => cx.tell(self.state.value()),
        }
    }

    fn wake_at(&self) -> Option<Time> {
        None
    }

    fn digest(&self, digest: &mut Digest) {
        digest.write_u64(self.state.value());
    }

    fn check(&self) {
        assert!(!self.broken, "the invariant does not hold");
    }
}

const SEED: u64 = 5;

fn peer() -> Address {
    Address::v4([192, 0, 2, 1], 4000)
}

/// One of each input.
fn inputs() -> Vec<Input<Bytes, Add>> {
    let (link, slot, bytes) = (Link(3), Slot(4), Bytes::from_static(b"content"));
    let mut inputs = vec![
        Input::Wake,
        Input::Command(Add(3)),
        Input::Message { from: peer(), message: bytes.clone() },
        Input::Opened { link, peer: peer() },
        Input::Received { link, bytes: bytes.clone() },
        Input::Drained { link },
        Input::Closed { link },
        Input::Saved { slot },
        Input::Loaded { slot, bytes: Some(bytes) },
        Input::Loaded { slot, bytes: Some(Bytes::new()) },
        Input::Loaded { slot, bytes: None },
    ];
    let causes = [
        DiskError::Full,
        DiskError::Failed,
        DiskError::Damaged,
        DiskError::Absent,
        DiskError::Crashed,
    ];
    inputs.extend(causes.map(|cause| Input::Failed { slot, cause }));
    inputs
}

/// A recording of a machine that is given `inputs`, a microsecond apart, and its state at the end.
fn recorded(inputs: Vec<Input<Bytes, Add>>, limit: ByteSize) -> (Vec<u8>, u64) {
    let mut machine = Sum::default();
    let mut recorder = Recorder::new(&machine, SEED, limit);
    let (mut rng, mut secrets, mut outbox) = (Rng::new(SEED), Rng::new(6), Vec::new());
    let mut bytes = Vec::new();
    for (now, input) in (1..).zip(inputs) {
        let now = Time::from_nanos(now * 1000);
        recorder.handle(&mut machine, input, now, &mut rng, &mut secrets, &mut outbox);
        outbox.clear();
        bytes.extend(recorder.take());
    }
    recorder.finish(&machine);
    bytes.extend(recorder.take());
    (bytes, state_of(&machine))
}

fn whole() -> (Vec<u8>, u64) {
    recorded(inputs(), ByteSize::mib(1))
}

type Entries = Vec<Entry<Bytes, Add>>;

fn entries(bytes: &[u8]) -> Result<(Entries, Option<End>), RecordError> {
    let mut recording = Recording::open(bytes)?;
    let mut entries = Entries::new();
    while let Some(entry) = recording.next_entry()? {
        entries.push(entry);
    }
    Ok((entries, recording.end()))
}

/// The bodies of a recording's records, which the caller may change before [`sealed`].
fn bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &bytes[HEADER_BYTES..];
    let mut bodies = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        bodies.push(rest[8..8 + length].to_vec());
        rest = &rest[8 + length..];
    }
    bodies
}

/// A recording of these records, whose checks hold.
fn sealed(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut tape = Tape::new(SEED, state_of(&Sum::default()));
    bodies.iter().for_each(|body| tape.append(body));
    tape.waiting
}

#[test]
fn what_was_given_reads_back() {
    let (bytes, state) = whole();
    let (entries, end) = entries(&bytes).unwrap();
    let given: Vec<_> = entries.iter().map(|entry| entry.input.clone()).collect();
    assert_eq!(given, inputs());
    assert!(entries.iter().zip(1..).all(|(entry, n)| entry.now == Time::from_nanos(n * 1000)));
    assert_eq!(entries[1].secrets.len(), 3);
    assert_eq!(end.map(|end| (end.state, end.ending)), Some((state, Ending::Stopped)));
}

#[test]
fn a_replay_comes_to_the_same_state() {
    let (bytes, state) = whole();
    let replayed = replay(&bytes, Sum::default()).unwrap();
    assert!(replayed.agrees());
    assert_eq!((replayed.digest, replayed.inputs), (state, inputs().len() as u64));
}

#[test]
fn a_replay_with_one_input_altered_departs_there() {
    let (bytes, state) = whole();
    let replayed = replay_with(&bytes, Sum::default(), |number, entry| {
        if number == 2 {
            entry.input = Input::Message { from: peer(), message: Bytes::from_static(b"Content") };
        }
    });
    let replayed = replayed.unwrap();
    assert!(!replayed.agrees() && replayed.digest != state);
    assert_eq!((replayed.departed, replayed.recorded_digest), (Some(2), Some(state)));
}

#[test]
fn a_machine_that_draws_other_secrets_departs() {
    let (bytes, _) = whole();
    let replayed = replay_with(&bytes, Sum::default(), |number, entry| {
        if number == 1 {
            entry.input = Input::Command(Add(4));
        }
    });
    assert_eq!(replayed.unwrap().departed, Some(1));
}

#[test]
fn another_machine_is_told_apart_at_once() {
    let (bytes, _) = whole();
    let mut other = Sum::default();
    other.state.write_u8(1);
    assert!(matches!(replay(&bytes, other), Err(RecordError::OtherMachine { .. })));
}

#[test]
#[should_panic(expected = "the invariant does not hold")]
fn a_replay_asks_for_the_invariants_after_every_input() {
    let (bytes, _) = whole();
    drop(replay(&bytes, Sum { broken: true, ..Sum::default() }));
}

#[test]
fn a_recording_stops_at_its_limit_and_still_replays() {
    let (long, _) = whole();
    let limit = ByteSize::new(long.len() as u64 - 1);
    let (bytes, state) = recorded(inputs(), limit);
    assert!(bytes.len() as u64 <= limit.bytes());
    let (entries, end) = entries(&bytes).unwrap();
    assert_eq!((entries.len(), end.unwrap().ending), (inputs().len() - 1, Ending::Limit));
    let replayed = replay(&bytes, Sum::default()).unwrap();
    assert!(replayed.agrees());
    assert_ne!(replayed.digest, state, "the machine went on");
}

#[test]
fn a_recording_without_an_end_replays_as_far_as_it_goes() {
    let (bytes, _) = whole();
    let cut = bytes.len() - usize::try_from(framed(END_BYTES)).unwrap();
    let replayed = replay(&bytes[..cut], Sum::default()).unwrap();
    assert_eq!((replayed.recorded_digest, replayed.departed), (None, None));
    assert_eq!(replayed.inputs, inputs().len() as u64);
}

#[test]
fn a_cut_anywhere_says_which_record_is_cut() {
    let (bytes, _) = whole();
    let mut begins = vec![0, HEADER_BYTES];
    for body in bodies(&bytes) {
        begins.push(begins[begins.len() - 1] + 8 + body.len());
    }
    for length in 0..bytes.len() {
        let at = *begins.iter().rfind(|&&at| at <= length).unwrap();
        let expected =
            if at == length && length > 0 { Ok(()) } else { Err(RecordError::Cut { at }) };
        assert_eq!(entries(&bytes[..length]).map(|_| ()), expected, "cut to {length}");
    }
}

#[test]
fn a_damaged_byte_anywhere_is_an_error_no_later_than_there() {
    let (bytes, _) = whole();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        match entries(&damaged).unwrap_err() {
            RecordError::NotARecording => assert!(place < MAGIC.len()),
            RecordError::Version { .. } => assert_eq!(place, MAGIC.len()),
            RecordError::Cut { at } | RecordError::Damaged { at } => assert!(at <= place),
            error => panic!("{error} for damage at {place}"),
        }
    }
}

#[test]
fn a_record_that_is_missing_or_doubled_is_noticed() {
    let (bytes, _) = whole();
    let second = HEADER_BYTES + 8 + bodies(&bytes)[0].len();
    let missing = [&bytes[..HEADER_BYTES], &bytes[second..]].concat();
    assert_eq!(entries(&missing), Err(RecordError::Damaged { at: HEADER_BYTES }));
    let doubled = [&bytes[..second], &bytes[HEADER_BYTES..]].concat();
    assert_eq!(entries(&doubled), Err(RecordError::Damaged { at: second }));
}

#[test]
fn records_stand_in_their_places() {
    let (bytes, _) = whole();
    let bodies = bodies(&bytes);
    let (wake, message, end) = (&bodies[0], &bodies[5], &bodies[bodies.len() - 1]);
    let secrets = &bodies[2];
    let at = HEADER_BYTES;
    let swapped = sealed(&[message.clone(), wake.clone()]);
    let back = at + 8 + message.len();
    assert_eq!(entries(&swapped), Err(RecordError::OutOfPlace { at: back }), "time goes back");
    let alone = sealed(std::slice::from_ref(secrets));
    assert_eq!(entries(&alone), Err(RecordError::OutOfPlace { at }));
    let behind = sealed(&[end.clone(), wake.clone()]);
    assert_eq!(entries(&behind), Err(RecordError::OutOfPlace { at: at + 8 + end.len() }));
}

#[test]
fn an_input_over_its_limit_is_no_record() {
    let mut body = bodies(&whole().0)[1].clone();
    body.push(0);
    let source = WireError::TooLong { what: "command", length: 5, limit: 4 };
    let error = RecordError::Malformed { at: HEADER_BYTES, source };
    assert_eq!(entries(&sealed(&[body])), Err(error));
}

/// Any bytes: nothing panics, errors lie within the bytes, what reads is written as the same bytes,
/// and a machine can be given it.
fn holds_for(bytes: &[u8]) {
    let mut recording = match Recording::open(bytes) {
        Ok(recording) => recording,
        Err(error) => return lies_within(error, bytes.len()),
    };
    let mut tape = Tape::new(recording.seed(), recording.start());
    loop {
        match recording.next_entry::<Bytes, Add>() {
            Ok(Some(entry)) => {
                let mut body = Vec::new();
                entry::begin(entry.outputs, entry.now, &mut body);
                entry::write(&entry.input, &mut body);
                tape.append(&body);
                for secret in entry.secrets {
                    body.clear();
                    entry::write_secrets(&secret, &mut body);
                    tape.append(&body);
                }
            }
            Ok(None) => {
                if let Some(end) = recording.end() {
                    let mut body = Vec::new();
                    end.write(&mut body);
                    tape.append(&body);
                }
                assert_eq!(tape.waiting, bytes);
                break;
            }
            Err(error) => {
                assert!(bytes.starts_with(&tape.waiting), "what was read is what stands there");
                lies_within(error, bytes.len());
                break;
            }
        }
    }
    if let Err(error) = replay(bytes, Sum::default()) {
        lies_within(error, bytes.len());
    }
}

#[test]
fn a_recording_that_is_cut_off_is_replayed_as_far_as_it_goes() {
    let (bytes, _) = whole();
    let all = entries(&bytes).unwrap().0.len() as u64;
    let mut last = 0;
    for length in HEADER_BYTES..bytes.len() {
        let replayed = replay(&bytes[..length], Sum::default()).unwrap();
        assert_eq!((replayed.departed, replayed.recorded_digest), (None, None), "cut to {length}");
        assert!(replayed.cut_at.is_none_or(|at| at < length));
        assert!((last..=all).contains(&replayed.inputs));
        last = replayed.inputs;
    }
    assert_eq!(last, all);
}

fn lies_within(error: RecordError, length: usize) {
    match error {
        RecordError::Cut { at }
        | RecordError::Damaged { at }
        | RecordError::Malformed { at, .. }
        | RecordError::OutOfPlace { at } => assert!(at <= length, "{error} of {length}"),
        RecordError::NotARecording
        | RecordError::Version { .. }
        | RecordError::OtherMachine { .. } => {}
    }
}

#[test]
fn seeded_mutations_neither_panic_nor_read_as_something_else() {
    let (bytes, _) = whole();
    let records = bodies(&bytes);
    let mut rng = Rng::new(9);
    for _ in 0..20_000 {
        // Raw, where the checks catch most; and beneath the checks, where they do not.
        let mut raw = bytes.clone();
        mutate(&mut raw, &mut rng);
        holds_for(&raw);
        let mut beneath = records.clone();
        let place = rng.index(beneath.len());
        match rng.below(4) {
            0 => drop(beneath.remove(place)),
            1 => beneath.insert(rng.index(records.len()), records[place].clone()),
            _ => mutate(&mut beneath[place], &mut rng),
        }
        holds_for(&sealed(&beneath));
    }
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        if bytes.is_empty() {
            return;
        }
        let place = rng.index(bytes.len());
        match rng.below(4) {
            0 => bytes[place] = rng.next_u64().to_le_bytes()[0],
            1 => bytes[place] ^= 1 << rng.below(8),
            2 => bytes.truncate(place),
            _ => bytes.insert(place, rng.next_u64().to_le_bytes()[0]),
        }
    }
}
